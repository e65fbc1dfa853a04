//! The `#(…)` part of a path: which elements of an array.

use std::cmp::Ordering;

use levada_model::tree::Tree;

use super::Step;
use super::find::{Found, walk};
use crate::glob::Glob;
use crate::literal::{Literal, Subject};

/// A question about one element.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Query {
    steps: Box<[Step]>,
    test: Test,
}

#[derive(Clone, Debug, PartialEq)]
enum Test {
    Exists,
    Order(Operator, Literal),
    Like(Glob, bool),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Operator {
    Equal,
    NotEqual,
    Below,
    AtMost,
    Above,
    AtLeast,
    Like,
    Unlike,
}

// === impl Query ===

impl Query {
    pub(super) fn exists(steps: Vec<Step>) -> Self {
        let steps = steps.into();
        Query { steps, test: Test::Exists }
    }

    pub(super) fn compare(steps: Vec<Step>, operator: Operator, value: &str) -> Self {
        let test = match operator {
            Operator::Like => Test::Like(Glob::new(value), true),
            Operator::Unlike => Test::Like(Glob::new(value), false),
            _ => Test::Order(operator, Literal::quoted(value)),
        };
        let steps = steps.into();
        Query { steps, test }
    }

    /// Answers for an element: what is missing, `null`, an array or object fits no comparison.
    pub(super) fn fits(&self, text: &[u8], tree: &Tree, element: &Found) -> bool {
        let walked;
        let found = if self.steps.is_empty() {
            element
        } else {
            walked = walk(&self.steps, text, tree, element.clone());
            &walked
        };
        match &self.test {
            Test::Exists => found.exists(),
            Test::Order(operator, literal) => found
                .with_scalar(text, tree, |subject| operator.holds(subject, literal))
                .unwrap_or(false),
            Test::Like(glob, expected) => found
                .with_scalar(text, tree, |subject| {
                    matches!(subject, Subject::Text(_) | Subject::Escaped(_))
                        && glob.matches(&subject.text()) == *expected
                })
                .unwrap_or(false),
        }
    }
}

// === impl Operator ===

impl Operator {
    fn holds(self, subject: Subject<'_>, literal: &Literal) -> bool {
        if matches!(subject, Subject::Null | Subject::Json(_)) {
            return false;
        }
        let order = subject.query_order(literal);
        match self {
            Operator::Equal => order == Some(Ordering::Equal),
            Operator::NotEqual => order != Some(Ordering::Equal),
            Operator::Below => order == Some(Ordering::Less),
            Operator::AtMost => order.is_some_and(Ordering::is_le),
            Operator::Above => order == Some(Ordering::Greater),
            Operator::AtLeast => order.is_some_and(Ordering::is_ge),
            Operator::Like | Operator::Unlike => false,
        }
    }
}
