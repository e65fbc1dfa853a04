//! Times as the original prints and reads them.

use std::str::FromStr;

use jiff::tz::{Offset, TimeZone};
use jiff::{Timestamp, Zoned};
use levada_tick::syntax::duration::parse_duration;

/// Shows a time in a zone as RFC 822, such as `01 Mar 26 10:00 UTC`; a text that is no time as it is.
///
/// Source: Go's layout `02 Jan 06 15:04 MST`.
pub(crate) fn in_zone(text: &str, zone: &TimeZone) -> String {
    match Timestamp::from_str(text) {
        Ok(time) => rfc822(&time.to_zoned(zone.clone())),
        Err(_) => text.to_owned(),
    }
}

/// Shows a time in the zone that it was sent in; see [`in_zone`].
///
/// An offset that is the one of `local` at that time has its name, as Go reads times; any other offset is its own name.
pub(crate) fn as_sent(text: &str, local: &TimeZone) -> String {
    let Ok(time) = Timestamp::from_str(text) else { return text.to_owned() };
    let Some(offset) = offset_of(text) else {
        return rfc822(&time.to_zoned(TimeZone::UTC));
    };
    let here = time.to_zoned(local.clone());
    if here.offset() == offset {
        return rfc822(&here);
    }
    rfc822(&time.to_zoned(TimeZone::fixed(offset)))
}

/// Reads a duration: InfluxQL's (`1d`, `10s`, `1h30m`), and with fractions and the units of Go.
pub(crate) fn duration_nanos(text: &str) -> Result<i64, String> {
    if let Ok(nanos) = parse_duration(text) {
        return Ok(nanos);
    }
    fractions(text).ok_or_else(|| format!("invalid duration {text:?}"))
}

/// Reads a time of RFC 3339.
pub(crate) fn timestamp(text: &str) -> Result<Timestamp, String> {
    Timestamp::from_str(text).map_err(|_| {
        format!("invalid time {text:?}: expected RFC 3339, such as 2026-03-01T10:00:00Z")
    })
}

/// Adds nanoseconds to a time.
pub(crate) fn shifted(time: Timestamp, nanos: i64) -> Result<Timestamp, String> {
    time.checked_add(jiff::SignedDuration::from_nanos(nanos))
        .map_err(|_| "the time is out of range".to_owned())
}

fn rfc822(time: &Zoned) -> String {
    let name = match time.time_zone().iana_name() {
        Some("UTC") => "UTC".to_owned(),
        _ => time.strftime("%Z").to_string(),
    };
    // A zone without a name is shown by its offset.
    let name = match name.starts_with(['+', '-']) {
        true => time.strftime("%z").to_string(),
        false => name,
    };
    format!("{} {name}", time.strftime("%d %b %y %H:%M"))
}

/// Gives the numeric offset at the end of a time; none for `Z`.
fn offset_of(text: &str) -> Option<Offset> {
    let at = text.rfind(['+', '-']).filter(|at| *at > "2026-03-01T".len())?;
    let (hours, minutes) = text[at + 1..].split_once(':')?;
    let seconds = hours.parse::<i32>().ok()? * 3600 + minutes.parse::<i32>().ok()? * 60;
    let sign = if text[at..].starts_with('-') { -1 } else { 1 };
    Offset::from_seconds(sign * seconds).ok()
}

fn fractions(text: &str) -> Option<i64> {
    const UNITS: [(&str, f64); 10] = [
        ("ns", 1.0),
        ("us", 1e3),
        ("µs", 1e3),
        ("μs", 1e3),
        ("ms", 1e6),
        ("s", 1e9),
        ("m", 6e10),
        ("h", 3.6e12),
        ("d", 8.64e13),
        ("w", 6.048e14),
    ];
    let (sign, mut rest) = match text.strip_prefix('-') {
        Some(rest) => (-1.0, rest),
        None => (1.0, text),
    };
    let mut total = 0.0;
    if rest.is_empty() {
        return None;
    }
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(rest.len());
        let count: f64 = rest[..digits].parse().ok()?;
        rest = &rest[digits..];
        let unit = rest.find(|c: char| c.is_ascii_digit() || c == '.').unwrap_or(rest.len());
        let (_, nanos) = UNITS.iter().find(|(name, _)| *name == &rest[..unit])?;
        total += count * nanos;
        rest = &rest[unit..];
    }
    // The largest float below 2^63.
    (total < 9.223_372_036_854_775e18).then_some((sign * total) as i64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_shown_in_the_zone_asked_for() {
        let berlin = TimeZone::get("Europe/Berlin").unwrap();
        for (text, zone, shown) in [
            ("2026-03-01T10:00:00.123456789Z", &TimeZone::UTC, "01 Mar 26 10:00 UTC"),
            ("2026-03-01T10:00:00Z", &berlin, "01 Mar 26 11:00 CET"),
            ("2026-07-01T10:00:00Z", &berlin, "01 Jul 26 12:00 CEST"),
            ("0001-01-01T00:00:00Z", &TimeZone::UTC, "01 Jan 01 00:00 UTC"),
            ("soon", &TimeZone::UTC, "soon"),
        ] {
            assert_eq!(in_zone(text, zone), shown);
        }
    }

    #[test]
    fn times_are_shown_in_the_zone_they_were_sent_in() {
        let berlin = TimeZone::get("Europe/Berlin").unwrap();
        for (text, shown) in [
            ("2026-03-01T10:00:00Z", "01 Mar 26 10:00 UTC"),
            ("2026-03-01T10:00:00+01:00", "01 Mar 26 10:00 CET"),
            ("2026-03-01T10:00:00-05:30", "01 Mar 26 10:00 -0530"),
            ("0001-01-01T00:00:00Z", "01 Jan 01 00:00 UTC"),
        ] {
            assert_eq!(as_sent(text, &berlin), shown);
        }
    }

    #[test]
    fn durations_may_be_those_of_influxql_or_of_go() {
        for (text, nanos) in [
            ("1d", 86_400_000_000_000),
            ("1h30m", 5_400_000_000_000),
            ("1.5s", 1_500_000_000),
            ("2us", 2_000),
            ("-1.5m", -90_000_000_000),
        ] {
            assert_eq!(duration_nanos(text), Ok(nanos), "{text}");
        }
        for text in ["", "-", "1", "s", "1.2.3s", "1y", "99999999999999.5w", "1..s"] {
            assert_eq!(duration_nanos(text), Err(format!("invalid duration {text:?}")));
        }
    }
}
