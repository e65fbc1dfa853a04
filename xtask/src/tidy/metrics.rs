//! Where the names of metrics are written: once per crate, in a file called `metrics.rs` or in the modules under it.

use super::{Findings, Tree};

/// Beginnings of the exported names.
const PREFIXES: &[&str] = &["dataflow_", "levada_"];

pub(super) fn check(tree: &Tree, findings: &mut Findings) {
    for file in tree.rust() {
        let is_home = file.path.ends_with("/metrics.rs") || file.path.contains("/metrics/");
        if is_home || file.is_xtask() || file.is_test() {
            continue;
        }
        for (number, line) in file.production_code() {
            for name in literals(line).filter(|literal| is_metric(literal)) {
                findings.problem(
                    &file.path,
                    number,
                    format!("metric name `{name}` outside of `metrics.rs`"),
                );
            }
        }
    }
}

/// Texts between quotes on one line; good enough for names, which hold no quotes.
fn literals(line: &str) -> impl Iterator<Item = &str> {
    line.split('"').skip(1).step_by(2)
}

fn is_metric(literal: &str) -> bool {
    let is_name =
        literal.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_');
    is_name
        && PREFIXES
            .iter()
            .any(|prefix| literal.strip_prefix(prefix).is_some_and(|rest| !rest.is_empty()))
}

#[cfg(test)]
mod tests {
    use super::super::problems_of;
    use super::*;

    #[test]
    fn names_stand_in_one_place() {
        let text = "let a = counter(\"x\", \"dataflow_messages_received_total\");\nlet b = \"levada_lag\";\n";
        assert_eq!(problems_of(check, &[("crates/domain/flow/src/metrics.rs", text)]), [""; 0]);
        assert_eq!(problems_of(check, &[("crates/domain/flow/tests/it/main.rs", text)]), [""; 0]);
        assert_eq!(
            problems_of(check, &[("crates/domain/flow/src/sink.rs", text)]),
            [
                "crates/domain/flow/src/sink.rs:1: metric name `dataflow_messages_received_total` outside of `metrics.rs`",
                "crates/domain/flow/src/sink.rs:2: metric name `levada_lag` outside of `metrics.rs`"
            ]
        );
    }

    #[test]
    fn other_texts_with_the_prefix_are_no_names() {
        let text =
            "set(\"levada_flow=info\");\nset(\"levada_\");\nlet levada_x = 1;\n// \"levada_y\"\n";
        assert_eq!(problems_of(check, &[("crates/levada/src/main.rs", text)]), [""; 0]);
    }
}
