//! `levada dry-run` and `levada test` of batch tasks; every kind of effect.

use std::io::Write;

use serde_json::{Value, json};

use super::binary::{Folder, run};

/// The last query of the script takes the first input.
const SCRIPT: &str = "\
var cpu = batch|query('SELECT mean(v) AS v FROM \"db\".\"rp\".cpu').period(10s).every(10s).groupBy('host')
var mem = batch|query('SELECT mean(v) AS v FROM \"db\".\"rp\".mem').period(10s).every(10s)
cpu|alert().crit(lambda: \"v\" > 5)|log().prefix('hot')
mem|httpOut('mem')
mem|influxDBOut().database('out').retentionPolicy('rp').measurement('copy').tag('k', 'v')
mem|httpPost('http://localhost/x').header('A', 'b')
";

const MEM: &str = r#"{"name":"mem","points":[{"fields":{"v":1},"time":"1970-01-01T00:00:03Z"}]}
"#;

const CPU: &str = r#"{"name":"cpu","tmax":"1970-01-01T00:00:05Z","tags":{"host":"a"},"points":[{"fields":{"v":9},"time":"1970-01-01T00:00:02Z"}]}
{"name":"cpu","tmax":"1970-01-01T00:00:05Z","tags":{"host":"b"}}
{"name":"cpu","tmax":"1970-01-01T00:00:05Z","tags":{"host":"b"},"points":[{"fields":{"v":3},"time":"1970-01-01T00:00:02Z"}]}
"#;

fn archive(files: &[(&str, &str)]) -> Vec<u8> {
    let mut writer = zip::ZipWriter::new(std::io::Cursor::new(Vec::new()));
    for (name, content) in files {
        writer.start_file(*name, zip::write::SimpleFileOptions::default()).unwrap();
        writer.write_all(content.as_bytes()).unwrap();
    }
    writer.finish().unwrap().into_inner()
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

#[test]
fn batches_come_in_the_order_of_their_times_from_every_form_of_a_recording() {
    let folder = Folder::new();
    folder.file("b.tick", SCRIPT);
    folder.file("mem", MEM);
    folder.file("cpu", CPU);
    folder.file("mem.gz", gzip(MEM.as_bytes()));
    let zipped = archive(&[("1", CPU), ("0", MEM)]);
    folder.file("r.brpl", &zipped);
    let ran = folder.run(&["dry-run", "b.tick", "--input", "mem", "--input", "cpu"]).ends(0);
    assert_eq!(ran.stderr, "");
    let lines = ran.json();
    let written = json!({"node": "influxdb_out6", "kind": "influxDBOut", "data": {
        "database": "out", "retentionPolicy": "rp", "name": "copy", "tags": {"k": "v"},
        "fields": {"v": 1}, "time": "1970-01-01T00:00:03Z",
    }});
    let rows = json!({"series": [
        {"name": "mem", "columns": ["time", "v"], "values": [["1970-01-01T00:00:03Z", 1]]},
    ]});
    let posted = json!({"node": "http_post7", "kind": "httpPost", "data": {
        "url": "http://localhost/x", "endpoint": null,
        "headers": {"Content-Type": "application/json", "A": "b"}, "body": rows,
    }});
    // The earlier batch first, though its file comes first only by chance; what httpOut serves at the end.
    assert_eq!(lines[..2], [written, posted]);
    assert_eq!(
        (&lines[2]["kind"], &lines[2]["data"]["id"]),
        (&json!("alert"), &json!("cpu:host=a"))
    );
    assert_eq!(
        lines[3]["data"],
        json!({
            "level": "INFO", "prefix": "hot", "name": "cpu", "group": "host=a", "byName": false,
            "dimensions": ["host"], "tags": {"host": "a"}, "tmax": "1970-01-01T00:00:05Z",
            "points": [{"fields": {"v": 9}, "tags": {"host": "a"}, "time": "1970-01-01T00:00:02Z"}],
        })
    );
    let served = json!({"node": "http_out5", "kind": "httpOut", "endpoint": "mem", "data": rows});
    assert_eq!(lines[4..], [served]);
    for inputs in [&["r.brpl"][..], &["mem.gz", "cpu"]] {
        let inputs = inputs.iter().flat_map(|input| ["--input", input]);
        let args: Vec<&str> = ["dry-run", "b.tick"].into_iter().chain(inputs).collect();
        assert_eq!(folder.run(&args).ends(0).text(), ran.text());
    }
    let args = ["dry-run", "b.tick", "--input", "-"];
    assert_eq!(folder.run_with(&args, &zipped).ends(0).text(), ran.text());
}

#[test]
fn bad_recordings_end_with_one() {
    let folder = Folder::new();
    folder.file("b.tick", SCRIPT);
    folder.file("mem", MEM);
    let check = |content: &str, message: &str| {
        folder.file("bad", content);
        let ran = folder.run(&["dry-run", "b.tick", "--input", "mem", "--input", "bad"]).ends(1);
        assert!(ran.stderr.contains(message), "{message}\n{}", ran.stderr);
    };
    check("cpu v=1 1\n", "error: bad: line 1: not a batch in JSON: ");
    check("\n{\"points\":[{\"time\":\"x\"}]}\n", "error: bad: line 2: time \"x\": ");
    let ran = folder.run(&["dry-run", "b.tick", "--input", "mem"]).ends(1);
    assert!(
        ran.stderr.starts_with("error: unexpected number of batch collectors. exp 1 got 2: "),
        "{}",
        ran.stderr
    );
}

#[test]
fn nodes_that_are_not_built_in_are_said_at_check_and_end_a_run_with_three() {
    for script in [
        "stream|from()|k8sAutoscale().resourceName('a').replicas(lambda: 1)|log()",
        "stream|from()|swarmAutoscale().serviceName('a').replicas(lambda: 1)|log()",
        "stream|from()|ec2Autoscale().groupName('a').replicas(lambda: 1)|log()",
    ] {
        let files = [("t.tick", script), ("in", "")];
        let ran = run(&["check", "t.tick"], b"", &files).ends(0);
        assert!(ran.text().contains("not built in"), "{script}\n{}", ran.text());
        let ran = run(&["dry-run", "t.tick", "--input", "in"], b"", &files).ends(3);
        assert!(ran.stderr.contains("error: "), "{}", ran.stderr);
        assert!(ran.stderr.contains("not built in"), "{}", ran.stderr);
    }
}

#[test]
fn other_effects_of_stream_tasks() {
    let script = "\
var s = stream|from().measurement('m')
s|kapacitorLoopback().database('d').retentionPolicy('r').measurement('again').tag('t', 'x')
s|httpPost().endpoint('e')
s|httpOut('last')
s|where(lambda: FALSE)|httpOut('nothing')
";
    let files = [("t.tick", script), ("in", "m,h=a v=1 1\nm,h=a v=2i 2\n")];
    let ran = run(&["dry-run", "t.tick", "--input", "in", "--stats"], b"", &files).ends(0);
    let lines = ran.json();
    let of =
        |kind: &str| -> Vec<&Value> { lines.iter().filter(|line| line["kind"] == kind).collect() };
    let looped = of("kapacitorLoopback");
    assert_eq!(looped.len(), 2);
    assert_eq!(
        looped[1]["data"],
        json!({"database": "d", "retentionPolicy": "r", "name": "again", "tags": {"h": "a", "t": "x"},
               "fields": {"v": 2}, "time": "1970-01-01T00:00:00.000000002Z"})
    );
    assert_eq!(of("httpPost")[0]["data"]["endpoint"], "e");
    let served: Vec<(&Value, bool)> = of("httpOut")
        .iter()
        .map(|line| (&line["endpoint"], line["data"]["series"].is_null()))
        .collect();
    assert_eq!(served.len(), 2);
    assert!(
        served.contains(&(&json!("last"), false)) && served.contains(&(&json!("nothing"), true))
    );
    assert_eq!(lines.last().unwrap()["kind"], "stats");
}

#[test]
fn cases_of_a_batch_task() {
    let cases = r"
apiVersion: levada.dev/v1
kind: TaskTest
metadata: {name: b}
spec:
  cases:
    - name: one host is hot
      only: [alert, httpOut]
      batches:
        - - {name: mem, points: [{fields: {v: 1}, time: '1970-01-01T00:00:03Z'}]}
        - - {name: cpu, tags: {host: a}, points: [{fields: {v: 9}, time: '1970-01-01T00:00:02Z'}]}
          - {name: cpu, tags: {host: b}, points: [{fields: {v: 3}, time: '1970-01-01T00:00:02Z'}]}
      expect:
        - {kind: alert, data: {id: 'cpu:host=a', level: CRITICAL}}
        - {kind: httpOut, endpoint: mem, data: {series: [{values: [['1970-01-01T00:00:03Z', 1]]}]}}
    - name: an input for each query
      batches: [[]]
";
    let files = [("b.tick", SCRIPT), ("b.test.yaml", cases)];
    let ran = run(&["test", "b.tick"], b"", &files).ends(1);
    assert_eq!(
        ran.lines(),
        [
            "ok   b: one host is hot",
            "FAIL b: an input for each query",
            "       unexpected number of batch collectors. exp 1 got 2",
            "1 passed, 1 failed",
        ]
    );
}

#[test]
fn queries_read_what_the_task_may_read_when_it_says_what_that_is() {
    let script = "batch|query('SELECT v FROM \"db\".\"rp\".m').period(1s).every(1s)|log()\n";
    let other = format!("dbrp \"db\".\"autogen\"\n{script}");
    let same = format!("dbrp \"x\".\"y\"\ndbrp \"db\".\"rp\"\n{script}");
    let files =
        [("none.tick", script), ("same.tick", &*same), ("other.tick", &*other), ("in", MEM)];
    run(&["check", "none.tick", "same.tick"], b"", &files).ends(0);
    let ran = run(&["check", "other.tick"], b"", &files).ends(1);
    assert_eq!(
        ran.lines()[0],
        "other.tick:2:7: query1: batch query is not allowed to request data from \"db\".\"rp\""
    );
    // Recorded input is nobody's query.
    let ran = run(&["dry-run", "other.tick", "--input", "in"], b"", &files).ends(0);
    assert_eq!(ran.lines().len(), 1);
}

#[test]
fn a_batch_without_a_tmax_ends_with_its_last_point() {
    let folder = Folder::new();
    folder.file("t.tick", "batch|query('SELECT v FROM a.b.c').every(1s)|log()");
    let points = "\"points\":[{\"fields\":{\"v\":1},\"time\":\"1970-01-01T00:00:09Z\"}]";
    for tmax in ["", "\"tmax\":null,", "\"tmax\":\"1970-01-01T00:00:05Z\","] {
        folder.file("0.brpl", format!("{{\"name\":\"c\",{tmax}{points}}}\n"));
        let ran = folder.run(&["dry-run", "t.tick", "--input", "0.brpl"]).ends(0);
        assert_eq!(ran.json()[0]["data"]["tmax"], "1970-01-01T00:00:09Z", "{tmax}");
    }
}
