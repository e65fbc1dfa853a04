//! `bench flow`: what a record costs, measured from outside on the release binary, beside the peers' figures.
//!
//! ```text
//! seeded records (data) ──► levada run flow.yaml (measure) ──► output, compared with a second computation (verify)
//!                      └──► xtask bench-floor    (measure)     read, tokenize, write, nothing else (floor)
//! ```
//! The records, the flow and the figures of the peers are described in `bench/README.md`. `bench task` is in [`tasks`],
//! `bench task --http` in [`http`], `bench gateway` in [`gateway`].

mod client;
mod data;
pub(crate) mod floor;
mod gateway;
mod http;
mod measure;
mod orders;
mod server;
mod servers;
mod tasks;
mod verify;

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, bail};

use crate::{Outcome, cargo, repo};
use data::RECORD_BYTES;
use measure::Usage;

/// Records of a run of p1. Source: the definition of the workload, two million.
const RECORDS_DEFAULT: u64 = 2_000_000;
/// Most records of a run: 25 GB of input.
const RECORDS_MAX: u64 = 100_000_000;
/// Runs of which the median is taken. Source: the definition of the workload.
const RUNS_DEFAULT: usize = 5;
/// Most runs.
const RUNS_MAX: usize = 100;
/// Peak memory stays below this. Source: the goal of the workload.
const MEMORY_GOAL_MB: f64 = 100.0;

/// One workload, with the figures it is compared with.
struct Flow {
    name: &'static str,
    /// The manifest, from the root of the repository.
    manifest: &'static str,
    /// CPU seconds per million records of other processors. Source: `bench/README.md`.
    peers: &'static [(&'static str, f64)],
    /// CPU seconds per million records that we want to stay within.
    goal: f64,
    /// Whether the flow writes its records, so that they can be verified and the floor writes too.
    has_output: bool,
}

const FLOWS: &[Flow] = &[
    Flow {
        name: "p1",
        manifest: "bench/flow/p1.yaml",
        peers: &[("Vector", 34.0), ("Redpanda Connect", 39.0), ("jq", 17.5)],
        goal: 2.0,
        has_output: true,
    },
    Flow {
        name: "p1-null",
        manifest: "bench/flow/p1-null.yaml",
        peers: &[("Vector", 8.7), ("Redpanda Connect", 27.0)],
        goal: 1.5,
        has_output: false,
    },
];

/// What is measured.
enum Work {
    Gateway(gateway::Plan),
    Other(Plan),
}

/// What the arguments ask for, but for the gateway.
#[derive(Debug, PartialEq, Eq)]
struct Plan {
    /// None: as the workload is defined.
    records: Option<u64>,
    runs: usize,
    /// The name of one flow; none: all.
    only: Option<&'static str>,
    /// Tasks of a server, not of this process.
    is_http: bool,
}

/// Measures what the arguments ask for. A missed goal is printed and is not a failure; a wrong output is one.
pub(crate) fn run(arguments: &[String]) -> Result<Outcome> {
    let is_task = arguments.first().is_some_and(|first| first == "task");
    let plan = match arguments.split_first() {
        Some((first, rest)) if first == "gateway" => gateway::parse(rest).map(Work::Gateway),
        _ => parse(arguments).map(Work::Other),
    };
    let plan = match plan {
        Ok(Work::Other(plan)) if is_task && !plan.is_http => {
            return tasks::run(plan.only, plan.records, plan.runs);
        }
        Ok(plan) => plan,
        Err(problem) => return Ok(Outcome::Usage(problem)),
    };
    let release = repo::target()?.join("release");
    if cfg!(debug_assertions) {
        // The generator, the floor and the comparison are loops over half a gigabyte: they run optimised, too.
        let mut build = cargo::command("build");
        build.args(["--release", "--locked", "--package", "levada", "--package", "xtask"]);
        if !cargo::succeeds(&mut build, "cargo build")? {
            bail!("the release build failed");
        }
        let status = Command::new(release.join("xtask"))
            .arg("bench")
            .args(arguments)
            .status()
            .context("cannot start the optimised task")?;
        return Ok(Outcome::from_good(status.success()));
    }

    let folder = repo::target()?.join("bench");
    fs::create_dir_all(&folder).context("cannot create the folder of the bench")?;
    let levada = release.join("levada");
    let plan = match plan {
        Work::Gateway(plan) => return gateway::run(&levada, &folder, &plan),
        Work::Other(plan) => plan,
    };
    if is_task {
        return http::run(&levada, &folder, plan.only, plan.records, plan.runs);
    }
    println!("machine: {}", measure::machine());
    let is_wanted = |name: &str| plan.only.is_none_or(|only| only == name);
    if FLOWS.iter().any(|flow| is_wanted(flow.name)) {
        let records = plan.records.unwrap_or(RECORDS_DEFAULT);
        let bench = Bench {
            levada: levada.clone(),
            input: data::prepare(&folder, records)?,
            scratch: folder.join("run"),
            records,
            kept: data::kept(records),
            runs: plan.runs,
        };
        for flow in FLOWS.iter().filter(|flow| is_wanted(flow.name)) {
            bench.flow(flow)?;
        }
    }
    let between: Vec<_> = servers::FLOWS.iter().filter(|flow| is_wanted(flow.name)).collect();
    if !between.is_empty() {
        let bench = servers::Bench::start(levada, folder, plan.runs)?;
        for flow in between {
            bench.flow(flow, plan.records.unwrap_or(flow.records))?;
        }
    }
    Ok(Outcome::Good)
}

fn parse(arguments: &[String]) -> Result<Plan, String> {
    let Some((what @ ("flow" | "task"), rest)) =
        arguments.split_first().map(|(first, rest)| (first.as_str(), rest))
    else {
        return Err("bench what? known: `flow`, `task`, `gateway`".to_owned());
    };
    let mut plan = Plan { records: None, runs: RUNS_DEFAULT, only: None, is_http: false };
    plan.is_http = what == "task" && rest.iter().any(|argument| argument == "--http");
    let mut rest = rest.iter();
    while let Some(argument) = rest.next() {
        match argument.as_str() {
            "--records" | "--points" => {
                plan.records = Some(number(argument, rest.next(), RECORDS_MAX)?)
            }
            "--runs" => {
                let runs = number(argument, rest.next(), RUNS_MAX as u64)?;
                plan.runs = usize::try_from(runs).map_err(|_| "too many runs".to_owned())?;
            }
            "--http" if plan.is_http => {}
            name if plan.is_http => plan.only = Some(http::known(name)?),
            name if what == "task" => plan.only = Some(tasks::known(name)?),
            name => {
                let known = names().find(|known| *known == name);
                plan.only = Some(known.ok_or_else(|| unknown_flow(name))?);
            }
        }
    }
    Ok(plan)
}

fn number(option: &str, value: Option<&String>, max: u64) -> Result<u64, String> {
    let value = value.ok_or_else(|| format!("`{option}` needs a number"))?;
    let number = value.replace('_', "").parse().ok();
    number
        .filter(|number| (1..=max).contains(number))
        .ok_or_else(|| format!("`{option}` is a number from 1 to {max}, not `{value}`"))
}

fn unknown_flow(name: &str) -> String {
    let known: Vec<&str> = names().collect();
    format!("unknown flow `{name}`; known: {}", known.join(", "))
}

fn names() -> impl Iterator<Item = &'static str> {
    FLOWS.iter().map(|flow| flow.name).chain(servers::FLOWS.iter().map(|flow| flow.name))
}

/// Everything the runs share.
struct Bench {
    levada: PathBuf,
    input: PathBuf,
    /// Emptied before each run, so that no checkpoint of an earlier one spares work.
    scratch: PathBuf,
    records: u64,
    /// Records that the filter lets through.
    kept: u64,
    runs: usize,
}

// === impl Bench ===

impl Bench {
    fn flow(&self, flow: &Flow) -> Result<()> {
        println!(
            "\nflow {}: {} records of {RECORD_BYTES} bytes, {} leave, median of {}",
            flow.name,
            grouped(self.records),
            grouped(self.kept),
            self.runs
        );
        // First, for it also brings the input into the page cache.
        let floor = (0..self.runs).map(|_| self.floor_once(flow)).collect::<Result<Vec<_>>>()?;
        let mut usages = Vec::with_capacity(self.runs);
        for run in 1..=self.runs {
            let usage = self.run_once(flow).with_context(|| format!("{} run {run}", flow.name))?;
            println!(
                "  run {run}: {:.2} s, {:.2} CPU s, {:.1} MB",
                usage.wall_seconds, usage.cpu_seconds, usage.peak_mb
            );
            usages.push(usage);
        }
        self.print(flow, &usages, &floor);
        Ok(())
    }

    /// Runs the flow once in an empty folder and checks what it did.
    fn run_once(&self, flow: &Flow) -> Result<Usage> {
        empty(&self.scratch)?;
        let output = self.scratch.join("output.ndjson");
        let template = fs::read_to_string(repo::root().join(flow.manifest))
            .with_context(|| format!("cannot read {}", flow.manifest))?;
        fs::write(self.scratch.join("flow.yaml"), manifest(&template, &self.input, &output)?)
            .context("cannot write the manifest")?;
        let (summary, log) = (self.scratch.join("summary.json"), self.scratch.join("log.txt"));

        let mut command = Command::new(&self.levada);
        command
            .args(["run", "--output", "json", "flow.yaml"])
            .current_dir(&self.scratch)
            .stdout(File::create(&summary)?)
            .stderr(File::create(&log)?);
        let (status, usage) = measure::run(&mut command)?;
        let read = |path: &Path| fs::read_to_string(path).unwrap_or_default();
        if !status.success() {
            bail!("levada run ended with {status}:\n{}", read(&log).trim_end());
        }
        let summary = read(&summary);
        for count in [self.records, self.kept] {
            if !verify::mentions(&summary, count) {
                bail!("the summary does not speak of {count} records: {}", summary.trim_end());
            }
        }
        if flow.has_output {
            let file = File::open(&output).context("the flow left no output file")?;
            verify::output(file, self.records).context("the output is wrong")?;
            fs::remove_file(&output)?;
        }
        Ok(usage)
    }

    fn floor_once(&self, flow: &Flow) -> Result<Usage> {
        empty(&self.scratch)?;
        let mut command = Command::new(std::env::current_exe()?);
        command.arg("bench-floor").arg(&self.input);
        if flow.has_output {
            command.arg(self.scratch.join("floor.ndjson"));
        }
        command.stdout(File::create(self.scratch.join("floor.txt"))?);
        let (status, usage) = measure::run(&mut command)?;
        if !status.success() {
            bail!("bench-floor ended with {status}");
        }
        Ok(usage)
    }

    fn print(&self, flow: &Flow, usages: &[Usage], floor: &[Usage]) {
        let millions = self.records as f64 / 1e6;
        let floor = measure::median(floor.iter().map(|usage| usage.cpu_seconds)) / millions;

        let cpu = print_costs(self.records, usages, flow.goal, MEMORY_GOAL_MB, flow.peers);
        let what = if flow.has_output { "read, tokenize, write" } else { "read, tokenize" };
        println!(
            "  floor                    {floor:.2} CPU s per million ({what}), ours is {:.1} times that",
            cpu / floor
        );
        let verified = if flow.has_output {
            "every record and field of every run equals a second computation"
        } else {
            "counts of the summary; the same steps are verified by p1"
        };
        println!("  verified                 {verified}");
    }
}

/// Fills the placeholders of a manifest.
fn manifest(template: &str, input: &Path, output: &Path) -> Result<String> {
    let mut text = template.to_owned();
    for (placeholder, path) in [("@INPUT@", input), ("@OUTPUT@", output)] {
        let path = path.to_str().context("the target folder's path is not UTF-8")?;
        if path.contains(['"', '\\', '*', '?', '[', '{']) {
            bail!("the target folder's path has a character with a meaning in manifests: {path}");
        }
        text = text.replace(placeholder, path);
    }
    Ok(text)
}

fn empty(folder: &Path) -> Result<()> {
    if folder.exists() {
        fs::remove_dir_all(folder).with_context(|| format!("cannot empty {folder:?}"))?;
    }
    fs::create_dir_all(folder).with_context(|| format!("cannot create {folder:?}"))
}

/// Prints what a flow costs beside goals and others; gives the CPU seconds of a million records.
fn print_costs(
    records: u64,
    usages: &[Usage],
    goal: f64,
    memory_goal: f64,
    peers: &[(&str, f64)],
) -> f64 {
    let median = |value: fn(&Usage) -> f64| measure::median(usages.iter().map(value));
    let cpu = median(|usage| usage.cpu_seconds) / (records as f64 / 1e6);
    let memory = median(|usage| usage.peak_mb);
    let rate = records as f64 / median(|usage| usage.wall_seconds);
    println!("  records per second       {}", grouped(rate as u64));
    println!("  CPU s per million        {cpu:.2}   goal {goal} {}", verdict(cpu, goal));
    println!(
        "  peak memory, MB          {memory:.1}   goal {memory_goal} {}",
        verdict(memory, memory_goal)
    );
    for (name, figure) in peers {
        println!("  {name:<24} {figure} CPU s per million, {:.1} times ours", figure / cpu);
    }
    cpu
}

fn verdict(value: f64, goal: f64) -> &'static str {
    if value <= goal { "met" } else { "MISSED" }
}

/// `1234567` as `1,234,567`.
fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::with_capacity(digits.len() * 4 / 3);
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use super::*;

    fn plan(arguments: &[&str]) -> Result<Plan, String> {
        parse(&arguments.iter().map(|text| (*text).to_owned()).collect::<Vec<_>>())
    }

    #[test]
    fn reads_arguments() {
        let default = Plan { records: None, runs: 5, only: None, is_http: false };
        assert_eq!(plan(&["flow"]), Ok(default));
        let asked = Plan { records: Some(10_000), runs: 1, only: Some("p1-null"), is_http: false };
        assert_eq!(plan(&["flow", "--records", "10_000", "p1-null", "--runs", "1"]), Ok(asked));
        let task = Plan { records: Some(5), runs: 5, only: Some("w3"), is_http: false };
        assert_eq!(plan(&["task", "--points", "5", "w3"]), Ok(task));
        let http = Plan { records: None, runs: 5, only: Some("r1"), is_http: true };
        assert_eq!(plan(&["task", "r1", "--http"]), Ok(http));
        for bad in [
            &[][..],
            &["tasks"],
            &["task", "p1"],
            &["task", "r1"],
            &["task", "--http", "p1"],
            &["flow", "--http"],
            &["flow", "p9"],
            &["flow", "--runs"],
            &["flow", "--runs", "0"],
            &["flow", "--runs", "101"],
            &["flow", "--records", "-1"],
            &["flow", "--records", "100_000_001"],
        ] {
            assert!(plan(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn groups_digits() {
        assert_eq!([0, 999, 1000, 1_234_567].map(grouped), ["0", "999", "1,000", "1,234,567"]);
    }

    #[test]
    fn every_flow_has_a_manifest_with_its_placeholders() {
        for flow in FLOWS {
            let text = fs::read_to_string(repo::root().join(flow.manifest)).unwrap();
            assert!(text.contains("@INPUT@"), "{}", flow.name);
            assert_eq!(text.contains("@OUTPUT@"), flow.has_output, "{}", flow.name);
            let filled = manifest(&text, Path::new("/in"), Path::new("/out")).unwrap();
            assert!(!filled.contains("PUT@"), "{}", flow.name);
        }
        assert!(manifest("", Path::new("/a\"b"), Path::new("/out")).is_err());
    }

    #[test]
    fn the_two_flows_differ_only_in_name_and_sink() {
        let steps = |flow: &Flow| {
            let text = fs::read_to_string(repo::root().join(flow.manifest)).unwrap();
            let from = text.find("  source:").unwrap();
            let to = text.find("  sink:").unwrap();
            text[from..to].to_owned()
        };
        assert_eq!(steps(&FLOWS[0]), steps(&FLOWS[1]));
    }
}
