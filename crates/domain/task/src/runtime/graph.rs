//! The graph of a running task: nodes in topological order, driven from outside.

use std::sync::Arc;

use levada_model::{BatchRef, Group, Point, Timestamp};

use super::context::Context;
use super::node::{Barrier, Node, Served, Step};
use super::out::Out;
use super::statistics::{Emitted, Statistics};
use crate::effect::{Answer, NodeName};
use crate::spec::Edge;

/// An edge to a child.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Child {
    /// Its place.
    pub index: usize,
    /// Which of its parents the edge stands for.
    pub input: usize,
}

/// One node and what belongs to it.
pub struct Slot {
    /// Its name and place.
    pub name: NodeName,
    /// What it computes: equal texts mean that saved state fits.
    pub identity: levada_model::Str,
    /// Nothing is reported for it.
    pub is_quiet: bool,
    /// What it gives.
    pub provides: Edge,
    /// The node.
    pub node: Box<dyn Node>,
    /// In the order they were linked.
    pub children: Vec<Child>,
    /// Its counters.
    pub statistics: Statistics,
}

/// Timers between two times that a dry run is given: a minute of work. Ours; intervals can be as short as a microsecond, and
/// the times of recorded data years apart.
pub const TIMERS_MAX: usize = 100_000_000;

/// The nodes of a running task; parents stand before their children.
pub struct Graph {
    slots: Vec<Slot>,
}

// === impl Slot ===

impl Slot {
    /// Gives the statistics that the API and DOT show, in key order.
    pub fn shown_statistics(&self) -> Vec<(&'static str, String)> {
        let mut all: Vec<(&'static str, String)> = self
            .node
            .statistics()
            .into_iter()
            .map(|(key, value)| (key, value.to_string()))
            .collect();
        let average = levada_template::go::duration::text(self.statistics.average_nanos as i64);
        all.push(("avg_exec_time_ns", average));
        all.push(("errors", self.statistics.errors.to_string()));
        all.push(("working_cardinality", self.node.cardinality().to_string()));
        all.sort_by_key(|(key, _)| *key);
        all
    }

    /// The node at the front of `slots`, and where it gives its items.
    #[inline]
    fn enter<'s>(
        slots: &'s mut [Slot],
        place: usize,
        ctx: &'s mut Context,
    ) -> (&'s mut dyn Node, Out<'s>) {
        let (slot, behind) = slots.split_first_mut().expect("a child stands behind its parent");
        let out = Out {
            ctx,
            name: &slot.name,
            is_quiet: slot.is_quiet,
            statistics: &mut slot.statistics,
            children: &slot.children,
            behind,
            first_behind: place + 1,
        };
        (&mut *slot.node, out)
    }

    /// Runs a step of the node at the front and notes how long it took, without the nodes behind it.
    #[cold]
    fn timed(
        slots: &mut [Slot],
        ctx: &mut Context,
        step: impl FnOnce(&mut [Slot], &mut Context) -> Step,
    ) -> Step {
        let Some(meter) = &mut ctx.meter else { return step(slots, ctx) };
        let (began, outer) = (meter.clock.monotonic(), std::mem::take(&mut meter.behind));
        let result = step(slots, ctx);
        if let Some(meter) = &mut ctx.meter {
            let whole = meter.clock.monotonic().saturating_sub(began).as_nanos() as u64;
            slots[0].statistics.took(whole.saturating_sub(meter.behind));
            meter.behind = outer + whole;
        }
        result
    }

    #[inline]
    pub(super) fn point(
        slots: &mut [Slot],
        child: &Child,
        point: &Point,
        group: &Arc<Group>,
        ctx: &mut Context,
    ) -> Step {
        slots[0].statistics.collected[child.input] += 1;
        if ctx.is_measuring() {
            return Slot::timed(slots, ctx, |slots, ctx| {
                let (node, mut out) = Slot::enter(slots, child.index, ctx);
                node.point(child.input, point, group, &mut out)
            });
        }
        let (node, mut out) = Slot::enter(slots, child.index, ctx);
        node.point(child.input, point, group, &mut out)
    }

    pub(super) fn batch(
        slots: &mut [Slot],
        child: &Child,
        batch: BatchRef<'_>,
        ctx: &mut Context,
    ) -> Step {
        slots[0].statistics.collected[child.input] += 1;
        if ctx.is_measuring() {
            return Slot::timed(slots, ctx, |slots, ctx| {
                let (node, mut out) = Slot::enter(slots, child.index, ctx);
                node.batch(child.input, batch, &mut out)
            });
        }
        let (node, mut out) = Slot::enter(slots, child.index, ctx);
        node.batch(child.input, batch, &mut out)
    }

    pub(super) fn close(
        slots: &mut [Slot],
        child: &Child,
        batch: BatchRef<'_>,
        is_empty: bool,
        ctx: &mut Context,
    ) -> Step {
        slots[0].statistics.collected[child.input] += 1;
        let (node, mut out) = Slot::enter(slots, child.index, ctx);
        node.close(batch, is_empty, &mut out)
    }

    pub(super) fn barrier(
        slots: &mut [Slot],
        child: &Child,
        barrier: &Barrier,
        ctx: &mut Context,
    ) -> Step {
        let (node, mut out) = Slot::enter(slots, child.index, ctx);
        node.barrier(child.input, barrier, &mut out)
    }

    pub(super) fn delete(
        slots: &mut [Slot],
        child: &Child,
        group: &Arc<Group>,
        ctx: &mut Context,
    ) -> Step {
        let (node, mut out) = Slot::enter(slots, child.index, ctx);
        node.delete(child.input, group, &mut out)
    }
}

// === impl Graph ===

impl Graph {
    /// Makes a graph of slots in topological order.
    pub fn new(slots: Vec<Slot>) -> Self {
        debug_assert!(slots.iter().enumerate().all(|(place, slot)| {
            slot.name.index == place && slot.children.iter().all(|child| child.index > place)
        }));
        Graph { slots }
    }

    /// Starts the nodes: timers that do not wait for data are set.
    pub fn begin(&mut self, ctx: &mut Context) -> Step {
        for place in 0..self.slots.len() {
            let (node, mut out) = Slot::enter(&mut self.slots[place..], place, ctx);
            node.begin(&mut out)?;
        }
        Ok(())
    }

    /// Hands saved state to the node at `place`; after an error the node is to be made again.
    pub fn load(
        &mut self,
        place: usize,
        bytes: &[u8],
        ctx: &mut Context,
    ) -> Result<(), super::StateError> {
        let mut reader = super::Reader::new(bytes, &mut ctx.groups);
        let emitted = reader.option(|reader| {
            reader.per_group(|reader, group| {
                Ok(Emitted { group: Arc::clone(group), points: reader.uint()? })
            })
        })?;
        let slot = &mut self.slots[place];
        if slot.statistics.emitted.is_some() && emitted.is_some() {
            slot.statistics.emitted = emitted;
        }
        slot.node.load(&mut reader)?;
        if !reader.is_at_end() {
            // It was written by a node that keeps more, so what was read may be something else.
            return Err(super::StateError::Refused(
                "the saved state holds more than is known".into(),
            ));
        }
        // What it set when it began is set again by what it was doing.
        ctx.timers.drop_of(place);
        let (node, mut out) = Slot::enter(&mut self.slots[place..], place, ctx);
        node.restored(&mut out);
        Ok(())
    }

    /// Puts a new node in the place of one that could not take over its state.
    pub fn replace(&mut self, place: usize, node: Box<dyn Node>, ctx: &mut Context) -> Step {
        self.slots[place].node = node;
        if let [child] = self.slots[place].children[..]
            && self.slots[child.index].statistics.collected.len() == 1
            && self.slots[child.index].node.folds()
        {
            self.slots[place].node.fuse();
        }
        ctx.timers.drop_of(place);
        let (node, mut out) = Slot::enter(&mut self.slots[place..], place, ctx);
        node.begin(&mut out)
    }

    /// Gives the nodes.
    pub fn slots(&self) -> &[Slot] {
        &self.slots
    }

    /// Gives a point to the node at `place`.
    #[inline]
    pub fn point(
        &mut self,
        place: usize,
        point: &Point,
        group: &Arc<Group>,
        ctx: &mut Context,
    ) -> Step {
        let child = Child { index: place, input: 0 };
        Slot::point(&mut self.slots[place..], &child, point, group, ctx)
    }

    /// Gives a batch to the query node at `place`.
    pub fn batch(&mut self, place: usize, batch: BatchRef<'_>, ctx: &mut Context) -> Step {
        // Batches do not pass the source, so what its stats count is counted here (U-41).
        if let Some(emitted) = &mut self.slots[0].statistics.emitted {
            let new = || Emitted { group: Arc::clone(batch.group), points: 0 };
            emitted.entry(batch.group.slot, new).points += batch.points.len() as u64;
        }
        let child = Child { index: place, input: 0 };
        Slot::batch(&mut self.slots[place..], &child, batch, ctx)
    }

    /// Runs the timers that are due at `now`, in their order, and sets the clock.
    pub fn advance(&mut self, now: Timestamp, ctx: &mut Context) -> Step {
        if self.advance_some(now, TIMERS_MAX, ctx)? {
            let text = format!(
                "more than {TIMERS_MAX} timers between two times, the shortest interval is too short"
            );
            return Err(Box::new(super::Failure { node: ctx.task.to_string(), text }));
        }
        Ok(())
    }

    /// Runs at most `count` of the timers that are due at `now`; `true` when more are due.
    ///
    /// - A timer that sets itself again faster than it runs would otherwise never end.
    pub fn advance_some(
        &mut self,
        now: Timestamp,
        count: usize,
        ctx: &mut Context,
    ) -> Result<bool, Box<super::Failure>> {
        for _ in 0..count {
            let Some(timer) = ctx.timers.take_due(now) else { break };
            ctx.now = ctx.now.max(timer.at);
            ctx.env.now = ctx.now;
            self.watch(timer.node);
            let (node, mut out) = Slot::enter(&mut self.slots[timer.node..], timer.node, ctx);
            node.timer(timer.token, timer.at, &mut out)?;
        }
        if ctx.timers.next().is_some_and(|at| at <= now) {
            return Ok(true);
        }
        ctx.now = ctx.now.max(now);
        ctx.env.now = ctx.now;
        Ok(false)
    }

    /// Gives an answer to the node that asked.
    pub fn answer(&mut self, place: usize, token: u64, answer: Answer, ctx: &mut Context) -> Step {
        let (node, mut out) = Slot::enter(&mut self.slots[place..], place, ctx);
        node.answer(token, answer, &mut out)
    }

    /// Gives the places of nodes that something outside gives items to.
    pub fn outside(&self) -> Vec<usize> {
        let outside = self.slots.iter().enumerate().filter(|(_, slot)| slot.node.runs_outside());
        outside.map(|(place, _)| place).collect()
    }

    /// Says whether something outside has to catch up before the task takes more.
    pub fn is_congested(&self, outside: &[usize]) -> bool {
        // All are looked at, for each is to wake the task.
        outside.iter().filter(|place| self.slots[**place].node.is_congested()).count() > 0
    }

    /// Gives some of what has come from outside; `true` when there was something.
    ///
    /// - What is before a node that has to catch up gives nothing.
    pub fn collect(
        &mut self,
        outside: &[usize],
        ctx: &mut Context,
    ) -> Result<bool, Box<super::Failure>> {
        let mut has_given = false;
        for (at, &place) in outside.iter().enumerate().rev() {
            if self.is_congested(&outside[at + 1..]) {
                break;
            }
            let (node, mut out) = Slot::enter(&mut self.slots[place..], place, ctx);
            has_given |= node.collect(&mut out)?;
        }
        Ok(has_given)
    }

    /// Waits for what runs outside, parents before children.
    pub fn settle(
        &mut self,
        outside: &[usize],
        patience: &crate::udf::Patience,
        ctx: &mut Context,
    ) -> Step {
        for &place in outside {
            let (node, mut out) = Slot::enter(&mut self.slots[place..], place, ctx);
            node.settle(patience, &mut out)?;
        }
        Ok(())
    }

    /// Counts and reports a problem of the node at `place`.
    pub fn complain(&mut self, place: usize, message: &str, cause: &str, ctx: &mut Context) {
        let (_, mut out) = Slot::enter(&mut self.slots[place..], place, ctx);
        out.error(message, cause, &[]);
    }

    /// Tells all nodes that no older data follow, parents before children.
    pub fn watermark(&mut self, time: Timestamp, ctx: &mut Context) -> Step {
        for place in 0..self.slots.len() {
            let (node, mut out) = Slot::enter(&mut self.slots[place..], place, ctx);
            node.watermark(time, &mut out)?;
        }
        Ok(())
    }

    /// Ends all input, parents before children.
    pub fn finish(&mut self, ctx: &mut Context) -> Step {
        for place in 0..self.slots.len() {
            let (node, mut out) = Slot::enter(&mut self.slots[place..], place, ctx);
            node.finish(&mut out)?;
        }
        Ok(())
    }

    /// Gives the statistics of all nodes as JSON: name → key → value, each with `collected` and `emitted`.
    ///
    /// - Source: kapacitor reference §4.4.
    pub fn statistics(&self) -> serde_json::Map<String, serde_json::Value> {
        let mut nodes = serde_json::Map::new();
        for slot in &self.slots {
            let mut own = serde_json::Map::new();
            own.insert("avg_exec_time_ns".into(), (slot.statistics.average_nanos as i64).into());
            own.insert("errors".into(), slot.statistics.errors.into());
            own.insert("working_cardinality".into(), slot.node.cardinality().into());
            for (key, value) in slot.node.statistics() {
                own.insert(key.into(), value.into());
            }
            let collected: u64 = slot.statistics.collected.iter().sum();
            let on_edge = |child: &Child| self.slots[child.index].statistics.collected[child.input];
            let emitted: u64 = slot.children.iter().map(on_edge).sum();
            own.insert("collected".into(), collected.into());
            own.insert("emitted".into(), emitted.into());
            nodes.insert(slot.name.name.to_string(), own.into());
        }
        nodes
    }

    /// Makes the nodes read again what they took from outside; gives what went wrong, by node.
    pub fn reload(&mut self, services: &dyn super::Services) -> Vec<(Arc<str>, String)> {
        let reload = |slot: &mut Slot| {
            let problem = slot.node.reload(services).err()?;
            slot.statistics.errors += 1;
            Some((Arc::clone(&slot.name.name), problem))
        };
        self.slots.iter_mut().filter_map(reload).collect()
    }

    /// Gives what the httpOut nodes serve.
    pub fn served(&self) -> Vec<(Arc<str>, Served)> {
        self.slots
            .iter()
            .filter_map(|slot| {
                slot.node.served().map(|served| (Arc::clone(&slot.name.name), served))
            })
            .collect()
    }

    /// Hands the counts that a stats node wants to it.
    fn watch(&mut self, place: usize) {
        let Some(watched) = self.slots[place].node.watches() else { return };
        let counts = match &self.slots[watched].statistics.emitted {
            Some(emitted) => {
                emitted.iter().map(|(_, entry)| (Arc::clone(&entry.group), entry.points)).collect()
            }
            None => Vec::new(),
        };
        self.slots[place].node.take_counts(counts);
    }
}
