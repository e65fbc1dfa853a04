//! Where a node gives its items.

use std::sync::Arc;

use levada_model::{BatchRef, Group, Point, Timestamp};

use super::context::Context;
use super::graph::{Child, Slot};
use super::node::{Barrier, Failure, Step};
use super::statistics::{Emitted, Statistics};
use crate::effect::{Answer, Effect, NodeName, Problem};

/// Where a node gives its items: each goes through the children, and theirs, before the call returns.
pub struct Out<'o> {
    /// What all nodes of the task share.
    pub ctx: &'o mut Context,
    pub(super) name: &'o NodeName,
    pub(super) is_quiet: bool,
    pub(super) statistics: &'o mut Statistics,
    pub(super) children: &'o [Child],
    /// The nodes behind this one in topological order.
    pub(super) behind: &'o mut [Slot],
    /// The place of the first of `behind`.
    pub(super) first_behind: usize,
}

// === impl Out ===

impl Out<'_> {
    /// Gives a point to the children.
    #[inline]
    pub fn point(&mut self, point: &Point, group: &Arc<Group>) -> Step {
        if self.statistics.emitted.is_some() {
            self.count(group, 1);
        }
        for child in self.children {
            Slot::point(
                &mut self.behind[child.index - self.first_behind..],
                child,
                point,
                group,
                self.ctx,
            )?;
        }
        Ok(())
    }

    /// Gives a batch to the children.
    pub fn batch(&mut self, batch: BatchRef<'_>) -> Step {
        if self.statistics.emitted.is_some() {
            self.count(batch.group, batch.points.len() as u64);
        }
        for child in self.children {
            let behind = &mut self.behind[child.index - self.first_behind..];
            Slot::batch(behind, child, batch, self.ctx)?;
        }
        Ok(())
    }

    /// Gives a point of a window to the only child, which folds; see [`super::Node::fuse`].
    #[inline]
    pub fn fold(&mut self, point: &Point, group: &Arc<Group>, is_first: bool) {
        for child in self.children {
            let slot = &mut self.behind[child.index - self.first_behind];
            slot.node.fold(point, group, is_first, self.ctx);
        }
    }

    /// Closes a window of `count` points that were folded; `batch` holds none of them.
    pub fn close(&mut self, batch: BatchRef<'_>, count: u64) -> Step {
        if self.statistics.emitted.is_some() {
            self.count(batch.group, count);
        }
        for child in self.children {
            let behind = &mut self.behind[child.index - self.first_behind..];
            Slot::close(behind, child, batch, count == 0, self.ctx)?;
        }
        Ok(())
    }

    /// Gives a barrier to the children.
    pub fn barrier(&mut self, barrier: &Barrier) -> Step {
        for child in self.children {
            let behind = &mut self.behind[child.index - self.first_behind..];
            Slot::barrier(behind, child, barrier, self.ctx)?;
        }
        Ok(())
    }

    /// Makes the children forget a group.
    pub fn delete(&mut self, group: &Arc<Group>) -> Step {
        if let Some(emitted) = &mut self.statistics.emitted {
            emitted.remove(group.slot);
        }
        for child in self.children {
            let behind = &mut self.behind[child.index - self.first_behind..];
            Slot::delete(behind, child, group, self.ctx)?;
        }
        Ok(())
    }

    /// Counts and reports a problem with one item.
    #[cold]
    pub fn error(&mut self, message: &str, cause: &str, context: &[(&str, &str)]) {
        self.statistics.errors += 1;
        if !self.is_quiet {
            let problem = Effect::Problem(Problem { message, cause, context });
            // A full log is counted by who keeps it.
            self.ctx.effects.effect(self.name, problem).ok();
        }
    }

    /// Has an effect; a refusal comes back as text.
    pub fn effect(&mut self, effect: Effect<'_>) -> Result<Option<Answer>, levada_model::Str> {
        self.ctx.effects.effect(self.name, effect)
    }

    /// Ends the task.
    #[cold]
    pub fn fail(&self, text: impl Into<String>) -> Box<Failure> {
        Box::new(Failure { node: self.name.name.to_string(), text: text.into() })
    }

    /// Says whether the node is quiet.
    pub fn is_quiet(&self) -> bool {
        self.is_quiet
    }

    /// Gives the node's name and place.
    pub fn name(&self) -> &NodeName {
        self.name
    }

    /// Asks for [`super::Node::timer`].
    pub fn set_timer(&mut self, token: u64, at: Timestamp) {
        self.ctx.timers.set(self.name.index, token, at);
    }

    /// Says whether the node has children: what has none need not be computed.
    pub fn has_children(&self) -> bool {
        !self.children.is_empty()
    }

    fn count(&mut self, group: &Arc<Group>, points: u64) {
        if let Some(emitted) = &mut self.statistics.emitted {
            let entry =
                emitted.entry(group.slot, || Emitted { group: Arc::clone(group), points: 0 });
            entry.points += points;
        }
    }
}
