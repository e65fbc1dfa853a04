//! One node's talk with its function: opened, kept alive, ended.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use levada_clients::udf::{Connection, Input, Output, Process};
use levada_model::{Str, Timestamp};
use levada_runtime::{Backoff, BackoffPolicy, Clock};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::sync::Notify;

use super::UdfConfig;
use super::link::{End, Link, Next};
use super::reading::Reading;
use crate::engine::Closing;
use crate::spec::Edge;

/// How long somebody who listens at a socket is waited for. Source: kapacitor reference §5.26.
pub(super) const CONNECT_PATIENCE: Duration = Duration::from_secs(300);
/// Between two tries to connect, at first and at most. Ours.
const RECONNECT_FIRST: Duration = Duration::from_millis(100);
const RECONNECT_MAX: Duration = Duration::from_secs(10);
/// How long the end of a program is waited for that has closed its output, to say how it ended.
const EXIT_PATIENCE: Duration = Duration::from_millis(500);
/// A program that does not end after its input was closed, and whose task is gone, is killed after this at the latest.
const KILL_MAX: Duration = Duration::from_secs(5);
/// Between two looks at the time.
const TICK_MIN: Duration = Duration::from_micros(200);
/// Bytes of one line that a function writes to its log; more is another line.
const LINE_BYTES_MAX: usize = 4 << 10;

/// One node's talk with its function.
pub(super) struct Conversation {
    pub(super) link: Arc<Link>,
    pub(super) config: Arc<UdfConfig>,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) closing: Closing,
    pub(super) provides: Edge,
    pub(super) name: Str,
    pub(super) task: Str,
    pub(super) node: Str,
}

/// When something was heard of a function.
struct Alive {
    monotonic: Duration,
    at: Timestamp,
}

// === impl Conversation ===

impl Conversation {
    pub(super) async fn run(self) {
        let opened = tokio::select! {
            biased;
            () = self.closing.started() => return self.link.end(End::Finished),
            opened = self.open() => opened,
        };
        let Connection { input, output, errors, mut process } = match opened {
            Ok(connection) => connection,
            Err(text) => return self.link.end(End::Failed(text)),
        };
        let last_words = Mutex::new(String::new());
        let log = self.log(errors, &last_words);
        tokio::pin!(log);
        let end = tokio::select! {
            biased;
            () = self.closing.expired(&*self.clock) => End::Finished,
            () = &mut log => End::Finished,
            end = self.talk(input, output) => end,
        };
        let Some(process) = &mut process else { return self.link.end(end) };
        match end {
            End::Finished => self.link.end(End::Finished),
            // How it ended says more than that it ended.
            End::Failed(text) => {
                let exit = tokio::select! {
                    exit = process.wait() => exit.ok(),
                    () = &mut log => None,
                    () = self.clock.sleep(EXIT_PATIENCE) => None,
                };
                let mut text = text.to_string();
                if let Some(exit) = exit {
                    text.push_str(&format!(" ({exit})"));
                }
                let words = last_words.lock().unwrap_or_else(PoisonError::into_inner).clone();
                if exit.is_some() && !words.is_empty() {
                    text.push_str(&format!("; it last wrote: {words}"));
                }
                self.link.end(End::Failed(text.into()));
            }
        }
        tokio::select! {
            () = self.see_off(process) => {}
            () = &mut log => {}
        }
    }

    /// Waits for the end of a program whose input is closed, and kills it when it takes too long.
    async fn see_off(&self, process: &mut Process) {
        let patience = self.config.timeout.saturating_mul(2).min(KILL_MAX);
        let ended = tokio::select! {
            ended = process.wait() => ended.map(|_| ()),
            () = self.clock.sleep(patience) => {
                let (task, node) = (&*self.task, &*self.node);
                tracing::warn!(task, node, function = &*self.name, "the function does not end, it is killed");
                match process.kill() {
                    Ok(()) => process.wait().await.map(|_| ()),
                    Err(error) => Err(error),
                }
            }
        };
        if let Err(error) = ended {
            let (task, node) = (&*self.task, &*self.node);
            tracing::warn!(task, node, %error, "the end of a function cannot be waited for");
        }
    }

    /// Starts the program, or connects; somebody who listens may come later.
    async fn open(&self) -> Result<Connection, Str> {
        let began = self.clock.monotonic();
        let policy =
            BackoffPolicy { initial: RECONNECT_FIRST, max: RECONNECT_MAX, attempts_max: 0 };
        let mut backoff = Backoff::new(policy, self.clock.now().0 as u64);
        loop {
            let error = match self.config.agent.open().await {
                Ok(connection) => return Ok(connection),
                Err(error) => error,
            };
            let waited = self.clock.monotonic().saturating_sub(began);
            let delay = backoff
                .next_delay()
                .filter(|_| self.config.agent.is_socket() && waited < CONNECT_PATIENCE);
            match delay {
                Some(delay) => self.clock.sleep(delay).await,
                None => return Err(format!("the function cannot be opened: {error}").into()),
            }
        }
    }

    async fn talk(&self, input: Input, output: Output) -> End {
        let alive = Mutex::new(self.alive());
        let is_held = AtomicBool::new(false);
        let closed_at = Mutex::new(None);
        let answered = Notify::new();
        let heard = |answer: Option<()>| {
            *alive.lock().unwrap_or_else(PoisonError::into_inner) = self.alive();
            if answer.is_some() {
                answered.notify_one();
            }
        };
        let limit = self.config.limits.frame_bytes;
        let reading = Reading::new(&self.link, limit, self.provides, &is_held);
        tokio::select! {
            biased;
            read = reading.run(output, heard) => match read {
                Ok(()) if self.link.is_over() => End::Finished,
                Ok(()) => End::Failed("the function has ended".into()),
                Err(text) => End::Failed(text),
            },
            error = self.say(input, &answered, &closed_at) => {
                // One that has ended has perhaps said why.
                self.clock.sleep(EXIT_PATIENCE).await;
                End::Failed(format!("write error: {error}").into())
            }
            end = self.keep_alive(&alive, &is_held, &closed_at) => end,
        }
    }

    fn alive(&self) -> Alive {
        Alive { monotonic: self.clock.monotonic(), at: self.clock.now() }
    }

    /// Says what waits, and closes the input when nothing follows; gives why that is not possible.
    async fn say(
        &self,
        mut input: Input,
        answered: &Notify,
        closed_at: &Mutex<Option<Duration>>,
    ) -> std::io::Error {
        loop {
            match self.link.next().await {
                Next::Frames(frames) => {
                    if let Err(error) = input.write_all(&frames).await {
                        return error;
                    }
                }
                Next::Asked(frames) => {
                    if let Err(error) = input.write_all(&frames).await {
                        return error;
                    }
                    loop {
                        let frames = tokio::select! {
                            () = answered.notified() => break,
                            frames = self.link.next_alive() => frames,
                        };
                        if let Err(error) = input.write_all(&frames).await {
                            return error;
                        }
                    }
                }
                Next::Over => break,
            }
        }
        // A socket has no other end.
        if let Err(error) = input.shutdown().await
            && error.kind() != std::io::ErrorKind::NotConnected
        {
            return error;
        }
        drop(input);
        *closed_at.lock().unwrap_or_else(PoisonError::into_inner) = Some(self.clock.monotonic());
        std::future::pending().await
    }

    /// Asks whether the function lives; ends when it has not said anything for too long.
    async fn keep_alive(
        &self,
        alive: &Mutex<Alive>,
        is_held: &AtomicBool,
        closed_at: &Mutex<Option<Duration>>,
    ) -> End {
        let timeout = self.config.timeout;
        let mut asks_at = self.clock.monotonic() + timeout / 2;
        loop {
            let now = self.clock.monotonic();
            let (last, at) = {
                let mut alive = alive.lock().unwrap_or_else(PoisonError::into_inner);
                if is_held.load(Ordering::Acquire) {
                    // It is the task that does not take what the function says.
                    *alive = self.alive();
                }
                (alive.monotonic, alive.at)
            };
            let closed_at = *closed_at.lock().unwrap_or_else(PoisonError::into_inner);
            let until = if let Some(closed_at) = closed_at {
                // It cannot be asked any more, and has more time to say its last.
                let until = last.max(closed_at) + timeout.saturating_mul(2);
                if now >= until {
                    return End::Failed("the function does not end".into());
                }
                until.min(now + timeout / 2)
            } else {
                if now >= last + timeout {
                    let mut text = "keepalive timedout, last keepalive received was: ".to_owned();
                    levada_template::go::time::Time::utc(at).print(&mut text);
                    return End::Failed(text.into());
                }
                if now >= asks_at {
                    self.link.ask_alive(self.clock.now().0);
                    asks_at = now + timeout / 2;
                }
                asks_at.min(last + timeout)
            };
            self.clock.sleep(until.saturating_sub(now).max(TICK_MIN)).await;
        }
    }

    /// Writes what a program says beside to the log, line by line; never ends.
    async fn log(&self, errors: Option<Output>, last_words: &Mutex<String>) {
        if let Some(mut errors) = errors {
            let mut lines = ErrorLines::default();
            let mut buffer = vec![0; LINE_BYTES_MAX];
            while let Ok(count @ 1..) = errors.read(&mut buffer).await {
                lines.push(&buffer[..count], |line| self.log_line(line, last_words));
            }
            lines.finish(|line| self.log_line(line, last_words));
        }
        std::future::pending().await
    }

    fn log_line(&self, line: &str, last_words: &Mutex<String>) {
        let (task, node) = (&*self.task, &*self.node);
        tracing::info!(task, node, function = &*self.name, "{line}");
        line.clone_into(&mut last_words.lock().unwrap_or_else(PoisonError::into_inner));
    }
}

/// Cuts what a function writes to its log into lines of a bounded length.
#[derive(Default)]
pub(super) struct ErrorLines(Vec<u8>);

// === impl ErrorLines ===

impl ErrorLines {
    pub(super) fn push(&mut self, bytes: &[u8], mut take: impl FnMut(&str)) {
        for &byte in bytes {
            if byte != b'\n' {
                self.0.push(byte);
            }
            if byte == b'\n' || self.0.len() >= LINE_BYTES_MAX {
                self.finish(&mut take);
            }
        }
    }

    pub(super) fn finish(&mut self, mut take: impl FnMut(&str)) {
        let line = String::from_utf8_lossy(&self.0);
        let line = line.trim_end();
        if !line.is_empty() {
            take(line);
        }
        self.0.clear();
    }
}
