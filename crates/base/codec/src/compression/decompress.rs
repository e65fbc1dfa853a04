//! Decompression in bounded steps.

use std::io;

use flate2::{Decompress, FlushDecompress, Status};
use zstd::stream::raw::{DParameter, Decoder, Operation as _};

use super::{Cap, Compression, CompressionError, ZSTD_WINDOW_LOG_MAX};

/// Output below which the expansion ratio is not looked at: 1 MiB is harmless at any ratio.
const RATIO_FREE_BYTES: u64 = 1 << 20;

/// Expansion accepted unless told otherwise; gzip cannot exceed 1032, text rarely exceeds 100.
const DEFAULT_RATIO_MAX: u32 = 1000;

/// Smallest and largest piece by which [`decompress_all`] grows its result.
const STEP_BYTES_MIN: usize = 1 << 10;
const STEP_BYTES_MAX: usize = 64 << 10;

/// Largest zstd window of an HTTP body as a power of two: 8 MiB. Source: RFC 9659 §3.
const HTTP_ZSTD_WINDOW_LOG_MAX: u32 = 23;

/// Smallest zstd window there is, as a power of two. Source: RFC 8878 §3.1.1.1.2.
const ZSTD_WINDOW_LOG_MIN: u32 = 10;

/// Window of gzip as a power of two. Source: RFC 1951 §2 (32 KiB).
const GZIP_WINDOW_LOG: u8 = 15;

/// The text by which the zstd library tells that a window is too large.
///
/// Its bindings give no code. Source: zstd `lib/common/error_private.c`.
const ZSTD_WINDOW_TEXT: &str = "requires too much memory";

/// What a stream may become.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of output of the whole stream; `None` for files that are read piece by piece.
    pub output_bytes_max: Option<u64>,
    /// Bytes of output per byte of input, looked at after the first MiB of output; `None` for
    /// trusted data.
    pub ratio_max: Option<u32>,
    /// Largest zstd window as a power of two, brought into 10 to [`ZSTD_WINDOW_LOG_MAX`].
    pub zstd_window_log_max: u32,
}

/// What one step did.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct Step {
    /// Bytes of the input that were read.
    pub consumed: usize,
    /// Bytes of the output that were written.
    pub produced: usize,
}

/// Turns compressed bytes into plain ones, a bounded piece at a time.
pub struct Decompressor {
    format: Compression,
    state: State,
    limits: Limits,
    total_in: u64,
    total_out: u64,
    /// The last step filled its output, so more may be waiting inside.
    output_pending: bool,
    /// Inside a member or frame, or before the first one.
    unfinished: bool,
    /// Reported by the next step, after the output that came before it.
    failure: Option<io::Error>,
    failed: bool,
}

enum State {
    None,
    Gzip { member: Box<Decompress>, fresh: bool },
    Zstd(Decoder<'static>),
}

/// What one call of a library did.
struct Progress {
    step: Step,
    ended: bool,
    failure: Option<io::Error>,
}

/// Decompresses a whole HTTP body of at most `output_bytes_max` bytes.
///
/// - Units: bytes of output; the default ratio applies as well, and zstd windows end at 8 MiB.
/// - Errors: [`CompressionError::ExpansionLimit`] past the cap, `WindowTooLarge`, `Truncated` and
///   `Damaged`.
pub fn decompress_all(
    format: Compression,
    input: &[u8],
    output_bytes_max: usize,
) -> Result<Vec<u8>, CompressionError> {
    let limits = Limits {
        output_bytes_max: Some(output_bytes_max as u64),
        zstd_window_log_max: HTTP_ZSTD_WINDOW_LOG_MAX,
        ..Limits::default()
    };
    let mut decompressor = Decompressor::new(format, limits)?;
    let mut output = Vec::new();
    let mut rest = input;
    loop {
        // A small body does not deserve a large buffer.
        let room = rest.len().saturating_mul(8).clamp(STEP_BYTES_MIN, STEP_BYTES_MAX);
        let step = decompressor.step_into(rest, &mut output, room)?;
        rest = &rest[step.consumed..];
        if rest.is_empty() && !decompressor.has_more() {
            decompressor.finish()?;
            return Ok(output);
        }
    }
}

// === impl Limits ===

impl Default for Limits {
    /// No bound on the output as a whole, 1000:1 on its expansion, a window of 128 MiB.
    fn default() -> Self {
        Limits {
            output_bytes_max: None,
            ratio_max: Some(DEFAULT_RATIO_MAX),
            zstd_window_log_max: ZSTD_WINDOW_LOG_MAX,
        }
    }
}

// === impl Decompressor ===

impl std::fmt::Debug for Decompressor {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter
            .debug_struct("Decompressor")
            .field("format", &self.format)
            .field("total_in", &self.total_in)
            .field("total_out", &self.total_out)
            .finish_non_exhaustive()
    }
}

impl Decompressor {
    /// A decompressor at the start of a stream.
    ///
    /// - Errors: [`CompressionError::Library`] when the zstd library cannot allocate its state.
    pub fn new(format: Compression, mut limits: Limits) -> Result<Self, CompressionError> {
        limits.zstd_window_log_max =
            limits.zstd_window_log_max.clamp(ZSTD_WINDOW_LOG_MIN, ZSTD_WINDOW_LOG_MAX);
        let library = |source| CompressionError::Library { format, source };
        let state = match format {
            Compression::None => State::None,
            Compression::Gzip => State::Gzip { member: new_member(), fresh: true },
            Compression::Zstd => {
                let mut decoder = Decoder::new().map_err(library)?;
                let window = DParameter::WindowLogMax(limits.zstd_window_log_max);
                decoder.set_parameter(window).map_err(library)?;
                State::Zstd(decoder)
            }
        };
        Ok(Decompressor {
            format,
            state,
            limits,
            total_in: 0,
            total_out: 0,
            output_pending: false,
            unfinished: format != Compression::None,
            failure: None,
            failed: false,
        })
    }

    /// Reads from `input` and fills `output`, until one of them is used up.
    ///
    /// It always makes progress when `output` has room and `input` has bytes. Call it again with
    /// the rest of the input; at the end of the input while [`has_more`](Self::has_more) holds.
    ///
    /// - Errors: every variant but `Level`. What the library produced before damage is delivered
    ///   first where the library tells (gzip always, zstd by whole calls).
    pub fn step(&mut self, input: &[u8], output: &mut [u8]) -> Result<Step, CompressionError> {
        if self.failed {
            return Err(CompressionError::AfterError { format: self.format });
        }
        let result = self.step_checked(input, output);
        self.failed = result.is_err();
        result
    }

    /// Like [`step`](Self::step), but appends at most `output_bytes_max` bytes to `output`.
    pub fn step_into(
        &mut self,
        input: &[u8],
        output: &mut Vec<u8>,
        output_bytes_max: usize,
    ) -> Result<Step, CompressionError> {
        let before = output.len();
        output.resize(before.saturating_add(output_bytes_max), 0);
        let result = self.step(input, &mut output[before..]);
        output.truncate(before + result.as_ref().map_or(0, |step| step.produced));
        result
    }

    /// Whether a step may give more output without further input.
    #[must_use]
    pub fn has_more(&self) -> bool {
        (self.output_pending || self.failure.is_some()) && !self.failed
    }

    /// Checks that the input ended where a member or frame ended.
    ///
    /// - Errors: [`CompressionError::Truncated`] with the number of bytes read; also for an empty
    ///   gzip or zstd input, and while [`has_more`](Self::has_more) holds inside a frame.
    pub fn finish(&self) -> Result<(), CompressionError> {
        if self.failed {
            return Err(CompressionError::AfterError { format: self.format });
        }
        if self.unfinished {
            let offset = self.total_in;
            return Err(CompressionError::Truncated { format: self.format, offset });
        }
        Ok(())
    }

    /// Compressed bytes read so far.
    #[must_use]
    pub fn total_in(&self) -> u64 {
        self.total_in
    }

    /// Plain bytes produced so far.
    #[must_use]
    pub fn total_out(&self) -> u64 {
        self.total_out
    }

    fn step_checked(&mut self, input: &[u8], output: &mut [u8]) -> Result<Step, CompressionError> {
        if let Some(source) = self.failure.take() {
            return Err(self.damaged(source));
        }
        let room = self.output_room(output.len());
        let output = &mut output[..room];
        let mut done = Step::default();
        while done.produced < output.len() && (done.consumed < input.len() || self.output_pending) {
            let progress = self.call(&input[done.consumed..], &mut output[done.produced..]);
            let Progress { step, ended, failure } = progress;
            self.total_in += step.consumed as u64;
            self.total_out += step.produced as u64;
            done.consumed += step.consumed;
            done.produced += step.produced;
            self.output_pending = !ended && done.produced == output.len();
            if step.consumed > 0 || step.produced > 0 {
                self.unfinished = !ended && self.format != Compression::None;
            }
            self.check_limits()?;
            if let Some(source) = failure {
                if done.produced == 0 {
                    return Err(self.damaged(source));
                }
                self.failure = Some(source);
                break;
            }
            if step == Step::default() {
                if done.consumed < input.len() {
                    // A library that takes nothing while there is room would make callers spin.
                    return Err(self.damaged(io::Error::other("no progress")));
                }
                break;
            }
        }
        Ok(done)
    }

    /// One call of the library; a finished member or frame ends it.
    fn call(&mut self, input: &[u8], output: &mut [u8]) -> Progress {
        match &mut self.state {
            State::None => {
                let length = input.len().min(output.len());
                output[..length].copy_from_slice(&input[..length]);
                let step = Step { consumed: length, produced: length };
                // Nothing is ever held back, so nothing is pending either.
                Progress { step, ended: true, failure: None }
            }
            State::Gzip { member, fresh } => {
                if !*fresh {
                    *member = new_member();
                    *fresh = true;
                }
                let (before_in, before_out) = (member.total_in(), member.total_out());
                let result = member.decompress(input, output, FlushDecompress::None);
                let step = Step {
                    consumed: (member.total_in() - before_in) as usize,
                    produced: (member.total_out() - before_out) as usize,
                };
                let ended = matches!(result, Ok(Status::StreamEnd));
                *fresh = !ended;
                Progress { step, ended, failure: result.err().map(io::Error::from) }
            }
            State::Zstd(decoder) => match decoder.run_on_buffers(input, output) {
                Ok(status) => Progress {
                    step: Step { consumed: status.bytes_read, produced: status.bytes_written },
                    ended: status.remaining == 0,
                    failure: None,
                },
                Err(source) => {
                    Progress { step: Step::default(), ended: false, failure: Some(source) }
                }
            },
        }
    }

    /// How much of the output may be filled: one byte past the cap is enough to know.
    fn output_room(&self, length: usize) -> usize {
        let Some(cap) = self.limits.output_bytes_max else {
            return length;
        };
        let room = cap.saturating_sub(self.total_out).saturating_add(1);
        length.min(usize::try_from(room).unwrap_or(usize::MAX))
    }

    fn check_limits(&self) -> Result<(), CompressionError> {
        let over = |cap| CompressionError::ExpansionLimit {
            format: self.format,
            offset: self.total_in,
            produced: self.total_out,
            cap,
        };
        if let Some(cap) = self.limits.output_bytes_max
            && self.total_out > cap
        {
            return Err(over(Cap::OutputBytes(cap)));
        }
        if let Some(ratio) = self.limits.ratio_max
            && self.total_out > RATIO_FREE_BYTES
            && self.total_out > self.total_in.saturating_mul(u64::from(ratio))
        {
            return Err(over(Cap::Ratio(ratio)));
        }
        Ok(())
    }

    fn damaged(&self, source: io::Error) -> CompressionError {
        let offset = self.total_in;
        if self.format == Compression::Zstd && source.to_string().contains(ZSTD_WINDOW_TEXT) {
            let window_bytes_max = 1 << self.limits.zstd_window_log_max;
            return CompressionError::WindowTooLarge { offset, window_bytes_max };
        }
        CompressionError::Damaged { format: self.format, offset, source }
    }
}

fn new_member() -> Box<Decompress> {
    Box::new(Decompress::new_gzip(GZIP_WINDOW_LOG))
}
