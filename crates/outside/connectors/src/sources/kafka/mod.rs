//! The `kafka` source: the records of one topic, as a member of a consumer group.
//!
//! ```text
//! brokers ⇄ librdkafka ── poll ──▶ worker (a thread) ── batches ──▶ next
//!              │  ▲                  fill: key, headers, payload into one text
//!   rebalance  │  │ commit
//!              ▼  │
//!           context ── offsets: what is owned, from where, up to where
//! ```
//!
//! **Where a partition starts.** Several processes may share a group, and each knows only of its own work,
//! so what the *group* has committed counts: it never lies ahead of what was finished, and an operator who
//! resets the group's offsets is obeyed. Only when the group has nothing (a new group, or one whose offsets
//! have expired) the flow's own checkpoint counts, and without one `startAt`. A checkpoint may be ahead of
//! the group by what was stored and not yet committed when a process was killed: those records come
//! again, which at-least-once allows. Where the *sink* keeps positions exactly once, the group is only
//! informed afterwards, so the later of both counts. An offset that is not there any more (retention, a
//! topic made anew) starts at the earliest record, whatever `startAt` says: nothing is skipped.
//!
//! **Commits.** Only what the engine calls finished and stored, never automatically, only forward, and only
//! for partitions that are owned. A partition that is given away is committed up to what is finished; its
//! records under way are forgotten, and finish later without a commit. A commit that comes after the group
//! has moved on is refused by the brokers and harmless.
//!
//! **When the engine opens the source again** after a passing error the consumer stays in its group and
//! goes on where the engine is; in a transactional flow, whose records under way were thrown away, where
//! the group is.
//!
//! **Members and time.** The group is served while the engine asks for nothing: partitions are paused, the
//! member stays. A process that is killed is missed after `sessionTimeout`.
//!
//! Source: dataflow-operator.md §1.5, §1.7, §3.1. Differs: the default group is the flow's own; the protocol
//! is cooperative; commits are contiguous; aborted transactions are not read; keys may be null, headers and
//! times are kept, and a consume error is an error of the flow.

#[cfg(feature = "kafka")]
mod context;
#[cfg(feature = "kafka")]
mod fill;
#[cfg(feature = "kafka")]
mod metrics;
#[cfg(feature = "kafka")]
mod offsets;
#[cfg(feature = "kafka")]
mod payload;
#[cfg(feature = "kafka")]
mod rewind;
#[cfg(feature = "kafka")]
mod settings;
#[cfg(feature = "kafka")]
mod source;
#[cfg(feature = "kafka")]
mod worker;

use levada_registry::{FieldPath, Report};
use schemars::JsonSchema;
use serde::Deserialize;

use crate::blocks::avro::RecordFormat;
use crate::blocks::kafka::KafkaConnection;
use crate::blocks::limits::{check_not_negative, check_positive, check_positive_duration};
use crate::blocks::secret_ref::check_reference;
use crate::blocks::words::check_word;
use crate::blocks::{Sasl, SchemaRegistry, SecretRef, Tls};
use crate::{BuildContext, BuildError, Source, SourceSpec};

/// Reads the records of one Kafka topic as a member of a consumer group.
#[derive(Debug, Default, Clone, Deserialize, JsonSchema)]
#[serde(default, rename_all = "camelCase")]
#[schemars(rename = "KafkaSource")]
pub struct Spec {
    /// Addresses `host:port` to start from; required unless `brokersSecretRef` is set.
    pub brokers: Option<Vec<String>>,
    /// The topic, exactly one; required unless `topicSecretRef` is set.
    pub topic: String,
    /// Consumer group. Default: one of the flow's own, made of its namespace and name; with `compat: true`
    /// of the flow `dataflow-operator`, which all such flows share.
    pub consumer_group: String,
    /// TLS settings; their presence switches TLS on. Default: off.
    pub tls: Option<Tls>,
    /// SASL settings. Default: off.
    pub sasl: Option<Sasl>,
    /// `PLAINTEXT`, `SSL`, `SASL_PLAINTEXT` or `SASL_SSL`; case does not matter, and `-` or a blank
    /// may stand for `_`. Default: what `tls` and `sasl` say.
    pub security_protocol: String,
    /// Format of the payload: `json` or `avro`; any other word behaves as `json`. Default `json`.
    pub format: String,
    /// Avro schema as JSON text. Default: none.
    pub avro_schema: String,
    /// Path of an Avro schema, where the flow runs. Default: none.
    pub avro_schema_file: String,
    /// Secret with an Avro schema; wins over `avroSchema`.
    pub avro_schema_secret_ref: Option<SecretRef>,
    /// Registry that gives the schemas of Confluent-framed records. Default: none.
    pub schema_registry: Option<SchemaRegistry>,
    /// Longest time that the broker gathers records for one answer, such as `250ms`. Default: the
    /// client's.
    pub consumer_max_wait: Option<String>,
    /// Bytes that the broker gathers at least, from 0. Default: the client's.
    pub fetch_min_bytes: Option<i32>,
    /// Bytes of one answer at most, from 1. Default: the client's.
    pub fetch_max_bytes: Option<i32>,
    /// Bytes of one partition in an answer at most, from 1. Default: the client's.
    pub max_partition_fetch_bytes: Option<i32>,
    /// Longest wait for an answer, such as `30s`; longer than `consumerMaxWait`. Default: the
    /// client's.
    pub net_read_timeout: Option<String>,
    /// Longest time to send a request, such as `30s`. Default: the client's.
    pub net_write_timeout: Option<String>,
    /// Where partitions start for which neither the group nor the flow has a position: `earliest` or
    /// `latest`. Default `earliest`.
    pub start_at: String,
    /// How long a member may be silent before its partitions go to others, such as `10s`; the brokers
    /// bound it, usually from 6 s to 30 min. Default `10s`.
    pub session_timeout: Option<String>,
    /// End when every partition was read to its end, instead of waiting for more. Default `false`.
    pub stop_at_end: bool,
    /// A name of this member that stays the same when it is started again, so that it has its partitions
    /// back at once; each member needs another. Default: none.
    pub group_instance_id: String,
    /// Secret with the brokers, separated by commas; wins over `brokers`.
    pub brokers_secret_ref: Option<SecretRef>,
    /// Secret with the topic; wins over `topic`.
    pub topic_secret_ref: Option<SecretRef>,
    /// Secret with the consumer group; wins over `consumerGroup`.
    pub consumer_group_secret_ref: Option<SecretRef>,
}

// === impl Spec ===

impl SourceSpec for Spec {
    const NAME: &'static str = "kafka";
    const SUMMARY: &'static str = "Reads the records of a Kafka topic";
    const OF_ORIGINAL: bool = true;
    const BUILT_IN: bool = cfg!(feature = "kafka");

    fn check(&self, at: &FieldPath, report: &mut Report) {
        self.connection().check(at, report);
        let group = self.consumer_group_secret_ref.as_ref();
        check_reference("consumerGroupSecretRef", group, at, report);
        self.record_format().check(at, report);
        self.check_timing(at, report);
        check_word("startAt", &self.start_at, &["earliest", "latest"], at, report);
        let session = self.session_timeout.as_deref();
        check_positive_duration("sessionTimeout", session, at, report);
    }

    #[cfg(not(feature = "kafka"))]
    fn build(self, _ctx: &BuildContext) -> Result<Box<dyn Source>, BuildError> {
        Err(BuildError::NotBuiltIn { role: "source", name: Self::NAME })
    }

    #[cfg(feature = "kafka")]
    fn build(self, ctx: &BuildContext) -> Result<Box<dyn Source>, BuildError> {
        let connection = crate::kafka::Connection::new(&self.connection(), &ctx.base_dir);
        ctx.links.put(crate::kafka::membership::SourceCluster {
            brokers: connection.broker_list().to_vec(),
        });
        let plan = source::Plan {
            connection,
            settings: self.consumer_settings(ctx).map_err(BuildError::Invalid)?,
            fallback: worker::fallback(&self.start_at),
            decoder: payload::decoder(&self, ctx)?,
            stops_at_end: self.stop_at_end,
        };
        Ok(Box::new(source::KafkaSource::new(plan, ctx)))
    }
}

impl Spec {
    fn record_format(&self) -> RecordFormat<'_> {
        RecordFormat {
            format: &self.format,
            schema: &self.avro_schema,
            schema_file: &self.avro_schema_file,
            schema_secret_ref: self.avro_schema_secret_ref.as_ref(),
            registry: self.schema_registry.as_ref(),
        }
    }

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

    /// Source: dataflow-operator.md §7.2, kafka timing; no bytes at least is the one zero with a
    /// meaning.
    fn check_timing(&self, at: &FieldPath, report: &mut Report) {
        let max_wait = self.consumer_max_wait.as_deref();
        let max_wait = check_positive_duration("consumerMaxWait", max_wait, at, report);
        let read = self.net_read_timeout.as_deref();
        let read = check_positive_duration("netReadTimeout", read, at, report);
        let write = self.net_write_timeout.as_deref();
        check_positive_duration("netWriteTimeout", write, at, report);
        check_not_negative("fetchMinBytes", self.fetch_min_bytes, at, report);
        check_positive("fetchMaxBytes", self.fetch_max_bytes, at, report);
        check_positive("maxPartitionFetchBytes", self.max_partition_fetch_bytes, at, report);
        if let (Some(max_wait), Some(read)) = (max_wait, read)
            && read <= max_wait
        {
            let path = at.child("netReadTimeout");
            report.invalid(&path, read.to_string(), "must be greater than consumerMaxWait");
        }
    }
}
