//! A running task: its graph and what the graph needs, driven by whoever owns it.
//!
//! Nothing here knows threads or wall clocks. A dry run drives an actor by the times of the points, a server by its
//! clock; both get the same answers for the same calls.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use levada_model::{BatchRef, Group, GroupKey, Point, Str, Timestamp};
use levada_runtime::Clock;
use levada_tick::lambda::Env;

use crate::effect::{Answer, Effects};
use crate::pipeline::start::StartOptions;
use crate::pipeline::{Pipeline, TaskType};
use crate::runtime::timers::Timers;
use crate::runtime::{
    Context, Failure, Graph, Groups, Node, Reader, StateError, Step, Writer,
    context::{Limits, Meter},
};
use crate::udf::Patience;
use crate::watermark::{Watermark, WatermarkSettings};

/// A running task.
pub struct Actor {
    graph: Graph,
    ctx: Context,
    ungrouped: Arc<Group>,
    /// The places of the query nodes, in the order of recordings: the last one of the script first.
    queries: Vec<usize>,
    /// Measurements that the source gets twice, as upstream's does (U-1); empty but for compatibility.
    doubled: Vec<Str>,
    failure: Option<Failure>,
    /// Points until the next one is measured.
    until_measured: u32,
    /// Only when it is on.
    watermark: Option<Watermark>,
    /// The places of nodes that something outside gives items to.
    outside: Vec<usize>,
}

/// Of so many points one is measured. Source: ours; upstream times one in ten, which costs a share of its time.
pub const MEASURED_EVERY: u32 = 256;

/// The version of saved state as a whole; what nodes save has their own.
const STATE_VERSION: u64 = 2;

/// The clock of a task that starts with its first item, as a replay does.
pub const CLOCK_UNSET: Timestamp = Timestamp(i64::MIN);

/// Nodes that are fed by queries.
pub(crate) const QUERY_NODES: [&str; 2] = ["query", "queryFlux"];

// === impl Actor ===

impl Actor {
    /// Starts a task: makes its nodes; an error is upstream's enable error.
    pub fn start(
        pipeline: &Pipeline,
        options: &StartOptions<'_>,
        effects: Box<dyn Effects>,
        env: Env,
        now: Timestamp,
    ) -> Result<Self, String> {
        let mut groups = Groups::new(options.limits.groups);
        let ungrouped = groups.intern(GroupKey::ungrouped()).ok_or_else(|| {
            "the limit of groups is 0, so not one point could be taken".to_owned()
        })?;
        let ctx = Context {
            groups,
            now,
            effects,
            timers: Timers::default(),
            limits: Limits::clone(options.limits),
            task: Str::clone(&options.task),
            held: 0,
            refused_points: 0,
            env,
            meter: None,
            patience: Patience::default(),
        };
        let graph = pipeline.start(options)?;
        let queries = match pipeline.task_type() {
            TaskType::Stream => Vec::new(),
            TaskType::Batch => {
                let order = pipeline.order();
                let places = order.iter().enumerate().filter(|(_, index)| {
                    QUERY_NODES.contains(&pipeline.node(**index).spec.kind().name)
                });
                places.map(|(place, _)| place).collect()
            }
        };
        let doubled = match options.compat.is_1_8 {
            true => pipeline.doubled_measurements(),
            false => Vec::new(),
        };
        let outside = graph.outside();
        let mut actor = Actor {
            graph,
            outside,
            ctx,
            ungrouped,
            queries,
            doubled,
            failure: None,
            until_measured: MEASURED_EVERY,
            watermark: None,
        };
        if now != CLOCK_UNSET {
            actor.begin_at(now).map_err(|failure| failure.to_string())?;
        }
        Ok(actor)
    }

    /// Sets the clock and starts what ticks; for a task that was started with [`CLOCK_UNSET`].
    pub fn begin_at(&mut self, now: Timestamp) -> Step {
        self.guarded(|actor| {
            actor.ctx.now = now;
            actor.ctx.env.now = now;
            actor.graph.begin(&mut actor.ctx)
        })
    }

    /// Gives the places of the query nodes, in the order of recordings.
    pub fn queries(&self) -> &[usize] {
        &self.queries
    }

    /// Gives the graph, for its statistics.
    pub fn graph(&self) -> &Graph {
        &self.graph
    }

    /// Gives what the nodes share, for its counters.
    pub fn context(&self) -> &Context {
        &self.ctx
    }

    /// Gives why the task ended by itself.
    pub fn failure(&self) -> Option<&Failure> {
        self.failure.as_ref()
    }

    /// Measures from now on how long nodes take, on one point of [`MEASURED_EVERY`].
    pub fn measure(&mut self, clock: Arc<dyn Clock>) {
        self.ctx.meter = Some(Meter { clock, is_on: false, behind: 0 });
    }

    /// Gives points to the source of a stream task, in their order.
    pub fn points(&mut self, points: &[Point]) -> Step {
        self.guarded(|actor| {
            if !actor.doubled.is_empty() {
                return points.iter().try_for_each(|point| actor.give_doubled(point));
            }
            if actor.watermark.is_some() {
                return points.iter().try_for_each(|point| actor.give_watched(point));
            }
            for point in points {
                actor.until_measured =
                    actor.until_measured.checked_sub(1).unwrap_or(MEASURED_EVERY);
                if actor.until_measured == 0 {
                    actor.measured(point)?;
                } else {
                    actor.graph.point(0, point, &actor.ungrouped, &mut actor.ctx)?;
                }
            }
            Ok(())
        })
    }

    /// Gives a point to the source while the nodes are timed.
    #[cold]
    fn measured(&mut self, point: &Point) -> Step {
        if let Some(meter) = &mut self.ctx.meter {
            meter.is_on = true;
        }
        let result = self.graph.point(0, point, &self.ungrouped, &mut self.ctx);
        if let Some(meter) = &mut self.ctx.meter {
            meter.is_on = false;
        }
        result
    }

    fn give_doubled(&mut self, point: &Point) -> Step {
        let times = if self.doubled.contains(&point.series.name) { 2 } else { 1 };
        for _ in 0..times {
            self.graph.point(0, point, &self.ungrouped, &mut self.ctx)?;
        }
        Ok(())
    }

    /// Gives a point to the source, unless it comes too late; the nodes hear of the watermark before it.
    fn give_watched(&mut self, point: &Point) -> Step {
        let Some(watermark) = &mut self.watermark else { return self.give_doubled(point) };
        if watermark.is_late(point.time) {
            return Ok(());
        }
        if let Some(time) = watermark.advance(point.time, self.ctx.now) {
            self.graph.watermark(time, &mut self.ctx)?;
        }
        self.give_doubled(point)
    }

    /// Closes what is older than the data by so much, from now on.
    pub fn watch(&mut self, settings: WatermarkSettings) {
        self.watermark = Some(Watermark::new(settings, self.ctx.now));
    }

    /// Counts the points that came later than the watermark and were dropped.
    pub fn late_points(&self) -> u64 {
        self.watermark.as_ref().map_or(0, Watermark::late)
    }

    /// Lets the watermark follow the clock when no data came for long enough.
    fn follow(&mut self) -> Step {
        let now = self.ctx.now;
        match self.watermark.as_mut().and_then(|watermark| watermark.follow(now)) {
            Some(time) => self.graph.watermark(time, &mut self.ctx),
            None => Ok(()),
        }
    }

    /// Gives points to the source, each when the clock shows its time, as a replay does.
    pub fn replay(&mut self, points: &[Point]) -> Step {
        let mut rest = points;
        while !rest.is_empty() {
            let given = self.replay_some(rest)?;
            rest = &rest[given..];
        }
        Ok(())
    }

    /// Does so up to the first timer that is due after the first point; gives how many points there were, one at least.
    pub fn replay_some(&mut self, points: &[Point]) -> Result<usize, Box<Failure>> {
        let mut given = 0;
        self.guarded(|actor| {
            for point in points {
                if given > 0 && actor.next_timer().is_some_and(|at| at <= point.time) {
                    break;
                }
                actor.graph.advance(point.time, &mut actor.ctx)?;
                match actor.watermark {
                    Some(_) => actor.give_watched(point)?,
                    None => actor.give_doubled(point)?,
                }
                given += 1;
            }
            Ok(())
        })?;
        Ok(given)
    }

    /// Gives a batch to the query node at `place`.
    pub fn batch(&mut self, place: usize, batch: BatchRef<'_>) -> Step {
        self.guarded(|actor| {
            let now = actor.ctx.now;
            let time = actor.watermark.as_mut().and_then(|mark| mark.advance(batch.time, now));
            if let Some(time) = time {
                actor.graph.watermark(time, &mut actor.ctx)?;
            }
            actor.graph.batch(place, batch, &mut actor.ctx)
        })
    }

    /// Interns a group for a batch; `None` when there are too many.
    pub fn group(&mut self, key: GroupKey) -> Option<Arc<Group>> {
        self.ctx.group(key)
    }

    /// Moves the clock and runs the timers that are due.
    pub fn advance(&mut self, now: Timestamp) -> Step {
        self.guarded(|actor| {
            actor.graph.advance(now, &mut actor.ctx)?;
            actor.follow()
        })
    }

    /// Runs at most `count` timers; `true` when more are due, and the clock does not show `now` yet.
    pub fn advance_some(&mut self, now: Timestamp, count: usize) -> Result<bool, Box<Failure>> {
        let mut is_more = false;
        self.guarded(|actor| {
            is_more = actor.graph.advance_some(now, count, &mut actor.ctx)?;
            if is_more { Ok(()) } else { actor.follow() }
        })?;
        Ok(is_more)
    }

    /// Gives when the next timer is due.
    pub fn next_timer(&self) -> Option<Timestamp> {
        let idle = self.watermark.as_ref().and_then(Watermark::idle_at);
        self.ctx.timers.next().into_iter().chain(idle).min()
    }

    /// Gives an answer to the node that asked.
    pub fn answer(&mut self, place: usize, token: u64, answer: Answer) -> Step {
        self.guarded(|actor| actor.graph.answer(place, token, answer, &mut actor.ctx))
    }

    /// Says whether nodes get items from outside.
    pub fn runs_outside(&self) -> bool {
        !self.outside.is_empty()
    }

    /// Says whether something outside has to catch up before the task takes more.
    pub fn is_congested(&self) -> bool {
        !self.outside.is_empty() && self.graph.is_congested(&self.outside)
    }

    /// Says whether something waits for what is outside.
    pub fn waits_outside(&self) -> bool {
        self.outside.iter().any(|place| self.graph.slots()[*place].node.buffered() > 0)
    }

    /// Gives the nodes some of what has come from outside; `true` when there was something.
    pub fn collect(&mut self) -> Result<bool, Box<Failure>> {
        if self.outside.is_empty() {
            return Ok(false);
        }
        let mut has_given = false;
        self.guarded(|actor| {
            has_given = actor.graph.collect(&actor.outside, &mut actor.ctx)?;
            Ok(())
        })?;
        Ok(has_given)
    }

    /// Waits for what runs outside, so that the state that is saved next knows all that was given.
    pub fn settle(&mut self, patience: &Patience) -> Step {
        if self.outside.is_empty() {
            return Ok(());
        }
        self.guarded(|actor| actor.graph.settle(&actor.outside, patience, &mut actor.ctx))
    }

    /// Ends all input like [`Actor::finish`]; what runs outside has so long to end.
    pub fn finish_within(&mut self, patience: Patience) -> Step {
        self.ctx.patience = patience;
        self.finish()
    }

    /// Makes the sideload nodes read their sources again; gives what went wrong, by node.
    pub fn reload(&mut self, services: &dyn crate::runtime::Services) -> Vec<(Str, String)> {
        self.graph.reload(services)
    }

    /// Reports a problem of a node that happened outside the actor.
    pub fn complain(&mut self, place: usize, message: &str, cause: &str) {
        self.graph.complain(place, message, cause, &mut self.ctx);
    }

    /// Says that no data older than `time` follow.
    pub fn watermark(&mut self, time: Timestamp) -> Step {
        self.guarded(|actor| actor.graph.watermark(time, &mut actor.ctx))
    }

    /// Ends all input: timers stop, and the nodes give what upstream gives then.
    pub fn finish(&mut self) -> Step {
        self.guarded(|actor| {
            actor.ctx.timers.clear();
            // With watermarks the end of the data closes what is open.
            if let Some(time) = actor.watermark.as_ref().and_then(Watermark::last) {
                actor.graph.watermark(time, &mut actor.ctx)?;
            }
            actor.graph.finish(&mut actor.ctx)
        })
    }

    /// Gives the state of all nodes.
    pub fn save(&self) -> Vec<u8> {
        let mut writer = Writer::new(&self.ctx.groups);
        writer.uint(STATE_VERSION);
        writer.time(self.ctx.now);
        writer.option(self.watermark.as_ref().map(Watermark::saved), |writer, (newest, told)| {
            writer.option(newest, Writer::time);
            writer.time(told);
        });
        writer.list(self.graph.slots().iter(), |writer, slot| {
            // Bytes within bytes: what a node cannot take over must not spoil what follows it.
            let mut own = Writer::new(&self.ctx.groups);
            own.option(slot.statistics.emitted.as_ref(), |own, emitted| {
                own.per_group(emitted, |own, entry| own.uint(entry.points));
            });
            slot.node.save(&mut own);
            writer.text(&slot.name.name);
            writer.text(&slot.identity);
            writer.bytes(&own.into_bytes());
        });
        writer.into_bytes()
    }

    /// Takes over saved state, node by node: a node whose identity is the same goes on where it was.
    ///
    /// - Gives the names of the nodes that begin anew.
    /// - Errors: the bytes as a whole are not what [`Actor::save`] gives; nothing was taken over then.
    pub fn load(&mut self, bytes: &[u8]) -> Result<Vec<Str>, StateError> {
        self.load_or_remake(bytes, &|_| Err("its state is damaged".to_owned()))
    }

    /// Takes over saved state like [`Actor::load`]; `remake` makes a node anew, by its place, when what was saved for it is
    /// damaged, because it may have taken over a part.
    pub fn load_or_remake(
        &mut self,
        bytes: &[u8],
        remake: &dyn Fn(usize) -> Result<Box<dyn Node>, String>,
    ) -> Result<Vec<Str>, StateError> {
        let mut result = Ok(Vec::new());
        // A panic over damaged state ends the task like any other.
        let step = self.guarded(|actor| {
            result = actor.take_over(bytes, remake);
            Ok(())
        });
        match step {
            Ok(()) => result,
            Err(failure) => Err(StateError::Refused(failure.to_string())),
        }
    }

    fn take_over(
        &mut self,
        bytes: &[u8],
        remake: &dyn Fn(usize) -> Result<Box<dyn Node>, String>,
    ) -> Result<Vec<Str>, StateError> {
        let mut saved: Vec<(String, String, Vec<u8>)> = {
            let mut reader = Reader::new(bytes, &mut self.ctx.groups);
            match reader.uint()? {
                STATE_VERSION => {}
                value => return Err(StateError::Unknown { what: "version", value }),
            }
            self.ctx.now = reader.time()?.max(self.ctx.now);
            let watermark =
                reader.option(|reader| Ok((reader.option(Reader::time)?, reader.time()?)))?;
            if let (Some(own), Some((newest, told))) = (&mut self.watermark, watermark) {
                own.restore(newest, told, self.ctx.now);
            }
            reader.list(|reader| {
                Ok((
                    reader.text()?.to_owned(),
                    reader.text()?.to_owned(),
                    reader.bytes()?.to_owned(),
                ))
            })?
        };
        // First by name and identity; after an edit of the script the numbers have moved, so by identity alone what is left.
        let mut found: Vec<Option<Vec<u8>>> = Vec::new();
        for slot in self.graph.slots() {
            let at = saved.iter().position(|(name, identity, _)| {
                **name == *slot.name.name && **identity == *slot.identity
            });
            found.push(at.map(|at| saved.remove(at).2));
        }
        for (slot, found) in self.graph.slots().iter().zip(&mut found) {
            if found.is_none() {
                let at = saved.iter().position(|(_, identity, _)| **identity == *slot.identity);
                *found = at.map(|at| saved.remove(at).2);
            }
        }
        let mut fresh = Vec::new();
        for (place, bytes) in found.into_iter().enumerate() {
            let name = Str::clone(&self.graph.slots()[place].name.name);
            let Some(bytes) = bytes else {
                fresh.push(name);
                continue;
            };
            if self.graph.load(place, &bytes, &mut self.ctx).is_err() {
                let refused = |text: String| StateError::Refused(format!("{name}: {text}"));
                let node = remake(place).map_err(refused)?;
                self.graph
                    .replace(place, node, &mut self.ctx)
                    .map_err(|failure| refused(failure.text))?;
                fresh.push(name);
            }
        }
        Ok(fresh)
    }

    /// Runs a step; a panic ends this task and no other.
    fn guarded(&mut self, step: impl FnOnce(&mut Self) -> Step) -> Step {
        if let Some(failure) = &self.failure {
            return Err(Box::new(failure.clone()));
        }
        let result = catch_unwind(AssertUnwindSafe(|| step(self))).unwrap_or_else(|panic| {
            let text = panic
                .downcast_ref::<&str>()
                .map(|text| (*text).to_owned())
                .or_else(|| panic.downcast_ref::<String>().cloned())
                .unwrap_or_else(|| "unknown".to_owned());
            let task = self.ctx.task.to_string();
            Err(Box::new(Failure { node: task, text: format!("panic: {text}") }))
        });
        if let Err(failure) = &result {
            self.failure = Some((**failure).clone());
        }
        result
    }
}
