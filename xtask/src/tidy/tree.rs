//! The files of the project in memory, and what is code and what is test in them.

use std::fs;

use anyhow::{Context as _, Result};

use crate::repo;

/// Every text file of the project.
pub(super) struct Tree {
    pub files: Vec<File>,
}

/// One text file.
pub(super) struct File {
    /// The path from the root, with `/`.
    pub path: String,
    pub text: String,
}

// === impl Tree ===

impl Tree {
    /// Reads what git knows or would add; binary files are left out.
    pub(super) fn read() -> Result<Self> {
        let root = repo::root();
        let mut files = Vec::new();
        for path in repo::files()? {
            let absolute = root.join(&path);
            if !absolute.is_file() {
                continue; // removed and not yet committed
            }
            let bytes = fs::read(&absolute).with_context(|| format!("cannot read {path}"))?;
            if let Ok(text) = String::from_utf8(bytes)
                && !text.contains('\0')
            {
                files.push(File { path, text });
            }
        }
        Ok(Self { files })
    }

    /// A tree of the given paths and texts.
    #[cfg(test)]
    pub(super) fn of(files: &[(&str, &str)]) -> Self {
        let file = |(path, text): &(&str, &str)| File {
            path: (*path).to_owned(),
            text: (*text).to_owned(),
        };
        Self { files: files.iter().map(file).collect() }
    }

    /// The Rust sources.
    pub(super) fn rust(&self) -> impl Iterator<Item = &File> {
        self.files.iter().filter(|file| file.path.ends_with(".rs"))
    }

    /// The manifests of the workspace's members.
    pub(super) fn manifests(&self) -> impl Iterator<Item = &File> {
        self.files.iter().filter(|file| {
            file.path == "xtask/Cargo.toml"
                || (file.path.starts_with("crates/") && file.path.ends_with("/Cargo.toml"))
        })
    }

    /// The file at `path`.
    pub(super) fn file(&self, path: &str) -> Option<&File> {
        self.files.iter().find(|file| file.path == path)
    }
}

// === impl File ===

impl File {
    /// Lines with their numbers, counted from 1.
    pub(super) fn lines(&self) -> impl Iterator<Item = (usize, &str)> {
        self.text.lines().enumerate().map(|(index, line)| (index + 1, line))
    }

    /// Lines of code: without comments.
    pub(super) fn code(&self) -> impl Iterator<Item = (usize, &str)> {
        self.lines()
            .filter(|(_, line)| !line.trim_start().starts_with("//"))
            .map(|(number, line)| (number, line.split_once(" // ").map_or(line, |(code, _)| code)))
    }

    /// Lines of code that are not tests: outside of items under `#[cfg(test)]`.
    pub(super) fn production_code(&self) -> Vec<(usize, &str)> {
        let mut lines = Vec::new();
        let mut code = self.code();
        while let Some((number, line)) = code.next() {
            if line.trim() != "#[cfg(test)]" {
                lines.push((number, line));
                continue;
            }
            // rustfmt closes an item at the indentation at which it opened.
            let indent = &line[..line.len() - line.trim_start().len()];
            for (_, line) in code.by_ref() {
                let Some(rest) = line.strip_prefix(indent) else {
                    continue;
                };
                let is_item_line = !rest.starts_with([' ', '#', ')', ']']);
                if is_item_line && (rest.ends_with([';', '}']) || rest == "};") {
                    break;
                }
            }
        }
        lines
    }

    /// Whether the whole file exists for tests or measurements.
    pub(super) fn is_test(&self) -> bool {
        self.path.starts_with("crates/testkit/")
            || self.path.contains("/tests/")
            || self.path.contains("/benches/")
            || (self.path.starts_with("crates/") && self.path.contains("/examples/"))
            || self.path.ends_with("/tests.rs")
    }

    /// Whether the file is the project's tooling.
    pub(super) fn is_xtask(&self) -> bool {
        self.path.starts_with("xtask/")
    }

    /// Whether the file holds these rules, whose texts and tests name what they forbid.
    pub(super) fn is_rule(&self) -> bool {
        self.path.starts_with("xtask/src/tidy/")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn production(text: &str) -> Vec<String> {
        let file = File { path: "crates/a/src/lib.rs".to_owned(), text: text.to_owned() };
        file.production_code().iter().map(|(number, line)| format!("{number} {line}")).collect()
    }

    #[test]
    fn tests_and_comments_are_not_production_code() {
        let text = "\
a();
// comment
    /// doc
b(); // trailing
#[cfg(test)]
mod tests {
    fn x() {
    }
}
c();
#[cfg(test)]
mod other;
d();
    #[cfg(test)]
    pub(crate) fn helper(
        x: u8,
    ) -> u8 {
        x
    }
    e();
#[cfg(test)]
#[expect(clippy::unwrap_used, reason = \"tests\")]
mod last {
}
";
        assert_eq!(production(text), ["1 a();", "4 b();", "10 c();", "13 d();", "20     e();"]);
    }

    #[test]
    fn knows_test_files() {
        let is_test = |path: &str| File { path: path.to_owned(), text: String::new() }.is_test();
        assert!(is_test("crates/a/tests/it/main.rs"));
        assert!(is_test("crates/a/src/foo/tests.rs"));
        assert!(is_test("crates/a/benches/x.rs"));
        assert!(is_test("crates/a/examples/measure.rs"));
        assert!(is_test("crates/testkit/src/lib.rs"));
        assert!(!is_test("crates/a/src/tests_of_time.rs"));
    }
}
