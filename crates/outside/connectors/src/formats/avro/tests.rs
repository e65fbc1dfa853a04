#![expect(clippy::unwrap_used, reason = "tests")]

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use levada_model::{ErrorClass, Timestamp};
use levada_runtime::VirtualClock;
use levada_testkit::fake_http::{FakeServer, Reply, Request};
use levada_testkit::services::SCHEMA_REGISTRY;
use serde_json::{Value, json};

use super::*;
use crate::blocks::{BasicAuth, SchemaRegistry, Tls};
use crate::sources::testing::{Certificates, context, context_with};

const PAIR: &str = r#"{"type":"record","name":"pair","fields":[{"name":"a","type":["null","int"]},{"name":"b","type":"string"}]}"#;

fn format<'b>(
    schema: &'b str,
    file: &'b str,
    registry: Option<&'b SchemaRegistry>,
) -> RecordFormat<'b> {
    let schema_secret_ref = None;
    RecordFormat { format: "avro", schema, schema_file: file, schema_secret_ref, registry }
}

async fn with_registry(url: String, schema: &str) -> AvroDecoder {
    let block = SchemaRegistry { url, ..SchemaRegistry::default() };
    let mut decoder = AvroDecoder::new(&format(schema, "", Some(&block)), &context()).unwrap();
    decoder.open().await.unwrap();
    decoder
}

async fn text(decoder: &mut AvroDecoder, payload: &[u8]) -> Result<String, AvroError> {
    let mut out = b"before".to_vec();
    let result = decoder.decode(payload, &mut out).await;
    let text = String::from_utf8(out.split_off(6)).unwrap();
    match result {
        Ok(()) => Ok(text),
        Err(error) => {
            assert_eq!(text, "");
            Err(error)
        }
    }
}

#[track_caller]
fn record_error(result: Result<String, AvroError>) -> String {
    match result {
        Err(AvroError::Record(error)) => {
            assert_eq!(error.class, ErrorClass::InvalidData);
            error.message
        }
        other => panic!("{other:?}"),
    }
}

#[track_caller]
fn source_error(result: Result<String, AvroError>) -> (ErrorClass, String) {
    match result {
        Err(AvroError::Source(error)) => (error.class, error.message),
        other => panic!("{other:?}"),
    }
}

fn framed(id: u32, body: &[u8]) -> Vec<u8> {
    [&[0][..], &id.to_be_bytes(), body].concat()
}

#[tokio::test]
async fn the_schema_of_the_settings_decodes_records_without_a_frame() {
    let mut decoder = AvroDecoder::new(&format(PAIR, "", None), &context()).unwrap();
    decoder.open().await.unwrap();
    assert_eq!(text(&mut decoder, &[2, 14, 2, b'x']).await.unwrap(), r#"{"a":7,"b":"x"}"#);
    // The first branch of a union is chosen by 0x00, which is no frame.
    let long = [&[0, 12][..], b"longer"].concat();
    assert_eq!(text(&mut decoder, &long).await.unwrap(), r#"{"a":null,"b":"longer"}"#);
    assert_eq!(record_error(text(&mut decoder, &[]).await), "empty Avro data");
    let message = record_error(text(&mut decoder, &framed(7, &[2, 14, 2, b'x'])).await);
    assert!(message.contains("it may name schema 7 of a registry"), "{message}");
}

#[tokio::test]
async fn a_schema_may_stand_in_a_file() {
    let folder = tempfile::tempdir().unwrap();
    let ctx = BuildContext { base_dir: folder.path().to_owned(), ..context() };
    let mut decoder = AvroDecoder::new(&format("", "pair.avsc", None), &ctx).unwrap();
    let error = decoder.open().await.unwrap_err();
    assert!(!error.class.is_transient() && error.message.contains("pair.avsc"), "{error}");
    let path = folder.path().join("pair.avsc");
    std::fs::write(&path, "{\"type\":\"nope\"}").unwrap();
    let error = decoder.open().await.unwrap_err();
    assert!(error.message.ends_with("type `nope` is not defined"), "{error}");
    std::fs::write(&path, PAIR).unwrap();
    decoder.open().await.unwrap();
    assert_eq!(text(&mut decoder, &[0, 0]).await.unwrap(), r#"{"a":null,"b":""}"#);
    let mut closed = AvroDecoder::new(&format("", "pair.avsc", None), &ctx).unwrap();
    assert!(!closed.decode_now(&[0, 0], &mut Vec::new()).unwrap());
    assert_eq!(text(&mut closed, &[0, 0]).await.unwrap(), r#"{"a":null,"b":""}"#);
    let error = AvroDecoder::new(&format("{", "", None), &ctx).err().unwrap();
    assert!(error.to_string().starts_with("avroSchema: not an Avro schema"), "{error}");
}

/// A registry that knows a few schemas and can be made to fail.
fn fake(answer: impl Fn(&Request) -> Option<Reply> + Send + Sync + 'static) -> FakeServer {
    FakeServer::start(move |request| {
        if let Some(reply) = answer(request) {
            return reply;
        }
        assert_eq!(request.header("accept"), Some("application/vnd.schemaregistry.v1+json"));
        let schema = |text: &str| Reply::new(200, json!({"schema": text}).to_string());
        match request.path() {
            "/sr/schemas/ids/1" => schema(PAIR),
            "/sr/schemas/ids/2" => schema("\"bytes\""),
            "/sr/schemas/ids/3" => {
                Reply::new(200, json!({"schema": "{}", "schemaType": "JSON"}).to_string())
            }
            "/sr/schemas/ids/4" => schema("{\"type\":\"nope\"}"),
            "/sr/schemas/ids/5" => schema(&format!("\"{}\"", "x".repeat(SCHEMA_BYTES_MAX))),
            // Two that refer to each other.
            "/sr/schemas/ids/6" => Reply::new(200, circle("A", "B").to_string()),
            "/sr/subjects/B%2F%3F/versions/1" => Reply::new(200, circle("B", "A").to_string()),
            "/sr/subjects/A%2F%3F/versions/1" => Reply::new(200, circle("X", "B").to_string()),
            _ => Reply::new(404, r#"{"error_code":40403,"message":"Schema not found"}"#),
        }
    })
}

fn circle(name: &str, other: &str) -> Value {
    let fields = json!([{"name": "other", "type": ["null", other]}]);
    let schema = json!({"type": "record", "name": name, "fields": fields}).to_string();
    json!({"schema": schema, "references": [{"name": other, "subject": format!("{other}/?"), "version": 1}]})
}

#[tokio::test]
async fn framed_records_are_decoded_with_the_schema_of_their_number() {
    let server = fake(|_| None);
    let mut decoder = with_registry(server.url("/sr/"), "").await;
    let payload = framed(1, &[2, 14, 2, b'x']);
    let mut out = Vec::new();
    assert!(!decoder.decode_now(&payload, &mut out).unwrap() && out.is_empty());
    assert_eq!(text(&mut decoder, &payload).await.unwrap(), r#"{"a":7,"b":"x"}"#);
    assert!(decoder.decode_now(&payload, &mut out).unwrap());
    assert_eq!(out, br#"{"a":7,"b":"x"}"#);
    assert_eq!(server.requests(), 1, "a schema is asked for once");
    // A record that is nothing but bytes has no length.
    assert_eq!(text(&mut decoder, &framed(2, &[1, 2])).await.unwrap(), "\"AQI=\"");
    assert_eq!(text(&mut decoder, &framed(2, &[])).await.unwrap(), "\"\"");
    assert_eq!(
        text(&mut decoder, &framed(6, &[2, 0])).await.unwrap(),
        r#"{"other":{"other":null}}"#,
        "references may form a circle"
    );
    let message = record_error(text(&mut decoder, &framed(1, &[9])).await);
    assert_eq!(
        message,
        "cannot be read with schema 1: field `a`: branch -5 of a union of 2 types (at byte 1)"
    );
    for unframed in [&[2, 14, 2, b'x', 0, 0][..], &[0, 0, 0, 1], &[0]] {
        let message = record_error(text(&mut decoder, unframed).await);
        assert!(message.contains("does not say which schema wrote it"), "{message}");
    }
}

#[tokio::test]
async fn schemas_that_cannot_be_used_are_errors_of_their_records() {
    let server = fake(|_| None);
    let mut decoder = with_registry(server.url("/sr"), "").await;
    for (id, expected) in [
        (3, "it is of type JSON and not AVRO"),
        (4, "type `nope` is not defined"),
        (5, "its text is longer than 4194304 bytes"),
        (77, "Schema not found"),
    ] {
        let before = server.requests();
        for _ in 0..3 {
            let message = record_error(text(&mut decoder, &framed(id, &[0])).await);
            assert!(message.starts_with(&format!("schema {id} of `http://")), "{message}");
            assert!(message.ends_with(expected), "{message}");
        }
        assert_eq!(server.requests(), before + 1, "a refusal is remembered");
    }
}

#[tokio::test]
async fn a_number_that_was_not_known_is_asked_for_again_later() {
    let is_registered = Arc::new(AtomicBool::new(false));
    let shared = is_registered.clone();
    let server = fake(move |request| {
        let is_known = request.path() == "/sr/schemas/ids/9" && shared.load(Ordering::Acquire);
        is_known.then(|| Reply::new(200, r#"{"schema":"\"int\""}"#))
    });
    let clock = VirtualClock::new(Timestamp(0));
    let block = SchemaRegistry { url: server.url("/sr"), ..SchemaRegistry::default() };
    let ctx = context_with(clock.clone());
    let mut decoder = AvroDecoder::new(&format("", "", Some(&block)), &ctx).unwrap();
    decoder.open().await.unwrap();
    let payload = framed(9, &[14]);
    record_error(text(&mut decoder, &payload).await);
    clock.advance(Duration::from_millis(1100));
    record_error(text(&mut decoder, &payload).await);
    assert_eq!(server.requests(), 2);
    is_registered.store(true, Ordering::Release);
    clock.advance(Duration::from_millis(1100));
    record_error(text(&mut decoder, &payload).await);
    assert_eq!(server.requests(), 2, "the second wait is longer");
    clock.advance(Duration::from_millis(1100));
    assert_eq!(text(&mut decoder, &payload).await.unwrap(), "7");
}

#[tokio::test]
async fn kept_schemas_are_bounded() {
    let server = fake(|request| {
        let is_int = request.path().starts_with("/sr/schemas/ids/1000");
        is_int.then(|| Reply::new(200, r#"{"schema":"\"int\""}"#))
    });
    let mut decoder = with_registry(server.url("/sr"), "").await;
    for id in 0..1200u32 {
        let id = 10_000_000 + id;
        assert_eq!(text(&mut decoder, &framed(id, &[14])).await.unwrap(), "7");
        // The first stays in use.
        assert!(decoder.decode_now(&framed(10_000_000, &[14]), &mut Vec::new()).unwrap());
    }
    assert_eq!(server.requests(), 1200);
    assert!(!decoder.decode_now(&framed(10_000_001, &[14]), &mut Vec::new()).unwrap());
}

#[tokio::test]
async fn a_registry_that_cannot_answer_is_no_error_of_the_record() {
    let replies = [
        (Reply::new(500, "oops"), ErrorClass::Transient),
        (Reply::new(429, ""), ErrorClass::Transient),
        (Reply::new(401, ""), ErrorClass::AuthError),
        (Reply::new(403, ""), ErrorClass::AuthError),
        (Reply::new(404, "<html>"), ErrorClass::Unknown),
        (Reply::new(302, ""), ErrorClass::Unknown),
        (Reply::new(200, "<html>"), ErrorClass::InvalidData),
        (Reply::cut(), ErrorClass::ConnectionError),
        (
            Reply { cut_after: Some(3), ..Reply::new(200, "{\"schema\":\"\\\"int\\\"\"}") },
            ErrorClass::ConnectionError,
        ),
    ];
    for (reply, class) in replies {
        let is_well = Arc::new(AtomicBool::new(false));
        let shared = is_well.clone();
        let answer = reply.clone();
        let server = fake(move |_| (!shared.load(Ordering::Acquire)).then(|| answer.clone()));
        let mut decoder = with_registry(server.url("/sr"), "").await;
        let payload = framed(1, &[0, 0]);
        let (got, message) = source_error(text(&mut decoder, &payload).await);
        assert_eq!(got, class, "{reply:?}: {message}");
        is_well.store(true, Ordering::Release);
        assert_eq!(text(&mut decoder, &payload).await.unwrap(), r#"{"a":null,"b":""}"#);
    }
    let closed = format!("http://127.0.0.1:{}", levada_testkit::http::free_port());
    let (class, _) = source_error(text(&mut with_registry(closed, "").await, &[0; 9]).await);
    assert_eq!(class, ErrorClass::ConnectionError);
}

#[tokio::test]
async fn credentials_are_sent_and_never_shown() {
    let server = fake(|request| {
        // user:secret
        let is_known = request.header("authorization") == Some("Basic dXNlcjpzZWNyZXQ=");
        (!is_known).then(|| Reply::new(401, r#"{"error_code":40101}"#))
    });
    let mut block = SchemaRegistry { url: server.url("/sr"), ..SchemaRegistry::default() };
    for (password, is_right) in [("wrong", false), ("secret", true)] {
        block.basic_auth = Some(BasicAuth {
            username: "user".into(),
            password: password.to_owned().into(),
            ..BasicAuth::default()
        });
        let mut decoder = AvroDecoder::new(&format("", "", Some(&block)), &context()).unwrap();
        decoder.open().await.unwrap();
        let result = text(&mut decoder, &framed(1, &[0, 0])).await;
        if is_right {
            result.unwrap();
        } else {
            let (class, message) = source_error(result);
            assert_eq!(class, ErrorClass::AuthError);
            assert!(!message.contains("wrong"), "{message}");
        }
    }
}

#[tokio::test]
async fn certificates_are_checked_unless_the_settings_say_otherwise() {
    let certificates = Certificates::new();
    let server = tls_registry(&certificates);
    let decode = async |tls: Option<Tls>| {
        let block = SchemaRegistry { url: server.clone(), tls, ..SchemaRegistry::default() };
        let mut decoder = AvroDecoder::new(&format("", "", Some(&block)), &context()).unwrap();
        decoder.open().await.unwrap();
        text(&mut decoder, &framed(1, &[14])).await
    };
    let (class, message) = source_error(decode(None).await);
    assert_eq!(class, ErrorClass::AuthError, "{message}");
    let (class, _) = source_error(decode(Some(Tls::default())).await);
    assert_eq!(class, ErrorClass::AuthError);
    let trusting = Tls { insecure_skip_verify: true, ..Tls::default() };
    assert_eq!(decode(Some(trusting)).await.unwrap(), "7");
    let known = Tls { ca_file: certificates.path("ca.pem"), ..Tls::default() };
    assert_eq!(decode(Some(known)).await.unwrap(), "7");
}

/// Serves the schema `int` under every number, over TLS; gives its address.
fn tls_registry(certificates: &Certificates) -> String {
    use rustls_pki_types::pem::PemObject as _;
    use std::io::{Read as _, Write as _};
    let chain = rustls_pki_types::CertificateDer::pem_slice_iter(&certificates.pem("server.pem"))
        .collect::<Result<Vec<_>, _>>()
        .unwrap();
    let key =
        rustls_pki_types::PrivateKeyDer::from_pem_slice(&certificates.pem("server.key")).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(chain, key)
        .unwrap();
    let config = Arc::new(config);
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("https://{}", listener.local_addr().unwrap());
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let connection = rustls::ServerConnection::new(config.clone()).unwrap();
            let mut stream = rustls::StreamOwned::new(connection, stream.unwrap());
            let mut request = [0; 4096];
            // A client that does not trust the certificate goes away.
            if stream.read(&mut request).is_err() {
                continue;
            }
            let body = r#"{"schema":"\"int\""}"#;
            let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", body.len());
            let _gone = stream.write_all(format!("{head}{body}").as_bytes()).is_err();
        }
    });
    url
}

#[test]
fn a_source_can_hold_a_decoder() {
    fn is_send<T: Send>(_: T) {}
    let mut decoder = AvroDecoder::new(&format(PAIR, "", None), &context()).unwrap();
    is_send(decoder.decode(&[], &mut Vec::new()));
    is_send(decoder);
}

// === against a real registry ===

async fn register(url: &str, subject: &str, body: &Value) -> u32 {
    let client = http_client().await;
    let mut address = reqwest::Url::parse(url).unwrap();
    address.path_segments_mut().unwrap().extend(["subjects", subject, "versions"]);
    let request = client
        .post(address)
        .header("content-type", "application/vnd.schemaregistry.v1+json")
        .body(body.to_string());
    let answer = request.send().await.unwrap().text().await.unwrap();
    let answer: Value = serde_json::from_str(&answer).unwrap();
    answer["id"].as_u64().unwrap_or_else(|| panic!("{answer}")) as u32
}

async fn http_client() -> reqwest::Client {
    crate::http_client::client(None, std::path::Path::new(".")).await.unwrap()
}

#[tokio::test]
async fn a_real_registry_gives_schemas_and_what_they_refer_to() {
    let Some(address) = SCHEMA_REGISTRY.address("a_real_registry_gives_schemas") else { return };
    let url = format!("http://{address}/apis/ccompat/v7");
    let currency = json!({"type": "enum", "name": "levada.Currency", "symbols": ["EUR", "USD"]});
    register(&url, "levada/avro currency", &json!({"schema": currency.to_string()})).await;
    let price = json!({"type": "record", "name": "levada.Price", "fields": [
        {"name": "amount", "type": {"type": "bytes", "logicalType": "decimal", "precision": 20, "scale": 2}},
        {"name": "currency", "type": "levada.Currency"},
    ]});
    let reference =
        |name: &str, subject: &str| json!({"name": name, "subject": subject, "version": 1});
    let body = json!({
        "schema": price.to_string(),
        "references": [reference("levada.Currency", "levada/avro currency")],
    });
    register(&url, "levada-avro-price", &body).await;
    let order = json!({"type": "record", "name": "levada.Order", "fields": [
        {"name": "id", "type": "long"},
        {"name": "price", "type": "levada.Price"},
        {"name": "at", "type": {"type": "long", "logicalType": "timestamp-micros"}},
        {"name": "refund", "type": ["null", "levada.Price"], "default": null},
    ]});
    let body = json!({
        "schema": order.to_string(),
        "references": [reference("levada.Price", "levada-avro-price")],
    });
    let id = register(&url, "levada-avro-order", &body).await;
    let mut decoder = with_registry(url.clone(), "").await;
    let mut record = framed(id, &[84, 4, 0x04, 0xd2, 2]);
    // 2026-02-07T10:30:00.5Z in microseconds, zigzag.
    let mut time = (1_770_460_200_500_000u64) << 1;
    while time > 0x7f {
        record.push(time as u8 | 0x80);
        time >>= 7;
    }
    record.push(time as u8);
    record.extend([2, 2, 0xff, 0]);
    assert_eq!(
        text(&mut decoder, &record).await.unwrap(),
        r#"{"id":42,"price":{"amount":12.34,"currency":"USD"},"at":"2026-02-07T10:30:00.5Z","refund":{"amount":-0.01,"currency":"EUR"}}"#
    );
    let message = record_error(text(&mut decoder, &framed(4_000_000, &[0])).await);
    assert!(message.contains("schema 4000000 of"), "{message}");
    // Not a registry, but a server that says 404.
    let wrong = format!("http://{address}/nothing/here");
    let (class, message) =
        source_error(text(&mut with_registry(wrong, "").await, &framed(id, &[0])).await);
    assert_eq!(class, ErrorClass::Unknown);
    assert!(message.contains("is this the address of a schema registry?"), "{message}");
}
