//! Which fields of its data a template reads.

use crate::template::Body;
use crate::tree::{Node, Operand, OperandKind, Pipe};

/// What a template reads of its data.
#[derive(Clone, Debug)]
pub(crate) struct Uses {
    fields: Option<Vec<String>>,
}

impl Uses {
    pub(crate) fn fields(&self) -> Option<&[String]> {
        self.fields.as_deref()
    }
}

/// Looks through all bodies.
///
/// Inside `with`, `range` and named templates the dot is something else, but whatever it is came
/// from a field that was named outside, or from the data as a whole; so it is enough to collect the
/// names where the dot is the data, and to give up where the data itself is handed on.
pub(crate) fn of(bodies: &[Body]) -> Uses {
    let mut uses = Some(Vec::new());
    // Named templates are called with some value; what they read of it is part of that value. Only
    // `$` and `.` of the first body are the data.
    list(&bodies[0].nodes, true, &mut uses);
    if let Some(fields) = &mut uses {
        fields.sort_unstable();
        fields.dedup();
    }
    Uses { fields: uses }
}

/// Calls a function for each node, also those within.
pub(crate) fn each_node_mut(nodes: &mut [Node], visit: &mut impl FnMut(&mut Node)) {
    for node in nodes {
        visit(node);
        if let Node::If(branch) | Node::With(branch) | Node::Range(branch) = node {
            each_node_mut(&mut branch.body, visit);
            each_node_mut(branch.otherwise.as_deref_mut().unwrap_or_default(), visit);
        }
    }
}

type Found = Option<Vec<String>>;

fn list(nodes: &[Node], dot_is_data: bool, found: &mut Found) {
    for node in nodes {
        match node {
            Node::Action { pipe: action, .. } => pipe(action, dot_is_data, found),
            Node::If(branch) | Node::With(branch) | Node::Range(branch) => {
                pipe(&branch.pipe, dot_is_data, found);
                let keeps = matches!(node, Node::If(_));
                list(&branch.body, dot_is_data && keeps, found);
                list(branch.otherwise.as_deref().unwrap_or_default(), dot_is_data, found);
            }
            Node::Template { pipe: Some(argument), .. } => pipe(argument, dot_is_data, found),
            _ => {}
        }
    }
}

fn pipe(pipe: &Pipe, dot_is_data: bool, found: &mut Found) {
    for operand in pipe.commands.iter().flat_map(|command| &command.args) {
        self::operand(operand, dot_is_data, found);
    }
}

fn operand(operand: &Operand, dot_is_data: bool, found: &mut Found) {
    match &operand.kind {
        OperandKind::Dot if dot_is_data => *found = None,
        OperandKind::Field(names) if dot_is_data => {
            if let Some(found) = found {
                found.push(names[0].clone());
            }
        }
        OperandKind::Variable(names) if names[0] == "$" => match (names.get(1), found.as_mut()) {
            (Some(name), Some(found)) => found.push(name.clone()),
            _ => *found = None,
        },
        OperandKind::Chain(inner, _) => self::operand(inner, dot_is_data, found),
        OperandKind::Pipe(inner) => pipe(inner, dot_is_data, found),
        _ => {}
    }
}
