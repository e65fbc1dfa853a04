//! Checkpoints in memory: for tests and for runs that should leave nothing behind.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::amend::Amended;
use crate::{
    Amendment, AuditLine, Change, Checkpoint, CheckpointStore, Lease, Listed, Loaded, Sources,
    StoreError, VERSION, checkpoint,
};

/// Audit lines of a flow that are kept.
const AUDIT_MAX: usize = 1_000;

/// Keeps checkpoints until the last clone is dropped. A clone is cheap and is the same store.
#[derive(Debug, Clone, Default)]
pub struct MemoryCheckpointStore(Arc<Mutex<BTreeMap<String, Flow>>>);

#[derive(Debug, Default)]
struct Flow {
    epoch: u64,
    held: bool,
    checkpoint: Option<Checkpoint>,
    audit: Vec<AuditLine>,
}

struct HeldGuard {
    store: MemoryCheckpointStore,
    flow: String,
}

// === impl MemoryCheckpointStore ===

impl MemoryCheckpointStore {
    /// Makes an empty store.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    fn flows(&self) -> MutexGuard<'_, BTreeMap<String, Flow>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl CheckpointStore for MemoryCheckpointStore {
    fn acquire(&self, flow: &str) -> Result<Lease, StoreError> {
        let mut flows = self.flows();
        let entry = flows.entry(flow.into()).or_default();
        if entry.held {
            return Err(locked(flow));
        }
        let epoch = next_epoch(flow, entry.epoch)?;
        (entry.epoch, entry.held) = (epoch, true);
        Ok(Lease::new(epoch, HeldGuard { store: self.clone(), flow: flow.into() }))
    }

    fn load(&self, flow: &str) -> Result<Option<Loaded>, StoreError> {
        let checkpoint = self.flows().get(flow).and_then(|flow| flow.checkpoint.clone());
        Ok(checkpoint.map(|checkpoint| Loaded { checkpoint, warning: None }))
    }

    fn save(&self, flow: &str, checkpoint: &Checkpoint) -> Result<(), StoreError> {
        checked(flow, checkpoint)?;
        let mut flows = self.flows();
        let entry = flows.entry(flow.into()).or_default();
        if checkpoint.epoch < entry.epoch {
            return Err(StoreError::Fenced {
                flow: flow.into(),
                offered: checkpoint.epoch,
                stored: entry.epoch,
            });
        }
        entry.epoch = checkpoint.epoch;
        entry.checkpoint = Some(checkpoint.clone());
        Ok(())
    }

    fn reset(&self, flow: &str) -> Result<(), StoreError> {
        if let Some(entry) = self.flows().get_mut(flow) {
            entry.checkpoint = None;
        }
        Ok(())
    }

    fn list(&self) -> Result<Vec<Listed>, StoreError> {
        let flows = self.flows();
        let saved = flows.iter().filter(|(_, flow)| flow.checkpoint.is_some());
        Ok(saved.map(|(flow, _)| Listed { flow: flow.clone(), problem: None }).collect())
    }

    fn amend(
        &self,
        flow: &str,
        amendment: &Amendment<'_>,
        change: &Change<'_>,
    ) -> Result<AuditLine, StoreError> {
        let mut flows = self.flows();
        let entry = flows.entry(flow.into()).or_default();
        if entry.held {
            return Err(locked(flow));
        }
        let epoch = next_epoch(flow, entry.epoch)?;
        let stored = entry.checkpoint.as_ref();
        let sources = stored.map_or_else(Sources::new, |stored| stored.sources.clone());
        let amended = Amended::new(flow, epoch, Ok(sources), amendment, change)?;
        if amended.is_change(stored.is_some()) {
            (entry.epoch, entry.checkpoint) = (epoch, amended.checkpoint);
            if entry.audit.len() == AUDIT_MAX {
                entry.audit.remove(0);
            }
            entry.audit.push(amended.line.clone());
        }
        Ok(amended.line)
    }

    fn audit(&self, flow: &str) -> Result<Vec<AuditLine>, StoreError> {
        Ok(self.flows().get(flow).map(|flow| flow.audit.clone()).unwrap_or_default())
    }
}

impl Drop for HeldGuard {
    fn drop(&mut self) {
        if let Some(flow) = self.store.flows().get_mut(&self.flow) {
            flow.held = false;
        }
    }
}

fn locked(flow: &str) -> StoreError {
    StoreError::Locked { flow: flow.into(), pid: Some(std::process::id()), host: None }
}

fn next_epoch(flow: &str, epoch: u64) -> Result<u64, StoreError> {
    let reason = || format!("epoch {epoch} is the last one");
    epoch.checked_add(1).ok_or_else(|| StoreError::Invalid { flow: flow.into(), reason: reason() })
}

/// Checks that a checkpoint can be stored for `flow`; gives its file form.
pub(crate) fn checked(flow: &str, checkpoint: &Checkpoint) -> Result<Vec<u8>, StoreError> {
    let invalid = |reason: String| StoreError::Invalid { flow: flow.into(), reason };
    if checkpoint.flow != flow {
        return Err(invalid(format!("it belongs to flow `{}`", checkpoint.flow)));
    }
    if checkpoint.version != VERSION {
        return Err(invalid(format!(
            "it has version {}, this program writes version {VERSION}",
            checkpoint.version
        )));
    }
    checkpoint::encode(checkpoint).map_err(invalid)
}
