//! What one group remembers of its levels, and when it reports.
//!
//! Pure: no clock, no I/O; a point or a batch goes in with a way to ask the node's expressions, a [`Decision`] comes out.
//!
//! Invariant: while a group is not flapping, the level last reported is the level it has. That is how a change that
//! happened while flapping is found again when flapping ends.
//!
//! An idle group takes [`AlertState::SIZE`] bytes; a history of more than 64 levels takes two bits per level more.

mod history;
mod settings;
#[cfg(test)]
mod tests;

use std::mem::size_of;

use levada_model::{ErrorKind, Point, Timestamp};
use thiserror::Error;

use crate::level::Level;
use history::History;

pub use settings::{DecisionSettings, Flapping, HISTORY_DEFAULT, HISTORY_MAX, SettingsError};

/// What the expressions of an alert are asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ask {
    /// Does the expression of this level match?
    Level(Level),
    /// May this level be left?
    Reset(Level),
}

/// What a group remembers.
#[derive(Clone, Debug, PartialEq)]
pub struct AlertState {
    history: History,
    first_triggered: i64,
    last_triggered: i64,
    reported: Level,
    is_flapping: bool,
}

/// What is to be done with a point or a batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Decision {
    /// Nothing is reported and nothing goes on.
    Drop,
    /// It recovered, and recoveries are not wanted: only the inhibitors of the group are lifted.
    Silent,
    /// It is reported and goes on.
    Report(Report),
}

/// What an event says about its group.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Report {
    /// The level now.
    pub level: Level,
    /// The level before.
    pub previous: Level,
    /// The time of the event.
    pub time: Timestamp,
    /// Nanoseconds since the group was last OK.
    pub duration: i64,
    /// The point of a batch whose fields the event shows: the first of the highest level.
    pub index: usize,
}

/// Stored bytes that are no state of a group.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
pub enum StateError {
    /// Written by another version.
    #[error("unknown version {0} of an alert state")]
    Version(u8),
    /// Cut off or damaged.
    #[error("an alert state is cut off or damaged")]
    Damaged,
}

/// How a level came about.
#[derive(Clone, Copy)]
struct Step {
    previous: Level,
    is_changed: bool,
    is_expired: bool,
    /// A change while flapping was not reported, and now it is calm.
    is_missed: bool,
}

const VERSION: u8 = 1;

/// Gives the level of one point, for a group that has `current`.
///
/// `ask` gives nothing where the alert has no such expression. It reports errors itself, with [`Ask::error_text`]; here an
/// error of a level counts as "does not match", one of a reset as "may be left". The order of the questions, and that
/// the current level is asked twice, is part of the behaviour: expressions may count.
///
/// - Source: kapacitor: alert.go (`determineLevel`), reference §7.3.
pub fn level_for<E>(current: Level, mut ask: impl FnMut(Ask) -> Option<Result<bool, E>>) -> Level {
    let worst_first = [Level::Critical, Level::Warning, Level::Info];
    let floor = current.max(Level::Info);
    for level in worst_first.into_iter().filter(|level| *level >= floor) {
        if matches!(ask(Ask::Level(level)), Some(Ok(true))) {
            return level;
        }
    }
    if current == Level::Ok {
        return Level::Ok;
    }
    if matches!(ask(Ask::Reset(current)), Some(Ok(false))) {
        return current;
    }
    for level in worst_first.into_iter().filter(|level| *level <= current) {
        if matches!(ask(Ask::Level(level)), Some(Ok(true))) {
            return level;
        }
    }
    Level::Ok
}

// === impl Ask ===

impl Ask {
    /// Gives the text that is logged when the expression fails.
    pub fn error_text(self) -> &'static str {
        match self {
            Ask::Level(_) => "error evaluating expression for level",
            Ask::Reset(_) => "error evaluating reset expression for current level",
        }
    }
}

// === impl StateError ===

impl StateError {
    /// Gives the kind of the error.
    pub fn kind(&self) -> ErrorKind {
        ErrorKind::Invalid
    }
}

// === impl Decision ===

impl Decision {
    /// Says what the inhibitors of the group are set to; nothing where they stay.
    pub fn inhibits(&self) -> Option<bool> {
        match self {
            Decision::Drop => None,
            Decision::Silent => Some(false),
            Decision::Report(report) => Some(report.level != Level::Ok),
        }
    }

    /// Gives the report, if there is one.
    pub fn report(&self) -> Option<&Report> {
        match self {
            Decision::Report(report) => Some(report),
            Decision::Drop | Decision::Silent => None,
        }
    }
}

// === impl AlertState ===

impl AlertState {
    /// Bytes of an idle group.
    pub const SIZE: usize = size_of::<AlertState>();

    /// Makes the state of a group that was always OK.
    pub fn new(settings: &DecisionSettings) -> Self {
        AlertState {
            history: History::new(settings.levels()),
            first_triggered: 0,
            last_triggered: 0,
            reported: Level::Ok,
            is_flapping: false,
        }
    }

    /// Gives the current level.
    pub fn level(&self) -> Level {
        self.history.newest()
    }

    /// Says whether events are held back because the level changes too often.
    pub fn is_flapping(&self) -> bool {
        self.is_flapping
    }

    /// Goes on from what a topic knows: the next equal level is no change.
    ///
    /// `OK` changes nothing.
    pub fn restore(&mut self, level: Level, time: Timestamp) {
        if level == Level::Ok {
            return;
        }
        self.history.push(level);
        self.first_triggered = time.0;
        self.last_triggered = time.0;
        self.reported = level;
    }

    /// Decides on a point.
    pub fn point<E>(
        &mut self,
        settings: &DecisionSettings,
        time: Timestamp,
        ask: impl FnMut(Ask) -> Option<Result<bool, E>>,
    ) -> Decision {
        let level = level_for(self.level(), ask);
        self.point_of(settings, time, level)
    }

    /// Decides on a point whose level is known.
    pub fn point_of(
        &mut self,
        settings: &DecisionSettings,
        time: Timestamp,
        level: Level,
    ) -> Decision {
        let step = self.add(settings, time, level);
        let is_repeated = settings.is_repeated(step.is_changed || step.is_missed, step.is_expired);
        if self.is_flapping || is_repeated {
            return Decision::Drop;
        }
        if level == Level::Ok && !step.is_changed && !step.is_missed {
            return Decision::Drop;
        }
        self.trigger(settings, time, level, step, 0)
    }

    /// Decides on a batch; an empty one is ignored.
    ///
    /// `batch_time` is the time of the batch (`tmax`). The levels of all points are judged against the level before the batch.
    pub fn batch<E>(
        &mut self,
        settings: &DecisionSettings,
        batch_time: Timestamp,
        points: &[Point],
        mut ask: impl FnMut(&Point, Ask) -> Option<Result<bool, E>>,
    ) -> Decision {
        let current = self.level();
        let levels = points.iter().map(|point| level_for(current, |what| ask(point, what)));
        let mut highest = Level::Ok;
        let mut lowest = Level::Critical;
        let mut index = 0;
        for (at, level) in levels.enumerate() {
            if level > highest {
                highest = level;
                index = at;
            }
            lowest = lowest.min(level);
        }
        let Some(worst) = points.get(index) else { return Decision::Drop };
        let level = if settings.all { lowest } else { highest };
        let is_of_batch = settings.all || level == Level::Ok;
        let time = if is_of_batch { batch_time } else { worst.time };
        self.batch_of(settings, time, level, index)
    }

    /// Decides on a batch whose level is known.
    ///
    /// A recovery is reported even while flapping, unlike that of a point.
    pub fn batch_of(
        &mut self,
        settings: &DecisionSettings,
        time: Timestamp,
        level: Level,
        index: usize,
    ) -> Decision {
        let step = self.add(settings, time, level);
        let is_new = step.is_changed || step.is_missed;
        let is_triggered = match level {
            Level::Ok => is_new,
            _ => !self.is_flapping && !settings.is_repeated(is_new, step.is_expired),
        };
        match is_triggered {
            true => self.trigger(settings, time, level, step, index),
            false => Decision::Drop,
        }
    }

    fn add(&mut self, settings: &DecisionSettings, time: Timestamp, level: Level) -> Step {
        let previous = self.history.newest();
        self.history.push(level);
        if let Some(flapping) = &settings.flapping {
            let ratio = match settings.is_literal_flapping {
                true => self.history.literal_ratio(),
                false => self.history.ratio(),
            };
            if self.is_flapping && ratio < flapping.low {
                self.is_flapping = false;
            } else if !self.is_flapping && ratio > flapping.high {
                self.is_flapping = true;
            }
        }
        let is_changed = previous != level;
        let since = time.0.saturating_sub(self.last_triggered);
        Step {
            previous,
            is_changed,
            is_expired: !is_changed && settings.silence != 0 && since >= settings.silence,
            is_missed: !is_changed
                && !self.is_flapping
                && !settings.forgets_changes
                && level != self.reported,
        }
    }

    fn trigger(
        &mut self,
        settings: &DecisionSettings,
        time: Timestamp,
        level: Level,
        step: Step,
        index: usize,
    ) -> Decision {
        let previous = if step.is_missed { self.reported } else { step.previous };
        self.last_triggered = time.0;
        if previous == Level::Ok {
            self.first_triggered = time.0;
        }
        self.reported = level;
        if settings.no_recoveries && level == Level::Ok {
            return Decision::Silent;
        }
        let duration = self.last_triggered.saturating_sub(self.first_triggered);
        Decision::Report(Report { level, previous, time, duration, index })
    }

    /// Appends the state to a checkpoint.
    pub fn encode(&self, out: &mut Vec<u8>) {
        out.push(VERSION);
        out.push(self.reported as u8 | u8::from(self.is_flapping) << 2);
        out.extend_from_slice(&self.first_triggered.to_le_bytes());
        out.extend_from_slice(&self.last_triggered.to_le_bytes());
        self.history.encode(out);
    }

    /// Reads a state from the start of `bytes`, and moves `bytes` behind it.
    ///
    /// The history may have had another length: the newest levels are kept, older ones that are missing were OK.
    pub fn decode(settings: &DecisionSettings, bytes: &mut &[u8]) -> Result<Self, StateError> {
        let [version] = take(bytes)?;
        if version != VERSION {
            return Err(StateError::Version(version));
        }
        let [flags] = take(bytes)?;
        if flags > 0b111 {
            return Err(StateError::Damaged);
        }
        Ok(AlertState {
            reported: Level::from_bits(flags),
            // Without thresholds there is nothing that could end it.
            is_flapping: flags & 0b100 != 0 && settings.flapping.is_some(),
            first_triggered: i64::from_le_bytes(take(bytes)?),
            last_triggered: i64::from_le_bytes(take(bytes)?),
            history: History::decode(settings.levels(), bytes)?,
        })
    }
}

/// Takes `N` bytes from the front.
fn take<const N: usize>(bytes: &mut &[u8]) -> Result<[u8; N], StateError> {
    let (front, rest) = bytes.split_first_chunk::<N>().ok_or(StateError::Damaged)?;
    *bytes = rest;
    Ok(*front)
}
