//! `tidy`: the project's own rules, each a table line and a file with its own tests.
//!
//! A rule sees the whole tree in memory and reports problems (which fail) and notes (which only inform). Rules look at
//! text line by line and rely on rustfmt's layout; they are aids against accidents, not against intent.

mod layers;
mod licences;
mod lockfile;
mod manifest;
mod manifests;
mod metrics;
mod sizes;
mod source;
mod text;
mod tree;

use anyhow::Result;

use crate::Outcome;
use tree::Tree;

/// One rule: its name is what a problem line ends with.
struct Rule {
    name: &'static str,
    check: fn(&Tree, &mut Findings),
}

const RULES: &[Rule] = &[
    Rule { name: "layers", check: layers::check },
    Rule { name: "crate-manifest", check: manifests::crates },
    Rule { name: "dependency-reason", check: manifests::reasons },
    Rule { name: "crate-doc", check: manifests::crate_docs },
    Rule { name: "lockfile", check: lockfile::check },
    Rule { name: "file-size", check: sizes::check },
    Rule { name: "todo-issue", check: text::todos },
    Rule { name: "machine-path", check: text::machine_paths },
    Rule { name: "whitespace", check: text::whitespace },
    Rule { name: "ignored-test", check: source::ignored_tests },
    Rule { name: "hidden-warning", check: source::hidden_warnings },
    Rule { name: "spawn", check: source::spawns },
    Rule { name: "clock", check: source::clocks },
    Rule { name: "metric-name", check: metrics::check },
];

/// What the rules found.
#[derive(Default)]
struct Findings {
    problems: Vec<String>,
    notes: Vec<String>,
}

impl Findings {
    /// Adds a problem at a line (counted from 1) of a file.
    fn problem(&mut self, path: &str, line: usize, text: impl std::fmt::Display) {
        self.problems.push(format!("{path}:{line}: {text}"));
    }

    /// Adds something worth knowing that fails nothing.
    fn note(&mut self, text: String) {
        self.notes.push(text);
    }
}

/// Runs the task.
pub(crate) fn run(arguments: &[String]) -> Result<Outcome> {
    if arguments.is_empty() {
        Ok(Outcome::from_good(is_clean()?))
    } else {
        Ok(Outcome::Usage("tidy takes no arguments".to_owned()))
    }
}

/// Runs every rule, prints what they find, and says whether they found no problem.
pub(crate) fn is_clean() -> Result<bool> {
    let tree = Tree::read()?;
    let mut problems = 0;
    for rule in RULES {
        let mut findings = Findings::default();
        (rule.check)(&tree, &mut findings);
        problems += findings.problems.len();
        findings.problems.iter().for_each(|problem| eprintln!("{problem} [{}]", rule.name));
        findings.notes.iter().for_each(|note| eprintln!("note: {note} [{}]", rule.name));
    }
    for problem in licences::check()? {
        problems += 1;
        eprintln!("{problem} [licence]");
    }
    if problems > 0 {
        eprintln!("tidy: {problems} problems in {} files", tree.files.len());
    }
    Ok(problems == 0)
}

/// Runs one rule over files given as path and text; returns its problems.
#[cfg(test)]
fn problems_of(rule: fn(&Tree, &mut Findings), files: &[(&str, &str)]) -> Vec<String> {
    let mut findings = Findings::default();
    rule(&Tree::of(files), &mut findings);
    findings.problems
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rule_names_are_unique() {
        let mut names: Vec<&str> = RULES.iter().map(|rule| rule.name).collect();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), RULES.len());
    }

    #[test]
    fn no_rule_stumbles_over_an_empty_tree() {
        for rule in RULES {
            assert_eq!(problems_of(rule.check, &[]), [""; 0], "{}", rule.name);
        }
    }
}
