//! Numbers of fields.

use levada_model::point::FieldValue;

/// Powers of ten that a float holds exactly.
const TENS: [f64; 23] = [
    1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14, 1e15, 1e16,
    1e17, 1e18, 1e19, 1e20, 1e21, 1e22,
];
/// Up to here a float holds every integer.
const EXACT_MAX: u64 = 1 << 53;
/// So many digits fit an `i64` whatever they are.
const DIGITS_MAX: usize = 18;

/// Reads a short number: digits with at most one point, or digits and `i`; gives it and where it ends.
///
/// `None` stands for anything else, right or wrong. Both operands of the division are exact, so its result is the
/// float nearest to the decimal.
#[inline(always)]
pub(super) fn short_number(text: &[u8], start: usize) -> Option<(FieldValue, usize)> {
    let is_negative = text.get(start) == Some(&b'-');
    let first = start + usize::from(is_negative);
    let mut at = first;
    let mut digits = 0_u64;
    while let Some(digit @ 0..=9) = text.get(at).map(|byte| byte.wrapping_sub(b'0')) {
        digits = digits.wrapping_mul(10).wrapping_add(u64::from(digit));
        at += 1;
    }
    let whole = at - first;
    let mut fraction = 0;
    match text.get(at) {
        Some(b'i') if whole > 0 && whole <= DIGITS_MAX => {
            let number = digits as i64;
            return Some((FieldValue::Int(if is_negative { -number } else { number }), at + 1));
        }
        Some(b'.') => {
            at += 1;
            let point = at;
            while let Some(digit @ 0..=9) = text.get(at).map(|byte| byte.wrapping_sub(b'0')) {
                digits = digits.wrapping_mul(10).wrapping_add(u64::from(digit));
                at += 1;
            }
            fraction = at - point;
        }
        _ => {}
    }
    let count = whole + fraction;
    if count == 0 || count > DIGITS_MAX || digits > EXACT_MAX {
        return None;
    }
    let number = digits as f64 / TENS[fraction];
    Some((FieldValue::Float(if is_negative { -number } else { number }), at))
}

/// Reads a short time: digits behind an optional minus; gives it and where it ends.
#[inline(always)]
pub(super) fn short_time(text: &[u8], start: usize) -> Option<(i64, usize)> {
    let is_negative = text.get(start) == Some(&b'-');
    let first = start + usize::from(is_negative);
    let mut at = first;
    let mut digits = 0_u64;
    while let Some(digit @ 0..=9) = text.get(at).map(|byte| byte.wrapping_sub(b'0')) {
        digits = digits.wrapping_mul(10).wrapping_add(u64::from(digit));
        at += 1;
    }
    let count = at - first;
    // A time of today in nanoseconds has nineteen digits; an `u64` holds as many of any kind.
    if count == 0 || count > DIGITS_MAX + 1 {
        return None;
    }
    let number = i64::try_from(digits).ok()?;
    Some((if is_negative { -number } else { number }, at))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn short_numbers_are_those_of_the_standard_library(text in "-?[0-9]{0,21}(\\.[0-9]{0,12})?") {
            if let Some((FieldValue::Float(number), end)) = short_number(text.as_bytes(), 0) {
                prop_assert_eq!(end, text.len());
                prop_assert_eq!(number.to_bits(), text.parse::<f64>().map_or(0, f64::to_bits));
            } else {
                let digits = text.bytes().filter(u8::is_ascii_digit).count();
                prop_assert!(digits == 0 || digits > 15, "{text}");
            }
        }

        #[test]
        fn short_integers_are_those_of_the_standard_library(text in "-?[0-9]{0,21}") {
            let with_suffix = format!("{text}i,");
            if let Some((FieldValue::Int(number), end)) = short_number(with_suffix.as_bytes(), 0) {
                prop_assert_eq!(end, text.len() + 1);
                prop_assert_eq!(Ok(number), text.parse::<i64>());
            } else {
                prop_assert!(text.len() > DIGITS_MAX || text.trim_start_matches('-').is_empty());
            }
            if let Some((number, end)) = short_time(text.as_bytes(), 0) {
                prop_assert_eq!(end, text.len());
                prop_assert_eq!(Ok(number), text.parse::<i64>());
            }
        }
    }
}
