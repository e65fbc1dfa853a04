//! States that another server knew: what an import brings.

use levada_model::{ErrorKind, Str};
use thiserror::Error;

use super::Topics;
use super::state::EventState;
use super::topic::TakenState;

/// What became of states that another server knew.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TakenStates {
    /// They are what the topic knows now.
    pub taken: usize,
    /// The topic knew something as new, or newer.
    pub old: usize,
}

/// Why states were not taken.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum TakeError {
    /// The topic knows as many events as it may, and none of them is OK; the other states were taken.
    #[error("the topic has no room for {missing} of the states: it keeps {most}")]
    NoRoom {
        /// How many were not taken.
        missing: usize,
        /// How many the topic may know.
        most: usize,
    },
    /// They are known, but not stored yet; that is tried again.
    #[error("the store failed")]
    Store,
}

// === impl TakeError ===

impl TakeError {
    /// Gives the kind of the error.
    pub fn kind(&self) -> ErrorKind {
        match self {
            TakeError::NoRoom { .. } => ErrorKind::TooLarge,
            TakeError::Store => ErrorKind::Unavailable,
        }
    }
}

// === impl Topics ===

impl Topics {
    /// Takes states that another server knew; no handler hears of them, and nothing is noted in the history.
    ///
    /// - A topic that is unknown or closed is opened.
    /// - A state that is not newer than what is known of its event is left out.
    /// - They are stored when the call returns.
    pub async fn states_take(
        &self,
        topic: &str,
        states: Vec<(Str, EventState)>,
    ) -> Result<TakenStates, TakeError> {
        let known = self.topic_or_new(topic, false);
        let (mut outcome, mut missing) = (TakenStates::default(), 0);
        for (id, state) in states {
            match known.take_state(id, state, &self.context()) {
                TakenState::Taken => outcome.taken += 1,
                TakenState::Old => outcome.old += 1,
                TakenState::NoRoom => missing += 1,
            }
        }
        if !self.flush().await {
            return Err(TakeError::Store);
        }
        match missing {
            0 => Ok(outcome),
            missing => Err(TakeError::NoRoom { missing, most: self.0.settings.states_max }),
        }
    }
}
