//! The lock file of a flow: who runs it, and the highest epoch given out. Also that of a file of documents, which has neither.
//!
//! The lock is the operating system's (`flock`): it ends with the process, however that ends. The file is never removed,
//! because a second process could lock the removed file while a third makes a new one.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{Read as _, Seek as _, SeekFrom, Write as _};
use std::path::Path;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::StoreError;

/// Largest lock file that is read; a flow name of 4,096 control characters needs 24 KiB.
const BYTES_MAX: u64 = 64 << 10;

/// A process that this one is starting holds a copy of every open file until it runs its own program, so a lock
/// that was just let go may seem to be held for a moment.
const ATTEMPTS_MAX: u32 = 10;
const ATTEMPT_INTERVAL: Duration = Duration::from_millis(10);

/// What a lock file says. Only a hint about who; the epoch is the part that counts.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Holder {
    pub(crate) flow: String,
    pub(crate) epoch: u64,
    pub(crate) pid: Option<u32>,
}

/// What came of an attempt to lock.
pub(crate) enum Attempt {
    /// The lock is held until the file is closed.
    Locked(File),
    /// Somebody else has it.
    Held(Holder),
}

/// Locks the file of a flow, which is made when it does not exist.
pub(super) fn lock(path: &Path, flow: &str) -> Result<File, StoreError> {
    match attempt(path)? {
        Attempt::Locked(file) => Ok(file),
        Attempt::Held(Holder { pid, .. }) => {
            Err(StoreError::Locked { flow: flow.into(), pid, host: None })
        }
    }
}

/// Locks the file, which is made when it does not exist, unless somebody else has the lock.
pub(crate) fn attempt(path: &Path) -> Result<Attempt, StoreError> {
    let file = OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .open(path)
        .map_err(|error| StoreError::io("open the lock", path, error))?;
    let mut attempts = 1;
    loop {
        match file.try_lock() {
            Ok(()) => return Ok(Attempt::Locked(file)),
            Err(TryLockError::WouldBlock) if attempts < ATTEMPTS_MAX => {
                attempts += 1;
                std::thread::sleep(ATTEMPT_INTERVAL);
            }
            Err(TryLockError::WouldBlock) => return Ok(Attempt::Held(read(&file))),
            Err(TryLockError::Error(error)) => return Err(StoreError::io("lock", path, error)),
        }
    }
}

/// Reads what the file says; a torn or foreign file says nothing, and the epochs in checkpoints still fence.
pub(super) fn read(mut file: &File) -> Holder {
    let mut bytes = Vec::new();
    let whole =
        file.seek(SeekFrom::Start(0)).and_then(|_| file.take(BYTES_MAX).read_to_end(&mut bytes));
    match whole {
        Ok(_) => serde_json::from_slice(&bytes).unwrap_or_default(),
        Err(_) => Holder::default(),
    }
}

/// Writes who holds the lock, durably.
pub(crate) fn write(mut file: &File, path: &Path, holder: &Holder) -> Result<(), StoreError> {
    let failed = |error| StoreError::io("write the lock", path, error);
    let mut bytes = serde_json::to_vec(holder).map_err(|error| failed(error.into()))?;
    bytes.push(b'\n');
    file.seek(SeekFrom::Start(0)).map_err(failed)?;
    file.write_all(&bytes).map_err(failed)?;
    file.set_len(bytes.len() as u64).map_err(failed)?;
    file.sync_data().map_err(failed)
}
