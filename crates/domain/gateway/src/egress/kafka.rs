//! Kafka: a body is one message, with headers that say what it is.
//!
//! | header | value |
//! |---|---|
//! | `category`, `points` | what the points are about, and how many there are |
//! | `content-type`, `content-encoding` | how they are written, and compressed |
//! | `package-id` | the same for every attempt; it is the key of the message as well |
//!
//! Source: dataway reference §11.7.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use levada_clients::http::TlsOptions;
use levada_codec::compression::Compression;
use levada_codec::points::LeftOut;
use levada_connectors::{
    MessageProducer, ProducerError, ProducerLogin, ProducerPartitioner, ProducerSettings,
    ProducerTls,
};
use levada_model::Timestamp;
use levada_settings::Secret;

use super::{Open, OpenReceiverError, Tools};
use crate::deliver::{Answer, Receiver, content_type};
use crate::destination::EndpointSpec;
use crate::ingest::PACKAGE_ID;
use crate::wal::Record;

/// A topic, and the cluster that has it.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct KafkaSpec {
    /// `HOST:PORT` each.
    pub brokers: Vec<String>,
    /// The topic.
    pub topic: String,
    /// TLS, when it is spoken.
    pub tls: Option<TlsOptions>,
    /// `PLAIN`, `SCRAM-SHA-256` or `SCRAM-SHA-512`.
    pub mechanism: String,
    /// The user; empty for none.
    pub username: String,
    /// The password of the user.
    pub password: Secret<String>,
    /// How long a message may take.
    pub timeout: Duration,
}

struct KafkaReceiver {
    producer: MessageProducer,
    topic: String,
    label: String,
}

/// The label of a cluster holds its first broker.
const SCHEME: &str = "kafka://";
/// Messages of one request at most; each is a body of many points.
const BATCH_MAX: usize = 100;

#[async_trait]
impl Open for KafkaSpec {
    fn has_urls(&self) -> bool {
        false
    }

    async fn open(
        &self,
        _endpoint: &EndpointSpec,
        tools: &Tools<'_>,
    ) -> Result<Arc<dyn Receiver>, OpenReceiverError> {
        let settings = ProducerSettings {
            brokers: self.brokers.clone(),
            timeout: self.timeout,
            batch_size: BATCH_MAX,
            batch_timeout: Duration::from_millis(1),
            tls: self.tls.as_ref().map(|tls| ProducerTls {
                ca_file: tls.ca_file.clone(),
                cert_file: tls.cert_file.clone(),
                key_file: tls.key_file.clone(),
                insecure_skip_verify: tls.insecure_skip_verify,
            }),
            login: (!self.username.is_empty()).then(|| ProducerLogin::Password {
                mechanism: self.mechanism.clone(),
                username: self.username.clone(),
                password: self.password.clone(),
            }),
            partitioner: ProducerPartitioner::Murmur2,
        };
        let producer = MessageProducer::new(&settings, Arc::clone(tools.clock), tools.tasks)?;
        let first = self.brokers.first().map_or("", |broker| broker.trim());
        let label = format!("{SCHEME}{first}/{}", self.topic);
        Ok(Arc::new(KafkaReceiver { producer, topic: self.topic.clone(), label }))
    }
}

#[async_trait]
impl Receiver for KafkaReceiver {
    fn label(&self) -> &str {
        &self.label
    }

    async fn send(&self, record: &Record, _is_retry: bool, _now: Timestamp) -> Answer {
        let id = record.attributes.get(PACKAGE_ID).unwrap_or_default();
        let points = record.points.to_string();
        let mut headers = vec![
            ("category", record.category.name()),
            ("points", &*points),
            ("content-type", content_type(record.encoding)),
        ];
        if record.compression != Compression::None {
            headers.push(("content-encoding", record.compression.name()));
        }
        if !id.is_empty() {
            headers.push(("package-id", id));
        }
        match self.producer.send_with(&self.topic, id, &headers, &record.body).await {
            Ok(()) => Answer::Delivered { status: 0, left_out: LeftOut::default() },
            Err(error) => of_error(&error),
        }
    }
}

/// Gives what it means that a message was not written.
fn of_error(error: &ProducerError) -> Answer {
    let reason = error.to_string();
    if error.is_too_large() {
        return Answer::TooLarge;
    }
    if error.is_transient() {
        return Answer::Later { status: None, after: None, is_overload: false, reason };
    }
    if error.is_about_message() {
        return Answer::Refused { status: 0, reason };
    }
    // No leave, or no topic: somebody has to mend that.
    Answer::Pause { status: None, is_beyond_usage: false, reason }
}
