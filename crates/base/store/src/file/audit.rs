//! What people changed: one JSON line per change, in the order in which it was done.
//!
//! A line is appended before the change is made, so that no change is without one; when the change fails, another line says so. Past
//! a mebibyte the file is put aside, and what was put aside before is forgotten.

use std::fs::{self, OpenOptions};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use super::bytes_of;
use crate::{AuditLine, StoreError};

/// Size past which a file is put aside.
const BYTES_MAX: u64 = 1 << 20;

/// The files of one flow.
pub(super) struct Paths {
    pub(super) last: PathBuf,
    pub(super) previous: PathBuf,
}

/// Appends a line, durably.
pub(super) fn append(paths: &Paths, line: &AuditLine) -> Result<(), StoreError> {
    let path = &paths.last;
    let failed = |error| StoreError::io("write the audit line to", path, error);
    match fs::metadata(path) {
        Ok(metadata) if metadata.len() > BYTES_MAX => {
            fs::rename(path, &paths.previous).map_err(failed)?;
        }
        _ => {}
    }
    // A crash may have left the line before this one cut; this one begins on its own.
    let is_cut = read(path).map_err(failed)?.last().is_some_and(|&byte| byte != b'\n');
    let mut bytes = if is_cut { vec![b'\n'] } else { Vec::new() };
    serde_json::to_writer(&mut bytes, line).map_err(|error| failed(error.into()))?;
    bytes.push(b'\n');
    let mut file = OpenOptions::new().append(true).create(true).open(path).map_err(failed)?;
    file.write_all(&bytes).and_then(|()| file.sync_data()).map_err(failed)
}

/// Gives the lines that can be read, oldest first.
pub(super) fn lines(paths: &Paths) -> Result<Vec<AuditLine>, StoreError> {
    let mut lines = Vec::new();
    for path in [&paths.previous, &paths.last] {
        let bytes = read(path).map_err(|e| StoreError::io("read the audit lines of", path, e))?;
        let whole = bytes.split(|&byte| byte == b'\n');
        lines.extend(whole.filter_map(|line| serde_json::from_slice(line).ok()));
    }
    Ok(lines)
}

fn read(path: &Path) -> io::Result<Vec<u8>> {
    match bytes_of(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
        result => result,
    }
}
