//! Delivers what waits in an outbox: one event at a time, or some where the handler takes them.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use futures_util::FutureExt as _;
use levada_runtime::Backoff;

use super::Outbox;
use super::queue::Taken;
use crate::event::Event;
use crate::topics::queue::{HandlerError, HandlerSetup};

enum Step {
    Send(Arc<HandlerSetup>, Vec<Taken>),
    Tick(Arc<HandlerSetup>),
    /// Nothing to do until somebody wakes it, or until so long has passed.
    Wait(Option<Duration>),
    End,
}

/// Gives events to a handler.
async fn handle(setup: &HandlerSetup, taken: &[Taken]) -> Result<(), HandlerError> {
    if let [one] = taken {
        return setup.handler.handle(&one.event).await;
    }
    let events: Vec<&Event> = taken.iter().map(|taken| &*taken.event).collect();
    setup.handler.handle_all(&events).await
}

// === impl Outbox ===

impl Outbox {
    pub(super) async fn run(self: Arc<Self>) {
        loop {
            match self.next_step() {
                Step::Send(setup, taken) => self.send(&setup, &taken).await,
                Step::Tick(setup) => self.tick(&setup).await,
                Step::Wait(None) => self.wake.notified().await,
                Step::Wait(Some(pause)) => tokio::select! {
                    () = self.wake.notified() => {}
                    () = self.clock.sleep(pause) => {}
                },
                Step::End => return,
            }
        }
    }

    fn next_step(&self) -> Step {
        let now = self.clock.monotonic();
        let mut state = self.lock();
        let end = |state: &mut super::State| {
            // Under the lock, so that a handler that comes back starts a new worker.
            state.worker = None;
            self.idle.send_replace(true);
            Step::End
        };
        let Some(setup) = state.setup.clone().filter(|_| !state.is_stopping) else {
            return end(&mut state);
        };
        if state.tick_at.is_some_and(|at| at <= now) {
            state.tick_at = setup.handler.interval().map(|interval| now + interval);
            return Step::Tick(setup);
        }
        if now < state.pause_until {
            let until = state.tick_at.map_or(state.pause_until, |at| at.min(state.pause_until));
            return Step::Wait(Some(until - now));
        }
        let (any, most) = (self.is_degraded.load(Ordering::Relaxed), setup.handler.events_max());
        let taken = state.queue.take_some(now, any, most);
        if !taken.is_empty() {
            return Step::Send(setup, taken);
        }
        if !state.is_attached {
            if state.queue.is_empty() {
                return end(&mut state);
            }
            if state.queue.is_all_held() {
                // Nothing more comes: what was gathered goes out now.
                return Step::Tick(setup);
            }
        }
        let due = state.queue.next_due().into_iter().chain(state.tick_at).min();
        Step::Wait(due.map(|due| due.saturating_sub(now)))
    }

    async fn send(&self, setup: &HandlerSetup, taken: &[Taken]) {
        let retried = taken.iter().filter(|taken| taken.attempts > 0).count();
        self.counters.retried.fetch_add(retried as u64, Ordering::Relaxed);
        let timeout = self.settings.attempt_timeout;
        let work = AssertUnwindSafe(handle(setup, taken)).catch_unwind();
        let outcome = tokio::select! {
            outcome = work => {
                outcome.unwrap_or_else(|_| Err(HandlerError::new("handler panicked")))
            }
            () = self.clock.sleep(timeout) => {
                Err(HandlerError::new(format!("handler was not done within {timeout:?}")))
            }
        };
        match outcome {
            Ok(()) => self.sent(setup, taken),
            Err(error) if error.is_final && taken.len() == 1 => {
                self.counters.rejected.fetch_add(taken.len() as u64, Ordering::Relaxed);
                self.counters.failed.fetch_add(taken.len() as u64, Ordering::Relaxed);
                taken.iter().for_each(|taken| self.log_error(&taken.event.id, &error));
                self.answered();
                let mut state = self.lock();
                taken.iter().for_each(|taken| state.queue.finish(taken.number));
            }
            Err(error) => self.failed(taken, &error),
        }
        self.dirty.notify_one();
    }

    fn sent(&self, setup: &HandlerSetup, taken: &[Taken]) {
        self.counters.sent.fetch_add(taken.len() as u64, Ordering::Relaxed);
        self.answered();
        let mut state = self.lock();
        for taken in taken {
            match setup.handler.interval() {
                // It only gathers: what it has is sent with the next tick.
                Some(_) => state.queue.hold(taken.number),
                None => state.queue.finish(taken.number),
            }
        }
    }

    /// Notes that the receiver is there.
    fn answered(&self) {
        let mut state = self.lock();
        if state.streak > 0 {
            let (topic, handler, failed) = (&*self.topic, &*self.handler, state.streak);
            tracing::info!(topic, handler, failed, "events are delivered again");
        }
        state.streak = 0;
        self.is_away.store(false, Ordering::Relaxed);
    }

    fn failed(&self, taken: &[Taken], error: &HandlerError) {
        self.counters.failed.fetch_add(taken.len() as u64, Ordering::Relaxed);
        let first = taken.first().map_or(0, |taken| taken.number);
        let now = self.clock.monotonic();
        let mut state = self.lock();
        state.streak = state.streak.saturating_add(1);
        let streak = state.streak;
        let asked = error.retry_after.map(|after| after.min(self.settings.retry_after_max));
        let of_handler = asked.unwrap_or_else(|| self.delay(streak, first));
        state.pause_until = now + of_handler;
        self.is_away.store(true, Ordering::Relaxed);
        // With the handler, so that order among the events of an ID is that of the queue.
        for Taken { number, attempts, .. } in taken {
            let of_entry = asked.unwrap_or_else(|| self.delay(attempts.saturating_add(1), *number));
            state.queue.fail(*number, now + of_entry);
        }
        if state.gives_up {
            let count = state.queue.clear();
            self.counters.abandoned.fetch_add(count, Ordering::Relaxed);
        }
        drop(state);
        // The first failure, then ever more rarely: the counters tell the rest.
        if streak.is_power_of_two() {
            let (topic, handler, context) = (&*self.topic, &*self.handler, &error.context);
            let event = taken.first().map_or("", |taken| &*taken.event.id);
            tracing::warn!(topic, handler, event, failed = streak, %error, ?context,
                "failed to handle event; it is tried again");
        }
    }

    /// Gives the delay behind the n-th failure.
    fn delay(&self, failures: u32, seed: u64) -> Duration {
        let mut backoff = Backoff::new(self.settings.backoff, seed ^ self.seed());
        let mut delay = self.settings.backoff.initial;
        // Delays stop growing long before.
        for _ in 0..failures.clamp(1, 32) {
            delay = backoff.next_delay().unwrap_or(self.settings.backoff.max);
        }
        delay
    }

    /// Gives what makes the jitter of two handlers differ.
    fn seed(&self) -> u64 {
        let names = self.topic.bytes().chain(self.handler.bytes());
        // FNV-1a.
        names.fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
            (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
        })
    }

    async fn tick(&self, setup: &HandlerSetup) {
        let outcome = AssertUnwindSafe(setup.handler.tick()).catch_unwind().await;
        let outcome = outcome.unwrap_or_else(|_| Err(HandlerError::new("handler panicked")));
        let mut state = self.lock();
        match outcome {
            Ok(()) => drop(state.queue.finish_held()),
            Err(error) => {
                state.queue.release_held();
                state.pause_until = self.clock.monotonic() + self.delay(1, 0);
                drop(state);
                self.log_error("", &error);
            }
        }
        self.dirty.notify_one();
    }

    fn log_error(&self, event: &str, error: &HandlerError) {
        let (topic, handler, context) = (&*self.topic, &*self.handler, &error.context);
        tracing::error!(topic, handler, event, %error, ?context, "failed to handle event");
    }
}
