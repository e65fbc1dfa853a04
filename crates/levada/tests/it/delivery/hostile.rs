//! Input that nobody should send: a clear error or a dead letter, never a panic, a hang or a loss.

use std::io::Write;
use std::process::{Command, Stdio};

use levada_testkit::process::{Ended, Folder};
use levada_testkit::skipped;
use serde_json::Value;

use super::support::{
    Arrived, LEVADA, LONG, conserved, count, flow, records, run, start, start_with,
};

/// Largest memory that any input may cost.
const PEAK_MAX: u64 = 200 << 20;

const CAST: &str = "transformations: [{type: cast, cast: {spec: {n: int64}}}]";
const SINK: &str = "sink: {type: file, file: {path: out.ndjson}}";
const ERRORS: &str = "errors: {type: file, file: {path: dead.ndjson}}";

/// A flow from `in.ndjson` through a step that parses.
fn file_flow(folder: &Folder) {
    let source = "source: {type: file, file: {paths: [in.ndjson]}}";
    flow(folder, &[source, CAST, SINK, ERRORS].join("\n"));
}

fn letters(folder: &Folder) -> Vec<Value> {
    let text = String::from_utf8(folder.read("dead.ndjson")).unwrap();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// Runs a flow over `in.ndjson`, and checks that it ends well with so many dead letters and the good
/// records 0..10.
#[track_caller]
fn survives(folder: &Folder, dead: u64) -> Ended {
    let ended = run(folder, &[]).expect_code(0);
    let summary = ended.summary();
    conserved(&summary);
    assert_eq!(count(&summary, "deadLettered"), dead, "{summary}");
    assert_eq!(count(&summary, "unfinished"), 0, "{summary}");
    Arrived::in_files(folder, &["out.ndjson"]).holds(0..10);
    assert!(ended.peak_bytes < PEAK_MAX, "{} MiB", ended.peak_bytes >> 20);
    ended
}

/// Puts a line between good records.
fn between(line: &[u8]) -> Vec<u8> {
    [records(0..5).as_bytes(), line, b"\n", records(5..10).as_bytes()].concat()
}

#[test]
fn ten_thousand_nested_arrays() {
    let folder = Folder::new();
    file_flow(&folder);
    let deep = [b"[".repeat(10_000), b"]".repeat(10_000)].concat();
    folder.write("in.ndjson", between(&deep));
    survives(&folder, 1);
    assert_eq!(letters(&folder)[0]["error"]["class"], "invalid_data");
}

#[test]
fn ten_thousand_nested_objects_that_never_end() {
    let folder = Folder::new();
    file_flow(&folder);
    folder.write("in.ndjson", between(&br#"{"a":"#.repeat(10_000)));
    survives(&folder, 1);
}

#[test]
fn invalid_utf8_and_nul_bytes() {
    let folder = Folder::new();
    file_flow(&folder);
    let lines: [&[u8]; 4] =
        [b"{\"id\":1,\"n\":\"\xff\xfe\"}", b"\x00\x00\x00", b"{\"a\":\"\x00\"}", b"\xef\xbb\xbf{"];
    folder.write("in.ndjson", between(&lines.join(&b'\n')));
    survives(&folder, 4);
    for letter in letters(&folder) {
        assert!(letter["original_message_base64"].is_string(), "{letter}");
    }
}

#[test]
fn duplicate_keys_are_one_record() {
    let folder = Folder::new();
    file_flow(&folder);
    folder.write("in.ndjson", between(br#"{"id":3,"n":"1","n":"2","id":3}"#));
    survives(&folder, 0);
    let text = String::from_utf8(folder.read("out.ndjson")).unwrap();
    assert_eq!(text.lines().count(), 11);
}

#[test]
fn empty_lines_and_a_last_line_without_its_end() {
    let folder = Folder::new();
    file_flow(&folder);
    let text = format!("\n\r\n{}\n\n", records(0..10));
    folder.write("in.ndjson", text.trim_end());
    survives(&folder, 0);
}

/// A line of 1 GiB in a sparse file, all NUL bytes, between good records.
#[test]
fn a_line_of_a_gibibyte_in_a_file() {
    use std::io::{Seek, SeekFrom};
    let folder = Folder::new();
    file_flow(&folder);
    folder.write("in.ndjson", records(0..5));
    let mut file = std::fs::File::options().append(true).open(folder.path("in.ndjson")).unwrap();
    let length = file.seek(SeekFrom::End(0)).unwrap();
    file.set_len(length + (1 << 30)).unwrap();
    file.write_all(b"\n").unwrap();
    file.write_all(records(5..10).as_bytes()).unwrap();
    survives(&folder, 1);
    let letter = &letters(&folder)[0];
    assert!(
        letter["error"]["message"].as_str().unwrap().contains("16MiB")
            || letter["error"]["message"].as_str().unwrap().contains("16777216"),
        "{letter}"
    );
    assert_eq!(letter["error"]["stage"], "decode");
}

/// The same through a pipe, where nobody knows how long it will be.
#[test]
fn a_line_of_a_gibibyte_on_standard_input() {
    let folder = Folder::new();
    flow(&folder, &["source: {type: stdin, stdin: {}}", CAST, SINK, ERRORS].join("\n"));
    let mut running = start_with(&folder, &[], Stdio::piped());
    let mut input = running.stdin.take().unwrap();
    let feeding = std::thread::spawn(move || {
        input.write_all(records(0..5).as_bytes()).unwrap();
        let block = vec![b'x'; 1 << 20];
        for _ in 0..1024 {
            input.write_all(&block).unwrap();
        }
        input.write_all(b"\n").unwrap();
        input.write_all(records(5..10).as_bytes()).unwrap();
    });
    let ended = running.wait(2 * LONG).expect_code(0);
    feeding.join().unwrap();
    let summary = ended.summary();
    conserved(&summary);
    assert_eq!(count(&summary, "deadLettered"), 1, "{summary}");
    Arrived::in_files(&folder, &["out.ndjson"]).holds_once(0..10);
    assert!(ended.peak_bytes < PEAK_MAX, "{} MiB", ended.peak_bytes >> 20);
}

/// One byte for each thousand that it becomes, without a line end and with many. A gibibyte where the
/// program is optimised; less elsewhere, for unpacking is slow there.
#[test]
fn a_gzip_bomb() {
    let (blocks, most) = if cfg!(debug_assertions) { (6, "1MiB") } else { (1024, "16MiB") };
    for line in ["", "\n"] {
        let folder = Folder::new();
        let source = format!(
            "source: {{type: file, file: {{paths: [in.gz, more.ndjson], maxRecordBytes: {most}}}}}"
        );
        flow(&folder, &[&source, CAST, SINK, ERRORS].join("\n"));
        let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
        let mut block = vec![b'7'; 1 << 20];
        if !line.is_empty() {
            block[(1 << 20) - 1] = b'\n';
        }
        for _ in 0..blocks {
            gzip.write_all(&block).unwrap();
        }
        folder.write("in.gz", gzip.finish().unwrap());
        folder.write("more.ndjson", records(0..10));
        let ended = start(&folder, &[]).wait(2 * LONG).expect_code(0);
        let summary = ended.summary();
        conserved(&summary);
        let bombs = if line.is_empty() { 1 } else { blocks };
        assert_eq!(count(&summary, "recordsIn"), 10 + bombs, "{summary}");
        assert_eq!(
            count(&summary, "deadLettered"),
            if line.is_empty() { 1 } else { 0 },
            "{summary}"
        );
        let text = folder.read("out.ndjson");
        let good = text.split(|&byte| byte == b'\n').filter(|line| line.starts_with(b"{")).count();
        assert_eq!(good, 10, "{ended:#?}");
        assert!(ended.peak_bytes < PEAK_MAX, "{} MiB", ended.peak_bytes >> 20);
    }
}

#[test]
fn a_gzip_file_that_was_cut_off() {
    let folder = Folder::new();
    flow(
        &folder,
        &["source: {type: file, file: {paths: [in.gz, more.ndjson]}}", CAST, SINK, ERRORS]
            .join("\n"),
    );
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    gzip.write_all(records(100..5000).as_bytes()).unwrap();
    let whole = gzip.finish().unwrap();
    folder.write("in.gz", &whole[..whole.len() / 2]);
    folder.write("more.ndjson", records(0..10));
    let ended = run(&folder, &[]);
    let summary = ended.summary();
    conserved(&summary);
    let arrived = Arrived::in_files(&folder, &["out.ndjson"]);
    assert!((0..10).all(|id| arrived.ids.contains_key(&id)), "{ended:#?}");
    assert!(ended.code != Some(0) || ended.stderr.contains("in.gz"), "silent: {ended:#?}");

    // When the whole file is there, the rest is read.
    folder.write("in.gz", whole);
    run(&folder, &[]).expect_code(0);
    let wanted = (0..10).chain(100..5000);
    Arrived::in_files(&folder, &["out.ndjson"]).holds(wanted);
}

#[test]
fn a_file_that_is_not_there_or_cannot_be_read() {
    for (name, paths) in [("none", "[nothing.ndjson]"), ("folder", "[sub, in.ndjson]")] {
        let folder = Folder::new();
        std::fs::create_dir(folder.path("sub")).unwrap();
        let source = format!("source: {{type: file, file: {{paths: {paths}}}}}");
        flow(&folder, &[&source, CAST, SINK, ERRORS].join("\n"));
        folder.write("in.ndjson", records(0..10));
        let ended = run(&folder, &[]);
        let summary = ended.summary();
        conserved(&summary);
        if name == "none" {
            assert!(ended.code == Some(3) || ended.stderr.contains("nothing.ndjson"), "{ended:#?}");
        } else {
            Arrived::in_files(&folder, &["out.ndjson"]).holds_once(0..10);
        }
    }
}

/// Root may read everything, so the program runs as nobody there.
#[test]
fn a_file_that_may_not_be_read_does_not_keep_the_others() {
    use std::os::unix::fs::PermissionsExt;
    use std::os::unix::process::CommandExt;
    const NOBODY: u32 = 65_534;
    let folder = Folder::new();
    flow(&folder, &["source: {type: file, file: {paths: [in/*]}}", CAST, SINK, ERRORS].join("\n"));
    let secret = folder.write("in/a.ndjson", records(100..110));
    folder.write("in/b.ndjson", records(0..10));
    std::fs::set_permissions(&secret, std::fs::Permissions::from_mode(0o000)).unwrap();
    let mut command = Command::new(LEVADA);
    command.args(["run", "flow.yaml", "--output", "json", "--data", "data"]);
    command.current_dir(folder.path(""));
    if std::fs::read(&secret).is_ok() {
        std::fs::set_permissions(folder.path(""), std::fs::Permissions::from_mode(0o777)).unwrap();
        command.uid(NOBODY).gid(NOBODY);
    }
    let output = match command.output() {
        Ok(output) => output,
        Err(error) => return skipped("a file that may not be read", &error.to_string()),
    };
    let log = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(3), "{log}");
    assert!(log.contains("a.ndjson") && !log.contains("panicked"), "{log}");
    Arrived::in_files(&folder, &["out.ndjson"]).holds_once(0..10);
}

/// The file goes away while it is read: what was read of it stays, and the flow says how it ended.
#[test]
fn a_file_that_vanishes_while_it_is_followed() {
    let folder = Folder::new();
    flow(
        &folder,
        &[
            "source: {type: file, file: {paths: [in/*.ndjson], follow: true, pollInterval: 10ms}}",
            CAST,
            SINK,
            ERRORS,
        ]
        .join("\n"),
    );
    folder.write("in/a.ndjson", records(0..5));
    let mut running = start(&folder, &[]);
    let arrived = |count: usize| Arrived::in_files(&folder, &["out.ndjson"]).ids.len() == count;
    running.until("the first arrived", LONG, || arrived(5));
    std::fs::remove_dir_all(folder.path("in")).unwrap();
    folder.write("in/b.ndjson", records(5..10));
    running.until("the second arrived", LONG, || arrived(10));
    running.signal(rustix::process::Signal::TERM);
    let summary = running.wait(LONG).expect_code(0).summary();
    conserved(&summary);
    Arrived::in_files(&folder, &["out.ndjson"]).holds_once(0..10);
}
