//! Durations as InfluxQL writes them.

/// A unit of duration.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Unit {
    /// How it is written.
    pub(crate) text: &'static str,
    /// Its length in nanoseconds.
    pub(crate) nanos: i64,
    /// May stand in a script.
    pub(crate) is_literal: bool,
}

/// All units, longest first.
pub(crate) const UNITS: [Unit; 9] = [
    Unit { text: "w", nanos: 604_800_000_000_000, is_literal: true },
    Unit { text: "d", nanos: 86_400_000_000_000, is_literal: true },
    Unit { text: "h", nanos: 3_600_000_000_000, is_literal: true },
    Unit { text: "m", nanos: 60_000_000_000, is_literal: true },
    Unit { text: "s", nanos: 1_000_000_000, is_literal: true },
    Unit { text: "ms", nanos: 1_000_000, is_literal: true },
    Unit { text: "u", nanos: 1_000, is_literal: true },
    Unit { text: "µ", nanos: 1_000, is_literal: true },
    Unit { text: "ns", nanos: 1, is_literal: false },
];

/// What is said of a text that is no duration.
pub const INVALID_DURATION: &str = "invalid duration";

/// Reads an InfluxQL duration such as `10s`, `-5m` or `1h30m`.
///
/// - Units: the result is in nanoseconds; the text uses `ns u µ ms s m h d w`.
/// - Errors: `invalid duration`, or `overflowed duration …` for more nanoseconds than 64 bits hold.
pub fn parse_duration(text: &str) -> Result<i64, String> {
    let (is_negative, mut rest) = match text.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, text),
    };
    if rest.is_empty() {
        return Err(INVALID_DURATION.to_owned());
    }
    let sign = if is_negative { -1 } else { 1 };
    let count_max = i64::MAX as u64 + u64::from(is_negative);
    let mut total = 0i64;
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len());
        let (number, behind) = rest.split_at(digits);
        let count = number.parse().ok().filter(|&count: &u64| count <= count_max);
        let unit = UNITS
            .iter()
            .filter(|unit| behind.starts_with(unit.text))
            .max_by_key(|unit| unit.text.len());
        let (Some(count), Some(unit)) = (count, unit) else {
            return Err(INVALID_DURATION.to_owned());
        };
        // Differs: every overflow is refused, not only one that ends below zero.
        let exact = i128::from(total) + sign * i128::from(count) * i128::from(unit.nanos);
        total = i64::try_from(exact).map_err(|_| {
            let text = unit.text;
            format!("overflowed duration {count}{text}: choose a smaller duration or INF")
        })?;
        rest = &behind[unit.text.len()..];
    }
    Ok(total)
}

/// Writes a duration in the largest unit that divides it: `90s`, `1d`, `0s`.
pub fn format_duration(nanos: i64) -> String {
    if nanos == 0 {
        return "0s".to_owned();
    }
    let unit = UNITS.iter().find(|unit| nanos % unit.nanos == 0).unwrap_or(&UNITS[8]);
    format!("{}{}", nanos / unit.nanos, unit.text)
}
