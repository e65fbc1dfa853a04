//! Sinks that are down or slow: nothing becomes a dead letter, memory stays bounded, everything arrives.

use levada_testkit::http::{Behave, Server, free_port};
use levada_testkit::process::Folder;
use levada_testkit::wait;

use super::support::{Arrived, LONG, conserved, count, flow, records, start};

const ERRORS: &str = "errors: {type: file, file: {path: dead.ndjson}}";
const QUICK: [&str; 4] = ["--set", "flow.retry-initial=10ms", "--set", "flow.retry-max=50ms"];

fn spec(url: &str) -> String {
    format!(
        "source: {{type: file, file: {{paths: [in.ndjson]}}}}
sink: {{type: http, http: {{url: \"{url}\", batch: {{records: 500, linger: 10ms}}}}}}
{ERRORS}
"
    )
}

#[test]
fn a_sink_that_answers_503_gets_everything_when_it_is_back() {
    for behave in [Behave::Answer(503), Behave::Answer(429), Behave::Cut] {
        let folder = Folder::new();
        let server = Server::start(behave);
        flow(&folder, &spec(&server.url("/")));
        folder.write("in.ndjson", records(0..5000));
        let mut running = start(&folder, &QUICK);
        running.until("it has tried often", LONG, || server.requests() >= 5);
        assert!(folder.read("dead.ndjson").is_empty());
        server.behave(Behave::Accept);
        let summary = running.wait(LONG).expect_code(0).summary();
        conserved(&summary);
        assert_eq!(count(&summary, "recordsOut"), 5000, "{behave:?}: {summary}");
        assert!(count(&summary, "retries") >= 4, "{summary}");
        folder.write("received", server.lines().join(&b'\n'));
        Arrived::in_files(&folder, &["received"]).holds_once(0..5000);
    }
}

#[test]
fn a_sink_that_refuses_connections_gets_everything_when_it_listens() {
    let folder = Folder::new();
    let address = format!("127.0.0.1:{}", free_port());
    flow(&folder, &spec(&format!("http://{address}/")));
    folder.write("in.ndjson", records(0..5000));
    let mut running = start(&folder, &QUICK);
    running.until("it has tried often", LONG, || {
        let log = String::from_utf8_lossy(&folder.read("stderr.0")).into_owned();
        log.matches("trying again").count() >= 3
    });
    assert!(folder.read("dead.ndjson").is_empty());
    let server = Server::start_on(&address, Behave::Accept);
    let summary = running.wait(LONG).expect_code(0).summary();
    assert_eq!(count(&summary, "recordsOut"), 5000, "{summary}");
    folder.write("received", server.lines().join(&b'\n'));
    Arrived::in_files(&folder, &["received"]).holds_once(0..5000);
}

/// The source waits when the window is full: 300 MB of input do not become 300 MB of memory.
#[test]
fn a_sink_that_is_down_does_not_fill_the_memory() {
    let folder = Folder::new();
    let server = Server::start(Behave::Answer(503));
    let url = server.url("/");
    // A fast source without end, records of a kilobyte.
    let pad = "x".repeat(1000);
    flow(
        &folder,
        &format!(
            "source: {{type: generator, generator: {{template: '{{\"id\":{{{{index}}}},\"pad\":\"{pad}\"}}'}}}}
sink: {{type: http, http: {{url: \"{url}\"}}}}
{ERRORS}
"
        ),
    );
    let more = [&QUICK[..], &["--set", "runtime.drain-timeout=100ms"]].concat();
    let mut running = start(&folder, &more);
    running.until("it has tried often", LONG, || server.requests() >= 20);
    running.signal(rustix::process::Signal::TERM);
    let ended = running.wait(LONG).expect_code(0);
    let summary = ended.summary();
    conserved(&summary);
    assert_eq!(count(&summary, "deadLettered"), 0);
    assert_eq!(count(&summary, "recordsOut"), 0);
    let bytes = count(&summary, "bytesIn");
    assert!(bytes < 72 << 20, "the window holds 64 MiB, {bytes} were read");
    assert!(ended.peak_bytes < 250 << 20, "{} MiB", ended.peak_bytes >> 20);
}

#[test]
fn a_slow_route_does_not_stall_the_others_until_its_bound() {
    let folder = Folder::new();
    let server = Server::start(Behave::Hold);
    let url = server.url("/");
    flow(
        &folder,
        &format!(
            "source: {{type: file, file: {{paths: [in.ndjson], follow: true, pollInterval: 10ms}}}}
transformations:
  - type: router
    router:
      routes:
        - {{name: slow, condition: \"$.id < 2000\", sink: {{type: http, http: {{url: \"{url}\", batch: {{records: 100, linger: 10ms}}}}}}}}
        - {{name: fast, condition: \"$.id < 4000\", sink: {{type: file, file: {{path: fast.ndjson}}}}}}
sink: {{type: file, file: {{path: main.ndjson}}}}
{ERRORS}
"
        ),
    );
    // The slow route's 2,000 records fit into its queue of 2,500, the others pass them.
    folder.write("in.ndjson", records(0..6000));
    let mut running = start(&folder, &["--set", "flow.queue-records=2500"]);
    let arrived = |file: &str| Arrived::in_files(&folder, &[file]).ids.len();
    running.until("the others arrived", LONG, || {
        arrived("fast.ndjson") == 2000 && arrived("main.ndjson") == 2000
    });
    assert!(server.lines().is_empty());
    // More than the queues hold: now everything waits for the slow one …
    let flood = records(0..2000).repeat(8);
    folder.append("in.ndjson", &flood);
    folder.append("in.ndjson", records(6000..6100));
    running.until("it waits", LONG, || {
        // … which shows when the source does not read on: the last record is not there.
        server.requests() > 0
    });
    assert_eq!(arrived("main.ndjson"), 2000, "the bound of the slow route stalls nobody");
    server.behave(Behave::Accept);
    wait::until("everything arrived", LONG, || arrived("main.ndjson") == 2100);
    wait::until("the slow route arrived", LONG, || server.lines().len() >= 18_000);
    running.signal(rustix::process::Signal::TERM);
    let summary = running.wait(LONG).expect_code(0).summary();
    conserved(&summary);
    assert_eq!(count(&summary, "deadLettered"), 0);
    folder.write("slow.ndjson", server.lines().join(&b'\n'));
    Arrived::in_files(&folder, &["slow.ndjson"]).holds(0..2000);
    Arrived::in_files(&folder, &["fast.ndjson"]).holds_once(2000..4000);
    Arrived::in_files(&folder, &["main.ndjson"]).holds_once(4000..6100);
}
