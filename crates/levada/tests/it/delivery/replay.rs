//! Dead letters go through their flow again, from the stage that failed.

use levada_testkit::http::{Behave, Server};
use levada_testkit::process::{Ended, Folder};
use serde_json::Value;

use super::support::{Arrived, LEVADA, LONG, flow, records, run};

fn spec(cast: &str) -> String {
    format!(
        "source: {{type: file, file: {{paths: [in.ndjson]}}}}
transformations:
  - {{type: insertField, insertField: {{fields: {{seen: \"json:1\"}}}}}}
  - type: router
    router:
      routes: [{{name: low, condition: $.id < 50, sink: {{type: file, file: {{path: low.ndjson}}}}}}]
  - {{type: cast, cast: {{spec: {{n: {cast}}}}}}}
sink: {{type: file, file: {{path: out.ndjson}}}}
errors: {{type: file, file: {{path: dead.ndjson}}}}
"
    )
}

fn replay(folder: &Folder, more: &[&str]) -> Ended {
    let mut arguments =
        vec!["dlq", "replay", "dead.ndjson", "--flow", "flow.yaml", "--output", "json"];
    arguments.extend_from_slice(more);
    folder.start(LEVADA, &arguments).wait(LONG).expect_no_panic()
}

fn letters(folder: &Folder) -> Vec<Value> {
    let text = String::from_utf8(folder.read("dead.ndjson")).unwrap();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// Numbers 10 and 60 cannot be cast.
fn input() -> String {
    records(0..100).replace("\"n\":\"10\"", "\"n\":\"1e\"").replace("\"n\":\"60\"", "\"n\":\"6e\"")
}

#[test]
fn letters_of_a_flow_that_was_mended_arrive() {
    let folder = Folder::new();
    flow(&folder, &spec("int64"));
    folder.write("in.ndjson", input());
    run(&folder, &[]).expect_code(0);
    assert_eq!(letters(&folder).len(), 2);
    assert_eq!(letters(&folder)[0]["error"]["stage"], "transform[2]:cast");

    let listed = folder.start(LEVADA, &["dlq", "list", "dead.ndjson"]).wait(LONG).expect_code(0);
    assert!(listed.stdout.contains("transformation_error in transform[2]:cast"), "{listed:#?}");

    flow(&folder, &spec("string"));
    replay(&folder, &[]).expect_code(0);
    // Each arrives where it would have arrived: the one that a route had taken at the route.
    Arrived::in_files(&folder, &["out.ndjson"]).holds_once(50..100);
    Arrived::in_files(&folder, &["low.ndjson"]).holds_once(0..50);
    // The step before the one that failed did not run again.
    let text = String::from_utf8(folder.read("out.ndjson")).unwrap();
    let mended = text.lines().find(|line| line.contains("\"6e\"")).unwrap();
    assert_eq!(mended.matches("seen").count(), 1, "{mended}");
    // Replays keep no position: the flow itself goes on where it was.
    let summary = run(&folder, &[]).expect_code(0).summary();
    assert_eq!(summary["recordsIn"], 0);
}

#[test]
fn letters_that_fail_again_and_again_are_left_alone() {
    let folder = Folder::new();
    flow(&folder, &spec("int64"));
    folder.write("in.ndjson", input());
    run(&folder, &[]).expect_code(0);
    let originals = folder.read("dead.ndjson");
    let mut replayed = 0;
    for _ in 0..10 {
        let before = letters(&folder).len();
        let ended = replay(&folder, &["--attempts-max", "2"]).expect_code(0);
        let after = letters(&folder).len();
        replayed += after - before;
        // Only the newest are looked at, as somebody would who moves the file away first.
        let newest: Vec<String> =
            letters(&folder)[before..].iter().map(ToString::to_string).collect();
        if newest.is_empty() {
            assert!(ended.stderr.contains("replayed too often"), "{ended:#?}");
            break;
        }
        folder.write("dead.ndjson", newest.join("\n") + "\n");
    }
    assert_eq!(replayed, 4, "two letters, twice");
    // A letter tells how often it was replayed, and what was wrong at first is still in it.
    let letter: Value =
        serde_json::from_slice(originals.split(|&b| b == b'\n').next().unwrap()).unwrap();
    let last = &letters(&folder)[0];
    assert_eq!(last["error"]["metadata"]["dlq_replays"], 2);
    assert_eq!(last["original_message"]["id"], letter["original_message"]["id"]);
}

#[test]
fn letters_of_several_stages_are_replayed_in_one_call() {
    let folder = Folder::new();
    let spec = |cast: &str| {
        format!(
            "source: {{type: file, file: {{paths: [in.ndjson]}}}}
transformations:
  - {{type: cast, cast: {{spec: {{a: {cast}}}}}}}
  - {{type: cast, cast: {{spec: {{b: {cast}}}}}}}
sink: {{type: file, file: {{path: out.ndjson}}}}
errors: {{type: file, file: {{path: dead.ndjson}}}}
"
        )
    };
    flow(&folder, &spec("int64"));
    let line = |id: u64| match id {
        3 => format!("{{\"id\":{id},\"a\":\"x\",\"b\":\"1\"}}\n"),
        7 => format!("{{\"id\":{id},\"a\":\"1\",\"b\":\"x\"}}\n"),
        _ => format!("{{\"id\":{id},\"a\":\"1\",\"b\":\"1\"}}\n"),
    };
    folder.write("in.ndjson", (0..10).map(line).collect::<String>());
    run(&folder, &[]).expect_code(0);
    assert_eq!(letters(&folder).len(), 2);
    flow(&folder, &spec("string"));
    replay(&folder, &[]).expect_code(0);
    Arrived::in_files(&folder, &["out.ndjson"]).holds_once(0..10);
}

#[test]
fn letters_of_a_sink_go_to_that_sink() {
    let folder = Folder::new();
    let server = Server::start(Behave::Refuse("forty-two"));
    let url = server.url("/");
    flow(
        &folder,
        &format!(
            "source: {{type: file, file: {{paths: [in.ndjson]}}}}
transformations:
  - type: router
    router:
      routes: [{{name: low, condition: $.id < 50, sink: {{type: http, http: {{url: \"{url}\", batch: {{linger: 10ms}}}}}}}}]
sink: {{type: file, file: {{path: out.ndjson}}}}
errors: {{type: file, file: {{path: dead.ndjson}}}}
"
        ),
    );
    folder.write("in.ndjson", records(0..100).replace("\"n\":\"42\"", "\"n\":\"forty-two\""));
    run(&folder, &[]).expect_code(0);
    assert_eq!(letters(&folder)[0]["error"]["stage"], "route:low");

    server.behave(Behave::Accept);
    replay(&folder, &["--class", "transient"]).expect_code(0);
    assert_eq!(server.lines().len(), 49, "another class is not touched");
    replay(&folder, &[]).expect_code(0);
    folder.write("received", server.lines().join(&b'\n'));
    Arrived::in_files(&folder, &["received"]).holds_once(0..50);
    Arrived::in_files(&folder, &["out.ndjson"]).holds_once(50..100);
}
