//! The settings of the `kafka` sink, both generations.
//!
//! Source: dataflow-operator.md §1.5, §1.7. They are read and checked; producing is not built in.

use levada_registry::{FieldPath, Report};
use schemars::JsonSchema;
use serde::Deserialize;

use crate::blocks::kafka::KafkaConnection;
use crate::blocks::limits::{check_duration, check_not_negative, check_positive};
use crate::blocks::words::check_word_in_any_case;
use crate::blocks::{Sasl, SecretRef, Tls};
use crate::{BuildContext, BuildError, Sink, SinkSpec};

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
    /// Send without waiting for each answer. Default `false`.
    #[serde(rename = "async")]
    pub is_async: bool,
    /// `none`, `gzip`, `snappy`, `lz4` or `zstd`. Default `none`.
    pub compression: String,
    /// Replicas that have to have a record: `all`, `local` or `none`. Default `all`.
    pub required_acks: String,
    /// Let the brokers drop what the producer sends twice; needs `requiredAcks: all`. Default
    /// `true`.
    pub idempotent: Option<bool>,
    /// Requests under way at most, from 1. Default: the client's.
    pub max_open_requests: Option<i32>,
    /// Records that are gathered for a request; 0 means the client's. Default 0.
    pub flush_messages: Option<i32>,
    /// Bytes that are gathered for a request; 0 means the client's. Default 0.
    pub flush_bytes: Option<i32>,
    /// How long records are gathered, such as `10ms`. Default: the client's.
    pub flush_frequency: Option<String>,
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
    const BUILT_IN: bool = false;

    fn check(&self, at: &FieldPath, report: &mut Report) {
        let connection = KafkaConnection {
            brokers: self.brokers.as_deref(),
            brokers_secret_ref: self.brokers_secret_ref.as_ref(),
            topic: &self.topic,
            topic_secret_ref: self.topic_secret_ref.as_ref(),
            tls: self.tls.as_ref(),
            sasl: self.sasl.as_ref(),
            security_protocol: &self.security_protocol,
        };
        connection.check(at, report);
        let codecs = ["none", "gzip", "snappy", "lz4", "zstd"];
        check_word_in_any_case("compression", &self.compression, &codecs, at, report);
        let acks = ["all", "local", "none"];
        check_word_in_any_case("requiredAcks", &self.required_acks, &acks, at, report);
        self.check_idempotent(at, report);
        check_positive("maxOpenRequests", self.max_open_requests, at, report);
        check_not_negative("flushMessages", self.flush_messages, at, report);
        check_not_negative("flushBytes", self.flush_bytes, at, report);
        check_duration("flushFrequency", self.flush_frequency.as_deref(), at, report);
    }

    /// The idempotent producer covers its own retries only: a record that a source reads again
    /// after a restart is written again. Source: dataflow-operator.md §7.2, idempotency, which
    /// names no remedy for Kafka.
    fn is_idempotent(&self) -> Option<bool> {
        Some(false)
    }

    fn build(self, _ctx: &BuildContext) -> Result<Box<dyn Sink>, BuildError> {
        Err(BuildError::NotBuiltIn { role: "sink", name: Self::NAME })
    }
}

impl Spec {
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
