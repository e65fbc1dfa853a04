//! What the original does wrong: for each row of the register the test that shows what is done here.
//!
//! Source: dataway reference §12. Rows with *allowed* or *fact* are choices of the wire and have a test where there is something
//! to see.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use levada_testkit::fake_http::{FakeServer, Reply, Request};
use levada_testkit::proxy::{Link, Proxy};
use serde_json::Value;

use crate::gateway_reload::{read_again, run_alone};
use crate::started::{Started, eventually, run};

/// Row, what is kept, and where the tests are: a file, and functions in it.
type Row = (u8, &'static str, &'static str, &'static [&'static str]);

const HERE: &str = "crates/server/tests/it/gateway_register.rs";
const SERVER: &str = "crates/server/tests/it/gateway.rs";
const DELIVER: &str = "crates/domain/gateway/src/deliver/tests.rs";
const INGEST: &str = "crates/domain/gateway/src/ingest/tests.rs";
const RULES: &str = "crates/domain/gateway/src/rules/tests.rs";
const CLIENT: &str = "crates/outside/clients/src/dataway/tests.rs";
const LINES: &str = "crates/base/codec/src/points/line/tests.rs";
const FILTERS: &str = "crates/lang/condition/tests/it/filters/cases.rs";

const REGISTER: &[Row] = &[
    (1, "no", HERE, &["what_is_in_memory_is_sent_at_the_end"]),
    (2, "no", SERVER, &["bad_input_is_refused_whole_and_says_why"]),
    (3, "no", SERVER, &["points_are_split_by_sinkers_and_none_is_lost_while_one_is_away"]),
    (4, "mode", RULES, &["every_mode_shares_as_it_says"]),
    (5, "no", HERE, &["settings_of_the_original_mean_what_they_say"]),
    (6, "no", DELIVER, &["broadcast_sends_every_point_once_whatever_happens_elsewhere"]),
    (7, "no", CLIENT, &["parameters_are_added_with_or_without_a_query"]),
    (8, "no", HERE, &["elections_need_no_token_in_a_certain_place"]),
    (
        9,
        "fact",
        "crates/domain/gateway/src/wal/import/tests.rs",
        &["caches_of_the_seed_are_taken_over"],
    ),
    (10, "no", HERE, &["settings_of_the_original_mean_what_they_say"]),
    (11, "no", HERE, &["every_encoding_is_delivered"]),
    (12, "no", HERE, &["settings_of_the_original_mean_what_they_say"]),
    (13, "no", HERE, &["settings_of_the_original_mean_what_they_say"]),
    (14, "no", CLIENT, &["urls_become_addresses"]),
    (15, "no", HERE, &["a_sinker_that_hangs_is_given_up_and_asked_again"]),
    (16, "no", HERE, &["a_sinker_that_is_wrong_keeps_the_server_from_starting"]),
    (17, "fact", DELIVER, &["no_value_of_a_header_keeps_points_from_being_sent"]),
    (18, "no", FILTERS, &["register", "truth_tables"]),
    (19, "mode", FILTERS, &["register", "truth_tables"]),
    (20, "mode", FILTERS, &["register", "truth_tables"]),
    (21, "no", FILTERS, &["register", "truth_tables"]),
    (22, "mode", FILTERS, &["register", "truth_tables"]),
    (23, "mode", FILTERS, &["register", "truth_tables"]),
    (24, "mode", FILTERS, &["register", "truth_tables"]),
    (25, "mode", FILTERS, &["register", "truth_tables"]),
    (26, "mode", FILTERS, &["register", "truth_tables"]),
    (27, "mode", FILTERS, &["register", "truth_tables"]),
    (28, "no", FILTERS, &["register", "truth_tables"]),
    (29, "no", DELIVER, &["filters_come_by_pull_and_stay_when_a_pull_fails"]),
    (30, "no", "crates/lang/condition/src/filter/tests.rs", &["notin_has_one_spelling"]),
    (31, "no", INGEST, &["a_point_that_is_too_large_takes_nothing_with_it"]),
    (32, "no", INGEST, &["a_point_that_is_too_large_takes_nothing_with_it"]),
    (33, "no", INGEST, &["what_does_not_compress_is_whole"]),
    (34, "no", DELIVER, &["failures_are_retried_until_they_pass_and_keep_the_package_id"]),
    (35, "no", DELIVER, &["who_says_how_long_to_wait_is_not_asked_earlier"]),
    (36, "no", HERE, &["failed_answers_leave_no_connection_behind"]),
    (
        37,
        "no",
        "crates/outside/clients/src/net/tests.rs",
        &["a_name_that_moves_is_followed_and_connections_end"],
    ),
    (38, "no", HERE, &["no_offset_is_added_to_the_time"]),
    (39, "no", DELIVER, &["a_poisoned_body_goes_to_the_letters_and_the_next_goes_on"]),
    (
        40,
        "allowed",
        "crates/domain/gateway/src/wal/tests/lanes.rs",
        &["fresh_records_have_their_share_of_the_bytes"],
    ),
    (
        41,
        "no",
        "crates/domain/gateway/src/wal/tests/histories.rs",
        &["killed_processes", "lost_power"],
    ),
    (42, "no", HERE, &["a_backlog_is_drained_as_fast_as_it_goes"]),
    (43, "no", HERE, &["bodies_of_larger_bounds_are_delivered_after_a_restart"]),
    (44, "no", HERE, &["local_filters_take_effect"]),
    (45, "no", "crates/base/codec/src/points/checks/tests.rs", &["every_limit_holds_at_its_edge"]),
    (46, "no", LINES, &["times_have_units"]),
    (
        47,
        "no",
        "crates/base/codec/src/points/time.rs",
        &["units_are_guessed_by_size_and_never_overflow"],
    ),
    (48, "no", LINES, &["good_bodies_are_read_checked_and_printed"]),
    (49, "no", LINES, &["bad_lines_say_why"]),
    (50, "no", HERE, &["global_tags_that_change_are_in_the_next_header"]),
];

#[test]
fn every_row_has_its_test() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let mut texts: BTreeMap<&str, String> = BTreeMap::new();
    for (row, _, file, tests) in REGISTER {
        let text =
            texts.entry(file).or_insert_with(|| fs::read_to_string(root.join(file)).expect(file));
        for test in *tests {
            let start = format!("fn {test}()");
            let at = text.find(&start).unwrap_or_else(|| panic!("B{row}: no {test} in {file}"));
            let before = &text[..at];
            let attribute = before.rfind("#[").map(|from| &before[from..]).unwrap_or_default();
            assert!(attribute.contains("test"), "B{row}: {test} is no test");
        }
    }
    let rows: Vec<u8> = REGISTER.iter().map(|(row, ..)| *row).collect();
    assert_eq!(rows, (1..=50).collect::<Vec<u8>>());
}

const FAST: &[&str] = &[
    "gateway.retry.initial=10ms",
    "gateway.retry.max=20ms",
    "gateway.breaker.open=20ms",
    "gateway.breaker.open-max=20ms",
    "gateway.breaker.pause=20ms",
    "gateway.breaker.failures=10000",
];

async fn start(data: &Path, settings: &[&str], file: Option<&Path>) -> Started {
    let all: Vec<&str> = FAST.iter().chain(settings).copied().collect();
    Started::with(data, &all, file).await
}

/// Keeps requests whose answer was a success.
#[derive(Clone, Default)]
struct Kept(Arc<Mutex<Vec<Request>>>);

impl Kept {
    fn lines(&self) -> Vec<String> {
        let requests = self.0.lock().unwrap();
        requests
            .iter()
            .flat_map(|request| {
                let text = String::from_utf8_lossy(&request.body).into_owned();
                text.lines().map(str::to_owned).collect::<Vec<_>>()
            })
            .collect()
    }

    fn len(&self) -> usize {
        self.0.lock().unwrap().len()
    }
}

/// Starts a receiver that fails as long as `fails` says so.
fn receiver(fails: Arc<AtomicBool>) -> (FakeServer, Kept) {
    let kept = Kept::default();
    let seen = kept.clone();
    let server = FakeServer::start(move |request| {
        if fails.load(Ordering::SeqCst) {
            return Reply::new(500, "x".repeat(2_000));
        }
        seen.0.lock().unwrap().push(request.clone());
        Reply::new(200, "")
    });
    (server, kept)
}

fn well() -> Arc<AtomicBool> {
    Arc::default()
}

fn urls(server: &FakeServer) -> String {
    format!("gateway.urls={}", server.url("?token=tkn_x"))
}

async fn post(server: &Started, path: &str, body: impl Into<reqwest::Body>) -> u16 {
    let url = format!("{}{path}", server.url);
    reqwest::Client::new().post(url).body(body).send().await.unwrap().status().as_u16()
}

async fn get(server: &Started, path: &str) -> Value {
    let text = reqwest::get(format!("{}{path}", server.url)).await.unwrap().text().await.unwrap();
    serde_json::from_str(&text).unwrap()
}

#[test]
fn what_is_in_memory_is_sent_at_the_end() {
    run(async {
        let data = tempfile::tempdir().unwrap();
        let fails = Arc::new(AtomicBool::new(true));
        let (target, kept) = receiver(fails.clone());
        let settings = [&*urls(&target), "gateway.gzip=false", "gateway.queue.keep=memory"];
        let server = start(data.path(), &settings, None).await;
        for n in 0..50 {
            assert_eq!(
                post(&server, "/v1/write/metric", format!("m f={n}i 1700000000")).await,
                200
            );
        }
        fails.store(false, Ordering::SeqCst);
        server.stop().await;
        assert_eq!(kept.lines().len(), 50);
    });
}

#[test]
fn settings_of_the_original_mean_what_they_say() {
    run(async {
        let data = tempfile::tempdir().unwrap();
        let (target, kept) = receiver(well());
        let file = data.path().join("levada.toml");
        // Points leave at once, whatever the interval (B5), the bound of the cache holds (B10), and what has no counterpart
        // here is taken without harm (B12, B13).
        let text = format!(
            "[dataway]\nurls = ['{}']\ngzip = false\n[dataway.ntp]\nenable = false\n[dataway.wal]\nmem_cap = 3\n\
             [io]\nflush_interval = '1h'\nenable_cache = false\ncache_max_size_gb = 3\n",
            target.url("?token=tkn_x")
        );
        fs::write(&file, text).unwrap();
        let server = start(data.path(), &[], Some(&file)).await;
        assert_eq!(post(&server, "/v1/write/metric", "m f=1i 1700000000").await, 200);
        eventually("the point", async || kept.len() == 1).await;
        let metrics = reqwest::get(format!("{}/metrics", server.url)).await.unwrap();
        let metrics = metrics.text().await.unwrap();
        let capacity = metrics.lines().find(|line| line.starts_with("diskcache_capacity{"));
        assert!(capacity.unwrap().ends_with(&format!(" {}", 3_u64 << 30)), "{capacity:?}");
        server.stop().await;
    });
}

#[test]
fn elections_need_no_token_in_a_certain_place() {
    run(async {
        let data = tempfile::tempdir().unwrap();
        let (target, _) = receiver(well());
        let tenants = "gateway.tenants=[{\"name\":\"a\",\"token\":\"t\"}]";
        let server = start(data.path(), &[&urls(&target), tenants], None).await;
        for query in ["a=1&token=t&namespace=n&id=me", "id=me&namespace=n&token=t"] {
            for path in ["election", "election/heartbeat"] {
                assert_eq!(post(&server, &format!("/v1/{path}?{query}"), "").await, 200, "{query}");
            }
        }
        server.stop().await;
    });
}

#[test]
fn every_encoding_is_delivered() {
    run(async {
        for (encoding, content_type) in [
            ("v1", "application/line-protocol"),
            ("v2", "application/protobuf; proto=com.guance.Point"),
            ("json", "application/json"),
            ("pbjson", "application/pbjson; proto=com.guance.Point"),
        ] {
            let data = tempfile::tempdir().unwrap();
            // Larger bodies are halved, whatever they are written in.
            let kept = Kept::default();
            let seen = kept.clone();
            let target = FakeServer::start(move |request| {
                let points: u32 = request.header("x-points").unwrap().parse().unwrap();
                if points > 2 {
                    return Reply::new(413, "");
                }
                seen.0.lock().unwrap().push(request.clone());
                Reply::new(200, "")
            });
            let own = format!("gateway.content-encoding={encoding}");
            let settings = [&*urls(&target), &own, "gateway.gzip=false"];
            let server = start(data.path(), &settings, None).await;
            let body: String =
                (0..7).map(|n| format!("m,t=a,u={n} f={n}i 170000000{n}\n")).collect();
            assert_eq!(post(&server, "/v1/write/metric", body).await, 200);
            eventually(encoding, async || {
                let status = get(&server, "/api/v1/gateway/status").await;
                status["destinations"][0]["delivered"] == 7
            })
            .await;
            let requests = kept.0.lock().unwrap().clone();
            let mut points = 0;
            for request in &requests {
                assert_eq!(request.header("content-type"), Some(content_type));
                points += request.header("x-points").unwrap().parse::<u32>().unwrap();
                if encoding.ends_with("json") {
                    let list: Vec<Value> = serde_json::from_slice(&request.body).unwrap();
                    assert_eq!(list.len().to_string(), request.header("x-points").unwrap());
                }
            }
            assert_eq!(points, 7, "{encoding}");
            server.stop().await;
        }
    });
}

#[test]
fn a_sinker_that_hangs_is_given_up_and_asked_again() {
    run(async {
        let data = tempfile::tempdir().unwrap();
        let (target, kept) = receiver(well());
        let proxy = Proxy::start(&target.address());
        proxy.set(Link::Hold);
        let sinkers = format!(
            "gateway.sinkers=[{{\"categories\":[\"M\"],\"url\":\"http://{}?token=t\"}}]",
            proxy.address()
        );
        let server =
            start(data.path(), &[&sinkers, "gateway.timeout=100ms", "gateway.gzip=false"], None)
                .await;
        assert_eq!(post(&server, "/v1/write/metric", "m f=1i 1700000000").await, 200);
        eventually("it was given up", async || {
            let status = get(&server, "/api/v1/gateway/status").await;
            status["destinations"][0]["retries"].as_u64().unwrap() > 1
        })
        .await;
        proxy.set(Link::Forward);
        eventually("the point", async || !kept.lines().is_empty()).await;
        server.stop().await;
    });
}

#[test]
fn a_sinker_that_is_wrong_keeps_the_server_from_starting() {
    run(async {
        for (sinker, expected) in [
            (
                r#"{"categories":["M"],"filters":["{ a = }"],"url":"http://127.0.0.1:1"}"#,
                "parse error",
            ),
            (r#"{"categories":["X"],"url":"http://127.0.0.1:1"}"#, "no category `X`"),
            (r#"{"categories":["M"],"url":"ftp://127.0.0.1:1"}"#, "not supported scheme"),
        ] {
            let data = tempfile::tempdir().unwrap();
            let settings = format!("gateway.sinkers=[{sinker}]");
            let failed = Started::try_with(data.path(), &[&settings], None, "").await;
            let text = failed.err().expect(sinker);
            assert!(text.contains(expected), "{text}");
        }
    });
}

#[test]
fn failed_answers_leave_no_connection_behind() {
    run(async {
        let data = tempfile::tempdir().unwrap();
        let fails = Arc::new(AtomicBool::new(true));
        let (target, kept) = receiver(fails.clone());
        let proxy = Proxy::start(&target.address());
        let urls = format!("gateway.urls=http://{}?token=t", proxy.address());
        let server = start(data.path(), &[&urls], None).await;
        assert_eq!(post(&server, "/v1/write/metric", "m f=1i 1700000000").await, 200);
        eventually("failures", async || target.requests() > 20).await;
        fails.store(false, Ordering::SeqCst);
        eventually("the point", async || kept.len() == 1).await;
        assert_eq!(proxy.accepted(), 1, "one connection serves all attempts");
        server.stop().await;
    });
}

#[test]
fn no_offset_is_added_to_the_time() {
    run(async {
        let data = tempfile::tempdir().unwrap();
        let asked = Arc::new(AtomicU64::new(0));
        let counted = asked.clone();
        let kept = Kept::default();
        let seen = kept.clone();
        // A centre whose clock is far off.
        let target = FakeServer::start(move |request| {
            if request.path() == "/v1/ntp" {
                counted.fetch_add(1, Ordering::SeqCst);
                return Reply::new(200, r#"{"timestamp_sec":1}"#);
            }
            seen.0.lock().unwrap().push(request.clone());
            Reply::new(200, "")
        });
        let server = start(data.path(), &[&urls(&target), "gateway.gzip=false"], None).await;
        let seconds = get(&server, "/v1/ntp").await["timestamp_sec"].as_i64().unwrap();
        assert!(seconds > 1_700_000_000);
        assert_eq!(post(&server, "/v1/write/metric", "m f=1i").await, 200);
        eventually("the point", async || kept.len() == 1).await;
        let line = kept.lines().remove(0);
        let time: i64 = line.rsplit(' ').next().unwrap().parse().unwrap();
        assert!((time / 1_000_000_000 - seconds).abs() < 60, "{line}");
        assert_eq!(asked.load(Ordering::SeqCst), 0);
        server.stop().await;
    });
}

#[test]
fn a_backlog_is_drained_as_fast_as_it_goes() {
    run(async {
        let data = tempfile::tempdir().unwrap();
        let fails = Arc::new(AtomicBool::new(true));
        let (target, kept) = receiver(fails.clone());
        // No body is so small that it is sent with others.
        let settings = [&*urls(&target), "gateway.max-raw-body-size=30B", "gateway.gzip=false"];
        let server = start(data.path(), &settings, None).await;
        let body: String = (0..500).map(|n| format!("m f={n}i 1700000000\n")).collect();
        assert_eq!(post(&server, "/v1/write/metric", body).await, 200);
        eventually("failures", async || target.requests() > 2).await;
        fails.store(false, Ordering::SeqCst);
        // The original needs 30 seconds for as many bodies as it has workers.
        eventually("all of it", async || kept.lines().len() == 500).await;
        assert!(kept.len() >= 400, "{} bodies", kept.len());
        server.stop().await;
    });
}

#[test]
fn bodies_of_larger_bounds_are_delivered_after_a_restart() {
    run(async {
        let data = tempfile::tempdir().unwrap();
        let fails = Arc::new(AtomicBool::new(true));
        let (target, kept) = receiver(fails.clone());
        let urls = urls(&target);
        let server = start(data.path(), &[&urls, "gateway.gzip=false"], None).await;
        let body: String = (0..5_000).map(|n| format!("m f={n}i 1700000000\n")).collect();
        assert_eq!(post(&server, "/v1/write/metric", body).await, 200);
        server.stop().await;
        fails.store(false, Ordering::SeqCst);
        let settings = [
            &*urls,
            "gateway.gzip=false",
            "gateway.max-raw-body-size=1KiB",
            "gateway.queue.memory-bytes=1KiB",
            "gateway.queue.segment-bytes=64KiB",
        ];
        let server = start(data.path(), &settings, None).await;
        eventually("all of it", async || kept.lines().len() == 5_000).await;
        let status = get(&server, "/api/v1/gateway/status").await;
        assert_eq!(status["destinations"][0]["delivered"], 5_000);
        assert_eq!(status["balanced"], true);
        server.stop().await;
    });
}

#[test]
fn local_filters_take_effect() {
    run(async {
        let data = tempfile::tempdir().unwrap();
        let (target, kept) = receiver(well());
        let file = data.path().join("levada.toml");
        // As the original writes them, for two categories.
        let text = format!(
            "[dataway]\nurls = ['{}']\ngzip = false\n[io.filters]\nlogging = ['{{ source = \"noise\" }}', '{{ f1 in [\"1\"] }}']\n\
             metric = ['{{ measurement = \"cpu\" }}']\n",
            target.url("?token=tkn_x")
        );
        fs::write(&file, text).unwrap();
        let server = start(data.path(), &[], Some(&file)).await;
        let logs = "noise m=\"x\" 1700000000\nshop f1=\"1\" 1700000000\nshop f1=\"2\" 1700000000\n";
        assert_eq!(post(&server, "/v1/write/logging", logs).await, 200);
        let metrics = "cpu f=1i 1700000000\nmem f=1i 1700000000\n";
        assert_eq!(post(&server, "/v1/write/metric", metrics).await, 200);
        eventually("what is left", async || kept.lines().len() == 2).await;
        let mut lines = kept.lines();
        lines.sort();
        assert!(lines[0].starts_with("mem ") && lines[1].starts_with("shop f1=\"2\""), "{lines:?}");
        let status = get(&server, "/api/v1/gateway/status").await;
        assert_eq!(status["received"]["filtered"], 3);
        assert_eq!(status["rules"]["filter_source"], "local");
        let metrics = reqwest::get(format!("{}/metrics", server.url)).await.unwrap();
        let metrics = metrics.text().await.unwrap();
        let dropped = metrics.lines().find(|line| {
            line.starts_with("datakit_filter_point_dropped_total{") && line.contains("logging")
        });
        assert!(dropped.unwrap().contains("source=\"local\""), "{dropped:?}");
        server.stop().await;
    });
}

#[test]
fn global_tags_that_change_are_in_the_next_header() {
    run_alone(async {
        let data = tempfile::tempdir().unwrap();
        let (target, kept) = receiver(well());
        let file = data.path().join("levada.toml");
        let text = |tag: &str| {
            format!(
                "[gateway]\nurls = ['{}']\nenable-sinker = true\nglobal-tags = ['{tag}=x']\n",
                target.url("?token=tkn_x")
            )
        };
        fs::write(&file, text("cluster")).unwrap();
        let server = start(data.path(), &[], Some(&file)).await;
        let body = "m,cluster=c1,zone=z1 f=1i 1700000000";
        let header = async |count: usize| {
            assert_eq!(post(&server, "/v1/write/metric", body).await, 200);
            eventually("the point", async || kept.len() == count).await;
            let requests = kept.0.lock().unwrap();
            requests.last().unwrap().header("x-global-tags").unwrap().to_owned()
        };
        assert_eq!(header(1).await, "cluster=c1");
        assert_eq!(read_again(&server, &file, &text("zone")).await, None);
        assert_eq!(header(2).await, "zone=z1");
        server.stop().await;
    });
}
