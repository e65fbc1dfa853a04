//! Series that several parsers have in common.
//!
//! Each parser remembers the spellings it saw; the series they lead to are the same objects, so that their texts, and what
//! tasks remember of series by their numbers, are there once. It is asked only for spellings that a parser does not know.

use std::collections::HashMap;
use std::hash::{BuildHasher as _, Hasher as _};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use foldhash::fast::RandomState;
use levada_model::point::Series;

/// With fewer series nobody looks for those that are gone.
const PRUNED_MIN: usize = 1_024;

/// Series that several parsers have in common; cheap to clone.
///
/// - A series is forgotten when no parser, point or task holds it any more.
#[derive(Clone, Debug, Default)]
pub struct SharedSeries(Arc<Mutex<Known>>);

#[derive(Debug, Default)]
struct Known {
    hasher: RandomState,
    series: HashMap<u64, Weak<Series>, RandomState>,
    /// With so many it is looked for those that are gone.
    prune_at: usize,
}

// === impl SharedSeries ===

impl SharedSeries {
    /// Gives the series that is known and equals this one, or makes this one known.
    pub(super) fn get(&self, series: Arc<Series>) -> Arc<Series> {
        let mut known = self.lock();
        let hash = known.hash(&series);
        if let Some(other) = known.series.get(&hash).and_then(Weak::upgrade)
            && are_equal(&other, &series)
        {
            return other;
        }
        known.prune();
        known.series.insert(hash, Arc::downgrade(&series));
        series
    }

    fn lock(&self) -> MutexGuard<'_, Known> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

// === impl Known ===

impl Known {
    fn hash(&self, series: &Series) -> u64 {
        let mut hasher = self.hasher.build_hasher();
        let names = [&series.database, &series.retention, &series.name].into_iter();
        for text in names.chain(&series.keys.names).chain(&series.values) {
            hasher.write_usize(text.len());
            hasher.write(text.as_bytes());
        }
        hasher.finish()
    }

    /// Forgets what is gone, each time there are twice as many as were left the last time.
    fn prune(&mut self) {
        if self.series.len() < self.prune_at.max(PRUNED_MIN) {
            return;
        }
        self.series.retain(|_, series| series.strong_count() > 0);
        self.prune_at = self.series.len() * 2;
    }
}

fn are_equal(one: &Series, other: &Series) -> bool {
    one.database == other.database
        && one.retention == other.retention
        && one.name == other.name
        && one.keys.names == other.keys.names
        && one.values == other.values
}

#[cfg(test)]
mod tests {
    use levada_model::{Str, Timestamp};

    use super::super::{Limits, Parser, Precision};
    use super::*;

    fn series(parser: &mut Parser, line: &str) -> Arc<Series> {
        let (database, retention) = (Str::from("db"), Str::from("rp"));
        let mut points = Vec::new();
        let now = Timestamp(0);
        let (unit, line) = (Precision::Nanoseconds, line.as_bytes());
        let outcome = parser.parse(&database, &retention, unit, now, line, &mut points);
        assert!(outcome.problems.is_empty(), "{:?}", outcome.problems);
        Arc::clone(&points[0].series)
    }

    #[test]
    fn parsers_that_share_give_the_same_series() {
        let shared = SharedSeries::default();
        let mut parsers =
            [(); 2].map(|()| Parser::sharing(Limits::default(), SharedSeries::clone(&shared)));
        let [one, other] = &mut parsers;
        let first = series(one, "cpu,host=a,dc=x v=1 1");
        assert!(Arc::ptr_eq(&first, &series(other, "cpu,dc=x,host=a v=1 1")), "sorted");
        assert!(Arc::ptr_eq(&first, &series(other, "cpu,host=a,dc=x v=1 1")));
        for different in ["cpu,host=b,dc=x v=1 1", "mem,host=a,dc=x v=1 1", "cpu,host=a v=1 1"] {
            assert!(!Arc::ptr_eq(&first, &series(other, different)), "{different}");
        }
        let alone = series(&mut Parser::new(Limits::default()), "cpu,host=a,dc=x v=1 1");
        assert!(!Arc::ptr_eq(&first, &alone));
    }

    #[test]
    fn what_nobody_holds_is_forgotten() {
        let shared = SharedSeries::default();
        let limits = Limits { series_max: 100, ..Limits::default() };
        let mut parser = Parser::sharing(limits, SharedSeries::clone(&shared));
        for number in 0..20 * PRUNED_MIN {
            series(&mut parser, &format!("cpu,host={number} v=1 1"));
            assert!(shared.lock().series.len() <= PRUNED_MIN);
        }
    }
}
