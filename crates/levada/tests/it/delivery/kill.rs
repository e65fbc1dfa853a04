//! Kill -9 at random moments between read and acknowledgement: nothing is lost.

use std::time::Duration;

use levada_testkit::process::Folder;
use levada_testkit::seeded::Random;

use super::support::{Arrived, LONG, flow, records, start};

/// Records that one round adds.
const ROUND_RECORDS: u64 = 3000;

/// Gives how many kills a test makes: `LEVADA_KILL_ROUNDS`, or few.
fn rounds(few: u64) -> u64 {
    std::env::var("LEVADA_KILL_ROUNDS").ok().and_then(|text| text.parse().ok()).unwrap_or(few)
}

/// A flow with a filter, a step that can fail, two routes and an error sink.
fn spec(source: &str, sink: &str, extension: &str) -> String {
    format!(
        "checkpointSaveInterval: 20ms
source: {{type: file, file: {{paths: [in/*], {source}}}}}
transformations:
  - {{type: cast, cast: {{spec: {{id: int64}}}}}}
  - {{type: filter, filter: {{condition: \"$.kind != 'skip'\"}}}}
  - {{type: cast, cast: {{spec: {{n: int64}}}}}}
  - type: router
    router:
      routes:
        - {{name: a, condition: \"$.kind == 'a'\", sink: {{type: file, file: {{path: a.{extension}, {sink}}}}}}}
        - {{name: b, condition: \"$.kind == 'b'\", sink: {{type: file, file: {{path: b.{extension}, {sink}}}}}}}
sink: {{type: file, file: {{path: main.{extension}, {sink}}}}}
errors: {{type: file, file: {{path: dead.{extension}, {sink}}}}}
"
    )
}

/// What becomes of a record: the output it goes to.
fn output_of(id: u64) -> Option<&'static str> {
    match id % 5 {
        0 => None,
        _ if id % 50 == 7 => Some("dead"),
        1 => Some("a"),
        2 => Some("b"),
        _ => Some("main"),
    }
}

fn fields(id: u64) -> (&'static str, String) {
    let kind = match id % 5 {
        0 => "skip",
        1 => "a",
        2 => "b",
        _ => "main",
    };
    let n = if id % 50 == 7 { format!("x{id}") } else { id.to_string() };
    (kind, n)
}

fn ndjson(ids: std::ops::Range<u64>) -> String {
    let line = |id| {
        let (kind, n) = fields(id);
        format!("{{\"id\":{id},\"kind\":\"{kind}\",\"n\":\"{n}\",\"pad\":\"{:0>80}\"}}\n", id * 31)
    };
    ids.map(line).collect()
}

fn csv(ids: std::ops::Range<u64>) -> String {
    let line = |id| {
        let (kind, n) = fields(id);
        format!("{id},{kind},{n},\"a \"\"quoted\"\" pad,\n{:0>60}\"\n", id * 31)
    };
    std::iter::once("id,kind,n,pad\n".to_owned()).chain(ids.map(line)).collect()
}

/// Adds an input per round, kills in the middle, lets the last run end, and looks at everything.
fn grows(
    seed: u64,
    few: u64,
    spec: &str,
    extension: &str,
    input: impl Fn(std::ops::Range<u64>) -> String,
) {
    let folder = Folder::new();
    flow(&folder, spec);
    let mut random = Random::new(seed);
    let mut longest = Duration::from_millis(300);
    let (mut killed, mut next) = (0, 0);
    for round in 0..rounds(few) {
        folder.write(&format!("in/{round:04}"), input(next..next + ROUND_RECORDS));
        next += ROUND_RECORDS;
        let delay = longest.mul_f64(random.below(1000) as f64 / 1000.0);
        let ended = start(&folder, &[]).kill_after(delay).expect_no_panic();
        match ended.code {
            None => killed += 1,
            Some(0) => longest = ended.elapsed,
            Some(_) => panic!("{ended:#?}"),
        }
    }
    let ended = start(&folder, &[]).wait(LONG).expect_code(0);
    check(&folder, next, killed, extension);
    assert_eq!(ended.summary()["unfinished"], 0);
}

fn check(folder: &Folder, ids: u64, killed: u64, extension: &str) {
    let mut duplicates = 0;
    let mut torn = 0;
    for output in ["a", "b", "main", "dead"] {
        let arrived = Arrived::in_files(folder, &[&format!("{output}.{extension}")]);
        arrived.holds((0..ids).filter(|id| output_of(*id) == Some(output)));
        duplicates += arrived.duplicates();
        torn += arrived.torn;
    }
    eprintln!("{killed} kills, {ids} records: {duplicates} duplicates, {torn} torn lines");
    assert!(torn <= 4 * killed, "{torn} torn lines after {killed} kills");
}

#[test]
fn killed_while_routing_into_files() {
    grows(1, 12, &spec("", "", "ndjson"), "ndjson", ndjson);
}

#[test]
fn killed_while_writing_gzip() {
    grows(2, 6, &spec("", "compression: gzip", "ndjson.gz"), "ndjson.gz", ndjson);
}

#[test]
fn killed_while_reading_csv() {
    grows(3, 6, &spec("format: csv", "", "ndjson"), "ndjson", csv);
}

#[test]
fn killed_before_atomic_files_have_their_names() {
    let folder = Folder::new();
    flow(&folder, &spec("", "mode: atomic", "ndjson"));
    let ids = 8 * ROUND_RECORDS;
    for part in 0..8 {
        let range = part * ROUND_RECORDS..(part + 1) * ROUND_RECORDS;
        folder.write(&format!("in/{part:04}"), ndjson(range));
    }
    let mut random = Random::new(4);
    let mut killed = 0;
    loop {
        // Later kills come later, so that every run gets a little further and one comes to the end.
        let delay = Duration::from_millis(40 + random.below(100) + killed * 10);
        let ended = start(&folder, &[]).kill_after(delay).expect_no_panic();
        match ended.code {
            None => killed += 1,
            Some(0) => break,
            Some(_) => panic!("{ended:#?}"),
        }
        assert!(killed < 100, "never came to the end");
    }
    check(&folder, ids, killed, "ndjson");
}

#[test]
fn killed_while_following_files_that_rotate() {
    let folder = Folder::new();
    flow(
        &folder,
        "checkpointSaveInterval: 20ms
source: {type: file, file: {paths: [in/app.log], follow: true, pollInterval: 10ms}}
sink: {type: file, file: {path: out.ndjson}}
",
    );
    let mut random = Random::new(5);
    let mut next = 0;
    let mut add = |count: u64| {
        folder.append("in/app.log", records(next..next + count));
        next += count;
        next
    };
    folder.write("in/app.log", "");
    let rounds = rounds(8);
    let arrived_up_to = |id: u64| {
        move |folder: &Folder| Arrived::in_files(folder, &["out.ndjson"]).ids.contains_key(&id)
    };
    let mut total = 0;
    for round in 0..rounds {
        total = add(50 + random.below(300));
        let mut running = start(&folder, &[]);
        // A file can only be found again after its rotation when it was seen before.
        let seen = arrived_up_to(total - 1);
        running.until("the file is read", LONG, || seen(&folder));
        add(random.below(2000));
        std::fs::rename(folder.path("in/app.log"), folder.path(&format!("in/app.log.{round}")))
            .unwrap();
        total = add(1 + random.below(2000));
        let ended = running.kill_after(Duration::from_millis(random.below(60)));
        assert_eq!(ended.code, None, "{ended:#?}");
    }
    let mut running = start(&folder, &[]);
    running.until("everything arrived", LONG, || {
        Arrived::in_files(&folder, &["out.ndjson"]).ids.len() as u64 == total
    });
    running.signal(rustix::process::Signal::TERM);
    running.wait(LONG).expect_code(0);
    let arrived = Arrived::in_files(&folder, &["out.ndjson"]);
    arrived.holds(0..total);
    let (duplicates, torn) = (arrived.duplicates(), arrived.torn);
    eprintln!("{rounds} kills, {total} records: {duplicates} duplicates, {torn} torn lines");
    assert!(torn <= rounds, "{torn} torn lines after {rounds} kills");
}
