//! Runs the real binary in a folder of its own, within a time limit.

use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::mpsc;
use std::time::Duration;

use tempfile::TempDir;

/// Far more than any of these commands needs, also on a machine that does other things.
const LIMIT: Duration = Duration::from_secs(60);

/// How a command ended.
#[derive(Debug)]
pub(super) struct Ran {
    pub(super) code: i32,
    pub(super) stdout: Vec<u8>,
    pub(super) stderr: String,
}

/// A folder in which commands run; it goes with the value.
pub(super) struct Folder {
    dir: TempDir,
    variables: Vec<(String, String)>,
}

// === impl Ran ===

impl Ran {
    /// Gives standard output, which must be text.
    pub(super) fn text(&self) -> &str {
        std::str::from_utf8(&self.stdout).unwrap()
    }

    pub(super) fn lines(&self) -> Vec<&str> {
        self.text().lines().collect()
    }

    /// Gives each line of standard output as a JSON value.
    pub(super) fn json(&self) -> Vec<serde_json::Value> {
        let parse = |line: &str| {
            serde_json::from_str(line).unwrap_or_else(|error| panic!("{error} in {line}"))
        };
        self.text().lines().map(parse).collect()
    }

    /// Asserts how the command ended, and shows all of it when it did otherwise.
    #[track_caller]
    pub(super) fn ends(self, code: i32) -> Self {
        let out = String::from_utf8_lossy(&self.stdout);
        let err = &self.stderr;
        assert_eq!(self.code, code, "--- stdout\n{out}\n--- stderr\n{err}");
        self
    }
}

// === impl Folder ===

impl Folder {
    pub(super) fn new() -> Self {
        Folder { dir: tempfile::tempdir().unwrap(), variables: Vec::new() }
    }

    pub(super) fn path(&self) -> &Path {
        self.dir.path()
    }

    /// Writes a file; its folders are made.
    pub(super) fn file(&self, name: &str, content: impl AsRef<[u8]>) -> PathBuf {
        let path = self.path().join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, content).unwrap();
        path
    }

    /// Sets an environment variable for the commands to come; they see no others.
    pub(super) fn variable(&mut self, name: &str, value: &str) {
        self.variables.push((name.to_owned(), value.to_owned()));
    }

    /// Runs `levada` with these arguments and nothing on standard input.
    #[track_caller]
    pub(super) fn run(&self, args: &[&str]) -> Ran {
        self.run_with(args, b"")
    }

    /// Runs `levada` with these arguments and this standard input.
    #[track_caller]
    pub(super) fn run_with(&self, args: &[&str], stdin: &[u8]) -> Ran {
        let mut child = Command::new(env!("CARGO_BIN_EXE_levada"))
            .args(args)
            .current_dir(self.path())
            .env_clear()
            .envs(self.variables.iter().cloned())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut input = child.stdin.take().unwrap();
        let stdin = stdin.to_vec();
        // A command that reads no input may be gone before it is written.
        std::thread::spawn(move || drop(input.write_all(&stdin)));
        let out = collect(child.stdout.take().unwrap());
        let err = collect(child.stderr.take().unwrap());
        let wait = |stream: mpsc::Receiver<Vec<u8>>| stream.recv_timeout(LIMIT).ok();
        let (Some(stdout), Some(stderr)) = (wait(out), wait(err)) else {
            child.kill().unwrap();
            child.wait().unwrap();
            panic!("levada {args:?} did not end within {LIMIT:?}");
        };
        let code = child.wait().unwrap().code().expect("the process was not killed");
        let stderr = String::from_utf8_lossy(&stderr).into_owned();
        assert!(!stderr.contains("panicked at"), "levada {args:?}\n{stderr}");
        Ran { code, stdout, stderr }
    }
}

/// Runs `levada` once, in a folder with these files.
#[track_caller]
pub(super) fn run(args: &[&str], stdin: &[u8], files: &[(&str, &str)]) -> Ran {
    let folder = Folder::new();
    for (name, content) in files {
        folder.file(name, content);
    }
    folder.run_with(args, stdin)
}

/// Reads a stream to its end beside the caller.
fn collect(mut stream: impl Read + Send + 'static) -> mpsc::Receiver<Vec<u8>> {
    let (sender, receiver) = mpsc::sync_channel(1);
    std::thread::spawn(move || {
        let mut bytes = Vec::new();
        if stream.read_to_end(&mut bytes).is_ok() {
            drop(sender.send(bytes));
        }
    });
    receiver
}
