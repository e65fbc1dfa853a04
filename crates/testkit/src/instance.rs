//! A server of a test's own, to be stopped, killed and started again.
//!
//! The servers that all tests share must not be touched; this one is started from the same script (`services/NAME/start.sh`) with
//! ports and a folder of its own, and is gone at the end.

use std::net::TcpListener;
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use crate::services::Service;
use crate::wait;

/// Where ports are looked for: below those that the system gives to clients, above those of well-known servers.
const PORTS: std::ops::Range<u16> = 20_000..24_000;

/// A running server.
#[derive(Debug)]
pub struct Instance {
    service: Service,
    port: u16,
    data: tempfile::TempDir,
    settings: Vec<(&'static str, &'static str)>,
}

// === impl Instance ===

impl Instance {
    /// Starts a server; `settings` are variables for its script, such as `("PG_FSYNC", "on")`.
    ///
    /// Where it cannot be started, says that `test` is skipped and gives `None`.
    pub fn start(
        service: Service,
        settings: &[(&'static str, &'static str)],
        test: &str,
    ) -> Option<Self> {
        let data = tempfile::tempdir().unwrap();
        let instance = Self { service, port: free_ports(5), data, settings: settings.to_vec() };
        match instance.script("start.sh") {
            Ok(()) => Some(instance),
            Err(reason) => {
                crate::skipped(test, &format!("no {} of its own: {reason}", service.name));
                None
            }
        }
    }

    /// Gives `127.0.0.1:PORT`.
    pub fn address(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    /// Gives the folder of its state, such as the certificates of Kafka in `tls`.
    pub fn state(&self) -> PathBuf {
        self.data.path().join("state")
    }

    /// Stops it as an operator would; the data stays.
    pub fn stop(&self) {
        self.script("stop.sh").unwrap();
    }

    /// Kills it and the processes it started, as a crash of the machine would; the data stays.
    pub fn kill(&self) {
        let written = std::fs::read_to_string(self.state().join("pid")).unwrap();
        let pid: u32 = written.split_whitespace().next().unwrap().parse().unwrap();
        let all = [vec![pid], children(pid)].concat();
        // One that ended in between is no failure; the server itself is looked for below.
        let pids = all.iter().map(ToString::to_string);
        Command::new("kill").arg("-9").args(pids).output().unwrap();
        let is_gone = || all.iter().all(|pid| stat(*pid).is_none_or(|(state, _)| state == "Z"));
        wait::until("the server is gone", Duration::from_secs(10), is_gone);
    }

    /// Starts it again after a stop or a kill.
    pub fn restart(&self) {
        self.script("start.sh").unwrap();
    }

    fn script(&self, name: &str) -> Result<(), String> {
        let services = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../services");
        let mut command = Command::new(services.join(self.service.name).join(name));
        command.env("PORT", self.port.to_string()).env("DATA", self.state());
        command.envs(self.settings.iter().copied());
        // The script ends when the server is ready; the server itself keeps none of these pipes.
        let output = command.output().map_err(|error| format!("{command:?}: {error}"))?;
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        output.status.success().then_some(()).ok_or(said)
    }
}

impl Drop for Instance {
    fn drop(&mut self) {
        self.settings.push(("WIPE", "1"));
        // A test that failed must not fail again here.
        self.script("stop.sh").ok();
    }
}

/// Gives the state and the parent of a process; `None` when there is none.
fn stat(pid: u32) -> Option<(String, u32)> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The name of the program, in parentheses, can hold anything.
    let (_, fields) = stat.rsplit_once(") ")?;
    let mut fields = fields.split(' ');
    Some((fields.next()?.to_owned(), fields.next()?.parse().ok()?))
}

fn children(parent: u32) -> Vec<u32> {
    let names = std::fs::read_dir("/proc").unwrap().flatten().map(|entry| entry.file_name());
    names
        .filter_map(|name| name.to_str()?.parse().ok())
        .filter(|pid| stat(*pid).is_some_and(|(_, of)| of == parent))
        .collect()
}

/// Gives the first of `count` ports in a row on which nothing listens.
fn free_ports(count: u16) -> u16 {
    let span = u32::from(PORTS.end - PORTS.start - count);
    // Tests run side by side, in one process and in several: each begins elsewhere.
    let seed = std::process::id().wrapping_mul(37).wrapping_add(next());
    (0..span)
        .map(|step| PORTS.start + u16::try_from((seed.wrapping_add(step * 5)) % span).unwrap())
        .find(|first| (*first..first + count).all(is_free))
        .expect("some of four thousand ports are free")
}

fn is_free(port: u16) -> bool {
    TcpListener::bind(("127.0.0.1", port)).is_ok()
}

/// Gives another number with each call.
fn next() -> u32 {
    use std::sync::atomic::{AtomicU32, Ordering};
    static CALLS: AtomicU32 = AtomicU32::new(0);
    CALLS.fetch_add(1, Ordering::Relaxed).wrapping_mul(101)
}
