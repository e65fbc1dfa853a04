//! Which files the patterns name.

use std::collections::{BTreeMap, HashSet};
use std::path::{Path, PathBuf};

use glob::{MatchOptions, Pattern, PatternError};

use super::identity::FileId;

/// Files that one source may have. Ours: each costs some hundred bytes and a look per poll.
pub(super) const FILES_MAX: usize = 100_000;

/// How names match: hidden files only where the pattern says so, as in a shell.
const MATCH: MatchOptions = MatchOptions {
    case_sensitive: true,
    require_literal_separator: true,
    require_literal_leading_dot: true,
};

/// The patterns of a source, absolute.
#[derive(Clone, Debug)]
pub(super) struct Patterns {
    absolute: Vec<String>,
    written: Vec<String>,
    base_dir: PathBuf,
}

/// A file that a pattern names.
#[derive(Clone, Copy, Debug)]
pub(super) struct Found {
    pub(super) id: FileId,
    pub(super) bytes: u64,
}

/// More files than a source may have.
#[derive(Debug, thiserror::Error)]
#[error("the patterns name more than {FILES_MAX} files; use narrower ones, or several flows")]
pub(super) struct TooManyFiles;

// === impl Patterns ===

impl Patterns {
    /// Makes patterns relative to a folder.
    pub(super) fn new(written: &[String], base_dir: &Path) -> Self {
        let base = Pattern::escape(&base_dir.to_string_lossy());
        let absolute = written.iter().map(|pattern| {
            let path = Path::new(pattern);
            if path.is_absolute() {
                pattern.clone()
            } else {
                Path::new(&base).join(path).to_string_lossy().into_owned()
            }
        });
        Patterns {
            absolute: absolute.collect(),
            written: written.to_vec(),
            base_dir: base_dir.to_owned(),
        }
    }

    /// Checks one pattern.
    pub(super) fn check(pattern: &str) -> Result<(), PatternError> {
        Pattern::new(pattern).map(drop)
    }

    /// Gives the files there are now, sorted; of several names of one file only the first.
    pub(super) fn find(&self) -> Result<BTreeMap<PathBuf, Found>, TooManyFiles> {
        let mut files = BTreeMap::new();
        for pattern in &self.absolute {
            // The check refused bad patterns, and folders that cannot be read hold nothing for us.
            let Ok(paths) = glob::glob_with(pattern, MATCH) else { continue };
            for path in paths {
                let path = match path {
                    Ok(path) => path,
                    Err(error) => {
                        tracing::warn!(path = %error.path().display(), error = %error.error(),
                            "cannot look into a folder that a pattern names");
                        continue;
                    }
                };
                let Ok(metadata) = std::fs::metadata(&path) else { continue };
                if !metadata.is_file() {
                    continue;
                }
                let found = Found { id: FileId::of(&metadata), bytes: metadata.len() };
                files.insert(path, found);
                if files.len() > FILES_MAX {
                    return Err(TooManyFiles);
                }
            }
        }
        let mut seen = HashSet::with_capacity(files.len());
        files.retain(|_, found| seen.insert(found.id));
        Ok(files)
    }

    /// Gives what is to be said when there are none.
    pub(super) fn nothing_found(&self) -> String {
        let folder = self.base_dir.display();
        let patterns: Vec<String> = self.written.iter().map(|text| format!("`{text}`")).collect();
        format!(
            "no file matches {} in folder `{folder}`; correct `paths`, or set `follow: true` to wait \
             for files",
            patterns.join(", ")
        )
    }
}
