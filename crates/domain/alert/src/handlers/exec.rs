//! `exec`: runs a program with a JSON line on its standard input.

use std::process::{ExitStatus, Stdio};
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWriteExt as _};
use tokio::process::Command;
use tokio::sync::{Semaphore, watch};

use super::deps::HandlerDeps;
use super::kind::{Kind, Place, Rule, StartError, Trouble};
use super::spec::HandlerSpec;
use crate::event::Event;
use crate::topics::{Handler, HandlerError};

/// Bytes of what a program prints that are kept for the log; the rest is read and thrown away.
const OUTPUT_MAX: usize = 64 << 10;

/// How long pipes are read after the program has ended. Ours: what it left running in the background may hold them, and
/// upstream waits for that.
const PIPE_GRACE: Duration = Duration::from_millis(200);

pub(super) static KIND: Kind = Kind {
    method: Some("exec"),
    option_kind: "exec",
    summary: "runs a program with a JSON line on its standard input",
    rules: &[
        Rule::text("prog", "prog").at(Place::Call),
        Rule::texts("args", "args").at(Place::Call),
    ],
    check,
    ..Kind::starting(start)
};

struct Exec {
    program: String,
    args: Vec<String>,
    slots: Arc<Semaphore>,
    timeout: Duration,
}

fn check(spec: &HandlerSpec) -> Result<(), Trouble> {
    match spec.text("prog") {
        Some(_) => Ok(()),
        None => Err(Trouble::enable("exec program must not be empty")),
    }
}

fn start(spec: &HandlerSpec, deps: &HandlerDeps) -> Result<Arc<dyn Handler>, StartError> {
    Ok(Arc::new(Exec {
        program: spec.text("prog").unwrap_or_default().to_owned(),
        args: spec.texts("args").into_iter().map(|arg| arg.to_string()).collect(),
        slots: Arc::clone(&deps.exec_slots),
        timeout: deps.exec_timeout,
    }))
}

impl Exec {
    async fn run(&self, line: &[u8]) -> std::io::Result<(ExitStatus, Vec<u8>)> {
        let mut child = Command::new(&self.program)
            .args(&self.args)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            // A program that takes too long ends with the wait for it.
            .kill_on_drop(true)
            .spawn()?;
        let (stdin, stdout, stderr) =
            (child.stdin.take(), child.stdout.take(), child.stderr.take());
        let (end, ended) = watch::channel(false);
        let feed = async {
            if let Some(mut stdin) = stdin {
                // A program need not read its input.
                let _unread = stdin.write_all(line).await.is_err();
            }
        };
        let wait = async {
            let status = child.wait().await;
            end.send_replace(true);
            status
        };
        // All at once, so that neither side waits for the other's full pipe.
        let (_fed, output, errors, status) = tokio::join!(
            until_left(&ended, feed),
            read_some(stdout, &ended),
            read_some(stderr, &ended),
            wait
        );
        let mut output = output;
        output.extend_from_slice(&errors);
        Ok((status?, output))
    }
}

#[async_trait]
impl Handler for Exec {
    async fn handle(&self, event: &Event) -> Result<(), HandlerError> {
        let Ok(_slot) = self.slots.acquire().await else {
            return Err(HandlerError::new("no programs are run any more"));
        };
        let failed = |error: String, output: &[u8]| {
            Err(HandlerError::new("exec command failed")
                .with("command", &*self.program)
                .with("output", String::from_utf8_lossy(output))
                .with("error", error))
        };
        match tokio::time::timeout(self.timeout, self.run(&event.to_json())).await {
            Ok(Ok((status, _))) if status.success() => Ok(()),
            Ok(Ok((status, output))) => failed(status.to_string(), &output),
            Ok(Err(error)) => failed(error.to_string(), b""),
            Err(_) => failed(format!("killed after {:?}", self.timeout), b""),
        }
    }
}

/// Reads to the end and keeps the first [`OUTPUT_MAX`] bytes.
async fn read_some(pipe: Option<impl AsyncRead + Unpin>, ended: &watch::Receiver<bool>) -> Vec<u8> {
    let mut kept = Vec::new();
    let read = async {
        let Some(mut pipe) = pipe else { return };
        let mut buffer = vec![0; 4096];
        // A pipe that breaks has ended.
        while let Ok(count @ 1..) = pipe.read(&mut buffer).await {
            let room = OUTPUT_MAX - kept.len();
            kept.extend_from_slice(&buffer[..count.min(room)]);
        }
    };
    until_left(ended, read).await;
    kept
}

/// Does something with a pipe; gives up soon after the program has ended.
async fn until_left(ended: &watch::Receiver<bool>, work: impl Future<Output = ()>) {
    let mut ended = ended.clone();
    let left = async {
        let _gone = ended.wait_for(|is_ended| *is_ended).await.is_err();
        tokio::time::sleep(PIPE_GRACE).await;
    };
    tokio::select! {
        () = work => {}
        () = left => {}
    }
}
