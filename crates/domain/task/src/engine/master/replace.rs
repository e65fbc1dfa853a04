//! A task that gets another definition while it runs.

use std::sync::Arc;
use std::time::Duration;

use levada_model::Str;
use levada_runtime::TaskKind;

use super::start::subscription;
use super::{Master, StartError, TaskOptions};
use crate::definition::Definition;
use crate::engine::cell::Cell;
use crate::engine::sides::Sides;
use crate::pipeline::TaskType;
use crate::udf::Patience;

/// How long side actors of replaced nodes have for what they were given. Source: kapacitor: the limit of a shutdown.
const FINISH_PATIENCE: Duration = Duration::from_secs(30);
/// Between two looks at them.
const FINISH_POLL: Duration = Duration::from_millis(50);

/// What is there before the change.
struct Before {
    generation: u64,
    definition: Arc<Definition>,
    cell: Arc<Cell>,
    sides: Vec<Arc<Sides>>,
}

impl Master {
    /// Gives a running task another definition; a node whose definition stays goes on where it was.
    ///
    /// - What is queued stays queued, and no point is missed in between, unless a node is at work for longer than `patience`
    ///   or the task is of another kind or in several shards: it is stopped and started then.
    /// - After an error the task is stopped.
    pub fn replace(
        &self,
        id: &str,
        definition: Arc<Definition>,
        options: TaskOptions,
        patience: Duration,
    ) -> Result<(), StartError> {
        match self.replace_in_place(id, &definition, &options, patience) {
            Some(Ok(())) => Ok(()),
            Some(Err(error)) => {
                self.stop(id, patience);
                Err(error)
            }
            None => {
                self.stop(id, patience);
                self.start(id, definition, options)
            }
        }
    }

    fn replace_in_place(
        &self,
        id: &str,
        definition: &Arc<Definition>,
        options: &TaskOptions,
        patience: Duration,
    ) -> Option<Result<(), StartError>> {
        if options.dbrps.is_empty() {
            return Some(Err(StartError::NoDbrps));
        }
        let (before, occupied) = {
            let tasks = self.tasks();
            let task = tasks.get(id)?;
            let [cell] = &task.cells[..] else { return None };
            let kind = definition.pipeline.task_type();
            let will_be_sharded =
                options.shards > 1 && definition.pipeline.shard_dimensions().is_some();
            let fits = kind == task.definition.pipeline.task_type()
                && options.queue_points == task.options.queue_points
                && options.overflow == task.options.overflow
                && !will_be_sharded;
            if task.failure.is_some() || !fits {
                return None;
            }
            let before = Before {
                generation: task.generation,
                definition: Arc::clone(&task.definition),
                cell: Arc::clone(cell),
                sides: task.sides.clone(),
            };
            (before, self.occupy(id)?)
        };
        let Before { generation, cell, .. } = &before;
        let mut sides = Vec::new();
        let exchanged = cell.exchange(patience, |old| {
            // What was asked by nodes that are going is not for the new ones; the queue is emptied first, so that nobody
            // who is pushing to it waits.
            cell.queue.clear_for_nodes();
            before.sides.iter().for_each(|sides| sides.cut());
            cell.queue.clear_for_nodes();
            self.close_topics(id, &before.definition);
            if options.keeps_state {
                let wait = Patience::new(patience, Arc::clone(occupied.hurry()));
                // A node that failed while it ended begins anew: what it lost is lost.
                if let Err(error) = old.settle(&wait) {
                    tracing::warn!(task = id, %error, "the task failed while it was replaced");
                }
            }
            let state = options.keeps_state.then(|| old.save());
            let id: &Str = &cell.id;
            let (actor, side) =
                self.actor(id, definition, options, &cell.hops, |actor, remake| {
                    if let Some(state) = state {
                        Master::take_over(id, &state, actor, remake);
                    }
                })?;
            sides.extend(side);
            Ok(actor)
        });
        if let Err(error) = exchanged? {
            return Some(Err(error));
        }
        if definition.pipeline.task_type() == TaskType::Stream {
            self.0.routes.replace(subscription(definition, options), cell);
        }
        let attached =
            sides.iter().try_for_each(|side| self.attach(side, cell, definition, options));
        {
            let mut tasks = self.tasks();
            match tasks.get_mut(id) {
                Some(task) if task.generation == *generation => {
                    task.definition = Arc::clone(definition);
                    task.options = options.clone();
                    task.sides = sides;
                    task.started = self.clock().now();
                }
                // It was stopped meanwhile: the new side actors end when they are dropped.
                _ => self.0.routes.remove(cell),
            }
        }
        cell.schedule();
        drop(occupied);
        self.let_finish(before.sides);
        Some(attached)
    }

    /// Lets side actors of nodes that are gone finish what they were given, while the caller goes on.
    fn let_finish(&self, sides: Vec<Arc<Sides>>) {
        let Some(settings) = &self.0.deps.sides else { return };
        sides.iter().for_each(|sides| sides.close(FINISH_PATIENCE));
        let clock = Arc::clone(self.clock());
        let _inside = settings.runtime.enter();
        settings.tasks.spawn(TaskKind::Task, "side actors of replaced nodes", async move {
            while !sides.iter().all(|sides| sides.is_done()) {
                clock.sleep(FINISH_POLL).await;
            }
        });
    }
}
