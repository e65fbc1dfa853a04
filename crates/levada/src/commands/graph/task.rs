//! The graph of a task for terminals and Mermaid; DOT is the task's own.

use std::collections::BTreeSet;

use levada_task::pipeline::{NodeIndex, Pipeline};

/// Draws a tree: children below their parent; one with several parents is drawn below the first of them.
pub(super) fn text(pipeline: &Pipeline) -> String {
    let mut picture = String::new();
    let mut seen = BTreeSet::new();
    let roots = pipeline.nodes().filter(|(_, node)| node.parents.is_empty());
    // A stack, not recursion: a chain may have as many nodes as a task may have.
    let mut stack: Vec<(NodeIndex, String, String)> =
        roots.map(|(index, _)| (index, String::new(), String::new())).collect();
    stack.reverse();
    while let Some((index, lead, below)) = stack.pop() {
        let is_new = seen.insert(index);
        let above = if is_new { "" } else { " (above)" };
        picture.push_str(&format!("{lead}{}{above}\n", pipeline.name(index)));
        if !is_new {
            continue;
        }
        let children = &pipeline.node(index).children;
        // A chain goes straight down; only branches move to the right.
        if let [child] = children[..] {
            stack.push((child, below.clone(), below));
            continue;
        }
        for (at, child) in children.iter().enumerate().rev() {
            let (lead, next) =
                if at + 1 == children.len() { ("└─ ", "   ") } else { ("├─ ", "│  ") };
            stack.push((*child, format!("{below}{lead}"), format!("{below}{next}")));
        }
    }
    picture
}

/// Draws a flowchart.
pub(super) fn mermaid(pipeline: &Pipeline) -> String {
    let mut picture = "flowchart TD\n".to_owned();
    for index in pipeline.order() {
        let node = pipeline.node(index);
        let name = pipeline.name(index);
        picture.push_str(&format!("    {name}\n"));
        for child in &node.children {
            picture.push_str(&format!("    {name} --> {}\n", pipeline.name(*child)));
        }
    }
    picture
}
