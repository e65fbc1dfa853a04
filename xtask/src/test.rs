//! `test`: every test of the workspace, and one closing line that counts them.
//!
//! The servers that tests talk to are started when everything is built, and those that were started are stopped at the end.
//! A build that fails counts as one failure. In continuous integration (`CI=true`) a skipped or ignored test is a failure.

use std::fs::File;
use std::io::{BufRead as _, BufReader, BufWriter, Read, Write as _};
use std::process::{Command, Stdio};
use std::sync::mpsc::{SyncSender, sync_channel};
use std::thread;

use anyhow::{Context as _, Result};

use crate::services::Started;
use crate::test_report::{Reader, Report};
use crate::{Outcome, cargo, repo};

/// Lines in flight between cargo and the reader; when full, cargo waits.
const LINES_WAITING_MAX: usize = 1024;
/// First words of cargo's lines about its own progress, which are left out in continuous integration.
const PROGRESS: &[&str] = &[
    "Blocking",
    "Compiling",
    "Doc-tests",
    "Downloaded",
    "Downloading",
    "Finished",
    "Fresh",
    "Locking",
    "Running",
    "Updating",
];

/// Runs the tests that `arguments` select (cargo's own, and `--no-services`), or all.
pub(crate) fn run(arguments: &[String]) -> Result<Outcome> {
    let (with_services, arguments) = split(arguments);
    let command = || {
        let mut command = cargo::command("test");
        command.args(["--locked", "--no-fail-fast"]);
        if arguments.is_empty() {
            command.arg("--workspace");
        }
        command.args(&arguments);
        command
    };
    // Servers that start while everything is compiled would only slow both down; and without a build none is needed.
    let is_built = !with_services || cargo::succeeds(build(&mut command()), "cargo test --no-run")?;
    if !is_built {
        println!("the tests could not be built; why is above");
        return Ok(conclude(&Report { failed: 1, ..Report::default() }));
    }
    let services = with_services.then(Started::all).transpose()?;
    let mut command = command();
    if let Some(services) = &services {
        // Tests that start a server of their own use the same downloads.
        command.envs(services.environment());
    }
    let report = measure(&mut command)?;
    let failed = services.map(|services| services.failed.clone()).unwrap_or_default();
    if !failed.is_empty() {
        println!("services that did not start: {}", failed.join(", "));
    }
    Ok(conclude(&report))
}

/// Takes `--no-services` out of the arguments; says whether services are wanted, and gives the others.
fn split(arguments: &[String]) -> (bool, Vec<&String>) {
    const WITHOUT: &str = "--no-services";
    let others: Vec<&String> = arguments.iter().filter(|argument| *argument != WITHOUT).collect();
    (others.len() == arguments.len(), others)
}

/// Makes a command build its tests and not run them.
fn build(command: &mut Command) -> &mut Command {
    command.arg("--no-run");
    if repo::is_ci() {
        command.arg("--quiet");
    }
    // A list of the test binaries, which is no result.
    command.stdout(Stdio::null())
}

/// Prints the reasons of skips and the closing line.
pub(crate) fn conclude(report: &Report) -> Outcome {
    let is_strict = repo::is_ci();
    for reason in &report.skipped {
        println!("skipped: {reason}");
    }
    if is_strict && !report.skipped.is_empty() {
        println!("with CI=true a skipped test is a failure");
    }
    println!("{}", report.closing_line());
    Outcome::from_good(report.is_good(is_strict))
}

/// Runs a `cargo test` command, shows what failed, and counts.
///
/// The whole output is left in `xtask-test.log` in the target folder.
pub(crate) fn measure(command: &mut Command) -> Result<Report> {
    command.args(["--", "--show-output"]);
    let log_path = repo::target()?.join("xtask-test.log");
    let log = File::create(&log_path).with_context(|| format!("cannot write {log_path:?}"))?;
    let mut log = BufWriter::new(log);

    let mut child = command
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .context("cannot start cargo test")?;
    let (lines, received) = sync_channel(LINES_WAITING_MAX);
    let readers = [
        child.stdout.take().map(|pipe| forward(pipe, lines.clone(), Line::Stdout)),
        child.stderr.take().map(|pipe| forward(pipe, lines.clone(), Line::Stderr)),
    ];
    drop(lines);

    let mut reader = Reader::new();
    for line in received {
        match line {
            Line::Stdout(line) => {
                writeln!(log, "{line}")?;
                reader.stdout(&line).iter().for_each(|shown| println!("{shown}"));
            }
            Line::Stderr(line) => {
                writeln!(log, "{line}")?;
                reader.stderr(&line);
                if !(repo::is_ci() && is_progress(&line)) {
                    eprintln!("{line}");
                }
            }
        }
    }
    log.flush()?;
    readers.into_iter().flatten().for_each(|reader| {
        // A reader only reads and sends; the channel has told us all it had to say.
        drop(reader.join());
    });

    let status = child.wait().context("cannot wait for cargo test")?;
    let (mut report, shown) = reader.finish();
    shown.iter().for_each(|line| println!("{line}"));
    if !status.success() && report.failed == 0 {
        println!(
            "cargo test ended with {status} before or between the tests; its message is above"
        );
        report.failed = 1;
    }
    Ok(report)
}

enum Line {
    Stdout(String),
    Stderr(String),
}

fn forward(
    pipe: impl Read + Send + 'static,
    lines: SyncSender<Line>,
    wrap: fn(String) -> Line,
) -> thread::JoinHandle<()> {
    thread::spawn(move || {
        let mut pipe = BufReader::new(pipe);
        let mut bytes = Vec::new();
        while pipe.read_until(b'\n', &mut bytes).is_ok_and(|length| length > 0) {
            let line = String::from_utf8_lossy(&bytes).trim_end_matches(['\n', '\r']).to_owned();
            if lines.send(wrap(line)).is_err() {
                return;
            }
            bytes.clear();
        }
    })
}

fn is_progress(line: &str) -> bool {
    line.split_whitespace().next().is_some_and(|word| PROGRESS.contains(&word))
        && line.starts_with(' ')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn services_can_be_left_out() {
        let arguments = ["-p", "--no-services", "levada"].map(str::to_owned);
        let (with_services, others) = split(&arguments);
        assert!(!with_services);
        assert_eq!(others, ["-p", "levada"]);
        assert!(split(&arguments[2..]).0);
    }

    #[test]
    fn only_cargos_own_progress_is_left_out() {
        assert!(is_progress("   Compiling levada v0.1.0"));
        assert!(is_progress("     Running unittests src/lib.rs"));
        assert!(!is_progress("error: test failed, to rerun pass `-p levada --lib`"));
        assert!(!is_progress("Running out of space"));
        assert!(!is_progress(""));
    }
}
