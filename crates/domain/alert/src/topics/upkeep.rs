//! What topics do by themselves, and how they end.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use levada_model::{Str, Timestamp};
use levada_runtime::{Clock as _, SystemClock, TaskKind};

use super::queue::Worker;
use super::topic::Topic;
use super::{Topics, Transition};

/// How long the store is left alone after it failed. Ours.
const STORE_PAUSE: Duration = Duration::from_millis(200);

/// How long events gather while the store is busy. Ours: a transaction costs as much as some tens of events, and who is
/// alerted does not notice.
const GATHER: Duration = Duration::from_millis(20);

// === impl Topics ===

impl Topics {
    /// Ends all handlers and writes what waits for the store; gives how many events were lost when `within` had passed.
    ///
    /// Queues in memory are emptied first. What waits in outboxes is stored and goes on with the next start.
    pub async fn shut_down(&self, within: Duration) -> u64 {
        let topics: Vec<Arc<Topic>> = self.read_topics().values().cloned().collect();
        let deadline = self.0.deps.clock.sleep(within);
        tokio::pin!(deadline);
        if let Some(outboxes) = &self.0.outboxes {
            let all = outboxes.all();
            all.iter().for_each(|outbox| outbox.stop());
            for outbox in &all {
                tokio::select! {
                    () = outbox.ended() => {}
                    () = &mut deadline => break,
                }
            }
            all.iter().for_each(|outbox| outbox.abort());
            self.flush().await;
            return 0;
        }
        let workers: Vec<Worker> = topics.iter().flat_map(|topic| topic.close(false)).collect();
        for worker in &workers {
            tokio::select! {
                () = worker.drained() => {}
                () = &mut deadline => break,
            }
        }
        let abandoned = workers.iter().map(Worker::abandon).sum();
        if abandoned > 0 {
            tracing::error!(abandoned, "events were abandoned by their handlers on shutdown");
        }
        self.flush().await;
        abandoned
    }

    /// Writes what waits for the store; what cannot be written keeps waiting. Says whether it was written.
    ///
    /// Everything published before the call is stored when it says yes: call it before the state of tasks is saved, so
    /// that no task remembers to have told what is not stored.
    pub async fn flush(&self) -> bool {
        let Some(writer) = &self.0.writer else { return true };
        match writer.flush().await {
            Ok(()) => true,
            Err(error) => {
                tracing::warn!(%error, "failed to store topic states");
                false
            }
        }
    }

    /// Starts what forgets and reports by itself; it ends with the last clone.
    pub(super) fn start_upkeep(&self) {
        let inner = Arc::downgrade(&self.0);
        let (clock, interval) = (Arc::clone(&self.0.deps.clock), self.0.settings.flush_interval);
        let entered = self.0.deps.runtime.enter();
        self.0.deps.tasks.spawn(TaskKind::Alert, "topic upkeep", async move {
            loop {
                clock.sleep(interval).await;
                let Some(inner) = inner.upgrade() else { return };
                let topics = Topics(inner);
                if topics.0.outboxes.is_none() {
                    topics.flush().await;
                }
                topics.make_details().await;
                topics.forget_ok();
                topics.report_stale();
                if let Some(outboxes) = &topics.0.outboxes {
                    outboxes.tidy(clock.now());
                }
            }
        });
        drop(entered);
    }

    /// Starts what stores outboxes as soon as something waits there; what comes while it writes is written together. In a
    /// flood it waits a moment first: many events then share a transaction.
    pub(super) fn start_writing(&self) {
        let Some(outboxes) = &self.0.outboxes else { return };
        let dirty = Arc::clone(&outboxes.dirty);
        let inner = Arc::downgrade(&self.0);
        let (clock, interval) = (Arc::clone(&self.0.deps.clock), self.0.settings.flush_interval);
        let machine = SystemClock::new();
        let entered = self.0.deps.runtime.enter();
        self.0.deps.tasks.spawn(TaskKind::Alert, "outbox writer", async move {
            loop {
                tokio::select! {
                    () = dirty.notified() => {}
                    () = clock.sleep(interval) => {}
                }
                let Some(inner) = inner.upgrade() else { return };
                let topics = Topics(inner);
                if topics.0.writer.as_ref().is_some_and(|writer| writer.is_busy()) {
                    // Real time: a clock of a test may stand still.
                    machine.sleep(GATHER).await;
                }
                if !topics.flush().await {
                    clock.sleep(STORE_PAUSE).await;
                    dirty.notify_one();
                }
            }
        });
        drop(entered);
    }

    /// Makes the details that nobody has read yet, so that event states let go of the points they were made from.
    pub(super) async fn make_details(&self) {
        for topic in self.all_topics() {
            while topic.make_details() {
                tokio::task::yield_now().await;
            }
        }
    }

    /// Forgets events that have been OK for longer than the settings say.
    pub fn forget_ok(&self) {
        let before = self.before(self.0.settings.ok_retention);
        self.all_topics().iter().for_each(|topic| topic.forget_ok(before));
    }

    /// Reports events that were not OK before the start and that nobody has spoken of since; forgets old ones.
    ///
    /// A stale event does not count for the level of its topic, but is remembered, so that a group that comes back still
    /// gets its recovery. Topics of tasks that do not run are left alone.
    pub fn report_stale(&self) {
        let (before, long_before) = (
            self.before(self.0.settings.stale_after),
            self.before(self.0.settings.stale_retention),
        );
        let now = self.0.deps.clock.now();
        for topic in self.all_topics().iter().filter(|topic| !topic.is_closed()) {
            for (id, state) in topic.mark_stale(before) {
                let (name, level) = (&*topic.id, state.level);
                tracing::warn!(topic = name, event = &*id, %level,
                    "an event that was not OK has not been heard of since the start");
                self.0.stale_reported.fetch_add(1, Ordering::Relaxed);
                if self.0.settings.keeps_history
                    && let Some(writer) = &self.0.writer
                {
                    writer.record(Transition {
                        at: now,
                        topic: topic.id.clone(),
                        id,
                        task: Str::from(""),
                        level: state.level,
                        previous: state.level,
                        message: state.message,
                        time: state.time,
                        duration: state.duration,
                        silence: None,
                        is_stale: true,
                    });
                }
            }
            for id in topic.forget_stale(long_before) {
                if let Some(writer) = &self.0.writer {
                    writer.set(&topic.id, &id, None);
                }
            }
        }
    }

    fn before(&self, retention: Duration) -> i64 {
        let retention = i64::try_from(retention.as_nanos()).unwrap_or(i64::MAX);
        let Timestamp(now) = self.0.deps.clock.now();
        now.saturating_sub(retention)
    }

    fn all_topics(&self) -> Vec<Arc<Topic>> {
        self.read_topics().values().cloned().collect()
    }
}
