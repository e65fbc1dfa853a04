//! `first`, `last`: the points of the smallest and the largest time.

use std::cmp::Ordering;

use levada_model::{FieldValue, Timestamp};

use super::reduce::{self, Added, Finished, Keeps, Reduction};
use super::trouble::Type;
use super::{Argument, Arguments, STREAM, anything, function};
use crate::runtime::{Reader, StateError, Writer};

function!(
    FIRST,
    "first",
    as "first",
    "selects the earliest point",
    STREAM,
    [Argument::Field],
    anything,
    reduce::start::<Extreme<false>>,
);

function!(
    LAST,
    "last",
    as "last",
    "selects the latest point",
    STREAM,
    [Argument::Field],
    anything,
    reduce::start::<Extreme<true>>,
);

/// The point at one end of time.
struct Extreme<const IS_LAST: bool> {
    value_type: Type,
    best: Option<(FieldValue, Timestamp)>,
}

/// Gives the type of a value when it is one that functions on any type work on.
pub(super) fn any_type(value: &FieldValue) -> Option<Type> {
    let value_type = Type::of(value);
    let is_known = matches!(value_type, Type::Float | Type::Int | Type::Str | Type::Bool);
    is_known.then_some(value_type)
}

/// Orders two values of one type.
pub(super) fn order(one: &FieldValue, other: &FieldValue) -> Ordering {
    match (one, other) {
        (FieldValue::Float(one), FieldValue::Float(other)) => {
            one.partial_cmp(other).unwrap_or(Ordering::Equal)
        }
        (FieldValue::Int(one), FieldValue::Int(other)) => one.cmp(other),
        (FieldValue::Str(one), FieldValue::Str(other)) => one.cmp(other),
        (FieldValue::Bool(one), FieldValue::Bool(other)) => one.cmp(other),
        _ => Ordering::Equal,
    }
}

// === impl Extreme ===

impl<const IS_LAST: bool> Extreme<IS_LAST> {
    /// Says which of two values of one time is taken: the larger one, but of booleans `first` takes FALSE.
    fn prefers(new: &FieldValue, old: &FieldValue) -> bool {
        let order = order(new, old);
        let takes_smaller = !IS_LAST && matches!(new, FieldValue::Bool(_));
        if takes_smaller { order.is_lt() } else { order.is_gt() }
    }
}

impl<const IS_LAST: bool> Reduction for Extreme<IS_LAST> {
    const KEEPS: Keeps = Keeps::Selected;

    fn begin(_arguments: &Arguments, value: &FieldValue) -> Option<Self> {
        any_type(value).map(|value_type| Extreme { value_type, best: None })
    }

    fn value_type(&self) -> Type {
        self.value_type
    }

    #[inline]
    fn add(&mut self, value: &FieldValue, time: Timestamp, _index: usize) -> Added {
        if Type::of(value) != self.value_type {
            return Added::Wrong;
        }
        if let Some((best, best_time)) = &self.best {
            let order = time.cmp(best_time);
            let is_nearer_end = if IS_LAST { order.is_gt() } else { order.is_lt() };
            let is_better = is_nearer_end || (order.is_eq() && Self::prefers(value, best));
            if !is_better {
                return Added::Taken;
            }
        }
        self.best = Some((value.clone(), time));
        Added::Selected
    }

    fn finish(self, _arguments: &Arguments) -> Finished {
        Finished::Selected
    }

    fn save(&self, writer: &mut Writer<'_>) {
        self.value_type.save(writer);
        writer.option(self.best.as_ref(), |writer, (value, time)| {
            writer.value(value);
            writer.time(*time);
        });
    }

    fn load(_arguments: &Arguments, reader: &mut Reader<'_>) -> Result<Self, StateError> {
        Ok(Extreme {
            value_type: Type::load(reader)?,
            best: reader.option(|reader| Ok((reader.value()?, reader.time()?)))?,
        })
    }
}
