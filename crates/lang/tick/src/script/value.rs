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
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
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

    /// Gives its type, if a variable of that type can be declared.
    pub fn basic_type(&self) -> Option<Type> {
        Some(match self {
            Value::Bool(_) => Type::Bool,
            Value::Int(_) => Type::Int,
            Value::Float(_) => Type::Float,
            Value::Str(_) => Type::String,
            Value::Regex(_) => Type::Regex,
            Value::Duration(_) => Type::Duration,
            Value::Lambda(_) => Type::Lambda,
            Value::List(_) => Type::List,
            Value::Star => Type::Star,
            Value::Nil | Value::Reference(_) | Value::TimeDimension { .. } | Value::Object(_) => {
                return None;
            }
        })
    }
}

// === impl Type ===

impl Type {
    /// All of them, in the order of the reference.
    pub const ALL: [Type; 9] = [
        Type::Bool,
        Type::Int,
        Type::Float,
        Type::String,
        Type::Regex,
        Type::Duration,
        Type::Lambda,
        Type::List,
        Type::Star,
    ];

    /// Gives the type that a script or a JSON document names `word`.
    pub fn from_word(word: &str) -> Option<Type> {
        Type::ALL.into_iter().find(|known| known.word() == word)
    }

    /// Gives the word that scripts and JSON use.
    pub fn word(self) -> &'static str {
        match self {
            Type::Bool => "bool",
            Type::Int => "int",
            Type::Float => "float",
            Type::String => "string",
            Type::Regex => "regex",
            Type::Duration => "duration",
            Type::Lambda => "lambda",
            Type::List => "list",
            Type::Star => "star",
        }
    }

    /// Gives the name that messages about scripts use.
    pub fn shown(self) -> &'static str {
        match self {
            Type::Bool => "boolean",
            other => other.word(),
        }
    }
}
