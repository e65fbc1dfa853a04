//! Everything that is wrong with a task, found without running it.

use levada_model::Str;
use levada_tick::lambda::Program;
use levada_tick::syntax::Position;

use super::start::StartOptions;
use super::{NodeIndex, Pipeline};
use crate::spec::Edge;

/// Something about a node that its author should know.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// What it means for the task.
    pub kind: FindingKind,
    /// The node, e.g. `where2`.
    pub node: Str,
    /// The place in the script: of the expression, or of the call that makes the node.
    pub position: Option<Position>,
    /// The text; of a problem it is upstream's.
    pub text: String,
}

/// What a finding means for the task.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FindingKind {
    /// The task cannot be enabled.
    Problem,
    /// Points will fail.
    Warning,
    /// The node is understood and cannot run yet.
    NotBuiltIn,
}

// === impl Pipeline ===

impl Pipeline {
    /// Gives all problems that would only show when the task is enabled, with the names of the nodes; asks no services.
    pub fn check(&self) -> Vec<(Str, String)> {
        let mut problems = Vec::new();
        for index in self.order() {
            let node = self.node(index);
            if let Err(problem) = node.spec.check(self.provided(index)) {
                problems.push((self.name(index), problem));
            }
            if let Err(problem) = self.check_edges(index) {
                problems.push((self.name(index), problem));
            }
        }
        problems
    }

    /// Gives all problems that show when the task is enabled, what will fail for every point, and what is not built in.
    ///
    /// - Nodes are made and dropped: `options` hold the services that they ask. In the order of [`Pipeline::order`].
    pub fn inspect(&self, options: &StartOptions<'_>) -> Vec<Finding> {
        let order = self.order();
        let places = self.places(&order);
        let mut findings = Vec::new();
        for (place, index) in order.iter().enumerate() {
            self.inspect_node(*index, place, &places, options, &mut findings);
        }
        findings
    }

    fn inspect_node(
        &self,
        index: NodeIndex,
        place: usize,
        places: &[usize],
        options: &StartOptions<'_>,
        findings: &mut Vec<Finding>,
    ) {
        let node = self.node(index);
        let name = self.name(index);
        let mut add = |kind, position: Option<Position>, text: String| {
            let node = Str::clone(&name);
            let finding = Finding { kind, node, position, text };
            // Two checks may find the same.
            if !findings.contains(&finding) {
                findings.push(finding);
            }
        };
        if let Err(text) = node.spec.check(self.provided(index)) {
            add(FindingKind::Problem, node.position, text);
        }
        if let Err(text) = self.check_edges(index) {
            add(FindingKind::Problem, node.position, text);
        }
        match node.spec.not_built_in() {
            Some(what) => {
                let text = format!("not built in: {what}; the task cannot run here yet");
                add(FindingKind::NotBuiltIn, node.position, text);
            }
            // To make the node of a function would start it.
            None if node.spec.dynamic_calls().is_some() => {}
            None => {
                if let Err(text) = self.slot(index, place, places, options) {
                    add(FindingKind::Problem, node.position, text);
                }
            }
        }
        for lambda in node.spec.lambdas() {
            // What does not compile is among the problems.
            let Ok(program) = Program::compile(&lambda) else { continue };
            for text in program.warnings() {
                add(FindingKind::Warning, Some(lambda.position), text.clone());
            }
        }
    }

    /// Gives what the first parent gives.
    fn provided(&self, index: NodeIndex) -> Edge {
        let parents = &self.node(index).parents;
        parents.first().map_or(Edge::None, |parent| self.node(*parent).provides)
    }
}
