//! The folder of recordings.
//!
//! ```text
//! dir/ID.srpl, dir/ID.brpl     whole recordings; files may be put here
//! dir/.effects/ID.jsonl        what a replay would have done
//! dir/.partial/N               what is being written; cleared at start
//! ```

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::UNIX_EPOCH;

use levada_model::Timestamp;
use levada_runtime::durable::sync_folder;

use super::error::RecordingsError;
use super::kept::{Recording, RecordingType};

#[derive(Debug)]
pub(super) struct Folder {
    dir: PathBuf,
    /// Names the next partial file.
    next: AtomicU64,
}

/// A file without its name: deleted when it is dropped.
#[derive(Debug)]
pub(super) struct Partial {
    path: PathBuf,
    is_kept: bool,
}

const PARTIAL: &str = ".partial";
const EFFECTS: &str = ".effects";

/// Says whether a file of the folder can be named by an ID.
pub(super) fn is_name(id: &str) -> bool {
    !id.contains(['/', '\0'])
}

pub(super) fn effects_name(id: &str) -> String {
    format!("{EFFECTS}/{id}.jsonl")
}

// === impl Folder ===

impl Folder {
    /// Makes the folder where there is none, and clears what was not finished.
    pub(super) fn open(dir: &Path) -> Result<Self, RecordingsError> {
        let partial = dir.join(PARTIAL);
        for folder in [dir, &partial, &dir.join(EFFECTS)] {
            fs::create_dir_all(folder).map_err(failed("create", folder))?;
        }
        for entry in fs::read_dir(&partial).map_err(failed("read", &partial))? {
            let path = entry.map_err(failed("read", &partial))?.path();
            fs::remove_file(&path).map_err(failed("delete", &path))?;
        }
        Ok(Folder { dir: dir.to_owned(), next: AtomicU64::new(0) })
    }

    pub(super) fn path(&self, name: &str) -> PathBuf {
        self.dir.join(name)
    }

    /// Gives the bytes of a file, when it is there.
    pub(super) fn size(&self, name: &str) -> Option<u64> {
        let found = fs::metadata(self.path(name)).ok()?;
        found.is_file().then_some(found.len())
    }

    /// Deletes a file, if it is there; none is there whose name is too long.
    pub(super) fn delete(&self, name: &str) -> Result<(), RecordingsError> {
        let path = self.path(name);
        match fs::remove_file(&path) {
            Ok(()) => Ok(()),
            Err(error) => match error.kind() {
                io::ErrorKind::NotFound | io::ErrorKind::InvalidFilename => Ok(()),
                _ => Err(failed("delete", &path)(error)),
            },
        }
    }

    /// Begins a file.
    pub(super) fn partial(&self) -> io::Result<(Partial, File)> {
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        let path = self.dir.join(PARTIAL).join(number.to_string());
        let file = File::create_new(&path)?;
        Ok((Partial { path, is_kept: false }, file))
    }

    /// Gives a file its name: when this returns, it survives a crash of the machine. Gives its size.
    ///
    /// - What was written must have reached `file`.
    pub(super) fn keep(&self, mut partial: Partial, file: &File, name: &str) -> io::Result<u64> {
        file.sync_all()?;
        let size = file.metadata()?.len();
        let path = self.path(name);
        fs::rename(&partial.path, &path)?;
        partial.is_kept = true;
        if let Some(folder) = path.parent() {
            sync_folder(folder)?;
        }
        Ok(size)
    }

    /// Gives what the files of the folder are as recordings; dates are those of the files.
    pub(super) fn recordings(&self) -> Result<Vec<Recording>, RecordingsError> {
        let mut found = Vec::new();
        let read = failed("read", &self.dir);
        for entry in fs::read_dir(&self.dir).map_err(&read)? {
            let entry = entry.map_err(&read)?;
            let name = entry.file_name();
            let Some(name) = name.to_str() else { continue };
            let kind = [RecordingType::Stream, RecordingType::Batch].into_iter().find_map(|kind| {
                let id = name.strip_suffix(kind.extension())?.strip_suffix('.')?;
                Some((kind, id))
            });
            let Some((kind, id)) = kind else { continue };
            let metadata = entry.metadata().map_err(&read)?;
            if !metadata.is_file() {
                continue;
            }
            let modified =
                metadata.modified().ok().and_then(|at| at.duration_since(UNIX_EPOCH).ok());
            let nanos = modified.and_then(|since| i64::try_from(since.as_nanos()).ok());
            let mut recording =
                Recording::new(id.to_owned(), kind, Timestamp(nanos.unwrap_or_default()));
            recording.finished(metadata.len(), None);
            found.push(recording);
        }
        Ok(found)
    }
}

// === impl Partial ===

impl Partial {
    pub(super) fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for Partial {
    fn drop(&mut self) {
        if !self.is_kept
            && let Err(error) = fs::remove_file(&self.path)
        {
            tracing::warn!(path = %self.path.display(), %error, "an unfinished file is left behind");
        }
    }
}

fn failed(action: &'static str, path: &Path) -> impl Fn(io::Error) -> RecordingsError {
    let path = path.display().to_string();
    move |source| RecordingsError::Folder { action, path: path.clone(), source }
}
