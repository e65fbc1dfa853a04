//! What can go wrong when an expression is compiled or evaluated.

use std::fmt;

use levada_model::Str;
use thiserror::Error;

use super::number::quote;
use super::operators;
use super::value::Type;
use crate::syntax::ast::Operator;

/// What ends a message about operands that do not fit.
const ADVICE: &str = "see bool(), int(), float(), string(), duration()";

/// Why an expression cannot be compiled.
///
/// The node that holds the expression puts its own words before it.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum CompileError {
    /// The left operand is at fault.
    #[error("Failed to handle left node: {0}")]
    Left(Box<CompileError>),
    /// The right operand is at fault.
    #[error("Failed to handle right node: {0}")]
    Right(Box<CompileError>),
    /// An argument is at fault; counted from 1.
    #[error("Failed to handle {0} argument: {1}")]
    Argument(usize, Box<CompileError>),
    /// The operator knows no left operand of this type.
    #[error("invalid {} operator {} for type {left}", operators::kind(*.operator), .operator.text())]
    Operator {
        /// The operator.
        operator: Operator,
        /// The type of the left operand.
        left: Type,
    },
    /// The operator knows the types, but not together.
    #[error("mismatched type to binary operator. got {left} {} {right}. {ADVICE}", .operator.text())]
    Operands {
        /// The operator.
        operator: Operator,
        /// The type of the left operand.
        left: Type,
        /// The type of the right operand.
        right: Type,
    },
    /// A name without quotes that is no variable.
    #[error("name \"{0}\" is undefined. Names in scope: ")]
    Identifier(Str),
    /// Something that a script may hold and an expression may not.
    #[error("invalid lambda expression: {0} is not a value")]
    NotAValue(&'static str),
    /// Deeper than [`DEPTH_MAX`](super::program::DEPTH_MAX).
    #[error("expression is nested too deeply: at most {0} levels are allowed")]
    TooDeep(usize),
    /// Longer than [`NODES_MAX`](super::program::NODES_MAX).
    #[error("expression is too long: at most {0} operands and operators are allowed")]
    TooLong(usize),
}

/// Why an expression cannot be evaluated for a point; prints the text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EvalError(pub(super) Fault);

/// What went wrong; cheap to make wherever it may happen for every point.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Fault {
    /// The quick walk gave up.
    Quick,
    FieldAndTag(Str),
    LeftMissing(Str),
    RightMissing(Str),
    UnaryMissing(Str),
    ValueMissing(Str),
    UndefinedName(Str),
    Operator {
        operator: Operator,
        left: Type,
    },
    Operands {
        operator: Operator,
        left: Type,
        right: Type,
    },
    TypeGuard {
        actual: Type,
        expected: Type,
    },
    /// An arithmetic result of another type than wanted.
    UnexpectedGo(Type),
    /// A result that no field can hold.
    Unexpected(Type),
    UndefinedFunction(Str),
    TooManyArguments,
    /// A whole message.
    Message(Box<str>),
    Argument(u32, Box<Fault>),
    /// The name of the function and what it says.
    Body(Box<(&'static str, String)>),
    DivideByZero,
    Slice {
        start: i64,
        stop: i64,
    },
}

impl fmt::Display for EvalError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl std::error::Error for EvalError {}

impl From<Fault> for EvalError {
    fn from(fault: Fault) -> Self {
        EvalError(fault)
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Fault::Quick => f.write_str("expression cannot be evaluated"),
            Fault::FieldAndTag(name) => {
                write!(f, "cannot have field and tags with same name \"{name}\"")
            }
            Fault::LeftMissing(name) => {
                write!(f, "left reference value \"{name}\" is missing value")
            }
            Fault::RightMissing(name) => {
                write!(f, "right reference value \"{name}\" is missing value")
            }
            Fault::UnaryMissing(name) => write!(f, "reference \"{name}\" is missing value"),
            Fault::ValueMissing(name) => write!(f, "missing value: \"{name}\""),
            Fault::UndefinedName(name) => {
                write!(f, "name \"{name}\" is undefined. Names in scope: ")
            }
            Fault::Operator { operator, left } => {
                CompileError::Operator { operator: *operator, left: *left }.fmt(f)
            }
            Fault::Operands { operator, left, right } => {
                CompileError::Operands { operator: *operator, left: *left, right: *right }.fmt(f)
            }
            Fault::TypeGuard { actual, expected } => write!(
                f,
                "TypeGuard: expression returned unexpected type {actual}, expected {expected}"
            ),
            Fault::UnexpectedGo(actual) => {
                write!(f, "expression returned unexpected type {}", actual.go_name())
            }
            Fault::Unexpected(actual) => write!(f, "expression returned unexpected type {actual}"),
            Fault::UndefinedFunction(name) => write!(f, "undefined function: {}", quote(name)),
            Fault::TooManyArguments => f.write_str("too many arguments provided"),
            Fault::Message(text) => f.write_str(text),
            Fault::Argument(at, cause) => write!(f, "Failed to handle {at} argument: {cause}"),
            Fault::Body(body) => write!(f, "error calling \"{}\": {}", body.0, body.1),
            Fault::DivideByZero => f.write_str("runtime error: integer divide by zero"),
            Fault::Slice { start, stop } => {
                write!(f, "runtime error: slice bounds out of range [{start}:{stop}]")
            }
        }
    }
}
