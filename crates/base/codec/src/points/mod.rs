//! Points as DataKit and Dataway exchange them: typed values, tags and fields in their order, three formats.
//!
//! ```text
//! lines ── scan ──▶ Line (spans of the body) ──▶ copied as they are
//!                     └── point() ──▶ Point ◀── protobuf, JSON
//!                                       │ checks: limits, keys, categories
//!                                       └──▶ lines, protobuf, JSON
//! ```
//! - [`line`]: the dialect `point` of line protocol: unsigned integers, bytes `"aGk="b`, arrays `[1i,2i]`. A line that
//!   needs no change is never taken apart: [`line::Line`] is made of places in the body.
//! - [`protobuf`]: version 2 bodies, `com.guance.Point`.
//! - [`json`]: both shapes of JSON bodies.
//! - [`remote_write`], [`otlp`]: what Prometheus and OpenTelemetry send, read as points; [`tally`] bounds what they become.
//! - [`influx`], [`series`]: points as InfluxDB and Prometheus take them.
//! - [`checks`]: limits and the rules of categories, with the warnings that upstream gives.
//! - [`time`]: units of time, and how one is guessed.
//!
//! A [`Point`] borrows what it can from the body. Nothing here reads a clock: who decodes says what time it is.
//!
//! Source: dataway reference §8; the numbers B1 to B50 are those of its §12.

use std::borrow::Cow;

use levada_model::Timestamp;

pub mod checks;
pub mod influx;
pub mod json;
pub mod line;
pub mod otlp;
pub mod otlp_json;
pub mod protobuf;
pub mod remote_write;
pub mod remote_write_v2;
pub mod series;
pub mod tally;
pub mod time;

pub use checks::{Checks, Warning, WarningKind};
pub use time::Unit;

/// A point.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Point<'a> {
    /// The measurement.
    pub name: Cow<'a, str>,
    /// Tags and fields, in the order in which they came.
    pub entries: Vec<Entry<'a>>,
    /// When it was measured; who decodes fills in what is missing.
    pub time: Timestamp,
    /// What was wrong with it, as the sender says.
    pub warnings: Vec<Remark<'a>>,
    /// Notes of the sender for its developers.
    pub debugs: Vec<Cow<'a, str>>,
}

/// A tag or a field.
#[derive(Clone, Debug, PartialEq)]
pub struct Entry<'a> {
    /// The key.
    pub key: Cow<'a, str>,
    /// The value; that of a tag is a text.
    pub value: Value<'a>,
    /// Whether it is a tag.
    pub is_tag: bool,
    /// What few entries have.
    pub details: Option<Box<Details<'a>>>,
}

/// What is known about a metric beside its value.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Details<'a> {
    /// 0 unspecified, 1 count, 2 rate, 3 gauge; newer senders have more.
    pub metric_type: i32,
    /// The unit, empty when there is none.
    pub unit: Cow<'a, str>,
    /// For people.
    pub description: Cow<'a, str>,
}

/// A value.
#[derive(Clone, Debug, PartialEq)]
pub enum Value<'a> {
    /// A field without a value.
    Nil,
    /// A 64-bit float.
    Float(f64),
    /// A signed integer.
    Int(i64),
    /// An unsigned integer.
    UInt(u64),
    /// A boolean.
    Bool(bool),
    /// A text.
    Str(Cow<'a, str>),
    /// Bytes.
    Bytes(Cow<'a, [u8]>),
    /// Values, none of which is a list or a map.
    Array(Vec<Value<'a>>),
    /// Values by key, none of which is a list or a map.
    Map(Vec<(Cow<'a, str>, Value<'a>)>),
}

/// What another format cannot hold.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LeftOut {
    /// Tags and fields.
    pub fields: u64,
    /// Points of which nothing is left.
    pub points: u32,
}

/// A warning that came with a point.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Remark<'a> {
    /// One of the types of upstream.
    pub kind: Cow<'a, str>,
    /// For people.
    pub message: Cow<'a, str>,
}

/// The names of the metric types that have one.
pub(crate) const METRIC_TYPES: [&str; 4] = ["UNSPECIFIED", "COUNT", "RATE", "GAUGE"];

// === impl Point ===

impl Point<'_> {
    /// Says whether there is a field with a value.
    pub fn has_field(&self) -> bool {
        self.entries.iter().any(|entry| !entry.is_tag && !entry.value.is_nothing())
    }

    /// Gives an entry.
    pub fn entry(&self, key: &str) -> Option<&Entry<'_>> {
        self.entries.iter().find(|entry| entry.key == key)
    }

    /// Gives about how many bytes the point takes in a body of any format.
    pub fn size(&self) -> usize {
        let entries = self.entries.iter().map(|entry| {
            let details = entry.details.as_ref();
            entry.key.len()
                + 13
                + entry.value.size()
                + details.map_or(0, |details| details.unit.len() + details.description.len())
        });
        let remarks = self.warnings.iter().map(|one| one.kind.len() + one.message.len());
        let debugs = self.debugs.iter().map(|one| one.len());
        self.name.len() + entries.sum::<usize>() + remarks.sum::<usize>() + debugs.sum::<usize>()
    }

    /// Gives a point that borrows nothing.
    pub fn into_owned(self) -> Point<'static> {
        fn own(text: Cow<'_, str>) -> Cow<'static, str> {
            Cow::Owned(text.into_owned())
        }
        let entry = |entry: Entry<'_>| Entry {
            key: own(entry.key),
            value: entry.value.into_owned(),
            is_tag: entry.is_tag,
            details: entry.details.map(|details| {
                let Details { metric_type, unit, description } = *details;
                Box::new(Details { metric_type, unit: own(unit), description: own(description) })
            }),
        };
        let remark =
            |remark: Remark<'_>| Remark { kind: own(remark.kind), message: own(remark.message) };
        Point {
            name: own(self.name),
            entries: self.entries.into_iter().map(entry).collect(),
            time: self.time,
            warnings: self.warnings.into_iter().map(remark).collect(),
            debugs: self.debugs.into_iter().map(own).collect(),
        }
    }
}

// === impl Entry ===

impl<'a> Entry<'a> {
    /// Makes a tag.
    pub fn tag(key: impl Into<Cow<'a, str>>, value: impl Into<Cow<'a, str>>) -> Self {
        Entry { key: key.into(), value: Value::Str(value.into()), is_tag: true, details: None }
    }

    /// Makes a field.
    pub fn field(key: impl Into<Cow<'a, str>>, value: Value<'a>) -> Self {
        Entry { key: key.into(), value, is_tag: false, details: None }
    }
}

// === impl Value ===

impl Value<'_> {
    /// Says whether nothing would be written for it: no value, or an empty list.
    pub fn is_nothing(&self) -> bool {
        match self {
            Value::Nil => true,
            Value::Array(items) => items.is_empty(),
            Value::Map(items) => items.is_empty(),
            _ => false,
        }
    }

    fn size(&self) -> usize {
        match self {
            Value::Nil => 0,
            Value::Float(_) | Value::Int(_) | Value::UInt(_) => 8,
            Value::Bool(_) => 1,
            Value::Str(text) => text.len(),
            Value::Bytes(bytes) => bytes.len(),
            Value::Array(items) => items.iter().map(|item| item.size() + 2).sum(),
            Value::Map(items) => items.iter().map(|(key, item)| key.len() + item.size() + 6).sum(),
        }
    }

    fn into_owned(self) -> Value<'static> {
        match self {
            Value::Nil => Value::Nil,
            Value::Float(number) => Value::Float(number),
            Value::Int(number) => Value::Int(number),
            Value::UInt(number) => Value::UInt(number),
            Value::Bool(value) => Value::Bool(value),
            Value::Str(text) => Value::Str(Cow::Owned(text.into_owned())),
            Value::Bytes(bytes) => Value::Bytes(Cow::Owned(bytes.into_owned())),
            Value::Array(items) => Value::Array(items.into_iter().map(Value::into_owned).collect()),
            Value::Map(items) => Value::Map(
                items
                    .into_iter()
                    .map(|(key, item)| (Cow::Owned(key.into_owned()), item.into_owned()))
                    .collect(),
            ),
        }
    }
}
