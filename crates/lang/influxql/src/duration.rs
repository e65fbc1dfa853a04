//! Durations as `InfluxQL` writes them: `90s`, `1h30m`.

use thiserror::Error;

/// Why a text is not a duration.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum DurationError {
    /// The text is not a row of integers with units.
    #[error("invalid duration")]
    Invalid,
    /// The duration does not fit into 64 bits of nanoseconds.
    #[error("overflowed duration {count}{unit}: choose a smaller duration or INF")]
    Overflow {
        /// The number that was too much.
        count: String,
        /// Its unit.
        unit: &'static str,
    },
}

/// Longer units come first where one starts with another; the printed order is by size.
const UNITS: &[(&str, i64)] = &[
    ("ns", 1),
    ("ms", 1_000_000),
    ("u", 1_000),
    ("µ", 1_000),
    ("s", 1_000_000_000),
    ("m", 60 * 1_000_000_000),
    ("h", 3_600 * 1_000_000_000),
    ("d", 86_400 * 1_000_000_000),
    ("w", 7 * 86_400 * 1_000_000_000),
];

const PRINTED: &[&str] = &["w", "d", "h", "m", "s", "ms", "u", "ns"];

/// Reads `[-]<integer><unit>...` with the units `ns u µ ms s m h d w`.
///
/// - Units: nanoseconds.
/// - Errors: any overflow. Differs: the original wraps around where the result happens to have the right sign.
pub fn parse(text: &str) -> Result<i64, DurationError> {
    let (negative, mut rest) = match text.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, text),
    };
    if rest.is_empty() {
        return Err(DurationError::Invalid);
    }
    let mut total: i64 = 0;
    while !rest.is_empty() {
        let digits = rest.len() - rest.trim_start_matches(|c: char| c.is_ascii_digit()).len();
        let (count, after) = rest.split_at(digits);
        let unit = UNITS.iter().find(|(unit, _)| after.starts_with(unit));
        let (false, Some((unit, nanos))) = (count.is_empty(), unit) else {
            return Err(DurationError::Invalid);
        };
        let part = count.parse::<i64>().ok().and_then(|count| count.checked_mul(*nanos));
        total = part
            .and_then(
                |part| if negative { total.checked_sub(part) } else { total.checked_add(part) },
            )
            .ok_or_else(|| DurationError::Overflow { count: count.into(), unit })?;
        rest = &after[unit.len()..];
    }
    Ok(total)
}

/// Gives the text with the largest unit that divides the duration: `90s`, `1d`, `0s`.
pub fn format(nanos: i64) -> String {
    if nanos == 0 {
        return "0s".into();
    }
    for name in PRINTED {
        let size = UNITS.iter().find(|(unit, _)| unit == name).map_or(1, |(_, size)| *size);
        if nanos % size == 0 {
            return format!("{}{name}", nanos / size);
        }
    }
    format!("{nanos}ns")
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// (text, nanoseconds, printed)
    const TEXTS: &[(&str, i64, &str)] = &[
        ("0s", 0, "0s"),
        ("90s", 90_000_000_000, "90s"),
        ("1h30m", 5_400_000_000_000, "90m"),
        ("24h", 86_400_000_000_000, "1d"),
        ("14d", 1_209_600_000_000_000, "2w"),
        ("5u", 5_000, "5u"),
        ("5µ", 5_000, "5u"),
        ("7ns", 7, "7ns"),
        ("1500ms", 1_500_000_000, "1500ms"),
        ("-10m", -600_000_000_000, "-10m"),
        ("1s1ns", 1_000_000_001, "1000000001ns"),
    ];

    #[test]
    fn texts_are_read_and_printed() {
        for (text, nanos, printed) in TEXTS {
            assert_eq!(parse(text), Ok(*nanos), "{text}");
            assert_eq!(format(*nanos), *printed, "{text}");
        }
    }

    #[test]
    fn other_texts_are_refused() {
        for text in ["", "-", "5", "s", "1.5s", "1y", "1s ", "5S", "1h30", "--1s", "1e3s", "é"] {
            assert_eq!(parse(text), Err(DurationError::Invalid), "{text}");
        }
        let error = parse("20000w").unwrap_err();
        assert_eq!(
            error.to_string(),
            "overflowed duration 20000w: choose a smaller duration or INF"
        );
        assert!(parse("15250w99999999s").is_err());
        assert!(parse("99999999999999999999s").is_err());
    }

    proptest! {
        #[test]
        fn printed_durations_read_back(nanos in any::<i64>()) {
            // i64::MIN has no text: its digits do not fit without their sign.
            if nanos != i64::MIN {
                prop_assert_eq!(parse(&format(nanos)), Ok(nanos));
            }
        }

        #[test]
        fn no_text_panics(text in ".{0,40}") {
            parse(&text).ok();
        }
    }
}
