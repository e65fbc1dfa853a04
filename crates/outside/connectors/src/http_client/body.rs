//! Bodies of requests, compressed.

use levada_codec::compression::{Compression as Codec, compress_all};
use levada_model::ErrorClass;
use levada_runtime::{TaskKind, Tasks};
use schemars::JsonSchema;
use serde::Deserialize;

use crate::traits::SinkError;

/// Bodies above this are compressed on a thread of their own. Ours: below it, that takes a
/// millisecond.
const INLINE_BYTES_MAX: usize = 64 << 10;

/// How bodies are compressed.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum Compression {
    /// As they are.
    #[default]
    None,
    /// Gzip.
    Gzip,
    /// Zstandard.
    Zstd,
}

/// How bodies are compressed for servers that know gzip only.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum Gzip {
    /// As they are.
    #[default]
    None,
    /// Gzip.
    Gzip,
}

// === impl Compression ===

impl Compression {
    /// Gives the word for `Content-Encoding`.
    pub(crate) fn name(self) -> Option<&'static str> {
        match self {
            Compression::None => None,
            Compression::Gzip => Some("gzip"),
            Compression::Zstd => Some("zstd"),
        }
    }
}

impl From<Gzip> for Compression {
    fn from(gzip: Gzip) -> Self {
        match gzip {
            Gzip::None => Compression::None,
            Gzip::Gzip => Compression::Gzip,
        }
    }
}

/// Compresses a body.
pub(super) async fn compressed(
    tasks: &Tasks,
    compression: Compression,
    body: Vec<u8>,
) -> Result<Vec<u8>, SinkError> {
    let codec = match compression {
        Compression::None => return Ok(body),
        Compression::Gzip => Codec::Gzip,
        Compression::Zstd => Codec::Zstd,
    };
    let result = if body.len() <= INLINE_BYTES_MAX {
        Some(compress_all(codec, &body))
    } else {
        let work = move || compress_all(codec, &body);
        tasks.spawn_thread(TaskKind::Connector, "http body", work).await.ok()
    };
    match result {
        Some(Ok(compressed)) => Ok(compressed),
        Some(Err(error)) => Err(SinkError {
            class: ErrorClass::Transient,
            message: "cannot compress a request".into(),
            is_about_records: false,
            source: Some(Box::new(error)),
        }),
        None => Err(SinkError::new(ErrorClass::Transient, "compressing a request broke off")),
    }
}
