//! Bounded reading of small system files under a configurable root.

use std::ffi::OsStr;
use std::fs::File;
use std::io::{self, Read};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use rustix::fs::{Mode, OFlags, StatVfs};

use super::error::CollectError;
use super::text::integer;

/// Longest file that is read. Ours: `/proc/stat` of a host with thousands of interrupts and cores
/// stays far below.
pub(super) const FILE_BYTES_MAX: u64 = 4 << 20;

/// Longest host name or kernel release: the longest DNS name (RFC 1035 §2.3.4); Linux itself allows
/// 64.
const NAME_BYTES_MAX: usize = 255;

/// Reads files below a root into one reused buffer.
pub(super) struct Files {
    root: PathBuf,
    path: PathBuf,
    buffer: Vec<u8>,
}

/// The content of a file, with its path for errors.
#[derive(Clone, Copy)]
pub(super) struct SystemFile<'a> {
    path: &'a Path,
    /// The content.
    pub(super) text: &'a [u8],
}

// === impl Files ===

impl Files {
    /// Gives a reader below `root`.
    pub(super) fn new(root: &Path) -> Self {
        Self { root: root.to_path_buf(), path: PathBuf::new(), buffer: Vec::new() }
    }

    /// Whether the root is our own `/`, and not that of a host mounted elsewhere.
    pub(super) fn is_own_root(&self) -> bool {
        self.root == Path::new("/")
    }

    /// Gives the content of the file `relative`, a path below the root.
    ///
    /// - Errors: [`CollectError::Unreadable`], [`CollectError::TooLarge`].
    pub(super) fn read(&mut self, relative: &str) -> Result<SystemFile<'_>, CollectError> {
        self.load(relative)?;
        Ok(self.loaded())
    }

    /// Gives the content of `proc/<name>`; below another root that of its first process, if we may.
    ///
    /// `/proc/net` and `/proc/mounts` show the namespaces of the reader, so that in a container
    /// they would show the container even where `root` is the host; process 1 of the mounted
    /// `/proc` is in those of the host.
    ///
    /// - Errors: as [`Files::read`].
    pub(super) fn read_namespaced(&mut self, name: &str) -> Result<SystemFile<'_>, CollectError> {
        if self.is_own_root() || self.load(&format!("proc/1/{name}")).is_err() {
            self.load(&format!("proc/{name}"))?;
        }
        Ok(self.loaded())
    }

    /// Gives the single word of the first of `paths` that can be read and holds one.
    ///
    /// - Errors: of the last path; [`CollectError::Malformed`] when it holds no word or one above
    ///   255 bytes.
    pub(super) fn read_name(&mut self, paths: &[&str]) -> Result<&[u8], CollectError> {
        for path in paths.iter().take(paths.len().saturating_sub(1)) {
            if self.load(path).is_ok() && is_name(self.buffer.trim_ascii()) {
                return Ok(self.buffer.trim_ascii());
            }
        }
        if let Some(path) = paths.last() {
            self.load(path)?;
        }
        if is_name(self.buffer.trim_ascii()) {
            return Ok(self.buffer.trim_ascii());
        }
        Err(self.loaded().malformed(1, "one word of at most 255 bytes"))
    }

    /// Puts the names in the folder `relative` that are decimal numbers, at most `limit`, into
    /// `numbers`, and gives how many there are in all.
    ///
    /// - Errors: [`CollectError::Unreadable`].
    pub(super) fn numbered_entries(
        &mut self,
        relative: &str,
        limit: usize,
        numbers: &mut Vec<u64>,
    ) -> Result<u64, CollectError> {
        self.resolve(relative.as_bytes());
        numbers.clear();
        let mut total = 0;
        for entry in std::fs::read_dir(&self.path).map_err(|source| self.unreadable(source))? {
            let entry = entry.map_err(|source| self.unreadable(source))?;
            let Some(number) = integer(entry.file_name().as_bytes()) else {
                continue;
            };
            total += 1;
            if numbers.len() < limit {
                numbers.push(number);
            }
        }
        Ok(total)
    }

    /// Gives the figures of the filesystem mounted at `mount`, a path as the host sees it.
    ///
    /// - Errors: [`CollectError::Unreadable`].
    pub(super) fn filesystem(&mut self, mount: &[u8]) -> Result<StatVfs, CollectError> {
        self.resolve(mount);
        rustix::fs::statvfs(&self.path).map_err(|errno| self.unreadable(errno.into()))
    }

    fn loaded(&self) -> SystemFile<'_> {
        SystemFile { path: &self.path, text: &self.buffer }
    }

    fn unreadable(&self, source: io::Error) -> CollectError {
        CollectError::Unreadable { path: self.path.clone(), source }
    }

    /// Sets `path` to `below` under the root.
    fn resolve(&mut self, below: &[u8]) {
        let start = below.iter().position(|&byte| byte != b'/').unwrap_or(below.len());
        let path = self.path.as_mut_os_string();
        path.clear();
        path.push(&self.root);
        self.path.push(OsStr::from_bytes(&below[start..]));
    }

    fn load(&mut self, relative: &str) -> Result<(), CollectError> {
        self.resolve(relative.as_bytes());
        self.buffer.clear();
        // Not blocking: a pipe below a wrong root must give an error instead of a wait for its
        // writer.
        let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NONBLOCK | OFlags::NOCTTY;
        let file = rustix::fs::open(&self.path, flags, Mode::empty())
            .map_err(|errno| self.unreadable(errno.into()))?;
        let mut bounded = File::from(file).take(FILE_BYTES_MAX + 1);
        let length =
            bounded.read_to_end(&mut self.buffer).map_err(|source| self.unreadable(source))?;
        if length as u64 > FILE_BYTES_MAX {
            return Err(CollectError::TooLarge { path: self.path.clone(), limit: FILE_BYTES_MAX });
        }
        Ok(())
    }
}

// === impl SystemFile ===

impl SystemFile<'_> {
    /// Gives the error for a line, counted from 1.
    pub(super) fn malformed(&self, line: usize, expected: &'static str) -> CollectError {
        CollectError::Malformed { path: self.path.to_path_buf(), line, expected }
    }

    /// Gives the error for a line that is not there.
    pub(super) fn missing(&self, key: &'static str) -> CollectError {
        CollectError::Missing { path: self.path.to_path_buf(), key }
    }
}

fn is_name(text: &[u8]) -> bool {
    !text.is_empty()
        && text.len() <= NAME_BYTES_MAX
        && !text.iter().any(|byte| byte.is_ascii_whitespace())
}
