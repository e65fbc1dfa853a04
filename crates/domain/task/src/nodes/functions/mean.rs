//! `mean`: the average.

use levada_model::{FieldValue, Timestamp};

use super::number::{Number, NumberReduction, Numeric};
use super::reduce::{self, Added, Finished, Keeps};
use super::{Argument, Arguments, STREAM, anything, function};
use crate::runtime::{Reader, StateError, Writer};

function!(
    MEAN,
    "mean",
    as "mean",
    "averages the points of a batch",
    STREAM,
    [Argument::Field],
    anything,
    reduce::start::<Numeric<Mean<f64>, Mean<i64>>>,
);

/// Integers are summed as integers.
struct Mean<N> {
    sum: N,
    count: u64,
}

impl<N: Number> NumberReduction<N> for Mean<N> {
    const KEEPS: Keeps = Keeps::Nothing;

    fn begin() -> Self {
        Mean { sum: N::ZERO, count: 0 }
    }

    #[inline]
    fn add(&mut self, number: N, _time: Timestamp, _index: usize) -> Added {
        self.sum = self.sum.plus(number);
        self.count += 1;
        Added::Taken
    }

    fn finish(self, _arguments: &Arguments) -> Finished {
        Finished::Value(FieldValue::Float(self.sum.float() / self.count as f64))
    }

    fn save(&self, writer: &mut Writer<'_>) {
        self.sum.save(writer);
        writer.uint(self.count);
    }

    fn load(reader: &mut Reader<'_>) -> Result<Self, StateError> {
        Ok(Mean { sum: N::load(reader)?, count: reader.uint()? })
    }
}
