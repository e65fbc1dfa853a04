//! Values of a script.

use std::sync::Arc;

use levada_model::Str;

use super::object::ObjectId;
use crate::syntax::Node;
use crate::syntax::ast::Regex;

/// What an expression of a script gives.
#[derive(Clone, Debug)]
pub enum Value {
    /// Nothing: a variable of a template without a value.
    Nil,
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
    /// Nanoseconds.
    Duration(i64),
    /// The expression behind `lambda:`, its variables replaced.
    Lambda(Arc<Node>),
    /// `*`
    Star,
    /// A list of strings and stars, or of anything an identifier named.
    List(Vec<Value>),
    /// `"name"` outside a lambda: always a mistake, and said so by who gets it.
    Reference(Str),
    /// `time(length, offset)`
    TimeDimension {
        /// Nanoseconds.
        length: i64,
        /// Nanoseconds.
        offset: i64,
    },
    /// A node of the pipeline or a handler on one.
    Object(ObjectId),
}

/// The types that a variable may have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Type {
    /// `bool`
    Bool,
    /// `int`
    Int,
    /// `float`
    Float,
    /// `string`
    String,
    /// `regex`
    Regex,
    /// `duration`
    Duration,
    /// `lambda`
    Lambda,
    /// `list`
    List,
    /// `star`
    Star,
}

// === impl Value ===

impl Value {
    /// Gives the Go type that messages show, e.g. `int64`, `time.Duration`, `*ast.LambdaNode`.
    pub fn go_type(&self) -> &'static str {
        match self {
            Value::Nil => "<nil>",
            Value::Bool(_) => "bool",
            Value::Int(_) => "int64",
            Value::Float(_) => "float64",
            Value::Str(_) => "string",
            Value::Regex(_) => "*regexp.Regexp",
            Value::Duration(_) => "time.Duration",
            Value::Lambda(_) => "*ast.LambdaNode",
            Value::Star => "*ast.StarNode",
            Value::List(_) => "[]interface {}",
            Value::Reference(_) => "*ast.ReferenceNode",
            Value::TimeDimension { .. } => "groupby.TimeDimension",
            Value::Object(_) => "*pipeline.Node",
        }
    }
}
