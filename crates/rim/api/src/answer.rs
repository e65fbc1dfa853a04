//! Answers.

use std::convert::Infallible;
use std::io::Write as _;

use bytes::Bytes;
use flate2::Compression;
use flate2::write::GzEncoder;
use futures_util::Stream;
use futures_util::StreamExt as _;
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt as _, Full, StreamBody};
use hyper::body::Frame;
use hyper::header::{
    CONTENT_ENCODING, CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue, InvalidHeaderValue,
};
use hyper::{Response, StatusCode};
use serde::Serialize;

use crate::json;

const JSON: &str = "application/json; charset=utf-8";

/// An answer before it is sent.
#[derive(Debug)]
pub struct Answer {
    status: StatusCode,
    headers: HeaderMap,
    content: Content,
}

/// What is sent.
pub(crate) type Wire = Response<UnsyncBoxBody<Bytes, Infallible>>;

enum Content {
    Whole(Vec<u8>),
    /// Sent as it comes, never packed.
    Stream(UnsyncBoxBody<Bytes, Infallible>),
}

// === impl Answer ===

impl Answer {
    /// Makes an answer without content.
    pub fn empty(status: StatusCode) -> Self {
        Self::bytes(status, JSON, Vec::new())
    }

    /// Makes the usual answer: JSON over lines.
    pub fn json(status: StatusCode, value: &impl Serialize) -> Self {
        Self::bytes(status, JSON, json::pretty(value))
    }

    /// Makes an answer of JSON on one line.
    pub fn compact(status: StatusCode, value: &impl Serialize) -> Self {
        Self::bytes(status, JSON, json::compact(value))
    }

    /// Makes an answer of any type of content.
    pub fn bytes(status: StatusCode, content_type: &str, content: Vec<u8>) -> Self {
        let answer = Answer { status, headers: HeaderMap::new(), content: Content::Whole(content) };
        answer.header("content-type", content_type)
    }

    /// Makes an answer that is sent as it comes.
    pub fn stream<S>(status: StatusCode, content_type: &str, chunks: S) -> Self
    where
        S: Stream<Item = Bytes> + Send + 'static,
    {
        let body = StreamBody::new(chunks.map(|chunk| Ok(Frame::data(chunk)))).boxed_unsync();
        let answer = Answer { status, headers: HeaderMap::new(), content: Content::Stream(body) };
        answer.header("content-type", content_type)
    }

    /// Sets a header; a value that cannot be one is left out.
    #[must_use]
    pub fn header(mut self, name: &'static str, value: &str) -> Self {
        let value: Result<HeaderValue, InvalidHeaderValue> = HeaderValue::from_str(value);
        match value {
            Ok(value) => {
                self.headers.insert(HeaderName::from_static(name), value);
            }
            Err(error) => tracing::warn!(name, %error, "a header was left out"),
        }
        self
    }

    /// Gives the status.
    pub fn status(&self) -> StatusCode {
        self.status
    }

    /// Makes what is sent.
    pub(crate) fn into_wire(self, accepts_gzip: bool) -> Wire {
        let Answer { status, mut headers, content } = self;
        let body = match content {
            Content::Stream(body) => body,
            Content::Whole(content) => {
                if content.is_empty() {
                    headers.remove(CONTENT_TYPE);
                }
                let packed = (accepts_gzip && !content.is_empty()).then(|| gzip(&content));
                let content = match packed.flatten() {
                    Some(packed) => {
                        headers.insert(CONTENT_ENCODING, HeaderValue::from_static("gzip"));
                        packed
                    }
                    None => content,
                };
                Full::new(content.into()).boxed_unsync()
            }
        };
        let mut response = Response::new(body);
        *response.status_mut() = status;
        *response.headers_mut() = headers;
        response
    }
}

fn gzip(content: &[u8]) -> Option<Vec<u8>> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(content).ok()?;
    encoder.finish().ok()
}

impl std::fmt::Debug for Content {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Content::Whole(content) => f.write_str(&String::from_utf8_lossy(content)),
            Content::Stream(_) => f.write_str("a stream"),
        }
    }
}
