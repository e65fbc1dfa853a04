//! The `influxdb` sink: points in line protocol, for InfluxDB 1.x (`/write`) and 2.x (`/api/v2/write`).
//!
//! ```text
//! record ──> measurement, tags, fields, time (encode) ──> one line ──┐
//!                                     lines of a batch <─────────────┘ ──> POST ──> halves until the
//!                                                                          refused lines stand alone
//! ```
//! - Whole numbers, numbers with a fraction, texts and booleans stay distinct. A record whose value no
//!   line can carry is rejected; nothing is rounded, cut or left out.
//! - A server that refuses some lines of a request has written the others. The same bytes are sent again
//!   in halves, so the points that were written are written over with themselves.
//! - Two records of one series with the same time are one point: that is InfluxDB's model. Records
//!   without a time get the time at which they were received, a nanosecond apart in their batch.
//!
//! What else happens: 401 and 403 are credentials; 404 is a missing database or bucket; 408, 429 and
//! 5xx are tried again, after `Retry-After` when there is one.

mod encode;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::ops::Range;

use async_trait::async_trait;
use levada_model::tree::Tree;
use levada_model::{ErrorClass, RecordBatch, RecordError};
use levada_registry::{FieldPath, Report};
use levada_settings::{ByteSize, Duration};
use reqwest::Method;
use reqwest::header::{AUTHORIZATION, CONTENT_TYPE, HeaderMap, HeaderValue};
use schemars::JsonSchema;
use serde::Deserialize;

use crate::blocks::{BasicAuth, Bearer, Tls};
use crate::context::BuildContext;
use crate::http_client::{
    ANSWER_BYTES_MAX, Answer, Caller, CallerSettings, Credentials, Endpoint, TIMEOUT_DEFAULT,
    check_timeout, check_tls, check_url, shown,
};
use crate::mapping::{NamedTexts, check_path, check_text};
use crate::spec::{BuildError, SinkSpec};
use crate::traits::{Outcomes, Sink, SinkBatching, SinkError};

use encode::{Encoder, Line};

pub use crate::http_client::body::Gzip;
pub use crate::mapping::time::TimeUnit;

/// Source: InfluxDB's guide to writing, batches of 5,000 lines.
const RECORDS_DEFAULT: u32 = 5000;
/// Ours, as for other sinks.
const RECORDS_CEILING: u32 = 100_000;
/// Below `max-body-size` of InfluxDB 1.x, which is 25 MB.
const BYTES_DEFAULT: ByteSize = ByteSize::mib(10);
const BYTES_CEILING: ByteSize = ByteSize::mib(1024);
const LINGER_DEFAULT: Duration = Duration::from_secs(1);

/// Settings of the `influxdb` sink.
#[derive(Debug, Default, Clone, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(default, rename_all = "camelCase")]
#[schemars(rename = "InfluxdbSink")]
pub struct Spec {
    /// Address of the server, such as `http://influx:8086`. Required.
    pub url: String,
    /// Database of InfluxDB 1.x. Required, unless `bucket` is set.
    pub database: String,
    /// Retention policy of the database. Default: the database's own default.
    pub retention_policy: String,
    /// Create the database when it does not exist; 1.x only. Default `false`.
    pub create_database: bool,
    /// Bucket of InfluxDB 2.x. Required, unless `database` is set.
    pub bucket: String,
    /// Organization of the bucket. Required with `bucket`.
    pub org: String,
    /// The measurement: a text, a path such as `$.metric` or a template such as `host_{metric}`.
    /// Required.
    pub measurement: String,
    /// Tags by name: a text, a path or a template each. Records without one do not have that tag.
    /// Default: none.
    pub tags: BTreeMap<String, String>,
    /// Paths of objects whose members become tags under their own names. Default: none.
    pub tags_from: Vec<String>,
    /// Paths of the fields; the last key is the field's name. Default: every text, number and boolean
    /// at the top of the record that has no other use.
    pub fields: Vec<String>,
    /// How numbers are written. Default `asWritten`.
    pub numbers: Numbers,
    /// The server knows unsigned integers: whole numbers above 2^63 - 1 are written as such. Without it
    /// records with them are rejected. Default `false`.
    pub unsigned: bool,
    /// Path of the time. Default: when the record was received.
    pub timestamp: String,
    /// The unit of times that are numbers. Default `auto`.
    pub timestamp_unit: TimeUnit,
    /// The precision of written times; what is finer is cut off. Default `ns`.
    pub precision: Precision,
    /// Credentials. Default: none.
    pub auth: Option<Auth>,
    /// TLS towards the server. Default: the system's CAs.
    pub tls: Option<Tls>,
    /// How long a request may take, its answer included. Default `30s`.
    pub timeout: Option<Duration>,
    /// How bodies are compressed. Default `none`.
    pub compression: Gzip,
    /// Records of a request at most. Default 5000, at most 100000.
    pub batch_size: Option<u32>,
    /// Bytes of a request at most, before compression; a longer line goes alone. Default `10MiB`, at
    /// most `1GiB`.
    pub max_bytes: Option<ByteSize>,
    /// How long the first record of a batch waits for others. Default `1s`.
    pub linger: Option<Duration>,
}

/// How numbers are written.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum Numbers {
    /// `5` is an integer and `5.0` a float.
    #[default]
    AsWritten,
    /// Every number is a float: for sources that write the same field now as `5`, now as `5.1`.
    Float,
}

/// The precision of written times.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
pub enum Precision {
    /// Nanoseconds.
    #[default]
    #[serde(rename = "ns")]
    Nanos,
    /// Microseconds.
    #[serde(rename = "us")]
    Micros,
    /// Milliseconds.
    #[serde(rename = "ms")]
    Millis,
    /// Seconds.
    #[serde(rename = "s")]
    Seconds,
}

/// Credentials; one of the fields.
#[derive(Debug, Default, Clone, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(default, rename_all = "camelCase")]
#[schemars(rename = "InfluxdbAuth")]
pub struct Auth {
    /// User name and password of InfluxDB 1.x.
    pub basic: Option<BasicAuth>,
    /// An API token of InfluxDB 2.x.
    pub token: Option<Bearer>,
}

struct InfluxdbSink {
    caller: Caller,
    encoder: Encoder,
    /// The database that may be created.
    create: Option<(Endpoint, String)>,
    /// What requests write to, for messages.
    place: String,
    bytes_max: usize,
    ctx: BuildContext,
    lines: Vec<Line>,
    body: Vec<u8>,
    tree: Tree,
}

// === impl Spec ===

impl Spec {
    fn check_place(&self, at: &FieldPath, report: &mut Report) {
        match (self.database.is_empty(), self.bucket.is_empty()) {
            (true, true) => {
                let detail = "set database (InfluxDB 1.x), or bucket and org (2.x)";
                report.required(&at.child("database"), detail);
            }
            (false, false) => report.forbidden(
                &at.child("bucket"),
                "database is set: only one of database, bucket may be set",
            ),
            (true, false) if self.org.is_empty() => {
                report.required(&at.child("org"), "bucket needs the organization it belongs to");
            }
            _ => {}
        }
        if self.database.is_empty() && self.create_database {
            report.warning(&at.child("createDatabase"), "has no effect without database".into());
        }
        if self.database.is_empty() && !self.retention_policy.is_empty() {
            report.warning(&at.child("retentionPolicy"), "has no effect without database".into());
        }
    }

    fn check_mapping(&self, at: &FieldPath, report: &mut Report) {
        if self.measurement.is_empty() {
            report.required(&at.child("measurement"), "measurement is required");
        }
        check_text(&self.measurement, &at.child("measurement"), report);
        let (tags, objects) = (at.child("tags"), at.child("tagsFrom"));
        NamedTexts::check(&self.tags, &tags, &self.tags_from, &objects, report);
        for name in ["", "time"] {
            if self.tags.contains_key(name) {
                report.error(
                    &tags.key(name),
                    format!("Invalid value: a tag cannot be called `{name}`"),
                );
            }
        }
        for (index, path) in self.fields.iter().enumerate() {
            let at = at.child("fields").index(index);
            if path.is_empty() {
                report.required(&at, "give the path of a field");
            }
            check_path(path, &at, report);
        }
        check_path(&self.timestamp, &at.child("timestamp"), report);
        if self.timestamp.is_empty() && self.precision != Precision::Nanos {
            let text = "records without a time of their own are a nanosecond apart, so in this \
                        precision those of one series replace each other; set timestamp, or leave \
                        precision out";
            report.warning(&at.child("precision"), text.into());
        }
    }

    fn bytes_max(&self) -> usize {
        self.max_bytes.unwrap_or(BYTES_DEFAULT).min(BYTES_CEILING).as_usize().max(1)
    }
}

impl SinkSpec for Spec {
    const NAME: &'static str = "influxdb";
    const SUMMARY: &'static str = "Writes points to InfluxDB 1.x or 2.x";

    fn check(&self, at: &FieldPath, report: &mut Report) {
        check_url(&self.url, self.auth.is_some(), &at.child("url"), report);
        self.check_place(at, report);
        self.check_mapping(at, report);
        if let Some(auth) = &self.auth {
            auth.check(&at.child("auth"), report);
        }
        check_tls(self.tls.as_ref(), at, report);
        check_timeout(self.timeout, at, report);
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
        // A point with the same series and time replaces the one that is there.
        Some(!self.timestamp.is_empty())
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
        Ok(Box::new(InfluxdbSink::new(self, ctx)?))
    }
}

impl Credentials for Auth {
    fn basic(&self) -> Option<&BasicAuth> {
        self.basic.as_ref()
    }

    fn tokens(&self) -> Vec<(&'static str, &'static str, Option<&Bearer>)> {
        vec![("token", "Token", self.token.as_ref())]
    }
}

impl Precision {
    /// Gives the word that both versions of the API know: 1.x has none for microseconds but `u`.
    fn word(self, is_v2: bool) -> &'static str {
        match self {
            Precision::Nanos => "ns",
            Precision::Micros if is_v2 => "us",
            Precision::Micros => "u",
            Precision::Millis => "ms",
            Precision::Seconds => "s",
        }
    }
}

// === impl InfluxdbSink ===

impl InfluxdbSink {
    fn new(spec: Spec, ctx: &BuildContext) -> Result<Self, BuildError> {
        let base = Endpoint::new(&spec.url).map_err(|text| BuildError::Invalid(text.to_owned()))?;
        let is_v2 = !spec.bucket.is_empty();
        let precision = spec.precision.word(is_v2);
        let (endpoint, place) = if is_v2 {
            let query = [("org", &*spec.org), ("bucket", &*spec.bucket), ("precision", precision)];
            let place = format!("bucket `{}` of `{}`", spec.bucket, spec.org);
            (base.clone().with(&["api", "v2", "write"], &query), place)
        } else {
            let policy = &*spec.retention_policy;
            let query = [("db", &*spec.database), ("rp", policy), ("precision", precision)];
            (base.clone().with(&["write"], &query), format!("database `{}`", spec.database))
        };
        let create = (!is_v2 && spec.create_database).then(|| {
            let name = spec.database.replace('\\', "\\\\").replace('"', "\\\"");
            let statement = format!("CREATE DATABASE \"{name}\"");
            (base.with(&["query"], &[("q", &*statement)]), spec.database.clone())
        });
        let mut headers = HeaderMap::new();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
        let auth = spec.auth.clone().unwrap_or_default();
        if let Some(value) = auth.header().map_err(BuildError::Invalid)? {
            headers.insert(AUTHORIZATION, value);
        }
        let settings = CallerSettings {
            endpoints: vec![endpoint],
            method: Method::POST,
            headers,
            compression: spec.compression.into(),
            tls: spec.tls.clone(),
            timeout: spec.timeout.unwrap_or(TIMEOUT_DEFAULT).get(),
            waits: true,
        };
        Ok(InfluxdbSink {
            caller: Caller::new(settings, ctx),
            encoder: Encoder::new(&spec).map_err(BuildError::Invalid)?,
            create,
            place,
            bytes_max: spec.bytes_max(),
            ctx: ctx.clone(),
            lines: Vec::new(),
            body: Vec::new(),
            tree: Tree::default(),
        })
    }

    /// Gives how many lines from `from` on fit into a request; one at least.
    fn fitting(&self, from: usize) -> usize {
        let most = self.lines[from].start + self.bytes_max;
        let rest = &self.lines[from..];
        rest.iter().take_while(|line| line.end <= most).count().max(1)
    }

    /// Sends lines, in halves when some of them are refused.
    async fn send(
        &mut self,
        lines: Range<usize>,
        outcomes: &mut Outcomes,
    ) -> Result<(), SinkError> {
        let mut parts = vec![lines];
        let mut may_create = self.create.is_some();
        while let Some(part) = parts.pop() {
            let bytes = self.lines[part.start].start..self.lines[part.end - 1].end;
            let target = self.caller.target().to_owned();
            let body = self.body[bytes].to_vec();
            let answer = self.caller.send(body, ANSWER_BYTES_MAX).await?;
            if answer.status.is_success() {
                for line in &self.lines[part] {
                    outcomes.delivered(line.record..line.record + 1);
                }
                continue;
            }
            if answer.status.as_u16() == 404 && may_create {
                may_create = false;
                self.create_database().await?;
                parts.push(part);
                continue;
            }
            let reason = self.reason(&answer);
            let error = self.judge(&answer, &target, &reason);
            if !error.is_about_records {
                return Err(error);
            }
            if part.len() == 1 || dropped(&reason) == Some(part.len()) {
                for line in &self.lines[part] {
                    let message = format!("refused by the server: {reason}");
                    outcomes.rejected(line.record, RecordError::invalid(message));
                }
                continue;
            }
            let middle = part.start + part.len() / 2;
            parts.extend([middle..part.end, part.start..middle]);
        }
        Ok(())
    }

    async fn create_database(&mut self) -> Result<(), SinkError> {
        let Some((endpoint, name)) = self.create.clone() else { return Ok(()) };
        let body = Vec::new();
        let answer = self.caller.send_to(Method::POST, &endpoint, body, ANSWER_BYTES_MAX).await?;
        if !answer.status.is_success() {
            return Err(SinkError { is_about_records: false, ..answer.failure(&endpoint.shown) });
        }
        tracing::info!(database = name, "database created");
        Ok(())
    }

    /// Makes the error of an answer that is no success.
    fn judge(&self, answer: &Answer, target: &str, reason: &str) -> SinkError {
        let error = answer.failure(target);
        let place = &self.place;
        let stop = |hint: String| SinkError::new(ErrorClass::Unknown, hint);
        match answer.status.as_u16() {
            404 => stop(format!(
                "`{target}`: there is no {place}, or this user cannot see it: {reason}"
            )),
            // 1.x answers 500 to what no later try can heal.
            500 if reason.starts_with("retention policy not found") => {
                stop(format!("`{target}`: {reason}; see the setting retentionPolicy"))
            }
            _ => error,
        }
    }

    /// Gives what the server says is wrong: `error` of 1.x, `message` of 2.x.
    fn reason(&mut self, answer: &Answer) -> String {
        const REASON_BYTES_MAX: usize = 400;
        let body = &answer.body[..];
        self.tree.clear();
        let text = std::str::from_utf8(body).ok().and_then(|_| {
            let root = self.tree.parse(body, 0, body.len() as u32).ok()?;
            let member = |key: &[u8]| self.tree.member(body, root, key);
            self.tree.string(body, member(b"error").or_else(|| member(b"message"))?)
        });
        let Some(text) = text else { return shown(body) };
        let mut text: String = text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
        if text.len() > REASON_BYTES_MAX {
            // The number of dropped points stands at the end.
            let end = text.rfind("dropped=").filter(|_| dropped(&text).is_some());
            let tail = end.map_or(String::new(), |end| text[end..].to_owned());
            text.truncate(text.floor_char_boundary(REASON_BYTES_MAX));
            text.push('…');
            text.push_str(&tail);
        }
        text
    }
}

/// Gives how many points a server dropped, when it says so.
///
/// Source: InfluxDB 1.x `tsdb.PartialWriteError`; lines that could not be read are not counted.
fn dropped(reason: &str) -> Option<usize> {
    let (_, count) = reason.rsplit_once("dropped=")?;
    count.trim().parse().ok().filter(|&count| count > 0)
}

#[async_trait]
impl Sink for InfluxdbSink {
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
        let received = match batch.received_at {
            time if time == Default::default() => self.ctx.clock.now(),
            time => time,
        };
        let is_resolved = outcomes.resolved_flags(batch.len());
        self.lines.clear();
        self.body.clear();
        for index in (0..batch.len()).filter(|index| !is_resolved[*index]) {
            let start = self.body.len();
            match self.encoder.push(batch, index, received, &mut self.body) {
                Ok(()) => {
                    self.lines.push(Line { record: index, start, end: self.body.len() });
                }
                Err(error) => outcomes.rejected(index, error),
            }
        }
        let mut from = 0;
        while from < self.lines.len() {
            let to = from + self.fitting(from);
            self.send(from..to, outcomes).await?;
            from = to;
        }
        Ok(())
    }

    async fn close(&mut self) -> Result<(), SinkError> {
        self.caller.close();
        Ok(())
    }
}
