//! Conversions.

use super::Body::Pure;
use super::{Answer, functions, unfit};
use crate::lambda::number::{
    float_to_int, format_float, format_general, parse_bool, parse_float, parse_int, quote,
};
use crate::lambda::operators;
use crate::lambda::value::Operand;
use crate::syntax::ast::Operator;
use crate::syntax::{format_duration, parse_duration};

functions! {
    "bool": (Bool) -> Bool = Pure(to_bool), (String) -> Bool = Pure(to_bool), (Int) -> Bool = Pure(to_bool), (Float) -> Bool = Pure(to_bool);
    "int": (Bool) -> Int = Pure(to_int), (String) -> Int = Pure(to_int), (Int) -> Int = Pure(to_int), (Float) -> Int = Pure(to_int);
    "float": (Bool) -> Float = Pure(to_float), (String) -> Float = Pure(to_float), (Int) -> Float = Pure(to_float), (Float) -> Float = Pure(to_float);
    "string": (Bool) -> String = Pure(to_text), (String) -> String = Pure(to_text), (Int) -> String = Pure(to_text), (Float) -> String = Pure(to_text), (Duration) -> String = Pure(to_text);
    "duration": (Duration) -> Duration = Pure(to_duration), (Int, Duration) -> Duration = Pure(to_duration), (Float, Duration) -> Duration = Pure(to_duration), (String, Duration) -> Duration = Pure(to_duration);
}

fn to_bool<'a>(args: &[Operand<'a>]) -> Answer<'a> {
    let [value] = args else { return Err(unfit()) };
    let is = match value {
        Operand::Bool(value) => *value,
        Operand::Int(0) => false,
        Operand::Int(1) => true,
        Operand::Int(other) => return Err(format!("cannot convert {other} to boolean").into()),
        Operand::Float(value) if *value == 0.0 => false,
        Operand::Float(value) if *value == 1.0 => true,
        Operand::Float(other) => {
            return Err(format!("cannot convert {} to boolean", format_general(*other)).into());
        }
        other => parse_bool(other.as_text().ok_or_else(unfit)?)?,
    };
    Ok(Operand::Bool(is))
}

fn to_int<'a>(args: &[Operand<'a>]) -> Answer<'a> {
    let [value] = args else { return Err(unfit()) };
    Ok(Operand::Int(match value {
        Operand::Bool(value) => i64::from(*value),
        Operand::Int(value) => *value,
        Operand::Float(value) => float_to_int(*value),
        other => parse_int(other.as_text().ok_or_else(unfit)?)?,
    }))
}

fn to_float<'a>(args: &[Operand<'a>]) -> Answer<'a> {
    let [value] = args else { return Err(unfit()) };
    Ok(Operand::Float(match value {
        Operand::Bool(value) => f64::from(u8::from(*value)),
        Operand::Int(value) => *value as f64,
        Operand::Float(value) => *value,
        other => parse_float(other.as_text().ok_or_else(unfit)?)?,
    }))
}

fn to_text<'a>(args: &[Operand<'a>]) -> Answer<'a> {
    let [value] = args else { return Err(unfit()) };
    Ok(match value {
        Operand::Bool(value) => Operand::text(if *value { "true" } else { "false" }),
        Operand::Int(value) => Operand::text(itoa::Buffer::new().format(*value)),
        Operand::Float(value) => Operand::text(format_float(*value)),
        Operand::Duration(value) => Operand::text(format_duration(*value)),
        text => text.clone(),
    })
}

/// Converts a value that counts units; of a text, which has its own, the unit does not matter.
fn to_duration<'a>(args: &[Operand<'a>]) -> Answer<'a> {
    match args {
        [value @ Operand::Duration(_)] => Ok(value.clone()),
        [value @ (Operand::Int(_) | Operand::Float(_)), unit @ Operand::Duration(_)] => {
            operators::apply(Operator::Multiply, value, unit).map_err(super::Failure::Whole)
        }
        [text, Operand::Duration(_)] => {
            let text = text.as_text().ok_or_else(unfit)?;
            match parse_duration(text) {
                Ok(nanos) => Ok(Operand::Duration(nanos)),
                Err(_) => Err(format!("invalid duration string {}", quote(text)).into()),
            }
        }
        _ => Err(unfit()),
    }
}
