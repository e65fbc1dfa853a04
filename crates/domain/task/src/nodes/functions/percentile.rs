//! `percentile`: the point whose value is larger than so many of a hundred.

use levada_model::Timestamp;

use super::number::{Number, NumberReduction, Numbers, Numeric};
use super::reduce::{self, Added, Finished, Keeps};
use super::{Argument, Arguments, STREAM, anything, function};
use crate::runtime::{Reader, StateError, Writer};

function!(
    PERCENTILE,
    "percentile",
    as "percentile",
    "selects the point at a percentile of the values",
    STREAM,
    [Argument::Field, Argument::Float],
    anything,
    reduce::start::<Numeric<Percentile<f64>, Percentile<i64>>>,
);

struct Percentile<N>(Numbers<N>);

impl<N: Number> NumberReduction<N> for Percentile<N> {
    const KEEPS: Keeps = Keeps::All;

    fn begin() -> Self {
        Percentile(Numbers(Vec::new()))
    }

    #[inline]
    fn add(&mut self, number: N, _time: Timestamp, _index: usize) -> Added {
        self.0.0.push(number);
        Added::Taken
    }

    fn finish(self, arguments: &Arguments) -> Finished {
        let numbers = self.0.0;
        let place = (numbers.len() as f64 * arguments.float(1) / 100.0 + 0.5).floor() - 1.0;
        // Out of range, or NaN.
        if !(0.0..numbers.len() as f64).contains(&place) {
            return Finished::Nothing;
        }
        let mut order: Vec<(N, u32)> =
            numbers.into_iter().enumerate().map(|(at, number)| (number, at as u32)).collect();
        let by_value = |a: &(N, u32), b: &(N, u32)| a.0.order(b.0).then(a.1.cmp(&b.1));
        let (_, found, _) = order.select_nth_unstable_by(place as usize, by_value);
        Finished::Point(found.1 as usize)
    }

    fn save(&self, writer: &mut Writer<'_>) {
        self.0.save(writer);
    }

    fn load(reader: &mut Reader<'_>) -> Result<Self, StateError> {
        Numbers::load(reader).map(Percentile)
    }
}
