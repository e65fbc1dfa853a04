//! Numbers and durations with a lower limit.

use levada_registry::{FieldPath, Report};
use levada_settings::Duration;

/// Source: dataflow-operator.md §7.2, kafka timing.
const POSITIVE: &str = "must be greater than zero";
const NOT_NEGATIVE: &str = "must be greater than or equal to zero";
/// Source: dataflow-operator.md §7.2, maintenance.
const GO_DURATION: &str = "must be a valid Go duration (e.g. 2h, 30m)";

/// Reports a number below 1.
pub fn check_positive(field: &str, value: Option<i32>, at: &FieldPath, report: &mut Report) {
    if let Some(value) = value.filter(|&value| value <= 0) {
        report.invalid(&at.child(field), value, POSITIVE);
    }
}

/// Reports a number below 0.
pub fn check_not_negative(field: &str, value: Option<i32>, at: &FieldPath, report: &mut Report) {
    if let Some(value) = value.filter(|&value| value < 0) {
        report.invalid(&at.child(field), value, NOT_NEGATIVE);
    }
}

/// Reads a duration as Go writes it, and reports one that is wrong or not above zero.
///
/// Gives nothing when there is none or it was reported.
pub fn check_positive_duration(
    field: &str,
    text: Option<&str>,
    at: &FieldPath,
    report: &mut Report,
) -> Option<Duration> {
    let (duration, is_negative) = read_duration(field, text?, at, report)?;
    if is_negative || duration.is_zero() {
        report.invalid(&at.child(field), shown(duration, is_negative), POSITIVE);
        return None;
    }
    Some(duration)
}

/// Reads a duration as Go writes it, and reports one that is wrong or below zero.
pub fn check_duration(field: &str, text: Option<&str>, at: &FieldPath, report: &mut Report) {
    if let Some((duration, true)) = text.and_then(|text| read_duration(field, text, at, report)) {
        report.invalid(&at.child(field), shown(duration, true), NOT_NEGATIVE);
    }
}

/// Gives the length and whether the text has a minus sign.
///
/// The original reads the sign and refuses it in words of its own, so it is looked at here.
fn read_duration(
    field: &str,
    text: &str,
    at: &FieldPath,
    report: &mut Report,
) -> Option<(Duration, bool)> {
    let unsigned = text.strip_prefix('-');
    match unsigned.unwrap_or(text).parse::<Duration>() {
        Ok(duration) => Some((duration, unsigned.is_some() && !duration.is_zero())),
        Err(_) => {
            report.invalid(&at.child(field), text, GO_DURATION);
            None
        }
    }
}

fn shown(duration: Duration, is_negative: bool) -> String {
    format!("{}{duration}", if is_negative { "-" } else { "" })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_read_with_their_sign() {
        for (text, expected) in [
            ("250ms", None),
            ("0", Some("d: Invalid value: \"0s\": must be greater than zero")),
            ("-0s", Some("d: Invalid value: \"0s\": must be greater than zero")),
            ("-90s", Some("d: Invalid value: \"-1m30s\": must be greater than zero")),
            (
                "--1s",
                Some("d: Invalid value: \"--1s\": must be a valid Go duration (e.g. 2h, 30m)"),
            ),
            ("5", Some("d: Invalid value: \"5\": must be a valid Go duration (e.g. 2h, 30m)")),
            ("", Some("d: Invalid value: \"\": must be a valid Go duration (e.g. 2h, 30m)")),
        ] {
            let mut report = Report::new();
            let root = FieldPath::root();
            let read = check_positive_duration("d", Some(text), &root, &mut report);
            let found: Vec<String> = report.problems().iter().map(ToString::to_string).collect();
            assert_eq!(found, expected.into_iter().collect::<Vec<_>>(), "{text}");
            assert_eq!(read.is_some(), expected.is_none(), "{text}");
        }
    }
}
