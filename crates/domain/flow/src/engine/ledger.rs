//! What is under way, and up to where everything is finished.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use levada_model::ack::Unfinished;
use levada_model::{Ack, AckTracker, Position, RecordBatch, Str};
use tokio::sync::Notify;

/// The tracker of a source, shared between the reader and the committer.
pub(super) struct Ledger {
    state: Mutex<State>,
    /// Woken when an origin finishes.
    pub(super) finished: Arc<Notify>,
}

struct State {
    tracker: AckTracker,
    /// Finished positions that are not stored yet.
    ready: BTreeMap<Str, Position>,
}

// Finished origins behind an unfinished one cost memory too; a source waits at this many.
const ORIGINS_MAX: usize = 65_536;

impl Ledger {
    /// Makes an empty ledger.
    pub(super) fn new() -> Arc<Self> {
        let finished = Arc::new(Notify::new());
        let wake = finished.clone();
        let tracker = AckTracker::new(Arc::new(move || wake.notify_one()));
        let state = Mutex::new(State { tracker, ready: BTreeMap::new() });
        Arc::new(Ledger { state, finished })
    }

    /// Registers the origins of a batch and gives them their counters.
    pub(super) fn register(&self, batch: &mut RecordBatch, counts: &mut Vec<u64>) {
        batch.count_by_origin(counts);
        let bytes = batch.text.len() as u64 / (batch.origins.len() as u64).max(1);
        let mut state = self.lock();
        for (origin, &count) in batch.origins.iter_mut().zip(counts.iter()) {
            let position = origin.position.clone();
            origin.ack = Some(state.tracker.begin(&origin.partition, position, count, bytes));
        }
    }

    /// Gives how much is under way.
    pub(super) fn unfinished(&self) -> Unfinished {
        let mut state = self.lock();
        state.collect();
        state.tracker.unfinished()
    }

    /// See [`AckTracker::is_settled`].
    pub(super) fn is_settled(&self, own: &[(Ack, u64)]) -> bool {
        self.lock().tracker.is_settled(own)
    }

    /// Tells whether the source must wait.
    pub(super) fn is_full(&self, records_max: u64, bytes_max: u64) -> bool {
        let unfinished = self.unfinished();
        unfinished.records >= records_max
            || unfinished.bytes >= bytes_max
            || unfinished.origins >= ORIGINS_MAX
    }

    /// Gives the positions up to which everything is finished and that were not given before.
    pub(super) fn take_ready(&self) -> BTreeMap<Str, Position> {
        let mut state = self.lock();
        state.collect();
        std::mem::take(&mut state.ready)
    }

    /// Takes positions back that could not be stored; newer ones win.
    pub(super) fn put_back(&self, positions: BTreeMap<Str, Position>) {
        let mut state = self.lock();
        for (partition, position) in positions {
            state.ready.entry(partition).or_insert(position);
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn collect(&mut self) {
        for (partition, position) in self.tracker.advance() {
            self.ready.insert(partition, position);
        }
    }
}
