//! Points as lines.

use levada_model::point::{FieldValue as Value, Point};

use super::{FieldValue, LineError, PointWriter, Precision};

/// Appends a point with its time in the unit of `precision`.
///
/// Fields are in the order of their names; those without a value and tags with an empty one are not there, as InfluxDB
/// has it. A duration is a number of nanoseconds, bytes are a text. After an error `out` is as before.
pub fn write_point(
    point: &Point,
    precision: Precision,
    out: &mut Vec<u8>,
) -> Result<(), LineError> {
    let mut line = PointWriter::begin(out, &point.series.name)?;
    for (key, value) in point.series.tags().filter(|(_, value)| !value.is_empty()) {
        line.tag(key, value)?;
    }
    for (key, value) in point.fields() {
        let value = match value {
            Value::Float(number) => FieldValue::Float(*number),
            Value::Int(number) | Value::Duration(number) => FieldValue::Int(*number),
            Value::UInt(number) => FieldValue::UInt(*number),
            Value::Bool(value) => FieldValue::Bool(*value),
            Value::Str(text) => FieldValue::Str(text),
            Value::Bytes(bytes) => FieldValue::Str(std::str::from_utf8(bytes).map_err(|_| {
                super::unwritable("the field", key, "holds bytes that are not UTF-8")
            })?),
            Value::Null => continue,
        };
        line.field(key, value)?;
    }
    line.finish(Some(point.time.0.div_euclid(precision.nanoseconds())))
}

#[cfg(test)]
mod tests;
