//! Points in time.

use std::fmt;

/// A point in time.
///
/// - Units: nanoseconds UTC since 1970-01-01, from the year 1677 to 2262.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Timestamp(pub i64);

/// Rounds `time` down to a multiple of `every`.
///
/// Shared by windows that align, `truncate`, `sample` and the schedules of batch tasks, so that they always agree.
///
/// - Units: nanoseconds; an `every` that is not positive leaves the time as it is.
/// - Origin: multiples count from 0001-01-01 (a Monday), not from the Unix epoch, so weeks start on Mondays.
/// - Bounds: a multiple before the first time there is gives the first time there is.
/// - Source: Go's `Time.Truncate`.
pub fn truncate(time: Timestamp, every: i64) -> Timestamp {
    if every <= 0 {
        return time;
    }
    Timestamp(time.0.saturating_sub(past_multiple(time, every)))
}

/// Rounds `time` to the nearest multiple of `every`, the half up.
///
/// - Units, origin, bounds: as for [`truncate`].
/// - Source: Go's `Time.Round`.
pub fn round(time: Timestamp, every: i64) -> Timestamp {
    if every <= 0 {
        return time;
    }
    let past = past_multiple(time, every);
    let missing = every - past;
    if past < missing {
        Timestamp(time.0.saturating_sub(past))
    } else {
        Timestamp(time.0.saturating_add(missing))
    }
}

/// Gives how far `time` lies past the last multiple of `every`, counted from the year 1.
fn past_multiple(time: Timestamp, every: i64) -> i64 {
    let since_year_one = i128::from(time.0) + NANOS_BEFORE_1970;
    since_year_one.rem_euclid(i128::from(every)) as i64
}

/// From 0001-01-01 to 1970-01-01: 62,135,596,800 seconds.
const NANOS_BEFORE_1970: i128 = 62_135_596_800 * 1_000_000_000;

// === impl Timestamp ===

impl Timestamp {
    /// Gives the time as a jiff timestamp, for civil time and formatting.
    pub fn to_jiff(self) -> jiff::Timestamp {
        jiff::Timestamp::from_nanosecond(self.0 as i128)
            .expect("every i64 of nanoseconds lies within jiff's range")
    }

    /// Gives RFC 3339 UTC with as many digits of the fraction as are needed, e.g. `2026-02-07T10:30:00.5Z`.
    ///
    /// Source: Go's `time.RFC3339Nano`, which drops trailing zeros.
    pub fn rfc3339_nano(self) -> String {
        self.to_jiff().to_string()
    }

    /// Gives RFC 3339 UTC without a fraction.
    pub fn rfc3339(self) -> String {
        let seconds = self.0.div_euclid(1_000_000_000);
        Timestamp(seconds.saturating_mul(1_000_000_000)).to_jiff().to_string()
    }
}

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.to_jiff())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_are_rfc3339() {
        let time = Timestamp(1_770_460_200_500_000_000);
        assert_eq!(time.rfc3339_nano(), "2026-02-07T10:30:00.5Z");
        assert_eq!(time.rfc3339(), "2026-02-07T10:30:00Z");
        assert_eq!(Timestamp(-1).rfc3339(), "1969-12-31T23:59:59Z");
        assert_eq!(Timestamp(i64::MAX).rfc3339(), "2262-04-11T23:47:16Z");
        assert!(!Timestamp(i64::MIN).rfc3339_nano().is_empty());
    }

    const SECOND: i64 = 1_000_000_000;
    const DAY: i64 = 86_400 * SECOND;

    /// (time, every, truncated, rounded), in seconds.
    const MULTIPLES: &[(i64, i64, i64, i64)] = &[
        (125, 10, 120, 130),
        (124, 10, 120, 120),
        (120, 10, 120, 120),
        (-1, 10, -10, 0),
        (-5, 10, -10, 0),
        (-6, 10, -10, -10),
        (5, 0, 5, 5),
        (5, -10, 5, 5),
        // 62135596800 mod 7 is 4, mod 660 is 420.
        (0, 7, -4, 3),
        (5, 7, 3, 3),
        (7, 7, 3, 10),
        (0, 660, -420, 240),
    ];

    #[test]
    fn multiples_count_from_the_year_one() {
        for (time, every, down, near) in MULTIPLES {
            let at = Timestamp(time * SECOND);
            assert_eq!(truncate(at, every * SECOND).0, down * SECOND, "truncate {time} {every}");
            assert_eq!(round(at, every * SECOND).0, near * SECOND, "round {time} {every}");
        }
    }

    #[test]
    fn weeks_start_on_mondays() {
        // 1970-01-01 was a Thursday, so its week began three days before.
        assert_eq!(truncate(Timestamp(0), 7 * DAY).0, -3 * DAY);
        // Half a week after Monday 00:00 is Thursday 12:00.
        assert_eq!(round(Timestamp(DAY / 2), 7 * DAY).0, 4 * DAY);
        assert_eq!(round(Timestamp(DAY / 2 - 1), 7 * DAY).0, -3 * DAY);
    }

    #[test]
    fn both_origins_agree_on_divisors_of_a_day() {
        for every in [1, 15, 60, 300, 3_600, 86_400] {
            let every = every * SECOND;
            for time in [0, 1, 86_399 * SECOND, 1_770_460_200_500_000_000, -1] {
                assert_eq!(truncate(Timestamp(time), every).0, time.div_euclid(every) * every);
            }
        }
    }

    #[test]
    fn the_ends_of_time_do_not_overflow() {
        for every in [1, 2, SECOND, i64::MAX] {
            assert_eq!(truncate(Timestamp(i64::MIN), every), Timestamp(i64::MIN), "{every}");
            assert!(round(Timestamp(i64::MAX), every).0 > i64::MAX - SECOND || every > SECOND);
        }
    }
}
