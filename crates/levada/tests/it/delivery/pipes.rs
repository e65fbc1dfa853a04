//! Sources and sinks that are not files: pipes, HTTP, memory, metrics of the machine.

use std::io::{BufRead, BufReader, Write};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use levada_testkit::http::{free_port, request};
use levada_testkit::process::Folder;
use rustix::process::Signal;
use serde_json::Value;

use super::support::{
    Arrived, LEVADA, LONG, conserved, count, flow, flow_named, records, run, start, start_with,
};

const PIPE: &str = "source: {type: stdin, stdin: {}}\nsink: {type: stdout, stdout: {}}\n";

#[test]
fn standard_input_to_standard_output() {
    let folder = Folder::new();
    flow(&folder, PIPE);
    let mut running = start_with(&folder, &["--quiet"], Stdio::piped());
    let mut input = running.stdin.take().unwrap();
    input.write_all(records(0..5000).as_bytes()).unwrap();
    drop(input);
    let ended = running.wait(LONG).expect_code(0);
    let (lines, summary) = ended.stdout.trim_end().rsplit_once('\n').unwrap();
    assert_eq!(format!("{lines}\n"), records(0..5000));
    conserved(&serde_json::from_str(summary).unwrap());
}

#[test]
fn a_record_that_is_there_does_not_wait_for_the_next() {
    let folder = Folder::new();
    flow(&folder, PIPE);
    let mut running = start_with(&folder, &[], Stdio::piped());
    let mut input = running.stdin.take().unwrap();
    for id in 0..5 {
        input.write_all(records(id..id + 1).as_bytes()).unwrap();
        let printed = || folder.read("stdout.0").iter().filter(|&&byte| byte == b'\n').count();
        running.until("it came out", LONG, || printed() == id as usize + 1);
    }
    drop(input);
    running.wait(LONG).expect_code(0);
}

/// `levada run … | head -1`
#[test]
fn a_reader_that_goes_away_ends_the_flow() {
    let folder = Folder::new();
    flow(&folder, "source: {type: generator, generator: {}}\nsink: {type: stdout, stdout: {}}\n");
    let mut child = Command::new(LEVADA)
        .args(["run", "flow.yaml", "--no-checkpoints", "--quiet"])
        .current_dir(folder.path(""))
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut line = String::new();
    BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
    assert!(serde_json::from_str::<Value>(&line).is_ok(), "{line}");
    let mut status = None;
    levada_testkit::wait::until("it ends", LONG, || {
        status = child.try_wait().unwrap();
        status.is_some()
    });
    let output = child.wait_with_output().unwrap();
    let log = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(!log.contains("panicked"), "{log}");
    assert_eq!(status.unwrap().code(), Some(3), "{log}");
}

/// Nobody reads the pipe: the flow stands still, and can be stopped.
#[test]
fn a_reader_that_does_not_read_does_not_keep_the_process() {
    let folder = Folder::new();
    flow(&folder, "source: {type: generator, generator: {}}\nsink: {type: stdout, stdout: {}}\n");
    let mut child = Command::new(LEVADA)
        .args(["run", "flow.yaml", "--no-checkpoints", "--set", "runtime.drain-timeout=100ms"])
        .current_dir(folder.path(""))
        .stdout(Stdio::piped())
        .stderr(std::fs::File::create(folder.path("log")).unwrap())
        .spawn()
        .unwrap();
    let pipe = child.stdout.take().unwrap();
    levada_testkit::wait::until("it runs", LONG, || {
        String::from_utf8_lossy(&folder.read("log")).contains("source opened")
    });
    let pid = rustix::process::Pid::from_child(&child);
    rustix::process::kill_process(pid, Signal::TERM).unwrap();
    let mut status = None;
    levada_testkit::wait::until("it ends", LONG, || {
        status = child.try_wait().unwrap();
        status.is_some()
    });
    drop(pipe);
    let log = String::from_utf8_lossy(&folder.read("log")).into_owned();
    assert!(!log.contains("panicked"), "{log}");
}

/// Clients send again what was not answered with 200; whatever was, is in the output, whoever died.
#[test]
fn what_http_answered_for_survives_a_kill() {
    let folder = Folder::new();
    let address = format!("127.0.0.1:{}", free_port());
    flow(
        &folder,
        &format!(
            "checkpointSaveInterval: 10ms
source: {{type: http, http: {{listen: \"{address}\", path: /in}}}}
transformations: [{{type: cast, cast: {{spec: {{n: int64}}}}}}]
sink: {{type: file, file: {{path: out.ndjson}}}}
errors: {{type: file, file: {{path: dead.ndjson}}}}
"
        ),
    );
    let is_over = Arc::new(AtomicBool::new(false));
    let clients: Vec<_> = (0..3u64)
        .map(|client| {
            let (is_over, address) = (is_over.clone(), address.clone());
            std::thread::spawn(move || {
                let mut answered = 0;
                while !is_over.load(Ordering::Acquire) {
                    let first = client * 1_000_000 + answered * 50;
                    let body = records(first..first + 50);
                    let answer = request(&address, "POST", "/in", &[], body.as_bytes());
                    match answer {
                        Ok((200, body)) => {
                            let body: Value = serde_json::from_slice(&body).unwrap();
                            assert_eq!(body["accepted"], 50);
                            answered += 1;
                        }
                        Ok((status, _)) => assert!([429, 503].contains(&status), "{status}"),
                        // It is down now; the next try is the next request.
                        Err(_) => std::thread::sleep(std::time::Duration::from_millis(2)),
                    }
                }
                answered
            })
        })
        .collect();
    let mut random = levada_testkit::seeded::Random::new(21);
    for _ in 0..5 {
        let old = folder.read("out.ndjson").len();
        let mut running = start(&folder, &[]);
        running.until("something arrived", LONG, || folder.read("out.ndjson").len() > old);
        let ended = running.kill_after(std::time::Duration::from_millis(random.below(150)));
        assert_eq!(ended.code, None, "{ended:#?}");
    }
    // The last one is stopped in order, with requests under way.
    let mut running = start(&folder, &[]);
    let old = folder.read("out.ndjson").len();
    running.until("something arrived", LONG, || folder.read("out.ndjson").len() > old);
    running.signal(Signal::TERM);
    let summary = running.wait(LONG).expect_code(0).summary();
    conserved(&summary);
    is_over.store(true, Ordering::Release);
    let arrived = Arrived::in_files(&folder, &["out.ndjson"]);
    let mut total = 0;
    for (client, handle) in clients.into_iter().enumerate() {
        let answered = handle.join().unwrap();
        let first = client as u64 * 1_000_000;
        let missing =
            (first..first + answered * 50).filter(|id| !arrived.ids.contains_key(id)).count();
        assert_eq!(missing, 0, "of {answered} requests of client {client}");
        total += answered;
    }
    assert!(total > 0);
    eprintln!(
        "{total} requests answered, {} duplicates, {} torn",
        arrived.duplicates(),
        arrived.torn
    );
}

#[test]
fn memory_connects_two_flows_of_one_process() {
    let folder = Folder::new();
    flow_named(
        &folder,
        "flow.yaml",
        "first",
        "source: {type: file, file: {paths: [in.ndjson]}}\nsink: {type: memory, memory: {name: bridge}}\n",
    );
    flow_named(
        &folder,
        "second.yaml",
        "second",
        "source: {type: memory, memory: {name: bridge}}\nsink: {type: file, file: {path: out.ndjson}}\n",
    );
    folder.write("in.ndjson", records(0..20_000));
    let ended = run(&folder, &["second.yaml"]).expect_code(0);
    assert_eq!(ended.stdout.lines().count(), 2, "{ended:#?}");
    for line in ended.stdout.lines() {
        let summary: Value = serde_json::from_str(line).unwrap();
        conserved(&summary);
        assert_eq!(count(&summary, "recordsOut"), 20_000);
    }
    Arrived::in_files(&folder, &["out.ndjson"]).holds_once(0..20_000);
}

#[test]
fn metrics_of_this_machine_arrive() {
    let folder = Folder::new();
    flow(
        &folder,
        "source: {type: hostMetrics, hostMetrics: {interval: 50ms, count: 3, collectors: [cpu, memory, load]}}
sink: {type: file, file: {path: out.ndjson}}
",
    );
    let summary = run(&folder, &[]).expect_code(0).summary();
    conserved(&summary);
    let text = String::from_utf8(folder.read("out.ndjson")).unwrap();
    assert_eq!(text.lines().count() as u64, count(&summary, "recordsOut"));
    assert!(text.lines().count() >= 3 * 2, "{text}");
    for line in text.lines() {
        assert!(serde_json::from_str::<Value>(line).unwrap().is_object(), "{line}");
    }
}
