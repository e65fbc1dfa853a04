//! TLS and SASL towards a real broker.

use std::fs;
use std::path::PathBuf;

use levada_connectors::Outcomes;
use levada_model::{ErrorClass, RecordBatch};
use levada_testkit::services::KAFKA;
use serde_json::{Value, json};

use super::messages::{read, write};
use super::support::{broker, context, sink, source, topic, unique};

/// Gives the address of another listener.
pub(super) fn listener(broker: &str, offset: u16) -> String {
    let (host, port) = broker.rsplit_once(':').unwrap();
    format!("{host}:{}", port.parse::<u16>().unwrap() + offset)
}

/// Gives the folder with the certificates; nothing: the test is skipped.
pub(super) fn certificates(test: &str) -> Option<PathBuf> {
    let folder = KAFKA.state().join("tls");
    if folder.join("ca.pem").exists() {
        return Some(folder);
    }
    levada_testkit::skipped(test, &format!("{} holds no certificates", folder.display()));
    None
}

fn sasl(mechanism: &str, password: &str) -> Value {
    json!({"mechanism": mechanism, "username": "alice", "password": password})
}

/// Writes a record and reads it, both with these settings.
async fn goes_through(mut settings: Value) {
    let topic = topic("security", 1).await;
    settings["topic"] = json!(topic);
    let ctx = context();
    let mut sink = sink(&settings, &ctx);
    sink.open().await.unwrap();
    let mut batch = RecordBatch::new();
    let origin = batch.push_origin("p".into(), 1.into());
    batch.push(b"1", origin, 0);
    write(&mut *sink, &batch).await;
    settings["consumerGroup"] = json!(unique("security"));
    let mut source = source(&settings, &ctx);
    source.open(&[]).await.unwrap();
    assert_eq!(&*read(&mut *source, 1).await[0].payload(0), b"1");
}

/// Gives what source and sink say of settings that do not work.
async fn refused(settings: &Value) -> [(ErrorClass, String); 2] {
    let ctx = context();
    let from_source = source(settings, &ctx).open(&[]).await.unwrap_err();
    let mut outcomes = Outcomes::default();
    let mut batch = RecordBatch::new();
    let origin = batch.push_origin("p".into(), 1.into());
    batch.push(b"1", origin, 0);
    // A sink that was not opened connects when it writes.
    let from_sink = sink(settings, &ctx).write(&batch, &mut outcomes).await.unwrap_err();
    [(from_source.class, from_source.to_string()), (from_sink.class, from_sink.to_string())]
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_mechanism_logs_in() {
    let Some(broker) = broker("every_mechanism_logs_in") else { return };
    for mechanism in ["", "plain", "scram-sha-256", "scram-sha-512"] {
        let address = listener(&broker, 2);
        goes_through(json!({"brokers": [address], "sasl": sasl(mechanism, "alice-secret")})).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_wrong_password_ends_the_flow() {
    let Some(broker) = broker("a_wrong_password_ends_the_flow") else { return };
    for mechanism in ["plain", "scram-sha-512"] {
        let address = listener(&broker, 2);
        let settings =
            json!({"brokers": [address], "topic": "t", "sasl": sasl(mechanism, "wrong")});
        for (class, text) in refused(&settings).await {
            assert_eq!(class, ErrorClass::AuthError, "{text}");
            assert!(text.contains(&address) && text.contains("uthentication"), "{text}");
            assert!(!text.contains("wrong"), "the password is not shown: {text}");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tls_with_files_and_text_and_a_client_certificate() {
    let Some(broker) = broker("tls") else { return };
    let Some(folder) = certificates("tls") else { return };
    let path = |name: &str| folder.join(name).display().to_string();
    let text = |name: &str| fs::read_to_string(folder.join(name)).unwrap();
    let address = listener(&broker, 3);
    for tls in [
        json!({"caFile": path("ca.pem")}),
        json!({"caFile": text("ca.pem")}),
        json!({"insecureSkipVerify": true}),
        json!({"caFile": path("ca.pem"), "certFile": path("client.pem"), "keyFile": path("client.key")}),
        json!({"caFile": text("ca.pem"), "certFile": text("client.pem"), "keyFile": text("client.key")}),
    ] {
        goes_through(json!({"brokers": [address], "tls": tls})).await;
    }
    let tls = json!({"caFile": path("ca.pem")});
    let both = json!({
        "brokers": [listener(&broker, 4)], "tls": tls, "sasl": sasl("scram-sha-256", "alice-secret"),
        "securityProtocol": "sasl-ssl",
    });
    goes_through(both).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_certificate_that_nobody_vouches_for_ends_the_flow() {
    let Some(broker) = broker("a_certificate_that_nobody_vouches_for") else { return };
    let address = listener(&broker, 3);
    let settings = json!({"brokers": [address], "topic": "t", "tls": {}});
    for (class, text) in refused(&settings).await {
        assert_eq!(class, ErrorClass::AuthError, "{text}");
        assert!(text.contains("certificate"), "{text}");
    }
    let settings = json!({"brokers": [address], "topic": "t", "tls": {"caFile": "none.pem"}});
    for (class, text) in refused(&settings).await {
        assert_eq!(class, ErrorClass::InvalidData, "{text}");
        assert!(text.contains("none.pem"), "{text}");
    }
}
