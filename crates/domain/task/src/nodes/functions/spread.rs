//! `spread`: the distance from the smallest to the largest value.

use levada_model::Timestamp;

use super::number::{Number, NumberReduction, Numeric};
use super::reduce::{self, Added, Finished, Keeps};
use super::{Argument, Arguments, STREAM, anything, function};
use crate::runtime::{Reader, StateError, Writer};

function!(
    SPREAD,
    "spread",
    as "spread",
    "subtracts the smallest value of a batch from the largest",
    STREAM,
    [Argument::Field],
    anything,
    reduce::start::<Numeric<Spread<f64>, Spread<i64>>>,
);

struct Spread<N> {
    ends: Option<(N, N)>,
}

impl<N: Number> NumberReduction<N> for Spread<N> {
    const KEEPS: Keeps = Keeps::Nothing;

    fn begin() -> Self {
        Spread { ends: None }
    }

    #[inline]
    fn add(&mut self, number: N, _time: Timestamp, _index: usize) -> Added {
        let (low, high) = self.ends.get_or_insert((number, number));
        if number < *low {
            *low = number;
        }
        if number > *high {
            *high = number;
        }
        Added::Taken
    }

    fn finish(self, _arguments: &Arguments) -> Finished {
        match self.ends {
            Some((low, high)) => Finished::Value(high.minus(low).value()),
            None => Finished::Nothing,
        }
    }

    fn save(&self, writer: &mut Writer<'_>) {
        writer.option(self.ends, |writer, (low, high)| {
            low.save(writer);
            high.save(writer);
        });
    }

    fn load(reader: &mut Reader<'_>) -> Result<Self, StateError> {
        Ok(Spread { ends: reader.option(|reader| Ok((N::load(reader)?, N::load(reader)?)))? })
    }
}
