//! What clients of the gateway really send, where it is not as plain as it could be.

use std::io::Write as _;
use std::sync::{Arc, Mutex};

use levada_testkit::fake_http::{FakeServer, Reply};
use reqwest::{Method, RequestBuilder};

use crate::gateway::{Ask, Receiver, answer, start};
use crate::started::run;

const LINE: &str = "m f=1i 1700000000000000000";

/// As Snappy has what does not repeat.
fn snappy(plain: &[u8]) -> Vec<u8> {
    levada_codec::snappy::compress(plain).unwrap()
}

#[test]
fn remote_write_without_samples_is_taken() {
    run(async {
        let data = tempfile::tempdir().unwrap();
        let receiver = Receiver::start();
        let server = start(data.path(), &[&format!("gateway.urls={}", receiver.url("t"))]).await;
        let ask = Ask::new(&server);
        // `metadata` (3): type 1, name `up`, help `h`.
        let metadata = b"\x1a\x09\x08\x01\x12\x02up\x22\x01h";
        // `timeseries` (1) with a name and no sample.
        let series = b"\x0a\x10\x0a\x0e\x0a\x08__name__\x12\x02up";
        for body in [&metadata[..], series, b""] {
            let post = ask.request(Method::POST, "/api/v1/write").body(snappy(body));
            let sent = answer(post.try_clone().unwrap()).await;
            assert_eq!(sent, (204, String::new()), "{body:?}");
        }
        let second = ask
            .request(Method::POST, "/api/v1/write")
            .header("content-type", "application/x-protobuf;proto=io.prometheus.write.v2.Request");
        let sent = second.body(snappy(b"")).send().await.unwrap();
        assert_eq!(sent.status().as_u16(), 204);
        let written = sent.headers().get("x-prometheus-remote-write-samples-written");
        assert_eq!(written.unwrap(), "0");
        let (status, text) = ask.post("/api/v1/write", snappy(b"\x0a")).await;
        assert_eq!(status, 400);
        let cause = "the message ends within a value";
        assert_eq!(text, format!("invalid protobuf point: {cause}\n"), "said once");
        server.stop().await;
    });
}

#[test]
fn a_token_is_found_wherever_clients_put_it() {
    run(async {
        let data = tempfile::tempdir().unwrap();
        let receiver = Receiver::start();
        let urls = format!("gateway.urls={}", receiver.url("t"));
        let tenants =
            "gateway.tenants=[{\"name\":\"a\",\"token\":\"tkn_a\",\"requests-per-second\":1000}]";
        let server = start(data.path(), &[&urls, tenants]).await;
        let ask = Ask::new(&server);
        let post = |path: &str| ask.request(Method::POST, path);
        let with = |path: &str, add: fn(RequestBuilder) -> RequestBuilder| add(post(path));
        for (request, expected) in [
            (with("/gateway/write?db=d", |r| r.basic_auth("me", Some("tkn_a"))), 204),
            (with("/gateway/write?db=d", |r| r.basic_auth("tkn_a", Some("other"))), 403),
            (with("/gateway/write?db=d", |r| r.header("authorization", "Basic ?")), 401),
            (with("/v1/write/metric", |r| r.bearer_auth("tkn_a")), 200),
            (with("/v1/write/metric", |r| r.header("x-token", "").bearer_auth("tkn_a")), 200),
            (with("/v1/write/metric?token=", |r| r.header("x-token", "tkn_a")), 200),
        ] {
            let text = format!("{request:?}");
            assert_eq!(answer(request.body(LINE)).await.0, expected, "{text}");
        }
        // All of a token are in one election.
        let ask_for = async |path: &str, token: Option<&str>| {
            let request = post(path);
            let request = match token {
                Some(token) => request.header("x-token", token),
                None => request,
            };
            answer(request).await.1
        };
        let first = ask_for("/v1/election?token=tkn_a&namespace=n&id=h1", None).await;
        assert!(first.contains("\"success\""), "{first}");
        let second = ask_for("/v1/election?namespace=n&id=h2", Some("tkn_a")).await;
        assert!(second.contains("\"defeat\""), "{second}");
        server.stop().await;
    });
}

#[test]
fn headers_that_are_no_ascii_go_on_as_they_came() {
    run(async {
        let data = tempfile::tempdir().unwrap();
        let seen = Arc::<Mutex<Vec<[Option<String>; 2]>>>::default();
        let kept = Arc::clone(&seen);
        let target = FakeServer::start(move |request| {
            let header = |name: &str| request.header(name).map(str::to_owned);
            kept.lock().unwrap().push([header("x-global-tags"), header("x-storage-index-name")]);
            Reply::new(200, "")
        });
        let urls = format!("gateway.urls={}", target.url("?token=t"));
        let server = start(data.path(), &[&urls]).await;
        let ask = Ask::new(&server);
        for path in ["/v1/write/logging", "/v1/upload/profiling"] {
            let request = ask.request(Method::POST, path);
            let request = request.header("x-global-tags", "host=北京".as_bytes());
            let request = request.header("x-storage-index-name", "索引".as_bytes());
            assert_eq!(answer(request.body(LINE)).await.0, 200, "{path}");
        }
        ask.drained().await;
        let tags = Some("host=北京".to_owned());
        let mut seen = seen.lock().unwrap().clone();
        seen.sort();
        assert_eq!(seen, [[tags.clone(), None], [tags, Some("索引".to_owned())]]);
        server.stop().await;
    });
}

#[test]
fn parameters_and_headers_have_more_than_one_spelling() {
    run(async {
        let data = tempfile::tempdir().unwrap();
        let receiver = Receiver::start();
        let urls = format!("gateway.urls={}", receiver.url("t"));
        let server = start(data.path(), &[&urls, "gateway.max-plain-bytes=64KiB"]).await;
        let ask = Ask::new(&server);
        // An empty precision is none, and so the unit is guessed.
        let echoed = ask.post("/v1/write/metric?echo=lp&precision=", "m f=1i 1700000000").await;
        assert_eq!(echoed, (200, format!("{LINE}\n")));
        for (content_type, body) in
            [("Application/JSON;charset=utf-8", "{}"), ("APPLICATION/X-PROTOBUF", "")]
        {
            let post =
                ask.request(Method::POST, "/v1/metrics").header("content-type", content_type);
            assert_eq!(answer(post.body(body)).await.0, 200, "{content_type}");
        }
        let packed = |text: &str| {
            let level = flate2::Compression::fast();
            let mut encoder = flate2::write::ZlibEncoder::new(Vec::new(), level);
            encoder.write_all(text.as_bytes()).unwrap();
            encoder.finish().unwrap()
        };
        let path = "/v1/write/metric?encoding=deflate";
        assert_eq!(ask.post(path, packed(LINE)).await, (200, String::new()));
        let large = format!("#{}\n{LINE}", " ".repeat(100 << 10));
        let (status, text) = ask.post(path, packed(&large)).await;
        assert_eq!(status, 413, "{text}");
        assert!(text.contains("more than 65536 bytes"), "{text}");
        server.stop().await;
    });
}

#[test]
fn bodies_that_are_only_looked_at_count_as_requests() {
    run(async {
        let data = tempfile::tempdir().unwrap();
        let receiver = Receiver::start();
        let urls = format!("gateway.urls={}", receiver.url("t"));
        let tenants = "gateway.tenants=[{\"name\":\"a\",\"token\":\"tkn_a\",\"requests-per-second\":0.01,\"burst\":\"1s\"}]";
        let server = start(data.path(), &[&urls, tenants]).await;
        let ask = Ask::new(&server);
        let path = "/v1/write/metric?token=tkn_a&dry=1";
        assert_eq!(ask.post(path, LINE).await.0, 200);
        let (status, text) = ask.post(path, LINE).await;
        assert_eq!(status, 429);
        assert!(text.contains("datakit.reachMaxAPILimit"), "{text}");
        server.stop().await;
    });
}
