//! First steps and the frame around the commands: templates, schema, completions, help, wrong usage,
//! and the original's processor flags.

use serde_json::Value;

use super::binary::{Folder, run};

const TEMPLATES: [&str; 4] = ["files", "metrics", "http", "kafka"];

const COMMANDS: [&[&str]; 12] = [
    &["init"],
    &["run"],
    &["check"],
    &["dry-run"],
    &["test"],
    &["graph"],
    &["processor"],
    &["schema"],
    &["completions"],
    &["dlq"],
    &["dlq", "list"],
    &["dlq", "replay"],
];

// === init ===

#[test]
fn every_template_passes_check_and_its_own_cases() {
    for template in TEMPLATES {
        let folder = Folder::new();
        let printed = folder.run(&["init", "--template", template]).ends(0);
        assert_eq!(printed.stderr, "");
        let ran = folder.run(&["init", "flow.yaml", "--template", template]).ends(0);
        assert_eq!(ran.text(), "");
        assert!(ran.stderr.contains("levada check flow.yaml"), "{}", ran.stderr);
        let written = std::fs::read_to_string(folder.path().join("flow.yaml")).unwrap();
        assert_eq!(written, printed.text());
        let ran = folder.run(&["check", "flow.yaml"]).ends(0);
        assert_eq!(ran.text(), "", "{template} has no warnings either");
        folder.run(&["graph", "flow.yaml"]).ends(0);
        if written.contains("kind: FlowTest") {
            folder.run(&["test", "flow.yaml"]).ends(0);
        }
        folder.file("in", "{\"status\":200,\"latency_ms\":2000}\n");
        folder.run(&["dry-run", "flow.yaml", "--input", "in"]).ends(0);
    }
    let default = run(&["init"], b"", &[]).ends(0);
    assert_eq!(default.text(), run(&["init", "--template", "files"], b"", &[]).text());
    assert!(default.text().contains("kind: FlowTest"));
    run(&["init", "--template", "none"], b"", &[]).ends(2);
}

#[test]
fn a_file_that_exists_is_never_overwritten() {
    let folder = Folder::new();
    let path = folder.file("flow.yaml", "mine\n");
    let ran = folder.run(&["init", "flow.yaml"]).ends(1);
    assert!(ran.stderr.contains("`flow.yaml` exists"), "{}", ran.stderr);
    assert_eq!(std::fs::read_to_string(path).unwrap(), "mine\n");
    folder.run(&["init", "no/such/folder.yaml"]).ends(3);
}

// === schema ===

#[test]
fn the_schema_is_whole_and_accepts_the_templates() {
    let ran = run(&["schema"], b"", &[]).ends(0);
    let schema: Value = serde_json::from_str(ran.text()).unwrap();
    assert_eq!(schema["$schema"], "https://json-schema.org/draft/2020-12/schema");
    let mut references = 0;
    check_references(&schema, &schema, &mut references);
    assert!(references > 10);
    for (name, role) in [("Source", "sources"), ("Sink", "sinks"), ("Transformation", "steps")] {
        let types = schema["$defs"][name]["properties"]["type"]["enum"].as_array().unwrap();
        assert!(types.len() > 10, "{role}");
        let branches = schema["$defs"][name]["anyOf"].as_array().unwrap();
        assert_eq!(types.len(), branches.len(), "one branch per type: {role}");
    }
    for template in TEMPLATES {
        let text = run(&["init", "--template", template], b"", &[]).ends(0);
        let documents = levada_registry::manifest::parse(text.text()).unwrap();
        let flow = documents[0].root.to_json();
        let mut problems = Vec::new();
        accepts(&schema, &schema, &flow, "", &mut problems);
        assert!(problems.is_empty(), "{template}: {problems:#?}");
        let mut broken = flow.clone();
        broken["spec"].as_object_mut().unwrap().remove("sink");
        broken["spec"]["source"]["type"] = "nowhere".into();
        accepts(&schema, &schema, &broken, "", &mut problems);
        assert!(problems.contains(&".spec: `sink` is missing".to_owned()), "{problems:#?}");
        assert!(problems.iter().any(|problem| problem.starts_with(".spec.source.type")));
    }
}

fn pointed<'s>(root: &'s Value, reference: &str) -> &'s Value {
    let pointer = reference.strip_prefix('#').expect("references stay inside the schema");
    root.pointer(pointer).unwrap_or_else(|| panic!("{reference} leads nowhere"))
}

/// Follows every `$ref`, and expects every `required` name among the properties.
fn check_references(root: &Value, schema: &Value, count: &mut usize) {
    match schema {
        Value::Object(members) => {
            if let Some(reference) = members.get("$ref").and_then(Value::as_str) {
                *count += 1;
                pointed(root, reference);
            }
            if let (Some(required), Some(properties)) =
                (members.get("required").and_then(Value::as_array), members.get("properties"))
            {
                for name in required {
                    assert!(properties.get(name.as_str().unwrap()).is_some(), "{name}");
                }
            }
            members.values().for_each(|value| check_references(root, value, count));
        }
        Value::Array(items) => items.iter().for_each(|item| check_references(root, item, count)),
        _ => {}
    }
}

/// As much of JSON Schema as ours uses; gives problems as `.path: text`.
fn accepts(root: &Value, schema: &Value, value: &Value, at: &str, problems: &mut Vec<String>) {
    if let Some(reference) = schema.get("$ref").and_then(Value::as_str) {
        accepts(root, pointed(root, reference), value, at, problems);
    }
    let list = |key: &str| schema.get(key).and_then(Value::as_array).cloned().unwrap_or_default();
    let matches = |branch: &Value| {
        let mut inner = Vec::new();
        accepts(root, branch, value, at, &mut inner);
        inner.is_empty()
    };
    if schema.get("const").is_some_and(|expected| expected != value) {
        problems.push(format!("{at}: {value} is not {}", schema["const"]));
    }
    let words = list("enum");
    if !words.is_empty() && !words.contains(value) {
        problems.push(format!("{at}: {value} is none of the known words"));
    }
    let any_of = list("anyOf");
    if !any_of.is_empty() && !any_of.iter().any(matches) {
        problems.push(format!("{at}: no branch of anyOf accepts {value}"));
    }
    let one_of = list("oneOf");
    if !one_of.is_empty() && one_of.iter().filter(|branch| matches(branch)).count() != 1 {
        problems.push(format!("{at}: not one branch of oneOf accepts {value}"));
    }
    let types = match schema.get("type") {
        Some(Value::Array(types)) => types.clone(),
        Some(one) => vec![one.clone()],
        None => Vec::new(),
    };
    let is_type = |name: &Value| match name.as_str().unwrap() {
        "object" => value.is_object(),
        "array" => value.is_array(),
        "string" => value.is_string(),
        "boolean" => value.is_boolean(),
        "integer" => value.is_i64() || value.is_u64(),
        "number" => value.is_number(),
        "null" => value.is_null(),
        other => panic!("unknown type {other}"),
    };
    if !types.is_empty() && !types.iter().any(is_type) {
        problems.push(format!("{at}: {value} is no {}", schema["type"]));
    }
    if let Some(members) = value.as_object() {
        for name in list("required") {
            if !members.contains_key(name.as_str().unwrap()) {
                problems.push(format!("{at}: `{}` is missing", name.as_str().unwrap()));
            }
        }
        for (key, member) in members {
            match schema.get("properties").and_then(|properties| properties.get(key)) {
                Some(property) => {
                    accepts(root, property, member, &format!("{at}.{key}"), problems);
                }
                None if schema.get("additionalProperties") == Some(&Value::Bool(false)) => {
                    problems.push(format!("{at}: unknown member `{key}`"));
                }
                None => {}
            }
        }
    }
    if let (Some(items), Some(schema)) = (value.as_array(), schema.get("items")) {
        for (index, item) in items.iter().enumerate() {
            accepts(root, schema, item, &format!("{at}[{index}]"), problems);
        }
    }
}

// === completions, help, usage ===

#[test]
fn completions_name_the_commands() {
    for shell in ["bash", "zsh", "fish"] {
        let ran = run(&["completions", shell], b"", &[]).ends(0);
        for command in ["check", "dry-run", "processor"] {
            assert!(ran.text().contains(command), "{shell}: {command}");
        }
    }
    run(&["completions", "tcsh"], b"", &[]).ends(2);
    run(&["completions"], b"", &[]).ends(2);
}

#[test]
fn every_help_has_an_example() {
    for command in COMMANDS {
        let args: Vec<&str> = command.iter().copied().chain(["--help"]).collect();
        let ran = run(&args, b"", &[]).ends(0);
        let help = ran.text();
        let (_, examples) =
            help.split_once("Example").unwrap_or_else(|| panic!("{command:?}\n{help}"));
        assert!(examples.contains(&format!("levada {}", command.join(" "))), "{command:?}");
        assert!(help.contains("Usage: levada"), "{command:?}");
    }
    let ran = run(&["--help"], b"", &[]).ends(0);
    assert!(ran.text().contains("Examples:"));
    assert!(ran.text().contains("Exit codes:"));
    for command in COMMANDS {
        assert!(ran.text().contains(&format!("  {} ", command[0])), "{command:?}");
    }
    let ran = run(&["--version"], b"", &[]).ends(0);
    assert!(ran.text().starts_with("levada "));
}

#[test]
fn wrong_usage_ends_with_two() {
    for command in COMMANDS {
        let args: Vec<&str> = command.iter().copied().chain(["--no-such-flag"]).collect();
        let ran = run(&args, b"", &[]).ends(2);
        assert_eq!(ran.text(), "");
        assert!(ran.stderr.contains("--no-such-flag"), "{}", ran.stderr);
    }
    for args in [
        &["--no-such-flag"][..],
        &["no-such-command"],
        &[],
        &["check"],
        &["run"],
        &["test"],
        &["graph"],
        &["dlq"],
        &["dlq", "list"],
        &["dlq", "replay", "f"],
        &["check", "f", "--output", "xml"],
        &["graph", "f", "--format", "png"],
        &["run", "f", "--for", "soon"],
        &["dlq", "list", "f", "--limit", "many"],
        &["dlq", "list", "f", "--class", "nonsense"],
    ] {
        let ran = run(args, b"", &[]).ends(2);
        assert_eq!(ran.text(), "", "{args:?}");
    }
}

// === processor ===

const SPEC: &str = r#"{
  "source": {"type": "stdin", "stdin": {}},
  "transformations": [{"type": "mask", "mask": {"fields": ["a"]}}],
  "sink": {"type": "file", "file": {"path": "out.ndjson"}}
}"#;

#[test]
fn a_bad_spec_ends_the_processor_with_one() {
    let kafka = r#"{"source":{"type":"kafka","config":{}},"sink":{"type":"stdout","config":{}}}"#;
    let files = [
        ("bad.json", "{\"source\": "),
        ("empty.json", ""),
        ("list.json", "[]"),
        ("kafka.json", kafka),
    ];
    for (name, text) in [
        ("missing.json", "the spec `missing.json` cannot be read"),
        ("bad.json", "the spec `bad.json` cannot be parsed: line 1, column "),
        ("empty.json", "the spec `empty.json` must hold one document"),
        ("list.json", "list.json: spec: Invalid value: []: must be a map"),
        (
            "kafka.json",
            "kafka.json: spec.source.config.topic: Required value: topic or topicSecretRef is required",
        ),
    ] {
        let path = format!("--spec-path={name}");
        let ran = run(&["processor", &path, "--name=n", "--namespace=ns"], b"", &files).ends(1);
        assert!(ran.stderr.contains(text), "{}", ran.stderr);
    }
}

#[test]
fn the_processor_takes_the_originals_flags_with_one_dash_or_two() {
    let spellings: [&[&str]; 3] = [
        &[
            "processor",
            "--spec-path=spec.json",
            "--namespace=ns",
            "--name=n",
            "--metrics-port=127.0.0.1:0",
        ],
        &[
            "processor",
            "-spec-path=spec.json",
            "-namespace=ns",
            "-name=n",
            "-metrics-port=127.0.0.1:0",
            "-zap-devel",
        ],
        &[
            "processor",
            "-spec-path",
            "spec.json",
            "-namespace",
            "ns",
            "-name",
            "n",
            "-metrics-port",
            "127.0.0.1:0",
            "-zap-encoder=json",
            "-zap-log-level=error",
            "-zap-stacktrace-level=panic",
            "-zap-time-encoding=iso8601",
        ],
    ];
    for args in spellings {
        let folder = Folder::new();
        folder.file("spec.json", SPEC);
        folder.run_with(args, b"{\"a\":1}\n{\"b\":2}\n").ends(0);
        let out = std::fs::read_to_string(folder.path().join("out.ndjson")).unwrap();
        assert_eq!(out, "{\"a\":\"***\"}\n{\"b\":2}\n", "{args:?}");
    }
    run(&["processor", "-spec-path=spec.json"], b"", &[("spec.json", SPEC)]).ends(2);
    run(&["processor", "-name=n", "-no-such-flag"], b"", &[]).ends(2);
    let ran = run(&["processor", "-name=n", "-zap-encoder=xml"], b"", &[]).ends(1);
    assert!(ran.stderr.contains("unknown zap encoder `xml`"), "{}", ran.stderr);
}

/// Unknown fields of the spec are ignored, as the original's JSON reader does, but told.
#[test]
fn the_processor_tells_of_unknown_fields() {
    let spec = SPEC.replacen('{', "{\"fieldOfTomorrow\": 1, ", 1);
    let folder = Folder::new();
    folder.file("spec.json", spec);
    let args = ["processor", "-spec-path=spec.json", "-name=n", "-metrics-port=127.0.0.1:0"];
    let ran = folder.run_with(&args, b"{\"a\":1}").ends(0);
    assert!(ran.stderr.contains("warning: spec.fieldOfTomorrow: unknown field"), "{}", ran.stderr);
}
