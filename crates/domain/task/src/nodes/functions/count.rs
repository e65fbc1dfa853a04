//! `count`: how many points have the field.

use levada_model::{FieldValue, Timestamp};

use super::reduce::{self, Added, Finished, Keeps, Reduction};
use super::trouble::Type;
use super::{Argument, Arguments, STREAM, anything, first_last, function};
use crate::runtime::{Reader, StateError, Writer};

function!(
    COUNT,
    "count",
    as "count",
    "counts the points of a batch",
    STREAM,
    [Argument::Field],
    anything,
    reduce::start::<Count>,
);

struct Count {
    value_type: Type,
    count: i64,
}

impl Reduction for Count {
    const KEEPS: Keeps = Keeps::Nothing;
    const EMPTY: Option<FieldValue> = Some(FieldValue::Int(0));

    fn begin(_arguments: &Arguments, value: &FieldValue) -> Option<Self> {
        first_last::any_type(value).map(|value_type| Count { value_type, count: 0 })
    }

    fn value_type(&self) -> Type {
        self.value_type
    }

    #[inline]
    fn add(&mut self, value: &FieldValue, _time: Timestamp, _index: usize) -> Added {
        if Type::of(value) != self.value_type {
            return Added::Wrong;
        }
        self.count += 1;
        Added::Taken
    }

    fn finish(self, _arguments: &Arguments) -> Finished {
        Finished::Value(FieldValue::Int(self.count))
    }

    fn save(&self, writer: &mut Writer<'_>) {
        self.value_type.save(writer);
        writer.int(self.count);
    }

    fn load(_arguments: &Arguments, reader: &mut Reader<'_>) -> Result<Self, StateError> {
        Ok(Count { value_type: Type::load(reader)?, count: reader.int()? })
    }
}
