//! Avro in a topic, framed with the number of a schema in a real registry, and with a schema of the settings.

use std::io::{Read as _, Write as _};

use levada_testkit::services::SCHEMA_REGISTRY;
use serde_json::{Value, json};

use super::messages::read;
use super::support::{broker, context, produce_payloads, source, topic, unique};

/// Registers a schema and gives its number.
fn register(registry: &str, subject: &str, schema: &Value) -> u32 {
    let body = json!({"schema": schema.to_string()}).to_string();
    let mut stream = std::net::TcpStream::connect(registry).unwrap();
    let head = format!(
        "POST /apis/ccompat/v7/subjects/{subject}/versions HTTP/1.1\r\nHost: {registry}\r\n\
         Content-Type: application/vnd.schemaregistry.v1+json\r\nContent-Length: {}\r\n\
         Connection: close\r\n\r\n{body}",
        body.len()
    );
    stream.write_all(head.as_bytes()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    let (_, rest) = answer.split_once("\"id\":").unwrap_or_else(|| panic!("{answer}"));
    rest.split(|c: char| !c.is_ascii_digit()).next().unwrap().parse().unwrap()
}

fn framed(schema: u32, body: &[u8]) -> Vec<u8> {
    let mut record = vec![0];
    record.extend(schema.to_be_bytes());
    record.extend(body);
    record
}

#[tokio::test(flavor = "multi_thread")]
async fn framed_records_become_json_and_what_cannot_be_decoded_is_kept() {
    let test = "framed_records_become_json";
    let Some(brokers) = broker(test) else { return };
    let Some(registry) = SCHEMA_REGISTRY.address(test) else { return };
    let schema = json!({"type": "record", "name": "Order", "fields": [
        {"name": "id", "type": "long"},
        {"name": "note", "type": ["null", "string"]},
    ]});
    let id = register(&registry, &unique("order"), &schema);
    let topic = topic("avro", 1).await;
    let good = framed(id, &[84, 2, 4, b'o', b'k']);
    let cut = framed(id, &[84, 2, 40, b'o']);
    let unknown = framed(4_000_000, &[0]);
    produce_payloads(&topic, 0, &[good, cut.clone(), unknown, b"no avro".to_vec()]);
    let settings = json!({
        "brokers": [brokers], "topic": topic, "format": "avro",
        "schemaRegistry": {"url": format!("http://{registry}/apis/ccompat/v7")},
    });
    let mut source = source(&settings, &context());
    source.open(&[]).await.unwrap();
    let batches = read(&mut *source, 4).await;
    let all: Vec<(Vec<u8>, Option<String>)> = batches
        .iter()
        .flat_map(|batch| {
            (0..batch.len()).map(|index| {
                let why = batch.broken(index).map(|error| error.message.clone());
                (batch.payload(index).into_owned(), why)
            })
        })
        .collect();
    assert_eq!(all[0], (br#"{"id":42,"note":"ok"}"#.to_vec(), None));
    assert_eq!(all[1].0, cut, "the bytes are kept as they were");
    for (payload, why) in &all[1..] {
        assert!(why.is_some(), "{payload:?} should not be decoded");
    }
    assert!(all[2].1.as_ref().unwrap().contains("4000000"), "{all:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_schema_of_the_settings_decodes_plain_records() {
    let Some(brokers) = broker("a_schema_of_the_settings") else { return };
    let topic = topic("avro-plain", 1).await;
    produce_payloads(&topic, 0, &[vec![84]]);
    let schema = json!({"type": "record", "name": "One", "fields": [{"name": "n", "type": "int"}]});
    let settings = json!({
        "brokers": [brokers], "topic": topic, "format": "avro", "avroSchema": schema.to_string(),
    });
    let mut source = source(&settings, &context());
    source.open(&[]).await.unwrap();
    let batches = read(&mut *source, 1).await;
    assert_eq!(&*batches[0].payload(0), br#"{"n":42}"#);
    let offset = batches[0].meta(0).and_then(|meta| meta.get("offset").cloned());
    assert_eq!(offset, Some(levada_model::Value::Int(0)));
}
