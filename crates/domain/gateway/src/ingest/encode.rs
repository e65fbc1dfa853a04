//! Buckets become records: encoded once for each way in which destinations want them, shared by all that want it so.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use levada_clients::dataway::PackageIds;
use levada_codec::compression::{Compression, CompressionError, Compressor, decompress_all};
use levada_codec::line_protocol::Precision;
use levada_codec::points::line::{Scanner, write_point};
use levada_codec::points::{Point, Unit, json, protobuf};
use levada_model::{Category, Timestamp};
use levada_runtime::Clock;

use super::bucket::{Bucket, Buckets};
use super::{BUFFER_BYTES_MAX, Bounds, Write, WriteError};
use crate::rules::DestinationId;
use crate::wal::{Attributes, Encoding, Record};

/// How a destination wants its bodies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Form {
    /// How points are written.
    pub encoding: Encoding,
    /// How bodies are compressed.
    pub compression: Compression,
    /// Whether bodies carry `X-Global-Tags`; its mere presence changes what servers do.
    pub has_global_tags: bool,
}

/// A record and where it goes.
#[derive(Clone, Debug)]
pub struct Outgoing {
    /// Where.
    pub destination: DestinationId,
    /// What.
    pub record: Record,
}

/// Two halves of a record, or the news that it cannot be halved.
#[derive(Clone, Debug)]
pub enum Split {
    /// Two records that together are the one.
    Halves(Box<(Record, Record)>),
    /// One point.
    Single,
}

/// Hears of bodies that are made: metrics are made of that.
pub trait EncodeWatch: Send + Sync + 'static {
    /// Points were written in another way than they came (`enc`), or a body was compressed (`gzip`).
    fn took(&self, category: Category, encoding: Encoding, stage: &'static str, took: Duration);
    /// A body is made.
    fn made(&self, category: Category, encoding: Encoding, points: u32, bytes: usize);
}

/// Makes bodies; shared by all writers.
pub struct Encoder {
    ids: PackageIds,
    bounds: Bounds,
    watch: Option<(Arc<dyn EncodeWatch>, Arc<dyn Clock>)>,
    /// Presses that wait to be used again: making one costs more than a small body.
    idle: Mutex<Vec<Press>>,
}

/// A compressor with its buffers, which keep their memory from body to body.
struct Press {
    format: Compression,
    compressor: Compressor,
    /// A text that is put together of pieces.
    text: Vec<u8>,
    packed: Vec<u8>,
}

/// Presses that are kept.
const IDLE_MAX: usize = 8;
/// Fast levels: what is saved above them is not worth the time here. Source: measured.
const GZIP_LEVEL: i32 = 1;
const ZSTD_LEVEL: i32 = 1;

/// The name of the package id among the attributes of a record.
pub const PACKAGE_ID: &str = "X-Pkg-Id";
/// The name of the routing header among the attributes.
pub const GLOBAL_TAGS: &str = "X-Global-Tags";
/// The name of the index among the attributes.
pub const STORAGE_INDEX: &str = "X-Storage-Index-Name";
/// The name of how often points have come back, among the attributes; none when they have not.
pub const HOPS: &str = "hops";

/// Source: the hash function of Fowler, Noll and Vo, FNV-1a with 64 bits.
const FNV_OFFSET: u64 = 0xcbf2_9ce4_8422_2325;
const FNV_PRIME: u64 = 0x0000_0100_0000_01b3;

const NANOSECONDS: Unit = Unit::Fixed(Precision::Nanoseconds);

// === impl Encoder ===

impl Encoder {
    /// Makes one; `random` is different in every process.
    pub fn new(bounds: Bounds, random: u64) -> Self {
        Encoder { ids: PackageIds::new(random), bounds, watch: None, idle: Mutex::default() }
    }

    /// Lets somebody hear of bodies that are made.
    #[must_use]
    pub fn watched(self, watch: Arc<dyn EncodeWatch>, clock: Arc<dyn Clock>) -> Self {
        Encoder { watch: Some((watch, clock)), ..self }
    }

    fn now(&self) -> Duration {
        self.watch.as_ref().map_or(Duration::ZERO, |(_, clock)| clock.monotonic())
    }

    fn took(&self, record: &Record, stage: &'static str, started: Duration) {
        if let Some((watch, clock)) = &self.watch {
            let took = clock.monotonic().saturating_sub(started);
            watch.took(record.category, record.encoding, stage, took);
        }
    }

    /// Makes the records of a body.
    pub fn encode(
        &self,
        buckets: &Buckets,
        write: &Write,
        forms: &[Form],
    ) -> Result<Vec<Outgoing>, WriteError> {
        let mut all = Vec::new();
        for bucket in buckets.list() {
            let mut done: Vec<(Form, Vec<Record>)> = Vec::new();
            for destination in &bucket.address.destinations {
                let form = forms[usize::from(*destination)];
                let records = match done.iter().find(|(known, _)| *known == form) {
                    Some((_, records)) => records.clone(),
                    None => {
                        let records = self.records(buckets, bucket, write, form)?;
                        done.push((form, records.clone()));
                        records
                    }
                };
                let destination = *destination;
                all.extend(records.into_iter().map(|record| Outgoing { destination, record }));
            }
        }
        Ok(all)
    }

    fn records(
        &self,
        buckets: &Buckets,
        bucket: &Bucket,
        write: &Write,
        form: Form,
    ) -> Result<Vec<Record>, WriteError> {
        let native = buckets.native();
        let header = bucket.address.header.as_deref().filter(|_| form.has_global_tags);
        let mut records = Vec::new();
        for part in buckets.parts(bucket) {
            let id = self.ids.next(write.now.0.div_euclid(1_000_000_000));
            let index = write.storage_index.as_deref();
            let attributes = attributes(&id, header, index, write.hops)?;
            let mut record = Record {
                category: write.category,
                points: part.points,
                raw_bytes: u32::try_from(part.len()).unwrap_or(u32::MAX),
                packed_at: write.now,
                encoding: form.encoding,
                compression: Compression::None,
                attributes,
                body: Bytes::new(),
            };
            if let Some((watch, _)) = &self.watch {
                watch.made(record.category, form.encoding, record.points, part.len());
            }
            if form.encoding == native
                && form.compression == Compression::Gzip
                && let Some(body) = buckets.as_it_came(bucket)
            {
                record.compression = Compression::Gzip;
                record.body = body;
                records.push(record);
                continue;
            }
            if form.encoding != native {
                let started = self.now();
                record.body = convert(&part.text(), native, form.encoding, write.now)?;
                self.took(&record, "enc", started);
                record.raw_bytes = u32::try_from(record.body.len()).unwrap_or(u32::MAX);
                if record.body.len() >= self.bounds.compress_bytes_min {
                    record = self.pack(record, form.compression).map_err(WriteError::Encode)?;
                }
            } else if part.len() >= self.bounds.compress_bytes_min
                && form.compression != Compression::None
            {
                let packed = self.press(&mut record, form.compression, part.slices());
                packed.map_err(WriteError::Encode)?;
            } else {
                record.body = part.text();
            }
            records.push(record);
        }
        Ok(records)
    }

    /// Compresses a record that is not.
    pub fn pack(
        &self,
        mut record: Record,
        compression: Compression,
    ) -> Result<Record, CompressionError> {
        if record.compression != Compression::None || compression == Compression::None {
            return Ok(record);
        }
        let body = std::mem::take(&mut record.body);
        self.press(&mut record, compression, std::iter::once(&body[..]))?;
        Ok(record)
    }

    /// Compresses a text that comes in pieces, and makes it the body of a record.
    fn press<'t>(
        &self,
        record: &mut Record,
        compression: Compression,
        mut pieces: impl Iterator<Item = &'t [u8]>,
    ) -> Result<(), CompressionError> {
        let started = self.now();
        let mut press = self.take_press(compression)?;
        let Press { compressor, text, packed, .. } = &mut press;
        let first = pieces.next().unwrap_or_default();
        match pieces.next() {
            None => compressor.write(first, packed)?,
            Some(second) => {
                // Handing over each piece would cost the compressor more than copying them.
                for piece in [first, second].into_iter().chain(pieces) {
                    text.extend_from_slice(piece);
                }
                compressor.write(text, packed)?;
            }
        }
        compressor.finish(packed)?;
        record.compression = compression;
        // The buffer has room to spare, which a record that waits would keep.
        record.body = Bytes::copy_from_slice(packed);
        self.give_press(press);
        if compression == Compression::Gzip {
            self.took(record, "gzip", started);
        }
        Ok(())
    }

    /// Makes one record of small ones that are alike and not compressed.
    ///
    /// They must have passed [`can_join`]. The id is one for exactly these records.
    pub fn join(&self, records: &[Record]) -> Option<Record> {
        let first = records.first()?;
        if records.len() == 1 {
            return Some(first.clone());
        }
        let body = match first.encoding {
            Encoding::Json | Encoding::ProtobufJson => join_lists(records)?,
            _ => join_bytes(records),
        };
        Some(Record {
            points: records.iter().map(|one| one.points).sum(),
            raw_bytes: u32::try_from(body.len()).unwrap_or(u32::MAX),
            body: body.into(),
            attributes: with_id(&first.attributes, &id_of_all(records)),
            ..first.clone()
        })
    }

    /// Halves a record that its receiver finds too large; the halves are not compressed.
    ///
    /// - Errors: it is damaged, which its checksum should have told before.
    pub fn split(&self, record: &Record, now: Timestamp) -> Result<Split, CompressionError> {
        if record.points < 2 {
            return Ok(Split::Single);
        }
        let plain = self.plain(record)?;
        let Some((one, other, points)) = halves(&plain, record.encoding, record.points / 2) else {
            return Ok(Split::Single);
        };
        let half = |body: Bytes, points: u32| {
            let id = self.ids.next(now.0.div_euclid(1_000_000_000));
            Record {
                points,
                raw_bytes: u32::try_from(body.len()).unwrap_or(u32::MAX),
                compression: Compression::None,
                attributes: with_id(&record.attributes, &id),
                body,
                ..record.clone()
            }
        };
        let (first, second) = (half(one, points), half(other, record.points - points));
        Ok(Split::Halves(Box::new((first, second))))
    }

    /// Gives the body of a record as it was before it was compressed.
    ///
    /// - Errors: it is damaged, which its checksum should have told before.
    pub fn plain(&self, record: &Record) -> Result<Bytes, CompressionError> {
        Ok(match record.compression {
            Compression::None => record.body.clone(),
            format => decompress_all(format, &record.body, self.bounds.plain_bytes_max)?.into(),
        })
    }

    fn take_press(&self, format: Compression) -> Result<Press, CompressionError> {
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(at) = idle.iter().position(|press| press.format == format) {
            return Ok(idle.swap_remove(at));
        }
        drop(idle);
        let level = match format {
            Compression::Gzip => Some(GZIP_LEVEL),
            Compression::Zstd => Some(ZSTD_LEVEL),
            Compression::None => None,
        };
        let compressor = Compressor::new(format, level)?;
        Ok(Press { format, compressor, text: Vec::new(), packed: Vec::new() })
    }

    fn give_press(&self, mut press: Press) {
        for buffer in [&mut press.text, &mut press.packed] {
            buffer.clear();
            buffer.shrink_to(BUFFER_BYTES_MAX);
        }
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        if idle.len() < IDLE_MAX {
            idle.push(press);
        }
    }
}

impl fmt::Debug for Encoder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Encoder").field("bounds", &self.bounds).finish_non_exhaustive()
    }
}

/// Says whether two records can be one body.
pub fn can_join(one: &Record, other: &Record) -> bool {
    let alike = |name: &str| one.attributes.get(name) == other.attributes.get(name);
    one.category == other.category
        && one.encoding == other.encoding
        && matches!(one.encoding, Encoding::LineProtocol | Encoding::Protobuf)
        && one.compression == Compression::None
        && other.compression == Compression::None
        && alike(GLOBAL_TAGS)
        && alike(STORAGE_INDEX)
        && alike(HOPS)
}

fn attributes(
    id: &str,
    header: Option<&str>,
    index: Option<&str>,
    hops: u8,
) -> Result<Attributes, WriteError> {
    let hops = (hops > 0).then(|| hops.to_string());
    let pairs = [
        (PACKAGE_ID, Some(id)),
        (GLOBAL_TAGS, header),
        (STORAGE_INDEX, index),
        (HOPS, hops.as_deref()),
    ];
    let pairs = pairs.into_iter().filter_map(|(name, value)| Some((name, value?)));
    Attributes::new(pairs).map_err(|_| WriteError::Headers)
}

/// Makes the package id of records that are sent as one: for the same records the same, also in another process.
///
/// Were it that of the first, a receiver that knows this record would take the others for known.
fn id_of_all(records: &[Record]) -> String {
    let mut hash = FNV_OFFSET;
    for id in records.iter().filter_map(|record| record.attributes.get(PACKAGE_ID)) {
        // No id has a line end.
        for byte in id.bytes().chain([b'\n']) {
            hash = (hash ^ u64::from(byte)).wrapping_mul(FNV_PRIME);
        }
    }
    let first = records.first().map_or(0, |record| record.packed_at.0);
    PackageIds::new(hash).next(first.div_euclid(1_000_000_000))
}

/// Puts another package id in the place of the one that is there.
fn with_id(attributes: &Attributes, id: &str) -> Attributes {
    let pairs: Vec<(&str, &str)> = attributes
        .iter()
        .map(|(name, value)| (name, if name == PACKAGE_ID { id } else { value }))
        .collect();
    Attributes::new(pairs).unwrap_or_else(|_| attributes.clone())
}

/// Writes points that are good in another way.
fn convert(
    body: &Bytes,
    from: Encoding,
    to: Encoding,
    now: Timestamp,
) -> Result<Bytes, WriteError> {
    let mut out = Vec::with_capacity(body.len());
    let mut points: Vec<Point<'_>> = Vec::new();
    let text;
    match from {
        Encoding::Protobuf => {
            for point in protobuf::Reader::new(body, now) {
                write_as(point?, to, &mut out, &mut points);
            }
        }
        _ => {
            text = String::from_utf8_lossy(body);
            let mut scanner = Scanner::new(&text, NANOSECONDS)?;
            while let Some(Ok(line)) = scanner.next_line() {
                write_as(line.point(NANOSECONDS, now), to, &mut out, &mut points);
            }
        }
    }
    match to {
        Encoding::Json => json::write_simple(points.iter(), &mut out),
        Encoding::ProtobufJson => json::write_full(points.iter(), &mut out),
        _ => {}
    }
    Ok(out.into())
}

fn write_as<'p>(point: Point<'p>, to: Encoding, out: &mut Vec<u8>, points: &mut Vec<Point<'p>>) {
    match to {
        Encoding::LineProtocol | Encoding::Other => {
            // Points without a field were taken out before.
            let _has_line = write_point(&point, out);
        }
        Encoding::Protobuf => protobuf::write_point(&point, out),
        Encoding::Json | Encoding::ProtobufJson => points.push(point),
    }
}

/// Cuts a body behind so many points; gives both halves, and how many points the first one has.
fn halves(plain: &Bytes, encoding: Encoding, wanted: u32) -> Option<(Bytes, Bytes, u32)> {
    let end = match encoding {
        Encoding::Protobuf => protobuf::end_of(plain, wanted as usize)?,
        Encoding::LineProtocol => {
            let text = std::str::from_utf8(plain).ok()?;
            let mut scanner = Scanner::new(text, NANOSECONDS).ok()?;
            let mut end = 0;
            for _ in 0..wanted {
                end = scanner.next_line()?.ok()?.end() + 1;
            }
            (end < plain.len()).then_some(end)?
        }
        Encoding::Json | Encoding::ProtobufJson => {
            let comma = comma_behind(plain, wanted)?;
            let list = |part: &[u8]| -> Bytes {
                let part = part.trim_ascii();
                let part = part.strip_prefix(b"[").unwrap_or(part);
                let part = part.strip_suffix(b"]").unwrap_or(part);
                [b"[", part, b"]"].concat().into()
            };
            // Neither half has both brackets, and what stands in a point ends with `}`.
            return Some((list(&plain[..comma]), list(&plain[comma + 1..]), wanted));
        }
        Encoding::Other => return None,
    };
    Some((plain.slice(..end), plain.slice(end..), wanted))
}

/// Gives the comma that stands in a list behind so many values.
fn comma_behind(text: &[u8], wanted: u32) -> Option<usize> {
    let (mut depth, mut values, mut at) = (0_u32, 0, 0);
    while at < text.len() {
        match text[at] {
            b'[' | b'{' => depth += 1,
            b']' | b'}' => depth = depth.checked_sub(1)?,
            b'"' => {
                at += 1;
                while *text.get(at)? != b'"' {
                    at += if text[at] == b'\\' { 2 } else { 1 };
                }
            }
            b',' if depth == 1 => {
                values += 1;
                if values == wanted {
                    return Some(at);
                }
            }
            _ => {}
        }
        at += 1;
    }
    None
}

/// Puts the bodies of records one behind the other.
fn join_bytes(records: &[Record]) -> Vec<u8> {
    let mut body = Vec::with_capacity(records.iter().map(|one| one.body.len() + 1).sum());
    for record in records {
        body.extend_from_slice(&record.body);
        if record.encoding == Encoding::LineProtocol && body.last() != Some(&b'\n') {
            body.push(b'\n');
        }
    }
    body
}

/// Makes one list of the lists of records.
fn join_lists(records: &[Record]) -> Option<Vec<u8>> {
    let mut body = b"[".to_vec();
    for record in records {
        let part = record.body.trim_ascii().strip_prefix(b"[")?.strip_suffix(b"]")?;
        if body.len() > 1 {
            body.push(b',');
        }
        body.extend_from_slice(part);
    }
    body.push(b']');
    Some(body)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(body: &str, encoding: Encoding, points: u32) -> Record {
        Record {
            category: Category::Logging,
            points,
            raw_bytes: 0,
            packed_at: Timestamp(1),
            encoding,
            compression: Compression::None,
            attributes: Attributes::new([(PACKAGE_ID, "dk_1")]).unwrap(),
            body: body.to_owned().into(),
        }
    }

    #[test]
    fn lists_are_halved_between_values_and_joined_again() {
        let encoder = Encoder::new(Bounds::default(), 7);
        for (body, points, first, second) in [
            (r#"[{"a":1},{"b":2}]"#, 2, r#"[{"a":1}]"#, r#"[{"b":2}]"#),
            (
                r#" [ {"a":[1,2]} , {"b":"],\"{"}, {"c":3}] "#,
                3,
                r#"[ {"a":[1,2]}]"#,
                r#"[{"b":"],\"{"}, {"c":3}]"#,
            ),
            (
                r#"[{"a":"\\"},{"b":{"x":{"y":[]}}},{"c":3},{"d":4}]"#,
                4,
                r#"[{"a":"\\"},{"b":{"x":{"y":[]}}}]"#,
                r#"[{"c":3},{"d":4}]"#,
            ),
        ] {
            for encoding in [Encoding::Json, Encoding::ProtobufJson] {
                let whole = record(body, encoding, points);
                let Split::Halves(halves) = encoder.split(&whole, Timestamp(1)).unwrap() else {
                    panic!("{body}")
                };
                let (one, other) = *halves;
                assert_eq!((&one.body[..], one.points), (first.as_bytes(), points / 2));
                assert_eq!(
                    (&other.body[..], other.points),
                    (second.as_bytes(), points - points / 2)
                );
                assert_ne!(one.attributes.get(PACKAGE_ID), other.attributes.get(PACKAGE_ID));
                let joined = encoder.join(&[one, other]).unwrap();
                assert_eq!(joined.points, points);
                let value =
                    |text: &[u8]| serde_json::from_slice::<serde_json::Value>(text).unwrap();
                assert_eq!(value(&joined.body), value(body.as_bytes()));
            }
        }
        for broken in [r#"[{"a":1}"#, r#"[{"a":"#, r#"]]"#, "", r#"["a"#, "[\"\\"] {
            let split = encoder.split(&record(broken, Encoding::Json, 2), Timestamp(1)).unwrap();
            assert!(matches!(split, Split::Single), "{broken}");
        }
    }
}
