//! The arguments of `groupBy` and `fill` of a query.

use levada_influxql::{Dimension, Fill, QueryError};
use levada_tick::script::{CallError, Value};
use serde_json::{Value as Json, json};

use crate::property::PropertyType;
use crate::property::types::{one_for_field, text};

/// `groupBy(…)`: texts, durations, `time(…)` and stars as written; what they mean is checked when the task is enabled.
#[derive(Clone, Debug, Default)]
pub(super) struct QueryDimensions(pub Vec<Value>);

/// `fill(…)`: a word or a number as written.
#[derive(Clone, Debug, Default)]
pub(super) struct FillProperty(pub Option<Value>);

// === impl QueryDimensions ===

impl QueryDimensions {
    /// Gives what the query is grouped by.
    pub(super) fn meant(&self) -> Result<Vec<Dimension>, String> {
        let read = |value: &Value| {
            Ok(match value {
                Value::Str(name) => Dimension::Tag(name.clone()),
                Value::Star => Dimension::Wildcard,
                Value::Duration(every) => Dimension::Time { every: *every, offset: 0 },
                Value::TimeDimension { length, offset } => {
                    Dimension::Time { every: *length, offset: *offset }
                }
                other => return Err(QueryError::DimensionType(other.go_type()).to_string()),
            })
        };
        self.0.iter().map(read).collect()
    }
}

impl PropertyType for QueryDimensions {
    fn set(&mut self, _name: &str, args: Vec<Value>) -> Result<(), CallError> {
        self.0 = args;
        Ok(())
    }

    fn calls(&self) -> Vec<Vec<Value>> {
        if self.0.is_empty() { vec![] } else { vec![self.0.clone()] }
    }

    fn json(&self) -> Json {
        self.0.iter().map(to_json).collect()
    }

    fn load(&mut self, json: &Json) -> Result<(), String> {
        let items = match json {
            Json::Null => return Ok(()),
            Json::Array(items) => items,
            other => return Err(format!("wanted a list of dimensions, got {other}")),
        };
        self.0 = items.iter().map(from_json).collect::<Result<_, _>>()?;
        Ok(())
    }

    fn read(&self) -> Value {
        Value::List(self.0.clone())
    }
}

// === impl FillProperty ===

impl FillProperty {
    /// Gives what it means.
    pub(super) fn meant(&self) -> Result<Fill, String> {
        match &self.0 {
            None => Ok(Fill::Null),
            Some(Value::Str(name)) => Fill::from_name(name).map_err(|error| error.to_string()),
            Some(Value::Int(number)) => Ok(Fill::Int(*number)),
            Some(Value::Float(number)) => Ok(Fill::Float(*number)),
            Some(other) => {
                Err(QueryError::Fill(format!("of type {}", other.go_type())).to_string())
            }
        }
    }
}

impl PropertyType for FillProperty {
    fn set(&mut self, name: &str, args: Vec<Value>) -> Result<(), CallError> {
        self.0 = Some(one_for_field(name, args)?);
        Ok(())
    }

    fn calls(&self) -> Vec<Vec<Value>> {
        self.0.iter().map(|value| vec![value.clone()]).collect()
    }

    fn json(&self) -> Json {
        self.0.as_ref().map_or(Json::Null, to_json)
    }

    fn load(&mut self, json: &Json) -> Result<(), String> {
        self.0 = if json.is_null() { None } else { Some(from_json(json)?) };
        Ok(())
    }

    fn read(&self) -> Value {
        self.0.clone().unwrap_or(Value::Nil)
    }
}

/// Texts and numbers are themselves, everything else an object with its type.
fn to_json(value: &Value) -> Json {
    let duration = |nanos: i64| levada_tick::syntax::format_duration(nanos);
    match value {
        Value::Str(text) => json!(&**text),
        Value::Int(number) => json!(number),
        Value::Float(number) => json!(number),
        Value::Bool(flag) => json!(flag),
        Value::Star => json!({"typeOf": "star"}),
        Value::Duration(nanos) => json!({"typeOf": "duration", "duration": duration(*nanos)}),
        Value::TimeDimension { length, offset } => {
            json!({"typeOf": "time", "length": duration(*length), "offset": duration(*offset)})
        }
        // Refused when the task is enabled.
        other => json!({"typeOf": other.go_type()}),
    }
}

fn from_json(json: &Json) -> Result<Value, String> {
    let duration = |member: &str| {
        let text = json[member].as_str().unwrap_or_default();
        levada_tick::syntax::parse_duration(text).map_err(|_| format!("invalid duration {text:?}"))
    };
    Ok(match json {
        Json::String(name) => text(name),
        Json::Bool(flag) => Value::Bool(*flag),
        Json::Number(number) => match (number.as_i64(), number.as_f64()) {
            (Some(number), _) => Value::Int(number),
            (None, Some(number)) => Value::Float(number),
            (None, None) => return Err(format!("{number} is out of range")),
        },
        Json::Object(members) => match members.get("typeOf").and_then(Json::as_str) {
            Some("star") => Value::Star,
            Some("duration") => Value::Duration(duration("duration")?),
            Some("time") => {
                Value::TimeDimension { length: duration("length")?, offset: duration("offset")? }
            }
            _ => return Err(format!("{json} is neither a star, a duration nor a time")),
        },
        Json::Null | Json::Array(_) => return Err(format!("{json} is no argument")),
    })
}
