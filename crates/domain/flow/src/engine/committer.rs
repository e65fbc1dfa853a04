//! Stores positions behind finished records, and shows whether a flow gets on.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use levada_model::{ErrorKind, Position, Str, with_causes};
use levada_runtime::{TaskKind, Tasks, fault};
use levada_store::{Checkpoint, CheckpointStore};
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinHandle;
use tracing::{info, warn};

use super::processor::{Deps, Shared, panicked};
use super::report::FlowError;
use super::writer::SyncRequest;
use crate::spec::Flow;

/// How often a commit that waits is looked at, at most.
const SHOW_INTERVAL_MIN: Duration = Duration::from_secs(1);

/// What the committer needs before the flow starts: the lease and the stored positions.
pub(super) struct CommitterParts {
    store: Option<(Arc<dyn CheckpointStore>, levada_store::Lease)>,
    flow: String,
    pub(super) positions: BTreeMap<Str, Position>,
}

/// The name of a flow's only source in its checkpoint.
pub(super) const SOURCE: &str = "source";

impl CommitterParts {
    pub(super) async fn open(
        flow: &Flow,
        deps: &Deps,
        name: &str,
        keeps_positions: bool,
        from_start: bool,
    ) -> Result<Self, FlowError> {
        let mut parts =
            CommitterParts { store: None, flow: name.to_owned(), positions: BTreeMap::new() };
        let is_wanted = keeps_positions && flow.fields.checkpoint_persistence != Some(false);
        let Some(store) = deps.store.clone().filter(|_| is_wanted) else { return Ok(parts) };
        let forgets = from_start || flow.fields.checkpoint_reset == Some(true);
        let (opening, flow) = (store.clone(), parts.flow.clone());
        // A store in a database takes its time, and keeps its caller waiting.
        let opened = deps.tasks.spawn_thread(TaskKind::Commit, "store", move || {
            let lease = opening.acquire(&flow)?;
            if forgets {
                opening.reset(&flow)?;
                info!("the stored position was forgotten, as asked");
            }
            Ok((lease, opening.load(&flow)?))
        });
        let (lease, loaded) =
            opened.await.map_err(|error| panicked("checkpoint", &error))?.map_err(store_error)?;
        if let Some(loaded) = loaded {
            if let Some(warning) = loaded.warning {
                warn!(warning, "an older checkpoint is used");
            }
            for (partition, position) in loaded.checkpoint.sources.get(SOURCE).into_iter().flatten()
            {
                parts.positions.insert(partition.as_str().into(), position.clone());
            }
        }
        parts.store = Some((store, lease));
        Ok(parts)
    }

    pub(super) fn start(
        self,
        shared: &Arc<Shared>,
        syncs: Vec<mpsc::Sender<SyncRequest>>,
        commits: mpsc::Sender<Vec<(Str, Position)>>,
        deps: &Deps,
    ) -> Committer {
        let state = Arc::new(tokio::sync::Mutex::new(CommitState {
            store: self.store,
            flow: self.flow,
            stored: self.positions,
        }));
        let ticking = state.clone();
        let shared = shared.clone();
        let task = deps.tasks.spawn(TaskKind::Commit, "commit", async move {
            let interval = shared.limits.checkpoint_interval;
            let mut progress =
                Progress::new(shared.limits.progress_timeout, shared.clock.monotonic());
            loop {
                shared.clock.sleep(interval).await;
                let mut state = ticking.lock().await;
                let commit = state.commit(&shared, Some(&syncs));
                tokio::pin!(commit);
                let committed = loop {
                    tokio::select! {
                        committed = &mut commit => break committed,
                        // A sink that is stuck keeps a commit waiting, and that is what must be shown.
                        () = shared.clock.sleep(interval.max(SHOW_INTERVAL_MIN)) => {
                            progress.show(&shared, false);
                        }
                    }
                };
                let mut is_moving = false;
                match committed {
                    Ok(positions) if positions.is_empty() => {}
                    Ok(positions) => {
                        is_moving = true;
                        // A reader that is busy takes the next ones; positions only grow.
                        let _busy = commits.try_send(positions).is_err();
                    }
                    // Another process runs the flow: what this one does is in vain.
                    Err(error) if error.kind() == ErrorKind::Conflict => {
                        shared.yield_to_another(error);
                        return;
                    }
                    Err(error) => {
                        warn!(error = %error, "positions could not be stored, trying again")
                    }
                }
                progress.show(&shared, is_moving);
            }
        });
        Committer { state, task }
    }
}

pub(super) fn store_error(error: levada_store::StoreError) -> FlowError {
    FlowError::Stage {
        stage: "checkpoint".into(),
        message: with_causes(&error),
        kind: error.kind(),
    }
}

/// Stores finished positions on an interval and at the end.
pub(super) struct Committer {
    state: Arc<tokio::sync::Mutex<CommitState>>,
    task: JoinHandle<()>,
}

struct CommitState {
    store: Option<(Arc<dyn CheckpointStore>, levada_store::Lease)>,
    flow: String,
    stored: BTreeMap<Str, Position>,
}

impl Committer {
    /// Stores the last positions; the sinks made durable what they wrote when they had drained.
    pub(super) async fn finish(self, shared: &Shared) -> Result<Vec<(Str, Position)>, FlowError> {
        // A commit under way has taken positions out of the ledger: it ends before the last one starts.
        let mut state = self.state.lock().await;
        self.task.abort();
        // It holds the lease, which the next start of this flow asks for.
        let _cancelled = self.task.await.is_err();
        shared.metrics.stale.set(0.0);
        if shared.is_undurable.load(Ordering::Acquire) {
            warn!(
                "a sink lost what it had not made durable; records are read again at the next start"
            );
            return Ok(Vec::new());
        }
        state.commit(shared, None).await
    }
}

impl CommitState {
    /// Takes what is finished, makes the sinks durable, stores the positions.
    ///
    /// Gives the new positions, for the source. After an error they are tried again next time.
    async fn commit(
        &mut self,
        shared: &Shared,
        syncs: Option<&[mpsc::Sender<SyncRequest>]>,
    ) -> Result<Vec<(Str, Position)>, FlowError> {
        let ready = shared.ledger.take_ready();
        if ready.is_empty() {
            return Ok(Vec::new());
        }
        fault::point("commit.before-sync");
        if let Err(error) = self.store_positions(&ready, shared, syncs).await {
            shared.ledger.put_back(ready);
            return Err(error);
        }
        self.stored.extend(ready.iter().map(|(name, at)| (name.clone(), at.clone())));
        Ok(ready.into_iter().collect())
    }

    async fn store_positions(
        &self,
        ready: &BTreeMap<Str, Position>,
        shared: &Shared,
        syncs: Option<&[mpsc::Sender<SyncRequest>]>,
    ) -> Result<(), FlowError> {
        let Some((store, lease)) = &self.store else { return Ok(()) };
        for sync in syncs.unwrap_or_default() {
            let (sender, receiver) = oneshot::channel();
            // A sink that has ended made durable what it wrote, or has forbidden this.
            if sync.send(sender).await.is_ok()
                && let Ok(Err(message)) = receiver.await
            {
                let kind = ErrorKind::Unavailable;
                return Err(FlowError::Stage { stage: "sync of a sink".into(), message, kind });
            }
        }
        if shared.is_undurable.load(Ordering::Acquire) {
            let message = "a sink ended without making durable what it wrote".to_owned();
            let stage = "sync of a sink".into();
            return Err(FlowError::Stage { stage, message, kind: ErrorKind::Unavailable });
        }
        fault::point("commit.synced");
        let mut checkpoint = Checkpoint::new(&self.flow, lease.epoch(), shared.clock.now().0);
        for (partition, position) in self.stored.iter().chain(ready) {
            checkpoint.set_position(SOURCE, partition, position.clone());
        }
        let store = store.clone();
        let flow = self.flow.clone();
        let saved = Tasks::new()
            .spawn_thread(TaskKind::Commit, "store", move || store.save(&flow, &checkpoint))
            .await;
        fault::point("commit.stored");
        match saved {
            Ok(Ok(())) => Ok(()),
            Ok(Err(error)) => Err(store_error(error)),
            Err(error) => Err(panicked("checkpoint", &error)),
        }
    }
}

/// Tells a flow that is stuck from one that is idle or busy.
struct Progress {
    /// Zero: a flow is never called stuck.
    timeout: Duration,
    /// When something was committed last, or nothing was unfinished.
    moved: Duration,
    is_stuck: bool,
    /// When the rate was shown last, and how many records were written by then.
    shown: (Duration, u64),
}

/// What a look at the progress found.
#[derive(Debug, PartialEq, Eq)]
enum Change {
    Nothing,
    /// It got stuck since the last look.
    Stuck,
    /// It moves again.
    Moving,
}

impl Progress {
    fn new(timeout: Duration, now: Duration) -> Self {
        Progress { timeout, moved: now, is_stuck: false, shown: (now, 0) }
    }

    /// Takes note of what there is `now`; gives the time since the last move, and what changed.
    fn look(&mut self, now: Duration, unfinished: u64, is_moving: bool) -> (Duration, Change) {
        if is_moving || unfinished == 0 {
            self.moved = now;
        }
        let age = now.saturating_sub(self.moved);
        let was_stuck = self.is_stuck;
        self.is_stuck = !self.timeout.is_zero() && age > self.timeout;
        let change = match (was_stuck, self.is_stuck) {
            (false, true) => Change::Stuck,
            (true, false) => Change::Moving,
            _ => Change::Nothing,
        };
        (age, change)
    }

    fn show(&mut self, shared: &Shared, is_moving: bool) {
        let unfinished = shared.ledger.unfinished().records;
        let (age, change) = self.look(shared.clock.monotonic(), unfinished, is_moving);
        let metrics = &shared.metrics;
        let counts = shared.counters.snapshot();
        let now = shared.clock.monotonic();
        let elapsed = now.saturating_sub(self.shown.0).as_secs_f64().max(1e-6);
        let written = counts.records_out.saturating_sub(self.shown.1);
        metrics.throughput.set(written as f64 / elapsed);
        self.shown = (now, counts.records_out);
        let answered = counts.records_out + counts.errors;
        let rate = if answered == 0 { 1.0 } else { counts.records_out as f64 / answered as f64 };
        metrics.success_rate.set(rate);
        metrics.commit_age.set(age.as_secs_f64());
        metrics.stale.set(if self.is_stuck { 1.0 } else { 0.0 });
        metrics.active.set(i64::try_from(unfinished).unwrap_or(i64::MAX));
        match change {
            Change::Nothing => {}
            Change::Stuck => {
                let seconds = age.as_secs();
                warn!(unfinished, seconds, "the flow is stuck: records wait and none was finished");
            }
            Change::Moving => info!("the flow is not stuck any more"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seconds(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    #[test]
    fn a_flow_is_stuck_when_records_wait_and_none_is_finished() {
        let mut progress = Progress::new(seconds(10), seconds(100));
        // Idle for long, then busy: the time begins with the first record.
        assert_eq!(progress.look(seconds(200), 0, false), (seconds(0), Change::Nothing));
        assert_eq!(progress.look(seconds(210), 5, false), (seconds(10), Change::Nothing));
        assert_eq!(progress.look(seconds(211), 5, false), (seconds(11), Change::Stuck));
        assert_eq!(progress.look(seconds(212), 5, false).1, Change::Nothing);
        assert!(progress.is_stuck);
        assert_eq!(progress.look(seconds(213), 4, true), (seconds(0), Change::Moving));
        assert_eq!(progress.look(seconds(224), 4, false).1, Change::Stuck);
        assert_eq!(progress.look(seconds(225), 0, false).1, Change::Moving);
    }

    #[test]
    fn zero_switches_it_off() {
        let mut progress = Progress::new(seconds(0), seconds(0));
        assert_eq!(progress.look(seconds(1 << 40), 1, false).1, Change::Nothing);
    }
}
