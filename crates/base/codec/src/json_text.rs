//! JSON text appended to byte buffers, without intermediate values or allocations: numbers as Go's `encoding/json` writes
//! them (which follows JavaScript), and bytes. Strings are in [`levada_model::text`].

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

/// Absolute value from which floats are written with an exponent.
///
/// - Source: Go `encoding/json` (`floatEncoder`), ECMAScript `Number::toString`.
const EXPONENT_FROM: f64 = 1e21;

/// Absolute value below which floats are written with an exponent. Source: as above.
const EXPONENT_BELOW: f64 = 1e-6;

/// Integers up to here are exact in a float and are written by the integer formatter.
const EXACT_INTEGER_BELOW: f64 = 9_007_199_254_740_992.0;

/// A float that JSON has no text for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("json has no text for `NaN` and infinities; write null or a string instead")]
pub struct NotFinite;

/// Appends `number` in the shortest form that reads back as the same float: `1`, `1.5`, `1e+21`.
///
/// Negative zero is `-0`.
///
/// - Errors: [`NotFinite`]; nothing is appended then.
/// - Source: Go `encoding/json` (`floatEncoder`).
pub fn append_f64(out: &mut Vec<u8>, number: f64) -> Result<(), NotFinite> {
    if !number.is_finite() {
        return Err(NotFinite);
    }
    if number.is_sign_negative() {
        out.push(b'-');
    }
    let number = number.abs();
    if number < EXACT_INTEGER_BELOW && number.fract() == 0.0 {
        append_u64(out, number as u64);
        return Ok(());
    }
    let mut buffer = zmij::Buffer::new();
    let text = buffer.format_finite(number);
    // Of an integer it has a zero behind the point.
    if number < EXACT_INTEGER_BELOW && !text.as_bytes().contains(&b'e') {
        out.extend_from_slice(text.as_bytes());
        return Ok(());
    }
    let (digits, count, point) = decimal(text);
    let digits = &digits[..count];
    if (EXPONENT_BELOW..EXPONENT_FROM).contains(&number) {
        append_plain(out, digits, point);
    } else {
        append_exponent(out, digits, point);
    }
    Ok(())
}

/// Appends `number` in decimal.
pub fn append_i64(out: &mut Vec<u8>, number: i64) {
    out.extend_from_slice(itoa::Buffer::new().format(number).as_bytes());
}

/// Appends `number` in decimal.
pub fn append_u64(out: &mut Vec<u8>, number: u64) {
    out.extend_from_slice(itoa::Buffer::new().format(number).as_bytes());
}

/// Appends `bytes` in standard base64 with padding, without quotes.
pub fn append_base64(out: &mut Vec<u8>, bytes: &[u8]) {
    // 48 bytes become 64 characters, and only the last piece can need padding.
    let mut text = [0; 64];
    out.reserve(bytes.len().div_ceil(3).saturating_mul(4));
    for piece in bytes.chunks(48) {
        let length =
            STANDARD.encode_slice(piece, &mut text).expect("48 bytes fit into 64 characters");
        out.extend_from_slice(&text[..length]);
    }
}

/// Shortest digits of a formatted float, their count, and where the decimal point stands:
/// the value is `0.DIGITS * 10^point`.
fn decimal(text: &str) -> ([u8; 32], usize, i32) {
    let (mantissa, exponent) = text.split_once('e').unwrap_or((text, "0"));
    let mut digits = [0; 32];
    let (mut count, mut point, mut after_point) = (0, 0, false);
    for byte in mantissa.bytes() {
        if byte == b'.' {
            after_point = true;
        } else if count == 0 && byte == b'0' {
            // A leading zero is no digit, but one behind the point moves it.
            point -= i32::from(after_point);
        } else {
            digits[count] = byte;
            count += 1;
            point += i32::from(!after_point);
        }
    }
    while count > 1 && digits[count - 1] == b'0' {
        count -= 1;
    }
    let exponent: i32 = exponent.parse().unwrap_or_default();
    (digits, count, point + exponent)
}

fn append_plain(out: &mut Vec<u8>, digits: &[u8], point: i32) {
    if point <= 0 {
        out.extend_from_slice(b"0.");
        out.extend(std::iter::repeat_n(b'0', point.unsigned_abs() as usize));
        out.extend_from_slice(digits);
        return;
    }
    let point = point.unsigned_abs() as usize;
    if point >= digits.len() {
        out.extend_from_slice(digits);
        out.extend(std::iter::repeat_n(b'0', point - digits.len()));
    } else {
        out.extend_from_slice(&digits[..point]);
        out.push(b'.');
        out.extend_from_slice(&digits[point..]);
    }
}

fn append_exponent(out: &mut Vec<u8>, digits: &[u8], point: i32) {
    out.push(digits[0]);
    if digits.len() > 1 {
        out.push(b'.');
        out.extend_from_slice(&digits[1..]);
    }
    let exponent = point - 1;
    out.extend_from_slice(if exponent < 0 { b"e-" } else { b"e+" });
    append_u64(out, u64::from(exponent.unsigned_abs()));
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use proptest::prelude::*;

    use super::*;

    fn f64_text(number: f64) -> String {
        let mut out = Vec::new();
        append_f64(&mut out, number).unwrap();
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn floats_look_like_those_of_encoding_json() {
        let cases: &[(f64, &str)] = &[
            (0.0, "0"),
            (-0.0, "-0"),
            (1.0, "1"),
            (-1.0, "-1"),
            (1.5, "1.5"),
            (-0.25, "-0.25"),
            (0.1, "0.1"),
            (100.0, "100"),
            (123456789.125, "123456789.125"),
            (0.000001, "0.000001"),
            (0.00001, "0.00001"),
            (0.0000125, "0.0000125"),
            (2251799813685248.5, "2251799813685248.5"),
            (0.0000012, "0.0000012"),
            (0.0000001, "1e-7"),
            (1.23e-7, "1.23e-7"),
            (9007199254740993.0, "9007199254740992"),
            (123456789012345680000.0, "123456789012345680000"),
            (999999999999999900000.0, "999999999999999900000"),
            (1e20, "100000000000000000000"),
            (1e21, "1e+21"),
            (-1.5e300, "-1.5e+300"),
            (f64::MAX, "1.7976931348623157e+308"),
            (f64::MIN_POSITIVE, "2.2250738585072014e-308"),
            (5e-324, "5e-324"),
            (1.0 / 3.0, "0.3333333333333333"),
        ];
        for (number, expected) in cases {
            assert_eq!(f64_text(*number), *expected);
        }
    }

    #[test]
    fn what_is_not_finite_is_refused_and_appends_nothing() {
        for number in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY] {
            let mut out = b"x".to_vec();
            assert_eq!(append_f64(&mut out, number), Err(NotFinite));
            assert_eq!(out, b"x");
        }
    }

    #[test]
    fn integers_and_base64() {
        let mut out = Vec::new();
        append_i64(&mut out, i64::MIN);
        append_u64(&mut out, u64::MAX);
        assert_eq!(out, b"-922337203685477580818446744073709551615");
        for length in [0usize, 1, 2, 3, 47, 48, 49, 96, 1000] {
            let bytes: Vec<u8> = (0..length).map(|at| at as u8).collect();
            let mut out = b"=".to_vec();
            append_base64(&mut out, &bytes);
            assert_eq!(&out[1..], STANDARD.encode(&bytes).as_bytes());
        }
    }

    proptest! {
        #[test]
        fn floats_read_back(bits in any::<u64>()) {
            let number = f64::from_bits(bits);
            prop_assume!(number.is_finite());
            let text = f64_text(number);
            prop_assert_eq!(text.parse::<f64>().unwrap().to_bits(), bits);
            prop_assert!(serde_json::from_str::<serde_json::Value>(&text).is_ok());
        }
    }
}
