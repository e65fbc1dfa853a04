//! Numbers compared by their decimal text: exact at any size, and without a float.

use std::cmp::Ordering;

/// Tells whether a text is a number as JSON writes them.
pub(crate) fn is_number(text: &[u8]) -> bool {
    let digits = |from: usize| {
        let rest = text.get(from..).unwrap_or_default();
        rest.iter().take_while(|byte| byte.is_ascii_digit()).count()
    };
    let mut at = usize::from(text.first() == Some(&b'-'));
    let whole = digits(at);
    if whole == 0 || (whole > 1 && text[at] == b'0') {
        return false;
    }
    at += whole;
    if text.get(at) == Some(&b'.') {
        let fraction = digits(at + 1);
        if fraction == 0 {
            return false;
        }
        at += 1 + fraction;
    }
    if matches!(text.get(at), Some(b'e' | b'E')) {
        at += 1;
        at += usize::from(matches!(text.get(at), Some(b'+' | b'-')));
        let exponent = digits(at);
        if exponent == 0 {
            return false;
        }
        at += exponent;
    }
    at == text.len()
}

/// Gives an integer of at most 18 digits; `None` for every other number.
#[inline]
pub(crate) fn small_integer(text: &[u8]) -> Option<i64> {
    let (negative, digits) = match text {
        [b'-', digits @ ..] => (true, digits),
        digits => (false, digits),
    };
    if digits.is_empty() || digits.len() > 18 {
        return None;
    }
    let mut value = 0i64;
    for &byte in digits {
        let digit = byte.wrapping_sub(b'0');
        if digit > 9 {
            return None;
        }
        value = value * 10 + i64::from(digit);
    }
    Some(if negative { -value } else { value })
}

/// Tells whether a number is zero, however it is written.
pub(crate) fn is_zero(number: &[u8]) -> bool {
    let mantissa = number.iter().take_while(|byte| !matches!(byte, b'e' | b'E'));
    mantissa.into_iter().all(|byte| !matches!(byte, b'1'..=b'9'))
}

/// Compares two JSON numbers by value.
pub(crate) fn compare(left: &[u8], right: &[u8]) -> Ordering {
    if let (Some(left), Some(right)) = (small_integer(left), small_integer(right)) {
        return left.cmp(&right);
    }
    let (left, right) = (Decimal::new(left), Decimal::new(right));
    match (left.sign, right.sign) {
        (1, 1) => left.compare_size(&right),
        (-1, -1) => right.compare_size(&left),
        (left, right) => left.cmp(&right),
    }
}

/// Gives the bits of the float whose plain form is exactly this text: `12.5`, but not `12.50` or `1e3`.
///
/// Source: gjson prints a number that is no integer as the shortest plain decimal of its float.
pub(crate) fn canonical_bits(text: &str) -> Option<u64> {
    if !is_number(text.as_bytes()) {
        return None;
    }
    let float: f64 = text.parse().ok()?;
    (float.is_finite() && float.to_string() == text).then(|| float.to_bits())
}

/// Gives the bits of a number that gjson prints in the form of [`canonical_bits`].
pub(crate) fn float_bits(number: &[u8]) -> Option<u64> {
    if number.iter().all(|byte| matches!(byte, b'-' | b'0'..=b'9')) {
        return None;
    }
    let float: f64 = std::str::from_utf8(number).ok()?.parse().ok()?;
    Some(float.to_bits())
}

/// Sign × 0.d₁d₂d₃… × 10^`scale`, with d₁ ≠ 0; `digits` may hold one point.
struct Decimal<'a> {
    sign: i8,
    digits: &'a [u8],
    scale: i64,
}

// === impl Decimal ===

impl<'a> Decimal<'a> {
    fn new(number: &'a [u8]) -> Self {
        let (sign, number) = match number {
            [b'-', rest @ ..] => (-1, rest),
            rest => (1, rest),
        };
        let split = number.iter().position(|byte| matches!(byte, b'e' | b'E'));
        let (mantissa, exponent) = match split {
            Some(at) => (&number[..at], exponent(&number[at + 1..])),
            None => (number, 0),
        };
        let point = mantissa.iter().position(|&byte| byte == b'.');
        let whole = point.unwrap_or(mantissa.len()) as i64;
        let first = mantissa.iter().position(|byte| matches!(byte, b'1'..=b'9'));
        let Some(first) = first else {
            return Decimal { sign: 0, digits: b"", scale: 0 };
        };
        // Digits before the point count up, zeros behind it count down.
        let passed = first as i64;
        let place = if passed < whole { whole - passed } else { whole + 1 - passed };
        Decimal { sign, digits: &mantissa[first..], scale: exponent.saturating_add(place) }
    }

    fn compare_size(&self, other: &Decimal<'_>) -> Ordering {
        let by_scale = self.scale.cmp(&other.scale);
        if by_scale != Ordering::Equal {
            return by_scale;
        }
        let mut left = self.digits.iter().filter(|&&byte| byte != b'.');
        let mut right = other.digits.iter().filter(|&&byte| byte != b'.');
        loop {
            match (left.next(), right.next()) {
                (None, None) => return Ordering::Equal,
                (left, right) => {
                    let by_digit = left.unwrap_or(&b'0').cmp(right.unwrap_or(&b'0'));
                    if by_digit != Ordering::Equal {
                        return by_digit;
                    }
                }
            }
        }
    }
}

/// Reads an exponent; one that leaves the range stays at its end, which still compares rightly
/// against every number of a bounded text.
fn exponent(text: &[u8]) -> i64 {
    let (negative, digits) = match text {
        [b'-', rest @ ..] => (true, rest),
        [b'+', rest @ ..] => (false, rest),
        rest => (false, rest),
    };
    let size = digits.iter().fold(0i64, |value, byte| {
        let digit = i64::from(byte.wrapping_sub(b'0'));
        value.saturating_mul(10).saturating_add(digit)
    });
    let size = size.min(i64::MAX / 2);
    if negative { -size } else { size }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(left: &str, right: &str, expected: Ordering) {
        let (left, right) = (left.as_bytes(), right.as_bytes());
        assert!(is_number(left) && is_number(right));
        assert_eq!(compare(left, right), expected);
        assert_eq!(compare(right, left), expected.reverse());
    }

    #[test]
    fn numbers_compare_by_value() {
        check("5", "5.0", Ordering::Equal);
        check("12.50", "12.5", Ordering::Equal);
        check("1e3", "1000", Ordering::Equal);
        check("0.001", "1E-3", Ordering::Equal);
        check("0", "-0.0e5", Ordering::Equal);
        check("-1", "1", Ordering::Less);
        check("-2", "-1.5", Ordering::Less);
        check("0.09", "0.1", Ordering::Less);
        check("9.99", "10", Ordering::Less);
        check("0", "1e-999999999999999999999", Ordering::Less);
        check("1e999999999999999999999", "9", Ordering::Greater);
    }

    #[test]
    fn integers_beyond_two_to_the_53_are_exact() {
        check("9007199254740993", "9007199254740992", Ordering::Greater);
        check("12345678901234567890", "12345678901234567891", Ordering::Less);
        check("12345678901234567890", "12345678901234567890.0", Ordering::Equal);
    }

    #[test]
    fn only_json_numbers_are_numbers() {
        for text in ["", "-", "01", "1.", ".5", "1e", "+1", "1 ", "0x1", "inf", "NaN"] {
            assert!(!is_number(text.as_bytes()), "{text}");
        }
    }

    #[test]
    fn plain_forms_have_bits() {
        assert_eq!(canonical_bits("12.5"), Some(12.5f64.to_bits()));
        assert_eq!(canonical_bits("12.50"), None);
        assert_eq!(canonical_bits("1e3"), None);
        assert_eq!(float_bits(b"12.50"), Some(12.5f64.to_bits()));
        assert_eq!(float_bits(b"12"), None);
    }

    proptest::proptest! {
        #[test]
        fn agrees_with_floats_where_they_are_exact(left in -1000i32..1000, right in -1000i32..1000, places in 0usize..4) {
            let scale = 8f64;
            let (a, b) = (f64::from(left) / scale, f64::from(right) / scale);
            let (x, y) = (format!("{a:.3}"), format!("{b:.*}", places.max(3)));
            proptest::prop_assert_eq!(Some(compare(x.as_bytes(), y.as_bytes())), a.partial_cmp(&b));
            let z = format!("{b:e}");
            proptest::prop_assert_eq!(Some(compare(x.as_bytes(), z.as_bytes())), a.partial_cmp(&b));
        }
    }
}
