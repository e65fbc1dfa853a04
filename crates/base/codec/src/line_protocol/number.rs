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

/// Reads a float as [`str::parse`] does, most of them faster.
#[inline]
pub fn parse_float(digits: &str) -> Option<f64> {
    match short_number(digits.as_bytes(), 0) {
        Some((FieldValue::Float(number), end)) if end == digits.len() => Some(number),
        _ => digits.parse().ok(),
    }
}

/// Reads a short time: digits behind an optional minus; gives it and where it ends.
#[inline(always)]
pub(crate) fn short_time(text: &[u8], start: usize) -> Option<(i64, usize)> {
    let is_negative = text.get(start) == Some(&b'-');
    let first = start + usize::from(is_negative);
    let mut at = first;
    let mut digits = 0_u64;
    while let Some(eight) = eight_digits(text, at) {
        digits = digits.wrapping_mul(100_000_000).wrapping_add(eight);
        at += size_of::<u64>();
    }
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

/// Reads eight digits at once, as the standard library does for floats; `None` when one of them is none.
#[inline(always)]
fn eight_digits(text: &[u8], at: usize) -> Option<u64> {
    /// The same byte eight times.
    const fn each(byte: u8) -> u64 {
        u64::from_le_bytes([byte; size_of::<u64>()])
    }
    let bytes: [u8; size_of::<u64>()] = text.get(at..at + size_of::<u64>())?.try_into().ok()?;
    let word = u64::from_le_bytes(bytes);
    let digits = word.wrapping_sub(each(b'0'));
    // The highest bit of a byte shows that it is below `0`, or so far above that it is beyond `9`.
    if (digits | word.wrapping_add(each(0x7f - b'9'))) & each(0x80) != 0 {
        return None;
    }
    // Pairs, then pairs of pairs, then the two halves; the first digit is in the lowest byte.
    let pairs = digits.wrapping_mul(10).wrapping_add(digits >> 8) & 0x00ff_00ff_00ff_00ff;
    let fours = pairs.wrapping_mul(100).wrapping_add(pairs >> 16) & 0x0000_ffff_0000_ffff;
    Some((fours.wrapping_mul(10_000).wrapping_add(fours >> 32)) & 0xffff_ffff)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn eight_digits_are_read_at_once(text in "[0-9]{8}", at in 0_usize..8, byte in 0_u8..=255) {
            prop_assert_eq!(eight_digits(text.as_bytes(), 0), text.parse().ok());
            prop_assert_eq!(eight_digits(text.as_bytes(), 1), None);
            let mut bytes = text.into_bytes();
            bytes[at] = byte;
            let number = std::str::from_utf8(&bytes).ok().filter(|_| byte.is_ascii_digit());
            prop_assert_eq!(eight_digits(&bytes, 0), number.and_then(|text| text.parse().ok()));
        }

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
        fn floats_are_those_of_the_standard_library(
            text in "[-+]?[0-9]{0,25}(\\.[0-9]{0,25})?(e-?[0-9]{1,3})?[iu]?|-?inf|nan|",
        ) {
            let expected = text.parse::<f64>().ok();
            prop_assert_eq!(parse_float(&text).map(f64::to_bits), expected.map(f64::to_bits));
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
