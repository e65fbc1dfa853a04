//! `elapsed`: the time since the point before.

use levada_model::{FieldValue, Timestamp};

use super::first_last::any_type;
use super::transform::{self, Transformation, Transformed};
use super::trouble::Type;
use super::{Argument, Arguments, SAME, function};
use crate::runtime::{Reader, StateError, Writer};

function!(
    ELAPSED,
    "elapsed",
    as "elapsed",
    "gives the time since the point before",
    SAME,
    [Argument::Field, Argument::Duration],
    check,
    transform::start::<Elapsed>,
);

/// Differs: upstream divides by it (U-11).
fn check(arguments: &Arguments) -> Result<(), String> {
    if arguments.duration(1) > 0 {
        return Ok(());
    }
    Err("the unit of elapsed must be greater than zero".to_owned())
}

struct Elapsed {
    value_type: Type,
    unit: i64,
    previous: Option<Timestamp>,
}

impl Transformation for Elapsed {
    fn begin(arguments: &Arguments, value: &FieldValue) -> Option<Self> {
        let value_type = any_type(value)?;
        Some(Elapsed { value_type, unit: arguments.duration(1).max(1), previous: None })
    }

    fn value_type(&self) -> Type {
        self.value_type
    }

    fn add(&mut self, value: &FieldValue, time: Timestamp) -> Transformed {
        if Type::of(value) != self.value_type {
            return Transformed::Wrong;
        }
        match self.previous.replace(time) {
            Some(previous) => {
                let elapsed = time.0.saturating_sub(previous.0) / self.unit;
                Transformed::Value(FieldValue::Int(elapsed))
            }
            None => Transformed::Nothing,
        }
    }

    fn save(&self, writer: &mut Writer<'_>) {
        self.value_type.save(writer);
        writer.option(self.previous, |writer, time| writer.time(time));
    }

    fn load(arguments: &Arguments, reader: &mut Reader<'_>) -> Result<Self, StateError> {
        Ok(Elapsed {
            value_type: Type::load(reader)?,
            unit: arguments.duration(1).max(1),
            previous: reader.option(Reader::time)?,
        })
    }
}
