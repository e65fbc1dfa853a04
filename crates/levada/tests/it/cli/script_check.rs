//! `levada check` on scripts: the errors of the original, their places, warnings, mixed files.

use serde_json::json;

use super::binary::{Folder, run};
use super::cases::{Block, blocks};

const ERRORS: &str = include_str!("data/script_errors.txt");

struct Row {
    script: String,
    message: String,
}

fn row(block: &Block<'_>) -> Row {
    let (mut script, mut message) = (Vec::new(), String::new());
    for line in &block.lines {
        match line.strip_prefix("-> ") {
            Some(text) => message = text.to_owned(),
            None if *line == "~" => script.push(String::new()),
            None => script.push(line.replace('␣', " ")),
        }
    }
    Row { script: script.join("\n"), message }
}

#[test]
fn every_error_of_the_original_is_found_with_its_text() {
    let folder = Folder::new();
    let rows: Vec<Row> = blocks(ERRORS).iter().map(row).collect();
    assert!(rows.len() >= 54, "{} rows", rows.len());
    // The type that the reference has for all of them; one names `batch`, which a stream task does not know.
    let mut args = ["check", "--type", "stream", "--output", "json"].map(str::to_owned).to_vec();
    // All in one call, which is a test of its own: one file's errors do not hide the next one's.
    for (number, row) in rows.iter().enumerate() {
        let name = format!("{number}.tick");
        folder.file(&name, &row.script);
        args.push(name);
    }
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    let findings = folder.run(&args).ends(1).json();
    let mut wrong = Vec::new();
    for (number, Row { script, message }) in rows.iter().enumerate() {
        let file = format!("{number}.tick");
        let got: Vec<&str> = findings
            .iter()
            .filter(|finding| finding["file"] == *file && finding["severity"] == "error")
            .map(|finding| finding["message"].as_str().unwrap())
            .collect();
        if got != [message] {
            wrong.push(format!("{script}\nwanted {message}\ngot    {got:#?}"));
        }
    }
    assert!(wrong.is_empty(), "{} of {}\n{}", wrong.len(), rows.len(), wrong.join("\n\n"));
}

#[test]
fn a_problem_is_shown_with_its_place_and_a_hint() {
    let check = |script: &str, expected: &[&str]| {
        let ran = run(&["check", "t.tick"], b"", &[("t.tick", script)]).ends(1);
        assert_eq!(ran.lines(), expected);
    };
    check(
        "stream\n    |from()\n    |where(lambda: \"a\" = 1)\n",
        &[
            "t.tick:3:24: parser: unexpected = line 3 char 24 in \"mbda: \"a\" = 1)\". expected: \")\"",
            "  |",
            "3 |     |where(lambda: \"a\" = 1)",
            "  |                        ^",
            "  = hint: `==` compares; `=` stands only behind `var name`",
        ],
    );
    check(
        "stream\n\t|from().foo('ä')\n",
        &[
            "t.tick:2:10: line 2 char 10: no method or property \"foo\" on *pipeline.FromNode",
            "  |",
            "2 | \t|from().foo('ä')",
            "  | \t        ^^^",
        ],
    );
    // Found when the task is enabled: the place is the call that makes the node. All of them are shown.
    check(
        "stream|from()|where(lambda: 'a' > 1)|where(lambda: 1 > TRUE)|log()",
        &[
            "t.tick:1:15: where2: Failed to compile expression in where clause: mismatched type to binary operator. got string > int. see bool(), int(), float(), string(), duration()",
            "  |",
            "1 | stream|from()|where(lambda: 'a' > 1)|where(lambda: 1 > TRUE)|log()",
            "  |               ^^^^^",
            "t.tick:1:38: where3: Failed to compile expression in where clause: mismatched type to binary operator. got int > boolean. see bool(), int(), float(), string(), duration()",
            "  |",
            "1 | stream|from()|where(lambda: 'a' > 1)|where(lambda: 1 > TRUE)|log()",
            "  |                                      ^^^^^",
        ],
    );
    let script = "stream|from()|where(lambda: \"a\" = 1)";
    let ran = run(&["check", "t.tick", "--output", "json"], b"", &[("t.tick", script)]).ends(1);
    assert_eq!(
        ran.json(),
        [json!({
            "file": "t.tick", "line": 1, "column": 33, "path": "", "severity": "error",
            "message": "parser: unexpected = line 1 char 33 in \"mbda: \"a\" = 1)\". expected: \")\"",
            "hint": "`==` compares; `=` stands only behind `var name`",
        })]
    );
}

#[test]
fn warnings_refuse_nothing() {
    for (script, expected) in [
        (
            "stream|from()|where(lambda: foo(1))|log()",
            "t.tick:1:29: warning: where2: undefined function: \"foo\"",
        ),
        ("stream|from()|log()\n'text'", "t.tick:2:1: warning: statement has no effect"),
        (
            "stream|from()|log().prefix",
            "t.tick:1:21: warning: property `prefix` is only read, which has no effect; to set it, write `.prefix(value)`",
        ),
        ("stream|from()|alert().crit(lambda: abs(1.0, 2.0) > 1.0)", "warning: alert2: "),
        (
            "stream|from()@outside().option(1)|log()",
            "t.tick:1:15: warning: the function `outside` runs outside and is not known here: it would be `[udf.functions.outside]` of the settings",
        ),
    ] {
        let ran = run(&["check", "t.tick"], b"", &[("t.tick", script)]).ends(0);
        let found = ran.lines().iter().filter(|line| line.contains("warning: ")).count();
        assert!(ran.text().contains(expected), "{script}\n{}", ran.text());
        assert_eq!(found, 1, "{}", ran.text());
        assert_eq!(ran.stderr, "ok, with 1 warning: 1 task in 1 file\n");
    }
}

#[test]
fn the_type_and_variables_come_from_the_command_line() {
    let folder = Folder::new();
    folder.file("v.tick", "var p int\nvar name = 'cpu'\nstream|from().measurement(name)|log()");
    folder.file(
        "v.json",
        r#"{"p": {"type": "int", "value": 3}, "name": {"type": "string", "value": "mem"}}"#,
    );
    folder.file("bad.json", r#"{"p": {"type": "number", "value": 3}}"#);
    folder.file(
        "wrong.json",
        r#"{"p": {"type": "int", "value": 3}, "name": {"type": "int", "value": 1}}"#,
    );
    let ran = folder.run(&["check", "v.tick"]).ends(1);
    assert!(ran.text().contains("missing value for var \"p\"."), "{}", ran.text());
    folder.run(&["check", "v.tick", "--vars", "v.json"]).ends(0);
    let ran = folder.run(&["check", "v.tick", "--vars", "bad.json"]).ends(1);
    assert_eq!(ran.stderr, "error: bad.json: unknown VarType number\n");
    let ran = folder.run(&["check", "v.tick", "--vars", "wrong.json"]).ends(1);
    assert!(
        ran.text().contains("invalid type supplied for name, got int exp string"),
        "{}",
        ran.text()
    );
    folder.run(&["check", "v.tick", "--vars", "none.json"]).ends(1);
    let ran = folder.run(&["check", "v.tick", "--vars", "v.json", "--type", "batch"]).ends(1);
    assert!(
        ran.text().contains("name \"stream\" is undefined. Names in scope: "),
        "{}",
        ran.text()
    );
    folder.run(&["check", "v.tick", "--type", "other"]).ends(2);
    folder.run(&["check", "v.tick", "--template"]).ends(0);
    folder.file("t.tick", "var p int\nstream|from()|foo(p)");
    let ran = folder.run(&["check", "t.tick", "--template"]).ends(1);
    assert!(ran.text().contains("no method or property \"foo\""), "{}", ran.text());
}

#[test]
fn flows_and_scripts_are_checked_together_and_from_standard_input() {
    let folder = Folder::new();
    folder.file("f.yaml", "apiVersion: dataflow.dataflow.io/v1\nkind: DataFlow\nmetadata: {name: f}\nspec:\n  source: {type: stdin, config: {}}\n  sink: {type: stdout, config: {}}\n");
    folder.file("a.tick", "stream|from()|log()");
    folder.file("b.TICK", "stream");
    let ran = folder.run(&["check", "f.yaml", "a.tick"]).ends(0);
    assert_eq!(ran.stderr, "ok: 1 flow and 1 task in 2 files\n");
    let ran = folder.run(&["check", "a.tick", "b.TICK", "f.yaml", "none.tick"]).ends(1);
    assert_eq!(
        ran.lines(),
        [
            "b.TICK:1:1: task does nothing",
            "none.tick:1:1: cannot be read: No such file or directory (os error 2)",
        ]
    );
    for script in [
        "stream|from()|log()",
        "// a\nvar x = 1\nstream|from()|log()",
        "\n dbrp \"a\".\"b\" stream|from()|log()",
    ] {
        let ran = folder.run_with(&["check", "-"], script.as_bytes()).ends(0);
        assert_eq!(ran.stderr, "ok: 1 task in 1 file\n", "{script}");
    }
    let ran = folder.run_with(&["check", "-", "--type", "stream"], b"x|log()").ends(1);
    assert!(ran.text().starts_with("<stdin>:1:1: name \"x\" is undefined"), "{}", ran.text());
    folder.file("utf8.tick", b"stream\xff");
    let ran = folder.run(&["check", "utf8.tick"]).ends(1);
    assert_eq!(ran.text(), "utf8.tick:1:1: the script is not UTF-8 at byte 6\n");
    let long = "x".repeat((1 << 20) + 1);
    folder.file("long.tick", &long);
    let ran = folder.run(&["check", "long.tick"]).ends(1);
    assert_eq!(ran.text(), "long.tick:1:1: the script has more than 1048576 bytes\n");
}
