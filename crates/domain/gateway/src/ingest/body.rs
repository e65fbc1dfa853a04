//! Bodies as they come: compressed, and perhaps not the text they should be.

use std::borrow::Cow;
use std::io::Read;

use brotli_decompressor::Decompressor as Brotli;
use bytes::Bytes;
use levada_codec::compression::{Compression, CompressionError, Decompressor, Limits};
use levada_codec::snappy;

use super::{Bounds, Write, WriteError};

/// Room made for the next step of a decompressor.
const STEP_BYTES: usize = 64 << 10;

/// What is read at once of what is packed with `br`.
const BROTLI_BUFFER_BYTES: usize = 16 << 10;

/// Largest window of zstd over HTTP, as a power of two: 8 MiB. Source: RFC 8878 §3.1.1.1.2.
const ZSTD_WINDOW_LOG_MAX: u32 = 23;

/// How a body is compressed on the wire.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Coding {
    /// Not at all.
    #[default]
    Identity,
    /// `gzip`
    Gzip,
    /// `zstd`
    Zstd,
    /// One block, as remote write has it.
    Snappy,
    /// `deflate`, with the header of zlib or, as some send it, without.
    Deflate,
    /// `br`
    Brotli,
}

/// A body that is no longer compressed.
pub(super) struct Plain {
    pub(super) bytes: Bytes,
    /// Whether it was not UTF-8 and was made so.
    pub(super) is_repaired: bool,
}

// === impl Coding ===

impl Coding {
    /// Gives what `Content-Encoding` or the parameter `encoding` names, if it is known.
    pub fn of_name(name: &str) -> Option<Self> {
        let others =
            [("snappy", Coding::Snappy), ("deflate", Coding::Deflate), ("br", Coding::Brotli)];
        let other = others.iter().find(|(known, _)| name.trim().eq_ignore_ascii_case(known));
        if let Some((_, coding)) = other {
            return Some(*coding);
        }
        Some(match Compression::from_content_encoding(name)? {
            Compression::None => Coding::Identity,
            Compression::Gzip => Coding::Gzip,
            Compression::Zstd => Coding::Zstd,
        })
    }
}

// === impl Plain ===

impl Plain {
    /// Gives the text; whoever made the plain body has checked that it is one.
    pub(super) fn text(&self) -> Cow<'_, str> {
        // Looking again costs a twentieth of what the standard library would take.
        match simdutf8::basic::from_utf8(&self.bytes) {
            Ok(text) => Cow::Borrowed(text),
            Err(_) => String::from_utf8_lossy(&self.bytes),
        }
    }
}

/// Takes a body out of its compression, into a buffer whose memory is used again.
pub(super) fn plain(
    write: &Write,
    bounds: &Bounds,
    buffer: &mut Vec<u8>,
) -> Result<Plain, WriteError> {
    let (body, bytes_max) = (&write.body, bounds.body_bytes_max);
    if body.len() > bytes_max {
        return Err(WriteError::TooLarge { bytes: body.len(), bytes_max });
    }
    let mut unpack = |format| {
        let mut text = std::mem::take(buffer);
        text.clear();
        unpack(format, body, bounds.plain_bytes_max, &mut text).map_err(WriteError::Decode)?;
        Ok::<_, WriteError>(Bytes::from(text))
    };
    let bytes = match write.coding {
        Coding::Identity => body.clone(),
        Coding::Gzip => unpack(Compression::Gzip)?,
        Coding::Zstd => unpack(Compression::Zstd)?,
        Coding::Snappy => {
            snappy::decompress(body, bounds.plain_bytes_max).map_err(WriteError::Snappy)?.into()
        }
        Coding::Deflate => inflate(body, bounds.plain_bytes_max)?,
        Coding::Brotli => {
            read_all(Brotli::new(&body[..], BROTLI_BUFFER_BYTES), bounds.plain_bytes_max)?
        }
    };
    if write.format != super::Format::Lines || simdutf8::basic::from_utf8(&bytes).is_ok() {
        return Ok(Plain { bytes, is_repaired: false });
    }
    let repaired = String::from_utf8_lossy(&bytes).into_owned();
    Ok(Plain { bytes: repaired.into(), is_repaired: true })
}

fn inflate(body: &[u8], bytes_max: usize) -> Result<Bytes, WriteError> {
    let is_zlib = body.len() > 1
        && body[0] & 0x0f == 8
        && u16::from_be_bytes([body[0], body[1]]).is_multiple_of(31);
    match is_zlib {
        true => read_all(flate2::read::ZlibDecoder::new(body), bytes_max),
        false => read_all(flate2::read::DeflateDecoder::new(body), bytes_max),
    }
}

/// Reads what a decoder gives, if it is not too much.
fn read_all(decoder: impl Read, bytes_max: usize) -> Result<Bytes, WriteError> {
    let mut plain = Vec::new();
    let bytes = decoder.take(bytes_max as u64 + 1).read_to_end(&mut plain);
    match bytes.map_err(WriteError::Inflate)? > bytes_max {
        true => Err(WriteError::Inflated { bytes_max }),
        false => Ok(plain.into()),
    }
}

fn unpack(
    format: Compression,
    mut rest: &[u8],
    bytes_max: usize,
    text: &mut Vec<u8>,
) -> Result<(), CompressionError> {
    let limits = Limits {
        output_bytes_max: Some(bytes_max as u64),
        zstd_window_log_max: ZSTD_WINDOW_LOG_MAX,
        ..Limits::default()
    };
    let mut decompressor = Decompressor::new(format, limits)?;
    loop {
        // A small body does not deserve a large buffer.
        let room = rest.len().saturating_mul(8).clamp(STEP_BYTES / 64, STEP_BYTES);
        let step = decompressor.step_into(rest, text, room)?;
        rest = &rest[step.consumed..];
        if rest.is_empty() && !decompressor.has_more() {
            return decompressor.finish();
        }
    }
}
