//! What a connector is given when it is built.

use std::any::Any;
use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use levada_model::ObjectRef;
use levada_runtime::{Clock, Tasks};
use levada_telemetry::metrics::Registry;

/// What a connector is given when it is built.
#[derive(Clone)]
pub struct BuildContext {
    /// The flow it belongs to.
    pub flow: ObjectRef,
    /// Paths of a manifest are relative to this folder.
    pub base_dir: PathBuf,
    /// The clock; nothing else tells the time.
    pub clock: Arc<dyn Clock>,
    /// Where connectors register metrics of their own.
    pub metrics: Registry,
    /// Where connectors spawn tasks of their own.
    pub tasks: Tasks,
    /// Records that a source puts into one batch, at most.
    pub batch_records: usize,
    /// Bytes at which a source hands on a batch.
    pub batch_bytes: usize,
    /// The flow promises exactly-once delivery, so its sink is used as
    /// [`Transactional`](crate::traits::Transactional) one.
    pub is_exactly_once: bool,
    /// The flow asks for what the original does where that differs (`compat: true`).
    pub is_compat: bool,
    /// What the source and the sinks of this flow tell each other.
    pub links: Links,
}

/// What stands for the standard input of the process, when it is left in the [`Links`] of a flow.
pub struct StandardInput(pub OwnedFd);

/// What stands for the standard output of the process; see [`StandardInput`].
pub struct StandardOutput(pub OwnedFd);

/// The flow tried to deliver exactly once and may not: the source keeps positions as if it never had.
pub struct DeliversAtLeastOnce;

/// What the connectors of one flow tell each other, by type; cheap to clone.
///
/// For example, a Kafka source leaves the membership of its group, which a Kafka sink puts into its
/// transactions.
#[derive(Clone, Default)]
pub struct Links(Arc<Mutex<Vec<Arc<dyn Any + Send + Sync>>>>);

impl Links {
    /// Leaves a value, in place of an earlier one of its type.
    pub fn put<T: Any + Send + Sync>(&self, value: T) {
        let mut values = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        values.retain(|known| !known.is::<T>());
        values.push(Arc::new(value));
    }

    /// Gives the value of a type.
    pub fn get<T: Any + Send + Sync>(&self) -> Option<Arc<T>> {
        let values = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        values.iter().find_map(|value| value.clone().downcast::<T>().ok())
    }
}

/// A read below a page costs as much as a page.
const CHUNK_BYTES_MIN: usize = 4 << 10;

/// Every open file may hold a chunk.
const CHUNK_BYTES_MAX: usize = 16 << 20;

// === impl BuildContext ===

impl BuildContext {
    /// Gives how many bytes a source reads at a time: about those of a batch, from 4 KiB to 16 MiB.
    ///
    /// The default was measured with `examples/file_bench.rs`: reading alone is 20% faster with 256 or
    /// 512 KiB, but what follows is slower by more, because a batch and its records no longer fit the
    /// second-level cache.
    pub(crate) fn chunk_bytes(&self) -> usize {
        self.batch_bytes.clamp(CHUNK_BYTES_MIN, CHUNK_BYTES_MAX)
    }

    /// Tells whether a source must hand on a batch of so many records and bytes.
    pub(crate) fn is_full(&self, records: usize, bytes: usize) -> bool {
        records >= self.batch_records.max(1) || records > 0 && bytes >= self.batch_bytes
    }
}
