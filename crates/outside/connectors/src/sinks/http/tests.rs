#![expect(clippy::unwrap_used, reason = "tests")]

use std::time::Duration as StdDuration;

use axum::http::StatusCode;
use axum::response::Response;
use levada_runtime::TaskKind;
use serde_json::json;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;

use super::*;
use crate::sinks::testing::{Fake, batch, status, write};
use crate::sources::testing::{Certificates, context, settings, texts};

impl Fake {
    async fn sink(&self, mut json: serde_json::Value) -> HttpSink {
        if json["url"].is_null() {
            json["url"] = json!(self.url);
        }
        open(json).await.unwrap()
    }
}

async fn open(json: serde_json::Value) -> Result<HttpSink, SinkError> {
    let (spec, mut report) = settings::<Spec>(json);
    spec.check(&FieldPath::field("config"), &mut report);
    assert_eq!(texts(&report), [""; 0]);
    let mut sink = HttpSink::new(spec, &context()).unwrap();
    sink.open().await?;
    Ok(sink)
}

#[tokio::test]
async fn records_arrive_with_headers_and_credentials() {
    let fake = Fake::start(vec![]).await;
    let mut sink = fake
        .sink(json!({
            "method": "PUT", "headers": {"X-Key": "k"},
            "auth": {"basic": {"username": "ann", "password": "pw"}},
        }))
        .await;
    let (result, outcomes) = write(&mut sink, &["{\"a\":1}", "{\"a\":2}"]).await;
    result.unwrap();
    assert_eq!(outcomes.delivered_ranges(), std::slice::from_ref(&(0..2)));
    assert_eq!(fake.bodies(), ["{\"a\":1}\n{\"a\":2}\n"]);
    let got = fake.got.lock().unwrap();
    let head = &got[0].head;
    assert_eq!((head.method.as_str(), head.uri.path()), ("PUT", "/in"));
    let header = |name: &str| head.headers.get(name).unwrap().to_str().unwrap();
    assert_eq!(header("x-key"), "k");
    assert_eq!(header("authorization"), "Basic YW5uOnB3");
    assert_eq!(header("content-type"), "application/x-ndjson");
    assert!(header("user-agent").starts_with("levada/"));
}

#[tokio::test]
async fn formats_and_compressions_arrive() {
    let long = format!("\"{}\"", "x".repeat(200_000));
    for compression in ["none", "gzip", "zstd"] {
        let fake = Fake::start(vec![]).await;
        for (format, expected) in [
            ("ndjson", vec![format!("1\n{long}\n")]),
            ("json", vec![format!("[1,{long}]")]),
            ("single", vec!["1".to_owned(), long.clone()]),
        ] {
            let json = json!({"compression": compression, "batch": {"format": format}});
            let mut sink = fake.sink(json).await;
            let (result, outcomes) = write(&mut sink, &["1", &long]).await;
            result.unwrap();
            assert_eq!(outcomes.delivered_ranges(), std::slice::from_ref(&(0..2)));
            assert_eq!(fake.bodies(), expected, "{compression} {format}");
            fake.got.lock().unwrap().clear();
        }
    }
}

#[tokio::test]
async fn a_failing_server_is_tried_again_with_the_same_records() {
    let mut limited = status(429, "slow down");
    limited.headers_mut().insert("retry-after", HeaderValue::from_static("7"));
    let fake = Fake::start(vec![status(500, "oops"), limited]).await;
    let mut sink = fake.sink(json!({})).await;
    let (result, outcomes) = write(&mut sink, &["1"]).await;
    let error = result.unwrap_err();
    assert!(error.class.is_transient() && !error.is_about_records);
    assert_eq!(error.message, format!("`{}` answered 500 Internal Server Error: oops", fake.url));
    assert_eq!(outcomes.resolved(), 0);
    let error = write(&mut sink, &["1"]).await.0.unwrap_err();
    assert!(error.class.is_transient());
    assert!(
        error.message.ends_with("429 Too Many Requests; it asks to wait for 7s: slow down"),
        "{error}"
    );
    write(&mut sink, &["1"]).await.0.unwrap();
    assert_eq!(fake.bodies(), ["1\n", "1\n", "1\n"]);
}

#[tokio::test]
async fn refusals_say_whose_fault_it_is() {
    let long: &'static str = "y".repeat(1000).leak();
    for (code, class, is_about_records) in [
        (400, ErrorClass::InvalidData, true),
        (413, ErrorClass::InvalidData, true),
        (422, ErrorClass::InvalidData, true),
        (401, ErrorClass::AuthError, false),
        (404, ErrorClass::Unknown, false),
        (307, ErrorClass::Unknown, false),
    ] {
        let mut answer = status(code, long);
        answer.headers_mut().insert("location", HeaderValue::from_static("/elsewhere"));
        let fake = Fake::start(vec![answer]).await;
        let mut sink = fake.sink(json!({})).await;
        let (result, outcomes) = write(&mut sink, &["1", "2"]).await;
        let error = result.unwrap_err();
        assert_eq!((error.class, error.is_about_records), (class, is_about_records), "{code}");
        assert!(error.message.ends_with(&format!("{}…", "y".repeat(200))), "{error}");
        assert_eq!((outcomes.resolved(), fake.bodies().len()), (0, 1), "{code}");
    }
}

#[tokio::test]
async fn a_poison_record_of_single_requests_is_rejected_alone() {
    let answers = vec![status(200, ""), status(422, "bad id"), status(200, ""), status(503, "")];
    let fake = Fake::start(answers).await;
    let mut sink = fake.sink(json!({"batch": {"format": "single"}})).await;
    let batch = batch(&["1", "2", "3", "4"]);
    let mut outcomes = Outcomes::default();
    let error = sink.write(&batch, &mut outcomes).await.unwrap_err();
    assert!(error.class.is_transient());
    assert_eq!(outcomes.delivered_ranges(), [0..1, 2..3]);
    let (index, rejected) = &outcomes.rejected_records()[0];
    assert_eq!((*index, rejected.class), (1, ErrorClass::InvalidData));
    assert!(rejected.message.ends_with("bad id"), "{rejected}");
    // The engine writes again what is not resolved.
    sink.write(&batch, &mut outcomes).await.unwrap();
    assert_eq!(outcomes.resolved(), 4);
    assert_eq!(fake.bodies(), ["1", "2", "3", "4", "4"]);
}

#[tokio::test]
async fn a_record_that_no_body_can_carry_is_rejected_alone() {
    let fake = Fake::start(vec![]).await;
    let mut sink = fake.sink(json!({"batch": {"format": "json"}})).await;
    let (result, outcomes) = write(&mut sink, &["1", "nope", "3"]).await;
    result.unwrap();
    assert_eq!(outcomes.delivered_ranges(), [0..1, 2..3]);
    assert_eq!(outcomes.rejected_records()[0].0, 1);
    let (result, outcomes) = write(&mut sink, &["nope"]).await;
    result.unwrap();
    assert_eq!((outcomes.resolved(), fake.bodies().len()), (1, 1));
}

/// A server that reads a request and then writes these bytes and closes, or hangs when there are none.
async fn raw_server(answer: Option<&'static [u8]>) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/in?token=hidden", listener.local_addr().unwrap());
    let serve = async move {
        loop {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut head = vec![0; 4096];
            assert!(stream.read(&mut head).await.unwrap() > 0);
            match answer {
                Some(answer) => stream.write_all(answer).await.unwrap(),
                None => std::future::pending().await,
            }
        }
    };
    drop(context().tasks.spawn(TaskKind::Http, "fake", serve));
    url
}

#[tokio::test]
async fn broken_connections_are_transient() {
    // Nobody listens.
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let nobody = format!("http://ann:pw@{}/in?token=hidden", listener.local_addr().unwrap());
    drop(listener);
    for (url, class) in [
        (nobody, ErrorClass::ConnectionError),
        (raw_server(Some(b"")).await, ErrorClass::ConnectionError),
        (raw_server(Some(b"HTTP/1.1 20")).await, ErrorClass::ConnectionError),
        (raw_server(Some(b"garbage\r\n\r\n")).await, ErrorClass::ConnectionError),
        (raw_server(None).await, ErrorClass::Timeout),
    ] {
        let mut sink = open(json!({"url": url, "timeout": "200ms"})).await.unwrap();
        let error = write(&mut sink, &["1"]).await.0.unwrap_err();
        assert_eq!(error.class, class, "{error}");
        let whole = format!("{error:?} {error}");
        assert!(!whole.contains("hidden") && !whole.contains("pw"), "{whole}");
    }
}

#[tokio::test]
async fn a_success_counts_from_its_status_on() {
    let cut = b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\nhalf";
    let mut sink = open(json!({"url": raw_server(Some(cut)).await})).await.unwrap();
    let (result, outcomes) = write(&mut sink, &["1"]).await;
    result.unwrap();
    assert_eq!(outcomes.resolved(), 1);
}

#[tokio::test]
async fn answers_without_end_are_not_read_to_their_end() {
    let chunks = futures_util::stream::repeat_with(|| Ok::<_, std::io::Error>(vec![b'z'; 4096]));
    let mut endless = Response::new(axum::body::Body::from_stream(chunks));
    *endless.status_mut() = StatusCode::BAD_GATEWAY;
    let fake = Fake::start(vec![endless]).await;
    let mut sink = fake.sink(json!({})).await;
    let error = write(&mut sink, &["1"]).await.0.unwrap_err();
    assert_eq!(error.class, ErrorClass::Transient);
    assert!(error.message.len() < 400);
}

#[tokio::test]
async fn certificates_decide_whom_to_trust() {
    let certificates = Certificates::new();
    let stranger = Certificates::new();
    let url = tls_server(&certificates).await;
    let tls = |ca: &Certificates, client: &Certificates| {
        json!({
            "caFile": ca.path("ca.pem"),
            "certFile": client.path("client.pem"),
            "keyFile": client.path("client.key"),
        })
    };
    let in_place = json!({
        "caFile": String::from_utf8(certificates.pem("ca.pem")).unwrap(),
        "certFile": certificates.path("client.pem"),
        "keyFile": certificates.path("client.key"),
    });
    for (tls, class) in [
        (tls(&certificates, &certificates), None),
        (in_place, None),
        (tls(&stranger, &certificates), Some(ErrorClass::AuthError)),
        (tls(&certificates, &stranger), Some(ErrorClass::AuthError)),
        (json!({"caFile": certificates.path("ca.pem")}), Some(ErrorClass::AuthError)),
        (json!({}), Some(ErrorClass::AuthError)),
    ] {
        let mut sink = open(json!({"url": url, "tls": tls})).await.unwrap();
        let (result, _) = write(&mut sink, &["1"]).await;
        assert_eq!(result.as_ref().err().map(|error| error.class), class, "{tls} {result:?}");
    }
    let error = open(json!({"url": url, "tls": {"caFile": certificates.path("server.key")}})).await;
    assert_eq!(error.err().unwrap().message, "tls.caFile holds no certificate in PEM form");
    let error = open(json!({"url": url, "tls": {"caFile": certificates.path("gone.pem")}})).await;
    assert!(error.err().unwrap().message.starts_with("cannot read `"));
}

/// A server that wants a client certificate and answers 204.
async fn tls_server(certificates: &Certificates) -> String {
    use crate::sources::http as source;
    use crate::spec::SourceSpec as _;
    let spec: source::Spec = serde_json::from_value(json!({
        "listen": "127.0.0.1:0", "respond": "accepted",
        "tls": {
            "certFile": certificates.path("server.pem"),
            "keyFile": certificates.path("server.key"),
            "clientCaFile": certificates.path("ca.pem"),
        },
    }))
    .unwrap();
    // The address is only known to its test, so the listener is found first.
    let probe = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = probe.local_addr().unwrap();
    drop(probe);
    let spec = source::Spec { listen: address.to_string(), ..spec };
    let mut server = spec.build(&context()).unwrap();
    server.open(&[]).await.unwrap();
    let hold = async move {
        let _server = server;
        std::future::pending::<()>().await;
    };
    drop(context().tasks.spawn(TaskKind::Http, "fake", hold));
    format!("https://localhost:{}/", address.port())
}

fn problems(json: serde_json::Value) -> Vec<String> {
    let (spec, mut report) = settings::<Spec>(json);
    spec.check(&FieldPath::field("config"), &mut report);
    texts(&report)
}

#[test]
fn settings_are_checked() {
    assert_eq!(problems(json!({})), ["config.url: Required value: url is required"]);
    assert_eq!(
        problems(json!({"url": "https://x/y", "auth": {"bearer": {"token": "t"}}})),
        [""; 0]
    );
    let found = problems(json!({
        "url": "ftp://ann:pw@x/y?token=hidden", "method": "GET", "timeout": "0s", "compression": "br",
        "headers": {"a b": "x", "Content-Length": "1", "X": "a\nb", "Authorization": "hidden"},
        "auth": {"basic": {"username": "a:b"}, "bearer": {"token": "a b"}},
        "batch": {"records": 0, "bytes": 0, "format": "csv"}, "tls": {"insecureSkipVerify": true},
    }));
    let expected = [
        "config.compression: Invalid value: \"br\": must be one of `none`, `gzip`, `zstd`",
        "config.batch.format: Invalid value: \"csv\": must be one of `ndjson`, `json`, `single`",
        "config.url: Invalid value: \"ftp://***@x/y\": must begin with http:// or https://",
        "config.method: Unsupported value: \"GET\": supported values: \"POST\", \"PUT\", \"PATCH\"",
        "config.headers[Authorization]: Forbidden: auth sets this header",
        "config.headers[Content-Length]: Invalid value: this header is set by the sink",
        "config.headers[X]: Invalid value: header values hold no control characters",
        "config.headers[a b]: Invalid value: not a header name",
        "config.auth: Forbidden: only one of basic, bearer may be set",
        "config.auth.basic.password: Required value: basic needs it: set password or passwordSecretRef",
        "config.auth.basic.username: Invalid value: \"a:b\": must not contain a colon",
        "config.auth.bearer.token: Invalid value: token may hold visible ASCII characters only",
        "config.batch.records: Invalid value: 0: must be from 1 to 100000",
        "config.batch.bytes: Invalid value: \"0B\": must be from 1 byte to 1GiB",
        "config.timeout: Invalid value: \"0s\": must be greater than zero",
        "config.tls.insecureSkipVerify: any server is believed, so anybody on the way can read and change records",
    ];
    assert_eq!(found, expected);
    for url in ["x", "http://", "//ann:pw@x", "ann:pw@x"] {
        let found = problems(json!({"url": url}));
        assert!(found.len() == 1 && !found[0].contains("pw"), "{found:?}");
    }
    let both = json!({"url": "https://ann:pw@x", "auth": {"bearer": {"token": "t"}}});
    assert_eq!(problems(both).len(), 1);
    let clear = json!({"url": "http://x", "auth": {"bearer": {"token": "t"}}});
    assert!(problems(clear)[0].contains("clear text"));
    let loopback = json!({"url": "http://127.0.0.1:1", "auth": {"bearer": {"token": "t"}}});
    assert_eq!(problems(loopback), [""; 0]);
}

#[test]
fn batches_follow_the_settings() {
    let (spec, _) = settings::<Spec>(json!({}));
    let default = SinkBatching { records: 1000, bytes: 4 << 20, linger: StdDuration::from_secs(1) };
    assert_eq!(spec.batching(), default);
    let (spec, _) =
        settings::<Spec>(json!({"batch": {"records": 5, "bytes": "1KiB", "linger": "0"}}));
    let set = SinkBatching { records: 5, bytes: 1024, linger: StdDuration::ZERO };
    assert_eq!(spec.batching(), set);
}
