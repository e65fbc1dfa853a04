//! `difference`: the value minus the one before.

use levada_model::{FieldValue, Timestamp};

use super::number::{Number, NumberTransformation, Numeric};
use super::{Argument, Arguments, SAME, anything, function, transform};
use crate::runtime::{Reader, StateError, Writer};

function!(
    DIFFERENCE,
    "difference",
    as "difference",
    "subtracts the value before",
    SAME,
    [Argument::Field],
    anything,
    transform::start::<Numeric<Difference<f64>, Difference<i64>>>,
);

struct Difference<N> {
    previous: Option<(N, Timestamp)>,
}

impl<N: Number> NumberTransformation<N> for Difference<N> {
    fn begin(_arguments: &Arguments) -> Self {
        Difference { previous: None }
    }

    fn add(&mut self, number: N, time: Timestamp) -> Option<FieldValue> {
        match &mut self.previous {
            // Of several points with one time the first counts.
            Some((_, previous_time)) if *previous_time == time => None,
            Some(previous) => {
                let difference = number.minus(previous.0);
                *previous = (number, time);
                Some(difference.value())
            }
            none => {
                *none = Some((number, time));
                None
            }
        }
    }

    fn save(&self, writer: &mut Writer<'_>) {
        writer.option(self.previous, |writer, (number, time)| {
            number.save(writer);
            writer.time(time);
        });
    }

    fn load(_arguments: &Arguments, reader: &mut Reader<'_>) -> Result<Self, StateError> {
        let previous = reader.option(|reader| Ok((N::load(reader)?, reader.time()?)))?;
        Ok(Difference { previous })
    }
}
