//! `timezone`: brings times into one zone and form.
//!
//! Reads RFC 3339 and its relatives, texts without a zone, and Unix epochs; writes RFC 3339 in the
//! zone asked for, or milliseconds. Zones come from a database that is part of the program, so results do
//! not depend on the machine.

use std::sync::Arc;

use jiff::Timestamp;
use jiff::civil::DateTime;
use jiff::tz::{Offset, TimeZone, TimeZoneDatabase};
use levada_condition::path::Path;
use levada_model::tree::{NodeId, NodeKind, Tree};
use levada_model::{RecordBatch, RecordError};
use levada_registry::{FieldPath, Report};
use schemars::JsonSchema;
use serde::Deserialize;

use super::decimal::Decimal;
use super::fields::{Scalar, ScalarEditor, ScalarRule, report_path, writable};
use super::{Scope, Transform, TransformContext, TransformSpec, Verdict};

/// Brings times into one zone and form; a value that is no time fails the record.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(default, rename_all = "camelCase")]
pub struct Spec {
    /// The zone of the result: an IANA name such as `Europe/Berlin`, or an offset such as `+03:00`.
    pub timezone: String,
    /// Paths of the fields; missing ones and those that are `null` are skipped.
    pub fields: Vec<String>,
    /// The zone of texts that name none.
    pub source_timezone: String,
    /// The form of the result: `RFC3339Nano`, `RFC3339` (whole seconds) or `UnixMilli` (a number).
    pub format: String,
}

impl Default for Spec {
    fn default() -> Self {
        Spec {
            timezone: String::new(),
            fields: Vec::new(),
            source_timezone: "UTC".into(),
            format: Format::Rfc3339Nano.name().into(),
        }
    }
}

const BAD_ZONE: &str = "must be a valid IANA timezone or ±HH:MM offset";

/// From this absolute value on, an epoch counts milliseconds: as seconds it would lie in the year 33658.
const MILLIS_FROM: u128 = 1_000_000_000_000;

impl TransformSpec for Spec {
    const NAME: &'static str = "timezone";
    const SUMMARY: &'static str = "brings times into one zone and form";
    const EXAMPLE: &'static str = "\
type: timezone
config:
  timezone: Europe/Berlin
  fields: [created_at, order.paid_at]
  sourceTimezone: UTC
  format: RFC3339
";

    fn check(&self, at: &FieldPath, report: &mut Report) {
        let zone = at.child("timezone");
        if self.timezone.trim().is_empty() {
            report.required(&zone, "timezone is required");
        } else if parse_zone(&self.timezone).is_none() {
            report.invalid(&zone, self.timezone.as_str(), BAD_ZONE);
        }
        if self.fields.is_empty() {
            report.required(&at.child("fields"), "at least one field is required");
        }
        for (index, field) in self.fields.iter().enumerate() {
            report_path(&writable(field), &at.child("fields").index(index), field, report);
        }
        if parse_zone(&self.source_timezone).is_none() {
            let source = at.child("sourceTimezone");
            report.invalid(&source, self.source_timezone.as_str(), BAD_ZONE);
        }
        if Format::parse(&self.format).is_none() {
            let names = Format::ALL.map(Format::name);
            report.unsupported(&at.child("format"), &self.format, names);
        }
    }

    fn build(&self, _: &TransformContext) -> Result<Box<dyn Transform>, String> {
        let zone = |name: &str| parse_zone(name).ok_or_else(|| format!("`{name}` {BAD_ZONE}"));
        let rule = Arc::new(Conversion {
            source: zone(&self.source_timezone)?,
            target: zone(&self.timezone)?,
            format: Format::parse(&self.format)
                .ok_or_else(|| format!("unsupported format `{}`", self.format))?,
        });
        let fields = self.fields.iter().map(|field| {
            let path = writable(field).map_err(|error| error.to_string())?;
            Ok((path, rule.clone()))
        });
        Ok(Box::new(Zones(ScalarEditor::new(fields.collect::<Result<_, String>>()?))))
    }
}

struct Zones(ScalarEditor<Arc<Conversion>>);

impl Transform for Zones {
    fn record(
        &mut self,
        batch: &mut RecordBatch,
        index: usize,
        scope: &mut Scope,
    ) -> Result<Verdict, RecordError> {
        self.0.run(batch, index, scope)?;
        Ok(Verdict::Keep)
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Format {
    Rfc3339Nano,
    Rfc3339,
    UnixMilli,
}

impl Format {
    const ALL: [Format; 3] = [Format::Rfc3339Nano, Format::Rfc3339, Format::UnixMilli];

    fn name(self) -> &'static str {
        match self {
            Format::Rfc3339Nano => "RFC3339Nano",
            Format::Rfc3339 => "RFC3339",
            Format::UnixMilli => "UnixMilli",
        }
    }

    fn parse(name: &str) -> Option<Format> {
        Format::ALL.into_iter().find(|known| known.name() == name)
    }
}

struct Conversion {
    source: TimeZone,
    target: TimeZone,
    format: Format,
}

impl ScalarRule for Arc<Conversion> {
    fn convert(
        &self,
        path: &Path,
        text: &[u8],
        tree: &Tree,
        node: NodeId,
        out: &mut Vec<u8>,
    ) -> Result<Option<Scalar>, RecordError> {
        let read = match tree.kind(node) {
            NodeKind::Null => return Ok(None),
            NodeKind::Number => {
                let literal = tree.literal(text, node).unwrap_or_default().as_bytes();
                Decimal::parse(literal).and_then(epoch).ok_or("the number is out of range")
            }
            NodeKind::String => {
                let string = tree.string(text, node).unwrap_or_default();
                match Decimal::parse(string.as_bytes()) {
                    Some(number) => epoch(number).ok_or("the number is out of range"),
                    None => parse_time(string.as_bytes(), &self.source)
                        .ok_or("the string is no time this step can read"),
                }
            }
            NodeKind::True | NodeKind::False => Err("the value is a boolean"),
            NodeKind::Array => Err("the value is an array"),
            NodeKind::Object => Err("the value is an object"),
        };
        read.and_then(|time| self.write(time, out))
            .map(Some)
            .map_err(|why| RecordError::transform(format!("timezone \"{path}\": {why}")))
    }
}

impl Conversion {
    fn write(&self, time: Timestamp, out: &mut Vec<u8>) -> Result<Scalar, &'static str> {
        if self.format == Format::UnixMilli {
            let millis = time.as_nanosecond().div_euclid(1_000_000) as i64;
            out.extend_from_slice(itoa::Buffer::new().format(millis).as_bytes());
            return Ok(Scalar::plain(NodeKind::Number));
        }
        let offset = self.target.to_offset(time);
        let local = offset.to_datetime(time);
        if local.year() < 0 {
            return Err("the year is not between 0 and 9999");
        }
        out.push(b'"');
        write_local(local, self.format == Format::Rfc3339Nano, out);
        write_offset(offset, out);
        out.push(b'"');
        Ok(Scalar::plain(NodeKind::String))
    }
}

/// Reads the name of a zone or an offset.
fn parse_zone(name: &str) -> Option<TimeZone> {
    let name = name.trim();
    match name.as_bytes() {
        [b'+' | b'-', _, _, b':', _, _] => {
            let (offset, []) = parse_offset(name.as_bytes())? else {
                return None;
            };
            Some(TimeZone::fixed(offset))
        }
        _ => TimeZoneDatabase::bundled().get(name).ok(),
    }
}

/// Gives the time that an epoch means.
fn epoch(number: Decimal<'_>) -> Option<Timestamp> {
    let is_seconds = number.scaled(0)?.0.unsigned_abs() < MILLIS_FROM;
    let (nanoseconds, _) = number.scaled(if is_seconds { 9 } else { 6 })?;
    Timestamp::from_nanosecond(nanoseconds).ok()
}

/// Reads `YYYY-MM-DD`, `T` or a blank, `HH:MM:SS`, a fraction, and `Z` or an offset; without the last, the zone is `source`.
///
/// A time that the zone skips is taken with the offset before the gap; of one that occurs twice, the
/// first is meant.
fn parse_time(text: &[u8], source: &TimeZone) -> Option<Timestamp> {
    let &[y1, y2, y3, y4, b'-', m1, m2, b'-', d1, d2, b'T' | b't' | b' ', ref clock @ ..] = text
    else {
        return None;
    };
    let &[h1, h2, b':', n1, n2, b':', s1, s2, ref rest @ ..] = clock else {
        return None;
    };
    let year = i16::from(two(y1, y2)?) * 100 + i16::from(two(y3, y4)?);
    let (month, day) = (two(m1, m2)?, two(d1, d2)?);
    let (hour, minute, second) = (two(h1, h2)?, two(n1, n2)?, two(s1, s2)?);
    let (nanosecond, rest) = match rest {
        [b'.' | b',', rest @ ..] => fraction(rest)?,
        _ => (0, rest),
    };
    let local = DateTime::new(year, month, day, hour, minute, second, nanosecond).ok()?;
    match rest {
        [] => source.to_timestamp(local).ok(),
        [b'Z' | b'z'] => Offset::UTC.to_timestamp(local).ok(),
        [b' ', rest @ ..] | rest => {
            let (offset, []) = parse_offset(rest)? else {
                return None;
            };
            offset.to_timestamp(local).ok()
        }
    }
}

/// Reads `+HH:MM`, `+HHMM` or `+HH`, and gives what follows.
fn parse_offset(text: &[u8]) -> Option<(Offset, &[u8])> {
    let (sign, rest) = match text {
        [b'+', rest @ ..] => (1, rest),
        [b'-', rest @ ..] => (-1, rest),
        _ => return None,
    };
    let (hours, minutes, rest) = match *rest {
        [h1, h2, b':', m1, m2, ref rest @ ..] => (two(h1, h2)?, two(m1, m2)?, rest),
        [h1, h2, m1, m2, ref rest @ ..] => (two(h1, h2)?, two(m1, m2)?, rest),
        [h1, h2, ref rest @ ..] => (two(h1, h2)?, 0, rest),
        _ => return None,
    };
    if hours > 23 || minutes > 59 {
        return None;
    }
    let seconds = sign * (i32::from(hours) * 3600 + i32::from(minutes) * 60);
    Some((Offset::from_seconds(seconds).ok()?, rest))
}

/// Reads the digits of a fraction as nanoseconds; finer ones are cut off.
fn fraction(text: &[u8]) -> Option<(i32, &[u8])> {
    let len = text.iter().take_while(|byte| byte.is_ascii_digit()).count();
    if len == 0 {
        return None;
    }
    let (digits, rest) = text.split_at(len);
    let digit = |at: usize| digits.get(at).map_or(0, |digit| i32::from(digit - b'0'));
    Some(((0..9).fold(0, |sum, at| sum * 10 + digit(at)), rest))
}

fn two(tens: u8, ones: u8) -> Option<i8> {
    let is_number = tens.is_ascii_digit() && ones.is_ascii_digit();
    is_number.then(|| ((tens - b'0') * 10 + (ones - b'0')) as i8)
}

fn write_local(local: DateTime, has_fraction: bool, out: &mut Vec<u8>) {
    let year = local.year();
    push_two((year / 100) as i8, out);
    push_two((year % 100) as i8, out);
    out.push(b'-');
    push_two(local.month(), out);
    out.push(b'-');
    push_two(local.day(), out);
    out.push(b'T');
    push_two(local.hour(), out);
    out.push(b':');
    push_two(local.minute(), out);
    out.push(b':');
    push_two(local.second(), out);
    let mut rest = local.subsec_nanosecond();
    if !has_fraction || rest == 0 {
        return;
    }
    out.push(b'.');
    let mut unit = 100_000_000;
    while rest > 0 {
        out.push(b'0' + (rest / unit) as u8);
        rest %= unit;
        unit /= 10;
    }
}

/// Writes `Z` or `+HH:MM`; seconds of an offset, which old local times have, are cut off.
///
/// Source: Go's layout `Z07:00`.
fn write_offset(offset: Offset, out: &mut Vec<u8>) {
    let seconds = offset.seconds();
    if seconds == 0 {
        out.push(b'Z');
        return;
    }
    out.push(if seconds < 0 { b'-' } else { b'+' });
    let minutes = seconds.abs() / 60;
    push_two((minutes / 60) as i8, out);
    out.push(b':');
    push_two((minutes % 60) as i8, out);
}

fn push_two(number: i8, out: &mut Vec<u8>) {
    out.push(b'0' + (number / 10) as u8);
    out.push(b'0' + (number % 10) as u8);
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use super::super::testing::{NOT_JSON, NOT_OBJECTS, check, check_problems, check_unchanged};
    use super::*;

    fn case(zone: &str, more: &str, value: &str, expected: &str) {
        let config = format!("{{timezone: '{zone}', fields: [t]{more}}}");
        let expected = match expected.strip_prefix("fails: ") {
            Some(why) => format!("error: timezone \"t\": {why}"),
            None => format!("{{\"t\":{expected},\"n\":1.0}}"),
        };
        check::<Spec>(&config, format!("{{\"t\":{value},\"n\":1.0}}"), &[&expected]);
    }

    const UNREADABLE: &str = "fails: the string is no time this step can read";

    #[test]
    fn texts_with_a_zone() {
        case("Europe/Berlin", "", "\"2026-02-07T10:30:00Z\"", "\"2026-02-07T11:30:00+01:00\"");
        case("Europe/Berlin", "", "\"2026-07-07T10:30:00Z\"", "\"2026-07-07T12:30:00+02:00\"");
        case("UTC", "", "\"2026-02-07T10:30:00+03:00\"", "\"2026-02-07T07:30:00Z\"");
        case("UTC", "", "\"2026-02-07 10:30:00.25-0530\"", "\"2026-02-07T16:00:00.25Z\"");
        case("UTC", "", "\"2026-02-07 10:30:00+01\"", "\"2026-02-07T09:30:00Z\"");
        case("+03:00", "", "\"2026-02-07T10:30:00Z\"", "\"2026-02-07T13:30:00+03:00\"");
        case("-09:30", "", "\"2026-02-07T10:30:00Z\"", "\"2026-02-07T01:00:00-09:30\"");
        case("+00:00", "", "\"2026-02-07T10:30:00Z\"", "\"2026-02-07T10:30:00Z\"");
    }

    #[test]
    fn texts_without_a_zone() {
        let source = ", sourceTimezone: America/New_York";
        case("UTC", "", "\"2026-02-07T10:30:00\"", "\"2026-02-07T10:30:00Z\"");
        case("UTC", source, "\"2026-02-07T10:30:00\"", "\"2026-02-07T15:30:00Z\"");
        case("UTC", source, "\"2026-07-07 10:30:00.5\"", "\"2026-07-07T14:30:00.5Z\"");
        case(
            "UTC",
            ", sourceTimezone: '-02:00'",
            "\"2026-07-07 10:30:00\"",
            "\"2026-07-07T12:30:00Z\"",
        );
        // Skipped when clocks go forward, twice when they go back.
        case("UTC", source, "\"2026-03-08T02:30:00\"", "\"2026-03-08T07:30:00Z\"");
        case("UTC", source, "\"2026-11-01T01:30:00\"", "\"2026-11-01T05:30:00Z\"");
    }

    #[test]
    fn epochs() {
        case("UTC", "", "1770460200", "\"2026-02-07T10:30:00Z\"");
        case("UTC", "", "1770460200.5", "\"2026-02-07T10:30:00.5Z\"");
        case("UTC", "", "1.7704602e9", "\"2026-02-07T10:30:00Z\"");
        case("UTC", "", "1770460200500", "\"2026-02-07T10:30:00.5Z\"");
        case("UTC", "", "\"1770460200500\"", "\"2026-02-07T10:30:00.5Z\"");
        case("UTC", "", "\"1770460200.123456789\"", "\"2026-02-07T10:30:00.123456789Z\"");
        case("UTC", "", "0", "\"1970-01-01T00:00:00Z\"");
        case("UTC", "", "-1.5", "\"1969-12-31T23:59:58.5Z\"");
        case("UTC", "", "999999999999", "fails: the number is out of range");
        case("UTC", "", "253402300799", "fails: the number is out of range");
        case("UTC", "", "253402207200", "\"9999-12-30T22:00:00Z\"");
        case("UTC", "", "1000000000000", "\"2001-09-09T01:46:40Z\"");
        case("UTC", "", "-1000000000000", "\"1938-04-24T22:13:20Z\"");
        case("UTC", "", "1e300", "fails: the number is out of range");
        case(
            "UTC",
            "",
            "\"99999999999999999999999999999999999999999\"",
            "fails: the number is out of range",
        );
        case("UTC", "", "-99999999999", "fails: the year is not between 0 and 9999");
    }

    #[test]
    fn formats() {
        let time = "\"2026-02-07T10:30:00.120Z\"";
        case("+01:00", "", time, "\"2026-02-07T11:30:00.12+01:00\"");
        case("+01:00", ", format: RFC3339", time, "\"2026-02-07T11:30:00+01:00\"");
        case("+01:00", ", format: UnixMilli", time, "1770460200120");
        case("UTC", ", format: UnixMilli", "\"1969-12-31T23:59:59.9999Z\"", "-1");
        case("UTC", "", "\"2026-02-07T10:30:00.1234567899\"", "\"2026-02-07T10:30:00.123456789Z\"");
        case("Europe/Berlin", "", "\"1890-01-01T00:00:00Z\"", "\"1890-01-01T00:53:28+00:53\"");
    }

    #[test]
    fn what_is_no_time_fails() {
        for text in [
            "",
            "soon",
            "2026-02-07",
            "2026-02-30T00:00:00Z",
            "2026-02-07T24:00:00Z",
            "2026-02-07T10:30Z",
            "2026-02-07T10:30:60Z",
            "2026-02-07T10:30:00.Z",
            "2026-02-07T10:30:00Zx",
            "2026-02-07T10:30:00+25:00",
            "2026-02-07T10:30:00 ",
            "26-02-07T10:30:00Z",
            "2026-02-07T10:30:00+1",
            "２026-02-07T10:30:00Z",
        ] {
            case("UTC", "", &format!("\"{text}\""), UNREADABLE);
        }
        case("UTC", "", "true", "fails: the value is a boolean");
        case("UTC", "", "[1]", "fails: the value is an array");
        case("UTC", "", "{\"t\":1}", "fails: the value is an object");
    }

    #[test]
    fn paths() {
        check::<Spec>(
            "{timezone: UTC, fields: [a.t, missing, n, 'l.#.t']}",
            r#"{"a":{"t":0},"n":null,"l":[{"t":1},{"u":2},{"t":null}]}"#,
            &[concat!(
                r#"{"a":{"t":"1970-01-01T00:00:00Z"},"n":null,"#,
                r#""l":[{"t":"1970-01-01T00:00:01Z"},{"u":2},{"t":null}]}"#
            )],
        );
        check::<Spec>(
            "{timezone: UTC, fields: [a, b]}",
            r#"{"a":0,"b":"x"}"#,
            &["error: timezone \"b\": the string is no time this step can read"],
        );
        check_unchanged::<Spec>("{timezone: UTC, fields: [a]}", NOT_JSON);
        check_unchanged::<Spec>("{timezone: UTC, fields: [a]}", NOT_OBJECTS);
    }

    #[test]
    fn settings() {
        check_problems::<Spec>(
            "{}",
            &[
                "config.timezone: Required value: timezone is required",
                "config.fields: Required value: at least one field is required",
            ],
        );
        check_problems::<Spec>(
            "{timezone: Mars/Base, sourceTimezone: '+24:00', format: Kitchen, fields: ['a.@this']}",
            &[
                "config.timezone: Invalid value: \"Mars/Base\": must be a valid IANA timezone or ±HH:MM offset",
                "config.fields[0]: Invalid value: \"a.@this\": syntax error at column 1: path `a.@this`: a modifier gives a new value, which cannot be written",
                "config.sourceTimezone: Invalid value: \"+24:00\": must be a valid IANA timezone or ±HH:MM offset",
                "config.format: Unsupported value: \"Kitchen\": supported values: \"RFC3339Nano\", \"RFC3339\", \"UnixMilli\"",
            ],
        );
        for zone in ["+3:00", "03:00", "+03:60", "+0300", "Local", "+ab:cd"] {
            assert!(parse_zone(zone).is_none(), "{zone}");
        }
        for zone in ["UTC", "Asia/Kolkata", "+05:30", "-00:30", "Etc/GMT+5"] {
            assert!(parse_zone(zone).is_some(), "{zone}");
        }
    }

    proptest::proptest! {
        #[test]
        fn times_survive(seconds in -60_000_000_000_i64..250_000_000_000, nanos in 0..1_000_000_000_i32) {
            let time = Timestamp::new(seconds, nanos).unwrap();
            let zone = TimeZoneDatabase::bundled().get("America/St_Johns").unwrap();
            // Offsets of local mean time have seconds, which the form cannot show.
            proptest::prop_assume!(zone.to_offset(time).seconds() % 60 == 0);
            let rule = Conversion { source: TimeZone::UTC, target: zone, format: Format::Rfc3339Nano };
            let mut out = Vec::new();
            rule.write(time, &mut out).unwrap();
            let text = &out[1..out.len() - 1];
            proptest::prop_assert_eq!(parse_time(text, &TimeZone::UTC), Some(time));
            let text = std::str::from_utf8(text).unwrap();
            proptest::prop_assert_eq!(text.parse::<Timestamp>().unwrap(), time);
        }

        #[test]
        fn no_text_panics(text in "[0-9TZ:+.-]{0,40}|.{0,30}") {
            let _ = parse_time(text.as_bytes(), &TimeZone::UTC);
            let _ = Decimal::parse(text.as_bytes()).and_then(epoch);
        }
    }
}
