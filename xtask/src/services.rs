//! `services`: the real servers that tests talk to, started and stopped.
//!
//! ```text
//! services/NAME/start.sh, stop.sh   how one server is started and stopped
//! target/services/run/NAME-PORT/    its state: pid, log, data
//! target/services/cache/            what was downloaded, once
//! ```
//! The scripts know how a server is run; here is decided what is to be done: what runs already is left alone, what the
//! servers need is installed or named, and servers start side by side. A server that answers on the port but was not
//! started by this project is called foreign: it is used and never touched.

mod packages;
mod plan;
mod scripts;
mod state;
mod table;

use std::path::PathBuf;
use std::time::Instant;

use anyhow::Result;

use self::packages::ThisMachine;
use self::plan::{Down, Request, Task, Up};
use self::scripts::Scripts;
use self::state::State;
use self::table::Service;
use crate::Outcome;

const HELP: &str = "\
usage: cargo xtask services up [--durable] [NAME…]
       cargo xtask services down [--wipe] [NAME…]
       cargo xtask services status [NAME…]

Starts and stops the real servers that tests talk to, on ports of their own; without names, all of them. What
answers on a port but was not started here is used and left alone.

  --durable    PostgreSQL flushes to disk as it does by default, for measurements and tests that kill it
  --wipe       removes the data too

Examples:
  cargo xtask services up                      all of them, as `cargo xtask test` does
  cargo xtask services up kafka postgres       two of them
  cargo xtask services up --durable postgres
  cargo xtask services status
  cargo xtask services down --wipe kafka       stop it and forget its data

From the environment:
  LEVADA_SERVICES_DIR          where state and downloads are kept, instead of `services` in the target folder
  LEVADA_SERVICES_CACHE        where downloads are kept, instead of `cache` in that folder
  LEVADA_SERVICES_PORT_OFFSET  is added to every port, so that two clones can be tested on one machine; tests read it too
";

/// Runs the task.
pub(crate) fn run(arguments: &[String]) -> Result<Outcome> {
    let request = match plan::parse(arguments) {
        Ok(request) => request,
        Err(problem) => return Ok(Outcome::Usage(problem)),
    };
    let scripts = match Scripts::from_environment(request.port_offset) {
        Ok(scripts) => scripts,
        Err(problem) => return Ok(Outcome::Usage(problem)),
    };
    match request.task {
        Task::Help => print!("{HELP}"),
        Task::Status => print!("{}", status(&scripts, &request.services)),
        Task::Up => {
            let failed = up(&scripts, &request)?.failed;
            return Ok(Outcome::from_good(failed.is_empty()));
        }
        Task::Down { wipe } => return Ok(Outcome::from_good(down(&scripts, &request, wipe))),
    }
    Ok(Outcome::Good)
}

/// Servers that were started for some work; stopped when dropped, so also when the work fails.
pub(crate) struct Started {
    scripts: Scripts,
    services: Vec<&'static Service>,
    /// Those that could not be started.
    pub(crate) failed: Vec<&'static str>,
}

impl Started {
    /// Starts every server that does not run yet.
    pub(crate) fn all() -> Result<Self> {
        let scripts = Scripts::from_environment(None).map_err(anyhow::Error::msg)?;
        let request = Request::of(Task::Up);
        let Changed { started, failed } = up(&scripts, &request)?;
        Ok(Self { scripts, services: started, failed })
    }

    /// Gives the variables that tell others where these servers keep their things.
    pub(crate) fn environment(&self) -> [(&'static str, PathBuf); 2] {
        self.scripts.environment()
    }
}

impl Drop for Started {
    fn drop(&mut self) {
        if !self.services.is_empty() {
            let mut request = Request::of(Task::Down { wipe: false });
            request.services = std::mem::take(&mut self.services);
            down(&self.scripts, &request, false);
        }
    }
}

/// What `up` did.
struct Changed {
    started: Vec<&'static Service>,
    failed: Vec<&'static str>,
}

fn up(scripts: &Scripts, request: &Request) -> Result<Changed> {
    let states = request.services.iter().map(|service| (*service, scripts.state(service)));
    let plan = plan::up(states, request.durable);
    let wanted: Vec<&Service> =
        plan.iter().filter(|(_, up)| up.starts()).map(|(s, _)| *s).collect();
    let missing = packages::provide(&wanted, &mut ThisMachine::new(scripts))?;
    missing.iter().for_each(|missing| eprintln!("{missing}"));

    let begun = Instant::now();
    let (mut ready, mut changed) = (0, Changed { started: Vec::new(), failed: Vec::new() });
    let mut to_start = Vec::new();
    for (service, up) in plan {
        match up {
            Up::Keep(text) => {
                ready += 1;
                eprintln!("{}: {} {text}", service.name, scripts.address(service));
            }
            Up::Start if missing.iter().any(|missing| missing.is_for(service)) => {
                eprintln!("{}: not started, see above", service.name);
                changed.failed.push(service.name);
            }
            Up::Start => to_start.push(service),
        }
    }
    for (service, result) in scripts.start(&to_start, request.durable) {
        match result {
            Ok(()) => changed.started.push(service),
            Err(()) => changed.failed.push(service.name),
        }
    }
    ready += changed.started.len();
    let seconds = begun.elapsed().as_secs_f64();
    eprintln!("services: {ready} of {} ready ({seconds:.1} s)", request.services.len());
    if !changed.failed.is_empty() {
        eprintln!("services that did not start: {}", changed.failed.join(", "));
    }
    Ok(changed)
}

/// Stops what this project started; says whether all of it stopped.
fn down(scripts: &Scripts, request: &Request, wipe: bool) -> bool {
    let states = request.services.iter().map(|service| (*service, scripts.state(service)));
    let mut to_stop = Vec::new();
    for (service, down) in plan::down(states, wipe) {
        match down {
            Down::Leave(text) => eprintln!("{}: {text}", service.name),
            Down::Stop => to_stop.push(service),
        }
    }
    scripts.stop(&to_stop, wipe)
}

/// Gives the table of `status`.
fn status(scripts: &Scripts, services: &[&'static Service]) -> String {
    let mut rows = vec![["name", "address", "state", "pid"].map(str::to_owned)];
    for service in services {
        let (state, pid) = match scripts.state(service) {
            State::Running(pid) => ("running", pid.to_string()),
            State::Foreign => ("foreign", "-".to_owned()),
            State::Down => ("down", "-".to_owned()),
        };
        rows.push([service.name.to_owned(), scripts.address(service), state.to_owned(), pid]);
    }
    table(&rows)
}

/// Lays out rows in columns as wide as what is in them.
fn table(rows: &[[String; 4]]) -> String {
    let width = |column: usize| rows.iter().map(|row| row[column].len()).max().unwrap_or(0);
    let widths: [usize; 4] = std::array::from_fn(width);
    let mut text = String::new();
    for row in rows {
        let cells = row.iter().zip(widths).map(|(cell, width)| format!("{cell:width$}"));
        text.push_str(cells.collect::<Vec<_>>().join("  ").trim_end());
        text.push('\n');
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_has_straight_columns() {
        let rows = [["name", "address", "state", "pid"], ["kafka", "127.0.0.1:1", "down", "-"]];
        let text = table(&rows.map(|row| row.map(str::to_owned)));
        assert_eq!(text, "name   address      state  pid\nkafka  127.0.0.1:1  down   -\n");
    }

    #[test]
    fn the_help_names_every_variable() {
        for name in [scripts::DIR, scripts::CACHE, scripts::PORT_OFFSET] {
            assert!(HELP.contains(name), "{name}");
        }
    }
}
