//! How long a source file may be.

use super::{Findings, Tree};

/// From here on a file is listed: comfortable up to this. Source: the house style, table of sizes.
const COMFORTABLE_LINES: usize = 400;
/// Past this a file fails.
const LINES_MAX: usize = 800;
/// Kinds of files that people write and read as code.
const CODE: &[&str] = &[".rs", ".sh", ".js", ".ts", ".tsx", ".css", ".html", ".sql"];

pub(super) fn check(tree: &Tree, findings: &mut Findings) {
    for file in &tree.files {
        if !CODE.iter().any(|ending| file.path.ends_with(ending)) {
            continue;
        }
        let count = file.text.lines().count();
        if count > LINES_MAX {
            let text = format!("{count} lines, at most {LINES_MAX}: split it by concept");
            findings.problem(&file.path, LINES_MAX + 1, text);
        } else if count > COMFORTABLE_LINES {
            findings.note(format!("{}: {count} lines", file.path));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Problems and notes for one file of `count` lines.
    fn counts(path: &str, count: usize) -> (usize, usize) {
        let mut findings = Findings::default();
        check(&Tree::of(&[(path, &"x\n".repeat(count))]), &mut findings);
        (findings.problems.len(), findings.notes.len())
    }

    #[test]
    fn lists_long_files_and_refuses_very_long_ones() {
        assert_eq!(counts("a.rs", 400), (0, 0));
        assert_eq!(counts("a.rs", 401), (0, 1));
        assert_eq!(counts("a.rs", 800), (0, 1));
        assert_eq!(counts("a.rs", 801), (1, 0));
        assert_eq!(counts("Cargo.lock", 5000), (0, 0));
    }
}
