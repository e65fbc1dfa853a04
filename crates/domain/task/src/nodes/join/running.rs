//! The join that runs.

use std::mem;
use std::sync::Arc;

use levada_model::time::round;
use levada_model::{BatchRef, FieldValue, Group, Point, Str, Timestamp};
use smallvec::SmallVec;

use super::matching::{Delivery, Matching};
use super::sets::{Item, Set, Sets};
use crate::nodes::derived::Scratch;
use crate::nodes::group_series::GroupSeries;
use crate::nodes::prefix::Merger;
use crate::runtime::{Barrier, Node, Out, PerGroup, Reader, StateError, Step, Writer};

/// The join that runs.
pub(super) struct Running {
    pub(super) parents: usize,
    pub(super) tolerance: i64,
    /// What missing values are; sets that lack an item are dropped when there is nothing.
    pub(super) fill: Option<FieldValue>,
    /// The measurement of the output, when it is fixed.
    pub(super) name: Option<Str>,
    pub(super) merger: Merger,
    pub(super) series: GroupSeries,
    pub(super) groups: PerGroup<Sets>,
    pub(super) matching: Option<Matching>,
    pub(super) deletes_all: bool,
    /// No parent is behind this.
    pub(super) floor: Option<Timestamp>,
    pub(super) deliveries: Vec<Delivery>,
    pub(super) rows: Vec<Point>,
    pub(super) joined: Scratch,
    /// Points let go by [`Node::forget`].
    pub(super) released: usize,
}

// === impl Running ===

impl Running {
    fn item(
        &mut self,
        parent: usize,
        time: Timestamp,
        group: &Arc<Group>,
        item: Item,
        out: &mut Out<'_>,
    ) -> Step {
        let time = round(time, self.tolerance);
        let Some(matching) = &mut self.matching else {
            return self.put(parent, time, group, item, out);
        };
        let mut deliveries = mem::take(&mut self.deliveries);
        let taken = matching.take(parent, time, group, item, out.ctx, &mut deliveries);
        let step = self.deliver(&mut deliveries, out);
        self.deliveries = deliveries;
        if let Err(problem) = taken {
            out.error(problem, &group.id, &[]);
        }
        step
    }

    fn deliver(&mut self, deliveries: &mut Vec<Delivery>, out: &mut Out<'_>) -> Step {
        for delivery in deliveries.drain(..) {
            match delivery {
                Delivery::Put { parent, time, group, item } => {
                    self.put(parent, time, &group, item, out)?;
                }
                Delivery::Advance { parent, time, group } => {
                    self.advance(parent, time, &group, out)?;
                }
            }
        }
        Ok(())
    }

    fn put(
        &mut self,
        parent: usize,
        time: Timestamp,
        group: &Arc<Group>,
        item: Item,
        out: &mut Out<'_>,
    ) -> Step {
        let parents = self.parents;
        let sets = self.groups.entry(group.slot, || Sets::new(group, parents));
        if !sets.insert(parent, time, item, |weight| out.ctx.hold(weight)) {
            out.error("too many buffered points", &group.id, &[]);
        }
        self.emit(group.slot, out)
    }

    /// Puts a point; the one that completes the oldest set, as it mostly does, is joined where it is.
    #[inline]
    fn put_point(
        &mut self,
        parent: usize,
        point: &Point,
        group: &Arc<Group>,
        out: &mut Out<'_>,
    ) -> Step {
        let time = round(point.time, self.tolerance);
        let sets = self.groups.get_mut(group.slot);
        let Some(set) = sets.and_then(|sets| sets.completed(parent, time)) else {
            return self.put(parent, time, group, Item::Point(point.clone()), out);
        };
        let held = set.held + usize::from(out.ctx.hold(1));
        out.ctx.let_go(held);
        let has_children = out.has_children();
        if has_children {
            let part = |at: usize| match set.items.get(at) {
                Some(Some(Item::Point(held))) => Some(held),
                Some(None) => Some(point),
                _ => None,
            };
            let first = part(0).unwrap_or(point);
            let series = self.series.of(self.name.as_ref().unwrap_or(&first.series.name), group);
            let merged = self.merger.merged(|at| part(at).map(|part| &part.shape), &first.shape);
            let joined = self.joined.begin(series, &merged.shape, time);
            let fill = self.fill.as_ref().unwrap_or(&FieldValue::Null);
            merged.put_values(|at| part(at).map(|part| &part.values), fill, &mut joined.values);
        }
        if let Some(sets) = self.groups.get_mut(group.slot) {
            sets.take();
        }
        if has_children {
            out.point(self.joined.made(), group)?;
        }
        self.emit(group.slot, out)
    }

    /// Notes how far a parent is, even in a group without data: its first set need not wait for this parent then.
    fn advance(
        &mut self,
        parent: usize,
        time: Timestamp,
        group: &Arc<Group>,
        out: &mut Out<'_>,
    ) -> Step {
        let parents = self.parents;
        let sets = self.groups.entry(group.slot, || Sets::new(group, parents));
        sets.advance(parent, time);
        self.emit(group.slot, out)
    }

    /// Gives the sets of a group that may go.
    fn emit(&mut self, slot: u32, out: &mut Out<'_>) -> Step {
        while let Some(sets) = self.groups.get_mut(slot) {
            let Some(set) = sets.take_ready(self.floor) else { break };
            let group = Arc::clone(&sets.group);
            self.give(&set, &group, out)?;
        }
        Ok(())
    }

    /// Gives everything that is left, in the order of the times.
    fn emit_rest(&mut self, out: &mut Out<'_>) -> Step {
        let mut rest: Vec<(Set, Arc<Group>)> = Vec::new();
        for (_, sets) in self.groups.iter_mut() {
            while let Some(set) = sets.take() {
                rest.push((set, Arc::clone(&sets.group)));
            }
        }
        // Of one time in the order of the groups' texts: slots are others after a restart.
        rest.sort_by(|(one, of), (other, than)| (one.time, &of.id).cmp(&(other.time, &than.id)));
        rest.into_iter().try_for_each(|(set, group)| self.give(&set, &group, out))
    }

    fn give(&mut self, set: &Set, group: &Arc<Group>, out: &mut Out<'_>) -> Step {
        out.ctx.let_go(set.held);
        if (self.fill.is_none() && !set.is_complete()) || !out.has_children() {
            return Ok(());
        }
        let Some(first) = set.items.iter().flatten().next() else { return Ok(()) };
        let series = self.series.of(self.name.as_ref().unwrap_or(first.name()), group);
        let fill = self.fill.as_ref().unwrap_or(&FieldValue::Null);
        match first {
            Item::Point(first) => {
                let part = |at: usize| match set.items.get(at) {
                    Some(Some(Item::Point(point))) => Some(point),
                    _ => None,
                };
                let merged = self.merger.merged(|at| part(at).map(|p| &p.shape), &first.shape);
                let joined = self.joined.begin(series, &merged.shape, set.time);
                merged.put_values(|at| part(at).map(|p| &p.values), fill, &mut joined.values);
                out.point(joined, group)
            }
            Item::Batch(_) => {
                let mut rows = mem::take(&mut self.rows);
                self.merge_rows(set, &series, &mut rows);
                let (name, time) = (&series.name, set.time);
                let step = out.batch(BatchRef { name, group, time, points: &rows });
                rows.clear();
                self.rows = rows;
                step
            }
        }
    }

    /// Merges the points of batches by their rounded times.
    fn merge_rows(&mut self, set: &Set, series: &Arc<levada_model::Series>, rows: &mut Vec<Point>) {
        let mut ends: SmallVec<[&[Point]; 4]> = set
            .items
            .iter()
            .map(|item| match item {
                Some(Item::Batch(batch)) => batch.points.as_slice(),
                _ => &[],
            })
            .collect();
        let fill = self.fill.clone().unwrap_or(FieldValue::Null);
        let at = |points: &[Point]| points.first().map(|point| round(point.time, self.tolerance));
        let mut template: Option<&Arc<levada_model::Shape>> = None;
        let mut row: SmallVec<[Option<&Point>; 4]> = SmallVec::new();
        while let Some(time) = ends.iter().filter_map(|points| at(points)).min() {
            row.clear();
            for points in &mut ends {
                let next = if at(points) == Some(time) { points.split_first() } else { None };
                row.push(next.map(|(first, rest)| {
                    *points = rest;
                    first
                }));
            }
            // Missing fields are named after those of the first point of the whole set.
            let first = row.iter().flatten().next().map(|point| &point.shape);
            template = template.or(first);
            let Some(template) = template else { break };
            let is_complete = row.iter().all(Option::is_some);
            if self.fill.is_some() || is_complete {
                let merged = self.merger.merged(|at| row[at].map(|point| &point.shape), template);
                rows.push(Point {
                    series: Arc::clone(series),
                    shape: Arc::clone(&merged.shape),
                    values: merged.values(|at| row[at].map(|point| &point.values), &fill),
                    time,
                });
            }
        }
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
        if self.matching.is_none() {
            return self.put_point(input, point, group, out);
        }
        self.item(input, point.time, group, Item::Point(point.clone()), out)
    }

    fn batch(&mut self, input: usize, batch: BatchRef<'_>, out: &mut Out<'_>) -> Step {
        self.item(input, batch.time, batch.group, Item::Batch(Arc::new(batch.to_owned())), out)
    }

    fn barrier(&mut self, input: usize, barrier: &Barrier, out: &mut Out<'_>) -> Step {
        let time = round(barrier.time, self.tolerance);
        if let Some(matching) = &mut self.matching {
            let mut deliveries = mem::take(&mut self.deliveries);
            matching.barrier(input, time, &barrier.group, out.ctx, &mut deliveries);
            let step = self.deliver(&mut deliveries, out);
            self.deliveries = deliveries;
            step?;
        } else {
            self.advance(input, time, &barrier.group, out)?;
        }
        out.barrier(barrier)
    }

    fn delete(&mut self, input: usize, group: &Arc<Group>, out: &mut Out<'_>) -> Step {
        if let Some(matching) = &mut self.matching {
            matching.clear_progress(input, group, self.deletes_all);
        }
        self.forget(group.slot);
        out.ctx.let_go(mem::take(&mut self.released));
        out.delete(group)
    }

    fn forget(&mut self, slot: u32) {
        if let Some(sets) = self.groups.remove(slot) {
            self.released += sets.held();
        }
        if let Some(matching) = &mut self.matching {
            matching.forget(slot);
            self.released += mem::take(&mut matching.released);
        }
        self.series.forget(slot);
    }

    fn restored(&mut self, out: &mut Out<'_>) {
        out.ctx.held += self.buffered();
    }

    fn finish(&mut self, out: &mut Out<'_>) -> Step {
        if let Some(matching) = &mut self.matching {
            let mut deliveries = Vec::new();
            matching.finish(out.ctx, &mut deliveries);
            self.deliver(&mut deliveries, out)?;
        }
        self.emit_rest(out)
    }

    fn watermark(&mut self, time: Timestamp, out: &mut Out<'_>) -> Step {
        let time = round(time, self.tolerance);
        if self.floor.is_some_and(|floor| time <= floor) {
            return Ok(());
        }
        self.floor = Some(time);
        if let Some(matching) = &mut self.matching {
            let mut deliveries = Vec::new();
            matching.watermark(time, out.ctx, &mut deliveries);
            self.deliver(&mut deliveries, out)?;
        }
        let mut due: Vec<(Timestamp, Str, u32)> = self
            .groups
            .iter()
            .filter_map(|(slot, sets)| Some((sets.oldest()?, Str::clone(&sets.group.id), slot)))
            .filter(|(oldest, ..)| *oldest < time)
            .collect();
        due.sort_unstable();
        due.into_iter().try_for_each(|(.., slot)| self.emit(slot, out))
    }

    fn cardinality(&self) -> usize {
        self.groups.len()
    }

    fn buffered(&self) -> usize {
        let sets: usize = self.groups.iter().map(|(_, sets)| sets.held()).sum();
        sets + self.matching.as_ref().map_or(0, Matching::held)
    }

    fn save(&self, writer: &mut Writer<'_>) {
        writer.option(self.floor, |writer, floor| writer.time(floor));
        writer.per_group(&self.groups, |writer, sets| sets.save(writer));
        writer.option(self.matching.as_ref(), |writer, matching| matching.save(writer));
    }

    fn load(&mut self, reader: &mut Reader<'_>) -> Result<(), StateError> {
        let parents = self.parents;
        self.floor = reader.option(Reader::time)?;
        self.groups = reader.per_group(|reader, group| Sets::load(reader, group, parents))?;
        match (reader.bool()?, &mut self.matching) {
            (true, Some(matching)) => matching.load(reader),
            (false, None) => Ok(()),
            _ => Err(StateError::Refused("the saved state is of another join".to_owned())),
        }
    }
}
