//! Where topic states are kept over a restart.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use async_trait::async_trait;
use levada_model::{ErrorKind, Str};
use thiserror::Error;

use super::state::EventState;

/// A state as it is stored.
#[derive(Clone, Debug, PartialEq)]
pub struct StoredState {
    /// The topic.
    pub topic: Str,
    /// The event.
    pub id: Str,
    /// What is known of it; never OK.
    pub state: EventState,
}

/// A change of what is stored. Changes of one call concern different events, and are done in their order.
#[derive(Clone, Debug, PartialEq)]
pub enum Change {
    /// Stores the state of an event in place of what was there.
    Save(StoredState),
    /// Deletes the state of an event, if there is one.
    Remove {
        /// The topic.
        topic: Str,
        /// The event.
        id: Str,
    },
    /// Deletes the states of a topic.
    RemoveTopic {
        /// The topic.
        topic: Str,
    },
}

/// Why states were not loaded or stored.
#[derive(Debug, Error)]
#[error("the store of topic states failed: {message}")]
pub struct TopicStoreError {
    /// What happened.
    pub message: String,
    /// Whether it may pass.
    pub kind: ErrorKind,
}

/// Keeps topic states over a restart.
///
/// Called from one place at a time and never on the way of an event. A change that fails is tried again later, alone or
/// with others, so doing one twice must be the same as doing it once.
#[async_trait]
pub trait TopicStore: Send + Sync + 'static {
    /// Gives everything that is stored.
    async fn load(&self) -> Result<Vec<StoredState>, TopicStoreError>;

    /// Makes changes, all or none.
    async fn apply(&self, changes: &[Change]) -> Result<(), TopicStoreError>;
}

/// Keeps states as long as the process lives.
#[derive(Debug, Default)]
pub struct MemoryTopicStore(Mutex<BTreeMap<Str, BTreeMap<Str, EventState>>>);

// === impl TopicStoreError ===

impl TopicStoreError {
    /// Gives the kind of the error.
    pub fn kind(&self) -> ErrorKind {
        self.kind
    }
}

#[async_trait]
impl TopicStore for MemoryTopicStore {
    async fn load(&self) -> Result<Vec<StoredState>, TopicStoreError> {
        let topics = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let states = topics.iter().flat_map(|(topic, states)| {
            states.iter().map(|(id, state)| StoredState {
                topic: topic.clone(),
                id: id.clone(),
                state: state.clone(),
            })
        });
        Ok(states.collect())
    }

    async fn apply(&self, changes: &[Change]) -> Result<(), TopicStoreError> {
        let mut topics = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        for change in changes {
            match change.clone() {
                Change::Save(StoredState { topic, id, state }) => {
                    topics.entry(topic).or_default().insert(id, state);
                }
                Change::Remove { topic, id } => {
                    if let Some(states) = topics.get_mut(&topic) {
                        states.remove(&id);
                    }
                }
                Change::RemoveTopic { topic } => {
                    topics.remove(&topic);
                }
            }
        }
        Ok(())
    }
}
