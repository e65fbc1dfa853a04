//! Avro's numbers, times and identifiers as JSON.
//!
//! | Avro | JSON |
//! |---|---|
//! | float, double | shortest number that reads back the same; `"NaN"`, `"Infinity"`, `"-Infinity"` |
//! | decimal | number with all its digits, as many behind the point as its scale |
//! | date | `"2026-02-07"` |
//! | time | `"10:30:00.5"` |
//! | timestamp | `"2026-02-07T10:30:00.5Z"`; without `Z` when it is local |
//! | duration | `"P1M2DT3.5S"` (ISO 8601; months, days and seconds do not mix) |
//! | uuid in 16 bytes | `"550e8400-e29b-41d4-a716-446655440000"` |
//!
//! Fractions of seconds have as many digits as are needed, like all times that Levada prints. Years before 0000
//! and behind 9999 have a sign, as in ISO 8601.

use levada_model::float;

/// Bytes of a decimal at most: some ten thousand digits. Ours: to print more takes noticeable time.
pub(crate) const DECIMAL_BYTES_MAX: usize = 4096;

/// Zeros that are written to reach the point; beyond, an exponent says it.
const ZEROS_MAX: usize = 64;

const SECONDS_PER_DAY: i64 = 86_400;

/// Appends a number, or the name of what is none.
///
/// The names are those of Avro's own JSON form in Java.
pub(crate) fn push_float(number: f32, out: &mut Vec<u8>) {
    if number.is_finite() {
        float::encode(number, out);
    } else {
        push_not_finite(number.into(), out);
    }
}

/// See [`push_float`].
pub(crate) fn push_double(number: f64, out: &mut Vec<u8>) {
    if number.is_finite() {
        float::encode(number, out);
    } else {
        push_not_finite(number, out);
    }
}

fn push_not_finite(number: f64, out: &mut Vec<u8>) {
    let name: &[u8] = if number.is_nan() {
        b"\"NaN\""
    } else if number > 0.0 {
        b"\"Infinity\""
    } else {
        b"\"-Infinity\""
    };
    out.extend_from_slice(name);
}

/// Appends an integer of two's complement, divided by 10^scale, as a number with all its digits.
///
/// Gives false, and appends nothing, when it is longer than [`DECIMAL_BYTES_MAX`].
pub(crate) fn push_decimal(bytes: &[u8], scale: i64, out: &mut Vec<u8>) -> bool {
    if bytes.len() > DECIMAL_BYTES_MAX {
        return false;
    }
    let mut buffer = itoa::Buffer::new();
    if bytes.len() <= 16 {
        let sign = if bytes.first().is_some_and(|byte| byte & 0x80 != 0) { 0xff } else { 0 };
        let mut wide = [sign; 16];
        wide[16 - bytes.len()..].copy_from_slice(bytes);
        let number = i128::from_be_bytes(wide);
        push_scaled(number < 0, buffer.format(number.unsigned_abs()).as_bytes(), scale, out);
    } else {
        let (is_negative, digits) = long_digits(bytes);
        push_scaled(is_negative, &digits, scale, out);
    }
    true
}

/// Gives the decimal digits of a long integer of two's complement.
fn long_digits(bytes: &[u8]) -> (bool, Vec<u8>) {
    /// The largest power of ten in 64 bits that leaves a carry of 32 bits room.
    const CHUNK: u64 = 1_000_000_000;
    let is_negative = bytes[0] & 0x80 != 0;
    // The magnitude in words, the least significant first.
    let mut words: Vec<u32> = Vec::with_capacity(bytes.len() / 4 + 1);
    let mut carry = u64::from(is_negative);
    for part in bytes.rchunks(4) {
        let mut word = [if is_negative { 0xff } else { 0 }; 4];
        word[4 - part.len()..].copy_from_slice(part);
        let mut word = u64::from(u32::from_be_bytes(word));
        if is_negative {
            word = u64::from(!(word as u32)) + carry;
            carry = word >> 32;
        }
        words.push(word as u32);
    }
    if carry > 0 && is_negative {
        words.push(carry as u32);
    }
    // Nine digits at a time, the last first.
    let mut digits = Vec::with_capacity(bytes.len() * 5 / 2 + 9);
    while !words.is_empty() {
        let mut rest = 0u64;
        for word in words.iter_mut().rev() {
            let value = rest << 32 | u64::from(*word);
            *word = (value / CHUNK) as u32;
            rest = value % CHUNK;
        }
        while words.last() == Some(&0) {
            words.pop();
        }
        for _ in 0..9 {
            digits.push(b'0' + (rest % 10) as u8);
            rest /= 10;
        }
    }
    while digits.len() > 1 && digits.last() == Some(&b'0') {
        digits.pop();
    }
    digits.reverse();
    (is_negative, digits)
}

/// Appends digits with the point where the scale puts it.
fn push_scaled(is_negative: bool, digits: &[u8], scale: i64, out: &mut Vec<u8>) {
    if is_negative {
        out.push(b'-');
    }
    let point = digits.len() as i64 - scale;
    if scale == 0 {
        out.extend_from_slice(digits);
    } else if scale > 0 && point > 0 {
        out.extend_from_slice(&digits[..point as usize]);
        out.push(b'.');
        out.extend_from_slice(&digits[point as usize..]);
    } else if scale > 0 && point >= -(ZEROS_MAX as i64) {
        out.extend_from_slice(b"0.");
        out.resize(out.len() + point.unsigned_abs() as usize, b'0');
        out.extend_from_slice(digits);
    } else {
        out.extend_from_slice(digits);
        out.push(b'e');
        out.extend_from_slice(itoa::Buffer::new().format(-scale).as_bytes());
    }
}

/// Appends a date, without quotes; `days` counts from 1970-01-01.
pub(crate) fn push_date(days: i64, out: &mut Vec<u8>) {
    // From a day in March of a 400-year cycle, so that the leap day comes last.
    let shifted = days + 719_468;
    let era = shifted.div_euclid(146_097);
    let day_of_era = shifted.rem_euclid(146_097);
    let year_of_era =
        (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = if month_from_march < 10 { month_from_march + 3 } else { month_from_march - 9 };
    let year = era * 400 + year_of_era + i64::from(month <= 2);
    if year < 0 {
        out.push(b'-');
    } else if year > 9999 {
        out.push(b'+');
    }
    push_padded(year.unsigned_abs(), 4, out);
    out.push(b'-');
    push_padded(month as u64, 2, out);
    out.push(b'-');
    push_padded(day as u64, 2, out);
}

/// Appends a time of a day; gives false, and appends nothing, when there is no such time.
pub(crate) fn push_time(time: i64, per_second: u32, out: &mut Vec<u8>) -> bool {
    let day = SECONDS_PER_DAY * i64::from(per_second);
    // ISO 8601 knows 24:00:00, and PostgreSQL has it.
    if !(0..=day).contains(&time) {
        return false;
    }
    out.push(b'"');
    push_clock(time, per_second, out);
    out.push(b'"');
    true
}

/// Appends a point in time.
pub(crate) fn push_timestamp(time: i64, per_second: u32, is_local: bool, out: &mut Vec<u8>) {
    let day = SECONDS_PER_DAY * i64::from(per_second);
    out.push(b'"');
    push_date(time.div_euclid(day), out);
    out.push(b'T');
    push_clock(time.rem_euclid(day), per_second, out);
    if !is_local {
        out.push(b'Z');
    }
    out.push(b'"');
}

/// Appends hours, minutes, seconds and their fraction, without quotes.
fn push_clock(time: i64, per_second: u32, out: &mut Vec<u8>) {
    let seconds = (time / i64::from(per_second)) as u64;
    for (value, mark) in [(seconds / 3600, b':'), (seconds / 60 % 60, b':'), (seconds % 60, 0)] {
        push_padded(value, 2, out);
        if mark != 0 {
            out.push(mark);
        }
    }
    push_fraction((time % i64::from(per_second)) as u64, per_second, out);
}

/// Appends a fraction of a second, if there is one, without zeros at its end.
fn push_fraction(fraction: u64, per_second: u32, out: &mut Vec<u8>) {
    if fraction == 0 {
        return;
    }
    out.push(b'.');
    push_padded(fraction, per_second.ilog10() as usize, out);
    while out.last() == Some(&b'0') {
        out.pop();
    }
}

/// Appends months, days and milliseconds, four bytes each, the least significant first.
pub(crate) fn push_duration(bytes: &[u8; 12], out: &mut Vec<u8>) {
    let word = |at: usize| {
        let bytes = bytes[at..at + 4].try_into().expect("the slice has four bytes");
        u64::from(u32::from_le_bytes(bytes))
    };
    let (months, days, millis) = (word(0), word(4), word(8));
    out.extend_from_slice(b"\"P");
    for (value, unit) in [(months, b'M'), (days, b'D')] {
        if value > 0 {
            push_padded(value, 1, out);
            out.push(unit);
        }
    }
    if millis > 0 || months == 0 && days == 0 {
        out.push(b'T');
        push_padded(millis / 1000, 1, out);
        push_fraction(millis % 1000, 1000, out);
        out.push(b'S');
    }
    out.push(b'"');
}

/// Appends a UUID.
pub(crate) fn push_uuid(bytes: &[u8; 16], out: &mut Vec<u8>) {
    const HEX: &[u8; 16] = b"0123456789abcdef";
    out.push(b'"');
    for (index, byte) in bytes.iter().enumerate() {
        if matches!(index, 4 | 6 | 8 | 10) {
            out.push(b'-');
        }
        out.push(HEX[(byte >> 4) as usize]);
        out.push(HEX[(byte & 15) as usize]);
    }
    out.push(b'"');
}

/// Appends a number with zeros before it up to a width.
fn push_padded(value: u64, width: usize, out: &mut Vec<u8>) {
    let mut buffer = itoa::Buffer::new();
    let digits = buffer.format(value).as_bytes();
    out.resize(out.len() + width.saturating_sub(digits.len()), b'0');
    out.extend_from_slice(digits);
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use super::*;

    fn shown(push: impl FnOnce(&mut Vec<u8>)) -> String {
        let mut out = Vec::new();
        push(&mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn dates_and_times_are_those_of_the_calendar() {
        for (days, expected) in [
            (0, "1970-01-01"),
            (-1, "1969-12-31"),
            (20_491, "2026-02-07"),
            (11_016, "2000-02-29"),
            (-719_528, "0000-01-01"),
            (-719_529, "-0001-12-31"),
            (2_932_896, "9999-12-31"),
            (2_932_897, "+10000-01-01"),
            (i64::from(i32::MAX), "+5881580-07-11"),
            (i64::from(i32::MIN), "-5877641-06-23"),
        ] {
            assert_eq!(shown(|out| push_date(days, out)), expected);
        }
        let mut random = levada_testkit_random();
        for _ in 0..2000 {
            let seconds = (random() % 400_000_000_000) as i64 - 200_000_000_000;
            let time = jiff::Timestamp::from_second(seconds).unwrap();
            let text = shown(|out| push_timestamp(seconds * 1000, 1000, false, out));
            let year = time.to_string();
            if !year.starts_with('-') {
                assert_eq!(text, format!("\"{time}\""));
            }
        }
        for (time, per_second, expected) in [
            (0, 1000, "\"00:00:00\""),
            (86_399_999, 1000, "\"23:59:59.999\""),
            (86_400_000, 1000, "\"24:00:00\""),
            (1_500_000, 1_000_000, "\"00:00:01.5\""),
            (1, 1_000_000, "\"00:00:00.000001\""),
        ] {
            assert_eq!(shown(|out| assert!(push_time(time, per_second, out))), expected);
        }
        assert!(!push_time(-1, 1000, &mut Vec::new()));
        assert!(!push_time(86_400_001, 1000, &mut Vec::new()));
        for (time, per_second, is_local, expected) in [
            (1_770_460_200_500, 1000, false, "\"2026-02-07T10:30:00.5Z\""),
            (-1, 1_000_000_000, true, "\"1969-12-31T23:59:59.999999999\""),
            (i64::MIN, 1_000_000, false, "\"-290308-12-21T19:59:05.224192Z\""),
            (i64::MAX, 1000, true, "\"+292278994-08-17T07:12:55.807\""),
        ] {
            assert_eq!(shown(|out| push_timestamp(time, per_second, is_local, out)), expected);
        }
    }

    fn levada_testkit_random() -> impl FnMut() -> u64 {
        let mut state = 7u64;
        move || {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            state >> 16
        }
    }

    #[test]
    fn decimals_keep_every_digit() {
        for (bytes, scale, expected) in [
            (&[][..], 0, "0"),
            (&[0][..], 2, "0.00"),
            (&[0x04, 0xd2], 2, "12.34"),
            (&[0xff], 3, "-0.001"),
            (&[0x80], 0, "-128"),
            (&[5], -3, "5e3"),
            (&[5], 100, "5e-100"),
            (&[0x80; 1], 1, "-12.8"),
        ] {
            assert_eq!(shown(|out| assert!(push_decimal(bytes, scale, out))), expected);
        }
        let mut min = [0u8; 17];
        min[0] = 0x80;
        // -(2^135)
        let expected = "-43556142965880123323311949751266331066368";
        assert_eq!(shown(|out| assert!(push_decimal(&min, 0, out))), expected);
        assert_eq!(shown(|out| assert!(push_decimal(&[0xff; 40], 1, out))), "-0.1");
        assert_eq!(shown(|out| assert!(push_decimal(&[0; 40], 1, out))), "0.0");
        assert!(!push_decimal(&[1; DECIMAL_BYTES_MAX + 1], 0, &mut Vec::new()));
    }

    #[test]
    fn numbers_that_are_none_have_names() {
        for (number, expected) in [
            (0.1, "0.1"),
            (1e300, "1e300"),
            (-0.0, "-0.0"),
            (f64::NAN, "\"NaN\""),
            (f64::INFINITY, "\"Infinity\""),
            (f64::NEG_INFINITY, "\"-Infinity\""),
        ] {
            assert_eq!(shown(|out| push_double(number, out)), expected);
        }
        assert_eq!(shown(|out| push_float(0.1, out)), "0.1");
    }

    #[test]
    fn durations_keep_their_parts_apart() {
        let duration = |months: u32, days: u32, millis: u32| {
            let mut bytes = [0; 12];
            bytes[..4].copy_from_slice(&months.to_le_bytes());
            bytes[4..8].copy_from_slice(&days.to_le_bytes());
            bytes[8..].copy_from_slice(&millis.to_le_bytes());
            shown(|out| push_duration(&bytes, out))
        };
        assert_eq!(duration(0, 0, 0), "\"PT0S\"");
        assert_eq!(duration(14, 40, 90_500), "\"P14M40DT90.5S\"");
        assert_eq!(duration(0, 1, 0), "\"P1D\"");
        assert_eq!(duration(u32::MAX, 0, 1), "\"P4294967295MT0.001S\"");
    }
}
