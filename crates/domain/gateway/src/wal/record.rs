//! Records: what is written to a segment for one body.
//!
//! ```text
//!  0  u32  magic `DWR1`            36  u32  points
//!  4  u32  bytes of the payload    40  u32  bytes of the body before compression
//!  8  u32  CRC-32C of the payload  44  i64  time of the package, Unix milliseconds
//! 12  u64  sequence                52  u8   kind: 1 body, 2 end of the segment
//! 20  u64  points before it        53  u8   form of the body: encoding, compression
//! 28  u64  position                54  u16  attempts
//!                                  56  u8   bytes of the name of the category
//!                                  57  3 ×  zero
//!                                  60  u32  bytes of the attributes
//!                                  64  u32  CRC-32C of bytes 0–63
//! 68  payload: name of the category, attributes, body
//! ```
//! All numbers are little-endian. The two checksums together cover every byte, and because the header has its own, a
//! damaged payload does not hide how long it is and how many points it had. *Points before* and *position* count from the
//! first record the queue ever took: two records tell what is between them, even when that cannot be read any more.

use bytes::Bytes;
use levada_codec::compression::Compression;
use levada_model::{Category, Timestamp};

use super::attributes::Attributes;

/// Begins every record.
pub(super) const MAGIC: [u8; 4] = *b"DWR1";

/// Bytes before the payload.
pub(super) const HEADER_BYTES: usize = 68;

/// Largest payload that is written or believed when it is read, bytes.
pub(super) const PAYLOAD_BYTES_MAX: usize = 256 << 20;

/// More records, points and bytes than a queue sees in its life.
const NUMBER_MAX: u64 = 1 << 60;

const KIND_BODY: u8 = 1;
const KIND_END: u8 = 2;
const NANOS_PER_MILLI: i64 = 1_000_000;

/// How points are written in a body.
///
/// Source: the payload types of Dataway's disk cache, dataway reference §6.2.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Encoding {
    /// Line protocol.
    #[default]
    LineProtocol,
    /// Protobuf, version 2 of the body.
    Protobuf,
    /// JSON.
    Json,
    /// JSON of the protobuf messages.
    ProtobufJson,
    /// Whatever the sender of the destination understands.
    Other,
}

/// One encoded body with what is known about it; a clone is cheap and copies no body.
#[derive(Clone, Debug, PartialEq)]
pub struct Record {
    /// The category of all its points.
    pub category: Category,
    /// How many points there are.
    pub points: u32,
    /// How many bytes the body had before it was compressed.
    pub raw_bytes: u32,
    /// When the package was made; age counts from here.
    pub packed_at: Timestamp,
    /// How points are written.
    pub encoding: Encoding,
    /// How the body is compressed.
    pub compression: Compression,
    /// Headers, the package id and the like.
    pub attributes: Attributes,
    /// The body.
    pub body: Bytes,
}

/// A place between two records.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub(super) struct Mark {
    /// The number of the record behind it.
    pub(super) sequence: u64,
    /// Points of all records before it.
    pub(super) points: u64,
    /// Bytes of all records before it, headers included.
    pub(super) position: u64,
}

/// The part of a record that says what the rest is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Header {
    pub(super) mark: Mark,
    pub(super) points: u32,
    pub(super) raw_bytes: u32,
    pub(super) packed_millis: i64,
    pub(super) attempts: u16,
    pub(super) payload_bytes: u32,
    pub(super) payload_crc: u32,
    kind: u8,
    form: u8,
    category_bytes: u8,
    attributes_bytes: u32,
}

// === impl Record ===

impl Record {
    /// Gives the bytes that the record takes in a segment.
    pub fn stored_bytes(&self) -> u64 {
        (HEADER_BYTES + self.payload_bytes()) as u64
    }

    pub(super) fn payload_bytes(&self) -> usize {
        self.category.name().len() + self.attributes.as_bytes().len() + self.body.len()
    }

    /// Gives the checksum of the payload.
    pub(super) fn payload_crc(&self) -> u32 {
        let crc = crc32c::crc32c(self.category.name().as_bytes());
        let crc = crc32c::crc32c_append(crc, self.attributes.as_bytes());
        crc32c::crc32c_append(crc, &self.body)
    }

    /// Gives the header of the record at `mark`. The payload must not be longer than [`PAYLOAD_BYTES_MAX`].
    pub(super) fn header(&self, mark: Mark, attempts: u16, payload_crc: u32) -> Header {
        Header {
            mark,
            points: self.points,
            raw_bytes: self.raw_bytes,
            packed_millis: self.packed_at.0.div_euclid(NANOS_PER_MILLI),
            attempts,
            payload_bytes: u32::try_from(self.payload_bytes()).expect("payloads are bounded"),
            payload_crc,
            kind: KIND_BODY,
            form: form_of(self.encoding, self.compression),
            category_bytes: u8::try_from(self.category.name().len()).expect("names are short"),
            attributes_bytes: u32::try_from(self.attributes.as_bytes().len())
                .expect("attributes are bounded"),
        }
    }

    /// Reads a record from the payload behind a header; `None` when the two do not fit.
    pub(super) fn from_payload(header: &Header, payload: &Bytes) -> Option<Record> {
        let category_end = usize::from(header.category_bytes);
        let attributes_end = category_end.checked_add(header.attributes_bytes as usize)?;
        if header.kind != KIND_BODY
            || payload.len() != header.payload_bytes as usize
            || attributes_end > payload.len()
            || crc32c::crc32c(payload) != header.payload_crc
        {
            return None;
        }
        let category = std::str::from_utf8(&payload[..category_end]).ok()?;
        let (encoding, compression) = form_from(header.form)?;
        Some(Record {
            // A newer program may know more categories; the points are kept all the same.
            category: Category::of_name(category).unwrap_or(Category::Unknown),
            points: header.points,
            raw_bytes: header.raw_bytes,
            packed_at: header.packed_at(),
            encoding,
            compression,
            attributes: Attributes::from_bytes(payload.slice(category_end..attributes_end))?,
            body: payload.slice(attributes_end..),
        })
    }
}

// === impl Mark ===

impl Mark {
    /// Tells whether a log can have come so far; numbers that somebody made up must leave room for those that follow.
    pub(super) fn is_believable(self) -> bool {
        self.sequence < NUMBER_MAX && self.points < NUMBER_MAX && self.position < NUMBER_MAX
    }

    /// Gives the place behind a record that begins here.
    pub(super) fn after(self, points: u32, stored_bytes: u64) -> Mark {
        Mark {
            sequence: self.sequence + 1,
            points: self.points + u64::from(points),
            position: self.position + stored_bytes,
        }
    }
}

// === impl Header ===

impl Header {
    /// Gives the header of the record that ends a segment.
    pub(super) fn end_of_segment(mark: Mark, millis: i64) -> Header {
        Header {
            mark,
            points: 0,
            raw_bytes: 0,
            packed_millis: millis,
            attempts: 0,
            payload_bytes: 0,
            payload_crc: 0,
            kind: KIND_END,
            form: 0,
            category_bytes: 0,
            attributes_bytes: 0,
        }
    }

    /// Tells whether this is the end of its segment.
    pub(super) fn is_end(&self) -> bool {
        self.kind == KIND_END
    }

    /// Gives the bytes that the whole record takes.
    pub(super) fn stored_bytes(&self) -> u64 {
        HEADER_BYTES as u64 + u64::from(self.payload_bytes)
    }

    /// Gives the place behind the record.
    pub(super) fn after(&self) -> Mark {
        self.mark.after(self.points, self.stored_bytes())
    }

    /// Gives the bytes of the name of the category, with which the payload begins.
    pub(super) fn category_bytes(&self) -> usize {
        self.category_bytes.into()
    }

    pub(super) fn packed_at(&self) -> Timestamp {
        Timestamp(self.packed_millis.saturating_mul(NANOS_PER_MILLI))
    }

    /// Appends the text of the header.
    pub(super) fn write(&self, out: &mut Vec<u8>) {
        let start = out.len();
        out.extend_from_slice(&MAGIC);
        out.extend_from_slice(&self.payload_bytes.to_le_bytes());
        out.extend_from_slice(&self.payload_crc.to_le_bytes());
        out.extend_from_slice(&self.mark.sequence.to_le_bytes());
        out.extend_from_slice(&self.mark.points.to_le_bytes());
        out.extend_from_slice(&self.mark.position.to_le_bytes());
        out.extend_from_slice(&self.points.to_le_bytes());
        out.extend_from_slice(&self.raw_bytes.to_le_bytes());
        out.extend_from_slice(&self.packed_millis.to_le_bytes());
        out.extend_from_slice(&[self.kind, self.form]);
        out.extend_from_slice(&self.attempts.to_le_bytes());
        out.extend_from_slice(&[self.category_bytes, 0, 0, 0]);
        out.extend_from_slice(&self.attributes_bytes.to_le_bytes());
        let crc = crc32c::crc32c(&out[start..]);
        out.extend_from_slice(&crc.to_le_bytes());
        debug_assert_eq!(out.len() - start, HEADER_BYTES);
    }

    /// Reads a header; `None` when these bytes are none.
    pub(super) fn read(bytes: &[u8]) -> Option<Header> {
        let bytes: &[u8; HEADER_BYTES] = bytes.get(..HEADER_BYTES)?.try_into().ok()?;
        if bytes[..4] != MAGIC || crc32c::crc32c(&bytes[..64]) != u32_at(bytes, 64) {
            return None;
        }
        let header = Header {
            mark: Mark {
                sequence: u64_at(bytes, 12),
                points: u64_at(bytes, 20),
                position: u64_at(bytes, 28),
            },
            points: u32_at(bytes, 36),
            raw_bytes: u32_at(bytes, 40),
            packed_millis: u64_at(bytes, 44).cast_signed(),
            attempts: u16::from_le_bytes([bytes[54], bytes[55]]),
            payload_bytes: u32_at(bytes, 4),
            payload_crc: u32_at(bytes, 8),
            kind: bytes[52],
            form: bytes[53],
            category_bytes: bytes[56],
            attributes_bytes: u32_at(bytes, 60),
        };
        // Bytes that somebody made up must not overflow what counts behind them.
        let is_possible = (header.kind == KIND_BODY || header.kind == KIND_END)
            && header.payload_bytes as usize <= PAYLOAD_BYTES_MAX
            && header.mark.sequence < NUMBER_MAX * 2
            && header.mark.points < NUMBER_MAX * 2
            && header.mark.position < NUMBER_MAX * 2;
        is_possible.then_some(header)
    }
}

fn form_of(encoding: Encoding, compression: Compression) -> u8 {
    let encoding = match encoding {
        Encoding::LineProtocol => 0,
        Encoding::Protobuf => 1,
        Encoding::Json => 2,
        Encoding::ProtobufJson => 3,
        Encoding::Other => 15,
    };
    let compression = match compression {
        Compression::None => 0,
        Compression::Gzip => 1,
        Compression::Zstd => 2,
    };
    encoding | compression << 4
}

fn form_from(form: u8) -> Option<(Encoding, Compression)> {
    let encoding = match form & 15 {
        0 => Encoding::LineProtocol,
        1 => Encoding::Protobuf,
        2 => Encoding::Json,
        3 => Encoding::ProtobufJson,
        15 => Encoding::Other,
        _ => return None,
    };
    let compression = match form >> 4 {
        0 => Compression::None,
        1 => Compression::Gzip,
        2 => Compression::Zstd,
        _ => return None,
    };
    Some((encoding, compression))
}

pub(super) fn u32_at(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes(bytes[at..at + 4].try_into().expect("four bytes"))
}

pub(super) fn u64_at(bytes: &[u8], at: usize) -> u64 {
    u64::from_le_bytes(bytes[at..at + 8].try_into().expect("eight bytes"))
}
