//! The protobuf message `CacheData`, as far as it is needed.
//!
//! Source: dataway reference §6.1 (fields 1 to 3) and §6.2.

use bytes::Bytes;
use levada_codec::compression::{Compression, Decompressor, Limits};
use levada_model::{Category, Timestamp};

use super::super::attributes::Attributes;
use super::super::record::{Encoding, Record};

/// Most bytes of one body that are looked at to count its lines.
const COUNTED_BYTES_MAX: u64 = 256 << 20;

/// What a record of an old cache says; borrowed from it.
#[derive(Debug, Default, PartialEq)]
pub(super) struct CacheData<'a> {
    pub(super) category: i64,
    payload_type: i64,
    payload: &'a [u8],
    points: i64,
    raw_bytes: i64,
    headers: Vec<(&'a str, &'a str)>,
    url: &'a str,
    packed_secs: i64,
}

/// Bytes of a message that are still to be read.
struct Fields<'a>(&'a [u8]);

/// The value of a field.
enum Value<'a> {
    Number(i64),
    Bytes(&'a [u8]),
    Other,
}

// === impl CacheData ===

impl<'a> CacheData<'a> {
    /// Reads a message; `None` when it is none.
    pub(super) fn read(bytes: &'a [u8]) -> Option<Self> {
        let mut data = CacheData::default();
        let mut has_payload = false;
        let mut fields = Fields(bytes);
        while let Some((number, value)) = fields.next()? {
            match (number, value) {
                (1, Value::Number(number)) => data.category = number,
                (2, Value::Number(number)) => data.payload_type = number,
                (3, Value::Bytes(payload)) => (data.payload, has_payload) = (payload, true),
                (4, Value::Number(number)) => data.points = number,
                (5, Value::Number(number)) => data.raw_bytes = number,
                (6, Value::Bytes(header)) => data.headers.push(read_header(header)?),
                (7, Value::Bytes(url)) => data.url = std::str::from_utf8(url).ok()?,
                (8, Value::Number(number)) => data.packed_secs = number,
                _ => {}
            }
        }
        has_payload.then_some(data)
    }

    /// Gives the record to queue; `None` when its headers are too long.
    pub(super) fn into_record(self, category: Category, now: Timestamp) -> Option<Record> {
        let is_gzip = self.payload.starts_with(&[0x1f, 0x8b]);
        let compression = if is_gzip { Compression::Gzip } else { Compression::None };
        let encoding = match self.payload_type {
            0 => Encoding::LineProtocol,
            1 => Encoding::Protobuf,
            2 => Encoding::Json,
            3 => Encoding::ProtobufJson,
            _ => Encoding::Other,
        };
        let url = (!self.url.is_empty()).then_some((Attributes::URL, self.url));
        let mut record = Record {
            category,
            points: u32::try_from(self.points).unwrap_or(0),
            raw_bytes: u32::try_from(self.raw_bytes).unwrap_or(0),
            packed_at: match self.packed_secs {
                1.. => Timestamp(self.packed_secs.saturating_mul(1_000_000_000)),
                _ => now,
            },
            encoding,
            compression,
            attributes: Attributes::new(self.headers.into_iter().chain(url)).ok()?,
            body: Bytes::copy_from_slice(self.payload),
        };
        if record.points == 0 && encoding == Encoding::LineProtocol {
            // The seed did not keep how many there are.
            let counted = count_lines(&record.body, compression);
            (record.points, record.raw_bytes) = counted.unwrap_or((0, record.raw_bytes));
        }
        Some(record)
    }
}

/// Counts lines with something in them, and bytes; `None` when the body is damaged or too large.
fn count_lines(body: &[u8], compression: Compression) -> Option<(u32, u32)> {
    let limits = Limits { output_bytes_max: Some(COUNTED_BYTES_MAX), ..Limits::default() };
    let mut decompressor = Decompressor::new(compression, limits).ok()?;
    let mut buffer = vec![0; 64 << 10];
    let (mut rest, mut lines, mut bytes) = (body, 0_u32, 0_u32);
    let mut last = b'\n';
    while !rest.is_empty() || decompressor.has_more() {
        let step = decompressor.step(rest, &mut buffer).ok()?;
        rest = &rest[step.consumed..];
        for byte in &buffer[..step.produced] {
            lines += u32::from(last == b'\n' && *byte != b'\n');
            last = *byte;
        }
        bytes = bytes.saturating_add(u32::try_from(step.produced).ok()?);
    }
    decompressor.finish().ok()?;
    Some((lines, bytes))
}

fn read_header(bytes: &[u8]) -> Option<(&str, &str)> {
    let (mut key, mut value) = ("", "");
    let mut fields = Fields(bytes);
    while let Some((number, field)) = fields.next()? {
        match (number, field) {
            (1, Value::Bytes(text)) => key = std::str::from_utf8(text).ok()?,
            (2, Value::Bytes(text)) => value = std::str::from_utf8(text).ok()?,
            _ => {}
        }
    }
    Some((key, value))
}

// === impl Fields ===

impl<'a> Fields<'a> {
    /// Gives number and value of the next field; `None` inside when there is none, `None` outside when the bytes are no
    /// message.
    #[expect(clippy::option_option, reason = "the end and a mistake are different things")]
    fn next(&mut self) -> Option<Option<(u64, Value<'a>)>> {
        if self.0.is_empty() {
            return Some(None);
        }
        let tag = self.varint()?;
        let value = match tag & 7 {
            0 => Value::Number(self.varint()?.cast_signed()),
            1 => self.take(8).map(|_| Value::Other)?,
            2 => {
                let length = usize::try_from(self.varint()?).ok()?;
                Value::Bytes(self.take(length)?)
            }
            5 => self.take(4).map(|_| Value::Other)?,
            _ => return None,
        };
        Some(Some((tag >> 3, value)))
    }

    fn varint(&mut self) -> Option<u64> {
        let mut number = 0;
        for shift in (0..64).step_by(7) {
            let (byte, rest) = self.0.split_first()?;
            self.0 = rest;
            number |= u64::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                return Some(number);
            }
        }
        None
    }

    fn take(&mut self, length: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(length)?;
        self.0 = rest;
        Some(taken)
    }
}
