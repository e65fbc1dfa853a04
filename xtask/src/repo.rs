//! Where things are: the root of the repository, the target folder, the files that belong to the project.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, bail};

/// The folder that holds the workspace's `Cargo.toml`.
pub(crate) fn root() -> PathBuf {
    // Cargo sets the variable when it starts the task; the compiled-in value serves a binary that is started by hand.
    let manifest = std::env::var_os("CARGO_MANIFEST_DIR")
        .map_or_else(|| PathBuf::from(env!("CARGO_MANIFEST_DIR")), PathBuf::from);
    manifest.parent().map_or_else(|| manifest.clone(), Path::to_path_buf)
}

/// Cargo's target folder, found from this executable, so that `CARGO_TARGET_DIR` and settings are honoured.
pub(crate) fn target() -> Result<PathBuf> {
    let executable = std::env::current_exe().context("cannot find this executable")?;
    let profile = executable.parent().and_then(Path::parent);
    Ok(profile.context("this executable is not inside a target folder")?.to_path_buf())
}

/// Whether this is a run in continuous integration, where a skipped test is a failure.
pub(crate) fn is_ci() -> bool {
    std::env::var("CI").is_ok_and(|value| value == "true")
}

/// Paths, relative to the root, of every file that is tracked or would be added by `git add --all`.
pub(crate) fn files() -> Result<Vec<String>> {
    let output = Command::new("git")
        // A checkout that belongs to another user (a container's mount) is still ours to read.
        .args(["-c", "safe.directory=*", "ls-files", "-z"])
        .args(["--cached", "--others", "--exclude-standard"])
        .current_dir(root())
        .output()
        .context("cannot start git, which lists the project's files; install it")?;
    if !output.status.success() {
        bail!("git ls-files failed: {}", String::from_utf8_lossy(&output.stderr).trim());
    }
    let mut files: Vec<String> = output
        .stdout
        .split(|byte| *byte == 0)
        .filter(|path| !path.is_empty())
        .map(|path| String::from_utf8_lossy(path).into_owned())
        .collect();
    files.sort();
    files.dedup();
    Ok(files)
}
