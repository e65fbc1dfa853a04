//! Bodies as they come: compressed, and perhaps not the text they should be.

use std::borrow::Cow;

use bytes::Bytes;
use levada_codec::compression::{self, Compression};
use levada_codec::snappy;

use super::{Bounds, Write, WriteError};

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
        if name.trim().eq_ignore_ascii_case("snappy") {
            return Some(Coding::Snappy);
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

/// Takes a body out of its compression.
pub(super) fn plain(write: &Write, bounds: &Bounds) -> Result<Plain, WriteError> {
    let (body, bytes_max) = (&write.body, bounds.body_bytes_max);
    if body.len() > bytes_max {
        return Err(WriteError::TooLarge { bytes: body.len(), bytes_max });
    }
    let unpack = |format| {
        compression::decompress_all(format, body, bounds.plain_bytes_max)
            .map(Bytes::from)
            .map_err(WriteError::Decode)
    };
    let bytes = match write.coding {
        Coding::Identity => body.clone(),
        Coding::Gzip => unpack(Compression::Gzip)?,
        Coding::Zstd => unpack(Compression::Zstd)?,
        Coding::Snappy => {
            snappy::decompress(body, bounds.plain_bytes_max).map_err(WriteError::Snappy)?.into()
        }
    };
    if write.format != super::Format::Lines || simdutf8::basic::from_utf8(&bytes).is_ok() {
        return Ok(Plain { bytes, is_repaired: false });
    }
    let repaired = String::from_utf8_lossy(&bytes).into_owned();
    Ok(Plain { bytes: repaired.into(), is_repaired: true })
}
