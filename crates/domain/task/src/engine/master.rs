//! The tasks that run: started, stopped, restarted after a failure, saved every so often.

use std::collections::{HashMap, HashSet};
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
use super::sides::{SideSettings, Sides};
use super::workers::Workers;
use crate::actor::Actor;
use crate::definition::Definition;
use crate::nodes::from::From;
use crate::pipeline::TaskType;
use crate::pipeline::start::StartOptions;
use crate::runtime::context::{Compat, Limits};
use crate::runtime::{Failure, Node, Services};
use crate::watermark::WatermarkSettings;

/// How long who writes waits for a task that is behind.
///
/// - Source: ours; no task is to delay the others by more than a second.
pub const BLOCK_DEFAULT: Duration = Duration::from_millis(500);
/// How long the state of a task is waited for while one of its nodes is at work.
const LOOK_PATIENCE: Duration = Duration::from_millis(100);
/// How long a checkpoint waits for a task before it leaves it out.
const SAVE_PATIENCE: Duration = Duration::from_secs(1);
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
    /// Tasks whose end is under way: a new run would read state that is not written yet, and lose its topics.
    stopping: Mutex<HashSet<Str, RandomState>>,
    /// Tells runs of one task apart: a failure of an old one does not touch the new one (U-50).
    generation: AtomicU64,
}

struct Task {
    definition: Arc<Definition>,
    options: TaskOptions,
    generation: u64,
    cells: Vec<Arc<Cell>>,
    /// The side actors of each cell.
    sides: Vec<Sides>,
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
            stopping: Mutex::default(),
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
        self.start_over(id, definition, options, None)
    }

    /// Starts a task; `only` names the run that it is to follow.
    fn start_over(
        &self,
        id: &str,
        definition: Arc<Definition>,
        options: TaskOptions,
        only: Option<u64>,
    ) -> Result<(), StartError> {
        let mut tasks = self.tasks();
        if self.stopping().contains(id) {
            return Err(StartError::Running(id.to_owned()));
        }
        let known = tasks.get(id);
        if only.is_some() && known.map(|task| task.generation) != only {
            // It was stopped or started by somebody else meanwhile.
            return Ok(());
        }
        let failures = match known {
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
                self.0.routes.add(subscription.clone(), cell);
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
        let (mut cells, mut sides) = (Vec::with_capacity(shards as usize), Vec::new());
        for index in 0..shards {
            let shard = match &dimensions {
                Some(dimensions) if shards > 1 => {
                    Some(Shard::new(index, shards, Arc::clone(dimensions)))
                }
                _ => None,
            };
            let (cell, side) = self.cell(&id, &definition, &options, shard, generation, index)?;
            cells.push(cell);
            sides.extend(side);
        }
        let started = self.clock().now();
        Ok(Task {
            definition,
            options,
            generation,
            cells,
            sides,
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
    ) -> Result<(Arc<Cell>, Option<Sides>), StartError> {
        let deps = &self.0.deps;
        let now = self.clock().now();
        let hops = Arc::new(AtomicU8::new(0));
        let sides = deps.sides.as_ref().map(Sides::new);
        let effects = LiveEffects::new(
            Str::clone(id),
            deps.alerts.clone(),
            &self.0.routes,
            Arc::clone(&hops),
            sides.as_ref().map(|sides| Arc::clone(&sides.requests) as Arc<dyn Requests>),
            sides.as_ref().map(|sides| Arc::clone(&sides.writers) as Arc<dyn Writes>),
        );
        let around = &*deps.services;
        let of_sides = sides.as_ref().map(|sides| sides.services(around));
        let services = of_sides.as_ref().map_or(around, |services| services as &dyn Services);
        let start = StartOptions {
            task: Str::clone(id),
            dbrps: &options.dbrps,
            services,
            limits: &options.limits,
            compat: options.compat,
            seed: now.0 as u64,
        };
        let env = Env { now, zone: deps.zone.clone() };
        let mut actor = Actor::start(&definition.pipeline, &start, Box::new(effects), env, now)
            .map_err(StartError::Enable)?;
        if let Some(watermark) = options.watermark {
            actor.watch(watermark);
        }
        if options.keeps_state {
            let shards = shard.as_ref().map_or(1, |shard| shard.count);
            let remake = |place| definition.pipeline.remake(place, &start);
            self.restore(id, index, shards, &mut actor, &remake);
        }
        let queue = Queue::new(options.queue_points, options.overflow);
        let master: Weak<Inner> = Arc::downgrade(&self.0);
        let failed = Box::new(move |cell: &Cell| {
            if let Some(inner) = master.upgrade() {
                Master(inner).task_failed(cell, generation);
            }
        });
        let cell = Cell::new(Str::clone(id), actor, shard, queue, hops, &deps.workers, failed);
        if let Some(sides) = &sides {
            sides.attach(Box::new(Arc::downgrade(&cell)));
            let plans = definition.pipeline.query_plans(options.compat.is_1_8);
            sides.start_queries(id, plans, &options.dbrps).map_err(StartError::Enable)?;
        }
        Ok((cell, sides))
    }

    fn restore(
        &self,
        id: &Str,
        shard: u32,
        shards: u32,
        actor: &mut Actor,
        remake: &dyn Fn(usize) -> Result<Box<dyn Node>, String>,
    ) {
        let Some(store) = &self.0.deps.store else { return };
        let task = &**id;
        match store.load(id, shard) {
            Ok(None) => {}
            Ok(Some(state)) if !state.starts_with(&shards.to_le_bytes()) => {
                // The groups have moved to other actors.
                tracing::warn!(
                    task,
                    shards,
                    "saved state is of another number of shards, it is not taken over"
                );
            }
            Ok(Some(state)) => match actor.load_or_remake(&state[size_of::<u32>()..], remake) {
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

    /// Stops a task: what is queued is worked on first, then its state is kept, or its nodes end as upstream's do.
    ///
    /// - `false`: there is no such task.
    /// - Waits no longer than `patience`; what is left in the queue then is dropped, counted. A node that is still at work
    ///   is left alone: it ends by itself, and its state is the one of the last checkpoint.
    /// - What is held back is given out only when no state is kept: it would come out a second time otherwise.
    pub fn stop(&self, id: &str, patience: Duration) -> bool {
        let (task, _stopping) = {
            let mut tasks = self.tasks();
            let Some(task) = tasks.remove(id) else { return false };
            self.stopping().insert(id.into());
            (task, Stopping { master: self, id })
        };
        task.sides.iter().for_each(Sides::close_queries);
        for cell in &task.cells {
            self.0.routes.remove(cell);
            cell.retire();
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
        let shards = task.cells.len() as u32;
        for (index, cell) in task.cells.iter().enumerate() {
            if cell.is_failed() {
                continue;
            }
            let is_kept = task.options.keeps_state && self.0.deps.store.is_some();
            let ended = cell.end(LOOK_PATIENCE, |actor| match is_kept {
                true => Ok(Some(actor.save())),
                false => actor.finish().map(|()| None),
            });
            match ended {
                Some(Ok(Some(state))) => self.keep(id, index as u32, shards, &state),
                Some(Ok(None)) => {}
                Some(Err(_)) => tracing::warn!(task = id, "the task failed while it ended"),
                None => {
                    tracing::warn!(task = id, "a node is still at work, its end is not waited for");
                }
            }
        }
        self.close_sides(&task, deadline);
        self.close_topics(id, &task);
        true
    }

    /// Lets the side actors finish what the nodes gave them, up to `deadline`.
    fn close_sides(&self, task: &Task, deadline: Duration) {
        let left = deadline.saturating_sub(self.clock().monotonic());
        task.sides.iter().for_each(|sides| sides.close(left));
        while !task.sides.iter().all(Sides::is_done) && self.clock().monotonic() < deadline {
            std::thread::sleep(Duration::from_millis(1));
        }
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
            for (index, cell) in cells.iter().enumerate() {
                // Of a task that was stopped meanwhile the newest state is there already.
                if !cell.is_failed() && !cell.is_retired() {
                    self.save_cell(&id, cell, index as u32, cells.len() as u32);
                }
            }
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
            if let Err(error) = self.start_over(&id, definition, options, Some(generation)) {
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
    }

    /// Gives what is known of a task.
    pub fn status(&self, id: &str) -> Option<TaskStatus> {
        let tasks = self.tasks();
        let task = tasks.get(id)?;
        let (cells, failure) = (task.cells.clone(), task.failure.clone());
        let failures = task.failures;
        drop(tasks);
        let (mut nodes, mut usage) = (serde_json::Map::new(), Usage::default());
        for cell in &cells {
            // Of a task that is at work on one item for long the rest is shown.
            let seen = cell.try_with_actor(LOOK_PATIENCE, |actor| {
                usage.add(actor);
                actor.graph().statistics()
            });
            add_up(&mut nodes, seen.unwrap_or_default());
        }
        Some(TaskStatus {
            is_executing: failure.is_none(),
            error: failure.map(|failure| failure.to_string()),
            processed: cells.iter().map(|cell| cell.processed()).sum(),
            queued: cells.iter().map(|cell| cell.queue.points()).sum(),
            dropped: cells.iter().map(|cell| cell.queue.dropped()).sum(),
            shards: cells.len(),
            failures,
            usage,
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

    fn stopping(&self) -> MutexGuard<'_, HashSet<Str, RandomState>> {
        self.0.stopping.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn clock(&self) -> &Arc<dyn Clock> {
        self.0.deps.workers.clock()
    }

    fn tasks(&self) -> MutexGuard<'_, HashMap<Str, Task, RandomState>> {
        self.0.tasks.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A task whose end is under way, until this is dropped.
struct Stopping<'m> {
    master: &'m Master,
    id: &'m str,
}

impl Drop for Stopping<'_> {
    fn drop(&mut self) {
        self.master.stopping().remove(self.id);
    }
}

// === impl Usage ===

impl Usage {
    fn add(&mut self, actor: &Actor) {
        let ctx = actor.context();
        self.groups += ctx.groups.len();
        self.buffered += ctx.held;
        self.refused_groups += ctx.groups.refused();
        self.refused_points += ctx.refused_points;
        self.late_points += actor.late_points();
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
