//! Leaders that move and requests that fail, with the client's mock cluster: a cluster of three cannot be
//! started here.
//!
//! The mock cluster talks the protocol over real sockets; it runs in a client of the test's own.

use std::time::Duration;

use levada_connectors::Outcomes;
use levada_model::{ErrorClass, RecordBatch};
use rdkafka::mocking::MockCluster;
use rdkafka::producer::DefaultProducerContext;
use rdkafka::types::{RDKafkaApiKey as Api, RDKafkaRespErr as Code};
use serde_json::{Value, json};

use super::messages::{read, write};
use super::support::{MOST, context, sink, source};

type Cluster = MockCluster<'static, DefaultProducerContext>;

fn cluster(topic: &str) -> (Cluster, Value) {
    let cluster = MockCluster::new(3).unwrap();
    cluster.create_topic(topic, 1, 3).unwrap();
    let brokers: Vec<String> =
        cluster.bootstrap_servers().split(',').map(ToOwned::to_owned).collect();
    let settings = json!({
        "brokers": brokers, "topic": topic, "consumerGroup": "g", "deliveryTimeout": "3s",
    });
    (cluster, settings)
}

fn batch_of(range: std::ops::Range<u64>) -> RecordBatch {
    let mut batch = RecordBatch::new();
    let origin = batch.push_origin("p".into(), range.end.into());
    for number in range {
        batch.push(number.to_string().as_bytes(), origin, number);
    }
    batch
}

fn payloads(batches: &[RecordBatch]) -> Vec<u64> {
    let all = batches.iter().flat_map(|batch| (0..batch.len()).map(|index| batch.payload(index)));
    all.map(|payload| std::str::from_utf8(&payload).unwrap().parse().unwrap()).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_leader_that_moves_is_followed() {
    let (cluster, settings) = cluster("moves");
    let ctx = context();
    let mut sink = sink(&settings, &ctx);
    let mut source = source(&settings, &ctx);
    sink.open().await.unwrap();
    source.open(&[]).await.unwrap();
    let mut seen = Vec::new();
    for round in 0..4 {
        cluster.partition_leader("moves", 0, Some(1 + round as i32 % 3)).unwrap();
        write(&mut *sink, &batch_of(round * 100..(round + 1) * 100)).await;
        seen.extend(payloads(&read(&mut *source, 100).await));
    }
    assert_eq!(seen, (0..400).collect::<Vec<_>>(), "in order, once");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn requests_that_fail_for_a_passing_reason_are_repeated_in_order() {
    let (cluster, settings) = cluster("passing");
    let ctx = context();
    let mut sink = sink(&settings, &ctx);
    sink.open().await.unwrap();
    cluster.request_errors(
        Api::Produce,
        &[
            Code::RD_KAFKA_RESP_ERR_NOT_LEADER_FOR_PARTITION,
            Code::RD_KAFKA_RESP_ERR_NOT_ENOUGH_REPLICAS,
            Code::RD_KAFKA_RESP_ERR__TRANSPORT,
            Code::RD_KAFKA_RESP_ERR_REQUEST_TIMED_OUT,
        ],
    );
    for round in 0..3 {
        write(&mut *sink, &batch_of(round * 100..(round + 1) * 100)).await;
    }
    cluster.request_errors(
        Api::Fetch,
        &[
            Code::RD_KAFKA_RESP_ERR_NOT_LEADER_FOR_PARTITION,
            Code::RD_KAFKA_RESP_ERR_UNKNOWN_LEADER_EPOCH,
            Code::RD_KAFKA_RESP_ERR__TRANSPORT,
        ],
    );
    let mut source = source(&settings, &ctx);
    source.open(&[]).await.unwrap();
    let seen = payloads(&read(&mut *source, 300).await);
    assert_eq!(seen, (0..300).collect::<Vec<_>>());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_right_to_write_that_is_taken_away_ends_the_flow() {
    let (cluster, settings) = cluster("rights");
    let ctx = context();
    let mut sink = sink(&settings, &ctx);
    write(&mut *sink, &batch_of(0..10)).await;
    let denied = [Code::RD_KAFKA_RESP_ERR_TOPIC_AUTHORIZATION_FAILED];
    cluster.request_errors(Api::Produce, &denied);
    let mut outcomes = Outcomes::default();
    let batch = batch_of(10..20);
    let written = tokio::time::timeout(MOST, sink.write(&batch, &mut outcomes)).await.unwrap();
    let error = written.unwrap_err();
    assert_eq!(error.class, ErrorClass::AuthError, "{error}");
    assert!(!error.is_about_records && error.to_string().contains("rights"), "{error}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_topic_that_is_missing_ends_the_flow() {
    let (cluster, settings) = cluster("missing");
    cluster.topic_error("missing", Code::RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART).unwrap();
    let ctx = context();
    let from_source = source(&settings, &ctx).open(&[]).await.unwrap_err();
    let from_sink = sink(&settings, &ctx).open().await.unwrap_err();
    for (class, text) in
        [(from_source.class, from_source.to_string()), (from_sink.class, from_sink.to_string())]
    {
        assert_eq!(class, ErrorClass::Unknown);
        let brokers = cluster.bootstrap_servers();
        let wanted =
            format!("topic `missing` on {brokers} is not there, and the brokers do not create it");
        assert_eq!(text, wanted);
    }
    cluster.topic_error("missing", Code::RD_KAFKA_RESP_ERR_TOPIC_AUTHORIZATION_FAILED).unwrap();
    let error = source(&settings, &ctx).open(&[]).await.unwrap_err();
    assert_eq!(error.class, ErrorClass::AuthError, "{error}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_commit_that_comes_too_late_is_harmless() {
    let (cluster, settings) = cluster("late");
    let ctx = context();
    write(&mut *sink(&settings, &ctx), &batch_of(0..10)).await;
    let mut source = source(&settings, &ctx);
    source.open(&[]).await.unwrap();
    read(&mut *source, 10).await;
    for code in [
        Code::RD_KAFKA_RESP_ERR_ILLEGAL_GENERATION,
        Code::RD_KAFKA_RESP_ERR_UNKNOWN_MEMBER_ID,
        Code::RD_KAFKA_RESP_ERR_REBALANCE_IN_PROGRESS,
    ] {
        cluster.request_errors(Api::OffsetCommit, &[code]);
        source.commit(&[("late/0".into(), json!(5))]).await.unwrap();
    }
    write(&mut *sink(&settings, &ctx), &batch_of(10..20)).await;
    // The member joins anew, so what was not committed may come again, and records go on.
    let mut seen = Vec::new();
    while !seen.ends_with(&[19]) {
        seen.extend(payloads(&read(&mut *source, 1).await));
    }
    seen.sort_unstable();
    seen.dedup();
    assert!(seen.ends_with(&(10..20).collect::<Vec<_>>()), "{seen:?}");
    source.commit(&[("late/0".into(), json!(20))]).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn brokers_that_are_all_down_are_waited_for() {
    let (cluster, settings) = cluster("down");
    let ctx = context();
    let mut sink = sink(&settings, &ctx);
    let mut source = source(&settings, &ctx);
    sink.open().await.unwrap();
    source.open(&[]).await.unwrap();
    write(&mut *sink, &batch_of(0..10)).await;
    assert_eq!(payloads(&read(&mut *source, 10).await).len(), 10);
    for broker in 1..=3 {
        cluster.broker_down(broker).unwrap();
    }
    let mut outcomes = Outcomes::default();
    let batch = batch_of(10..20);
    let error = sink.write(&batch, &mut outcomes).await.unwrap_err();
    assert!(error.class.is_transient(), "{error}");
    let mut none = RecordBatch::new();
    let error = tokio::time::timeout(MOST, source.next(&mut none)).await.unwrap().unwrap_err();
    assert_eq!(error.class, ErrorClass::ConnectionError, "{error}");
    for broker in 1..=3 {
        cluster.broker_up(broker).unwrap();
    }
    let mut tries = 0;
    while let Err(error) = source.open(&[("down/0".into(), json!(10))]).await {
        assert!(error.class.is_transient() && tries < 20, "{error}");
        tries += 1;
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    while let Err(error) = sink.write(&batch, &mut outcomes).await {
        assert!(error.class.is_transient() && tries < 20, "{error}");
        tries += 1;
    }
    let seen = payloads(&read(&mut *source, 10).await);
    assert_eq!(&seen[..10], (10..20).collect::<Vec<_>>());
}
