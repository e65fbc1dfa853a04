//! Series that carry the tags of a group and no others.

use std::collections::HashMap;
use std::sync::Arc;

use foldhash::fast::RandomState;
use levada_model::{Group, Series, Str, TagKeys};
use smallvec::SmallVec;

use crate::runtime::PerGroup;

/// Gives the series of computed points: a measurement and the tags of a group, of no database.
///
/// - Groups of the same dimensions share one set of keys, so what a lambda remembers per set of keys fits all of them.
#[derive(Debug, Default)]
pub struct GroupSeries {
    keys: HashMap<Arc<[Str]>, Arc<TagKeys>, RandomState>,
    known: PerGroup<SmallVec<[Arc<Series>; 2]>>,
}

/// Measurements that are remembered per group.
const NAMES_MAX: usize = 8;

/// Lists of dimensions that are remembered.
const KEYS_MAX: usize = 10_000;

// === impl GroupSeries ===

impl GroupSeries {
    /// Gives the series of a measurement and a group.
    #[inline]
    pub fn of(&mut self, name: &Str, group: &Group) -> Arc<Series> {
        if let Some(known) = self.known.get(group.slot) {
            let is_name = |one: &&Arc<Series>| Arc::ptr_eq(&one.name, name) || one.name == *name;
            if let Some(series) = known.iter().find(is_name) {
                return Arc::clone(series);
            }
        }
        self.learn(name, group)
    }

    /// Forgets a group.
    pub fn forget(&mut self, slot: u32) {
        self.known.remove(slot);
    }

    #[cold]
    fn learn(&mut self, name: &Str, group: &Group) -> Arc<Series> {
        let key = &group.key;
        let empty: Str = Str::from("");
        let (database, retention, name) = (Str::clone(&empty), empty, Str::clone(name));
        let series = if key.dimensions.is_sorted() {
            if self.keys.len() >= KEYS_MAX {
                self.keys.clear();
            }
            let make = || TagKeys::new(key.dimensions.to_vec().into());
            let keys = self.keys.entry(Arc::clone(&key.dimensions)).or_insert_with(make);
            Series::with_keys(database, retention, name, Arc::clone(keys), key.values.clone())
        } else {
            // Dimensions are sorted by whoever groups; saved state that was damaged may say otherwise.
            let tags = key.tags().map(|(tag, value)| (Str::clone(tag), Str::clone(value)));
            Series::new(database, retention, name, tags.collect())
        };
        let known = self.known.entry(group.slot, SmallVec::new);
        if known.len() >= NAMES_MAX {
            known.clear();
        }
        known.push(Arc::clone(&series));
        series
    }
}
