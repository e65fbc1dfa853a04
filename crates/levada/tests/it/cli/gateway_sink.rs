//! `levada run` with a gateway in the same process, and what it says without one.

use std::sync::atomic::{AtomicU16, Ordering};
use std::sync::{Arc, Mutex};

use levada_testkit::fake_http::{FakeServer, Reply};

use super::binary::Folder;

const FLOW: &str = "
apiVersion: dataflow.dataflow.io/v1
kind: DataFlow
metadata: { name: orders }
spec:
  source: { type: file, config: { paths: [in.ndjson] } }
  sink:
    type: gateway
    config: { category: logging, measurement: orders, timestamp: $.at, strict: true }
  errors: { type: file, config: { path: errors.ndjson } }
";

/// A receiver that keeps the lines that it takes.
struct Receiver {
    server: FakeServer,
    status: Arc<AtomicU16>,
    lines: Arc<Mutex<Vec<String>>>,
}

impl Receiver {
    fn start() -> Self {
        let status = Arc::new(AtomicU16::new(200));
        let lines = Arc::<Mutex<Vec<String>>>::default();
        let (own, kept) = (Arc::clone(&status), Arc::clone(&lines));
        let server = FakeServer::start(move |request| {
            let status = own.load(Ordering::SeqCst);
            if status == 200 {
                let body = String::from_utf8(request.body.clone()).unwrap();
                let target = request.path().to_owned();
                let lines = body.lines().map(|line| format!("{target} {line}"));
                kept.lock().unwrap().extend(lines);
            }
            Reply::new(status, "")
        });
        Receiver { server, status, lines }
    }

    fn settings(&self) -> String {
        let url = self.server.url("?token=tkn_x");
        format!(
            "[gateway]\nurls = ['{url}']\ngzip = false\nretry = {{ initial = '20ms', max = '50ms' }}\n\
             breaker = {{ open = '50ms', open-max = '50ms' }}\n"
        )
    }

    fn lines(&self) -> Vec<String> {
        let mut lines = self.lines.lock().unwrap().clone();
        lines.sort();
        lines
    }
}

fn records(numbers: std::ops::Range<i64>) -> String {
    let record = |n| format!("{{\"at\":{},\"n\":{n},\"status\":\"ok\"}}\n", 1_700_000_000 + n);
    numbers.map(record).collect()
}

fn lines(numbers: std::ops::Range<i64>) -> Vec<String> {
    let line =
        |n| format!("/v1/write/logging orders n={n}i,status=\"ok\" {}000000000", 1_700_000_000 + n);
    let mut lines: Vec<String> = numbers.map(line).collect();
    lines.sort();
    lines
}

#[test]
fn a_run_delivers_everything_before_it_ends() {
    let folder = Folder::new();
    let receiver = Receiver::start();
    folder.file("levada.toml", receiver.settings());
    folder.file("flow.yaml", FLOW);
    // One that the gateway would have to change, for a log has a status.
    let bad = "{\"at\":1700009999,\"n\":-1}\n";
    folder.file("in.ndjson", records(0..500) + bad + &records(500..1_000));
    folder.run(&["check", "flow.yaml"]).ends(0);
    let ran = folder.run(&["run", "flow.yaml"]).ends(0);
    assert_eq!(receiver.lines(), lines(0..1_000));
    assert!(ran.stderr.contains("1 dead-lettered"), "{}", ran.stderr);
    let errors = std::fs::read_to_string(folder.path().join("errors.ndjson")).unwrap();
    assert!(errors.contains("add required key-value"), "{errors}");
}

#[test]
fn what_a_receiver_did_not_take_waits_for_the_next_run() {
    let folder = Folder::new();
    let receiver = Receiver::start();
    receiver.status.store(503, Ordering::SeqCst);
    folder.file("levada.toml", receiver.settings());
    folder.file("flow.yaml", FLOW);
    folder.file("in.ndjson", records(0..300));
    let ran = folder.run(&["run", "flow.yaml"]).ends(0);
    let told = "gateway: 300 points wait for the next start";
    assert!(ran.stderr.contains(told), "{}", ran.stderr);
    assert!(receiver.lines().is_empty());
    receiver.status.store(200, Ordering::SeqCst);
    folder.run(&["run", "flow.yaml"]).ends(0);
    assert_eq!(receiver.lines(), lines(0..300), "nothing was read again, and nothing is missing");
}

#[test]
fn without_a_gateway_a_run_says_what_to_do() {
    let folder = Folder::new();
    folder.file("flow.yaml", FLOW);
    folder.file("in.ndjson", records(0..1));
    folder.run(&["check", "flow.yaml"]).ends(0);
    let ran = folder.run(&["run", "flow.yaml"]).ends(3);
    for text in ["flow `orders`", "[gateway]", "LEVADA_GATEWAY_URLS"] {
        assert!(ran.stderr.contains(text), "{}", ran.stderr);
    }
    folder.file("levada.toml", "[gateway]\nurls = ['http://127.0.0.1:1']\n");
    let named = FLOW.replace("category: logging", "name: nowhere, category: logging");
    folder.file("flow.yaml", named);
    let ran = folder.run(&["run", "flow.yaml"]).ends(3);
    let told = "the gateway has no destination `nowhere`; known: default";
    assert!(ran.stderr.contains(told), "{}", ran.stderr);
}

#[test]
fn a_script_beside_a_flow_writes_to_the_gateway() {
    let folder = Folder::new();
    let receiver = Receiver::start();
    folder.file("levada.toml", receiver.settings());
    let flow = FLOW.replace("type: gateway", "type: task");
    folder.file("flow.yaml", flow.replace("category: logging, ", "").replace(", strict: true", ""));
    folder.file("in.ndjson", records(0..100));
    folder.file(
        "double.tick",
        "stream|from().measurement('orders')|eval(lambda: \"n\" * 2.0).as('twice')\
         |influxDBOut().cluster('gateway').measurement('doubled')",
    );
    folder.run(&["run", "flow.yaml", "double.tick"]).ends(0);
    let lines = receiver.lines();
    assert_eq!(lines.len(), 100, "{lines:?}");
    for n in 0..100 {
        let at = 1_700_000_000 + n;
        let twice = 2 * n;
        let expected = [
            format!("/v1/write/metric doubled twice={twice} {at}000000000"),
            format!("/v1/write/metric doubled twice={twice}.0 {at}000000000"),
        ];
        assert!(lines.iter().any(|line| expected.contains(line)), "{expected:?} in {lines:?}");
    }
}

#[test]
fn mistakes_in_manifests_are_found() {
    let folder = Folder::new();
    folder.file("flow.yaml", FLOW.replace("logging", "logs").replace("measurement: orders, ", ""));
    let ran = folder.run(&["check", "flow.yaml"]).ends(1);
    let shown = format!("{}{}", ran.text(), ran.stderr);
    for text in [
        "spec.sink.config.category: Unsupported value: \"logs\": supported values: ",
        "spec.sink.config.measurement: Required value: measurement is required",
    ] {
        assert!(shown.contains(text), "{text}\n{shown}");
    }
    let source = FLOW
        .replace("{ type: file, config: { paths: [in.ndjson] } }", "{ type: gateway, config: {} }")
        .replace("strict: true", "strict: false");
    folder.file("flow.yaml", source);
    let ran = folder.run(&["check", "flow.yaml"]).ends(1);
    let shown = format!("{}{}", ran.text(), ran.stderr);
    assert!(shown.contains("spec.source.config.name: Required value"), "{shown}");
}
