//! Floats as text: the shortest that reads back as the same float.
//!
//! ```text
//! 0.0   -0.0   1.0   0.1   0.00001   1e-6   1234567890123456.0   1.5e16   5e-324
//! ```

use zmij::Float;

/// Bytes at the end of a text in which the sign of a positive exponent stands: `+16` to `+308`.
const SIGNED_EXPONENT_BYTES: usize = 4;

/// Appends a finite number; one that is whole ends in `.0`, or has an exponent.
pub fn encode(number: impl Float, out: &mut Vec<u8>) {
    let mut buffer = zmij::Buffer::new();
    let text = buffer.format_finite(number).as_bytes();
    let tail = text.len().saturating_sub(SIGNED_EXPONENT_BYTES);
    // Texts here never had the sign that zmij writes, and receivers may compare them.
    if let Some(at) = text[tail..].iter().position(|&byte| byte == b'+') {
        out.extend_from_slice(&text[..tail + at]);
        out.extend_from_slice(&text[tail + at + 1..]);
    } else {
        out.extend_from_slice(text);
    }
}

/// Appends a finite number as [`encode`] does, a whole one without `.0`.
pub fn encode_short(number: impl Float, out: &mut Vec<u8>) {
    encode(number, out);
    if out.ends_with(b".0") {
        out.truncate(out.len() - 2);
    }
}

#[cfg(test)]
mod tests {
    use std::ops::RangeInclusive;

    use super::*;

    /// Bit patterns that are tried beside those that are chosen.
    const RANDOM: usize = 20_000;

    fn encoded(number: impl Float) -> String {
        let mut out = b"before.0".to_vec();
        encode(number, &mut out);
        String::from_utf8_lossy(&out[8..]).into_owned()
    }

    /// Makes the text of the digits that the standard library finds: `-1.5e3` in, `-1500.0` out.
    ///
    /// - `plain`: where the point may stand, counted from the first digit, in a text without an exponent.
    fn expected(scientific: &str, plain: RangeInclusive<i32>) -> String {
        let (sign, text) = match scientific.strip_prefix('-') {
            Some(text) => ("-", text),
            None => ("", scientific),
        };
        let (mantissa, exponent) = text.split_once('e').unwrap_or((text, "0"));
        let exponent: i32 = exponent.parse().unwrap_or_default();
        let digits = mantissa.replace('.', "");
        let point = exponent + 1;
        let zeros = |count: i32| "0".repeat(usize::try_from(count).unwrap_or_default());
        let count = i32::try_from(digits.len()).unwrap_or_default();
        let text = if !plain.contains(&point) {
            format!("{mantissa}e{exponent}")
        } else if point <= 0 {
            format!("0.{}{digits}", zeros(-point))
        } else if count <= point {
            format!("{digits}{}.0", zeros(point - count))
        } else {
            let (whole, rest) = digits.split_at(usize::try_from(point).unwrap_or_default());
            format!("{whole}.{rest}")
        };
        format!("{sign}{text}")
    }

    /// Compares the texts but for the last digit where two are as near; the standard library takes another one then.
    fn assert_alike(text: &str, expected: &str) {
        let form = |text: &str| text.replace(|c: char| c.is_ascii_digit(), "9");
        assert_eq!(form(text), form(expected), "{text} {expected}");
    }

    fn check_double(number: f64) {
        for number in [number, -number] {
            let text = encoded(number);
            assert_alike(&text, &expected(&format!("{number:e}"), -4..=16));
            assert_eq!(text.parse().map(f64::to_bits), Ok(number.to_bits()));
        }
    }

    fn check_float(number: f32) {
        for number in [number, -number] {
            let text = encoded(number);
            assert_alike(&text, &expected(&format!("{number:e}"), -5..=13));
            assert_eq!(text.parse().map(f32::to_bits), Ok(number.to_bits()));
        }
    }

    /// Gives bit patterns that look random and are the same in every run.
    fn patterns() -> impl Iterator<Item = u64> {
        let mut state = 0x9e37_79b9_7f4a_7c15_u64;
        std::iter::from_fn(move || {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            Some(state)
        })
        .take(RANDOM)
    }

    #[test]
    fn forms() {
        for (number, text) in [
            (0.0, "0.0"),
            (-0.0, "-0.0"),
            (1.0, "1.0"),
            (-1.5, "-1.5"),
            (0.1, "0.1"),
            (0.000_01, "0.00001"),
            (0.000_001, "1e-6"),
            (1.25e-7, "1.25e-7"),
            (1_234_567_890_123_456.0, "1234567890123456.0"),
            (1e15, "1000000000000000.0"),
            (1e16, "1e16"),
            (1.5e16, "1.5e16"),
            (1e21, "1e21"),
            (-1e100, "-1e100"),
            (f64::MAX, "1.7976931348623157e308"),
            (f64::MIN_POSITIVE, "2.2250738585072014e-308"),
            (5e-324, "5e-324"),
            // As near as `…13`: the even one.
            (f64::powi(2.0, -25), "2.9802322387695312e-8"),
        ] {
            assert_eq!(encoded(number), text);
            let mut out = b"1.0 ".to_vec();
            encode_short(number, &mut out);
            let short = text.strip_suffix(".0").unwrap_or(text);
            assert_eq!(String::from_utf8_lossy(&out), format!("1.0 {short}"));
        }
        assert_eq!(encoded(0.1_f32), "0.1");
        assert_eq!(encoded(1e30_f32), "1e30");
        assert_eq!(encoded(f32::MAX), "3.4028235e38");
    }

    #[test]
    fn doubles_of_all_sizes() {
        for exponent in 0..2047 {
            for mantissa in [0, 1, (1 << 51) + 1, (1 << 52) - 1] {
                check_double(f64::from_bits(exponent << 52 | mantissa));
            }
        }
        for bit in 0..52 {
            check_double(f64::from_bits(1 << bit));
            check_double(f64::from_bits((1 << bit) - 1));
        }
        for exponent in -323..=308 {
            for mantissa in ["1", "9.5", "1.2345678901234567"] {
                let number: f64 = format!("{mantissa}e{exponent}").parse().unwrap_or_default();
                check_double(if number.is_finite() { number } else { 1.0 });
            }
        }
        for (whole, bits) in (0_u32..).zip(patterns()) {
            check_double(f64::from(whole));
            check_double(f64::from(whole) / 1000.0);
            check_double((bits >> (whole % 64)) as f64);
            let number = f64::from_bits(bits);
            check_double(if number.is_finite() { number } else { 1.0 });
        }
    }

    #[test]
    fn floats_of_all_sizes() {
        for exponent in 0..255 {
            for mantissa in [0, 1, (1 << 22) + 1, (1 << 23) - 1] {
                check_float(f32::from_bits(exponent << 23 | mantissa));
            }
        }
        for bits in patterns() {
            let number = f32::from_bits((bits >> 32) as u32);
            check_float(if number.is_finite() { number } else { 1.0 });
        }
    }
}
