//! Units of time in bodies.

use levada_model::Timestamp;

use crate::line_protocol::Precision;

/// The unit of the times in a body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unit {
    /// The unit that the sender named.
    Fixed(Precision),
    /// Each time says by its size what it counts: below 1e10 seconds, below 1e13 milliseconds, below 1e16
    /// microseconds, else nanoseconds.
    Dynamic,
}

/// The first numbers that are no longer taken for seconds, milliseconds and microseconds.
const SECONDS_END: i64 = 10_000_000_000;
const MILLIS_END: i64 = SECONDS_END * 1_000;
const MICROS_END: i64 = MILLIS_END * 1_000;

// === impl Unit ===

impl Unit {
    /// Gives the unit that a query parameter names: without one it is guessed, one that is unknown means nanoseconds.
    pub fn of_parameter(precision: Option<&str>) -> Self {
        precision.map_or(Unit::Dynamic, |name| Unit::Fixed(Precision::of(name)))
    }

    /// Gives a time; nothing when nanoseconds cannot count it.
    ///
    /// Differs: upstream's numbers overflow and become other times (B46, B47).
    #[inline]
    pub fn time(self, number: i64) -> Option<Timestamp> {
        let precision = match self {
            Unit::Fixed(precision) => precision,
            Unit::Dynamic if number < SECONDS_END => Precision::Seconds,
            Unit::Dynamic if number < MILLIS_END => Precision::Milliseconds,
            Unit::Dynamic if number < MICROS_END => Precision::Microseconds,
            Unit::Dynamic => Precision::Nanoseconds,
        };
        number.checked_mul(precision.nanoseconds()).map(Timestamp)
    }

    /// Says whether a number is the time itself, so that it need not be written anew.
    #[inline]
    pub fn is_nanoseconds(self, number: i64) -> bool {
        match self {
            Unit::Fixed(precision) => precision == Precision::Nanoseconds,
            Unit::Dynamic => number >= MICROS_END,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn units_are_guessed_by_size_and_never_overflow() {
        for (number, expected) in [
            (1_716_544_492, Some(1_716_544_492_000_000_000)),
            (1_716_544_492_000, Some(1_716_544_492_000_000_000)),
            (1_716_544_492_000_000, Some(1_716_544_492_000_000_000)),
            (1_716_544_492_000_000_000, Some(1_716_544_492_000_000_000)),
            (5, Some(5_000_000_000)),
            (9_223_372_036, Some(9_223_372_036_000_000_000)),
            (9_223_372_037, None),
            (9_999_999_999, None),
            (10_000_000_000, Some(10_000_000_000_000_000)),
            (9_999_999_999_999, None),
            (10_000_000_000_000, Some(10_000_000_000_000_000)),
            (9_999_999_999_999_999, None),
            (10_000_000_000_000_000, Some(10_000_000_000_000_000)),
        ] {
            assert_eq!(Unit::Dynamic.time(number), expected.map(Timestamp), "{number}");
        }
    }

    #[test]
    fn a_parameter_names_a_unit() {
        for (name, unit) in [
            (None, Unit::Dynamic),
            (Some("s"), Unit::Fixed(Precision::Seconds)),
            (Some("ms"), Unit::Fixed(Precision::Milliseconds)),
            (Some("h"), Unit::Fixed(Precision::Hours)),
            (Some("dyn"), Unit::Fixed(Precision::Nanoseconds)),
            (Some(""), Unit::Fixed(Precision::Nanoseconds)),
        ] {
            assert_eq!(Unit::of_parameter(name), unit, "{name:?}");
        }
    }
}
