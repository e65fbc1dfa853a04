//! The `kafka` sink: records become messages of one topic.
//!
//! - A batch is put into the client as a whole and written when every message has its delivery report;
//!   the client keeps up to five requests per broker under way, in order, and sends them again without
//!   doubling (idempotent).
//! - Key, headers, time and tombstones of a Kafka record go through as they were; dead letters get
//!   `df-…` headers.
//! - A message that is too large is rejected by itself; a topic that is missing ends the flow; brokers that
//!   are away are waited for.
//! - In an exactly-once flow with a `kafka` source records and offsets are one transaction: see
//!   `transaction.rs`.
//!
//! Source: dataflow-operator.md §1.5, §1.7, §3.2, §10.2, §10.3. Differs: many messages are under way at
//! once; `async` waits for delivery reports too; a null key stays null; keys of equal bytes go to the
//! partition that the original's client would choose.

#[cfg(feature = "kafka")]
mod producer;
#[cfg(feature = "kafka")]
mod record;
#[cfg(feature = "kafka")]
mod settings;
#[cfg(feature = "kafka")]
mod sink;
#[cfg(feature = "kafka")]
mod transaction;

use std::time::Duration;

use levada_registry::{FieldPath, Report};
use schemars::JsonSchema;
use serde::Deserialize;

use crate::blocks::kafka::KafkaConnection;
use crate::blocks::limits::{
    check_duration, check_not_negative, check_positive, check_positive_duration,
};
use crate::blocks::words::{check_word, check_word_in_any_case};
use crate::blocks::{Sasl, SecretRef, Tls};
use crate::{BuildContext, BuildError, Sink, SinkBatching, SinkSpec, SourceSpec as _};

/// What one flight holds at most. A broker's answer is not waited for per batch of the engine.
const FLIGHT_RECORDS_MAX: usize = 10_000;
const FLIGHT_BYTES_MAX: usize = 512 << 10;

/// Writes records to one Kafka topic.
#[derive(Debug, Default, Clone, Deserialize, JsonSchema)]
#[serde(default, rename_all = "camelCase")]
#[schemars(rename = "KafkaSink")]
pub struct Spec {
    /// Addresses `host:port` to start from; required unless `brokersSecretRef` is set.
    pub brokers: Option<Vec<String>>,
    /// The topic; required unless `topicSecretRef` is set.
    pub topic: String,
    /// TLS settings; their presence switches TLS on. Default: off.
    pub tls: Option<Tls>,
    /// SASL settings. Default: off.
    pub sasl: Option<Sasl>,
    /// `PLAINTEXT`, `SSL`, `SASL_PLAINTEXT` or `SASL_SSL`; case does not matter, and `-` or a blank
    /// may stand for `_`. Default: what `tls` and `sasl` say.
    pub security_protocol: String,
    /// Accepted for the original's manifests: messages are sent without waiting for each answer, and
    /// count as written when they are answered, in any case. Default `false`.
    #[serde(rename = "async")]
    pub is_async: bool,
    /// `none`, `gzip`, `snappy`, `lz4` or `zstd`. Default `none`.
    pub compression: String,
    /// Replicas that have to have a record: `all`, `local` or `none`. Default `all`.
    pub required_acks: String,
    /// Let the brokers drop what the producer sends twice; needs `requiredAcks: all`. Default
    /// `true`.
    pub idempotent: Option<bool>,
    /// Requests under way at most, from 1; at most 5 while the producer is idempotent. Default: the
    /// client's.
    pub max_open_requests: Option<i32>,
    /// Records that are gathered for a request; 0 means the client's. Default 0.
    pub flush_messages: Option<i32>,
    /// Bytes that are gathered for a request; 0 means the client's. Default 0.
    pub flush_bytes: Option<i32>,
    /// How long records are gathered, such as `10ms`. Default: the client's.
    pub flush_frequency: Option<String>,
    /// How a key chooses its partition: `fnv1a` (as the original), `murmur2` (as Java clients) or `crc32`
    /// (as librdkafka); without a key any partition is chosen. Default `fnv1a`.
    pub partitioner: String,
    /// Longest message; the topic has a limit of its own. Default: 1,000,000 bytes.
    pub max_message_bytes: Option<i32>,
    /// How long a message may take to be answered before it is sent anew, such as `30s`. Default `30s`.
    pub delivery_timeout: Option<String>,
    /// The id of the transactions of an exactly-once flow; members of a group that run at the same time
    /// need different ones. Default: made of namespace, name and host.
    pub transactional_id: String,
    /// Secret with the brokers, separated by commas; wins over `brokers`.
    pub brokers_secret_ref: Option<SecretRef>,
    /// Secret with the topic; wins over `topic`.
    pub topic_secret_ref: Option<SecretRef>,
}

// === impl Spec ===

impl SinkSpec for Spec {
    const NAME: &'static str = "kafka";
    const SUMMARY: &'static str = "Writes records to a Kafka topic";
    const OF_ORIGINAL: bool = true;
    const BUILT_IN: bool = cfg!(feature = "kafka");

    fn check(&self, at: &FieldPath, report: &mut Report) {
        self.connection().check(at, report);
        let codecs = ["none", "gzip", "snappy", "lz4", "zstd"];
        check_word_in_any_case("compression", &self.compression, &codecs, at, report);
        let acks = ["all", "local", "none"];
        check_word_in_any_case("requiredAcks", &self.required_acks, &acks, at, report);
        self.check_idempotent(at, report);
        check_positive("maxOpenRequests", self.max_open_requests, at, report);
        check_not_negative("flushMessages", self.flush_messages, at, report);
        check_not_negative("flushBytes", self.flush_bytes, at, report);
        check_duration("flushFrequency", self.flush_frequency.as_deref(), at, report);
        let partitioners = ["fnv1a", "murmur2", "crc32"];
        check_word("partitioner", &self.partitioner, &partitioners, at, report);
        check_positive("maxMessageBytes", self.max_message_bytes, at, report);
        let delivery = self.delivery_timeout.as_deref();
        check_positive_duration("deliveryTimeout", delivery, at, report);
    }

    /// The idempotent producer covers its own retries only: a record that a source reads again
    /// after a restart is written again. Source: dataflow-operator.md §7.2, idempotency, which
    /// names no remedy for Kafka.
    fn is_idempotent(&self) -> Option<bool> {
        Some(false)
    }

    /// An idempotent producer is what transactions are made of.
    /// What waits already goes out in one flight: each costs a round trip. Nothing is waited for.
    fn batching(&self) -> SinkBatching {
        SinkBatching {
            records: FLIGHT_RECORDS_MAX,
            bytes: FLIGHT_BYTES_MAX,
            linger: Duration::ZERO,
        }
    }

    fn can_be_exactly_once(&self, source: &str) -> bool {
        let is_idempotent = self.idempotent != Some(false)
            && ["", "all"].iter().any(|all| all.eq_ignore_ascii_case(&self.required_acks));
        source == crate::sources::kafka::Spec::NAME && is_idempotent
    }

    #[cfg(not(feature = "kafka"))]
    fn build(self, _ctx: &BuildContext) -> Result<Box<dyn Sink>, BuildError> {
        Err(BuildError::NotBuiltIn { role: "sink", name: Self::NAME })
    }

    #[cfg(feature = "kafka")]
    fn build(self, ctx: &BuildContext) -> Result<Box<dyn Sink>, BuildError> {
        let connection = crate::kafka::Connection::new(&self.connection(), &ctx.base_dir);
        let mut transactional_id = None;
        if ctx.is_exactly_once {
            self.join_source(&connection, ctx)?;
            transactional_id = Some(self.transactional_id(ctx));
        }
        let settings = self.producer_settings(transactional_id.as_deref());
        let plan = sink::Plan {
            connection,
            settings: settings.map_err(BuildError::Invalid)?,
            transactional_id,
        };
        Ok(Box::new(sink::KafkaSink::new(plan, ctx)))
    }
}

impl Spec {
    fn connection(&self) -> KafkaConnection<'_> {
        KafkaConnection {
            brokers: self.brokers.as_deref(),
            brokers_secret_ref: self.brokers_secret_ref.as_ref(),
            topic: &self.topic,
            topic_secret_ref: self.topic_secret_ref.as_ref(),
            tls: self.tls.as_ref(),
            sasl: self.sasl.as_ref(),
            security_protocol: &self.security_protocol,
        }
    }

    /// Takes over the commits of a Kafka source, which must read from the same cluster.
    #[cfg(feature = "kafka")]
    fn join_source(
        &self,
        connection: &crate::kafka::Connection,
        ctx: &BuildContext,
    ) -> Result<(), BuildError> {
        use crate::kafka::membership::{CommitsForSource, SourceCluster};
        let source = ctx.links.get::<SourceCluster>();
        match source {
            Some(source) if connection.shares_broker_with(&source.brokers) => {
                ctx.links.put(CommitsForSource);
                Ok(())
            }
            Some(source) => Err(BuildError::Invalid(format!(
                "exactly once needs a kafka source and sink in one cluster; the source reads from \
                 {} and the sink writes to {}",
                source.brokers.join(","),
                connection.brokers(),
            ))),
            None => Err(BuildError::Invalid(
                "a kafka sink writes exactly once only what a kafka source reads".into(),
            )),
        }
    }

    /// An idempotent producer waits for all replicas; no client accepts less.
    fn check_idempotent(&self, at: &FieldPath, report: &mut Report) {
        let acks = self.required_acks.as_str();
        if !["local", "none"].iter().any(|less| less.eq_ignore_ascii_case(acks)) {
            return;
        }
        let path = at.child("requiredAcks");
        match self.idempotent {
            Some(true) => report.invalid(&path, acks, "must be all when idempotent is true"),
            Some(false) => {}
            None => {
                let text = "anything but all switches the idempotent producer off";
                report.warning(&path, text.into());
            }
        }
    }
}
