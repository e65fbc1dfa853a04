//! Kill -9 while definitions change and alerts are on their way: what was acknowledged is there, what was shown arrives.

#![expect(clippy::disallowed_methods, reason = "tests look at the real clock")]

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use levada_testkit::fake_http::{FakeServer, Reply};
use levada_testkit::http::{free_port, request};
use levada_testkit::process::{Folder, Running};
use levada_testkit::seeded::Random;
use rustix::process::Signal;
use serde_json::{Value, json};

const LEVADA: &str = env!("CARGO_BIN_EXE_levada");
/// How long anything may take that takes well below a second; machines that build meanwhile are slow.
const LONG: Duration = Duration::from_secs(30);
const ROUNDS: u64 = 10;
/// An answer that came sooner shows only what is stored; later ones may be of a store that hangs.
const STORED_WITHIN: Duration = Duration::from_millis(450);
/// Event IDs.
const IDS: u64 = 12;
/// One in so many requests to the receiver fails.
const FAILS: u64 = 9;
const API: &str = "/kapacitor/v1";
const TOPIC: &str = "/kapacitor/v1/alerts/topics/kept";

/// Level and time of an event, as both the API and the receiver show it.
type Seen = (String, String);

/// A receiver that may fail now and then, and keeps what it took.
struct Receiver {
    server: FakeServer,
    /// By event ID, in the order of arrival.
    taken: Arc<Mutex<BTreeMap<String, Vec<Seen>>>>,
    failed: Arc<AtomicU64>,
}

/// What the client was told.
#[derive(Default)]
struct Told {
    made: BTreeSet<String>,
    deleted: BTreeSet<String>,
    handlers: BTreeSet<String>,
    /// By event ID.
    shown: BTreeMap<String, BTreeSet<Seen>>,
}

struct Client {
    address: String,
    told: Told,
    /// Seconds of the next point.
    next: u64,
    random: Random,
    /// Definitions of which nobody knows whether they are there.
    unsure: BTreeSet<String>,
}

// === impl Receiver ===

impl Receiver {
    fn start(fails: bool) -> Self {
        let taken: Arc<Mutex<BTreeMap<String, Vec<Seen>>>> = Arc::default();
        let (kept, failed) = (Arc::clone(&taken), Arc::<AtomicU64>::default());
        let (count, failures) = (AtomicU64::new(0), Arc::clone(&failed));
        let server =
            FakeServer::start(move |request| match count.fetch_add(1, Ordering::Relaxed) % FAILS {
                4 if fails => {
                    failures.fetch_add(1, Ordering::Relaxed);
                    Reply::new(500, "")
                }
                8 if fails => {
                    failures.fetch_add(1, Ordering::Relaxed);
                    Reply::cut()
                }
                _ => {
                    let event: Value = serde_json::from_slice(&request.body).unwrap();
                    let [id, level, time] =
                        ["id", "level", "time"].map(|key| event[key].as_str().unwrap().to_owned());
                    kept.lock().unwrap().entry(id).or_default().push((level, time));
                    Reply::new(200, "")
                }
            });
        Receiver { server, taken, failed }
    }

    fn taken(&self) -> BTreeMap<String, Vec<Seen>> {
        self.taken.lock().unwrap().clone()
    }
}

// === impl Client ===

impl Client {
    /// Asks; nothing when the server has gone meanwhile.
    fn ask(&self, method: &str, path: &str, body: &str) -> Option<(u16, String)> {
        let (status, body) = request(&self.address, method, path, &[], body.as_bytes()).ok()?;
        Some((status, String::from_utf8(body).unwrap()))
    }

    /// Asks a server that is there.
    #[track_caller]
    fn get(&self, path: &str) -> Value {
        let (status, text) = self.ask("GET", path, "").unwrap();
        assert_eq!(status, 200, "{path}: {text}");
        serde_json::from_str(&text).unwrap()
    }

    fn task(id: &str, script: &str) -> String {
        let dbrps = json!([{"db": "d", "rp": "r"}]);
        json!({"id": id, "status": "enabled", "script": script, "dbrps": dbrps}).to_string()
    }

    /// Makes what all rounds use.
    fn prepare(&mut self, receivers: &[(&str, &Receiver)]) {
        let alert = "stream|from().measurement('m').groupBy('id')\
            |alert().id('{{ index .Tags \"id\" }}').crit(lambda: \"value\" > 10).stateChangesOnly().topic('kept')";
        let (status, text) =
            self.ask("POST", &format!("{API}/tasks"), &Self::task("alert", alert)).unwrap();
        assert_eq!(status, 200, "{text}");
        self.told.made.insert("alert".to_owned());
        for (id, receiver) in receivers {
            let options = json!({"url": receiver.server.url("/")});
            let handler = json!({"id": id, "kind": "post", "options": options});
            let handlers = format!("{TOPIC}/handlers");
            let (status, text) = self.ask("POST", &handlers, &handler.to_string()).unwrap();
            assert_eq!(status, 200, "{text}");
            self.told.handlers.insert((*id).to_owned());
        }
    }

    /// Defines, deletes and writes until the server has gone.
    fn work(&mut self, round: u64, url: &str) {
        for step in 0.. {
            if self.step(round, step, url).is_none() {
                return;
            }
        }
    }

    /// Gives nothing when the server has gone.
    fn step(&mut self, round: u64, step: u64, url: &str) -> Option<()> {
        let id = format!("t{round}-{step}");
        if step.is_multiple_of(3) {
            self.unsure.insert(id.clone());
            let task = Self::task(&id, "stream|from().measurement('other')|httpOut('out')");
            let (status, text) = self.ask("POST", &format!("{API}/tasks"), &task)?;
            assert_eq!(status, 200, "{text}");
            self.unsure.remove(&id);
            self.told.made.insert(id.clone());
        }
        if step % 9 == 8 {
            let gone = format!("t{round}-{}", step - 2);
            self.unsure.insert(gone.clone());
            let (status, text) = self.ask("DELETE", &format!("{API}/tasks/{gone}"), "")?;
            assert_eq!(status, 204, "{text}");
            self.unsure.remove(&gone);
            self.told.made.remove(&gone);
            self.told.deleted.insert(gone);
        }
        if step % 7 == 5 {
            let handler = json!({"id": id, "kind": "post", "options": {"url": url}});
            let path = "/kapacitor/v1/alerts/topics/other/handlers";
            let (status, text) = self.ask("POST", path, &handler.to_string())?;
            assert_eq!(status, 200, "{text}");
            self.told.handlers.insert(id);
        }
        for _ in 0..4 {
            let (id, value) = (self.random.below(IDS), self.random.below(2) * 20);
            self.write(&format!("m,id=e{id} value={value} {}", self.next))?;
        }
        let began = Instant::now();
        let events = self.ask("GET", &format!("{TOPIC}/events"), "")?;
        let events: Value = serde_json::from_str(&events.1).unwrap();
        if began.elapsed() < STORED_WITHIN {
            for (id, seen) in states(&events) {
                self.told.shown.entry(id).or_default().insert(seen);
            }
        }
        Some(())
    }

    fn write(&mut self, lines: &str) -> Option<()> {
        self.next += 1;
        let path = format!("{API}/write?db=d&rp=r&precision=s");
        let (status, text) = self.ask("POST", &path, lines)?;
        assert!(status == 204 || status == 503, "{status} {text}");
        Some(())
    }

    /// Looks whether everything that was acknowledged is there, and runs.
    fn check_definitions(&self, running: &mut Running) {
        let listed = self.get(&format!("{API}/tasks?fields=status&fields=error"));
        let tasks = listed["tasks"].as_array().unwrap();
        let ids: BTreeSet<&str> = tasks.iter().map(|task| task["id"].as_str().unwrap()).collect();
        for id in &self.told.made {
            assert!(ids.contains(&**id) || self.unsure.contains(id), "task `{id}` is missing");
        }
        for id in &self.told.deleted {
            assert!(!ids.contains(&**id), "task `{id}` is there again");
        }
        for task in tasks {
            assert_eq!(
                (&task["status"], &task["error"]),
                (&"enabled".into(), &"".into()),
                "{task}"
            );
        }
        let mut handlers = BTreeSet::new();
        for topic in ["kept", "other"] {
            let listed = self.get(&format!("{API}/alerts/topics/{topic}/handlers"));
            let listed = listed["handlers"].as_array().unwrap();
            handlers.extend(listed.iter().map(|one| one["id"].as_str().unwrap().to_owned()));
        }
        for id in &self.told.handlers {
            assert!(handlers.contains(id), "handler `{id}` is missing");
        }
        running.until("all tasks run", LONG, || {
            let listed = self.get(&format!("{API}/tasks?fields=executing"));
            listed["tasks"].as_array().unwrap().iter().all(|task| task["executing"] == true)
        });
    }
}

/// Gives level and time of each event.
fn states(events: &Value) -> Vec<(String, Seen)> {
    let event = |event: &Value| {
        let text = |value: &Value| value.as_str().unwrap().to_owned();
        (text(&event["id"]), (text(&event["state"]["level"]), text(&event["state"]["time"])))
    };
    events["events"].as_array().into_iter().flatten().map(event).collect()
}

fn start(folder: &Folder, address: &str) -> Running {
    let arguments = ["serve", "--listen", address, "--data", "data"];
    let mut running = folder.start(LEVADA, &arguments);
    running.until("it answers", LONG, || {
        let asked = request(address, "GET", "/kapacitor/v1/ping", &[], b"");
        asked.is_ok_and(|(status, _)| status == 204)
    });
    running
}

/// Waits until the receiver has the newest state of each ID.
fn wait_for_last(running: &mut Running, client: &Client, receiver: &Receiver) {
    let mut missing = Vec::new();
    let began = Instant::now();
    running.until("the newest events arrived", LONG, || {
        let taken = receiver.taken();
        missing = states(&client.get(&format!("{TOPIC}/events")));
        // An ID that has only been fine is no event of the receiver.
        missing.retain(|(id, seen)| taken.get(id).and_then(|taken| taken.last()) != Some(seen));
        assert!(began.elapsed() < LONG / 2, "missing: {missing:?} of {taken:?}");
        missing.is_empty()
    });
}

#[test]
fn killed_while_alerts_are_on_their_way() {
    let (folder, receiver, steady) = (Folder::new(), Receiver::start(true), Receiver::start(false));
    let address = format!("127.0.0.1:{}", free_port());
    let mut client = Client {
        address: address.clone(),
        told: Told::default(),
        next: 1_000_000,
        random: Random::new(6),
        unsure: BTreeSet::new(),
    };
    let mut running = start(&folder, &address);
    client.prepare(&[("tell", &receiver), ("sure", &steady)]);
    let mut delays = Random::new(7);
    for round in 0..ROUNDS {
        let delay = Duration::from_millis(100 + delays.below(400));
        let url = receiver.server.url("/other");
        thread::scope(|scope| {
            let working = scope.spawn(|| client.work(round, &url));
            thread::sleep(delay);
            running.signal(Signal::KILL);
            working.join().unwrap();
        });
        let ended = running.wait(LONG).expect_no_panic();
        assert_eq!(ended.code, None, "{ended:#?}");
        running = start(&folder, &address);
        client.check_definitions(&mut running);
    }
    for receiver in [&receiver, &steady] {
        wait_for_last(&mut running, &client, receiver);
    }
    // Now everything is fine again.
    for id in 0..IDS {
        client.write(&format!("m,id=e{id} value=0 {}", client.next)).unwrap();
    }
    running.until("all are fine", LONG, || {
        let states = states(&client.get(&format!("{TOPIC}/events")));
        states.iter().all(|(_, (level, _))| level == "OK")
    });
    for receiver in [&receiver, &steady] {
        wait_for_last(&mut running, &client, receiver);
    }
    // What is fine since before the last start is no event of the API any more, but may still wait to be told.
    running.until("nothing waits to be told", LONG, || {
        let (_, metrics) = client.ask("GET", "/metrics", "").unwrap();
        metrics.lines().any(|line| line == "levada_alert_outbox_waiting 0")
    });
    running.signal(Signal::TERM);
    running.wait(LONG).expect_code(0);

    let (mut shown, mut superseded, mut twice) = (0, 0, 0);
    for (receiver, always_works) in [(&steady, true), (&receiver, false)] {
        let taken = receiver.taken();
        for (id, taken) in &taken {
            let last = taken.last().map(|(level, _)| &**level);
            assert_eq!(last, Some("OK"), "{id} does not end with its recovery: {taken:?}");
        }
        for (id, states) in &client.told.shown {
            let taken = taken.get(id).map(Vec::as_slice).unwrap_or_default();
            let distinct: BTreeSet<&Seen> = taken.iter().collect();
            twice += taken.len() - distinct.len();
            for seen in states {
                shown += 1;
                if !distinct.contains(seen) {
                    // While the receiver failed, a newer event of the same ID took its place.
                    let is_newer_there = taken.iter().any(|(_, time)| *time > seen.1);
                    assert!(
                        is_newer_there && !always_works,
                        "{id}: {seen:?} was shown, but never arrived: {taken:?}"
                    );
                    superseded += 1;
                }
            }
        }
    }
    let (made, failed) = (client.told.made.len(), receiver.failed.load(Ordering::Relaxed));
    eprintln!(
        "{ROUNDS} kills, {made} tasks, {shown} states shown, {superseded} superseded, {twice} sent twice, {failed} failures"
    );
    assert!(shown > 50 && failed > 5, "the test proves little");
}
