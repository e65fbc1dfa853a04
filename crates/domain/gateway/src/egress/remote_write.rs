//! Prometheus' remote write, version 1.0 and 2.0.
//!
//! Only fields that are numbers become samples; others are left out and counted. A receiver that refuses a sample, such as
//! one that is older than what it has, takes the others of its body: the body is halved until the bad ones stand alone.
//!
//! A receiver that does not know version 2.0 may answer with success and take nothing. One that knows it says how many
//! samples it wrote, so an answer without that number pauses the endpoint.

use std::collections::BTreeMap;
use std::sync::Arc;

use async_trait::async_trait;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use levada_clients::writer::{Answered, Writer, WriterOptions};
use levada_codec::points::{LeftOut, series};
use levada_codec::prometheus::{RequestBuilder, append_time_series};
use levada_codec::snappy;
use levada_model::Timestamp;
use levada_settings::Secret;

use super::{Open, OpenReceiverError, Tools, points, unreadable};
use crate::deliver::{Answer, Receiver, of_failure, of_partial_reply};
use crate::destination::EndpointSpec;
use crate::ingest::Encoder;
use crate::wal::Record;

/// Which messages are sent.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum RemoteWriteVersion {
    /// `prometheus.WriteRequest`
    #[default]
    V1,
    /// `io.prometheus.write.v2.Request`
    V2,
}

/// How receivers of remote write are written to.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct RemoteWriteSpec {
    /// Which messages are sent.
    pub version: RemoteWriteVersion,
    /// The user; empty for none. A token of the endpoint is stronger.
    pub username: String,
    /// The password of the user.
    pub password: Secret<String>,
    /// More headers, such as `X-Scope-OrgID`.
    pub headers: BTreeMap<String, String>,
}

struct RemoteWriteReceiver {
    writer: Writer,
    encoder: Arc<Encoder>,
    version: RemoteWriteVersion,
}

/// What a receiver of version 2.0 answers with.
const SAMPLES_WRITTEN: &str = "x-prometheus-remote-write-samples-written";

// === impl RemoteWriteVersion ===

impl RemoteWriteVersion {
    /// Gives what the headers say. Source: remote write 1.0 and 2.0.
    fn headers(self) -> (&'static str, &'static str) {
        match self {
            RemoteWriteVersion::V1 => ("application/x-protobuf", "0.1.0"),
            RemoteWriteVersion::V2 => {
                ("application/x-protobuf;proto=io.prometheus.write.v2.Request", "2.0.0")
            }
        }
    }
}

#[async_trait]
impl Open for RemoteWriteSpec {
    async fn open(
        &self,
        endpoint: &EndpointSpec,
        tools: &Tools<'_>,
    ) -> Result<Arc<dyn Receiver>, OpenReceiverError> {
        let (content_type, version) = self.version.headers();
        let mut headers: Vec<(String, String)> = Vec::new();
        let mut add = |name: &str, value: String| headers.push((name.to_owned(), value));
        for (name, value) in &self.headers {
            add(name, value.clone());
        }
        add("Content-Type", content_type.to_owned());
        add("Content-Encoding", "snappy".to_owned());
        add("X-Prometheus-Remote-Write-Version", version.to_owned());
        if !endpoint.token.is_empty() {
            add("Authorization", format!("Bearer {}", endpoint.token));
        } else if !self.username.is_empty() {
            let pair = format!("{}:{}", self.username, self.password.expose());
            add("Authorization", format!("Basic {}", STANDARD.encode(pair)));
        }
        let writer = Writer::new(WriterOptions {
            url: endpoint.url.clone(),
            headers,
            tls: endpoint.tls.clone(),
            proxy: endpoint.proxy.clone(),
            timeout: endpoint.timeout,
            net: tools.net.clone(),
            ..WriterOptions::default()
        });
        Ok(Arc::new(RemoteWriteReceiver {
            writer: writer.await?,
            encoder: Arc::clone(tools.encoder),
            version: self.version,
        }))
    }
}

#[async_trait]
impl Receiver for RemoteWriteReceiver {
    fn label(&self) -> &str {
        self.writer.shown()
    }

    async fn look_up(&self) {
        self.writer.look_up().await;
    }

    async fn send(&self, record: &Record, _is_retry: bool, now: Timestamp) -> Answer {
        let (body, left_out) = match self.body(record, now) {
            Ok(body) => body,
            Err(reason) => return unreadable(reason),
        };
        if left_out.points >= record.points {
            return Answer::Delivered { status: 0, left_out };
        }
        match self.writer.post(body, &[], now).await {
            Ok(answered) => match of_partial_reply(&answered.reply) {
                Answer::Delivered { status, .. } => self.taken(&answered, status, left_out),
                other => other,
            },
            Err(error) => of_failure(&error),
        }
    }
}

// === impl RemoteWriteReceiver ===

impl RemoteWriteReceiver {
    fn body(&self, record: &Record, now: Timestamp) -> Result<(Bytes, LeftOut), String> {
        let plain = self.encoder.plain(record).map_err(|error| error.to_string())?;
        let points = points(record, &plain, now)?;
        let (message, left_out) = match self.version {
            RemoteWriteVersion::V1 => {
                let mut out = Vec::with_capacity(2 * plain.len());
                let left_out = series::each_sample(&points, |name, labels, sample| {
                    append_time_series(name, labels, &[sample], &mut out);
                });
                (out, left_out)
            }
            RemoteWriteVersion::V2 => {
                let mut builder = RequestBuilder::default();
                let left_out = series::each_sample(&points, |name, labels, sample| {
                    builder.append(name, labels, &[sample]);
                });
                (builder.finish(), left_out)
            }
        };
        let block = snappy::compress(&message).ok_or("it has 4 GiB or more")?;
        Ok((block.into(), left_out))
    }

    fn taken(&self, answered: &Answered, status: u16, left_out: LeftOut) -> Answer {
        if self.version == RemoteWriteVersion::V2 && !answered.headers.contains_key(SAMPLES_WRITTEN)
        {
            let reason = format!(
                "status {status}, but the receiver does not say how many samples it wrote: it may not know remote write 2.0"
            );
            return Answer::Pause { status: Some(status), is_beyond_usage: false, reason };
        }
        Answer::Delivered { status, left_out }
    }
}
