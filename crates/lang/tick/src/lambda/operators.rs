//! Operators: which types they take, what they give.

use super::error::Fault;
use super::functions::TEXT_MAX;
use super::number::float_to_int;
use super::value::{Operand, Type};
use crate::syntax::ast::Operator;

/// Gives the word that messages use for the kind of an operator.
pub(super) fn kind(operator: Operator) -> &'static str {
    match operator {
        Operator::And | Operator::Or => "logical",
        _ if is_comparison(operator) => "comparison",
        _ => "math",
    }
}

/// Says whether an operator compares or matches, so that its result is boolean whatever its operands are.
pub(super) fn is_comparison(operator: Operator) -> bool {
    matches!(
        operator,
        Operator::Equal
            | Operator::NotEqual
            | Operator::Less
            | Operator::LessEqual
            | Operator::Greater
            | Operator::GreaterEqual
            | Operator::Matches
            | Operator::MatchesNot
    )
}

/// Gives the operator that says the same with its operands exchanged.
pub(super) fn mirrored(operator: Operator) -> Operator {
    match operator {
        Operator::Less => Operator::Greater,
        Operator::LessEqual => Operator::GreaterEqual,
        Operator::Greater => Operator::Less,
        Operator::GreaterEqual => Operator::LessEqual,
        other => other,
    }
}

/// Gives the type of `left operator right`, or says why there is none.
pub(super) fn result_type(operator: Operator, left: Type, right: Type) -> Result<Type, Fault> {
    use Type::{Bool, Duration, Float, Int, Regex, String};
    let result = match operator {
        Operator::And | Operator::Or => (left == Bool && right == Bool).then_some(Bool),
        Operator::Equal | Operator::NotEqual => match (left, right) {
            (Bool, Bool) => Some(Bool),
            _ => orders(left, right).then_some(Bool),
        },
        Operator::Less | Operator::LessEqual | Operator::Greater | Operator::GreaterEqual => {
            orders(left, right).then_some(Bool)
        }
        Operator::Matches | Operator::MatchesNot => {
            (left == String && right == Regex).then_some(Bool)
        }
        Operator::Plus => {
            (left == right && matches!(left, Int | Float | Duration | String)).then_some(left)
        }
        Operator::Minus => {
            (left == right && matches!(left, Int | Float | Duration)).then_some(left)
        }
        Operator::Multiply => match (left, right) {
            (Int, Int) => Some(Int),
            (Float, Float) => Some(Float),
            (Duration, Int | Float) | (Int | Float, Duration) => Some(Duration),
            _ => None,
        },
        Operator::Divide => match (left, right) {
            (Int, Int) | (Duration, Duration) => Some(Int),
            (Float, Float) => Some(Float),
            (Duration, Int | Float) => Some(Duration),
            _ => None,
        },
        Operator::Modulo => (left == Int && right == Int).then_some(Int),
        Operator::Not | Operator::Pipe | Operator::Dot | Operator::At => None,
    };
    result.ok_or_else(|| {
        if takes_left(operator, left) {
            Fault::Operands { operator, left, right }
        } else {
            Fault::Operator { operator, left }
        }
    })
}

/// Says whether two types can be put in an order.
fn orders(left: Type, right: Type) -> bool {
    use Type::{Duration, Float, Int, String};
    matches!((left, right), (String, String) | (Duration, Duration) | (Int | Float, Int | Float))
}

/// Says whether some right operand fits this left one.
fn takes_left(operator: Operator, left: Type) -> bool {
    use Type::{Bool, Duration, Float, Int, String};
    match operator {
        Operator::And | Operator::Or => left == Bool,
        Operator::Equal | Operator::NotEqual => {
            matches!(left, Bool | String | Duration | Int | Float)
        }
        Operator::Less | Operator::LessEqual | Operator::Greater | Operator::GreaterEqual => {
            matches!(left, String | Duration | Int | Float)
        }
        Operator::Matches | Operator::MatchesNot => left == String,
        Operator::Plus => matches!(left, Int | Float | Duration | String),
        Operator::Minus | Operator::Multiply | Operator::Divide => {
            matches!(left, Int | Float | Duration)
        }
        Operator::Modulo => left == Int,
        Operator::Not | Operator::Pipe | Operator::Dot | Operator::At => false,
    }
}

/// Computes `left operator right` for everything but `AND` and `OR`.
pub(super) fn apply<'a>(
    operator: Operator,
    left: &Operand<'a>,
    right: &Operand<'a>,
) -> Result<Operand<'a>, Fault> {
    let is = match (left, right) {
        (Operand::Int(left), Operand::Int(right)) => return ints(operator, *left, *right),
        (Operand::Float(left), Operand::Float(right)) => return floats(operator, *left, *right),
        (Operand::Int(left), Operand::Float(right)) => compare(operator, *left as f64, *right),
        (Operand::Float(left), Operand::Int(right)) => compare(operator, *left, *right as f64),
        (Operand::Duration(left), Operand::Duration(right)) => {
            return durations(operator, *left, *right);
        }
        (Operand::Bool(left), Operand::Bool(right)) => match operator {
            Operator::Equal => Some(left == right),
            Operator::NotEqual => Some(left != right),
            _ => None,
        },
        (Operand::Duration(left), Operand::Int(right)) => match operator {
            Operator::Multiply => return Ok(Operand::Duration(left.wrapping_mul(*right))),
            Operator::Divide if *right == 0 => return Err(Fault::DivideByZero),
            Operator::Divide => return Ok(Operand::Duration(left.wrapping_div(*right))),
            _ => None,
        },
        (Operand::Int(left), Operand::Duration(right)) if operator == Operator::Multiply => {
            return Ok(Operand::Duration(left.wrapping_mul(*right)));
        }
        (Operand::Duration(left), Operand::Float(right)) => match operator {
            Operator::Multiply => {
                return Ok(Operand::Duration(float_to_int(*left as f64 * right)));
            }
            Operator::Divide => return Ok(Operand::Duration(float_to_int(*left as f64 / right))),
            _ => None,
        },
        (Operand::Float(left), Operand::Duration(right)) if operator == Operator::Multiply => {
            return Ok(Operand::Duration(float_to_int(left * *right as f64)));
        }
        (left, Operand::Regex(pattern)) => match (operator, left.as_text()) {
            (Operator::Matches, Some(text)) => Some(pattern.regex.is_match(text)),
            (Operator::MatchesNot, Some(text)) => Some(!pattern.regex.is_match(text)),
            _ => None,
        },
        (left, right) => match (left.as_text(), right.as_text()) {
            (Some(left), Some(right)) if operator == Operator::Plus => return join(left, right),
            (Some(left), Some(right)) => compare(operator, left, right),
            _ => None,
        },
    };
    match is {
        Some(is) => Ok(Operand::Bool(is)),
        None => Err(unfit(operator, left.kind(), right.kind())),
    }
}

fn unfit(operator: Operator, left: Type, right: Type) -> Fault {
    match result_type(operator, left, right) {
        Err(fault) => fault,
        Ok(_) => Fault::Operands { operator, left, right },
    }
}

#[inline]
fn ints<'a>(operator: Operator, left: i64, right: i64) -> Result<Operand<'a>, Fault> {
    Ok(Operand::Int(match operator {
        Operator::Plus => left.wrapping_add(right),
        Operator::Minus => left.wrapping_sub(right),
        Operator::Multiply => left.wrapping_mul(right),
        Operator::Divide | Operator::Modulo if right == 0 => return Err(Fault::DivideByZero),
        Operator::Divide => left.wrapping_div(right),
        Operator::Modulo => left.wrapping_rem(right),
        _ => return compared(operator, left, right, Type::Int),
    }))
}

#[inline]
fn floats<'a>(operator: Operator, left: f64, right: f64) -> Result<Operand<'a>, Fault> {
    Ok(Operand::Float(match operator {
        Operator::Plus => left + right,
        Operator::Minus => left - right,
        Operator::Multiply => left * right,
        Operator::Divide => left / right,
        _ => return compared(operator, left, right, Type::Float),
    }))
}

fn durations<'a>(operator: Operator, left: i64, right: i64) -> Result<Operand<'a>, Fault> {
    Ok(match operator {
        Operator::Plus => Operand::Duration(left.wrapping_add(right)),
        Operator::Minus => Operand::Duration(left.wrapping_sub(right)),
        Operator::Divide if right == 0 => return Err(Fault::DivideByZero),
        Operator::Divide => Operand::Int(left.wrapping_div(right)),
        _ => return compared(operator, left, right, Type::Duration),
    })
}

fn compared<'a, T: PartialOrd>(
    operator: Operator,
    left: T,
    right: T,
    both: Type,
) -> Result<Operand<'a>, Fault> {
    match compare(operator, left, right) {
        Some(is) => Ok(Operand::Bool(is)),
        None => Err(unfit(operator, both, both)),
    }
}

/// Compares; `None` when the operator is no comparison.
#[inline]
pub(super) fn compare<T: PartialOrd>(operator: Operator, left: T, right: T) -> Option<bool> {
    Some(match operator {
        Operator::Equal => left == right,
        Operator::NotEqual => left != right,
        Operator::Less => left < right,
        Operator::LessEqual => left <= right,
        Operator::Greater => left > right,
        Operator::GreaterEqual => left >= right,
        _ => return None,
    })
}

/// Concatenates, up to [`TEXT_MAX`].
fn join<'a>(left: &str, right: &str) -> Result<Operand<'a>, Fault> {
    let bytes = left.len() + right.len();
    if bytes > TEXT_MAX {
        return Err(Fault::Message(super::functions::too_long(bytes).into()));
    }
    let mut text = String::with_capacity(bytes);
    text.push_str(left);
    text.push_str(right);
    Ok(Operand::text(text))
}
