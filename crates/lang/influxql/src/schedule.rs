//! When a batch task asks, and for which time.
//!
//! ```text
//!            start          stop          tick
//! ─────────────┼──────────────┼─────────────┼──▶ time
//!              └── period ────┘── offset ───┘
//! ```
//! Pure: the ticks are computed from times that are handed in.

use jiff::tz::TimeZone;
use levada_model::Timestamp;
use levada_model::time::{round, truncate};

use crate::cron::Cron;
use crate::error::ScheduleError;
use crate::query::Range;

/// When a query runs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Schedule {
    /// Again and again.
    Every {
        /// The interval in nanoseconds, at least 1.
        every: i64,
        /// Whether the ticks are multiples of the interval, counted from the year 1.
        align: bool,
    },
    /// At the times of a cron expression.
    Cron(Box<Cron>),
}

/// Which time a query covers, relative to its tick; in nanoseconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Span {
    /// How long the range is.
    pub period: i64,
    /// How long before the tick it ends.
    pub offset: i64,
}

/// A tick and the range that belongs to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Execution {
    /// When it is due.
    pub tick: Timestamp,
    /// What it asks for.
    pub range: Range,
}

/// The executions of a recording, computed one by one; see [`Schedule::executions`].
#[derive(Clone, Debug)]
pub struct Executions<'s> {
    schedule: &'s Schedule,
    zone: &'s TimeZone,
    span: Span,
    current: Option<Timestamp>,
    stop: Timestamp,
    now: Timestamp,
}

// === impl Schedule ===

impl Schedule {
    /// Makes the schedule of a query node.
    ///
    /// - Units: nanoseconds; an `every` of 0 and an empty `cron` are not set.
    /// - Errors: both set, none set, a negative interval, a wrong expression.
    pub fn new(every: i64, align: bool, cron: &str) -> Result<Schedule, ScheduleError> {
        match (every, cron) {
            (0, "") => Err(ScheduleError::None),
            (0, cron) => match Cron::parse(cron) {
                Ok(cron) => Ok(Schedule::Cron(Box::new(cron))),
                Err(error) => Err(ScheduleError::Cron(error)),
            },
            (_, cron) if !cron.is_empty() => Err(ScheduleError::Both),
            (i64::MIN..0, _) => Err(ScheduleError::Negative),
            (every, _) => Ok(Schedule::Every { every, align }),
        }
    }

    /// Gives the first tick of a task that starts at `start`; none when there never is one.
    pub fn first(&self, start: Timestamp, zone: &TimeZone) -> Option<Timestamp> {
        match self {
            Schedule::Every { every, align: true } => add(truncate(start, *every), *every),
            Schedule::Every { every, align: false } => add(start, *every),
            Schedule::Cron(cron) => cron.next(start, zone),
        }
    }

    /// Gives the tick that follows one; it is later, or there is none.
    pub fn next(&self, current: Timestamp, zone: &TimeZone) -> Option<Timestamp> {
        let next = match self {
            Schedule::Every { every, align: true } => round(add(current, *every)?, *every),
            Schedule::Every { every, align: false } => add(current, *every)?,
            Schedule::Cron(cron) => cron.next(current, zone)?,
        };
        (next > current).then_some(next)
    }

    /// Gives the nominal time of a tick for a timer that fired at `fired`: aligned ticks are rounded.
    pub fn nominal(&self, fired: Timestamp) -> Timestamp {
        match self {
            Schedule::Every { every, align: true } => round(fired, *every),
            _ => fired,
        }
    }

    /// Gives what a recording from `start` to `stop` executes, lazily.
    ///
    /// The first tick follows `start`; there is none after `stop`, and none whose range ends after `now`.
    pub fn executions<'s>(
        &'s self,
        span: Span,
        start: Timestamp,
        stop: Timestamp,
        now: Timestamp,
        zone: &'s TimeZone,
    ) -> Executions<'s> {
        Executions { schedule: self, zone, span, current: Some(start), stop, now }
    }
}

// === impl Span ===

impl Span {
    /// Gives the range of a tick.
    pub fn range(self, tick: Timestamp) -> Range {
        let stop = Timestamp(tick.0.saturating_sub(self.offset));
        Range { start: Timestamp(stop.0.saturating_sub(self.period)), stop }
    }
}

impl Iterator for Executions<'_> {
    type Item = Execution;

    fn next(&mut self) -> Option<Execution> {
        let tick = self.schedule.next(self.current.take()?, self.zone)?;
        let range = self.span.range(tick);
        if tick > self.stop || range.stop > self.now {
            return None;
        }
        self.current = Some(tick);
        Some(Execution { tick, range })
    }
}

fn add(time: Timestamp, nanos: i64) -> Option<Timestamp> {
    time.0.checked_add(nanos).map(Timestamp)
}

#[cfg(test)]
mod tests;
