//! Builds the parts of a flow, runs them, and brings them down in data order.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use levada_connectors::{AnySink, BuildContext, BuildError, Source};
use levada_model::{ErrorKind, Position, RecordError, Str};
use levada_registry::Report;
use levada_runtime::{
    Clock, EdgeReceiver, EdgeSender, Shutdown, ShutdownHandle, TaskKind, Tasks, edge,
};
use levada_store::{Checkpoint, CheckpointStore};
use levada_telemetry::metrics::Registry;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::JoinHandle;
use tracing::{error, info, warn};

use super::batching::Parcel;
use super::dead_letter::LetterContext;
use super::ledger::Ledger;
use super::limits::Limits;
use super::metrics::FlowMetrics;
use super::pipeline::{Pipeline, stage_name};
use super::pool::BatchPool;
use super::reader::Reader;
use super::report::{Counters, FlowError, Summary, chain};
use super::worker::{Outputs, Worker};
use super::writer::{Duty, Ending, SyncRequest, Waiting, Writer};
use crate::spec::secrets::Secrets;
use crate::spec::{AckPolicy, Flow, SinkRef};

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
}

/// How a flow ended.
#[derive(Debug)]
pub struct Outcome {
    /// What it did.
    pub summary: Summary,
    /// Why it stopped before its source ended, if it did.
    pub error: Option<FlowError>,
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
    is_undurable: AtomicBool,
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

    fn has_failed(&self) -> bool {
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
        self.count_sink_failure();
    }

    /// Counts a failed record, and stops the flow when there are too many.
    pub(super) fn count_sink_failure(&self) {
        let failed = self.counters.errors.fetch_add(1, Ordering::Relaxed) + 1;
        let seen = self.counters.records_in.load(Ordering::Relaxed);
        let max = self.limits.dead_letter_ratio_max;
        if max < 1.0
            && seen >= self.limits.dead_letter_records_min
            && failed as f64 > seen as f64 * max
        {
            self.fail(FlowError::TooManyFailures { failed, seen, max: max.to_string() });
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
    let (error, unfinished) = match Running::start(flow, start, limits, deps, shutdown).await {
        Ok(running) => running.finish().await,
        Err(error) => (Some(error), 0),
    };
    let elapsed = clock.monotonic().saturating_sub(started);
    let summary = Summary::new(name, counters.snapshot(), unfinished, elapsed);
    Outcome { summary, error }
}

fn flow_name(flow: &Flow) -> String {
    format!("{}/{}", flow.object.namespace, flow.object.name)
}

/// A flow whose parts have been started.
struct Running {
    shared: Arc<Shared>,
    stop: ShutdownHandle,
    outer: Shutdown,
    reader: JoinHandle<(Box<dyn Source>, Result<bool, FlowError>)>,
    workers: Vec<JoinHandle<()>>,
    sinks: Vec<JoinHandle<Result<(), FlowError>>>,
    letters: Option<JoinHandle<Result<(), FlowError>>>,
    /// Per sink, told when it has written everything.
    drained: Vec<oneshot::Receiver<()>>,
    ending: watch::Sender<Ending>,
    committer: Committer,
}

impl Running {
    async fn start(
        flow: &Flow,
        start: Start,
        limits: Limits,
        deps: Deps,
        outer: Shutdown,
    ) -> Result<Self, FlowError> {
        let (stop, inner) = ShutdownHandle::new();
        let name = flow_name(flow);
        let Start { source, skip_steps, from_start } = start;
        let keeps_positions = source.is_none();
        let built = Built::new(flow, source, &deps)?;
        let metrics = FlowMetrics::new(&deps.metrics, flow).map_err(internal)?;
        metrics.phase("Running").map_err(internal)?;
        let workers = limits.workers;
        let pipelines = (0..workers)
            .map(|_| Pipeline::compile_from(flow, skip_steps).map_err(FlowError::Build))
            .collect::<Result<Vec<_>, _>>()?;
        let committer_parts =
            CommitterParts::open(flow, &deps, &name, keeps_positions, from_start)?;
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
                let (sender, task) = plumbing.writer(sink, "error".into(), Duty::Bury)?;
                (Some(sender), Some(task))
            }
            None => (None, None),
        };
        let mut sinks = Vec::new();
        let mut senders = Vec::new();
        for (sink, route) in built.sinks {
            let duty = Duty::Deliver { letters: letters_edge.clone() };
            let (sender, task) = plumbing.writer(sink, route, duty)?;
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
    async fn finish(mut self) -> (Option<FlowError>, u64) {
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
        if let (Ok(positions), Some(source)) = (&stored, &mut source)
            && let Err(error) = source.commit(positions).await
        {
            warn!(error = chain(&error), "the source could not take the last positions");
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
        let phase = if failure.is_some() { "Error" } else { "Stopped" };
        if let Err(error) = self.shared.metrics.phase(phase) {
            warn!(error = %error, "the phase could not be shown");
        }
        (failure, unfinished)
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

    async fn join(
        sinks: &mut Vec<JoinHandle<Result<(), FlowError>>>,
        letters: &mut Option<JoinHandle<Result<(), FlowError>>>,
        shared: &Shared,
    ) {
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

fn panicked(stage: &str, error: &tokio::task::JoinError) -> FlowError {
    FlowError::Stage {
        stage: stage.to_owned(),
        message: format!("ended unexpectedly ({error}); this is a defect, please report it"),
        kind: ErrorKind::Internal,
    }
}

fn internal(error: impl std::error::Error) -> FlowError {
    FlowError::Stage { stage: "metrics".into(), message: chain(&error), kind: ErrorKind::Internal }
}

/// The source and sinks of a flow, built but not opened.
struct Built {
    source: Box<dyn Source>,
    sinks: Vec<(BuiltSink, String)>,
    errors: Option<BuiltSink>,
}

struct BuiltSink {
    sink: Box<dyn levada_connectors::Sink>,
    batching: levada_connectors::SinkBatching,
    kind: &'static str,
}

impl Built {
    fn new(flow: &Flow, source: Option<Box<dyn Source>>, deps: &Deps) -> Result<Self, FlowError> {
        let ctx = BuildContext {
            flow: flow.object.clone(),
            base_dir: deps.base_dir.clone(),
            clock: deps.clock.clone(),
            metrics: deps.metrics.clone(),
            tasks: deps.tasks.clone(),
        };
        let mut report = Report::new();
        let namespace = flow.object.namespace.as_str();
        let resolve =
            |sink: &SinkRef, report: &mut Report| -> Option<(Box<dyn AnySink>, &'static str)> {
                let block = deps.secrets.resolve(&sink.block, namespace, &sink.path, report);
                Some(((sink.entry.decode)(&block, &sink.path, report)?, sink.entry.name))
            };
        let source_block =
            deps.secrets.resolve(&flow.source.block, namespace, &flow.source.path, &mut report);
        let spec = (flow.source.entry.decode)(&source_block, &flow.source.path, &mut report);
        let mut specs = vec![(resolve(&flow.sink, &mut report), "default".to_owned())];
        for route in &flow.routes {
            specs.push((resolve(&route.sink, &mut report), route.label.clone()));
        }
        let errors = flow.errors.as_ref().map(|errors| resolve(&errors.sink, &mut report));
        if !report.is_ok() {
            let texts: Vec<String> = report
                .problems()
                .iter()
                .filter(|problem| problem.severity == levada_registry::Severity::Error)
                .map(ToString::to_string)
                .collect();
            return Err(FlowError::Build(texts.join("\n")));
        }
        let broken = || FlowError::Build("the settings could not be decoded".into());
        let build_sink = |spec: Option<(Box<dyn AnySink>, &'static str)>| {
            let (spec, kind) = spec.ok_or_else(broken)?;
            let batching = spec.batching();
            let sink = spec.build(&ctx).map_err(build_error)?;
            Ok::<BuiltSink, FlowError>(BuiltSink { sink, batching, kind })
        };
        let mut sinks = Vec::new();
        let source = match source {
            Some(source) => source,
            None => spec.ok_or_else(broken)?.build(&ctx).map_err(build_error)?,
        };
        for (spec, route) in specs {
            sinks.push((build_sink(spec)?, route));
        }
        let errors = match errors {
            Some(spec) => Some(build_sink(spec)?),
            None => None,
        };
        Ok(Built { source, sinks, errors })
    }
}

fn build_error(error: BuildError) -> FlowError {
    match error {
        BuildError::NotBuiltIn { .. } => FlowError::NotBuiltIn(error.to_string()),
        BuildError::Invalid(text) => FlowError::Build(text),
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
    ) -> Result<(EdgeSender<Parcel>, JoinHandle<Result<(), FlowError>>), FlowError> {
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
        };
        Ok((sender, self.tasks.spawn(TaskKind::Sink, "sink", writer.run())))
    }
}

/// What the committer needs before the flow starts: the lease and the stored positions.
struct CommitterParts {
    store: Option<(Arc<dyn CheckpointStore>, levada_store::Lease)>,
    flow: String,
    positions: BTreeMap<Str, Position>,
}

/// The name of a flow's only source in its checkpoint.
const SOURCE: &str = "source";

impl CommitterParts {
    fn open(
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
        let lease = store.acquire(name).map_err(store_error)?;
        if from_start || flow.fields.checkpoint_reset == Some(true) {
            store.reset(name).map_err(store_error)?;
            info!("the stored position was forgotten, as asked");
        }
        if let Some(loaded) = store.load(name).map_err(store_error)? {
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

    fn start(
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
            last_commit: shared.clock.monotonic(),
        }));
        let ticking = state.clone();
        let shared = shared.clone();
        let task = deps.tasks.spawn(TaskKind::Commit, "commit", async move {
            loop {
                shared.clock.sleep(shared.limits.checkpoint_interval).await;
                let mut state = ticking.lock().await;
                match state.commit(&shared, Some(&syncs)).await {
                    Ok(positions) if positions.is_empty() => {}
                    Ok(positions) => {
                        // A reader that is busy takes the next ones; positions only grow.
                        let _busy = commits.try_send(positions).is_err();
                    }
                    Err(error) => {
                        warn!(error = %error, "positions could not be stored, trying again")
                    }
                }
                state.show(&shared);
            }
        });
        Committer { state, task }
    }
}

fn store_error(error: levada_store::StoreError) -> FlowError {
    FlowError::Stage {
        stage: "checkpoint".into(),
        message: chain(&error),
        kind: ErrorKind::Conflict,
    }
}

/// Stores finished positions on an interval and at the end.
struct Committer {
    state: Arc<tokio::sync::Mutex<CommitState>>,
    task: JoinHandle<()>,
}

struct CommitState {
    store: Option<(Arc<dyn CheckpointStore>, levada_store::Lease)>,
    flow: String,
    stored: BTreeMap<Str, Position>,
    last_commit: Duration,
}

impl Committer {
    /// Stores the last positions; the sinks made durable what they wrote when they had drained.
    async fn finish(self, shared: &Shared) -> Result<Vec<(Str, Position)>, FlowError> {
        // A commit under way has taken positions out of the ledger: it ends before the last one starts.
        let mut state = self.state.lock().await;
        self.task.abort();
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
        if let Err(error) = self.store_positions(&ready, shared, syncs).await {
            shared.ledger.put_back(ready);
            return Err(error);
        }
        self.last_commit = shared.clock.monotonic();
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
        let mut checkpoint = Checkpoint::new(&self.flow, lease.epoch(), shared.clock.now().0);
        for (partition, position) in self.stored.iter().chain(ready) {
            checkpoint.set_position(SOURCE, partition, position.clone());
        }
        let store = store.clone();
        let flow = self.flow.clone();
        let saved = Tasks::new()
            .spawn_thread(TaskKind::Commit, "store", move || store.save(&flow, &checkpoint))
            .await;
        match saved {
            Ok(Ok(())) => Ok(()),
            Ok(Err(error)) => Err(store_error(error)),
            Err(error) => Err(panicked("checkpoint", &error)),
        }
    }

    fn show(&self, shared: &Shared) {
        let age = shared.clock.monotonic().saturating_sub(self.last_commit);
        let unfinished = shared.ledger.unfinished().records;
        let age = if unfinished == 0 { Duration::ZERO } else { age };
        shared.metrics.commit_age.set(age.as_secs_f64());
        shared.metrics.active.set(i64::try_from(unfinished).unwrap_or(i64::MAX));
    }
}
