//! Stopping: signals drain, a second one stops at once, a time-out gives up; nothing is lost.

use std::time::Duration;

use levada_testkit::http::{Behave, Server};
use levada_testkit::process::Folder;
use levada_testkit::seeded::Random;
use rustix::process::Signal;

use super::support::{Arrived, LONG, conserved, count, flow, records, run, start};

/// A flow into a file and into a server that may keep it waiting.
fn to_file_and_server(folder: &Folder, server: &Server, compression: &str) {
    let url = server.url("/in");
    flow(
        folder,
        &format!(
            "checkpointSaveInterval: 20ms
source: {{type: file, file: {{paths: [in.ndjson]}}}}
transformations:
  - type: router
    router:
      routes:
        - {{name: file, condition: \"$.id < 500\", sink: {{type: file, file: {{path: out.{compression}, compression: {compression}}}}}}}
sink: {{type: http, http: {{url: \"{url}\", batch: {{records: 100, linger: 10ms}}}}}}
"
        ),
    );
}

#[test]
fn sigterm_finishes_what_is_under_way_and_ends_with_0() {
    let folder = Folder::new();
    flow(
        &folder,
        "checkpointSaveInterval: 50ms
source: {type: file, file: {paths: [in.ndjson], follow: true, pollInterval: 10ms}}
transformations: [{type: cast, cast: {spec: {n: int64}}}]
sink: {type: file, file: {path: out.ndjson}}
",
    );
    let mut random = Random::new(11);
    let mut total = 0;
    for _ in 0..4 {
        let mut running = start(&folder, &[]);
        folder.append("in.ndjson", records(total..total + 10_000));
        total += 10_000;
        let old = folder.read("out.ndjson").len();
        running.until("something arrived", LONG, || folder.read("out.ndjson").len() > old);
        std::thread::sleep(Duration::from_millis(random.below(100)));
        running.signal(Signal::TERM);
        let ended = running.wait(LONG).expect_code(0);
        let summary = ended.summary();
        conserved(&summary);
        assert_eq!(summary["unfinished"], 0, "{ended:#?}");
    }
    // One more, so that what arrives shows that it runs.
    folder.append("in.ndjson", records(total..total + 1));
    total += 1;
    let mut running = start(&folder, &[]);
    running.until("the rest arrived", LONG, || {
        folder.read("out.ndjson").iter().filter(|&&byte| byte == b'\n').count() as u64 >= total
    });
    running.signal(Signal::TERM);
    running.wait(LONG).expect_code(0);
    Arrived::in_files(&folder, &["out.ndjson"]).holds_once(0..total);
}

#[test]
fn sigint_finishes_what_is_under_way_and_ends_with_130() {
    let folder = Folder::new();
    flow(
        &folder,
        "source: {type: generator, generator: {rate: 2000, template: '{\"id\":{{index}}}'}}
sink: {type: file, file: {path: out.ndjson}}
",
    );
    let mut running = start(&folder, &[]);
    running.until("something arrived", LONG, || !folder.read("out.ndjson").is_empty());
    running.signal(Signal::INT);
    let first = count(&running.wait(LONG).expect_code(130).summary(), "recordsOut");
    Arrived::in_files(&folder, &["out.ndjson"]).holds_once(0..first);

    let mut running = start(&folder, &[]);
    let old = folder.read("out.ndjson").len();
    running.until("more arrived", LONG, || folder.read("out.ndjson").len() > old);
    running.signal(Signal::INT);
    let second = count(&running.wait(LONG).expect_code(130).summary(), "recordsOut");
    Arrived::in_files(&folder, &["out.ndjson"]).holds_once(0..first + second);
}

#[test]
fn for_ends_with_0() {
    let folder = Folder::new();
    flow(
        &folder,
        "source: {type: generator, generator: {rate: 500}}\nsink: {type: blackhole, blackhole: {}}\n",
    );
    let summary = run(&folder, &["--for", "300ms"]).expect_code(0).summary();
    conserved(&summary);
    assert!(count(&summary, "recordsOut") > 0, "{summary}");
}

/// Records under way at a sink that hangs, and others that wait to be compressed: after the second
/// signal everything that was not made durable is read again.
#[test]
fn a_second_signal_stops_at_once_and_the_next_run_loses_nothing() {
    for compression in ["none", "gzip"] {
        let folder = Folder::new();
        let server = Server::start(Behave::Hold);
        to_file_and_server(&folder, &server, compression);
        folder.write("in.ndjson", records(0..1000));
        let mut running = start(&folder, &[]);
        running.until("the server is asked", LONG, || server.requests() > 0);
        running.signal(Signal::TERM);
        running.until("it drains", LONG, || {
            folder.read("stderr.0").windows(8).any(|part| part == b"stopping")
        });
        running.signal(Signal::TERM);
        let ended = running.wait(Duration::from_secs(8)).expect_code(0);
        let summary = ended.summary();
        conserved(&summary);
        assert!(count(&summary, "unfinished") > 0, "{ended:#?}");

        server.behave(Behave::Accept);
        let summary = run(&folder, &[]).expect_code(0).summary();
        assert_eq!(summary["unfinished"], 0);
        let name = if compression == "gzip" { "out.gz" } else { "out.none" };
        if compression == "gzip" {
            std::fs::rename(folder.path("out.gzip"), folder.path(name)).unwrap();
        }
        Arrived::in_files(&folder, &[name]).holds(0..500);
        folder.write("received", server.lines().join(&b'\n'));
        Arrived::in_files(&folder, &["received"]).holds(500..1000);
    }
}

/// The reader waits for room behind a sink that is down: the drain time-out must end that too.
#[test]
fn the_drain_timeout_ends_a_flow_whose_sink_is_down() {
    let folder = Folder::new();
    let server = Server::start(Behave::Answer(503));
    to_file_and_server(&folder, &server, "none");
    folder.write("in.ndjson", records(0..60_000));
    let few = ["--set", "runtime.drain-timeout=300ms", "--set", "flow.queue-records=1000"];
    let mut running = start(&folder, &few);
    running.until("the server is asked", LONG, || server.requests() > 1);
    running.signal(Signal::TERM);
    let ended = running.wait(Duration::from_secs(8)).expect_code(0);
    let summary = ended.summary();
    conserved(&summary);
    assert!(count(&summary, "unfinished") > 0, "{ended:#?}");
    assert!(ended.stderr.contains("unfinished"), "{ended:#?}");

    server.behave(Behave::Accept);
    run(&folder, &[]).expect_code(0);
    Arrived::in_files(&folder, &["out.none"]).holds(0..500);
    folder.write("received", server.lines().join(&b'\n'));
    Arrived::in_files(&folder, &["received"]).holds(500..60_000);
}

/// An atomic file that got its name before the source's end would be replaced by the rest.
#[test]
fn an_atomic_file_gets_its_name_when_the_source_has_ended() {
    let folder = Folder::new();
    flow(
        &folder,
        "source: {type: generator, generator: {rate: 4000, count: 4000, template: '{\"id\":{{index}}}'}}
sink: {type: file, file: {path: out.ndjson, mode: atomic}}
",
    );
    let mut running = start(&folder, &[]);
    running.until("something was written", LONG, || !folder.read("out.ndjson.partial").is_empty());
    running.signal(Signal::TERM);
    let first = count(&running.wait(LONG).expect_code(0).summary(), "recordsOut");
    assert!((1..4000).contains(&first), "{first}");
    assert!(!folder.path("out.ndjson").exists());

    run(&folder, &[]).expect_code(0);
    Arrived::in_files(&folder, &["out.ndjson"]).holds_once(0..4000);
    assert!(!folder.path("out.ndjson.partial").exists());
}
