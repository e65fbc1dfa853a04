//! Durations as Go writes them: `1h30m`, `500ms`, `10s`.

use std::borrow::Cow;
use std::fmt;
use std::str::FromStr;
use std::time;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::value::MapAccessDeserializer;
use serde::de::{Error as _, MapAccess, Unexpected, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::shown;

/// The longest duration: 2^63 - 1 nanoseconds, some 292 years, as in Go.
const NANOS_MAX: u64 = i64::MAX as u64;

/// A length of time, never negative.
///
/// Text form: one or more numbers with a unit, which may have a fraction: `1h30m`, `1.5h`, `500ms`, or `0`. Units are `ns`, `us` (or
/// `µs`), `ms`, `s`, `m`, `h` as in Go, and `d` for 24 hours, which Go does not know. [`Display`](fmt::Display) gives Go's form
/// (`1h30m0s`), which Go and this type read back.
#[derive(Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Duration(time::Duration);

/// Says why a text is not a duration.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("invalid duration `{text}`: {reason}; for example `10s`, `500ms` or `1h30m`")]
pub struct DurationError {
    text: String,
    reason: &'static str,
}

// === impl Duration ===

impl Duration {
    /// Makes a duration of `seconds` seconds; the longest duration when that is longer.
    pub const fn from_secs(seconds: u64) -> Self {
        Self::new(time::Duration::from_secs(seconds))
    }

    /// Makes a duration of `millis` milliseconds; the longest duration when that is longer.
    pub const fn from_millis(millis: u64) -> Self {
        Self::new(time::Duration::from_millis(millis))
    }

    /// Wraps a duration of the standard library; cut to the longest duration.
    pub const fn new(duration: time::Duration) -> Self {
        if duration.as_nanos() > NANOS_MAX as u128 {
            return Self(time::Duration::from_nanos(NANOS_MAX));
        }
        Self(duration)
    }

    /// Gives the duration of the standard library.
    pub const fn get(self) -> time::Duration {
        self.0
    }

    /// Says whether it is no time at all.
    pub const fn is_zero(self) -> bool {
        self.0.is_zero()
    }
}

impl FromStr for Duration {
    type Err = DurationError;

    fn from_str(text: &str) -> Result<Self, DurationError> {
        parse(text).map(Self).map_err(|reason| DurationError { text: shown(text), reason })
    }
}

fn parse(text: &str) -> Result<time::Duration, &'static str> {
    if text.starts_with('-') {
        return Err("a duration is not negative");
    }
    let mut rest = text.strip_prefix('+').unwrap_or(text);
    if rest.is_empty() {
        return Err("it is empty");
    }
    if rest == "0" {
        return Ok(time::Duration::ZERO);
    }
    let mut nanos = 0_u128;
    while !rest.is_empty() {
        let (whole, after) = split_digits(rest);
        let (fraction, after) = match after.strip_prefix('.') {
            Some(after) => split_digits(after),
            None => ("", after),
        };
        if whole.is_empty() && fraction.is_empty() {
            return Err("a number is missing");
        }
        let end = after
            .find(|character: char| character == '.' || character.is_ascii_digit())
            .unwrap_or(after.len());
        let (unit, after) = after.split_at(end);
        let unit = unit_nanos(unit)?;
        let whole: u128 = if whole.is_empty() { 0 } else { whole.parse().map_err(|_| TOO_LONG)? };
        nanos = whole
            .checked_mul(unit.into())
            .and_then(|part| nanos.checked_add(part))
            .ok_or(TOO_LONG)?;
        nanos += fraction_nanos(fraction, unit);
        if nanos > u128::from(NANOS_MAX) {
            return Err(TOO_LONG);
        }
        rest = after;
    }
    u64::try_from(nanos).map(time::Duration::from_nanos).map_err(|_| TOO_LONG)
}

const TOO_LONG: &str = "it is longer than 292 years";

fn split_digits(text: &str) -> (&str, &str) {
    text.split_at(text.find(|character: char| !character.is_ascii_digit()).unwrap_or(text.len()))
}

/// Gives the nanoseconds of a fraction of a unit, with the rounding of Go.
///
/// Source: Go `time.ParseDuration`: digits that do not fit 63 bits are left out, the product is a float, cut to whole nanoseconds.
fn fraction_nanos(digits: &str, unit: u64) -> u128 {
    let (mut number, mut scale) = (0_u64, 1.0_f64);
    for digit in digits.bytes() {
        if number > NANOS_MAX / 10 {
            break;
        }
        number = number * 10 + u64::from(digit - b'0');
        scale *= 10.0;
    }
    (number as f64 * (unit as f64 / scale)) as u128
}

fn unit_nanos(unit: &str) -> Result<u64, &'static str> {
    match unit {
        "ns" => Ok(1),
        // The micro sign and the Greek letter, as Go accepts both.
        "us" | "\u{b5}s" | "\u{3bc}s" => Ok(1_000),
        "ms" => Ok(1_000_000),
        "s" => Ok(1_000_000_000),
        "m" => Ok(60_000_000_000),
        "h" => Ok(3_600_000_000_000),
        "d" => Ok(86_400_000_000_000),
        "" => Err("a unit is missing (`ns`, `us`, `ms`, `s`, `m`, `h`, `d`)"),
        _ => Err("the unit is not one of `ns`, `us`, `ms`, `s`, `m`, `h`, `d`"),
    }
}

impl fmt::Display for Duration {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.pad(&text(self.0))
    }
}

impl fmt::Debug for Duration {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, formatter)
    }
}

/// Source: Go `time.Duration.String`: below a second the largest unit that gives at least 1, else hours, minutes and seconds.
fn text(duration: time::Duration) -> String {
    let nanos = duration.as_nanos();
    match nanos {
        0 => "0s".into(),
        1..1_000 => format!("{nanos}ns"),
        1_000..1_000_000 => decimal(nanos, 1_000, "µs"),
        1_000_000..1_000_000_000 => decimal(nanos, 1_000_000, "ms"),
        _ => {
            let seconds = duration.as_secs();
            let mut text = String::new();
            if seconds >= 3_600 {
                text.push_str(&format!("{}h", seconds / 3_600));
            }
            if seconds >= 60 {
                text.push_str(&format!("{}m", seconds / 60 % 60));
            }
            text + &decimal(nanos % 60_000_000_000, 1_000_000_000, "s")
        }
    }
}

fn decimal(nanos: u128, unit: u128, name: &str) -> String {
    let width = unit.ilog10() as usize;
    let fraction = format!("{:0width$}", nanos % unit);
    let mut text = (nanos / unit).to_string();
    let fraction = fraction.trim_end_matches('0');
    if !fraction.is_empty() {
        text.push('.');
        text.push_str(fraction);
    }
    text.push_str(name);
    text
}

impl From<time::Duration> for Duration {
    fn from(duration: time::Duration) -> Self {
        Self::new(duration)
    }
}

impl From<Duration> for time::Duration {
    fn from(duration: Duration) -> Self {
        duration.0
    }
}

impl Serialize for Duration {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Duration {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(DurationVisitor)
    }
}

struct DurationVisitor;

impl<'de> Visitor<'de> for DurationVisitor {
    type Value = Duration;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a duration in quotes with a unit, such as `10s`, `500ms` or `1h30m`")
    }

    fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<Duration, E> {
        text.parse().map_err(E::custom)
    }

    /// JSON numbers that keep their digits arrive as a map of `serde_json`'s own; name the number, not a map.
    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Duration, A::Error> {
        match serde_json::Number::deserialize(MapAccessDeserializer::new(map)) {
            Ok(number) => {
                Err(A::Error::invalid_type(Unexpected::Other(&format!("number `{number}`")), &self))
            }
            Err(_) => Err(A::Error::invalid_type(Unexpected::Map, &self)),
        }
    }
}

impl JsonSchema for Duration {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "Duration".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "type": "string",
            "pattern": r"^\+?(0|([0-9]+\.?[0-9]*|\.[0-9]+)(ns|us|µs|μs|ms|s|m|h|d))+$",
            "examples": ["10s", "500ms", "1h30m"],
        })
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use proptest::prelude::*;

    use super::*;

    fn nanos(text: &str) -> u128 {
        text.parse::<Duration>().unwrap().get().as_nanos()
    }

    #[test]
    fn durations_are_read_as_go_reads_them() {
        for (text, expected) in [
            ("0", 0),
            ("0s", 0),
            ("10s", 10_000_000_000),
            ("+10s", 10_000_000_000),
            ("1h30m", 5_400_000_000_000),
            ("30m1h", 5_400_000_000_000),
            ("1.5h", 5_400_000_000_000),
            ("500ms", 500_000_000),
            (".5s", 500_000_000),
            ("5.s", 5_000_000_000),
            ("7us", 7_000),
            ("7\u{b5}s", 7_000),
            ("7\u{3bc}s", 7_000),
            ("3ns", 3),
            ("1.9ns", 1),
            ("0.3333333333333333333h", 1_200_000_000_000),
            ("0.000000001s", 1),
            ("1m0.000000001s", 60_000_000_001),
            ("1d", 86_400_000_000_000),
            ("1.5d", 129_600_000_000_000),
            ("9223372036854775807ns", 9_223_372_036_854_775_807),
            ("0.9999999999999999999999999999999999999999d", 86_400_000_000_000),
        ] {
            assert_eq!(nanos(text), expected, "{text}");
        }
    }

    #[test]
    fn everything_else_is_an_error_with_the_text_and_an_example() {
        let long = format!("{}s", "9".repeat(500));
        for text in [
            "",
            "+",
            "-1s",
            "5",
            "s",
            ".",
            ".s",
            "1.2.3s",
            "1 s",
            " 1s",
            "1S",
            "1w",
            "1M",
            "9223372036854775808ns",
            "293y",
            "106752d",
            &long,
            "1h 30m",
            "٣s",
            "+-1s",
        ] {
            let error = text.parse::<Duration>().unwrap_err().to_string();
            assert!(
                error.starts_with("invalid duration `")
                    && error.ends_with("; for example `10s`, `500ms` or `1h30m`"),
                "{error}"
            );
            assert!(error.len() < 400);
        }
        assert_eq!(
            "5".parse::<Duration>().unwrap_err().to_string(),
            "invalid duration `5`: a unit is missing (`ns`, `us`, `ms`, `s`, `m`, `h`, `d`); for example `10s`, `500ms` or `1h30m`"
        );
    }

    #[test]
    fn display_is_that_of_go() {
        for (nanos, text) in [
            (0, "0s"),
            (1, "1ns"),
            (1_100, "1.1µs"),
            (2_200_000, "2.2ms"),
            (5_000_000, "5ms"),
            (1_000_000_000, "1s"),
            (3_300_000_000, "3.3s"),
            (245_000_000_000, "4m5s"),
            (245_001_000_000, "4m5.001s"),
            (5_400_000_000_000, "1h30m0s"),
            (18_367_001_000_000, "5h6m7.001s"),
            (480_000_000_001, "8m0.000000001s"),
            (i64::MAX as u64, "2562047h47m16.854775807s"),
        ] {
            assert_eq!(Duration::new(time::Duration::from_nanos(nanos)).to_string(), text);
        }
        assert_eq!(Duration::new(time::Duration::MAX).get().as_nanos(), u128::from(NANOS_MAX));
    }

    #[test]
    fn serde_takes_text_only_and_says_so() {
        assert_eq!(
            serde_json::from_str::<Duration>("\"1.5s\"").unwrap(),
            Duration::from_millis(1_500)
        );
        assert_eq!(serde_json::to_string(&Duration::from_secs(90)).unwrap(), "\"1m30s\"");
        for text in ["10", "1.5", "true", "{}", "[]", "null", "\"10\""] {
            let error = serde_json::from_str::<Duration>(text).unwrap_err().to_string();
            assert!(error.contains("`500ms`"), "{text}: {error}");
        }
    }

    proptest! {
        #[test]
        fn a_displayed_duration_reads_back(nanos in 0..=NANOS_MAX, shift in 0_u32..63) {
            let duration = Duration::new(time::Duration::from_nanos(nanos >> shift));
            prop_assert_eq!(duration.to_string().parse(), Ok(duration));
        }

        #[test]
        fn no_text_panics(text in "[0-9.+nuµmshd-]{0,40}|.{0,10}") {
            if let Ok(duration) = text.parse::<Duration>() {
                prop_assert_eq!(duration.to_string().parse(), Ok(duration));
            }
        }
    }
}
