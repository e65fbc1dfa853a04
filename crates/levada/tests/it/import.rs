//! `levada import kapacitor` between two real servers, and from a load directory.

#![allow(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    reason = "tests: a deadline on the real clock"
)]

use std::process::Command;
use std::time::{Duration, Instant};

use levada_testkit::http::request;
use serde_json::{Value, json};

use crate::serving::{LONG, Serving};

const API: &str = "/kapacitor/v1";

/// Sends a request and gives the answer, which must have a status below 300.
#[track_caller]
fn ask(server: &Serving, method: &str, path: &str, body: &Value) -> Value {
    let body = if body.is_null() { String::new() } else { body.to_string() };
    send(server, method, path, &body)
}

#[track_caller]
fn send(server: &Serving, method: &str, path: &str, body: &str) -> Value {
    let address = format!("127.0.0.1:{}", server.port);
    let answer = request(&address, method, &format!("{API}{path}"), &[], body.as_bytes());
    let (status, text) = answer.unwrap();
    let text = String::from_utf8(text).unwrap();
    assert!(status < 300, "{method} {path}: {status} {text}");
    if text.is_empty() { Value::Null } else { serde_json::from_str(&text).unwrap() }
}

#[track_caller]
fn write(server: &Serving, lines: &str) {
    send(server, "POST", "/write?db=telegraf&rp=autogen&precision=s", lines);
}

/// Waits until something is as it should be.
#[track_caller]
fn until(what: &str, mut is_met: impl FnMut() -> bool) {
    let started = Instant::now();
    while !is_met() {
        assert!(started.elapsed() < LONG, "waited in vain until {what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// Imports; gives the code, a line per object, and what was said.
fn import(source: &str, target: &Serving, more: &[&str]) -> (i32, Vec<String>, String) {
    let output = Command::new(env!("CARGO_BIN_EXE_levada"))
        .args(["import", "kapacitor", source, "--server", &target.url(), "--output", "json"])
        .args(more)
        .current_dir(target.folder.path("."))
        .output()
        .unwrap();
    let rows = String::from_utf8(output.stdout).unwrap();
    let rows = rows.lines().map(|line| {
        let row: Value = serde_json::from_str(line).unwrap();
        let [kind, name, action, detail] =
            ["kind", "name", "action", "detail"].map(|key| row[key].as_str().unwrap());
        format!("{kind} {name} {action} {detail}").trim_end().to_owned()
    });
    let errors = String::from_utf8(output.stderr).unwrap();
    (output.status.code().unwrap(), rows.collect(), errors)
}

/// Gives what a server knows, without times and statistics.
fn known(server: &Serving) -> Value {
    let fields = "fields=type&fields=script&fields=dbrps&fields=vars&fields=status&fields=executing\
                  &fields=template-id&script-format=raw";
    let tasks = ask(server, "GET", &format!("/tasks?{fields}"), &Value::Null);
    let fields = "fields=type&fields=script&fields=vars&script-format=raw";
    let templates = ask(server, "GET", &format!("/templates?{fields}"), &Value::Null);
    let mut topics = Vec::new();
    let list = ask(server, "GET", "/alerts/topics", &Value::Null);
    for topic in list["topics"].as_array().unwrap() {
        let id = topic["id"].as_str().unwrap();
        let [handlers, events] = ["handlers", "events"].map(|what| {
            let answer = ask(server, "GET", &format!("/alerts/topics/{id}/{what}"), &Value::Null);
            answer[what].clone()
        });
        topics.push(
            json!({"id": id, "level": topic["level"], "handlers": handlers, "events": events}),
        );
    }
    json!({"tasks": tasks["tasks"], "templates": templates["templates"], "topics": topics})
}

/// A server with a bit of everything, two alerts of which are firing.
fn source(log: &str) -> Serving {
    let server = Serving::new();
    let post = |path: &str, body: Value| ask(&server, "POST", path, &body);
    let template = "// what is watched\nvar measurement string\n\nvar most = 90.0\n\n\
                    stream|from().measurement(measurement).groupBy('host')\
                    |alert().id('{{.TaskName}} {{.Group}}').message('{{.Level}}').crit(lambda: \"value\" > most)\
                    .stateChangesOnly().topic('system')";
    post("/templates", json!({"id": "above", "script": template}));
    let dbrps = json!([{"db": "telegraf", "rp": "autogen"}]);
    post(
        "/tasks",
        json!({
            "id": "cpu", "template-id": "above", "status": "enabled", "dbrps": dbrps,
            "vars": {"measurement": {"type": "string", "value": "cpu"}, "most": {"type": "float", "value": 50.0}},
        }),
    );
    // Its database is named in the script, and its topic has no name.
    let script = format!(
        "dbrp \"telegraf\".\"autogen\"\n\nstream|from().measurement('disk')\
         |alert().id('disk').message('{{{{.Level}}}} after {{{{.Duration}}}}').crit(lambda: \"value\" > 90)\
         .stateChangesOnly().log('{log}')"
    );
    post("/tasks", json!({"id": "disk", "script": script, "status": "enabled"}));
    post("/tasks", json!({"id": "off", "script": "stream|from()|log()", "dbrps": dbrps}));
    post(
        "/alerts/topics/system/handlers",
        json!({"id": "tell", "kind": "log", "options": {"path": log}, "match": "level() != INFO"}),
    );
    write(
        &server,
        "cpu,host=a value=60 1772359200\ncpu,host=b value=10 1772359200\ndisk value=95 1772359200\n",
    );
    let is_firing = |topic: &str| {
        let list = ask(&server, "GET", "/alerts/topics", &Value::Null);
        let topics = list["topics"].as_array().unwrap();
        topics.iter().any(|known| known["id"] == topic && known["level"] == "CRITICAL")
    };
    until("the alerts fire", || is_firing("system") && is_firing("main:disk:alert2"));
    server
}

#[test]
fn everything_comes_over_and_alerts_that_fired_recover_there() {
    let target = Serving::new();
    let log = target.folder.path("alerts.ndjson").display().to_string();
    let source = source(&log);
    until("the source has told", || {
        target.folder.read("alerts.ndjson").iter().filter(|b| **b == b'\n').count() == 2
    });
    let expected = [
        "template above created",
        "task cpu created enabled",
        "task disk created enabled",
        "task off created disabled",
        "topic-handler system/tell created log",
        "topic-events main:disk:alert2 created 1 state",
        "topic-events system created 1 state",
    ];
    // First only asked for.
    let (code, rows, _) = import(&source.url(), &target, &["--dry-run"]);
    assert_eq!((code, rows), (0, expected.map(str::to_owned).to_vec()));
    assert_eq!(known(&target), json!({"tasks": [], "templates": [], "topics": []}));

    let (code, rows, errors) = import(&source.url(), &target, &[]);
    assert_eq!((code, rows), (0, expected.map(str::to_owned).to_vec()), "{errors}");
    assert_eq!(errors, "created 7, changed 0, unchanged 0, failed 0\n");
    assert_eq!(known(&target), known(&source));
    let told = target.folder.read("alerts.ndjson");

    // Once more changes nothing, and a crash loses nothing.
    let mut target = target;
    for is_after_crash in [false, true] {
        if is_after_crash {
            target.crash();
        }
        let (code, rows, errors) = import(&source.url(), &target, &[]);
        let changed: Vec<&String> = rows.iter().filter(|row| !row.contains("unchanged")).collect();
        assert_eq!((code, changed), (0, Vec::<&String>::new()), "{errors}");
        assert_eq!(known(&target), known(&source));
    }
    assert_eq!(
        target.folder.read("alerts.ndjson"),
        told,
        "no handler heard of what was brought over"
    );

    // The recoveries are told, with the level that the source knew.
    write(
        &target,
        "cpu,host=a value=20 1772359260\ncpu,host=b value=10 1772359260\ndisk value=5 1772359260\n",
    );
    until("the recoveries are told", || {
        target.folder.read("alerts.ndjson").iter().filter(|b| **b == b'\n').count() == 4
    });
    let lines = String::from_utf8(target.folder.read("alerts.ndjson")).unwrap();
    let mut recoveries: Vec<String> = lines
        .lines()
        .skip(2)
        .map(|line| {
            let event: Value = serde_json::from_str(line).unwrap();
            let [id, level, previous] =
                ["id", "level", "previousLevel"].map(|key| event[key].as_str().unwrap());
            format!("{id} {level} before {previous} {}", event["duration"])
        })
        .collect();
    recoveries.sort();
    let minute = 60_000_000_000_i64;
    let expected = [
        format!("cpu host=a OK before CRITICAL {minute}"),
        format!("disk OK before CRITICAL {minute}"),
    ];
    assert_eq!(recoveries, expected);

    // What is newer here stays when the source is asked again.
    let (code, rows, errors) = import(&source.url(), &target, &[]);
    assert_eq!(code, 0, "{errors}");
    assert!(rows.iter().all(|row| row.contains("unchanged")), "{rows:?}");
}

/// A request with so many states of a topic.
fn states(ids: std::ops::Range<usize>) -> Value {
    let event = |id: usize| {
        json!({
            "id": format!("cpu:host={id:04}"),
            "state": {
                "message": "hot", "details": "<b>", "time": "2026-03-01T10:00:00Z", "duration": "5m0s",
                "level": "CRITICAL",
            },
        })
    };
    json!({"events": ids.map(event).collect::<Vec<_>>()})
}

#[test]
fn more_states_than_one_request_takes_come_over() {
    let (source, target) = (Serving::new(), Serving::new());
    let address = format!("127.0.0.1:{}", source.port);
    let path = "/kapacitor/v1preview/alerts/topics/system/events";
    let post = |body: &Value| {
        let answer = request(&address, "POST", path, &[], body.to_string().as_bytes());
        let (status, text) = answer.unwrap();
        (status, String::from_utf8(text).unwrap())
    };
    let (status, text) = post(&states(0..1_001));
    let text: Value = serde_json::from_str(&text).unwrap();
    assert_eq!(
        (status, &text["error"]),
        (413, &json!("1001 events are too many: at most 1000 per request"))
    );
    assert_eq!(known(&source)["topics"], json!([]));
    for ids in [0..1_000, 1_000..2_000, 2_000..2_500] {
        assert_eq!(post(&states(ids)), (204, String::new()));
    }
    let (code, rows, errors) = import(&source.url(), &target, &[]);
    assert_eq!(
        (code, &*rows),
        (0, &["topic-events system created 2500 states".to_owned()][..]),
        "{errors}"
    );
    assert_eq!(known(&target), known(&source));
    assert_eq!(known(&target)["topics"][0]["events"].as_array().unwrap().len(), 2_500);
}

#[test]
fn a_load_directory_comes_over_and_what_it_changes_is_changed() {
    let target = Serving::new();
    let folder = &target.folder;
    folder.write("load/templates/above.tick", "dbrp \"telegraf\".\"autogen\"\nvar most = 90.0\nstream|from().measurement('cpu')|where(lambda: \"value\" > most)|httpOut('x')");
    folder.write(
        "load/tasks/cpu.yaml",
        "template-id: above\nvars: {most: {type: float, value: 50.0}}\n",
    );
    folder.write(
        "load/tasks/mem.tick",
        "dbrp \"telegraf\".\"autogen\"\nstream|from().measurement('mem')|httpOut('x')",
    );
    folder.write("load/tasks/bad.tick", "dbrp \"telegraf\".\"autogen\"\nstream|nothing()");
    folder.write(
        "load/handlers/tell.yaml",
        "{topic: system, id: tell, kind: log, options: {path: /tmp/x}}",
    );
    let (code, rows, errors) = import("load", &target, &[]);
    assert_eq!(code, 1, "one script is wrong\n{errors}");
    let (failed, rest): (Vec<&String>, Vec<&String>) =
        rows.iter().partition(|row| row.contains("failed"));
    assert_eq!(failed.len(), 1, "{rows:?}");
    assert!(failed[0].starts_with("task bad failed invalid TICKscript: "), "{failed:?}");
    let expected = [
        "template above created",
        "task cpu created enabled",
        "task mem created enabled",
        "topic-handler system/tell created log",
    ];
    assert_eq!(rest, expected.iter().collect::<Vec<_>>());
    let tasks = known(&target)["tasks"].clone();
    let running = |task: &Value| (task["id"].clone(), task["executing"].clone());
    let running: Vec<_> = tasks.as_array().unwrap().iter().map(running).collect();
    assert_eq!(running, [(json!("cpu"), json!(true)), (json!("mem"), json!(true))]);

    std::fs::remove_file(folder.path("load/tasks/bad.tick")).unwrap();
    folder.write(
        "load/tasks/cpu.yaml",
        "template-id: above\nvars: {most: {type: float, value: 60.0}}\n",
    );
    folder.write(
        "load/handlers/tell.yaml",
        "{topic: system, id: tell, kind: log, options: {path: /tmp/y}}",
    );
    let (code, rows, errors) = import("load", &target, &[]);
    let expected = [
        "template above unchanged",
        "task cpu changed vars",
        "task mem unchanged",
        "topic-handler system/tell changed options",
    ];
    assert_eq!((code, rows), (0, expected.map(str::to_owned).to_vec()), "{errors}");
}
