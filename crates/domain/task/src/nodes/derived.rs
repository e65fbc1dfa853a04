//! What nodes derive from shapes, series and groups, remembered so that nothing is built per point.

use std::collections::HashMap;
use std::sync::Arc;

use foldhash::fast::RandomState;
use levada_model::{FieldValue, Point, Series, Shape, Str, Timestamp, Values};

/// Things made from an input with a number, remembered by it; emptied when full, since inputs come and go.
#[derive(Debug)]
pub struct Memo<T> {
    last_id: u64,
    last: Option<T>,
    by_id: HashMap<u64, T, RandomState>,
    max: usize,
}

/// A field, found in points of any shape.
#[derive(Debug)]
pub struct FieldAt {
    name: Str,
    shape: u64,
    at: Option<usize>,
}

/// Sets a field in copies of points.
#[derive(Debug)]
pub struct WithField {
    name: Str,
    shapes: Memo<(Arc<Shape>, usize)>,
    made: Scratch,
}

/// A point that a node makes anew for each item, in the room of the one before.
#[derive(Debug, Default)]
pub struct Scratch(Option<Point>);

/// Gives series under another name and without a database: those of what a task computes.
#[derive(Debug)]
pub struct Renamed {
    by_series: Memo<Arc<Series>>,
}

/// Shapes that are remembered.
///
/// - Source: ours, as the other bounds here: more than a node meets, and little memory.
pub const SHAPES_MAX: usize = 1_000;
/// Series that are remembered.
pub const SERIES_MAX: usize = 1_000_000;

// === impl Memo ===

impl<T: Clone> Memo<T> {
    /// Remembers at most `max` things.
    pub fn new(max: usize) -> Self {
        Memo { last_id: 0, last: None, by_id: HashMap::default(), max }
    }

    /// Gives what was made for `id`, made now when it is new.
    #[inline]
    pub fn get(&mut self, id: u64, make: impl FnOnce() -> T) -> &T {
        if self.last_id != id || self.last.is_none() {
            self.last = Some(self.find(id, make));
            self.last_id = id;
        }
        self.last.as_ref().expect("it was set just now")
    }

    fn find(&mut self, id: u64, make: impl FnOnce() -> T) -> T {
        if let Some(known) = self.by_id.get(&id) {
            return known.clone();
        }
        if self.by_id.len() >= self.max {
            self.by_id.clear();
        }
        let made = make();
        self.by_id.insert(id, made.clone());
        made
    }
}

// === impl FieldAt ===

impl FieldAt {
    /// Looks for a field of this name.
    pub fn new(name: &str) -> Self {
        // No shape has the number 0.
        FieldAt { name: Str::from(name), shape: 0, at: None }
    }

    /// Gives the name.
    pub fn name(&self) -> &Str {
        &self.name
    }

    /// Gives the value; a field without one counts as absent (U-29).
    #[inline]
    pub fn value<'p>(&mut self, point: &'p Point) -> Option<&'p FieldValue> {
        if self.shape != point.shape.id {
            self.shape = point.shape.id;
            self.at = point.shape.position(&self.name);
        }
        match &point.values[self.at?] {
            FieldValue::Null => None,
            value => Some(value),
        }
    }
}

// === impl WithField ===

impl WithField {
    /// Sets the field `name`.
    pub fn new(name: &str) -> Self {
        WithField { name: Str::from(name), shapes: Memo::new(SHAPES_MAX), made: Scratch::default() }
    }

    /// Gives a copy of a point with the field set, added or replaced; it is there until the next one.
    #[inline]
    pub fn set(&mut self, point: &Point, value: FieldValue) -> &Point {
        let name = &self.name;
        let (shape, at) = self.shapes.get(point.shape.id, || with_name(&point.shape, name));
        let made = self.made.begin(Arc::clone(&point.series), shape, point.time);
        fill(&mut made.values, shape.names.len(), &point.values, *at, value);
        made
    }

    /// Gives a copy of a point with the field set that is there for good.
    pub fn copy(&mut self, point: &Point, value: FieldValue) -> Point {
        let name = &self.name;
        let (shape, at) = self.shapes.get(point.shape.id, || with_name(&point.shape, name));
        let mut values = Values::new();
        fill(&mut values, shape.names.len(), &point.values, *at, value);
        Point { series: Arc::clone(&point.series), shape: Arc::clone(shape), values, ..*point }
    }
}

#[inline]
fn fill(values: &mut Values, count: usize, old: &[FieldValue], at: usize, value: FieldValue) {
    values.reserve(count);
    for old in old {
        values.push(old.clone());
    }
    if at < values.len() {
        values[at] = value;
    } else {
        values.push(value);
    }
}

// === impl Scratch ===

impl Scratch {
    /// Begins a point, without values.
    #[inline]
    pub fn begin(
        &mut self,
        series: Arc<Series>,
        shape: &Arc<Shape>,
        time: Timestamp,
    ) -> &mut Point {
        match &mut self.0 {
            Some(point) => {
                point.series = series;
                if !Arc::ptr_eq(&point.shape, shape) {
                    point.shape = Arc::clone(shape);
                }
                point.values.clear();
                point.time = time;
            }
            none => {
                let (shape, values) = (Arc::clone(shape), Values::new());
                *none = Some(Point { series, shape, values, time });
            }
        }
        self.0.as_mut().expect("it was begun just now")
    }

    /// Gives the point that was begun last.
    #[inline]
    pub fn made(&self) -> &Point {
        self.0.as_ref().expect("one was begun")
    }
}

/// Gives a shape that has the name, and its place.
pub fn with_name(shape: &Arc<Shape>, name: &Str) -> (Arc<Shape>, usize) {
    if let Some(at) = shape.position(name) {
        return (Arc::clone(shape), at);
    }
    let names: Vec<Str> = shape.names.iter().chain([name]).cloned().collect();
    (Shape::new(names.into()), shape.names.len())
}

// === impl Renamed ===

impl Renamed {
    /// Remembers nothing yet.
    pub fn new() -> Self {
        Renamed { by_series: Memo::new(SERIES_MAX) }
    }

    /// Gives the series of this name with the tags of `series`.
    #[inline]
    pub fn series(&mut self, name: &Str, series: &Arc<Series>) -> Arc<Series> {
        let is_wanted = |known: &Series| {
            (Arc::ptr_eq(&known.name, name) || known.name == *name)
                && known.database.is_empty()
                && known.retention.is_empty()
        };
        if is_wanted(series) {
            return Arc::clone(series);
        }
        let make = || {
            let (keys, values) = (Arc::clone(&series.keys), series.values.clone());
            Series::with_keys(Str::from(""), Str::from(""), Str::clone(name), keys, values)
        };
        let known = self.by_series.get(series.id, make);
        // Two groups of different names may have the series.
        if is_wanted(known) { Arc::clone(known) } else { make() }
    }
}

impl Default for Renamed {
    fn default() -> Self {
        Renamed::new()
    }
}
