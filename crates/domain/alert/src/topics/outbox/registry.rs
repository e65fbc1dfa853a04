//! All outboxes.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use levada_model::{Str, Timestamp};
use levada_runtime::Clock;
use tokio::sync::Notify;

use super::{Outbox, OutboxEntry, OutboxSettings, OutboxStats};
use crate::topics::Map;
use crate::topics::TopicsDeps;
use crate::topics::queue::HandlerSetup;

pub(in crate::topics) struct Outboxes {
    pub(super) settings: Arc<OutboxSettings>,
    pub(super) clock: Arc<dyn Clock>,
    /// Wakes who writes to the store.
    pub(in crate::topics) dirty: Arc<Notify>,
    pub(super) is_degraded: Arc<AtomicBool>,
    all: Mutex<All>,
}

#[derive(Default)]
struct All {
    boxes: Map<(Str, Str), Arc<Outbox>>,
    /// What outboxes counted that are gone.
    past: OutboxStats,
}

// === impl Outboxes ===

impl Outboxes {
    pub(in crate::topics) fn new(settings: OutboxSettings, clock: Arc<dyn Clock>) -> Self {
        Outboxes {
            settings: Arc::new(settings),
            clock,
            dirty: Arc::new(Notify::new()),
            is_degraded: Arc::new(AtomicBool::new(false)),
            all: Mutex::default(),
        }
    }

    /// Gives a handler its outbox, with what still waits in it.
    pub(in crate::topics) fn attach(
        &self,
        topic: &Str,
        setup: HandlerSetup,
        deps: &TopicsDeps,
    ) -> Arc<Outbox> {
        // Under the lock, so that no upkeep forgets it in between.
        let mut all = self.lock();
        let outbox = self.of(&mut all, topic, &setup.id);
        outbox.attach(setup, deps);
        outbox
    }

    pub(in crate::topics) fn restore(&self, topic: &Str, handler: &Str, entry: OutboxEntry) {
        let outbox = self.of(&mut self.lock(), topic, handler);
        outbox.restore(entry);
    }

    fn of(&self, all: &mut All, topic: &Str, handler: &Str) -> Arc<Outbox> {
        let key = (Str::clone(topic), Str::clone(handler));
        let new = || Arc::new(Outbox::new(Str::clone(topic), Str::clone(handler), self));
        Arc::clone(all.boxes.entry(key).or_insert_with(new))
    }

    pub(in crate::topics) fn all(&self) -> Vec<Arc<Outbox>> {
        self.lock().boxes.values().cloned().collect()
    }

    /// Gives the sums.
    pub(in crate::topics) fn stats(&self) -> OutboxStats {
        let all = self.lock();
        let mut sum = all.past;
        all.boxes.values().for_each(|outbox| sum.add(&outbox.stats()));
        sum
    }

    /// Drops what is too old, and forgets outboxes that nobody needs.
    pub(in crate::topics) fn tidy(&self, now: Timestamp) {
        self.all().iter().for_each(|outbox| outbox.expire(now));
        let mut all = self.lock();
        let All { boxes, past } = &mut *all;
        boxes.retain(|_, outbox| {
            let is_finished = outbox.is_finished();
            if is_finished {
                past.add(&outbox.stats());
            }
            !is_finished
        });
    }

    pub(in crate::topics) fn store_patience(&self) -> Duration {
        self.settings.store_patience
    }

    /// Says whether entries are sent before they are stored.
    pub(in crate::topics) fn set_degraded(&self, is_degraded: bool) {
        let was = self.is_degraded.swap(is_degraded, Ordering::Relaxed);
        if is_degraded && !was {
            tracing::error!("alerts are sent without being stored first: the store fails");
        }
        if is_degraded != was {
            self.all().iter().for_each(|outbox| outbox.nudge());
        }
    }

    fn lock(&self) -> MutexGuard<'_, All> {
        self.all.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
