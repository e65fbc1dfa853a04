//! The tasks that run: started, stopped, restarted after a failure, saved every so often.

mod check;
mod look;
mod replace;
mod start;
mod stop;

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicU64};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use foldhash::fast::RandomState;
use levada_model::{Point, Str, Timestamp};
use levada_runtime::Clock;
use thiserror::Error;

use super::alerts::TopicAlerts;
use super::cell::Cell;
use super::checkpoint::StateStore;
use super::input::{Input, Slice};
use super::queue::{Overflow, QUEUE_POINTS_DEFAULT};
use super::routes::Routes;
use super::sides::{SideSettings, Sides};
use super::workers::Workers;
use crate::definition::Definition;
use crate::runtime::context::{Compat, Limits};
use crate::runtime::{Failure, Services};
use crate::watermark::WatermarkSettings;

pub use look::Served;
pub(crate) use start::subscription;

use look::Pace;

/// How long who writes waits for a task that is behind.
///
/// - Source: ours; no task is to delay the others by more than a second.
pub const BLOCK_DEFAULT: Duration = Duration::from_millis(500);
/// How long the state of a task is waited for while one of its nodes is at work.
const LOOK_PATIENCE: Duration = Duration::from_millis(100);
/// How long a checkpoint waits for a task before it leaves it out.
const SAVE_PATIENCE: Duration = Duration::from_secs(1);
/// Between two looks whether functions have given their states.
const ANSWER_POLL: Duration = Duration::from_millis(2);
/// A task that ran so long before it failed begins a new row of failures.
const CALM: Duration = Duration::from_secs(600);
/// Doublings of the wait between two starts.
const DOUBLINGS_MAX: u32 = 20;

/// What happens when a task fails.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Restart {
    /// It stays failed until somebody starts it.
    Never,
    /// It starts again after a while, which doubles with each failure in a row.
    OnFailure {
        /// The first wait.
        first: Duration,
        /// The longest wait.
        longest: Duration,
    },
}

/// How a task runs.
#[derive(Clone, Debug)]
pub struct TaskOptions {
    /// Databases and retention policies.
    pub dbrps: Vec<(Str, Str)>,
    /// Points in the queue of each actor.
    pub queue_points: usize,
    /// What happens when the queue is full.
    pub overflow: Overflow,
    /// Bounds of each actor.
    pub limits: Limits,
    /// Switches.
    pub compat: Compat,
    /// Actors, where the nodes allow several.
    pub shards: u32,
    /// What happens when it fails.
    pub restart: Restart,
    /// Closes windows and the like by the progress of the data; nothing is upstream's way.
    pub watermark: Option<WatermarkSettings>,
    /// Restores and keeps the state of its nodes.
    pub keeps_state: bool,
}

/// What all tasks of a master share.
pub struct MasterDeps {
    /// The threads.
    pub workers: Arc<Workers>,
    /// Topics and handlers.
    pub alerts: TopicAlerts,
    /// What is configured around tasks.
    pub services: Arc<dyn Services>,
    /// Where state is kept; nothing when it is not.
    pub store: Option<Arc<dyn StateStore>>,
    /// What side actors share; without it nodes that write, post or query do not start or report every item.
    pub sides: Option<SideSettings>,
    /// The time zone of lambdas.
    pub zone: jiff::tz::TimeZone,
}

/// The tasks that run; cheap to clone.
#[derive(Clone)]
pub struct Master(Arc<Inner>);

struct Inner {
    deps: MasterDeps,
    routes: Routes,
    tasks: Mutex<HashMap<Str, Task, RandomState>>,
    /// Tasks that are being started, stopped or replaced: a new run beside the end of an old one would read state that is
    /// not written yet, and lose its topics. The flag cuts an end short.
    busy: Mutex<HashMap<Str, Arc<AtomicBool>, RandomState>>,
    /// Is told which task has failed or started again by itself.
    changed: OnceLock<Changed>,
    /// Tells runs of one task apart: a failure of an old one does not touch the new one (U-50).
    generation: AtomicU64,
}

/// Is told the ID of a task.
type Changed = Box<dyn Fn(&str) + Send + Sync>;

struct Task {
    definition: Arc<Definition>,
    options: TaskOptions,
    generation: u64,
    cells: Vec<Arc<Cell>>,
    /// The side actors of each cell.
    sides: Vec<Arc<Sides>>,
    started: Timestamp,
    failure: Option<Failure>,
    failures: u32,
    /// When it starts again.
    restart_at: Option<Timestamp>,
    pace: Pace,
}

/// What is known of a task.
#[derive(Clone, Debug, PartialEq)]
pub struct TaskStatus {
    /// It works on points.
    pub is_executing: bool,
    /// Why it ended by itself.
    pub error: Option<String>,
    /// Points that went through.
    pub processed: u64,
    /// Points that wait.
    pub queued: usize,
    /// Points that a full queue dropped.
    pub dropped: u64,
    /// Actors.
    pub shards: usize,
    /// How often it failed.
    pub failures: u32,
    /// Points or batches of the last second.
    pub throughput: f64,
    /// All its actors could be looked at; one that is at work on one item for long shows neither usage nor statistics.
    pub is_complete: bool,
    /// What its actors hold and refused.
    pub usage: Usage,
    /// The statistics of the nodes, summed over the actors.
    pub nodes: serde_json::Map<String, serde_json::Value>,
}

/// What the actors of a task hold and refused.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    /// Groups.
    pub groups: usize,
    /// Points held back in nodes.
    pub buffered: usize,
    /// Points whose group would have been one too many.
    pub refused_groups: u64,
    /// Points that would have been too many to hold back.
    pub refused_points: u64,
    /// Points that came later than the watermark.
    pub late_points: u64,
}

/// What became of points that were offered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Offer {
    /// They wait for their task.
    Taken,
    /// There is no room.
    Full,
    /// No task of that name runs.
    Unknown,
    /// The task has failed.
    Failed(String),
}

/// Why a task cannot be started.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum StartError {
    /// A node cannot be made: upstream's enable error.
    #[error("{0}")]
    Enable(String),
    /// It runs already.
    #[error("task {0} is already running")]
    Running(String),
    /// It has nothing to listen to.
    #[error("task does contain any dbrps")]
    NoDbrps,
}

// === impl TaskOptions ===

impl Default for TaskOptions {
    fn default() -> Self {
        TaskOptions {
            dbrps: Vec::new(),
            queue_points: QUEUE_POINTS_DEFAULT,
            overflow: Overflow::Block(BLOCK_DEFAULT),
            limits: Limits::default(),
            compat: Compat::default(),
            shards: 1,
            restart: Restart::Never,
            watermark: None,
            keeps_state: true,
        }
    }
}

// === impl Master ===

impl Master {
    /// Makes a master without tasks.
    pub fn new(deps: MasterDeps) -> Self {
        Master(Arc::new(Inner {
            deps,
            routes: Routes::default(),
            tasks: Mutex::default(),
            busy: Mutex::default(),
            changed: OnceLock::new(),
            generation: AtomicU64::new(0),
        }))
    }

    /// Sets who is told of each task that failed or started again by itself; a second call changes nothing.
    pub fn on_change(&self, changed: impl Fn(&str) + Send + Sync + 'static) {
        let _was_set = self.0.changed.set(Box::new(changed)).is_err();
    }

    fn tell(&self, id: &str) {
        if let Some(changed) = self.0.changed.get() {
            changed(id);
        }
    }

    /// Gives the table that writes look at.
    pub fn routes(&self) -> &Routes {
        &self.0.routes
    }

    /// Saves the state of all tasks; call it every so often.
    pub fn save(&self) {
        let tasks = self.tasks();
        let all: Vec<(Str, Vec<Arc<Cell>>)> = tasks
            .iter()
            .filter(|(_, task)| task.options.keeps_state)
            .map(|(id, task)| (Str::clone(id), task.cells.clone()))
            .collect();
        let sides: Vec<Arc<Sides>> = tasks
            .values()
            .filter(|task| task.options.keeps_state)
            .flat_map(|task| task.sides.clone())
            .collect();
        drop(tasks);
        self.ask_snapshots(&sides);
        for (id, cells) in all {
            for (index, cell) in cells.iter().enumerate() {
                // Of a task that was stopped meanwhile the newest state is there already.
                if !cell.is_failed() && !cell.is_retired() {
                    self.save_cell(&id, cell, index as u32, cells.len() as u32);
                }
            }
        }
        self.sync_states();
    }

    fn sync_states(&self) {
        if let Some(store) = &self.0.deps.store
            && let Err(error) = store.sync()
        {
            tracing::warn!(%error, "states may be lost when the machine fails");
        }
    }

    /// Asks the functions that run outside for their states; of one that takes long an older one is saved.
    fn ask_snapshots(&self, sides: &[Arc<Sides>]) {
        sides.iter().for_each(|sides| sides.udfs.ask_snapshots());
        let mut left = SAVE_PATIENCE;
        while !left.is_zero() && !sides.iter().all(|sides| sides.udfs.have_answered()) {
            // In steps of real time: a clock of a test may stand still.
            std::thread::sleep(ANSWER_POLL);
            left = left.saturating_sub(ANSWER_POLL);
        }
    }

    /// Saves the state of one actor.
    fn save_cell(&self, id: &str, cell: &Cell, index: u32, shards: u32) {
        // The actor is busy for as long as it takes to copy its state, not while it is written.
        let saved = cell.try_with_actor(SAVE_PATIENCE, |actor| actor.save());
        let Some(state) = saved else {
            tracing::warn!(
                task = id,
                "a node is at work on one item for long, so its state is not kept now"
            );
            return;
        };
        self.keep(id, index, shards, &state);
    }

    fn keep(&self, id: &str, index: u32, shards: u32, state: &[u8]) {
        let Some(store) = &self.0.deps.store else { return };
        let mut bytes = shards.to_le_bytes().to_vec();
        bytes.extend_from_slice(state);
        if let Err(error) = store.save(id, index, &bytes) {
            tracing::warn!(task = id, %error, "state is not kept");
        }
    }

    /// Starts tasks again that failed and whose wait is over; call it every so often.
    pub fn restart_due(&self) {
        let now = self.clock().now();
        let due: Vec<(Str, Arc<Definition>, TaskOptions, u64)> = self
            .tasks()
            .iter()
            .filter(|(_, task)| task.restart_at.is_some_and(|at| at <= now))
            .map(|(id, task)| {
                let definition = Arc::clone(&task.definition);
                (Str::clone(id), definition, task.options.clone(), task.generation)
            })
            .collect();
        for (id, definition, options, generation) in due {
            let task = &*id;
            tracing::info!(task, "task starts again after a failure");
            let started = self.start_over(&id, definition, options, Some(generation));
            self.tell(task);
            if let Err(error) = started {
                tracing::warn!(task, %error, "task cannot be started again");
                if let Some(task) = self.tasks().get_mut(&id)
                    && task.generation == generation
                {
                    task.failures += 1;
                    task.restart_at = restart_at(task, now);
                }
            }
        }
    }

    fn task_failed(&self, cell: &Cell, generation: u64) {
        let mut tasks = self.tasks();
        let Some(task) = tasks.get_mut(&cell.id) else { return };
        if task.generation != generation {
            return;
        }
        if task.failure.is_some() {
            // Another shard was faster.
            return;
        }
        let panicked = || Failure { node: cell.id.to_string(), text: "panic".to_owned() };
        let failure =
            cell.with_actor(|actor| actor.failure().cloned()).or_else(|| Some(panicked()));
        let text = failure.as_ref().map(ToString::to_string).unwrap_or_default();
        tracing::error!(task = &*cell.id, error = text, "task failed");
        task.failure = failure;
        let now = self.clock().now();
        if u128::from(now.0.abs_diff(task.started.0)) >= CALM.as_nanos() {
            task.failures = 0;
        }
        task.failures += 1;
        task.sides.iter().for_each(|sides| sides.close(Duration::ZERO));
        for cell in &task.cells {
            self.0.routes.remove(cell);
            cell.halt();
        }
        task.restart_at = restart_at(task, now);
        drop(tasks);
        self.tell(&cell.id);
    }

    /// Hands points to one task, or to all that listen when `id` is empty; none or all of them are taken.
    pub fn offer(&self, id: &str, points: &Arc<Vec<Point>>) -> Offer {
        let cells: Vec<Arc<Cell>> = {
            let tasks = self.tasks();
            match tasks.get(id) {
                Some(task) => match &task.failure {
                    Some(failure) => return Offer::Failed(failure.to_string()),
                    None => task.cells.clone(),
                },
                None if id.is_empty() => Vec::new(),
                None => return Offer::Unknown,
            }
        };
        if id.is_empty() {
            let mut ingest = self.0.routes.ingest();
            let points = Vec::clone(points);
            return match ingest.would_fit(&points) {
                true => {
                    ingest.write(points);
                    Offer::Taken
                }
                false => Offer::Full,
            };
        }
        if !cells.iter().all(|cell| cell.queue.has_room(points.len())) {
            return Offer::Full;
        }
        for cell in cells {
            // In one piece, which an empty queue takes whatever its size: of several the last may not fit, and who offers
            // would send the first ones again.
            let ranges = std::iter::once(0..points.len() as u32).collect();
            let slice = Slice { points: Arc::clone(points), ranges, hops: 0 };
            if !cell.give(Input::Points(slice)) {
                // Room was there a moment ago; what another writer took it for is counted by the queue.
                return Offer::Full;
            }
        }
        Offer::Taken
    }

    /// Gives what a task was made of.
    pub fn definition(&self, id: &str) -> Option<Arc<Definition>> {
        self.tasks().get(id).map(|task| Arc::clone(&task.definition))
    }

    /// Makes the nodes of all tasks read again what they took from outside; gives what went wrong.
    pub fn reload(&self) -> Vec<String> {
        let mut problems = Vec::new();
        for id in self.ids() {
            for cell in self.cells(&id) {
                let services = &*self.0.deps.services;
                let failed = cell.with_actor(|actor| actor.reload(services));
                let failed = failed.into_iter();
                problems.extend(failed.map(|(node, problem)| format!("{id}: {node}: {problem}")));
            }
        }
        problems
    }

    /// Gives the IDs of all tasks, sorted.
    pub fn ids(&self) -> Vec<Str> {
        let mut ids: Vec<Str> = self.tasks().keys().cloned().collect();
        ids.sort();
        ids
    }

    /// Gives the actors of a task, for those who feed batch tasks.
    pub fn cells(&self, id: &str) -> Vec<Arc<Cell>> {
        self.tasks().get(id).map(|task| task.cells.clone()).unwrap_or_default()
    }

    /// Says whether everything that was written has been worked on.
    pub fn is_drained(&self) -> bool {
        let cells: Vec<Arc<Cell>> =
            self.tasks().values().flat_map(|task| task.cells.clone()).collect();
        cells.iter().all(|cell| cell.is_drained())
    }

    fn busy(&self) -> MutexGuard<'_, HashMap<Str, Arc<AtomicBool>, RandomState>> {
        self.0.busy.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn clock(&self) -> &Arc<dyn Clock> {
        self.0.deps.workers.clock()
    }

    fn tasks(&self) -> MutexGuard<'_, HashMap<Str, Task, RandomState>> {
        self.0.tasks.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// When a task that failed starts again.
fn restart_at(task: &Task, now: Timestamp) -> Option<Timestamp> {
    let Restart::OnFailure { first, longest } = task.options.restart else { return None };
    let doublings = task.failures.saturating_sub(1).min(DOUBLINGS_MAX);
    let wait = first.saturating_mul(1 << doublings).min(longest);
    let nanos = i64::try_from(wait.as_nanos()).unwrap_or(i64::MAX);
    Some(Timestamp(now.0.saturating_add(nanos)))
}
