//! The arguments of functions.

use levada_tick::script::{CallError, Value};
use levada_tick::syntax::{format_duration, parse_duration};
use serde_json::{Value as Json, json};

use crate::property::types::{
    duration_argument, float_argument, int_argument, text, text_argument, text_arguments, too_few,
    too_many,
};

/// What an argument is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Argument {
    /// The name of the field.
    Field,
    /// An integer.
    Int,
    /// A float.
    Float,
    /// A duration.
    Duration,
    /// Any number of texts; the last one.
    Texts,
}

/// The arguments of one call.
#[derive(Clone, Debug, Default)]
pub(super) struct Arguments {
    values: Vec<Value>,
}

// === impl Argument ===

impl Argument {
    fn take(self, value: Value) -> Result<Value, CallError> {
        Ok(match self {
            Argument::Field => text(&text_argument(value)?),
            Argument::Int => Value::Int(int_argument(value)?),
            Argument::Float => Value::Float(float_argument(value)?),
            Argument::Duration => Value::Duration(duration_argument(value)?),
            Argument::Texts => text(&text_arguments(vec![value])?.concat()),
        })
    }

    fn read(self, json: &Json) -> Result<Value, String> {
        let read = match self {
            Argument::Field | Argument::Texts => json.as_str().map(text),
            Argument::Int => json.as_i64().map(Value::Int),
            Argument::Float => json.as_f64().map(Value::Float),
            Argument::Duration => match json {
                Json::String(written) => parse_duration(written).ok().map(Value::Duration),
                _ => json.as_i64().map(Value::Duration),
            },
        };
        read.ok_or_else(|| format!("wanted {self:?}, got {json}"))
    }
}

// === impl Arguments ===

impl Arguments {
    /// Takes the arguments of a chaining method.
    pub(super) fn take(wanted: &[Argument], args: Vec<Value>) -> Result<Self, CallError> {
        let is_open = wanted.last() == Some(&Argument::Texts);
        let least = wanted.len() - usize::from(is_open);
        if args.len() < least {
            return Err(too_few());
        }
        if args.len() > least && !is_open {
            return Err(too_many());
        }
        let types = wanted[..least].iter().chain(std::iter::repeat(&Argument::Texts));
        let values = args.into_iter().zip(types).map(|(value, wanted)| wanted.take(value));
        Ok(Arguments { values: values.collect::<Result<_, _>>()? })
    }

    /// Gives them as a script writes them.
    pub(super) fn values(&self) -> &[Value] {
        &self.values
    }

    /// Gives an integer; 0 where there is none, which the checks of all functions refuse.
    pub(super) fn int(&self, at: usize) -> i64 {
        match self.values.get(at) {
            Some(Value::Int(number)) => *number,
            _ => 0,
        }
    }

    /// Gives an integer as a count; 0 for a negative one.
    pub(super) fn count(&self, at: usize) -> usize {
        usize::try_from(self.int(at).max(0)).unwrap_or(usize::MAX)
    }

    /// Gives a float; NaN where there is none.
    pub(super) fn float(&self, at: usize) -> f64 {
        match self.values.get(at) {
            Some(Value::Float(number)) => *number,
            _ => f64::NAN,
        }
    }

    /// Gives a duration in nanoseconds; 0 where there is none.
    pub(super) fn duration(&self, at: usize) -> i64 {
        match self.values.get(at) {
            Some(Value::Duration(nanos)) => *nanos,
            _ => 0,
        }
    }

    /// Gives the JSON form.
    pub(super) fn json(&self) -> Json {
        let values = self.values.iter().map(|value| match value {
            Value::Str(text) => json!(&**text),
            Value::Int(number) => json!(number),
            Value::Float(number) => json!(number),
            Value::Duration(nanos) => json!(format_duration(*nanos)),
            _ => Json::Null,
        });
        values.collect()
    }

    /// Reads the JSON form.
    pub(super) fn load(wanted: &[Argument], json: &Json) -> Result<Self, String> {
        let items = json.as_array().ok_or_else(|| format!("wanted a list, got {json}"))?;
        let is_open = wanted.last() == Some(&Argument::Texts);
        let least = wanted.len() - usize::from(is_open);
        if items.len() < least || (items.len() > least && !is_open) {
            return Err(format!("wanted {least} arguments, got {}", items.len()));
        }
        let types = wanted[..least].iter().chain(std::iter::repeat(&Argument::Texts));
        let values = items.iter().zip(types).map(|(item, wanted)| wanted.read(item));
        Ok(Arguments { values: values.collect::<Result<_, _>>()? })
    }
}
