//! A flow as a tree for terminals.
//!
//! ```text
//!   hostMetrics  every 10s
//!     │ 1 timestamp
//!     ├─ cpu ($.metric == 'cpu') ─▶ file cpu.ndjson
//!     ├─ no route ─▶ stdout
//!     └╌ failed ╌▶ file errors.ndjson
//! ```

use std::fmt::Write as _;

use super::model::{Exit, Graph, Node, Role, Way};

/// Draws the tree; each line ends with a line break.
pub(super) fn render(graph: &Graph) -> String {
    let mut out = String::new();
    let (source, steps) = graph.chain.split_first().map_or((None, &[][..]), |(a, b)| (Some(a), b));
    if let Some(source) = source {
        line(&mut out, "  ", source, "  ");
    }
    // A router at the end is told by its routes.
    let listed = match steps.split_last() {
        Some((last, rest)) if last.role == Role::Router && last.details.len() < 2 => rest,
        _ => steps,
    };
    let digits = listed.len().to_string().len();
    for (index, step) in listed.iter().enumerate() {
        line(&mut out, &format!("    │ {:>digits$} ", index + 1), step, "  ");
    }
    for (index, exit) in graph.exits.iter().enumerate() {
        let is_last = index + 1 == graph.exits.len();
        line(&mut out, &branch(exit, is_last), &exit.sink, " ");
    }
    out
}

fn branch(exit: &Exit, is_last: bool) -> String {
    let corner = if is_last { '└' } else { '├' };
    let rule = if exit.way == Way::Failed { '╌' } else { '─' };
    match exit.way.label() {
        label if label.is_empty() => format!("    {corner}{rule}▶ "),
        label => format!("    {corner}{rule} {label} {rule}▶ "),
    }
}

fn line(out: &mut String, lead: &str, node: &Node, gap: &str) {
    // Writing to a string cannot fail.
    write!(out, "{lead}{}", node.title).ok();
    for (index, detail) in node.details.iter().enumerate() {
        write!(out, "{}{detail}", if index == 0 { gap } else { "  " }).ok();
    }
    out.push('\n');
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::graph::testing;

    /// Snapshots would lose the space at the beginning of the lines.
    fn check(graph: &Graph, lines: &[&str]) {
        assert_eq!(render(graph), format!("{}\n", lines.join("\n")));
    }

    #[test]
    fn a_tree() {
        let lines = [
            "  hostMetrics  every 10s",
            "    │ 1 timestamp",
            "    │ 2 mask  user.email",
            "    ├─ cpu ($.metric == 'cpu') ─▶ file cpu.ndjson",
            "    ├─ disk ($.metric == 'disk') ─▶ file disk.ndjson",
            "    ├─ no route ─▶ stdout",
            "    └╌ failed ╌▶ file errors.ndjson",
        ];
        check(&testing::host_metrics(), &lines);
    }

    #[test]
    fn a_tree_of_a_checked_flow() {
        let lines = [
            "  kafka  orders",
            "    │ 1 timestamp  at",
            "    │ 2 mask  user.email  when $.user.email != ''",
            "    ├─ large ($.amount >= 1000 && $.country == \"DE\") ─▶ kafka orders-large",
            "    ├─ routes[1] ($.kind == 'refund' || $.kind == 'return…) ─▶ kafka refunds",
            "    ├─ no route ─▶ postgresql public.orders",
            "    └╌ failed ╌▶ kafka orders-failed",
        ];
        check(&testing::orders(), &lines);
    }

    #[test]
    fn a_flow_without_steps() {
        let mut graph = testing::host_metrics();
        graph.chain.truncate(1);
        graph.exits = vec![Exit { way: Way::All, ..graph.exits.remove(0) }];
        check(&graph, &["  hostMetrics  every 10s", "    └─▶ file cpu.ndjson"]);
    }

    #[test]
    fn numbers_of_steps_are_aligned() {
        let text = render(&testing::wide(10, 0));
        assert!(text.contains("\n    │  1 headersToPayload\n"), "{text}");
        assert!(text.contains("\n    │ 10 headersToPayload\n"), "{text}");
    }
}
