//! Values and types of lambda expressions.

use std::fmt;
use std::sync::Arc;

use levada_model::{FieldValue, Str, Timestamp};

use super::number;
use crate::syntax::ast::Regex;
use crate::syntax::format_duration;

/// A type of lambda expressions.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Type {
    /// The type of a name that the point does not have.
    Missing,
    /// `boolean`
    Bool,
    /// `int`
    Int,
    /// `float`
    Float,
    /// `string`
    String,
    /// `regex`
    Regex,
    /// `time`
    Time,
    /// `duration`
    Duration,
}

/// What a lambda expression gives.
#[derive(Clone, Debug)]
pub enum Value {
    /// A boolean.
    Bool(bool),
    /// An integer.
    Int(i64),
    /// A float.
    Float(f64),
    /// A text.
    Str(Str),
    /// A pattern.
    Regex(Arc<Regex>),
    /// A point in time.
    Time(Timestamp),
    /// Nanoseconds.
    Duration(i64),
}

/// A value on its way through an expression: borrows what it can.
#[derive(Clone, Debug)]
pub(super) enum Operand<'a> {
    Missing,
    Bool(bool),
    Int(i64),
    Float(f64),
    Text(&'a Str),
    NewText(Str),
    Regex(&'a Arc<Regex>),
    Time(Timestamp),
    Duration(i64),
}

/// Gives the text of a value as `string()` gives it; of times RFC 3339 in UTC, of patterns the source.
pub fn format_value(value: &Value) -> String {
    match value {
        Value::Bool(value) => value.to_string(),
        Value::Int(value) => value.to_string(),
        Value::Float(value) => number::format_float(*value),
        Value::Str(value) => value.to_string(),
        Value::Regex(value) => value.pattern.to_string(),
        Value::Time(value) => value.rfc3339_nano(),
        Value::Duration(value) => format_duration(*value),
    }
}

// === impl Type ===

impl Type {
    /// Gives the name that messages show.
    pub const fn name(self) -> &'static str {
        match self {
            Type::Missing => "missing",
            Type::Bool => "boolean",
            Type::Int => "int",
            Type::Float => "float",
            Type::String => "string",
            Type::Regex => "regex",
            Type::Time => "time",
            Type::Duration => "duration",
        }
    }

    /// Gives the name of the type in Go, which some messages show.
    pub(super) const fn go_name(self) -> &'static str {
        match self {
            Type::Missing => "*ast.Missing",
            Type::Bool => "bool",
            Type::Int => "int64",
            Type::Float => "float64",
            Type::String => "string",
            Type::Regex => "*regexp.Regexp",
            Type::Time => "time.Time",
            Type::Duration => "time.Duration",
        }
    }
}

impl fmt::Display for Type {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

// === impl Value ===

impl Value {
    /// Gives the type.
    pub fn kind(&self) -> Type {
        match self {
            Value::Bool(_) => Type::Bool,
            Value::Int(_) => Type::Int,
            Value::Float(_) => Type::Float,
            Value::Str(_) => Type::String,
            Value::Regex(_) => Type::Regex,
            Value::Time(_) => Type::Time,
            Value::Duration(_) => Type::Duration,
        }
    }

    /// Gives the name of the type in Go, e.g. `float64`.
    pub fn go_type(&self) -> &'static str {
        self.kind().go_name()
    }

    /// Gives the value of a field; `None` for times and patterns, which a field cannot hold.
    pub fn into_field(self) -> Option<FieldValue> {
        match self {
            Value::Bool(value) => Some(FieldValue::Bool(value)),
            Value::Int(value) => Some(FieldValue::Int(value)),
            Value::Float(value) => Some(FieldValue::Float(value)),
            Value::Str(value) => Some(FieldValue::Str(value)),
            Value::Duration(value) => Some(FieldValue::Duration(value)),
            Value::Regex(_) | Value::Time(_) => None,
        }
    }

    pub(super) fn as_operand(&self) -> Operand<'_> {
        match self {
            Value::Bool(value) => Operand::Bool(*value),
            Value::Int(value) => Operand::Int(*value),
            Value::Float(value) => Operand::Float(*value),
            Value::Str(value) => Operand::Text(value),
            Value::Regex(value) => Operand::Regex(value),
            Value::Time(value) => Operand::Time(*value),
            Value::Duration(value) => Operand::Duration(*value),
        }
    }
}

/// Two values are equal when they are of one type and have one content; NaN equals NaN, patterns compare by source.
impl PartialEq for Value {
    fn eq(&self, other: &Value) -> bool {
        match (self, other) {
            (Value::Bool(one), Value::Bool(other)) => one == other,
            (Value::Int(one), Value::Int(other)) => one == other,
            (Value::Float(one), Value::Float(other)) => {
                one == other || (one.is_nan() && other.is_nan())
            }
            (Value::Str(one), Value::Str(other)) => one == other,
            (Value::Regex(one), Value::Regex(other)) => one.pattern == other.pattern,
            (Value::Time(one), Value::Time(other)) => one == other,
            (Value::Duration(one), Value::Duration(other)) => one == other,
            _ => false,
        }
    }
}

// === impl Operand ===

impl<'a> Operand<'a> {
    /// Gives a text made by an expression.
    pub(super) fn text(text: impl Into<Str>) -> Operand<'a> {
        Operand::NewText(text.into())
    }

    pub(super) fn kind(&self) -> Type {
        match self {
            Operand::Missing => Type::Missing,
            Operand::Bool(_) => Type::Bool,
            Operand::Int(_) => Type::Int,
            Operand::Float(_) => Type::Float,
            Operand::Text(_) | Operand::NewText(_) => Type::String,
            Operand::Regex(_) => Type::Regex,
            Operand::Time(_) => Type::Time,
            Operand::Duration(_) => Type::Duration,
        }
    }

    pub(super) fn as_text(&self) -> Option<&str> {
        match self {
            Operand::Text(text) => Some(text),
            Operand::NewText(text) => Some(text),
            _ => None,
        }
    }

    pub(super) fn into_value(self) -> Option<Value> {
        Some(match self {
            Operand::Missing => return None,
            Operand::Bool(value) => Value::Bool(value),
            Operand::Int(value) => Value::Int(value),
            Operand::Float(value) => Value::Float(value),
            Operand::Text(value) => Value::Str(Arc::clone(value)),
            Operand::NewText(value) => Value::Str(value),
            Operand::Regex(value) => Value::Regex(Arc::clone(value)),
            Operand::Time(value) => Value::Time(value),
            Operand::Duration(value) => Value::Duration(value),
        })
    }
}
