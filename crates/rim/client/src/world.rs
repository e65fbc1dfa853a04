//! What surrounds a command: environment, clock, zone, writers.

use std::io::{self, Write};
use std::sync::Arc;
use std::time::Duration;

use jiff::tz::TimeZone;
use levada_runtime::Clock;

/// What surrounds a command.
pub struct World<'w> {
    /// Gives an environment variable.
    pub variable: &'w dyn Fn(&str) -> Option<String>,
    /// The clock: `now` of recordings, and waiting for them.
    pub clock: Arc<dyn Clock>,
    /// The zone that times of lists are shown in.
    pub zone: TimeZone,
    /// How often a recording or a replay is asked whether it has ended.
    pub poll_interval: Duration,
    /// How long an answer may take; in a stream that should go on, how long nothing may come.
    pub answer_timeout: Duration,
    /// Results.
    pub out: &'w mut dyn Write,
    /// Everything else.
    pub err: &'w mut dyn Write,
}

// === impl World ===

impl World<'_> {
    /// How often a recording or a replay is asked whether it has ended, outside of tests. Source: Kapacitor's client.
    pub const POLL_INTERVAL: Duration = Duration::from_millis(500);

    /// How long an answer may take, outside of tests. Ours, as the original waits without end: tasks that start may take
    /// their time.
    pub const ANSWER_TIMEOUT: Duration = Duration::from_secs(60);

    /// Writes text to the results.
    pub(crate) fn print(&mut self, text: &str) -> io::Result<()> {
        self.out.write_all(text.as_bytes())
    }

    /// Writes a line for people.
    ///
    /// Nobody is left to tell when that fails.
    pub(crate) fn note(&mut self, text: &str) {
        let _gone = writeln!(self.err, "{text}").is_err();
    }
}
