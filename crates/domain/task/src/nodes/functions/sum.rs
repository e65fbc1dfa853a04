//! `sum`: all values together.

use levada_model::{FieldValue, Timestamp};

use super::number::{Number, NumberReduction, Numeric};
use super::reduce::{self, Added, Finished, Keeps};
use super::{Argument, Arguments, STREAM, anything, function};
use crate::runtime::{Reader, StateError, Writer};

function!(
    SUM,
    "sum",
    as "sum",
    "adds up the points of a batch",
    STREAM,
    [Argument::Field],
    anything,
    reduce::start::<Numeric<Sum<f64>, Sum<i64>>>,
);

struct Sum<N>(N);

impl<N: Number> NumberReduction<N> for Sum<N> {
    const KEEPS: Keeps = Keeps::Nothing;
    const EMPTY: Option<FieldValue> = Some(FieldValue::Float(0.0));

    fn begin() -> Self {
        Sum(N::ZERO)
    }

    #[inline]
    fn add(&mut self, number: N, _time: Timestamp, _index: usize) -> Added {
        self.0 = self.0.plus(number);
        Added::Taken
    }

    /// Differs: the time is that of the batch with `usePointTimes`, too, where upstream gives the epoch (U-4).
    fn finish(self, _arguments: &Arguments) -> Finished {
        Finished::Value(self.0.value())
    }

    fn save(&self, writer: &mut Writer<'_>) {
        self.0.save(writer);
    }

    fn load(reader: &mut Reader<'_>) -> Result<Self, StateError> {
        N::load(reader).map(Sum)
    }
}
