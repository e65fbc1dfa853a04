//! What is shown of running tasks.

use std::sync::Arc;
use std::time::Duration;

use levada_model::Timestamp;

use super::{LOOK_PATIENCE, Master, TaskStatus, Usage};
use crate::actor::Actor;
use crate::definition::Definition;
use crate::engine::cell::Cell;
use crate::nodes::http_out::HttpOut;
use crate::pipeline::TaskType;
use crate::pipeline::dot::DotView;
use crate::runtime::{Failure, Graph};

/// How much went through a task lately.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Pace {
    /// When and what was counted last.
    counted: Option<(Duration, u64)>,
    per_second: f64,
}

/// What an httpOut node serves.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Served {
    /// No running task has this endpoint.
    Unknown,
    /// The task is at work on one item for long.
    Busy,
    /// The answer, or why there is none.
    Body(Result<Vec<u8>, String>),
}

impl Master {
    /// Gives what is known of a task.
    pub fn status(&self, id: &str) -> Option<TaskStatus> {
        self.status_within(id, LOOK_PATIENCE)
    }

    /// Gives what is known of a task; of one that is at work on one item for longer than `patience` no nodes are shown.
    pub fn status_within(&self, id: &str, patience: Duration) -> Option<TaskStatus> {
        let tasks = self.tasks();
        let task = tasks.get(id)?;
        let (cells, failure) = (task.cells.clone(), task.failure.clone());
        let (failures, throughput) = (task.failures, task.pace.per_second);
        drop(tasks);
        let (mut nodes, mut usage) = (serde_json::Map::new(), Usage::default());
        let mut is_complete = true;
        for cell in &cells {
            let seen = cell.try_with_actor(patience, |actor| {
                usage.add(actor);
                actor.graph().statistics()
            });
            is_complete &= seen.is_some();
            add_up(&mut nodes, seen.unwrap_or_default());
        }
        Some(TaskStatus {
            is_executing: failure.is_none(),
            error: failure.map(|failure: Failure| failure.to_string()),
            processed: cells.iter().map(|cell| cell.processed()).sum(),
            queued: cells.iter().map(|cell| cell.queue.points()).sum(),
            dropped: cells.iter().map(|cell| cell.queue.dropped()).sum(),
            shards: cells.len(),
            failures,
            throughput,
            is_complete,
            usage,
            nodes,
        })
    }

    /// Says whether a task works on points, or why it ended by itself.
    pub fn is_executing(&self, id: &str) -> Option<Result<(), String>> {
        let tasks = self.tasks();
        let failure = &tasks.get(id)?.failure;
        Some(failure.as_ref().map_or(Ok(()), |failure| Err(failure.to_string())))
    }

    /// Gives when a task was started.
    pub fn started(&self, id: &str) -> Option<Timestamp> {
        self.tasks().get(id).map(|task| task.started)
    }

    /// Counts what went through each task since the last call; call it about once a second.
    pub fn count_pace(&self) {
        let now = self.clock().monotonic();
        for task in self.tasks().values_mut() {
            let count = |cell: &Arc<Cell>| match task.definition.pipeline.task_type() {
                TaskType::Stream => cell.processed(),
                TaskType::Batch => cell.batches(),
            };
            let total: u64 = task.cells.iter().map(count).sum();
            if let Some((before, counted)) = task.pace.counted {
                let seconds = now.saturating_sub(before).as_secs_f64();
                if seconds <= 0.0 {
                    continue;
                }
                task.pace.per_second = total.saturating_sub(counted) as f64 / seconds;
            }
            task.pace.counted = Some((now, total));
        }
    }

    /// Gives the graph of a running task as DOT with its statistics; of a task in shards, those of the first one.
    ///
    /// - `None`: it does not run, or is at work on one item for longer than `patience`.
    pub fn dot(&self, id: &str, view: DotView, patience: Duration) -> Option<String> {
        let (cell, throughput, unit) = {
            let tasks = self.tasks();
            let task = tasks.get(id).filter(|task| task.failure.is_none())?;
            let unit = match task.definition.pipeline.task_type() {
                TaskType::Stream => "points",
                TaskType::Batch => "batches",
            };
            (Arc::clone(task.cells.first()?), task.pace.per_second, unit)
        };
        let dot = |graph: &Graph| graph.dot(id, view, throughput, unit);
        cell.try_with_actor(patience, |actor: &mut Actor| dot(actor.graph()))
    }

    /// Gives what a running task serves at an endpoint.
    pub fn served(&self, id: &str, endpoint: &str) -> Served {
        let cells = {
            let tasks = self.tasks();
            match tasks.get(id) {
                Some(task) if task.failure.is_none() && serves(&task.definition, endpoint) => {
                    task.cells.clone()
                }
                _ => return Served::Unknown,
            }
        };
        let mut bodies = Vec::with_capacity(cells.len());
        for cell in &cells {
            let seen = cell.try_with_actor(LOOK_PATIENCE, |actor| {
                // Of two nodes that name the same endpoint the last one counts.
                let served = actor.graph().served().into_iter().rev();
                served.map(|(_, served)| served).find(|served| served.endpoint == endpoint)
            });
            match seen {
                None => return Served::Busy,
                Some(None) => return Served::Unknown,
                Some(Some(served)) => bodies.push(served.body),
            }
        }
        let bodies: Result<Vec<Vec<u8>>, String> = bodies.into_iter().collect();
        Served::Body(bodies.map(joined))
    }
}

fn serves(definition: &Definition, endpoint: &str) -> bool {
    definition.pipeline.nodes().any(|(_, node)| {
        let spec: &dyn std::any::Any = &*node.spec;
        spec.downcast_ref::<HttpOut>().is_some_and(|node| node.endpoint() == endpoint)
    })
}

/// Makes one list of series of the lists of several shards.
fn joined(mut bodies: Vec<Vec<u8>>) -> Vec<u8> {
    const HEAD: &[u8] = b"{\"series\":[";
    const TAIL: &[u8] = b"]}";
    if bodies.len() == 1 {
        return bodies.remove(0);
    }
    let list = |body: &[u8]| Some(body.strip_prefix(HEAD)?.strip_suffix(TAIL)?.to_vec());
    let lists: Vec<Vec<u8>> = bodies.iter().filter_map(|body| list(body.trim_ascii())).collect();
    if lists.is_empty() {
        return bodies.pop().unwrap_or_default();
    }
    [HEAD, &lists.join(&b','), TAIL].concat()
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
