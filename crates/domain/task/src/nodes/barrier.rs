//! `barrier`: promises that no older data of a group follow, after some time without data or every so often.
//!
//! Both kinds follow the time of the data: what the clock has advanced since the last item of the group is added to the
//! time of that item. So historic, replayed and skewed data are treated as live data are (U-30).

use std::sync::Arc;

use levada_model::{BatchRef, Group, Point, Timestamp};
use levada_tick::script::Value;

use crate::property::Nanos;
use crate::property::types::exactly;
use crate::runtime::{
    Barrier as Mark, Node, Out, PerGroup, Reader, StartContext, StateError, Step, Writer,
};
use crate::spec::{EdgeRule, Kind, Spec};
use crate::{spec_json, spec_properties};

/// `|barrier()`
#[derive(Clone, Debug, Default)]
pub struct Barrier {
    idle: Nanos,
    period: Nanos,
    delete: bool,
}

crate::properties! {
    Barrier { "idle" => idle, "period" => period, "delete" => delete }
}

/// What is the same for all of them.
pub static KIND: Kind = Kind {
    name: "barrier",
    type_name: "BarrierNode",
    desc: "barrier",
    json_type: "barrier",
    summary: "closes windows of groups that have gone silent",
    wants: EdgeRule::SameAsParent,
    provides: EdgeRule::SameAsParent,
    chain: |builder, parent, _name, args| {
        exactly::<0>(args)?;
        builder.add(parent, Box::new(Barrier::default()))
    },
    empty: || Box::new(Barrier::default()),
};

struct Running {
    /// Nanoseconds between two barriers of a group.
    every: i64,
    /// Restarted by every item.
    is_idle: bool,
    deletes: bool,
    groups: PerGroup<State>,
    /// Counts groups that were made, so that a timer of a forgotten one is recognised.
    made: u32,
}

struct State {
    group: Arc<Group>,
    /// The time of the newest data, or of the last barrier when that is later.
    data_time: Timestamp,
    /// The clock when `data_time` was seen.
    seen: Timestamp,
    last_barrier: Option<Timestamp>,
    /// When the next barrier is due.
    due: Timestamp,
    /// Which group of this slot it is.
    generation: u32,
}

// === impl Barrier ===

impl Spec for Barrier {
    fn kind(&self) -> &'static Kind {
        &KIND
    }

    spec_properties!();
    spec_json!();

    fn args(&self) -> Vec<Value> {
        Vec::new()
    }

    fn validate(&self) -> Result<(), String> {
        if self.idle.0 != 0 && self.period.0 != 0 {
            return Err("cannot specify both idle and period".to_owned());
        }
        if self.period.0 == 0 && self.idle.0 <= 0 {
            return Err("idle must be greater than zero".to_owned());
        }
        if self.period.0 < 0 {
            return Err("period must be greater than zero".to_owned());
        }
        Ok(())
    }

    fn start(&self, _ctx: &mut StartContext<'_>) -> Result<Box<dyn Node>, String> {
        let is_idle = self.idle.0 > 0;
        Ok(Box::new(Running {
            every: if is_idle { self.idle.0 } else { self.period.0 },
            is_idle,
            deletes: self.delete,
            groups: PerGroup::default(),
            made: 0,
        }))
    }
}

// === impl Running ===

/// A timer names the slot and which group of that slot it was set for.
fn token(slot: u32, generation: u32) -> u64 {
    u64::from(generation) << 32 | u64::from(slot)
}

impl Running {
    /// Takes note of an item; `false` when it is older than the last barrier of its group.
    fn accepts(&mut self, time: Timestamp, group: &Arc<Group>, out: &mut Out<'_>) -> bool {
        let now = out.ctx.now;
        if let Some(state) = self.groups.get_mut(group.slot) {
            if state.last_barrier.is_some_and(|barrier| time < barrier) {
                return false;
            }
            if time >= state.data_time {
                state.data_time = time;
                state.seen = now;
            }
            if self.is_idle {
                // The timer that is under way finds the later time and is set again.
                state.due = plus(now, self.every);
            }
            return true;
        }
        self.made = self.made.wrapping_add(1);
        let due = plus(now, self.every);
        let generation = self.made;
        self.groups.entry(group.slot, || State {
            group: Arc::clone(group),
            data_time: time,
            seen: now,
            last_barrier: None,
            due,
            generation,
        });
        out.set_timer(token(group.slot, generation), due);
        true
    }
}

fn plus(time: Timestamp, nanos: i64) -> Timestamp {
    Timestamp(time.0.saturating_add(nanos))
}

impl Node for Running {
    fn point(
        &mut self,
        _input: usize,
        point: &Point,
        group: &Arc<Group>,
        out: &mut Out<'_>,
    ) -> Step {
        if self.accepts(point.time, group, out) { out.point(point, group) } else { Ok(()) }
    }

    fn batch(&mut self, _input: usize, batch: BatchRef<'_>, out: &mut Out<'_>) -> Step {
        if self.accepts(batch.time, batch.group, out) { out.batch(batch) } else { Ok(()) }
    }

    fn barrier(&mut self, _input: usize, barrier: &Mark, out: &mut Out<'_>) -> Step {
        if !self.accepts(barrier.time, &barrier.group, out) {
            return Ok(());
        }
        if let Some(state) = self.groups.get_mut(barrier.group.slot) {
            state.last_barrier = Some(barrier.time);
        }
        out.barrier(barrier)
    }

    fn forget(&mut self, slot: u32) {
        self.groups.remove(slot);
    }

    fn timer(&mut self, timer: u64, now: Timestamp, out: &mut Out<'_>) -> Step {
        let slot = timer as u32;
        let Some(state) = self.groups.get_mut(slot) else { return Ok(()) };
        if token(slot, state.generation) != timer {
            return Ok(());
        }
        if now < state.due {
            let due = state.due;
            out.set_timer(timer, due);
            return Ok(());
        }
        let time = if self.is_idle {
            // From the last item or the last barrier, whichever is later, one step at a time.
            let base = state.last_barrier.map_or(state.data_time, |at| at.max(state.data_time));
            plus(base, self.every)
        } else {
            plus(state.data_time, now.0.saturating_sub(state.seen.0))
        };
        state.last_barrier = Some(time);
        state.due = plus(now, self.every);
        let mark = Mark { group: Arc::clone(&state.group), time };
        if self.deletes {
            self.groups.remove(slot);
            out.barrier(&mark)?;
            return out.delete(&mark.group);
        }
        let due = state.due;
        out.set_timer(timer, due);
        out.barrier(&mark)
    }

    fn restored(&mut self, out: &mut Out<'_>) {
        // What passed while the task was down counts as silence from now on.
        let now = out.ctx.now;
        for (slot, state) in self.groups.iter_mut() {
            state.due = plus(now, self.every);
            state.seen = now;
            out.set_timer(token(slot, state.generation), state.due);
        }
    }

    fn cardinality(&self) -> usize {
        self.groups.len()
    }

    fn save(&self, writer: &mut Writer<'_>) {
        writer.uint(u64::from(self.made));
        writer.per_group(&self.groups, |writer, state| {
            writer.time(state.data_time);
            writer.time(state.seen);
            writer.option(state.last_barrier, Writer::time);
            writer.time(state.due);
            writer.uint(u64::from(state.generation));
        });
    }

    fn load(&mut self, reader: &mut Reader<'_>) -> Result<(), StateError> {
        self.made = reader.uint()? as u32;
        self.groups = reader.per_group(|reader, group| {
            Ok(State {
                group: Arc::clone(group),
                data_time: reader.time()?,
                seen: reader.time()?,
                last_barrier: reader.option(Reader::time)?,
                due: reader.time()?,
                generation: reader.uint()? as u32,
            })
        })?;
        Ok(())
    }
}
