//! `percentile`: the point whose value is larger than so many of a hundred.

use levada_model::Timestamp;

use super::number::{Number, NumberReduction, Numeric};
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

/// Values with the numbers of their points.
struct Percentile<N>(Vec<(N, u32)>);

impl<N: Number> NumberReduction<N> for Percentile<N> {
    const KEEPS: Keeps = Keeps::All;

    fn begin() -> Self {
        Percentile(Vec::new())
    }

    #[inline]
    fn add(&mut self, number: N, _time: Timestamp, index: usize) -> Added {
        self.0.push((number, index as u32));
        Added::Taken
    }

    fn finish(self, arguments: &Arguments) -> Finished {
        let mut numbers = self.0;
        let place = (numbers.len() as f64 * arguments.float(1) / 100.0 + 0.5).floor() - 1.0;
        // Out of range, or NaN.
        if !(0.0..numbers.len() as f64).contains(&place) {
            return Finished::Nothing;
        }
        let by_value = |a: &(N, u32), b: &(N, u32)| a.0.order(b.0).then(a.1.cmp(&b.1));
        let (_, found, _) = numbers.select_nth_unstable_by(place as usize, by_value);
        Finished::Point(found.1 as usize)
    }

    fn save(&self, writer: &mut Writer<'_>) {
        writer.list(self.0.iter(), |writer, (number, _)| number.save(writer));
    }

    fn load(reader: &mut Reader<'_>) -> Result<Self, StateError> {
        let numbers = reader.list(N::load)?;
        Ok(Percentile(numbers.into_iter().zip(0..).collect()))
    }
}
