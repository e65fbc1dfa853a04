//! Walks a template with the context of each place.

use crate::error::ParseError;
use crate::html::sites::Escape;
use crate::template::Body;
use crate::tree::Node;
use crate::uses;

/// Gives every place that prints its escapes.
pub(crate) fn escape(
    _name: &str,
    _text: &str,
    mut bodies: Vec<Body>,
) -> Result<Vec<Body>, ParseError> {
    let names: Vec<String> = bodies.iter().map(|body| body.name.clone()).collect();
    for body in &mut bodies {
        uses::each_node_mut(&mut body.nodes, &mut |node| match node {
            Node::Action { pipe, .. } => pipe.escapes = vec![Escape::Html],
            Node::Template { name, target, .. } => {
                *target = names.iter().position(|known| known == name);
            }
            _ => {}
        });
    }
    Ok(bodies)
}
