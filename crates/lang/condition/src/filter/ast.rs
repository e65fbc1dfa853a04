//! The tree of a filter, as written: parentheses are kept, nothing is resolved.
//!
//! No tree is deeper than [`DEPTH_MAX`](super::DEPTH_MAX), so walks over it may recurse. Operands of a long `and` or
//! `or` are a list and add no depth.

use super::token::{ListOperator, Operator};

/// A whole filter.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Statements {
    /// A `;` stands before the first statement.
    pub(super) is_late: bool,
    /// One of them must be true; of each, all elements must be.
    pub(super) list: Vec<Vec<Node>>,
}

/// A part of a filter.
#[derive(Clone, Debug)]
pub(super) struct Node {
    pub(super) kind: Kind,
    /// Bytes before it.
    pub(super) at: usize,
    /// The length of the longest way to a leaf.
    pub(super) depth: usize,
}

/// What a part is.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Kind {
    Column(Box<str>),
    /// `a.b` without back quotes, which is no key.
    Dotted(Vec<Box<str>>),
    Literal(Literal),
    Regex(Box<str>),
    Star,
    /// `f(…)`, or several joined by dots.
    Calls(Vec<Call>),
    Parentheses(Box<Node>),
    /// Two operands or more, joined by [`Operator::And`] or [`Operator::Or`].
    Chain(Operator, Vec<Node>),
    Binary(Operator, Box<[Node; 2]>),
    List {
        operator: ListOperator,
        column: Box<Node>,
        items: Vec<Node>,
        /// Where the list ends.
        close: Offset,
    },
}

/// A place that does not count when two trees are compared.
#[derive(Clone, Copy, Debug)]
pub(super) struct Offset(pub(super) usize);

#[derive(Clone, Debug, PartialEq)]
pub(super) struct Call {
    pub(super) name: Box<str>,
    pub(super) arguments: Vec<Node>,
}

/// A value as written.
#[derive(Clone, Debug)]
pub(super) enum Literal {
    Nil,
    Bool(bool),
    Int(i64),
    /// Beyond [`Literal::Int`]; a float to the modes of the original.
    UInt(u64),
    Float(f64),
    Str(Box<str>),
}

// === impl Node ===

impl Node {
    pub(super) fn new(kind: Kind, at: usize) -> Self {
        let depth = 1 + kind.children().map(|child| child.depth).max().unwrap_or(0);
        Node { kind, at, depth }
    }

    /// Gives the node without parentheses around it.
    pub(super) fn bare(&self) -> &Node {
        match &self.kind {
            Kind::Parentheses(inner) => inner.bare(),
            _ => self,
        }
    }
}

impl PartialEq for Node {
    fn eq(&self, other: &Node) -> bool {
        self.kind == other.kind
    }
}

// === impl Kind ===

impl Kind {
    fn children(&self) -> impl Iterator<Item = &Node> {
        let (one, several): (&[Node], &[Node]) = match self {
            Kind::Parentheses(inner) => (std::slice::from_ref(inner), &[]),
            Kind::Binary(_, operands) => (&operands[..], &[]),
            Kind::Chain(_, operands) => (operands, &[]),
            Kind::List { column, items, .. } => (std::slice::from_ref(column), items),
            _ => (&[], &[]),
        };
        let calls = match self {
            Kind::Calls(calls) => calls.as_slice(),
            _ => &[],
        };
        one.iter().chain(several).chain(calls.iter().flat_map(|call| &call.arguments))
    }
}

// === impl Offset ===

impl PartialEq for Offset {
    fn eq(&self, _: &Offset) -> bool {
        true
    }
}

// === impl Literal ===

impl PartialEq for Literal {
    /// Two NaNs are the same text.
    fn eq(&self, other: &Literal) -> bool {
        match (self, other) {
            (Literal::Nil, Literal::Nil) => true,
            (Literal::Bool(one), Literal::Bool(other)) => one == other,
            (Literal::Int(one), Literal::Int(other)) => one == other,
            (Literal::UInt(one), Literal::UInt(other)) => one == other,
            (Literal::Float(one), Literal::Float(other)) => {
                one.to_bits() == other.to_bits() || one.is_nan() && other.is_nan()
            }
            (Literal::Str(one), Literal::Str(other)) => one == other,
            _ => false,
        }
    }
}
