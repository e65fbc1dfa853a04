//! `check` on files that are no manifests, on several files and documents, and with secrets.

use serde_json::json;

use super::binary::{Folder, Ran, run};

const FLOW: &str = "\
apiVersion: dataflow.dataflow.io/v1
kind: DataFlow
metadata: {name: t}
spec:
  source: {type: stdin, config: {}}
  sink: {type: stdout, config: {}}
";

const WITH_SECRETS: &str = "\
apiVersion: dataflow.dataflow.io/v1
kind: DataFlow
metadata: {name: t, namespace: shop}
spec:
  source:
    type: kafka
    config:
      brokersSecretRef: {name: kafka, key: brokers}
      topic: orders
  sink:
    type: kafka
    config:
      brokers: [localhost:9092]
      topicSecretRef: {name: kafka, key: topic, namespace: other}
";

const SECRETS: &str = "\
apiVersion: v1
kind: Secret
metadata: {name: kafka, namespace: shop}
data: {brokers: bG9jYWxob3N0OjkwOTI=}
---
apiVersion: v1
kind: Secret
metadata: {name: kafka, namespace: other}
stringData: {topic: orders}
";

#[track_caller]
fn check(content: impl AsRef<[u8]>) -> Ran {
    let folder = Folder::new();
    folder.file("f.yaml", content);
    folder.run(&["check", "f.yaml"])
}

#[track_caller]
fn refused(content: impl AsRef<[u8]>, expected: &str) {
    let ran = check(content).ends(1);
    assert_eq!(ran.text(), format!("{expected}\n"));
}

#[test]
fn a_good_file_prints_nothing_on_standard_output() {
    let ran = check(FLOW).ends(0);
    assert_eq!(ran.text(), "");
    assert_eq!(ran.stderr, "ok: 1 flow in 1 file\n");
    let quiet = run(&["check", "-q", "f.yaml"], b"", &[("f.yaml", FLOW)]).ends(0);
    assert_eq!((quiet.text(), quiet.stderr.as_str()), ("", ""));
}

#[test]
fn json_is_yaml() {
    let flow = json!({
        "apiVersion": "dataflow.dataflow.io/v1", "kind": "DataFlow", "metadata": {"name": "t"},
        "spec": {"source": {"type": "stdin", "config": {}}, "sink": {"type": "stdout", "config": {}}},
    });
    check(flow.to_string()).ends(0);
    check(format!("\u{feff}{FLOW}")).ends(0);
    check(FLOW.replace('\n', "\r\n")).ends(0);
}

#[test]
fn what_is_no_manifest_is_refused_with_its_place() {
    refused("", "f.yaml:1:1: the file declares nothing");
    refused("# nothing yet\n---\n", "f.yaml:1:1: the file declares nothing");
    refused(b"kind: DataFlow\nmetadata: \xff\n", "f.yaml:2:11: the file is not UTF-8");
    refused("kind: DataFlow\nspec: [\n", "f.yaml:2:7: invalid YAML: unclosed bracket '['");
    refused(
        "kind: DataFlow\nkind: Secret\n",
        "f.yaml:2:1: the key `kind` stands twice in this map",
    );
    refused("just text\n", "f.yaml:1:1: kind: Required value: kind is required, such as DataFlow");
    refused(
        "apiVersion: dataflow.dataflow.io/v1\nkind: DataFlowCron\n",
        "f.yaml:2:1: kind: Unsupported value: \"DataFlowCron\": \
         supported values: \"DataFlow\", \"Secret\", \"FlowTest\", \"TaskTest\"",
    );
}

#[test]
fn duplicate_keys_are_refused_at_any_depth() {
    let twice = FLOW.replace("config: {}", "config: {a: 1, a: 2}");
    refused(&twice, "f.yaml:5:40: the key `a` stands twice in this map");
}

#[test]
fn the_head_of_a_flow_is_checked() {
    let expected = "\
f.yaml:1:1: apiVersion: Unsupported value: \"v1\": supported values: \"dataflow.dataflow.io/v1\"
f.yaml:3:1: warning: owner: unknown field `owner`; known: apiVersion, kind, metadata, spec, status (ignored)
f.yaml:1:1: warning: metadata.name: name is missing; `f` is used
f.yaml:1:1: spec: Required value: spec is required";
    refused("apiVersion: v1\nkind: DataFlow\nowner: me\n", expected);
    let version = "f.yaml:1:1: apiVersion: Unsupported value: \"\": \
                   supported values: \"dataflow.dataflow.io/v1\"";
    refused(
        "kind: DataFlow\nmetadata: {name: t}\nspec: {}\n",
        &format!(
            "{version}\n\
         f.yaml:3:1: spec.source.type: Required value: source type is required\n\
         f.yaml:3:1: spec.sink.type: Required value: sink type is required"
        ),
    );
}

#[test]
fn hostile_files_are_refused_in_time() {
    let expect = |content: String, place: &str, part: &str| {
        let ran = check(content).ends(1);
        let text = ran.text();
        assert!(text.starts_with(place) && text.contains(part), "{text}");
        assert_eq!(text.lines().count(), 1);
    };
    let deep = 10_000;
    let brackets = format!("spec: {}{}\n", "[".repeat(deep), "]".repeat(deep));
    expect(brackets, "f.yaml:1:", "recursion limit");
    expect("[".repeat(deep), "f.yaml:1:", "recursion limit");
    let maps = format!("spec: {}{}\n", "{a: ".repeat(deep), "}".repeat(deep));
    expect(maps, "f.yaml:1:", "deeper than 100 levels");
    let indented: String = (0..1000).map(|depth| format!("{}a:\n", " ".repeat(depth))).collect();
    expect(indented, "f.yaml:", "deep");
    let mut bomb = String::from("a: &a [x, x, x, x, x, x, x, x, x, x]\n");
    for letter in b'b'..b'k' {
        let (this, before) = (char::from(letter), char::from(letter - 1));
        let items = vec![format!("*{before}"); 10].join(", ");
        bomb.push_str(&format!("{this}: &{this} [{items}]\n"));
    }
    expect(bomb, "f.yaml:6:", "more than 200000 values, aliases included");
    expect("a: &a [*a]\n".into(), "f.yaml:1:", "anchor");
    expect(format!("a: {}", "x".repeat(17 << 20)), "f.yaml:1:1: ", "larger than 16777216 bytes");
}

#[test]
fn files_that_cannot_be_read_are_named() {
    let ran = run(&["check", "missing.yaml", ".", "f.yaml"], b"", &[("f.yaml", FLOW)]).ends(1);
    let lines = ran.lines();
    assert!(lines[0].starts_with("missing.yaml:1:1: cannot be read: "), "{lines:?}");
    assert!(lines[1].starts_with(".:1:1: cannot be read: "), "{lines:?}");
    assert_eq!(lines.len(), 2);
    assert_eq!(ran.stderr, "2 errors, 0 warnings in 3 files\n");
}

#[test]
fn a_dash_is_standard_input() {
    let ran = run(&["check", "-"], FLOW.as_bytes(), &[]).ends(0);
    assert_eq!(ran.text(), "");
    let ran = run(&["check", "-"], b"kind: [", &[]).ends(1);
    assert!(ran.text().starts_with("<stdin>:1:7: invalid YAML: "), "{}", ran.text());
    let unnamed = FLOW.replace("metadata: {name: t}\n", "");
    let ran = run(&["check", "-"], unnamed.as_bytes(), &[]).ends(0);
    assert_eq!(
        ran.text(),
        "<stdin>:1:1: warning: metadata.name: name is missing; `flow` is used\n"
    );
}

#[test]
fn problems_of_several_files_and_documents_keep_their_places() {
    let two = format!("{FLOW}---\n{}", FLOW.replace("stdout", "nowhere"));
    let files = [("a.yaml", two.as_str()), ("b.yaml", "kind: [\n"), ("c.yaml", FLOW)];
    let ran = run(&["check", "a.yaml", "b.yaml", "c.yaml"], b"", &files).ends(1);
    let lines = ran.lines();
    assert!(
        lines[0].starts_with("a.yaml:13:10: spec.sink.type: Unsupported value: \"nowhere\": "),
        "{lines:?}"
    );
    assert!(lines[1].starts_with("b.yaml:1:7: invalid YAML: "), "{lines:?}");
    assert_eq!(lines.len(), 2);
}

#[test]
fn json_output_is_one_value_per_problem() {
    let flow = "\
apiVersion: dataflow.dataflow.io/v1
kind: DataFlow
metadata: {name: t}
spec:
  source: {type: stdin, stdin: {}, kafka: {}}
  sink: {type: kafka, kafka: {brokers: [b], topic: t, x: 1}}
  transformations: [{type: mask, mask: {}}]
";
    let args = ["check", "f.yaml", "--output", "json"];
    let ran = run(&args, b"", &[("f.yaml", flow)]).ends(1);
    assert_eq!(ran.stderr, "");
    let json = ran.json();
    assert_eq!(json.len(), 3, "{json:#?}");
    assert_eq!(
        json[2],
        json!({
            "file": "f.yaml", "line": 7, "column": 34, "path": "spec.transformations[0].mask.fields",
            "severity": "error", "message": "Required value: at least one field is required",
        })
    );
    assert_eq!((&json[0]["severity"], &json[0]["line"]), (&json!("warning"), &json!(5)));
    assert_eq!((&json[1]["path"], &json[1]["column"]), (&json!("spec.sink.kafka.x"), &json!(55)));
    let good = run(&args, b"", &[("f.yaml", FLOW)]).ends(0);
    assert_eq!(good.text(), "");
    let broken = run(&args, b"", &[("f.yaml", "[")]).ends(1).json();
    assert_eq!((&broken[0]["line"], &broken[0]["path"]), (&json!(1), &json!("")));
}

#[test]
fn secrets_are_only_looked_up_when_asked() {
    let file = [("f.yaml", WITH_SECRETS)];
    run(&["check", "f.yaml"], b"", &file).ends(0);
    let ran = run(&["check", "f.yaml", "--secrets"], b"", &file).ends(1);
    assert_eq!(
        ran.lines(),
        [
            "f.yaml:8:7: spec.source.config.brokersSecretRef: key brokers not found in secret \
             shop/kafka; looked for it in a Secret manifest beside the flow, the environment \
             variable LEVADA_SECRET_SHOP_KAFKA_BROKERS",
            "f.yaml:14:7: spec.sink.config.topicSecretRef: key topic not found in secret \
             other/kafka; looked for it in a Secret manifest beside the flow, the environment \
             variable LEVADA_SECRET_OTHER_KAFKA_TOPIC",
        ]
    );
}

#[test]
fn secrets_are_found_in_documents_folders_and_variables() {
    let together = format!("{SECRETS}---\n{WITH_SECRETS}");
    run(&["check", "f.yaml", "--secrets"], b"", &[("f.yaml", &together)]).ends(0);
    let apart = [("f.yaml", WITH_SECRETS), ("s.yaml", SECRETS)];
    run(&["check", "f.yaml", "s.yaml", "--secrets"], b"", &apart).ends(0);
    let mut folder = Folder::new();
    folder.file("f.yaml", WITH_SECRETS);
    folder.file("secrets/shop/kafka/brokers", "localhost:9092");
    let missing = folder.run(&["check", "f.yaml", "--secrets=secrets"]).ends(1);
    assert_eq!(missing.lines().len(), 1);
    assert!(missing.text().contains("the secrets folder"), "{}", missing.text());
    folder.variable("LEVADA_SECRET_OTHER_KAFKA_TOPIC", "orders");
    folder.run(&["check", "f.yaml", "--secrets=secrets"]).ends(0);
}

#[test]
fn secret_documents_are_checked_and_never_shown() {
    let secret = "kind: Secret\nmetadata: {name: s}\ndata: {password: hunter2!}\n";
    let ran = run(&["check", "f.yaml"], b"", &[("f.yaml", secret)]).ends(1);
    assert_eq!(ran.text(), "f.yaml:3:8: data[password]: Invalid value: must be base64\n");
    refused(
        "kind: Secret\nstringData: {a: b}\n",
        "f.yaml:1:1: metadata.name: Required value: secret name is required",
    );
    let literal = WITH_SECRETS.replace(
        "brokersSecretRef: {name: kafka, key: brokers}",
        "brokers: [b:9092]\n      sasl: {mechanism: nonsense, username: u, password: hunter2}",
    );
    let ran = run(&["check", "f.yaml"], b"", &[("f.yaml", &literal)]);
    assert!(!ran.text().contains("hunter2") && !ran.stderr.contains("hunter2"), "{ran:?}");
}

#[test]
fn a_flow_of_what_is_not_built_in_is_checked_but_not_run() {
    let flow = "\
apiVersion: dataflow.dataflow.io/v1
kind: DataFlow
metadata: {name: t}
spec:
  source: {type: iceberg, iceberg: {catalogURI: \"http://127.0.0.1:PORT\", namespace: n, table: t}}
  sink: {type: stdout, stdout: {}}
";
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    listener.set_nonblocking(true).unwrap();
    let port = listener.local_addr().unwrap().port().to_string();
    let source = flow.replace("PORT", &port);
    let sink = source
        .replace("source: {type: iceberg", "sink: {type: iceberg")
        .replace("sink: {type: stdout, stdout", "source: {type: stdin, stdin");
    for (flow, role) in [(source, "source"), (sink, "sink")] {
        let folder = Folder::new();
        folder.file("f.yaml", &flow);
        folder.run(&["check", "f.yaml"]).ends(0);
        let ran = folder.run(&["run", "f.yaml"]).ends(3);
        assert!(ran.stderr.contains(&format!("{role} type `iceberg` is not built in")), "{ran:?}");
        assert_eq!(ran.text(), "");
        let untouched = listener.accept().map_err(|error| error.kind());
        assert_eq!(untouched.err(), Some(std::io::ErrorKind::WouldBlock), "nobody is contacted");
    }
}

#[test]
fn exactly_once_is_refused_where_it_cannot_be_had() {
    let flow = |delivery: &str, sink: &str, more: &str| {
        format!(
            "apiVersion: dataflow.dataflow.io/v1
kind: DataFlow
metadata: {{name: t}}
spec:
  delivery: {delivery}
  source: {{type: stdin, config: {{}}}}
  sink: {sink}
{more}"
        )
    };
    let postgresql = "{type: postgresql, config: {connectionString: \"postgres://h/d\", table: t, batchSize: 100}}";
    let stdout = "{type: stdout, config: {}}";
    let routes = "  transformations: [{type: router, config: {routes: [{condition: $.a, sink: {type: stdout, config: {}}}]}}]\n";
    let never = "  errors: {type: stdout, config: {}, ackPolicy: never}\n";
    for (flow, part) in [
        (flow("exactlyOnce", postgresql, ""), None),
        (flow("auto", stdout, routes), None),
        (
            flow("exactlyOnce", stdout, ""),
            Some("a stdout sink with these settings cannot keep the positions of a stdin source"),
        ),
        (
            flow("exactlyOnce", postgresql, routes),
            Some("a flow with routes writes to several sinks"),
        ),
        (flow("exactlyOnce", postgresql, never), Some("it needs `errors.ackPolicy: afterWrite`")),
        (
            flow("exactlyOnce", postgresql, "  checkpointPersistence: false\n"),
            Some("keeps no positions"),
        ),
        (
            flow("sometimes", stdout, ""),
            Some("supported values: \"auto\", \"exactlyOnce\", \"atLeastOnce\""),
        ),
    ] {
        match part {
            None => drop(check(&flow).ends(0)),
            Some(part) => {
                let ran = check(&flow).ends(1);
                let text = ran.text();
                assert!(text.contains("spec.delivery: ") && text.contains(part), "{text}\n{flow}");
            }
        }
    }
}
