//! Records that cannot be processed: where they go, and that the others go on.

use levada_testkit::http::{Behave, Server};
use levada_testkit::process::Folder;
use serde_json::{Value, json};

use super::support::{Arrived, conserved, count, flow, records, run};

const SOURCE: &str = "source: {type: file, file: {paths: [in.ndjson]}}";
const CAST: &str = "transformations: [{type: cast, cast: {spec: {n: int64}}}]";
const SINK: &str = "sink: {type: file, file: {path: out.ndjson}}";
const ERRORS: &str = "errors: {type: file, file: {path: dead.ndjson}}";

/// Gives 100 records, of which number 42 cannot be cast.
fn hundred() -> String {
    records(0..100).replace("\"n\":\"42\"", "\"n\":\"forty-two\"")
}

fn letters(folder: &Folder) -> Vec<Value> {
    let text = String::from_utf8(folder.read("dead.ndjson")).unwrap();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

#[track_caller]
fn counts(summary: &Value, names: &[(&str, u64)]) {
    for (name, wanted) in names {
        assert_eq!(count(summary, name), *wanted, "{name} in {summary}");
    }
    conserved(summary);
}

fn others() -> impl Iterator<Item = u64> {
    (0..100).filter(|id| *id != 42)
}

#[test]
fn one_of_a_hundred_becomes_a_dead_letter_with_everything_known_about_it() {
    let folder = Folder::new();
    flow(&folder, &[SOURCE, CAST, SINK, ERRORS].join("\n"));
    let input = hundred();
    folder.write("in.ndjson", &input);
    let summary = run(&folder, &[]).expect_code(0).summary();
    counts(
        &summary,
        &[("recordsIn", 100), ("recordsOut", 99), ("deadLettered", 1), ("unfinished", 0)],
    );
    Arrived::in_files(&folder, &["out.ndjson"]).holds_once(others());

    let [letter] = &letters(&folder)[..] else { panic!("not one letter: {:?}", letters(&folder)) };
    let original: Value = serde_json::from_str(input.lines().nth(42).unwrap()).unwrap();
    assert_eq!(letter["original_message"], original);
    let error = &letter["error"];
    assert_eq!(error["class"], "transformation_error");
    assert_eq!(error["stage"], "transform[0]:cast");
    assert_eq!(error["attempts"], 1);
    assert_eq!(error["dataflow"], "default/proof");
    assert_eq!(error["original_sink"], "file");
    assert_eq!(error["metadata"], json!({"file": "in.ndjson"}));
    let offset = input.lines().take(42).map(|line| line.len() + 1).sum::<usize>();
    assert_eq!(error["position"], json!({"partition": "in.ndjson", "offset": offset}));
    assert!(error["message"].as_str().unwrap().contains("cast \"n\" to int64"), "{error}");
    for name in ["timestamp", "first_seen"] {
        assert!(error[name].as_str().unwrap().starts_with("20"), "{name}: {error}");
    }
    let keys: Vec<&String> = letter.as_object().unwrap().keys().collect();
    assert_eq!(keys, ["error", "original_message"]);

    let summary = run(&folder, &[]).expect_code(0).summary();
    counts(&summary, &[("recordsIn", 0), ("recordsOut", 0), ("deadLettered", 0)]);
}

#[test]
fn what_is_not_json_is_kept_byte_for_byte() {
    let folder = Folder::new();
    flow(&folder, &[SOURCE, CAST, SINK, ERRORS].join("\n"));
    let mut input = records(0..3).into_bytes();
    input.extend_from_slice(b"not \x00 \xff json\n[1]\n");
    folder.write("in.ndjson", input);
    let summary = run(&folder, &[]).expect_code(0).summary();
    counts(&summary, &[("recordsIn", 5), ("recordsOut", 4), ("deadLettered", 1)]);
    let letters = letters(&folder);
    assert_eq!(letters[0]["error"]["stage"], "decode");
    assert_eq!(letters[0]["error"]["class"], "invalid_data");
    assert_eq!(letters[0]["original_message_base64"], "bm90IAAg/yBqc29u");
}

#[test]
fn on_error_drop_goes_on_without_it() {
    let folder = Folder::new();
    let step = "transformations: [{type: cast, cast: {spec: {n: int64}}, onError: drop}]";
    flow(&folder, &[SOURCE, step, SINK, ERRORS].join("\n"));
    folder.write("in.ndjson", hundred());
    let summary = run(&folder, &[]).expect_code(0).summary();
    counts(&summary, &[("recordsOut", 99), ("dropped", 1), ("deadLettered", 0), ("filtered", 0)]);
    assert!(letters(&folder).is_empty());
    assert_eq!(count(&run(&folder, &[]).expect_code(0).summary(), "recordsIn"), 0);
}

#[test]
fn on_error_fail_stops_and_the_record_is_read_again() {
    let fail = "transformations: [{type: cast, cast: {spec: {n: int64}}, onError: fail}]";
    // Without an error sink that is what happens when nothing is said.
    for spec in [[SOURCE, fail, SINK, ERRORS].join("\n"), [SOURCE, CAST, SINK].join("\n")] {
        let folder = Folder::new();
        flow(&folder, &spec);
        folder.write("in.ndjson", hundred());
        for _ in 0..2 {
            let ended = run(&folder, &[]).expect_code(3);
            let summary = ended.summary();
            assert!(count(&summary, "unfinished") >= 1, "{summary}");
            conserved(&summary);
            let error = summary["error"].as_str().unwrap();
            assert!(error.contains("transform[0]:cast"), "{error}");
            assert!(error.contains("in.ndjson:"), "{error}");
            assert!(letters(&folder).is_empty());
        }
        folder.write(
            "in.ndjson",
            hundred().replace("forty-two", "00000042x").replace("00000042x", "000000042"),
        );
        run(&folder, &[]).expect_code(0);
        Arrived::in_files(&folder, &["out.ndjson"]).holds(0..100);
    }
}

#[test]
fn ack_policy_never_reads_it_again_next_time() {
    let folder = Folder::new();
    let errors = "errors: {type: file, file: {path: dead.ndjson}, ackPolicy: never}";
    flow(&folder, &[SOURCE, CAST, SINK, errors].join("\n"));
    folder.write("in.ndjson", hundred());
    for times in 1..=2 {
        let summary = run(&folder, &[]).expect_code(0).summary();
        counts(&summary, &[("recordsIn", 100), ("deadLettered", 1), ("recordsOut", 99)]);
        assert_eq!(letters(&folder).len(), times);
    }
}

#[test]
fn ack_policy_after_main_sink_success_commits_when_the_main_sink_wrote() {
    let errors = "errors: {type: file, file: {path: dead.ndjson}, ackPolicy: afterMainSinkSuccess}";
    let folder = Folder::new();
    flow(&folder, &[SOURCE, CAST, SINK, errors].join("\n"));
    // The last record is the bad one, so nothing is delivered behind it.
    folder.write("in.ndjson", records(0..100).replace("\"n\":\"99\"", "\"n\":\"bad\""));
    let summary = run(&folder, &[]).expect_code(0).summary();
    counts(&summary, &[("recordsOut", 99), ("deadLettered", 1), ("unfinished", 0)]);
    assert_eq!(count(&run(&folder, &[]).expect_code(0).summary(), "recordsIn"), 0);

    // A main sink that never succeeds: the letter is written, its position is not.
    let folder = Folder::new();
    let server = Server::start(Behave::Answer(401));
    let sink = format!("sink: {{type: http, http: {{url: \"{}\"}}}}", server.url("/"));
    flow(&folder, &[SOURCE, CAST, &sink, errors].join("\n"));
    folder.write("in.ndjson", hundred());
    let ended = run(&folder, &[]).expect_code(3);
    assert!(count(&ended.summary(), "unfinished") >= 99, "{ended:#?}");
    server.behave(Behave::Accept);
    let summary = run(&folder, &[]).expect_code(0).summary();
    counts(&summary, &[("recordsIn", 100), ("recordsOut", 99), ("deadLettered", 1)]);
}

#[test]
fn too_large_a_share_of_failures_stops_the_flow() {
    let folder = Folder::new();
    let errors = "errors: {type: file, file: {path: dead.ndjson}, maxRatio: 0.1}";
    flow(&folder, &[SOURCE, CAST, SINK, errors].join("\n"));
    // From some point on every record fails, as when somebody changed the format.
    let bad = records(20_000..80_000).replace("\"n\":\"", "\"n\":\"x");
    folder.write("in.ndjson", records(0..20_000) + &bad);
    let ended = run(&folder, &["--set", "flow.dlq-min-records=100"]).expect_code(3);
    let summary = ended.summary();
    conserved(&summary);
    let error = summary["error"].as_str().unwrap();
    assert!(error.contains("maxRatio"), "{error}");
    let failed = count(&summary, "errors");
    assert!((2000..50_000).contains(&failed), "{failed} of 60,000 became dead letters");
    // One poisoned record of a hundred stays below the share.
    let folder = Folder::new();
    flow(&folder, &[SOURCE, CAST, SINK, errors].join("\n"));
    folder.write("in.ndjson", hundred());
    run(&folder, &["--set", "flow.dlq-min-records=10"]).expect_code(0);
}

#[test]
fn a_sink_that_refuses_one_record_gets_the_others() {
    let folder = Folder::new();
    let server = Server::start(Behave::Refuse("forty-two"));
    let url = server.url("/");
    let sink = format!("sink: {{type: http, http: {{url: \"{url}\", batch: {{linger: 10ms}}}}}}");
    flow(&folder, &[SOURCE, &sink, ERRORS].join("\n"));
    folder.write("in.ndjson", hundred());
    let summary = run(&folder, &[]).expect_code(0).summary();
    counts(&summary, &[("recordsOut", 99), ("deadLettered", 1), ("unfinished", 0)]);
    folder.write("received", server.lines().join(&b'\n'));
    Arrived::in_files(&folder, &["received"]).holds_once(others());
    let [letter] = &letters(&folder)[..] else { panic!("not one letter") };
    assert_eq!(letter["error"]["stage"], "sink");
    assert_eq!(letter["error"]["original_sink"], "http");
    assert_eq!(letter["original_message"]["id"], 42);
}

#[test]
fn a_route_that_refuses_one_record_says_which_route() {
    let folder = Folder::new();
    let server = Server::start(Behave::Refuse("forty-two"));
    let url = server.url("/");
    let router = format!(
        "transformations: [{{type: router, router: {{routes: [{{name: low, condition: $.id < 50, sink: {{type: http, http: {{url: \"{url}\", batch: {{linger: 10ms}}}}}}}}]}}}}]"
    );
    flow(&folder, &[SOURCE, &router, SINK, ERRORS].join("\n"));
    folder.write("in.ndjson", hundred());
    let summary = run(&folder, &[]).expect_code(0).summary();
    counts(&summary, &[("recordsOut", 99), ("deadLettered", 1)]);
    Arrived::in_files(&folder, &["out.ndjson"]).holds_once(50..100);
    let letters = letters(&folder);
    assert_eq!(letters[0]["error"]["stage"], "route:low");
    assert_eq!(letters[0]["error"]["original_sink"], "http");
}

#[test]
fn an_error_sink_that_fails_stops_the_flow_and_keeps_the_position() {
    let folder = Folder::new();
    let server = Server::start(Behave::Answer(401));
    let errors = format!("errors: {{type: http, http: {{url: \"{}\"}}}}", server.url("/"));
    flow(&folder, &[SOURCE, CAST, SINK, &errors].join("\n"));
    folder.write("in.ndjson", hundred());
    let ended = run(&folder, &[]).expect_code(3);
    assert!(count(&ended.summary(), "unfinished") >= 1, "{ended:#?}");
    assert!(ended.summary()["error"].as_str().unwrap().contains("error sink"), "{ended:#?}");
    server.behave(Behave::Accept);
    let summary = run(&folder, &[]).expect_code(0).summary();
    assert_eq!(count(&summary, "deadLettered"), 1, "{summary}");
}
