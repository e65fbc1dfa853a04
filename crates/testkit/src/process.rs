//! A program under test: started, signalled, killed, waited for with a deadline.
#![expect(clippy::disallowed_methods, reason = "deadlines of tests run on the real clock")]

use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use tempfile::TempDir;

use crate::wait;

/// A folder of a test with files in it; removed at the end.
pub struct Folder {
    folder: TempDir,
}

/// A program that runs; it is killed when this is dropped.
pub struct Running {
    child: Child,
    stdout: PathBuf,
    stderr: PathBuf,
    started: Instant,
    peak_kib: u64,
    /// Its standard input, when it was asked for.
    pub stdin: Option<ChildStdin>,
}

/// How a program ended.
#[derive(Debug)]
pub struct Ended {
    /// The exit code; nothing when a signal ended it.
    pub code: Option<i32>,
    /// What it printed on standard output.
    pub stdout: String,
    /// What it printed on standard error.
    pub stderr: String,
    /// How long it ran.
    pub elapsed: Duration,
    /// The most memory it had, in bytes, as far as it was seen.
    pub peak_bytes: u64,
}

/// Gives user and system time of this process, in seconds.
///
/// Source: proc(5), fields 14 and 15 of `stat`; a tick is 10 ms.
pub fn own_cpu_seconds() -> f64 {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap();
    // The name of the program, in parentheses, may hold blanks.
    let (_, fields) = stat.rsplit_once(')').unwrap();
    let ticks = fields.split_whitespace().skip(11).take(2);
    ticks.map(|ticks| ticks.parse::<f64>().unwrap()).sum::<f64>() / 100.0
}

/// Gives a number of `/proc/self/status`, such as `VmHWM:`.
pub fn own_status(name: &str) -> u64 {
    let text = std::fs::read_to_string("/proc/self/status").unwrap();
    let rest = text.lines().find_map(|line| line.strip_prefix(name)).unwrap();
    rest.split_whitespace().next().unwrap().parse().unwrap()
}

// === impl Folder ===

impl Default for Folder {
    fn default() -> Self {
        Self::new()
    }
}

impl Folder {
    /// Makes an empty one.
    pub fn new() -> Self {
        Folder { folder: tempfile::tempdir().unwrap() }
    }

    /// Gives the path of a file in it.
    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Writes a file, making its folder.
    pub fn write(&self, name: &str, content: impl AsRef<[u8]>) -> PathBuf {
        let path = self.path(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, content).unwrap();
        path
    }

    /// Adds to the end of a file, making it.
    pub fn append(&self, name: &str, content: impl AsRef<[u8]>) {
        let path = self.path(name);
        let mut file = File::options().append(true).create(true).open(path).unwrap();
        file.write_all(content.as_ref()).unwrap();
    }

    /// Gives the content of a file; nothing when it is not there.
    pub fn read(&self, name: &str) -> Vec<u8> {
        std::fs::read(self.path(name)).unwrap_or_default()
    }

    /// Starts a program in this folder.
    pub fn start(&self, program: impl AsRef<Path>, arguments: &[&str]) -> Running {
        self.start_with(program, arguments, Stdio::null())
    }

    /// Starts a program in this folder with this standard input.
    pub fn start_with(
        &self,
        program: impl AsRef<Path>,
        arguments: &[&str],
        stdin: Stdio,
    ) -> Running {
        let (stdout, stdout_path) = self.output("stdout");
        let (stderr, stderr_path) = self.output("stderr");
        let mut child = Command::new(program.as_ref())
            .args(arguments)
            .current_dir(self.folder.path())
            .env_remove("RUST_LOG")
            .stdin(stdin)
            .stdout(stdout)
            .stderr(stderr)
            .spawn()
            .unwrap();
        let stdin = child.stdin.take();
        Running {
            child,
            stdout: stdout_path,
            stderr: stderr_path,
            started: Instant::now(),
            peak_kib: 0,
            stdin,
        }
    }

    fn output(&self, stem: &str) -> (File, PathBuf) {
        for number in 0.. {
            let path = self.path(&format!("{stem}.{number}"));
            if let Ok(file) = File::create_new(&path) {
                return (file, path);
            }
        }
        unreachable!("some number is free")
    }
}

// === impl Running ===

impl Running {
    /// Sends a signal.
    pub fn signal(&self, signal: Signal) {
        let pid = Pid::from_raw(self.child.id().cast_signed()).unwrap();
        // It may have ended a moment ago.
        let _ended = kill_process(pid, signal).is_err();
    }

    /// Tells whether it still runs, and notes how much memory it has.
    pub fn is_running(&mut self) -> bool {
        let status = format!("/proc/{}/status", self.child.id());
        if let Ok(status) = std::fs::read_to_string(status)
            && let Some(line) = status.lines().find(|line| line.starts_with("VmHWM:"))
            && let Some(kib) = line.split_whitespace().nth(1)
        {
            self.peak_kib = self.peak_kib.max(kib.parse().unwrap_or(0));
        }
        self.child.try_wait().unwrap().is_none()
    }

    /// Gives what it has printed on standard error so far.
    pub fn stderr(&self) -> String {
        text(&self.stderr)
    }

    /// Waits until `is_met` says yes.
    ///
    /// - Panics: after `most`, or when the program ends meanwhile.
    pub fn until(&mut self, what: &str, most: Duration, mut is_met: impl FnMut() -> bool) {
        let deadline = Instant::now() + most;
        while !is_met() {
            assert!(self.is_running(), "ended before {what}: {}", self.stderr());
            let is_late = Instant::now() >= deadline;
            assert!(!is_late, "waited {most:?} in vain until {what}: {}", self.stderr());
            std::thread::sleep(wait::LOOK_INTERVAL);
        }
    }

    /// Waits for its end.
    ///
    /// - Panics: after `most`, with what it printed.
    pub fn wait(mut self, most: Duration) -> Ended {
        let deadline = Instant::now() + most;
        while self.is_running() {
            assert!(Instant::now() < deadline, "did not end within {most:?}: {}", self.stderr());
            std::thread::sleep(Duration::from_millis(2));
        }
        let status = self.child.wait().unwrap();
        self.ended(status)
    }

    /// Lets it run for a time and then kills it, unless it ends before; gives how it ended.
    pub fn kill_after(mut self, delay: Duration) -> Ended {
        let deadline = Instant::now() + delay;
        while Instant::now() < deadline && self.is_running() {
            std::thread::sleep(Duration::from_millis(1));
        }
        self.signal(Signal::KILL);
        let status = self.child.wait().unwrap();
        self.ended(status)
    }

    fn ended(&self, status: ExitStatus) -> Ended {
        Ended {
            code: status.code(),
            stdout: text(&self.stdout),
            stderr: text(&self.stderr),
            elapsed: self.started.elapsed(),
            peak_bytes: self.peak_kib * 1024,
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ended = self.child.kill().is_err();
        let _gone = self.child.wait().is_err();
    }
}

fn text(path: &Path) -> String {
    String::from_utf8_lossy(&std::fs::read(path).unwrap_or_default()).into_owned()
}

// === impl Ended ===

impl Ended {
    /// Checks the exit code and gives itself back.
    ///
    /// - Panics: it is another one.
    #[track_caller]
    pub fn expect_code(self, code: i32) -> Self {
        assert_eq!(self.code, Some(code), "{self:#?}");
        self.expect_no_panic()
    }

    /// Checks that nothing panicked and gives itself back.
    #[track_caller]
    pub fn expect_no_panic(self) -> Self {
        assert!(!self.stderr.contains("panicked at"), "{self:#?}");
        self
    }

    /// Gives the last line of standard output as JSON.
    #[track_caller]
    pub fn summary(&self) -> Value {
        let line = self.stdout.lines().last().unwrap_or_default();
        serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {self:#?}"))
    }
}
