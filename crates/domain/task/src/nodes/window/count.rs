//! Windows of a number of points.

use std::sync::Arc;

use levada_model::{BatchRef, Group, Point, Str};

use super::buffer::Buffer;
use crate::runtime::{Node, Out, PerGroup, Reader, StateError, Step, Writer};

/// How points are counted.
pub(super) struct Rule {
    /// Points of a full window.
    pub(super) period: usize,
    /// Points from one batch to the next.
    pub(super) every: u64,
    /// The first batch is a full window.
    pub(super) is_filled: bool,
}

/// The window of one group.
struct State {
    name: Str,
    buffer: Buffer,
    /// Points until the next batch.
    missing: u64,
}

pub(super) struct Running {
    rule: Rule,
    groups: PerGroup<State>,
    buffered: usize,
}

// === impl Running ===

impl Running {
    pub(super) fn new(rule: Rule) -> Self {
        Running { rule, groups: PerGroup::default(), buffered: 0 }
    }
}

impl Rule {
    fn first(&self) -> u64 {
        if self.is_filled { self.period as u64 } else { self.every }
    }
}

impl Node for Running {
    fn point(
        &mut self,
        _input: usize,
        point: &Point,
        group: &Arc<Group>,
        out: &mut Out<'_>,
    ) -> Step {
        let rule = &self.rule;
        let state = self.groups.entry(group.slot, || State {
            name: Str::clone(&point.series.name),
            buffer: Buffer::default(),
            missing: rule.first(),
        });
        if state.buffer.len() >= rule.period {
            state.buffer.drop_front(1);
        } else if out.ctx.hold(1) {
            self.buffered += 1;
        } else {
            out.error("too many buffered points", &point.series.name, &[]);
            return Ok(());
        }
        state.buffer.push(point.clone());
        state.missing -= 1;
        if state.missing > 0 {
            return Ok(());
        }
        state.missing = rule.every;
        out.batch(BatchRef {
            name: &state.name,
            group,
            time: point.time,
            points: state.buffer.points(),
        })
    }

    fn batch(&mut self, _input: usize, _batch: BatchRef<'_>, _out: &mut Out<'_>) -> Step {
        Ok(())
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
        writer.per_group(&self.groups, |writer, state| {
            writer.text(&state.name);
            writer.uint(state.missing);
            state.buffer.save(writer);
        });
    }

    fn load(&mut self, reader: &mut Reader<'_>) -> Result<(), StateError> {
        let mut buffered = 0;
        let most = self.rule.first().max(self.rule.every);
        self.groups = reader.per_group(|reader, _| {
            let state = State {
                name: reader.str()?,
                // Zero would never come round again.
                missing: reader.uint()?.clamp(1, most),
                buffer: Buffer::load(reader)?,
            };
            buffered += state.buffer.len();
            Ok(state)
        })?;
        self.buffered = buffered;
        Ok(())
    }
}
