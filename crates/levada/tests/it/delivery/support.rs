//! Flows, inputs and what arrived.

use std::collections::BTreeMap;
use std::io::Read;
use std::process::Stdio;
use std::time::Duration;

use levada_testkit::process::{Ended, Folder, Running};
use serde_json::Value;

/// The program.
pub(super) const LEVADA: &str = env!("CARGO_BIN_EXE_levada");

/// How long anything may take that takes well below a second; machines that build meanwhile are slow.
pub(super) const LONG: Duration = Duration::from_secs(30);

/// Starts `levada run flow.yaml` in a folder; the summary is on standard output.
pub(super) fn start(folder: &Folder, more: &[&str]) -> Running {
    start_with(folder, more, Stdio::null())
}

/// Starts `levada run flow.yaml` with this standard input.
pub(super) fn start_with(folder: &Folder, more: &[&str], stdin: Stdio) -> Running {
    let mut arguments = vec!["run", "flow.yaml", "--output", "json", "--data", "data"];
    arguments.extend_from_slice(more);
    folder.start_with(LEVADA, &arguments, stdin)
}

/// Runs `levada run flow.yaml` to its end.
pub(super) fn run(folder: &Folder, more: &[&str]) -> Ended {
    start(folder, more).wait(LONG).expect_no_panic()
}

/// Writes `flow.yaml` with this `spec`, indented by two blanks.
pub(super) fn flow(folder: &Folder, spec: &str) {
    flow_named(folder, "flow.yaml", "proof", spec);
}

/// Writes a flow of this name with this `spec`.
pub(super) fn flow_named(folder: &Folder, file: &str, name: &str, spec: &str) {
    let spec: String = spec.lines().map(|line| format!("  {line}\n")).collect();
    let head = "apiVersion: dataflow.dataflow.io/v1\nkind: DataFlow\n";
    folder.write(file, format!("{head}metadata: {{name: {name}}}\nspec:\n{spec}"));
}

/// Gives records with these ids, one per line.
pub(super) fn records(ids: std::ops::Range<u64>) -> String {
    ids.map(|id| format!("{{\"id\":{id},\"n\":\"{id}\",\"pad\":\"{:0>60}\"}}\n", id * 7919))
        .collect()
}

/// Gives a number of a summary.
#[track_caller]
pub(super) fn count(summary: &Value, name: &str) -> u64 {
    summary[name].as_u64().unwrap_or_else(|| panic!("no `{name}` in {summary}"))
}

/// Checks that the summary accounts for every record that was read.
#[track_caller]
pub(super) fn conserved(summary: &Value) {
    let sum: u64 = ["recordsOut", "filtered", "deadLettered", "dropped", "unfinished"]
        .iter()
        .map(|name| count(summary, name))
        .sum();
    assert_eq!(sum, count(summary, "recordsIn"), "{summary}");
}

/// How often each id arrived.
#[derive(Debug, Default)]
pub(super) struct Arrived {
    /// Id and how often.
    pub(super) ids: BTreeMap<u64, u64>,
    /// Lines that are not JSON: torn by a crash.
    pub(super) torn: u64,
}

impl Arrived {
    /// Adds what is in a file, gzip or not; `id` finds the id in a line.
    pub(super) fn read(&mut self, folder: &Folder, file: &str) {
        let bytes = folder.read(file);
        let mut text = Vec::new();
        if file.contains(".gz") {
            let mut plain = flate2::read::MultiGzDecoder::new(&bytes[..]);
            if let Err(error) = plain.read_to_end(&mut text) {
                panic!("`{file}` is no whole gzip file: {error}");
            }
        } else {
            text = bytes;
        }
        for line in text.split(|&byte| byte == b'\n').filter(|line| !line.is_empty()) {
            match serde_json::from_slice::<Value>(line).ok().as_ref().and_then(id_of) {
                Some(id) => *self.ids.entry(id).or_default() += 1,
                None => self.torn += 1,
            }
        }
    }

    /// Gives what is in these files.
    pub(super) fn in_files(folder: &Folder, files: &[&str]) -> Self {
        let mut arrived = Arrived::default();
        for file in files {
            arrived.read(folder, file);
        }
        arrived
    }

    /// Gives how many records arrived more than once, counting each time.
    pub(super) fn duplicates(&self) -> u64 {
        self.ids.values().map(|times| times - 1).sum()
    }

    /// Checks that exactly these ids arrived, each at least once.
    #[track_caller]
    pub(super) fn holds(&self, wanted: impl Iterator<Item = u64>) {
        let wanted: std::collections::BTreeSet<u64> = wanted.collect();
        let missing: Vec<u64> =
            wanted.iter().filter(|id| !self.ids.contains_key(id)).copied().collect();
        let strange: Vec<u64> =
            self.ids.keys().filter(|id| !wanted.contains(id)).copied().collect();
        let few = |ids: &[u64]| format!("{} such as {:?}", ids.len(), &ids[..ids.len().min(9)]);
        assert!(missing.is_empty(), "missing: {}", few(&missing));
        assert!(strange.is_empty(), "unexpected: {}", few(&strange));
    }

    /// Checks that exactly these ids arrived, each once, and nothing torn.
    #[track_caller]
    pub(super) fn holds_once(&self, wanted: impl Iterator<Item = u64>) {
        self.holds(wanted);
        assert_eq!((self.duplicates(), self.torn), (0, 0), "duplicates, torn lines");
    }
}

/// Finds the id of a record or of a dead letter; ids of CSV are texts.
fn id_of(value: &Value) -> Option<u64> {
    let record = value.get("original_message").unwrap_or(value);
    let id = record.get("id")?;
    id.as_u64().or_else(|| id.as_str()?.parse().ok())
}
