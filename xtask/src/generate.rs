//! `gen`: the reference pages and the JSON Schema, written by the product itself from its registries.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, bail};

use crate::{Outcome, cargo, repo};

/// The folder that is generated as a whole: a file in it that the generator does not write is removed.
const FOLDER: &str = "docs/reference";
/// The exit code of `levada` for a command that it does not know.
const EXIT_USAGE: i32 = 2;

/// Writes the folder, or says what is stale in it.
pub(crate) fn run(arguments: &[String]) -> Result<Outcome> {
    match arguments {
        [] => {
            let changes = differences(&generated()?, &files(&repo::root().join(FOLDER))?);
            write(&repo::root().join(FOLDER), &changes)?;
            for change in &changes {
                println!("{FOLDER}/{}: {}", change.path, change.what);
            }
            println!("{FOLDER}: {} files changed", changes.len());
            Ok(Outcome::Good)
        }
        [flag] if flag == "--check" => Ok(Outcome::from_good(is_current()?)),
        _ => Ok(Outcome::Usage("gen takes only `--check`".to_owned())),
    }
}

/// Says whether the generated folder is what the generator writes today; prints what is not.
pub(crate) fn is_current() -> Result<bool> {
    let changes = differences(&generated()?, &files(&repo::root().join(FOLDER))?);
    for change in &changes {
        eprintln!("{FOLDER}/{}: {}", change.path, change.what);
    }
    if !changes.is_empty() {
        eprintln!("run `cargo xtask gen` and commit the result");
    }
    Ok(changes.is_empty())
}

/// One file that has to change, and the bytes it should have (none: it should not exist).
struct Change {
    path: String,
    what: String,
    wanted: Option<Vec<u8>>,
}

type Files = BTreeMap<String, Vec<u8>>;

/// Runs the generator into a scratch folder and reads what it wrote.
fn generated() -> Result<Files> {
    let scratch = repo::target()?.join("xtask-gen");
    if scratch.exists() {
        fs::remove_dir_all(&scratch).context("cannot empty the scratch folder")?;
    }
    fs::create_dir_all(&scratch).context("cannot create the scratch folder")?;
    // All that the tests build: of fewer packages some features differ, and the C libraries would be built twice.
    let mut build = cargo::command("build");
    build.args(["--quiet", "--locked", "--workspace", "--all-targets"]);
    if !cargo::succeeds(&mut build, "cargo build")? {
        bail!("the build failed; why is above");
    }
    let levada = repo::target()?.join("debug").join("levada");
    let status = Command::new(&levada)
        .arg("gen-docs")
        .arg(&scratch)
        .stdin(std::process::Stdio::null())
        .status()
        .with_context(|| format!("cannot start {}", levada.display()))?;
    match status.code() {
        Some(0) => {}
        Some(EXIT_USAGE) => bail!("the `levada` binary does not know the command `gen-docs DIR`"),
        _ => bail!("`levada gen-docs` ended with {status}; its message is above"),
    }
    let written = files(&scratch)?;
    if written.is_empty() {
        // Taken for an answer, this would remove every page.
        bail!("`levada gen-docs` wrote no files");
    }
    Ok(written)
}

/// Reads every file below `folder`; keys are paths relative to it. A folder that is not there holds nothing.
fn files(folder: &Path) -> Result<Files> {
    let mut found = Files::new();
    let mut waiting = vec![folder.to_path_buf()];
    while let Some(current) = waiting.pop() {
        if !current.exists() {
            continue;
        }
        let entries = fs::read_dir(&current).with_context(|| format!("cannot list {current:?}"))?;
        for entry in entries {
            let path: PathBuf = entry?.path();
            if path.is_dir() {
                waiting.push(path);
                continue;
            }
            let name = path.strip_prefix(folder)?.to_string_lossy().into_owned();
            let bytes = fs::read(&path).with_context(|| format!("cannot read {path:?}"))?;
            found.insert(name, bytes);
        }
    }
    Ok(found)
}

fn differences(wanted: &Files, present: &Files) -> Vec<Change> {
    let mut changes = Vec::new();
    for (path, bytes) in wanted {
        let what = match present.get(path) {
            None => "missing".to_owned(),
            Some(old) if old != bytes => format!("stale, {}", first_difference(old, bytes)),
            Some(_) => continue,
        };
        changes.push(Change { path: path.clone(), what, wanted: Some(bytes.clone()) });
    }
    for path in present.keys().filter(|path| !wanted.contains_key(*path)) {
        let what = "no longer generated".to_owned();
        changes.push(Change { path: path.clone(), what, wanted: None });
    }
    changes
}

/// Names the first line that differs, with both texts.
fn first_difference(old: &[u8], new: &[u8]) -> String {
    let (old, new) = (String::from_utf8_lossy(old), String::from_utf8_lossy(new));
    let (mut old_lines, mut new_lines) = (old.split('\n'), new.split('\n'));
    let mut number = 0;
    loop {
        number += 1;
        match (old_lines.next(), new_lines.next()) {
            (None, None) => return "in bytes that are not text".to_owned(),
            (was, is) if was == is => {}
            (was, is) => {
                let shown =
                    |line: Option<&str>| line.map_or("nothing".into(), |l| format!("`{l}`"));
                return format!("line {number} has {}, wanted {}", shown(was), shown(is));
            }
        }
    }
}

fn write(folder: &Path, changes: &[Change]) -> Result<()> {
    for change in changes {
        let path = folder.join(&change.path);
        match &change.wanted {
            Some(bytes) => {
                let parent = path.parent().context("a generated file has no folder")?;
                fs::create_dir_all(parent).with_context(|| format!("cannot create {parent:?}"))?;
                fs::write(&path, bytes).with_context(|| format!("cannot write {path:?}"))?;
            }
            None => fs::remove_file(&path).with_context(|| format!("cannot remove {path:?}"))?,
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use super::*;

    fn tree(files: &[(&str, &str)]) -> Files {
        files.iter().map(|(path, text)| ((*path).to_owned(), text.as_bytes().to_vec())).collect()
    }

    #[test]
    fn names_missing_stale_and_surplus_files() {
        let wanted = tree(&[("a.md", "same\n"), ("b.md", "one\ntwo\n"), ("c/d.md", "new\n")]);
        let present = tree(&[("a.md", "same\n"), ("b.md", "one\n2\n"), ("old.md", "x\n")]);
        let changes = differences(&wanted, &present);
        let lines: Vec<String> =
            changes.iter().map(|change| format!("{}: {}", change.path, change.what)).collect();
        assert_eq!(
            lines,
            [
                "b.md: stale, line 2 has `2`, wanted `two`",
                "c/d.md: missing",
                "old.md: no longer generated"
            ]
        );
    }

    #[test]
    fn a_longer_file_differs_at_its_first_extra_line() {
        assert_eq!(first_difference(b"a", b"a\nb"), "line 2 has nothing, wanted `b`");
    }

    #[test]
    fn after_writing_nothing_differs() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("old.md"), "x").unwrap();
        let wanted = tree(&[("c/d.md", "new\n"), ("e.md", "e\n")]);
        let changes = differences(&wanted, &files(folder.path()).unwrap());
        assert_eq!(changes.len(), 3);
        write(folder.path(), &changes).unwrap();
        assert!(differences(&wanted, &files(folder.path()).unwrap()).is_empty());
    }
}
