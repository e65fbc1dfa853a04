#![expect(clippy::unwrap_used, reason = "tests")]

use std::time::Duration as StdDuration;

use levada_codec::compression::{Compression, compress_all};
use levada_model::Timestamp;
use levada_runtime::{TaskKind, VirtualClock};
use reqwest::{Client, Response, StatusCode};
use serde_json::json;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::task::JoinHandle;

use super::*;
use crate::sources::testing::{Certificates, context, context_with, settings, texts};

/// A source that listens, and how to reach it.
struct Running {
    source: HttpSource,
    address: SocketAddr,
    ctx: BuildContext,
}

fn spec(mut json: serde_json::Value) -> Spec {
    json["listen"] = json!("127.0.0.1:0");
    let (spec, mut report) = settings::<Spec>(json);
    spec.check(&FieldPath::field("config"), &mut report);
    assert_eq!(texts(&report), [""; 0]);
    spec
}

async fn start_with(ctx: BuildContext, json: serde_json::Value) -> Running {
    let mut source = HttpSource::new(spec(json), &ctx).unwrap();
    source.open(&[]).await.unwrap();
    let address = source.running.as_ref().unwrap().address;
    Running { source, address, ctx }
}

async fn start(json: serde_json::Value) -> Running {
    start_with(context(), json).await
}

fn client() -> Client {
    // A second installation fails, and the first was the same.
    drop(rustls::crypto::ring::default_provider().install_default());
    Client::builder().no_proxy().build().unwrap()
}

impl Running {
    fn url(&self) -> String {
        format!("http://{}/", self.address)
    }

    /// Sends a body in the background.
    fn send(&self, body: impl Into<reqwest::Body>) -> JoinHandle<Response> {
        let request = client().post(self.url()).body(body);
        let work = async move { request.send().await.unwrap() };
        self.ctx.tasks.spawn(TaskKind::Connector, "client", work)
    }

    async fn next(&mut self) -> Vec<String> {
        self.next_batch().await.1
    }

    async fn next_batch(&mut self) -> (RecordBatch, Vec<String>) {
        let mut batch = RecordBatch::new();
        assert!(self.source.next(&mut batch).await.unwrap());
        let payloads = (0..batch.len())
            .map(|index| String::from_utf8(batch.payload(index).into_owned()).unwrap())
            .collect();
        (batch, payloads)
    }

    async fn commit(&mut self, position: u64) {
        self.source.commit(&[(PARTITION.into(), position.into())]).await.unwrap();
    }

    /// Takes and finishes everything in the background, as an engine would.
    fn run(mut self) -> (String, JoinHandle<()>) {
        let url = self.url();
        let tasks = self.ctx.tasks.clone();
        let work = async move {
            loop {
                self.next_batch().await;
                let position = self.source.position;
                self.commit(position).await;
            }
        };
        (url, tasks.spawn(TaskKind::Source, "engine", work))
    }
}

async fn text(response: Response) -> (u16, String) {
    (response.status().as_u16(), response.text().await.unwrap())
}

/// Lets the other tasks go on until nothing happens any more; enough for a task that will not end.
async fn settle() {
    for _ in 0..200 {
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn a_request_is_answered_when_its_position_is_committed() {
    let mut running = start(json!({})).await;
    let first = running.send("{\"a\":1}\n\n{\"a\":2}\n");
    let (batch, payloads) = running.next_batch().await;
    assert_eq!(payloads, ["{\"a\":1}", "{\"a\":2}"]);
    assert!(batch.expects_json);
    assert_eq!(batch.origins[0].position, 1);
    let second = running.send("3");
    assert_eq!(running.next().await, ["3"]);
    running.commit(0).await;
    settle().await;
    assert!(!first.is_finished() && !second.is_finished());
    running.commit(1).await;
    assert_eq!(text(first.await.unwrap()).await, (200, "{\"accepted\":2}".into()));
    settle().await;
    assert!(!second.is_finished());
    running.commit(2).await;
    assert_eq!(text(second.await.unwrap()).await, (200, "{\"accepted\":1}".into()));
    assert_eq!(text(running.send("\n").await.unwrap()).await, (200, "{\"accepted\":0}".into()));
}

#[tokio::test]
async fn a_large_request_comes_in_parts_and_is_answered_after_the_last() {
    let mut running = start(json!({})).await;
    let count = running.ctx.batch_records * 2 + 5;
    let answer = running.send("7\n".repeat(count));
    let (mut records, mut positions) = (0, Vec::new());
    while records < count {
        let (batch, payloads) = running.next_batch().await;
        assert!(payloads.len() <= running.ctx.batch_records);
        records += payloads.len();
        positions.push(batch.origins[0].position.as_u64().unwrap());
    }
    assert_eq!(positions, [1, 2, 3]);
    running.commit(2).await;
    settle().await;
    assert!(!answer.is_finished());
    running.commit(3).await;
    assert_eq!(text(answer.await.unwrap()).await.1, format!("{{\"accepted\":{count}}}"));
}

#[tokio::test]
async fn a_batch_holds_no_more_records_than_the_flow_wants() {
    let ctx = BuildContext { batch_records: 1, ..context() };
    let mut running = start_with(ctx, json!({})).await;
    let first = running.send("1\n2\n");
    assert_eq!(running.next().await, ["1"]);
    assert_eq!(running.next().await, ["2"]);
    let second = running.send("3");
    assert_eq!(running.next().await, ["3"]);
    running.commit(3).await;
    assert_eq!(first.await.unwrap().status(), 200);
    assert_eq!(second.await.unwrap().status(), 200);
}

#[tokio::test]
async fn requests_that_wait_share_a_batch() {
    let mut running = start(json!({"format": "raw"})).await;
    let (first, second) = (running.send("a\nb"), running.send("c"));
    while running.source.lag() < Some(2) {
        tokio::task::yield_now().await;
    }
    let (batch, mut payloads) = running.next_batch().await;
    payloads.sort();
    assert_eq!(payloads, ["a\nb", "c"]);
    assert!(!batch.expects_json);
    assert_eq!(batch.origins.len(), 2);
    running.commit(2).await;
    assert_eq!(first.await.unwrap().status(), 200);
    assert_eq!(second.await.unwrap().status(), 200);
}

#[tokio::test]
async fn elements_of_an_array_are_records_of_one_line() {
    let mut running = start(json!({"format": "json", "respond": "accepted"})).await;
    let answer = running.send("[{\"a\":\n\"x\"},\r\n2]");
    // Nobody commits.
    assert_eq!(text(answer.await.unwrap()).await, (200, "{\"accepted\":2}".into()));
    assert_eq!(running.next().await, ["{\"a\": \"x\"}", "2"]);
}

#[tokio::test]
async fn wrong_requests_are_refused_and_leave_nothing() {
    let auth = json!({"bearer": {"token": "secret"}});
    let json = json!({"path": "/in", "auth": auth, "maxBodyBytes": "1000"});
    let running = start(json).await;
    let client = client();
    let url = format!("http://{}/in", running.address);
    let post = |body: &str| client.post(&url).bearer_auth("secret").body(body.to_owned());

    let answer = client.post(&url).body("{}").send().await.unwrap();
    assert_eq!(answer.headers()["www-authenticate"], "Bearer realm=\"levada\"");
    assert_eq!(
        text(answer).await,
        (401, "{\"error\":\"credentials are missing or wrong\"}".into())
    );
    let answer = client.post(&url).bearer_auth("wrong").body("{}").send().await.unwrap();
    assert_eq!(answer.status(), 401);

    let other = format!("http://{}/out?x=1", running.address);
    let answer = client.post(other).bearer_auth("secret").send().await.unwrap();
    assert_eq!(
        text(answer).await,
        (404, "{\"error\":\"nothing here; send records to /in\"}".into())
    );
    let answer = client.get(&url).bearer_auth("secret").send().await.unwrap();
    assert_eq!(answer.headers()["allow"], "POST, PUT");
    assert_eq!(answer.status(), 405);

    for encoding in ["br", "gzip, zstd", "deflate"] {
        let answer = post("{}").header("content-encoding", encoding).send().await.unwrap();
        assert_eq!(answer.status(), StatusCode::UNSUPPORTED_MEDIA_TYPE, "{encoding}");
    }
    let answer = post("{}").header("content-encoding", "gzip").send().await.unwrap();
    assert_eq!(answer.status(), 400);

    let answer = post("{}\n{\"a\":}\n").send().await.unwrap();
    let expected = "{\"error\":\"line 2, column 6: expected value\"}";
    assert_eq!(text(answer).await, (400, expected.into()));

    let answer = post(&"1\n".repeat(501)).send().await.unwrap();
    assert_eq!(answer.status(), 413);
    assert_eq!(running.source.lag(), Some(0));
    let rendered = running.ctx.metrics.render();
    assert!(rendered.contains("status=\"401\"} 2"), "{rendered}");
}

#[tokio::test]
async fn bodies_are_bounded_however_they_come() {
    let running = start(json!({"maxBodyBytes": "64KiB"})).await;
    let budget_before = running.ctx.metrics.render();
    // Chunked: nobody says how long it is.
    let chunks = (0..100).map(|_| Ok::<_, std::io::Error>("1\n".repeat(1000)));
    let body = reqwest::Body::wrap_stream(futures_util::stream::iter(chunks));
    let request = client().post(running.url()).body(body).send().await;
    // The client may see the end of the connection before the answer.
    assert!(request.is_err() || request.is_ok_and(|answer| answer.status() == 413));
    // A bomb: 8 MiB of line feeds.
    for codec in [Compression::Gzip, Compression::Zstd] {
        let bomb = compress_all(codec, &vec![b'\n'; 8 << 20]).unwrap();
        assert!(bomb.len() < 16 << 10);
        let request = client().post(running.url()).header("content-encoding", codec.name());
        let answer = request.body(bomb).send().await.unwrap();
        assert_eq!(answer.status(), 413, "{codec}");
    }
    assert!(budget_before.contains("levada_http_source_body_bytes"));
    let rendered = running.ctx.metrics.render();
    let name = "levada_http_source_body_bytes{namespace=\"default\",name=\"test\"} 0";
    assert!(rendered.contains(name), "{rendered}");
}

#[tokio::test]
async fn compressed_bodies_are_unpacked() {
    let (url, engine) = start(json!({})).await.run();
    let plain = "{\"a\":1}\n".repeat(20_000);
    for codec in [Compression::Gzip, Compression::Zstd, Compression::None] {
        let body = compress_all(codec, plain.as_bytes()).unwrap();
        let encoding = if codec == Compression::None { "identity" } else { codec.name() };
        let request = client().put(&url).header("content-encoding", encoding).body(body);
        let answer = text(request.send().await.unwrap()).await;
        assert_eq!(answer, (200, "{\"accepted\":20000}".into()), "{codec}");
    }
    engine.abort();
}

#[tokio::test]
async fn too_many_requests_are_told_to_wait() {
    let mut running = start(json!({"maxInFlight": 1})).await;
    let first = running.send("1");
    assert_eq!(running.next().await, ["1"]);
    let second = running.send("2").await.unwrap();
    assert_eq!(second.headers()["retry-after"], "1");
    assert_eq!(second.status(), 429);
    running.commit(1).await;
    assert_eq!(first.await.unwrap().status(), 200);

    // The memory of bodies that no batch took.
    let json = json!({"maxBodyBytes": "1500", "maxInFlightBytes": "1", "respond": "accepted"});
    let mut running = start(json).await;
    let body = "1\n".repeat(450);
    for _ in 0..2 {
        assert_eq!(running.send(body.clone()).await.unwrap().status(), 200);
    }
    assert_eq!(running.send(body.clone()).await.unwrap().status(), 429);
    assert_eq!(running.next().await.len(), 900);
    assert_eq!(running.send(body).await.unwrap().status(), 200);
}

#[tokio::test]
async fn late_answers_say_what_is_under_way() {
    let clock = VirtualClock::new(Timestamp(0));
    let mut running =
        start_with(context_with(clock.clone()), json!({"responseTimeout": "5s"})).await;
    let answer = running.send("1");
    assert_eq!(running.next().await, ["1"]);
    clock.advance(StdDuration::from_secs(5));
    let (status, body) = text(answer.await.unwrap()).await;
    assert_eq!(status, 503);
    assert!(body.contains("still under way"), "{body}");
    // Its commit finds nobody, and harms nobody.
    running.commit(1).await;

    // A body that does not come.
    let mut stream = TcpStream::connect(running.address).await.unwrap();
    let head = b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\n12";
    stream.write_all(head).await.unwrap();
    while !running
        .ctx
        .metrics
        .render()
        .contains("levada_http_source_in_flight{namespace=\"default\",name=\"test\"} 1")
    {
        tokio::task::yield_now().await;
    }
    settle().await;
    clock.advance(StdDuration::from_secs(5));
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 408 "), "{answer}");
}

#[tokio::test]
async fn a_client_that_leaves_in_the_middle_of_a_body_sends_nothing() {
    let mut running = start(json!({})).await;
    let mut stream = TcpStream::connect(running.address).await.unwrap();
    let head = b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\n1\n2\n";
    stream.write_all(head).await.unwrap();
    drop(stream);
    let answer = running.send("3");
    assert_eq!(running.next().await, ["3"]);
    running.commit(1).await;
    assert_eq!(answer.await.unwrap().status(), 200);
}

#[tokio::test]
async fn a_source_that_ends_answers_who_waits() {
    let mut running = start(json!({})).await;
    let (handed_out, queued) = (running.send("1"), running.send("2"));
    running.next().await;
    while running.ctx.tasks.running().len() < 3 {
        tokio::task::yield_now().await;
    }
    let Running { source, address, ctx } = running;
    drop(source);
    for answer in [handed_out, queued] {
        let (status, body) = text(answer.await.unwrap()).await;
        assert_eq!(status, 503, "{body}");
        assert!(body.contains("send"), "{body}");
    }
    // Nobody listens any more.
    while ctx.tasks.running().iter().any(|(kind, _)| *kind == TaskKind::Http) {
        tokio::task::yield_now().await;
    }
    assert!(TcpStream::connect(address).await.is_err());
}

#[tokio::test]
async fn opening_again_keeps_the_listener_and_sends_waiting_clients_away() {
    let mut running = start(json!({})).await;
    let answer = running.send("1");
    running.next().await;
    running.source.open(&[(PARTITION.into(), 41.into())]).await.unwrap();
    assert_eq!(answer.await.unwrap().status(), 503);
    let answer = running.send("2");
    let (batch, _) = running.next_batch().await;
    assert_eq!(batch.origins[0].position, 42);
    running.commit(42).await;
    assert_eq!(answer.await.unwrap().status(), 200);
}

#[tokio::test]
async fn slow_and_long_heads_are_cut_off() {
    let ctx = context();
    let mut source = HttpSource::new(spec(json!({})), &ctx).unwrap();
    source.settings.as_mut().unwrap().head_timeout = StdDuration::from_millis(50);
    source.open(&[]).await.unwrap();
    let address = source.running.as_ref().unwrap().address;
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(b"POST / HTTP/1.1\r\nHost:").await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    assert!(!answer.contains(" 200 "), "{answer}");

    let many = (0..100).map(|index| format!("x-{index}: 1\r\n")).collect::<String>();
    let long = format!("x: {}\r\n", "y".repeat(HEAD_TOO_LONG));
    for headers in [many, long] {
        let mut stream = TcpStream::connect(address).await.unwrap();
        let head = format!("POST / HTTP/1.1\r\nHost: x\r\n{headers}\r\n");
        // The listener may close before all is written.
        let written = stream.write_all(head.as_bytes()).await;
        let mut answer = Vec::new();
        let read = stream.read_to_end(&mut answer).await;
        let answer = String::from_utf8_lossy(&answer);
        assert!(
            answer.starts_with("HTTP/1.1 431 ") || written.is_err() || read.is_err(),
            "{answer}"
        );
    }
}

const HEAD_TOO_LONG: usize = 64 << 10;

#[tokio::test]
async fn tls_protects_both_ways() {
    let certificates = Certificates::new();
    let tls = json!({
        "certFile": certificates.path("server.pem"),
        "keyFile": certificates.path("server.key"),
        "clientCaFile": certificates.path("ca.pem"),
    });
    let running = start(json!({"tls": tls})).await;
    let url = format!("https://localhost:{}/", running.address.port());
    let (_, engine) = running.run();
    drop(client());
    let builder = |certificates: &Certificates| {
        let ca = reqwest::Certificate::from_pem(&certificates.pem("ca.pem")).unwrap();
        Client::builder().no_proxy().tls_certs_only([ca])
    };
    let identity = |certificates: &Certificates| {
        let pem = [certificates.pem("client.pem"), certificates.pem("client.key")].concat();
        reqwest::Identity::from_pem(&pem).unwrap()
    };
    let trusted = builder(&certificates).identity(identity(&certificates)).build().unwrap();
    let answer = trusted.post(&url).body("1").send().await.unwrap();
    assert_eq!(answer.status(), 200);
    let stranger = Certificates::new();
    for refused in [
        builder(&certificates),
        builder(&certificates).identity(identity(&stranger)),
        builder(&stranger).identity(identity(&certificates)),
    ] {
        assert!(refused.build().unwrap().post(&url).body("1").send().await.is_err());
    }
    engine.abort();

    let wrong = json!({"tls": {"certFile": certificates.path("server.key"), "keyFile": "x"}});
    let mut source = HttpSource::new(spec(wrong), &context()).unwrap();
    let error = source.open(&[]).await.unwrap_err();
    assert!(error.message.ends_with("holds no certificate in PEM form"), "{error}");
    assert!(!error.class.is_transient());
}

#[tokio::test]
async fn a_taken_address_is_an_error_and_may_be_tried_again() {
    let first = start(json!({})).await;
    let mut spec = spec(json!({}));
    spec.listen = first.address.to_string();
    let mut second = HttpSource::new(spec, &context()).unwrap();
    assert!(
        second.open(&[]).await.unwrap_err().message.starts_with("cannot listen on `127.0.0.1:")
    );
    let Running { source, ctx, .. } = first;
    drop(source);
    while ctx.tasks.running().iter().any(|(kind, _)| *kind == TaskKind::Http) {
        tokio::task::yield_now().await;
    }
    second.open(&[]).await.unwrap();
}

fn problems(json: serde_json::Value) -> Vec<String> {
    let (spec, mut report) = settings::<Spec>(json);
    spec.check(&FieldPath::field("config"), &mut report);
    texts(&report)
}

#[test]
fn settings_are_checked() {
    assert_eq!(
        problems(json!({})),
        ["config.listen: Required value: listen is required, host:port"]
    );
    for (listen, is_right) in [
        ("127.0.0.1:80", true),
        ("localhost:80", true),
        ("[::1]:80", true),
        ("127.0.0.1", false),
        (":80", false),
        ("127.0.0.1:99999", false),
        ("0.0.0.0:80", false),
        ("[::]:80", false),
        ("example.com:80", false),
    ] {
        assert_eq!(problems(json!({"listen": listen})).is_empty(), is_right, "{listen}");
    }
    let open = json!({"listen": "0.0.0.0:80", "auth": {"none": true}});
    assert_eq!(problems(open), [""; 0]);
    let checked = json!({
        "listen": "0.0.0.0:80", "tls": {"certFile": "c", "keyFile": "k", "clientCaFile": "a"}
    });
    assert_eq!(problems(checked), [""; 0]);
    let basic = json!({"username": "a:b", "password": "p"});
    let found = problems(json!({
        "listen": "0.0.0.0:80", "path": "in", "format": "xml", "maxBodyBytes": "2GiB", "maxInFlight": 0,
        "maxInFlightBytes": 0, "responseTimeout": "0s", "tls": {},
        "auth": {"basic": basic, "bearer": {}},
    }));
    let expected = [
        "config.format: Invalid value: \"xml\": must be one of `ndjson`, `json`, `raw`",
        "config.path: Invalid value: \"in\": must begin with / and hold no query",
        "config.auth.basic.username: Invalid value: \"a:b\": must not contain a colon",
        "config.auth.bearer.token: Required value: token or tokenSecretRef is required",
        "config.auth: Forbidden: only one of basic, bearer, none may be set",
        "config.tls.certFile: Required value: certFile is required",
        "config.tls.keyFile: Required value: keyFile is required",
        "config.maxBodyBytes: Invalid value: \"2GiB\": must be from 1 byte to 1GiB",
        "config.maxInFlight: Invalid value: 0: must be from 1 to 65536",
        "config.maxInFlightBytes: Invalid value: 0: must be greater than zero",
        "config.responseTimeout: Invalid value: \"0s\": must be greater than zero",
    ];
    assert_eq!(found, expected);
}

#[test]
fn nobody_listens_to_others_by_accident() {
    let mut open = spec(json!({}));
    open.listen = "0.0.0.0:0".into();
    let Err(error) = HttpSource::new(open, &context()) else { panic!("it was built") };
    assert!(error.to_string().contains("other machines reach"), "{error}");
}
