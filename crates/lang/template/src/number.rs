//! Number literals and character constants.

use crate::go::quote;
use crate::tree::Number;

/// Reads a literal, as everything that it can be.
pub(crate) fn parse(text: &str) -> Result<Number, String> {
    let mut number = Number { text: text.to_owned(), int: None, uint: None, float: None };
    if text == "''" {
        return Err(String::from("invalid syntax"));
    }
    if text.starts_with('\'') {
        let content = quote::unquote(text).filter(|content| content.chars().count() == 1);
        let Some(c) = content.and_then(|content| content.chars().next()) else {
            return Err(format!("malformed character constant: {text}"));
        };
        number.int = Some(i64::from(c as u32));
        number.uint = Some(u64::from(c as u32));
        number.float = Some(f64::from(c as u32));
        return Ok(number);
    }
    if text.ends_with('i') {
        // Differs: there are no complex numbers in events, so there are none in templates.
        return Err(format!("complex numbers are not supported: {}", quoted(text)));
    }
    if let Some((negative, size)) = integer(text) {
        number.uint = (!negative || size == 0).then_some(size);
        number.int = match negative {
            true if size <= 1 << 63 => Some((size as i64).wrapping_neg()),
            true => None,
            false => i64::try_from(size).ok(),
        };
        if text.starts_with('-') && size == 0 {
            number.int = Some(0);
        }
    }
    if let Some(int) = number.int {
        number.float = Some(int as f64);
    } else if let Some(uint) = number.uint {
        number.float = Some(uint as f64);
    } else if let Some(float) = float(text) {
        if !text.contains(['.', 'e', 'E', 'p', 'P']) {
            return Err(format!("integer overflow: {}", quoted(text)));
        }
        number.float = Some(float);
        if float.fract() == 0.0 && float >= -(2f64.powi(63)) && float < 2f64.powi(63) {
            number.int = Some(float as i64);
        }
        if float.fract() == 0.0 && (0.0..2f64.powi(64)).contains(&float) {
            number.uint = Some(float as u64);
        }
    }
    if number.int.is_none() && number.uint.is_none() && number.float.is_none() {
        return Err(format!("illegal number syntax: {}", quoted(text)));
    }
    Ok(number)
}

fn quoted(text: &str) -> String {
    let mut out = String::new();
    quote::quote(&mut out, text, false);
    out
}

/// Reads an integer of base 2, 8, 10 or 16, with underscores between its digits.
fn integer(text: &str) -> Option<(bool, u64)> {
    let negative = text.starts_with('-');
    let digits = text.strip_prefix(['+', '-']).unwrap_or(text);
    let (radix, rest, prefixed) = match digits.as_bytes() {
        [b'0', b'x' | b'X', ..] => (16, &digits[2..], true),
        [b'0', b'b' | b'B', ..] => (2, &digits[2..], true),
        [b'0', b'o' | b'O', ..] => (8, &digits[2..], true),
        [b'0', _, ..] => (8, &digits[1..], true),
        _ => (10, digits, false),
    };
    let plain = without_underscores(rest, prefixed)?;
    Some((negative, u64::from_str_radix(&plain, radix).ok()?))
}

/// Takes the underscores out; they stand between digits, or after a prefix.
fn without_underscores(digits: &str, prefixed: bool) -> Option<String> {
    let malformed = digits.is_empty()
        || digits.ends_with('_')
        || digits.contains("__")
        || (digits.starts_with('_') && !prefixed);
    (!malformed).then(|| digits.replace('_', ""))
}

fn float(text: &str) -> Option<f64> {
    let negative = text.starts_with('-');
    let body = text.strip_prefix(['+', '-']).unwrap_or(text);
    if let Some(hex) = body.strip_prefix("0x").or_else(|| body.strip_prefix("0X")) {
        let size = hex_float(hex)?;
        return Some(if negative { -size } else { size });
    }
    // Underscores need a base prefix in floats, and decimal ones have none.
    if !body.bytes().all(|byte| byte.is_ascii_digit() || b".eE+-".contains(&byte)) {
        return None;
    }
    text.parse::<f64>().ok().filter(|value| value.is_finite())
}

fn hex_float(hex: &str) -> Option<f64> {
    let (mantissa, exponent) = hex.split_once(['p', 'P'])?;
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let digits = format!("{whole}{fraction}").replace('_', "");
    if digits.is_empty() || digits.len() > 15 {
        return None;
    }
    let size = u64::from_str_radix(&digits, 16).ok()? as f64;
    let exponent: i32 = exponent.parse().ok()?;
    let power = exponent.checked_sub(4 * fraction.len() as i32)?;
    let value = size * 2f64.powi(power.clamp(-1200, 1100));
    value.is_finite().then_some(value)
}
