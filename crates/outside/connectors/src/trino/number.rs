//! Numbers as text, without rounding.

/// Digits and exponents that are followed; anything larger is no number of a column.
const EXPONENT_MAX: i64 = 400;
const LENGTH_MAX: usize = 400;

/// A decimal number, taken apart: `±digits × 10^exponent`.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Number<'t> {
    is_negative: bool,
    whole: &'t str,
    fraction: &'t str,
    exponent: i64,
}

// === impl Number ===

impl<'t> Number<'t> {
    /// Reads `-12.50e3`; `None`: the text is no decimal number, or one that is absurdly long.
    pub(crate) fn parse(text: &'t str) -> Option<Number<'t>> {
        (text.len() <= LENGTH_MAX).then_some(())?;
        let is_negative = text.starts_with('-');
        let rest = text.strip_prefix(['-', '+']).unwrap_or(text);
        let (mantissa, exponent) = match rest.find(['e', 'E']) {
            Some(at) => (&rest[..at], rest[at + 1..].parse::<i64>().ok()?),
            None => (rest, 0),
        };
        let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
        let is_digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
        let is_number = is_digits(whole)
            && is_digits(fraction)
            && !(whole.is_empty() && fraction.is_empty())
            && exponent.abs() <= EXPONENT_MAX;
        is_number.then_some(Number { is_negative, whole, fraction, exponent })
    }

    /// Appends it with exactly `scale` digits behind the point.
    ///
    /// Gives how many digits stand before the point; `None`: it has more digits behind it, and nothing was appended.
    pub(crate) fn push_fixed(self, scale: usize, out: &mut Vec<u8>) -> Option<usize> {
        let digits = || self.whole.bytes().chain(self.fraction.bytes());
        // The point stands behind so many of the digits.
        let point = self.whole.len() as i64 + self.exponent;
        let count = (self.whole.len() + self.fraction.len()) as i64;
        let is_zero = digits().all(|digit| digit == b'0');
        let below = point + scale as i64;
        let is_exact = digits().skip(below.max(0) as usize).all(|digit| digit == b'0');
        if !is_zero && (!is_exact || (below < 0)) {
            return None;
        }
        if self.is_negative && !is_zero {
            out.push(b'-');
        }
        let digit = |at: i64| {
            if at < 0 || at >= count { b'0' } else { digits().nth(at as usize).unwrap_or(b'0') }
        };
        let first = (0..point.max(0)).find(|at| digit(*at) != b'0').unwrap_or(point.max(0));
        let before = if is_zero { 0 } else { (point.max(0) - first) as usize };
        if before == 0 {
            out.push(b'0');
        } else {
            (first..point).for_each(|at| out.push(digit(at)));
        }
        if scale > 0 {
            out.push(b'.');
            (point..point + scale as i64)
                .for_each(|at| out.push(if is_zero { b'0' } else { digit(at) }));
        }
        Some(before)
    }
}

/// Gives a number times `10^scale`, cut off behind the point.
pub(crate) fn scaled(text: &str, scale: i64) -> Option<i128> {
    let number = Number::parse(text)?;
    let point = number.whole.len() as i64 + number.exponent + scale;
    let digits = number.whole.bytes().chain(number.fraction.bytes());
    let mut value: i128 = 0;
    let mut taken = 0;
    for digit in digits.take(point.max(0) as usize) {
        value = value.checked_mul(10)?.checked_add(i128::from(digit - b'0'))?;
        taken += 1;
    }
    if value != 0 {
        for _ in taken..point.max(0) {
            value = value.checked_mul(10)?;
        }
    }
    Some(if number.is_negative { -value } else { value })
}

/// Gives a whole number, when it is one exactly: `12`, `12.0` and `1.2e1`.
pub(crate) fn integer(text: &str) -> Option<i64> {
    // Nearly all are plain.
    let is_plain = text.len() <= 20 && !text.starts_with('+');
    if is_plain && let Ok(number) = text.parse() {
        return Some(number);
    }
    let mut digits = Vec::new();
    Number::parse(text)?.push_fixed(0, &mut digits)?;
    std::str::from_utf8(&digits).ok()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whole_numbers_are_exact_or_none() {
        for (text, expected) in [
            ("12", Some(12)),
            ("-12.0", Some(-12)),
            ("1.2e1", Some(12)),
            ("120e-1", Some(12)),
            ("-0.0", Some(0)),
            ("0e400", Some(0)),
            ("9223372036854775807", Some(i64::MAX)),
            ("-9223372036854775808", Some(i64::MIN)),
            ("9223372036854775808", None),
            ("9223372036854775807.5", None),
            ("12.5", None),
            ("1e19", None),
            ("1e-1", None),
            ("", None),
            ("-", None),
            (".", None),
            ("0x10", None),
            ("1 2", None),
            ("NaN", None),
            ("1e999999999999", None),
        ] {
            assert_eq!(integer(text), expected, "{text}");
        }
    }

    #[test]
    fn decimals_keep_every_digit() {
        let fixed = |text: &str, scale| {
            let mut out = Vec::new();
            let before = Number::parse(text)?.push_fixed(scale, &mut out)?;
            Some((String::from_utf8(out).ok()?, before))
        };
        for (text, scale, expected) in [
            ("1.5", 2, Some(("1.50", 1))),
            ("-0.05", 2, Some(("-0.05", 0))),
            ("5e-2", 2, Some(("0.05", 0))),
            ("1.5e3", 0, Some(("1500", 4))),
            ("00012.00", 1, Some(("12.0", 2))),
            ("0", 3, Some(("0.000", 0))),
            ("-0.00", 1, Some(("0.0", 0))),
            ("0e-50", 1, Some(("0.0", 0))),
            ("1.005", 2, None),
            ("1e-3", 2, None),
            ("1e-30", 2, None),
            ("123456789012345678901234567.0123456789", 10, {
                Some(("123456789012345678901234567.0123456789", 27))
            }),
        ] {
            let expected = expected.map(|(text, before)| (text.to_owned(), before));
            assert_eq!(fixed(text, scale), expected, "{text}");
        }
    }
}
