//! Compressed input as a plain reader.

use std::io::{self, BufRead, Read};

use super::{Compression, CompressionError, Decompressor, Limits};

/// Gives the plain bytes of a compressed reader, in constant memory.
///
/// - Errors: damage, an early end and caps are [`io::ErrorKind::InvalidData`], with the [`CompressionError`] inside.
#[derive(Debug)]
pub struct PlainReader<R> {
    input: R,
    decompressor: Decompressor,
}

// === impl PlainReader ===

impl<R: BufRead> PlainReader<R> {
    /// Reads `input`, which is in this format.
    ///
    /// - Errors: as [`Decompressor::new`].
    pub fn new(input: R, format: Compression, limits: Limits) -> Result<Self, CompressionError> {
        Ok(PlainReader { input, decompressor: Decompressor::new(format, limits)? })
    }
}

impl<R: BufRead> Read for PlainReader<R> {
    fn read(&mut self, output: &mut [u8]) -> io::Result<usize> {
        let invalid = |error| io::Error::new(io::ErrorKind::InvalidData, error);
        loop {
            let input = self.input.fill_buf()?;
            let is_end = input.is_empty();
            if (is_end && !self.decompressor.has_more()) || output.is_empty() {
                if is_end {
                    self.decompressor.finish().map_err(invalid)?;
                }
                return Ok(0);
            }
            let step = self.decompressor.step(input, output).map_err(invalid)?;
            self.input.consume(step.consumed);
            if step.produced > 0 {
                return Ok(step.produced);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use super::super::compress_all;
    use super::*;

    fn read(bytes: &[u8], limits: Limits) -> io::Result<Vec<u8>> {
        // A tiny buffer: members and headers are cut everywhere.
        let input = io::BufReader::with_capacity(3, bytes);
        let mut plain = Vec::new();
        let mut reader = PlainReader::new(input, Compression::Gzip, limits).unwrap();
        reader.read_to_end(&mut plain).map(|_| plain)
    }

    #[test]
    fn members_are_read_one_after_the_other() {
        let mut bytes = compress_all(Compression::Gzip, b"one ").unwrap();
        bytes.extend(compress_all(Compression::Gzip, b"two").unwrap());
        assert_eq!(read(&bytes, Limits::default()).unwrap(), b"one two");
    }

    #[test]
    fn what_is_cut_or_too_large_is_invalid() {
        let bytes = compress_all(Compression::Gzip, &[b'x'; 10_000]).unwrap();
        let small = Limits { output_bytes_max: Some(9_999), ..Limits::default() };
        for (bytes, limits) in [
            (&bytes[..bytes.len() - 1], Limits::default()),
            (&[][..], Limits::default()),
            (&bytes[..], small),
        ] {
            let error = read(bytes, limits).unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::InvalidData, "{error}");
        }
        let exact = Limits { output_bytes_max: Some(10_000), ..Limits::default() };
        assert_eq!(read(&bytes, exact).unwrap().len(), 10_000);
    }
}
