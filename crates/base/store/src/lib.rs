//! Crash-safe checkpoints: which positions of its sources a flow has finished.
//!
//! A flow takes a [`Lease`] on its name, loads the last [`Checkpoint`], and saves a newer one from time to time:
//!
//! ```
//! use levada_store::{Checkpoint, CheckpointStore, FileCheckpointStore};
//!
//! # let folder = tempfile::tempdir()?;
//! # let folder = folder.path();
//! let store = FileCheckpointStore::open(folder)?;
//! let lease = store.acquire("default/cpu")?; // no other process runs this flow until the lease is dropped
//! let saved_at = 1_700_000_000_000_000_000; // nanoseconds UTC, from the clock of the caller
//! let mut checkpoint = Checkpoint::new("default/cpu", lease.epoch(), saved_at);
//! checkpoint.set_position("source", "0", 42.into());
//! store.save("default/cpu", &checkpoint)?;
//! let loaded = store.load("default/cpu")?.expect("it was just saved");
//! assert_eq!(loaded.checkpoint, checkpoint);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! Invariants:
//! - [`CheckpointStore::load`] gives a checkpoint that was saved, whole, or an error; never a mixture. When it has to give the one
//!   before the last, it says so in [`Loaded::warning`].
//! - A failed [`CheckpointStore::save`] (full disk, no permission, a crash at any point) leaves the checkpoint before it in place.
//! - Epochs fence: whoever holds an older epoch than the last one given out cannot save.
//!
//! Deliberately not here: positions inside a sink (they belong to the sink), and the clock.

mod checkpoint;
mod error;
mod file;
mod memory;

use std::fmt;

pub use checkpoint::{Checkpoint, DecodeError, VERSION, decode, encode};
pub use error::StoreError;
pub use file::FileCheckpointStore;
pub use memory::MemoryCheckpointStore;

/// Keeps the checkpoints of flows. Methods block for the time of a few small writes to disk: call them where that is allowed.
pub trait CheckpointStore: Send + Sync {
    /// Takes the exclusive right to run `flow` and gives a new epoch, higher than any before it.
    ///
    /// - Errors: [`StoreError::Locked`] while another holder exists.
    fn acquire(&self, flow: &str) -> Result<Lease, StoreError>;

    /// Gives the last checkpoint of `flow`, `None` when nothing was saved.
    ///
    /// - Errors: [`StoreError::Corrupt`] when neither the last nor the one before it can be read,
    ///   [`StoreError::UnknownVersion`] when a newer program wrote it.
    fn load(&self, flow: &str) -> Result<Option<Loaded>, StoreError>;

    /// Stores a checkpoint durably: when this returns, it survives a crash of the machine.
    ///
    /// - Errors: [`StoreError::Fenced`] when a higher epoch was given out or stored, [`StoreError::Locked`] when somebody else holds the
    ///   lease, [`StoreError::Full`] and others when it could not be written; the stored one is intact then.
    fn save(&self, flow: &str, checkpoint: &Checkpoint) -> Result<(), StoreError>;

    /// Forgets the positions of `flow`, so that it starts from the beginning. Epochs go on.
    ///
    /// - Errors: [`StoreError::Locked`] when somebody else holds the lease.
    fn reset(&self, flow: &str) -> Result<(), StoreError>;

    /// Gives the flows that have a checkpoint, sorted by name.
    fn list(&self) -> Result<Vec<Listed>, StoreError>;
}

/// The right to run a flow; ends when dropped.
#[must_use = "the flow is free again as soon as the lease is dropped"]
pub struct Lease {
    epoch: u64,
    _guard: Box<dyn Send + Sync>,
}

/// A checkpoint as it was found.
#[derive(Debug, Clone, PartialEq)]
pub struct Loaded {
    /// The newest checkpoint that can be read.
    pub checkpoint: Checkpoint,
    /// Set when the newest one could not be read and this is the one before it: what happened, for the log and the status.
    pub warning: Option<String>,
}

/// A flow that has a checkpoint.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listed {
    /// The name of the flow; the name of the file when nothing inside it can be read.
    pub flow: String,
    /// Set when the checkpoint, or the newest one, cannot be read.
    pub problem: Option<String>,
}

// === impl Lease ===

impl Lease {
    pub(crate) fn new(epoch: u64, guard: impl Send + Sync + 'static) -> Self {
        Self { epoch, _guard: Box::new(guard) }
    }

    /// Gives the epoch to put into checkpoints.
    #[must_use]
    pub fn epoch(&self) -> u64 {
        self.epoch
    }
}

impl fmt::Debug for Lease {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Lease").field("epoch", &self.epoch).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod suite;
