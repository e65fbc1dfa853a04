//! What `influxDBOut` and `kapacitorLoopback` share: points with another name, more tags and no empty fields.

use std::collections::HashMap;
use std::sync::Arc;

use foldhash::fast::RandomState;
use levada_model::{Point, Series, Shape, Str};

use crate::property::Pairs;

/// Gives points as they are to be written.
#[derive(Debug)]
pub(super) struct Written {
    /// Empty: the name that the point has.
    name: Str,
    tags: Vec<(Str, Str)>,
    series: HashMap<u64, Arc<Series>, RandomState>,
    shapes: HashMap<(u64, u64), Arc<Shape>, RandomState>,
}

/// Series and shapes that are remembered; a table is emptied when it is full.
const KNOWN_MAX: usize = 100_000;

// === impl Written ===

impl Written {
    /// Makes one that writes to `measurement`, or to the name of the point when that is empty.
    pub(super) fn new(measurement: &str, tags: &Pairs) -> Self {
        Written {
            name: measurement.into(),
            tags: tags
                .0
                .iter()
                .map(|(key, value)| (key.as_str().into(), value.as_str().into()))
                .collect(),
            series: HashMap::default(),
            shapes: HashMap::default(),
        }
    }

    /// Gives the point to be written; `None` when it has no field with a value (U-29).
    ///
    /// - `name` is the name of the batch that the point came in.
    pub(super) fn point(&mut self, point: &Point, name: &Str) -> Option<Point> {
        let (shape, values) = if point.values.iter().any(levada_model::FieldValue::is_null) {
            let values = point.values.iter().filter(|value| !value.is_null()).cloned();
            (self.without_nulls(point), values.collect())
        } else {
            (Arc::clone(&point.shape), point.values.clone())
        };
        if shape.names.is_empty() {
            return None;
        }
        Some(Point { series: self.series(&point.series, name), shape, values, time: point.time })
    }

    fn series(&mut self, series: &Arc<Series>, name: &Str) -> Arc<Series> {
        let name = if self.name.is_empty() { name } else { &self.name };
        if self.tags.is_empty() && series.name == *name {
            return Arc::clone(series);
        }
        if let Some(known) = self.series.get(&series.id)
            && known.name == *name
        {
            return Arc::clone(known);
        }
        // Of two tags with one key the later stays: those of the node are the later ones.
        let own = series.tags().map(|(key, value)| (Str::clone(key), Str::clone(value)));
        let tags = own.chain(self.tags.iter().cloned()).collect();
        let (database, retention) = (Str::clone(&series.database), Str::clone(&series.retention));
        let made = Series::new(database, retention, Str::clone(name), tags);
        if self.series.len() >= KNOWN_MAX {
            self.series.clear();
        }
        self.series.insert(series.id, Arc::clone(&made));
        made
    }

    fn without_nulls(&mut self, point: &Point) -> Arc<Shape> {
        let mut mask = 0_u64;
        for (at, value) in point.values.iter().enumerate() {
            mask |= u64::from(value.is_null()) << (at % 64);
        }
        let make = || {
            let named = point.shape.names.iter().zip(&point.values);
            Shape::new(
                named.filter(|(_, value)| !value.is_null()).map(|(n, _)| Str::clone(n)).collect(),
            )
        };
        // A mask of 64 bits tells no more fields apart.
        if point.values.len() > 64 {
            return make();
        }
        if self.shapes.len() >= KNOWN_MAX {
            self.shapes.clear();
        }
        Arc::clone(self.shapes.entry((point.shape.id, mask)).or_insert_with(make))
    }
}
