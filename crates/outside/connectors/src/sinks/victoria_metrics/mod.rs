//! The `victoriaMetrics` sink: samples for VictoriaMetrics, or for whatever takes remote write.
//!
//! ```text
//! record ──> labels, time, values (mapping) ──> series of the batch ──> one body (body) ──> POST
//! ```
//! - A record gives samples of one metric (`metric`), or one for each of its numbers (`prefix`). It is
//!   delivered or rejected whole.
//! - Samples of one series stand together in a request, whatever records they come from.
//! - Values are 64-bit floats, as in every store of this kind: whole numbers beyond 2^53 are rounded.
//!   NaN, infinities and numbers out of range are rejected; booleans are 1 and 0.
//! - The server takes requests as a whole and drops what it does not like without a word. So what it would
//!   drop is rejected here: bad names, too many labels, long values of labels, times before 1970, more
//!   than two days ahead, or older than `retention`.
//!
//! What else happens: 400, 413 and 422 are about the records, and smaller batches are sent until it is
//! known about which; 401 and 403 are credentials; 408, 429 and 5xx are tried again, after `Retry-After`
//! when there is one.

mod body;
mod mapping;
mod series;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;

use async_trait::async_trait;
use levada_codec::prometheus::is_label_name;
use levada_model::{ErrorClass, RecordBatch};
use levada_registry::{FieldPath, Report};
use levada_settings::{ByteSize, Duration};
use reqwest::Method;
use reqwest::header::{
    AUTHORIZATION, CONTENT_ENCODING, CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue,
};
use schemars::JsonSchema;
use serde::Deserialize;

use crate::blocks::Tls;
use crate::context::BuildContext;
use crate::http_client::{
    ANSWER_BYTES_MAX, Caller, CallerSettings, Credentials as _, Endpoint, TIMEOUT_DEFAULT,
    check_timeout, check_tls, check_url,
};
use crate::mapping::{NamedTexts, check_path, check_text};
use crate::spec::{BuildError, SinkSpec};
use crate::traits::{Outcomes, Sink, SinkBatching, SinkError};

use mapping::Mapping;
use series::SeriesSet;

pub use crate::http_client::auth::Auth;
pub use crate::http_client::body::Gzip;
pub use crate::mapping::time::TimeUnit;

const RECORDS_DEFAULT: u32 = 1000;
/// Ours, as for other sinks.
const RECORDS_CEILING: u32 = 100_000;
/// Samples of a record repeat its labels, so a body can be some times as large; servers take 32 MiB.
const BYTES_DEFAULT: ByteSize = ByteSize::mib(4);
const BYTES_CEILING: ByteSize = ByteSize::mib(1024);
const LINGER_DEFAULT: Duration = Duration::from_secs(1);

/// Source: VictoriaMetrics, `-maxLabelsPerTimeseries`: the labels above are dropped there.
const LABELS_DEFAULT: u32 = 30;
/// Source: VictoriaMetrics, `-maxLabelValueLen` of the versions with the lowest limit, which cut there.
const LABEL_BYTES_DEFAULT: u32 = 1024;

/// Settings of the `victoriaMetrics` sink.
#[derive(Debug, Default, Clone, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(default, rename_all = "camelCase")]
#[schemars(rename = "VictoriaMetricsSink")]
pub struct Spec {
    /// Address of the server, such as `http://vm:8428`, or of a tenant of a cluster, such as
    /// `http://vminsert:8480/insert/0/prometheus`. Required.
    pub url: String,
    /// The API that is used: `import` (`/api/v1/import`), `prometheus` (`/api/v1/import/prometheus`) or
    /// `remoteWrite` (`/api/v1/write`, which other servers know too). Default `import`.
    pub mode: Mode,
    /// Name of the metric: a text, a path such as `$.name` or a template. Required, unless `prefix` is
    /// set.
    pub metric: String,
    /// Path of the value, with `metric`. Default `value`.
    pub value: String,
    /// Path of an array of values, with `metric`; `timestamp` then is that of an array as long. Default:
    /// none.
    pub values: String,
    /// Start of the names of metrics: there is one for each number of a record, called by this and the
    /// field's name. It may be a template such as `host_{metric}_`, or empty. Default: none.
    pub prefix: Option<String>,
    /// Paths of the numbers, with `prefix`; the last key is the field's name. Default: every number and
    /// boolean at the top of the record that has no other use.
    pub fields: Vec<String>,
    /// Labels by name: a text, a path or a template each. Records without one do not have that label.
    /// Default: none.
    pub labels: BTreeMap<String, String>,
    /// Paths of objects whose members become labels under their own names. Default: none.
    pub labels_from: Vec<String>,
    /// Labels of every sample; they win over others. Default: none.
    pub extra_labels: BTreeMap<String, String>,
    /// Path of the time. Default: when the record was received.
    pub timestamp: String,
    /// The unit of times that are numbers: `auto`, `s`, `ms`, `us` or `ns`; `auto` tells by the size, rightly
    /// from 1973 to 5138. Default `auto`.
    pub timestamp_unit: TimeUnit,
    /// What becomes of names that Prometheus does not allow: `sanitize` puts `_` for what may not stand
    /// there, `reject` rejects the record. Default `sanitize`.
    pub names: Names,
    /// Records with more labels are rejected; the server drops those above its own limit. Default 30.
    pub max_labels: Option<u32>,
    /// Records with a longer value of a label, in bytes, are rejected; the server cuts at its own
    /// limit. Default 1024.
    pub max_label_bytes: Option<u32>,
    /// Records older than this are rejected; the server drops what is older than its retention.
    /// Default: no limit.
    pub retention: Option<Duration>,
    /// Credentials. Default: none.
    pub auth: Option<Auth>,
    /// TLS towards the server. Default: the system's CAs.
    pub tls: Option<Tls>,
    /// How long a request may take, its answer included. Default `30s`.
    pub timeout: Option<Duration>,
    /// How bodies are compressed: `none` or `gzip`; those of `remoteWrite` always are. Default `none`.
    pub compression: Gzip,
    /// Records of a request at most. Default 1000, at most 100000.
    pub batch_size: Option<u32>,
    /// Payload bytes of a request at most; a larger record goes alone. Default `4MiB`, at most `1GiB`.
    pub max_bytes: Option<ByteSize>,
    /// How long the first record of a batch waits for others. Default `1s`.
    pub linger: Option<Duration>,
}

/// The API that is used.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum Mode {
    /// JSON lines, `/api/v1/import`.
    #[default]
    Import,
    /// The text format, `/api/v1/import/prometheus`.
    Prometheus,
    /// Remote write 1.0, `/api/v1/write`; other servers know it too.
    RemoteWrite,
}

/// What becomes of names that Prometheus does not allow.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum Names {
    /// Characters that are not allowed become `_`.
    #[default]
    Sanitize,
    /// The record is rejected.
    Reject,
}

struct VictoriaMetricsSink {
    caller: Caller,
    mode: Mode,
    mapping: Mapping,
    series: SeriesSet,
    ctx: BuildContext,
    /// The records whose samples are in `series`.
    taken: Vec<usize>,
}

// === impl Spec ===

impl Spec {
    fn check_mapping(&self, at: &FieldPath, report: &mut Report) {
        match (self.metric.is_empty(), &self.prefix) {
            (true, None) => report.required(&at.child("metric"), "set metric or prefix"),
            (false, Some(_)) => {
                report.forbidden(&at.child("prefix"), "only one of metric, prefix may be set");
            }
            _ => {}
        }
        check_text(&self.metric, &at.child("metric"), report);
        check_text(self.prefix.as_deref().unwrap_or_default(), &at.child("prefix"), report);
        check_path(&self.value, &at.child("value"), report);
        check_path(&self.values, &at.child("values"), report);
        check_path(&self.timestamp, &at.child("timestamp"), report);
        if !self.value.is_empty() && !self.values.is_empty() {
            report.forbidden(&at.child("values"), "only one of value, values may be set");
        }
        if !self.values.is_empty() && self.timestamp.is_empty() {
            let detail = "values need times: give the path of an array as long";
            report.required(&at.child("timestamp"), detail);
        }
        for (field, is_set) in [("value", &self.value), ("values", &self.values)] {
            if self.prefix.is_some() && !is_set.is_empty() {
                report.warning(&at.child(field), "has no effect with prefix; see fields".into());
            }
        }
        if self.prefix.is_none() && !self.fields.is_empty() {
            report.warning(&at.child("fields"), "has no effect without prefix".into());
        }
        for (index, path) in self.fields.iter().enumerate() {
            let at = at.child("fields").index(index);
            if path.is_empty() {
                report.required(&at, "give the path of a number");
            }
            check_path(path, &at, report);
        }
    }

    fn check_labels(&self, at: &FieldPath, report: &mut Report) {
        let (labels, objects) = (at.child("labels"), at.child("labelsFrom"));
        NamedTexts::check(&self.labels, &labels, &self.labels_from, &objects, report);
        let extra = at.child("extraLabels");
        for (at, names) in [(&labels, &self.labels), (&extra, &self.extra_labels)] {
            for name in names.keys().filter(|name| !is_label_name(name) || name.starts_with("__")) {
                let detail = "labels are called [a-zA-Z_][a-zA-Z0-9_]* and do not begin with `__`";
                report.error(&at.key(name), format!("Invalid value: {detail}"));
            }
        }
        for (field, value) in
            [("maxLabels", self.max_labels), ("maxLabelBytes", self.max_label_bytes)]
        {
            if value == Some(0) {
                report.invalid(&at.child(field), 0, "must be greater than zero");
            }
        }
    }

    fn bytes_max(&self) -> usize {
        self.max_bytes.unwrap_or(BYTES_DEFAULT).min(BYTES_CEILING).as_usize().max(1)
    }
}

impl SinkSpec for Spec {
    const NAME: &'static str = "victoriaMetrics";
    const SUMMARY: &'static str =
        "Writes samples to VictoriaMetrics, or by Prometheus remote write";

    fn check(&self, at: &FieldPath, report: &mut Report) {
        check_url(&self.url, self.auth.is_some(), &at.child("url"), report);
        self.check_mapping(at, report);
        self.check_labels(at, report);
        if let Some(auth) = &self.auth {
            auth.check(&at.child("auth"), report);
        }
        check_tls(self.tls.as_ref(), at, report);
        check_timeout(self.timeout, at, report);
        if self.mode == Mode::RemoteWrite && self.compression != Gzip::None {
            let text = "has no effect: remote write is compressed by its own method";
            report.warning(&at.child("compression"), text.into());
        }
        if let Some(size) = self.batch_size
            && !(1..=RECORDS_CEILING).contains(&size)
        {
            report.invalid(&at.child("batchSize"), size, "must be from 1 to 100000");
        }
        if let Some(size) = self.max_bytes
            && (size.bytes() == 0 || size > BYTES_CEILING)
        {
            report.invalid(&at.child("maxBytes"), size.to_string(), "must be from 1 byte to 1GiB");
        }
    }

    fn is_idempotent(&self) -> Option<bool> {
        // The same sample twice is there twice, unless the server deduplicates.
        Some(false)
    }

    fn batching(&self) -> SinkBatching {
        let records = self.batch_size.unwrap_or(RECORDS_DEFAULT).clamp(1, RECORDS_CEILING);
        SinkBatching {
            records: records as usize,
            bytes: self.bytes_max(),
            linger: self.linger.unwrap_or(LINGER_DEFAULT).get(),
        }
    }

    fn build(self, ctx: &BuildContext) -> Result<Box<dyn Sink>, BuildError> {
        Ok(Box::new(VictoriaMetricsSink::new(self, ctx)?))
    }
}

impl Mode {
    fn path(self) -> &'static [&'static str] {
        match self {
            Mode::Import => &["api", "v1", "import"],
            Mode::Prometheus => &["api", "v1", "import", "prometheus"],
            Mode::RemoteWrite => &["api", "v1", "write"],
        }
    }

    fn headers(self) -> HeaderMap {
        let mut headers = HeaderMap::new();
        let content_type = match self {
            Mode::Import => "application/x-ndjson",
            Mode::Prometheus => "text/plain; version=0.0.4; charset=utf-8",
            Mode::RemoteWrite => {
                headers.insert(CONTENT_ENCODING, HeaderValue::from_static("snappy"));
                let version = HeaderName::from_static("x-prometheus-remote-write-version");
                headers.insert(version, HeaderValue::from_static("0.1.0"));
                "application/x-protobuf"
            }
        };
        headers.insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
        headers
    }
}

// === impl VictoriaMetricsSink ===

impl VictoriaMetricsSink {
    fn new(spec: Spec, ctx: &BuildContext) -> Result<Self, BuildError> {
        let endpoint =
            Endpoint::new(&spec.url).map_err(|text| BuildError::Invalid(text.to_owned()))?;
        let mut headers = spec.mode.headers();
        let auth = spec.auth.clone().unwrap_or_default();
        if let Some(value) = auth.header().map_err(BuildError::Invalid)? {
            headers.insert(AUTHORIZATION, value);
        }
        let compression = match spec.mode {
            Mode::RemoteWrite => Gzip::None,
            _ => spec.compression,
        };
        let settings = CallerSettings {
            endpoints: vec![endpoint.with(spec.mode.path(), &[])],
            method: Method::POST,
            headers,
            compression: compression.into(),
            tls: spec.tls.clone(),
            timeout: spec.timeout.unwrap_or(TIMEOUT_DEFAULT).get(),
            waits: true,
        };
        Ok(VictoriaMetricsSink {
            caller: Caller::new(settings, ctx),
            mode: spec.mode,
            mapping: Mapping::new(&spec).map_err(BuildError::Invalid)?,
            series: SeriesSet::default(),
            ctx: ctx.clone(),
            taken: Vec::new(),
        })
    }

    async fn send(&mut self) -> Result<(), SinkError> {
        let mut from = 0;
        // More than one request only when many samples come of few records. When a later one fails, the
        // samples of the earlier ones are written again, which changes nothing in the store.
        while from < self.series.len() {
            let (body, to) = body::encode(self.mode, &self.series, from)?;
            from = to;
            let target = self.caller.target().to_owned();
            let answer = self.caller.send(body, ANSWER_BYTES_MAX).await?;
            if !answer.status.is_success() {
                return Err(answer.failure(&target));
            }
        }
        Ok(())
    }
}

#[async_trait]
impl Sink for VictoriaMetricsSink {
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
        let now = self.ctx.clock.now();
        let received = match batch.received_at {
            time if time == Default::default() => now,
            time => time,
        };
        let is_resolved = outcomes.resolved_flags(batch.len());
        self.series.clear();
        self.taken.clear();
        for index in (0..batch.len()).filter(|index| !is_resolved[*index]) {
            match self.mapping.push(batch, index, received, now, &mut self.series) {
                Ok(()) => self.taken.push(index),
                Err(error) => outcomes.rejected(index, error),
            }
        }
        self.send().await?;
        for &index in &self.taken {
            outcomes.delivered(index..index + 1);
        }
        Ok(())
    }

    async fn close(&mut self) -> Result<(), SinkError> {
        self.caller.close();
        Ok(())
    }
}
