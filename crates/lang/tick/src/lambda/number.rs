//! Numbers and quotes as Go's `strconv` reads and writes them.

use std::fmt::Write as _;

/// Gives a float as the shortest decimal without an exponent.
///
/// Source: Go's `FormatFloat(value, 'f', -1, 64)`.
pub(super) fn format_float(value: f64) -> String {
    if value.is_infinite() {
        return if value > 0.0 { "+Inf".to_owned() } else { "-Inf".to_owned() };
    }
    value.to_string()
}

/// Gives a float as `%v` prints it: with an exponent below 1e-4 and from 1e21.
pub(super) fn format_general(value: f64) -> String {
    let magnitude = value.abs();
    if !value.is_finite() || magnitude == 0.0 || (1e-4..1e21).contains(&magnitude) {
        return format_float(value);
    }
    let text = format!("{value:e}");
    let Some((mantissa, exponent)) = text.split_once('e') else { return text };
    let (sign, digits) = match exponent.strip_prefix('-') {
        Some(digits) => ('-', digits),
        None => ('+', exponent),
    };
    format!("{mantissa}e{sign}{digits:0>2}")
}

/// Converts as Go does on the common processors: toward zero; what does not fit gives the smallest integer.
pub(super) fn float_to_int(value: f64) -> i64 {
    const LIMIT: f64 = 9_223_372_036_854_775_808.0;
    if value >= -LIMIT && value < LIMIT { value as i64 } else { i64::MIN }
}

/// Reads a decimal integer.
///
/// - Errors: the text of Go's `ParseInt`.
pub(super) fn parse_int(text: &str) -> Result<i64, String> {
    let digits = text.strip_prefix(['+', '-']).unwrap_or(text);
    if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(failed("ParseInt", text, "invalid syntax"));
    }
    text.parse().map_err(|_| failed("ParseInt", text, "value out of range"))
}

/// Reads a boolean.
///
/// - Errors: the text of Go's `ParseBool`.
pub(super) fn parse_bool(text: &str) -> Result<bool, String> {
    match text {
        "1" | "t" | "T" | "true" | "TRUE" | "True" => Ok(true),
        "0" | "f" | "F" | "false" | "FALSE" | "False" => Ok(false),
        _ => Err(failed("ParseBool", text, "invalid syntax")),
    }
}

/// Reads a float: decimal or hexadecimal, with an exponent, `inf`, `infinity`, `nan` in any case.
///
/// - Errors: the text of Go's `ParseFloat`.
pub(super) fn parse_float(text: &str) -> Result<f64, String> {
    let invalid = || failed("ParseFloat", text, "invalid syntax");
    let (is_negative, body) = match text.as_bytes().first() {
        Some(b'-') => (true, &text[1..]),
        Some(b'+') => (false, &text[1..]),
        _ => (false, text),
    };
    let signed = |value: f64| if is_negative { -value } else { value };
    if body.eq_ignore_ascii_case("inf") || body.eq_ignore_ascii_case("infinity") {
        return Ok(signed(f64::INFINITY));
    }
    if text.eq_ignore_ascii_case("nan") {
        return Ok(f64::NAN);
    }
    let plain = without_underscores(body).ok_or_else(invalid)?;
    let value = if plain.len() > 2 && plain.as_bytes()[..2].eq_ignore_ascii_case(b"0x") {
        parse_hexadecimal(&plain[2..]).ok_or_else(invalid)?
    } else {
        if !plain.starts_with(|c: char| c.is_ascii_digit() || c == '.') {
            return Err(invalid());
        }
        plain.parse::<f64>().map_err(|_| invalid())?
    };
    if value.is_infinite() {
        return Err(failed("ParseFloat", text, "value out of range"));
    }
    Ok(signed(value))
}

/// Drops underscores that stand between two digits, or between a base prefix and a digit; `None` when one stands elsewhere.
fn without_underscores(text: &str) -> Option<String> {
    if !text.contains('_') {
        return Some(text.to_owned());
    }
    let is_hexadecimal = text.len() >= 2 && text.as_bytes()[..2].eq_ignore_ascii_case(b"0x");
    let is_digit = |at: usize, byte: u8| {
        byte.is_ascii_digit() || (is_hexadecimal && (byte.is_ascii_hexdigit() || at == 1))
    };
    let bytes = text.as_bytes();
    for (at, _) in bytes.iter().enumerate().filter(|(_, byte)| **byte == b'_') {
        let before = at.checked_sub(1).is_some_and(|before| is_digit(before, bytes[before]));
        let after = bytes.get(at + 1).is_some_and(|byte| is_digit(at + 1, *byte));
        if !before || !after {
            return None;
        }
    }
    Some(text.replace('_', ""))
}

/// Reads `1.8p3` behind `0x`; the exponent is mandatory. Digits beyond 64 bits only round.
fn parse_hexadecimal(text: &str) -> Option<f64> {
    let at = text.find(['p', 'P'])?;
    let (digits, power) = (&text[..at], &text[at + 1..]);
    let unsigned = power.strip_prefix(['+', '-']).unwrap_or(power);
    if unsigned.is_empty() || !unsigned.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    // An exponent of more digits than fit is as good as infinite; the digits before it cannot outweigh it.
    let limit = 1_000_000_i64;
    let power = power.parse::<i64>().unwrap_or(if power.starts_with('-') { -limit } else { limit });
    let (mut mantissa, mut shift, mut seen, mut in_fraction) = (0_u64, 0_i64, false, false);
    for byte in digits.bytes() {
        if byte == b'.' {
            if in_fraction {
                return None;
            }
            in_fraction = true;
            continue;
        }
        let digit = u64::from((byte as char).to_digit(16)?);
        seen = true;
        if mantissa >> 59 == 0 {
            mantissa = mantissa << 4 | digit;
            shift -= if in_fraction { 4 } else { 0 };
        } else {
            // The lowest bit remembers that something followed, which decides ties.
            mantissa |= u64::from(digit != 0);
            shift += if in_fraction { 0 } else { 4 };
        }
    }
    seen.then(|| scale(mantissa, power.clamp(-limit, limit).saturating_add(shift)))
}

/// Gives `mantissa * 2^power`, rounded once.
fn scale(mantissa: u64, power: i64) -> f64 {
    if mantissa == 0 {
        return 0.0;
    }
    let bits = 64 - i64::from(mantissa.leading_zeros());
    let exponent = bits + power;
    if exponent > 1024 {
        return f64::INFINITY;
    }
    // The last place that a float has here; subnormal ones end at 2^-1074.
    let last = (exponent - 53).max(-1074);
    let drop = last - power;
    let (kept, last) = if drop <= 0 {
        (mantissa, power)
    } else if drop > 64 {
        (0, last)
    } else {
        let wide = u128::from(mantissa);
        let half = 1_u128 << (drop - 1);
        let (kept, rest) = (wide >> drop, wide & ((half << 1) - 1));
        let up = rest > half || (rest == half && kept & 1 == 1);
        ((kept + u128::from(up)) as u64, last)
    };
    libm::scalbn(kept as f64, last as i32)
}

fn failed(function: &str, text: &str, cause: &str) -> String {
    format!("strconv.{function}: parsing {}: {cause}", quote(text))
}

/// Gives a text in double quotes with Go's escapes.
pub(super) fn quote(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 2);
    out.push('"');
    for character in text.chars() {
        match character {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\u{7}' => out.push_str("\\a"),
            '\u{8}' => out.push_str("\\b"),
            '\u{c}' => out.push_str("\\f"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            '\u{b}' => out.push_str("\\v"),
            ' '..='~' => out.push(character),
            '\0'..='\u{1f}' | '\u{7f}' => {
                let _ = write!(out, "\\x{:02x}", character as u32);
            }
            _ if is_printable(character) => out.push(character),
            '\0'..='\u{ffff}' => {
                let _ = write!(out, "\\u{:04x}", character as u32);
            }
            _ => {
                let _ = write!(out, "\\U{:08x}", character as u32);
            }
        }
    }
    out.push('"');
    out
}

/// Says whether a character beyond ASCII shows itself.
fn is_printable(character: char) -> bool {
    !(character.is_control()
        || character.is_whitespace()
        || matches!(character, '\u{ad}' | '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{e000}'..='\u{f8ff}' | '\u{feff}' | '\u{fff0}'..='\u{fffb}' | '\u{fffe}'..='\u{ffff}' | '\u{e0000}'..))
}
