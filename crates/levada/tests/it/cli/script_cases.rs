//! `levada test` on tasks and folders, `levada graph` on scripts, the examples of the repository.

use std::path::Path;

use serde_json::json;

use super::binary::{Folder, run};

const SCRIPT: &str = "\
var limit = 10
stream
    |from().measurement('cpu').groupBy('host')
    |alert().crit(lambda: \"v\" > limit).id('{{ index .Tags \"host\" }}').stateChangesOnly()
    |log()
";

fn cases(spec: &str, cases: &str) -> String {
    format!(
        "apiVersion: levada.dev/v1\nkind: TaskTest\nmetadata: {{name: c}}\nspec:\n{spec}  cases:\n{cases}"
    )
}

const GOOD: &str = "    \
    - name: a subset is enough
      points: |
        cpu,host=a v=11i 1
        cpu,host=a v=12i 2
      expect:
        - {kind: alert, data: {id: a, level: CRITICAL, time: '1970-01-01T00:00:00.000000001Z'}}
        - {node: log3, data: {fields: {v: 11.0}}}
    - name: only alerts count
      precision: s
      only: [alert]
      points: 'cpu,host=a v=11i 1'
      expect: [{data: {time: '1970-01-01T00:00:01Z'}}]
    - name: only one node counts
      only: [log3]
      exact: true
      points: 'cpu,host=a v=11i 1'
      expect:
        - node: log3
          kind: log
          data: {level: INFO, prefix: '', name: cpu, database: db, retentionPolicy: rp, group: host=a, byName: false, dimensions: [host], tags: {host: a}, fields: {v: 11}, time: '1970-01-01T00:00:00.000000001Z'}
    - name: nothing comes of low values
      points: 'cpu,host=a v=1i 1'
    - name: text is no number
      points: 'cpu,host=a v=\"x\" 1'
      expectErrors: [{node: alert2, message: mismatched type}]
";

#[test]
fn cases_that_pass() {
    let folder = Folder::new();
    folder.file("cpu.tick", SCRIPT);
    folder.file("cpu.test.yaml", cases("", GOOD));
    let expected = [
        "ok   cpu: a subset is enough",
        "ok   cpu: only alerts count",
        "ok   cpu: only one node counts",
        "ok   cpu: nothing comes of low values",
        "ok   cpu: text is no number",
        "5 passed, 0 failed",
    ];
    for args in [
        &["test", "cpu.tick"][..],
        &["test", "cpu.test.yaml"],
        &["test", "."],
        &["test", "cpu.tick", "cpu.test.yaml"],
    ] {
        let ran = folder.run(args).ends(0);
        assert_eq!(ran.lines(), expected, "{args:?}");
    }
    folder.run(&["check", "cpu.tick", "cpu.test.yaml"]).ends(0);
}

#[test]
fn cases_that_fail_say_what_differs() {
    let bad = "    \
    - name: wrong
      points: 'cpu,host=a v=11i 1'
      expect:
        - {kind: alert, data: {level: OK, nothing: 1}}
        - {kind: log}
        - {kind: log}
    - name: too much
      points: 'cpu,host=a v=11i 1'
      only: [alert]
      exact: true
      expect: [{node: alert2, kind: alert}]
    - name: errors
      points: 'cpu,host=a v=\"x\" 1'
      expectErrors: [{node: eval1, message: other}, {node: x}]
    - name: unexpected
      points: 'cpu,host=a v=\"x\" 1'
    - name: not readable
      points: 'cpu v'
";
    let files = [("cpu.tick", SCRIPT.to_owned()), ("cpu.test.yaml", cases("", bad))];
    let files: Vec<(&str, &str)> =
        files.iter().map(|(name, text)| (*name, text.as_str())).collect();
    let ran = run(&["test", "cpu.tick"], b"", &files).ends(1);
    let lines = ran.lines();
    let text = ran.text();
    for expected in [
        "FAIL cpu: wrong",
        "       effect 0: data.level: expected \"OK\", got \"CRITICAL\"",
        "       effect 0: data.nothing: expected 1, got nothing",
        "       effect 2: expected {\"kind\":\"log\"}, got nothing",
        "       error 0: expected node `eval1`, got `alert2`",
        "       error 1: expected one, got none",
        "0 passed, 5 failed",
    ] {
        assert!(lines.contains(&expected), "{expected}\n{text}");
    }
    assert!(text.contains("effect 0: data: expected no such member, got {"), "{text}");
    assert!(text.contains("unexpected error in alert2: "), "{text}");
    assert!(text.contains("FAIL cpu: not readable\n       line 1: "), "{text}");
    let ran = run(&["test", "cpu.tick", "--output", "json"], b"", &files).ends(1);
    let first = &ran.json()[0];
    assert_eq!(first["task"], "cpu");
    assert_eq!(first["passed"], false);
    assert_eq!(first["differences"].as_array().unwrap().len(), 3);
}

#[test]
fn a_document_says_what_it_is_about() {
    let one = "    - {name: n, points: 'cpu,host=a v=6i 1', only: [alert], expect: [{data: {level: CRITICAL}}]}\n";
    let spec = "  task: ../cpu.tick\n  vars: {limit: {type: int, value: 5}}\n";
    let folder = Folder::new();
    folder.file("cpu.tick", SCRIPT);
    folder.file("cases/low.test.yaml", cases(spec, one));
    let ran = folder.run(&["test", "cases/low.test.yaml"]).ends(0);
    assert_eq!(ran.lines(), ["ok   cpu: n", "1 passed, 0 failed"]);
    folder.run(&["test", "."]).ends(0);
    // Flows and tasks in one folder.
    folder.file("f.yaml", "apiVersion: dataflow.dataflow.io/v1\nkind: DataFlow\nmetadata: {name: f}\nspec:\n  source: {type: stdin, config: {}}\n  sink: {type: stdout, config: {}}\n");
    folder.file("f.test.yaml", "apiVersion: levada.dev/v1\nkind: FlowTest\nmetadata: {name: f}\nspec:\n  cases:\n    - {name: same, input: [{payload: {a: 1}}], expect: [{payload: {a: 1}}]}\n");
    let ran = folder.run(&["test", "."]).ends(0);
    assert_eq!(ran.lines(), ["ok   cpu: n", "ok   f: same", "2 passed, 0 failed"]);
    let check = |spec: &str, one: &str, expected: &str| {
        folder.file("x.yaml", cases(spec, one));
        let ran = folder.run(&["test", "x.yaml"]);
        assert_ne!(ran.code, 0);
        assert!(ran.stderr.contains(expected), "{expected}\n{}", ran.stderr);
    };
    check("  task: none.tick\n", one, "x.yaml: `spec.task`: there is no file `none.tick`");
    check("", one, "x.yaml: `spec.task` is needed");
    check("  type: both\n", one, "spec.type: Unsupported value: \"both\"");
    check("  vars: {a: {type: x, value: 1}}\n", one, "spec.vars: unknown VarType x");
    check(
        "",
        "    - {name: n}\n",
        "spec.cases[0].points: Required value: points or batches are required",
    );
    check(
        "",
        "    - {name: n, points: a, batches: [[]]}\n",
        "spec.cases[0]: needs either `points` or `batches`",
    );
    check(
        "",
        "    - {name: n, points: a, precision: d}\n",
        "spec.cases[0].precision: unknown unit `d`",
    );
    check(
        "",
        "    - {name: n, points: a, expect: [1]}\n",
        "spec.cases[0].expect[0]: an effect is an object",
    );
    check(
        "",
        "    - {name: n, point: a}\n",
        "spec.cases[0].point: unknown field `point`; known: name, points,",
    );
    folder.file("bad.tick", "stream");
    check("  task: bad.tick\n", one, "bad.tick:1:1: task does nothing");
    let ran = folder.run(&["test", "bad.tick"]).ends(1);
    assert!(ran.stderr.contains("no cases found"), "{}", ran.stderr);
    for missing in ["none.tick", "none.yaml"] {
        let ran = folder.run(&["test", missing]).ends(1);
        assert!(ran.stderr.contains(&format!("`{missing}` cannot be read")), "{}", ran.stderr);
    }
}

#[test]
fn a_script_is_drawn() {
    let script = "var d = stream|from()\nd|log()\nd|where(lambda: TRUE)|log()";
    let draw = |args: &[&str]| {
        let args = [&["graph", "two.tick"], args].concat();
        run(&args, b"", &[("two.tick", script)]).ends(0).text().to_owned()
    };
    // The order of the original: of two siblings, the one linked later comes first; children in the order of links.
    let dot =
        "digraph two {\nstream0 -> from1;\nfrom1 -> log2;\nfrom1 -> where3;\nwhere3 -> log4;\n}\n";
    assert_eq!(draw(&[]), dot);
    assert_eq!(draw(&["--format", "dot"]), dot);
    assert_eq!(draw(&["--format", "text"]), "stream0\nfrom1\n├─ log2\n└─ where3\n   log4\n");
    assert!(
        draw(&["--format", "mermaid"])
            .starts_with("flowchart TD\n    stream0\n    stream0 --> from1\n")
    );
    run(&["graph", "t.tick", "--format", "svg"], b"", &[("t.tick", script)]).ends(2);
    let ran = run(&["graph", "t.tick"], b"", &[("t.tick", "stream|foo()")]).ends(1);
    assert!(ran.stderr.starts_with("t.tick:1:8: line 1 char 8: no method or property \"foo\""));
    let ran = run(&["graph", "-", "--type", "stream"], script.as_bytes(), &[]).ends(0);
    assert!(ran.text().starts_with("digraph stdin {\n"));
    // What cannot be enabled can be drawn.
    run(&["graph", "t.tick"], b"", &[("t.tick", "stream|from()|where(lambda: 'a' > 1)")]).ends(0);
}

/// Source: kapacitor reference §14.3.
#[test]
fn dot_is_that_of_the_original() {
    for (script, body) in [
        (
            "stream|from()|window().period(1s).every(1s)|mean('v')|log()",
            "stream0 -> from1;\nfrom1 -> window2;\nwindow2 -> mean3;\nmean3 -> log4;\n",
        ),
        (
            "var d = stream|from().groupBy('host')\nd|deadman(2.0, 1s)",
            "stream0 -> from1;\nfrom1 -> noop3;\nstats2 -> derivative4;\nderivative4 -> alert5;\n",
        ),
        (
            "batch|stats(1s)|log()\nbatch|query('SELECT v FROM a.b.c').every(1s)|log()",
            "query4 -> log5;\nstats1 -> log3;\n",
        ),
        (
            "var a = stream|from()\na|join(a).as('x', 'y')|log()",
            "stream0 -> from1;\nfrom1 -> join3;\nfrom1 -> join3;\njoin3 -> log4;\n",
        ),
    ] {
        let ran = run(&["graph", "TASKID.tick"], b"", &[("TASKID.tick", script)]).ends(0);
        assert_eq!(ran.text(), format!("digraph TASKID {{\n{body}}}\n"));
        for format in ["text", "mermaid"] {
            let args = ["graph", "TASKID.tick", "--format", format];
            let picture = run(&args, b"", &[("TASKID.tick", script)]).ends(0).text().to_owned();
            let node = body.split(" -> ").next().unwrap();
            assert!(picture.contains(node), "{picture}");
        }
    }
}

/// The examples are in good order: checked, laid out, and what their cases say.
#[test]
fn the_example_tasks_do_what_their_cases_say() {
    let examples = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples/tasks");
    let folder = Folder::new();
    let mut scripts = Vec::new();
    for entry in std::fs::read_dir(examples).unwrap() {
        let entry = entry.unwrap();
        let name = entry.file_name().into_string().unwrap();
        folder.file(&name, std::fs::read(entry.path()).unwrap());
        if name.ends_with(".tick") {
            scripts.push(name);
        }
    }
    assert!(!scripts.is_empty());
    for script in &scripts {
        folder.run(&["check", script]).ends(0);
        folder.run(&["fmt", "--check", script]).ends(0);
        let ran = folder.run(&["test", script, "--output", "json"]).ends(0);
        assert!(ran.json().iter().all(|line| line["passed"] == json!(true)));
    }
    folder.run(&["test", "."]).ends(0);
}
