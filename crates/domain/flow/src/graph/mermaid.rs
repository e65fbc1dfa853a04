//! A flow as a Mermaid flowchart, for Markdown.

use std::fmt::Write as _;

use super::model::{Graph, Node, Role, Way};

/// Draws the flowchart; each line ends with a line break.
pub(super) fn render(graph: &Graph) -> String {
    let mut out = String::from("flowchart LR\n");
    // Writing to a string cannot fail; neither below.
    writeln!(out, "    subgraph chain [\"{}\"]", escape(&graph.name)).ok();
    writeln!(out, "        direction LR").ok();
    for (index, node) in graph.chain.iter().enumerate() {
        writeln!(out, "        n{index}{}", shape(node)).ok();
    }
    for index in 1..graph.chain.len() {
        writeln!(out, "        n{} --> n{index}", index - 1).ok();
    }
    writeln!(out, "    end").ok();
    let last = graph.chain.len().saturating_sub(1);
    for (index, exit) in graph.exits.iter().enumerate() {
        writeln!(out, "    s{index}{}", shape(&exit.sink)).ok();
        let label = escape(&exit.way.label());
        match (&exit.way, label.as_str()) {
            (Way::Failed, _) => writeln!(out, "    chain -. \"{label}\" .-> s{index}").ok(),
            (_, "") => writeln!(out, "    n{last} --> s{index}").ok(),
            _ => writeln!(out, "    n{last} -->|\"{label}\"| s{index}").ok(),
        };
    }
    for role in Role::ALL {
        let (fill, stroke) = colours(role);
        let style = format!("fill:{fill},stroke:{stroke},color:#0f172a");
        let is_used = |node: &Node| node.role == role;
        if graph.chain.iter().chain(graph.exits.iter().map(|exit| &exit.sink)).any(is_used) {
            writeln!(out, "    classDef {} {style}", role.word()).ok();
        }
    }
    out
}

fn shape(node: &Node) -> String {
    let (open, close) = match node.role {
        Role::Source => ("([", "])"),
        Role::Step => ("[", "]"),
        Role::Router => ("{{", "}}"),
        Role::Sink | Role::Errors => ("[(", ")]"),
    };
    let lines: Vec<String> =
        std::iter::once(&node.title).chain(&node.details).map(|line| escape(line)).collect();
    format!("{open}\"{}\"{close}:::{}", lines.join("<br/>"), node.role.word())
}

fn colours(role: Role) -> (&'static str, &'static str) {
    match role {
        Role::Source => ("#ccfbf1", "#0f766e"),
        Role::Step => ("#e0e7ff", "#4338ca"),
        Role::Router => ("#fef3c7", "#b45309"),
        Role::Sink => ("#e0f2fe", "#0369a1"),
        Role::Errors => ("#fee2e2", "#b91c1c"),
    }
}

/// Writes a text so that Mermaid shows it as it is.
///
/// Everything with a meaning inside quoted labels becomes an entity: quotes, entities and tags,
/// Markdown (backtick, beginnings of lists), directives (`%%`), mathematics (`$$`).
fn escape(text: &str) -> String {
    let digits = text.chars().take_while(char::is_ascii_digit).count();
    let mut out = String::with_capacity(text.len());
    let mut before = '\0';
    for (index, c) in text.chars().enumerate() {
        let is_special = match c {
            '"' | '#' | '<' | '>' | '&' | '`' | '%' | '|' | '\\' => true,
            '$' => before == '$',
            '-' | '+' | '*' => index == 0,
            '.' | ')' => index == digits && digits > 0,
            _ => false,
        };
        if is_special {
            write!(out, "#{};", u32::from(c)).ok();
        } else {
            out.push(c);
        }
        before = c;
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::graph::testing;

    #[test]
    fn a_flowchart() {
        insta::assert_snapshot!(render(&testing::orders()), @r##"
        flowchart LR
            subgraph chain ["orders"]
                direction LR
                n0(["kafka<br/>orders"]):::source
                n1["timestamp<br/>at"]:::step
                n2["mask<br/>user.email<br/>when $.user.email != ''"]:::step
                n3{{"router<br/>2 routes"}}:::router
                n0 --> n1
                n1 --> n2
                n2 --> n3
            end
            s0[("kafka<br/>orders-large")]:::sink
            n3 -->|"large ($.amount #62;= 1000 #38;#38; $.country == #34;DE#34;)"| s0
            s1[("kafka<br/>refunds")]:::sink
            n3 -->|"routes[1] ($.kind == 'refund' #124;#124; $.kind == 'return…)"| s1
            s2[("postgresql<br/>public.orders")]:::sink
            n3 -->|"no route"| s2
            s3[("kafka<br/>orders-failed")]:::errors
            chain -. "failed" .-> s3
            classDef source fill:#ccfbf1,stroke:#0f766e,color:#0f172a
            classDef step fill:#e0e7ff,stroke:#4338ca,color:#0f172a
            classDef router fill:#fef3c7,stroke:#b45309,color:#0f172a
            classDef sink fill:#e0f2fe,stroke:#0369a1,color:#0f172a
            classDef errors fill:#fee2e2,stroke:#b91c1c,color:#0f172a
        "##);
    }

    #[test]
    fn text_stays_text() {
        assert_eq!(escape("$.a == \"x\" && b < 1"), "$.a == #34;x#34; #38;#38; b #60; 1");
        assert_eq!(
            escape("%%{init}%% #quot; $$x$$"),
            "#37;#37;{init}#37;#37; #35;quot; $#36;x$#36;"
        );
        assert_eq!(escape("1. a"), "1#46; a");
        assert_eq!(escape("- a"), "#45; a");
        assert_eq!(escape("user.name-x"), "user.name-x");
    }
}
