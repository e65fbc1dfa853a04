//! Where a run stopped: kept, damaged, contested, forgotten.

use levada_testkit::process::Folder;
use levada_testkit::services::POSTGRES;
use rustix::process::Signal;

use super::support::{Arrived, LONG, count, flow, flow_named, records, run, start};

const CHECKPOINT: &str = "data/checkpoints/default%2Fproof.checkpoint";
const BEFORE: &str = "data/checkpoints/default%2Fproof.checkpoint.prev";

fn file_to_file(more: &str) -> Folder {
    let folder = Folder::new();
    flow(
        &folder,
        &format!(
            "{more}
source: {{type: file, file: {{paths: [in.ndjson]}}}}
sink: {{type: file, file: {{path: out.ndjson}}}}
"
        ),
    );
    folder.write("in.ndjson", records(0..100));
    folder
}

#[track_caller]
fn reads(folder: &Folder, more: &[&str], records: u64) -> String {
    let ended = run(folder, more).expect_code(0);
    assert_eq!(count(&ended.summary(), "recordsIn"), records, "{ended:#?}");
    ended.stderr
}

#[test]
fn a_second_run_goes_on_where_the_first_stopped() {
    let folder = file_to_file("");
    reads(&folder, &[], 100);
    reads(&folder, &[], 0);
    folder.append("in.ndjson", records(100..150));
    reads(&folder, &[], 50);
    Arrived::in_files(&folder, &["out.ndjson"]).holds_once(0..150);
}

#[test]
fn from_start_and_no_checkpoints_read_again() {
    let folder = file_to_file("");
    reads(&folder, &["--no-checkpoints"], 100);
    assert!(!folder.path(CHECKPOINT).exists());
    reads(&folder, &[], 100);
    reads(&folder, &["--from-start"], 100);
    reads(&folder, &[], 0);

    let folder = file_to_file("checkpointPersistence: false");
    reads(&folder, &[], 100);
    assert!(!folder.path(CHECKPOINT).exists());
    reads(&folder, &[], 100);
}

#[test]
fn a_damaged_checkpoint_gives_way_to_the_one_before_it() {
    for damage in [
        |bytes: &[u8]| bytes[..bytes.len() / 2].to_vec(),
        |bytes: &[u8]| {
            let mut changed = bytes.to_vec();
            let middle = changed.len() / 2;
            changed[middle] ^= 1;
            changed
        },
    ] {
        let folder = file_to_file("");
        reads(&folder, &[], 100);
        folder.append("in.ndjson", records(100..150));
        reads(&folder, &[], 50);
        assert!(!folder.read(BEFORE).is_empty());
        folder.write(CHECKPOINT, damage(&folder.read(CHECKPOINT)));
        let log = reads(&folder, &[], 50);
        assert!(log.contains("an older checkpoint is used"), "{log}");
        reads(&folder, &[], 0);
        Arrived::in_files(&folder, &["out.ndjson"]).holds(0..150);

        // Both are damaged: nothing is guessed, and the text says what to do.
        folder.write(CHECKPOINT, damage(&folder.read(CHECKPOINT)));
        folder.write(BEFORE, damage(&folder.read(BEFORE)));
        let ended = run(&folder, &[]).expect_code(3);
        let error = ended.summary()["error"].as_str().unwrap().to_owned();
        assert!(error.contains("checkpoint"), "{error}");
        assert_eq!(count(&ended.summary(), "recordsIn"), 0);
        reads(&folder, &["--from-start"], 150);
    }
}

#[test]
fn an_empty_checkpoint_is_no_checkpoint() {
    let folder = file_to_file("");
    reads(&folder, &[], 100);
    folder.append("in.ndjson", records(100..150));
    reads(&folder, &[], 50);
    // What a crash of the machine may leave where a file system does not keep its promises.
    folder.write(CHECKPOINT, "");
    reads(&folder, &[], 50);
}

#[test]
fn a_second_process_on_the_same_flow_is_refused() {
    let folder = Folder::new();
    flow(
        &folder,
        "source: {type: file, file: {paths: [in.ndjson], follow: true, pollInterval: 10ms}}
sink: {type: file, file: {path: out.ndjson}}
",
    );
    folder.write("in.ndjson", records(0..10));
    let mut first = start(&folder, &[]);
    let arrived = |wanted: usize| Arrived::in_files(&folder, &["out.ndjson"]).ids.len() == wanted;
    first.until("the first arrived", LONG, || arrived(10));
    for more in [&[][..], &["--from-start"]] {
        let ended = run(&folder, more).expect_code(3);
        let error = ended.summary()["error"].as_str().unwrap().to_owned();
        assert!(error.contains("default/proof"), "{error}");
        assert!(error.contains("process") || error.contains("running"), "{error}");
    }
    folder.append("in.ndjson", records(10..20));
    first.until("the first goes on", LONG, || arrived(20));
    first.signal(Signal::KILL);
    assert_eq!(first.wait(LONG).code, None);
    // A lock of a process that is gone keeps nobody out.
    let mut second = start(&folder, &[]);
    folder.append("in.ndjson", records(20..30));
    second.until("the second goes on", LONG, || arrived(30));
    second.signal(Signal::TERM);
    second.wait(LONG).expect_code(0);
    Arrived::in_files(&folder, &["out.ndjson"]).holds(0..30);
}

#[test]
fn a_folder_that_cannot_be_written_is_said_at_once() {
    let folder = file_to_file("");
    folder.write("data", "a file where the folder should be");
    let ended = run(&folder, &[]).expect_code(3);
    assert!(ended.stderr.contains("--data"), "{ended:#?}");
    assert!(folder.read("out.ndjson").is_empty());
}

#[test]
fn positions_in_a_database_need_no_folder() {
    let test = "positions_in_a_database_need_no_folder";
    let Some(address) = POSTGRES.address(test) else { return };
    let store = format!("flow.checkpoint-store=postgres://postgres@{address}/postgres");
    // The tables are shared by every test that uses this database: the flow has a name of its own.
    let name = format!("database-{}", std::process::id());
    let spec = "source: {type: file, file: {paths: [in.ndjson]}}
sink: {type: file, file: {path: out.ndjson}}
";
    let folder = Folder::new();
    flow_named(&folder, "flow.yaml", &name, spec);
    folder.write("in.ndjson", records(0..100));
    reads(&folder, &["--set", &store], 100);
    reads(&folder, &["--set", &store], 0);
    assert!(!folder.path("data/checkpoints").exists());

    // As on another machine that sees the same input: nothing is left of the former data folder.
    std::fs::remove_dir_all(folder.path("data")).ok();
    folder.append("in.ndjson", records(100..150));
    reads(&folder, &["--set", &store], 50);
    Arrived::in_files(&folder, &["out.ndjson"]).holds_once(0..150);
    reads(&folder, &["--set", &store, "--from-start"], 150);
}

#[test]
fn a_database_that_does_not_answer_is_said_without_the_password() {
    let folder = file_to_file("");
    let closed = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let store = format!("flow.checkpoint-store=postgres://u:hunter2@{closed}/d");
    let ended = run(&folder, &["--set", &store]).expect_code(3);
    assert!(ended.stderr.contains("flow.checkpoint-store"), "{ended:#?}");
    assert!(ended.stderr.contains(&closed.to_string()), "{ended:#?}");
    assert!(!ended.stderr.contains("hunter2"), "{ended:#?}");
    assert!(folder.read("out.ndjson").is_empty());
}
