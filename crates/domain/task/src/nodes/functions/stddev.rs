//! `stddev`: the standard deviation of a sample.

use levada_model::{FieldValue, Timestamp};

use super::number::{Number, NumberReduction, Numbers, Numeric};
use super::reduce::{self, Added, Finished, Keeps};
use super::{Argument, Arguments, STREAM, anything, function};
use crate::runtime::{Reader, StateError, Writer};

function!(
    STDDEV,
    "stddev",
    as "stddev",
    "gives the standard deviation of the points of a batch",
    STREAM,
    [Argument::Field],
    anything,
    reduce::start::<Numeric<Deviation<f64>, Deviation<i64>>>,
);

/// Two passes over the values: one running pass would be off by the last digits.
struct Deviation<N>(Numbers<N>);

impl<N: Number> NumberReduction<N> for Deviation<N> {
    const KEEPS: Keeps = Keeps::Values;

    fn begin() -> Self {
        Deviation(Numbers(Vec::new()))
    }

    #[inline]
    fn add(&mut self, number: N, _time: Timestamp, _index: usize) -> Added {
        self.0.0.push(number);
        Added::Taken
    }

    fn finish(self, _arguments: &Arguments) -> Finished {
        let numbers = || self.0.0.iter().map(|number| number.float()).filter(|n| !n.is_nan());
        let (mut mean, mut count) = (0.0, 0.0);
        for number in numbers() {
            count += 1.0;
            mean += (number - mean) / count;
        }
        let mut squares = 0.0;
        for number in numbers() {
            squares += (number - mean) * (number - mean);
        }
        // One value has no deviation: NaN.
        let deviation = if count < 2.0 { f64::NAN } else { (squares / (count - 1.0)).sqrt() };
        Finished::Value(FieldValue::Float(deviation))
    }

    fn save(&self, writer: &mut Writer<'_>) {
        self.0.save(writer);
    }

    fn load(reader: &mut Reader<'_>) -> Result<Self, StateError> {
        Numbers::load(reader).map(Deviation)
    }
}
