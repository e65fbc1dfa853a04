//! From a definition to a task that runs.

use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{Arc, Weak};

use levada_model::Str;
use levada_tick::lambda::Env;

use super::{Inner, Master, StartError, Task, TaskOptions};
use crate::actor::Actor;
use crate::definition::Definition;
use crate::engine::cell::{Cell, Shard};
use crate::engine::effects::{LiveEffects, Requests, Writes};
use crate::engine::queue::Queue;
use crate::engine::routes::Subscription;
use crate::engine::sides::Sides;
use crate::nodes::from::From;
use crate::pipeline::TaskType;
use crate::pipeline::start::StartOptions;
use crate::runtime::{Node, Services};

impl Master {
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
    pub(super) fn start_over(
        &self,
        id: &str,
        definition: Arc<Definition>,
        options: TaskOptions,
        only: Option<u64>,
    ) -> Result<(), StartError> {
        let running = || StartError::Running(id.to_owned());
        let (failures, occupied) = {
            let tasks = self.tasks();
            let known = tasks.get(id);
            if only.is_some() && known.map(|task| task.generation) != only {
                // It was stopped or started by somebody else meanwhile.
                return Ok(());
            }
            let failures = match known {
                Some(task) if task.failure.is_none() => return Err(running()),
                Some(task) => task.failures,
                None => 0,
            };
            (failures, self.occupy(id).ok_or_else(running)?)
        };
        // Without the lock: nodes may read files or ask servers when they are made.
        let made = self.make(id.into(), Arc::clone(&definition), options, failures);
        let task = made.inspect_err(|_| self.close_topics(id, &definition))?;
        let generation = task.generation;
        let cells = task.cells.clone();
        {
            let mut tasks = self.tasks();
            let follows = only.is_none() || tasks.get(id).map(|task| task.generation) == only;
            if !follows || !occupied.is_ours() {
                drop(tasks);
                self.close_topics(id, &definition);
                return Ok(());
            }
            let subscription = subscription(&task.definition, &task.options);
            for cell in &task.cells {
                if task.definition.pipeline.task_type() == TaskType::Stream {
                    self.0.routes.add(subscription.clone(), cell);
                }
                cell.schedule();
            }
            tasks.insert(id.into(), task);
        }
        // Queries run already, so it may have failed before it was known.
        for cell in cells.iter().filter(|cell| cell.is_failed()) {
            self.task_failed(cell, generation);
        }
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
            pace: Default::default(),
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
    ) -> Result<(Arc<Cell>, Option<Arc<Sides>>), StartError> {
        let hops = Arc::new(AtomicU8::new(0));
        let shards = shard.as_ref().map_or(1, |shard| shard.count);
        let restore = |actor: &mut Actor, remake: &Remake<'_>| {
            if options.keeps_state {
                self.restore(id, index, shards, actor, remake);
            }
        };
        let (actor, sides) = self.actor(id, definition, options, &hops, restore)?;
        let queue = Queue::new(options.queue_points, options.overflow);
        let master: Weak<Inner> = Arc::downgrade(&self.0);
        let failed = Box::new(move |cell: &Cell| {
            if let Some(inner) = master.upgrade() {
                Master(inner).task_failed(cell, generation);
            }
        });
        let workers = &self.0.deps.workers;
        let cell = Cell::new(Str::clone(id), actor, shard, queue, hops, workers, failed);
        if let Some(sides) = &sides {
            self.attach(sides, &cell, definition, options)?;
        }
        Ok((cell, sides))
    }

    /// Makes the nodes of a task and its side actors, which wait for [`Master::attach`].
    pub(super) fn actor(
        &self,
        id: &Str,
        definition: &Definition,
        options: &TaskOptions,
        hops: &Arc<AtomicU8>,
        restore: impl FnOnce(&mut Actor, &Remake<'_>),
    ) -> Result<(Actor, Option<Arc<Sides>>), StartError> {
        let deps = &self.0.deps;
        let now = self.clock().now();
        let sides = deps.sides.as_ref().map(|settings| Arc::new(Sides::new(settings)));
        let effects = LiveEffects::new(
            Str::clone(id),
            deps.alerts.clone(),
            &self.0.routes,
            Arc::clone(hops),
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
        restore(&mut actor, &|place| definition.pipeline.remake(place, &start));
        Ok((actor, sides))
    }

    /// Tells side actors where their results go, and starts the queries.
    pub(super) fn attach(
        &self,
        sides: &Sides,
        cell: &Arc<Cell>,
        definition: &Definition,
        options: &TaskOptions,
    ) -> Result<(), StartError> {
        sides.attach(Box::new(Arc::downgrade(cell)));
        let plans = definition.pipeline.query_plans(options.compat.is_1_8);
        sides.start_queries(&cell.id, plans, &options.dbrps).map_err(StartError::Enable)
    }

    fn restore(&self, id: &Str, shard: u32, shards: u32, actor: &mut Actor, remake: &Remake<'_>) {
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
            Ok(Some(state)) => Master::take_over(id, &state[size_of::<u32>()..], actor, remake),
            Err(error) => tracing::warn!(task, %error, "saved state cannot be read"),
        }
    }

    /// Takes over state that is there as bytes, and says what became of it.
    pub(super) fn take_over(id: &str, state: &[u8], actor: &mut Actor, remake: &Remake<'_>) {
        match actor.load_or_remake(state, remake) {
            Ok(fresh) if fresh.is_empty() => tracing::info!(task = id, "state restored"),
            Ok(fresh) => {
                let nodes = fresh.join(",");
                tracing::info!(task = id, nodes, "state restored but for some nodes");
            }
            Err(error) => tracing::warn!(task = id, %error, "saved state is not taken over"),
        }
    }
}

/// Makes the node at a place anew.
pub(super) type Remake<'r> = dyn Fn(usize) -> Result<Box<dyn Node>, String> + 'r;

/// What a task listens to: the measurements of its `from` nodes, all when one of them names none.
pub(crate) fn subscription(definition: &Definition, options: &TaskOptions) -> Subscription {
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
