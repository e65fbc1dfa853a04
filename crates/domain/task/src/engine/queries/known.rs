//! Series and shapes of the answers of one query, so that those of the next answer are the same objects.
//!
//! Nodes keep what they know of a series by its number; new numbers with every answer would make that useless.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::Arc;

use foldhash::fast::RandomState;
use levada_model::{Series, Shape, Str, TagKeys};

use crate::engine::input::OwnedBatch;
use crate::recording::RecordedBatch;

/// What the last answer had; what an answer does not have is forgotten with it.
#[derive(Debug, Default)]
pub(super) struct Known {
    series: Generations<SeriesKey, Arc<Series>>,
    keys: Generations<Box<[Str]>, Arc<TagKeys>>,
    shapes: Generations<Box<[Str]>, Arc<Shape>>,
}

/// Measurement, keys and values of the tags.
type SeriesKey = (Str, Box<[Str]>, Box<[Str]>);

/// The entries of this answer and of the last one.
#[derive(Debug)]
struct Generations<K, V> {
    new: HashMap<K, V, RandomState>,
    old: HashMap<K, V, RandomState>,
}

// === impl Known ===

impl Known {
    /// Begins an answer.
    pub(super) fn begin(&mut self) {
        self.series.turn();
        self.keys.turn();
        self.shapes.turn();
    }

    /// Gives a batch whose series and shapes are those of the answers before, where they are equal.
    pub(super) fn share(&mut self, batch: RecordedBatch) -> OwnedBatch {
        let RecordedBatch { name, key, time, mut points } = batch;
        let mut last: Option<(u64, Arc<Shape>)> = None;
        let series = points.first().map(|first| self.series(&first.series));
        for point in &mut points {
            // All points of a batch have the series of the batch.
            if let Some(series) = &series {
                point.series = Arc::clone(series);
            }
            point.shape = match &last {
                Some((id, shape)) if *id == point.shape.id => Arc::clone(shape),
                _ => {
                    let own = &point.shape;
                    let make = || Arc::clone(own);
                    let shape = self.shapes.get(own.names.clone(), make);
                    last = Some((own.id, Arc::clone(&shape)));
                    shape
                }
            };
        }
        OwnedBatch { name, key, time, points }
    }

    fn series(&mut self, own: &Arc<Series>) -> Arc<Series> {
        // Also for a series that is known: its keys must outlive the answer for the next new series.
        let keys = self.keys.get(own.keys.names.clone(), || Arc::clone(&own.keys));
        let key = (Str::clone(&own.name), own.keys.names.clone(), own.values.clone());
        self.series.get(key, || {
            Series::with_keys(
                Str::clone(&own.database),
                Str::clone(&own.retention),
                Str::clone(&own.name),
                keys,
                own.values.clone(),
            )
        })
    }
}

// === impl Generations ===

impl<K, V> Default for Generations<K, V> {
    fn default() -> Self {
        Generations { new: HashMap::default(), old: HashMap::default() }
    }
}

impl<K: Eq + Hash, V: Clone> Generations<K, V> {
    fn turn(&mut self) {
        self.old = std::mem::take(&mut self.new);
    }

    fn get(&mut self, key: K, make: impl FnOnce() -> V) -> V {
        if let Some(value) = self.new.get(&key) {
            return value.clone();
        }
        let value = self.old.remove(&key).unwrap_or_else(make);
        self.new.insert(key, value.clone());
        value
    }
}
