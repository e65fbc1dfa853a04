//! The driver of one query.

use std::collections::VecDeque;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use levada_clients::influxdb::InfluxDb;
use levada_influxql::Schedule;
use levada_model::{Str, Timestamp};
use levada_runtime::TaskKind;

use super::known::Known;
use super::{CatchUp, Counters, QuerySettings, ask};
use crate::engine::input::{Inbox, Input};
use crate::engine::side::{Closing, SideDeps};
use crate::nodes::query::plan::QueryPlan;

/// The longest sleep: the time of day may be set meanwhile.
const SLEEP_MAX: Duration = Duration::from_secs(60);
/// Lost ticks of cron that are counted one by one; of more, the rest counts as one.
const CRON_LOST_MAX: u64 = 10_000;

/// Drives one query.
pub(super) struct Driver {
    pub(super) deps: SideDeps,
    pub(super) closing: Closing,
    pub(super) counters: Arc<Counters>,
    /// The place of the node.
    pub(super) place: usize,
    pub(super) plan: Arc<QueryPlan>,
    pub(super) client: Arc<dyn InfluxDb>,
    pub(super) settings: QuerySettings,
}

/// An execution; it gives back what is known of series.
type Execution<'d> = Pin<Box<dyn Future<Output = Known> + Send + 'd>>;

// === impl Driver ===

impl Driver {
    /// Asks at every tick until the task ends.
    pub(super) async fn run(self) {
        let mut next = self.first();
        let mut waiting = VecDeque::new();
        let mut known = Known::default();
        let mut running: Option<Execution<'_>> = None;
        while self.deps.inbox.is_open() {
            // An execution that starts at once does not wait in the row.
            let room = self.waiting_max() + usize::from(running.is_none());
            next = self.take_due(next, &mut waiting, room);
            if running.is_none()
                && let Some(tick) = waiting.pop_front()
            {
                running = Some(Box::pin(self.execute(tick, std::mem::take(&mut known))));
            }
            // With a full row there is nothing to do before the query ends: ticks are counted then.
            let may_wait = waiting.len() < self.waiting_max();
            let sleep = self.sleep(next.filter(|_| may_wait));
            let execution = async {
                match &mut running {
                    Some(running) => running.await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                biased;
                () = self.closing.started() => return,
                done = execution => {
                    known = done;
                    // What came while it ran waits or is lost; only then there is room for one more.
                    next = self.take_due(next, &mut waiting, self.waiting_max());
                    running = None;
                    self.counters.is_running.store(false, Ordering::Relaxed);
                }
                () = sleep => {}
            }
        }
    }

    fn first(&self) -> Option<Timestamp> {
        self.plan.schedule.first(self.deps.clock.now(), &self.settings.zone)
    }

    /// How many ticks wait while a query runs.
    fn waiting_max(&self) -> usize {
        match (self.settings.catch_up, &self.plan.schedule) {
            (CatchUp::All(max), _) => max.max(1),
            (CatchUp::None, Schedule::Every { align: true, .. }) => 2,
            (CatchUp::None, _) => 1,
        }
    }

    /// Puts the ticks that are due into the row, at most `room`; gives the next tick.
    fn take_due(
        &self,
        mut next: Option<Timestamp>,
        waiting: &mut VecDeque<Timestamp>,
        room: usize,
    ) -> Option<Timestamp> {
        let now = self.deps.clock.now();
        while let Some(tick) = next
            && tick <= now
        {
            if waiting.len() >= room {
                let (lost, after) = self.skip(tick, now);
                Counters::add(&self.counters.ticks_lost, lost);
                return after;
            }
            waiting.push_back(tick);
            next = self.plan.schedule.next(tick, &self.settings.zone);
        }
        // The time of day was set back: an interval is never longer than itself.
        if let (Schedule::Every { every, .. }, Some(tick)) = (&self.plan.schedule, next)
            && tick.0.saturating_sub(now.0) > *every
        {
            return self.first();
        }
        next
    }

    /// Counts the ticks from `tick` to `now`, and gives the one after.
    fn skip(&self, tick: Timestamp, now: Timestamp) -> (u64, Option<Timestamp>) {
        match &self.plan.schedule {
            // Counted at once: an interval may be a nanosecond.
            Schedule::Every { every, .. } => {
                let steps = now.0.saturating_sub(tick.0) / every + 1;
                let after = every.checked_mul(steps).and_then(|ahead| tick.0.checked_add(ahead));
                (steps as u64, after.map(Timestamp))
            }
            schedule @ Schedule::Cron(_) => {
                let (mut lost, mut next) = (0, Some(tick));
                while let Some(tick) = next
                    && tick <= now
                {
                    lost += 1;
                    if lost > CRON_LOST_MAX {
                        return (lost, schedule.first(now, &self.settings.zone));
                    }
                    next = schedule.next(tick, &self.settings.zone);
                }
                (lost, next)
            }
        }
    }

    /// Sleeps until a time, or for a while; for ever without one.
    async fn sleep(&self, until: Option<Timestamp>) {
        let Some(until) = until else { return std::future::pending().await };
        let left = until.0.saturating_sub(self.deps.clock.now().0);
        let left = Duration::from_nanos(u64::try_from(left).unwrap_or(0));
        self.deps.clock.sleep(left.min(SLEEP_MAX)).await;
    }

    async fn execute(&self, tick: Timestamp, mut known: Known) -> Known {
        self.counters.is_running.store(true, Ordering::Relaxed);
        let text = match ask::fetch(&self.plan, tick, &*self.client).await {
            Ok(text) => text,
            Err(error) => {
                Counters::add(&self.counters.failed, 1);
                self.fail("error executing query", error.to_string().into());
                return known;
            }
        };
        let reader = Reader {
            inbox: Arc::clone(&self.deps.inbox),
            counters: Arc::clone(&self.counters),
            place: self.place,
            plan: Arc::clone(&self.plan),
            settings: self.settings.clone(),
            tick,
        };
        // A thread of its own: reading takes time, and a task with a full queue makes who hands in wait.
        let read = move || {
            reader.read(&text, &mut known);
            known
        };
        let thread = self.deps.tasks.spawn_thread(TaskKind::Source, "answer of a query", read);
        match thread.await {
            Ok(known) => known,
            Err(_) => {
                Counters::add(&self.counters.failed, 1);
                self.fail("error executing query", "reading the answer panicked".into());
                Known::default()
            }
        }
    }

    fn fail(&self, message: &str, cause: Str) {
        fail(&*self.deps.inbox, self.place, message, cause);
    }
}

/// Reads an answer and hands its batches in.
struct Reader {
    inbox: Arc<dyn Inbox>,
    counters: Arc<Counters>,
    place: usize,
    plan: Arc<QueryPlan>,
    settings: QuerySettings,
    tick: Timestamp,
}

// === impl Reader ===

impl Reader {
    fn read(&self, text: &str, known: &mut Known) {
        let counters = &*self.counters;
        let asked = match ask::read(&self.plan, self.tick, text, &self.settings, known) {
            Ok(asked) => asked,
            Err(error) => {
                Counters::add(&counters.failed, 1);
                let cause = error.to_string().into();
                return fail(&*self.inbox, self.place, "error executing query", cause);
            }
        };
        Counters::add(&counters.answered, 1);
        Counters::add(&counters.results_failed, asked.problems.len() as u64);
        for problem in asked.problems {
            let message = "failed to understand query result";
            fail(&*self.inbox, self.place, message, problem.into());
        }
        let batches = asked.batches;
        if batches.is_empty() {
            return;
        }
        let (count, points) = (batches.len(), batches.iter().map(|batch| batch.points.len()).sum());
        let points: usize = points;
        if self.inbox.push(Input::Batches { place: self.place, batches }) {
            Counters::add(&counters.batches, count as u64);
            Counters::add(&counters.points, points as u64);
        } else {
            Counters::add(&counters.batches_lost, count as u64);
            let cause = format!("the queue of the task has no room for {points} points");
            fail(&*self.inbox, self.place, "failed to hand in query result", cause.into());
        }
    }
}

fn fail(inbox: &dyn Inbox, place: usize, message: &str, cause: Str) {
    // A task that is gone needs to hear nothing.
    let _is_heard = inbox.push(Input::QueryFailed { place, message: message.into(), cause });
}
