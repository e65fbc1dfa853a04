//! Builds the parts of a flow, runs them, and brings them down in data order.

use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use levada_connectors::{Links, Source};
use levada_model::{ErrorKind, RecordError, with_causes};
use levada_runtime::{
    Backoff, Clock, EdgeReceiver, EdgeSender, Shutdown, ShutdownHandle, TaskKind, Tasks, edge,
    fault,
};
use levada_store::CheckpointStore;
use levada_telemetry::metrics::Registry;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::JoinHandle;
use tracing::{error, warn};

use super::batching::Parcel;
use super::built::{Built, BuiltSink, Planned};
use super::committer::{Committer, CommitterParts};
use super::dead_letter::LetterContext;
use super::ledger::Ledger;
use super::limits::Limits;
use super::metrics::FlowMetrics;
use super::pipeline::{Pipeline, stage_name};
use super::pool::BatchPool;
use super::reader::Reader;
use super::report::{Counters, FlowError, Guarantee, Summary};
use super::transaction::ExactlyOnce;
use super::worker::{Outputs, Worker};
use super::writer::{Duty, Ending, SyncRequest, Waiting, Writer};
use crate::spec::secrets::Secrets;
use crate::spec::{AckPolicy, Flow};

/// What a flow needs from outside.
#[derive(Clone)]
pub struct Deps {
    /// The clock.
    pub clock: Arc<dyn Clock>,
    /// Where positions are kept; nothing: they are forgotten at the end.
    pub store: Option<Arc<dyn CheckpointStore>>,
    /// Where metrics are registered.
    pub metrics: Registry,
    /// Where tasks are spawned.
    pub tasks: Tasks,
    /// Where secrets are looked up.
    pub secrets: Arc<Secrets>,
    /// The folder that paths of the manifest are relative to.
    pub base_dir: PathBuf,
    /// The counts, for whoever shows progress.
    pub counters: Arc<Counters>,
    /// Set when the source was opened for the first time.
    pub is_ready: Arc<AtomicBool>,
    /// What connectors of the flow are given beforehand.
    pub links: Links,
}

/// How a flow ended.
#[derive(Debug)]
pub struct Outcome {
    /// What it did.
    pub summary: Summary,
    /// Why it stopped before its source ended, if it did.
    pub error: Option<FlowError>,
}

impl Outcome {
    /// Makes the outcome of a flow that ended by a defect of this program.
    pub fn unexpected(flow: String, message: &str) -> Self {
        let message = format!("{message}; this is a defect, please report it");
        let (stage, kind) = ("flow".to_owned(), ErrorKind::Internal);
        Outcome {
            summary: Summary::new(
                flow,
                super::report::Snapshot::default(),
                0,
                Duration::ZERO,
                Guarantee::AtLeastOnce,
            ),
            error: Some(FlowError::Stage { stage, message, kind }),
        }
    }
}

/// What all stages of a running flow share.
pub(super) struct Shared {
    pub(super) clock: Arc<dyn Clock>,
    pub(super) limits: Limits,
    pub(super) ledger: Arc<Ledger>,
    pub(super) pool: BatchPool,
    pub(super) counters: Arc<Counters>,
    pub(super) metrics: FlowMetrics,
    pub(super) letters: LetterContext,
    pub(super) ack_policy: AckPolicy,
    pub(super) waiting: Waiting,
    /// Names of the stages: decode, then the steps.
    pub(super) stages: Vec<String>,
    /// Types of the main sink and of the routes' sinks.
    pub(super) sink_types: Vec<&'static str>,
    pub(super) source_type: &'static str,
    pub(super) is_ready: Arc<AtomicBool>,
    failure: Mutex<Option<FlowError>>,
    /// A sink ended without making durable what it had answered for.
    pub(super) is_undurable: AtomicBool,
    /// The main sink keeps the positions.
    is_exactly_once: AtomicBool,
    /// What connectors of the flow tell each other.
    pub(super) links: Links,
    stop: ShutdownHandle,
    seeds: AtomicU64,
}

impl Shared {
    /// Remembers the first failure and lets the flow drain.
    pub(super) fn fail(&self, failure: FlowError) {
        let mut slot = self.failure.lock().unwrap_or_else(PoisonError::into_inner);
        if slot.is_none() {
            error!(error = %failure, "flow stops");
            *slot = Some(failure);
        }
        drop(slot);
        self.stop.drain();
    }

    /// Remembers that the flow runs elsewhere, and stops it at once: nothing that it finishes can be stored.
    pub(super) fn yield_to_another(&self, failure: FlowError) {
        self.fail(failure);
        self.stop.abort();
    }

    pub(super) fn has_failed(&self) -> bool {
        self.failure.lock().unwrap_or_else(PoisonError::into_inner).is_some()
            || self.is_undurable.load(Ordering::Acquire)
    }

    /// Keeps positions from being stored any more: a sink may have lost what it answered for.
    pub(super) fn forbid_commits(&self) {
        self.is_undurable.store(true, Ordering::Release);
    }

    /// Counts a record that a step could not handle, and stops the flow when there are too many.
    pub(super) fn count_failure(&self, stage: usize, error: &RecordError) {
        match stage.checked_sub(1) {
            Some(step) => self.metrics.step_error(step, error.class, 1),
            None => self.metrics.stage_error("read", error.class, 1),
        }
        self.metrics.stage_error("transformation", error.class, 1);
        self.look_at_ratio(self.counters.processed.load(Ordering::Relaxed));
    }

    /// Counts a record that a sink refused, and stops the flow when there are too many.
    pub(super) fn count_sink_failure(&self) {
        // What was read ahead or waits in queues says nothing yet about the sink.
        let answered = [&self.counters.records_out, &self.counters.filtered, &self.counters.errors]
            .map(|count| count.load(Ordering::Relaxed));
        self.look_at_ratio(answered.iter().sum::<u64>() + 1);
    }

    fn look_at_ratio(&self, seen: u64) {
        let failed = self.counters.errors.fetch_add(1, Ordering::Relaxed) + 1;
        let max = self.limits.dead_letter_ratio_max;
        if max < 1.0
            && seen >= self.limits.dead_letter_records_min
            && failed as f64 > seen as f64 * max
        {
            self.fail(FlowError::TooManyFailures { failed, seen, max: max.to_string() });
        }
    }

    /// Says what the flow turned out to promise.
    pub(super) fn set_guarantee(&self, guarantee: Guarantee) {
        let is_exactly_once = guarantee == Guarantee::ExactlyOnce;
        self.is_exactly_once.store(is_exactly_once, Ordering::Relaxed);
        self.metrics.exactly_once.set(if is_exactly_once { 1.0 } else { 0.0 });
    }

    pub(super) fn is_exactly_once(&self) -> bool {
        self.guarantee() == Guarantee::ExactlyOnce
    }

    /// Throws away what is under way; the flow then starts from what is stored.
    pub(super) fn restart(&self, message: String) {
        let mut slot = self.failure.lock().unwrap_or_else(PoisonError::into_inner);
        if slot.is_none() {
            *slot = Some(FlowError::Restart { message });
        }
        drop(slot);
        self.stop.abort();
    }

    fn guarantee(&self) -> Guarantee {
        match self.is_exactly_once.load(Ordering::Relaxed) {
            true => Guarantee::ExactlyOnce,
            false => Guarantee::AtLeastOnce,
        }
    }

    /// Gives a seed for jitter; every caller gets another.
    pub(super) fn seed(&self) -> u64 {
        self.seeds.fetch_add(0x9e37_79b9_7f4a_7c15, Ordering::Relaxed) | 1
    }
}

/// How a flow starts when it does not start as it is written.
#[derive(Default)]
pub struct Start {
    /// Reads from here instead of the flow's source; no position is kept.
    pub source: Option<Box<dyn Source>>,
    /// Leaves out this many steps at the beginning.
    pub skip_steps: usize,
    /// Forgets the stored position first.
    pub from_start: bool,
}

/// Runs a flow until its source ends, it is shut down, or it fails.
///
/// Draining stops reading and finishes what is under way within the drain time-out; aborting leaves it
/// unfinished, to be read again at the next start.
pub async fn run(
    flow: &Flow,
    start: Start,
    limits: Limits,
    deps: Deps,
    shutdown: Shutdown,
) -> Outcome {
    let started = deps.clock.monotonic();
    let name = flow_name(flow);
    let clock = deps.clock.clone();
    let counters = deps.counters.clone();
    counters.lag.store(u64::MAX, Ordering::Relaxed);
    let links_of_flow = deps.links.clone();
    let life = Life {
        flow,
        limits,
        deps,
        shutdown,
        keeps_positions: start.source.is_none(),
        links: links_of_flow,
    };
    let (error, unfinished, guarantee) = life.run(start).await;
    let elapsed = clock.monotonic().saturating_sub(started);
    let summary = Summary::new(name, counters.snapshot(), unfinished, elapsed, guarantee);
    Outcome { summary, error }
}

pub(super) fn flow_name(flow: &Flow) -> String {
    format!("{}/{}", flow.object.namespace, flow.object.name)
}

/// A flow from its start to its end, over all restarts.
struct Life<'f> {
    flow: &'f Flow,
    limits: Limits,
    deps: Deps,
    shutdown: Shutdown,
    keeps_positions: bool,
    links: Links,
}

impl Life<'_> {
    async fn run(&self, mut start: Start) -> (Option<FlowError>, u64, Guarantee) {
        let clock = &self.deps.clock;
        let seed = clock.now().0.unsigned_abs() | 1;
        let mut backoff = Backoff::new(self.limits.retry, seed);
        loop {
            let began = clock.monotonic();
            let running = match Running::start(self, start).await {
                Ok(running) => running,
                Err(error) => return (Some(error), 0, Guarantee::AtLeastOnce),
            };
            let shared = running.shared.clone();
            let Ended { error, unfinished, source } = running.finish().await;
            let message = match error {
                Some(FlowError::Restart { .. }) if self.shutdown.is_draining() => {
                    return (None, unfinished, shared.guarantee());
                }
                Some(FlowError::Restart { message }) => message,
                error => return (error, unfinished, shared.guarantee()),
            };
            // They are read again, and counted then.
            let counters = &self.deps.counters;
            counters.records_in.fetch_sub(unfinished, Ordering::Relaxed);
            Counters::add(&counters.retries, 1);
            if clock.monotonic().saturating_sub(began) > self.limits.retry.max {
                backoff.reset();
            }
            let Some(delay) = backoff.next_delay() else {
                let (stage, kind) = ("flow".to_owned(), ErrorKind::Unavailable);
                let error = FlowError::Stage { stage, message, kind };
                return (Some(error), unfinished, shared.guarantee());
            };
            warn!(error = message, ?delay, "the flow starts again from what is stored");
            let mut shutdown = self.shutdown.clone();
            tokio::select! {
                () = shutdown.draining() => return (None, unfinished, shared.guarantee()),
                () = clock.sleep(delay) => {}
            }
            start = Start { source, skip_steps: 0, from_start: false };
        }
    }
}

/// How one run of the stages ended.
struct Ended {
    error: Option<FlowError>,
    unfinished: u64,
    /// The source, which a restart goes on with: it may be a member of a group.
    source: Option<Box<dyn Source>>,
}

/// The task of a sink.
type Stage = JoinHandle<Result<(), FlowError>>;

/// A flow whose parts have been started.
struct Running {
    shared: Arc<Shared>,
    stop: ShutdownHandle,
    outer: Shutdown,
    reader: JoinHandle<(Box<dyn Source>, Result<bool, FlowError>)>,
    workers: Vec<JoinHandle<()>>,
    sinks: Vec<Stage>,
    letters: Option<Stage>,
    /// Per sink, told when it has written everything.
    drained: Vec<oneshot::Receiver<()>>,
    ending: watch::Sender<Ending>,
    committer: Committer,
}

impl Running {
    async fn start(life: &Life<'_>, start: Start) -> Result<Self, FlowError> {
        let (flow, keeps_positions) = (life.flow, life.keeps_positions);
        let (limits, deps, outer) = (life.limits.clone(), life.deps.clone(), life.shutdown.clone());
        let (stop, inner) = ShutdownHandle::new();
        let name = flow_name(flow);
        let Start { source, skip_steps, from_start } = start;
        let is_kept = keeps_positions
            && deps.store.is_some()
            && flow.fields.checkpoint_persistence != Some(false);
        let built = Built::new(flow, source, &limits, &deps, is_kept, life.links.clone())?;
        let metrics = FlowMetrics::new(&deps.metrics, flow).map_err(internal)?;
        metrics.phase("Running").map_err(internal)?;
        let workers = limits.workers;
        let pipelines = (0..workers)
            .map(|_| {
                let pipeline =
                    Pipeline::compile_from(flow, skip_steps).map_err(FlowError::Build)?;
                Ok(pipeline.with_copies_max(limits.copies_max))
            })
            .collect::<Result<Vec<_>, _>>()?;
        let committer_parts =
            CommitterParts::open(flow, &deps, &name, keeps_positions, from_start).await?;
        let positions = committer_parts.positions.clone();
        let shared = Arc::new(Shared {
            clock: deps.clock.clone(),
            ledger: Ledger::new(),
            pool: BatchPool::default(),
            counters: deps.counters.clone(),
            metrics,
            letters: LetterContext { dataflow: name },
            ack_policy: flow
                .errors
                .as_ref()
                .map_or(AckPolicy::default(), |errors| errors.ack_policy),
            waiting: Waiting::default(),
            stages: std::iter::once(0)
                .chain(skip_steps + 1..=flow.steps.len())
                .map(|stage| stage_name(flow, stage))
                .collect(),
            sink_types: std::iter::once(flow.sink.entry.name)
                .chain(flow.routes.iter().map(|route| route.sink.entry.name))
                .collect(),
            source_type: flow.source.entry.name,
            is_ready: deps.is_ready.clone(),
            failure: Mutex::new(None),
            is_undurable: AtomicBool::new(false),
            is_exactly_once: AtomicBool::new(false),
            links: life.links.clone(),
            stop: stop.clone(),
            seeds: AtomicU64::new(deps.clock.now().0.unsigned_abs()),
            limits,
        });
        let (ending, observed_ending) = watch::channel(Ending::Open);
        let mut plumbing = Plumbing {
            shared: shared.clone(),
            tasks: deps.tasks.clone(),
            stop: stop.clone(),
            ending: observed_ending,
            syncs: Vec::new(),
            drained: Vec::new(),
        };

        let (letters_edge, letters) = match built.errors {
            Some(sink) => {
                let (sender, task) = plumbing.writer(sink, "error".into(), Duty::Bury, None)?;
                (Some(sender), Some(task))
            }
            None => (None, None),
        };
        let mut sinks = Vec::new();
        let mut senders = Vec::new();
        let mut delivery = built.delivery;
        let mut sink_positions = None;
        for (sink, route) in built.sinks {
            let duty = Duty::Deliver { letters: letters_edge.clone() };
            // Only the main sink, which comes first and then is the only one.
            let exactly_once = match std::mem::replace(&mut delivery, Planned::AtLeastOnce) {
                Planned::AtLeastOnce => None,
                Planned::ExactlyOnce { fallback } => {
                    let (positions, receiver) = oneshot::channel();
                    sink_positions = Some(receiver);
                    Some(ExactlyOnce { positions, fallback, from_start })
                }
            };
            let (sender, task) = plumbing.writer(sink, route, duty, exactly_once)?;
            senders.push(sender);
            sinks.push(task);
        }

        let (output, input) = plumbing.edge("output")?;
        let outputs = Arc::new(Outputs::new(senders, letters_edge));
        let workers = pipelines
            .into_iter()
            .map(|pipeline| {
                let worker = Worker {
                    pipeline,
                    shared: shared.clone(),
                    input: input.clone(),
                    outputs: outputs.clone(),
                    runtime: tokio::runtime::Handle::current(),
                    tree: levada_model::Tree::default(),
                };
                deps.tasks.spawn_thread(TaskKind::Transform, "transform", || worker.run())
            })
            .collect();
        drop((input, outputs));

        let (commit_sender, commits) = mpsc::channel(16);
        let reader = Reader {
            source: built.source,
            shared: shared.clone(),
            output,
            commits,
            positions,
            sink_positions,
            rewind: (from_start && keeps_positions).then(Vec::new),
            shutdown: inner,
        };
        let reader = deps.tasks.spawn(TaskKind::Source, "source", reader.run());
        let Plumbing { syncs, drained, .. } = plumbing;
        let committer = committer_parts.start(&shared, syncs, commit_sender, &deps);
        Ok(Running {
            shared,
            stop,
            outer,
            reader,
            workers,
            sinks,
            letters,
            drained,
            ending,
            committer,
        })
    }

    /// Waits for the end and brings the stages down one behind the other.
    async fn finish(mut self) -> Ended {
        let give_up = give_up(
            self.outer.clone(),
            self.stop.observe(),
            self.shared.clock.clone(),
            self.shared.limits.drain_timeout,
        );
        tokio::pin!(give_up);
        let mut outer = self.outer.clone();
        let stop = self.stop.clone();
        let read = async {
            tokio::select! {
                read = &mut self.reader => return read,
                () = outer.draining() => stop.drain(),
            }
            (&mut self.reader).await
        };
        // The reader may wait for room behind a sink that is down, so it counts as draining too.
        let read = tokio::select! {
            read = read => Some(read),
            () = &mut give_up => None,
        };
        let is_ended = matches!(&read, Some(Ok((_, Ok(true)))));
        // The source's end closes the first edge; each stage drains when its edge is empty.
        let mut is_complete = false;
        if read.is_some() {
            let drain = Self::drain(&mut self.workers, &mut self.drained, &self.shared);
            is_complete = tokio::select! {
                () = drain => true,
                () = &mut give_up => false,
            };
        }
        if !is_complete {
            self.stop.abort();
            let rest = async {
                Self::drain(&mut self.workers, &mut self.drained, &self.shared).await;
                Self::join(&mut self.sinks, &mut self.letters, &self.shared).await;
            };
            if tokio::time::timeout(ABORT_MAX, rest).await.is_err() {
                warn!("stages did not stop in time");
                self.shared.forbid_commits();
            }
        }
        let read = match read {
            Some(read) => Some(read),
            // Aborted sinks close their edges, which ends a reader that waits for room.
            None => tokio::time::timeout(ABORT_MAX, &mut self.reader).await.ok(),
        };
        let mut source = match read {
            Some(Ok((source, result))) => {
                if let Err(error) = result {
                    self.shared.fail(error);
                }
                Some(source)
            }
            Some(Err(error)) => {
                self.shared.fail(panicked("source", &error));
                None
            }
            None => {
                warn!("the source did not stop in time");
                self.reader.abort();
                None
            }
        };
        if is_complete {
            // Everything was written, so there is no later success to wait for.
            self.shared.waiting.release();
        }
        let stored = self.committer.finish(&self.shared).await;
        if let (Ok(positions), Some(source)) = (&stored, &mut source) {
            match source.commit(positions).await {
                Ok(()) => fault::point("source.committed"),
                Err(error) => {
                    warn!(
                        error = with_causes(&error),
                        "the source could not take the last positions"
                    );
                }
            }
        }
        if is_complete {
            let is_final = is_ended && stored.is_ok() && !self.shared.has_failed();
            self.ending.send_replace(if is_final { Ending::Close } else { Ending::Suspend });
            let is_closed = {
                let join = Self::join(&mut self.sinks, &mut self.letters, &self.shared);
                tokio::select! {
                    () = join => true,
                    () = &mut give_up => false,
                }
            };
            if !is_closed {
                warn!("sinks could not be closed in time; the next start closes them");
                self.stop.abort();
            }
        }
        if let Err(error) = stored {
            self.shared.fail(error);
        }
        let unfinished = self.shared.ledger.unfinished().records;
        if unfinished > 0 {
            warn!(unfinished, "records are unfinished; they are read again at the next start");
        }
        let failure = self.shared.failure.lock().unwrap_or_else(PoisonError::into_inner).take();
        let phase = match &failure {
            None => "Stopped",
            Some(FlowError::Restart { .. }) => "Pending",
            Some(_) => "Error",
        };
        if let Err(error) = self.shared.metrics.phase(phase) {
            warn!(error = %error, "the phase could not be shown");
        }
        Ended { error: failure, unfinished, source }
    }

    /// Waits until every stage has handed on, or written, what it was given.
    async fn drain(
        workers: &mut Vec<JoinHandle<()>>,
        drained: &mut Vec<oneshot::Receiver<()>>,
        shared: &Shared,
    ) {
        while let Some(worker) = workers.last_mut() {
            if let Err(error) = worker.await {
                shared.fail(panicked("transform", &error));
            }
            workers.pop();
        }
        while let Some(sink) = drained.last_mut() {
            if sink.await.is_err() {
                // It panicked; nobody knows what it made durable.
                shared.forbid_commits();
            }
            drained.pop();
        }
    }

    async fn join(sinks: &mut Vec<Stage>, letters: &mut Option<Stage>, shared: &Shared) {
        while let Some(sink) = sinks.last_mut() {
            if let Err(error) = sink.await {
                shared.forbid_commits();
                shared.fail(panicked("sink", &error));
            }
            sinks.pop();
        }
        if let Some(task) = letters {
            if let Err(error) = task.await {
                shared.forbid_commits();
                shared.fail(panicked("error sink", &error));
            }
            *letters = None;
        }
    }
}

/// How long stages get to end once they are aborted.
const ABORT_MAX: Duration = Duration::from_secs(5);

/// Waits until a drain was ordered and took too long, or everything is to stop at once.
///
/// A source that ends by itself orders nothing: its sinks take the time they need.
async fn give_up(
    mut outer: Shutdown,
    mut inner: Shutdown,
    clock: Arc<dyn Clock>,
    timeout: Duration,
) {
    let mut aborting = outer.clone();
    tokio::select! {
        () = outer.draining() => {}
        () = inner.draining() => {}
    }
    tokio::select! {
        () = clock.sleep(timeout) => {}
        () = aborting.aborting() => {}
    }
}

pub(super) fn panicked(stage: &str, error: &tokio::task::JoinError) -> FlowError {
    FlowError::Stage {
        stage: stage.to_owned(),
        message: format!("ended unexpectedly ({error}); this is a defect, please report it"),
        kind: ErrorKind::Internal,
    }
}

fn internal(error: impl std::error::Error) -> FlowError {
    FlowError::Stage {
        stage: "metrics".into(),
        message: with_causes(&error),
        kind: ErrorKind::Internal,
    }
}

struct Plumbing {
    shared: Arc<Shared>,
    tasks: Tasks,
    stop: ShutdownHandle,
    ending: watch::Receiver<Ending>,
    /// Where each writer is asked to make durable what it wrote.
    syncs: Vec<mpsc::Sender<SyncRequest>>,
    drained: Vec<oneshot::Receiver<()>>,
}

impl Plumbing {
    fn edge(&self, queue: &str) -> Result<(EdgeSender<Parcel>, EdgeReceiver<Parcel>), FlowError> {
        let bounds = self.shared.limits.queue;
        let (sender, receiver) = edge(bounds);
        let watched = receiver.watch();
        self.shared
            .metrics
            .watch_edge(queue, bounds.records, move || watched.records())
            .map_err(internal)?;
        Ok((sender, receiver))
    }

    fn writer(
        &mut self,
        sink: BuiltSink,
        route: String,
        duty: Duty,
        exactly_once: Option<ExactlyOnce>,
    ) -> Result<(EdgeSender<Parcel>, Stage), FlowError> {
        let (sender, input) = self.edge(&route)?;
        let (sync_sender, sync_receiver) = mpsc::channel(1);
        self.syncs.push(sync_sender);
        let (drained_sender, drained) = oneshot::channel();
        self.drained.push(drained);
        let metrics = self.shared.metrics.sink(sink.kind, &route).map_err(internal)?;
        let writer = Writer {
            sink: sink.sink,
            kind: sink.kind,
            route,
            duty,
            batching: sink.batching,
            shared: self.shared.clone(),
            input,
            syncs: sync_receiver,
            metrics,
            shutdown: self.stop.observe(),
            drained: Some(drained_sender),
            ending: self.ending.clone(),
            exactly_once,
            spare: None,
            has_failed: false,
        };
        Ok((sender, self.tasks.spawn(TaskKind::Sink, "sink", writer.run())))
    }
}
