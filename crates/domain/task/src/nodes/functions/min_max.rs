//! `min`, `max`: the points of the smallest and the largest value.

use levada_model::Timestamp;

use super::number::{Number, NumberReduction, Numeric};
use super::reduce::{self, Added, Finished, Keeps};
use super::{Argument, Arguments, STREAM, anything, function};
use crate::runtime::{Reader, StateError, Writer};

function!(
    MIN,
    "min",
    as "min",
    "selects the point of the smallest value",
    STREAM,
    [Argument::Field],
    anything,
    reduce::start::<Numeric<Extreme<f64, false>, Extreme<i64, false>>>,
);

function!(
    MAX,
    "max",
    as "max",
    "selects the point of the largest value",
    STREAM,
    [Argument::Field],
    anything,
    reduce::start::<Numeric<Extreme<f64, true>, Extreme<i64, true>>>,
);

/// The point of the value at one end; of equal values the earliest.
struct Extreme<N, const IS_MAX: bool> {
    best: Option<(N, Timestamp)>,
}

impl<N: Number, const IS_MAX: bool> NumberReduction<N> for Extreme<N, IS_MAX> {
    const KEEPS: Keeps = Keeps::Selected;

    fn begin() -> Self {
        Extreme { best: None }
    }

    #[inline]
    fn add(&mut self, number: N, time: Timestamp, _index: usize) -> Added {
        if let Some((best, best_time)) = self.best {
            let is_further = if IS_MAX { number > best } else { number < best };
            let is_better = is_further || (number == best && time < best_time);
            if !is_better {
                return Added::Taken;
            }
        }
        self.best = Some((number, time));
        Added::Selected
    }

    fn finish(self, _arguments: &Arguments) -> Finished {
        Finished::Selected
    }

    fn save(&self, writer: &mut Writer<'_>) {
        writer.option(self.best, |writer, (number, time)| {
            number.save(writer);
            writer.time(time);
        });
    }

    fn load(reader: &mut Reader<'_>) -> Result<Self, StateError> {
        Ok(Extreme { best: reader.option(|reader| Ok((N::load(reader)?, reader.time()?)))? })
    }
}
