//! Points as InfluxDB takes them.
//!
//! The dialect `point` has values that InfluxDB's line protocol does not have:
//!
//! | value | becomes |
//! |---|---|
//! | `1u` | itself, or an integer for a server without unsigned ones; one that no integer can hold is left out |
//! | `"aGk="b` | the text of the base64 |
//! | `[1i,2i]` | a text of JSON |
//!
//! Lines without them are copied as they are. Source: dataway reference §8.2, §11.7.

use std::borrow::Cow;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use levada_model::Timestamp;

use super::line::{BodyError, Raw, Scanner, write_point};
use super::{LeftOut, Point, Unit, Value, json};
use crate::line_protocol::Precision;

const NANOSECONDS: Unit = Unit::Fixed(Precision::Nanoseconds);

/// Appends lines whose times are nanoseconds, in a form that InfluxDB takes.
///
/// - Errors: what is no line.
pub fn append_lines(
    body: &str,
    has_unsigned: bool,
    now: Timestamp,
    out: &mut Vec<u8>,
) -> Result<LeftOut, BodyError> {
    let mut left_out = LeftOut::default();
    let mut scanner = Scanner::new(body, NANOSECONDS)?;
    while let Some(line) = scanner.next_line() {
        let line = line.map_err(|problem| BodyError::lines(vec![problem], 0, 1, body))?;
        let is_foreign = |(_, value): (&str, Raw<'_>)| match value {
            Raw::UInt(_) => !has_unsigned,
            Raw::Bytes(_) | Raw::Array(_) => true,
            _ => false,
        };
        if !line.entries().any(is_foreign) && line.time().is_some() {
            out.extend_from_slice(line.raw().as_bytes());
            out.push(b'\n');
            continue;
        }
        append_point(line.point(NANOSECONDS, now), has_unsigned, out, &mut left_out);
    }
    Ok(left_out)
}

/// Appends a point as a line that InfluxDB takes.
pub fn append_point(
    mut point: Point<'_>,
    has_unsigned: bool,
    out: &mut Vec<u8>,
    left_out: &mut LeftOut,
) {
    left_out.fields += adapt(&mut point, has_unsigned);
    left_out.points += u32::from(!write_point(&point, out));
}

/// Puts values in the place of those that InfluxDB does not have, and gives how many had to go.
fn adapt(point: &mut Point<'_>, has_unsigned: bool) -> u64 {
    let before = point.entries.len();
    point.entries.retain_mut(|entry| {
        let value = match &entry.value {
            Value::UInt(number) if !has_unsigned => match i64::try_from(*number) {
                Ok(number) => Value::Int(number),
                Err(_) => return false,
            },
            Value::Bytes(bytes) => Value::Str(Cow::Owned(STANDARD.encode(bytes))),
            Value::Array(items) if !items.is_empty() => {
                let mut text = Vec::new();
                json::write_value(&entry.value, &mut text);
                Value::Str(Cow::Owned(String::from_utf8_lossy(&text).into_owned()))
            }
            _ => return true,
        };
        entry.value = value;
        true
    });
    (before - point.entries.len()) as u64
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use super::*;

    fn written(body: &str, has_unsigned: bool) -> (String, LeftOut) {
        let mut out = Vec::new();
        let left_out = append_lines(body, has_unsigned, Timestamp(9), &mut out).unwrap();
        (String::from_utf8(out).unwrap(), left_out)
    }

    #[test]
    fn what_influxdb_does_not_have_becomes_what_it_has() {
        for (body, has_unsigned, expected, fields, points) in [
            ("m,t=a f=1i,s=\"x\" 1\n", false, "m,t=a f=1i,s=\"x\" 1\n", 0, 0),
            ("m,t=a f=1i 1", false, "m,t=a f=1i 1\n", 0, 0),
            ("m f=1u 1\n", true, "m f=1u 1\n", 0, 0),
            ("m f=1u 1\n", false, "m f=1i 1\n", 0, 0),
            ("m f=18446744073709551615u,g=1 1\n", false, "m g=1 1\n", 1, 0),
            ("m f=18446744073709551615u 1\nn g=1 2\n", false, "n g=1 2\n", 1, 1),
            ("m b=\"aGk=\"b 1\n", true, "m b=\"aGk=\" 1\n", 0, 0),
            ("m a=[1i,2i],c=[\"x\",\"y\"] 1\n", true, r#"m a="[1,2]",c="[\"x\",\"y\"]" 1"#, 0, 0),
            ("m f=1i\n", true, "m f=1i 9\n", 0, 0),
        ] {
            let (text, left_out) = written(body, has_unsigned);
            assert_eq!(text.trim_end(), expected.trim_end(), "{body}");
            assert_eq!(left_out, LeftOut { fields, points }, "{body}");
        }
        assert!(append_lines("m", true, Timestamp(9), &mut Vec::new()).is_err());
    }
}
