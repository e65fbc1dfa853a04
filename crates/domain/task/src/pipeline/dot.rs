//! The graph as DOT.

use super::{Pipeline, TaskType};
use crate::runtime::Graph;

/// How a running graph is shown.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum DotView {
    /// Statistics as attributes.
    #[default]
    Attributes,
    /// Statistics as labels.
    Labels,
}

// === impl DotView ===

impl DotView {
    /// Reads the parameter of a request.
    pub fn parse(text: &str) -> Result<Self, String> {
        match text {
            "" | "attributes" => Ok(DotView::Attributes),
            "labels" => Ok(DotView::Labels),
            other => Err(format!("invalid dot-view parameter {other:?}")),
        }
    }
}

impl Pipeline {
    /// Gives the graph of a task that does not run: one line per edge.
    ///
    /// - Source: kapacitor reference §4.3; the batch source prints nothing.
    pub fn dot(&self, task: &str) -> String {
        let mut dot = format!("digraph {task} {{\n");
        for index in self.order() {
            let node = self.node(index);
            if node.spec.desc() == TaskType::Batch.word() {
                continue;
            }
            for child in &node.children {
                dot.push_str(&format!("{} -> {};\n", self.name(index), self.name(*child)));
            }
        }
        dot.push('}');
        dot
    }
}

impl Graph {
    /// Gives the graph of a running task with its statistics.
    ///
    /// - `throughput` counts points or batches per second, as `unit` says.
    pub fn dot(&self, task: &str, view: DotView, throughput: f64, unit: &str) -> String {
        let mut dot = format!("digraph {task} {{\n");
        dot.push_str(&match view {
            DotView::Attributes => format!("graph [throughput=\"{throughput:.2} {unit}/s\"];\n"),
            DotView::Labels => format!(
                "graph [label=\"Throughput: {throughput:.2} {unit}/s\" forcelabels=true pad=\"0.8,0.5\"];\n"
            ),
        });
        for slot in self.slots() {
            let name = &slot.name.name;
            let statistics = slot.shown_statistics().into_iter();
            dot.push_str(&match view {
                DotView::Attributes => {
                    let pairs = statistics.map(|(key, value)| format!("{key}=\"{value}\" "));
                    format!("\n{name} [{}];\n", pairs.collect::<String>())
                }
                DotView::Labels => {
                    let pairs: Vec<String> =
                        statistics.map(|(key, value)| format!("{key}={value}")).collect();
                    format!("\n{name} [xlabel=\"{}\"];\n", pairs.join("\\r"))
                }
            });
            for child in &slot.children {
                let below = &self.slots()[child.index];
                let count = below.statistics.collected[child.input];
                let key = match view {
                    DotView::Attributes => format!("processed=\"{count}\""),
                    DotView::Labels => format!("label=\"processed={count}\""),
                };
                dot.push_str(&format!("{name} -> {} [{key}];\n", below.name.name));
            }
        }
        dot.push('}');
        dot
    }
}
