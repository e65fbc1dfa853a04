//! Topics of the tests' broker.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use levada_testkit::services;
use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication};
use rdkafka::client::DefaultClientContext;
use rdkafka::config::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::KafkaError;
use rdkafka::message::{BorrowedMessage, Message};
use rdkafka::producer::{BaseProducer, BaseRecord, Producer};
use rdkafka::{Offset, TopicPartitionList};

const LONG: Duration = Duration::from_secs(30);

/// Records that are sent at once, and how often, while something goes wrong.
const TRICKLE: u64 = 100;
const TRICKLE_INTERVAL: Duration = Duration::from_millis(50);

/// A topic of one test.
pub(super) struct Topic {
    pub(super) name: String,
    pub(super) brokers: String,
    partitions: i32,
}

/// A message as it is in a topic.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Arrived {
    pub(super) key: Option<Vec<u8>>,
    pub(super) payload: Option<Vec<u8>>,
    pub(super) headers: BTreeMap<String, String>,
}

impl Topic {
    /// Makes an empty topic; nothing when there is no broker.
    pub(super) fn new(test: &str, partitions: i32) -> Option<Self> {
        Some(Self::at(services::KAFKA.address(test)?, test, partitions))
    }

    /// Makes an empty topic at a broker of the test's own.
    pub(super) fn at(brokers: String, test: &str, partitions: i32) -> Self {
        let name = format!("levada-{test}-{}", std::process::id());
        let admin: AdminClient<DefaultClientContext> =
            ClientConfig::new().set("bootstrap.servers", &brokers).create().unwrap();
        let topic = NewTopic::new(&name, partitions, TopicReplication::Fixed(1));
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let deadline = Instant::now() + LONG;
        loop {
            // A broker that has just started takes connections before it takes partitions.
            let made = runtime.block_on(admin.create_topics([&topic], &AdminOptions::new()));
            match made.as_deref() {
                Ok([Ok(_)]) => return Topic { name, brokers, partitions },
                _ if Instant::now() < deadline => std::thread::sleep(Duration::from_millis(200)),
                _ => panic!("`{name}` could not be made: {made:?}"),
            }
        }
    }

    /// Sends payloads, keyed by their number so that partitions fill evenly.
    pub(super) fn send(&self, payloads: impl IntoIterator<Item = String>) {
        // What a broker took before it was killed is not sent again.
        let producer: BaseProducer = ClientConfig::new()
            .set("bootstrap.servers", &self.brokers)
            .set("enable.idempotence", "true")
            .create()
            .unwrap();
        for (number, payload) in payloads.into_iter().enumerate() {
            let key = number.to_string();
            let mut record = BaseRecord::to(&self.name).key(&key).payload(&payload);
            while let Err((_, back)) = producer.send(record) {
                record = back;
                producer.poll(Duration::from_millis(10));
            }
            producer.poll(Duration::ZERO);
        }
        producer.flush(LONG).unwrap();
    }

    /// Sends a message without a value: what its key names is gone.
    pub(super) fn bury(&self, key: &str) {
        let producer: BaseProducer =
            ClientConfig::new().set("bootstrap.servers", &self.brokers).create().unwrap();
        producer.send(BaseRecord::<str, str>::to(&self.name).key(key)).unwrap();
        producer.flush(LONG).unwrap();
    }

    /// Sends records with ids from 0 on, few at a time, until `is_over`; gives how many.
    pub(super) fn send_until(&self, is_over: &AtomicBool) -> u64 {
        let mut sent = 0;
        while !is_over.load(Ordering::Acquire) {
            self.send(super::scene::records(sent..sent + TRICKLE));
            sent += TRICKLE;
            std::thread::sleep(TRICKLE_INTERVAL);
        }
        sent
    }

    /// Gives everything that is committed in the topic.
    ///
    /// A broker that has just been started again knows some partitions later than others, so it is asked again.
    pub(super) fn read(&self) -> Vec<Arrived> {
        let deadline = Instant::now() + LONG;
        loop {
            match self.try_read(deadline) {
                Ok(arrived) => return arrived,
                Err(error) if Instant::now() < deadline => {
                    eprintln!("reading `{}` again: {error}", self.name);
                    std::thread::sleep(Duration::from_millis(200));
                }
                Err(error) => panic!("`{}` could not be read: {error}", self.name),
            }
        }
    }

    fn try_read(&self, deadline: Instant) -> Result<Vec<Arrived>, KafkaError> {
        let consumer: BaseConsumer = ClientConfig::new()
            .set("bootstrap.servers", &self.brokers)
            .set("group.id", "levada-tests-only-read")
            .set("enable.auto.commit", "false")
            .set("isolation.level", "read_committed")
            .set("enable.partition.eof", "true")
            .create()
            .unwrap();
        let mut partitions = TopicPartitionList::new();
        // Where records come all the time, the end is where it was at first.
        let mut ends = BTreeMap::new();
        for partition in 0..self.partitions {
            let (_, end) = consumer.fetch_watermarks(&self.name, partition, LONG / 3)?;
            ends.insert(partition, end);
            partitions.add_partition_offset(&self.name, partition, Offset::Beginning).unwrap();
        }
        consumer.assign(&partitions)?;
        let mut arrived = Vec::new();
        while !ends.is_empty() {
            assert!(Instant::now() < deadline, "`{}` could not be read to its end", self.name);
            match consumer.poll(Duration::from_millis(100)) {
                Some(Ok(message)) => {
                    arrived.push(arrived_of(&message));
                    let is_behind = |end: &i64| message.offset() + 1 >= *end;
                    if ends.get(&message.partition()).is_some_and(is_behind) {
                        ends.remove(&message.partition());
                    }
                }
                Some(Err(KafkaError::PartitionEOF(partition))) => {
                    ends.remove(&partition);
                }
                Some(Err(error)) => return Err(error),
                None => {}
            }
        }
        Ok(arrived)
    }

    /// Gives how often each id arrived; `id` of the payload's object.
    pub(super) fn ids(&self) -> BTreeMap<u64, u64> {
        let mut ids = BTreeMap::new();
        for arrived in self.read() {
            let payload = arrived.payload.unwrap_or_default();
            let value: serde_json::Value = serde_json::from_slice(&payload).unwrap();
            *ids.entry(value["id"].as_u64().unwrap()).or_default() += 1;
        }
        ids
    }
}

impl Drop for Topic {
    fn drop(&mut self) {
        let admin: Result<AdminClient<DefaultClientContext>, _> =
            ClientConfig::new().set("bootstrap.servers", &self.brokers).create();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        if let (Ok(admin), Ok(runtime)) = (admin, runtime) {
            // A topic that stays costs the next test nothing.
            let _left =
                runtime.block_on(admin.delete_topics(&[&self.name], &AdminOptions::new())).is_err();
        }
    }
}

fn arrived_of(message: &BorrowedMessage<'_>) -> Arrived {
    use rdkafka::message::Headers;
    let headers = message.headers().map(|headers| {
        headers
            .iter()
            .map(|header| {
                let value = String::from_utf8_lossy(header.value.unwrap_or_default());
                (header.key.to_owned(), value.into_owned())
            })
            .collect()
    });
    Arrived {
        key: message.key().map(<[u8]>::to_vec),
        payload: message.payload().map(<[u8]>::to_vec),
        headers: headers.unwrap_or_default(),
    }
}
