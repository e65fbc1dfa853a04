//! Checkpoints in local files.
//!
//! ```text
//! <dir>/<name>.checkpoint           the last checkpoint
//! <dir>/<name>.checkpoint.prev      the one before it
//! <dir>/<name>.checkpoint.corrupt   the last one that could not be read, kept for people
//! <dir>/<name>.checkpoint.tmp       being written; means nothing after a crash
//! <dir>/<name>.lock                 who runs the flow and the highest epoch given out
//! <dir>/<name>.audit, .audit.prev   what people changed
//! ```
//! A save writes `.tmp`, flushes it (`fdatasync`), links the last one as `.prev`, renames `.tmp` over the last one and flushes the folder. A
//! crash between any two steps leaves the last or the new one in place. A last one that cannot be read never becomes `.prev`.
//!
//! The folder must be on a file system of this machine: locks and renames of network file systems are weaker.

mod audit;
pub(crate) mod lock;
mod name;

use std::collections::{BTreeSet, HashMap};
use std::fs::{self, File};
use std::io::{self, Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use levada_runtime::durable::sync_folder;

use self::lock::Holder;
use crate::amend::Amended;
use crate::checkpoint::{self, BYTES_MAX, DecodeError};
use crate::{
    Amendment, AuditLine, Change, Checkpoint, CheckpointStore, Lease, Listed, Loaded, Sources,
    StoreError,
};

const LAST: &str = ".checkpoint";
const PREVIOUS: &str = ".checkpoint.prev";
const LOCK: &str = ".lock";

/// Keeps checkpoints in a folder, two generations of each. A clone is cheap and is the same store.
#[derive(Debug, Clone)]
pub struct FileCheckpointStore(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    dir: PathBuf,
    /// Locks that leases of this store hold, by flow.
    held: Mutex<HashMap<String, Arc<File>>>,
    /// Serialises changes of one flow by threads of this process; a flow always has the same one.
    changes: [Mutex<()>; 16],
    #[cfg(test)]
    fault: Mutex<Option<(Step, io::ErrorKind)>>,
}

/// The steps of a save that can fail.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Step {
    Write,
    Sync,
    Rotate,
    Rename,
    SyncDir,
}

/// What a checkpoint file holds.
enum Slot {
    Missing,
    Valid(Checkpoint),
    Corrupt(String),
}

/// The files of one flow.
struct Paths {
    last: PathBuf,
    previous: PathBuf,
    previous_new: PathBuf,
    corrupt: PathBuf,
    new: PathBuf,
    lock: PathBuf,
    audit: audit::Paths,
}

/// Takes a flow out of the table of held locks when its lease ends.
struct HeldGuard {
    store: Arc<Inner>,
    flow: String,
}

// === impl FileCheckpointStore ===

impl FileCheckpointStore {
    /// Opens the store in `dir`, which is made when it does not exist.
    ///
    /// - Errors: [`StoreError::Denied`], [`StoreError::Io`] when the folder cannot be made or is not one.
    pub fn open(dir: impl Into<PathBuf>) -> Result<Self, StoreError> {
        let dir = dir.into();
        fs::create_dir_all(&dir).map_err(|error| StoreError::io("make the folder", &dir, error))?;
        fs::read_dir(&dir).map_err(|error| StoreError::io("list the folder", &dir, error))?;
        Ok(Self(Arc::new(Inner {
            dir,
            held: Mutex::default(),
            changes: Default::default(),
            #[cfg(test)]
            fault: Mutex::default(),
        })))
    }
}

impl CheckpointStore for FileCheckpointStore {
    fn acquire(&self, flow: &str) -> Result<Lease, StoreError> {
        let store = &self.0;
        let paths = store.paths(flow)?;
        let _change = store.change(flow);
        let file = lock::lock(&paths.lock, flow)?;
        let stored = store.epoch(flow, &paths, &lock::read(&file))?;
        let Some(epoch) = stored.checked_add(1) else {
            return Err(StoreError::Invalid {
                flow: flow.into(),
                reason: format!("epoch {stored} is the last one"),
            });
        };
        lock::write(
            &file,
            &paths.lock,
            &Holder { flow: flow.into(), epoch, pid: Some(std::process::id()) },
        )?;
        for leftover in [&paths.new, &paths.previous_new] {
            remove(leftover)?;
        }
        store.sync_dir()?;
        store.held().insert(flow.into(), Arc::new(file));
        Ok(Lease::new(epoch, HeldGuard { store: Arc::clone(store), flow: flow.into() }))
    }

    fn load(&self, flow: &str) -> Result<Option<Loaded>, StoreError> {
        let paths = self.0.paths(flow)?;
        let reason = match read(&paths.last, flow)? {
            Slot::Valid(checkpoint) => {
                return Ok(Some(Loaded { checkpoint, warning: None }));
            }
            Slot::Missing => None,
            Slot::Corrupt(reason) => Some(reason),
        };
        match (read(&paths.previous, flow)?, reason) {
            (Slot::Valid(checkpoint), reason) => {
                let problem = reason
                    .map_or_else(|| "is missing".into(), |reason| format!("is corrupt: {reason}"));
                let warning = format!(
                    "checkpoint `{}` of flow `{flow}` {problem}; going on from the one before it, records since then are read again",
                    paths.last.display()
                );
                Ok(Some(Loaded { checkpoint, warning: Some(warning) }))
            }
            (Slot::Missing, None) => Ok(None),
            (Slot::Corrupt(reason), None) => {
                Err(StoreError::Corrupt { flow: flow.into(), path: paths.previous, reason })
            }
            (_, Some(reason)) => {
                Err(StoreError::Corrupt { flow: flow.into(), path: paths.last, reason })
            }
        }
    }

    fn save(&self, flow: &str, checkpoint: &Checkpoint) -> Result<(), StoreError> {
        let store = &self.0;
        let paths = store.paths(flow)?;
        let bytes = crate::memory::checked(flow, checkpoint)?;
        let _change = store.change(flow);
        let lock = store.exclusive(flow, &paths)?;
        let last = read(&paths.last, flow)?;
        let stored = match &last {
            Slot::Valid(last) => last.epoch.max(lock::read(&lock).epoch),
            Slot::Missing | Slot::Corrupt(_) => store.epoch(flow, &paths, &lock::read(&lock))?,
        };
        if checkpoint.epoch < stored {
            return Err(StoreError::Fenced {
                flow: flow.into(),
                offered: checkpoint.epoch,
                stored,
            });
        }
        let saved = store.write(&paths, &bytes).and_then(|()| store.replace(&paths, &last));
        if saved.is_err() {
            // The error of the save is the one that counts; a leftover means nothing and is removed by the next lease.
            remove(&paths.new).ok();
        }
        saved
    }

    fn reset(&self, flow: &str) -> Result<(), StoreError> {
        let store = &self.0;
        let paths = store.paths(flow)?;
        let _change = store.change(flow);
        let _lock = store.exclusive(flow, &paths)?;
        // The one before it first: a crash in between must not bring old positions back.
        for path in [&paths.previous, &paths.last, &paths.corrupt, &paths.new, &paths.previous_new]
        {
            remove(path)?;
        }
        store.sync_dir()
    }

    fn list(&self) -> Result<Vec<Listed>, StoreError> {
        let dir = &self.0.dir;
        let failed = |error| StoreError::io("list the folder", dir, error);
        let mut names = BTreeSet::new();
        for entry in fs::read_dir(dir).map_err(failed)? {
            let file = entry.map_err(failed)?.file_name();
            let Some(file) = file.to_str() else { continue };
            if let Some(name) = file.strip_suffix(LAST).or_else(|| file.strip_suffix(PREVIOUS)) {
                names.insert(name.to_owned());
            }
        }
        let mut listed: Vec<_> = names.iter().map(|name| self.listed(name)).collect();
        listed.sort_by(|a, b| a.flow.cmp(&b.flow));
        Ok(listed)
    }

    fn amend(
        &self,
        flow: &str,
        amendment: &Amendment<'_>,
        change: &Change<'_>,
    ) -> Result<AuditLine, StoreError> {
        let paths = self.0.paths(flow)?;
        let lease = self.acquire(flow)?;
        let loaded = self.load(flow);
        let has_stored = !matches!(loaded, Ok(None));
        let sources = loaded.map(|loaded| match loaded {
            Some(loaded) => loaded.checkpoint.sources,
            None => Sources::new(),
        });
        let amended = Amended::new(flow, lease.epoch(), sources, amendment, change)?;
        if !amended.is_change(has_stored) {
            return Ok(amended.line);
        }
        audit::append(&paths.audit, &amended.line)?;
        let stored = match &amended.checkpoint {
            Some(checkpoint) => self.save(flow, checkpoint),
            None => self.reset(flow),
        };
        match stored {
            Ok(()) => Ok(amended.line),
            Err(error) => {
                let failed = Some(error.to_string());
                // The error of the change is the one that counts.
                audit::append(&paths.audit, &AuditLine { failed, ..amended.line }).ok();
                Err(error)
            }
        }
    }

    fn audit(&self, flow: &str) -> Result<Vec<AuditLine>, StoreError> {
        audit::lines(&self.0.paths(flow)?.audit)
    }
}

impl FileCheckpointStore {
    fn listed(&self, name: &str) -> Listed {
        let path = |suffix: &str| self.0.dir.join(format!("{name}{suffix}"));
        let named = name::decode(name).or_else(|| {
            let written = [LAST, PREVIOUS].iter().find_map(|suffix| flow_in(&path(suffix)));
            written.or_else(|| {
                File::open(path(LOCK))
                    .ok()
                    .map(|file| lock::read(&file).flow)
                    .filter(|flow| !flow.is_empty())
            })
        });
        match named {
            Some(flow) => {
                let problem = match self.load(&flow) {
                    Ok(loaded) => loaded.and_then(|loaded| loaded.warning),
                    Err(error) => Some(error.to_string()),
                };
                Listed { flow, problem }
            }
            None => Listed {
                flow: name.into(),
                problem: Some("the name of the flow cannot be read".into()),
            },
        }
    }
}

// === impl Inner ===

impl Inner {
    fn paths(&self, flow: &str) -> Result<Paths, StoreError> {
        let reason = match flow.len() {
            0 => "its name is empty".into(),
            length if length > name::FLOW_BYTES_MAX => {
                format!("its name has {length} bytes, more than {}", name::FLOW_BYTES_MAX)
            }
            _ => {
                let name = name::encode(flow);
                let path = |suffix: &str| self.dir.join(format!("{name}{suffix}"));
                return Ok(Paths {
                    last: path(LAST),
                    previous: path(PREVIOUS),
                    previous_new: path(".checkpoint.prev.tmp"),
                    corrupt: path(".checkpoint.corrupt"),
                    new: path(".checkpoint.tmp"),
                    lock: path(LOCK),
                    audit: audit::Paths { last: path(".audit"), previous: path(".audit.prev") },
                });
            }
        };
        Err(StoreError::Invalid { flow: flow.chars().take(64).collect(), reason })
    }

    /// Gives the highest epoch known.
    fn epoch(&self, flow: &str, paths: &Paths, holder: &Holder) -> Result<u64, StoreError> {
        let mut epoch = holder.epoch;
        for path in [&paths.last, &paths.previous] {
            if let Slot::Valid(checkpoint) = read(path, flow)? {
                epoch = epoch.max(checkpoint.epoch);
            }
        }
        Ok(epoch)
    }

    /// Gives the lock of the flow: that of the lease, or one for the time of a change when nobody has a lease.
    fn exclusive(&self, flow: &str, paths: &Paths) -> Result<Arc<File>, StoreError> {
        let held = self.held().get(flow).cloned();
        match held {
            Some(file) => Ok(file),
            None => lock::lock(&paths.lock, flow).map(Arc::new),
        }
    }

    /// Writes the new file, durably.
    fn write(&self, paths: &Paths, bytes: &[u8]) -> Result<(), StoreError> {
        let failed = |error| StoreError::io("write the checkpoint", &paths.new, error);
        let mut file = File::create(&paths.new).map_err(failed)?;
        self.step(Step::Write).and_then(|()| file.write_all(bytes)).map_err(failed)?;
        self.step(Step::Sync).and_then(|()| file.sync_data()).map_err(failed)
    }

    /// Puts the new file in the place of the last one, which becomes the previous one if it can be read.
    fn replace(&self, paths: &Paths, last: &Slot) -> Result<(), StoreError> {
        let rotated = self.step(Step::Rotate).and_then(|()| match last {
            Slot::Missing => Ok(()),
            Slot::Corrupt(_) => fs::rename(&paths.last, &paths.corrupt),
            Slot::Valid(_) => rotate(paths),
        });
        rotated.map_err(|error| {
            StoreError::io("keep the last checkpoint as", &paths.previous, error)
        })?;
        self.step(Step::Rename)
            .and_then(|()| fs::rename(&paths.new, &paths.last))
            .map_err(|error| StoreError::io("put in place the checkpoint", &paths.last, error))?;
        self.sync_dir()
    }

    /// Makes new names in the folder durable.
    fn sync_dir(&self) -> Result<(), StoreError> {
        self.step(Step::SyncDir)
            .and_then(|()| sync_folder(&self.dir))
            .map_err(|error| StoreError::io("flush the folder", &self.dir, error))
    }

    fn change(&self, flow: &str) -> MutexGuard<'_, ()> {
        let place = crc32c::crc32c(flow.as_bytes()) as usize % self.changes.len();
        self.changes[place].lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn held(&self) -> MutexGuard<'_, HashMap<String, Arc<File>>> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }

    #[cfg(not(test))]
    #[expect(clippy::unused_self, reason = "tests make steps fail")]
    fn step(&self, _step: Step) -> io::Result<()> {
        Ok(())
    }

    #[cfg(test)]
    fn step(&self, step: Step) -> io::Result<()> {
        match *self.fault.lock().unwrap_or_else(PoisonError::into_inner) {
            Some((failing, kind)) if failing == step => Err(kind.into()),
            _ => Ok(()),
        }
    }
}

impl Drop for HeldGuard {
    fn drop(&mut self) {
        // Closing the file ends the lock; a save under way keeps it until it is done.
        self.store.held().remove(&self.flow);
    }
}

// === helpers ===

/// Makes the last file the previous one too, so that there is a last one at every moment.
fn rotate(paths: &Paths) -> io::Result<()> {
    match fs::remove_file(&paths.previous_new) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    match fs::hard_link(&paths.last, &paths.previous_new) {
        Ok(()) => fs::rename(&paths.previous_new, &paths.previous),
        // Some file systems have no links: then there is a moment without a last one, and `load` takes the previous one.
        Err(_) => fs::rename(&paths.last, &paths.previous),
    }
}

fn remove(path: &Path) -> Result<(), StoreError> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            Err(StoreError::io("remove", path, error))
        }
        _ => Ok(()),
    }
}

fn bytes_of(path: &Path) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    File::open(path)?.take(BYTES_MAX + 1).read_to_end(&mut bytes)?;
    Ok(bytes)
}

fn flow_in(path: &Path) -> Option<String> {
    checkpoint::decode(&bytes_of(path).ok()?).ok().map(|checkpoint| checkpoint.flow)
}

fn read(path: &Path, flow: &str) -> Result<Slot, StoreError> {
    let bytes = match bytes_of(path) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Slot::Missing),
        Err(error) => return Err(StoreError::io("read the checkpoint", path, error)),
    };
    if bytes.len() as u64 > BYTES_MAX {
        return Ok(Slot::Corrupt(format!("it is larger than {BYTES_MAX} bytes")));
    }
    match checkpoint::decode(&bytes) {
        Ok(checkpoint) if checkpoint.flow == flow => Ok(Slot::Valid(checkpoint)),
        Ok(checkpoint) => Ok(Slot::Corrupt(format!("it belongs to flow `{}`", checkpoint.flow))),
        Err(DecodeError::Corrupt(reason)) => Ok(Slot::Corrupt(reason)),
        Err(DecodeError::Version(version)) => {
            Err(StoreError::UnknownVersion { flow: flow.into(), version })
        }
    }
}

#[cfg(test)]
mod tests;
