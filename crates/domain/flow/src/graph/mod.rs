//! The picture of a flow: for terminals, Mermaid, Graphviz, or as a finished SVG.
//!
//! ```text
//! Flow ── model ──▶ Graph ──▶ text | mermaid | dot | svg
//! ```
//!
//! - Each renderer sees only the [`model`], whose texts are short, on one line and without control
//!   characters. A renderer's own duty is to escape what its language would understand.
//! - Values come from a closed list of keys; secrets, references to them and user info of URLs are not
//!   on it. A picture may be published.
//! - Equal flows give equal bytes.
//! - Routes leave after the last step, because later steps still see a routed record.

mod dot;
mod mermaid;
pub mod model;
mod svg;
mod terminal;
#[cfg(test)]
mod testing;

use std::str::FromStr;

use levada_registry::Named;
use levada_registry::table::UnknownName;

use crate::spec::Flow;
use model::Graph;

/// What a picture is written in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// A tree of box-drawing characters.
    Text,
    /// A Mermaid flowchart.
    Mermaid,
    /// A Graphviz digraph.
    Dot,
    /// A self-contained SVG document.
    Svg,
}

/// Every format, the default one first.
pub static FORMATS: &[Format] = &[Format::Text, Format::Mermaid, Format::Dot, Format::Svg];

/// Draws a flow.
pub fn render(flow: &Flow, format: Format) -> String {
    render_graph(&Graph::of(flow), format)
}

/// Draws a graph.
pub fn render_graph(graph: &Graph, format: Format) -> String {
    match format {
        Format::Text => terminal::render(graph),
        Format::Mermaid => mermaid::render(graph),
        Format::Dot => dot::render(graph),
        Format::Svg => svg::render(graph),
    }
}

// === impl Format ===

impl Named for Format {
    fn name(&self) -> &'static str {
        match self {
            Format::Text => "text",
            Format::Mermaid => "mermaid",
            Format::Dot => "dot",
            Format::Svg => "svg",
        }
    }
}

impl FromStr for Format {
    type Err = UnknownName;

    fn from_str(name: &str) -> Result<Self, UnknownName> {
        levada_registry::find(FORMATS, "format", name).copied()
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use proptest::prelude::*;

    use super::testing::{self, well_formed};
    use super::*;

    #[test]
    fn formats_have_names() {
        for format in FORMATS {
            assert_eq!(format.name().parse(), Ok(*format));
        }
        let error = "png".parse::<Format>().unwrap_err();
        assert_eq!(error.to_string(), "unknown format `png`; known: text, mermaid, dot, svg");
    }

    #[test]
    fn secrets_are_in_no_picture() {
        let flow = testing::flow(
            "  source:\n    type: kafka\n    kafka:\n      brokers: ['b:1']\n      topic: t\n      \
             consumerGroup: g\n      sasl: {mechanism: plain, username: sesame-user, password: sesame}\n\
             \x20 sink:\n    type: postgresql\n    postgresql:\n      \
             connectionString: postgres://u:sesame@db/x\n      table: t\n\
             \x20 transformations:\n    - type: mask\n      mask: {fields: [a], maskChar: sesame}\n",
        );
        for format in FORMATS {
            let picture = render(&flow, *format);
            assert!(!picture.contains("sesame"), "{picture}");
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(128))]

        #[test]
        fn any_text_can_be_drawn(graph in testing::any_graph()) {
            let svg = render_graph(&graph, Format::Svg);
            prop_assert_eq!(well_formed(&svg), Ok(()), "{}", svg);
            prop_assert_eq!(&svg, &render_graph(&graph, Format::Svg));
            let mermaid = render_graph(&graph, Format::Mermaid);
            for line in mermaid.lines() {
                // Quotes only delimit: each line has an even number of them.
                prop_assert_eq!(line.matches('"').count() % 2, 0, "{}", line);
            }
            let dot = render_graph(&graph, Format::Dot);
            let unescaped = dot.replace("\\\\", "").replace("\\\"", "");
            for line in unescaped.lines() {
                prop_assert_eq!(line.matches('"').count() % 2, 0, "{}", line);
            }
            let text = render_graph(&graph, Format::Text);
            prop_assert!(text.chars().all(|c| c == '\n' || !c.is_control()));
            // One line for the source, each step that is listed, a rule before the exits, each exit.
            prop_assert!(text.lines().count() <= graph.chain.len() + graph.exits.len());
        }
    }
}
