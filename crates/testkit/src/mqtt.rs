//! Hears what is published to a broker of MQTT.

use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use rumqttc::{Client, Event, MqttOptions, Packet, Publish, QoS};

/// How long the broker may take to answer.
const PATIENCE: Duration = Duration::from_secs(10);

/// Messages that wait for the test; the broker keeps what is beyond.
const QUEUE: usize = 10_000;

/// The longest message.
const PACKET_BYTES_MAX: usize = 1 << 20;

/// Subscribes to a topic and keeps what comes.
pub struct Subscriber {
    client: Client,
    published: mpsc::Receiver<Publish>,
}

// === impl Subscriber ===

impl Subscriber {
    /// Subscribes to `topic` of the broker at `127.0.0.1:PORT`; from then on nothing is missed.
    pub fn start(address: &str, topic: &str) -> Self {
        let (host, port) = address.rsplit_once(':').unwrap();
        let id = format!("levada-test-{}", topic.replace('/', "-"));
        let mut options = MqttOptions::new(id, host, port.parse().unwrap());
        options.set_max_packet_size(PACKET_BYTES_MAX, PACKET_BYTES_MAX);
        let (client, mut connection) = Client::new(options, 10);
        client.subscribe(topic, QoS::ExactlyOnce).unwrap();
        let (subscribed, wait) = mpsc::sync_channel(1);
        let (publish, published) = mpsc::sync_channel(QUEUE);
        thread::spawn(move || {
            // Nobody listens any more at the end of a test, and then the connection is let go.
            for event in connection.iter() {
                let is_heard = match event {
                    Ok(Event::Incoming(Packet::SubAck(_))) => subscribed.send(()).is_ok(),
                    Ok(Event::Incoming(Packet::Publish(packet))) => publish.send(packet).is_ok(),
                    Ok(_) => true,
                    Err(_) => false,
                };
                if !is_heard {
                    return;
                }
            }
        });
        wait.recv_timeout(PATIENCE).expect("the broker takes the subscription");
        Subscriber { client, published }
    }

    /// Waits for the next message.
    pub fn next(&self) -> Publish {
        self.published.recv_timeout(PATIENCE).expect("a message is published")
    }

    /// Gives what has come and was not taken.
    pub fn rest(&self) -> Vec<Publish> {
        self.published.try_iter().collect()
    }
}

impl Drop for Subscriber {
    fn drop(&mut self) {
        // It may be gone already.
        drop(self.client.disconnect());
    }
}
