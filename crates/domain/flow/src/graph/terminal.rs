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
    let (source, steps) = graph
        .chain
        .split_first()
        .map_or((None, &[][..]), |(a, b)| (Some(a), b));
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
        line(
            &mut out,
            &format!("    │ {:>digits$} ", index + 1),
            step,
            "  ",
        );
    }
    for (index, exit) in graph.exits.iter().enumerate() {
        let is_last = index + 1 == graph.exits.len();
        line(&mut out, &branch(exit, is_last), &exit.sink, " ");
    }
    out
}

fn branch(exit: &Exit, is_last: bool) -> String {
    let corner = if is_last { '└' } else { '├' };
    let rule = if exit.way == Way::Failed {
        '╌'
    } else {
        '─'
    };
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

    #[test]
    fn a_tree() {
        insta::assert_snapshot!(render(&testing::orders()), @"");
        insta::assert_snapshot!(render(&testing::host_metrics()), @"");
    }

    #[test]
    fn a_flow_without_steps() {
        let mut graph = testing::host_metrics();
        graph.chain.truncate(1);
        graph.exits = vec![Exit {
            way: Way::All,
            ..graph.exits.remove(0)
        }];
        insta::assert_snapshot!(render(&graph), @"");
    }
}
