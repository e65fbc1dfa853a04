//! `bench task`: what a point costs, in one process, from line protocol to alerts.
//!
//! The workloads run in the optimised example `task_bench` of the task crate, one process each, so that memory and CPU
//! time are those of one workload.

use std::process::Command;

use anyhow::{Context as _, Result, bail};

use super::measure;
use crate::{Outcome, cargo, repo};

/// One workload, with the figures it is compared with.
struct Workload {
    name: &'static str,
    what: &'static str,
    /// CPU seconds per million points of Kapacitor, as a server over HTTP. Source: the definition of the workloads.
    kapacitor: Option<f64>,
    /// CPU seconds per million points that we want to stay within.
    goal: Option<f64>,
}

const WORKLOADS: &[Workload] = &[
    Workload { name: "w0", what: "parse and route", kapacitor: Some(2.4), goal: Some(0.3) },
    Workload {
        name: "w1n",
        what: "alert, 1,000 series, nothing fires",
        kapacitor: Some(6.1),
        goal: Some(0.6),
    },
    Workload {
        name: "w1",
        what: "alert, 1,000 series, one point in twenty fires",
        kapacitor: None,
        goal: None,
    },
    Workload {
        name: "w2",
        what: "groupBy, window 10 s, mean, eval, alert, httpOut",
        kapacitor: Some(4.9),
        goal: Some(0.5),
    },
    Workload {
        name: "w3",
        what: "join of two streams, eval, derivative, alert",
        kapacitor: Some(8.3),
        goal: Some(0.8),
    },
    Workload {
        name: "w4",
        what: "window 60 s every 10 s, percentile 95 and stddev, joined",
        kapacitor: Some(18.8),
        goal: Some(1.9),
    },
    Workload {
        name: "w5",
        what: "100,000 series, stateDuration, alert",
        kapacitor: Some(20.6),
        goal: Some(2.0),
    },
];

/// Points of a run.
const POINTS_DEFAULT: u64 = 2_000_000;
/// Peak memory stays below this, the text of all points left out, which is made beforehand.
const MEMORY_GOAL_MB: f64 = 200.0;

/// Measures all workloads, or the one that is named; a missed goal is printed and is not a failure.
pub(super) fn run(only: Option<&str>, points: Option<u64>, runs: usize) -> Result<Outcome> {
    let mut build = cargo::command("build");
    build.args(["--release", "--locked", "--package", "levada-task", "--example", "task_bench"]);
    if !cargo::succeeds(&mut build, "cargo build")? {
        bail!("the release build failed");
    }
    let program = repo::target()?.join("release/examples/task_bench");
    println!("machine: {}", measure::machine());
    println!(
        "{:<4} {:>9} {:>9} {:>6} {:>11} {:>8} {:>9}  workload",
        "", "CPU s/M", "goal", "", "points/s", "MB", "Kapacitor"
    );
    for workload in WORKLOADS.iter().filter(|w| only.is_none_or(|only| only == w.name)) {
        let mut results: Vec<String> = Vec::new();
        for _ in 0..runs {
            results.push(once(&program, workload, points.unwrap_or(POINTS_DEFAULT))?);
        }
        print(workload, &results);
    }
    Ok(Outcome::Good)
}

/// Finds the name of a workload.
pub(super) fn known(name: &str) -> Result<&'static str, String> {
    let names = || WORKLOADS.iter().map(|workload| workload.name);
    names().find(|known| *known == name).ok_or_else(|| {
        let all: Vec<&str> = names().collect();
        format!("unknown workload `{name}`; known: {}", all.join(", "))
    })
}

fn once(program: &std::path::Path, workload: &Workload, points: u64) -> Result<String> {
    let output = Command::new(program)
        .args([workload.name, &points.to_string()])
        .output()
        .context("cannot start the bench")?;
    let result = String::from_utf8(output.stdout).context("the result is not text")?;
    let is_whole = result.contains("\"error\":null") && number(&result, "dropped") == Some(0.0);
    if !output.status.success() || !is_whole {
        bail!("{}: {}", workload.name, result.trim_end());
    }
    Ok(result)
}

/// Finds the number behind a key of a line of JSON.
pub(super) fn number(line: &str, key: &str) -> Option<f64> {
    let (_, rest) = line.split_once(&format!("\"{key}\":"))?;
    let end = rest.find([',', '}']).unwrap_or(rest.len());
    rest[..end].trim().parse().ok()
}

fn print(workload: &Workload, results: &[String]) {
    let median = |key: &str| {
        let mut values: Vec<f64> =
            results.iter().filter_map(|result| number(result, key)).collect();
        values.sort_by(f64::total_cmp);
        values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
    };
    let cpu = median("cpu_seconds_per_million");
    let verdict = match workload.goal {
        Some(goal) if cpu <= goal => "met",
        Some(_) => "missed",
        None => "",
    };
    let optional = |value: Option<f64>| value.map_or(String::new(), |value| value.to_string());
    let memory = median("peak_memory_mb") - median("input_mb");
    let too_much = if memory > MEMORY_GOAL_MB { " (goal 200)" } else { "" };
    println!(
        "{:<4} {cpu:>9.2} {:>9} {verdict:>6} {:>11.0} {memory:>8.0} {:>9}  {}{too_much}",
        workload.name,
        optional(workload.goal),
        median("points_per_second"),
        optional(workload.kapacitor),
        workload.what
    );
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_found_by_their_keys() {
        let line = r#"{"cpu_seconds":1.5,"cpu_seconds_per_million":0.25,"error":null,"dropped":0}"#;
        assert_eq!(number(line, "cpu_seconds"), Some(1.5));
        assert_eq!(number(line, "cpu_seconds_per_million"), Some(0.25));
        assert_eq!(number(line, "dropped"), Some(0.0));
        assert_eq!(number(line, "error"), None);
        assert_eq!(number(line, "absent"), None);
    }

    #[test]
    fn unknown_workloads_list_the_known_ones() {
        assert_eq!(known("w3"), Ok("w3"));
        assert!(known("w9").is_err_and(|text| text.contains("w0, w1n")));
    }
}
