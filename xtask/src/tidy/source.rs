//! Rules about Rust sources that the compiler and clippy cannot be told.

use super::{Findings, Tree};

/// The one crate that starts tasks and reads clocks for everyone.
const RUNTIME: &str = "crates/base/runtime/";
/// Ways to start a task that nobody supervises. Tests may: their runtime ends with them.
const SPAWNS: &[&str] = &["tokio::spawn(", "tokio::task::spawn(", "spawn_blocking("];
/// Ways to read the clock past `Clock`.
const CLOCKS: &[&str] = &["SystemTime::now(", "Instant::now("];

/// No test is switched off.
pub(super) fn ignored_tests(tree: &Tree, findings: &mut Findings) {
    for file in tree.rust().filter(|file| !file.is_rule()) {
        for (number, line) in file.code() {
            if line.contains("#[ignore")
                || (line.contains("cfg_attr(") && line.contains(", ignore"))
            {
                let text = "an ignored test: assert today's behaviour, or print why it cannot run (`SKIPPED: `)";
                findings.problem(&file.path, number, text);
            }
        }
    }
}

/// Nothing hides that code is not used.
pub(super) fn hidden_warnings(tree: &Tree, findings: &mut Findings) {
    for file in tree.rust().filter(|file| !file.is_rule()) {
        // An attribute can span lines; then its list begins on a line of its own.
        let mut is_open = false;
        for (number, line) in file.code() {
            let is_attribute = line.trim_start().starts_with('#') || line.contains("cfg_attr");
            let list = match line.find("allow(") {
                Some(start) if is_attribute => &line[start + "allow(".len()..],
                _ if is_open => line,
                _ => continue,
            };
            let end = list.find(')');
            let items = &list[..end.unwrap_or(list.len())];
            is_open = end.is_none();
            for item in items.split(',').map(str::trim) {
                if item == "dead_code" || item.starts_with("unused") {
                    let text = format!("`allow({item})`: remove what is not used");
                    findings.problem(&file.path, number, text);
                }
            }
        }
    }
}

/// Tasks are started by the runtime crate, which counts them and stops them.
pub(super) fn spawns(tree: &Tree, findings: &mut Findings) {
    outside_runtime(tree, findings, SPAWNS, "use `Tasks::spawn` of the runtime crate");
}

/// Time comes from `Clock`, so that tests own it.
pub(super) fn clocks(tree: &Tree, findings: &mut Findings) {
    outside_runtime(tree, findings, CLOCKS, "take the runtime crate's `Clock`");
}

fn outside_runtime(tree: &Tree, findings: &mut Findings, calls: &[&str], instead: &str) {
    for file in tree.rust() {
        if file.path.starts_with(RUNTIME) || file.is_xtask() || file.is_test() {
            continue;
        }
        for (number, line) in file.production_code() {
            if let Some(call) = calls.iter().find(|call| line.contains(*call)) {
                findings.problem(&file.path, number, format!("`{call})` here: {instead}"));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::problems_of;
    use super::*;

    const LIB: &str = "crates/domain/flow/src/lib.rs";

    #[test]
    fn finds_ignored_tests() {
        assert_eq!(problems_of(ignored_tests, &[(LIB, "// #[ignore]\nfn ignore() {}\n")]), [""; 0]);
        let bad = "#[ignore]\n    #[ignore = \"slow\"]\n#[cfg_attr(not(x), ignore)]\n";
        assert_eq!(problems_of(ignored_tests, &[(LIB, bad)]).len(), 3);
    }

    #[test]
    fn finds_hidden_warnings() {
        let good = "#[allow(clippy::unwrap_used, reason = \"tests\")]\nif allow(dead_code) {}\n";
        assert_eq!(problems_of(hidden_warnings, &[(LIB, good)]), [""; 0]);
        let bad = "\
#[allow(dead_code)]
#![allow(clippy::x, unused_imports)]
#[cfg_attr(test, allow(unused))]
#[allow(
    clippy::y,
    dead_code,
    reason = \"none\"
)]
";
        assert_eq!(problems_of(hidden_warnings, &[(LIB, bad)]).len(), 4);
    }

    #[test]
    fn finds_unsupervised_tasks() {
        let text = "fn a() {\n    tokio::spawn(b());\n}\n";
        assert_eq!(
            problems_of(spawns, &[(LIB, text)]),
            [
                "crates/domain/flow/src/lib.rs:2: `tokio::spawn()` here: use `Tasks::spawn` of the runtime crate"
            ]
        );
        assert_eq!(problems_of(spawns, &[("crates/base/runtime/src/tasks.rs", text)]), [""; 0]);
        assert_eq!(problems_of(spawns, &[("crates/domain/flow/tests/it/main.rs", text)]), [""; 0]);
        let in_tests =
            "#[cfg(test)]\nmod tests {\n    fn a() {\n        tokio::spawn(b());\n    }\n}\n";
        assert_eq!(problems_of(spawns, &[(LIB, in_tests)]), [""; 0]);
    }

    #[test]
    fn finds_hidden_clocks() {
        let text = "let now = std::time::Instant::now();\nlet then = SystemTime::now();\n";
        assert_eq!(problems_of(clocks, &[(LIB, text)]).len(), 2);
        assert_eq!(problems_of(clocks, &[("xtask/src/bench.rs", text)]), [""; 0]);
        assert_eq!(problems_of(clocks, &[("crates/base/model/benches/x.rs", text)]), [""; 0]);
    }
}
