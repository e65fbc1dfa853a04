//! The cursor: which records are finished, and what became of their points.
//!
//! ```text
//!  0  magic `DWC1`, u16 version, u16 number of reasons
//!  8  end of the log, then the prefix (3 × u64 each: sequence, points, position)
//! 56  u64 each: delivered, dead-lettered, replayed, refused, dropped by reason
//!     u32 number of ranges, then begin and end of each (6 × u64)
//!     u32 CRC-32C of everything before
//! ```
//! Written to another file, flushed, renamed, and the folder flushed: a crash leaves the old one or the new one. Where the
//! system can, the two files change names, and the old one is written next time.

use super::ledger::{DropReason, Ledger};
use super::ranges::Ranges;
use super::record::{Mark, u32_at, u64_at};

pub(super) const CURSOR_FILE: &str = "cursor";
pub(super) const CURSOR_NEW_FILE: &str = "cursor.new";
pub(super) const CURSOR_DAMAGED_FILE: &str = "cursor.damaged";

/// Largest cursor that is read, bytes.
pub(super) const CURSOR_BYTES_MAX: u64 = 4 << 20;

const MAGIC: [u8; 4] = *b"DWC1";
const VERSION: u16 = 1;

/// Most reasons that a newer program may have written.
const REASONS_MAX: usize = 256;

/// Largest number that is believed, so that no sum of them overflows.
const NUMBER_MAX: u64 = 1 << 60;

/// What is kept of the progress of a queue.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Cursor {
    /// Where the log ended.
    pub(super) tail: Mark,
    pub(super) finished: Ranges,
    pub(super) ledger: Ledger,
}

/// Says why bytes are no cursor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum CursorError {
    /// Cut or changed.
    Damaged,
    /// Written by a newer program.
    Version(u16),
}

/// Writes the text of a cursor; `out` is emptied first.
pub(super) fn write(tail: Mark, finished: &Ranges, ledger: &Ledger, out: &mut Vec<u8>) {
    out.clear();
    out.extend_from_slice(&MAGIC);
    out.extend_from_slice(&VERSION.to_le_bytes());
    out.extend_from_slice(&u16::try_from(ledger.dropped.len()).unwrap_or(0).to_le_bytes());
    write_mark(tail, out);
    write_mark(finished.prefix(), out);
    for number in [ledger.delivered, ledger.dead_lettered, ledger.replayed, ledger.refused] {
        out.extend_from_slice(&number.to_le_bytes());
    }
    for number in ledger.dropped {
        out.extend_from_slice(&number.to_le_bytes());
    }
    let ranges = finished.behind();
    out.extend_from_slice(&u32::try_from(ranges.len()).unwrap_or(u32::MAX).to_le_bytes());
    for (start, end) in ranges {
        write_mark(start, out);
        write_mark(end, out);
    }
    let crc = crc32c::crc32c(out);
    out.extend_from_slice(&crc.to_le_bytes());
}

/// Reads a cursor.
pub(super) fn read(bytes: &[u8]) -> Result<Cursor, CursorError> {
    let (body, crc) = bytes.split_last_chunk::<4>().ok_or(CursorError::Damaged)?;
    if body.len() < 8 || body[..4] != MAGIC || crc32c::crc32c(body) != u32::from_le_bytes(*crc) {
        return Err(CursorError::Damaged);
    }
    let version = u16::from_le_bytes([body[4], body[5]]);
    if version != VERSION {
        return Err(CursorError::Version(version));
    }
    let reasons = usize::from(u16::from_le_bytes([body[6], body[7]]));
    parse(&body[8..], reasons).ok_or(CursorError::Damaged)
}

fn parse(body: &[u8], reasons: usize) -> Option<Cursor> {
    let fixed = 10 * 8 + reasons * 8 + 4;
    if reasons > REASONS_MAX || body.len() < fixed {
        return None;
    }
    let (tail, prefix) = (mark_at(body, 0), mark_at(body, 24));
    let numbers = body[..fixed - 4].chunks_exact(8).chain(body[fixed..].chunks_exact(8));
    if numbers.map(|number| u64_at(number, 0)).any(|number| number > NUMBER_MAX) {
        return None;
    }
    let mut ledger = Ledger {
        delivered: u64_at(body, 48),
        dead_lettered: u64_at(body, 56),
        replayed: u64_at(body, 64),
        refused: u64_at(body, 72),
        ..Ledger::default()
    };
    for index in 0..reasons {
        // What a newer program has more of is counted, under the last reason known.
        let known = index.min(DropReason::ALL.len() - 1);
        ledger.dropped[known] += u64_at(body, 80 + index * 8);
    }
    let ranges = &body[fixed..];
    if ranges.len() != u32_at(body, fixed - 4) as usize * 48 {
        return None;
    }
    let mut finished = Ranges::before(prefix);
    let mut last = prefix;
    for range in ranges.chunks_exact(48) {
        let (start, end) = (mark_at(range, 0), mark_at(range, 24));
        if !is_before(last, start) || !is_before(start, end) {
            return None;
        }
        finished.insert(start, end);
        last = end;
    }
    (tail == last || is_before(last, tail)).then_some(Cursor { tail, finished, ledger })
}

/// Every record has bytes; not every one has points.
fn is_before(one: Mark, other: Mark) -> bool {
    one.sequence < other.sequence && one.points <= other.points && one.position < other.position
}

fn write_mark(mark: Mark, out: &mut Vec<u8>) {
    out.extend_from_slice(&mark.sequence.to_le_bytes());
    out.extend_from_slice(&mark.points.to_le_bytes());
    out.extend_from_slice(&mark.position.to_le_bytes());
}

fn mark_at(bytes: &[u8], at: usize) -> Mark {
    Mark {
        sequence: u64_at(bytes, at),
        points: u64_at(bytes, at + 8),
        position: u64_at(bytes, at + 16),
    }
}
