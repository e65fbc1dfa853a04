//! `groupBy` on batches: the points of all batches of one time are grouped anew.

use std::collections::HashMap;
use std::mem;
use std::sync::Arc;

use foldhash::fast::RandomState;
use levada_model::{Batch, BatchRef, Group, Point, Str, Timestamp};

use super::Links;
use crate::nodes::dimensions::Grouper;
use crate::runtime::{Barrier, Node, Out, PerGroup, Reader, StateError, Step, Writer};

/// Collects the batches of one time.
///
/// They are given away when
/// - every group has delivered as many batches as it did for the time before, and no group has come or gone for
///   [`SETTLED`] times: the last contributor is known then,
/// - a batch, a barrier or a watermark of another time comes,
/// - the input ends.
///
/// Differs: upstream only knows the second of these, so it is always one time late and loses the last one (U-14).
pub(super) struct Batches {
    grouper: Grouper,
    links: Links,
    keeps_old: bool,
    /// The time of what was taken last.
    time: Option<Timestamp>,
    /// By the new group's slot.
    pending: PerGroup<Batch>,
    /// By the old group's slot: batches of the time before, and of this one.
    counts: HashMap<u32, Count, RandomState>,
    /// Batches that are still to come before all have delivered.
    missing: usize,
    /// For how many times in a row all groups have delivered the same number of batches, up to [`SETTLED`].
    settled: u32,
    held: usize,
}

/// After so many times without a new group none is expected. One that comes too early gets a batch of its own for that
/// time, which would make a sum over all groups wrong.
const SETTLED: u32 = 8;

#[derive(Clone, Copy, Debug, Default)]
struct Count {
    before: u32,
    now: u32,
}

// === impl Batches ===

impl Batches {
    pub(super) fn new(grouper: Grouper, keeps_old: bool) -> Self {
        Batches {
            grouper,
            links: Links::default(),
            keeps_old,
            time: None,
            pending: PerGroup::default(),
            counts: HashMap::default(),
            missing: 0,
            settled: 0,
            held: 0,
        }
    }

    fn add(&mut self, point: &Point, batch: &BatchRef<'_>, out: &mut Out<'_>) {
        let by_name = batch.group.key.name.is_some();
        let new = self.grouper.group_by_name(&point.series, &mut out.ctx.groups, by_name);
        let Some(new) = new else {
            out.error("too many groups", &point.series.name, &[]);
            return;
        };
        if !out.ctx.hold(1) {
            out.error("too many buffered points", &new.id, &[]);
            return;
        }
        self.held += 1;
        if !self.keeps_old {
            self.links.link(batch.group, new);
        }
        let pending = self.pending.entry(new.slot, || Batch {
            name: Str::clone(batch.name),
            group: Arc::clone(new),
            time: batch.time,
            points: Vec::new(),
        });
        pending.points.push(point.clone());
    }

    /// Gives the new groups in the order of their texts, their points in the order of time.
    fn flush(&mut self, out: &mut Out<'_>) -> Step {
        if self.pending.is_empty() {
            return Ok(());
        }
        out.ctx.let_go(mem::take(&mut self.held));
        let mut pending = mem::take(&mut self.pending);
        let mut batches: Vec<&mut Batch> = pending.iter_mut().map(|(_, batch)| batch).collect();
        batches.sort_by(|one, other| one.group.id.cmp(&other.group.id));
        for batch in batches {
            batch.points.sort_by_key(|point| point.time);
            out.batch(batch.as_ref())?;
        }
        Ok(())
    }

    /// Says whether the last contributor has delivered.
    fn is_complete(&self) -> bool {
        self.missing == 0 && self.settled >= SETTLED
    }

    /// Begins another time: what each group delivered is what is expected of it.
    fn begin(&mut self, time: Timestamp) {
        let is_same = self.counts.values().all(|count| count.before == count.now);
        self.settled = if is_same { SETTLED.min(self.settled + 1) } else { 0 };
        self.time = Some(time);
        self.missing = 0;
        self.counts.retain(|_, count| {
            *count = Count { before: count.now, now: 0 };
            self.missing += count.before as usize;
            count.before > 0
        });
    }
}

impl Node for Batches {
    fn point(
        &mut self,
        _input: usize,
        _point: &Point,
        _group: &Arc<Group>,
        _out: &mut Out<'_>,
    ) -> Step {
        Ok(())
    }

    fn batch(&mut self, _input: usize, batch: BatchRef<'_>, out: &mut Out<'_>) -> Step {
        if self.time != Some(batch.time) {
            self.flush(out)?;
            self.begin(batch.time);
        }
        for point in batch.points {
            self.add(point, &batch, out);
        }
        let count = self.counts.entry(batch.group.slot).or_default();
        count.now = count.now.saturating_add(1);
        if count.now <= count.before {
            self.missing = self.missing.saturating_sub(1);
            if self.is_complete() {
                return self.flush(out);
            }
        }
        Ok(())
    }

    fn barrier(&mut self, _input: usize, barrier: &Barrier, out: &mut Out<'_>) -> Step {
        if self.time.is_some_and(|time| time != barrier.time) {
            self.flush(out)?;
        }
        if self.keeps_old {
            return out.barrier(barrier);
        }
        let new = self.links.of(barrier.group.slot);
        new.into_iter().try_for_each(|group| out.barrier(&Barrier { group, time: barrier.time }))
    }

    fn delete(&mut self, _input: usize, group: &Arc<Group>, out: &mut Out<'_>) -> Step {
        // Nothing more comes from this group; the others need not wait for it.
        if let Some(count) = self.counts.remove(&group.slot) {
            let missing = count.before.saturating_sub(count.now) as usize;
            self.missing = self.missing.saturating_sub(missing);
            if missing > 0 && self.is_complete() {
                self.flush(out)?;
            }
        }
        if self.keeps_old {
            return out.delete(group);
        }
        for new in self.links.unlink(group.slot) {
            // Points of a group that goes are given away before.
            if let Some(mut batch) = self.pending.remove(new.slot) {
                self.held -= batch.points.len().min(self.held);
                out.ctx.let_go(batch.points.len());
                batch.points.sort_by_key(|point| point.time);
                out.batch(batch.as_ref())?;
            }
            self.grouper.forget(new.slot);
            out.delete(&new)?;
        }
        Ok(())
    }

    fn forget(&mut self, slot: u32) {
        self.counts.remove(&slot);
        self.links.forget(slot);
        self.grouper.forget(slot);
    }

    fn restored(&mut self, out: &mut Out<'_>) {
        out.ctx.held += self.held;
    }

    fn finish(&mut self, out: &mut Out<'_>) -> Step {
        self.flush(out)
    }

    fn watermark(&mut self, time: Timestamp, out: &mut Out<'_>) -> Step {
        if self.time.is_some_and(|own| own < time) { self.flush(out) } else { Ok(()) }
    }

    fn cardinality(&self) -> usize {
        self.pending.len()
    }

    fn buffered(&self) -> usize {
        self.held
    }

    fn save(&self, writer: &mut Writer<'_>) {
        self.links.save(writer);
        writer.option(self.time, |writer, time| writer.time(time));
        writer.per_group(&self.pending, |writer, batch| {
            writer.text(&batch.name);
            writer.time(batch.time);
            writer.list(batch.points.iter(), |writer, point| writer.point(point));
        });
        let mut counts = PerGroup::default();
        for (slot, count) in &self.counts {
            counts.entry(*slot, || *count);
        }
        writer.uint(u64::from(self.settled));
        writer.per_group(&counts, |writer, count| {
            writer.uint(u64::from(count.before));
            writer.uint(u64::from(count.now));
        });
    }

    fn load(&mut self, reader: &mut Reader<'_>) -> Result<(), StateError> {
        self.links = Links::load(reader)?;
        self.time = reader.option(Reader::time)?;
        self.pending = reader.per_group(|reader, group| {
            let (name, time) = (reader.str()?, reader.time()?);
            let points = reader.list(Reader::point)?;
            Ok(Batch { name, group: Arc::clone(group), time, points })
        })?;
        self.held = self.pending.iter().map(|(_, batch)| batch.points.len()).sum();
        self.settled = u32::try_from(reader.uint()?).unwrap_or(0).min(SETTLED);
        let counts = reader.per_group(|reader, _| {
            let number = |number: u64| u32::try_from(number).unwrap_or(u32::MAX);
            Ok(Count { before: number(reader.uint()?), now: number(reader.uint()?) })
        })?;
        self.counts = counts.iter().map(|(slot, count)| (slot, *count)).collect();
        let missing = |count: &Count| count.before.saturating_sub(count.now) as usize;
        self.missing = self.counts.values().map(missing).sum();
        Ok(())
    }
}
