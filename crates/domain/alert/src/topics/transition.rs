//! Changes of the level of an event: what the history is made of.

use levada_model::{Str, Timestamp};

use crate::event::Event;
use crate::level::Level;

/// A change of the level of an event in a topic.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Transition {
    /// When the topic heard of it.
    pub at: Timestamp,
    /// The topic.
    pub topic: Str,
    /// The event.
    pub id: Str,
    /// The task; empty when nobody knows it.
    pub task: Str,
    /// The level now.
    pub level: Level,
    /// The level that the topic knew before.
    pub previous: Level,
    /// The message.
    pub message: Str,
    /// The time of the event.
    pub time: Timestamp,
    /// Nanoseconds since the group was last OK.
    pub duration: i64,
    /// The silence that kept it from the handlers.
    pub silence: Option<Str>,
    /// Nothing was heard of the event since the server started: nobody knows its level.
    pub is_stale: bool,
}

// === impl Transition ===

impl Transition {
    /// Gives the change that an event is for a topic.
    pub(super) fn of(topic: &Str, event: &Event, silence: Option<Str>, at: Timestamp) -> Self {
        Transition {
            at,
            topic: Str::clone(topic),
            id: event.id.clone(),
            task: event.task.clone(),
            level: event.level,
            previous: event.previous_level,
            message: event.message.clone(),
            time: event.time,
            duration: event.duration,
            silence,
            is_stale: false,
        }
    }
}
