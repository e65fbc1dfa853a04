//! Kill -9 at every named place between read and commit: nothing is lost, wherever it happens.

use levada_testkit::process::{Ended, Folder};

use super::support::{Arrived, LEVADA, LONG, flow};

/// Places that a flow from files to files passes, in the order in which a record passes them.
const PLACES: [&str; 10] = [
    "source.read",
    "transform.done",
    "sink.before-write",
    "sink.written",
    "sink.acknowledged",
    "letter.written",
    "commit.before-sync",
    "commit.synced",
    "commit.stored",
    "source.committed",
];

/// For the how-many-eth time the place is passed.
const PASSES: [u32; 3] = [1, 2, 9];

const RECORDS: u64 = 6000;

/// Every seventh record fails and every fifth is filtered; the others arrive.
fn output_of(id: u64) -> Option<&'static str> {
    match id {
        id if id % 7 == 3 => Some("dead.ndjson"),
        id if id % 5 == 0 => None,
        _ => Some("out.ndjson"),
    }
}

fn scene() -> Folder {
    let folder = Folder::new();
    flow(
        &folder,
        "checkpointSaveInterval: 5ms
source: {type: file, file: {paths: [in/*]}}
transformations:
  - {type: cast, cast: {spec: {n: int64}}}
  - {type: filter, filter: {condition: \"$.kind != 'skip'\"}}
sink: {type: file, file: {path: out.ndjson}}
errors: {type: file, file: {path: dead.ndjson}}
",
    );
    let line = |id: u64| {
        let n = if output_of(id) == Some("dead.ndjson") { "x" } else { "1" };
        let kind = if output_of(id).is_none() { "skip" } else { "keep" };
        format!("{{\"id\":{id},\"kind\":\"{kind}\",\"n\":\"{n}\"}}\n")
    };
    for part in 0..4 {
        let ids = part * RECORDS / 4..(part + 1) * RECORDS / 4;
        folder.write(&format!("in/{part}"), ids.map(line).collect::<String>());
    }
    folder
}

/// Runs the flow with this fault, or without one; batches are small so that places are passed often.
fn run(folder: &Folder, fault: Option<(&str, u32)>) -> Ended {
    let variable = fault.map_or_else(
        || "NO_FAULT=".to_owned(),
        |(place, passes)| format!("LEVADA_FAULT={place}:{passes}"),
    );
    let arguments = [
        &variable,
        LEVADA,
        "run",
        "flow.yaml",
        "--output",
        "json",
        "--data",
        "data",
        "--set",
        "flow.batch-records=100",
    ];
    folder.start("env", &arguments).wait(LONG).expect_no_panic()
}

/// Kills at a place, and again and again at the same, until a run gets to its end.
fn killed_at(place: &str, passes: u32) -> u32 {
    let folder = scene();
    let mut kills = 0;
    // A place early in the flow is passed again in every run, so the fault comes at most a few times.
    while kills < 3 && run(&folder, Some((place, passes))).code.is_none() {
        kills += 1;
    }
    run(&folder, None).expect_code(0);
    for file in ["out.ndjson", "dead.ndjson"] {
        let arrived = Arrived::in_files(&folder, &[file]);
        arrived.holds((0..RECORDS).filter(|id| output_of(*id) == Some(file)));
        assert!(arrived.torn <= u64::from(kills), "{place}:{passes}: {} torn lines", arrived.torn);
    }
    kills
}

#[test]
fn killed_at_every_place_between_read_and_commit() {
    let mut total = 0;
    for place in PLACES {
        for passes in PASSES {
            let kills = killed_at(place, passes);
            assert!(passes > 1 || kills > 0, "`{place}` was never reached");
            total += kills;
        }
    }
    eprintln!("{total} kills at {} places", PLACES.len());
}

#[test]
fn a_place_that_does_not_exist_is_wrong_usage() {
    let folder = scene();
    let ended = run(&folder, Some(("nowhere", 1))).expect_code(2);
    assert!(ended.stderr.contains("LEVADA_FAULT: there is no place `nowhere`"), "{}", ended.stderr);
}
