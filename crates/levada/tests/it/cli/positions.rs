//! `levada positions`: where a flow goes on is shown, forgotten and set.

use std::time::Duration;

use levada_testkit::process::{Ended, Folder};
use serde_json::Value;

const LEVADA: &str = env!("CARGO_BIN_EXE_levada");
const LONG: Duration = Duration::from_secs(30);

const FLOW: &str = "apiVersion: dataflow.dataflow.io/v1
kind: DataFlow
metadata: { name: pos }
spec:
  source: { type: file, config: { paths: [in.ndjson] } }
  sink: { type: file, config: { path: out.ndjson } }
";

fn scene() -> Folder {
    let folder = Folder::new();
    folder.write("flow.yaml", FLOW);
    folder.write("in.ndjson", "{\"id\":1}\n{\"id\":2}\n{\"id\":3}\n");
    folder
}

fn levada(folder: &Folder, arguments: &[&str]) -> Ended {
    let mut all = arguments.to_vec();
    all.extend(["--output", "json", "--data", "data"]);
    folder.start(LEVADA, &all).wait(LONG).expect_no_panic()
}

fn json(ended: &Ended) -> Value {
    serde_json::from_str(ended.stdout.trim()).unwrap_or_else(|error| panic!("{error}: {ended:?}"))
}

fn lines(folder: &Folder) -> usize {
    folder.read("out.ndjson").iter().filter(|&&byte| byte == b'\n').count()
}

#[test]
fn a_flow_that_was_reset_reads_everything_again() {
    let folder = scene();
    let shown = json(&levada(&folder, &["positions", "show", "flow.yaml"]).expect_code(0));
    assert_eq!(shown["positions"], serde_json::json!({}));
    assert_eq!(
        (&shown["guarantee"], &shown["flow"]),
        (&"at-least-once".into(), &"default/pos".into())
    );
    for _ in 0..2 {
        levada(&folder, &["run", "flow.yaml"]).expect_code(0);
    }
    assert_eq!(lines(&folder), 3);
    let shown = json(&levada(&folder, &["positions", "show", "flow.yaml"]).expect_code(0));
    assert_eq!(shown["positions"]["in.ndjson"]["offset"], 27);
    let reset = json(&levada(&folder, &["positions", "reset", "flow.yaml"]).expect_code(0));
    assert_eq!(reset["before"]["in.ndjson"]["offset"], 27);
    assert_eq!(reset["after"], serde_json::json!({}));
    assert_eq!(reset["places"], serde_json::json!(["checkpoint"]));
    levada(&folder, &["run", "flow.yaml"]).expect_code(0);
    assert_eq!(lines(&folder), 6);
}

#[test]
fn a_flow_that_was_rewound_goes_on_there() {
    let folder = scene();
    levada(&folder, &["run", "flow.yaml"]).expect_code(0);
    let shown = json(&levada(&folder, &["positions", "show", "flow.yaml"]).expect_code(0));
    let mut position = shown["positions"]["in.ndjson"].clone();
    position["offset"] = 9.into();
    let to = format!("in.ndjson={position}");
    let rewound = levada(&folder, &["positions", "rewind", "flow.yaml", "--to", &to]);
    assert_eq!(json(&rewound.expect_code(0))["after"]["in.ndjson"]["offset"], 9);
    levada(&folder, &["run", "flow.yaml"]).expect_code(0);
    assert_eq!(lines(&folder), 5, "the second and the third record came again");
}

#[test]
fn wrong_arguments_and_running_flows_are_told() {
    let folder = scene();
    let wrong = levada(&folder, &["positions", "rewind", "flow.yaml", "--to", "nope"]);
    assert!(wrong.expect_code(1).stderr.contains("`nope` is not PARTITION=POSITION"));
    let unknown = levada(&folder, &["positions", "show", "flow.yaml", "--flow", "x"]);
    assert!(unknown.expect_code(1).stderr.contains("unknown flow `x`; known: pos"));
    folder.write("flow.yaml", FLOW.replace("[in.ndjson]", "[in.ndjson], follow: true"));
    let mut running = folder.start(LEVADA, &["run", "flow.yaml", "--data", "data"]);
    running.until("the flow runs", LONG, || lines_exist(&folder));
    let locked = levada(&folder, &["positions", "reset", "flow.yaml"]).expect_code(3);
    assert!(locked.stderr.contains("is already running in process"), "{}", locked.stderr);
}

fn lines_exist(folder: &Folder) -> bool {
    std::fs::metadata(folder.path("out.ndjson")).is_ok_and(|file| file.len() > 0)
}
