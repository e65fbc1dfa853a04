//! Choice, presence, sizes.

use super::Body::Pure;
use super::{Answer, functions, unfit};
use crate::lambda::number::format_general;
use crate::lambda::value::Operand;

functions! {
    "humanBytes": (Int) -> String = Pure(human_bytes), (Float) -> String = Pure(human_bytes);
    "if": (Bool, Float, Float) -> Float = Pure(choose), (Bool, Int, Int) -> Int = Pure(choose), (Bool, String, String) -> String = Pure(choose), (Bool, Bool, Bool) -> Bool = Pure(choose), (Bool, Regex, Regex) -> Regex = Pure(choose), (Bool, Time, Time) -> Time = Pure(choose), (Bool, Duration, Duration) -> Duration = Pure(choose);
    "isPresent": (Missing) -> Bool = Pure(is_present), (Bool) -> Bool = Pure(is_present), (String) -> Bool = Pure(is_present), (Int) -> Bool = Pure(is_present), (Float) -> Bool = Pure(is_present);
}

fn choose<'a>(args: &[Operand<'a>]) -> Answer<'a> {
    match args {
        [Operand::Bool(true), chosen, _] | [Operand::Bool(false), _, chosen] => Ok(chosen.clone()),
        _ => Err(unfit()),
    }
}

fn is_present<'a>(args: &[Operand<'a>]) -> Answer<'a> {
    Ok(Operand::Bool(!matches!(args, [Operand::Missing])))
}

/// Gives a size in powers of 1,000, with one decimal below ten.
///
/// Differs: a negative size is an error; the original wraps it.
///
/// Source: go-humanize `Bytes`.
fn human_bytes<'a>(args: &[Operand<'a>]) -> Answer<'a> {
    /// The first float that is no 64-bit number of bytes.
    const BYTES_LIMIT: f64 = 18_446_744_073_709_551_616.0;
    const UNITS: [&str; 7] = ["B", "kB", "MB", "GB", "TB", "PB", "EB"];
    let bytes = match args {
        [Operand::Int(value)] => u64::try_from(*value)
            .map_err(|_| format!("cannot show a negative number of bytes: {value}"))?,
        [Operand::Float(value)] if *value < 0.0 => {
            let text = format_general(*value);
            return Err(format!("cannot show a negative number of bytes: {text}").into());
        }
        [Operand::Float(value)] if *value < BYTES_LIMIT => *value as u64,
        [Operand::Float(value)] => {
            return Err(format!("not a number of bytes: {}", format_general(*value)).into());
        }
        _ => return Err(unfit()),
    };
    if bytes < 10 {
        return Ok(Operand::text(format!("{bytes} B")));
    }
    let exponent = (libm::log(bytes as f64) / libm::log(1000.0)).floor();
    let mantissa = bytes as f64 / libm::pow(1000.0, exponent);
    let mantissa = (mantissa * 10.0 + 0.5).floor() / 10.0;
    let unit = UNITS[(exponent as usize).min(UNITS.len() - 1)];
    Ok(Operand::text(if mantissa < 10.0 {
        format!("{mantissa:.1} {unit}")
    } else {
        format!("{mantissa:.0} {unit}")
    }))
}
