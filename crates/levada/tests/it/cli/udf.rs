//! Functions that run outside, of the settings file.

use std::path::Path;

use levada_testkit::udf;
use serde_json::json;

use super::binary::Folder;

const SCRIPT: &str = "stream|from().measurement('m').groupBy('h')@seen().many(1, 2.5, 'x')\n    |log()\n    |influxDBOut().database('d').retentionPolicy('r')\n";
const POINTS: &str = "m,h=a v=1 1\nm,h=b v=2 2\nother v=3 3\nm,h=a v=4 4\n";

/// This binary is started as a function by the other tests.
#[test]
fn this_binary_as_a_function() {
    udf::run();
}

/// Writes the settings of the function `seen`.
fn settings(folder: &Folder, kind: &str) {
    let program = udf::program("cli::udf::this_binary_as_a_function", kind);
    let (args, env) = (json!(program.args), format!("{}={}", program.env.0, program.env.1));
    let text = format!(
        "[udf.functions.seen]\nprog = '{}'\nargs = {args}\nenv = [{env:?}]\n",
        program.program
    );
    folder.file("levada.toml", text);
}

#[test]
fn a_dry_run_runs_functions() {
    let mut folder = Folder::new();
    // The shell is looked for.
    folder.variable("PATH", &std::env::var("PATH").unwrap());
    settings(&folder, "copy");
    folder.file("t.tick", SCRIPT);
    folder.file("in", POINTS);
    let ran = folder.run(&["dry-run", "t.tick", "--input", "in", "--stats"]).ends(0);
    let lines = ran.json();
    let written: Vec<_> = lines.iter().filter(|line| line["kind"] == "influxDBOut").collect();
    let seen: Vec<_> = written.iter().map(|line| line["data"]["fields"]["seen"].clone()).collect();
    assert_eq!(seen, [1, 2, 3].map(|seen| json!(seen)), "{}", ran.text());
    assert_eq!(
        written[2]["data"]["fields"]["options"],
        "many[Int(1), Double(2.5), String(\"x\")];t seen2"
    );
    let statistics = lines.last().unwrap();
    assert_eq!(statistics["data"]["node-stats"]["seen2"]["collected"], 3);
    assert_eq!(ran.stderr, "");
}

#[test]
fn a_function_that_goes_wrong_ends_the_run() {
    let mut folder = Folder::new();
    folder.variable("PATH", &std::env::var("PATH").unwrap());
    folder.file("t.tick", SCRIPT);
    folder.file("in", POINTS);
    let dry_run = ["dry-run", "t.tick", "--input", "in"];
    settings(&folder, "error");
    let ran = folder.run(&dry_run).ends(3);
    assert!(
        ran.stderr.contains("the task failed: seen2: such points are not taken"),
        "{}",
        ran.stderr
    );
    settings(&folder, "dumb");
    let ran = folder.run(&dry_run).ends(1);
    let why = "it ends without saying what it is (exit status: 4)";
    assert!(
        ran.stderr.contains(&format!("warning: the function `seen` cannot be used: {why}")),
        "{}",
        ran.stderr
    );
    assert!(ran.stderr.contains("the function seen cannot be used: "), "{}", ran.stderr);
    // Without settings nobody knows the function.
    std::fs::remove_file(folder.path().join("levada.toml")).unwrap();
    let ran = folder.run(&dry_run).ends(3);
    assert!(ran.stderr.contains("`[udf.functions.seen]` of the settings"), "{}", ran.stderr);
}

#[test]
fn a_run_feeds_functions_and_hears_their_last() {
    let mut folder = Folder::new();
    folder.variable("PATH", &std::env::var("PATH").unwrap());
    settings(&folder, "late");
    folder.file("t.tick", "stream|from()@seen()|log().level('ERROR').prefix('told')");
    folder.file(
        "f.yaml",
        "apiVersion: dataflow.dataflow.io/v1\nkind: DataFlow\nmetadata: {name: f}\nspec:\n  source: {type: file, config: {paths: [in.ndjson]}}\n  sink: {type: task, config: {name: t, measurement: m, fields: [v]}}\n",
    );
    folder.file("in.ndjson", "{\"v\":1}\n{\"v\":2}\n");
    let ran = folder.run(&["run", "f.yaml", "t.tick", "--no-checkpoints"]).ends(0);
    assert_eq!(ran.stderr.matches("told").count(), 2, "{}", ran.stderr);
    assert!(!ran.stderr.contains("error: "), "{}", ran.stderr);
}

#[test]
fn the_example_works_where_python_is() {
    let examples = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples/udf");
    let python = std::process::Command::new("python3").arg("--version").output();
    if !python.is_ok_and(|output| output.status.success()) {
        return levada_testkit::skipped("the example of a function", "there is no python3");
    }
    let mut folder = Folder::new();
    folder.variable("PATH", &std::env::var("PATH").unwrap());
    for name in ["levada.toml", "mean.tick", "points.lp", "moving_mean.py"] {
        folder.file(name, std::fs::read(examples.join(name)).unwrap());
    }
    let ran = folder.run(&["dry-run", "mean.tick", "--input", "points.lp"]).ends(0);
    let told: Vec<_> = ran
        .json()
        .iter()
        .map(|line| line["data"]["message"].as_str().unwrap().to_owned())
        .collect();
    assert_eq!(told, ["host=a is at 93"], "{}\n{}", ran.text(), ran.stderr);
}
