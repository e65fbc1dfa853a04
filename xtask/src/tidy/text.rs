//! Rules about the text of every file, whatever its language.

use super::tree::File;
use super::{Findings, Tree};

/// Words that mark unfinished work; each needs the number of an issue on its line.
const UNFINISHED: &[&str] = &["TODO", "FIXME"];
/// Beginnings of paths that exist on one machine only.
const MACHINE_PATHS: &[&str] = &["/home/", "/root/", "/work/"];
/// Files that are inputs or recorded outputs of tests: their bytes are the point.
const DATA: &[&str] = &["/tests/data/", "/tests/cases/", "/corpus/", "/proptest-regressions/"];

/// Unfinished work names its issue, as `#12`.
pub(super) fn todos(tree: &Tree, findings: &mut Findings) {
    for file in tree.files.iter().filter(|file| !file.is_rule() && !is_data(file)) {
        for (number, line) in file.lines() {
            // In prose a word in backticks is talked about, not meant.
            let text =
                if file.path.ends_with(".md") { without_spans(line) } else { line.to_owned() };
            if let Some(word) = UNFINISHED.iter().find(|word| has_word(&text, word))
                && !has_issue(line)
            {
                findings.problem(
                    &file.path,
                    number,
                    format!("{word} without an issue number `#N`"),
                );
            }
        }
    }
}

/// Nothing refers to a place on the machine where it was written.
pub(super) fn machine_paths(tree: &Tree, findings: &mut Findings) {
    for file in tree.files.iter().filter(|file| !file.is_rule()) {
        for (number, line) in file.lines() {
            if let Some(path) = MACHINE_PATHS.iter().find(|path| has_absolute(line, path)) {
                findings.problem(&file.path, number, format!("`{path}` is a path of one machine"));
            }
        }
    }
}

/// No line ends in blanks, and every file ends in one newline.
pub(super) fn whitespace(tree: &Tree, findings: &mut Findings) {
    for file in tree.files.iter().filter(|file| !is_data(file)) {
        for (index, line) in file.text.split('\n').enumerate() {
            if line.ends_with([' ', '\t', '\r']) {
                findings.problem(
                    &file.path,
                    index + 1,
                    "blanks or a carriage return at the end of the line",
                );
            }
        }
        if file.text.is_empty() {
            continue;
        }
        let last = file.text.lines().count();
        if !file.text.ends_with('\n') {
            findings.problem(&file.path, last, "no newline at the end of the file");
        } else if file.text.ends_with("\n\n") {
            findings.problem(&file.path, last, "empty lines at the end of the file");
        }
    }
}

fn is_data(file: &File) -> bool {
    file.path.ends_with(".snap") || DATA.iter().any(|folder| file.path.contains(folder))
}

/// Whether `word` stands in `text` with no letter, digit or underscore beside it.
fn has_word(text: &str, word: &str) -> bool {
    let is_part = |c: char| c.is_alphanumeric() || c == '_';
    text.match_indices(word).any(|(start, _)| {
        let before = text[..start].chars().next_back();
        let after = text[start + word.len()..].chars().next();
        !before.is_some_and(is_part) && !after.is_some_and(is_part)
    })
}

fn has_issue(line: &str) -> bool {
    line.match_indices('#').any(|(at, _)| line[at + 1..].starts_with(|c: char| c.is_ascii_digit()))
}

/// Whether `path` begins an absolute path in `line`: what stands before it cannot be the end of a longer one.
fn has_absolute(line: &str, path: &str) -> bool {
    line.match_indices(path).any(|(start, _)| {
        let before = line[..start].chars().next_back();
        !before.is_some_and(|c| c.is_alphanumeric() || "_-.~})]*$".contains(c))
    })
}

/// The text outside of backticks.
fn without_spans(line: &str) -> String {
    line.split('`').step_by(2).collect()
}

#[cfg(test)]
mod tests {
    use super::super::problems_of;
    use super::*;

    #[test]
    fn unfinished_work_names_its_issue() {
        let good =
            "// TODO(#12): later\n// FIXME see #3\nlet TODO_LIST = 1;\nlet x = \"MASTODON\";\n";
        assert_eq!(problems_of(todos, &[("a.rs", good)]), [""; 0]);
        let bad = "// TODO: later\nx(); // FIXME\n# TODO #soon\n";
        assert_eq!(problems_of(todos, &[("a.rs", bad)]).len(), 3);
        assert_eq!(problems_of(todos, &[("a.md", "A `TODO` needs a number.\n")]), [""; 0]);
        assert_eq!(
            problems_of(todos, &[("a.md", "TODO: write this\n")]),
            ["a.md:1: TODO without an issue number `#N`"]
        );
    }

    #[test]
    fn paths_of_one_machine_are_found() {
        let bad = "a = \"/home/me/x\"\nb = '/root/x'\ncd /work/main\nfile:///home/x\n";
        assert_eq!(problems_of(machine_paths, &[("a.toml", bad)]).len(), 4);
        let good = "docs/work/x\n../root/x\nhttps://example.com/home/x\n${HOME}/work/x\n/homes/x\n";
        assert_eq!(problems_of(machine_paths, &[("a.toml", good)]), [""; 0]);
    }

    #[test]
    fn files_end_cleanly() {
        assert_eq!(problems_of(whitespace, &[("a.rs", "a\n\nb\n"), ("b.rs", "")]), [""; 0]);
        assert_eq!(problems_of(whitespace, &[("a.rs", "a \nb\t\nc\r\nd")]).len(), 4);
        assert_eq!(
            problems_of(whitespace, &[("a.rs", "a\n\n")]),
            ["a.rs:2: empty lines at the end of the file"]
        );
        assert_eq!(problems_of(whitespace, &[("crates/a/tests/data/crlf.csv", "a\r\nb")]), [""; 0]);
    }
}
