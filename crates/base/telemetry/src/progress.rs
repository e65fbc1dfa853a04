//! The line on a terminal that shows how a run is going.

use std::collections::VecDeque;
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread::JoinHandle;
use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};

use crate::console::Console;

/// How often the line is drawn.
const REDRAW: Duration = Duration::from_millis(200);

/// Over how many draws a rate is averaged: two seconds, so that the numbers can be read.
const RATE_DRAWS: usize = 10;

/// What a run has done so far.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Snapshot {
    /// Records read from the source.
    pub records_in: u64,
    /// Records that sinks confirmed.
    pub records_out: u64,
    /// Records that failed.
    pub errors: u64,
    /// Records that wait at the source, when it can tell.
    pub lag: Option<u64>,
    /// Time since the run began.
    pub elapsed: Duration,
}

/// Draws the progress line from its own thread until it is finished or dropped.
#[derive(Debug)]
pub struct Progress {
    running: Option<Running>,
}

#[derive(Debug)]
struct Running {
    console: Console,
    stop: mpsc::SyncSender<()>,
    thread: JoinHandle<()>,
}

// === impl Progress ===

impl Progress {
    /// Starts to show what `snapshot` gives, five times a second; does nothing at all when the console is not a terminal.
    ///
    /// `snapshot` is called from a thread of its own and should only read counters.
    pub fn start(console: &Console, snapshot: impl Fn() -> Snapshot + Send + 'static) -> Self {
        if !console.is_terminal() {
            return Self::disabled();
        }
        let bar = ProgressBar::new_spinner();
        if let Ok(style) = ProgressStyle::with_template("{spinner} {wide_msg}") {
            bar.set_style(style);
        }
        let (stop, stopped) = mpsc::sync_channel(1); // never filled: only its end is a message
        let drawn = bar.clone();
        let thread = std::thread::Builder::new().name("levada-progress".into()).spawn(move || {
            let mut history = VecDeque::with_capacity(RATE_DRAWS + 1);
            loop {
                let now = snapshot();
                drawn.set_message(format_line(&now, history.front()));
                drawn.tick();
                history.push_back(now);
                if history.len() > RATE_DRAWS {
                    history.pop_front();
                }
                match stopped.recv_timeout(REDRAW) {
                    Err(RecvTimeoutError::Timeout) => {}
                    Ok(()) | Err(RecvTimeoutError::Disconnected) => return,
                }
            }
        });
        match thread {
            Ok(thread) => {
                console.attach(bar);
                Self { running: Some(Running { console: console.clone(), stop, thread }) }
            }
            Err(error) => {
                tracing::warn!(%error, "no thread for the progress line; running without it");
                Self::disabled()
            }
        }
    }

    /// Gives a progress that shows nothing, for `--quiet`.
    #[must_use]
    pub fn disabled() -> Self {
        Self { running: None }
    }

    /// Takes the line away. Dropping does the same.
    pub fn finish(self) {
        drop(self);
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        let Some(Running { console, stop, thread }) = self.running.take() else {
            return;
        };
        drop(stop); // wakes the thread: its channel is disconnected
        if thread.join().is_err() {
            tracing::warn!("the progress line failed; the run itself is not affected");
        }
        console.detach();
    }
}

/// Formats the line: counts, rates since `previous` (since the start without one), errors when there are any, lag when it is known.
#[must_use]
pub fn format_line(now: &Snapshot, previous: Option<&Snapshot>) -> String {
    let start = Snapshot::default();
    let previous = previous.unwrap_or(&start);
    let span = now.elapsed.saturating_sub(previous.elapsed);
    let mut line = format!(
        "{} in ({}/s), {} out ({}/s)",
        grouped(now.records_in),
        rate(now.records_in, previous.records_in, span),
        grouped(now.records_out),
        rate(now.records_out, previous.records_out, span),
    );
    match now.errors {
        0 => {}
        1 => line.push_str(", 1 error"),
        errors => line.push_str(&format!(", {} errors", grouped(errors))),
    }
    if let Some(lag) = now.lag {
        line.push_str(&format!(", lag {}", grouped(lag)));
    }
    line.push_str(", ");
    line.push_str(&clock(now.elapsed));
    line
}

/// Records per second, as a whole number; zero when no time passed.
fn rate(now: u64, previous: u64, span: Duration) -> String {
    let nanos = span.as_nanos();
    if nanos == 0 {
        return "0".into();
    }
    let records = u128::from(now.saturating_sub(previous));
    let rounded = (records * 1_000_000_000 + nanos / 2) / nanos;
    grouped(u64::try_from(rounded).unwrap_or(u64::MAX))
}

/// Puts a comma between groups of three digits.
fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// Shows a time as `5s`, `1m05s`, `2h03m05s`.
fn clock(elapsed: Duration) -> String {
    let seconds = elapsed.as_secs();
    let (hours, minutes, seconds) = (seconds / 3_600, seconds / 60 % 60, seconds % 60);
    match (hours, minutes) {
        (0, 0) => format!("{seconds}s"),
        (0, _) => format!("{minutes}m{seconds:02}s"),
        _ => format!("{hours}h{minutes:02}m{seconds:02}s"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(records_in: u64, records_out: u64, seconds: u64) -> Snapshot {
        Snapshot {
            records_in,
            records_out,
            elapsed: Duration::from_secs(seconds),
            ..Snapshot::default()
        }
    }

    #[test]
    fn the_line_shows_counts_and_rates_since_the_previous_snapshot() {
        let line = format_line(&at(12_345, 12_000, 65), Some(&at(11_345, 11_500, 63)));
        assert_eq!(line, "12,345 in (500/s), 12,000 out (250/s), 1m05s");
    }

    #[test]
    fn without_a_previous_snapshot_rates_count_from_the_start() {
        let now = Snapshot { errors: 2_000, lag: Some(1_234_567), ..at(10, 8, 4) };
        assert_eq!(
            format_line(&now, None),
            "10 in (3/s), 8 out (2/s), 2,000 errors, lag 1,234,567, 4s"
        );
    }

    #[test]
    fn edges_do_not_divide_by_zero_or_overflow() {
        let zero = Snapshot::default();
        assert_eq!(format_line(&zero, None), "0 in (0/s), 0 out (0/s), 0s");
        let full = Snapshot {
            errors: 1,
            lag: Some(0),
            elapsed: Duration::from_nanos(1),
            ..at(u64::MAX, 0, 0)
        };
        assert!(format_line(&full, None).ends_with(", 1 error, lag 0, 0s"));
        let back = format_line(&at(5, 5, 10), Some(&at(9, 9, 12)));
        assert_eq!(
            back, "5 in (0/s), 5 out (0/s), 10s",
            "a counter that went backwards has no rate"
        );
        assert_eq!(format_line(&at(0, 0, 7_385), None), "0 in (0/s), 0 out (0/s), 2h03m05s");
    }

    #[test]
    fn on_a_terminal_the_snapshot_is_read_until_the_end_and_log_lines_pass() {
        let mut console = Console::as_terminal();
        let (tell, told) = mpsc::sync_channel(16);
        let progress = Progress::start(&console, move || {
            // Full when the test is slow; two are enough.
            tell.try_send(()).ok();
            Snapshot::default()
        });
        assert!(told.recv().is_ok() && told.recv().is_ok(), "drawn at least twice");
        assert!(std::io::Write::write_all(&mut console, b"").is_ok(), "does not deadlock");
        progress.finish();
        while told.try_recv().is_ok() {}
        assert_eq!(told.try_recv(), Err(mpsc::TryRecvError::Disconnected), "the thread has ended");
    }

    #[test]
    fn a_snapshot_that_panics_ends_only_the_line() {
        let progress = Progress::start(&Console::as_terminal(), || panic!("on purpose"));
        progress.finish();
    }

    #[test]
    fn a_disabled_progress_ends_at_once() {
        Progress::disabled().finish();
    }
}
