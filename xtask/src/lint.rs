//! `lint`: everything that can be said about the sources without running the tests.

use anyhow::Result;

use crate::{Outcome, cargo, generate, tidy};

/// Runs every check, also after one has failed, so that one run shows everything.
pub(crate) fn run(arguments: &[String]) -> Result<Outcome> {
    let docs = match arguments {
        [] => false,
        [flag] if flag == "--docs" => true,
        _ => return Ok(Outcome::Usage("lint takes only `--docs`".to_owned())),
    };
    let mut failed = Vec::new();
    let mut check = |name: &'static str, work: fn() -> Result<bool>| {
        if !cargo::step(name, work) {
            failed.push(name);
        }
    };
    check("fmt", fmt);
    check("tidy", tidy::is_clean);
    check("clippy", clippy);
    check("gen --check", generate::is_current);
    if docs {
        check("doc", doc);
    }
    if !failed.is_empty() {
        eprintln!("lint failed: {}", failed.join(", "));
    }
    Ok(Outcome::from_good(failed.is_empty()))
}

fn fmt() -> Result<bool> {
    cargo::succeeds(cargo::command("fmt").args(["--all", "--check"]), "cargo fmt")
}

fn clippy() -> Result<bool> {
    let mut command = cargo::quiet_in_ci("clippy");
    command.args(["--workspace", "--all-targets", "--locked", "--", "-D", "warnings"]);
    cargo::succeeds(&mut command, "cargo clippy")
}

fn doc() -> Result<bool> {
    let mut command = cargo::quiet_in_ci("doc");
    command.args(["--workspace", "--no-deps", "--locked"]).env("RUSTDOCFLAGS", "-D warnings");
    cargo::succeeds(&mut command, "cargo doc")
}
