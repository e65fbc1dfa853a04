//! Decimal numbers as they are written: exact, of any length, never a float in between.

/// A number taken apart: `[+-] digits [. digits] [e [+-] digits]`.
///
/// JSON's numbers, and beyond them a plus sign and leading zeros, as texts have them.
#[derive(Clone, Copy, Debug)]
pub(super) struct Decimal<'t> {
    is_negative: bool,
    whole: &'t [u8],
    fraction: &'t [u8],
    exponent: i64,
    /// What follows the digits of the whole part, as written.
    tail: &'t [u8],
}

/// Beyond this no value but zero is within any range, so larger exponents need not be told apart.
const EXPONENT_MAX: i64 = 1 << 40;

/// A text of fewer bytes and without exponent is below 1e300 and thus within the range of a float.
const SURELY_FINITE: usize = 300;

// === impl Decimal ===

impl<'t> Decimal<'t> {
    /// Takes a number apart; `None` when the text is not one.
    pub(super) fn parse(text: &'t [u8]) -> Option<Self> {
        let (is_negative, unsigned) = match text {
            [b'-', rest @ ..] => (true, rest),
            [b'+', rest @ ..] => (false, rest),
            _ => (false, text),
        };
        let (whole, tail) = digits(unsigned)?;
        let (fraction, rest) = match tail {
            [b'.', rest @ ..] => digits(rest)?,
            _ => (&tail[..0], tail),
        };
        let exponent = match rest {
            [] => 0,
            [b'e' | b'E', rest @ ..] => exponent(rest)?,
            _ => return None,
        };
        Some(Decimal { is_negative, whole, fraction, exponent, tail })
    }

    /// Gives the whole part of the number times 10 to the power of `shift`, and whether nothing was cut off.
    ///
    /// `None` when it does not fit into 128 bits.
    pub(super) fn scaled(&self, shift: i64) -> Option<(i128, bool)> {
        let mut digits = self.whole.iter().chain(self.fraction).skip_while(|digit| **digit == b'0');
        let len = digits.clone().count() as i64;
        if len == 0 {
            return Some((0, true));
        }
        let power = self.exponent - self.fraction.len() as i64 + shift;
        if len + power > 39 {
            return None;
        }
        let mut value: i128 = 0;
        for _ in 0..(len + power).max(0) {
            let digit = digits.next().map_or(0, |digit| i128::from(digit - b'0'));
            value = value.checked_mul(10)?.checked_add(digit)?;
        }
        let is_exact = digits.all(|digit| *digit == b'0');
        Some((if self.is_negative { -value } else { value }, is_exact))
    }

    /// Appends the number in JSON's form; digits, fraction and exponent stay as written.
    pub(super) fn write_json(&self, out: &mut Vec<u8>) {
        if self.is_negative {
            out.push(b'-');
        }
        let zeros = self.whole.iter().take_while(|digit| **digit == b'0').count();
        out.extend_from_slice(&self.whole[zeros.min(self.whole.len() - 1)..]);
        out.extend_from_slice(self.tail);
    }

    /// Tells whether a 64-bit float can hold the number, if not to the last digit.
    pub(super) fn is_finite(&self) -> bool {
        if self.exponent == 0 && self.whole.len() < SURELY_FINITE {
            return true;
        }
        let mut text = Vec::new();
        self.write_json(&mut text);
        let number = std::str::from_utf8(&text).ok().and_then(|text| text.parse::<f64>().ok());
        number.is_some_and(f64::is_finite)
    }
}

/// Splits at least one digit off.
fn digits(text: &[u8]) -> Option<(&[u8], &[u8])> {
    let len = text.iter().take_while(|byte| byte.is_ascii_digit()).count();
    (len > 0).then(|| text.split_at(len))
}

fn exponent(text: &[u8]) -> Option<i64> {
    let (sign, unsigned) = match text {
        [b'-', rest @ ..] => (-1, rest),
        [b'+', rest @ ..] => (1, rest),
        _ => (1, text),
    };
    let (digits, []) = digits(unsigned)? else {
        return None;
    };
    let add = |sum: i64, digit: &u8| (sum * 10 + i64::from(digit - b'0')).min(EXPONENT_MAX);
    Some(sign * digits.iter().fold(0, add))
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use super::*;

    fn scaled(text: &str, shift: i64) -> Option<(i128, bool)> {
        Decimal::parse(text.as_bytes()).unwrap().scaled(shift)
    }

    #[test]
    fn values_are_exact() {
        assert_eq!(scaled("12", 0), Some((12, true)));
        assert_eq!(scaled("-0", 0), Some((0, true)));
        assert_eq!(scaled("10.0", 0), Some((10, true)));
        assert_eq!(scaled("1e3", 0), Some((1000, true)));
        assert_eq!(scaled("1.5E+1", 0), Some((15, true)));
        assert_eq!(scaled("-1.5", 0), Some((-1, false)));
        assert_eq!(scaled("1e-1", 0), Some((0, false)));
        assert_eq!(scaled("0.000e99999999999999999999", 0), Some((0, true)));
        assert_eq!(scaled("1e99999999999999999999", 0), None);
        assert_eq!(scaled("1e-99999999999999999999", 0), Some((0, false)));
        assert_eq!(scaled("1700000000.123456789", 9), Some((1_700_000_000_123_456_789, true)));
        assert_eq!(scaled("1700000000.1234567891", 9), Some((1_700_000_000_123_456_789, false)));
        assert_eq!(scaled(&"9".repeat(38), 0).unwrap().0, "9".repeat(38).parse().unwrap());
        assert_eq!(scaled(&"9".repeat(39), 0), None);
        assert_eq!(scaled(&format!("{}7", "0".repeat(100_000)), 0), Some((7, true)));
    }

    #[test]
    fn what_is_no_number_is_refused() {
        for text in
            ["", "-", ".5", "5.", "1e", "1e+", "0x1", "1_0", " 1", "1 ", "NaN", "inf", "--1"]
        {
            assert!(Decimal::parse(text.as_bytes()).is_none(), "{text}");
        }
    }

    #[test]
    fn texts_become_json() {
        for (text, json) in
            [("+5", "5"), ("007", "7"), ("-00.50", "-0.50"), ("0", "0"), ("+01E+2", "1E+2")]
        {
            let mut out = Vec::new();
            Decimal::parse(text.as_bytes()).unwrap().write_json(&mut out);
            assert_eq!(String::from_utf8(out).unwrap(), json);
        }
        assert!(Decimal::parse(b"1e308").unwrap().is_finite());
        assert!(!Decimal::parse(b"1e309").unwrap().is_finite());
        assert!(!Decimal::parse("9".repeat(400).as_bytes()).unwrap().is_finite());
        assert!(Decimal::parse(format!("0.{}", "9".repeat(400)).as_bytes()).unwrap().is_finite());
    }

    proptest::proptest! {
        #[test]
        fn integers_are_themselves(number in proptest::prelude::any::<i64>()) {
            proptest::prop_assert_eq!(scaled(&number.to_string(), 0), Some((number.into(), true)));
        }
    }
}
