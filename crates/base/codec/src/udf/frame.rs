//! Messages in a stream of bytes, each behind its length.

use super::UdfError;
use crate::wire::varint_start;

/// Cuts a stream of bytes, which comes in pieces of any size, into messages.
///
/// - Holds what was given and not taken yet: at most a piece and a message that is not complete.
#[derive(Debug)]
pub struct Frames {
    buffer: Vec<u8>,
    /// What of the buffer was taken.
    taken: usize,
    limit: usize,
}

/// Of a buffer that has become empty so much is kept.
const KEPT: usize = 1 << 20;

// === impl Frames ===

impl Frames {
    /// Makes one for messages of at most `limit` bytes.
    pub fn new(limit: usize) -> Self {
        Frames { buffer: Vec::new(), taken: 0, limit }
    }

    /// Adds what has come.
    pub fn push(&mut self, bytes: &[u8]) {
        if self.taken == self.buffer.len() {
            self.buffer.clear();
            self.buffer.shrink_to(KEPT);
        } else {
            self.buffer.drain(..self.taken);
        }
        self.taken = 0;
        self.buffer.extend_from_slice(bytes);
    }

    /// Takes the next message; nothing when it has not come as a whole.
    ///
    /// - Errors: its length says more than the limit, or is no number. Nothing can be taken after that.
    pub fn next_frame(&mut self) -> Result<Option<&[u8]>, UdfError> {
        let rest = &self.buffer[self.taken..];
        let Some((length, head)) = varint_start(rest)? else { return Ok(None) };
        if length > self.limit as u64 {
            return Err(UdfError::TooLarge { bytes: length, limit: self.limit });
        }
        let length = length as usize;
        if rest.len() - head < length {
            return Ok(None);
        }
        let start = self.taken + head;
        self.taken = start + length;
        Ok(Some(&self.buffer[start..start + length]))
    }

    /// Says whether a message has begun and not ended.
    pub fn is_within(&self) -> bool {
        self.taken < self.buffer.len()
    }
}
