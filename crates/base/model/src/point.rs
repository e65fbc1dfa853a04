//! Points, batches and groups: what the task engine computes on.
//!
//! Names and tags are interned where points enter: behind that door a series, a set of tag keys and a list of
//! field keys are shared objects with a number, so nothing compares texts per point.
//!
//! ```text
//! Point ── series ──▶ Series { database, retention, name, keys ──▶ TagKeys, tag values }
//!   │  └── shape ───▶ Shape  { field keys in the order of `values` }
//!   └── values, time
//! ```
//!
//! The numbers are unique within the process and never used again, so a cache keyed by one is always right; two
//! objects with the same content may have two numbers, which costs a cache entry and nothing else. Two shapes with one
//! number have the same content: see [`Shape::twin`].

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use smallvec::SmallVec;

use crate::time::Timestamp;
use crate::value::Str;

/// A value of a field.
#[derive(Clone, Debug, PartialEq)]
pub enum FieldValue {
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
    /// A duration in nanoseconds, as a lambda may give one.
    Duration(i64),
    /// A field that is there without a value: a join with `fill('null')` makes it.
    Null,
}

/// The sorted tag keys of a series.
#[derive(Debug)]
pub struct TagKeys {
    /// Unique within the process.
    pub id: u64,
    /// Sorted, without duplicates.
    pub names: Box<[Str]>,
}

/// A measurement with its tags, of one database and retention policy.
#[derive(Debug)]
pub struct Series {
    /// Unique within the process.
    pub id: u64,
    /// Empty for what a task computed.
    pub database: Str,
    /// Empty for what a task computed.
    pub retention: Str,
    /// The measurement.
    pub name: Str,
    /// The keys of the tags.
    pub keys: Arc<TagKeys>,
    /// The values of the tags, in the order of the keys.
    pub values: Box<[Str]>,
}

/// A list of field keys.
#[derive(Debug)]
pub struct Shape {
    /// Unique within the process, but for twins.
    pub id: u64,
    /// In the order of [`Point::values`], without duplicates.
    pub names: Box<[Str]>,
    /// The places of `names` in the order of the names.
    pub sorted: Box<[u32]>,
}

/// The values of the fields of one point.
pub type Values = SmallVec<[FieldValue; 4]>;

/// One point.
#[derive(Debug)]
pub struct Point {
    /// Measurement and tags.
    pub series: Arc<Series>,
    /// The keys of the fields.
    pub shape: Arc<Shape>,
    /// The fields, in the order of the shape.
    pub values: Values,
    /// When it was measured.
    pub time: Timestamp,
}

impl Clone for Point {
    // Inlined pushes: the way of `SmallVec` through iterators was a tenth of the time of a join.
    #[inline]
    fn clone(&self) -> Self {
        let mut values = Values::with_capacity(self.values.len());
        for value in &self.values {
            values.push(value.clone());
        }
        let (series, shape) = (Arc::clone(&self.series), Arc::clone(&self.shape));
        Point { series, shape, values, time: self.time }
    }
}

/// The points of one request, of one database and retention policy.
#[derive(Clone, Debug, Default)]
pub struct PointBatch {
    /// In the order they came in.
    pub points: Vec<Point>,
}

static NEXT_ID: AtomicU64 = AtomicU64::new(1);

fn next_id() -> u64 {
    NEXT_ID.fetch_add(1, Ordering::Relaxed)
}

// === impl FieldValue ===

impl FieldValue {
    /// Gives the name of the kind as Go programs print it: `float64`, `int64`, `string`, `bool`, …
    pub fn go_type(&self) -> &'static str {
        match self {
            FieldValue::Float(_) => "float64",
            FieldValue::Int(_) => "int64",
            FieldValue::UInt(_) => "uint64",
            FieldValue::Bool(_) => "bool",
            FieldValue::Str(_) => "string",
            FieldValue::Bytes(_) => "[]uint8",
            FieldValue::Duration(_) => "time.Duration",
            FieldValue::Null => "<nil>",
        }
    }

    /// Says whether there is no value.
    pub fn is_null(&self) -> bool {
        matches!(self, FieldValue::Null)
    }

    /// Gives an integer or a float as a float.
    pub fn as_number(&self) -> Option<f64> {
        match self {
            FieldValue::Float(number) => Some(*number),
            FieldValue::Int(number) => Some(*number as f64),
            _ => None,
        }
    }
}

// === impl TagKeys ===

impl TagKeys {
    /// Makes a set of keys.
    ///
    /// `names` is sorted and without duplicates.
    pub fn new(names: Box<[Str]>) -> Arc<Self> {
        debug_assert!(names.is_sorted());
        Arc::new(TagKeys { id: next_id(), names })
    }

    /// Gives the place of a key.
    pub fn position(&self, name: &str) -> Option<usize> {
        self.names.iter().position(|known| &**known == name)
    }
}

// === impl Series ===

impl Series {
    /// Makes a series; the tags are sorted here, and of two with the same key the last one stays.
    pub fn new(database: Str, retention: Str, name: Str, mut tags: Vec<(Str, Str)>) -> Arc<Self> {
        tags.sort_by(|one, other| one.0.cmp(&other.0));
        let mut unique: Vec<(Str, Str)> = Vec::with_capacity(tags.len());
        for tag in tags {
            match unique.last_mut() {
                Some(last) if last.0 == tag.0 => *last = tag,
                _ => unique.push(tag),
            }
        }
        let (names, values): (Vec<Str>, Vec<Str>) = unique.into_iter().unzip();
        Series::with_keys(database, retention, name, TagKeys::new(names.into()), values.into())
    }

    /// Makes a series of known keys; there is one value per key.
    pub fn with_keys(
        database: Str,
        retention: Str,
        name: Str,
        keys: Arc<TagKeys>,
        values: Box<[Str]>,
    ) -> Arc<Self> {
        debug_assert_eq!(keys.names.len(), values.len());
        Arc::new(Series { id: next_id(), database, retention, name, keys, values })
    }

    /// Gives the value of a tag.
    pub fn tag(&self, name: &str) -> Option<&Str> {
        self.keys.position(name).map(|at| &self.values[at])
    }

    /// Gives the tags in the order of their keys.
    pub fn tags(&self) -> impl Iterator<Item = (&Str, &Str)> {
        self.keys.names.iter().zip(self.values.iter())
    }
}

// === impl Shape ===

impl Shape {
    /// Makes a shape; `names` has no duplicates.
    pub fn new(names: Box<[Str]>) -> Arc<Self> {
        let mut sorted: Vec<u32> = (0..names.len() as u32).collect();
        sorted.sort_by(|one, other| names[*one as usize].cmp(&names[*other as usize]));
        Arc::new(Shape { id: next_id(), names, sorted: sorted.into() })
    }

    /// Gives another object that is this shape, by its number as well.
    ///
    /// - Whoever makes points holds one shape for all of them, and whoever works on them counts holders up and down at the
    ///   same time, on another core: that costs more than the work. So each load of points gets a twin.
    pub fn twin(&self) -> Arc<Self> {
        Arc::new(Shape { id: self.id, names: self.names.clone(), sorted: self.sorted.clone() })
    }

    /// Gives the place of a field.
    pub fn position(&self, name: &str) -> Option<usize> {
        self.names.iter().position(|known| &**known == name)
    }
}

// === impl Point ===

impl Point {
    /// Gives the value of a field.
    pub fn field(&self, name: &str) -> Option<&FieldValue> {
        self.shape.position(name).map(|at| &self.values[at])
    }

    /// Gives the fields in the order of their names.
    pub fn fields(&self) -> impl Iterator<Item = (&Str, &FieldValue)> {
        self.shape
            .sorted
            .iter()
            .map(|at| (&self.shape.names[*at as usize], &self.values[*at as usize]))
    }
}
