//! Durations: `1m30s`, `2.5s`, `1.5µs`.

/// Nanoseconds of a second.
pub const SECOND: i64 = 1_000_000_000;
/// Nanoseconds of a minute.
pub const MINUTE: i64 = 60 * SECOND;
/// Nanoseconds of an hour.
pub const HOUR: i64 = 60 * MINUTE;

/// Writes a duration of nanoseconds.
///
/// Hours are the largest unit; below a second the unit is the largest that keeps a digit before the
/// point.
pub fn print(out: &mut String, duration: i64) {
    if duration == 0 {
        return out.push_str("0s");
    }
    if duration < 0 {
        out.push('-');
    }
    let size = duration.unsigned_abs();
    let mut buffer = itoa::Buffer::new();
    if size < SECOND as u64 {
        let (unit, name) = match size {
            0..1_000 => (1, "ns"),
            1_000..1_000_000 => (1_000, "µs"),
            _ => (1_000_000, "ms"),
        };
        out.push_str(buffer.format(size / unit));
        push_fraction(out, size % unit, unit);
        return out.push_str(name);
    }
    let (hour, minute, second) = (HOUR as u64, MINUTE as u64, SECOND as u64);
    if size >= hour {
        out.push_str(buffer.format(size / hour));
        out.push('h');
    }
    if size >= minute {
        out.push_str(buffer.format(size % hour / minute));
        out.push('m');
    }
    out.push_str(buffer.format(size % minute / second));
    push_fraction(out, size % second, second);
    out.push('s');
}

/// Gives the text of a duration.
pub fn text(duration: i64) -> String {
    let mut out = String::new();
    print(&mut out, duration);
    out
}

/// Rounds toward zero to a multiple of `unit`; a unit that is not positive changes nothing.
pub fn truncate(duration: i64, unit: i64) -> i64 {
    if unit <= 0 { duration } else { duration - duration % unit }
}

/// Rounds to the nearest multiple of `unit`, halves away from zero; saturates.
pub fn round(duration: i64, unit: i64) -> i64 {
    if unit <= 0 {
        return duration;
    }
    let rest = duration % unit;
    let below = duration - rest;
    let doubled = i128::from(rest) * 2;
    if doubled >= i128::from(unit) {
        below.saturating_add(unit)
    } else if -doubled >= i128::from(unit) {
        below.saturating_sub(unit)
    } else {
        below
    }
}

/// Gives the duration in a unit, with its fraction, without losing digits of the whole part.
pub fn in_unit(duration: i64, unit: i64) -> f64 {
    (duration / unit) as f64 + (duration % unit) as f64 / unit as f64
}

fn push_fraction(out: &mut String, mut rest: u64, mut unit: u64) {
    if rest == 0 {
        return;
    }
    out.push('.');
    while rest > 0 {
        unit /= 10;
        out.push(char::from(b'0' + (rest / unit) as u8));
        rest %= unit;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts() {
        for (duration, expected) in [
            (0, "0s"),
            (1, "1ns"),
            (1_500, "1.5µs"),
            (2_000_000, "2ms"),
            (2_500_000_000, "2.5s"),
            (90 * SECOND, "1m30s"),
            (HOUR, "1h0m0s"),
            (-90 * SECOND, "-1m30s"),
            (100 * HOUR + 1, "100h0m0.000000001s"),
            (i64::MAX, "2562047h47m16.854775807s"),
            (i64::MIN, "-2562047h47m16.854775808s"),
        ] {
            assert_eq!(text(duration), expected);
        }
    }

    #[test]
    fn rounding() {
        assert_eq!(round(1_500, 1_000), 2_000);
        assert_eq!(round(-1_500, 1_000), -2_000);
        assert_eq!(round(1_499, 1_000), 1_000);
        assert_eq!(round(i64::MAX, HOUR), i64::MAX);
        assert_eq!(round(7, 0), 7);
        assert_eq!(truncate(-1_999, 1_000), -1_000);
        assert!((in_unit(90 * SECOND, MINUTE) - 1.5).abs() < f64::EPSILON);
    }
}
