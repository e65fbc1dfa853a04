//! What goes wrong, and what is said of it.

use std::time::Duration;

use levada_connectors::{Outcomes, SinkError, Source, SourceError};
use levada_model::{ErrorClass, RecordBatch};
use levada_testkit::http::free_port;
use levada_testkit::kafka::Proxy;
use serde_json::json;

use super::messages::write;
use super::support::{
    MOST, broker, context, delete_topic, sink, source, stored_payloads, topic, topic_with, unique,
};

fn batch_of(payloads: &[Vec<u8>]) -> RecordBatch {
    let mut batch = RecordBatch::new();
    let origin = batch.push_origin("p".into(), payloads.len().into());
    for (index, payload) in payloads.iter().enumerate() {
        batch.push(payload, origin, index as u64);
    }
    batch
}

async fn next_error(source: &mut dyn Source) -> SourceError {
    let mut batch = RecordBatch::new();
    loop {
        batch.clear();
        match tokio::time::timeout(2 * MOST, source.next(&mut batch)).await.unwrap() {
            Ok(_) => {}
            Err(error) => return error,
        }
    }
}

fn is_said<E: std::fmt::Display>(error: &E, parts: &[&str]) {
    let text = error.to_string();
    for part in parts {
        assert!(text.contains(part), "`{text}` does not say `{part}`");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn brokers_that_are_away_are_tried_again() {
    let address = format!("127.0.0.1:{}", free_port());
    let ctx = context();
    let settings = json!({"brokers": [address], "topic": "t"});
    let error: SourceError = source(&settings, &ctx).open(&[]).await.unwrap_err();
    assert_eq!(error.class, ErrorClass::ConnectionError);
    is_said(&error, &["cannot connect to", &address, "refused"]);
    let error: SinkError = sink(&settings, &ctx).open().await.unwrap_err();
    assert_eq!(error.class, ErrorClass::ConnectionError);
    is_said(&error, &["cannot connect to", &address, "refused"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_name_that_no_topic_can_have_ends_the_flow() {
    let Some(broker) = broker("a_name_that_no_topic_can_have") else { return };
    let ctx = context();
    let settings = json!({"brokers": [broker], "topic": "no topic!"});
    let error = source(&settings, &ctx).open(&[]).await.unwrap_err();
    assert_eq!(error.class, ErrorClass::Unknown);
    is_said(&error, &["no topic!", &broker]);
    let error = sink(&settings, &ctx).open().await.unwrap_err();
    assert_eq!(error.class, ErrorClass::Unknown);
    is_said(&error, &["no topic!", &broker]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn brokers_are_asked_to_create_a_topic() {
    let Some(broker) = broker("brokers_are_asked_to_create_a_topic") else { return };
    let ctx = context();
    let topic = unique("created-by-source");
    let settings = json!({"brokers": [broker], "topic": topic, "consumerGroup": unique("g")});
    source(&settings, &ctx).open(&[]).await.unwrap();
    let topic = unique("created-by-sink");
    let mut sink = sink(&json!({"brokers": [broker], "topic": topic}), &ctx);
    sink.open().await.unwrap();
    write(&mut *sink, &batch_of(&[b"1".to_vec()])).await;
    assert_eq!(stored_payloads(&topic), [b"1".to_vec()]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_record_that_the_topic_refuses_is_found_among_others() {
    let Some(broker) = broker("a_record_that_the_topic_refuses") else { return };
    let topic = topic_with("small", 1, &[("max.message.bytes", "5000")]).await;
    let mut sink = sink(&json!({"brokers": [broker], "topic": topic}), &context());
    let mut all: Vec<Vec<u8>> = (0..40).map(|number| number.to_string().into_bytes()).collect();
    all[17] = vec![b'x'; 8000];
    // As the engine does: bisect what is about records.
    let mut parts = vec![(0..40).collect::<Vec<usize>>()];
    let mut rejected = Vec::new();
    while let Some(part) = parts.pop() {
        let chosen: Vec<Vec<u8>> = part.iter().map(|&index| all[index].clone()).collect();
        let batch = batch_of(&chosen);
        let mut outcomes = Outcomes::default();
        let result = tokio::time::timeout(MOST, sink.write(&batch, &mut outcomes)).await.unwrap();
        let flags = outcomes.resolved_flags(part.len());
        rejected.extend(outcomes.rejected_records().iter().map(|(index, _)| part[*index]));
        let rest: Vec<usize> =
            part.iter().zip(flags).filter(|(_, done)| !done).map(|(index, _)| *index).collect();
        match result {
            Ok(()) => assert!(rest.is_empty()),
            Err(error) => {
                assert!(error.is_about_records, "{error}");
                is_said(&error, &["larger", "max.message.bytes"]);
                let (low, high) = rest.split_at(rest.len() / 2);
                parts.extend([high.to_vec(), low.to_vec()]);
            }
        }
    }
    assert_eq!(rejected, [17]);
    let mut arrived = stored_payloads(&topic);
    all.remove(17);
    arrived.sort();
    all.sort();
    assert_eq!(arrived, all);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_limit_of_the_client_is_a_setting() {
    let Some(broker) = broker("a_limit_of_the_client_is_a_setting") else { return };
    let topic = topic_with("large", 1, &[("max.message.bytes", "4000000")]).await;
    let settings = json!({"brokers": [broker], "topic": topic, "maxMessageBytes": 3_000_000});
    let mut sink = sink(&settings, &context());
    let large = vec![b'x'; 2_500_000];
    let batch = batch_of(&[large.clone(), vec![b'y'; 3_100_000]]);
    let mut outcomes = Outcomes::default();
    tokio::time::timeout(MOST, sink.write(&batch, &mut outcomes)).await.unwrap().unwrap();
    assert_eq!(outcomes.rejected_records().len(), 1);
    assert_eq!(outcomes.rejected_records()[0].1.class, ErrorClass::InvalidData);
    assert_eq!(stored_payloads(&topic), [large]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_connection_that_breaks_is_said_and_comes_back() {
    let Some(broker) = broker("a_connection_that_breaks") else { return };
    let topic = topic("breaks", 1).await;
    let proxy = Proxy::start(&broker);
    let settings = json!({
        "brokers": [proxy.address()], "topic": topic, "consumerGroup": unique("breaks"),
    });
    let mut source = source(&settings, &context());
    source.open(&[]).await.unwrap();
    proxy.cut();
    let error = next_error(&mut *source).await;
    assert_eq!(error.class, ErrorClass::ConnectionError, "{error}");
    is_said(&error, &["no connection to", &proxy.address()]);
    let error = source.open(&[]).await.unwrap_err();
    assert_eq!(error.class, ErrorClass::ConnectionError, "{error}");
    proxy.restore();
    source.open(&[]).await.unwrap();
    super::support::produce_payloads(&topic, 0, &[b"1".to_vec()]);
    assert_eq!(super::messages::read(&mut *source, 1).await[0].len(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_sink_that_is_cut_keeps_what_was_answered() {
    let Some(broker) = broker("a_sink_that_is_cut") else { return };
    let topic = topic("cut", 1).await;
    let proxy = Proxy::start(&broker);
    let settings = json!({
        "brokers": [proxy.address()], "topic": topic, "deliveryTimeout": "1s",
    });
    let mut sink = sink(&settings, &context());
    sink.open().await.unwrap();
    write(&mut *sink, &batch_of(&[b"1".to_vec()])).await;
    proxy.cut();
    let mut outcomes = Outcomes::default();
    let batch = batch_of(&[b"2".to_vec()]);
    let error = tokio::time::timeout(MOST, sink.write(&batch, &mut outcomes)).await.unwrap();
    let error = error.unwrap_err();
    assert!(error.class.is_transient(), "{error}");
    is_said(&error, &[&topic, &proxy.address()]);
    assert_eq!(outcomes.resolved(), 0);
    proxy.restore();
    // The client may still wait before it connects again.
    let mut tries = 0;
    while let Err(error) = sink.write(&batch, &mut outcomes).await {
        assert!(error.class.is_transient() && tries < 10, "{error}");
        tries += 1;
    }
    assert_eq!(outcomes.resolved(), 1);
    assert_eq!(stored_payloads(&topic), [b"1".to_vec(), b"2".to_vec()]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_topic_that_is_deleted_ends_a_running_source() {
    let Some(broker) = broker("a_topic_that_is_deleted") else { return };
    let topic = topic("deleted", 1).await;
    let settings = json!({"brokers": [broker], "topic": topic, "consumerGroup": unique("g")});
    let mut source = source(&settings, &context());
    source.open(&[]).await.unwrap();
    super::support::produce_payloads(&topic, 0, &[b"1".to_vec()]);
    super::messages::read(&mut *source, 1).await;
    delete_topic(&topic).await;
    let mut batch = RecordBatch::new();
    // The brokers make it anew when a client asks for it; either is fine, a hang is not.
    match tokio::time::timeout(Duration::from_secs(15), source.next(&mut batch)).await {
        Err(_) => {
            super::support::produce_payloads(&topic, 0, &[b"2".to_vec()]);
            super::messages::read(&mut *source, 1).await;
        }
        Ok(result) => {
            let error = result.unwrap_err();
            is_said(&error, &[&topic]);
        }
    }
}
