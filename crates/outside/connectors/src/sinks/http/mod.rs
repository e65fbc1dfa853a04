//! The `http` sink: sends records in requests.
//!
//! Any status from 200 to 299 delivers the records of a request. What else happens:
//! - tried again until it passes: no connection, no answer in time, 408, 425, 429, 5xx;
//! - about the records: 400, 413, 422. The engine sends smaller batches until it has found which;
//! - final: 401, 403 and certificates (credentials); redirects, 404, 405 and the rest (the address).
//!
//! Redirects are not followed and proxies of the environment are not used: records go where `url`
//! says. Of an answer 64 KiB are read and 200 bytes shown.

mod encode;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;

use async_trait::async_trait;
use levada_model::{ErrorClass, RecordBatch, RecordError};
use levada_registry::{FieldPath, Report};
use levada_settings::{ByteSize, Duration, Secret};
use reqwest::Method;
use reqwest::header::{
    AUTHORIZATION, CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_TYPE, HOST, HeaderMap, HeaderName,
    HeaderValue, TRANSFER_ENCODING,
};
use schemars::JsonSchema;
use serde::Deserialize;

use crate::blocks::Tls;
use crate::context::BuildContext;
use crate::http_client::{
    ANSWER_BYTES_MAX, Caller, CallerSettings, Credentials as _, Endpoint, TIMEOUT_DEFAULT,
    check_timeout, check_tls, check_url,
};
use crate::spec::{BuildError, SinkSpec};
use crate::traits::{Outcomes, Sink, SinkBatching, SinkError};

pub use crate::http_client::auth::Auth;
pub use crate::http_client::body::Compression;
pub use encode::Format;

const RECORDS_DEFAULT: u32 = 1000;
/// Ours, as for the sinks of the original: records without a payload do not count against the bytes.
const RECORDS_CEILING: u32 = 100_000;
const BYTES_DEFAULT: ByteSize = ByteSize::mib(4);
const BYTES_CEILING: ByteSize = ByteSize::mib(1024);
const LINGER_DEFAULT: Duration = Duration::from_secs(1);

/// Settings of the `http` sink.
#[derive(Debug, Default, Clone, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(default, rename_all = "camelCase")]
pub struct Spec {
    /// Where to send, `http://` or `https://`. Required.
    pub url: String,
    /// The method: `POST`, `PUT` or `PATCH`. Default `POST`.
    pub method: Option<String>,
    /// Headers of every request. Default: `Content-Type` of the format, and those of `auth` and
    /// `compression`.
    pub headers: BTreeMap<String, Secret<String>>,
    /// Credentials. Default: none.
    pub auth: Option<Auth>,
    /// How records become requests.
    pub batch: Batch,
    /// How bodies are compressed. Default `none`.
    pub compression: Compression,
    /// TLS towards the server. Default: the system's CAs.
    pub tls: Option<Tls>,
    /// How long a request may take, its answer included. Default `30s`.
    pub timeout: Option<Duration>,
}

/// How records become requests.
#[derive(Debug, Default, Clone, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(default, rename_all = "camelCase")]
pub struct Batch {
    /// Records of a request at most. Default 1000, at most 100000.
    pub records: Option<u32>,
    /// Payload bytes of a request at most; a larger record goes alone. Default `4MiB`, at most `1GiB`.
    pub bytes: Option<ByteSize>,
    /// How long the first record waits for others. Default `1s`.
    pub linger: Option<Duration>,
    /// How a request holds records. Default `ndjson`.
    pub format: Format,
}

struct HttpSink {
    caller: Caller,
    format: Format,
    body: Vec<u8>,
    sent: Vec<usize>,
}

// === impl Spec ===

impl Spec {
    fn method(&self) -> Option<Method> {
        match self.method.as_deref() {
            None | Some("POST") => Some(Method::POST),
            Some("PUT") => Some(Method::PUT),
            Some("PATCH") => Some(Method::PATCH),
            Some(_) => None,
        }
    }

    fn check_headers(&self, at: &FieldPath, report: &mut Report) {
        for (name, value) in &self.headers {
            let at = at.child("headers").key(name);
            if let Err(problem) = header(name, value) {
                report.error(&at, format!("Invalid value: {problem}"));
            } else if self.auth.is_some() && name.eq_ignore_ascii_case("authorization") {
                report.forbidden(&at, "auth sets this header");
            }
        }
    }

    fn check_limits(&self, at: &FieldPath, report: &mut Report) {
        let batch = at.child("batch");
        if let Some(records) = self.batch.records
            && !(1..=RECORDS_CEILING).contains(&records)
        {
            report.invalid(&batch.child("records"), records, "must be from 1 to 100000");
        }
        if let Some(size) = self.batch.bytes
            && (size.bytes() == 0 || size > BYTES_CEILING)
        {
            report.invalid(&batch.child("bytes"), size.to_string(), "must be from 1 byte to 1GiB");
        }
        check_timeout(self.timeout, at, report);
    }
}

impl SinkSpec for Spec {
    const NAME: &'static str = "http";
    const SUMMARY: &'static str = "Sends records in HTTP requests";

    fn check(&self, at: &FieldPath, report: &mut Report) {
        check_url(&self.url, self.auth.is_some(), &at.child("url"), report);
        if self.method().is_none() {
            let method = self.method.as_deref().unwrap_or_default();
            report.unsupported(&at.child("method"), method, ["POST", "PUT", "PATCH"]);
        }
        self.check_headers(at, report);
        if let Some(auth) = &self.auth {
            auth.check(&at.child("auth"), report);
        }
        self.check_limits(at, report);
        check_tls(self.tls.as_ref(), at, report);
    }

    fn batching(&self) -> SinkBatching {
        let records = self.batch.records.unwrap_or(RECORDS_DEFAULT).clamp(1, RECORDS_CEILING);
        SinkBatching {
            records: records as usize,
            bytes: self.batch.bytes.unwrap_or(BYTES_DEFAULT).min(BYTES_CEILING).as_usize(),
            linger: self.batch.linger.unwrap_or(LINGER_DEFAULT).get(),
        }
    }

    fn build(self, ctx: &BuildContext) -> Result<Box<dyn Sink>, BuildError> {
        Ok(Box::new(HttpSink::new(self, ctx)?))
    }
}

fn header(name: &str, value: &Secret<String>) -> Result<(HeaderName, HeaderValue), &'static str> {
    let name = name.parse::<HeaderName>().map_err(|_| "not a header name")?;
    if [CONTENT_LENGTH, TRANSFER_ENCODING, HOST, CONTENT_ENCODING].contains(&name) {
        return Err("this header is set by the sink");
    }
    let mut value = HeaderValue::from_str(value.expose())
        .map_err(|_| "header values hold no control characters")?;
    value.set_sensitive(true);
    Ok((name, value))
}

// === impl HttpSink ===

impl HttpSink {
    fn new(spec: Spec, ctx: &BuildContext) -> Result<Self, BuildError> {
        let invalid = |text: &str| BuildError::Invalid(text.to_owned());
        let endpoint = Endpoint::new(&spec.url).map_err(invalid)?;
        let method = spec.method().ok_or_else(|| invalid("method must be POST, PUT or PATCH"))?;
        let format = spec.batch.format;
        let mut headers = HeaderMap::new();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static(format.content_type()));
        for (name, value) in &spec.headers {
            let (name, value) = header(name, value)
                .map_err(|problem| BuildError::Invalid(format!("header `{name}`: {problem}")))?;
            headers.insert(name, value);
        }
        let auth = spec.auth.unwrap_or_default();
        if let Some(value) = auth.header().map_err(BuildError::Invalid)? {
            headers.insert(AUTHORIZATION, value);
        }
        let settings = CallerSettings {
            endpoints: vec![endpoint],
            method,
            headers,
            compression: spec.compression,
            tls: spec.tls,
            timeout: spec.timeout.unwrap_or(TIMEOUT_DEFAULT).get(),
            waits: false,
        };
        let caller = Caller::new(settings, ctx);
        Ok(HttpSink { caller, format, body: Vec::new(), sent: Vec::new() })
    }

    /// Sends the body that was made. A success counts from its status on: what happens to the body of
    /// the answer after it does not matter.
    async fn send(&mut self) -> Result<(), SinkError> {
        let body = std::mem::take(&mut self.body);
        let target = self.caller.target().to_owned();
        let answer = self.caller.send(body, ANSWER_BYTES_MAX).await?;
        if answer.status.is_success() { Ok(()) } else { Err(answer.failure(&target)) }
    }

    /// Sends one request per record. A record that is at fault is rejected, and the others go on.
    async fn write_each(
        &mut self,
        batch: &RecordBatch,
        wanted: &[usize],
        outcomes: &mut Outcomes,
    ) -> Result<(), SinkError> {
        for &index in wanted {
            self.body.clear();
            batch.print(index, &mut self.body);
            match self.send().await {
                Ok(()) => outcomes.delivered(index..index + 1),
                Err(error) if error.is_about_records => {
                    let SinkError { class, message, .. } = error;
                    outcomes.rejected(index, RecordError { class, message });
                }
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    async fn write_together(
        &mut self,
        batch: &RecordBatch,
        wanted: &[usize],
        outcomes: &mut Outcomes,
    ) -> Result<(), SinkError> {
        let wanted = wanted.iter().copied();
        encode::encode(self.format, batch, wanted, &mut self.body, &mut self.sent, outcomes);
        if self.sent.is_empty() {
            return Ok(());
        }
        self.send().await?;
        for &index in &self.sent {
            outcomes.delivered(index..index + 1);
        }
        Ok(())
    }
}

#[async_trait]
impl Sink for HttpSink {
    async fn open(&mut self) -> Result<(), SinkError> {
        self.caller.open().await
    }

    async fn write(
        &mut self,
        batch: &RecordBatch,
        outcomes: &mut Outcomes,
    ) -> Result<(), SinkError> {
        if !self.caller.is_open() {
            return Err(SinkError::new(ErrorClass::Unknown, "the sink is not open"));
        }
        let is_resolved = outcomes.resolved_flags(batch.len());
        let wanted: Vec<usize> = (0..batch.len()).filter(|index| !is_resolved[*index]).collect();
        match self.format {
            Format::Single => self.write_each(batch, &wanted, outcomes).await,
            _ => self.write_together(batch, &wanted, outcomes).await,
        }
    }

    async fn close(&mut self) -> Result<(), SinkError> {
        self.caller.close();
        Ok(())
    }
}
