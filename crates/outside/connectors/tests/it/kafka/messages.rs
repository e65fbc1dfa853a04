//! What of a message survives the way through a flow.

use std::time::Duration;

use levada_connectors::{Outcomes, Sink, Source};
use levada_model::{RecordBatch, Value};
use serde_json::json;

use super::support::{
    MOST, Stored, broker, context, produce, sink, source, stored, topic, topic_with, unique,
};

/// Reads until `count` records came.
pub(super) async fn read(source: &mut dyn Source, count: usize) -> Vec<RecordBatch> {
    let mut batches = Vec::new();
    let mut seen = 0;
    while seen < count {
        let mut batch = RecordBatch::new();
        tokio::time::timeout(MOST, source.next(&mut batch)).await.unwrap().unwrap();
        seen += batch.len();
        batches.push(batch);
    }
    batches
}

/// Writes a batch of which every record must pass.
pub(super) async fn write(sink: &mut dyn Sink, batch: &RecordBatch) {
    let mut outcomes = Outcomes::default();
    tokio::time::timeout(MOST, sink.write(batch, &mut outcomes)).await.unwrap().unwrap();
    assert_eq!(outcomes.rejected_records(), []);
    assert_eq!(outcomes.resolved(), batch.len());
}

fn bytes(text: &str) -> Option<Vec<u8>> {
    Some(text.as_bytes().to_vec())
}

/// Messages with everything that Kafka can tell apart.
fn samples() -> Vec<Stored> {
    let plain = Stored { payload: bytes("{}"), time: Some(1_700_000_000_123), ..Stored::default() };
    let headers = vec![
        ("trace".to_owned(), bytes("abc")),
        ("trace".to_owned(), bytes("second")),
        ("empty".to_owned(), bytes("")),
        ("null".to_owned(), None),
        ("binary".to_owned(), Some(vec![0, 255, 128])),
        ("ключ".to_owned(), bytes("значение")),
    ];
    vec![
        plain.clone(),
        Stored { key: bytes("k"), ..plain.clone() },
        Stored { key: bytes(""), ..plain.clone() },
        Stored { key: Some(vec![0, 1, 254, 255]), ..plain.clone() },
        Stored { key: bytes("gone"), payload: None, ..plain.clone() },
        Stored { payload: bytes(""), ..plain.clone() },
        Stored { payload: Some(vec![0, 10, 13, 255]), ..plain.clone() },
        Stored { payload: Some(vec![b'x'; 900_000]), ..plain.clone() },
        Stored { headers, key: bytes("h"), ..plain },
    ]
}

/// Offsets are given by the broker.
fn without_offsets(mut messages: Vec<Stored>) -> Vec<Stored> {
    for message in &mut messages {
        message.offset = 0;
        message.partition = 0;
    }
    messages
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn everything_survives_with_every_codec() {
    let Some(broker) = broker("everything_survives_with_every_codec") else { return };
    let input = topic("codecs-in", 1).await;
    let samples = samples();
    produce(&input, &samples);
    for codec in ["none", "gzip", "snappy", "lz4", "zstd", "GZIP"] {
        let output = topic("codecs-out", 1).await;
        let ctx = context();
        let settings =
            json!({"brokers": [broker], "topic": input, "consumerGroup": unique("codecs")});
        let mut source = source(&settings, &ctx);
        let settings = json!({
            "brokers": [broker], "topic": output, "compression": codec, "flushFrequency": "5ms",
            "flushMessages": 7, "flushBytes": 100_000, "maxOpenRequests": 50, "async": true,
        });
        let mut sink = sink(&settings, &ctx);
        sink.open().await.unwrap();
        source.open(&[]).await.unwrap();
        for batch in read(&mut *source, samples.len()).await {
            write(&mut *sink, &batch).await;
        }
        assert_eq!(without_offsets(stored(&output)), samples, "{codec}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn metadata_is_that_of_the_original() {
    let Some(broker) = broker("metadata_is_that_of_the_original") else { return };
    let input = topic("meta", 2).await;
    let mut samples = samples();
    for sample in &mut samples {
        sample.partition = 1;
    }
    produce(&input, &samples);
    let settings = json!({"brokers": [broker], "topic": input, "consumerGroup": unique("meta")});
    let mut source = source(&settings, &context());
    source.open(&[]).await.unwrap();
    let mut number = 0;
    for batch in read(&mut *source, samples.len()).await {
        for index in 0..batch.len() {
            let meta = batch.meta(index).unwrap();
            assert_eq!(meta.get("topic"), Some(&Value::Str(input.as_str().into())));
            assert_eq!(meta.get("partition"), Some(&Value::Int(1)));
            assert_eq!(meta.get("offset"), Some(&Value::Int(number)));
            let time = Value::Time(levada_model::Timestamp(1_700_000_000_123_000_000));
            assert_eq!(meta.get("timestamp"), Some(&time));
            let is_tombstone = samples[number as usize].payload.is_none();
            assert_eq!(meta.get("tombstone").is_some(), is_tombstone);
            assert_eq!(batch.records[index].position, number as u64);
            number += 1;
        }
        assert_eq!(batch.origins.len(), 1);
        assert_eq!(&*batch.origins[0].partition, format!("{input}/1"));
        assert_eq!(batch.origins[0].position, json!(number));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn partitions_keep_their_order_and_share_batches() {
    let Some(broker) = broker("partitions_keep_their_order_and_share_batches") else { return };
    let input = topic("mixed", 5).await;
    let messages: Vec<Stored> = (0..3000)
        .map(|number| Stored {
            partition: number % 5,
            payload: Some((number / 5).to_string().into_bytes()),
            ..Stored::default()
        })
        .collect();
    // Small answers mix the partitions.
    produce(&input, &messages);
    let settings = json!({
        "brokers": [broker], "topic": input, "consumerGroup": unique("mixed"),
        "maxPartitionFetchBytes": 200, "fetchMaxBytes": 2000,
    });
    let mut source = source(&settings, &context());
    source.open(&[]).await.unwrap();
    let mut next = [0; 5];
    for batch in read(&mut *source, messages.len()).await {
        let mut names: Vec<_> = batch.origins.iter().map(|origin| &origin.partition).collect();
        names.sort();
        names.dedup();
        assert_eq!(names.len(), batch.origins.len(), "one origin per partition");
        let mut ends = vec![0; batch.origins.len()];
        for (index, record) in batch.records.iter().enumerate() {
            let name = &batch.origins[record.origin as usize].partition;
            let partition: usize = name.rsplit_once('/').unwrap().1.parse().unwrap();
            assert_eq!(record.position, next[partition]);
            assert_eq!(&*batch.payload(index), next[partition].to_string().as_bytes());
            next[partition] += 1;
            ends[record.origin as usize] = next[partition];
        }
        for (origin, end) in batch.origins.iter().zip(ends) {
            assert_eq!(origin.position, json!(end));
        }
    }
    assert_eq!(next, [600; 5]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn compacted_topics_and_offsets_with_gaps_are_read() {
    let Some(broker) = broker("compacted_topics_and_offsets_with_gaps_are_read") else { return };
    let settings = [("cleanup.policy", "compact"), ("message.timestamp.type", "LogAppendTime")];
    let output = topic_with("compact", 1, &settings).await;
    let ctx = context();
    let mut sink = sink(&json!({"brokers": [broker], "topic": output}), &ctx);
    let mut batch = RecordBatch::new();
    let origin = batch.push_origin("p".into(), 1.into());
    for number in 0..3 {
        batch.push(b"{}", origin, number);
        batch.meta_mut(number as usize).set("key", Value::Str("same".into()));
    }
    write(&mut *sink, &batch).await;
    let all = stored(&output);
    assert_eq!(all.len(), 3);
    assert!(all.iter().all(|message| message.key == bytes("same") && message.time > Some(0)));
    // A compacted topic refuses records without a key, each by itself.
    let mut batch = RecordBatch::new();
    let origin = batch.push_origin("p".into(), 1.into());
    for number in 0..5 {
        batch.push(b"{}", origin, number);
        if number != 3 {
            batch.meta_mut(number as usize).set("key", Value::Str("other".into()));
        }
    }
    let mut outcomes = Outcomes::default();
    let result = tokio::time::timeout(MOST, sink.write(&batch, &mut outcomes)).await.unwrap();
    let rejected: Vec<usize> =
        outcomes.rejected_records().iter().map(|(index, _)| *index).collect();
    let resolved = outcomes.resolved();
    assert!(rejected == [3] || rejected.is_empty() && result.is_err(), "{rejected:?} {result:?}");
    if let Err(error) = result {
        assert!(error.is_about_records || error.class.is_transient(), "{error}");
        assert!(resolved < 5);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn keys_choose_partitions_as_the_setting_says() {
    let Some(broker) = broker("keys_choose_partitions_as_the_setting_says") else { return };
    // FNV-1a of `a` is 0xe40c292c, a negative number of 32 bits, whose remainder by 5 is made positive; murmur2 of
    // Java gives 0 for `a` among 5.
    let mut chosen = Vec::new();
    for partitioner in ["", "murmur2", "crc32"] {
        let output = topic("keys", 5).await;
        let settings = json!({"brokers": [broker], "topic": output, "partitioner": partitioner});
        let mut sink = sink(&settings, &context());
        let mut batch = RecordBatch::new();
        let origin = batch.push_origin("p".into(), 1.into());
        for number in 0..20 {
            batch.push(b"{}", origin, number);
            let key = if number % 2 == 0 { "a" } else { "b" };
            batch.meta_mut(number as usize).set("key", Value::Str(key.into()));
        }
        write(&mut *sink, &batch).await;
        let all = stored(&output);
        let of = |key: &str| {
            let mut partitions: Vec<i32> =
                all.iter().filter(|one| one.key == bytes(key)).map(|one| one.partition).collect();
            partitions.dedup();
            assert_eq!(partitions.len(), 1, "{partitioner} {key}");
            partitions[0]
        };
        chosen.push((of("a"), of("b")));
    }
    let fnv1a = |key: &[u8]| {
        let hash = key.iter().fold(0x811c_9dc5_u32, |hash, &byte| {
            (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193)
        });
        ((hash as i32) % 5).abs()
    };
    assert_eq!(chosen[0], (fnv1a(b"a"), fnv1a(b"b")), "as sarama does");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_late_record_is_handed_on_at_once() {
    let Some(broker) = broker("a_late_record_is_handed_on_at_once") else { return };
    let input = topic("late", 1).await;
    let settings = json!({"brokers": [broker], "topic": input, "consumerGroup": unique("late")});
    let mut source = source(&settings, &context());
    source.open(&[]).await.unwrap();
    let mut batch = RecordBatch::new();
    let early = tokio::time::timeout(Duration::from_millis(200), source.next(&mut batch)).await;
    assert!(early.is_err(), "there is nothing");
    produce(&input, &[Stored { payload: bytes("1"), ..Stored::default() }]);
    assert_eq!(read(&mut *source, 1).await[0].len(), 1);
}
