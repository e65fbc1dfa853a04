//! `levada dry-run` on scripts: effects, inputs, ends.

use std::io::Write;

use serde_json::{Value, json};

use super::binary::{Folder, Ran, run};

const SCRIPT: &str = "\
dbrp \"telegraf\".\"autogen\"
stream
    |from().measurement('cpu').groupBy('host')
    |eval(lambda: 100.0 - \"idle\").as('used').keep()
    |alert().crit(lambda: \"idle\" < 10.0).id('{{ index .Tags \"host\" }}').stateChangesOnly()
    |log().prefix('changed')
";

const POINTS: &str = "\
cpu,host=a idle=50 10
mem,host=a idle=1 15
cpu,host=a idle=5 20
cpu,host=a idle=\"text\" 25
cpu,host=b idle=50 30
";

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

fn zip(files: &[(&str, &[u8])]) -> Vec<u8> {
    let mut writer = zip::ZipWriter::new(std::io::Cursor::new(Vec::new()));
    for (name, content) in files {
        writer.start_file(*name, zip::write::SimpleFileOptions::default()).unwrap();
        writer.write_all(content).unwrap();
    }
    writer.finish().unwrap().into_inner()
}

/// Gives node, kind and time of each effect.
fn short(ran: &Ran) -> Vec<String> {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    ran.json()
        .iter()
        .map(|line| {
            let time = text(&line["data"]["time"]);
            format!("{} {} {time}", text(&line["node"]), text(&line["kind"])).trim_end().to_owned()
        })
        .collect()
}

#[test]
fn effects_come_in_the_order_in_which_they_happen() {
    let args = ["dry-run", "cpu.tick", "--input", "cpu.lp", "--precision", "s"];
    let files = [("cpu.tick", SCRIPT), ("cpu.lp", POINTS)];
    let ran = run(&args, b"", &files).ends(0);
    assert_eq!(short(&ran), ["alert3 alert 1970-01-01T00:00:20Z", "log4 log 1970-01-01T00:00:20Z"]);
    let lines = ran.json();
    let alert = &lines[0]["data"];
    assert_eq!((&alert["id"], &alert["level"]), (&json!("a"), &json!("CRITICAL")));
    assert_eq!((&alert["previousLevel"], &alert["duration"]), (&json!("OK"), &json!(0)));
    assert_eq!(
        lines[1]["data"],
        json!({
            "level": "INFO", "prefix": "changed", "name": "cpu", "database": "telegraf",
            "retentionPolicy": "autogen", "group": "host=a", "byName": false, "dimensions": ["host"],
            "tags": {"host": "a"}, "fields": {"idle": 5, "used": 95}, "time": "1970-01-01T00:00:20Z",
        })
    );
    assert_eq!(
        ran.stderr,
        "error: eval2: error evaluating expression: mismatched type to binary operator. got float - string. see bool(), int(), float(), string(), duration()\n"
    );
    let ran = run(&[&args[..], &["--stats"]].concat(), b"", &files).ends(0);
    let last = ran.json().pop().unwrap();
    assert_eq!(last["kind"], "stats");
    let eval = &last["data"]["node-stats"]["eval2"];
    assert_eq!(
        (&eval["collected"], &eval["emitted"], &eval["errors"]),
        (&json!(4), &json!(3), &json!(1))
    );
    assert_eq!(last["data"]["node-stats"]["stream0"]["collected"], 5);
    assert!(last["data"]["task-stats"]["throughput"].is_number());
}

#[test]
fn all_forms_of_an_input_give_the_same() {
    let folder = Folder::new();
    folder.file("cpu.tick", SCRIPT);
    let nanos = POINTS.replace("0\n", "0000000000\n").replace("5\n", "5000000000\n");
    let recording: String =
        nanos.lines().map(|line| format!("telegraf\nautogen\n{line}\n")).collect();
    let expected = run(
        &["dry-run", "cpu.tick", "--input", "cpu.lp", "--precision", "s"],
        b"",
        &[("cpu.tick", SCRIPT), ("cpu.lp", POINTS)],
    )
    .ends(0);
    let bytes = recording.as_bytes();
    for (name, content) in [
        ("points", nanos.clone().into_bytes()),
        ("points.gz", gzip(nanos.as_bytes())),
        ("r.srpl", bytes.to_vec()),
        ("r", bytes.to_vec()),
        ("gzipped.srpl", gzip(bytes)),
        ("r.srpl.gz", gzip(bytes)),
        ("zipped.srpl", zip(&[("stream", bytes)])),
    ] {
        folder.file(name, &content);
        let ran = folder.run(&["dry-run", "cpu.tick", "--input", name]).ends(0);
        assert_eq!(ran.text(), expected.text(), "{name}");
        let ran = folder.run_with(&["dry-run", "cpu.tick", "--input", "-"], &content).ends(0);
        assert_eq!(ran.text(), expected.text(), "{name} on standard input");
    }
    // One file after the other.
    let (first, second) = nanos.split_at(nanos.find("cpu,host=b").unwrap());
    folder.file("1", first);
    folder.file("2", second);
    let ran = folder.run(&["dry-run", "cpu.tick", "--input", "1", "--input", "2"]).ends(0);
    assert_eq!(ran.text(), expected.text());
    // The script may be standard input.
    let ran = folder.run_with(&["dry-run", "-", "--input", "points"], SCRIPT.as_bytes()).ends(0);
    assert_eq!(
        ran.text(),
        expected.text().replace("\\\"cpu\\\",\\\"Group", "\\\"stdin\\\",\\\"Group")
    );
}

#[test]
fn points_belong_to_the_databases_of_the_task() {
    let folder = Folder::new();
    folder.file("t.tick", "stream|from()|log()");
    folder.file("d.tick", "dbrp \"a\".\"b\"\nstream|from()|log()");
    folder.file("r.srpl", "a\nb\nm v=1 1\nother\nb\nm v=1 2\n");
    folder.file("p.lp", "m v=1 1\n");
    let place = |args: &[&str]| {
        let ran = folder.run(&[&["dry-run"], args].concat()).ends(0);
        let data = |line: &Value| {
            format!("{}.{}", line["data"]["database"], line["data"]["retentionPolicy"])
        };
        ran.json().iter().map(data).collect::<Vec<_>>().join(" ").replace('"', "")
    };
    assert_eq!(place(&["d.tick", "--input", "p.lp"]), "a.b");
    assert_eq!(place(&["t.tick", "--input", "p.lp", "--db", "x", "--rp", "y"]), "x.y");
    assert_eq!(place(&["d.tick", "--input", "r.srpl"]), "a.b");
    assert_eq!(place(&["d.tick", "--input", "r.srpl", "--db", "other"]), "other.b");
    assert_eq!(place(&["t.tick", "--input", "r.srpl"]), "a.b other.b");
}

#[test]
fn bad_input_ends_with_one_after_what_stands_before_it() {
    let folder = Folder::new();
    folder.file("t.tick", "stream|from()|log()");
    let check = |content: &[u8], before: usize, message: &str| {
        folder.file("in", content);
        let ran = folder.run(&["dry-run", "t.tick", "--input", "in"]).ends(1);
        assert_eq!(ran.lines().len(), before, "{}", ran.text());
        assert!(ran.stderr.contains(message), "{message}\n{}", ran.stderr);
    };
    check(b"m v=1 1\nm v=2 2\nm\nm v=3 3\n", 2, "error: in: line 3: ");
    check(b"db\nrp\n", 0, "line 3: invalid replay file format, expected another line");
    check(&gzip(b"m v=1 1\n")[..15], 0, "the input cannot be read: gzip data ends at byte");
    check(b"PK\x03\x04 no archive", 0, "in: not a zip archive that can be read: ");
    check(
        &zip(&[("0", b"m v=1 1"), ("1", b"")]),
        0,
        "an archive with one file is needed for a stream task",
    );
    folder.run(&["dry-run", "t.tick", "--input", "none"]).ends(1);
    folder.run(&["dry-run", "t.tick", "--input", "-", "--input", "-"]).ends(2);
    folder.run(&["dry-run", "-", "--input", "-"]).ends(2);
    folder.run(&["dry-run", "t.tick"]).ends(2);
    folder.run(&["dry-run", "t.tick", "--input", "in", "--input-format", "message"]).ends(2);
    folder.run(&["dry-run", "t.tick", "--input", "in", "--precision", "d"]).ends(2);
    folder.run(&["dry-run", "t.tick", "--input", "in", "--compat", "1.5"]).ends(2);
    folder.file("f.yaml", "a: 1");
    let ran = folder.run(&["dry-run", "f.yaml", "--input", "in", "--stats"]).ends(2);
    assert_eq!(ran.stderr, "error: `--stats` means nothing for a flow\n");
}

#[test]
fn scripts_that_cannot_run() {
    let folder = Folder::new();
    folder.file("in", "m v=1 1\n");
    for (script, code, message) in [
        ("stream|from(", 1, "t.tick:1:13: parser: unexpected EOF"),
        ("stream|from()|foo()", 1, "no method or property \"foo\" on *pipeline.FromNode"),
        (
            "stream|from()|where(lambda: 'a' > 1)|log()",
            1,
            "Failed to compile expression in where clause",
        ),
        ("stream|from()@outside().x(1)|log()", 3, "is not known here"),
    ] {
        folder.file("t.tick", script);
        let ran = folder.run(&["dry-run", "t.tick", "--input", "in"]).ends(code);
        assert_eq!(ran.text(), "");
        assert!(ran.stderr.contains(message), "{}", ran.stderr);
    }
}

#[test]
fn many_problems_of_one_kind_are_counted() {
    let points: String = (0..1_000).map(|time| format!("m v=1 {time}\n")).collect();
    let script = "stream|from()|where(lambda: \"no\" > 1)|log()";
    let files = [("t.tick", script), ("in", points.as_str())];
    let ran = run(&["dry-run", "t.tick", "--input", "in"], b"", &files).ends(0);
    let lines: Vec<&str> = ran.stderr.lines().collect();
    assert_eq!(lines.len(), 101);
    assert!(lines[99].starts_with("error: where2: error while evaluating expression: "));
    assert_eq!(lines[100], "error: where2: error while evaluating expression: 900 more like this");
}

/// What crashes the original; source: kapacitor reference §14.4.
#[test]
fn inputs_that_crash_the_original_are_problems_with_single_points() {
    let lambda = |lambda: &str| format!("stream|from()|where(lambda: {lambda})|log()");
    for (script, point, problem) in [
        (
            lambda("10 / \"v\" > 1"),
            "m v=0i 1",
            "where2: error while evaluating expression: runtime error: integer divide by zero",
        ),
        (
            lambda("strSubstring(\"s\", 3, 1) == ''"),
            "m s=\"abcd\" 1",
            "where2: error while evaluating expression: ",
        ),
        (
            lambda("strReplace('a', 'b', 'c', 1, 2) == ''"),
            "m v=1 1",
            "where2: error while evaluating expression: ",
        ),
        (
            "stream|from().where(lambda: 10 / \"v\" > 1)|log()".into(),
            "m v=0i 1",
            "from1: failed to evaluate WHERE expression: ",
        ),
        ("stream|from()|alert().crit(lambda: \"v\" % 0 == 0)|log()".into(), "m v=1i 1", "alert2: "),
    ] {
        let files = [("t.tick", script.as_str()), ("in", point)];
        let ran = run(&["dry-run", "t.tick", "--input", "in"], b"", &files).ends(0);
        assert_eq!(ran.text(), "", "{script}");
        assert!(ran.stderr.contains(&format!("error: {problem}")), "{script}\n{}", ran.stderr);
    }
    for script in [
        "stream|from()|window().period(1s)|elapsed('v', 0s)|log()",
        "stream|from()|window().period(1s)|movingAverage('v', 0)|log()",
        "stream|from()|window().period(1s)|top(0, 'v')|log()",
        "stream|from()|sideload().source('http://%zz').order('a').field('f', 1.0)|log()",
    ] {
        run(&["check", "t.tick"], b"", &[("t.tick", script)]).ends(1);
    }
    let script = "stream|from()|window().period(1s).every(1s)|trickle()";
    run(&["dry-run", "t.tick", "--input", "in"], b"", &[("t.tick", script), ("in", "m v=1 1")])
        .ends(0);
}

#[test]
fn the_level_before_an_event_is_what_its_topic_knew() {
    let previous = |script: &str, points: &str| {
        let args = ["dry-run", "t.tick", "--input", "t.lp", "--precision", "s"];
        let ran = run(&args, b"", &[("t.tick", script), ("t.lp", points)]).ends(0);
        let text = |line: &Value, name: &str| line["data"][name].as_str().unwrap().to_owned();
        ran.json()
            .iter()
            .map(|line| format!("{} after {}", text(line, "level"), text(line, "previousLevel")))
            .collect::<Vec<_>>()
    };
    // A recovery that is not published is not known to the topic.
    let quiet = "stream|from()|alert().topic('t').crit(lambda: \"v\" > 5).noRecoveries()";
    let points = "m v=9 1\nm v=1 2\nm v=9 3\n";
    assert_eq!(previous(quiet, points), ["CRITICAL after OK", "CRITICAL after CRITICAL"]);
    // Groups that share an event share its level, and a group that is new goes on from it.
    let shared = "stream|from().groupBy('h')|alert().id('x').crit(lambda: \"v\" > 5)";
    let points = "m,h=a v=9 1\nm,h=b v=1 2\nm,h=a v=9 3\nm,h=c v=9 4\n";
    let wanted =
        ["CRITICAL after OK", "OK after CRITICAL", "CRITICAL after OK", "CRITICAL after CRITICAL"];
    for handler in [".topic('t')", ".log('/tmp/alerts')", ".topic('t').log('/tmp/alerts')"] {
        assert_eq!(previous(&format!("{shared}{handler}"), points), wanted, "{handler}");
    }
    // Without a topic every group is alone.
    let alone = ["CRITICAL after OK", "CRITICAL after CRITICAL", "CRITICAL after OK"];
    assert_eq!(previous(shared, points), alone);
}

#[test]
fn quotes_of_tags_hide_no_line_ends_and_those_of_fields_do() {
    let folder = Folder::new();
    folder.file("t.tick", "stream|from().where(lambda: \"n\" == 0)|log()");
    // Long enough for several chunks; the quote of the tag is never closed.
    let mut points = "m,size=5\",t=a\\\" s=\"one\ntwo \\\" = , three\n\",n=0i 1\n".repeat(1000);
    points.push_str(&"m,size=5\",t=\\ b s=\"text\",n=1i 1\n".repeat(4000));
    points.push_str("m,size=5\" n=0i 1\n");
    folder.file("in", &points);
    let ran = folder.run(&["dry-run", "t.tick", "--input", "in"]).ends(0);
    let lines = ran.json();
    assert_eq!(lines.len(), 1001, "{}", ran.stderr);
    assert_eq!(lines[7]["data"]["fields"]["s"], "one\ntwo \" = , three\n");
    assert_eq!(lines[7]["data"]["tags"]["size"], "5\"");
    // A recording has three lines per point, as systems that end lines with two characters write them, too.
    let of = |end: &str| {
        let mut recording = String::new();
        for point in ["m,size=5\" s=\"a\nb\",n=0i 1", "m n=0i 2"].repeat(2000) {
            for line in ["my \"db", "rp", point] {
                recording.push_str(line);
                recording.push_str(end);
            }
        }
        folder.file("r.srpl", &recording);
        folder.run(&["dry-run", "t.tick", "--input", "r.srpl"]).ends(0).json()
    };
    let lines = of("\n");
    assert_eq!(lines.len(), 4000);
    assert_eq!(lines[2]["data"]["fields"]["s"], "a\nb");
    assert_eq!(lines[3]["data"]["database"], "my \"db");
    assert_eq!(of("\r\n"), lines);
}

#[test]
fn hours_are_those_of_the_time_zone_of_the_machine() {
    let mut folder = Folder::new();
    folder.file(
        "t.tick",
        "stream|from()|eval(lambda: hour(\"time\"), lambda: minute(\"time\")).as('h', 'm')|log()",
    );
    folder.file("p.lp", "m v=1 0\n");
    let fields = |folder: &Folder| {
        let ran = folder.run(&["dry-run", "t.tick", "--input", "p.lp"]).ends(0);
        ran.json()[0]["data"]["fields"].clone()
    };
    folder.variable("TZ", "<+0530>-5:30");
    assert_eq!(fields(&folder), json!({"h": 5, "m": 30}));
    folder.variable("TZ", "UTC");
    assert_eq!(fields(&folder), json!({"h": 0, "m": 0}));
}
