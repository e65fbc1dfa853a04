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

pub(crate) mod encode;
mod sink;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;

use levada_registry::{FieldPath, Report};
use levada_settings::{ByteSize, Duration};
use schemars::JsonSchema;
use serde::Deserialize;

use crate::blocks::{BasicAuth, Bearer, Tls};
use crate::context::BuildContext;
use crate::http_client::{Credentials, check_timeout, check_tls, check_url};
use crate::mapping::{NamedTexts, check_path, check_text};
use crate::spec::{BuildError, SinkSpec};
use crate::traits::{Sink, SinkBatching};

use sink::InfluxdbSink;

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
    /// How numbers are written: `asWritten` (`5` is an integer, `5.0` a float) or `float` (all are floats).
    /// Default `asWritten`.
    pub numbers: Numbers,
    /// The server knows unsigned integers: whole numbers above 2^63 - 1 are written as such. Without it
    /// records with them are rejected. Default `false`.
    pub unsigned: bool,
    /// Path of the time. Default: when the record was received.
    pub timestamp: String,
    /// The unit of times that are numbers: `auto`, `s`, `ms`, `us` or `ns`; `auto` tells by the size, rightly
    /// from 1973 to 5138. Default `auto`.
    pub timestamp_unit: TimeUnit,
    /// The precision of written times, `ns`, `us`, `ms` or `s`; what is finer is cut off. Default `ns`.
    pub precision: Precision,
    /// Credentials. Default: none.
    pub auth: Option<Auth>,
    /// TLS towards the server. Default: the system's CAs.
    pub tls: Option<Tls>,
    /// How long a request may take, its answer included. Default `30s`.
    pub timeout: Option<Duration>,
    /// How bodies are compressed: `none` or `gzip`. Default `none`.
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

    pub(crate) fn check_mapping(&self, at: &FieldPath, report: &mut Report) {
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
