//! What every crate and every dependency line must say.

use super::manifest::{is_dependency_table, is_from_workspace, lines};
use super::{Findings, Tree};

/// Every crate takes the workspace's lints and the workspace's versions.
pub(super) fn crates(tree: &Tree, findings: &mut Findings) {
    for file in tree.manifests() {
        let has_lints = lines(&file.text).any(|line| {
            line.table == "lints" && line.key == "workspace" && line.value.starts_with("true")
        });
        if !has_lints {
            findings.problem(&file.path, 1, "lacks `[lints] workspace = true`");
        }
        for line in lines(&file.text).filter(|line| is_dependency_table(line.table)) {
            if !is_from_workspace(&line) {
                let text = format!("`{}` must take its version from the workspace", line.key);
                findings.problem(&file.path, line.number, text);
            }
        }
    }
}

/// Every foreign dependency of the workspace says on its line what it is for.
pub(super) fn reasons(tree: &Tree, findings: &mut Findings) {
    let Some(file) = tree.file("Cargo.toml") else {
        return;
    };
    for line in lines(&file.text).filter(|line| line.table == "workspace.dependencies") {
        let is_ours = line.value.contains("path =");
        let has_reason =
            line.value.rsplit_once('#').is_some_and(|(_, reason)| !reason.trim().is_empty());
        if !is_ours && !has_reason {
            let text = format!("`{}` lacks a comment that says what it is for", line.key);
            findings.problem(&file.path, line.number, text);
        }
    }
    for (number, line) in file.lines() {
        if line.starts_with("[workspace.dependencies.") {
            findings.problem(&file.path, number, "write the dependency on one line");
        }
    }
}

/// Every crate says in its first line what it is.
pub(super) fn crate_docs(tree: &Tree, findings: &mut Findings) {
    for manifest in tree.manifests() {
        let folder = manifest.path.trim_end_matches("Cargo.toml");
        let roots = ["src/lib.rs", "src/main.rs"].map(|name| format!("{folder}{name}"));
        let mut found = false;
        for file in roots.iter().filter_map(|path| tree.file(path)) {
            found = true;
            // One licence line may stand before it.
            let first = file.text.lines().find(|line| !line.starts_with("// SPDX"));
            let doc = first.and_then(|line| line.strip_prefix("//!"));
            if doc.is_none_or(|doc| doc.trim().is_empty()) {
                findings.problem(
                    &file.path,
                    1,
                    "must begin with a `//!` line that says what the crate is",
                );
            }
        }
        if !found {
            findings.problem(&manifest.path, 1, "a crate without `src/lib.rs` or `src/main.rs`");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::problems_of;
    use super::*;

    #[test]
    fn a_crate_takes_lints_and_versions_from_the_workspace() {
        let path = "crates/base/model/Cargo.toml";
        let good = "[lints]\nworkspace = true\n\n[dependencies]\na = { workspace = true }\nb.workspace = true\n";
        assert_eq!(problems_of(crates, &[(path, good)]), [""; 0]);
        let bad = "[dependencies]\na = \"1\"\n\n[dev-dependencies]\nb = { version = \"1\" }\n";
        let problems = problems_of(crates, &[(path, bad)]);
        assert_eq!(problems.len(), 3, "{problems:?}");
        assert!(problems[1].starts_with("crates/base/model/Cargo.toml:2: `a` must"));
    }

    #[test]
    fn a_dependency_says_what_it_is_for() {
        let text = "\
# Each line says what it is for.
[workspace.dependencies]
levada-model = { path = \"crates/base/model\" }
good = \"1\" # for good
bad = { version = \"1\" }
empty = \"1\" #

[workspace.dependencies.table]
version = \"1\"
";
        let problems = problems_of(reasons, &[("Cargo.toml", text)]);
        assert_eq!(problems.len(), 3, "{problems:?}");
        assert!(problems[0].contains("`bad`") && problems[1].contains("`empty`"));
        assert!(problems[2].starts_with("Cargo.toml:8:"));
    }

    #[test]
    fn a_crate_says_what_it_is() {
        let manifest = ("crates/a/Cargo.toml", "");
        let lib = "crates/a/src/lib.rs";
        assert_eq!(problems_of(crate_docs, &[manifest, (lib, "//! Gives a.\n")]), [""; 0]);
        let licensed = "// SPDX-License-Identifier: Apache-2.0\n//! Gives a.\n";
        assert_eq!(problems_of(crate_docs, &[manifest, (lib, licensed)]), [""; 0]);
        assert_eq!(problems_of(crate_docs, &[manifest, (lib, "mod a;\n//! late\n")]).len(), 1);
        assert_eq!(problems_of(crate_docs, &[manifest, (lib, "//!\nmod a;\n")]).len(), 1);
        assert_eq!(problems_of(crate_docs, &[manifest, (lib, "")]).len(), 1);
        assert_eq!(problems_of(crate_docs, &[manifest]).len(), 1);
    }
}
