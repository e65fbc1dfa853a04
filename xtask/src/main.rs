//! Project tasks, started as `cargo xtask <task>`.
//!
//! One file per task. The tasks are the whole gate: what runs here runs in continuous integration, and nothing else does.
//! Nothing here is part of the product, and it must build in a moment: the standard library and `anyhow` are all it needs.

#![expect(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a command-line tool: results on stdout, progress on stderr"
)]
#![expect(
    clippy::disallowed_methods,
    reason = "times its own steps; nothing here runs under a virtual clock"
)]

mod bench;
mod cargo;
mod generate;
mod lint;
mod repo;
mod services;
mod soak;
mod test;
mod test_report;
mod tidy;

use std::process::ExitCode;

use anyhow::Result;

const USAGE: &str = "\
usage: cargo xtask <task>

  lint [--docs]          formatting, clippy, tidy and generated files; with --docs also `cargo doc`
  tidy                   the project's own rules about layers, texts and dependencies
  test [--no-services] [CARGO ARGS]
                         every test (or those that the arguments select), with one closing line of counts; starts the
                         servers that tests talk to and stops those that it started
  services up|down|status [NAME…]
                         the servers that tests talk to; see `services --help`
  gen [--check]          writes docs/reference; with --check only says whether it is up to date
  bench flow [--records N] [--runs N] [p1|p1-null]
                         records per second, CPU seconds per million records and peak memory of the record engine
  bench task [--points N] [--runs N] [w0|w1n|w1|w2|w3|w4|w5]
                         the same for points: line protocol in, tasks, alerts out, in one process
  bench task --http [--points N] [--runs N] [w0|w1n|w1|w2|w3|w4|w5|r1|r2]
                         the same with a server: writes over HTTP, stored alerts, replays; its start and idle memory
  bench gateway [--bodies N] [--runs N] [--verify] [plain|gzip] [up|away] [interval|always|none] [sinkers] [idle|busy|many]
                         what a point costs the gateway that is taken, kept, compressed and delivered; `--verify` compares
                         every line with what it should be
  soak [fuzz|kill|property] [--count N]
                         the long counts of the randomised tests

exit codes: 0 done, 1 something is wrong, 2 wrong usage
";

/// What a task answers when it did not break: whether everything it looked at was right.
pub(crate) enum Outcome {
    /// Everything is as it should be.
    Good,
    /// Something is wrong and has been printed.
    Bad,
    /// The arguments make no sense; holds why.
    Usage(String),
}

impl Outcome {
    /// Good when `good` holds.
    pub(crate) fn from_good(good: bool) -> Self {
        if good { Self::Good } else { Self::Bad }
    }
}

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let (task, rest) = match arguments.split_first() {
        Some((task, rest)) => (task.as_str(), rest),
        None => ("", &[][..]),
    };
    match run(task, rest) {
        Ok(Outcome::Good) => ExitCode::SUCCESS,
        Ok(Outcome::Bad) => ExitCode::from(1),
        Ok(Outcome::Usage(problem)) => {
            eprintln!("{problem}\n\n{USAGE}");
            ExitCode::from(2)
        }
        Err(error) => {
            eprintln!("xtask {task}: {error:#}");
            ExitCode::from(1)
        }
    }
}

fn run(task: &str, rest: &[String]) -> Result<Outcome> {
    match task {
        "lint" => lint::run(rest),
        "tidy" => tidy::run(rest),
        "test" => test::run(rest),
        "gen" => generate::run(rest),
        "bench" => bench::run(rest),
        // Started by `bench` as a process of its own, so that it is measured exactly like the product.
        "bench-floor" => bench::floor::run(rest),
        "services" => services::run(rest),
        "soak" => soak::run(rest),
        "help" | "--help" | "-h" => {
            print!("{USAGE}");
            Ok(Outcome::Good)
        }
        "" => Ok(Outcome::Usage("which task?".to_owned())),
        unknown => Ok(Outcome::Usage(format!("unknown task `{unknown}`"))),
    }
}
