//! Outboxes: what waits for a handler, stored before it is sent and kept until it is delivered.
//!
//! ```text
//! publish ─▶ queue ─▶ store (with the state of the event, in one transaction) ─▶ worker ─▶ handler
//!              ▲                                                                   │ failed: back-off, Retry-After
//!              └───────────────────────────────────────────────────────────────────┘
//! ```
//!
//! Invariants:
//! - An entry is delivered at least once, in order per event ID, unless it is dropped by a bound, by its age or by the
//!   removal of its handler: each of them is counted.
//! - While the receiver is away the newest entry of an event ID supersedes older ones, except recoveries that are owed.
//! - One entry that fails does not hold up those of other event IDs.
//! - A store that fails delays entries for a while ([`OutboxSettings::store_patience`]), then they are sent without it.

mod queue;
mod registry;
mod settings;
mod worker;

use std::panic::AssertUnwindSafe;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use levada_model::{Str, Timestamp};
use levada_runtime::{Clock, TaskKind};
use tokio::sync::{Notify, watch};
use tokio::task::AbortHandle;

use super::TopicsDeps;
use super::queue::{HandlerSetup, HandlerStats};
use super::room::{Load, Place, Room};
use crate::event::Event;
pub use queue::OutboxEntry;
use queue::Queue;
pub(super) use registry::Outboxes;
pub use settings::{ENTRIES_MAX_DEFAULT, OutboxSettings, Overflow, RECOVERIES_MAX_DEFAULT};

/// The numbers of an outbox, or of all of them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct OutboxStats {
    /// Events that were taken.
    pub accepted: u64,
    /// Events that were delivered.
    pub sent: u64,
    /// Attempts beside the first of each event.
    pub retried: u64,
    /// Attempts that failed.
    pub failed: u64,
    /// Events that the receiver refused for good.
    pub rejected: u64,
    /// Events that newer ones superseded.
    pub coalesced: u64,
    /// Events lost because there were too many.
    pub dropped: u64,
    /// Events given up because they were too old.
    pub expired: u64,
    /// Events given up because their handler was removed.
    pub abandoned: u64,
    /// Events that the `match` expression did not want.
    pub unmatched: u64,
    /// Events that the `match` expression failed on.
    pub unmatchable: u64,
    /// Events that wait.
    pub waiting: u64,
}

#[derive(Debug, Default)]
pub(super) struct Counters {
    accepted: AtomicU64,
    sent: AtomicU64,
    retried: AtomicU64,
    failed: AtomicU64,
    rejected: AtomicU64,
    coalesced: AtomicU64,
    dropped: AtomicU64,
    expired: AtomicU64,
    abandoned: AtomicU64,
    unmatched: AtomicU64,
    unmatchable: AtomicU64,
}

/// What waits for one handler of one topic.
pub(super) struct Outbox {
    pub(super) topic: Str,
    pub(super) handler: Str,
    settings: Arc<OutboxSettings>,
    clock: Arc<dyn Clock>,
    state: Mutex<State>,
    /// Wakes the worker.
    wake: Notify,
    /// Wakes who writes to the store.
    dirty: Arc<Notify>,
    /// The store has failed for long.
    is_degraded: Arc<AtomicBool>,
    /// The receiver did not take the last event.
    is_away: AtomicBool,
    counters: Counters,
    room: Room,
    /// Whether no worker runs.
    idle: watch::Sender<bool>,
}

#[derive(Default)]
struct State {
    queue: Queue,
    setup: Option<Arc<HandlerSetup>>,
    /// A topic holds it; otherwise the worker ends when nothing waits.
    is_attached: bool,
    /// The handler was removed: nothing is tried again.
    gives_up: bool,
    is_stopping: bool,
    worker: Option<AbortHandle>,
    /// Attempts that failed since the last success.
    streak: u32,
    pause_until: Duration,
    tick_at: Option<Duration>,
}

/// What became of an event that was offered to a handler.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Offer {
    Queued,
    Unwanted,
    Lost,
}

// === impl OutboxStats ===

impl OutboxStats {
    /// Adds the numbers of another one.
    pub fn add(&mut self, other: &OutboxStats) {
        self.accepted += other.accepted;
        self.sent += other.sent;
        self.retried += other.retried;
        self.failed += other.failed;
        self.rejected += other.rejected;
        self.coalesced += other.coalesced;
        self.dropped += other.dropped;
        self.expired += other.expired;
        self.abandoned += other.abandoned;
        self.unmatched += other.unmatched;
        self.unmatchable += other.unmatchable;
        self.waiting += other.waiting;
    }
}

// === impl Outbox ===

impl Outbox {
    fn new(topic: Str, handler: Str, all: &Outboxes) -> Self {
        Outbox {
            topic,
            handler,
            settings: Arc::clone(&all.settings),
            clock: Arc::clone(&all.clock),
            state: Mutex::default(),
            wake: Notify::new(),
            dirty: Arc::clone(&all.dirty),
            is_degraded: Arc::clone(&all.is_degraded),
            is_away: AtomicBool::new(false),
            counters: Counters::default(),
            room: Room::default(),
            idle: watch::Sender::new(true),
        }
    }

    /// Gives it a handler, in place of the one it had; starts the worker unless it runs.
    pub(super) fn attach(self: &Arc<Self>, setup: HandlerSetup, deps: &TopicsDeps) {
        let mut state = self.lock();
        state.tick_at = setup.handler.interval().map(|interval| self.clock.monotonic() + interval);
        state.setup = Some(Arc::new(setup));
        (state.is_attached, state.gives_up) = (true, false);
        // The new handler may reach what the old one did not; what the old one gathered is lost with it.
        (state.streak, state.pause_until) = (0, Duration::ZERO);
        state.queue.release_held();
        self.is_away.store(false, Ordering::Relaxed);
        if state.worker.is_none() && !state.is_stopping {
            self.idle.send_replace(false);
            let name = format!("handler {} of topic {}", self.handler, self.topic);
            let entered = deps.runtime.enter();
            let run = Arc::clone(self).run();
            let task = deps.tasks.spawn(TaskKind::Alert, &name, run);
            drop(entered);
            state.worker = Some(task.abort_handle());
        }
        drop(state);
        self.wake.notify_one();
    }

    /// Says that no topic holds it any more: the worker ends when nothing waits, with `gives_up` at the first failure, too.
    pub(super) fn detach(&self, gives_up: bool) {
        let mut state = self.lock();
        state.is_attached = false;
        state.gives_up = gives_up;
        if gives_up && state.streak > 0 {
            let count = state.queue.clear();
            self.counters.abandoned.fetch_add(count, Ordering::Relaxed);
        }
        drop(state);
        self.wake.notify_one();
        self.dirty.notify_one();
    }

    /// Takes an event, unless its handler does not want it; never waits.
    pub(super) fn offer(&self, event: &Arc<Event>) -> Offer {
        let mut state = self.lock();
        let Some(setup) = state.setup.clone() else { return Offer::Unwanted };
        if setup.is_state_changes_only && event.level == event.previous_level {
            self.counters.unmatched.fetch_add(1, Ordering::Relaxed);
            return Offer::Unwanted;
        }
        if let Some(matcher) = &setup.matcher {
            let outcome = std::panic::catch_unwind(AssertUnwindSafe(|| matcher.is_match(event)));
            let is_match = outcome
                .unwrap_or_else(|_| Err(super::HandlerError::new("match expression panicked")));
            match is_match {
                Ok(true) => {}
                Ok(false) => {
                    self.counters.unmatched.fetch_add(1, Ordering::Relaxed);
                    return Offer::Unwanted;
                }
                Err(error) => {
                    self.counters.unmatchable.fetch_add(1, Ordering::Relaxed);
                    let (topic, handler, event) = (&*self.topic, &*self.handler, &*event.id);
                    tracing::error!(topic, handler, event, %error, "failed to evaluate match expression");
                    return Offer::Unwanted;
                }
            }
        }
        let is_away = self.is_away.load(Ordering::Relaxed);
        let now = self.clock.now();
        let pushed = state.queue.push(Arc::clone(event), now, is_away, &self.settings);
        drop(state);
        self.counters.accepted.fetch_add(1, Ordering::Relaxed);
        self.counters.coalesced.fetch_add(pushed.coalesced, Ordering::Relaxed);
        if pushed.dropped > 0 {
            self.dropped(pushed.dropped);
        }
        self.dirty.notify_one();
        if self.is_degraded.load(Ordering::Relaxed) {
            self.wake.notify_one();
        }
        if pushed.is_lost { Offer::Lost } else { Offer::Queued }
    }

    /// Counts events that are lost; the log hears of the first one, then ever more rarely.
    fn dropped(&self, count: u64) {
        let before = self.counters.dropped.fetch_add(count, Ordering::Relaxed);
        let now = before + count;
        if before.checked_ilog2() != now.checked_ilog2() {
            let (topic, handler) = (&*self.topic, &*self.handler);
            tracing::error!(
                topic,
                handler,
                lost = now,
                "too many events wait for a handler; some are lost"
            );
        }
    }

    /// Takes what an earlier process stored.
    pub(super) fn restore(&self, entry: OutboxEntry) {
        self.lock().queue.restore(entry);
    }

    /// Drops what is too old.
    pub(super) fn expire(&self, now: Timestamp) {
        let expiry = i64::try_from(self.settings.expiry.as_nanos()).unwrap_or(i64::MAX);
        let mut state = self.lock();
        let is_orphaned = state.setup.is_none();
        let before = Timestamp(now.0.saturating_sub(expiry));
        let count = state.queue.expire(before, is_orphaned);
        drop(state);
        if count > 0 {
            self.counters.expired.fetch_add(count, Ordering::Relaxed);
            let (topic, handler) = (&*self.topic, &*self.handler);
            tracing::error!(topic, handler, count, "events that waited too long were given up");
            self.dirty.notify_one();
            self.wake.notify_one();
        }
    }

    pub(super) fn begin_store(&self) -> Vec<OutboxEntry> {
        self.lock().queue.begin_store()
    }

    pub(super) fn end_store(&self, numbers: &[u64], is_stored: bool) {
        self.lock().queue.end_store(numbers, is_stored);
        self.wake.notify_one();
    }

    pub(super) fn take_deleted(&self) -> Vec<u64> {
        self.lock().queue.take_deleted()
    }

    pub(super) fn give_back_deleted(&self, numbers: &[u64]) {
        self.lock().queue.give_back_deleted(numbers);
    }

    pub(super) fn is_dirty(&self) -> bool {
        self.lock().queue.is_dirty()
    }

    /// Wakes the worker: entries may be sent that might not before.
    pub(super) fn nudge(&self) {
        self.wake.notify_one();
    }

    pub(super) fn stats(&self) -> OutboxStats {
        let waiting = self.lock().queue.len() as u64;
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        let counters = &self.counters;
        OutboxStats {
            accepted: read(&counters.accepted),
            sent: read(&counters.sent),
            retried: read(&counters.retried),
            failed: read(&counters.failed),
            rejected: read(&counters.rejected),
            coalesced: read(&counters.coalesced),
            dropped: read(&counters.dropped),
            expired: read(&counters.expired),
            abandoned: read(&counters.abandoned),
            unmatched: read(&counters.unmatched),
            unmatchable: read(&counters.unmatchable),
            waiting,
        }
    }

    pub(super) fn handler_stats(&self) -> HandlerStats {
        let stats = self.stats();
        HandlerStats {
            handled: stats.sent,
            unmatched: stats.unmatched,
            failed: stats.failed + stats.unmatchable,
            dropped: stats.dropped + stats.expired + stats.abandoned,
            queued: usize::try_from(stats.waiting).unwrap_or(usize::MAX),
        }
    }

    /// Lets the worker end after the attempt under way; what waits is stored.
    pub(super) fn stop(&self) {
        self.lock().is_stopping = true;
        self.wake.notify_one();
    }

    /// Ends the worker now.
    pub(super) fn abort(&self) {
        let mut state = self.lock();
        state.is_stopping = true;
        if let Some(worker) = state.worker.take() {
            worker.abort();
            self.idle.send_replace(true);
        }
    }

    /// Waits until no worker runs.
    pub(super) async fn ended(&self) {
        let mut idle = self.idle.subscribe();
        let _gone = idle.wait_for(|is_idle| *is_idle).await.is_err();
    }

    /// Says whether it can be forgotten: nobody holds it, nothing waits, nothing is to be written.
    pub(super) fn is_finished(&self) -> bool {
        let state = self.lock();
        !state.is_attached && state.worker.is_none() && state.queue.is_settled()
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Place for Outbox {
    fn load(&self) -> Option<Load> {
        if self.is_away.load(Ordering::Relaxed) {
            return None;
        }
        let state = self.lock();
        let (used, moved) = (state.queue.load(), state.queue.moved());
        drop(state);
        Some(Load { used, most: self.settings.entries_max, moved })
    }

    fn room(&self) -> &Room {
        &self.room
    }

    fn tell_slow(&self) {
        let (topic, handler) = (&*self.topic, &*self.handler);
        tracing::warn!(
            topic,
            handler,
            "a handler is too slow for its events; newer ones supersede those that wait, and the oldest may be lost"
        );
    }
}
