//! Where the state of tasks is kept over a restart.

use std::collections::HashMap;
use std::io;
use std::sync::{Mutex, PoisonError};

use thiserror::Error;

/// State cannot be kept or read.
#[derive(Debug, Error)]
#[error("the state of task `{task}` cannot be {what}")]
pub struct StateStoreError {
    /// The task.
    pub task: String,
    /// `stored`, `read` or `deleted`.
    pub what: &'static str,
    /// Why.
    pub source: io::Error,
}

/// Keeps the newest state per task and shard.
pub trait StateStore: Send + Sync {
    /// Stores the state as a whole: after a crash it is the old one or the new one.
    fn save(&self, task: &str, shard: u32, state: &[u8]) -> Result<(), StateStoreError>;

    /// Makes everything that was saved outlive the machine; before, a save outlives the process only.
    fn sync(&self) -> io::Result<()> {
        Ok(())
    }

    /// Gives the state; nothing when there is none.
    fn load(&self, task: &str, shard: u32) -> Result<Option<Vec<u8>>, StateStoreError>;

    /// Deletes all state of a task.
    fn delete(&self, task: &str) -> Result<(), StateStoreError>;
}

/// Keeps state in memory, for tests and for tasks that need not remember.
#[derive(Debug, Default)]
pub struct MemoryStateStore(Mutex<HashMap<(String, u32), Vec<u8>>>);

impl StateStore for MemoryStateStore {
    fn save(&self, task: &str, shard: u32, state: &[u8]) -> Result<(), StateStoreError> {
        let mut states = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        states.insert((task.to_owned(), shard), state.to_vec());
        Ok(())
    }

    fn load(&self, task: &str, shard: u32) -> Result<Option<Vec<u8>>, StateStoreError> {
        let states = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        Ok(states.get(&(task.to_owned(), shard)).cloned())
    }

    fn delete(&self, task: &str) -> Result<(), StateStoreError> {
        let mut states = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        states.retain(|(known, _), _| known != task);
        Ok(())
    }
}
