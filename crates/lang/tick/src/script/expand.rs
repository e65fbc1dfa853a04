//! Variables inside expressions: each name is replaced by a literal copy of its value.
//!
//! Copies of copies grow exponentially (`var b = lambda: a AND a`, and so on), so what a script writes out in all is
//! bounded.

use std::sync::Arc;

use super::error::ScriptError;
use super::object::Objects;
use super::scope::{Scope, Size};
use super::value::Value;
use crate::syntax::{Call, DEPTH_MAX, Kind, Node, Position};

/// Most nodes that the expressions of one script have with their variables written out.
pub const EXPANDED_NODES_MAX: u32 = 1 << 20;

/// Most bytes of text that the constant expressions of one script take from variables and make.
pub const EXPANDED_BYTES_MAX: usize = 16 << 20;

/// What a script may still write out.
#[derive(Debug)]
pub(super) struct Budget {
    nodes: u32,
    bytes: usize,
}

/// Replaces the names in an expression.
pub(super) struct Expander<'a> {
    pub(super) scope: &'a Scope,
    pub(super) objects: &'a dyn Objects,
    pub(super) budget: &'a mut Budget,
}

/// An expression without names.
pub(super) struct Expanded {
    pub(super) node: Node,
    pub(super) size: Size,
}

// === impl Budget ===

impl Budget {
    pub(super) fn new() -> Self {
        Budget { nodes: EXPANDED_NODES_MAX, bytes: EXPANDED_BYTES_MAX }
    }

    pub(super) fn take(&mut self, size: Size, position: Position) -> Result<(), ScriptError> {
        self.nodes = self.nodes.checked_sub(size.nodes).ok_or_else(|| {
            ScriptError::at(
                position,
                format!("with its variables written out, the script has more than {EXPANDED_NODES_MAX} values"),
            )
        })?;
        if size.depth > DEPTH_MAX {
            return Err(ScriptError::at(
                position,
                format!(
                    "with its variables written out, the expression has more than {} levels",
                    DEPTH_MAX
                ),
            ));
        }
        Ok(())
    }

    /// Pays for a text that was copied or made.
    pub(super) fn take_bytes(
        &mut self,
        bytes: usize,
        position: Position,
    ) -> Result<(), ScriptError> {
        self.bytes = self.bytes.checked_sub(bytes).ok_or_else(|| {
            ScriptError::at(
                position,
                format!("the expressions of the script make more than {EXPANDED_BYTES_MAX} bytes of text"),
            )
        })?;
        Ok(())
    }
}

// === impl Expander ===

impl Expander<'_> {
    /// Gives a copy of `node` with every name replaced.
    pub(super) fn expand(&mut self, node: &Node) -> Result<Expanded, ScriptError> {
        // A long row of operators leans to the left; it is walked, not recursed into.
        let mut row = Vec::new();
        let mut first = node;
        while let Kind::Binary { left, .. } = &first.kind {
            row.push(first);
            first = left;
        }
        let mut built = self.operand(first)?;
        for binary in row.into_iter().rev() {
            let Kind::Binary { operator, right, in_parens, is_multi_line, .. } = &binary.kind
            else {
                continue;
            };
            let right = self.expand(right)?;
            let mut size = Size::ONE;
            size.add(built.size);
            size.add(right.size);
            let kind = Kind::Binary {
                operator: *operator,
                left: Box::new(built.node),
                right: Box::new(right.node),
                in_parens: *in_parens,
                is_multi_line: *is_multi_line,
            };
            built = self.finished(binary, kind, size)?;
        }
        Ok(built)
    }

    fn operand(&mut self, node: &Node) -> Result<Expanded, ScriptError> {
        let mut size = Size::ONE;
        let kind = match &node.kind {
            Kind::Identifier(name) => {
                let entry = self.scope.get(name, node.position)?;
                size = entry.size;
                if let Value::Str(text) = &entry.value {
                    self.budget.take_bytes(text.len(), node.position)?;
                }
                self.literal(&entry.value, node.position)?
            }
            Kind::Unary { operator, operand } => {
                let operand = self.expand(operand)?;
                size.add(operand.size);
                Kind::Unary { operator: *operator, operand: Box::new(operand.node) }
            }
            Kind::Call(call) => {
                let mut args = Vec::with_capacity(call.args.len());
                for arg in &call.args {
                    let arg = self.expand(arg)?;
                    size.add(arg.size);
                    args.push(arg.node);
                }
                let (kind, name) = (call.kind, call.name.clone());
                Kind::Call(Call { kind, name, args, is_multi_line: call.is_multi_line })
            }
            Kind::Lambda(body) => {
                let body = self.expand(body)?;
                size.add(body.size);
                Kind::Lambda(Arc::new(body.node))
            }
            Kind::List(items) => {
                let mut copies = Vec::with_capacity(items.len());
                for item in items {
                    let item = self.expand(item)?;
                    size.add(item.size);
                    copies.push(item.node);
                }
                Kind::List(copies)
            }
            Kind::Chain { .. } => {
                return Err(ScriptError::at(
                    node.position,
                    "a chain cannot stand inside an expression",
                )
                .hint(Some("put it in a variable first".to_owned())));
            }
            other => other.clone(),
        };
        self.finished(node, kind, size)
    }

    fn finished(
        &mut self,
        original: &Node,
        kind: Kind,
        size: Size,
    ) -> Result<Expanded, ScriptError> {
        // Parts were paid for when they were made; a spliced value is paid for here, whole.
        let own = match original.kind {
            Kind::Identifier(_) => size.nodes,
            _ => 1,
        };
        self.budget.take(Size { nodes: own, depth: size.depth }, original.position)?;
        let node = Node { position: original.position, comment: original.comment.clone(), kind };
        Ok(Expanded { node, size })
    }

    /// Writes a value as a literal.
    fn literal(&self, value: &Value, position: Position) -> Result<Kind, ScriptError> {
        Ok(match value {
            Value::Bool(value) => Kind::Bool(*value),
            Value::Int(value) => Kind::Int { value: *value, is_octal: false },
            Value::Float(value) => Kind::Float(*value),
            Value::Str(value) => Kind::String { value: value.clone(), is_triple: false },
            Value::Regex(regex) => Kind::Regex(regex.clone()),
            Value::Duration(nanos) => Kind::Duration { nanos: *nanos, literal: "".into() },
            Value::Lambda(body) => Kind::Lambda(body.clone()),
            // A template's variable that has no value yet: something that compiles everywhere.
            Value::Nil => Kind::Lambda(Arc::new(Node::new(position, Kind::Bool(true)))),
            Value::Star => Kind::Star,
            Value::List(items) => {
                let literals = items.iter().map(|item| {
                    let kind = self.literal(item, position)?;
                    Ok(Node::new(position, kind))
                });
                Kind::List(literals.collect::<Result<_, ScriptError>>()?)
            }
            Value::Object(object) => {
                return Err(unsupported(&self.objects.type_name(*object), position));
            }
            Value::Reference(_) | Value::TimeDimension { .. } => {
                return Err(unsupported(value.go_type(), position));
            }
        })
    }
}

fn unsupported(type_name: &str, position: Position) -> ScriptError {
    ScriptError::bare(position, format!("unsupported literal type {type_name}"))
}

/// Measures an expression that came from outside of the script.
pub(super) fn size_of(node: &Node) -> Size {
    let mut nodes = 0;
    let mut deepest = 0;
    let mut waiting = vec![(node, 1)];
    while let Some((node, depth)) = waiting.pop() {
        nodes += 1;
        deepest = deepest.max(depth);
        node.each_child(|child| waiting.push((child, depth + 1)));
    }
    Size { nodes, depth: deepest }
}
