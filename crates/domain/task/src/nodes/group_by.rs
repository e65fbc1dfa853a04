//! `groupBy`: groups points by other dimensions.

mod batches;
#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::sync::Arc;

use foldhash::fast::RandomState;
use levada_model::{BatchRef, Group, Point, Timestamp};
use levada_tick::script::{CallError, Value};
use serde_json::{Map, Value as Json};

use self::batches::Batches;
use super::dimensions::{Dimensions, Grouper, Grouping};
use super::idle::{self, Idle};
use crate::property::types::MoreStrings;
use crate::property::{Flag, PropertyType};
use crate::runtime::{
    Barrier, Node, Out, PerGroup, Reader, StartContext, StateError, Step, Writer,
};
use crate::spec::{Edge, EdgeRule, Kind, Spec};
use crate::spec_properties;

/// `|groupBy('a', …)`, `|groupBy(*)`
#[derive(Clone, Debug, Default)]
pub struct GroupBy {
    dimensions: Dimensions,
    by_name: Flag,
    exclude: MoreStrings,
}

crate::properties! {
    GroupBy {
        "byMeasurement" => by_name,
        "exclude" => exclude,
    }
}

/// What is the same for all of them.
pub static KIND: Kind = Kind {
    name: "groupBy",
    type_name: "GroupByNode",
    desc: "groupby",
    json_type: "groupBy",
    summary: "groups points by tags",
    wants: EdgeRule::SameAsParent,
    provides: EdgeRule::SameAsParent,
    chain: |builder, parent, _name, args| -> Result<_, CallError> {
        let spec = GroupBy { dimensions: Dimensions(args), ..GroupBy::default() };
        builder.add(parent, Box::new(spec))
    },
    empty: || Box::new(GroupBy::default()),
};

/// The member of the JSON form that holds the arguments.
const DIMENSIONS: &str = "dimensions";

/// Which new groups the points of each old group went to.
///
/// Barriers and deletes speak of old groups; what is behind the node knows the new ones only (U-16).
#[derive(Debug, Default)]
struct Links {
    by_old: PerGroup<NewGroups>,
    /// The old groups that feed a new one.
    feeders: PerGroup<Feeders>,
}

/// The new groups of one old group, by their slots.
type NewGroups = HashMap<u32, Arc<Group>, RandomState>;

/// The old groups that feed a new one.
#[derive(Debug)]
struct Feeders {
    count: u32,
    /// The one that was last linked: usually the next one, too. [`NOBODY`] when it is gone.
    last: u32,
}

/// The slot of no group.
const NOBODY: u32 = u32::MAX;

struct Streaming {
    grouper: Grouper,
    idle: Option<Idle>,
    links: Links,
    /// Barriers and deletes keep the old group, as upstream has it.
    keeps_old: bool,
}

// === impl GroupBy ===

impl GroupBy {
    fn grouping(&self) -> Grouping {
        self.dimensions.grouping(&self.exclude.0, self.by_name.0)
    }
}

impl Spec for GroupBy {
    fn kind(&self) -> &'static Kind {
        &KIND
    }

    spec_properties!();

    fn args(&self) -> Vec<Value> {
        self.dimensions.0.clone()
    }

    fn json(&self) -> Map<String, Json> {
        let mut json = crate::property::json(self);
        json.insert(DIMENSIONS.to_owned(), self.dimensions.json());
        json
    }

    fn load(&mut self, json: &Map<String, Json>) -> Result<(), String> {
        if let Some(dimensions) = json.get(DIMENSIONS) {
            self.dimensions
                .load(dimensions)
                .map_err(|problem| format!("{DIMENSIONS}: {problem}"))?;
        }
        crate::property::load(self, json)
    }

    fn validate(&self) -> Result<(), String> {
        self.dimensions.check(!self.exclude.0.is_empty())
    }

    fn decides_groups(&self) -> bool {
        true
    }

    fn start(&self, ctx: &mut StartContext<'_>) -> Result<Box<dyn Node>, String> {
        let grouper = Grouper::new(self.grouping());
        let keeps_old = ctx.compat.is_1_8;
        Ok(match ctx.wants {
            Edge::Batch => Box::new(Batches::new(grouper, keeps_old)),
            _ => Box::new(Streaming {
                grouper,
                idle: Idle::new(ctx.limits.group_ttl),
                links: Links::default(),
                keeps_old,
            }),
        })
    }
}

// === impl Links ===

impl Links {
    /// Notes that a point went from one group to another.
    #[inline]
    fn link(&mut self, old: &Group, new: &Arc<Group>) {
        if self.feeders.get(new.slot).is_none_or(|feeders| feeders.last != old.slot) {
            self.note(old.slot, new);
        }
    }

    #[cold]
    fn note(&mut self, old: u32, new: &Arc<Group>) {
        let links = self.by_old.entry(old, HashMap::default);
        let is_new = links.insert(new.slot, Arc::clone(new)).is_none();
        let feeders = self.feeders.entry(new.slot, || Feeders { count: 0, last: NOBODY });
        feeders.count += u32::from(is_new);
        feeders.last = old;
    }

    /// Gives the new groups of an old one, in the order of their texts.
    fn of(&self, old: u32) -> Vec<Arc<Group>> {
        let Some(links) = self.by_old.get(old) else { return Vec::new() };
        let mut groups: Vec<Arc<Group>> = links.values().cloned().collect();
        groups.sort_by(|one, other| one.id.cmp(&other.id));
        groups
    }

    /// Forgets an old group; gives the new groups that no other one feeds.
    fn unlink(&mut self, old: u32) -> Vec<Arc<Group>> {
        let mut orphans = self.of(old);
        self.by_old.remove(old);
        orphans.retain(|new| {
            let Some(feeders) = self.feeders.get_mut(new.slot) else { return true };
            feeders.count = feeders.count.saturating_sub(1);
            if feeders.last == old {
                feeders.last = NOBODY;
            }
            feeders.count == 0
        });
        for new in &orphans {
            self.feeders.remove(new.slot);
        }
        orphans
    }

    /// Forgets a group on either side.
    fn forget(&mut self, slot: u32) {
        self.unlink(slot);
        if self.feeders.remove(slot).is_some() {
            for (_, links) in self.by_old.iter_mut() {
                links.remove(&slot);
            }
        }
    }

    fn save(&self, writer: &mut Writer<'_>) {
        writer.per_group(&self.by_old, |writer, links| {
            writer.list(links.values(), |writer, new| writer.group(new));
        });
    }

    fn load(reader: &mut Reader<'_>) -> Result<Self, StateError> {
        let mut feeders = PerGroup::default();
        let by_old = reader.per_group(|reader, _| {
            let groups = reader.list(Reader::group)?;
            let new: NewGroups = groups.into_iter().map(|group| (group.slot, group)).collect();
            for slot in new.keys() {
                feeders.entry(*slot, || Feeders { count: 0, last: NOBODY }).count += 1;
            }
            Ok(new)
        })?;
        Ok(Links { by_old, feeders })
    }
}

// === impl Streaming ===

impl Node for Streaming {
    #[inline]
    fn point(
        &mut self,
        _input: usize,
        point: &Point,
        group: &Arc<Group>,
        out: &mut Out<'_>,
    ) -> Step {
        // Grouping by measurement is for good: a later node adds dimensions, it does not take this away (U-27).
        let by_name = group.key.name.is_some();
        let new = self.grouper.group_by_name(&point.series, &mut out.ctx.groups, by_name);
        let Some(new) = new else {
            out.error("too many groups", &point.series.name, &[]);
            return Ok(());
        };
        if !self.keeps_old {
            self.links.link(group, new);
        }
        if let Some(idle) = &mut self.idle {
            idle.touch(new, out.ctx.now);
        }
        out.point(point, new)
    }

    fn batch(&mut self, _input: usize, _batch: BatchRef<'_>, _out: &mut Out<'_>) -> Step {
        Ok(())
    }

    fn barrier(&mut self, _input: usize, barrier: &Barrier, out: &mut Out<'_>) -> Step {
        if self.keeps_old {
            return out.barrier(barrier);
        }
        let new = self.links.of(barrier.group.slot);
        new.into_iter().try_for_each(|group| out.barrier(&Barrier { group, time: barrier.time }))
    }

    fn delete(&mut self, _input: usize, group: &Arc<Group>, out: &mut Out<'_>) -> Step {
        if self.keeps_old {
            return out.delete(group);
        }
        // A group that others feed, too, lives on.
        for new in self.links.unlink(group.slot) {
            self.grouper.forget(new.slot);
            out.delete(&new)?;
        }
        Ok(())
    }

    fn forget(&mut self, slot: u32) {
        self.links.forget(slot);
        self.grouper.forget(slot);
        if let Some(idle) = &mut self.idle {
            idle.forget(slot);
        }
    }

    fn begin(&mut self, out: &mut Out<'_>) -> Step {
        Idle::begin(self.idle.as_ref(), out);
        Ok(())
    }

    fn timer(&mut self, _token: u64, now: Timestamp, out: &mut Out<'_>) -> Step {
        for group in Idle::look(self.idle.as_mut(), now, out) {
            self.forget(group.slot);
            idle::delete(group, out)?;
        }
        Ok(())
    }

    fn cardinality(&self) -> usize {
        0
    }

    fn save(&self, writer: &mut Writer<'_>) {
        self.links.save(writer);
    }

    fn load(&mut self, reader: &mut Reader<'_>) -> Result<(), StateError> {
        self.links = Links::load(reader)?;
        Ok(())
    }
}
