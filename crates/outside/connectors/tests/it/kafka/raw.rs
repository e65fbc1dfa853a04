//! A producer that sends what no client would: bytes of Kafka's protocol, written by hand.

use std::io::{Read, Write};
use std::net::TcpStream;

use levada_model::RecordBatch;
use serde_json::json;

use super::support::{MOST, broker, context, source, topic, unique};

/// Writes a signed number as Kafka's records do: zigzag, seven bits a byte.
fn varint(out: &mut Vec<u8>, number: i64) {
    let mut left = ((number << 1) ^ (number >> 63)) as u64;
    while left >= 0x80 {
        out.push(left as u8 | 0x80);
        left >>= 7;
    }
    out.push(left as u8);
}

fn bytes(out: &mut Vec<u8>, content: &[u8]) {
    varint(out, content.len() as i64);
    out.extend_from_slice(content);
}

/// CRC-32C, bit by bit.
fn crc32c(content: &[u8]) -> u32 {
    let mut crc = u32::MAX;
    for byte in content {
        crc ^= u32::from(*byte);
        for _ in 0..8 {
            crc = if crc & 1 == 1 { (crc >> 1) ^ 0x82f6_3b78 } else { crc >> 1 };
        }
    }
    !crc
}

/// Makes a batch of one message.
fn batch(payload: &[u8], headers: &[(&[u8], &[u8])]) -> Vec<u8> {
    // Attributes, and times and offsets that begin at nothing; no key.
    let mut record = vec![0, 0, 0];
    varint(&mut record, -1);
    bytes(&mut record, payload);
    varint(&mut record, headers.len() as i64);
    for (name, value) in headers {
        bytes(&mut record, name);
        bytes(&mut record, value);
    }
    let mut body = Vec::new();
    body.extend_from_slice(&0_i16.to_be_bytes()); // attributes
    body.extend_from_slice(&0_i32.to_be_bytes()); // last offset
    body.extend_from_slice(&1_700_000_000_000_i64.to_be_bytes()); // first and last time
    body.extend_from_slice(&1_700_000_000_000_i64.to_be_bytes());
    body.extend_from_slice(&[0xff; 14]); // no producer, no epoch, no sequence
    body.extend_from_slice(&1_i32.to_be_bytes());
    bytes(&mut body, &record);
    let mut batch = 0_i64.to_be_bytes().to_vec();
    batch.extend_from_slice(&(body.len() as i32 + 9).to_be_bytes());
    batch.extend_from_slice(&(-1_i32).to_be_bytes()); // epoch of the leader
    batch.push(2);
    batch.extend_from_slice(&crc32c(&body).to_be_bytes());
    batch.extend_from_slice(&body);
    batch
}

/// Sends a batch to partition 0 of a topic: version 3 of Produce.
fn produce(brokers: &str, topic: &str, batch: &[u8]) {
    let text = |out: &mut Vec<u8>, text: &str| {
        out.extend_from_slice(&(text.len() as i16).to_be_bytes());
        out.extend_from_slice(text.as_bytes());
    };
    let mut request = vec![0, 0, 0, 3, 0, 0, 0, 1];
    text(&mut request, "raw");
    request.extend_from_slice(&(-1_i16).to_be_bytes()); // no transaction
    request.extend_from_slice(&(-1_i16).to_be_bytes()); // all replicas
    request.extend_from_slice(&10_000_i32.to_be_bytes());
    request.extend_from_slice(&1_i32.to_be_bytes());
    text(&mut request, topic);
    request.extend_from_slice(&1_i32.to_be_bytes());
    request.extend_from_slice(&0_i32.to_be_bytes());
    request.extend_from_slice(&(batch.len() as i32).to_be_bytes());
    request.extend_from_slice(batch);
    let mut stream = TcpStream::connect(brokers).unwrap();
    stream.set_read_timeout(Some(MOST)).unwrap();
    stream.write_all(&(request.len() as i32).to_be_bytes()).unwrap();
    stream.write_all(&request).unwrap();
    let mut length = [0; 4];
    stream.read_exact(&mut length).unwrap();
    let mut answer = vec![0; u32::from_be_bytes(length) as usize];
    stream.read_exact(&mut answer).unwrap();
    // Correlation, topics, the name, partitions, the partition; then the error.
    let at = 4 + 4 + 2 + topic.len() + 4 + 4;
    assert_eq!(answer[at..at + 2], [0, 0], "the broker refuses: {answer:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn headers_whose_name_is_no_text_are_counted() {
    let Some(brokers) = broker("headers_whose_name_is_no_text_are_counted") else { return };
    let topic = topic("names", 1).await;
    let headers: [(&[u8], &[u8]); 4] =
        [(b"a", b"1"), (b"\xff\xfe", b"2"), (b"b", b"\xff"), (b"\xc3", b"")];
    for _ in 0..2 {
        produce(&brokers, &topic, &batch(b"{}", &headers));
    }
    let ctx = context();
    let settings = json!({"brokers": [brokers], "topic": topic, "consumerGroup": unique("names")});
    let mut source = source(&settings, &ctx);
    source.open(&[]).await.unwrap();
    let mut names = Vec::new();
    let mut batch = RecordBatch::new();
    while names.len() < 4 {
        batch.clear();
        tokio::time::timeout(MOST, source.next(&mut batch)).await.unwrap().unwrap();
        for index in 0..batch.len() {
            let record = &batch.records[index];
            let envelope = batch.envelope(index).unwrap_or_else(|| panic!("{record:?}"));
            let encoded = envelope.headers_in(&batch.text);
            names.extend(levada_model::envelope::headers(encoded).map(|(name, _)| name.to_owned()));
        }
    }
    assert_eq!(names, ["a", "b", "a", "b"]);
    let shown = ctx.metrics.render();
    let line =
        "levada_kafka_source_dropped_headers_total{namespace=\"default\",name=\"conformance\"} 4";
    assert!(shown.lines().any(|found| found == line), "{shown}");
}
