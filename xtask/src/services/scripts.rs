//! The scripts of the servers, and the folders they work in.

use std::collections::VecDeque;
use std::io::{BufRead as _, BufReader};
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::thread;
use std::time::Instant;

use super::plan;
use super::state::State;
use super::table::Service;
use crate::repo;

/// Where state and downloads are kept.
pub(super) const DIR: &str = "LEVADA_SERVICES_DIR";
/// Where downloads are kept.
pub(super) const CACHE: &str = "LEVADA_SERVICES_CACHE";
/// Added to every port.
pub(super) const PORT_OFFSET: &str = "LEVADA_SERVICES_PORT_OFFSET";

/// Lines of a failed script that are shown: the end of a log and what was wrong.
const LINES_MAX: usize = 60;

/// How scripts are run.
pub(crate) struct Scripts {
    folder: PathBuf,
    dir: PathBuf,
    cache: PathBuf,
    port_offset: u16,
}

/// What a script did: whether it succeeded, what it said, how long it took.
struct Ran {
    is_good: bool,
    said: VecDeque<String>,
    seconds: f64,
}

// === impl Scripts ===

impl Scripts {
    /// Takes the folders and, unless it is given, the port offset from the environment.
    ///
    /// Errors: what is wrong with a value.
    pub(super) fn from_environment(port_offset: Option<u16>) -> Result<Self, String> {
        let folder = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty());
        let absolute =
            |path: PathBuf| std::path::absolute(&path).map_err(|e| format!("{path:?}: {e}"));
        let dir = match folder(DIR) {
            Some(dir) => dir.into(),
            None => repo::target().map_err(|error| error.to_string())?.join("services"),
        };
        let dir = absolute(dir)?;
        let cache = match folder(CACHE) {
            Some(cache) => absolute(cache.into())?,
            None => dir.join("cache"),
        };
        let port_offset = match (port_offset, std::env::var(PORT_OFFSET)) {
            (Some(offset), _) => offset,
            (None, Ok(text)) if !text.is_empty() => {
                plan::offset(&text).map_err(|problem| format!("{PORT_OFFSET}: {problem}"))?
            }
            (None, _) => 0,
        };
        Ok(Self { folder: repo::root().join("services"), dir, cache, port_offset })
    }

    /// Whether something was downloaded before.
    pub(super) fn has_cached(&self, prefix: &str) -> bool {
        let entries = std::fs::read_dir(&self.cache).into_iter().flatten().flatten();
        entries.into_iter().any(|entry| entry.file_name().to_string_lossy().starts_with(prefix))
    }

    pub(super) fn address(&self, service: &Service) -> String {
        format!("127.0.0.1:{}", self.port(service))
    }

    pub(super) fn state(&self, service: &Service) -> State {
        State::look(&self.data(service), self.port(service))
    }

    /// Starts servers side by side and says how each fared; gives the result of each.
    pub(super) fn start(
        &self,
        services: &[&'static Service],
        durable: bool,
    ) -> Vec<(&'static Service, Result<(), ()>)> {
        let work = |service: &'static Service| {
            let mut command = self.command(service, "start.sh");
            if durable {
                command.env("PG_FSYNC", "on");
            }
            let Ran { is_good, said, seconds } = run(command);
            let word = if is_good { "ready" } else { "FAILED" };
            show(
                &format!("{}: {} {word} ({seconds:.1} s)", service.name, self.address(service)),
                &said,
            );
            is_good.then_some(()).ok_or(())
        };
        side_by_side(services, work)
    }

    /// Stops servers side by side; says whether all stopped.
    pub(super) fn stop(&self, services: &[&'static Service], wipe: bool) -> bool {
        let work = |service: &'static Service| {
            let mut command = self.command(service, "stop.sh");
            command.env("WIPE", if wipe { "1" } else { "0" });
            let Ran { is_good, said, seconds } = run(command);
            let word = match (is_good, wipe) {
                (true, true) => "stopped, its data removed",
                (true, false) => "stopped",
                (false, _) => "not stopped",
            };
            show(&format!("{}: {word} ({seconds:.1} s)", service.name), &said);
            is_good
        };
        side_by_side(services, work).iter().all(|(_, is_good)| *is_good)
    }

    /// Gives the variables that name the folders.
    pub(super) fn environment(&self) -> [(&'static str, PathBuf); 2] {
        [(DIR, self.dir.clone()), (CACHE, self.cache.clone())]
    }

    fn command(&self, service: &Service, script: &str) -> Command {
        let mut command = Command::new(self.folder.join(service.name).join(script));
        command
            .current_dir(repo::root())
            .envs(self.environment())
            .env("PORT", self.port(service).to_string())
            .env("DATA", self.data(service));
        command
    }

    fn port(&self, service: &Service) -> u16 {
        service.port + self.port_offset
    }

    fn data(&self, service: &Service) -> PathBuf {
        self.dir.join("run").join(format!("{}-{}", service.name, self.port(service)))
    }
}

/// Does the same work for each service, all at once; gives the results in the order of the services.
fn side_by_side<T: Send>(
    services: &[&'static Service],
    work: impl Fn(&'static Service) -> T + Sync,
) -> Vec<(&'static Service, T)> {
    thread::scope(|scope| {
        let threads: Vec<_> = services
            .iter()
            .map(|&service| {
                let work = &work;
                (service, scope.spawn(move || work(service)))
            })
            .collect();
        threads
            .into_iter()
            .map(|(service, thread)| (service, thread.join().expect("the work does not panic")))
            .collect()
    })
}

/// Runs a script to its end; shows at once when it downloads something, which can take a minute.
fn run(mut command: Command) -> Ran {
    let begun = Instant::now();
    let mut said = VecDeque::new();
    let mut is_good = false;
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
    match command.spawn() {
        Err(error) => said.push_back(format!("cannot start {:?}: {error}", command.get_program())),
        Ok(mut child) => {
            for line in child.stderr.take().into_iter().flat_map(|e| BufReader::new(e).split(b'\n'))
            {
                let Ok(line) = line else { break };
                let line = String::from_utf8_lossy(&line).into_owned();
                if line.contains(": downloading ") {
                    eprintln!("{line}");
                    continue;
                }
                if said.len() == LINES_MAX {
                    said.pop_front();
                }
                said.push_back(line);
            }
            match child.wait() {
                Ok(status) => is_good = status.success(),
                Err(error) => said.push_back(error.to_string()),
            }
        }
    }
    Ran { is_good, said, seconds: begun.elapsed().as_secs_f64() }
}

/// Prints what a script said, unmixed with what others say.
fn show(line: &str, said: &VecDeque<String>) {
    let mut text = String::new();
    for line in said {
        text.push_str(line);
        text.push('\n');
    }
    text.push_str(line);
    eprintln!("{text}");
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shell(script: &str) -> Ran {
        let mut command = Command::new("sh");
        command.args(["-c", script]);
        run(command)
    }

    #[test]
    fn a_script_that_fails_is_told_by_its_last_words() {
        let ran = shell("echo result; for i in $(seq 100); do echo line $i >&2; done; exit 3");
        assert!(!ran.is_good);
        assert_eq!(ran.said.len(), LINES_MAX);
        assert_eq!(ran.said.back().map(String::as_str), Some("line 100"));
        assert!(shell("true").is_good);
        let missing = run(Command::new("/no/such/script"));
        assert!(!missing.is_good && missing.said[0].contains("/no/such/script"));
    }

    #[test]
    fn results_come_in_the_order_of_the_services() {
        let services: Vec<&Service> = super::super::table::SERVICES.iter().collect();
        let results = side_by_side(&services, |service| service.name.len());
        assert!(results.iter().all(|(service, length)| service.name.len() == *length));
        assert_eq!(results.len(), services.len());
    }
}
