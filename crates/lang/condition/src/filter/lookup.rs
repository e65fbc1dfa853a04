//! What a filter looks at: a point, as its owner keeps it.

use std::collections::HashMap;

use foldhash::fast::RandomState;
use levada_model::{Category, FieldValue, Point, Str};

use super::compat::Injected;

/// A value of a point.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Value<'p> {
    /// A text.
    Str(&'p str),
    /// A signed integer.
    Int(i64),
    /// An unsigned integer.
    UInt(u64),
    /// A float.
    Float(f64),
    /// A boolean.
    Bool(bool),
    /// Bytes.
    Bytes(&'p [u8]),
    /// An array or a map: it is there, and it is like no literal.
    Other,
}

/// A point as a filter sees it.
///
/// A key is asked for as a tag and as a field; the filter knows which of the two its rules prefer. A field without
/// a value is a field that is not there.
pub trait Lookup {
    /// Gives the name of the point: its measurement.
    fn name(&self) -> &str;

    /// Gives the category that the point was written to; without one no key is injected.
    fn category(&self) -> Option<Category>;

    /// Gives the value of a tag.
    fn tag(&self, key: &Key) -> Option<&str>;

    /// Gives the value of a field.
    fn field(&self, key: &Key) -> Option<Value<'_>>;

    /// Gives the value of a tag, or that of a field when there is no such tag.
    #[inline]
    fn value(&self, key: &Key) -> Option<Value<'_>> {
        match self.tag(key) {
            Some(tag) => Some(Value::Str(tag)),
            None => self.field(key),
        }
    }
}

/// A key that filters ask for.
#[derive(Clone, Debug)]
pub struct Key {
    /// Counts from zero within its [`Keys`], so that what is known about a key can be kept in an array.
    pub id: u32,
    /// The name.
    pub name: Box<str>,
    pub(super) injected: Option<Injected>,
}

/// The keys of filters that are evaluated together, each with a small number.
///
/// A point that 100 filters ask for `host` can look it up once: its [`Lookup`] keeps the place of each key by number.
#[derive(Clone, Debug, Default)]
pub struct Keys {
    ids: HashMap<Box<str>, u32, RandomState>,
}

/// A point that owns what it holds.
#[derive(Clone, Debug, Default)]
pub struct Record {
    /// The measurement.
    pub name: String,
    /// Where it was written to.
    pub category: Option<Category>,
    /// In any order.
    pub tags: Vec<(String, String)>,
    /// In any order.
    pub fields: Vec<(String, FieldValue)>,
}

/// A point of the task engine with the category it is taken to belong to.
#[derive(Clone, Copy, Debug)]
pub struct Categorized<'p> {
    /// The point.
    pub point: &'p Point,
    /// Without one no key is injected.
    pub category: Option<Category>,
}

// === impl Value ===

impl<'p> Value<'p> {
    /// Gives the value of a field; a field without a value is not there.
    pub fn of_field(value: &'p FieldValue) -> Option<Value<'p>> {
        Some(match value {
            FieldValue::Float(number) => Value::Float(*number),
            FieldValue::Int(number) => Value::Int(*number),
            FieldValue::UInt(number) => Value::UInt(*number),
            FieldValue::Bool(value) => Value::Bool(*value),
            FieldValue::Str(text) => Value::Str(text),
            FieldValue::Bytes(bytes) => Value::Bytes(bytes),
            FieldValue::Duration(_) => Value::Other,
            FieldValue::Null => return None,
        })
    }
}

// === impl Keys ===

impl Keys {
    /// Gives how many keys there are; the numbers are below.
    pub fn len(&self) -> usize {
        self.ids.len()
    }

    /// Says whether there are none.
    pub fn is_empty(&self) -> bool {
        self.ids.is_empty()
    }

    /// Gives the number of a key that some filter asks for.
    pub fn id(&self, name: &str) -> Option<u32> {
        self.ids.get(name).copied()
    }

    pub(super) fn intern(&mut self, name: &str) -> Key {
        let next = self.ids.len() as u32;
        let id = match self.ids.get(name) {
            Some(id) => *id,
            None => {
                self.ids.insert(name.into(), next);
                next
            }
        };
        Key { id, name: name.into(), injected: Injected::of(name) }
    }
}

// === impl Record ===

impl Lookup for Record {
    fn name(&self) -> &str {
        &self.name
    }

    fn category(&self) -> Option<Category> {
        self.category
    }

    fn tag(&self, key: &Key) -> Option<&str> {
        let found = self.tags.iter().find(|(name, _)| **name == *key.name);
        found.map(|(_, value)| value.as_str())
    }

    fn field(&self, key: &Key) -> Option<Value<'_>> {
        let found = self.fields.iter().find(|(name, _)| **name == *key.name);
        found.and_then(|(_, value)| Value::of_field(value))
    }
}

// === impl Categorized ===

impl Lookup for Categorized<'_> {
    fn name(&self) -> &str {
        &self.point.series.name
    }

    fn category(&self) -> Option<Category> {
        self.category
    }

    fn tag(&self, key: &Key) -> Option<&str> {
        self.point.series.tag(&key.name).map(Str::as_ref)
    }

    fn field(&self, key: &Key) -> Option<Value<'_>> {
        self.point.field(&key.name).and_then(Value::of_field)
    }
}
