//! What a topic knows of one event.

use levada_model::{Str, Timestamp};

use crate::event::{Details, Event};
use crate::level::Level;

/// The latest state of an event.
#[derive(Clone, Debug)]
pub struct EventState {
    /// The level.
    pub level: Level,
    /// The message.
    pub message: Str,
    /// The details.
    pub details: Details,
    /// The time of the event.
    pub time: Timestamp,
    /// Nanoseconds since the group was last OK.
    pub duration: i64,
}

// === impl EventState ===

impl EventState {
    /// Gives the state after an event.
    pub fn of(event: &Event) -> Self {
        EventState {
            level: event.level,
            message: event.message.clone(),
            details: event.details.clone(),
            time: event.time,
            duration: event.duration,
        }
    }
}

impl PartialEq for EventState {
    fn eq(&self, other: &Self) -> bool {
        self.level == other.level
            && self.message == other.message
            && self.details.text() == other.details.text()
            && self.time == other.time
            && self.duration == other.duration
    }
}
