//! Writes behind: the newest state per event, what waits in outboxes, the history.
//!
//! Everything noted when a flush begins is written together. An event is taken whole or not at all: its entries of all
//! outboxes and its state reach the store in one transaction, so that after a crash no handler has sent what the topic
//! does not know. Deletions are taken first and written last, so that a crash between two parts of a large flush repeats
//! an event and never loses one.

use std::cmp::Ordering as Order;
use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock, RwLockReadGuard};
use std::time::Duration;

use foldhash::fast::RandomState;
use levada_model::Str;
use levada_runtime::Clock;

use super::outbox::{Outbox, Outboxes};
use super::room::{Load, Place, Room};
use super::state::EventState;
use super::store::{Change, StoredEntry, StoredState, TopicStore, TopicStoreError};
use super::transition::Transition;

/// Changes per call of the store, unless those of one event are more. Ours: a transaction of a fair size; while the next
/// ones are written these are sent, and who waits for room sees that something moves.
const CHANGES_MAX: usize = 2_000;

/// Changes of a flush from which on the store counts as busy. Ours: more than two events that come by chance at one time.
const BUSY_FROM: usize = 8;

pub(super) struct Writer {
    store: Arc<dyn TopicStore>,
    clock: Arc<dyn Clock>,
    outboxes: Option<Arc<Outboxes>>,
    /// Read by those who publish, written while a flush takes what there is.
    gate: RwLock<()>,
    pending: Mutex<Pending>,
    /// Held over a flush, so that changes of one event reach the store in their order.
    flushing: tokio::sync::Mutex<()>,
    /// Since when the store fails.
    failing_since: Mutex<Option<Duration>>,
    failures: AtomicU64,
    /// Lines of the history that wait for the store; of more, the oldest are lost.
    records_max: usize,
    records_dropped: AtomicU64,
    room: Room,
    /// Transactions that were written.
    written: AtomicU64,
    /// Changes of the last flush.
    last: AtomicUsize,
}

#[derive(Default)]
struct Pending {
    removed_topics: Vec<Str>,
    /// Nothing stands for an event that is to be deleted.
    states: HashMap<(Str, Str), Option<EventState>, RandomState>,
    records: VecDeque<Arc<Transition>>,
}

/// What a flush takes from one outbox.
struct Taken {
    outbox: Arc<Outbox>,
    /// Entries that are not stored yet.
    storing: HashSet<u64, RandomState>,
    deleted: Vec<u64>,
}

// === impl Writer ===

impl Writer {
    pub(super) fn new(
        store: Arc<dyn TopicStore>,
        clock: Arc<dyn Clock>,
        outboxes: Option<Arc<Outboxes>>,
        records_max: usize,
    ) -> Self {
        Writer {
            store,
            clock,
            outboxes,
            gate: RwLock::default(),
            pending: Mutex::default(),
            flushing: tokio::sync::Mutex::default(),
            failing_since: Mutex::default(),
            failures: AtomicU64::new(0),
            records_max,
            records_dropped: AtomicU64::new(0),
            room: Room::default(),
            written: AtomicU64::new(0),
            last: AtomicUsize::new(0),
        }
    }

    /// Keeps a flush from taking a part of what is noted while the guard lives.
    pub(super) fn publishing(&self) -> RwLockReadGuard<'_, ()> {
        self.gate.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// Notes the state of an event; nothing deletes it.
    pub(super) fn set(&self, topic: &Str, id: &Str, state: Option<EventState>) {
        self.lock().states.insert((topic.clone(), id.clone()), state);
    }

    pub(super) fn record(&self, record: Transition) {
        let mut pending = self.lock();
        if pending.records.len() >= self.records_max {
            pending.records.pop_front();
            self.records_dropped.fetch_add(1, Ordering::Relaxed);
        }
        pending.records.push_back(Arc::new(record));
    }

    pub(super) fn remove_topic(&self, topic: &str) {
        let mut pending = self.lock();
        pending.states.retain(|(known, _), _| **known != *topic);
        if !pending.removed_topics.iter().any(|known| **known == *topic) {
            pending.removed_topics.push(topic.into());
        }
    }

    /// Gives how often the store failed, and how many lines of the history were lost for that.
    pub(super) fn failures(&self) -> (u64, u64) {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        (read(&self.failures), read(&self.records_dropped))
    }

    /// Says whether so many changes came together that it is worth gathering more before the next flush.
    pub(super) fn is_busy(&self) -> bool {
        self.last.load(Ordering::Relaxed) >= BUSY_FROM
    }

    /// Stores everything noted before the call; what fails waits for the next one.
    pub(super) async fn flush(&self) -> Result<(), TopicStoreError> {
        let _turn = self.flushing.lock().await;
        let (mut taken, pending, entries) = {
            let _closed = self.gate.write().unwrap_or_else(PoisonError::into_inner);
            let mut taken = self.take_deleted();
            let pending = std::mem::take(&mut *self.lock());
            let entries = self.take_entries(&mut taken);
            (taken, pending, entries)
        };
        let outcome = self.write(pending, &mut taken, entries).await;
        self.end(&taken, outcome.is_ok());
        outcome
    }

    fn take_deleted(&self) -> Vec<Taken> {
        let outboxes = self.outboxes.iter().flat_map(|all| all.all());
        let taken = outboxes.filter(|outbox| outbox.is_dirty()).map(|outbox| {
            let deleted = outbox.take_deleted();
            Taken { outbox, storing: HashSet::default(), deleted }
        });
        taken.collect()
    }

    /// Takes what is to be stored; as many as all outboxes hold.
    fn take_entries(&self, taken: &mut [Taken]) -> Vec<Change> {
        let mut changes = Vec::new();
        for Taken { outbox, storing, .. } in taken {
            let entries = outbox.begin_store();
            storing.extend(entries.iter().map(|entry| entry.number));
            changes.extend(entries.into_iter().map(|entry| {
                let (topic, handler) = (outbox.topic.clone(), outbox.handler.clone());
                Change::Enqueue(StoredEntry { topic, handler, entry })
            }));
        }
        changes
    }

    async fn write(
        &self,
        pending: Pending,
        taken: &mut [Taken],
        entries: Vec<Change>,
    ) -> Result<(), TopicStoreError> {
        let Pending { removed_topics, states, records } = pending;
        let mut changes: Vec<Change> =
            removed_topics.into_iter().map(|topic| Change::RemoveTopic { topic }).collect();
        changes.extend(entries);
        changes.extend(states.into_iter().map(|((topic, id), state)| match state {
            Some(state) => Change::Save(StoredState { topic, id, state }),
            None => Change::Remove { topic, id },
        }));
        changes.extend(records.into_iter().map(Change::Record));
        // Stable, so that the entries of an event keep their order.
        changes.sort_by(by_event);
        let given_back = changes.len();
        for one in taken.iter() {
            changes.extend(one.deleted.iter().map(|number| {
                let (topic, handler) = (one.outbox.topic.clone(), one.outbox.handler.clone());
                Change::Dequeue { topic, handler, number: *number }
            }));
        }
        self.last.store(changes.len(), Ordering::Relaxed);
        let mut from = 0;
        while from < changes.len() {
            let mut to = changes.len().min(from + CHANGES_MAX);
            while to < given_back && is_same_event(&changes[to - 1], &changes[to]) {
                to += 1;
            }
            if let Err(error) = self.store.apply(&changes[from..to]).await {
                self.give_back(&changes[from.min(given_back)..given_back]);
                return Err(error);
            }
            self.written.fetch_add(1, Ordering::Relaxed);
            end_entries(&changes[from..to], taken);
            from = to;
        }
        Ok(())
    }

    /// Tells the outboxes how it went, and notes whether the store works.
    fn end(&self, taken: &[Taken], is_done: bool) {
        for one in taken {
            if !is_done {
                one.outbox.give_back_deleted(&one.deleted);
            }
            if !one.storing.is_empty() {
                let numbers: Vec<u64> = one.storing.iter().copied().collect();
                one.outbox.end_store(&numbers, is_done);
            }
        }
        let mut failing = self.failing_since.lock().unwrap_or_else(PoisonError::into_inner);
        if is_done {
            *failing = None;
        } else {
            self.failures.fetch_add(1, Ordering::Relaxed);
            failing.get_or_insert_with(|| self.clock.monotonic());
        }
        let since = failing.map(|since| self.clock.monotonic().saturating_sub(since));
        drop(failing);
        if let Some(outboxes) = &self.outboxes {
            outboxes.set_degraded(since.is_some_and(|since| since >= outboxes.store_patience()));
        }
    }

    /// Notes again what was not stored, unless something newer is noted.
    fn give_back(&self, changes: &[Change]) {
        let mut pending = self.lock();
        // A topic that was removed meanwhile takes its older states with it.
        let removed = pending.removed_topics.clone();
        let mut records = VecDeque::new();
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
                Change::Record(record) => {
                    records.push_back(Arc::clone(record));
                    continue;
                }
                Change::Enqueue(_) | Change::Dequeue { .. } => continue,
            };
            if !removed.contains(topic) {
                pending.states.entry((topic.clone(), id.clone())).or_insert(state);
            }
        }
        records.append(&mut pending.records);
        let lost = records.len().saturating_sub(self.records_max);
        records.drain(..lost);
        self.records_dropped.fetch_add(lost as u64, Ordering::Relaxed);
        pending.records = records;
    }

    fn lock(&self) -> MutexGuard<'_, Pending> {
        self.pending.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The lines of the history that wait.
impl Place for Arc<Writer> {
    fn load(&self) -> Option<Load> {
        let moved = self.written.load(Ordering::Relaxed);
        Some(Load { used: self.lock().records.len(), most: self.records_max, moved })
    }

    fn room(&self) -> &Room {
        &self.room
    }

    fn tell_slow(&self) {
        tracing::warn!(
            "the store is too slow for the history of alerts; its oldest lines may be lost"
        );
    }
}

/// Puts what belongs to one event together: first what removes topics, then events, then the history.
fn by_event(one: &Change, other: &Change) -> Order {
    place(one).cmp(&place(other))
}

fn place(change: &Change) -> (u8, &str, &str) {
    match change {
        Change::RemoveTopic { topic } => (0, topic, ""),
        Change::Enqueue(StoredEntry { topic, entry, .. }) => (1, topic, &entry.event.id),
        Change::Save(StoredState { topic, id, .. }) | Change::Remove { topic, id } => {
            (1, topic, id)
        }
        // In the order of what happened.
        Change::Record(_) => (2, "", ""),
        Change::Dequeue { .. } => (3, "", ""),
    }
}

fn is_same_event(one: &Change, other: &Change) -> bool {
    let place = place(one);
    place.0 == 1 && place == self::place(other)
}

/// Tells the outboxes which of their entries are stored.
fn end_entries(changes: &[Change], taken: &mut [Taken]) {
    let mut stored: HashMap<(&Str, &Str), Vec<u64>, RandomState> = HashMap::default();
    for change in changes {
        if let Change::Enqueue(StoredEntry { topic, handler, entry }) = change {
            stored.entry((topic, handler)).or_default().push(entry.number);
        }
    }
    for Taken { outbox, storing, .. } in taken {
        if let Some(numbers) = stored.remove(&(&outbox.topic, &outbox.handler)) {
            for number in &numbers {
                storing.remove(number);
            }
            outbox.end_store(&numbers, true);
        }
    }
}

#[cfg(test)]
mod tests;
