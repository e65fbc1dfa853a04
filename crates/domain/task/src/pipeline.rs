//! The graph of a task as it was defined: specs of nodes, linked.

pub mod build;
mod check;
pub mod dot;
pub mod json;
pub mod order;
pub mod script;
pub mod shard;
pub mod start;

use levada_model::Str;
use levada_tick::syntax::Position;

use crate::spec::{Edge, EdgeRule, Spec};

pub use build::Builder;
pub use check::{Finding, FindingKind};
pub use levada_tick::declared::TaskType;

/// The place of a node in a pipeline.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct NodeIndex(pub usize);

/// The graph of a task as it was defined.
#[derive(Debug)]
pub struct Pipeline {
    nodes: Vec<Linked>,
    task_type: TaskType,
}

/// A node and its links.
#[derive(Debug)]
pub struct Linked {
    /// What it is.
    pub spec: Box<dyn Spec>,
    /// The last number it was given.
    pub id: u32,
    /// `quiet()` was called.
    pub is_quiet: bool,
    /// In the order they were linked; a parent may occur twice.
    pub parents: Vec<NodeIndex>,
    /// In the order they were linked; a child may occur twice.
    pub children: Vec<NodeIndex>,
    /// What it gives.
    pub provides: Edge,
    /// What it takes.
    pub wants: Edge,
    /// The node that a stats node watches.
    pub watched: Option<NodeIndex>,
    /// Fixed when it is first read.
    pub name: Option<Str>,
    /// Where the script makes it; none for the source.
    pub position: Option<Position>,
}

// === impl Pipeline ===

impl Pipeline {
    /// Gives what feeds it.
    pub fn task_type(&self) -> TaskType {
        self.task_type
    }

    /// Gives a node.
    pub fn node(&self, index: NodeIndex) -> &Linked {
        &self.nodes[index.0]
    }

    /// Gives all nodes in the order they were made.
    pub fn nodes(&self) -> impl Iterator<Item = (NodeIndex, &Linked)> {
        self.nodes.iter().enumerate().map(|(index, node)| (NodeIndex(index), node))
    }

    /// Gives the name of a node, e.g. `window2`.
    pub fn name(&self, index: NodeIndex) -> Str {
        let node = self.node(index);
        match &node.name {
            Some(name) => Str::clone(name),
            None => format!("{}{}", node.spec.desc(), node.id).into(),
        }
    }

    /// Checks each node in graph order; the first problem is returned as it is.
    pub fn validate(&self) -> Result<(), String> {
        if self.nodes.len() <= 1 {
            return Err("task does nothing".to_owned());
        }
        self.order().into_iter().try_for_each(|index| {
            let node = self.node(index);
            node.spec.validate_behind(node.parents.len())
        })
    }

    /// Checks that each child takes what the node gives.
    pub fn check_edges(&self, index: NodeIndex) -> Result<(), String> {
        let node = self.node(index);
        for child in &node.children {
            let wants = self.node(*child).wants;
            if node.provides == Edge::None || wants == Edge::None {
                return Err(format!(
                    "cannot add child no edge expected: {}:{} -> {}:{}",
                    self.name(index),
                    node.provides.name(),
                    self.name(*child),
                    wants.name()
                ));
            }
            if node.provides != wants {
                return Err(format!(
                    "cannot add child mismatched edges: {}:{} -> {}:{}",
                    self.name(index),
                    node.provides.name(),
                    self.name(*child),
                    wants.name()
                ));
            }
        }
        Ok(())
    }
}

// === impl Edge ===

impl Edge {
    /// Gives the word that messages show.
    pub fn name(self) -> &'static str {
        match self {
            Edge::Stream => "stream",
            Edge::Batch => "batch",
            Edge::None => "no edge",
        }
    }
}

// === impl EdgeRule ===

impl EdgeRule {
    /// Gives what the rule means behind a parent that gives `parent`.
    pub fn behind(self, parent: Edge) -> Edge {
        match self {
            EdgeRule::Fixed(edge) => edge,
            EdgeRule::SameAsParent => parent,
        }
    }
}
