//! `levada test`: cases that pass, cases that do not and why, and where cases are looked for.

use serde_json::json;

use super::binary::{Folder, run};

const FLOW: &str = "\
apiVersion: dataflow.dataflow.io/v1
kind: DataFlow
metadata: {name: orders}
spec:
  source: {type: stdin, config: {}}
  sink: {type: stdout, config: {}}
  transformations:
    - {type: filter, config: {condition: $.id}}
    - {type: mask, config: {fields: [email]}}
    - {type: cast, config: {spec: {n: int64}}}
    - type: router
      config: {routes: [{name: slow, condition: $.ms > 10, sink: {type: stdout, config: {}}}]}
";

fn cases(cases: &str) -> String {
    format!(
        "apiVersion: levada.dev/v1\nkind: FlowTest\nmetadata: {{name: c}}\nspec:\n  cases:\n{cases}"
    )
}

fn with_cases(text: &str) -> String {
    format!("{FLOW}---\n{}", cases(text))
}

const GOOD: &str = "    \
    - name: masks and routes
      input:
        - payload: {id: 1, email: a, ms: 50}
          metadata: {topic: in, extra: 1}
        - payload: {id: 2, n: '5', ms: 1}
      expect:
        - {payload: {ms: 50, email: '***', id: 1.0}, route: slow, metadata: {topic: in}}
        - {payload: {id: 2, n: 5, ms: 1}, route: main}
    - name: drops what has no id
      input: [{payload: {}}, {text: not json}]
    - name: refuses text
      input: [{payload: {id: 1, n: x}}]
      errors: [{stage: 'transform[2]:cast', class: transformation_error, message: not a number}]
    - name: stops early
      steps: 1
      input: [{payload: {id: 1, email: a}}]
      expect: [{text: '{\"id\":1,\"email\":\"a\"}'}]
";

#[test]
fn cases_that_pass() {
    let ran = run(&["test", "f.yaml"], b"", &[("f.yaml", &with_cases(GOOD))]).ends(0);
    assert_eq!(
        ran.lines(),
        [
            "ok   orders: masks and routes",
            "ok   orders: drops what has no id",
            "ok   orders: refuses text",
            "ok   orders: stops early",
            "4 passed, 0 failed",
        ]
    );
}

#[test]
fn cases_that_fail_say_what_differs() {
    let bad = "    \
    - name: everything is wrong
      input:
        - payload: {id: 1, ms: 50}
        - payload: {id: 2, n: x}
        - payload: {id: 3}
      expect:
        - {payload: {id: 2}, route: main, metadata: {topic: in}}
    - name: nothing came
      input: [{payload: {}}]
      expect: [{payload: {a: 1}}]
      errors: [{class: invalid_data}]
    - name: other failure
      input: [{payload: {id: 1, n: x}}]
      errors: [{stage: decode, class: invalid_data, message: something}]
    - name: fine
      input: [{payload: {id: 1}}]
      expect: [{payload: {id: 1}}]
";
    let files = [("f.yaml", with_cases(bad))];
    let files = [(files[0].0, files[0].1.as_str())];
    let ran = run(&["test", "f.yaml"], b"", &files).ends(1);
    assert_eq!(
        ran.lines(),
        [
            "FAIL orders: everything is wrong",
            "       output 0: expected {\"id\":2}, got {\"id\":1,\"ms\":50}",
            "       output 0: expected route `main`, got `slow`",
            "       output 0: expected metadata `topic` Some(\"in\"), got None",
            "       output 1: expected nothing, got {\"id\":3}",
            "       unexpected error in transform[2]:cast: cast \"n\" to int64: the string is not a number",
            "FAIL orders: nothing came",
            "       output 0: expected {\"a\":1}, got nothing",
            "       error 0: expected one, got none",
            "FAIL orders: other failure",
            "       error 0: expected stage `decode`, got `transform[2]:cast`",
            "       error 0: expected class `invalid_data`, got `transformation_error`",
            "       error 0: expected a message with `something`, got `cast \"n\" to int64: the string is not a number`",
            "ok   orders: fine",
            "1 passed, 3 failed",
        ]
    );
    let ran = run(&["test", "f.yaml", "--output", "json"], b"", &files).ends(1);
    let json = ran.json();
    assert_eq!(json.len(), 4);
    assert_eq!(
        json[1],
        json!({
            "file": "f.yaml", "flow": "orders", "case": "nothing came", "passed": false,
            "differences": ["output 0: expected {\"a\":1}, got nothing", "error 0: expected one, got none"],
        })
    );
    assert_eq!(json[3]["passed"], true);
}

#[test]
fn cases_stand_in_the_file_beside_it_or_in_one_that_is_named() {
    let apart = cases(GOOD);
    for name in ["f.test.yaml", "f.test.yml"] {
        let ran = run(&["test", "f.yaml"], b"", &[("f.yaml", FLOW), (name, &apart)]).ends(0);
        assert_eq!(ran.lines().last(), Some(&"4 passed, 0 failed"));
    }
    let files = [("f.yaml", FLOW), ("cases/c.yaml", apart.as_str())];
    run(&["test", "f.yaml"], b"", &files).ends(1);
    run(&["test", "f.yaml", "cases/c.yaml"], b"", &files).ends(0);
    let ran = run(&["test", "-"], with_cases(GOOD).as_bytes(), &[]).ends(0);
    assert_eq!(ran.lines().last(), Some(&"4 passed, 0 failed"));
    // The file beside is not read twice when it is named too.
    let files = [("f.yaml", FLOW), ("f.test.yaml", apart.as_str())];
    let ran = run(&["test", "f.yaml", "f.test.yaml"], b"", &files).ends(0);
    assert_eq!(ran.lines().last(), Some(&"4 passed, 0 failed"));
}

#[test]
fn cases_say_which_flow_they_are_about() {
    let other = FLOW.replace("orders", "others");
    let both = |flow: &str| {
        let cases =
            cases("    - {name: n, input: [{payload: {id: 1}}], expect: [{payload: {id: 1}}]}\n");
        format!("{FLOW}---\n{other}---\n{}", cases.replace("  cases:", &format!("{flow}  cases:")))
    };
    let test = |text: String| run(&["test", "f.yaml"], b"", &[("f.yaml", &text)]);
    let ran = test(both("  flow: others\n")).ends(0);
    assert_eq!(ran.lines()[0], "ok   others: n");
    let ran = test(both("")).ends(1);
    assert!(ran.stderr.contains("known: orders, others"), "{}", ran.stderr);
    let ran = test(both("  flow: none\n")).ends(1);
    assert!(ran.stderr.contains("unknown flow `none`; known: orders, others"), "{}", ran.stderr);
}

#[test]
fn bad_cases_are_refused_with_their_place() {
    let check = |text: &str, expected: &str| {
        let ran = run(&["test", "f.yaml"], b"", &[("f.yaml", &with_cases(text))]).ends(1);
        assert!(ran.stderr.contains(expected), "{}", ran.stderr);
        let text = with_cases(text);
        let ran = run(&["check", "f.yaml"], b"", &[("f.yaml", &text)]).ends(1);
        assert!(ran.text().contains(expected), "{}", ran.text());
    };
    check(
        "    - {name: n, inputs: []}\n",
        "f.yaml:19:17: spec.cases[0].inputs: unknown field `inputs`; known: name, steps, input, expect, errors",
    );
    check(
        "    - {name: n}\n",
        "spec.cases[0].input: Required value: at least one message is required",
    );
    check(
        "    - {name: n, input: [{payload: 1, text: x}]}\n",
        "spec.cases[0].input[0]: needs either `payload` or `text`",
    );
    check("    - {input: [{text: x}]}\n", "spec.cases[0].name: Required value: ");
    let ran = run(&["test", "f.yaml"], b"", &[("f.yaml", FLOW)]).ends(1);
    assert!(ran.stderr.contains("no cases found"), "{}", ran.stderr);
    let broken = with_cases(GOOD).replace("stdout", "nowhere");
    let ran = run(&["test", "f.yaml"], b"", &[("f.yaml", &broken)]).ends(1);
    assert!(ran.stderr.contains("Unsupported value: \"nowhere\""), "{}", ran.stderr);
    assert_eq!(ran.text(), "");
}

/// Cases compare values: a big number that differs in its last digit is another number.
#[test]
fn big_numbers_are_compared_exactly() {
    let case = |expected: &str| {
        with_cases(&format!(
            "    - name: big\n      input: [{{text: '{{\"id\":12345678901234567890}}'}}]\n      \
             expect: [{{payload: {{id: {expected}}}}}]\n"
        ))
    };
    let folder = Folder::new();
    folder.file("same.yaml", case("12345678901234567890"));
    folder.file("other.yaml", case("12345678901234567891"));
    folder.run(&["test", "same.yaml"]).ends(0);
    let input = "    - name: as written\n      input: [{payload: {id: 123456789012345678901, a: null}}, {payload: null}]\n      \
                 expect: [{text: '{\"id\":123456789012345678901,\"a\":null}'}]\n      steps: 1\n";
    folder.file("written.yaml", with_cases(input));
    folder.run(&["test", "written.yaml"]).ends(0);
    folder.run(&["test", "other.yaml"]).ends(1);
}
