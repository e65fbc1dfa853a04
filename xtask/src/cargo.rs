//! Starting cargo from a task.

use std::process::{Command, Stdio};
use std::time::Instant;

use anyhow::{Context as _, Result};

use crate::repo;

/// A cargo command in the root of the repository, without stdin.
pub(crate) fn command(subcommand: &str) -> Command {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut command = Command::new(cargo);
    command.arg(subcommand).current_dir(repo::root()).stdin(Stdio::null());
    command
}

/// Like [`command`], with `--quiet` in continuous integration, so that what is wrong is not lost among lines about compiling.
pub(crate) fn quiet_in_ci(subcommand: &str) -> Command {
    let mut command = command(subcommand);
    if repo::is_ci() {
        command.arg("--quiet");
    }
    command
}

/// Runs `command` to its end and says whether it succeeded; `what` names it in errors.
pub(crate) fn succeeds(command: &mut Command, what: &str) -> Result<bool> {
    let status = command.status().with_context(|| format!("cannot start {what}"))?;
    Ok(status.success())
}

/// Runs one named step of a task and prints how it ended and how long it took.
pub(crate) fn step(name: &str, work: impl FnOnce() -> Result<bool>) -> bool {
    let start = Instant::now();
    let result = work();
    let seconds = start.elapsed().as_secs_f64();
    match result {
        Ok(true) => eprintln!("{name}: ok ({seconds:.1} s)"),
        Ok(false) => eprintln!("{name}: FAILED ({seconds:.1} s)"),
        Err(ref error) => eprintln!("{name}: FAILED ({seconds:.1} s): {error:#}"),
    }
    matches!(result, Ok(true))
}
