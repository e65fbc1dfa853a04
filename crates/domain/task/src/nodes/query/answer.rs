//! Answers of servers as batches.
//!
//! - Source: kapacitor reference §8.4 and §8.5.

use std::sync::Arc;

use levada_influxql::{flux, result};
use levada_model::{FieldValue, GroupKey, Point, Series, Shape, Str, Timestamp, Values};

use crate::recording::RecordedBatch;

/// How an answer becomes batches.
#[derive(Clone, Copy, Debug)]
pub struct Conversion {
    /// Batches are grouped by measurement, too.
    pub by_name: bool,
    /// The query is cut into buckets of time, so a batch ends with its last point.
    pub is_grouped_by_time: bool,
    /// The end of the range that was asked for.
    pub stop: Timestamp,
}

/// Gives the batch of a series.
///
/// - A row without values is dropped; a series whose rows are all empty is an empty batch.
pub fn of_series(series: &result::Series, conversion: Conversion) -> RecordedBatch {
    let (key, model) = group(&series.name, &series.tags, conversion.by_name);
    let mut shapes = Shapes::default();
    let mut points = Vec::with_capacity(series.rows.len());
    for row in &series.rows {
        if let Some((shape, values)) = shapes.fields(&series.columns, &row.values) {
            points.push(Point { series: Arc::clone(&model), shape, values, time: row.time });
        }
    }
    let last = points.iter().map(|point| point.time).max();
    let time = last.filter(|_| conversion.is_grouped_by_time).unwrap_or(conversion.stop);
    RecordedBatch { name: Str::clone(&series.name), key, time, points }
}

/// Gives the batch of a table; `tick` is its time when no row has one.
///
/// - A time among the fields is its nanoseconds: upstream keeps a value that nothing can read.
pub fn of_table(table: &flux::Table, tick: Timestamp) -> RecordedBatch {
    let (key, model) = group(&table.name, &table.tags, false);
    let mut shapes = Shapes::default();
    let mut points = Vec::with_capacity(table.rows.len());
    for row in &table.rows {
        let values: Values = row.cells.iter().map(field).collect();
        if let Some((shape, values)) = shapes.fields(&table.columns, &values) {
            let time = row.time.unwrap_or(tick);
            points.push(Point { series: Arc::clone(&model), shape, values, time });
        }
    }
    let time = points.iter().map(|point| point.time).max().unwrap_or(tick);
    RecordedBatch { name: Str::clone(&table.name), key, time, points }
}

fn field(cell: &flux::Cell) -> FieldValue {
    match cell {
        flux::Cell::Float(number) => FieldValue::Float(*number),
        flux::Cell::Int(number) => FieldValue::Int(*number),
        flux::Cell::UInt(number) => FieldValue::UInt(*number),
        flux::Cell::Bool(flag) => FieldValue::Bool(*flag),
        flux::Cell::Str(text) => FieldValue::Str(Str::clone(text)),
        flux::Cell::Time(time) => FieldValue::Int(time.0),
        flux::Cell::Null => FieldValue::Null,
    }
}

/// All tags of a series are its dimensions.
fn group(name: &Str, tags: &[(Str, Str)], by_name: bool) -> (GroupKey, Arc<Series>) {
    let none = Str::default();
    let series = Series::new(none.clone(), none, Str::clone(name), tags.to_vec());
    let key = GroupKey {
        name: by_name.then(|| Str::clone(name)),
        dimensions: series.keys.names.to_vec().into(),
        values: series.values.clone(),
    };
    (key, series)
}

/// The shapes of one answer, by which columns have a value.
#[derive(Default)]
struct Shapes {
    known: Vec<(Vec<bool>, Arc<Shape>)>,
    present: Vec<bool>,
}

// === impl Shapes ===

impl Shapes {
    /// Gives the fields that have a value; `None` when none has.
    fn fields(&mut self, columns: &[Str], values: &[FieldValue]) -> Option<(Arc<Shape>, Values)> {
        self.present.clear();
        self.present.extend(values.iter().map(|value| !value.is_null()));
        if !self.present.contains(&true) {
            return None;
        }
        let shape = match self.known.iter().find(|(present, _)| *present == self.present) {
            Some((_, shape)) => Arc::clone(shape),
            None => self.make(columns),
        };
        Some((shape, values.iter().filter(|value| !value.is_null()).cloned().collect()))
    }

    fn make(&mut self, columns: &[Str]) -> Arc<Shape> {
        let named = columns.iter().zip(&self.present).filter(|(_, is_present)| **is_present);
        let shape = Shape::new(named.map(|(name, _)| Str::clone(name)).collect());
        /// Answers with more patterns of nulls make shapes anew.
        const KNOWN_MAX: usize = 64;
        if self.known.len() < KNOWN_MAX {
            self.known.push((self.present.clone(), Arc::clone(&shape)));
        }
        shape
    }
}
