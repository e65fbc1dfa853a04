//! Values apart from any document: metadata, literals, fields of points.

use std::sync::Arc;

use crate::float;
use crate::time::Timestamp;

/// A shared text.
pub type Str = Arc<str>;

/// A value.
///
/// Points use the first six kinds, which stay distinct through codecs and lambdas; the rest occur in
/// the metadata of records.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    /// A 64-bit float.
    Float(f64),
    /// A signed integer.
    Int(i64),
    /// An unsigned integer.
    UInt(u64),
    /// A boolean.
    Bool(bool),
    /// A text.
    Str(Str),
    /// Bytes that need not be text.
    Bytes(Arc<[u8]>),
    /// Nothing.
    Null,
    /// A number as it was written.
    Number(Str),
    /// A point in time.
    Time(Timestamp),
    /// A list.
    List(Vec<Value>),
    /// An ordered map.
    Map(Vec<(Str, Value)>),
}

impl Value {
    /// Appends the value as JSON: bytes that are not UTF-8 as base64, times as RFC 3339, NaN and infinities as `null`.
    pub fn write_json(&self, out: &mut Vec<u8>) {
        match self {
            Value::Null => out.extend_from_slice(b"null"),
            Value::Bool(true) => out.extend_from_slice(b"true"),
            Value::Bool(false) => out.extend_from_slice(b"false"),
            Value::Int(number) => {
                out.extend_from_slice(itoa::Buffer::new().format(*number).as_bytes())
            }
            Value::UInt(number) => {
                out.extend_from_slice(itoa::Buffer::new().format(*number).as_bytes())
            }
            Value::Float(number) => write_float(*number, out),
            Value::Number(text) => out.extend_from_slice(text.as_bytes()),
            Value::Str(text) => crate::text::encode_string(text, out),
            Value::Bytes(bytes) => match std::str::from_utf8(bytes) {
                Ok(text) => crate::text::encode_string(text, out),
                Err(_) => crate::text::encode_string(&base64_text(bytes), out),
            },
            Value::Time(time) => crate::text::encode_string(&time.rfc3339_nano(), out),
            Value::List(items) => {
                out.push(b'[');
                for (index, item) in items.iter().enumerate() {
                    if index > 0 {
                        out.push(b',');
                    }
                    item.write_json(out);
                }
                out.push(b']');
            }
            Value::Map(entries) => {
                out.push(b'{');
                for (index, (key, value)) in entries.iter().enumerate() {
                    if index > 0 {
                        out.push(b',');
                    }
                    crate::text::encode_string(key, out);
                    out.push(b':');
                    value.write_json(out);
                }
                out.push(b'}');
            }
        }
    }

    /// Gives the text that conditions compare with: strings as they are, times as RFC 3339, `null` as nothing.
    pub fn to_text(&self) -> Option<String> {
        Some(match self {
            Value::Null => return None,
            Value::Str(text) => text.to_string(),
            Value::Bytes(bytes) => String::from_utf8_lossy(bytes).into_owned(),
            Value::Time(time) => time.rfc3339_nano(),
            other => {
                let mut out = Vec::new();
                other.write_json(&mut out);
                String::from_utf8_lossy(&out).into_owned()
            }
        })
    }

    /// Makes the value of a JSON value; numbers stay as they were written.
    pub fn from_json(json: &serde_json::Value) -> Value {
        match json {
            serde_json::Value::Null => Value::Null,
            serde_json::Value::Bool(value) => Value::Bool(*value),
            serde_json::Value::Number(number) => match (number.as_i64(), number.as_u64()) {
                (Some(number), _) => Value::Int(number),
                (None, Some(number)) => Value::UInt(number),
                _ => Value::Number(number.to_string().into()),
            },
            serde_json::Value::String(text) => Value::Str(text.as_str().into()),
            serde_json::Value::Array(items) => {
                Value::List(items.iter().map(Value::from_json).collect())
            }
            serde_json::Value::Object(entries) => Value::Map(
                entries
                    .iter()
                    .map(|(key, value)| (key.as_str().into(), Value::from_json(value)))
                    .collect(),
            ),
        }
    }
}

impl From<&str> for Value {
    fn from(text: &str) -> Self {
        Value::Str(text.into())
    }
}

fn write_float(number: f64, out: &mut Vec<u8>) {
    if number.is_finite() {
        float::encode_short(number, out);
    } else {
        out.extend_from_slice(b"null");
    }
}

fn base64_text(bytes: &[u8]) -> String {
    use base64::Engine as _;
    base64::engine::general_purpose::STANDARD.encode(bytes)
}
