//! `movingAverage`: the average of the last values.

use std::collections::VecDeque;

use levada_model::{FieldValue, Timestamp};

use super::number::{Number, NumberTransformation, Numeric};
use super::{Argument, Arguments, SAME, function, transform};
use crate::runtime::{Reader, StateError, Writer};

function!(
    MOVING_AVERAGE,
    "movingAverage",
    as "movingAverage",
    "averages the last points",
    SAME,
    [Argument::Field, Argument::Int],
    check,
    transform::start::<Numeric<Moving<f64>, Moving<i64>>>,
);

/// The most values that are averaged.
///
/// - Source: ours; each group keeps as many.
pub(super) const POINTS_MAX: i64 = 1_000_000;

/// Differs: upstream crashes later (U-11).
fn check(arguments: &Arguments) -> Result<(), String> {
    match arguments.int(1) {
        ..=0 => Err("the window of movingAverage must be greater than zero".to_owned()),
        1..=POINTS_MAX => Ok(()),
        _ => Err(format!("the window of movingAverage must be at most {POINTS_MAX}")),
    }
}

struct Moving<N> {
    wanted: usize,
    values: VecDeque<N>,
    sum: N,
}

impl<N: Number> Moving<N> {
    fn total(values: &VecDeque<N>) -> N {
        values.iter().fold(N::ZERO, |sum, number| sum.plus(*number))
    }
}

impl<N: Number> NumberTransformation<N> for Moving<N> {
    fn begin(arguments: &Arguments) -> Self {
        Moving { wanted: arguments.count(1), values: VecDeque::new(), sum: N::ZERO }
    }

    fn add(&mut self, number: N, _time: Timestamp) -> Option<FieldValue> {
        if self.values.len() >= self.wanted
            && let Some(oldest) = self.values.pop_front()
        {
            self.sum = self.sum.minus(oldest);
        }
        self.values.push_back(number);
        self.sum = self.sum.plus(number);
        if !self.sum.float().is_finite() {
            // An infinity that has left the window must not stay in the sum.
            self.sum = Self::total(&self.values);
        }
        if self.values.len() < self.wanted {
            return None;
        }
        Some(FieldValue::Float(self.sum.float() / self.values.len() as f64))
    }

    fn save(&self, writer: &mut Writer<'_>) {
        self.sum.save(writer);
        writer.list(self.values.iter(), |writer, number| number.save(writer));
    }

    fn load(arguments: &Arguments, reader: &mut Reader<'_>) -> Result<Self, StateError> {
        let sum = N::load(reader)?;
        let values: VecDeque<N> = reader.list(N::load)?.into();
        Ok(Moving { wanted: arguments.count(1), values, sum })
    }
}
