//! A task that is fed recorded data on the time of the data.
//!
//! The clock is set to the first item; what ticks does so from there, up to the item at hand.

use levada_model::{BatchRef, Point, Timestamp};
use thiserror::Error;

use crate::actor::Actor;
use crate::recording::RecordedBatch;
use crate::runtime::Failure;

/// A task that was started with [`crate::actor::CLOCK_UNSET`].
pub struct Playback {
    actor: Actor,
    has_begun: bool,
    ticks_max: usize,
}

/// Why a task takes no more.
#[derive(Debug, Error)]
pub enum PlaybackError {
    /// The time jumps too far.
    #[error("an item is at {} s, and more than {ticks} ticks of timers are due before it", time.0 / 1_000_000_000)]
    Jump {
        /// The time of the item.
        time: Timestamp,
        /// As many ticks are allowed.
        ticks: usize,
    },
    /// The task failed.
    #[error("{0}")]
    Failed(#[from] Box<Failure>),
}

/// The most ticks of timers between two items: one wrong time must not keep a run busy for days.
pub const TICKS_MAX: usize = 10_000_000;

/// Between two looks at what functions have given.
pub const OUTSIDE_POLL: std::time::Duration = std::time::Duration::from_millis(1);

// === impl Playback ===

impl Playback {
    /// Takes the task over.
    pub fn new(actor: Actor, ticks_max: usize) -> Self {
        Playback { actor, has_begun: false, ticks_max }
    }

    /// Gives the task.
    pub fn actor(&self) -> &Actor {
        &self.actor
    }

    /// Gives the task, for what is neither an item nor the time.
    pub fn actor_mut(&mut self) -> &mut Actor {
        &mut self.actor
    }

    #[cfg(test)]
    pub(crate) fn set_ticks_max(&mut self, ticks: usize) {
        self.ticks_max = ticks;
    }

    /// Gives when the next timer is due, up to `time`; nothing before the first item.
    pub fn timer_before(&self, time: Timestamp) -> Option<Timestamp> {
        self.actor.next_timer().filter(|at| self.has_begun && *at <= time)
    }

    /// Gives a point to a stream task.
    pub fn point(&mut self, point: &Point) -> Result<(), PlaybackError> {
        self.points(std::slice::from_ref(point))
    }

    /// Gives points to a stream task, one after the other.
    pub fn points(&mut self, points: &[Point]) -> Result<(), PlaybackError> {
        let mut rest = points;
        while let Some(first) = rest.first() {
            self.begin(first.time)?;
            let given = self.actor.replay_some(rest)?;
            rest = &rest[given..];
        }
        Ok(())
    }

    /// Gives a batch to the query node of an index; `false` when its group is one too many, and it was dropped.
    pub fn batch(&mut self, index: usize, batch: RecordedBatch) -> Result<bool, PlaybackError> {
        self.begin(batch.time)?;
        self.actor.advance(batch.time)?;
        let place = self.actor.queries()[index];
        let RecordedBatch { name, key, time, points } = batch;
        let Some(group) = self.actor.group(key) else { return Ok(false) };
        self.actor.batch(place, BatchRef { name: &name, group: &group, time, points: &points })?;
        Ok(true)
    }

    /// Lets time pass without an item.
    pub fn advance(&mut self, time: Timestamp) -> Result<(), PlaybackError> {
        self.begin(time)
    }

    /// Takes what functions that run outside have given, for as long as the task has to wait for them.
    pub fn outside(&mut self, has_to_wait: impl Fn(&Actor) -> bool) -> Result<(), PlaybackError> {
        while !self.outside_once(&has_to_wait)? {
            std::thread::sleep(OUTSIDE_POLL);
        }
        Ok(())
    }

    /// Takes what functions have given; `false` when the task still has to wait for them.
    pub fn outside_once(
        &mut self,
        has_to_wait: impl Fn(&Actor) -> bool,
    ) -> Result<bool, PlaybackError> {
        while self.actor.collect()? {}
        Ok(!has_to_wait(&self.actor))
    }

    /// Ends the input.
    pub fn finish(&mut self) -> Result<(), PlaybackError> {
        Ok(self.actor.finish()?)
    }

    fn begin(&mut self, time: Timestamp) -> Result<(), PlaybackError> {
        if !self.has_begun {
            self.has_begun = true;
            self.actor.begin_at(time)?;
        } else if self.actor.next_timer().is_some_and(|at| at <= time) {
            let ticks = self.ticks_max;
            if self.actor.advance_some(time, ticks)? {
                return Err(PlaybackError::Jump { time, ticks });
            }
        }
        Ok(())
    }
}
