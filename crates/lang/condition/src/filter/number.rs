//! Numbers: as they are written, and how they compare.

use std::cmp::Ordering;

/// A number of a filter or of a point.
#[derive(Clone, Copy, Debug)]
pub(super) enum Number {
    Int(i64),
    UInt(u64),
    Float(f64),
}

/// Two floats that are nearer to each other are equal. Source: dataway reference §4.5.
pub(super) const EPSILON: f64 = 1e-9;

/// Up to here every integer is a float.
const EXACT_MAX: u64 = 1 << 53;

/// Reads a number as written, without its sign; `None` when no float is that large.
///
/// `0x…` is hexadecimal and a leading zero makes octal; what does not fit into 64 bits is a float.
pub(super) fn parse(text: &str, is_negative: bool) -> Option<Number> {
    let (digits, base) = match text.as_bytes() {
        [b'0', b'x' | b'X', ..] => (&text[2..], 16),
        [b'0', _, ..] if text.bytes().all(|byte| byte.is_ascii_digit()) => (&text[1..], 8),
        _ => (text, 10),
    };
    let sign = if is_negative { -1 } else { 1 };
    if let Ok(size) = u64::from_str_radix(digits, base) {
        match i64::try_from(i128::from(size) * sign) {
            Ok(number) => return Some(Number::Int(number)),
            Err(_) if !is_negative => return Some(Number::UInt(size)),
            Err(_) => {}
        }
    }
    let size = match base {
        16 => digits
            .chars()
            .filter_map(|digit| digit.to_digit(16))
            .fold(0.0, |size, digit| size * 16.0 + f64::from(digit)),
        _ => text.parse::<f64>().ok()?,
    };
    let is_written_so = text.eq_ignore_ascii_case("inf");
    (!size.is_infinite() || is_written_so).then_some(Number::Float(size * sign as f64))
}

/// Says whether two floats are equal as upstream compares them; infinities are not.
pub(super) fn floats_equal(one: f64, other: f64) -> bool {
    (one - other).abs() < EPSILON
}

/// Gives the order of two numbers by value, whatever their types; `None` with a NaN.
#[inline]
pub(super) fn compare(one: Number, other: Number) -> Option<Ordering> {
    // What most comparisons are, without wide integers.
    if let (Number::Float(float), Number::Int(whole)) = (one, other)
        && whole.unsigned_abs() <= EXACT_MAX
    {
        return float.partial_cmp(&(whole as f64));
    }
    match (one.exact(), other.exact()) {
        (Ok(one), Ok(other)) => Some(one.cmp(&other)),
        (Err(one), Err(other)) => one.partial_cmp(&other),
        (Ok(one), Err(other)) => compare_mixed(one, other),
        (Err(one), Ok(other)) => compare_mixed(other, one).map(Ordering::reverse),
    }
}

/// Says whether two numbers are equal by value; floats may differ by less than [`EPSILON`].
pub(super) fn equal(one: Number, other: Number) -> bool {
    match (one.exact(), other.exact()) {
        (Ok(one), Ok(other)) => one == other,
        (Err(one), Err(other)) => one == other || floats_equal(one, other),
        (Ok(whole), Err(float)) | (Err(float), Ok(whole)) => is_whole(float, whole),
    }
}

/// Says whether a float is an integer, by [`EPSILON`].
pub(super) fn is_whole(float: f64, whole: i128) -> bool {
    // Beyond this size no float lies between two integers, and the difference could be rounded away.
    match float.abs() < EXACT_MAX as f64 {
        true => nearest(float) == whole && floats_equal(float.round(), float),
        false => compare_mixed(whole, float) == Some(Ordering::Equal),
    }
}

/// Gives the integer nearest to a float.
pub(super) fn nearest(float: f64) -> i128 {
    float.round() as i128
}

/// Compares an integer of 64 bits with a float, exactly.
fn compare_mixed(whole: i128, float: f64) -> Option<Ordering> {
    if float.is_nan() {
        return None;
    }
    // Rounding down is a call of a function and two of wide integers.
    if whole.unsigned_abs() <= u128::from(EXACT_MAX) {
        return (whole as i64 as f64).partial_cmp(&float);
    }
    // The conversion saturates, far outside of 64 bits.
    let floor = float.floor() as i128;
    Some(
        whole
            .cmp(&floor)
            .then_with(|| if float > float.floor() { Ordering::Less } else { Ordering::Equal }),
    )
}

// === impl Number ===

impl Number {
    /// Gives an integer, or else the float.
    fn exact(self) -> Result<i128, f64> {
        match self {
            Number::Int(number) => Ok(number.into()),
            Number::UInt(number) => Ok(number.into()),
            Number::Float(number) => Err(number),
        }
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use super::Number::{Float, Int, UInt};
    use super::*;

    #[test]
    fn numbers_compare_by_value() {
        for (one, other, order) in [
            (Int(1), Float(1.0), Ordering::Equal),
            (UInt(u64::MAX), Int(-1), Ordering::Greater),
            (UInt(u64::MAX), Float(u64::MAX as f64), Ordering::Less),
            (Int(i64::MAX), Float(i64::MAX as f64), Ordering::Less),
            (Int(i64::MIN), Float(i64::MIN as f64), Ordering::Equal),
            (Int(9_007_199_254_740_993), Float(9_007_199_254_740_992.0), Ordering::Greater),
            (Int(1 << 53), Float(9_007_199_254_740_992.0), Ordering::Equal),
            (Int((1 << 53) + 1), Float(9_007_199_254_740_992.0), Ordering::Greater),
            (Int(-(1 << 53) - 1), Float(-9_007_199_254_740_992.0), Ordering::Less),
            (Int(1 << 53), Float(f64::MAX), Ordering::Less),
            (Int(0), Float(-0.0), Ordering::Equal),
            (Int(0), Float(1e-3), Ordering::Less),
            (Int(-1), Float(-1.5), Ordering::Greater),
            (Int(-2), Float(-1.5), Ordering::Less),
            (Int(0), Float(f64::NEG_INFINITY), Ordering::Greater),
            (Int(0), Float(f64::INFINITY), Ordering::Less),
            (Float(0.5), Float(0.25), Ordering::Greater),
        ] {
            assert_eq!(compare(one, other), Some(order), "{one:?} {other:?}");
            assert_eq!(compare(other, one), Some(order.reverse()), "{other:?} {one:?}");
            assert_eq!(equal(one, other), order == Ordering::Equal, "{one:?} {other:?}");
        }
        assert_eq!(compare(Float(f64::NAN), Int(1)), None);
        assert!(!equal(Float(f64::NAN), Float(f64::NAN)));
    }

    #[test]
    fn floats_may_differ_a_little() {
        assert!(equal(Float(1.0), Float(1.0 + 5e-10)));
        assert!(equal(Int(1), Float(1.0 - 5e-10)));
        assert!(!equal(Int(1), Float(1.0 + 2e-9)));
        assert!(equal(Float(f64::INFINITY), Float(f64::INFINITY)));
        assert!(!floats_equal(f64::INFINITY, f64::INFINITY));
    }

    #[test]
    fn numbers_are_read_as_written() {
        for (text, is_negative, expected) in [
            ("0", false, Int(0)),
            ("10", true, Int(-10)),
            ("0x10", false, Int(16)),
            ("0X1e", false, Int(30)),
            ("010", false, Int(8)),
            ("08", false, Float(8.0)),
            ("9223372036854775807", false, Int(i64::MAX)),
            ("9223372036854775808", false, UInt(9_223_372_036_854_775_808)),
            ("18446744073709551615", false, UInt(u64::MAX)),
            ("18446744073709551616", false, Float(18_446_744_073_709_551_616.0)),
            ("9223372036854775809", true, Float(-9_223_372_036_854_775_808.0)),
            ("9223372036854775808", true, Int(i64::MIN)),
            ("0xffffffffffffffffff", false, Float(4_722_366_482_869_645_213_696.0)),
            ("1.0", true, Float(-1.0)),
            ("5.", false, Float(5.0)),
            ("1e3", false, Float(1000.0)),
            ("inf", true, Float(f64::NEG_INFINITY)),
        ] {
            let found = parse(text, is_negative).unwrap();
            let is_same_kind = std::mem::discriminant(&found) == std::mem::discriminant(&expected);
            assert!(is_same_kind && compare(found, expected) == Some(Ordering::Equal), "{text}");
        }
        assert!(parse("1e400", false).is_none());
        assert!(matches!(parse("nan", false), Some(Float(number)) if number.is_nan()));
    }
}
