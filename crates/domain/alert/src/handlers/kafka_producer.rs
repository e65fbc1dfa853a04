//! What the `kafka` handler needs of a client of Kafka; a connector provides it.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use levada_clients::http::TlsOptions;
use levada_settings::Secret;

use crate::topics::HandlerError;

/// Topics whose records are counted. Ours: a topic is written in a definition; beyond so many the rest is not counted.
const TOPICS_MAX: usize = 1_000;

/// How records are spread over the partitions of a topic.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Partitioner {
    /// By the CRC-32 of the key.
    #[default]
    Crc32,
    /// By the murmur2 of the key, as Java's client does.
    Murmur2,
    /// By the 32-bit murmur3 of the key.
    Murmur3,
    /// By the 32-bit FNV-1a of the key.
    Fnv1a,
    /// By chance.
    Random,
}

/// A cluster, and how it is talked to.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct KafkaSettings {
    /// `HOST:PORT` each.
    pub brokers: Vec<String>,
    /// How long a record may take.
    pub timeout: Duration,
    /// Records of one request at most.
    pub batch_size: usize,
    /// How long records may gather for a request.
    pub batch_timeout: Duration,
    /// TLS, when it is spoken.
    pub tls: Option<TlsOptions>,
    /// The login, when there is one.
    pub sasl: Option<KafkaSasl>,
    /// How records are spread.
    pub partitioner: Partitioner,
}

/// How a client logs in.
#[derive(Clone, PartialEq)]
pub enum KafkaSasl {
    /// A user and a password.
    Password {
        /// `PLAIN`, `SCRAM-SHA-256` or `SCRAM-SHA-512`.
        mechanism: String,
        /// The user.
        username: String,
        /// The password.
        password: Secret<String>,
    },
    /// A token that is given.
    Token(Secret<String>),
}

/// Writes records to a cluster.
#[async_trait]
pub trait KafkaProducer: Send + Sync + 'static {
    /// Writes a record; done when the cluster has it.
    async fn send(&self, topic: &str, key: &str, value: Vec<u8>) -> Result<(), HandlerError>;
}

/// Makes producers.
pub trait KafkaProducers: Send + Sync + 'static {
    /// Makes a producer; it connects by itself, and again when a connection broke. It ends when it is dropped.
    ///
    /// Errors: settings that cannot work.
    fn producer(&self, settings: &KafkaSettings) -> Result<Arc<dyn KafkaProducer>, HandlerError>;
}

/// A build or a test without a client of Kafka.
#[derive(Clone, Copy, Debug, Default)]
pub struct NoKafka;

/// What was written to a topic.
///
/// Source: kapacitor: the statistics `kafka`, reference (server) §4.5; differs: `messages` counts what was written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KafkaStats {
    /// The cluster.
    pub cluster: String,
    /// The topic.
    pub topic: String,
    /// Records that the cluster has.
    pub messages: u64,
    /// Records that could not be written.
    pub errors: u64,
}

/// Counts what is written to topics.
#[derive(Debug, Default)]
pub(super) struct KafkaTopics(Mutex<Vec<KafkaStats>>);

// === impl NoKafka ===

impl KafkaProducers for NoKafka {
    fn producer(&self, _settings: &KafkaSettings) -> Result<Arc<dyn KafkaProducer>, HandlerError> {
        Err(HandlerError::new("this program was built without a client of Kafka").finally())
    }
}

// === impl KafkaSasl ===

impl fmt::Debug for KafkaSasl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            KafkaSasl::Password { mechanism, username, .. } => {
                write!(f, "Password({mechanism}, {username})")
            }
            KafkaSasl::Token(_) => f.write_str("Token(***)"),
        }
    }
}

// === impl KafkaTopics ===

impl KafkaTopics {
    pub(super) fn count(&self, cluster: &str, topic: &str, is_written: bool) {
        let mut topics = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let known =
            topics.iter().position(|known| known.cluster == cluster && known.topic == topic);
        let at = match known {
            Some(at) => at,
            None if topics.len() == TOPICS_MAX => return,
            None => {
                let (cluster, topic) = (cluster.to_owned(), topic.to_owned());
                topics.push(KafkaStats { cluster, topic, messages: 0, errors: 0 });
                topics.len() - 1
            }
        };
        topics[at].messages += u64::from(is_written);
        topics[at].errors += u64::from(!is_written);
    }

    pub(super) fn stats(&self) -> Vec<KafkaStats> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}
