//! Statements without effect, which the language accepts.

use super::error::Warning;
use crate::syntax::{Kind, Node, Operator};

/// Gives a warning for a statement that does nothing.
pub(super) fn of_statement(statement: &Node) -> Option<Warning> {
    let message = match &statement.kind {
        Kind::Declaration { .. }
        | Kind::TypeDeclaration { .. }
        | Kind::Dbrp { .. }
        | Kind::Program(_) => return None,
        Kind::Chain { operator: Operator::Dot, right, .. } => match &right.kind {
            Kind::Identifier(name) => format!(
                "property `{name}` is only read, which has no effect; to set it, write `.{name}(value)`"
            ),
            _ => return None,
        },
        Kind::Chain { .. } => return None,
        Kind::Identifier(name) => format!("`{name}` alone has no effect"),
        Kind::Call(call) => format!("the result of `{}()` is not used", call.name),
        _ => "statement has no effect; perhaps parentheses are missing before it".to_owned(),
    };
    let position = match &statement.kind {
        Kind::Chain { right, .. } => right.position,
        _ => statement.position,
    };
    Some(Warning { position: Some(position), message })
}
