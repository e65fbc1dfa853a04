//! Flows, and what must have arrived.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use levada_testkit::process::{Ended, Folder, Running};
use rustix::process::Signal;

const LEVADA: &str = env!("CARGO_BIN_EXE_levada");

/// How long a run may take; joining a group behind a killed member takes seconds.
pub(super) const LONG: Duration = Duration::from_secs(90);

/// Writes `flow.yaml` with this spec, indented by two blanks.
pub(super) fn flow(folder: &Folder, name: &str, spec: &str) {
    let spec: String = spec.lines().map(|line| format!("  {line}\n")).collect();
    let head = "apiVersion: dataflow.dataflow.io/v1\nkind: DataFlow\n";
    folder.write("flow.yaml", format!("{head}metadata: {{name: {name}}}\nspec:\n{spec}"));
}

/// Starts the flow, with a fault at a place or without.
pub(super) fn start(folder: &Folder, fault: Option<(&str, u32)>) -> Running {
    start_with(folder, fault, &[])
}

/// Starts the flow with more arguments.
pub(super) fn start_with(folder: &Folder, fault: Option<(&str, u32)>, more: &[&str]) -> Running {
    let variable = match fault {
        Some((place, passes)) => format!("LEVADA_FAULT={place}:{passes}"),
        None => "NO_FAULT=".to_owned(),
    };
    let run = ["run", "flow.yaml", "--output", "json", "--data", "data"];
    let small = ["--set", "flow.batch-records=200", "--set", "flow.retry-max=1s"];
    let arguments: Vec<&str> = [&*variable, LEVADA]
        .into_iter()
        .chain(run)
        .chain(small)
        .chain(more.iter().copied())
        .collect();
    folder.start("env", &arguments)
}

/// Runs the flow to its end.
pub(super) fn run(folder: &Folder, fault: Option<(&str, u32)>) -> Ended {
    start(folder, fault).wait(LONG).expect_no_panic()
}

/// Asks the flow to stop, as a supervisor does, and waits for its end.
pub(super) fn stop(running: Running) -> Ended {
    running.signal(Signal::TERM);
    running.wait(LONG).expect_code(0)
}

/// Gives how often a scene that takes seconds is played: `LEVADA_KILL_ROUNDS` times `one`, tenfold less.
pub(super) fn plays(one: u32) -> u32 {
    let rounds = std::env::var("LEVADA_KILL_ROUNDS").ok().and_then(|text| text.parse().ok());
    rounds.map_or(one, |rounds: u32| one * (rounds / 10).max(1))
}

/// Looks not too often: looking costs the server.
pub(super) fn seldom(look: impl Fn() -> u64) -> u64 {
    std::thread::sleep(Duration::from_millis(200));
    look()
}

/// Lets the sender end when a test fails.
pub(super) struct Over<'a>(pub(super) &'a AtomicBool);

impl Drop for Over<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Release);
    }
}

/// Gives records with these ids.
pub(super) fn records(ids: std::ops::Range<u64>) -> impl Iterator<Item = String> {
    ids.map(|id| {
        format!("{{\"id\":{id},\"name\":\"n{id}\",\"price\":{id}.25,\"kind\":\"{}\"}}", id % 5)
    })
}

/// Checks that exactly these ids arrived, each at least once; gives how many arrived more than once.
#[track_caller]
pub(super) fn holds(arrived: &BTreeMap<u64, u64>, wanted: impl Iterator<Item = u64>) -> u64 {
    let wanted: std::collections::BTreeSet<u64> = wanted.collect();
    let missing: Vec<&u64> = wanted.iter().filter(|id| !arrived.contains_key(id)).collect();
    let strange: Vec<&u64> = arrived.keys().filter(|id| !wanted.contains(id)).collect();
    let few = |ids: &[&u64]| format!("{} such as {:?}", ids.len(), &ids[..ids.len().min(9)]);
    assert!(missing.is_empty(), "missing: {}", few(&missing));
    assert!(strange.is_empty(), "unexpected: {}", few(&strange));
    arrived.values().filter(|times| **times > 1).count() as u64
}
