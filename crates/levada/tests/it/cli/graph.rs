//! `levada graph`: one picture in four forms.

use super::binary::run;

const FLOW: &str = "\
apiVersion: dataflow.dataflow.io/v1
kind: DataFlow
metadata: {name: orders}
spec:
  source: {type: kafka, kafka: {brokers: [b:9092], topic: orders, sasl: {mechanism: plain, username: u, password: hunter2}}}
  sink: {type: file, file: {path: out/rest.ndjson}}
  errors: {type: file, file: {path: out/errors.ndjson}}
  transformations:
    - {type: filter, filter: {condition: $.status < 500}}
    - {type: router, router: {routes: [{name: slow, condition: $.ms > 10, sink: {type: stdout, stdout: {}}}]}}
";

#[test]
fn four_formats_show_the_same_flow() {
    for (format, start) in
        [("text", ""), ("mermaid", "flowchart "), ("dot", "digraph "), ("svg", "<svg ")]
    {
        let args = ["graph", "f.yaml", "--format", format];
        let ran = run(&args, b"", &[("f.yaml", FLOW)]).ends(0);
        let picture = ran.text();
        assert!(picture.starts_with(start), "{picture}");
        assert!(picture.ends_with('\n'));
        for part in ["filter", "slow", "orders", "out/rest.ndjson", "out/errors.ndjson"] {
            assert!(picture.contains(part), "{format} lacks {part}\n{picture}");
        }
        assert!(!picture.contains("hunter2"), "{format}");
    }
    let default = run(&["graph", "f.yaml"], b"", &[("f.yaml", FLOW)]).ends(0);
    let text = run(&["graph", "-", "--format", "text"], FLOW.as_bytes(), &[]).ends(0);
    assert_eq!(default.text(), text.text());
}

#[test]
fn a_flow_with_problems_is_not_drawn() {
    let bad = FLOW.replace("$.status < 500", "'$.status <'");
    let ran = run(&["graph", "f.yaml"], b"", &[("f.yaml", &bad)]).ends(1);
    assert_eq!(ran.text(), "");
    assert!(ran.stderr.starts_with("f.yaml:9:31: spec.transformations[0].filter.condition: "));
    run(&["graph", "missing.yaml"], b"", &[]).ends(1);
    let two = format!("{FLOW}---\n{}", FLOW.replace("name: orders", "name: other"));
    let ran = run(&["graph", "f.yaml"], b"", &[("f.yaml", &two)]).ends(1);
    assert!(ran.stderr.contains("orders, other"), "{}", ran.stderr);
    let ran = run(&["graph", "f.yaml", "--flow", "other"], b"", &[("f.yaml", &two)]).ends(0);
    assert!(ran.text().contains("orders"));
}
