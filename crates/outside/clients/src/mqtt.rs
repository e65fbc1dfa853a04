//! Publishing to a broker of MQTT 3.1.1.
//!
//! ```text
//! publish ─▶ queue ─▶ session: CONNECT … PUBLISH ─▶ broker
//!    ▲                   │  pings while nothing happens
//!    └── acknowledged ◀──┘
//! ```
//! - Connected when something is to be published, and again after a connection broke: nobody waits for a broker before.
//! - Several messages are under way at a time; each caller hears of its own.
//! - Sessions are clean: a message that was under way when a connection broke fails, and the caller knows whether to publish it again.

mod address;
mod session;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use levada_model::ErrorKind;
use levada_runtime::{Clock, TaskKind, Tasks};
use levada_settings::Secret;
use rumqttc::mqttbytes::v4::Publish;
use rumqttc::mqttbytes::{QoS, valid_topic};
use tokio::sync::{mpsc, oneshot};

use crate::error::ClientError;
use crate::http::TlsOptions;
use address::Address;
use session::Session;

/// Messages that wait for a session; who comes later waits for room, within its time-out.
const QUEUE: usize = 100;

/// Bytes of a topic, a name or a password. Source: MQTT 3.1.1, 1.5.3.
const TEXT_BYTES_MAX: usize = u16::MAX as usize;

/// Bytes of a message. Ours: far below the 256 MiB of the protocol, far above what brokers take.
pub const PAYLOAD_BYTES_MAX: usize = 16 << 20;

/// A broker, and how it is talked to.
#[derive(Clone, Debug, PartialEq)]
pub struct MqttSettings {
    /// `tcp://HOST:PORT` or `mqtt://…`, with TLS `ssl://…`, `tls://…` or `mqtts://…`.
    pub url: String,
    /// TLS.
    pub tls: TlsOptions,
    /// By what the broker knows this client.
    pub client_id: String,
    /// The user; nobody logs in when it is empty.
    pub username: String,
    /// The password.
    pub password: Secret<String>,
    /// How long a message may take, connecting included.
    pub timeout: Duration,
}

/// How sure it is that a message arrives.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Quality {
    /// It was sent.
    #[default]
    AtMostOnce,
    /// The broker has it, maybe more than once.
    AtLeastOnce,
    /// The broker has it once.
    ExactlyOnce,
}

/// A message.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Message {
    /// Where it goes.
    pub topic: String,
    /// What it says.
    pub payload: Bytes,
    /// How sure it is to arrive.
    pub quality: Quality,
    /// The broker keeps it for those who subscribe later.
    pub is_retained: bool,
}

/// Publishes to one broker; cheap to clone. The connection ends with the last clone.
#[derive(Clone)]
pub struct MqttClient {
    queue: mpsc::Sender<Request>,
    timeout: Duration,
    target: Arc<str>,
}

struct Request {
    packet: Publish,
    done: oneshot::Sender<Result<(), ClientError>>,
}

// === impl MqttClient ===

impl MqttClient {
    /// Makes one; it connects when something is published.
    ///
    /// Errors: an address that is none, texts that are too long.
    pub fn new(
        settings: MqttSettings,
        clock: Arc<dyn Clock>,
        tasks: &Tasks,
    ) -> Result<Self, ClientError> {
        let address = Address::parse(&settings.url)?;
        for (name, text) in [
            ("client ID", &settings.client_id),
            ("user name", &settings.username),
            ("password", settings.password.expose()),
        ] {
            if text.len() > TEXT_BYTES_MAX {
                let message = format!("the {name} for the MQTT broker is too long");
                return Err(ClientError::new(ErrorKind::Invalid, message));
            }
        }
        let (timeout, target) = (settings.timeout, Arc::from(address.to_string()));
        let (queue, requests) = mpsc::channel(QUEUE);
        let session = Session::new(settings, address, clock);
        tasks.spawn(TaskKind::Alert, "mqtt client", session.run(requests));
        Ok(MqttClient { queue, timeout, target })
    }

    /// Publishes a message; done when the broker has it as surely as its quality says.
    pub async fn publish(&self, message: Message) -> Result<(), ClientError> {
        let packet = packet(message)?;
        let (done, outcome) = oneshot::channel();
        let published = async {
            let closed = |_| ClientError::new(ErrorKind::Unavailable, "the MQTT client has ended");
            let request = Request { packet, done };
            self.queue.send(request).await.map_err(|_| closed(()))?;
            outcome.await.map_err(|_| closed(()))?
        };
        tokio::time::timeout(self.timeout, published).await.unwrap_or_else(|_| {
            let message =
                format!("`{}` did not take the message within {:?}", self.target, self.timeout);
            Err(ClientError::new(ErrorKind::Unavailable, message))
        })
    }
}

impl fmt::Debug for MqttClient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "MqttClient({})", self.target)
    }
}

fn packet(message: Message) -> Result<Publish, ClientError> {
    let Message { topic, payload, quality, is_retained } = message;
    let invalid = |message: String| Err(ClientError::new(ErrorKind::Invalid, message));
    let is_too_long = topic.len() > TEXT_BYTES_MAX;
    if topic.is_empty() || is_too_long || topic.contains('\0') || !valid_topic(&topic) {
        let shown: String = topic.chars().take(100).collect();
        return invalid(format!("invalid MQTT topic {shown:?}"));
    }
    if payload.len() > PAYLOAD_BYTES_MAX {
        let length = payload.len();
        return invalid(format!("a message of {length} bytes; at most {PAYLOAD_BYTES_MAX}"));
    }
    let quality = match quality {
        Quality::AtMostOnce => QoS::AtMostOnce,
        Quality::AtLeastOnce => QoS::AtLeastOnce,
        Quality::ExactlyOnce => QoS::ExactlyOnce,
    };
    Ok(Publish { retain: is_retained, ..Publish::from_bytes(topic, quality, payload) })
}

#[cfg(test)]
mod tests;
