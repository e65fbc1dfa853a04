//! `cumulativeSum`: all values so far together.

use levada_model::{FieldValue, Timestamp};

use super::number::{Number, NumberTransformation, Numeric};
use super::{Argument, Arguments, SAME, anything, function, transform};
use crate::runtime::{Reader, StateError, Writer};

function!(
    CUMULATIVE_SUM,
    "cumulativeSum",
    as "cumulativeSum",
    "adds up the points so far",
    SAME,
    [Argument::Field],
    anything,
    transform::start::<Numeric<Running<f64>, Running<i64>>>,
);

struct Running<N>(N);

impl<N: Number> NumberTransformation<N> for Running<N> {
    fn begin(_arguments: &Arguments) -> Self {
        Running(N::ZERO)
    }

    fn add(&mut self, number: N, _time: Timestamp) -> Option<FieldValue> {
        self.0 = self.0.plus(number);
        Some(self.0.value())
    }

    fn save(&self, writer: &mut Writer<'_>) {
        self.0.save(writer);
    }

    fn load(_arguments: &Arguments, reader: &mut Reader<'_>) -> Result<Self, StateError> {
        N::load(reader).map(Running)
    }
}
