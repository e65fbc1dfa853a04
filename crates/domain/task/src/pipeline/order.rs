//! The order of nodes that everything follows: checks, start, DOT.

use super::{NodeIndex, Pipeline};

impl Pipeline {
    /// Gives the nodes so that parents come before children.
    ///
    /// - Depth first from each source, the sources in reverse order, children in the order they were linked; then the
    ///   whole list backwards. So the task's source is first, and of two siblings the one linked later.
    /// - Source: kapacitor reference §4.2.
    pub fn order(&self) -> Vec<NodeIndex> {
        let mut seen = vec![false; self.nodes.len()];
        let mut finished = Vec::with_capacity(self.nodes.len());
        let sources: Vec<NodeIndex> = self
            .nodes()
            .filter(|(_, node)| node.parents.is_empty())
            .map(|(index, _)| index)
            .collect();
        for source in sources.into_iter().rev() {
            // A stack of its own: a long chain must not use up the thread's.
            let mut stack = vec![(source, 0)];
            if std::mem::replace(&mut seen[source.0], true) {
                continue;
            }
            while let Some((index, next)) = stack.pop() {
                match self.node(index).children.get(next) {
                    Some(child) => {
                        stack.push((index, next + 1));
                        if !std::mem::replace(&mut seen[child.0], true) {
                            stack.push((*child, 0));
                        }
                    }
                    None => finished.push(index),
                }
            }
        }
        finished.reverse();
        finished
    }
}
