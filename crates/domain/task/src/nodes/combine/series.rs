//! The tags of combined points.

use std::collections::HashMap;
use std::sync::Arc;

use foldhash::fast::RandomState;
use levada_model::{Group, Point, Series, Str, TagKeys};
use smallvec::SmallVec;

/// Gives the series of combined points.
#[derive(Default)]
pub(super) struct CombinedSeries {
    /// By the slot of the group and the series of the parts.
    known: HashMap<SmallVec<[u64; 6]>, Arc<Series>, RandomState>,
    keys: HashMap<Vec<Str>, Arc<TagKeys>, RandomState>,
    key: SmallVec<[u64; 6]>,
}

/// Combinations of series whose output series is remembered.
const SERIES_MAX: usize = 100_000;
/// Lists of tag keys that are remembered.
const KEYS_MAX: usize = 10_000;

// === impl CombinedSeries ===

impl CombinedSeries {
    /// Gives the series of a combination: the tags of each part under its prefix, the dimensions as they are.
    pub(super) fn of<'p>(
        &mut self,
        name: &Str,
        group: &Group,
        prefixes: &[String],
        part: impl Fn(usize) -> &'p Point,
    ) -> Arc<Series> {
        self.key.clear();
        self.key.push(u64::from(group.slot));
        self.key.extend((0..prefixes.len()).map(|at| part(at).series.id));
        if let Some(known) = self.known.get(self.key.as_slice())
            && known.name == *name
        {
            return Arc::clone(known);
        }
        let mut tags: Vec<(Str, Str)> = Vec::new();
        for (at, prefix) in prefixes.iter().enumerate() {
            for (tag, value) in part(at).series.tags() {
                if group.key.tag(tag).is_none() {
                    tags.push((format!("{prefix}{tag}").into(), Str::clone(value)));
                }
            }
        }
        // The dimensions come last: of two tags with one name the last one stays.
        tags.extend(group.key.tags().map(|(tag, value)| (Str::clone(tag), Str::clone(value))));
        let empty: Str = Str::from("");
        let made = Series::new(Str::clone(&empty), empty, Str::clone(name), tags);
        let series = self.with_known_keys(made);
        if self.known.len() >= SERIES_MAX {
            self.known.clear();
        }
        self.known.insert(self.key.clone(), Arc::clone(&series));
        series
    }

    /// Forgets a group: its slot will be another's.
    pub(super) fn forget(&mut self, slot: u32) {
        self.known.retain(|key, _| key.first() != Some(&u64::from(slot)));
    }

    /// Lets series with equal keys share them, since other nodes remember things by them.
    fn with_known_keys(&mut self, made: Arc<Series>) -> Arc<Series> {
        if self.keys.len() >= KEYS_MAX {
            self.keys.clear();
        }
        let names = made.keys.names.to_vec();
        let keys = Arc::clone(self.keys.entry(names).or_insert_with(|| Arc::clone(&made.keys)));
        Series::with_keys(
            Str::clone(&made.database),
            Str::clone(&made.retention),
            Str::clone(&made.name),
            keys,
            made.values.clone(),
        )
    }
}
