//! Times read from a record.

use levada_condition::Path;
use levada_model::tree::{NodeId, NodeKind};
use levada_model::{RecordError, Timestamp};
use schemars::JsonSchema;
use serde::Deserialize;

use super::{Document, Number, plain_path};

/// The unit of times that are numbers.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
pub enum TimeUnit {
    /// By size: seconds below 10^11, milliseconds below 10^14, microseconds below 10^17, else
    /// nanoseconds. Right from 1973 to 5138.
    #[default]
    #[serde(rename = "auto")]
    Auto,
    /// Seconds.
    #[serde(rename = "s")]
    Seconds,
    /// Milliseconds.
    #[serde(rename = "ms")]
    Millis,
    /// Microseconds.
    #[serde(rename = "us")]
    Micros,
    /// Nanoseconds.
    #[serde(rename = "ns")]
    Nanos,
}

/// Where a record's time stands, compiled.
#[derive(Clone, Debug)]
pub(crate) struct TimeRule {
    path: Path,
    unit: TimeUnit,
}

// === impl TimeRule ===

impl TimeRule {
    /// Compiles a path; none when the text is empty.
    pub(crate) fn compile(text: &str, unit: TimeUnit) -> Result<Option<TimeRule>, String> {
        if text.is_empty() {
            return Ok(None);
        }
        Ok(Some(TimeRule { path: plain_path(text)?, unit }))
    }

    /// Gives the path.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Reads the time of a record.
    ///
    /// Errors: there is none, or it cannot be read.
    pub(crate) fn read(&self, document: &Document<'_>) -> Result<Timestamp, RecordError> {
        match document.find(&self.path) {
            Some(node) => self.read_node(document, node),
            None => {
                let message = format!("timestamp: the record has no value at `{}`", self.path);
                Err(RecordError::invalid(message))
            }
        }
    }

    /// Reads a time that stands at a node.
    pub(crate) fn read_node(
        &self,
        document: &Document<'_>,
        node: NodeId,
    ) -> Result<Timestamp, RecordError> {
        let path = &self.path;
        let fail = |what: &str| RecordError::invalid(format!("timestamp: `{path}` {what}"));
        let number = match document.tree.kind(node) {
            NodeKind::String => {
                let text = document.tree.string(document.text, node).unwrap_or_default();
                if let Ok(time) = text.parse::<jiff::Timestamp>() {
                    return nanos(time).ok_or_else(|| fail("is before 1677 or after 2262"));
                }
                Number::parse(&text)
                    .map_err(|_| fail("is neither a time as in RFC 3339 nor a number"))?
            }
            NodeKind::Number => {
                let literal = document.tree.literal(document.text, node).unwrap_or_default();
                Number::parse(literal).map_err(fail)?
            }
            kind => return Err(fail(&format!("is of kind {}, which is no time", kind.name()))),
        };
        self.unit.time(number).ok_or_else(|| fail("is before 1677 or after 2262"))
    }
}

fn nanos(time: jiff::Timestamp) -> Option<Timestamp> {
    i64::try_from(time.as_nanosecond()).ok().map(Timestamp)
}

// === impl TimeUnit ===

impl TimeUnit {
    fn time(self, number: Number) -> Option<Timestamp> {
        let size = number.to_f64().abs();
        let factor: i64 = match self {
            TimeUnit::Seconds => 1_000_000_000,
            TimeUnit::Millis => 1_000_000,
            TimeUnit::Micros => 1000,
            TimeUnit::Nanos => 1,
            TimeUnit::Auto if size < 1e11 => 1_000_000_000,
            TimeUnit::Auto if size < 1e14 => 1_000_000,
            TimeUnit::Auto if size < 1e17 => 1000,
            TimeUnit::Auto => 1,
        };
        match number {
            Number::Int(number) => number.checked_mul(factor).map(Timestamp),
            Number::UInt(_) => None,
            Number::Float(number) => {
                // The whole part is exact; only the fraction is rounded.
                let whole = number.trunc();
                if whole.abs() > i64::MAX as f64 / factor as f64 {
                    return None;
                }
                let fraction = ((number - whole) * factor as f64).round() as i64;
                (whole as i64).checked_mul(factor)?.checked_add(fraction).map(Timestamp)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use levada_model::RecordBatch;

    use super::super::Reader;
    use super::*;

    fn time(value: &str, unit: TimeUnit) -> Result<i64, String> {
        let mut batch = RecordBatch::new();
        batch.push(format!("{{\"t\":{value}}}").as_bytes(), 0, 0);
        let mut reader = Reader::default();
        let document = reader.read(&batch, 0).unwrap();
        let rule = TimeRule::compile("t", unit).unwrap().unwrap();
        rule.read(&document).map(|time| time.0).map_err(|error| error.to_string())
    }

    #[test]
    fn times_are_read_in_every_form() {
        let second = 1_770_460_200_000_000_000;
        for (value, unit, expected) in [
            ("\"2026-02-07T10:30:00.5Z\"", TimeUnit::Auto, second + 500_000_000),
            ("\"2026-02-07T12:30:00+02:00\"", TimeUnit::Seconds, second),
            ("1770460200", TimeUnit::Auto, second),
            ("1770460200.25", TimeUnit::Auto, second + 250_000_000),
            ("1770460200000", TimeUnit::Auto, second),
            ("\"1770460200000\"", TimeUnit::Millis, second),
            ("1770460200000000", TimeUnit::Auto, second),
            ("1770460200000000001", TimeUnit::Auto, second + 1),
            ("7", TimeUnit::Nanos, 7),
            ("-7", TimeUnit::Micros, -7000),
        ] {
            assert_eq!(time(value, unit), Ok(expected), "{value}");
        }
        for (value, expected) in [
            ("\"now\"", "timestamp: `t` is neither a time as in RFC 3339 nor a number"),
            ("true", "timestamp: `t` is of kind boolean, which is no time"),
            ("null", "timestamp: the record has no value at `t`"),
            ("9e18", "timestamp: `t` is before 1677 or after 2262"),
        ] {
            assert_eq!(time(value, TimeUnit::Seconds), Err(expected.to_owned()), "{value}");
        }
    }
}
