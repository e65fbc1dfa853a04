//! `dry-run`: what a line is, what is printed about it, and how it ends.

use levada_runtime::{Clock, SystemClock};
use serde_json::{Value, json};

use super::binary::{Folder, Ran, run};

const PASS: &str = "\
apiVersion: dataflow.dataflow.io/v1
kind: DataFlow
metadata: {name: pass}
spec:
  source: {type: stdin, config: {}}
  sink: {type: stdout, config: {}}
";

fn flow(steps: &str) -> String {
    format!("{PASS}  transformations:\n{steps}")
}

#[track_caller]
fn dry_run(flow: &str, input: impl AsRef<[u8]>, more: &[&str]) -> Ran {
    let folder = Folder::new();
    folder.file("flow.yaml", flow);
    folder.file("in", input);
    let mut args = vec!["dry-run", "flow.yaml", "--input", "in"];
    args.extend(more);
    folder.run(&args).ends(0)
}

#[track_caller]
fn messages(flow: &str, input: &str) -> Ran {
    dry_run(flow, input, &["--input-format", "message"])
}

fn passed(number: usize, payload: &str) -> String {
    format!(
        "{{\"input\":{number},\"outputs\":[{{\"payload\":{payload},\"route\":null,\
         \"metadata\":{{}}}}],\"error\":null}}"
    )
}

fn passed_bytes(number: usize, encoded: &str) -> String {
    passed(number, "?").replace("\"payload\":?", &format!("\"payloadBase64\":\"{encoded}\""))
}

#[test]
fn one_line_per_line_in_order() {
    let input: String = (1..=5000).map(|id| format!("{{\"id\":{id}}}\n")).collect();
    let ran = dry_run(&flow("    - {type: filter, config: {condition: $.id > 2}}\n"), input, &[]);
    let lines = ran.lines();
    assert_eq!(lines.len(), 5000);
    assert_eq!(lines[1], "{\"input\":2,\"outputs\":[],\"error\":null}");
    for (index, line) in lines.iter().enumerate().skip(2) {
        assert_eq!(*line, passed(index + 1, &format!("{{\"id\":{}}}", index + 1)));
    }
}

#[test]
fn a_line_is_what_stands_between_line_feeds() {
    let check = |input: &str, expected: &[String]| {
        assert_eq!(dry_run(PASS, input, &[]).lines(), expected, "{input:?}");
    };
    check("", &[]);
    check("1\n", &[passed(1, "1")]);
    check("1", &[passed(1, "1")]);
    check("\n\n2\n", &[passed_bytes(1, ""), passed_bytes(2, ""), passed(3, "2")]);
    check("1\n\n", &[passed(1, "1"), passed_bytes(2, "")]);
    check("{\"a\": 1}\r\n", &[passed(1, "{\"a\":1}")]);
    check("  {\"a\": 1}\t\n", &[passed(1, "{\"a\": 1}")]);
    check("\u{feff}1\n", &[passed_bytes(1, "77u/MQ==")]);
}

#[test]
fn payloads_are_json_as_written_or_base64() {
    let check = |input: &str, expected: &str| {
        assert_eq!(dry_run(PASS, input, &[]).text(), format!("{expected}\n"), "{input}");
    };
    for json in [
        "12345678901234567890123456789",
        "1e999",
        "-0.0",
        "1E+2",
        "\"\\u00e9\\/\"",
        "{ \"a\" : [ 1.00 , null ] }",
        "true",
        "null",
        "\"ключ\"",
        "{\"a\":1,\"a\":2}",
    ] {
        check(json, &passed(1, json));
    }
    for (text, encoded) in [
        ("nope", "bm9wZQ=="),
        ("{\"a\":1", "eyJhIjox"),
        ("{\"a\":1}x", "eyJhIjoxfXg="),
        ("01", "MDE="),
        ("NaN", "TmFO"),
        ("'a'", "J2En"),
    ] {
        check(text, &passed_bytes(1, encoded));
    }
}

#[test]
fn message_lines_carry_payload_and_metadata() {
    let line = "{\"payload\": {\"n\": 1.0, \"a\":[1, 2]}, \"metadata\":{\"topic\":\"t\",\"big\":12345678901234567890,\"o\":{\"x\":[null]}}}\n\
                {\"payloadBase64\":\"eyJhIjox\"}\n\
                {\"metadata\":{},\"payloadBase64\":\"eyJhIjoxfQ==\"}\n\
                {\"payload\":null}\n\
                {\"payload\":\"text\"}\n";
    let ran = messages(PASS, line);
    let lines = ran.lines();
    assert_eq!(
        lines[0],
        "{\"input\":1,\"outputs\":[{\"payload\":{\"n\": 1.0, \"a\":[1, 2]},\"route\":null,\
         \"metadata\":{\"topic\":\"t\",\"big\":12345678901234567890,\"o\":{\"x\":[null]}}}],\"error\":null}"
    );
    assert_eq!(lines[1], passed_bytes(2, "eyJhIjox"));
    assert_eq!(lines[2], passed(3, "{\"a\":1}"));
    assert_eq!(lines[3], passed(4, "null"));
    assert_eq!(lines[4], passed(5, "\"text\""));
}

#[test]
fn lines_that_are_no_messages_fail_alone() {
    let input = "{\"payload\":1}\n\
                 not json\n\
                 [1]\n\
                 {}\n\
                 {\"payload\":1,\"payloadBase64\":\"\"}\n\
                 {\"payloadBase64\":\"!\"}\n\
                 {\"payloadBase64\":1}\n\
                 {\"payload\":1,\"metadata\":[]}\n\
                 \n\
                 {\"payload\":2}\n";
    let ran = messages(PASS, input);
    let json = ran.json();
    assert_eq!(json.len(), 10);
    let texts = [
        (2, "not a message"),
        (3, "it needs either `payload` or `payloadBase64`"),
        (4, "it needs either `payload` or `payloadBase64`"),
        (5, "it needs either `payload` or `payloadBase64`"),
        (6, "`payloadBase64`"),
        (7, "`payloadBase64` must be a string"),
        (8, "`metadata` must be an object"),
        (9, "not a message"),
    ];
    for (number, text) in texts {
        let line = &json[number - 1];
        assert_eq!((&line["input"], &line["outputs"]), (&json!(number), &json!([])), "{line}");
        assert_eq!(line["error"]["class"], "invalid_data", "{line}");
        assert_eq!(line["error"]["stage"], "decode", "{line}");
        assert!(line["error"]["message"].as_str().unwrap().contains(text), "{line}");
    }
    assert_eq!((&json[0]["error"], &json[9]["error"]), (&Value::Null, &Value::Null));
}

#[test]
fn input_comes_from_standard_input_too() {
    let folder = Folder::new();
    folder.file("flow.yaml", PASS);
    folder.file("in", "1\n");
    let ran = folder.run_with(&["dry-run", "flow.yaml", "--input", "-"], b"1\n2").ends(0);
    assert_eq!(ran.lines(), [passed(1, "1"), passed(2, "2")]);
    let ran = folder.run_with(&["dry-run", "-", "--input", "in"], PASS.as_bytes()).ends(0);
    assert_eq!(ran.lines(), [passed(1, "1")]);
    folder.run_with(&["dry-run", "-", "--input", "-"], b"").ends(2);
}

#[test]
fn an_invalid_flow_ends_with_the_problems_of_check() {
    let bad =
        flow("    - {type: mask, config: {}}\n    - {type: x}\n").replace("stdout", "nowhere");
    let folder = Folder::new();
    folder.file("flow.yaml", &bad);
    folder.file("in", "1\n");
    let check = folder.run(&["check", "flow.yaml"]).ends(1);
    let ran = folder.run(&["dry-run", "flow.yaml", "--input", "in"]).ends(1);
    assert_eq!(ran.text(), "");
    assert_eq!(ran.stderr, check.text());
    assert_eq!(ran.stderr.lines().count(), 3);
}

#[test]
fn what_cannot_be_run_says_why() {
    let files = [
        ("flow.yaml", PASS),
        ("empty.yaml", ""),
        ("secret.yaml", "kind: Secret\nmetadata: {name: s}\n"),
    ];
    let ran = run(&["dry-run", "flow.yaml", "--input", "missing"], b"", &files).ends(1);
    assert!(ran.stderr.contains("`missing` cannot be read"), "{}", ran.stderr);
    run(&["dry-run", "missing.yaml", "--input", "flow.yaml"], b"", &files).ends(1);
    run(&["dry-run", "empty.yaml", "--input", "flow.yaml"], b"", &files).ends(1);
    let ran = run(&["dry-run", "secret.yaml", "--input", "flow.yaml"], b"", &files).ends(1);
    assert!(ran.stderr.contains("declares no DataFlow"), "{}", ran.stderr);
    let ran = run(&["dry-run", "flow.yaml"], b"", &files).ends(2);
    assert!(ran.stderr.contains("--input"), "{}", ran.stderr);
    run(&["dry-run", "flow.yaml", "--input", "-", "--input-format", "avro"], b"", &files).ends(2);
}

#[test]
fn one_of_several_flows_is_chosen_by_name() {
    let two = format!(
        "{}---\n{}",
        PASS,
        flow("    - {type: hoistField, config: {field: x}}\n").replace("pass", "hoist")
    );
    let files = [("flow.yaml", two.as_str())];
    let args = ["dry-run", "flow.yaml", "--input", "-"];
    let ran = run(&args, b"1", &files).ends(1);
    assert!(ran.stderr.contains("pass, hoist") && ran.stderr.contains("--flow"), "{}", ran.stderr);
    let ran = run(&[&args[..], &["--flow", "hoist"]].concat(), b"1", &files).ends(0);
    assert_eq!(ran.lines(), [passed(1, "{\"x\":1}")]);
    let ran = run(&[&args[..], &["--flow", "none"]].concat(), b"1", &files).ends(1);
    assert!(ran.stderr.contains("unknown flow `none`; known: pass, hoist"), "{}", ran.stderr);
}

#[test]
fn nothing_is_contacted_resolved_or_written() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    listener.set_nonblocking(true).unwrap();
    let address = listener.local_addr().unwrap();
    let flow = format!(
        "\
apiVersion: dataflow.dataflow.io/v1
kind: DataFlow
metadata: {{name: t}}
spec:
  source:
    type: kafka
    config: {{brokersSecretRef: {{name: none, key: none}}, topic: t, format: avro, schemaRegistry: {{url: 'http://{address}'}}}}
  sink: {{type: http, config: {{url: 'http://{address}/'}}}}
  errors: {{type: file, config: {{path: out/errors.ndjson}}}}
  transformations:
    - type: router
      config: {{routes: [{{name: f, condition: $.a, sink: {{type: file, config: {{path: out/a.ndjson}}}}}}]}}
    - {{type: cast, config: {{spec: {{n: int64}}}}}}
"
    );
    let folder = Folder::new();
    folder.file("flow.yaml", flow);
    folder.file("in", "{\"a\":1}\n{\"n\":\"x\"}\n");
    let ran = folder.run(&["dry-run", "flow.yaml", "--input", "in"]).ends(0);
    let json = ran.json();
    assert_eq!(json[0]["outputs"][0]["route"], "f");
    assert_eq!(json[1]["error"]["stage"], "transform[1]:cast");
    assert_eq!(listener.accept().unwrap_err().kind(), std::io::ErrorKind::WouldBlock);
    let mut names: Vec<_> =
        std::fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    names.sort();
    assert_eq!(names, ["flow.yaml", "in"]);
}

#[test]
fn warnings_do_not_stop_a_dry_run() {
    let flow = PASS.replace("config: {}}\n  sink", "config: {}, kafka: {}}\n  sink");
    let ran = dry_run(&flow, "1", &[]);
    assert!(ran.stderr.contains("warning: spec.source.kafka"), "{}", ran.stderr);
    assert_eq!(ran.lines(), [passed(1, "1")]);
    assert_eq!(dry_run(&flow, "1", &["-q"]).stderr, "");
}

#[test]
fn select_mask_timestamp_keep_hide_and_stamp() {
    let steps = "    - {type: select, config: {fields: [id, user.email]}}\n\
                 \x20   - {type: mask, config: {fields: [email], keepLength: true}}\n\
                 \x20   - {type: timestamp, config: {fieldName: at, format: UnixNano}}\n";
    let clock = SystemClock::new();
    let before = clock.now().0;
    let input = "{\"id\":1,\"user\":{\"email\":\"ann@example.com\"},\"secret\":true}\n";
    let json = dry_run(&flow(steps), input, &[]).json();
    let after = clock.now().0;
    let payload = json[0]["outputs"][0]["payload"].as_object().unwrap();
    let keys: Vec<&str> = payload.keys().map(String::as_str).collect();
    assert_eq!(keys, ["id", "email", "at"]);
    assert_eq!(payload["email"], "***************");
    let at: i64 = payload["at"].as_str().unwrap().parse().unwrap();
    assert!((before..=after).contains(&at), "{at}");
}
