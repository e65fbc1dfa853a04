//! `distinct`: each value once.

use std::collections::HashSet;

use foldhash::fast::RandomState;
use levada_model::{FieldValue, Str, Timestamp};

use super::first_last::{any_type, order};
use super::reduce::{self, Added, Finished, Item, Keeps, Reduction};
use super::trouble::Type;
use super::{Argument, Arguments, BATCH, anything, function};
use crate::runtime::{Reader, StateError, Writer};

function!(
    DISTINCT,
    "distinct",
    as "distinct",
    "gives each value of a batch once",
    BATCH,
    [Argument::Field],
    anything,
    reduce::start::<Distinct>,
);

struct Distinct {
    value_type: Type,
    known: HashSet<Key, RandomState>,
    /// First occurrences.
    values: Vec<(FieldValue, Timestamp)>,
}

/// A value that can be looked up.
#[derive(PartialEq, Eq, Hash)]
enum Key {
    Number(u64),
    Str(Str),
}

impl Key {
    fn of(value: &FieldValue) -> Key {
        match value {
            // The two zeros are one value.
            FieldValue::Float(number) => Key::Number((number + 0.0).to_bits()),
            FieldValue::Int(number) => Key::Number(*number as u64),
            FieldValue::Bool(flag) => Key::Number(u64::from(*flag)),
            FieldValue::Str(text) => Key::Str(Str::clone(text)),
            // No other type begins a reduction.
            _ => Key::Number(0),
        }
    }
}

impl Reduction for Distinct {
    const KEEPS: Keeps = Keeps::Values;

    fn begin(_arguments: &Arguments, value: &FieldValue) -> Option<Self> {
        any_type(value).map(|value_type| Distinct {
            value_type,
            known: HashSet::default(),
            values: Vec::new(),
        })
    }

    fn value_type(&self) -> Type {
        self.value_type
    }

    fn add(&mut self, value: &FieldValue, time: Timestamp, _index: usize) -> Added {
        if Type::of(value) != self.value_type {
            return Added::Wrong;
        }
        if self.known.insert(Key::of(value)) {
            self.values.push((value.clone(), time));
        }
        Added::Taken
    }

    fn finish(self, _arguments: &Arguments) -> Finished {
        let mut values = self.values;
        values.sort_by(|a, b| a.1.cmp(&b.1).then_with(|| order(&a.0, &b.0)));
        let items = values.into_iter().map(|(value, time)| Item {
            value,
            time,
            keeps_time: false,
            index: None,
        });
        Finished::Items(items.collect())
    }

    fn save(&self, writer: &mut Writer<'_>) {
        self.value_type.save(writer);
        writer.list(self.values.iter(), |writer, (value, time)| {
            writer.value(value);
            writer.time(*time);
        });
    }

    fn load(_arguments: &Arguments, reader: &mut Reader<'_>) -> Result<Self, StateError> {
        let value_type = Type::load(reader)?;
        let values = reader.list(|reader| Ok((reader.value()?, reader.time()?)))?;
        let known = values.iter().map(|(value, _)| Key::of(value)).collect();
        Ok(Distinct { value_type, known, values })
    }
}
