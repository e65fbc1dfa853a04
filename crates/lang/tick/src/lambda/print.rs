//! Expressions as messages show them: one line, values as Go prints them.

use super::number;
use crate::syntax::ast::{Kind, Node};
use crate::syntax::format_duration;

/// The longest text of an argument in a message, in bytes; what is longer ends in `...`.
///
/// Own choice: messages are logged per point, and an argument may be a whole expression.
const LENGTH_MAX: usize = 200;

/// How deep the printer looks; what is deeper is `...`. A chain of operators is as deep as it is long.
const DEPTH_MAX: usize = 64;

/// Gives the text of an argument.
pub(super) fn print(node: &Node) -> Box<str> {
    let mut out = String::new();
    put(node, 0, &mut out);
    if out.len() > LENGTH_MAX {
        out.truncate(out.floor_char_boundary(LENGTH_MAX));
        out.push_str("...");
    }
    out.into()
}

fn put(node: &Node, depth: usize, out: &mut String) {
    // The rest would be cut off, so it need not be visited.
    if out.len() > LENGTH_MAX {
        return;
    }
    if depth > DEPTH_MAX {
        out.push_str("...");
        return;
    }
    match &node.kind {
        Kind::Bool(value) => out.push_str(if *value { "true" } else { "false" }),
        Kind::Int { value, .. } => {
            out.push_str(&format!("{value}"));
        }
        Kind::Float(value) => out.push_str(&number::format_general(*value)),
        Kind::Duration { nanos, .. } => out.push_str(&format_duration(*nanos)),
        Kind::String { value, .. } => {
            out.push_str(&format!("'{value}'"));
        }
        Kind::Reference(name) => {
            out.push_str(&format!("\"{name}\""));
        }
        Kind::Regex(regex) => {
            out.push_str(&format!("/{}/", regex.pattern));
        }
        Kind::Identifier(name) => out.push_str(name),
        Kind::Lambda(inner) => put(inner, depth + 1, out),
        Kind::Unary { operator, operand } => {
            out.push_str(operator.text());
            put(operand, depth + 1, out);
        }
        Kind::Binary { operator, left, right, in_parens, .. } => {
            if *in_parens {
                out.push('(');
            }
            put(left, depth + 1, out);
            out.push_str(&format!(" {} ", operator.text()));
            put(right, depth + 1, out);
            if *in_parens {
                out.push(')');
            }
        }
        Kind::Call(call) => {
            out.push_str(&call.name);
            out.push('(');
            for (index, arg) in call.args.iter().enumerate() {
                if index > 0 {
                    out.push_str(", ");
                }
                put(arg, depth + 1, out);
            }
            out.push(')');
        }
        Kind::Star => out.push('*'),
        Kind::Program(_)
        | Kind::Declaration { .. }
        | Kind::TypeDeclaration { .. }
        | Kind::Dbrp { .. }
        | Kind::Chain { .. }
        | Kind::List(_) => out.push('?'),
    }
}
