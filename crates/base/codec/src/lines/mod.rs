//! Framing of newline-delimited data at memory speed.
//!
//! [`LineSplitter`] looks for `\n` in a buffer that the caller fills, and appends the positions of
//! complete lines to a list that the caller reuses. No byte of a line is copied. What follows the
//! last `\n` stays in the caller's buffer and must be the beginning of the next one.
//!
//! Invariants:
//! - the way the input is cut into buffers never changes lines, events or offsets;
//! - no tail asks the caller to keep more than `max_record_bytes + 1` bytes: a longer line is
//!   dropped piece by piece, keeps [`PREFIX_BYTES`] for the report, and becomes one [`TooLong`];
//! - empty lines are lines; the caller decides what they mean.

use memchr::{memchr, memchr_iter};

#[cfg(test)]
mod tests;

/// Longest line that is accepted unless told otherwise: 16 MiB, a large document with room to spare.
pub const DEFAULT_MAX_RECORD_BYTES: usize = 16 << 20;

/// Bytes of a line that was too long which are kept for its report.
pub const PREFIX_BYTES: usize = 1024;

/// Upper bound of `max_record_bytes`: 1 GiB, so that a span always fits its 32-bit positions.
pub const MAX_RECORD_BYTES_CEILING: usize = 1 << 30;

/// Bytes of one buffer that are looked at in one call: what a 32-bit position can address.
const WINDOW_BYTES: usize = u32::MAX as usize;

/// Position of one line in the buffer it was found in, without its line end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LineSpan {
    /// First byte of the line.
    pub start: u32,
    /// One past the last byte of the line.
    pub end: u32,
}

/// A line that was longer than allowed and was dropped.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TooLong {
    /// Offset of its first byte, counted from the start of the input.
    pub start_offset: u64,
    /// Offset one past its line end, where the next line begins.
    pub end_offset: u64,
    /// Its length without the line end.
    pub bytes: u64,
    /// Its first bytes, at most [`PREFIX_BYTES`].
    pub prefix: Vec<u8>,
}

/// Finds the lines in a stream of buffers.
#[derive(Clone, Debug)]
pub struct LineSplitter {
    max_record_bytes: usize,
    /// Offset in the input of the first byte of the next buffer.
    offset: u64,
    /// Bytes at the start of the next buffer that are known to hold no `\n`.
    scanned: usize,
    skip: Option<Skip>,
}

/// The line being dropped.
#[derive(Clone, Debug)]
struct Skip {
    start_offset: u64,
    bytes: u64,
    prefix: Vec<u8>,
    ends_with_cr: bool,
}

// === impl LineSpan ===

impl LineSpan {
    /// The bytes of the line in the buffer it was found in.
    ///
    /// - Panics: when `buffer` is shorter than the one it was found in.
    #[inline]
    #[must_use]
    pub fn of<'a>(&self, buffer: &'a [u8]) -> &'a [u8] {
        &buffer[self.start as usize..self.end as usize]
    }

    /// Position one past the line end (`\n`, `\r\n`, or nothing at the end of input).
    ///
    /// Together with the offset of the buffer this is the place to continue after this line.
    #[must_use]
    pub fn next_start(&self, buffer: &[u8]) -> usize {
        let mut next = self.end as usize;
        if buffer.get(next) == Some(&b'\r') {
            next += 1;
        }
        if buffer.get(next) == Some(&b'\n') {
            next += 1;
        }
        next
    }

    /// Length of the line in bytes, without the line end.
    #[must_use]
    pub fn len(&self) -> usize {
        (self.end - self.start) as usize
    }

    /// Whether the line has no bytes.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.start == self.end
    }
}

// === impl LineSplitter ===

impl Default for LineSplitter {
    fn default() -> Self {
        LineSplitter::new(DEFAULT_MAX_RECORD_BYTES)
    }
}

impl LineSplitter {
    /// A splitter at the start of its input.
    ///
    /// - Units: bytes of a line without its line end; brought into `1..=`[`MAX_RECORD_BYTES_CEILING`].
    #[must_use]
    pub fn new(max_record_bytes: usize) -> Self {
        LineSplitter::at_offset(max_record_bytes, 0)
    }

    /// A splitter whose first buffer begins at `offset` of the input, which must be a line start.
    #[must_use]
    pub fn at_offset(max_record_bytes: usize, offset: u64) -> Self {
        LineSplitter {
            max_record_bytes: max_record_bytes.clamp(1, MAX_RECORD_BYTES_CEILING),
            offset,
            scanned: 0,
            skip: None,
        }
    }

    /// Offset in the input of the first byte that was not consumed yet.
    ///
    /// Read before [`split`](Self::split) it is the offset of the buffer; after it, of the tail.
    #[must_use]
    pub fn offset(&self) -> u64 {
        self.offset
    }

    /// Whether a line that is too long is being dropped, so that a position now is not a line start.
    #[must_use]
    pub fn is_skipping(&self) -> bool {
        self.skip.is_some()
    }

    /// Bytes that must fit into the caller's buffer for the splitter to make progress.
    #[must_use]
    pub fn buffer_bytes_min(&self) -> usize {
        self.max_record_bytes + 2
    }

    /// Appends the complete lines of `buffer` and returns how many bytes were consumed.
    ///
    /// The bytes after the consumed ones must be the beginning of the next buffer, followed by at
    /// least one new byte. Of a buffer above 4 GiB only the first 4 GiB are looked at.
    ///
    /// - Order: spans and events are each in order of the input; their offsets merge them.
    pub fn split(
        &mut self,
        buffer: &[u8],
        spans: &mut Vec<LineSpan>,
        too_long: &mut Vec<TooLong>,
    ) -> usize {
        self.split_some(usize::MAX, buffer, spans, too_long)
    }

    /// Appends at most `lines_max` complete lines of `buffer`, those that are too long included, and returns how many
    /// bytes were consumed.
    ///
    /// As [`split`](Self::split), but when that many lines were found the next buffer needs no new byte.
    pub fn split_some(
        &mut self,
        lines_max: usize,
        buffer: &[u8],
        spans: &mut Vec<LineSpan>,
        too_long: &mut Vec<TooLong>,
    ) -> usize {
        let mut lines_left = lines_max;
        let buffer = &buffer[..buffer.len().min(WINDOW_BYTES)];
        let mut start = 0;
        if self.skip.is_some() {
            match self.skip_until_newline(buffer, too_long) {
                Some(next) => {
                    start = next;
                    lines_left = lines_left.saturating_sub(1);
                }
                None => {
                    self.offset += buffer.len() as u64;
                    return buffer.len();
                }
            }
        }
        let from = self.scanned.min(buffer.len()).max(start);
        for found in memchr_iter(b'\n', &buffer[from..]).take(lines_left) {
            lines_left -= 1;
            let newline = from + found;
            let end = content_end(buffer, start, newline);
            if end - start > self.max_record_bytes {
                too_long.push(TooLong {
                    start_offset: self.offset + start as u64,
                    end_offset: self.offset + newline as u64 + 1,
                    bytes: (end - start) as u64,
                    prefix: prefix_of(&buffer[start..end]),
                });
            } else {
                spans.push(LineSpan { start: start as u32, end: end as u32 });
            }
            start = newline + 1;
        }
        let consumed = if lines_left == 0 {
            self.scanned = 0;
            start
        } else {
            self.keep_or_skip_tail(buffer, start)
        };
        self.offset += consumed as u64;
        consumed
    }

    /// Appends the remaining lines, the last of which may lack its line end, and consumes `buffer`.
    ///
    /// `buffer` is the tail left by [`split`](Self::split), with or without further bytes, and is
    /// below 4 GiB. A single `\r` at the very end of the input counts as half a line end and is
    /// stripped. The splitter is then at the start of a line again.
    pub fn finish(
        &mut self,
        buffer: &[u8],
        spans: &mut Vec<LineSpan>,
        too_long: &mut Vec<TooLong>,
    ) {
        let start = self.split(buffer, spans, too_long);
        self.scanned = 0;
        if let Some(skip) = self.skip.take() {
            too_long.push(skip.finish(self.offset, 0));
            return;
        }
        if start == buffer.len() {
            return;
        }
        let start_offset = self.offset;
        self.offset += (buffer.len() - start) as u64;
        let end = content_end(buffer, start, buffer.len());
        if end - start > self.max_record_bytes {
            too_long.push(TooLong {
                start_offset,
                end_offset: self.offset,
                bytes: (end - start) as u64,
                prefix: prefix_of(&buffer[start..end]),
            });
        } else {
            spans.push(LineSpan { start: start as u32, end: end as u32 });
        }
    }

    /// Leaves a tail that can still become a line to the caller; starts dropping a longer one.
    fn keep_or_skip_tail(&mut self, buffer: &[u8], start: usize) -> usize {
        let tail = &buffer[start..];
        // One byte more than the limit may be the `\r` of the line end.
        if tail.len() <= self.max_record_bytes + 1 {
            self.scanned = tail.len();
            return start;
        }
        self.scanned = 0;
        self.skip = Some(Skip {
            start_offset: self.offset + start as u64,
            bytes: tail.len() as u64,
            prefix: prefix_of(tail),
            ends_with_cr: tail.last() == Some(&b'\r'),
        });
        buffer.len()
    }

    /// Drops bytes up to the end of the line; `None` when its end is not in this buffer.
    fn skip_until_newline(&mut self, buffer: &[u8], too_long: &mut Vec<TooLong>) -> Option<usize> {
        let skip = self.skip.as_mut()?;
        let newline = memchr(b'\n', buffer);
        skip.add(&buffer[..newline.unwrap_or(buffer.len())]);
        let newline = newline?;
        let skip = self.skip.take()?;
        too_long.push(skip.finish(self.offset + newline as u64, 1));
        Some(newline + 1)
    }
}

// === impl Skip ===

impl Skip {
    fn add(&mut self, bytes: &[u8]) {
        self.bytes += bytes.len() as u64;
        let room = PREFIX_BYTES.saturating_sub(self.prefix.len());
        self.prefix.extend_from_slice(&bytes[..room.min(bytes.len())]);
        if let Some(&last) = bytes.last() {
            self.ends_with_cr = last == b'\r';
        }
    }

    fn finish(mut self, content_offset: u64, newline_bytes: u64) -> TooLong {
        let bytes = self.bytes - u64::from(self.ends_with_cr);
        if bytes < self.prefix.len() as u64 {
            self.prefix.truncate(bytes as usize);
        }
        TooLong {
            start_offset: self.start_offset,
            end_offset: content_offset + newline_bytes,
            bytes,
            prefix: self.prefix,
        }
    }
}

/// End of the line that begins at `start`, one trailing `\r` left out.
#[inline]
fn content_end(buffer: &[u8], start: usize, newline: usize) -> usize {
    if newline > start && buffer[newline - 1] == b'\r' { newline - 1 } else { newline }
}

fn prefix_of(line: &[u8]) -> Vec<u8> {
    line[..line.len().min(PREFIX_BYTES)].to_vec()
}
