//! What `default` and `delete` have in common: each point is written anew, and its group may get another key.

use std::sync::Arc;

use levada_model::{BatchRef, Group, GroupKey, Point};

use super::regroup::Regroup;
use crate::runtime::{Barrier, Node, Out, Reader, StateError, Step, Writer};

/// What is done to points and to the keys of their groups.
pub(super) trait Rewrite: Send {
    /// Gives the point that takes the place of another one.
    fn point(&mut self, point: &Point) -> Point;

    /// Says whether keys of groups may change at all.
    fn changes_groups(&self) -> bool;

    /// Gives the key that takes the place of another one; nothing when it stays.
    fn key(&self, key: &GroupKey) -> Option<GroupKey>;
}

/// A node that writes points anew.
pub(super) struct Rewritten<R> {
    rewrite: R,
    groups: Regroup,
    /// Room for the points of a batch.
    points: Vec<Point>,
}

// === impl Rewritten ===

impl<R: Rewrite> Rewritten<R> {
    pub(super) fn new(rewrite: R) -> Self {
        Rewritten { rewrite, groups: Regroup::default(), points: Vec::new() }
    }

    fn group(&mut self, group: &Arc<Group>, out: &mut Out<'_>) -> Option<Arc<Group>> {
        let rewrite = &self.rewrite;
        if !rewrite.changes_groups() {
            return Some(Arc::clone(group));
        }
        let becomes = self.groups.group(group, out.ctx, |key| rewrite.key(key));
        if becomes.is_none() {
            out.error("too many groups", &group.id, &[]);
        }
        becomes
    }
}

impl<R: Rewrite> Node for Rewritten<R> {
    fn point(
        &mut self,
        _input: usize,
        point: &Point,
        group: &Arc<Group>,
        out: &mut Out<'_>,
    ) -> Step {
        let Some(group) = self.group(group, out) else { return Ok(()) };
        out.point(&self.rewrite.point(point), &group)
    }

    fn batch(&mut self, _input: usize, batch: BatchRef<'_>, out: &mut Out<'_>) -> Step {
        let Some(group) = self.group(batch.group, out) else { return Ok(()) };
        let Rewritten { rewrite, points, .. } = self;
        points.extend(batch.points.iter().map(|point| rewrite.point(point)));
        let result = out.batch(BatchRef { group: &group, points, ..batch });
        points.clear();
        result
    }

    fn barrier(&mut self, _input: usize, barrier: &Barrier, out: &mut Out<'_>) -> Step {
        let rewrite = &self.rewrite;
        self.groups.barrier(barrier, out, |key| rewrite.key(key))
    }

    fn delete(&mut self, _input: usize, group: &Arc<Group>, out: &mut Out<'_>) -> Step {
        self.groups.delete(group, out)
    }

    fn forget(&mut self, slot: u32) {
        self.groups.forget(slot);
    }

    fn cardinality(&self) -> usize {
        0
    }

    fn save(&self, writer: &mut Writer<'_>) {
        self.groups.save(writer);
    }

    fn load(&mut self, reader: &mut Reader<'_>) -> Result<(), StateError> {
        self.groups = Regroup::load(reader)?;
        Ok(())
    }
}
