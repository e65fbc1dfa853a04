//! Batches that are used again, so that a flow in its stride allocates nothing.

use std::sync::{Mutex, PoisonError};

use levada_model::RecordBatch;

/// A bounded stack of empty batches.
#[derive(Debug, Default)]
#[expect(clippy::vec_box, reason = "batches travel in their boxes; unboxing them would copy them")]
pub(super) struct BatchPool(Mutex<Vec<Box<RecordBatch>>>);

// As many as can be under way in a flow with a few sinks.
const POOL_MAX: usize = 64;
// A batch that grew for one huge record is not kept.
const TEXT_KEPT_MAX: usize = 512 << 10;

impl BatchPool {
    /// Gives an empty batch.
    pub(super) fn take(&self) -> Box<RecordBatch> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).pop().unwrap_or_default()
    }

    /// Takes a batch back.
    pub(super) fn give(&self, mut batch: Box<RecordBatch>) {
        if batch.text.capacity() > TEXT_KEPT_MAX {
            return;
        }
        batch.clear();
        let mut stack = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if stack.len() < POOL_MAX {
            stack.push(batch);
        }
    }
}
