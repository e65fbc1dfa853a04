//! Points in time.

use std::fmt;

/// A point in time.
///
/// - Units: nanoseconds UTC since 1970-01-01, from the year 1677 to 2262.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Timestamp(pub i64);

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
}
