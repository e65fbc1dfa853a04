//! Batches on edges, and the gathering of small ones.

use levada_model::RecordBatch;
use levada_runtime::Weigh;

/// A batch on its way, with its number in reading order.
pub(super) struct Parcel {
    /// Counts from zero at the source; 0 where order does not matter.
    pub(super) sequence: u64,
    /// The records.
    pub(super) batch: Box<RecordBatch>,
}

impl Weigh for Parcel {
    fn weigh(&self) -> (u64, u64) {
        (self.batch.len() as u64, self.batch.text.len() as u64)
    }
}

/// Moves records from one batch to the end of another.
///
/// Origins that both know by the same counter stay one.
pub(super) fn append(
    target: &mut RecordBatch,
    source: &RecordBatch,
    range: std::ops::Range<usize>,
) {
    let mut last: Option<(u32, u32)> = None;
    for index in range {
        let from = source.records[index].origin;
        let to = match last {
            Some((known, to)) if known == from => to,
            _ => {
                target.origins.push(source.origins[from as usize].clone());
                target.origins.len() as u32 - 1
            }
        };
        last = Some((from, to));
        target.push_from(source, index, to);
    }
    target.received_at = source.received_at;
    target.processed_at = source.processed_at;
}
