//! What `stateDuration` and `stateCount` share: something is tracked as long as an expression holds.

use std::sync::Arc;

use levada_model::{BatchRef, FieldValue, Group, Point, Timestamp};
use levada_tick::lambda::Program;
use levada_tick::syntax::Node as Expression;

use super::derived::WithField;
use super::predicate::{Predicate, has_inner_lambda};
use crate::runtime::{Node, Out, PerGroup, Reader, StartContext, StateError, Step, Writer};

/// What is tracked; the state of a group exists as long as the expression holds.
pub(super) trait Tracker: Send {
    /// What is known of a group in which the expression holds.
    type State: Copy + Send;

    /// Gives the result for a point that the expression holds for, and moves on.
    fn next(&self, state: &mut Option<Self::State>, time: Timestamp) -> FieldValue;

    /// Gives the result for a point that it does not hold for.
    fn outside(&self) -> FieldValue;

    /// Appends a state.
    fn save(state: Self::State, writer: &mut Writer<'_>);

    /// Reads a state.
    fn load(reader: &mut Reader<'_>) -> Result<Self::State, StateError>;
}

/// A node that tracks.
pub(super) struct Running<T: Tracker> {
    tracker: T,
    predicate: Predicate,
    result: WithField,
    groups: PerGroup<Option<T::State>>,
    /// Room for the points of a batch.
    points: Vec<Point>,
}

/// Compiles the expression of `node`.
pub(super) fn compile(expression: Option<&Expression>, node: &str) -> Result<Program, String> {
    let expression = expression.ok_or_else(|| format!("a {node} node needs an expression"))?;
    Program::compile(expression).map_err(|error| error.to_string())
}

// === impl Running ===

impl<T: Tracker> Running<T> {
    /// Makes a node that writes the field `result`.
    pub(super) fn new(
        tracker: T,
        (expression, program): (Option<&Expression>, Program),
        result: &str,
        ctx: &StartContext<'_>,
    ) -> Self {
        let shares = ctx.compat.is_1_8 && expression.is_some_and(has_inner_lambda);
        Running {
            tracker,
            predicate: Predicate::new(program, ctx.seed).shared(shares),
            result: WithField::new(result),
            groups: PerGroup::default(),
            points: Vec::new(),
        }
    }

    /// Gives the result for a point; nothing after an error, which leaves the state as it is.
    fn track(
        &mut self,
        state: &mut Option<T::State>,
        point: &Point,
        slot: u32,
        out: &mut Out<'_>,
    ) -> Option<FieldValue> {
        match self.predicate.holds(point, slot, &out.ctx.env) {
            Ok(true) => Some(self.tracker.next(state, point.time)),
            Ok(false) => {
                *state = None;
                Some(self.tracker.outside())
            }
            Err(error) => {
                out.error("error while evaluating expression", &error.to_string(), &[]);
                None
            }
        }
    }
}

impl<T: Tracker> Node for Running<T> {
    fn point(
        &mut self,
        _input: usize,
        point: &Point,
        group: &Arc<Group>,
        out: &mut Out<'_>,
    ) -> Step {
        let mut state = self.groups.get(group.slot).copied().flatten();
        let tracked = self.track(&mut state, point, group.slot, out);
        *self.groups.entry(group.slot, || None) = state;
        match tracked {
            Some(value) => out.point(self.result.set(point, value), group),
            None => Ok(()),
        }
    }

    fn batch(&mut self, _input: usize, batch: BatchRef<'_>, out: &mut Out<'_>) -> Step {
        let mut points = std::mem::take(&mut self.points);
        let mut state = None;
        for point in batch.points {
            if let Some(value) = self.track(&mut state, point, batch.group.slot, out) {
                points.push(self.result.copy(point, value));
            }
        }
        let result = out.batch(BatchRef { points: &points, ..batch });
        points.clear();
        self.points = points;
        result
    }

    fn forget(&mut self, slot: u32) {
        self.groups.remove(slot);
        self.predicate.forget(slot);
    }

    fn cardinality(&self) -> usize {
        self.groups.len()
    }

    fn save(&self, writer: &mut Writer<'_>) {
        self.predicate.save(writer);
        writer.per_group(&self.groups, |writer, state| {
            writer.option(*state, |writer, state| T::save(state, writer));
        });
    }

    fn load(&mut self, reader: &mut Reader<'_>) -> Result<(), StateError> {
        self.predicate.load(reader)?;
        self.groups = reader.per_group(|reader, _| reader.option(T::load))?;
        Ok(())
    }
}
