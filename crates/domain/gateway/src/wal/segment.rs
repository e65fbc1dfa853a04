//! Segments: files of records, named after the first of them.
//!
//! ```text
//!   0  magic `DWG1`                 24  points before the first record
//!   4  u16  version                 32  position of the first record
//!   6  u16  bytes of the name       40  name of the destination, cut at 255 bytes, then zeroes
//!   8  i64  made at, Unix ms       508  u32  CRC-32C of bytes 0–507
//!  16  u64  first sequence         512  records; the last one of a sealed segment says that it ends
//! ```
//! A record stands at `512 + its position − the position of the segment`: a place in the log is found without an index, and
//! bytes of a body that look like a record are not taken for one.

use std::io;

use bytes::{Bytes, BytesMut};

use super::files::Handle;
use super::record::{HEADER_BYTES, Header, MAGIC, Mark, Record, u32_at, u64_at};

pub(super) const SEGMENT_HEADER_BYTES: u64 = 512;
const CRC_AT: usize = 508;
const NAME_AT: usize = 40;
const NAME_BYTES_MAX: usize = 255;
const SEGMENT_MAGIC: [u8; 4] = *b"DWG1";
const VERSION: u16 = 1;
const SUFFIX: &str = ".seg";
const DIGITS: usize = 20;

/// Bytes read at once when looking for the next record.
const SEARCH_BYTES: usize = 64 << 10;

/// Attempts to read a place before it counts as damaged.
const READ_ATTEMPTS: u32 = 3;

/// What a segment says of itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct SegmentHeader {
    pub(super) first: Mark,
    pub(super) made_millis: i64,
    pub(super) destination: String,
}

/// Says why the first bytes are not those of a segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum SegmentHeaderError {
    /// Cut or changed.
    Damaged,
    /// Written by a newer program.
    Version(u16),
}

/// What stands at a place of a segment.
#[derive(Debug)]
pub(super) enum Found {
    /// A record.
    Record(Header, Record),
    /// A header whose payload is damaged, or that ends the segment, or whose payload was not asked for.
    Header(Header),
    /// No header.
    Nothing,
}

/// How much of a record is read.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Want {
    Header,
    Record,
}

/// Gives the name of the file.
pub(super) fn name_of(first: u64) -> String {
    format!("{first:0DIGITS$}{SUFFIX}")
}

/// Gives the first sequence of a file of this name.
pub(super) fn first_of(name: &str) -> Option<u64> {
    let digits = name.strip_suffix(SUFFIX)?;
    let is_number = digits.len() == DIGITS && digits.bytes().all(|byte| byte.is_ascii_digit());
    if is_number { digits.parse().ok() } else { None }
}

/// Gives the place of a record in its file.
pub(super) fn offset_of(mark: Mark, origin: u64) -> Option<u64> {
    mark.position.checked_sub(origin)?.checked_add(SEGMENT_HEADER_BYTES)
}

/// Reads what stands at `offset`; nothing at or behind `end` belongs to the segment. Never allocates more than the file has.
pub(super) fn read(file: &dyn Handle, offset: u64, end: u64, want: Want) -> io::Result<Found> {
    let mut bytes = [0; HEADER_BYTES];
    if offset.saturating_add(HEADER_BYTES as u64) > end
        || read_often(file, offset, &mut bytes)? < HEADER_BYTES
    {
        return Ok(Found::Nothing);
    }
    let Some(header) = Header::read(&bytes) else { return Ok(Found::Nothing) };
    let payload_at = offset + HEADER_BYTES as u64;
    let is_whole = payload_at + u64::from(header.payload_bytes) <= end;
    if want == Want::Header || header.is_end() || !is_whole {
        return Ok(Found::Header(header));
    }
    let mut payload = BytesMut::zeroed(header.payload_bytes as usize);
    if read_often(file, payload_at, &mut payload)? < payload.len() {
        return Ok(Found::Header(header));
    }
    match Record::from_payload(&header, &Bytes::from(payload)) {
        Some(record) => Ok(Found::Record(header, record)),
        None => Ok(Found::Header(header)),
    }
}

/// Looks for the next header at or behind `from` that `is_wanted`.
pub(super) fn search(
    file: &dyn Handle,
    from: u64,
    end: u64,
    is_wanted: impl Fn(u64, &Header) -> bool,
) -> io::Result<Option<(u64, Header)>> {
    let mut buffer = vec![0; SEARCH_BYTES];
    let mut at = from;
    while at.saturating_add(HEADER_BYTES as u64) <= end {
        let length = usize::try_from(end - at).map_or(SEARCH_BYTES, |left| left.min(SEARCH_BYTES));
        let read = match read_often(file, at, &mut buffer[..length]) {
            Ok(read) => read,
            // What cannot be read holds nothing; what is behind it may.
            Err(_) => {
                buffer[..length].fill(0);
                length
            }
        };
        if read < HEADER_BYTES {
            return Ok(None);
        }
        for found in memchr::memmem::find_iter(&buffer[..read - HEADER_BYTES + MAGIC.len()], &MAGIC)
        {
            let offset = at + found as u64;
            if let Some(header) = Header::read(&buffer[found..])
                && is_wanted(offset, &header)
            {
                return Ok(Some((offset, header)));
            }
        }
        at += (read - HEADER_BYTES + 1) as u64;
    }
    Ok(None)
}

fn read_often(file: &dyn Handle, offset: u64, buffer: &mut [u8]) -> io::Result<usize> {
    let mut attempts = 1;
    loop {
        match file.read_at(offset, buffer) {
            Err(_) if attempts < READ_ATTEMPTS => attempts += 1,
            result => return result,
        }
    }
}

// === impl SegmentHeader ===

impl SegmentHeader {
    /// Gives the name of a destination as it is kept: cut at a character.
    pub(super) fn kept_name(destination: &str) -> &str {
        &destination[..destination.floor_char_boundary(NAME_BYTES_MAX)]
    }

    pub(super) fn to_bytes(&self) -> Vec<u8> {
        let name = Self::kept_name(&self.destination);
        let mut bytes = Vec::with_capacity(SEGMENT_HEADER_BYTES as usize);
        bytes.extend_from_slice(&SEGMENT_MAGIC);
        bytes.extend_from_slice(&VERSION.to_le_bytes());
        bytes.extend_from_slice(&u16::try_from(name.len()).unwrap_or(0).to_le_bytes());
        bytes.extend_from_slice(&self.made_millis.to_le_bytes());
        bytes.extend_from_slice(&self.first.sequence.to_le_bytes());
        bytes.extend_from_slice(&self.first.points.to_le_bytes());
        bytes.extend_from_slice(&self.first.position.to_le_bytes());
        bytes.extend_from_slice(name.as_bytes());
        bytes.resize(CRC_AT, 0);
        let crc = crc32c::crc32c(&bytes);
        bytes.extend_from_slice(&crc.to_le_bytes());
        bytes
    }

    /// Reads the header of a segment.
    pub(super) fn read(file: &dyn Handle) -> io::Result<Result<Self, SegmentHeaderError>> {
        let mut bytes = [0; SEGMENT_HEADER_BYTES as usize];
        let read = read_often(file, 0, &mut bytes)?;
        if read < bytes.len() {
            return Ok(Err(SegmentHeaderError::Damaged));
        }
        Ok(Self::from_bytes(&bytes))
    }

    fn from_bytes(bytes: &[u8; SEGMENT_HEADER_BYTES as usize]) -> Result<Self, SegmentHeaderError> {
        if bytes[..4] != SEGMENT_MAGIC || crc32c::crc32c(&bytes[..CRC_AT]) != u32_at(bytes, CRC_AT)
        {
            return Err(SegmentHeaderError::Damaged);
        }
        let version = u16::from_le_bytes([bytes[4], bytes[5]]);
        if version != VERSION {
            return Err(SegmentHeaderError::Version(version));
        }
        let name_bytes = usize::from(u16::from_le_bytes([bytes[6], bytes[7]]));
        let name = bytes[NAME_AT..].get(..name_bytes.min(NAME_BYTES_MAX)).unwrap_or_default();
        Ok(SegmentHeader {
            first: Mark {
                sequence: u64_at(bytes, 16),
                points: u64_at(bytes, 24),
                position: u64_at(bytes, 32),
            },
            made_millis: u64_at(bytes, 8).cast_signed(),
            destination: String::from_utf8_lossy(name).into_owned(),
        })
    }
}
