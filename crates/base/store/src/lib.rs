//! What outlives the process: checkpoints of flows, the state of tasks, and documents ([`Documents`], opened by [`open_documents`]).
//!
//! Checkpoints are crash-safe and say which positions of its sources a flow has finished.
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

mod amend;
mod checkpoint;
mod documents;
mod error;
mod file;
mod memory;
#[cfg(feature = "postgresql")]
mod postgres;
mod state;

use std::fmt;
use std::sync::Arc;

pub use amend::{Amendment, AuditLine, Change, PositionChange, Sources};
pub use checkpoint::{Checkpoint, DecodeError, VERSION, decode, encode};
#[cfg(any(feature = "sqlite", feature = "postgresql"))]
pub use documents::SqlDocuments;
pub use documents::{
    Document, DocumentError, Documents, Expect, KEY_BYTES_MAX, MemoryDocuments, Range,
    VALUE_BYTES_MAX, Write, open as open_documents,
};
pub use error::StoreError;
pub use file::FileCheckpointStore;
pub use memory::MemoryCheckpointStore;
#[cfg(feature = "postgresql")]
pub use postgres::PostgresCheckpointStore;
pub use state::StateFiles;

/// Keeps the checkpoints of flows. Methods block for the time of a few small writes to disk, with a database until it answers or
/// has had the time to: call them where that is allowed.
pub trait CheckpointStore: Send + Sync {
    /// Takes the exclusive right to run `flow` and gives a new epoch, higher than any before it.
    ///
    /// - Errors: [`StoreError::Locked`] while another holder exists.
    fn acquire(&self, flow: &str) -> Result<Lease, StoreError>;

    /// Gives the last checkpoint of `flow`, `None` when nothing was saved. Needs no lease, and disturbs no holder of one.
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

    /// Changes the positions of a flow that nobody runs, under a new epoch, and keeps a line about who did what.
    ///
    /// `change` gets the stored positions while nobody else can change them; when it leaves none, the flow starts from the
    /// beginning. When nothing is changed, nothing is stored and no line is kept.
    ///
    /// - Errors: [`StoreError::Locked`] while somebody runs the flow, [`StoreError::Invalid`] with the reason of `change`,
    ///   [`StoreError::Corrupt`] when the stored positions cannot be read and some are to be kept.
    fn amend(
        &self,
        flow: &str,
        _amendment: &Amendment<'_>,
        _change: &Change<'_>,
    ) -> Result<AuditLine, StoreError> {
        let reason = "this store cannot change positions".into();
        Err(StoreError::Invalid { flow: flow.into(), reason })
    }

    /// Gives what was changed with [`CheckpointStore::amend`], oldest first; very old lines are forgotten.
    fn audit(&self, _flow: &str) -> Result<Vec<AuditLine>, StoreError> {
        Ok(Vec::new())
    }
}

/// Opens the store at an address: `postgres://user:password@host:5432/database`.
///
/// - Errors: [`StoreError::Address`] when it is no such address, [`StoreError::Database`] when the database does not answer.
pub fn open(address: &str) -> Result<Arc<dyn CheckpointStore>, StoreError> {
    if !["postgres://", "postgresql://"].iter().any(|scheme| address.starts_with(scheme)) {
        let reason = "it must be like `postgres://user:password@host:5432/database`".into();
        return Err(StoreError::Address { reason });
    }
    #[cfg(feature = "postgresql")]
    return Ok(Arc::new(PostgresCheckpointStore::open(address)?));
    #[cfg(not(feature = "postgresql"))]
    return Err(StoreError::Address { reason: "this program was built without PostgreSQL".into() });
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
