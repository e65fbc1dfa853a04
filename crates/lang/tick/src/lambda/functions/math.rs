//! Mathematics; the semantics of C and Go.
//!
//! Everything that processors do not do themselves comes from `libm`, so that results do not depend on the system.

use super::Body::{Float as One, Floats as Two, Pure};
use super::{Answer, Failure, functions, unfit};
use crate::lambda::value::Operand;

functions! {
    "abs": (Float) -> Float = One(f64::abs);
    "acos": (Float) -> Float = One(libm::acos);
    "acosh": (Float) -> Float = One(libm::acosh);
    "asin": (Float) -> Float = One(libm::asin);
    "asinh": (Float) -> Float = One(libm::asinh);
    "atan": (Float) -> Float = One(libm::atan);
    "atanh": (Float) -> Float = One(libm::atanh);
    "cbrt": (Float) -> Float = One(libm::cbrt);
    "ceil": (Float) -> Float = One(f64::ceil);
    "cos": (Float) -> Float = One(libm::cos);
    "cosh": (Float) -> Float = One(libm::cosh);
    "erf": (Float) -> Float = One(libm::erf);
    "erfc": (Float) -> Float = One(libm::erfc);
    "exp": (Float) -> Float = One(libm::exp);
    "exp2": (Float) -> Float = One(libm::exp2);
    "expm1": (Float) -> Float = One(libm::expm1);
    "floor": (Float) -> Float = One(f64::floor);
    "gamma": (Float) -> Float = One(libm::tgamma);
    "j0": (Float) -> Float = One(libm::j0);
    "j1": (Float) -> Float = One(libm::j1);
    "log": (Float) -> Float = One(libm::log);
    "log10": (Float) -> Float = One(libm::log10);
    "log1p": (Float) -> Float = One(libm::log1p);
    "log2": (Float) -> Float = One(libm::log2);
    "logb": (Float) -> Float = One(logb);
    "sin": (Float) -> Float = One(libm::sin);
    "sinh": (Float) -> Float = One(libm::sinh);
    "sqrt": (Float) -> Float = One(f64::sqrt);
    "tan": (Float) -> Float = One(libm::tan);
    "tanh": (Float) -> Float = One(libm::tanh);
    "trunc": (Float) -> Float = One(f64::trunc);
    "y0": (Float) -> Float = One(libm::y0);
    "y1": (Float) -> Float = One(libm::y1);
    "atan2": (Float, Float) -> Float = Two(libm::atan2);
    "hypot": (Float, Float) -> Float = Two(libm::hypot);
    "max": (Float, Float) -> Float = Two(max);
    "min": (Float, Float) -> Float = Two(min);
    "mod": (Float, Float) -> Float = Two(libm::fmod);
    "pow": (Float, Float) -> Float = Two(libm::pow);
    "jn": (Int, Float) -> Float = Pure(jn);
    "yn": (Int, Float) -> Float = Pure(yn);
    "pow10": (Int) -> Float = Pure(pow10);
}

/// The highest order of `jn` and `yn`, which take one step per order.
///
/// Own choice; the original takes any order and its time.
const ORDER_MAX: i64 = 10_000;

/// Gives the binary exponent.
fn logb(value: f64) -> f64 {
    if value == 0.0 {
        f64::NEG_INFINITY
    } else if value.is_infinite() {
        f64::INFINITY
    } else if value.is_nan() {
        value
    } else {
        f64::from(libm::ilogb(value))
    }
}

/// Gives the larger one; NaN when one is NaN, unless the other is +Inf.
fn max(one: f64, other: f64) -> f64 {
    if one == f64::INFINITY || other == f64::INFINITY {
        f64::INFINITY
    } else if one.is_nan() || other.is_nan() {
        f64::NAN
    } else if one == 0.0 && other == 0.0 {
        if one.is_sign_negative() { other } else { one }
    } else if one > other {
        one
    } else {
        other
    }
}

/// Gives the smaller one; NaN when one is NaN, unless the other is -Inf.
fn min(one: f64, other: f64) -> f64 {
    -max(-one, -other)
}

fn order(value: i64) -> Result<i32, Failure> {
    if value.unsigned_abs() > ORDER_MAX.unsigned_abs() {
        return Err(format!("order {value} is outside [-{ORDER_MAX}, {ORDER_MAX}]").into());
    }
    Ok(value as i32)
}

fn jn<'a>(args: &[Operand<'a>]) -> Answer<'a> {
    let [Operand::Int(n), Operand::Float(value)] = args else { return Err(unfit()) };
    Ok(Operand::Float(libm::jn(order(*n)?, *value)))
}

fn yn<'a>(args: &[Operand<'a>]) -> Answer<'a> {
    let [Operand::Int(n), Operand::Float(value)] = args else { return Err(unfit()) };
    Ok(Operand::Float(libm::yn(order(*n)?, *value)))
}

fn pow10<'a>(args: &[Operand<'a>]) -> Answer<'a> {
    let [Operand::Int(n)] = args else { return Err(unfit()) };
    Ok(Operand::Float(match n {
        ..-323 => 0.0,
        309.. => f64::INFINITY,
        // Reading a decimal rounds correctly, which multiplying powers does not.
        n => format!("1e{n}").parse().unwrap_or(f64::NAN),
    }))
}
