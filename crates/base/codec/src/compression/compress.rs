//! Compression into a buffer of the caller.

use std::io;

use flate2::{Compress, FlushCompress, Status};
use zstd::stream::raw::{CParameter, Encoder, Operation as _, OutBuffer};
use zstd::zstd_safe::InBuffer;

use super::{Compression, CompressionError};

/// Level of gzip unless told otherwise. Source: the default of gzip(1).
const GZIP_LEVEL: i32 = 6;

/// Highest level of gzip. Source: RFC 1952 implementations, 0 (stored) to 9.
const GZIP_LEVEL_MAX: i32 = 9;

/// Level of zstd unless told otherwise. Source: the default of zstd(1).
const ZSTD_LEVEL: i32 = 3;

/// Highest level of zstd here: those above need windows and memory that readers may refuse.
const ZSTD_LEVEL_MAX: i32 = 19;

/// Window of gzip as a power of two. Source: RFC 1951 §2 (32 KiB).
const GZIP_WINDOW_LOG: u8 = 15;

/// Room made in the output before each call of a library.
const ROOM_BYTES: usize = 32 << 10;

/// Turns plain bytes into compressed ones, appended to a buffer of the caller.
pub struct Compressor {
    format: Compression,
    state: State,
    failed: bool,
}

enum State {
    None,
    Gzip(Box<Compress>),
    Zstd(Encoder<'static>),
}

/// Compresses a whole body at the default level.
///
/// - Errors: [`CompressionError::Library`] when memory is lacking.
pub fn compress_all(format: Compression, input: &[u8]) -> Result<Vec<u8>, CompressionError> {
    let mut compressor = Compressor::new(format, None)?;
    let mut output = Vec::new();
    compressor.write(input, &mut output)?;
    compressor.finish(&mut output)?;
    Ok(output)
}

// === impl Compressor ===

impl std::fmt::Debug for Compressor {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Compressor").field("format", &self.format).finish_non_exhaustive()
    }
}

impl Compressor {
    /// A compressor at the start of a stream; `level` is the format's default when absent.
    ///
    /// - Errors: [`CompressionError::Level`] for a level the format does not have,
    ///   [`CompressionError::Library`] when memory is lacking.
    pub fn new(format: Compression, level: Option<i32>) -> Result<Self, CompressionError> {
        let state = match format {
            Compression::None => State::None,
            Compression::Gzip => {
                let level = check_level(format, level.unwrap_or(GZIP_LEVEL), 0, GZIP_LEVEL_MAX)?;
                let level = flate2::Compression::new(level.unsigned_abs());
                State::Gzip(Box::new(Compress::new_gzip(level, GZIP_WINDOW_LOG)))
            }
            Compression::Zstd => {
                let level = check_level(format, level.unwrap_or(ZSTD_LEVEL), 1, ZSTD_LEVEL_MAX)?;
                let library = |source| CompressionError::Library { format, source };
                let mut encoder = Encoder::new(level).map_err(library)?;
                // Four bytes per frame, so that damage is noticed as it is with gzip.
                encoder.set_parameter(CParameter::ChecksumFlag(true)).map_err(library)?;
                State::Zstd(encoder)
            }
        };
        Ok(Compressor { format, state, failed: false })
    }

    /// Compresses `input`; what it became is appended to `output`, now or by a later call.
    ///
    /// - Errors: [`CompressionError::Library`], after which only `AfterError` follows.
    pub fn write(&mut self, input: &[u8], output: &mut Vec<u8>) -> Result<(), CompressionError> {
        self.run(output, |state, output| match state {
            State::None => {
                output.extend_from_slice(input);
                Ok(())
            }
            State::Gzip(gzip) => gzip_run(gzip, input, output, FlushCompress::None),
            State::Zstd(encoder) => {
                let mut input = InBuffer::around(input);
                while input.pos() < input.src.len() {
                    zstd_call(output, |out| encoder.run(&mut input, out))?;
                }
                Ok(())
            }
        })
    }

    /// Appends everything still held back, so that what was appended so far can be read.
    ///
    /// The stream goes on. Each flush costs some bytes and some compression.
    ///
    /// - Errors: as [`write`](Self::write).
    pub fn flush(&mut self, output: &mut Vec<u8>) -> Result<(), CompressionError> {
        self.run(output, |state, output| match state {
            State::None => Ok(()),
            State::Gzip(gzip) => gzip_run(gzip, &[], output, FlushCompress::Sync),
            State::Zstd(encoder) => {
                while zstd_call(output, |out| encoder.flush(out))? > 0 {}
                Ok(())
            }
        })
    }

    /// Appends the end of the member or frame; the next write begins another one.
    ///
    /// An empty stream becomes an empty member or frame. Members and frames one after the other
    /// form one valid stream.
    ///
    /// - Errors: as [`write`](Self::write).
    pub fn finish(&mut self, output: &mut Vec<u8>) -> Result<(), CompressionError> {
        self.run(output, |state, output| match state {
            State::None => Ok(()),
            State::Gzip(gzip) => {
                gzip_run(gzip, &[], output, FlushCompress::Finish)?;
                gzip.reset();
                Ok(())
            }
            State::Zstd(encoder) => {
                while zstd_call(output, |out| encoder.finish(out, true))? > 0 {}
                encoder.reinit()
            }
        })
    }

    fn run(
        &mut self,
        output: &mut Vec<u8>,
        call: impl FnOnce(&mut State, &mut Vec<u8>) -> io::Result<()>,
    ) -> Result<(), CompressionError> {
        let format = self.format;
        if self.failed {
            return Err(CompressionError::AfterError { format });
        }
        let result = call(&mut self.state, output);
        self.failed = result.is_err();
        result.map_err(|source| CompressionError::Library { format, source })
    }
}

fn check_level(
    format: Compression,
    level: i32,
    min: i32,
    max: i32,
) -> Result<i32, CompressionError> {
    if (min..=max).contains(&level) {
        Ok(level)
    } else {
        Err(CompressionError::Level { format, level, min, max })
    }
}

/// Calls deflate until it took all input and, when flushing, gave all output.
fn gzip_run(
    gzip: &mut Compress,
    mut input: &[u8],
    output: &mut Vec<u8>,
    flush: FlushCompress,
) -> io::Result<()> {
    loop {
        output.reserve(ROOM_BYTES);
        let before = gzip.total_in();
        let status = gzip.compress_vec(input, output, flush).map_err(io::Error::from)?;
        input = &input[(gzip.total_in() - before) as usize..];
        let output_full = output.len() == output.capacity();
        let done = match flush {
            FlushCompress::Finish => status == Status::StreamEnd,
            _ => input.is_empty() && !output_full,
        };
        if done {
            return Ok(());
        }
        // With room and nothing left to read deflate must have ended; anything else is its fault.
        if !output_full && status == Status::BufError {
            return Err(io::Error::other("deflate made no progress"));
        }
    }
}

/// Calls zstd with fresh room behind what `output` holds.
fn zstd_call(
    output: &mut Vec<u8>,
    call: impl FnOnce(&mut OutBuffer<'_, Vec<u8>>) -> io::Result<usize>,
) -> io::Result<usize> {
    output.reserve(ROOM_BYTES);
    let length = output.len();
    call(&mut OutBuffer::around_pos(output, length))
}
