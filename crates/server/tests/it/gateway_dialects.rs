//! What comes to the gateway in other dialects, and what it passes on to the centre.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use levada_testkit::fake_http::{FakeServer, Reply};
use reqwest::{Client, Method};

use crate::gateway::{Ask, Receiver, answer, start};
use crate::started::run;

/// A field of a protobuf message that holds bytes; none is longer than 127.
fn field(number: u8, bytes: &[u8]) -> Vec<u8> {
    let mut out = vec![number << 3 | 2, u8::try_from(bytes.len()).unwrap()];
    assert!(bytes.len() < 128);
    out.extend_from_slice(bytes);
    out
}

/// A field of eight bytes.
fn fixed(number: u8, value: u64) -> Vec<u8> {
    let mut out = vec![number << 3 | 1];
    out.extend_from_slice(&value.to_le_bytes());
    out
}

#[test]
fn remote_write_and_otlp_become_points() {
    run(async {
        let data = tempfile::tempdir().unwrap();
        let receiver = Receiver::start();
        let urls = format!("gateway.urls={}", receiver.url("tkn_x"));
        let server = start(data.path(), &[&urls]).await;
        let ask = Ask::new(&server);
        let at = 1_700_000_000_000_000_000_u64;

        let label = |name: &str, value: &str| {
            field(1, &[field(1, name.as_bytes()), field(2, value.as_bytes())].concat())
        };
        let mut sample = fixed(1, 1.5_f64.to_bits());
        sample.push(2 << 3);
        let mut millis = 1_700_000_000_000_u64;
        while millis >= 0x80 {
            sample.push((millis & 0x7f) as u8 | 0x80);
            millis >>= 7;
        }
        sample.push(millis as u8);
        let series = [label("__name__", "up_time"), label("job", "j"), field(2, &sample)].concat();
        let plain = field(1, &series);
        // One literal, as Snappy has it when nothing repeats.
        let mut snappy = vec![u8::try_from(plain.len()).unwrap()];
        snappy.extend([60 << 2, u8::try_from(plain.len() - 1).unwrap()]);
        snappy.extend_from_slice(&plain);
        let sent = ask.post("/api/v1/write", snappy).await;
        assert_eq!(sent, (204, String::new()));

        let gauge = [fixed(3, at), fixed(4, 2.5_f64.to_bits())].concat();
        let metric = [field(1, b"load"), field(5, &field(1, &gauge))].concat();
        let metrics = field(1, &field(2, &field(2, &metric)));
        let record = [fixed(1, at), field(3, b"WARN"), field(5, &field(1, b"hello"))].concat();
        let logs = field(1, &field(2, &field(2, &record)));
        for (path, body) in [("/v1/metrics", metrics), ("/v1/logs", logs)] {
            let post = ask.request(Method::POST, path);
            let post = post.header("content-type", "application/x-protobuf");
            let sent = answer(post.try_clone().unwrap().body(body)).await;
            assert_eq!(sent, (200, String::new()), "{path}");
            assert_eq!(answer(post.body(vec![0xff, 0xff])).await.0, 400, "{path}");
            let other = ask.request(Method::POST, path).header("content-type", "text/csv");
            assert_eq!(answer(other.body("{}")).await.0, 415, "{path}");
        }
        let otlp = [
            (
                "/v1/metrics",
                r#"{"resourceMetrics":[{"scopeMetrics":[{"metrics":[{"name":"j","gauge":{"dataPoints":
                   [{"timeUnixNano":"1700000000000000000","asDouble":3.5}]}}]}]}]}"#,
            ),
            (
                "/v1/logs",
                r#"{"resourceLogs":[{"scopeLogs":[{"logRecords":[{"timeUnixNano":"1700000000000000000",
                   "severityText":"INFO","body":{"stringValue":"json"}}]}]}]}"#,
            ),
        ];
        for (path, body) in otlp {
            let post = ask.request(Method::POST, path).header("content-type", "application/json");
            let sent = answer(post.try_clone().unwrap().body(body)).await;
            assert_eq!(sent, (200, "{}".to_owned()), "{path}");
            assert_eq!(answer(post.try_clone().unwrap().body("{}")).await.0, 200, "{path}");
            let (status, refusal) = answer(post.body("{")).await;
            let refusal: serde_json::Value = serde_json::from_str(&refusal).unwrap();
            assert_eq!((status, &refusal["code"]), (400, &3.into()), "{path}");
            let text = refusal["message"].as_str().unwrap();
            assert!(text.starts_with("invalid JSON"), "{path}: {text}");
        }

        let mut second = levada_codec::prometheus::RequestBuilder::default();
        let sample = levada_codec::prometheus::Sample { value: 4.5, millis: 1_700_000_000_000 };
        second.append("second_write", &[("job", "j")], &[sample]);
        let body = levada_codec::snappy::compress(&second.finish()).unwrap();
        let post = ask
            .request(Method::POST, "/api/v1/write")
            .header("content-type", "application/x-protobuf;proto=io.prometheus.write.v2.Request");
        let sent = post.body(body).send().await.unwrap();
        assert_eq!(sent.status().as_u16(), 204);
        let written = sent.headers().get("x-prometheus-remote-write-samples-written");
        assert_eq!(written.unwrap(), "1");
        let other = ask.request(Method::POST, "/api/v1/write");
        let other = other.header("content-type", "application/x-protobuf;proto=other.Request");
        assert_eq!(answer(other.body("x")).await.0, 415);

        let (status, text) = ask.post("/api/v1/write", &b"\xff\xff\xff\xff\xff"[..]).await;
        assert!(status == 400 || status == 413, "{status} {text}");

        let status = ask.drained().await;
        assert_eq!((&status["received"]["points"], &status["balanced"]), (&6.into(), &true.into()));
        let lines = receiver.lines().join("\n");
        for part in [
            "1.5 ",
            "2.5 ",
            "3.5 ",
            "\"json\"",
            "second,job=j write=4.5 ",
            "\"hello\"",
            "1700000000000000000",
        ] {
            assert!(lines.contains(part), "{part} in {lines}");
        }
        server.stop().await;
    });
}

#[test]
fn what_only_a_centre_can_do_is_asked_of_the_centre() {
    run(async {
        let data = tempfile::tempdir().unwrap();
        let seen = Arc::<Mutex<Vec<String>>>::default();
        let (kept, is_away) = (seen.clone(), Arc::new(AtomicBool::new(false)));
        let away = is_away.clone();
        let centre = FakeServer::start(move |request| {
            if away.load(Ordering::SeqCst) {
                return Reply::cut();
            }
            let body = String::from_utf8_lossy(&request.body).into_owned();
            let host = request.header("host-name").unwrap_or_default().to_owned();
            let line = format!("{} {} {host} {body}", request.method, request.target);
            kept.lock().unwrap().push(line.trim_end().to_owned());
            match request.path() {
                "/v1/object/labels" => Reply::new(403, "no").with("Content-Type", "text/plain"),
                _ => Reply::new(200, r#"{"content":[]}"#).with("Content-Type", "application/json"),
            }
        });
        let urls = format!("gateway.urls={}", centre.url("?token=tkn_centre"));
        let tenants = "gateway.tenants=[{\"name\":\"a\",\"token\":\"tkn_a\"}]";
        let server = start(data.path(), &[&urls, tenants]).await;
        let ask = Ask::new(&server);
        for (method, path, body, expected) in [
            (
                Method::POST,
                "/v1/query/raw?token=tkn_a&echo_explain=false",
                r#"{"token":"tkn_a"}"#,
                r#"POST /v1/query/raw?token=tkn_centre&echo_explain=false me {"token":"tkn_centre"}"#,
            ),
            (
                Method::GET,
                "/v1/env_variable?app_id=x&token=tkn_a&scope=rum",
                "",
                "GET /v1/env_variable?token=tkn_centre&app_id=x&scope=rum me",
            ),
            (
                Method::POST,
                "/v1/write/remote_job?token=tkn_a",
                r#"{"uuid":"u"}"#,
                r#"POST /v1/write/remote_job?token=tkn_centre me {"uuid":"u"}"#,
            ),
            (Method::POST, "/v1/log?token=tkn_a", "text", "POST /v1/log?token=tkn_centre me text"),
            (
                Method::POST,
                "/v1/upload/profiling?token=tkn_a",
                "parts",
                "POST /v1/upload/profiling?token=tkn_centre me parts",
            ),
            (
                Method::POST,
                "/v1/write/rum/replay?token=tkn_a",
                "parts",
                "POST /v1/write/rum/replay?token=tkn_centre me parts",
            ),
            (
                Method::PUT,
                "/v1/sourcemap?token=tkn_a&app_id=x&env=e&version=1&platform=web",
                "parts",
                "PUT /v1/sourcemap?token=tkn_centre&app_id=x&env=e&version=1&platform=web me parts",
            ),
            (
                Method::DELETE,
                "/v1/sourcemap?app_id=x&token=tkn_a",
                "",
                "DELETE /v1/sourcemap?token=tkn_centre&app_id=x me",
            ),
            (
                Method::GET,
                "/v1/sourcemap/check?app_id=x&token=tkn_a",
                "",
                "GET /v1/sourcemap/check?token=tkn_centre&app_id=x me",
            ),
        ] {
            let request = ask.request(method, path).header("Host-Name", "me").body(body);
            assert_eq!(answer(request).await, (200, r#"{"content":[]}"#.to_owned()), "{path}");
            assert_eq!(seen.lock().unwrap().pop().unwrap(), expected);
        }
        for method in [Method::POST, Method::DELETE] {
            let request = ask.request(method, "/v1/object/labels?token=tkn_a").body("{}");
            assert_eq!(
                answer(request).await,
                (403, "no".to_owned()),
                "its answer is given as it is"
            );
        }
        let stranger = ask.request(Method::POST, "/v1/query/raw?token=tkn_b").body("{}");
        assert_eq!(answer(stranger).await.0, 403);
        let asked = seen.lock().unwrap().len();
        assert_eq!(asked, 2, "a stranger is not passed on");
        let refused = r#"{"content":null,"errorMsg":["token not found"],"success":false,"error_code":"kodo.tokenNotFound","message":"token not found"}"#;
        let stranger = ask.request(Method::PUT, "/v1/sourcemap?token=tkn_b").body("parts");
        assert_eq!(answer(stranger).await, (403, refused.to_owned()));
        is_away.store(true, Ordering::SeqCst);
        let away = ask.request(Method::GET, "/v1/sourcemap/check?token=tkn_a");
        let (status, text) = answer(away).await;
        assert_eq!(status, 502, "{text}");
        let text: serde_json::Value = serde_json::from_str(&text).unwrap();
        assert_eq!(
            (&text["success"], &text["error_code"]),
            (&false.into(), &"datakit.centreFailed".into())
        );
        assert_eq!(text["errorMsg"][0], text["message"]);
        let (status, text) = ask.post("/v1/log?token=tkn_a", "text").await;
        assert_eq!(status, 502, "{text}");
        assert!(!text.contains("tkn_centre"), "{text}");
        server.stop().await;
    });
}

#[test]
fn a_listener_of_its_own_gives_bare_paths_to_the_gateway() {
    run(async {
        let data = tempfile::tempdir().unwrap();
        let receiver = Receiver::start();
        let urls = format!("gateway.urls={}", receiver.url("tkn_x"));
        let own = "http.listeners.influx.listen=127.0.0.1:0";
        let server =
            start(data.path(), &[&urls, own, "http.listeners.influx.dialects=influx"]).await;
        let address = server.server().addresses()[1];
        let ask = Ask { http: Client::new(), url: format!("http://{address}") };
        let sent = ask.post("/write?db=d&precision=s", "m f=1i 1700000000").await;
        assert_eq!(sent, (204, String::new()));
        assert_eq!(ask.post("/v1/write/metric", "m f=1i").await.0, 404);
        Ask::new(&server).drained().await;
        assert_eq!(receiver.lines(), ["m f=1i 1700000000000000000"]);
        server.stop().await;
    });
}
