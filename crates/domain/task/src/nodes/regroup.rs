//! Groups that a node gives other dimensions or values: `default` and `delete`.

use std::sync::Arc;

use levada_model::{Group, GroupKey};

use crate::runtime::{Barrier, Context, Out, PerGroup, Reader, StateError, Step, Writer};

/// What each group of the input has become.
///
/// - Several groups may become one. Then no barrier is handed on, since it speaks for one of them only, and the group is
///   deleted downstream with the last of them.
#[derive(Debug, Default)]
pub struct Regroup {
    by_slot: PerGroup<Arc<Group>>,
    /// How many groups have become this one; none for those that stay as they are.
    sources: PerGroup<u32>,
}

// === impl Regroup ===

impl Regroup {
    /// Gives what a group becomes; `key` gives its new key, or nothing when it stays as it is.
    ///
    /// - `None`: the task has too many groups.
    #[inline]
    pub fn group(
        &mut self,
        group: &Arc<Group>,
        ctx: &mut Context,
        key: impl FnOnce(&GroupKey) -> Option<GroupKey>,
    ) -> Option<Arc<Group>> {
        if let Some(known) = self.by_slot.get(group.slot) {
            return Some(Arc::clone(known));
        }
        let becomes = match key(&group.key) {
            Some(key) => ctx.group(key)?,
            None => Arc::clone(group),
        };
        *self.sources.entry(becomes.slot, || 0) += 1;
        self.by_slot.entry(group.slot, || Arc::clone(&becomes));
        Some(becomes)
    }

    /// Hands a barrier on to what its group becomes.
    pub fn barrier(
        &mut self,
        barrier: &Barrier,
        out: &mut Out<'_>,
        key: impl FnOnce(&GroupKey) -> Option<GroupKey>,
    ) -> Step {
        match self.group(&barrier.group, out.ctx, key) {
            Some(group) if self.sources.get(group.slot) == Some(&1) => {
                out.barrier(&Barrier { group, time: barrier.time })
            }
            // It speaks for one of several; or there is no room for the group, which its data will report.
            _ => Ok(()),
        }
    }

    /// Hands a delete on.
    pub fn delete(&mut self, group: &Arc<Group>, out: &mut Out<'_>) -> Step {
        let Some(becomes) = self.by_slot.get(group.slot).map(Arc::clone) else {
            return out.delete(group);
        };
        if self.forget(group.slot) { out.delete(&becomes) } else { Ok(()) }
    }

    /// Appends what the groups have become, so that a later delete reaches the right one.
    pub fn save(&self, writer: &mut Writer<'_>) {
        writer.per_group(&self.by_slot, |writer, becomes| writer.group(becomes));
    }

    /// Reads what the groups have become.
    pub fn load(reader: &mut Reader<'_>) -> Result<Self, StateError> {
        let by_slot = reader.per_group(|reader, _| reader.group())?;
        let mut sources = PerGroup::default();
        for (_, becomes) in by_slot.iter() {
            *sources.entry(becomes.slot, || 0) += 1;
        }
        Ok(Regroup { by_slot, sources })
    }

    /// Forgets a group; says whether nothing else has become the same.
    pub fn forget(&mut self, slot: u32) -> bool {
        let Some(becomes) = self.by_slot.remove(slot) else { return false };
        let sources = self.sources.entry(becomes.slot, || 1);
        *sources = sources.saturating_sub(1);
        let is_last = *sources == 0;
        if is_last {
            self.sources.remove(becomes.slot);
        }
        is_last
    }
}
