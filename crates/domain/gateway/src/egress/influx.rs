//! InfluxDB: its write APIs, version 1 and version 2.
//!
//! A point that a server refuses does not keep the others of its body from being taken: the body is halved until the bad
//! ones stand alone. What is written twice is the same point.

use std::sync::Arc;

use async_trait::async_trait;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use levada_clients::writer::{HeaderName, HeaderValue, Writer, WriterOptions};
use levada_codec::compression::{Compression, CompressionError};
use levada_codec::points::{LeftOut, influx};
use levada_model::Timestamp;
use levada_settings::Secret;

use super::{Open, OpenReceiverError, Tools, points, unreadable};
use crate::deliver::{Answer, Receiver, of_failure, of_partial_reply};
use crate::destination::EndpointSpec;
use crate::ingest::Encoder;
use crate::wal::{Encoding, Record};

/// Where in a server points go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum InfluxTarget {
    /// `/write` of version 1.
    Database {
        /// The database.
        name: String,
        /// The retention policy; empty for the usual one.
        retention_policy: String,
    },
    /// `/api/v2/write`.
    Bucket {
        /// The bucket.
        name: String,
        /// The organization, by name or id; empty when the server needs none.
        organization: String,
    },
}

/// How servers of InfluxDB are written to.
#[derive(Clone, Debug, PartialEq)]
pub struct InfluxSpec {
    /// Where points go.
    pub target: InfluxTarget,
    /// The user; empty for none. A token of the endpoint is stronger.
    pub username: String,
    /// The password of the user.
    pub password: Secret<String>,
    /// Whether bodies are compressed.
    pub is_gzip: bool,
}

struct InfluxReceiver {
    writer: Writer,
    encoder: Arc<Encoder>,
    has_unsigned: bool,
    is_gzip: bool,
}

const CONTENT_ENCODING: HeaderName = HeaderName::from_static("content-encoding");

#[async_trait]
impl Open for InfluxSpec {
    async fn open(
        &self,
        endpoint: &EndpointSpec,
        tools: &Tools<'_>,
    ) -> Result<Arc<dyn Receiver>, OpenReceiverError> {
        let mut query = Vec::new();
        let mut add = |key: &str, value: &str| {
            if !value.is_empty() {
                query.push((key.to_owned(), value.to_owned()));
            }
        };
        let path = match &self.target {
            InfluxTarget::Database { name, retention_policy } => {
                add("db", name);
                add("rp", retention_policy);
                "/write"
            }
            InfluxTarget::Bucket { name, organization } => {
                add("org", organization);
                add("bucket", name);
                "/api/v2/write"
            }
        };
        add("precision", "ns");
        let mut headers = vec![("Content-Type".to_owned(), "text/plain; charset=utf-8".to_owned())];
        if !endpoint.token.is_empty() {
            headers.push(("Authorization".to_owned(), format!("Token {}", endpoint.token)));
        } else if !self.username.is_empty() {
            let pair = format!("{}:{}", self.username, self.password.expose());
            let basic = format!("Basic {}", STANDARD.encode(pair));
            headers.push(("Authorization".to_owned(), basic));
        }
        let writer = Writer::new(WriterOptions {
            url: endpoint.url.clone(),
            path: path.to_owned(),
            query,
            headers,
            tls: endpoint.tls.clone(),
            proxy: endpoint.proxy.clone(),
            timeout: endpoint.timeout,
            net: tools.net.clone(),
        });
        Ok(Arc::new(InfluxReceiver {
            writer: writer.await?,
            encoder: Arc::clone(tools.encoder),
            // Version 1 has no unsigned integers, unless it was built so.
            has_unsigned: matches!(self.target, InfluxTarget::Bucket { .. }),
            is_gzip: self.is_gzip,
        }))
    }
}

#[async_trait]
impl Receiver for InfluxReceiver {
    fn label(&self) -> &str {
        self.writer.shown()
    }

    async fn look_up(&self) {
        self.writer.look_up().await;
    }

    async fn send(&self, record: &Record, _is_retry: bool, now: Timestamp) -> Answer {
        let (lines, left_out) = match self.lines(record, now) {
            Ok(lines) => lines,
            Err(reason) => return unreadable(reason),
        };
        if lines.is_empty() {
            return Answer::Delivered { status: 0, left_out };
        }
        let (body, headers) = match self.packed(record, lines) {
            Ok(packed) => packed,
            Err(error) => return unreadable(error),
        };
        match self.writer.post(body, &headers, now).await {
            Ok(answered) => match of_partial_reply(&answered.reply) {
                Answer::Delivered { status, .. } => Answer::Delivered { status, left_out },
                other => other,
            },
            Err(error) => of_failure(&error),
        }
    }
}

// === impl InfluxReceiver ===

impl InfluxReceiver {
    fn lines(&self, record: &Record, now: Timestamp) -> Result<(Vec<u8>, LeftOut), String> {
        let plain = self.encoder.plain(record).map_err(|error| error.to_string())?;
        let mut out = Vec::with_capacity(plain.len() + 1);
        if record.encoding == Encoding::LineProtocol {
            let text = std::str::from_utf8(&plain).map_err(|error| error.to_string())?;
            let left_out = influx::append_lines(text, self.has_unsigned, now, &mut out);
            return Ok((out, left_out.map_err(|error| error.to_string())?));
        }
        let mut left_out = LeftOut::default();
        for point in points(record, &plain, now)? {
            influx::append_point(point, self.has_unsigned, &mut out, &mut left_out);
        }
        Ok((out, left_out))
    }

    fn packed(
        &self,
        record: &Record,
        lines: Vec<u8>,
    ) -> Result<(Bytes, Vec<(HeaderName, HeaderValue)>), CompressionError> {
        if !self.is_gzip {
            return Ok((lines.into(), Vec::new()));
        }
        let plain = Record { body: lines.into(), compression: Compression::None, ..record.clone() };
        let packed = self.encoder.pack(plain, Compression::Gzip)?;
        Ok((packed.body, vec![(CONTENT_ENCODING, HeaderValue::from_static("gzip"))]))
    }
}
