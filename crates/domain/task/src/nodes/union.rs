//! `union`: the items of several parents as one sequence in the order of their times.

#[cfg(test)]
mod tests;

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use foldhash::fast::RandomState;
use levada_model::{Batch, BatchRef, Group, GroupKey, Point, Series, Str, Timestamp};
use levada_tick::script::Value;

use super::join::not_a_node;
use crate::property::Text;
use crate::runtime::{
    Barrier, Node, Out, PerGroup, Reader, StartContext, StateError, Step, Writer,
};
use crate::spec::{EdgeRule, Kind, Spec};
use crate::{spec_json, spec_properties};

/// `a|union(b, …)`
#[derive(Clone, Debug, Default)]
pub struct Union {
    rename: Text,
}

crate::properties! { Union { "rename" => rename } }

/// What is the same for all of them.
pub static KIND: Kind = Kind {
    name: "union",
    type_name: "UnionNode",
    desc: "union",
    json_type: "union",
    summary: "merges several parents in the order of time",
    wants: EdgeRule::SameAsParent,
    provides: EdgeRule::SameAsParent,
    chain: |builder, parent, _name, args| {
        // The others are linked first: their items go first when times are equal.
        let mut parents = Vec::with_capacity(args.len() + 1);
        for other in args {
            let other = builder.node_argument(&other).ok_or_else(|| not_a_node(&other))?;
            parents.push(other);
        }
        parents.push(parent);
        let edge = builder.provides(parent);
        builder.add_linked(edge, &parents, Box::new(Union::default()))
    },
    empty: || Box::new(Union::default()),
};

/// Items that one parent may be ahead of the others.
///
/// - Source: ours. Upstream's queues have no bound, and a silent parent fills them.
const QUEUE_MAX: usize = 1_000_000;

/// Series whose renamed form is remembered.
const SERIES_MAX: usize = 1_000_000;

struct Running {
    queues: Box<[Queue]>,
    rename: Option<Renamer>,
    /// No parent is behind this.
    floor: Option<Timestamp>,
    queue_max: usize,
}

/// What one parent gave and was not handed on.
#[derive(Default)]
struct Queue {
    items: VecDeque<Item>,
    /// The time of the last item that was at the head.
    last: Option<Timestamp>,
}

enum Item {
    Point(Point, Arc<Group>),
    Batch(Batch),
    Barrier(Barrier),
}

/// Gives items another measurement.
struct Renamer {
    name: Str,
    series: HashMap<u64, Arc<Series>, RandomState>,
    /// For groups by measurement: the group under the new one.
    groups: PerGroup<Arc<Group>>,
}

// === impl Union ===

impl Spec for Union {
    fn kind(&self) -> &'static Kind {
        &KIND
    }

    spec_properties!();
    spec_json!();

    fn args(&self) -> Vec<Value> {
        Vec::new()
    }

    fn start(&self, ctx: &mut StartContext<'_>) -> Result<Box<dyn Node>, String> {
        Ok(Box::new(Running {
            queues: (0..ctx.parents).map(|_| Queue::default()).collect(),
            rename: (!self.rename.0.is_empty()).then(|| Renamer::new(&self.rename.0)),
            floor: None,
            queue_max: QUEUE_MAX.min(ctx.limits.buffered_points),
        }))
    }
}

// === impl Item ===

impl Item {
    fn time(&self) -> Timestamp {
        match self {
            Item::Point(point, _) => point.time,
            Item::Batch(batch) => batch.time,
            Item::Barrier(barrier) => barrier.time,
        }
    }

    /// Counts its points; what has none takes memory, too.
    fn weight(&self) -> usize {
        match self {
            Item::Point(..) | Item::Barrier(_) => 1,
            Item::Batch(batch) => batch.points.len().max(1),
        }
    }

    fn give(&self, out: &mut Out<'_>) -> Step {
        match self {
            Item::Point(point, group) => out.point(point, group),
            Item::Batch(batch) => out.batch(batch.as_ref()),
            Item::Barrier(barrier) => out.barrier(barrier),
        }
    }

    fn save(&self, writer: &mut Writer<'_>) {
        match self {
            Item::Point(point, group) => {
                writer.uint(0);
                writer.group(group);
                writer.point(point);
            }
            Item::Batch(batch) => {
                writer.uint(1);
                writer.group(&batch.group);
                writer.text(&batch.name);
                writer.time(batch.time);
                writer.list(batch.points.iter(), |writer, point| writer.point(point));
            }
            Item::Barrier(barrier) => {
                writer.uint(2);
                writer.group(&barrier.group);
                writer.time(barrier.time);
            }
        }
    }

    fn load(reader: &mut Reader<'_>) -> Result<Self, StateError> {
        let kind = reader.uint()?;
        let group = reader.group()?;
        match kind {
            0 => Ok(Item::Point(reader.point()?, group)),
            1 => Ok(Item::Batch(Batch {
                group,
                name: reader.str()?,
                time: reader.time()?,
                points: reader.list(Reader::point)?,
            })),
            2 => Ok(Item::Barrier(Barrier { group, time: reader.time()? })),
            value => Err(StateError::Unknown { what: "kind of item", value }),
        }
    }
}

// === impl Renamer ===

impl Renamer {
    fn new(name: &str) -> Self {
        Renamer { name: name.into(), series: HashMap::default(), groups: PerGroup::default() }
    }

    fn series(&mut self, series: &Arc<Series>) -> Arc<Series> {
        if let Some(known) = self.series.get(&series.id) {
            return Arc::clone(known);
        }
        let renamed = Series::with_keys(
            Str::clone(&series.database),
            Str::clone(&series.retention),
            Str::clone(&self.name),
            Arc::clone(&series.keys),
            series.values.clone(),
        );
        if self.series.len() >= SERIES_MAX {
            self.series.clear();
        }
        self.series.insert(series.id, Arc::clone(&renamed));
        renamed
    }

    /// Gives the group under the new measurement; `None` when there are too many groups.
    fn group(&mut self, group: &Arc<Group>, out: &mut Out<'_>) -> Option<Arc<Group>> {
        if group.key.name.is_none() {
            return Some(Arc::clone(group));
        }
        if let Some(known) = self.groups.get(group.slot) {
            return Some(Arc::clone(known));
        }
        let key = GroupKey { name: Some(Str::clone(&self.name)), ..group.key.clone() };
        let Some(renamed) = out.ctx.group(key) else {
            out.error("too many groups", &group.id, &[]);
            return None;
        };
        self.groups.entry(group.slot, || Arc::clone(&renamed));
        Some(renamed)
    }

    fn point(&mut self, point: &Point) -> Point {
        Point { series: self.series(&point.series), ..point.clone() }
    }
}

// === impl Running ===

impl Running {
    fn group(&mut self, group: &Arc<Group>, out: &mut Out<'_>) -> Option<Arc<Group>> {
        match &mut self.rename {
            Some(renamer) => renamer.group(group, out),
            None => Some(Arc::clone(group)),
        }
    }

    fn push(&mut self, input: usize, item: Item, out: &mut Out<'_>) -> Step {
        if self.queues[input].items.is_empty() {
            self.queues[input].last = Some(item.time());
        }
        let mut fits = self.queues[input].items.len() < self.queue_max;
        if fits && !out.ctx.hold(item.weight()) {
            // What is held waits for this parent, perhaps; that it has moved on lets older items go.
            self.release(out)?;
            fits = out.ctx.hold(item.weight());
        }
        if !fits {
            out.error("too many buffered points", "a parent is too far ahead of the others", &[]);
            return Ok(());
        }
        self.queues[input].items.push_back(item);
        self.release(out)
    }

    /// Hands on what no parent can be older than.
    fn release(&mut self, out: &mut Out<'_>) -> Step {
        while let Some(input) = self.ready() {
            self.pop(input, out)?;
        }
        Ok(())
    }

    /// Gives the parent whose head is to go next: the oldest, of equal ones the first, when no silent parent is behind.
    #[inline]
    fn ready(&self) -> Option<usize> {
        let mut oldest: Option<(Timestamp, usize)> = None;
        let mut silent: Option<Option<Timestamp>> = None;
        for (input, queue) in self.queues.iter().enumerate() {
            match queue.items.front() {
                Some(item) => {
                    if oldest.is_none_or(|(time, _)| item.time() < time) {
                        oldest = Some((item.time(), input));
                    }
                }
                None => {
                    let mark = queue.last.max(self.floor);
                    silent = Some(silent.map_or(mark, |least| least.min(mark)));
                }
            }
        }
        let (time, input) = oldest?;
        silent.is_none_or(|mark| mark.is_some_and(|mark| time <= mark)).then_some(input)
    }

    fn pop(&mut self, input: usize, out: &mut Out<'_>) -> Step {
        let queue = &mut self.queues[input];
        let Some(item) = queue.items.pop_front() else { return Ok(()) };
        if let Some(next) = queue.items.front() {
            queue.last = Some(next.time());
        }
        out.ctx.let_go(item.weight());
        item.give(out)
    }
}

impl Node for Running {
    fn point(
        &mut self,
        input: usize,
        point: &Point,
        group: &Arc<Group>,
        out: &mut Out<'_>,
    ) -> Step {
        let Some(group) = self.group(group, out) else { return Ok(()) };
        let point = match &mut self.rename {
            Some(renamer) => renamer.point(point),
            None => point.clone(),
        };
        self.push(input, Item::Point(point, group), out)
    }

    fn batch(&mut self, input: usize, batch: BatchRef<'_>, out: &mut Out<'_>) -> Step {
        let Some(group) = self.group(batch.group, out) else { return Ok(()) };
        let batch = match &mut self.rename {
            Some(renamer) => Batch {
                name: Str::clone(&renamer.name),
                group,
                time: batch.time,
                points: batch.points.iter().map(|point| renamer.point(point)).collect(),
            },
            None => batch.to_owned(),
        };
        self.push(input, Item::Batch(batch), out)
    }

    fn barrier(&mut self, input: usize, barrier: &Barrier, out: &mut Out<'_>) -> Step {
        let Some(group) = self.group(&barrier.group, out) else { return Ok(()) };
        self.push(input, Item::Barrier(Barrier { group, time: barrier.time }), out)
    }

    fn delete(&mut self, _input: usize, group: &Arc<Group>, out: &mut Out<'_>) -> Step {
        // It overtakes what is queued, as upstream's does; queued points are not lost.
        let renamed = self.group(group, out);
        self.forget(group.slot);
        renamed.map_or(Ok(()), |group| out.delete(&group))
    }

    fn forget(&mut self, slot: u32) {
        if let Some(renamer) = &mut self.rename {
            renamer.groups.remove(slot);
        }
    }

    fn restored(&mut self, out: &mut Out<'_>) {
        out.ctx.held += self.buffered();
    }

    fn finish(&mut self, out: &mut Out<'_>) -> Step {
        // Nothing follows, so every silent parent counts as past everything.
        let floor = self.floor.replace(Timestamp(i64::MAX));
        let step = self.release(out);
        self.floor = floor;
        step
    }

    fn watermark(&mut self, time: Timestamp, out: &mut Out<'_>) -> Step {
        let floor = Timestamp(time.0.saturating_sub(1));
        self.floor = self.floor.max(Some(floor));
        self.release(out)
    }

    fn cardinality(&self) -> usize {
        0
    }

    fn buffered(&self) -> usize {
        self.queues.iter().flat_map(|queue| &queue.items).map(Item::weight).sum()
    }

    fn save(&self, writer: &mut Writer<'_>) {
        writer.option(self.floor, |writer, floor| writer.time(floor));
        writer.list(self.queues.iter(), |writer, queue| {
            writer.option(queue.last, |writer, last| writer.time(last));
            writer.list(queue.items.iter(), |writer, item| item.save(writer));
        });
    }

    fn load(&mut self, reader: &mut Reader<'_>) -> Result<(), StateError> {
        self.floor = reader.option(Reader::time)?;
        let queues = reader.list(|reader| {
            let last = reader.option(Reader::time)?;
            Ok(Queue { last, items: reader.list(Item::load)?.into() })
        })?;
        if queues.len() != self.queues.len() {
            return Err(StateError::Refused(
                "the saved state is of a union of other parents".to_owned(),
            ));
        }
        self.queues = queues.into();
        Ok(())
    }
}
