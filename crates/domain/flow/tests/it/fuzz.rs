//! Mutated input of every parser: nothing panics, nothing hangs, and what is accepted is right.

use levada_condition::{Condition, Input, Path};
use levada_flow::dry_run::{DryRun, InputFormat, Message};
use levada_flow::engine::LetterContext;
use levada_flow::spec::{self, secrets::Secrets};
use levada_flow::{cases, graph};
use levada_model::tree::{NodeId, NodeKind};
use levada_model::{ErrorClass, RecordBatch, RecordError};
use levada_registry::report::locate;
use levada_registry::{Report, manifest};
use levada_runtime::SystemClock;

use crate::mutate::{self, Random};

const DOCUMENTS: &[&str] = &[
    r#"{"id":1,"user":{"email":"a@b.c","tags":["x",null,{"k":1.50}]},"é":"\u00e9\n","n":12345678901234567890}"#,
    r#" [ 1 , -0.0 , 1e400 , "" , {} , [] , true , false , null ] "#,
    r#"{"a":"x","a":"y","\u0061":{"b":[[[[1]]]]},"":{"":0}}"#,
    "{\"a\":{\"b\":{\"c\":{\"d\":[{\"e\":\"ключ\"}]}}}}",
    "\"text\\\"\\\\\\/\\b\\f\\n\\r\\t\\ud83d\\ude00\"",
    "{\n\t\"long key with spaces\" : \"\",\r\n \"x\\\"y\" : 0.10 }",
];

const JSON_WORDS: &[&str] = &[
    "{", "}", "[", "]", ",", ":", "\"", "\\", "\\u", "\\ud800", "null", "true", "1e", "-", "0",
    ".5", "1e999", "\"a\":", "{\"a\":", "[[[[", "\u{0}", "\u{feff}", " ", "\n", "é", "\"a\":1,",
];

fn batch_of(payload: &[u8]) -> RecordBatch {
    let mut batch = RecordBatch::new();
    let origin = batch.push_origin("fuzz".into(), 0.into());
    batch.push(payload, origin, 0);
    batch
}

/// Gives every node below one, parents first.
fn nodes(batch: &RecordBatch, root: NodeId) -> Vec<NodeId> {
    let mut all = vec![root];
    let mut at = 0;
    while at < all.len() {
        all.extend(batch.tree.children(all[at]));
        at += 1;
    }
    all
}

/// Half a surrogate pair is JSON by its grammar, but serde_json does not read it.
fn has_surrogate(payload: &[u8]) -> bool {
    let text = String::from_utf8_lossy(payload).to_lowercase();
    text.contains("\\ud")
}

#[test]
fn fuzz_documents_parse_as_serde_json_parses_and_print_what_is_valid() {
    mutate::run("documents", DOCUMENTS, JSON_WORDS, |payload, random| {
        let mut batch = batch_of(payload);
        let parsed = batch.parse(0);
        if has_surrogate(payload) {
            return;
        }
        let naive = serde_json::from_slice::<serde_json::Value>(payload);
        assert_eq!(parsed.is_ok(), naive.is_ok(), "{parsed:?} {naive:?}");
        let (Ok(root), Ok(naive)) = (parsed, naive) else { return };
        assert_eq!(&*batch.payload(0), payload, "nobody touched it");
        let mut printed = Vec::new();
        batch.tree.print(&batch.text, root, &mut printed);
        assert_eq!(serde_json::from_slice::<serde_json::Value>(&printed).unwrap(), naive);
        edit(&mut batch, root, random);
        let after = batch.payload(0).into_owned();
        let reparsed = serde_json::from_slice::<serde_json::Value>(&after);
        assert!(reparsed.is_ok(), "{reparsed:?}: {}", String::from_utf8_lossy(&after));
        let mut again = batch_of(&after);
        assert!(again.document(0).is_some());
    });
}

/// Changes random nodes in random ways, through paths as the steps do.
fn edit(batch: &mut RecordBatch, root: NodeId, random: &mut Random) {
    const PATHS: &[&str] = &[
        "a",
        "b.c",
        "user.email",
        "user.tags.1",
        "user.tags.#.k",
        "a.b.0.0",
        "x.y.z",
        "0",
        "-1",
        "é",
        "*.a",
        "n.new",
        "['']",
        "id.0",
    ];
    for _ in 0..1 + random.below(6) {
        let all = nodes(batch, root);
        let node = all[random.below(all.len())];
        let path = Path::compile(random.one_of(PATHS)).unwrap();
        match random.below(6) {
            0 if path.check_writable().is_ok() => {
                path.remove(&batch.text, &mut batch.tree, root);
            }
            1 if path.check_settable().is_ok() => {
                if let Ok(node) = path.ensure(&mut batch.text, &mut batch.tree, root) {
                    batch.tree.set_string(&mut batch.text, node, "new \"text\"\n");
                }
            }
            2 if path.check_writable().is_ok() => {
                let mut found = Vec::new();
                path.existing(&batch.text, &mut batch.tree, root, &mut found);
                for node in found {
                    batch.tree.set_json(&mut batch.text, node, b"{\"in\": [1.0]}").unwrap();
                }
            }
            3 => {
                let copy = batch.tree.copy_deep(node);
                if batch.tree.kind(root) == NodeKind::Object {
                    let member = batch.tree.insert_named(&mut batch.text, root, "copy\u{1}");
                    batch.tree.set_node(member, copy);
                    batch.tree.touch(root);
                }
            }
            4 => {
                let members: Vec<NodeId> = batch.tree.children(root).collect();
                if batch.tree.kind(root) == NodeKind::Object && !members.is_empty() {
                    let member = members[random.below(members.len())];
                    batch.tree.rename(&mut batch.text, member, "renamed\"é");
                    batch.tree.touch(root);
                }
            }
            _ => {
                let found = path.find(&batch.text, &batch.tree, root);
                let mut out = Vec::new();
                found.write_json(&batch.text, &batch.tree, &mut out);
                assert!(
                    !found.exists() || serde_json::from_slice::<serde_json::Value>(&out).is_ok()
                );
            }
        }
    }
}

const MANIFESTS: &[&str] = &[
    "\
apiVersion: dataflow.dataflow.io/v1
kind: DataFlow
metadata: {name: orders, namespace: shop}
spec:
  source: {type: file, config: {paths: [in/*.ndjson], format: csv, csv: {delimiter: ;}}}
  sink: {type: file, config: {path: out.ndjson, rotate: {bytes: 64MiB}}}
  errors: {type: stdout, config: {}, ackPolicy: never, maxRatio: 0.5}
  transformWorkers: 4
  maintenance: {startTime: \"2026-01-01T00:00:00Z\", duration: 2h, timezone: Europe/Berlin}
  transformations:
    - {type: filter, config: {condition: \"$.a == 'x' && metadata.p > 3 || a =~ '^b'\"}, when: '!$.b'}
    - {type: mask, config: {fields: [a, \"b.#.c\"], keepLength: true, mode: partial}, onError: drop}
    - {type: router, config: {routes: [{name: r, condition: exists(a), continue: true, sink: {type: http, config: {url: 'http://h/'}}}]}}
    - {type: timezone, config: {timezone: +03:00, fields: [t]}}
",
    "\
apiVersion: dataflow.dataflow.io/v1
kind: DataFlow
metadata:
  name: typed
spec:
  source:
    type: kafka
    kafka: &k
      brokersSecretRef: {name: n, key: k}
      topic: t
      sasl: {mechanism: plain, username: u, password: p}
      securityProtocol: SASL_SSL
      tls: {}
  sink:
    type: postgresql
    postgresql: {connectionString: c, table: t, upsertMode: true, conflictKey: id, batchSize: 0}
  resources: {limits: {cpu: 1, memory: 1Gi}}
  transformations:
    - {type: flatten, flatten: {field: $.items, maxElements: 3}}
    - {type: cast, cast: {spec: {a: int64, b.c: bool}}}
    - {type: insertField, insertField: {fields: {a: 'json:{\"x\":1}', b: '${now}'}}}
    - {type: replaceField, replaceField: {include: [a, b.c], renames: ['a:b']}}
    - {type: timestamp, timestamp: {format: '2006-01-02'}}
",
    "kind: Secret\nmetadata: {name: s}\ndata: {a: aGk=}\nstringData: {b: c}\n",
    "\
kind: FlowTest
spec:
  cases:
    - {name: n, steps: 1, input: [{payload: {a: 1}}, {text: x}], expect: [{payload: {a: 1}, route: main}], errors: [{class: timeout}]}
",
    "a: &a [1, &b {c: *a}]\n<<: *b\n? complex\n: |\n  block\n  text\n--- !!str\n>-\n  folded\n",
];

const YAML_WORDS: &[&str] = &[
    "{",
    "}",
    "[",
    "]",
    ",",
    ": ",
    "- ",
    "\n",
    "\n  ",
    "&a ",
    "*a",
    "!!str ",
    "|",
    ">",
    "'",
    "\"",
    "#",
    "---\n",
    "...\n",
    "null",
    "~",
    "-1",
    "0x7f",
    ".inf",
    "1e999",
    "config",
    "kafka",
    "type",
    "\u{0}",
    "\u{feff}",
    "é",
    "? ",
    "%YAML 9\n",
    "$.a == '",
    "&& (",
    "a.#(b==",
    "99999999999999999999",
];

#[test]
fn fuzz_manifests_are_checked_in_time_and_compile_when_they_pass() {
    let clock = SystemClock::new();
    for text in &MANIFESTS[..2] {
        let mut report = Report::new();
        let flow = spec::check(&manifest::parse(text).unwrap()[0], "t", &mut report);
        assert!(flow.is_some(), "the corpus starts from good flows: {:?}", report.problems());
    }
    mutate::run("manifests", MANIFESTS, YAML_WORDS, |bytes, _| {
        let Ok(documents) = manifest::parse_bytes(bytes) else { return };
        for document in documents {
            let mut report = Report::new();
            if Secrets::is_secret(&document) {
                Secrets::default().add(&document, &mut report);
                continue;
            }
            if cases::is_cases(&document) {
                cases::decode(&document, &mut report);
            }
            let flow = spec::check(&document, "t", &mut report);
            for problem in report.problems() {
                let (line, column) = locate(&document.root, &problem.path);
                assert!(line >= 1 && column >= 1 && !problem.text.is_empty(), "{problem}");
            }
            let Some(flow) = flow else {
                assert!(!report.is_ok(), "refused without a reason");
                continue;
            };
            assert!(report.is_ok());
            for format in graph::FORMATS {
                graph::render(&flow, *format);
            }
            let mut dry_run = DryRun::new(&flow).expect("what check accepts compiles");
            for payload in DOCUMENTS {
                let message = Message::parse(payload.as_bytes(), InputFormat::Payload).unwrap();
                let outcome = dry_run.run(&message, &*clock);
                let mut json = Vec::new();
                outcome.write_json(1, &mut json);
                assert!(serde_json::from_slice::<serde_json::Value>(&json).is_ok());
            }
        }
    });
}

const CONDITIONS: &[&str] = &[
    "$.status == 'active' && $.count >= 5",
    "!($.missing || metadata.topic != \"orders\") && user.tags.#(k>1).k",
    "exists(user.email) && n not in (1, 'x', 2.0)",
    "a =~ '^(x|y)+$' || user.tags.#.k == '[1.50]'",
    "a.b\\.c['d'][0].*.?x|@reverse|@flatten:{\"deep\":true}",
];

const CONDITION_WORDS: &[&str] = &[
    "&&",
    "||",
    "!",
    "(",
    ")",
    "==",
    "!=",
    "<=",
    "=~ '",
    "'",
    "\"",
    "\\",
    " in (",
    "not ",
    "exists(",
    "metadata.",
    "$.",
    "#",
    "#(",
    ")#",
    "*",
    "?",
    "|@",
    "@this",
    "[",
    "]",
    "['",
    "..",
    "-1",
    ".",
    " ",
    "é",
    "\u{0}",
    "(a+)+",
    "{1000}",
];

#[test]
fn fuzz_conditions_and_paths_never_fail_on_documents() {
    mutate::run("conditions", CONDITIONS, CONDITION_WORDS, |bytes, random| {
        let text = String::from_utf8_lossy(bytes);
        let mut batch = batch_of(random.one_of(DOCUMENTS).as_bytes());
        let root = batch.document(0);
        match Condition::compile(&text) {
            Ok(condition) => {
                for root in [root, None] {
                    let meta = batch.meta(0);
                    condition.eval(Input { text: &batch.text, tree: &batch.tree, root, meta });
                }
            }
            Err(error) => assert!(!error.to_string().is_empty()),
        }
        let (Ok(path), Some(root)) = (Path::compile(&text), root) else { return };
        let found = path.find(&batch.text, &batch.tree, root);
        let mut out = Vec::new();
        found.write_json(&batch.text, &batch.tree, &mut out);
        assert!(!found.exists() || serde_json::from_slice::<serde_json::Value>(&out).is_ok());
        if path.check_settable().is_ok() {
            if let Ok(node) = path.ensure(&mut batch.text, &mut batch.tree, root) {
                batch.tree.set_string(&mut batch.text, node, "new");
            }
        } else if path.check_writable().is_ok() {
            path.remove(&batch.text, &mut batch.tree, root);
        }
        let after = batch.payload(0).into_owned();
        assert!(serde_json::from_slice::<serde_json::Value>(&after).is_ok(), "{text}");
    });
}

/// Whatever a record holds, its dead letter is one line of JSON that holds it too.
#[test]
fn fuzz_dead_letters_hold_any_payload() {
    use base64::Engine as _;
    mutate::run("dead letters", DOCUMENTS, JSON_WORDS, |payload, random| {
        let mut batch = batch_of(payload);
        if random.below(2) == 0 {
            batch.document(0);
        }
        let text: String = String::from_utf8_lossy(payload).chars().take(100).collect();
        batch.meta_mut(0).set("key", levada_model::Value::Bytes(payload.into()));
        let error = RecordError { class: ErrorClass::InvalidData, message: text.clone() };
        let letter = levada_flow::engine::DeadLetter {
            error: &error,
            stage: &text,
            original_sink: "file",
            attempts: 1,
            now: levada_model::Timestamp(0),
        };
        let mut letters = RecordBatch::new();
        LetterContext { dataflow: text.clone() }.write(&mut batch, 0, &letter, &mut letters);
        assert_eq!(letters.len(), 1);
        let line = letters.payload(0).into_owned();
        if has_surrogate(payload) {
            return;
        }
        let json: serde_json::Value = serde_json::from_slice(&line).unwrap();
        assert_eq!(json["error"]["message"], text.as_str());
        assert_eq!(json["error"]["stage"], text.as_str());
        match serde_json::from_slice::<serde_json::Value>(payload) {
            Ok(value) if value.is_object() => assert_eq!(json["original_message"], value),
            Ok(_) => {
                let kept = json["original_message"]["original_data"].as_str().unwrap();
                assert_eq!(kept.as_bytes(), payload);
            }
            Err(_) => {
                let kept = json["original_message_base64"].as_str().unwrap();
                let kept = base64::engine::general_purpose::STANDARD.decode(kept).unwrap();
                assert_eq!(kept, payload);
            }
        }
    });
}
