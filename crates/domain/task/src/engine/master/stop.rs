//! The end of a task: what it leaves, and what keeps its name until it is over.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use levada_alert::level::Level;
use levada_model::Str;

use super::{LOOK_PATIENCE, Master, Task};
use crate::definition::Definition;
use crate::engine::sides::Sides;
use crate::udf::Patience;

/// Somebody starts, stops or replaces a task, until this is dropped.
pub(super) struct Occupied<'m> {
    master: &'m Master,
    id: Str,
    hurry: Arc<AtomicBool>,
}

/// Between two looks at what ends.
const POLL: Duration = Duration::from_millis(1);

impl Master {
    /// Stops a task: what is queued is worked on first, then its state is kept, or its nodes end as upstream's do.
    ///
    /// - `false`: there is no such task.
    /// - Waits no longer than `patience`, or until [`Master::hurry`]; what is left in the queue then is dropped, counted. A
    ///   node that is still at work is left alone: it ends by itself, and its state is the one of the last checkpoint.
    /// - What is held back is given out only when no state is kept: it would come out a second time otherwise.
    pub fn stop(&self, id: &str, patience: Duration) -> bool {
        self.stop_then(id, patience, || {})
    }

    /// Stops a task like [`Master::stop`] and does something while nothing of that ID can start.
    pub fn stop_then(&self, id: &str, patience: Duration, then: impl FnOnce()) -> bool {
        let (task, occupied) = {
            let mut tasks = self.tasks();
            (tasks.remove(id), self.seize(id))
        };
        let is_known = task.is_some();
        if let Some(task) = task {
            self.end(id, &task, patience, &occupied.hurry);
        }
        then();
        is_known
    }

    fn end(&self, id: &str, task: &Task, patience: Duration, hurry: &Arc<AtomicBool>) {
        task.sides.iter().for_each(|sides| sides.close_queries());
        for cell in &task.cells {
            self.0.routes.remove(cell);
            cell.retire();
            cell.queue.close();
            cell.schedule();
        }
        let deadline = self.clock().monotonic() + patience;
        for cell in &task.cells {
            while !cell.is_drained() && !self.is_late(deadline, hurry) {
                std::thread::sleep(POLL);
            }
            cell.queue.clear();
        }
        let shards = task.cells.len() as u32;
        for (index, cell) in task.cells.iter().enumerate() {
            if cell.is_failed() {
                continue;
            }
            let is_kept = task.options.keeps_state && self.0.deps.store.is_some();
            let left = deadline.saturating_sub(self.clock().monotonic());
            let wait = Patience::new(left, Arc::clone(hurry));
            let ended = cell.end(LOOK_PATIENCE, |actor| match is_kept {
                true => actor.settle(&wait).map(|()| Some(actor.save())),
                false => actor.finish_within(wait).map(|()| None),
            });
            match ended {
                Some(Ok(Some(state))) => self.keep(id, index as u32, shards, &state),
                Some(Ok(None)) => {}
                Some(Err(error)) => {
                    tracing::warn!(task = id, %error, "the task failed while it ended");
                }
                None => {
                    tracing::warn!(task = id, "a node is still at work, its end is not waited for");
                }
            }
        }
        self.sync_states();
        self.close_sides(&task.sides, deadline, hurry);
        self.close_topics(id, &task.definition);
    }

    /// Lets side actors finish what the nodes gave them, up to `deadline`.
    fn close_sides(&self, sides: &[Arc<Sides>], deadline: Duration, hurry: &AtomicBool) {
        let left = deadline.saturating_sub(self.clock().monotonic());
        sides.iter().for_each(|sides| sides.close(left));
        while !sides.iter().all(|sides| sides.is_done()) && !self.is_late(deadline, hurry) {
            std::thread::sleep(POLL);
        }
    }

    fn is_late(&self, deadline: Duration, hurry: &AtomicBool) -> bool {
        hurry.load(Ordering::Acquire) || self.clock().monotonic() >= deadline
    }

    /// Cuts the end of a task short, if one is under way.
    pub fn hurry(&self, id: &str) {
        if let Some(hurry) = self.busy().get(id) {
            hurry.store(true, Ordering::Release);
        }
    }

    /// Says whether a task is being started, stopped or replaced.
    pub fn is_busy(&self, id: &str) -> bool {
        self.busy().contains_key(id)
    }

    /// Deletes what a stopped task leaves: its state and its own topics.
    pub fn delete(&self, id: &str) {
        if let Some(store) = &self.0.deps.store
            && let Err(error) = store.delete(id)
        {
            tracing::warn!(task = id, %error, "state is left behind");
        }
        let alerts = &self.0.deps.alerts;
        // All, not those of the last script only: nodes have other numbers after an edit.
        for topic in alerts.topics().names(&alerts.anonymous(id, "")) {
            drop(alerts.topics().delete(&topic));
        }
    }

    /// Gives the state and the topics of a stopped task to another ID.
    pub fn rename(&self, old: &str, new: &str) {
        if let Some(store) = &self.0.deps.store {
            for shard in 0.. {
                match store.load(old, shard) {
                    Ok(Some(state)) => {
                        if let Err(error) = store.save(new, shard, &state) {
                            tracing::warn!(task = new, %error, "state is not kept");
                        }
                    }
                    Ok(None) => break,
                    Err(error) => {
                        tracing::warn!(task = old, %error, "saved state cannot be read");
                        break;
                    }
                }
            }
        }
        let alerts = &self.0.deps.alerts;
        let (topics, prefix) = (alerts.topics(), alerts.anonymous(old, ""));
        for topic in topics.names(&prefix) {
            topics.open(&topic);
            let Ok(page) = topics.events(&topic, Level::Ok, 0, usize::MAX) else { continue };
            let renamed = alerts.anonymous(new, &topic[prefix.len()..]);
            for event in page.events {
                topics.event_state_set(&renamed, &event.id, event.state);
            }
            drop(topics.close(&renamed));
        }
        self.delete(old);
    }

    pub(super) fn close_topics(&self, id: &str, definition: &Definition) {
        let pipeline = &definition.pipeline;
        for (index, node) in pipeline.nodes() {
            if node.spec.kind().name == "alert" {
                let topic = self.0.deps.alerts.anonymous(id, &pipeline.name(index));
                drop(self.0.deps.alerts.topics().close(&topic));
            }
        }
    }

    /// Takes an ID for a change of its task; nothing when somebody else has it.
    pub(super) fn occupy(&self, id: &str) -> Option<Occupied<'_>> {
        let mut busy = self.busy();
        if busy.contains_key(id) {
            return None;
        }
        let hurry = Arc::<AtomicBool>::default();
        busy.insert(id.into(), Arc::clone(&hurry));
        Some(Occupied { master: self, id: id.into(), hurry })
    }

    /// Takes an ID from whoever has it.
    fn seize(&self, id: &str) -> Occupied<'_> {
        let hurry = Arc::<AtomicBool>::default();
        self.busy().insert(id.into(), Arc::clone(&hurry));
        Occupied { master: self, id: id.into(), hurry }
    }
}

// === impl Occupied ===

impl Occupied<'_> {
    /// Gives the flag that cuts the end short.
    pub(super) fn hurry(&self) -> &Arc<AtomicBool> {
        &self.hurry
    }

    /// Says whether nobody has taken the ID away.
    pub(super) fn is_ours(&self) -> bool {
        self.master.busy().get(&self.id).is_some_and(|known| Arc::ptr_eq(known, &self.hurry))
    }
}

impl Drop for Occupied<'_> {
    fn drop(&mut self) {
        let mut busy = self.master.busy();
        if busy.get(&self.id).is_some_and(|known| Arc::ptr_eq(known, &self.hurry)) {
            busy.remove(&self.id);
        }
    }
}
