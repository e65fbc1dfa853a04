//! `soak`: the randomised tests with counts that take hours.
//!
//! The same tests run everywhere with a small, seeded sample; each reads its count from the environment. So a failure
//! found here is repeated by `cargo xtask test` with the seed that it printed.

use anyhow::{Context as _, Result};

use crate::services::Started;
use crate::test::{conclude, measure};
use crate::test_report::Report;
use crate::{Outcome, cargo};

/// One kind of randomised test.
struct Kind {
    name: &'static str,
    /// The variable that its tests read.
    variable: &'static str,
    /// The count of a whole soak: about an hour each on two cores.
    count: u64,
    /// What the names of its tests contain; empty: every test is run, for the variable reaches all of them.
    filter: &'static str,
    /// Optimised programs have no named places to be killed at.
    is_optimised: bool,
}

const KINDS: &[Kind] = &[
    Kind {
        name: "fuzz",
        variable: "LEVADA_FUZZ_ITERATIONS",
        count: 20_000_000,
        filter: "fuzz",
        is_optimised: true,
    },
    Kind {
        name: "kill",
        variable: "LEVADA_KILL_ROUNDS",
        count: 200,
        filter: "kill",
        is_optimised: false,
    },
    Kind {
        name: "property",
        variable: "PROPTEST_CASES",
        count: 50_000,
        filter: "",
        is_optimised: true,
    },
];

/// Runs the kind that `arguments` name, or each in turn.
pub(crate) fn run(arguments: &[String]) -> Result<Outcome> {
    let (kinds, count) = match parse(arguments) {
        Ok(parsed) => parsed,
        Err(problem) => return Ok(Outcome::Usage(problem)),
    };
    // Kills, and properties of connectors, are tried on real servers.
    let services = Started::all()?;
    let mut total = Report::default();
    for kind in kinds {
        let count = count.unwrap_or(kind.count);
        println!("soak {}: {}={count}", kind.name, kind.variable);
        let mut command = cargo::command("test");
        command.args(["--locked", "--no-fail-fast", "--workspace"]);
        if kind.is_optimised {
            command.arg("--release");
        }
        if !kind.filter.is_empty() {
            command.args(["--lib", "--bins", "--tests", kind.filter]);
        }
        command.env(kind.variable, count.to_string()).envs(services.environment());
        let report = measure(&mut command).with_context(|| format!("soak {}", kind.name))?;
        if report.passed + report.failed + report.skipped.len() == 0 {
            println!("no test has `{}` in its name", kind.filter);
            total.failed += 1;
        }
        total.passed += report.passed;
        total.failed += report.failed;
        total.skipped.extend(report.skipped);
    }
    Ok(conclude(&total))
}

fn parse(arguments: &[String]) -> Result<(Vec<&'static Kind>, Option<u64>), String> {
    let mut kinds = Vec::new();
    let mut count = None;
    let mut rest = arguments.iter();
    while let Some(argument) = rest.next() {
        if argument == "--count" {
            let value = rest.next().ok_or("--count needs a number")?;
            count = Some(value.parse().map_err(|_| format!("`{value}` is not a count"))?);
            continue;
        }
        let kind = KINDS.iter().find(|kind| kind.name == argument);
        kinds.push(kind.ok_or_else(|| {
            let known: Vec<&str> = KINDS.iter().map(|kind| kind.name).collect();
            format!("unknown soak `{argument}`; known: {}", known.join(", "))
        })?);
    }
    if kinds.is_empty() {
        kinds.extend(KINDS);
    }
    Ok((kinds, count))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(arguments: &[&str]) -> Result<(Vec<&'static str>, Option<u64>), String> {
        let arguments: Vec<String> = arguments.iter().map(|text| (*text).to_owned()).collect();
        parse(&arguments)
            .map(|(kinds, count)| (kinds.iter().map(|kind| kind.name).collect(), count))
    }

    #[test]
    fn reads_kinds_and_count() {
        assert_eq!(names(&[]), Ok((vec!["fuzz", "kill", "property"], None)));
        assert_eq!(names(&["kill", "--count", "7"]), Ok((vec!["kill"], Some(7))));
        assert_eq!(names(&["--count"]), Err("--count needs a number".to_owned()));
        assert_eq!(names(&["--count", "-1"]), Err("`-1` is not a count".to_owned()));
        let unknown = "unknown soak `fuz`; known: fuzz, kill, property".to_owned();
        assert_eq!(names(&["fuz"]), Err(unknown));
    }
}
