//! Numbers and quotes as Go's `strconv` reads and writes them.

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
    if (-LIMIT..LIMIT).contains(&value) { value as i64 } else { i64::MIN }
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
pub fn quote(text: &str) -> String {
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
                out.push_str(&format!("\\x{:02x}", character as u32));
            }
            _ if is_printable(character) => out.push(character),
            '\0'..='\u{ffff}' => {
                out.push_str(&format!("\\u{:04x}", character as u32));
            }
            _ => {
                out.push_str(&format!("\\U{:08x}", character as u32));
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

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn floats_are_read_as_go_reads_them() {
        let rows = [
            ("1e3", Some(1000.0)),
            (".5", Some(0.5)),
            ("5.", Some(5.0)),
            ("+1.5E-2", Some(0.015)),
            ("-Infinity", Some(f64::NEG_INFINITY)),
            ("1_23.50_0_0e+1_2", Some(1.235e14)),
            ("0x1p-2", Some(0.25)),
            ("-0X1.8p1", Some(-3.0)),
            ("0x_1_fp0", Some(31.0)),
            ("0x.8p0", Some(0.5)),
            ("0x1p-1074", Some(5e-324)),
            ("0x1p-1075", Some(0.0)),
            ("0x1.8p-1075", Some(5e-324)),
            ("0x1.fffffffffffff8p0", Some(2.0)),
            ("0x1.fffffffffffff7p0", Some(1.999_999_999_999_999_8)),
            ("0x10000000000000000000000000000001p-124", Some(1.0)),
            ("0x0p99999999999999999999", Some(0.0)),
            ("1e-400", Some(0.0)),
            ("", None),
            (".", None),
            ("e5", None),
            ("1e", None),
            ("0x1", None),
            ("0xp1", None),
            ("0x1p", None),
            ("0x1.2.3p1", None),
            ("1__0", None),
            ("_1", None),
            ("1_", None),
            ("1_.5", None),
            ("1 ", None),
            ("+nan", None),
            ("infinit", None),
            ("é", None),
        ];
        for (text, expected) in rows {
            let actual = parse_float(text);
            match expected {
                Some(expected) => assert_eq!(actual, Ok(expected), "{text}"),
                None => assert_eq!(
                    actual,
                    Err(format!("strconv.ParseFloat: parsing \"{text}\": invalid syntax"))
                ),
            }
        }
        assert!(parse_float("NaN").is_ok_and(f64::is_nan));
        for text in ["1e309", "-1e309", "0x1p1024", "0x1.fffffffffffff8p1023"] {
            let expected = format!("strconv.ParseFloat: parsing \"{text}\": value out of range");
            assert_eq!(parse_float(text), Err(expected));
        }
    }

    #[test]
    fn floats_are_written_as_go_writes_them() {
        let rows = [
            (1.0, "1", "1"),
            (0.1, "0.1", "0.1"),
            (-0.0, "-0", "-0"),
            (1e20, "100000000000000000000", "100000000000000000000"),
            (1e21, "1000000000000000000000", "1e+21"),
            (0.0001, "0.0001", "0.0001"),
            (0.000_012_5, "0.0000125", "1.25e-05"),
            (f64::INFINITY, "+Inf", "+Inf"),
            (f64::NEG_INFINITY, "-Inf", "-Inf"),
            (f64::NAN, "NaN", "NaN"),
        ];
        for (value, plain, general) in rows {
            assert_eq!(
                (format_float(value).as_str(), format_general(value).as_str()),
                (plain, general)
            );
        }
    }

    #[test]
    fn quotes_are_those_of_go() {
        let rows = [
            ("a\"b\\c", r#""a\"b\\c""#),
            ("\u{7}\u{8}\u{c}\n\r\t\u{b}\0\u{7f}", r#""\a\b\f\n\r\t\v\x00\x7f""#),
            ("héllo 😀", "\"héllo 😀\""),
            ("\u{85}\u{a0}\u{ad}\u{200b}\u{feff}", r#""\u0085\u00a0\u00ad\u200b\ufeff""#),
            ("\u{e0001}", r#""\U000e0001""#),
        ];
        for (text, expected) in rows {
            assert_eq!(quote(text), expected);
        }
    }

    proptest! {
        #[test]
        fn what_is_written_reads_the_same(bits in any::<u64>()) {
            let value = f64::from_bits(bits);
            prop_assume!(!value.is_nan());
            prop_assert_eq!(parse_float(&format_float(value)), Ok(value));
            prop_assert_eq!(parse_float(&format_general(value)), Ok(value));
        }

        #[test]
        fn hexadecimal_floats_are_exact(bits in any::<u64>()) {
            let value = f64::from_bits(bits & !(1 << 63));
            prop_assume!(value.is_finite());
            let exponent = (bits >> 52 & 0x7ff) as i64;
            let fraction = bits & ((1 << 52) - 1);
            let (lead, power) = if exponent == 0 { (0, -1022) } else { (1, exponent - 1023) };
            let text = format!("0x{lead}.{fraction:013x}p{power}");
            prop_assert_eq!(parse_float(&text), Ok(value));
        }

        #[test]
        fn any_text_reads_or_fails(text in "[-+]?(0[xX])?[0-9a-f_.pe+-]{0,24}") {
            // A plain decimal is read alike by Rust; all else must merely not panic.
            if let Ok(value) = parse_float(&text) && !text.contains(['x', 'X', '_', 'a', 'i']) {
                prop_assert_eq!(text.parse(), Ok(value));
            }
        }
    }
}
