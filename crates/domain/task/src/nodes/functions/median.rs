//! `median`: the value in the middle.

use levada_model::{FieldValue, Timestamp};

use super::number::{Number, NumberReduction, Numbers, Numeric};
use super::reduce::{self, Added, Finished, Keeps};
use super::{Argument, Arguments, STREAM, anything, function};
use crate::runtime::{Reader, StateError, Writer};

function!(
    MEDIAN,
    "median",
    as "median",
    "gives the value in the middle of a batch",
    STREAM,
    [Argument::Field],
    anything,
    reduce::start::<Numeric<Median<f64>, Median<i64>>>,
);

struct Median<N>(Numbers<N>);

impl<N: Number> NumberReduction<N> for Median<N> {
    const KEEPS: Keeps = Keeps::Values;

    fn begin() -> Self {
        Median(Numbers(Vec::new()))
    }

    #[inline]
    fn add(&mut self, number: N, _time: Timestamp, _index: usize) -> Added {
        self.0.0.push(number);
        Added::Taken
    }

    fn finish(self, _arguments: &Arguments) -> Finished {
        let mut numbers = self.0.0;
        let count = numbers.len();
        if count == 0 {
            return Finished::Nothing;
        }
        let (lower, middle, _) = numbers.select_nth_unstable_by(count / 2, |a, b| a.order(*b));
        let high = *middle;
        let below = lower.iter().copied().max_by(|a, b| a.order(*b));
        let median = match below {
            Some(low) if count.is_multiple_of(2) => low.float() + high.minus(low).float() / 2.0,
            _ => high.float(),
        };
        Finished::Value(FieldValue::Float(median))
    }

    fn save(&self, writer: &mut Writer<'_>) {
        self.0.save(writer);
    }

    fn load(reader: &mut Reader<'_>) -> Result<Self, StateError> {
        Numbers::load(reader).map(Median)
    }
}
