//! The tasks that run: started, stopped, restarted after a failure, saved every so often.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use foldhash::fast::RandomState;
use levada_model::{Point, Str, Timestamp};
use levada_runtime::Clock;
use levada_tick::lambda::Env;
use thiserror::Error;

use super::alerts::TopicAlerts;
use super::cell::{Cell, Shard};
use super::checkpoint::StateStore;
use super::effects::{LiveEffects, Requests, Writes};
use super::input::{Input, Slice};
use super::queue::{Overflow, QUEUE_POINTS_DEFAULT, Queue};
use super::routes::{Routes, Subscription};
use super::workers::Workers;
use crate::actor::Actor;
use crate::definition::Definition;
use crate::nodes::from::From;
use crate::pipeline::TaskType;
use crate::pipeline::start::StartOptions;
use crate::runtime::context::{Compat, Limits};
use crate::runtime::{Failure, Services};

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
    /// Where requests of httpPost go.
    pub requests: Option<Arc<dyn Requests>>,
    /// Where points of influxDBOut go.
    pub writes: Option<Arc<dyn Writes>>,
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
    /// Tells runs of one task apart: a failure of an old one does not touch the new one (U-50).
    generation: AtomicU64,
}

struct Task {
    definition: Arc<Definition>,
    options: TaskOptions,
    generation: u64,
    cells: Vec<Arc<Cell>>,
    started: Timestamp,
    failure: Option<Failure>,
    failures: u32,
    /// When it starts again.
    restart_at: Option<Timestamp>,
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
    /// The statistics of the nodes, summed over the actors.
    pub nodes: serde_json::Map<String, serde_json::Value>,
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
            overflow: Overflow::Block(Duration::from_secs(10)),
            limits: Limits::default(),
            compat: Compat::default(),
            shards: 1,
            restart: Restart::Never,
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
            generation: AtomicU64::new(0),
        }))
    }

    /// Gives the table that writes look at.
    pub fn routes(&self) -> &Routes {
        &self.0.routes
    }

    /// Starts a task; one that had failed is replaced.
    pub fn start(
        &self,
        id: &str,
        definition: Arc<Definition>,
        options: TaskOptions,
    ) -> Result<(), StartError> {
        let mut tasks = self.tasks();
        let failures = match tasks.get(id) {
            Some(task) if task.failure.is_none() => {
                return Err(StartError::Running(id.to_owned()));
            }
            Some(task) => task.failures,
            None => 0,
        };
        let task = self.make(id.into(), definition, options, failures)?;
        let subscription = subscription(&task.definition, &task.options);
        for cell in &task.cells {
            if task.definition.pipeline.task_type() == TaskType::Stream {
                self.0.routes.add(subscription.clone(), Arc::clone(cell));
            }
            cell.schedule();
        }
        tasks.insert(id.into(), task);
        Ok(())
    }

    fn make(
        &self,
        id: Str,
        definition: Arc<Definition>,
        options: TaskOptions,
        failures: u32,
    ) -> Result<Task, StartError> {
        if options.dbrps.is_empty() {
            return Err(StartError::NoDbrps);
        }
        let generation = self.0.generation.fetch_add(1, Ordering::Relaxed) + 1;
        let dimensions = definition.pipeline.shard_dimensions();
        let shards = if dimensions.is_some() { options.shards.max(1) } else { 1 };
        let mut cells = Vec::with_capacity(shards as usize);
        for index in 0..shards {
            let shard = match &dimensions {
                Some(dimensions) if shards > 1 => {
                    Some(Shard::new(index, shards, Arc::clone(dimensions)))
                }
                _ => None,
            };
            cells.push(self.cell(&id, &definition, &options, shard, generation, index)?);
        }
        let started = self.clock().now();
        Ok(Task {
            definition,
            options,
            generation,
            cells,
            started,
            failure: None,
            failures,
            restart_at: None,
        })
    }

    fn cell(
        &self,
        id: &Str,
        definition: &Definition,
        options: &TaskOptions,
        shard: Option<Shard>,
        generation: u64,
        index: u32,
    ) -> Result<Arc<Cell>, StartError> {
        let deps = &self.0.deps;
        let now = self.clock().now();
        let hops = Arc::new(AtomicU8::new(0));
        let effects = LiveEffects::new(
            Str::clone(id),
            deps.alerts.clone(),
            &self.0.routes,
            Arc::clone(&hops),
            deps.requests.clone(),
            deps.writes.clone(),
        );
        let start = StartOptions {
            task: Str::clone(id),
            dbrps: &options.dbrps,
            services: &*deps.services,
            limits: &options.limits,
            compat: options.compat,
            seed: now.0 as u64,
        };
        let env = Env { now, zone: deps.zone.clone() };
        let mut actor = Actor::start(&definition.pipeline, &start, Box::new(effects), env, now)
            .map_err(StartError::Enable)?;
        if options.keeps_state {
            self.restore(id, index, &mut actor);
        }
        let queue = Queue::new(options.queue_points, options.overflow);
        let master: Weak<Inner> = Arc::downgrade(&self.0);
        let failed = Box::new(move |cell: &Cell| {
            if let Some(inner) = master.upgrade() {
                Master(inner).task_failed(cell, generation);
            }
        });
        Ok(Cell::new(Str::clone(id), actor, shard, queue, hops, &deps.workers, failed))
    }

    fn restore(&self, id: &Str, shard: u32, actor: &mut Actor) {
        let Some(store) = &self.0.deps.store else { return };
        let task = &**id;
        match store.load(id, shard) {
            Ok(None) => {}
            Ok(Some(state)) => match actor.load(&state) {
                Ok(fresh) if fresh.is_empty() => tracing::info!(task, "state restored"),
                Ok(fresh) => {
                    let nodes = fresh.join(",");
                    tracing::info!(task, nodes, "state restored but for some nodes");
                }
                Err(error) => tracing::warn!(task, %error, "saved state is not taken over"),
            },
            Err(error) => tracing::warn!(task, %error, "saved state cannot be read"),
        }
    }

    /// Stops a task: what is queued is worked on first, then its nodes end as upstream's do, and its state is kept.
    ///
    /// - `false`: there is no such task.
    /// - Waits no longer than `patience`; what is left in the queue then is dropped, counted.
    pub fn stop(&self, id: &str, patience: Duration) -> bool {
        let Some(task) = self.tasks().remove(id) else { return false };
        for cell in &task.cells {
            self.0.routes.remove(cell);
            cell.queue.close();
            cell.schedule();
        }
        let deadline = self.clock().monotonic() + patience;
        for cell in &task.cells {
            while !cell.is_drained() && self.clock().monotonic() < deadline {
                std::thread::sleep(Duration::from_millis(1));
            }
            cell.queue.clear();
        }
        self.save_task(id, &task);
        for cell in &task.cells {
            if !cell.is_failed() && cell.with_actor(Actor::finish).is_err() {
                tracing::warn!(task = id, "the task failed while it ended");
            }
        }
        self.close_topics(id, &task);
        true
    }

    /// Deletes what a stopped task leaves: its state and its own topics.
    pub fn delete(&self, id: &str, definition: &Definition) {
        if let Some(store) = &self.0.deps.store
            && let Err(error) = store.delete(id)
        {
            tracing::warn!(task = id, %error, "state is left behind");
        }
        for (index, node) in definition.pipeline.nodes() {
            if node.spec.kind().name == "alert" {
                let name = definition.pipeline.name(index);
                drop(self.0.deps.alerts.topics().delete(&self.0.deps.alerts.anonymous(id, &name)));
            }
        }
    }

    fn close_topics(&self, id: &str, task: &Task) {
        let pipeline = &task.definition.pipeline;
        for (index, node) in pipeline.nodes() {
            if node.spec.kind().name == "alert" {
                let topic = self.0.deps.alerts.anonymous(id, &pipeline.name(index));
                drop(self.0.deps.alerts.topics().close(&topic));
            }
        }
    }

    /// Saves the state of all tasks; call it every so often.
    pub fn save(&self) {
        let tasks = self.tasks();
        let all: Vec<(Str, Vec<Arc<Cell>>)> = tasks
            .iter()
            .filter(|(_, task)| task.options.keeps_state)
            .map(|(id, task)| (Str::clone(id), task.cells.clone()))
            .collect();
        drop(tasks);
        for (id, cells) in all {
            self.save_cells(&id, &cells);
        }
    }

    fn save_task(&self, id: &str, task: &Task) {
        if task.options.keeps_state {
            self.save_cells(id, &task.cells);
        }
    }

    fn save_cells(&self, id: &str, cells: &[Arc<Cell>]) {
        let Some(store) = &self.0.deps.store else { return };
        for (index, cell) in cells.iter().enumerate() {
            if cell.is_failed() {
                continue;
            }
            // The actor is busy for as long as it takes to copy its state, not while it is written.
            let state = cell.with_actor(|actor| actor.save());
            if let Err(error) = store.save(id, index as u32, &state) {
                tracing::warn!(task = id, %error, "state is not kept");
            }
        }
    }

    /// Starts tasks again that failed and whose wait is over; call it every so often.
    pub fn restart_due(&self) {
        let now = self.clock().now();
        let due: Vec<(Str, Arc<Definition>, TaskOptions)> = self
            .tasks()
            .iter()
            .filter(|(_, task)| task.restart_at.is_some_and(|at| at <= now))
            .map(|(id, task)| (Str::clone(id), Arc::clone(&task.definition), task.options.clone()))
            .collect();
        for (id, definition, options) in due {
            let task = &*id;
            tracing::info!(task, "task starts again after a failure");
            if let Err(error) = self.start(&id, definition, options) {
                tracing::warn!(task, %error, "task cannot be started again");
            }
        }
    }

    fn task_failed(&self, cell: &Cell, generation: u64) {
        let mut tasks = self.tasks();
        let Some(task) = tasks.get_mut(&cell.id) else { return };
        if task.generation != generation {
            return;
        }
        let failure = cell.with_actor(|actor| actor.failure().cloned());
        let text = failure.as_ref().map(ToString::to_string).unwrap_or_default();
        tracing::error!(task = &*cell.id, error = text, "task failed");
        task.failure = failure;
        task.failures += 1;
        for cell in &task.cells {
            self.0.routes.remove(cell);
            cell.queue.close();
        }
        if let Restart::OnFailure { first, longest } = task.options.restart {
            let doublings = (task.failures - 1).min(20);
            let wait = first.saturating_mul(1 << doublings).min(longest);
            let nanos = i64::try_from(wait.as_nanos()).unwrap_or(i64::MAX);
            task.restart_at = Some(Timestamp(self.clock().now().0.saturating_add(nanos)));
        }
    }

    /// Gives what is known of a task.
    pub fn status(&self, id: &str) -> Option<TaskStatus> {
        let tasks = self.tasks();
        let task = tasks.get(id)?;
        let (cells, failure) = (task.cells.clone(), task.failure.clone());
        let failures = task.failures;
        drop(tasks);
        let mut nodes = serde_json::Map::new();
        for cell in &cells {
            let own = cell.with_actor(|actor| actor.graph().statistics());
            add_up(&mut nodes, own);
        }
        Some(TaskStatus {
            is_executing: failure.is_none(),
            error: failure.map(|failure| failure.to_string()),
            processed: cells.iter().map(|cell| cell.processed()).sum(),
            queued: cells.iter().map(|cell| cell.queue.points()).sum(),
            dropped: cells.iter().map(|cell| cell.queue.dropped()).sum(),
            shards: cells.len(),
            failures,
            nodes,
        })
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
            let all = std::iter::once(0..points.len() as u32).collect();
            for ranges in super::routes::parts(all) {
                let slice = Slice { points: Arc::clone(points), ranges, hops: 0 };
                if !cell.give(Input::Points(slice)) {
                    // Room was there a moment ago; what another writer took it for is counted by the queue.
                    return Offer::Full;
                }
            }
        }
        Offer::Taken
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

    /// Gives how long a task has been running.
    pub fn started(&self, id: &str) -> Option<Timestamp> {
        self.tasks().get(id).map(|task| task.started)
    }

    /// Says whether everything that was written has been worked on.
    pub fn is_drained(&self) -> bool {
        let cells: Vec<Arc<Cell>> =
            self.tasks().values().flat_map(|task| task.cells.clone()).collect();
        cells.iter().all(|cell| cell.is_drained())
    }

    fn clock(&self) -> &Arc<dyn Clock> {
        self.0.deps.workers.clock()
    }

    fn tasks(&self) -> MutexGuard<'_, HashMap<Str, Task, RandomState>> {
        self.0.tasks.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What a task listens to: the measurements of its `from` nodes, all when one of them names none.
fn subscription(definition: &Definition, options: &TaskOptions) -> Subscription {
    let mut measurements = Vec::new();
    let mut wants_all = false;
    for (_, node) in definition.pipeline.nodes() {
        // Only those right behind the source: what comes later sees what passed them (U-1).
        if node.spec.kind().name != "from" || !node.parents.iter().all(|parent| parent.0 == 0) {
            continue;
        }
        let spec: &dyn std::any::Any = &*node.spec;
        match spec.downcast_ref::<From>().map(From::measurement) {
            Some("") | None => wants_all = true,
            Some(name) => measurements.push(Str::from(name)),
        }
    }
    // Other nodes right behind the source, such as stats, see everything.
    let source = definition.pipeline.nodes().next();
    let is_from = |index: &crate::pipeline::NodeIndex| {
        definition.pipeline.node(*index).spec.kind().name == "from"
    };
    if source.is_some_and(|(_, node)| !node.children.iter().all(is_from)) {
        wants_all = true;
    }
    if wants_all {
        measurements.clear();
    }
    measurements.sort();
    measurements.dedup();
    Subscription { dbrps: options.dbrps.clone(), measurements }
}

/// Adds statistics of another actor of the same task.
fn add_up(
    sum: &mut serde_json::Map<String, serde_json::Value>,
    other: serde_json::Map<String, serde_json::Value>,
) {
    for (node, statistics) in other {
        let serde_json::Value::Object(statistics) = statistics else { continue };
        let known = sum.entry(node).or_insert_with(|| serde_json::Map::new().into());
        let serde_json::Value::Object(known) = known else { continue };
        for (key, value) in statistics {
            let before = known.get(&key).and_then(serde_json::Value::as_i64).unwrap_or(0);
            let value = value.as_i64().unwrap_or(0);
            let total = if key == "avg_exec_time_ns" { before.max(value) } else { before + value };
            known.insert(key, total.into());
        }
    }
}
