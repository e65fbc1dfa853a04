//! A flow as a Graphviz digraph.

use std::fmt::Write as _;

use super::model::{Graph, Node, Role, Way};

/// Draws the digraph; each line ends with a line break.
pub(super) fn render(graph: &Graph) -> String {
    let mut out = String::new();
    // Writing to a string cannot fail; neither below.
    writeln!(out, "digraph {} {{", quoted(&graph.name)).ok();
    out.push_str(
        "  rankdir=LR;\n  compound=true;\n  \
         node [shape=box, style=\"rounded,filled\", fontname=\"Helvetica\", fontsize=12];\n  \
         edge [fontname=\"Helvetica\", fontsize=10, color=\"#64748b\"];\n  \
         subgraph cluster_chain {\n    style=\"rounded,dashed\";\n    color=\"#cbd5e1\";\n",
    );
    for (index, node) in graph.chain.iter().enumerate() {
        writeln!(out, "    n{index} [{}];", attributes(node)).ok();
    }
    for index in 1..graph.chain.len() {
        writeln!(out, "    n{} -> n{index};", index - 1).ok();
    }
    out.push_str("  }\n");
    let last = graph.chain.len().saturating_sub(1);
    for (index, exit) in graph.exits.iter().enumerate() {
        writeln!(out, "  s{index} [{}];", attributes(&exit.sink)).ok();
        let label = quoted(&exit.way.label());
        match exit.way {
            // The edge begins at the border of the cluster: any step may fail.
            Way::Failed => writeln!(
                out,
                "  n{last} -> s{index} [label={label}, style=dashed, color=\"#b91c1c\", ltail=cluster_chain];"
            ),
            Way::All => writeln!(out, "  n{last} -> s{index};"),
            _ => writeln!(out, "  n{last} -> s{index} [label={label}];"),
        }
        .ok();
    }
    out.push_str("}\n");
    out
}

fn attributes(node: &Node) -> String {
    let (shape, fill, stroke) = match node.role {
        Role::Source => ("box", "#ccfbf1", "#0f766e"),
        Role::Step => ("box", "#e0e7ff", "#4338ca"),
        Role::Router => ("hexagon", "#fef3c7", "#b45309"),
        Role::Sink => ("box", "#e0f2fe", "#0369a1"),
        Role::Errors => ("box", "#fee2e2", "#b91c1c"),
    };
    let lines: Vec<String> =
        std::iter::once(&node.title).chain(&node.details).map(|line| escape(line)).collect();
    let style = if node.role == Role::Router { ", style=filled" } else { "" };
    let label = lines.join("\\n");
    format!("label=\"{label}\", shape={shape}{style}, fillcolor=\"{fill}\", color=\"{stroke}\"")
}

fn quoted(text: &str) -> String {
    format!("\"{}\"", escape(text))
}

/// Writes a text so that Graphviz shows it as it is: no escapes, no entities, no end of the quote.
fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '&' => out.push_str("&amp;"),
            c => out.push(c),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::graph::testing;

    #[test]
    fn a_digraph() {
        insta::assert_snapshot!(render(&testing::orders()), @r##"
        digraph "orders" {
          rankdir=LR;
          compound=true;
          node [shape=box, style="rounded,filled", fontname="Helvetica", fontsize=12];
          edge [fontname="Helvetica", fontsize=10, color="#64748b"];
          subgraph cluster_chain {
            style="rounded,dashed";
            color="#cbd5e1";
            n0 [label="kafka\norders", shape=box, fillcolor="#ccfbf1", color="#0f766e"];
            n1 [label="timestamp\nat", shape=box, fillcolor="#e0e7ff", color="#4338ca"];
            n2 [label="mask\nuser.email\nwhen $.user.email != ''", shape=box, fillcolor="#e0e7ff", color="#4338ca"];
            n3 [label="router\n2 routes", shape=hexagon, style=filled, fillcolor="#fef3c7", color="#b45309"];
            n0 -> n1;
            n1 -> n2;
            n2 -> n3;
          }
          s0 [label="kafka\norders-large", shape=box, fillcolor="#e0f2fe", color="#0369a1"];
          n3 -> s0 [label="large ($.amount >= 1000 &amp;&amp; $.country == \"DE\")"];
          s1 [label="kafka\nrefunds", shape=box, fillcolor="#e0f2fe", color="#0369a1"];
          n3 -> s1 [label="routes[1] ($.kind == 'refund' || $.kind == 'return…)"];
          s2 [label="postgresql\npublic.orders", shape=box, fillcolor="#e0f2fe", color="#0369a1"];
          n3 -> s2 [label="no route"];
          s3 [label="kafka\norders-failed", shape=box, fillcolor="#fee2e2", color="#b91c1c"];
          n3 -> s3 [label="failed", style=dashed, color="#b91c1c", ltail=cluster_chain];
        }
        "##);
    }

    #[test]
    fn text_stays_text() {
        assert_eq!(quoted(r#"a "b" \N &lt; <i>"#), r#""a \"b\" \\N &amp;lt; <i>""#);
    }
}
