//! Single messages to a cluster, for who is no sink: alerts.
//!
//! ```text
//! send ─▶ queue of the client ─▶ broker
//!   ▲                              │
//!   └── delivery report ◀── thread that looks for them
//! ```
//! The client connects by itself, and again; a message that the cluster did not take within the time-out fails.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use levada_model::{ErrorClass, ErrorKind};
use levada_runtime::{Clock, TaskKind, Tasks};
use levada_settings::Secret;
use rdkafka::ClientContext;
use rdkafka::client::OAuthToken;
use rdkafka::config::{ClientConfig, FromClientConfigAndContext as _, RDKafkaLogLevel};
use rdkafka::error::{KafkaError, RDKafkaErrorCode as Code};
use rdkafka::message::{DeliveryResult, Header, OwnedHeaders};
use rdkafka::producer::{BaseProducer, BaseRecord, Producer as _, ProducerContext};
use thiserror::Error;
use tokio::sync::oneshot;

use super::error::{Problem, class_of};
use super::events::Events;
use super::murmur3::Murmur3;
use super::{Connection, is_missing_topic};
use crate::blocks::kafka::KafkaConnection;
use crate::blocks::{Sasl, Tls};

/// How long one look for delivery reports may take; a producer that is let go is noticed as late.
const LOOK: Duration = Duration::from_millis(100);

/// Messages that wait in the client at most: who sends waits for the report, so there are few.
const QUEUED_MESSAGES_MAX: u32 = 10_000;
const QUEUED_KIB_MAX: u32 = 64 << 10;

/// The longest that messages gather for a request: whoever sends one waits for it.
const LINGER_MAX: Duration = Duration::from_millis(5);

/// What a report may take longer than the client was told.
const GRACE: Duration = Duration::from_secs(5);

/// How long a token is said to be good; it is given anew then.
const TOKEN_LIFE: Duration = Duration::from_secs(3600);

/// A cluster, and how it is talked to.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ProducerSettings {
    /// `HOST:PORT` each.
    pub brokers: Vec<String>,
    /// How long a message may take.
    pub timeout: Duration,
    /// Messages of one request at most.
    pub batch_size: usize,
    /// How long messages may gather for a request; no longer than 5 ms.
    pub batch_timeout: Duration,
    /// TLS, when it is spoken.
    pub tls: Option<ProducerTls>,
    /// The login, when there is one.
    pub login: Option<ProducerLogin>,
    /// How messages are spread over partitions.
    pub partitioner: ProducerPartitioner,
}

/// TLS towards the brokers; paths of PEM files, empty when there is none.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ProducerTls {
    /// The CA certificates, instead of the system's.
    pub ca_file: PathBuf,
    /// The client's certificate; used together with a key.
    pub cert_file: PathBuf,
    /// The client's private key.
    pub key_file: PathBuf,
    /// Believes any broker, unless CA certificates are given.
    pub insecure_skip_verify: bool,
}

/// How a client logs in.
#[derive(Clone, PartialEq)]
pub enum ProducerLogin {
    /// A user and a password.
    Password {
        /// `PLAIN`, `SCRAM-SHA-256` or `SCRAM-SHA-512`; case does not matter.
        mechanism: String,
        /// The user.
        username: String,
        /// The password.
        password: Secret<String>,
    },
    /// A token.
    Token(Secret<String>),
}

/// How messages are spread over partitions.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ProducerPartitioner {
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

/// Why a message was not written.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
#[error("{message}")]
pub struct ProducerError {
    class: ErrorClass,
    message: String,
    is_too_large: bool,
}

/// Writes single messages; dropping it ends the client.
pub struct MessageProducer {
    client: Arc<BaseProducer<Context, Murmur3>>,
    is_stopping: Arc<AtomicBool>,
    brokers: String,
    timeout: Duration,
}

struct Context {
    events: Events,
    murmur3: Option<Murmur3>,
    token: Option<Secret<String>>,
    clock: Arc<dyn Clock>,
}

type Report = oneshot::Sender<Result<(), Code>>;

// === impl ProducerError ===

impl ProducerError {
    /// Gives the kind of the error.
    pub fn kind(&self) -> ErrorKind {
        match self.class {
            ErrorClass::AuthError => ErrorKind::Unauthorized,
            class if class.is_transient() => ErrorKind::Unavailable,
            _ => ErrorKind::Invalid,
        }
    }

    /// Says whether the same message may do later.
    pub fn is_transient(&self) -> bool {
        self.class.is_transient()
    }

    /// Says whether another message might pass where this one does not.
    pub fn is_about_message(&self) -> bool {
        self.class == ErrorClass::InvalidData
    }

    /// Says whether the message is larger than the cluster takes.
    pub fn is_too_large(&self) -> bool {
        self.is_too_large
    }
}

impl From<Problem> for ProducerError {
    fn from(problem: Problem) -> Self {
        ProducerError { class: problem.class, message: problem.message, is_too_large: false }
    }
}

// === impl ProducerLogin ===

impl fmt::Debug for ProducerLogin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ProducerLogin::Password { mechanism, username, .. } => {
                write!(f, "Password({mechanism}, {username})")
            }
            ProducerLogin::Token(_) => f.write_str("Token(***)"),
        }
    }
}

// === impl ProducerSettings ===

impl ProducerSettings {
    /// Gives the settings of the client.
    ///
    /// Errors: certificates that cannot be read.
    fn client(&self) -> Result<(Connection, ClientConfig), ProducerError> {
        let text = |path: &PathBuf| path.to_string_lossy().into_owned();
        let tls = self.tls.as_ref().map(|tls| Tls {
            insecure_skip_verify: tls.insecure_skip_verify,
            cert_file: text(&tls.cert_file),
            key_file: text(&tls.key_file),
            ca_file: text(&tls.ca_file),
            ..Tls::default()
        });
        let sasl = self.login.as_ref().map(|login| match login {
            ProducerLogin::Password { mechanism, username, password } => Sasl {
                mechanism: mechanism.to_ascii_lowercase(),
                username: username.clone(),
                password: password.clone(),
                ..Sasl::default()
            },
            ProducerLogin::Token(_) => Sasl { mechanism: "oauthbearer".into(), ..Sasl::default() },
        });
        let connection = Connection::new(
            &KafkaConnection {
                brokers: Some(&self.brokers),
                brokers_secret_ref: None,
                topic: "",
                topic_secret_ref: None,
                tls: tls.as_ref(),
                sasl: sasl.as_ref(),
                security_protocol: "",
            },
            Path::new("/"),
        );
        let mut config = connection
            .client()
            .map_err(|message| Problem::new(ErrorClass::InvalidData, message))?;
        let partitioner = match self.partitioner {
            ProducerPartitioner::Crc32 => "consistent_random",
            ProducerPartitioner::Murmur2 => "murmur2_random",
            ProducerPartitioner::Fnv1a => "fnv1a_random",
            // The own one is no word of the client's.
            ProducerPartitioner::Murmur3 | ProducerPartitioner::Random => "random",
        };
        let linger = self.batch_timeout.min(LINGER_MAX).min(self.timeout / 2);
        for (key, value) in [
            ("acks", "all".to_owned()),
            ("partitioner", partitioner.to_owned()),
            ("linger.ms", linger.as_millis().to_string()),
            ("batch.num.messages", self.batch_size.clamp(1, 1_000_000).to_string()),
            ("message.timeout.ms", self.timeout.as_millis().clamp(1, 900_000).to_string()),
            ("queue.buffering.max.messages", QUEUED_MESSAGES_MAX.to_string()),
            ("queue.buffering.max.kbytes", QUEUED_KIB_MAX.to_string()),
        ] {
            config.set(key, value);
        }
        Ok((connection, config))
    }
}

// === impl MessageProducer ===

impl MessageProducer {
    /// Makes one; it connects by itself.
    ///
    /// Errors: settings that cannot work.
    pub fn new(
        settings: &ProducerSettings,
        clock: Arc<dyn Clock>,
        tasks: &Tasks,
    ) -> Result<Self, ProducerError> {
        let (connection, config) = settings.client()?;
        let context = Context {
            events: Events::default(),
            murmur3: (settings.partitioner == ProducerPartitioner::Murmur3).then_some(Murmur3),
            token: match &settings.login {
                Some(ProducerLogin::Token(token)) => Some(token.clone()),
                _ => None,
            },
            clock,
        };
        let client = BaseProducer::from_config_and_context(&config, context)
            .map_err(|error| Problem::of("cannot make a producer", &error))?;
        let client = Arc::new(client);
        let is_stopping = Arc::new(AtomicBool::new(false));
        let (polled, observed) = (Arc::clone(&client), Arc::clone(&is_stopping));
        tasks.spawn_thread(TaskKind::Connector, "kafka producer", move || {
            while !observed.load(Ordering::Acquire) {
                polled.poll(LOOK);
            }
        });
        let (brokers, timeout) = (connection.brokers(), settings.timeout);
        Ok(MessageProducer { client, is_stopping, brokers, timeout })
    }

    /// Writes a message; done when the cluster has it.
    pub async fn send(&self, topic: &str, key: &str, value: &[u8]) -> Result<(), ProducerError> {
        self.send_with(topic, key, &[], value).await
    }

    /// Writes a message with headers; done when the cluster has it.
    pub async fn send_with(
        &self,
        topic: &str,
        key: &str,
        headers: &[(&str, &str)],
        value: &[u8],
    ) -> Result<(), ProducerError> {
        let (report, reported) = oneshot::channel();
        let mut record: BaseRecord<'_, str, [u8], Box<Report>> =
            BaseRecord::with_opaque_to(topic, Box::new(report)).key(key).payload(value);
        if !headers.is_empty() {
            let mut all = OwnedHeaders::new_with_capacity(headers.len());
            for (key, value) in headers {
                all = all.insert(Header { key, value: Some(*value) });
            }
            record = record.headers(all);
        }
        if let Err((error, _)) = self.client.send(record) {
            return Err(self.failed(topic, error.rdkafka_error_code().unwrap_or(Code::Fail)));
        }
        let code = match tokio::time::timeout(self.timeout + GRACE, reported).await {
            Ok(Ok(Ok(()))) => {
                self.client.context().events.forget();
                return Ok(());
            }
            Ok(Ok(Err(code))) => code,
            // The client ended, or has lost the message.
            Ok(Err(_)) => Code::PurgeQueue,
            Err(_) => Code::MessageTimedOut,
        };
        Err(self.failed(topic, code))
    }

    fn failed(&self, topic: &str, code: Code) -> ProducerError {
        let brokers = &self.brokers;
        if is_missing_topic(code) {
            let message = format!(
                "topic `{topic}` on {brokers} is not there, and the brokers do not create it"
            );
            return Problem::new(ErrorClass::Unknown, message).into();
        }
        let class = class_of(code);
        let is_too_large = code == Code::MessageSizeTooLarge;
        let what = format!("cannot write to topic `{topic}` on {brokers}: {code}");
        match class {
            // Why there is no connection, the client says by itself.
            ErrorClass::Timeout | ErrorClass::ConnectionError => {
                self.client.context().events.explain(what, class).into()
            }
            _ => ProducerError { is_too_large, ..Problem::new(class, what).into() },
        }
    }
}

impl Drop for MessageProducer {
    fn drop(&mut self) {
        // The thread is the last to let go, so closing the client holds nobody up.
        self.is_stopping.store(true, Ordering::Release);
    }
}

impl fmt::Debug for MessageProducer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "MessageProducer({})", self.brokers)
    }
}

// === impl Context ===

impl ClientContext for Context {
    const ENABLE_REFRESH_OAUTH_TOKEN: bool = true;

    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        self.events.log(level, facility, message);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        self.events.error(&error, reason);
    }

    fn generate_oauth_token(
        &self,
        _config: Option<&str>,
    ) -> Result<OAuthToken, Box<dyn std::error::Error>> {
        let token = self.token.as_ref().ok_or("no token is set")?;
        let until = self.clock.now().0 / 1_000_000 + TOKEN_LIFE.as_millis() as i64;
        Ok(OAuthToken {
            token: token.expose().clone(),
            principal_name: "levada".to_owned(),
            lifetime_ms: until,
        })
    }
}

impl ProducerContext<Murmur3> for Context {
    type DeliveryOpaque = Box<Report>;

    fn delivery(&self, result: &DeliveryResult<'_>, report: Box<Report>) {
        let outcome = match result {
            Ok(_) => Ok(()),
            Err((error, _)) => Err(error.rdkafka_error_code().unwrap_or(Code::Fail)),
        };
        // Who sent it may have given up.
        let _given_up = report.send(outcome).is_err();
    }

    fn get_custom_partitioner(&self) -> Option<&Murmur3> {
        self.murmur3.as_ref()
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use super::*;

    #[test]
    fn settings_of_the_client() {
        let settings = ProducerSettings {
            brokers: vec!["a:1".into(), " b:2 ".into()],
            timeout: Duration::from_secs(10),
            batch_size: 100,
            batch_timeout: Duration::from_secs(1),
            ..ProducerSettings::default()
        };
        let (_, config) = settings.client().unwrap();
        for (key, value) in [
            ("bootstrap.servers", "a:1,b:2"),
            ("security.protocol", "plaintext"),
            ("partitioner", "consistent_random"),
            ("linger.ms", "5"),
            ("batch.num.messages", "100"),
            ("message.timeout.ms", "10000"),
            ("acks", "all"),
        ] {
            assert_eq!(config.get(key), Some(value), "{key}");
        }
        let secured = ProducerSettings {
            tls: Some(ProducerTls { insecure_skip_verify: true, ..ProducerTls::default() }),
            login: Some(ProducerLogin::Token(Secret::from("s3cret".to_owned()))),
            batch_timeout: Duration::from_millis(2),
            partitioner: ProducerPartitioner::Fnv1a,
            ..settings.clone()
        };
        assert!(!format!("{secured:?}").contains("s3cret"));
        let (_, config) = secured.client().unwrap();
        for (key, value) in [
            ("security.protocol", "sasl_ssl"),
            ("sasl.mechanism", "OAUTHBEARER"),
            ("enable.ssl.certificate.verification", "false"),
            ("linger.ms", "2"),
            ("partitioner", "fnv1a_random"),
        ] {
            assert_eq!(config.get(key), Some(value), "{key}");
        }
        let tls = Some(ProducerTls { ca_file: "/none".into(), ..ProducerTls::default() });
        let error = ProducerSettings { tls, ..settings }.client().unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Invalid);
        assert!(error.to_string().starts_with("tls.caFile: cannot read `/none`"), "{error}");
    }
}
