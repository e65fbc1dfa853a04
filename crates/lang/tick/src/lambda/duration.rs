//! Durations as InfluxQL reads and writes them.

/// The units from the largest, with their nanoseconds.
const UNITS: [(&str, i64); 8] = [
    ("w", 604_800_000_000_000),
    ("d", 86_400_000_000_000),
    ("h", 3_600_000_000_000),
    ("m", 60_000_000_000),
    ("s", 1_000_000_000),
    ("ms", 1_000_000),
    ("u", 1_000),
    ("ns", 1),
];

/// Gives a duration in the largest unit that divides it.
pub(super) fn format_duration(nanos: i64) -> String {
    if nanos == 0 {
        return "0s".to_owned();
    }
    let (unit, length) =
        UNITS.iter().find(|(_, length)| nanos % length == 0).copied().unwrap_or(("ns", 1));
    format!("{}{unit}", nanos / length)
}

/// Reads `[-]<int><unit>...`, e.g. `1h30m`; `None` when it is none or does not fit.
pub(super) fn parse_duration(text: &str) -> Option<i64> {
    let (is_negative, mut rest) = match text.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, text),
    };
    if rest.is_empty() {
        return None;
    }
    let mut total = 0_i64;
    while !rest.is_empty() {
        let end = rest.find(|c: char| !c.is_ascii_digit())?;
        let count = rest[..end].parse::<i64>().ok()?;
        rest = &rest[end..];
        let (length, after) = unit(rest)?;
        let part = count.checked_mul(length)?;
        // Summed up below zero, since the smallest duration has no counterpart above.
        total = total.checked_sub(part)?;
        rest = after;
    }
    if is_negative { Some(total) } else { total.checked_neg() }
}

/// Splits a unit off; the two letters of `ms` and `ns` come before their first ones.
fn unit(text: &str) -> Option<(i64, &str)> {
    if let Some(rest) = text.strip_prefix('µ').or_else(|| text.strip_prefix('μ')) {
        return Some((1_000, rest));
    }
    for name in ["ms", "ns"] {
        if let Some(rest) = text.strip_prefix(name) {
            return Some((if name == "ms" { 1_000_000 } else { 1 }, rest));
        }
    }
    UNITS.iter().find_map(|(name, length)| Some((*length, text.strip_prefix(name)?)))
}
