//! How sinks of the original gather records.

use std::time::Duration;

use levada_registry::{FieldPath, Report};

use super::limits::check_not_negative;
use crate::traits::SinkBatching;

/// Records of a batch that only the timer ends. Source: dataflow-operator.md §1.7, `batchSize: 0`.
pub const TIMED_RECORDS_MAX: i32 = 10_000;

/// Records of a batch, whatever the manifest says. Ours: records without a payload do not count
/// against the bytes of a batch, so something else has to bound them.
pub const RECORDS_MAX: i32 = 100_000;

/// The batch settings of a sink's block.
#[derive(Clone, Copy, Debug)]
pub struct Batch {
    /// The sink type, for the warning.
    pub sink: &'static str,
    /// Records when the block says nothing; fewer than that are worth a warning.
    pub default: i32,
    /// `batchSize`.
    pub size: Option<i32>,
    /// `batchFlushIntervalSeconds`.
    pub flush_seconds: Option<i32>,
}

// === impl Batch ===

impl Batch {
    /// Reports negative values, and warns of sizes that cost throughput or have no effect.
    ///
    /// Source: dataflow-operator.md §7.2, throughput.
    pub fn check(self, at: &FieldPath, report: &mut Report) {
        check_not_negative("batchSize", self.size, at, report);
        check_not_negative("batchFlushIntervalSeconds", self.flush_seconds, at, report);
        let Some(size) = self.size else { return };
        let (sink, default) = (self.sink, self.default);
        let path = at.child("batchSize");
        if (1..default).contains(&size) {
            let text = format!(
                "{sink} sink batchSize={size} is below recommended minimum {default} for \
                 throughput; raise it, or leave it out for the default"
            );
            report.warning(&path, text);
        }
        if size > RECORDS_MAX {
            report.warning(&path, format!("batches hold at most {RECORDS_MAX} records"));
        }
        if size == 0 && self.flush_seconds == Some(0) {
            let text = format!(
                "without a flush interval a batch is written when it holds {TIMED_RECORDS_MAX} \
                 records; set batchSize or batchFlushIntervalSeconds"
            );
            report.warning(&path, text);
        }
    }

    /// Gives how records are gathered.
    ///
    /// Differs: an interval that is not set is 1 s and not 10 s (dataflow-operator.md §10.11).
    pub fn batching(self) -> SinkBatching {
        let records = match self.size.unwrap_or(self.default) {
            0 => TIMED_RECORDS_MAX,
            size => size.clamp(1, RECORDS_MAX),
        };
        let gathered = SinkBatching::records(records as usize);
        let linger = match self.flush_seconds {
            None => gathered.linger,
            // Off: longer than any interval that can be written.
            Some(0) => Duration::from_secs(i32::MAX as u64),
            Some(seconds) => Duration::from_secs(seconds.max(1) as u64),
        };
        SinkBatching { linger, ..gathered }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn batch(size: Option<i32>, flush_seconds: Option<i32>) -> Batch {
        Batch { sink: "postgresql", default: 100, size, flush_seconds }
    }

    #[test]
    fn zero_and_absent_are_not_the_same() {
        let gathered = |size, seconds| {
            let batching = batch(size, seconds).batching();
            (batching.records, batching.linger.as_secs())
        };
        assert_eq!(gathered(None, None), (100, 1));
        assert_eq!(gathered(Some(1), Some(10)), (1, 10));
        assert_eq!(gathered(Some(0), Some(5)), (10_000, 5));
        assert_eq!(gathered(Some(7), Some(0)), (7, i32::MAX as u64));
        assert_eq!(gathered(Some(i32::MAX), Some(-1)), (100_000, 1));
        assert_eq!(gathered(Some(-1), None), (1, 1));
    }

    #[test]
    fn only_sizes_that_matter_are_reported() {
        let count = |size, seconds| {
            let mut report = Report::new();
            batch(size, seconds).check(&FieldPath::root(), &mut report);
            report.problems().len()
        };
        for (size, seconds, problems) in [
            (None, None, 0),
            (Some(100), Some(0), 0),
            (Some(99), None, 1),
            (Some(1), None, 1),
            (Some(0), None, 0),
            (Some(0), Some(0), 1),
            (Some(-1), Some(-1), 2),
            (Some(100_000), None, 0),
            (Some(100_001), None, 1),
        ] {
            assert_eq!(count(size, seconds), problems, "{size:?} {seconds:?}");
        }
    }
}
