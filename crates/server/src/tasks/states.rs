//! The states of tasks as files.

use std::borrow::Cow;
use std::io;

use levada_store::StateFiles;
use levada_task::engine::{StateStore, StateStoreError};
use sha2::{Digest as _, Sha256};

/// Keeps the state of each shard of a task in a file.
pub(super) struct FileStates(StateFiles);

// === impl FileStates ===

impl FileStates {
    pub(super) fn new(files: StateFiles) -> Self {
        FileStates(files)
    }

    fn failed(task: &str, what: &'static str) -> impl FnOnce(io::Error) -> StateStoreError {
        let task = task.to_owned();
        move |source| StateStoreError { task, what, source }
    }
}

impl StateStore for FileStates {
    fn save(&self, task: &str, shard: u32, state: &[u8]) -> Result<(), StateStoreError> {
        self.0.save(&file(task, shard), state).map_err(Self::failed(task, "stored"))
    }

    fn sync(&self) -> io::Result<()> {
        self.0.sync()
    }

    fn load(&self, task: &str, shard: u32) -> Result<Option<Vec<u8>>, StateStoreError> {
        self.0.load(&file(task, shard)).map_err(Self::failed(task, "read"))
    }

    fn delete(&self, task: &str) -> Result<(), StateStoreError> {
        self.0.delete(&format!("{}.", name(task))).map_err(Self::failed(task, "deleted"))
    }
}

fn file(task: &str, shard: u32) -> String {
    format!("{}.{shard}", name(task))
}

/// Gives what the files of a task are named by: its ID, or where no file can have that for a name, its hash after a `~`,
/// which no ID has. Letters that are not ASCII are nine bytes and more each, so such IDs are soon too long.
fn name(task: &str) -> Cow<'_, str> {
    if StateFiles::can_name(&format!("{task}.{}", u32::MAX)) {
        return task.into();
    }
    let hash = Sha256::digest(task.as_bytes());
    let hash: String = hash.iter().map(|byte| format!("{byte:02x}")).collect();
    format!("~{hash}").into()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use super::*;

    #[test]
    fn long_names_keep_their_states_apart() {
        let folder = tempfile::tempdir().unwrap();
        let long = |last: &str| format!("{}{last}", "温度".repeat(20));
        let tasks = ["cpu".to_owned(), "a".repeat(300), long("1"), long("12"), long("")];
        let states = || FileStates::new(StateFiles::open(folder.path()).unwrap());
        for task in &tasks {
            states().save(task, 3, task.as_bytes()).unwrap();
        }
        states().sync().unwrap();
        for task in &tasks {
            assert_eq!(states().load(task, 3).unwrap().unwrap(), task.as_bytes());
            assert_eq!(states().load(task, 2).unwrap(), None);
        }
        states().delete(&tasks[2]).unwrap();
        let left = tasks.iter().filter(|task| states().load(task, 3).unwrap().is_some());
        assert_eq!(left.count(), tasks.len() - 1);
    }
}
