//! The gateway: points in, two sinkers, receivers that go away and come back.

use std::collections::BTreeMap;
use std::io::Read as _;
use std::sync::atomic::{AtomicU16, Ordering};
use std::sync::{Arc, Mutex};

use levada_codec::points::Unit;
use levada_codec::points::line::Scanner;
use levada_testkit::fake_http::{FakeServer, Reply, Request};
use reqwest::{Client, Method, RequestBuilder};
use serde_json::Value;

use crate::started::{Started, eventually, run};

/// A Dataway that keeps the lines that it takes.
pub(crate) struct Receiver {
    pub(crate) server: FakeServer,
    /// What it answers.
    status: Arc<AtomicU16>,
    lines: Arc<Mutex<Vec<String>>>,
    pub(crate) paths: Arc<Mutex<BTreeMap<String, u64>>>,
}

impl Receiver {
    pub(crate) fn start() -> Self {
        let status = Arc::new(AtomicU16::new(200));
        let lines = Arc::<Mutex<Vec<String>>>::default();
        let paths = Arc::<Mutex<BTreeMap<String, u64>>>::default();
        let (own, kept, seen) = (Arc::clone(&status), Arc::clone(&lines), Arc::clone(&paths));
        let server = FakeServer::start(move |request| {
            let status = own.load(Ordering::SeqCst);
            if status == 200 && request.method == "POST" {
                let body = unpacked(request);
                let points = points(&body);
                assert_eq!(
                    request.header("x-points").unwrap(),
                    points.len().to_string(),
                    "the header tells how many points there are"
                );
                kept.lock().unwrap().extend(points);
                *seen.lock().unwrap().entry(request.target.clone()).or_default() += 1;
            }
            Reply::new(status, "")
        });
        Receiver { server, status, lines, paths }
    }

    pub(crate) fn url(&self, token: &str) -> String {
        self.server.url(&format!("?token={token}"))
    }

    pub(crate) fn answer(&self, status: u16) {
        self.status.store(status, Ordering::SeqCst);
    }

    pub(crate) fn lines(&self) -> Vec<String> {
        let mut lines = self.lines.lock().unwrap().clone();
        lines.sort();
        lines
    }
}

/// Gives the lines of a body; a text may have line ends of its own.
fn points(body: &str) -> Vec<String> {
    let mut scanner = Scanner::new(body, Unit::Dynamic).unwrap();
    let mut points = Vec::new();
    while let Some(line) = scanner.next_line() {
        points.push(line.unwrap().raw().to_owned());
    }
    points
}

fn unpacked(request: &Request) -> String {
    match request.header("content-encoding") {
        Some("gzip") => {
            let mut text = String::new();
            flate2::read::MultiGzDecoder::new(&request.body[..]).read_to_string(&mut text).unwrap();
            text
        }
        _ => String::from_utf8(request.body.clone()).unwrap(),
    }
}

/// A client of one server.
pub(crate) struct Ask {
    pub(crate) http: Client,
    pub(crate) url: String,
}

impl Ask {
    pub(crate) fn new(server: &Started) -> Self {
        Ask { http: Client::new(), url: server.url.clone() }
    }

    pub(crate) fn request(&self, method: Method, path: &str) -> RequestBuilder {
        self.http.request(method, format!("{}{path}", self.url))
    }

    pub(crate) async fn post(&self, path: &str, body: impl Into<reqwest::Body>) -> (u16, String) {
        answer(self.request(Method::POST, path).body(body)).await
    }

    pub(crate) async fn json(&self, path: &str) -> Value {
        let (status, text) = answer(self.request(Method::GET, path)).await;
        assert_eq!(status, 200, "{path}: {text}");
        serde_json::from_str(&text).unwrap()
    }

    pub(crate) async fn metrics(&self) -> String {
        answer(self.request(Method::GET, "/metrics")).await.1
    }

    /// Waits until every queue is empty, and gives the status.
    pub(crate) async fn drained(&self) -> Value {
        eventually("queues are empty", async || {
            let status = self.json("/api/v1/gateway/status").await;
            destinations(&status).iter().all(|one| one["queued"] == 0)
        })
        .await;
        self.json("/api/v1/gateway/status").await
    }
}

pub(crate) async fn answer(request: RequestBuilder) -> (u16, String) {
    let answer = request.send().await.unwrap();
    (answer.status().as_u16(), answer.text().await.unwrap())
}

fn destinations(status: &Value) -> &Vec<Value> {
    status["destinations"].as_array().unwrap()
}

pub(crate) fn destination<'s>(status: &'s Value, name: &str) -> &'s Value {
    let found = destinations(status).iter().find(|one| one["name"] == name);
    found.unwrap_or_else(|| panic!("no destination {name} in {status}"))
}

fn sinkers(a: &Receiver, b: &Receiver) -> String {
    format!(
        "gateway.sinkers=[{{\"categories\":[\"L\"],\"filters\":[\"{{ fa = 'a' }}\"],\"url\":\"{}\"}},\
         {{\"categories\":[\"L\"],\"filters\":[\"{{ fb = 'b' }}\"],\"url\":\"{}\"}}]",
        a.url("tkn_a"),
        b.url("tkn_b")
    )
}

pub(crate) const FAST: &[&str] = &[
    "gateway.retry.initial=10ms",
    "gateway.retry.max=50ms",
    "gateway.breaker.open=50ms",
    "gateway.breaker.open-max=50ms",
    "gateway.breaker.pause=50ms",
];

pub(crate) async fn start(data: &std::path::Path, settings: &[&str]) -> Started {
    let all: Vec<&str> = FAST.iter().chain(settings).copied().collect();
    Started::new(data, &all).await
}

#[test]
fn points_are_split_by_sinkers_and_none_is_lost_while_one_is_away() {
    run(async {
        let data = tempfile::tempdir().unwrap();
        let (a, b, rest) = (Receiver::start(), Receiver::start(), Receiver::start());
        let urls = format!("gateway.urls={}", rest.url("tkn_rest"));
        let rules = sinkers(&a, &b);
        let server = start(data.path(), &[&urls, &rules]).await;
        let ask = Ask::new(&server);
        b.answer(503);
        let (mut of_a, mut of_b, mut of_rest) = (Vec::new(), Vec::new(), Vec::new());
        for round in 0..20 {
            let mut body = String::new();
            for (key, list) in
                [("fa=\"a\"", &mut of_a), ("fb=\"b\"", &mut of_b), ("fc=\"c\"", &mut of_rest)]
            {
                let line = format!(
                    "src {key},n={round}i,status=\"info\" {}",
                    1_700_000_000_000_000_000_i64 + round
                );
                body.push_str(&line);
                body.push('\n');
                list.push(line);
            }
            let (status, text) = ask.post("/v1/write/logging", body).await;
            assert_eq!((status, &*text), (200, ""));
        }
        eventually("those that are there have theirs", async || {
            a.lines().len() == of_a.len() && rest.lines().len() == of_rest.len()
        })
        .await;
        let status = ask.json("/api/v1/gateway/status").await;
        assert_eq!(destination(&status, "sinker-2")["queued"], 20);
        assert_eq!(status["balanced"], true);
        b.answer(200);
        let status = ask.drained().await;
        for list in [&mut of_a, &mut of_b, &mut of_rest] {
            list.sort();
        }
        assert_eq!((a.lines(), b.lines(), rest.lines()), (of_a, of_b, of_rest));
        for name in ["default", "sinker-1", "sinker-2"] {
            let one = destination(&status, name);
            assert_eq!((&one["accepted"], &one["delivered"]), (&20.into(), &20.into()), "{one}");
        }
        assert_eq!(status["received"]["points"], 60);
        assert_eq!(status["rules"]["sinkers"][1]["points"], 20);
        assert!(a.paths.lock().unwrap().contains_key("/v1/write/logging?token=tkn_a"));

        let metrics = ask.metrics().await;
        for line in [
            "datakit_io_dataway_sink_total{category=\"logging\"} 40",
            "datakit_io_dataway_not_sink_point_total{category=\"logging\"} 80",
            "datakit_io_dataway_sink_point_total{category=\"logging\",status=\"OK\"} 40",
            "datakit_io_dataway_point_total{category=\"logging\",status=\"OK\"} 60",
            "levada_gateway_accepted_points_total{destination=\"sinker-2\"} 20",
            "levada_gateway_delivered_points_total{destination=\"sinker-2\"} 20",
            "levada_gateway_queued_points{destination=\"sinker-2\"} 0",
            "levada_gateway_received_points_total 60",
        ] {
            assert!(metrics.contains(line), "{line}\n{metrics}");
        }
        for name in [
            "datakit_io_dataway_api_request_total{api=\"/v1/write/logging\",status=\"OK\"}",
            "datakit_io_dataway_api_request_total{api=\"/v1/write/logging\",status=\"Service Unavailable\"}",
            "datakit_io_dataway_point_bytes_total{category=\"logging\",status=\"OK\"}",
            "datakit_io_dataway_api_latency_sum{api=\"/v1/write/logging\",status=\"OK\"}",
            "datakit_io_dataway_api_latency_count{api=\"/v1/write/logging\",status=\"OK\"}",
            "datakit_io_flush_failcache_bytes_count{category=\"logging\"}",
            "datakit_io_dataway_api_latency_seconds{api=\"/v1/write/logging\",status=\"OK\",quantile=\"0.99\"}",
        ] {
            assert!(metrics.contains(name), "{name}\n{metrics}");
        }
        assert!(!metrics.contains("tkn_"), "no token is shown");
        server.stop().await;
    });
}

#[test]
fn what_waits_goes_on_after_a_restart() {
    run(async {
        let data = tempfile::tempdir().unwrap();
        let receiver = Receiver::start();
        receiver.answer(500);
        let urls = format!("gateway.urls={}", receiver.url("tkn_x"));
        let server = start(data.path(), &[&urls]).await;
        let ask = Ask::new(&server);
        assert_eq!(ask.post("/v1/write/metric", "m f=1i 1700000000000000000").await.0, 200);
        server.stop().await;
        receiver.answer(200);
        let server = start(data.path(), &[&urls]).await;
        let status = Ask::new(&server).drained().await;
        let one = destination(&status, "default");
        assert_eq!((&one["accepted"], &one["delivered"]), (&1.into(), &1.into()));
        assert_eq!(receiver.lines(), ["m f=1i 1700000000000000000"]);
        server.stop().await;
    });
}

#[test]
fn what_receivers_refuse_for_good_is_kept_listed_replayed_and_dropped() {
    run(async {
        let data = tempfile::tempdir().unwrap();
        let receiver = Receiver::start();
        receiver.answer(400);
        let urls = format!("gateway.urls={}", receiver.url("tkn_x"));
        let server = start(data.path(), &[&urls]).await;
        let ask = Ask::new(&server);
        for field in ["a", "b"] {
            ask.post("/v1/write/metric", format!("m {field}=1i 1700000000000000000")).await;
            let expected = if field == "a" { 1 } else { 2 };
            eventually("a letter", async || {
                let letters = ask.json("/api/v1/gateway/dead-letters").await;
                letters["dead_letters"].as_array().unwrap().len() == expected
            })
            .await;
        }
        let letters = ask.json("/api/v1/gateway/dead-letters?queue=default").await;
        let letters = letters["dead_letters"].as_array().unwrap().clone();
        assert_eq!((&letters[0]["points"], &letters[0]["category"]), (&1.into(), &"metric".into()));
        assert!(letters[0]["reason"].as_str().unwrap().contains("400"), "{letters:?}");
        receiver.answer(200);
        let path =
            |at: usize| format!("/api/v1/gateway/dead-letters/default/{}", letters[at]["number"]);
        let (status, text) = ask.post(&format!("{}/replay", path(0)), "").await;
        assert_eq!(status, 200, "{text}");
        let dropped = answer(ask.request(Method::DELETE, &path(1))).await;
        assert_eq!(dropped, (204, String::new()));
        let status = ask.drained().await;
        let one = destination(&status, "default");
        assert_eq!(one["delivered"], 1, "{one}");
        assert_eq!(
            (&one["dropped"]["dead_letter_dropped"], &one["dead_lettered"]),
            (&1.into(), &0.into())
        );
        assert_eq!((&one["accepted"], &one["balanced"]), (&2.into(), &true.into()));
        assert_eq!(receiver.lines(), ["m a=1i 1700000000000000000"]);
        for path in [
            path(0),
            "/api/v1/gateway/dead-letters/none/1".into(),
            "/api/v1/gateway/queues/none".into(),
        ] {
            assert_eq!(answer(ask.request(Method::GET, &path)).await.0, 404, "{path}");
        }
        server.stop().await;
    });
}

/// Path, headers and body of what is refused with 400; the code of the envelope, or the start of the whole answer.
type BadRow = (&'static str, &'static [(&'static str, &'static str)], &'static [u8], &'static str);

/// What is refused. Source: dataway reference §9.1.
const BAD: &[BadRow] = &[
    (
        "/v1/write/nonsense",
        &[],
        b"m f=1i",
        r#"{"error_code":"datakit.invalidCategory","message":"invalid URL \"/v1/write/nonsense\""}"#,
    ),
    ("/v1/write/unknown", &[], b"m f=1i", "invalidCategory"),
    ("/v1/write/dynamic_dw", &[], b"m f=1i", "invalidCategory"),
    ("/v1/write/metric", &[], b"", "emptyBody"),
    ("/v1/write/metric", &[], b" \n", "noPoints"),
    (
        "/v1/write/metric",
        &[],
        b"m f=1i 1\nbad\nm g=1i 1",
        r#"{"error_code":"datakit.invalidLinePoint","message":"invalid lineprotocol: unable to parse 'bad'(pos: "#,
    ),
    ("/v1/write/metric", &[], b"m f=\"abc 1", "invalidLinePoint"),
    ("/v1/write/metric", &[("content-encoding", "gzip")], b"m f=1i 1", "decodeBodyFailed"),
    ("/v1/write/metric", &[("content-encoding", "deflate")], b"\xff\xff\xff", "decodeBodyFailed"),
    ("/v1/write/metric", &[("content-encoding", "rot13")], b"m f=1i 1", "decodeBodyFailed"),
    ("/v1/write/metric?encoding=zstd", &[], b"m f=1i 1", "decodeBodyFailed"),
    ("/v1/write/metric", &[("content-type", "application/json")], b"{}", "invalidJsonPoint"),
    ("/v1/write/metric", &[("content-type", "application/json")], b"[{", "invalidJsonPoint"),
    ("/v1/write/metric", &[("content-type", "application/json")], b"[]", "noPoints"),
    (
        "/v1/write/metric",
        &[("content-type", "application/protobuf; proto=com.guance.Point")],
        b"\xff\xff",
        "invalidProtobufPoint",
    ),
    ("/v1/write/logging?strict=1", &[], b"m a.b=1i 1", "pointGotWarning"),
    ("/gateway/write?precision=x", &[], b"m f=1i", r#"{"error":"invalid precision "#),
    ("/gateway/write", &[], b"bad", r#"{"error":"invalid lineprotocol: "#),
    ("/api/v2/write", &[], b"bad", r#"{"code":"invalid","message":"invalid lineprotocol: "#),
    ("/v1/election", &[], b"", "badRequest"),
];

#[test]
fn bad_input_is_refused_whole_and_says_why() {
    run(async {
        let data = tempfile::tempdir().unwrap();
        let receiver = Receiver::start();
        let urls = format!("gateway.urls={}", receiver.url("tkn_x"));
        let bounds = ["gateway.max-http-body-bytes=2MiB", "gateway.max-plain-bytes=4MiB"];
        let server = start(data.path(), &[&urls, bounds[0], bounds[1]]).await;
        let ask = Ask::new(&server);
        for (path, headers, body, said) in BAD {
            let mut request = ask.request(Method::POST, path).body(*body);
            for (name, value) in *headers {
                request = request.header(*name, *value);
            }
            let (status, text) = answer(request).await;
            assert_eq!(status, 400, "{path} {headers:?} {body:?}: {text}");
            let start = match said.starts_with('{') {
                true => (*said).to_owned(),
                false => format!("{{\"error_code\":\"datakit.{said}\",\"message\":\""),
            };
            assert!(text.starts_with(&start), "{path} {headers:?}: {text}");
        }
        let (status, text) = ask.post("/v1/write/metric", vec![b'm'; 3 << 20]).await;
        assert_eq!(status, 413, "{text}");
        assert!(text.starts_with(r#"{"error_code":"datakit.bodyTooLarge","#), "{text}");
        let bomb = gzip(&vec![b' '; 64 << 20]);
        let request =
            ask.request(Method::POST, "/v1/write/metric").header("content-encoding", "gzip");
        let (status, text) = answer(request.body(bomb)).await;
        assert_eq!(status, 413, "{text}");
        assert!(text.starts_with(r#"{"error_code":"datakit.decodeBodyFailed","#), "{text}");
        let status = ask.json("/api/v1/gateway/status").await;
        assert_eq!(
            (&status["received"]["points"], &status["destinations"][0]["accepted"]),
            (&0.into(), &0.into())
        );

        // What can be mended is, and is said in the counts.
        let line = |bytes: usize| format!("m,t={} f=1i 1700000000000000000", "x".repeat(bytes));
        let (status, text) = ask.post("/v1/write/metric", line(1 << 20)).await;
        assert_eq!(status, 400, "{text}");
        assert!(text.starts_with(r#"{"error_code":"datakit.invalidLinePoint","#), "{text}");
        assert!(text.len() < 8_192, "the answer does not repeat all of it: {}", text.len());
        assert_eq!(ask.post("/v1/write/metric", line(32 << 10)).await.0, 200);
        assert_eq!(
            ask.post("/v1/write/logging", &b"m,t=\xff message=\"a\xffb\" 1700000000000000000"[..])
                .await
                .0,
            200
        );
        assert_eq!(
            ask.post("/v1/write/metric?precision=fortnight", "m f=2i 1700000000000000000").await.0,
            200
        );
        let status = ask.drained().await;
        assert_eq!(status["received"]["points"], 3);
        assert!(status["received"]["warnings"].as_u64().unwrap() >= 2, "{status}");
        let lines = receiver.lines();
        assert_eq!(lines.len(), 3);
        assert!(lines.iter().all(|line| line.len() < 1_200), "the tag was cut");
        assert!(lines.contains(&"m f=2i 1700000000000000000".to_owned()), "{lines:?}");
        server.stop().await;
    });
}

fn gzip(plain: &[u8]) -> Vec<u8> {
    use std::io::Write as _;
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
    encoder.write_all(plain).unwrap();
    encoder.finish().unwrap()
}

#[test]
fn tenants_show_tokens_and_bring_no_more_than_they_may() {
    run(async {
        let data = tempfile::tempdir().unwrap();
        let receiver = Receiver::start();
        let urls = format!("gateway.urls={}", receiver.url("tkn_x"));
        let tenants = r#"gateway.tenants=[{"name":"one","token":"tkn_one","points-per-second":1.0,"burst":"1s"},{"name":"two","token":"tkn_two"}]"#;
        let server = start(data.path(), &[&urls, tenants]).await;
        let ask = Ask::new(&server);
        let line =
            "m f=1i 1700000000000000000\nm f=2i 1700000000000000000\nm f=3i 1700000000000000000";
        let refused = r#"{"error_code":"kodo.tokenNotFound","message":"#;
        let (status, text) = ask.post("/v1/write/metric", line).await;
        assert!(status == 401 && text.starts_with(refused), "{status} {text}");
        let (status, text) = ask.post("/v1/write/metric?token=tkn_bad", line).await;
        assert!(status == 403 && text.starts_with(refused), "{status} {text}");
        assert_eq!(ask.post("/v1/write/metric?token=tkn_one", line).await.0, 200);
        let over = ask.request(Method::POST, "/v1/write/metric?token=tkn_one").body(line);
        let over = over.send().await.unwrap();
        assert_eq!(over.status().as_u16(), 429);
        let header = |name: &str| over.headers()[name].to_str().unwrap().to_owned();
        assert_eq!(
            (header("x-ratelimit-limit"), header("x-ratelimit-remaining")),
            ("1".into(), "0".into())
        );
        assert_eq!((header("retry-after"), header("x-ratelimit-reset")), ("2".into(), "2".into()));
        let text = over.text().await.unwrap();
        assert!(text.starts_with(r#"{"error_code":"datakit.reachMaxAPILimit","#), "{text}");
        // Another tenant does not notice, whatever its dialect.
        let influx = ask.request(Method::POST, "/api/v2/write?org=o&bucket=b&precision=s");
        let influx = influx.header("authorization", "Token tkn_two").body("m f=4i 1700000000");
        assert_eq!(answer(influx).await, (204, String::new()));
        assert_eq!(
            ask.post("/gateway/write?db=d&u=x&p=tkn_two", "m f=5i 1700000000000000000").await.0,
            204
        );
        assert_eq!(answer(ask.request(Method::GET, "/v1/check/token/tkn_two")).await.0, 200);
        assert_eq!(answer(ask.request(Method::GET, "/v1/check/token/tkn_bad")).await.0, 403);
        ask.drained().await;
        assert_eq!(receiver.lines().len(), 5);
        let metrics = ask.metrics().await;
        for line in [
            "levada_gateway_tenant_points_total{tenant=\"one\"} 3",
            "levada_gateway_tenant_refused_total{tenant=\"one\",reason=\"points\"} 1",
        ] {
            assert!(metrics.contains(line), "{line}\n{metrics}");
        }
        server.stop().await;
    });
}

#[test]
fn agents_get_filters_elections_the_time_and_echoes() {
    run(async {
        let data = tempfile::tempdir().unwrap();
        let receiver = Receiver::start();
        let urls = format!("gateway.urls={}", receiver.url("tkn_x"));
        let filters = "gateway.filters.logging=[\"{ source = 'drop' }\"]";
        let tags = ["gateway.enable-sinker=true", "gateway.global-tags=host=a"];
        let server = start(data.path(), &[&*urls, filters, tags[0], tags[1]]).await;
        let ask = Ask::new(&server);
        for (path, expected) in [
            ("/v1/global/host/tags", r#"{"content":{"host":"a"}}"#),
            ("/v1/global/election/tags", r#"{"content":{}}"#),
            ("/v1/check/t", r#"{"code":200,"errorCode":"","message":""}"#),
            ("/v1/check/token/t", r#"{"code":200,"errorCode":"","message":""}"#),
        ] {
            let answered = answer(ask.request(Method::GET, path)).await;
            assert_eq!(answered, (200, expected.to_owned()), "{path}");
        }
        let unknown = answer(ask.request(Method::GET, "/v1/global/other/tags")).await;
        assert_eq!(unknown.0, 404);
        assert!(unknown.1.starts_with(r#"{"error_code":"datakit.notFound","#), "{unknown:?}");
        assert!(ask.json("/v1/ntp/").await["timestamp_sec"].is_u64());
        let pulled = ask.json("/v1/datakit/pull?token=t&filters=true").await;
        assert_eq!(pulled["filters"]["logging"][0], "{ source = 'drop' }");
        assert_eq!(pulled["pull_interval"], 10_000_000_000_u64);
        let (_, text) = ask.post("/v1/election?token=t&namespace=n&id=a", "").await;
        assert_eq!(
            text,
            r#"{"content":{"status":"success","namespace":"n","id":"a","incumbency_id":"a","error_msg":"","interval":4}}"#
        );
        let (_, text) = ask.post("/v1/election/heartbeat?token=t&namespace=n&id=b", "").await;
        assert!(
            text.contains(r#""status":"defeat""#) && text.contains(r#""incumbency_id":"a""#),
            "{text}"
        );
        assert!(ask.json("/v1/ntp").await["timestamp_sec"].as_u64().unwrap() > 1_700_000_000);
        assert!(ask.json("/v1/lasterror").await["content"].is_array());

        let lines = "drop f=1i 1700000000\nkeep f=2i 1700000000";
        let (status, text) = ask.post("/v1/write/logging?echo=lp&dry=1", lines).await;
        assert_eq!(status, 200);
        assert_eq!(
            text.lines().collect::<Vec<_>>(),
            [
                "drop f=1i,status=\"info\" 1700000000000000000",
                "keep f=2i,status=\"info\" 1700000000000000000"
            ]
        );
        let (_, text) = ask.post("/v1/write/logging?echo=json", lines).await;
        let echoed: Value = serde_json::from_str(&text).unwrap();
        assert_eq!(echoed[1]["measurement"], "keep");
        let status = ask.drained().await;
        assert_eq!(
            (&status["received"]["filtered"], &status["received"]["routed"]),
            (&1.into(), &1.into())
        );
        assert_eq!(receiver.lines(), ["keep f=2i,status=\"info\" 1700000000000000000"]);
        let metrics = ask.metrics().await;
        for line in [
            "datakit_filter_point_dropped_total{category=\"logging\",filters=\"{ source = 'drop' }\",source=\"local\"} 1",
            "datakit_filter_latency_seconds_count{category=\"logging\",filters=\"{ source = 'drop' }\",source=\"local\"} 1",
            "datakit_election_status{elected_id=\"a\",id=\"a\",namespace=\"n\",status=\"success\"} 1",
            "datakit_election_seconds_count{namespace=\"n\",status=\"defeat\"} 1",
            "datakit_io_queue_points{category=\"logging\"} 0",
            "datakit_io_chan_usage{category=\"logging\"} 0",
            "datakit_io_flush_total{category=\"logging\"} 1",
        ] {
            assert!(metrics.contains(line), "{line}\n{metrics}");
        }
        server.stop().await;
    });
}

#[test]
fn without_a_gateway_writers_are_told() {
    run(async {
        let data = tempfile::tempdir().unwrap();
        let server = start(data.path(), &[]).await;
        let ask = Ask::new(&server);
        let (status, text) = ask.post("/v1/write/metric", "m f=1i").await;
        assert_eq!(status, 503);
        assert!(text.starts_with(r#"{"error_code":"datakit.datawayNotSet","#), "{text}");
        assert_eq!(answer(ask.request(Method::GET, "/api/v1/gateway/status")).await.0, 404);
        server.stop().await;
    });
}
