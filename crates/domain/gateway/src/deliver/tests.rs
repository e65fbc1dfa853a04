//! Senders against real sockets.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU16, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use levada_clients::dataway::{Dataway, DatawayOptions, Endpoint};
use levada_codec::compression::{Compression, decompress_all};
use levada_model::{Category, Timestamp};
use levada_runtime::{Clock, SystemClock};
use levada_testkit::fake_http::{FakeServer, Reply, Request};

use super::*;
use crate::bench::TOO_LONG;
use crate::destination::{DestinationSpec, EndpointSpec, Spread};
use crate::egress::Kind;
use crate::ingest::{Form, Write};
use crate::rules::{RulesSpec, SinkerSpec, Target};
use crate::wal::{Counts, DropReason, Encoding, Keep, QueueSettings};

/// How a test's destination is sent.
struct Setup {
    policy: SendPolicy,
    timeout: Duration,
    form: Form,
    queue: QueueSettings,
}

impl Default for Setup {
    fn default() -> Self {
        let policy = SendPolicy {
            retry: BackoffPolicy {
                initial: Duration::from_millis(2),
                max: Duration::from_millis(10),
                attempts_max: 0,
            },
            breaker: BreakerPolicy {
                failures: 1_000,
                pause: Duration::from_millis(50),
                open: Duration::from_millis(50),
                ..BreakerPolicy::default()
            },
            ..SendPolicy::default()
        };
        Setup {
            policy,
            timeout: Duration::from_secs(5),
            form: Form {
                encoding: Encoding::LineProtocol,
                compression: Compression::Gzip,
                has_global_tags: true,
            },
            queue: QueueSettings { sync: crate::wal::Sync::None, ..QueueSettings::default() },
        }
    }
}

/// A gateway with its senders running.
struct Bench(crate::bench::Bench);

impl std::ops::Deref for Bench {
    type Target = crate::bench::Bench;

    fn deref(&self) -> &Self::Target {
        &self.0
    }
}

impl std::ops::DerefMut for Bench {
    fn deref_mut(&mut self) -> &mut Self::Target {
        &mut self.0
    }
}

impl Bench {
    /// Starts one destination for each list of URLs; all points go to all, unless rules say otherwise.
    async fn start(urls: &[&[String]], setup: Setup, rules: Option<RulesSpec>) -> Self {
        let specs = urls.iter().enumerate().map(|(at, urls)| {
            let endpoint = |(priority, url): (u32, &String)| EndpointSpec {
                url: url.clone(),
                timeout: setup.timeout,
                user_agent: "datakit-linux-amd64/1.0/host-a".into(),
                priority,
                ..EndpointSpec::default()
            };
            DestinationSpec {
                name: format!("d{at}"),
                kind: Kind::Dataway,
                spread: Spread::Failover,
                endpoints: (0..).zip(*urls).map(endpoint).collect(),
                form: setup.form,
                policy: setup.policy.clone(),
                queue: setup.queue.clone(),
            }
        });
        Bench(crate::bench::Bench::open(&specs.collect::<Vec<_>>(), rules).await)
    }

    /// Writes so many points, numbered from `first` on.
    async fn write(&self, first: usize, count: usize) {
        let line = |n: usize| format!("m,host=h{n} n={n}i {}\n", 1_700_000_000_000_000_000 + n);
        let body: String = (first..first + count).map(line).collect();
        self.write_as(Category::Logging, body).await;
    }

    fn counts(&self, destination: usize) -> Counts {
        self.counts_of(destination)
    }

    /// Waits until nothing is queued for a destination.
    async fn drained(&self, destination: usize) -> Counts {
        self.drained_of(destination).await
    }
}

fn now() -> Timestamp {
    SystemClock::new().now()
}

/// Keeps what came, by the numbers of the points.
#[derive(Clone, Default)]
struct Seen(Arc<Mutex<Vec<Request>>>);

impl Seen {
    fn add(&self, request: &Request) {
        self.0.lock().unwrap().push(request.clone());
    }

    fn requests(&self) -> Vec<Request> {
        self.0.lock().unwrap().clone()
    }

    /// How often each point came.
    fn points(&self) -> HashMap<usize, usize> {
        let mut points = HashMap::new();
        for request in self.requests() {
            for n in numbers(&request) {
                *points.entry(n).or_insert(0) += 1;
            }
        }
        points
    }
}

fn text(request: &Request) -> String {
    let format = match request.header("content-encoding") {
        Some("gzip") => Compression::Gzip,
        _ => Compression::None,
    };
    String::from_utf8(decompress_all(format, &request.body, 1 << 30).unwrap()).unwrap()
}

fn numbers(request: &Request) -> Vec<usize> {
    let number = |line: &str| line.split(" n=").nth(1)?.split('i').next()?.parse().ok();
    text(request).lines().filter_map(number).collect()
}

/// A server that keeps what it takes with 200, and a place for what a test wants it to answer.
fn server(answer: impl Fn(&Request, usize) -> Reply + Send + Sync + 'static) -> (FakeServer, Seen) {
    let (seen, count) = (Seen::default(), AtomicUsize::new(0));
    let kept = seen.clone();
    let server = FakeServer::start(move |request| {
        let reply = answer(request, count.fetch_add(1, Ordering::AcqRel));
        if reply.status / 100 == 2 {
            kept.add(request);
        }
        reply
    });
    (server, seen)
}

fn url(server: &FakeServer) -> String {
    server.url("?token=tkn_x")
}

const THREADS: usize = 2;

macro_rules! on_threads {
    ($body:expr) => {{
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(THREADS)
            .enable_all()
            .build()
            .unwrap();
        runtime.block_on($body);
        runtime.shutdown_timeout(Duration::from_secs(1));
    }};
}

#[test]
fn requests_are_those_of_the_protocol() {
    on_threads!(async {
        let (server, seen) = server(|_, _| Reply::new(200, ""));
        let bench = Bench::start(&[&[url(&server)]], Setup::default(), None).await;
        let mut write = Write::lines(Category::Logging, "m f=1i 1700000000000000001\n", now());
        write.global_tags = Some("a=b".into());
        write.storage_index = Some("ix".into());
        bench.gateway.write(write, &bench.tasks).await.unwrap();
        assert_eq!(bench.drained(0).await.delivered, 1);
        let request = seen.requests().remove(0);
        assert_eq!((&*request.method, &*request.target), ("POST", "/v1/write/logging?token=tkn_x"));
        for (name, value) in [
            ("content-encoding", "gzip"),
            ("content-type", "application/line-protocol"),
            ("x-points", "1"),
            ("user-agent", "datakit-linux-amd64/1.0/host-a"),
            ("referer", "DataKit"),
            ("x-global-tags", "a=b"),
            ("x-storage-index-name", "ix"),
        ] {
            assert_eq!(request.header(name), Some(value), "{name}");
        }
        assert_eq!(request.header("x-pkg-id").map(str::len), Some(23));
        assert_eq!(request.header("x-fail-cache-retry"), None);
        assert_eq!(request.header("content-length"), Some(&*request.body.len().to_string()));
        assert_eq!(text(&request), "m f=1i,status=\"info\" 1700000000000000001\n");
    });
}

#[test]
fn no_value_of_a_header_keeps_points_from_being_sent() {
    on_threads!(async {
        // Source: N12.
        let (server, seen) = server(|_, _| Reply::new(200, ""));
        let bench = Bench::start(&[&[url(&server)]], Setup::default(), None).await;
        let mut write = Write::lines(Category::Network, "m f=1i 1700000000000000001\n", now());
        write.global_tags = Some("a=é,b==\r\nX-Evil: 1".into());
        write.storage_index = Some("".into());
        bench.gateway.write(write, &bench.tasks).await.unwrap();
        assert_eq!(bench.drained(0).await.delivered, 1);
        let request = seen.requests().remove(0);
        assert_eq!(request.header("x-global-tags"), Some("a=é,b==__X-Evil: 1"));
        assert_eq!(request.header("x-storage-index-name"), Some(""));
        assert_eq!(request.header("x-evil"), None);
    });
}

#[test]
fn failures_are_retried_until_they_pass_and_keep_the_package_id() {
    on_threads!(async {
        let ids = Arc::new(Mutex::new(Vec::new()));
        let known = ids.clone();
        let (server, seen) = server(move |request, count| {
            let header = |name| request.header(name).map(str::to_owned);
            known.lock().unwrap().push((header("x-pkg-id"), header("x-fail-cache-retry")));
            match count {
                0 => Reply::new(500, "broken"),
                1 => Reply::cut(),
                2 => Reply::new(429, "").with("Retry-After", "0"),
                3 => Reply::new(408, ""),
                4 => Reply::new(425, ""),
                5 => Reply::new(503, ""),
                // Source: B35, B39: not here, not us; the data stays.
                6 => Reply::new(403, "{\"error_code\":\"kodo.tokenNotFound\"}"),
                7 => Reply::new(404, ""),
                8 => Reply::new(302, "").with("Location", "http://elsewhere/"),
                _ => Reply::new(204, ""),
            }
        });
        let bench = Bench::start(&[&[url(&server)]], Setup::default(), None).await;
        bench.write(0, 3).await;
        let counts = bench.drained(0).await;
        assert_eq!((counts.accepted, counts.delivered), (3, 3));
        assert_eq!(seen.points(), HashMap::from([(0, 1), (1, 1), (2, 1)]));
        let ids = ids.lock().unwrap();
        assert_eq!(ids.len(), 10);
        assert!(ids.iter().all(|(id, _)| *id == ids[0].0), "{ids:?}");
        let retries: Vec<bool> = ids.iter().map(|(_, retry)| retry.is_some()).collect();
        assert_eq!(retries, [vec![false], vec![true; 9]].concat());
    });
}

#[test]
fn who_says_how_long_to_wait_is_not_asked_earlier() {
    on_threads!(async {
        let at = Arc::new(Mutex::new(Vec::new()));
        let (clock, times) = (SystemClock::new(), at.clone());
        let (server, _) = server(move |request, count| {
            times.lock().unwrap().push((clock.monotonic(), numbers(request)));
            match count {
                0 => Reply::new(429, "").with("Retry-After", "1"),
                _ => Reply::new(200, ""),
            }
        });
        let bench = Bench::start(&[&[url(&server)]], Setup::default(), None).await;
        bench.write(0, 1).await;
        bench.until(|| at.lock().unwrap().len() == 1).await;
        bench.write(1, 1).await;
        bench.drained(0).await;
        // The second may have been on its way when the answer to the first came; what was refused waits.
        let at = at.lock().unwrap();
        let mut refused = at.iter().filter(|(_, numbers)| numbers.contains(&0)).map(|(at, _)| *at);
        let (first, again) = (refused.next().unwrap(), refused.next().unwrap());
        assert!(again - first >= Duration::from_millis(990), "{at:?}");
    });
}

#[test]
fn a_body_that_is_too_large_is_halved_until_it_fits() {
    on_threads!(async {
        // Only a body with point 5 alone is still too large.
        let (server, seen) = server(|request, _| {
            let numbers = numbers(request);
            let is_too_large = numbers.len() > 3 || numbers.contains(&5);
            Reply::new(if is_too_large { 413 } else { 200 }, "")
        });
        let bench = Bench::start(&[&[url(&server)]], Setup::default(), None).await;
        bench.write(0, 20).await;
        let counts = bench.drained(0).await;
        assert_eq!((counts.delivered, counts.dead_lettered), (19, 1));
        let expected = (0..20).filter(|n| *n != 5).map(|n| (n, 1)).collect();
        assert_eq!(seen.points(), expected, "each once");
        let letters = bench.gateway.outlets()[0].queue.dead_letters();
        assert_eq!((letters.len(), letters[0].points), (1, 1));
        assert!(letters[0].reason.starts_with("status 413"), "{letters:?}");
    });
}

#[test]
fn a_poisoned_body_goes_to_the_letters_and_the_next_goes_on() {
    on_threads!(async {
        let (server, seen) = server(|request, _| match numbers(request).contains(&1) {
            true => Reply::new(400, "bad points"),
            false => Reply::new(200, ""),
        });
        let bench = Bench::start(&[&[url(&server)]], Setup::default(), None).await;
        for n in 0..6 {
            bench.write(n, 1).await;
        }
        let counts = bench.drained(0).await;
        assert_eq!((counts.delivered, counts.dead_lettered), (5, 1));
        assert_eq!(seen.points(), [0, 2, 3, 4, 5].into_iter().map(|n| (n, 1)).collect());
        let letters = bench.gateway.outlets()[0].queue.dead_letters();
        assert_eq!(letters[0].reason, "status 400: bad points");
    });
}

#[test]
fn small_bodies_travel_together() {
    on_threads!(async {
        let gate = Arc::new(AtomicU16::new(503));
        let open = gate.clone();
        let (server, seen) = server(move |_, _| Reply::new(open.load(Ordering::Acquire), ""));
        let mut setup = Setup::default();
        setup.policy.in_flight_max = 1;
        let bench = Bench::start(&[&[url(&server)]], setup, None).await;
        for n in 0..200 {
            bench.write(n, 1).await;
        }
        gate.store(200, Ordering::Release);
        assert_eq!(bench.drained(0).await.delivered, 200);
        assert_eq!(seen.points(), (0..200).map(|n| (n, 1)).collect());
        assert!(seen.requests().len() < 10, "{} requests", seen.requests().len());
    });
}

#[test]
fn a_small_body_waits_for_others_as_long_as_it_may() {
    on_threads!(async {
        let (server, seen) = server(|_, _| Reply::new(200, ""));
        let setup = |linger| {
            let policy = SendPolicy { linger, ..Setup::default().policy };
            Setup { policy, ..Setup::default() }
        };
        let bench = Bench::start(&[&[url(&server)]], setup(TOO_LONG * 2), None).await;
        for n in 0..5 {
            bench.write(n, 1).await;
        }
        bench.until(|| bench.gateway.outlets()[0].queue.status().leased_records == 5).await;
        assert_eq!(seen.requests().len(), 0, "they wait for more");
        bench.senders[0].hurry();
        assert_eq!(bench.drained(0).await.delivered, 5);
        assert_eq!(seen.requests().len(), 1, "they went together");
        bench.write(5, 1).await;
        assert_eq!(bench.drained(0).await.delivered, 6);

        let bench = Bench::start(&[&[url(&server)]], setup(Duration::from_millis(100)), None).await;
        let clock = SystemClock::new();
        let started = clock.monotonic();
        bench.write(6, 1).await;
        assert_eq!(bench.drained(0).await.delivered, 1);
        assert!(clock.monotonic() - started >= Duration::from_millis(100));
    });
}

#[test]
fn one_that_hangs_holds_up_no_other() {
    on_threads!(async {
        let release = Arc::new(AtomicU16::new(0));
        let held = release.clone();
        let slow = FakeServer::start(move |_| {
            while held.load(Ordering::Acquire) == 0 {
                std::thread::sleep(Duration::from_millis(5));
            }
            Reply::new(200, "")
        });
        let (fast, seen) = server(|_, _| Reply::new(200, ""));
        let setup = Setup { timeout: Duration::from_millis(200), ..Setup::default() };
        let bench = Bench::start(&[&[url(&slow)], &[url(&fast)]], setup, None).await;
        for n in 0..20 {
            bench.write(n * 10, 10).await;
        }
        assert_eq!(bench.drained(1).await.delivered, 200);
        assert_eq!(seen.points().len(), 200);
        assert_eq!(bench.counts(0).queued, 200, "what hangs has its own queue");
        let senders = &bench.senders;
        bench.until(|| senders[0].stats().retries.load(Ordering::Relaxed) > 0).await;
        release.store(1, Ordering::Release);
        assert_eq!(bench.drained(0).await.delivered, 200);
    });
}

#[test]
fn broadcast_sends_every_point_once_whatever_happens_elsewhere() {
    on_threads!(async {
        // Source: B6.
        let (well, seen) = server(|_, _| Reply::new(200, ""));
        let (ill, _) = server(|_, count| Reply::new(if count < 20 { 500 } else { 200 }, ""));
        let bench = Bench::start(&[&[url(&well)], &[url(&ill)]], Setup::default(), None).await;
        for n in 0..5 {
            bench.write(n * 10, 10).await;
        }
        for destination in 0..2 {
            assert_eq!(bench.drained(destination).await.delivered, 50);
        }
        assert_eq!(seen.points(), (0..50).map(|n| (n, 1)).collect());
    });
}

#[test]
fn the_next_endpoint_takes_over_and_gives_back() {
    on_threads!(async {
        let health = Arc::new(AtomicU16::new(200));
        let state = health.clone();
        let (first, seen_first) = server(move |_, _| Reply::new(state.load(Ordering::Acquire), ""));
        let (second, seen_second) = server(|_, _| Reply::new(200, ""));
        let bench = Bench::start(&[&[url(&first), url(&second)]], Setup::default(), None).await;
        bench.write(0, 10).await;
        bench.drained(0).await;
        health.store(500, Ordering::Release);
        bench.write(10, 10).await;
        bench.drained(0).await;
        assert_eq!((seen_first.points().len(), seen_second.points().len()), (10, 10));
        health.store(200, Ordering::Release);
        let mut n = 20;
        while seen_first.points().len() == 10 {
            bench.write(n, 1).await;
            bench.drained(0).await;
            n += 1;
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
        let states = bench.senders[0].group().states(Duration::MAX);
        assert!(states.iter().all(|(_, state)| *state == EndpointState::Up), "{states:?}");
    });
}

#[test]
fn what_waited_too_long_is_given_up_with_a_count() {
    on_threads!(async {
        let (server, _) = server(|_, _| Reply::new(500, ""));
        let mut setup = Setup::default();
        setup.policy.age_max = Some(Duration::from_millis(100));
        let bench = Bench::start(&[&[url(&server)]], setup, None).await;
        bench.write(0, 7).await;
        let counts = bench.drained(0).await;
        assert_eq!(counts.dropped_for(DropReason::Expired), 7);
        assert_eq!(counts.delivered, 0);
    });
}

#[test]
fn a_shutdown_gives_back_what_waits() {
    on_threads!(async {
        let (server, _) = server(|_, _| Reply::new(503, ""));
        let mut bench = Bench::start(&[&[url(&server)]], Setup::default(), None).await;
        bench.write(0, 7).await;
        bench.until(|| server.requests() > 1).await;
        bench.shutdown.drain();
        for running in bench.running.drain(..) {
            tokio::time::timeout(TOO_LONG, running).await.expect("it ends").unwrap();
        }
        let counts = bench.counts(0);
        assert_eq!((counts.queued, counts.accepted), (7, 7));
        assert_eq!(bench.gateway.outlets()[0].queue.status().leased_records, 0);
    });
}

#[test]
fn sinkers_and_the_rest_are_all_there_is() {
    on_threads!(async {
        // Source: T5, B3: what a sinker cannot deliver waits like everything else.
        let (sinker, seen_sinker) =
            server(|_, count| Reply::new(if count < 3 { 500 } else { 200 }, ""));
        let (rest, seen_rest) = server(|_, _| Reply::new(200, ""));
        let rules = RulesSpec {
            sinkers: vec![SinkerSpec {
                name: "s".into(),
                categories: vec![Category::Logging],
                filters: vec!["{ host in ['h1', 'h7'] }".into(), "{ n >= 90 }".into()],
                target: Target::Each(vec![1]),
            }],
            default: Some(Target::Each(vec![0])),
            ..RulesSpec::default()
        };
        let urls: [&[String]; 2] = [&[url(&rest)], &[url(&sinker)]];
        let bench = Bench::start(&urls, Setup::default(), Some(rules)).await;
        bench.write(0, 100).await;
        assert_eq!(bench.drained(0).await.delivered, 88);
        assert_eq!(bench.drained(1).await.delivered, 12);
        let is_sunk = |n: &usize| [1, 7].contains(n) || *n >= 90;
        assert_eq!(seen_sinker.points(), (0..100).filter(is_sunk).map(|n| (n, 1)).collect());
        let rest: HashMap<usize, usize> =
            (0..100).filter(|n| !is_sunk(n)).map(|n| (n, 1)).collect();
        assert_eq!(seen_rest.points(), rest);
        assert_eq!(bench.gateway.rules().hits().sinker(0), 12);
    });
}

#[test]
fn a_redirection_keeps_method_and_body_on_the_same_host_only() {
    on_threads!(async {
        let (server, seen) = server(|request, _| match request.path() {
            "/v1/write/logging" => Reply::new(307, "").with("Location", "/moved"),
            _ => Reply::new(200, ""),
        });
        let bench = Bench::start(&[&[url(&server)]], Setup::default(), None).await;
        bench.write(0, 2).await;
        assert_eq!(bench.drained(0).await.delivered, 2);
        let request = seen.requests().remove(0);
        assert_eq!((&*request.method, request.path()), ("POST", "/moved"));
        assert_eq!(numbers(&request), [0, 1]);
    });
}

#[test]
fn filters_come_by_pull_and_stay_when_a_pull_fails() {
    on_threads!(async {
        let good = r#"{"filters":{"logging":["{ host = 'h1' }"]},"pull_interval":1000000}"#;
        let (centre, _) = server(move |request, count| {
            assert_eq!(request.target, "/v1/datakit/pull?token=tkn_x&filters=true");
            match count {
                0 => Reply::new(200, good),
                1 => Reply::new(500, ""),
                2 => Reply::new(200, r#"{"filters":{"logging":["{ host = 'h2' }","{ broken"]}}"#),
                3 => Reply::new(200, "nonsense"),
                _ => Reply::new(200, r#"{"filters":{"logging":["{ host = 'h3' }"]}}"#),
            }
        });
        let (server, seen) = server(|_, _| Reply::new(200, ""));
        let bench = Bench::start(&[&[url(&server)]], Setup::default(), None).await;
        let endpoint = Endpoint::parse(&url(&centre), None).unwrap();
        let client = Dataway::new(&endpoint, DatawayOptions::default()).await.unwrap();
        let puller =
            crate::pull::Puller::new(client, endpoint, bench.gateway.clone(), SystemClock::new());
        let mut known = None;
        assert_eq!(puller.pull(&mut known).await.unwrap(), Some(Duration::from_millis(1)));
        for _ in 0..3 {
            assert!(puller.pull(&mut known).await.is_err());
            let spec = bench.gateway.rules().spec().clone();
            assert_eq!(spec.drop_filters[0].1, ["{ host = 'h1' }"], "the old set stays");
        }
        bench.write(0, 3).await;
        assert_eq!(bench.drained(0).await.delivered, 2);
        assert_eq!(bench.gateway.rules().hits().drops(0, 0), 1);
        assert_eq!(puller.pull(&mut known).await.unwrap(), None);
        assert_eq!(bench.gateway.rules().spec().drop_filters[0].1, ["{ host = 'h3' }"]);
        assert_eq!(seen.points(), HashMap::from([(0, 1), (2, 1)]));
        assert_eq!(bench.gateway.stats().reload_errors.load(Ordering::Relaxed), 1);
    });
}

#[test]
fn writers_wait_while_a_queue_is_full_and_nothing_is_lost() {
    on_threads!(async {
        // Source: T17.
        let gate = Arc::new(AtomicU16::new(503));
        let open = gate.clone();
        let (server, seen) = server(move |_, _| Reply::new(open.load(Ordering::Acquire), ""));
        let mut setup = Setup::default();
        setup.queue = QueueSettings { keep: Keep::Memory, bytes_max: 8 << 10, ..setup.queue };
        let bench = Bench::start(&[&[url(&server)]], setup, None).await;
        let writing = async {
            for n in 0..300 {
                bench.write(n, 1).await;
            }
        };
        let opening = async {
            tokio::time::sleep(Duration::from_millis(200)).await;
            assert!(bench.counts(0).accepted < 300, "the queue is full");
            gate.store(200, Ordering::Release);
        };
        tokio::join!(writing, opening);
        assert_eq!(bench.drained(0).await.delivered, 300);
        assert_eq!(seen.points(), (0..300).map(|n| (n, 1)).collect());
    });
}

/// Receivers that fail in every way, by chance: at the end each point is where the counts say, and nowhere twice.
#[test]
fn whatever_receivers_do_every_point_is_somewhere_once() {
    on_threads!(async {
        let random = levada_testkit::seeded::Random::new(7);
        let random = Arc::new(Mutex::new(random));
        let is_calm = Arc::new(AtomicU16::new(0));
        let chaos = |random: Arc<Mutex<levada_testkit::seeded::Random>>, calm: Arc<AtomicU16>| {
            move |request: &Request, _: usize| {
                let numbers = numbers(request);
                // These are bad wherever they are, and make the whole body bad.
                if numbers.iter().any(|n| n % 97 == 13) {
                    let has_others = numbers.len() > 1;
                    return Reply::new(if has_others { 413 } else { 422 }, "bad point");
                }
                if numbers.len() > 40 {
                    return Reply::new(413, "");
                }
                if calm.load(Ordering::Acquire) == 1 {
                    return Reply::new(200, "");
                }
                match random.lock().unwrap().below(10) {
                    0 => Reply::cut(),
                    1 => Reply::new(429, "").with("Retry-After", "0"),
                    2 => Reply::new(500, ""),
                    3 => Reply::new(503, ""),
                    4 => Reply::new(403, ""),
                    _ => Reply::new(200, ""),
                }
            }
        };
        let (one, seen_one) = server(chaos(random.clone(), is_calm.clone()));
        let (other, seen_other) = server(chaos(random, is_calm.clone()));
        let rules = RulesSpec {
            drop_filters: vec![(Category::Logging, vec!["{ n < 5 }".into()])],
            sinkers: vec![SinkerSpec {
                name: "s".into(),
                categories: vec![Category::Logging],
                filters: vec!["{ n >= 300 }".into()],
                target: Target::Each(vec![1]),
            }],
            default: Some(Target::Each(vec![0])),
            ..RulesSpec::default()
        };
        let mut setup = Setup::default();
        setup.policy.breaker.pause = Duration::from_millis(5);
        let urls: [&[String]; 2] = [&[url(&one)], &[url(&other)]];
        let bench = Bench::start(&urls, setup, Some(rules)).await;
        let mut first = 0;
        for size in [1, 300, 2, 50, 1, 1, 80, 65].into_iter().cycle().take(16) {
            bench.write(first, size).await;
            first += size;
            for destination in 0..2 {
                bench.counts(destination);
            }
        }
        is_calm.store(1, Ordering::Release);
        for (destination, seen, range) in [(0, seen_one, 5..300_usize), (1, seen_other, 300..first)]
        {
            let counts = bench.drained(destination).await;
            let is_bad = |n: &usize| n % 97 == 13;
            let good = range.clone().filter(|n| !is_bad(n)).map(|n| (n, 1)).collect();
            assert_eq!(seen.points(), good, "each good point once");
            let bad = range.clone().filter(is_bad).count() as u64;
            assert_eq!(counts.accepted, range.len() as u64);
            assert_eq!((counts.delivered, counts.dead_lettered), (range.len() as u64 - bad, bad));
        }
        assert_eq!(bench.gateway.stats().filtered.load(Ordering::Relaxed), 5);
    });
}
