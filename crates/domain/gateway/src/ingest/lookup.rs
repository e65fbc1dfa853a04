//! Points as filters see them.

use levada_codec::line_protocol::parse_float;
use levada_codec::points::line::{Line, Raw};
use levada_codec::points::{Point, Value as PointValue};
use levada_condition::filter::{Key, Lookup, Value};
use levada_model::Category;

/// A line that is looked at where it stands: it is plain and nothing in it is encoded.
pub(super) struct LineLookup<'l, 'b> {
    pub(super) line: &'l Line<'l, 'b>,
    pub(super) category: Category,
}

/// A point.
#[derive(Clone, Copy, Debug)]
pub struct PointLookup<'p, 'b> {
    /// The point.
    pub point: &'p Point<'b>,
    /// Without one no key is injected.
    pub category: Option<Category>,
}

impl Lookup for LineLookup<'_, '_> {
    #[inline]
    fn name(&self) -> &str {
        self.line.name()
    }

    #[inline]
    fn category(&self) -> Option<Category> {
        Some(self.category)
    }

    #[inline]
    fn tag(&self, key: &Key) -> Option<&str> {
        let at = self.line.position(&key.name, true)?;
        match self.line.entry(at).1 {
            Raw::Tag(text) => Some(text),
            _ => None,
        }
    }

    #[inline]
    fn field(&self, key: &Key) -> Option<Value<'_>> {
        let at = self.line.position(&key.name, false)?;
        value_of(self.line.entry(at).1)
    }

    #[inline]
    fn value(&self, key: &Key) -> Option<Value<'_>> {
        value_of(self.line.find(&key.name)?)
    }
}

#[inline]
fn value_of(raw: Raw<'_>) -> Option<Value<'_>> {
    Some(match raw {
        Raw::Float(digits) => Value::Float(parse_float(digits)?),
        Raw::Int(digits) => Value::Int(digits.parse().ok()?),
        Raw::UInt(digits) => Value::UInt(digits.parse().ok()?),
        Raw::Bool(value) => Value::Bool(value),
        Raw::Text(text) | Raw::Tag(text) | Raw::EscapedText(text) => Value::Str(text),
        Raw::Bytes(text) => Value::Bytes(text.as_bytes()),
        Raw::Array(_) => Value::Other,
    })
}

impl Lookup for PointLookup<'_, '_> {
    fn name(&self) -> &str {
        &self.point.name
    }

    fn category(&self) -> Option<Category> {
        self.category
    }

    fn tag(&self, key: &Key) -> Option<&str> {
        let entry =
            self.point.entries.iter().find(|entry| entry.is_tag && *entry.key == *key.name)?;
        match &entry.value {
            PointValue::Str(text) => Some(text),
            _ => None,
        }
    }

    fn field(&self, key: &Key) -> Option<Value<'_>> {
        let is_wanted =
            |entry: &&levada_codec::points::Entry<'_>| !entry.is_tag && *entry.key == *key.name;
        Some(match &self.point.entries.iter().find(is_wanted)?.value {
            PointValue::Nil => return None,
            PointValue::Float(number) => Value::Float(*number),
            PointValue::Int(number) => Value::Int(*number),
            PointValue::UInt(number) => Value::UInt(*number),
            PointValue::Bool(value) => Value::Bool(*value),
            PointValue::Str(text) => Value::Str(text),
            PointValue::Bytes(bytes) => Value::Bytes(bytes),
            PointValue::Array(_) | PointValue::Map(_) => Value::Other,
        })
    }
}
