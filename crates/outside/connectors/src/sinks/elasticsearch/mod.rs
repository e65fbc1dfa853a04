//! The `elasticsearch` sink: documents of Elasticsearch and OpenSearch, written with `_bulk`.
//!
//! ```text
//! records ──> action line + payload (encode) ──> POST _bulk ──> a result per item (answer) ──> outcomes
//! ```
//! Payloads are copied as they are: the server parses them, and answers for each. A record is parsed
//! here only when the index, the id or the routing stand in it, or for `update`.
//!
//! What an item's status means:
//! - 2xx: delivered; so are 409 for `create` with an id, whose document is there already, and 404 for
//!   `delete`, whose document is gone already;
//! - 429, 5xx, and blocks of the cluster (a full disk): written again, alone;
//! - 404: the index is missing. It ends the flow, unless the index depends on the record;
//! - other 4xx: the record is rejected with the server's reason.

mod answer;
mod encode;
#[cfg(test)]
mod tests;

use async_trait::async_trait;
use levada_model::{ErrorClass, RecordBatch};
use levada_registry::{FieldPath, Report};
use levada_settings::{ByteSize, Duration};
use reqwest::Method;
use reqwest::header::{AUTHORIZATION, CONTENT_TYPE, HeaderMap, HeaderValue};
use schemars::JsonSchema;
use serde::Deserialize;

use crate::blocks::{BasicAuth, Bearer, Tls};
use crate::context::BuildContext;
use crate::http_client::{
    Caller, CallerSettings, Credentials, Endpoint, TIMEOUT_DEFAULT, check_timeout, check_tls,
    check_url,
};
use crate::mapping::{TextRule, check_path, check_text};
use crate::spec::{BuildError, SinkSpec};
use crate::traits::{Outcomes, Sink, SinkBatching, SinkError};

use encode::Encoder;

pub use crate::http_client::body::Gzip;
pub use crate::mapping::time::TimeUnit;

const RECORDS_DEFAULT: u32 = 1000;
/// Ours, as for other sinks: records without a payload do not count against the bytes.
const RECORDS_CEILING: u32 = 100_000;
/// Source: Elastic's and OpenSearch's guides to bulk sizes, 5 to 15 MiB.
const BYTES_DEFAULT: ByteSize = ByteSize::mib(10);
const BYTES_CEILING: ByteSize = ByteSize::mib(1024);
const LINGER_DEFAULT: Duration = Duration::from_secs(1);

/// Bytes of an answer that are read. Ours: 100,000 items with long reasons stay below.
const ANSWER_MAX: usize = 64 << 20;

/// Settings of the `elasticsearch` sink.
#[derive(Debug, Default, Clone, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(default, rename_all = "camelCase")]
#[schemars(rename = "ElasticsearchSink")]
pub struct Spec {
    /// Addresses of nodes of one cluster, such as `https://es-1:9200`; the next one is used when one
    /// fails. Required.
    pub urls: Vec<String>,
    /// The index, alias or data stream. It may hold `{PATH}`, `{metadata.KEY}`, `{date}`, `{hour}` and
    /// `{date:%Y.%m.%d}`, or be a path such as `$.index`. Required.
    pub index: String,
    /// Path of the document's id, such as `order.id`; it makes writes idempotent. Default: the server
    /// makes ids.
    pub id: String,
    /// What is done with each record: `index` replaces the document with the same id, `create` leaves it,
    /// `update` changes its fields or makes it, `delete` deletes it; the last two need `id`. Data streams
    /// take `create` only. Default `index`.
    pub op_type: OpType,
    /// Ingest pipeline. Default: that of the index.
    pub pipeline: String,
    /// Routing: a text, a path such as `$.customer` or a template. Records without it are not routed.
    /// Default: none.
    pub routing: String,
    /// Path of the time that `{date}` and `{hour}` are of. Default: when the record was received.
    pub timestamp: String,
    /// The unit of times that are numbers: `auto`, `s`, `ms`, `us` or `ns`; `auto` tells by the size, rightly
    /// from 1973 to 5138. Default `auto`.
    pub timestamp_unit: TimeUnit,
    /// Credentials. Default: none.
    pub auth: Option<Auth>,
    /// TLS towards the servers. Default: the system's CAs.
    pub tls: Option<Tls>,
    /// How long a request may take, its answer included. Default `30s`.
    pub timeout: Option<Duration>,
    /// How bodies are compressed: `none` or `gzip`. Default `none`.
    pub compression: Gzip,
    /// Records of a request at most. Default 1000, at most 100000.
    pub batch_size: Option<u32>,
    /// Bytes of a request at most, before compression; a larger record goes alone. Default `10MiB`, at
    /// most `1GiB`.
    pub max_bytes: Option<ByteSize>,
    /// How long the first record of a batch waits for others. Default `1s`.
    pub linger: Option<Duration>,
}

/// What is done with each record.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum OpType {
    /// Writes the document; one with the same id is replaced.
    #[default]
    Index,
    /// Writes the document unless there is one with the same id.
    Create,
    /// Changes the fields of the document with this id that the record has, or makes it. Needs `id`.
    Update,
    /// Deletes the document with this id. Needs `id`.
    Delete,
}

/// Credentials; one of the fields.
#[derive(Debug, Default, Clone, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(default, rename_all = "camelCase")]
#[schemars(rename = "ElasticsearchAuth")]
pub struct Auth {
    /// User name and password.
    pub basic: Option<BasicAuth>,
    /// A bearer token.
    pub bearer: Option<Bearer>,
    /// An API key as the server encoded it.
    pub api_key: Option<Bearer>,
}

struct ElasticsearchSink {
    caller: Caller,
    encoder: Encoder,
    op_type: OpType,
    has_id: bool,
    /// The index, when every record has the same.
    fixed_index: Option<String>,
    bytes_max: usize,
    ctx: BuildContext,
    answers: answer::Answers,
}

// === impl Spec ===

impl SinkSpec for Spec {
    const NAME: &'static str = "elasticsearch";
    const SUMMARY: &'static str = "Writes documents to Elasticsearch or OpenSearch";
    const ALIASES: &'static [&'static str] = &["opensearch"];

    fn check(&self, at: &FieldPath, report: &mut Report) {
        if self.urls.is_empty() {
            report.required(&at.child("urls"), "give the address of at least one node");
        }
        for (index, url) in self.urls.iter().enumerate() {
            check_url(url, self.auth.is_some(), &at.child("urls").index(index), report);
        }
        if self.index.is_empty() {
            report.required(&at.child("index"), "index is required");
        }
        check_text(&self.index, &at.child("index"), report);
        check_text(&self.routing, &at.child("routing"), report);
        check_path(&self.id, &at.child("id"), report);
        check_path(&self.timestamp, &at.child("timestamp"), report);
        if matches!(self.op_type, OpType::Update | OpType::Delete) && self.id.is_empty() {
            report.required(&at.child("id"), "opType update and delete need to know the document");
        }
        if !self.timestamp.is_empty()
            && TextRule::compile(&self.index).is_ok_and(|index| !index.has_date())
        {
            let text = "has no effect: index holds neither `{date}` nor `{hour}`";
            report.warning(&at.child("timestamp"), text.into());
        }
        if let Some(auth) = &self.auth {
            auth.check(&at.child("auth"), report);
        }
        check_tls(self.tls.as_ref(), at, report);
        check_timeout(self.timeout, at, report);
        if self.batch_size.is_some_and(|size| !(1..=RECORDS_CEILING).contains(&size)) {
            let size = self.batch_size.unwrap_or_default();
            report.invalid(&at.child("batchSize"), size, "must be from 1 to 100000");
        }
        if let Some(size) = self.max_bytes
            && (size.bytes() == 0 || size > BYTES_CEILING)
        {
            report.invalid(&at.child("maxBytes"), size.to_string(), "must be from 1 byte to 1GiB");
        }
    }

    fn is_idempotent(&self) -> Option<bool> {
        Some(!self.id.is_empty())
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
        Ok(Box::new(ElasticsearchSink::new(self, ctx)?))
    }
}

impl Spec {
    fn bytes_max(&self) -> usize {
        self.max_bytes.unwrap_or(BYTES_DEFAULT).min(BYTES_CEILING).as_usize().max(1)
    }
}

impl Credentials for Auth {
    fn basic(&self) -> Option<&BasicAuth> {
        self.basic.as_ref()
    }

    fn tokens(&self) -> Vec<(&'static str, &'static str, Option<&Bearer>)> {
        vec![
            ("bearer", "Bearer", self.bearer.as_ref()),
            ("apiKey", "ApiKey", self.api_key.as_ref()),
        ]
    }
}

// === impl ElasticsearchSink ===

impl ElasticsearchSink {
    fn new(spec: Spec, ctx: &BuildContext) -> Result<Self, BuildError> {
        // Items in their order with their status, and reasons without stack traces.
        let parts = "errors,error.type,error.reason,items.*.status,items.*.error.type,\
                     items.*.error.reason,items.*.error.caused_by.reason";
        let query = [("filter_path", parts), ("pipeline", spec.pipeline.as_str())];
        let endpoint = |url: &String| Ok(Endpoint::new(url)?.with(&["_bulk"], &query));
        let endpoints: Vec<Endpoint> = spec
            .urls
            .iter()
            .map(endpoint)
            .collect::<Result<_, &str>>()
            .map_err(|text| BuildError::Invalid(text.to_owned()))?;
        if endpoints.is_empty() {
            return Err(BuildError::Invalid("urls is required".into()));
        }
        let mut headers = HeaderMap::new();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/x-ndjson"));
        let auth = spec.auth.clone().unwrap_or_default();
        if let Some(value) = auth.header().map_err(BuildError::Invalid)? {
            headers.insert(AUTHORIZATION, value);
        }
        let settings = CallerSettings {
            endpoints,
            method: Method::POST,
            headers,
            compression: spec.compression.into(),
            tls: spec.tls.clone(),
            timeout: spec.timeout.unwrap_or(TIMEOUT_DEFAULT).get(),
            waits: true,
        };
        let encoder = Encoder::new(&spec).map_err(BuildError::Invalid)?;
        Ok(ElasticsearchSink {
            caller: Caller::new(settings, ctx),
            fixed_index: encoder.fixed_index().map(str::to_owned),
            encoder,
            op_type: spec.op_type,
            has_id: !spec.id.is_empty(),
            bytes_max: spec.bytes_max(),
            ctx: ctx.clone(),
            answers: answer::Answers::default(),
        })
    }

    /// Sends the body that was made, and answers for its records.
    async fn send(&mut self, outcomes: &mut Outcomes) -> Result<(), SinkError> {
        let body = self.encoder.take_body();
        let target = self.caller.target().to_owned();
        let answer = self.caller.send(body, ANSWER_MAX).await?;
        if !answer.status.is_success() {
            return Err(answer.failure(&target));
        }
        let rules = answer::Rules {
            target: &target,
            op_type: self.op_type,
            has_id: self.has_id,
            fixed_index: self.fixed_index.as_deref(),
        };
        self.answers.judge(&rules, &answer, self.encoder.sent(), outcomes)
    }
}

#[async_trait]
impl Sink for ElasticsearchSink {
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
        let received = match batch.received_at {
            time if time == Default::default() => self.ctx.clock.now(),
            time => time,
        };
        self.encoder.clear();
        for (index, is_resolved) in is_resolved.iter().enumerate() {
            if !is_resolved && let Err(error) = self.encoder.push(batch, index, received) {
                outcomes.rejected(index, error);
            }
            let is_last = index + 1 == batch.len();
            if self.encoder.is_empty() || !is_last && self.encoder.len() < self.bytes_max {
                continue;
            }
            // What follows waits for items that must be written again: of two documents with one id the
            // later one has to win.
            self.send(outcomes).await?;
            self.encoder.clear();
        }
        Ok(())
    }

    async fn close(&mut self) -> Result<(), SinkError> {
        self.caller.close();
        Ok(())
    }
}
