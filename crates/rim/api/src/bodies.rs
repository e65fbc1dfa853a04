//! Bodies of points, in buffers that are used again: each has some hundred kilobytes, which are dear to get from the system.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use bytes::Bytes;

/// Buffers that are kept.
const BUFFERS_MAX: usize = 8;
/// A larger buffer is given back to the system, and no more is reserved for a body before it is there.
const BYTES_MAX: usize = 1 << 20;

/// Empty buffers.
#[derive(Debug, Default)]
pub(crate) struct Bodies {
    free: Mutex<Vec<Vec<u8>>>,
}

/// A buffer; it goes back to where it came from.
#[derive(Debug)]
pub(crate) struct Buffer {
    bytes: Vec<u8>,
    home: Weak<Bodies>,
}

// === impl Bodies ===

impl Bodies {
    /// Gives an empty buffer for a body that may have so many bytes.
    pub(crate) fn take(self: &Arc<Self>, expected: u64) -> Buffer {
        let mut bytes = self.free().pop().unwrap_or_default();
        let expected = usize::try_from(expected).unwrap_or(BYTES_MAX);
        bytes.reserve(expected.min(BYTES_MAX));
        Buffer { bytes, home: Arc::downgrade(self) }
    }

    fn free(&self) -> MutexGuard<'_, Vec<Vec<u8>>> {
        self.free.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

// === impl Buffer ===

impl Buffer {
    /// Makes a buffer that is not used again.
    pub(crate) fn new() -> Self {
        Buffer { bytes: Vec::new(), home: Weak::new() }
    }

    pub(crate) fn extend(&mut self, bytes: &[u8]) {
        self.bytes.extend_from_slice(bytes);
    }

    /// Gives the bytes; the buffer goes back when nobody reads them any more.
    pub(crate) fn freeze(self) -> Bytes {
        Bytes::from_owner(self)
    }
}

impl AsRef<[u8]> for Buffer {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

impl Drop for Buffer {
    fn drop(&mut self) {
        let Some(home) = self.home.upgrade() else { return };
        let mut bytes = std::mem::take(&mut self.bytes);
        if bytes.capacity() > BYTES_MAX {
            return;
        }
        bytes.clear();
        let mut free = home.free();
        if free.len() < BUFFERS_MAX {
            free.push(bytes);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buffers_come_back_within_bounds() {
        let bodies = Arc::new(Bodies::default());
        let mut buffer = bodies.take(10);
        buffer.extend(b"abc");
        let body = buffer.freeze();
        let other = body.clone();
        drop(body);
        assert_eq!(bodies.free().len(), 0, "somebody still reads it");
        assert_eq!(&other[..], b"abc");
        drop(other);
        assert_eq!(bodies.free().len(), 1);
        assert!(bodies.take(0).as_ref().is_empty());
        // What a client says of its body is not believed beyond a bound.
        assert!(bodies.take(u64::MAX).bytes.capacity() <= BYTES_MAX);
        let mut large = bodies.take(0);
        large.extend(&vec![0; BYTES_MAX + 1]);
        drop((large, Buffer::new()));
        let taken: Vec<Buffer> = (0..BUFFERS_MAX + 2).map(|_| bodies.take(1)).collect();
        drop(taken);
        assert_eq!(bodies.free().len(), BUFFERS_MAX);
    }
}
