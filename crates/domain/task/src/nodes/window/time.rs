//! Windows of a length of time.
//!
//! Time is that of the data: a window closes when an item shows that its end has come, never by itself.
//!
//! ```text
//! every > 0: [next - period, next), closed by the first item at or after `next`, which is not part of it
//! every = 0: (time - period, time], closed by every point, which is part of it
//! ```

use std::sync::Arc;

use levada_model::time::truncate;
use levada_model::{BatchRef, Group, Point, Str, Timestamp};

use super::buffer::Buffer;
use crate::runtime::{Barrier, Node, Out, PerGroup, Reader, StateError, Step, Writer};

/// When windows close.
pub(super) struct Rule {
    /// The length.
    pub(super) period: i64,
    /// From one window to the next; zero closes one at every point.
    pub(super) every: i64,
    /// Windows end at multiples of `every`.
    pub(super) is_aligned: bool,
    /// The first window is a full one.
    pub(super) is_filled: bool,
}

/// The window of one group.
struct State {
    /// That of the first point; nothing is given before there is one (U-7).
    name: Option<Str>,
    group: Arc<Group>,
    /// When the window ends.
    next: Timestamp,
    /// Empty when the child folds.
    buffer: Buffer,
    /// For a child that folds: points of this window so far.
    folded: u64,
}

pub(super) struct Running {
    rule: Rule,
    groups: PerGroup<State>,
    is_fused: bool,
    buffered: usize,
}

// === impl Rule ===

impl Rule {
    /// The end of the first window of a group whose first point has this time.
    fn first(&self, time: Timestamp) -> Timestamp {
        if !self.is_filled {
            return self.after(time);
        }
        let full = Timestamp(time.0.saturating_add(self.period));
        if !self.is_aligned {
            return full;
        }
        let next = truncate(full, self.every);
        if next > full { next } else { Timestamp(next.0.saturating_add(self.every)) }
    }

    /// The end of the window that begins with an item of this time.
    fn after(&self, time: Timestamp) -> Timestamp {
        let next = Timestamp(time.0.saturating_add(self.every));
        if self.is_aligned { truncate(next, self.every) } else { next }
    }

    /// Says whether a point at the front of a window that ends at `next` is too old for it.
    fn is_old(&self, point: &Point, next: Timestamp) -> bool {
        let begin = next.0.saturating_sub(self.period);
        if self.every > 0 { point.time.0 < begin } else { point.time.0 <= begin }
    }
}

// === impl State ===

impl State {
    fn new(group: &Arc<Group>, next: Timestamp) -> Self {
        State { name: None, group: Arc::clone(group), next, buffer: Buffer::default(), folded: 0 }
    }
}

// === impl Running ===

impl Running {
    pub(super) fn new(rule: Rule) -> Self {
        Running { rule, groups: PerGroup::default(), is_fused: false, buffered: 0 }
    }

    /// Takes an item's time, and the point when it is one.
    #[inline]
    fn take(
        rule: &Rule,
        state: &mut State,
        buffered: &mut usize,
        is_fused: bool,
        time: Timestamp,
        point: Option<&Point>,
        out: &mut Out<'_>,
    ) -> Step {
        if rule.every == 0 {
            if let Some(point) = point {
                keep(state, buffered, point, out);
            }
            if time < state.next {
                return Ok(());
            }
            state.next = time;
            purge(rule, state, buffered, out);
            return emit(state, time, is_fused, out);
        }
        if time >= state.next {
            let tmax = state.next;
            let result = emit(state, tmax, is_fused, out);
            state.next = rule.after(time);
            // The end of the next window is known, so what is too old for it can go now.
            purge(rule, state, buffered, out);
            result?;
        }
        let Some(point) = point else { return Ok(()) };
        let is_front = if is_fused { state.folded == 0 } else { state.buffer.len() == 0 };
        if is_front && rule.is_old(point, state.next) {
            // It would be the first to go when the window closes.
            return Ok(());
        }
        if is_fused {
            out.fold(point, &state.group, state.folded == 0);
            state.folded += 1;
        } else {
            keep(state, buffered, point, out);
        }
        Ok(())
    }
}

fn keep(state: &mut State, buffered: &mut usize, point: &Point, out: &mut Out<'_>) {
    if out.ctx.hold(1) {
        *buffered += 1;
        state.buffer.push(point.clone());
    } else {
        out.error("too many buffered points", &point.series.name, &[]);
    }
}

fn purge(rule: &Rule, state: &mut State, buffered: &mut usize, out: &mut Out<'_>) {
    let next = state.next;
    let gone = state.buffer.drop_while(|point| rule.is_old(point, next));
    *buffered -= gone;
    out.ctx.let_go(gone);
}

fn emit(state: &mut State, tmax: Timestamp, is_fused: bool, out: &mut Out<'_>) -> Step {
    let Some(name) = &state.name else { return Ok(()) };
    let batch = BatchRef { name, group: &state.group, time: tmax, points: state.buffer.points() };
    if is_fused {
        return out.close(batch, std::mem::take(&mut state.folded));
    }
    out.batch(batch)
}

impl Node for Running {
    #[inline]
    fn point(
        &mut self,
        _input: usize,
        point: &Point,
        group: &Arc<Group>,
        out: &mut Out<'_>,
    ) -> Step {
        let Running { rule, groups, buffered, is_fused } = self;
        let state = groups.entry(group.slot, || State::new(group, rule.first(point.time)));
        if state.name.is_none() {
            state.name = Some(Str::clone(&point.series.name));
        }
        Running::take(rule, state, buffered, *is_fused, point.time, Some(point), out)
    }

    fn batch(&mut self, _input: usize, _batch: BatchRef<'_>, _out: &mut Out<'_>) -> Step {
        Ok(())
    }

    /// Differs: closes and hands the barrier on, where upstream swallows it (U-15).
    fn barrier(&mut self, _input: usize, barrier: &Barrier, out: &mut Out<'_>) -> Step {
        let Running { rule, groups, buffered, is_fused } = self;
        let (group, time) = (&barrier.group, barrier.time);
        let state = groups.entry(group.slot, || State::new(group, rule.first(time)));
        Running::take(rule, state, buffered, *is_fused, time, None, out)?;
        out.barrier(barrier)
    }

    fn watermark(&mut self, time: Timestamp, out: &mut Out<'_>) -> Step {
        let Running { rule, groups, buffered, is_fused } = self;
        if rule.every == 0 {
            // Every point has closed its window already.
            return Ok(());
        }
        let is_end = time.0 == i64::MAX;
        for (_, state) in groups.iter_mut() {
            // The end of the data closes windows with points; an empty one would be a window that nobody waited for.
            if is_end && state.buffer.len() == 0 && state.folded == 0 {
                continue;
            }
            Running::take(rule, state, buffered, *is_fused, time, None, out)?;
        }
        Ok(())
    }

    fn fuse(&mut self) {
        // Only windows that do not overlap: of them, a point is in one at most. Tests compare the two ways.
        self.is_fused = self.rule.every > 0 && self.rule.every >= self.rule.period;
    }

    fn delete(&mut self, _input: usize, group: &Arc<Group>, out: &mut Out<'_>) -> Step {
        let before = self.buffered;
        self.forget(group.slot);
        out.ctx.let_go(before - self.buffered);
        out.delete(group)
    }

    fn restored(&mut self, out: &mut Out<'_>) {
        out.ctx.held += self.buffered;
    }

    fn forget(&mut self, slot: u32) {
        if let Some(state) = self.groups.remove(slot) {
            self.buffered -= state.buffer.len();
        }
    }

    fn cardinality(&self) -> usize {
        self.groups.len()
    }

    fn buffered(&self) -> usize {
        self.buffered
    }

    fn save(&self, writer: &mut Writer<'_>) {
        writer.bool(self.is_fused);
        writer.per_group(&self.groups, |writer, state| {
            writer.option(state.name.as_ref(), |writer, name| writer.text(name));
            writer.time(state.next);
            writer.uint(state.folded);
            state.buffer.save(writer);
        });
    }

    fn load(&mut self, reader: &mut Reader<'_>) -> Result<(), StateError> {
        if reader.bool()? != self.is_fused {
            let text = "the window kept its points in another way: it has other children now";
            return Err(StateError::Refused(text.to_owned()));
        }
        let mut buffered = 0;
        self.groups = reader.per_group(|reader, group| {
            let state = State {
                name: reader.option(Reader::str)?,
                group: Arc::clone(group),
                next: reader.time()?,
                folded: reader.uint()?,
                buffer: Buffer::load(reader)?,
            };
            buffered += state.buffer.len();
            Ok(state)
        })?;
        self.buffered = buffered;
        Ok(())
    }
}
