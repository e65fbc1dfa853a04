//! Functions that make at most one result of each point.
//!
//! On streams the state of a group goes on from point to point; on batches it begins anew with each. Its type follows
//! from the first point that it can use.

use std::sync::Arc;

use levada_model::{BatchRef, FieldValue, Group, Point, Str, Timestamp};

use super::output::Output;
use super::trouble::{Trouble, Type, Words};
use super::{Arguments, Start};
use crate::nodes::derived::FieldAt;
use crate::runtime::{Node, Out, PerGroup, Reader, StateError, Step, Writer};
use crate::spec::Edge;

/// A function on each point: what it knows of the earlier ones.
pub(super) trait Transformation: Sized + Send + 'static {
    /// Begins with the type of a value, which is added after that; `None` when it does not work on the type.
    fn begin(arguments: &Arguments, value: &FieldValue) -> Option<Self>;

    /// Gives the type of its values.
    fn value_type(&self) -> Type;

    /// Takes a value.
    fn add(&mut self, value: &FieldValue, time: Timestamp) -> Transformed;

    /// Appends its state.
    fn save(&self, writer: &mut Writer<'_>);

    /// Reads its state.
    fn load(arguments: &Arguments, reader: &mut Reader<'_>) -> Result<Self, StateError>;
}

/// What a value becomes.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Transformed {
    /// Nothing this time.
    Nothing,
    /// A result.
    Value(FieldValue),
    /// It has another type than the first.
    Wrong,
}

/// Makes the node of a function.
pub(super) fn start<T: Transformation>(start: Start<'_>) -> Box<dyn Node> {
    let Start { definition, wants } = start;
    Box::new(Running::<T> {
        shared: Shared {
            field: FieldAt::new(definition.field()),
            arguments: definition.arguments().clone(),
            words: Words {
                function: definition.function().kind.desc,
                field: definition.field().to_owned(),
                aggregate: if wants == Edge::Batch {
                    "failed to aggregate batch point"
                } else {
                    "failed to aggregate point"
                },
            },
        },
        output: Output::new(definition),
        groups: PerGroup::default(),
        points: Vec::new(),
    })
}

struct Running<T> {
    shared: Shared,
    output: Output,
    groups: PerGroup<State<T>>,
    /// Room for the points of a batch.
    points: Vec<Point>,
}

/// What all groups share.
struct Shared {
    field: FieldAt,
    arguments: Arguments,
    words: Words,
}

/// What is known of a group; on batches only the name.
struct State<T> {
    name: Str,
    transformation: Option<T>,
}

// === impl Shared ===

impl Shared {
    #[inline]
    fn add<T: Transformation>(
        &mut self,
        transformation: &mut Option<T>,
        point: &Point,
    ) -> Result<Option<FieldValue>, Trouble> {
        let value = self.field.value(point);
        let (running, value) = match (transformation.as_mut(), value) {
            (Some(running), Some(value)) => (running, value),
            (None, Some(value)) => {
                let begun = T::begin(&self.arguments, value)
                    .ok_or_else(|| Trouble::NotFor(Type::of(value)))?;
                (transformation.insert(begun), value)
            }
            (Some(_), None) => return Err(Trouble::Missing),
            (None, None) => return Err(Trouble::NoField),
        };
        match running.add(value, point.time) {
            Transformed::Nothing => Ok(None),
            Transformed::Value(value) => Ok(Some(value)),
            Transformed::Wrong => {
                Err(Trouble::Wrong { got: Type::of(value), expected: running.value_type() })
            }
        }
    }
}

// === impl State ===

impl<T> State<T> {
    fn new(name: &Str) -> Self {
        State { name: Str::clone(name), transformation: None }
    }
}

// === impl Running ===

impl<T: Transformation> Node for Running<T> {
    fn point(
        &mut self,
        _input: usize,
        point: &Point,
        group: &Arc<Group>,
        out: &mut Out<'_>,
    ) -> Step {
        let Running { shared, output, groups, .. } = self;
        let state = groups.entry(group.slot, || State::new(&point.series.name));
        match shared.add(&mut state.transformation, point) {
            Ok(Some(value)) => {
                let given = output.of_group(&state.name, group, value, point.time);
                out.point(&given, group)
            }
            Ok(None) => Ok(()),
            // Differs: upstream gives the result before once more (U-5).
            Err(trouble) => {
                shared.words.report(trouble, out);
                Ok(())
            }
        }
    }

    fn batch(&mut self, _input: usize, batch: BatchRef<'_>, out: &mut Out<'_>) -> Step {
        let Running { shared, output, groups, points } = self;
        let state = groups.entry(batch.group.slot, || State::new(batch.name));
        let mut transformation: Option<T> = None;
        for point in batch.points {
            match shared.add(&mut transformation, point) {
                Ok(Some(value)) => {
                    points.push(output.of_group(&state.name, batch.group, value, point.time));
                }
                Ok(None) => {}
                Err(trouble) => shared.words.report(trouble, out),
            }
        }
        let result = out.batch(BatchRef { name: &state.name, points, ..batch });
        points.clear();
        result
    }

    fn forget(&mut self, slot: u32) {
        self.groups.remove(slot);
        self.output.forget(slot);
    }

    fn cardinality(&self) -> usize {
        self.groups.len()
    }

    fn save(&self, writer: &mut Writer<'_>) {
        writer.per_group(&self.groups, |writer, state| {
            writer.text(&state.name);
            writer.option(state.transformation.as_ref(), |writer, own| own.save(writer));
        });
    }

    fn load(&mut self, reader: &mut Reader<'_>) -> Result<(), StateError> {
        let arguments = &self.shared.arguments;
        self.groups = reader.per_group(|reader, _| {
            let name = reader.str()?;
            let transformation = reader.option(|reader| T::load(arguments, reader))?;
            Ok(State { name, transformation })
        })?;
        Ok(())
    }
}
