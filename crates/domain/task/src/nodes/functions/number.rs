//! Functions on integers and floats: written once for both.

use levada_model::{FieldValue, Timestamp};

use super::Arguments;
use super::reduce::{Added, Finished, Keeps, Reduction};
use super::transform::{Transformation, Transformed};
use super::trouble::Type;
use crate::runtime::{Reader, StateError, Writer};

/// An integer or a float.
pub(super) trait Number: Copy + PartialOrd + Send + 'static {
    const ZERO: Self;

    fn value(self) -> FieldValue;
    fn float(self) -> f64;
    /// Integers wrap around, as in Go.
    fn plus(self, other: Self) -> Self;
    /// Integers wrap around, as in Go.
    fn minus(self, other: Self) -> Self;
    /// A total order, so that NaN does not spoil sorting.
    fn order(self, other: Self) -> std::cmp::Ordering;
    fn save(self, writer: &mut Writer<'_>);
    fn load(reader: &mut Reader<'_>) -> Result<Self, StateError>;
}

/// A reduction of numbers of one type.
pub(super) trait NumberReduction<N: Number>: Sized + Send + 'static {
    const KEEPS: Keeps;
    const EMPTY: Option<FieldValue> = None;

    fn begin() -> Self;
    fn add(&mut self, number: N, time: Timestamp, index: usize) -> Added;
    fn finish(self, arguments: &Arguments) -> Finished;
    fn save(&self, writer: &mut Writer<'_>);
    fn load(reader: &mut Reader<'_>) -> Result<Self, StateError>;
}

/// A transformation of numbers of one type.
pub(super) trait NumberTransformation<N: Number>: Sized + Send + 'static {
    fn begin(arguments: &Arguments) -> Self;
    fn add(&mut self, number: N, time: Timestamp) -> Option<FieldValue>;
    fn save(&self, writer: &mut Writer<'_>);
    fn load(arguments: &Arguments, reader: &mut Reader<'_>) -> Result<Self, StateError>;
}

/// A function on floats or on integers, as the first value decides.
pub(super) enum Numeric<F, I> {
    Float(F),
    Int(I),
}

/// A list of values that reductions keep.
#[derive(Debug)]
pub(super) struct Numbers<N>(pub(super) Vec<N>);

/// A list of values with their times.
#[derive(Debug)]
pub(super) struct Timed<N>(pub(super) Vec<(N, Timestamp)>);

// === impl Number ===

impl Number for f64 {
    const ZERO: Self = 0.0;

    fn value(self) -> FieldValue {
        FieldValue::Float(self)
    }

    fn float(self) -> f64 {
        self
    }

    fn plus(self, other: Self) -> Self {
        self + other
    }

    fn minus(self, other: Self) -> Self {
        self - other
    }

    fn order(self, other: Self) -> std::cmp::Ordering {
        self.partial_cmp(&other).unwrap_or_else(|| self.is_nan().cmp(&other.is_nan()).reverse())
    }

    fn save(self, writer: &mut Writer<'_>) {
        writer.float(self);
    }

    fn load(reader: &mut Reader<'_>) -> Result<Self, StateError> {
        reader.float()
    }
}

impl Number for i64 {
    const ZERO: Self = 0;

    fn value(self) -> FieldValue {
        FieldValue::Int(self)
    }

    fn float(self) -> f64 {
        self as f64
    }

    fn plus(self, other: Self) -> Self {
        self.wrapping_add(other)
    }

    fn minus(self, other: Self) -> Self {
        self.wrapping_sub(other)
    }

    fn order(self, other: Self) -> std::cmp::Ordering {
        self.cmp(&other)
    }

    fn save(self, writer: &mut Writer<'_>) {
        writer.int(self);
    }

    fn load(reader: &mut Reader<'_>) -> Result<Self, StateError> {
        reader.int()
    }
}

// === impl Numeric ===

const FLOAT: u64 = 0;
const INT: u64 = 1;

impl<F: NumberReduction<f64>, I: NumberReduction<i64>> Reduction for Numeric<F, I> {
    const KEEPS: Keeps = F::KEEPS;
    const EMPTY: Option<FieldValue> = F::EMPTY;

    fn begin(_arguments: &Arguments, value: &FieldValue) -> Option<Self> {
        match value {
            FieldValue::Float(_) => Some(Numeric::Float(F::begin())),
            FieldValue::Int(_) => Some(Numeric::Int(I::begin())),
            _ => None,
        }
    }

    fn value_type(&self) -> Type {
        match self {
            Numeric::Float(_) => Type::Float,
            Numeric::Int(_) => Type::Int,
        }
    }

    #[inline]
    fn add(&mut self, value: &FieldValue, time: Timestamp, index: usize) -> Added {
        match (self, value) {
            (Numeric::Float(own), FieldValue::Float(number)) => own.add(*number, time, index),
            (Numeric::Int(own), FieldValue::Int(number)) => own.add(*number, time, index),
            _ => Added::Wrong,
        }
    }

    fn finish(self, arguments: &Arguments) -> Finished {
        match self {
            Numeric::Float(own) => own.finish(arguments),
            Numeric::Int(own) => own.finish(arguments),
        }
    }

    fn save(&self, writer: &mut Writer<'_>) {
        match self {
            Numeric::Float(own) => {
                writer.uint(FLOAT);
                own.save(writer);
            }
            Numeric::Int(own) => {
                writer.uint(INT);
                own.save(writer);
            }
        }
    }

    fn load(_arguments: &Arguments, reader: &mut Reader<'_>) -> Result<Self, StateError> {
        match reader.uint()? {
            FLOAT => F::load(reader).map(Numeric::Float),
            INT => I::load(reader).map(Numeric::Int),
            value => Err(StateError::Unknown { what: "type of number", value }),
        }
    }
}

impl<F: NumberTransformation<f64>, I: NumberTransformation<i64>> Transformation for Numeric<F, I> {
    fn begin(arguments: &Arguments, value: &FieldValue) -> Option<Self> {
        match value {
            FieldValue::Float(_) => Some(Numeric::Float(F::begin(arguments))),
            FieldValue::Int(_) => Some(Numeric::Int(I::begin(arguments))),
            _ => None,
        }
    }

    fn value_type(&self) -> Type {
        match self {
            Numeric::Float(_) => Type::Float,
            Numeric::Int(_) => Type::Int,
        }
    }

    #[inline]
    fn add(&mut self, value: &FieldValue, time: Timestamp) -> Transformed {
        let result = match (self, value) {
            (Numeric::Float(own), FieldValue::Float(number)) => own.add(*number, time),
            (Numeric::Int(own), FieldValue::Int(number)) => own.add(*number, time),
            _ => return Transformed::Wrong,
        };
        result.map_or(Transformed::Nothing, Transformed::Value)
    }

    fn save(&self, writer: &mut Writer<'_>) {
        match self {
            Numeric::Float(own) => {
                writer.uint(FLOAT);
                own.save(writer);
            }
            Numeric::Int(own) => {
                writer.uint(INT);
                own.save(writer);
            }
        }
    }

    fn load(arguments: &Arguments, reader: &mut Reader<'_>) -> Result<Self, StateError> {
        match reader.uint()? {
            FLOAT => F::load(arguments, reader).map(Numeric::Float),
            INT => I::load(arguments, reader).map(Numeric::Int),
            value => Err(StateError::Unknown { what: "type of number", value }),
        }
    }
}

// === impl Numbers, Timed ===

impl<N: Number> Numbers<N> {
    pub(super) fn save(&self, writer: &mut Writer<'_>) {
        writer.list(self.0.iter(), |writer, number| number.save(writer));
    }

    pub(super) fn load(reader: &mut Reader<'_>) -> Result<Self, StateError> {
        reader.list(N::load).map(Numbers)
    }
}

impl<N: Number> Timed<N> {
    pub(super) fn save(&self, writer: &mut Writer<'_>) {
        writer.list(self.0.iter(), |writer, (number, time)| {
            number.save(writer);
            writer.time(*time);
        });
    }

    pub(super) fn load(reader: &mut Reader<'_>) -> Result<Self, StateError> {
        reader.list(|reader| Ok((N::load(reader)?, reader.time()?))).map(Timed)
    }
}
