//! Finds cases in a folder.

use std::collections::VecDeque;
use std::path::{Path, PathBuf};

/// Folders that are looked into; a larger tree is probably not the one that was meant.
const FOLDERS_MAX: usize = 10_000;

/// Gives each file with cases and the flow or script beside it, in the order of their names.
///
/// - Hidden folders are left out, and links to folders are not followed.
pub(super) fn groups(folder: &Path) -> Result<Vec<Vec<PathBuf>>, String> {
    let mut cases = Vec::new();
    let mut folders = VecDeque::from([folder.to_owned()]);
    let mut count = 0;
    while let Some(folder) = folders.pop_front() {
        count += 1;
        if count > FOLDERS_MAX {
            return Err(format!("there are more than {FOLDERS_MAX} folders to look into"));
        }
        let cannot =
            |error: std::io::Error| format!("`{}` cannot be read: {error}", folder.display());
        for entry in std::fs::read_dir(&folder).map_err(cannot)? {
            let entry = entry.map_err(cannot)?;
            let name = entry.file_name().to_string_lossy().into_owned();
            let kind = entry.file_type().map_err(cannot)?;
            if kind.is_dir() && !name.starts_with('.') {
                folders.push_back(entry.path());
            } else if !kind.is_dir() && stem(&name).is_some() {
                cases.push(entry.path());
            }
        }
    }
    cases.sort();
    Ok(cases.into_iter().map(group).collect())
}

fn stem(name: &str) -> Option<&str> {
    [".test.yaml", ".test.yml"].iter().find_map(|end| name.strip_suffix(end))
}

fn group(cases: PathBuf) -> Vec<PathBuf> {
    let name = cases.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let stem = stem(&name).unwrap_or_default();
    let beside = ["yaml", "yml", "tick"]
        .map(|extension| cases.with_file_name(format!("{stem}.{extension}")));
    let mut group: Vec<PathBuf> = beside.into_iter().filter(|file| file.is_file()).collect();
    group.push(cases);
    group
}
