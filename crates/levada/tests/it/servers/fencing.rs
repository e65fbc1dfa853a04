//! Two processes of one flow whose positions are in a database: one of them runs it.

use levada_testkit::process::{Folder, Running};
use rustix::process::Signal;

use super::postgres::Database;
use super::scene::{LONG, flow, records};

const LEVADA: &str = env!("CARGO_BIN_EXE_levada");

/// A machine of its own that runs the flow: its input and output are here.
struct Machine {
    folder: Folder,
    store: String,
}

impl Machine {
    fn new(name: &str, store: &str) -> Self {
        let folder = Folder::new();
        flow(
            &folder,
            name,
            "checkpointSaveInterval: 20ms
source: {type: file, file: {paths: [in.ndjson], follow: true, pollInterval: 10ms}}
sink: {type: file, file: {path: out.ndjson}}
",
        );
        folder.write("in.ndjson", lines(0..10));
        Machine { folder, store: format!("flow.checkpoint-store={store}") }
    }

    fn start(&self) -> Running {
        let arguments =
            ["run", "flow.yaml", "--output", "json", "--data", "data", "--set", &self.store];
        self.folder.start(LEVADA, &arguments)
    }

    fn append(&self, ids: std::ops::Range<u64>) {
        self.folder.append("in.ndjson", lines(ids));
    }

    fn has_written(&self, lines: usize) -> bool {
        String::from_utf8(self.folder.read("out.ndjson")).unwrap().lines().count() == lines
    }
}

fn lines(ids: std::ops::Range<u64>) -> String {
    records(ids).map(|line| line + "\n").collect()
}

#[test]
fn one_of_two_processes_runs_a_flow() {
    let Some(database) = Database::new("fencing") else { return };
    for is_over in [false, true] {
        let name = format!("fencing-{}-{is_over}", std::process::id());
        let store = |who: &str| {
            let (url, schema) = (&database.url, &database.schema);
            format!("{url}?application_name={schema}_{who}&options[search_path]={schema}")
        };
        let first = Machine::new(&name, &store("first"));
        let mut running = first.start();
        running.until("the first arrived", LONG, || first.has_written(10));
        // The position is stored, so the database answers the first.
        let stored = format!(
            "SELECT count(*) FROM {}.levada_checkpoints WHERE flow = 'default/{name}' AND body IS NOT NULL",
            database.schema
        );
        running.until("the position is stored", LONG, || database.column(&stored) == ["1"]);

        let second = Machine::new(&name, &store("second"));
        let ended = second.start().wait(LONG).expect_code(3);
        let error = ended.summary()["error"].as_str().unwrap().to_owned();
        assert!(
            error.contains(&format!("`default/{name}` is already running in process")),
            "{error}"
        );
        assert!(second.has_written(0));

        // The first falls silent and its connection ends, as when its machine is cut off.
        running.signal(Signal::STOP);
        let cut = format!(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = '{}_first'",
            database.schema
        );
        assert!(database.column(&cut).iter().all(|done| done == "true"));
        let mut other = second.start();
        other.until("the second arrived", LONG, || second.has_written(10));
        if is_over {
            other.signal(Signal::TERM);
            other.wait(LONG).expect_code(0);
            first.append(10..20);
            running.signal(Signal::CONT);
            expect_yield(running);
        } else {
            first.append(10..20);
            running.signal(Signal::CONT);
            expect_yield(running);
            second.append(10..20);
            other.until("the second goes on", LONG, || second.has_written(20));
            other.signal(Signal::TERM);
            other.wait(LONG).expect_code(0);
        }
    }
}

/// Waits for the end of a process whose flow runs elsewhere.
#[track_caller]
fn expect_yield(running: Running) {
    let ended = running.wait(LONG).expect_code(3);
    let error = ended.summary()["error"].as_str().unwrap().to_owned();
    assert!(error.contains("epoch 1 is refused: epoch 2 has taken over"), "{ended:#?}");
}
