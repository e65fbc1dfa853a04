//! Writes states behind: only the newest one per event.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use foldhash::fast::RandomState;
use levada_model::Str;

use super::state::EventState;
use super::store::{Change, StoredState, TopicStore, TopicStoreError};

/// Changes per call of the store. Ours: a transaction of a fair size.
const CHANGES_MAX: usize = 1_000;

pub(super) struct Writer {
    store: Arc<dyn TopicStore>,
    pending: Mutex<Pending>,
    /// Held over a flush, so that changes of one event reach the store in their order.
    flushing: tokio::sync::Mutex<()>,
}

#[derive(Default)]
struct Pending {
    removed_topics: Vec<Str>,
    /// Nothing stands for an event that is to be deleted.
    states: HashMap<(Str, Str), Option<EventState>, RandomState>,
}

// === impl Writer ===

impl Writer {
    pub(super) fn new(store: Arc<dyn TopicStore>) -> Self {
        Writer { store, pending: Mutex::default(), flushing: tokio::sync::Mutex::default() }
    }

    /// Notes the state of an event; nothing deletes it.
    pub(super) fn set(&self, topic: &Str, id: &Str, state: Option<EventState>) {
        self.lock().states.insert((topic.clone(), id.clone()), state);
    }

    pub(super) fn remove_topic(&self, topic: &str) {
        let mut pending = self.lock();
        pending.states.retain(|(known, _), _| **known != *topic);
        if !pending.removed_topics.iter().any(|known| **known == *topic) {
            pending.removed_topics.push(topic.into());
        }
    }

    /// Stores everything noted before the call; what fails waits for the next one.
    pub(super) async fn flush(&self) -> Result<(), TopicStoreError> {
        let _turn = self.flushing.lock().await;
        let taken = std::mem::take(&mut *self.lock());
        if taken.removed_topics.is_empty() && taken.states.is_empty() {
            return Ok(());
        }
        let removed = taken.removed_topics.into_iter().map(|topic| Change::RemoveTopic { topic });
        let states = taken.states.into_iter().map(|((topic, id), state)| match state {
            Some(state) => Change::Save(StoredState { topic, id, state }),
            None => Change::Remove { topic, id },
        });
        let changes: Vec<Change> = removed.chain(states).collect();
        for (index, part) in changes.chunks(CHANGES_MAX).enumerate() {
            if let Err(error) = self.store.apply(part).await {
                self.give_back(&changes[index * CHANGES_MAX..]);
                return Err(error);
            }
        }
        Ok(())
    }

    /// Notes again what was not stored, unless something newer is noted.
    fn give_back(&self, changes: &[Change]) {
        let mut pending = self.lock();
        // A topic that was removed meanwhile takes its older states with it.
        let removed = pending.removed_topics.clone();
        for change in changes {
            let (topic, id, state) = match change {
                Change::RemoveTopic { topic } => {
                    if !pending.removed_topics.contains(topic) {
                        pending.removed_topics.push(topic.clone());
                    }
                    continue;
                }
                Change::Save(StoredState { topic, id, state }) => (topic, id, Some(state.clone())),
                Change::Remove { topic, id } => (topic, id, None),
            };
            if !removed.contains(topic) {
                pending.states.entry((topic.clone(), id.clone())).or_insert(state);
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, Pending> {
        self.pending.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
