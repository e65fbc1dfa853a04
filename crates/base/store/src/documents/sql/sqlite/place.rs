//! Files: that of the documents, its lock, and copies of it.
//!
//! The file itself is opened by SQLite only: closing it anywhere else in this process would end the locks that SQLite has on it.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::path::{Path, PathBuf};

use levada_model::ErrorKind;
use levada_runtime::durable::sync_folder;
use levada_runtime::{TaskKind, Tasks};

use crate::documents::sql::dialect::Failure;
use crate::file::lock::{self, Attempt, Holder};

/// What the lock file adds to the name.
const LOCK: &str = ".lock";
/// What a copy that is not whole yet adds to the name.
const PART: &str = ".part";

/// Makes the file and its folder when they are not there, and takes the file for this process until the lock is closed. Gives
/// its path without links and the lock.
///
/// - Errors: another process has it, or it cannot be made.
pub(super) fn take(path: &Path) -> Result<(PathBuf, File), Failure> {
    let folder = folder(path);
    fs::create_dir_all(folder).map_err(|error| failed("make the folder", folder, &error))?;
    match create(path) {
        Ok(_) => sync_folder(folder).map_err(|error| failed("flush the folder", folder, &error))?,
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
        Err(error) => return Err(failed("make the file", path, &error)),
    }
    let path = fs::canonicalize(path).map_err(|error| failed("find the file", path, &error))?;
    if !path.is_file() {
        let reason = format!("`{}` is no file; name one in it", path.display());
        return Err(Failure::new(ErrorKind::Invalid, reason));
    }
    let lock_path = with(&path, LOCK);
    let failed = |error: crate::StoreError| {
        let cause = std::error::Error::source(&error).map(|cause| format!(": {cause}"));
        Failure::new(error.kind(), format!("{error}{}", cause.unwrap_or_default()))
    };
    match lock::attempt(&lock_path).map_err(failed)? {
        Attempt::Locked(lock) => {
            let holder = Holder { pid: Some(std::process::id()), ..Holder::default() };
            lock::write(&lock, &lock_path, &holder).map_err(failed)?;
            Ok((path, lock))
        }
        Attempt::Held(holder) => {
            let who = match holder.pid {
                Some(pid) => format!("process {pid}"),
                None => "another process".into(),
            };
            let reason = format!("{who} has it open; stop that one, or name another file");
            Err(Failure::new(ErrorKind::Conflict, reason))
        }
    }
}

/// A copy that is being made; removed when it does not become whole.
#[derive(Debug)]
pub(super) struct Copy {
    path: PathBuf,
    part: PathBuf,
}

// === impl Copy ===

impl Copy {
    /// Begins a copy, with an empty file.
    pub(super) async fn begin(path: &Path, tasks: &Tasks) -> Result<Self, Failure> {
        let (path, part) = (path.to_owned(), with(path, PART));
        blocking(tasks, move || {
            if path.symlink_metadata().is_ok() {
                let reason = format!("`{}` is there already; name another file", path.display());
                return Err(Failure::new(ErrorKind::Conflict, reason));
            }
            match create(&part) {
                Ok(_) => Ok(Self { path, part }),
                Err(error) => Err(failed("make the file", &part, &error)),
            }
        })
        .await
    }

    /// Gives the name of the file to write.
    pub(super) fn text(&self) -> Result<&str, Failure> {
        let reason = || Failure::new(ErrorKind::Invalid, "the name of the file is not UTF-8");
        self.part.to_str().ok_or_else(reason)
    }

    /// Makes the copy durable and gives it its name.
    pub(super) async fn finish(self, tasks: &Tasks) -> Result<(), Failure> {
        blocking(tasks, move || {
            let flushed = File::open(&self.part).and_then(|file| file.sync_all());
            flushed.map_err(|error| failed("flush the file", &self.part, &error))?;
            // Unlike a rename, a link replaces nothing; some file systems have none.
            let linked = match fs::hard_link(&self.part, &self.path) {
                Err(error) if error.kind() != io::ErrorKind::AlreadyExists => {
                    fs::rename(&self.part, &self.path)
                }
                linked => linked,
            };
            linked.map_err(|error| failed("name the file", &self.path, &error))?;
            let folder = folder(&self.path);
            sync_folder(folder).map_err(|error| failed("flush the folder", folder, &error))
        })
        .await
    }
}

impl Drop for Copy {
    fn drop(&mut self) {
        // The file has its own name by now, or is worth nothing.
        fs::remove_file(&self.part).ok();
    }
}

// === helpers ===

async fn blocking<T: Send + 'static>(
    tasks: &Tasks,
    work: impl FnOnce() -> Result<T, Failure> + Send + 'static,
) -> Result<T, Failure> {
    let done = tasks.spawn_thread(TaskKind::Store, "documents copy", work).await;
    done.unwrap_or_else(|error| Err(Failure::new(ErrorKind::Internal, error.to_string())))
}

/// Makes a file that only this user can read: documents hold secrets.
fn create(path: &Path) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options.open(path)
}

fn folder(path: &Path) -> &Path {
    match path.parent() {
        Some(folder) if folder != Path::new("") => folder,
        _ => Path::new("."),
    }
}

fn with(path: &Path, ending: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(ending);
    name.into()
}

fn failed(action: &str, path: &Path, error: &io::Error) -> Failure {
    let kind = match error.kind() {
        io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem => ErrorKind::Forbidden,
        io::ErrorKind::AlreadyExists | io::ErrorKind::IsADirectory => ErrorKind::Invalid,
        _ => ErrorKind::Unavailable,
    };
    Failure::new(kind, format!("cannot {action} `{}`: {error}", path.display()))
}
