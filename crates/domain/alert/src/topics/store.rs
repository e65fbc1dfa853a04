//! Where topic states are kept over a restart.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use levada_model::{ErrorKind, Str};
use thiserror::Error;

use super::outbox::OutboxEntry;
use super::state::EventState;
use super::transition::Transition;

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

/// An entry of an outbox as it is stored.
#[derive(Clone, Debug)]
pub struct StoredEntry {
    /// The topic.
    pub topic: Str,
    /// The handler.
    pub handler: Str,
    /// What waits.
    pub entry: OutboxEntry,
}

/// A change of what is stored. Changes of one call concern different things, and are done in their order.
#[derive(Clone, Debug)]
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
    /// Stores an entry of an outbox.
    Enqueue(StoredEntry),
    /// Deletes an entry of an outbox, if there is one.
    Dequeue {
        /// The topic.
        topic: Str,
        /// The handler.
        handler: Str,
        /// The number of the entry.
        number: u64,
    },
    /// Adds a line to the history.
    Record(Arc<Transition>),
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
    /// Gives all states that are stored.
    async fn load(&self) -> Result<Vec<StoredState>, TopicStoreError>;

    /// Gives all entries of outboxes that are stored, those of one handler in the order of their numbers.
    async fn load_outboxes(&self) -> Result<Vec<StoredEntry>, TopicStoreError>;

    /// Makes changes, all or none.
    async fn apply(&self, changes: &[Change]) -> Result<(), TopicStoreError>;
}

/// Keeps states and entries as long as the process lives; no history.
#[derive(Debug, Default)]
pub struct MemoryTopicStore(Mutex<Memory>);

#[derive(Debug, Default)]
struct Memory {
    states: BTreeMap<Str, BTreeMap<Str, EventState>>,
    entries: BTreeMap<(Str, Str, u64), OutboxEntry>,
}

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
        let memory = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let states = memory.states.iter().flat_map(|(topic, states)| {
            states.iter().map(|(id, state)| StoredState {
                topic: topic.clone(),
                id: id.clone(),
                state: state.clone(),
            })
        });
        Ok(states.collect())
    }

    async fn load_outboxes(&self) -> Result<Vec<StoredEntry>, TopicStoreError> {
        let memory = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let entries = memory.entries.iter().map(|((topic, handler, _), entry)| StoredEntry {
            topic: topic.clone(),
            handler: handler.clone(),
            entry: entry.clone(),
        });
        Ok(entries.collect())
    }

    async fn apply(&self, changes: &[Change]) -> Result<(), TopicStoreError> {
        let mut memory = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let Memory { states, entries } = &mut *memory;
        for change in changes {
            match change.clone() {
                Change::Save(StoredState { topic, id, state }) => {
                    states.entry(topic).or_default().insert(id, state);
                }
                Change::Remove { topic, id } => {
                    if let Some(states) = states.get_mut(&topic) {
                        states.remove(&id);
                    }
                }
                Change::RemoveTopic { topic } => {
                    states.remove(&topic);
                }
                Change::Enqueue(StoredEntry { topic, handler, entry }) => {
                    entries.insert((topic, handler, entry.number), entry);
                }
                Change::Dequeue { topic, handler, number } => {
                    entries.remove(&(topic, handler, number));
                }
                Change::Record(_) => {}
            }
        }
        Ok(())
    }
}
