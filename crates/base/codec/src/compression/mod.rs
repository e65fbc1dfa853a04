//! Gzip and zstd streams with caps on what a small input may become.
//!
//! [`Decompressor`] takes compressed bytes and fills buffers that the caller owns, so a file of any
//! expansion is read in constant memory; [`Limits`] bound what a body may become as a whole.
//! [`Compressor`] appends to the caller's buffer and can make everything so far readable.
//!
//! Invariants:
//! - a stream ends where its last gzip member or zstd frame ends: ending earlier is an error, and
//!   so are bytes after it that do not start another one;
//! - one gzip decompressor holds 64 KiB, one zstd decompressor at most its window of
//!   2^[`ZSTD_WINDOW_LOG_MAX`] bytes (128 MiB), which only a frame that asks for it gets;
//! - after an error a decompressor only returns errors.

use std::ffi::OsStr;
use std::path::Path;

mod compress;
mod decompress;
mod reader;

#[cfg(test)]
mod tests;

pub use compress::{Compressor, compress_all};
pub use decompress::{Decompressor, Limits, Step, decompress_all};
pub use reader::PlainReader;

/// Bytes [`Compression::detect`] needs to see to be certain.
pub const DETECT_BYTES: usize = 4;

/// Largest zstd window that is accepted, as a power of two: 128 MiB.
///
/// - Source: RFC 8878 leaves the bound to the decoder; 27 is the default of the reference decoder.
pub const ZSTD_WINDOW_LOG_MAX: u32 = 27;

/// A compression format.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Compression {
    /// Bytes as they are.
    #[default]
    None,
    /// Gzip (RFC 1952), one or more members.
    Gzip,
    /// Zstandard (RFC 8878), one or more frames.
    Zstd,
}

/// Which cap a stream exceeded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cap {
    /// More output than this many bytes.
    OutputBytes(u64),
    /// More than this many bytes of output per byte of input.
    Ratio(u32),
}

/// Why a stream could not be compressed or decompressed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CompressionError {
    /// The input ended inside a member or frame.
    #[error("{format} data ends at byte `{offset}` before its end mark; get the rest of it")]
    Truncated {
        /// The format.
        format: Compression,
        /// Compressed bytes read, from the start of the input.
        offset: u64,
    },
    /// The input is not of the format, or was damaged.
    #[error(
        "{format} data is damaged at or after byte `{offset}`; check the format and the source"
    )]
    Damaged {
        /// The format.
        format: Compression,
        /// Compressed bytes that were read without complaint, from the start of the input.
        offset: u64,
        /// What the library said.
        #[source]
        source: std::io::Error,
    },
    /// The output grew past a cap.
    #[error(
        "expansion limit: {format} data became `{produced}` bytes by byte `{offset}`, more than \
         {cap}; raise the limit if the data is trusted"
    )]
    ExpansionLimit {
        /// The format.
        format: Compression,
        /// Compressed bytes read, from the start of the input.
        offset: u64,
        /// Bytes of output at that point.
        produced: u64,
        /// The cap that was exceeded.
        cap: Cap,
    },
    /// A zstd frame asks for more memory than allowed.
    #[error(
        "zstd frame after byte `{offset}` needs a window above `{window_bytes_max}` bytes; compress \
         it with a smaller one"
    )]
    WindowTooLarge {
        /// Compressed bytes read before the frame was refused, from the start of the input.
        offset: u64,
        /// The largest window accepted here.
        window_bytes_max: u64,
    },
    /// The stream was used after an error.
    #[error("{format} stream failed before; start a new one")]
    AfterError {
        /// The format.
        format: Compression,
    },
    /// The level does not exist in the format.
    #[error("unknown {format} level `{level}`; known: `{min}` to `{max}`")]
    Level {
        /// The format.
        format: Compression,
        /// The level that was asked for.
        level: i32,
        /// The lowest known level.
        min: i32,
        /// The highest known level.
        max: i32,
    },
    /// The library failed to set up or to compress, which only lack of memory explains.
    #[error("{format} stream cannot go on; free memory and start a new one")]
    Library {
        /// The format.
        format: Compression,
        /// What the library said.
        #[source]
        source: std::io::Error,
    },
}

// === impl Compression ===

impl Compression {
    /// The format whose magic bytes `head` begins with; [`None`](Compression::None) when unknown.
    ///
    /// - Shape: give at least [`DETECT_BYTES`] bytes, or all there are.
    /// - Source: RFC 1952 §2.3.1 (with the only method there is), RFC 8878 §3.1.
    #[must_use]
    pub fn detect(head: &[u8]) -> Compression {
        match head {
            [0x1f, 0x8b, 0x08, ..] => Compression::Gzip,
            // A frame, or a skippable frame in front of one.
            [0x28, 0xb5, 0x2f, 0xfd, ..] | [0x50..=0x5f, 0x2a, 0x4d, 0x18, ..] => Compression::Zstd,
            _ => Compression::None,
        }
    }

    /// The format that the extension of `path` stands for, in any case.
    #[must_use]
    pub fn from_path(path: &Path) -> Compression {
        let extension = path.extension().and_then(OsStr::to_str).unwrap_or_default();
        if ["gz", "gzip"].iter().any(|known| extension.eq_ignore_ascii_case(known)) {
            Compression::Gzip
        } else if ["zst", "zstd"].iter().any(|known| extension.eq_ignore_ascii_case(known)) {
            Compression::Zstd
        } else {
            Compression::None
        }
    }

    /// The format an HTTP `Content-Encoding` names, if it is a single known one.
    ///
    /// - Source: RFC 9110 §8.4.1, RFC 8878 §7.2.
    #[must_use]
    pub fn from_content_encoding(value: &str) -> Option<Compression> {
        let value = value.trim();
        let is = |name: &str| value.eq_ignore_ascii_case(name);
        if value.is_empty() || is("identity") {
            Some(Compression::None)
        } else if is("gzip") || is("x-gzip") {
            Some(Compression::Gzip)
        } else if is("zstd") {
            Some(Compression::Zstd)
        } else {
            None
        }
    }

    /// The usual file extension without its dot; empty for [`None`](Compression::None).
    #[must_use]
    pub fn extension(self) -> &'static str {
        match self {
            Compression::None => "",
            Compression::Gzip => "gz",
            Compression::Zstd => "zst",
        }
    }

    /// The name in settings and on the wire: `none`, `gzip`, `zstd`.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Compression::None => "none",
            Compression::Gzip => "gzip",
            Compression::Zstd => "zstd",
        }
    }
}

impl std::fmt::Display for Compression {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str(self.name())
    }
}

// === impl Cap ===

impl std::fmt::Display for Cap {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Cap::OutputBytes(bytes) => write!(formatter, "`{bytes}` bytes"),
            Cap::Ratio(ratio) => write!(formatter, "`{ratio}` times its size"),
        }
    }
}
