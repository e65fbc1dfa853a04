//! Topics, groups and what is in them, asked for with a client of the test's own.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use levada_connectors::{BuildContext, SINKS, SOURCES, Sink, Source};
use levada_registry::{FieldPath, Node, Report};
use levada_testkit::services::KAFKA;
use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication};
use rdkafka::client::DefaultClientContext;
use rdkafka::config::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::message::{Headers, OwnedHeaders};
use rdkafka::producer::{BaseProducer, BaseRecord, Producer};
use rdkafka::{Message, Offset, TopicPartitionList};
use serde_json::Value;

/// How long anything of the test's own may take.
pub(super) const MOST: Duration = Duration::from_secs(20);

/// Gives the broker's address; nothing: the test is skipped.
pub(super) fn broker(test: &str) -> Option<String> {
    KAFKA.address(test)
}

/// Makes a name that no other test and no earlier run has.
pub(super) fn unique(name: &str) -> String {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    let nanos = std::fs::metadata("/proc/self").and_then(|data| data.modified()).unwrap();
    let nanos = nanos.duration_since(std::time::UNIX_EPOCH).unwrap().as_nanos();
    let number = NEXT.fetch_add(1, Ordering::Relaxed);
    format!("levada-test-{name}-{}-{nanos}-{number}", std::process::id())
}

fn config() -> ClientConfig {
    let mut config = ClientConfig::new();
    config.set("bootstrap.servers", KAFKA.address("kafka").expect("a test asked before"));
    config
}

/// Makes a topic and gives its name.
pub(super) async fn topic(name: &str, partitions: i32) -> String {
    topic_with(name, partitions, &[]).await
}

/// Makes a topic with settings and gives its name.
pub(super) async fn topic_with(name: &str, partitions: i32, settings: &[(&str, &str)]) -> String {
    let name = unique(name);
    let admin: AdminClient<DefaultClientContext> = config().create().unwrap();
    let mut topic = NewTopic::new(&name, partitions, TopicReplication::Fixed(1));
    for (key, value) in settings {
        topic = topic.set(key, value);
    }
    for result in admin.create_topics([&topic], &AdminOptions::new()).await.unwrap() {
        result.unwrap();
    }
    name
}

/// Deletes a topic.
pub(super) async fn delete_topic(name: &str) {
    let admin: AdminClient<DefaultClientContext> = config().create().unwrap();
    for result in admin.delete_topics(&[name], &AdminOptions::new()).await.unwrap() {
        result.unwrap();
    }
}

/// A message as it stands in a topic.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Stored {
    pub(super) partition: i32,
    pub(super) offset: i64,
    pub(super) key: Option<Vec<u8>>,
    pub(super) payload: Option<Vec<u8>>,
    pub(super) headers: Vec<(String, Option<Vec<u8>>)>,
    pub(super) time: Option<i64>,
}

/// Puts messages into a topic.
pub(super) fn produce(topic: &str, messages: &[Stored]) {
    let producer: BaseProducer = config().set("linger.ms", "5").create().unwrap();
    for message in messages {
        loop {
            let mut record: BaseRecord<'_, [u8], [u8]> = BaseRecord::to(topic);
            record.partition = Some(message.partition);
            record.key = message.key.as_deref();
            record.payload = message.payload.as_deref();
            record.timestamp = message.time;
            if !message.headers.is_empty() {
                let all = message.headers.iter().fold(OwnedHeaders::new(), |all, (key, value)| {
                    all.insert(rdkafka::message::Header { key, value: value.as_deref() })
                });
                record.headers = Some(all);
            }
            if producer.send(record).is_ok() {
                break;
            }
            producer.poll(Duration::from_millis(10));
        }
    }
    producer.flush(MOST).unwrap();
}

/// Puts payloads into one partition of a topic.
pub(super) fn produce_payloads(topic: &str, partition: i32, payloads: &[Vec<u8>]) {
    let messages: Vec<Stored> = payloads
        .iter()
        .map(|payload| Stored { partition, payload: Some(payload.clone()), ..Stored::default() })
        .collect();
    produce(topic, &messages);
}

/// Reads everything that is committed in a topic.
pub(super) fn stored(topic: &str) -> Vec<Stored> {
    let consumer: BaseConsumer = config()
        .set("group.id", "levada-test-reader")
        .set("enable.auto.commit", "false")
        .set("isolation.level", "read_committed")
        .set("enable.partition.eof", "true")
        .set("auto.offset.reset", "earliest")
        .create()
        .unwrap();
    let metadata = consumer.fetch_metadata(Some(topic), MOST).unwrap();
    let partitions = metadata.topics()[0].partitions().len();
    let mut list = TopicPartitionList::new();
    for partition in 0..partitions as i32 {
        list.add_partition_offset(topic, partition, Offset::Beginning).unwrap();
    }
    consumer.assign(&list).unwrap();
    let mut all = Vec::new();
    let mut ended = 0;
    while ended < partitions {
        match consumer.poll(MOST) {
            Some(Ok(message)) => all.push(Stored {
                partition: message.partition(),
                offset: message.offset(),
                key: message.key().map(<[u8]>::to_vec),
                payload: message.payload().map(<[u8]>::to_vec),
                headers: message.headers().map_or_else(Vec::new, |headers| {
                    let pairs = headers.iter();
                    pairs.map(|one| (one.key.to_owned(), one.value.map(<[u8]>::to_vec))).collect()
                }),
                time: message.timestamp().to_millis(),
            }),
            Some(Err(rdkafka::error::KafkaError::PartitionEOF(_))) => ended += 1,
            Some(Err(error)) => panic!("{error}"),
            None => panic!("the end of `{topic}` does not come"),
        }
    }
    all
}

/// Gives the payloads that are committed in a topic.
pub(super) fn stored_payloads(topic: &str) -> Vec<Vec<u8>> {
    stored(topic).into_iter().map(|message| message.payload.unwrap_or_default()).collect()
}

/// Gives what a group has committed, by partition.
pub(super) fn committed(group: &str, topic: &str, partitions: i32) -> BTreeMap<i32, i64> {
    let consumer: BaseConsumer = config().set("group.id", group).create().unwrap();
    let mut list = TopicPartitionList::new();
    for partition in 0..partitions {
        list.add_partition(topic, partition);
    }
    let list = consumer.committed_offsets(list, MOST).unwrap();
    let elements = list.elements();
    let known = elements.iter().filter_map(|element| match element.offset() {
        Offset::Offset(offset) => Some((element.partition(), offset)),
        _ => None,
    });
    known.collect()
}

/// Makes a source in a context of the test's own.
pub(super) fn source(settings: &Value, ctx: &BuildContext) -> Box<dyn Source> {
    let entry = SOURCES.iter().find(|entry| entry.name == "kafka").unwrap();
    let mut report = Report::new();
    let node = Node::from_json(settings);
    let spec = (entry.decode)(&node, &FieldPath::field("source"), &mut report);
    assert!(report.is_ok(), "{:?}", report.problems());
    spec.unwrap().build(ctx).unwrap()
}

/// Makes a sink in a context of the test's own.
pub(super) fn sink(settings: &Value, ctx: &BuildContext) -> Box<dyn Sink> {
    try_sink(settings, ctx).unwrap()
}

/// Makes a sink, or says why not.
pub(super) fn try_sink(settings: &Value, ctx: &BuildContext) -> Result<Box<dyn Sink>, String> {
    let entry = SINKS.iter().find(|entry| entry.name == "kafka").unwrap();
    let mut report = Report::new();
    let node = Node::from_json(settings);
    let spec = (entry.decode)(&node, &FieldPath::field("sink"), &mut report);
    assert!(report.is_ok(), "{:?}", report.problems());
    spec.unwrap().build(ctx).map_err(|error| error.to_string())
}

/// Gives the context that a flow gives, with room for tests.
pub(super) fn context() -> BuildContext {
    levada_testkit::build::context(Path::new("."))
}
