//! What the tests of the connectors here share.

use std::path::Path;

use levada_model::{ObjectRef, RecordBatch, Timestamp};
use levada_runtime::{Tasks, VirtualClock};
use levada_telemetry::metrics::Registry;

use crate::{BuildContext, Links};

/// 2026-02-07T10:30:00Z, where the clock of [`context`] stands.
pub(crate) const NOW: Timestamp = Timestamp(1_770_460_200_000_000_000);

/// Gives a context whose clock stands still.
pub(crate) fn context(base_dir: impl AsRef<Path>) -> BuildContext {
    BuildContext {
        flow: ObjectRef::new("DataFlow", "default", "test"),
        base_dir: base_dir.as_ref().to_owned(),
        clock: VirtualClock::new(NOW),
        metrics: Registry::new(),
        tasks: Tasks::new(),
        batch_records: 2000,
        batch_bytes: 128 << 10,
        is_exactly_once: false,
        is_compat: false,
        links: Links::default(),
    }
}

/// Gives the payloads as text.
pub(crate) fn payloads(batch: &RecordBatch) -> Vec<String> {
    (0..batch.len())
        .map(|index| String::from_utf8_lossy(&batch.payload(index)).into_owned())
        .collect()
}
