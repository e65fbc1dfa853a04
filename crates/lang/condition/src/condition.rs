//! Conditions: whether a record counts.
//!
//! ```text
//! expr    := and ( "||" and )*
//! and     := unary ( "&&" unary )*
//! unary   := "!" unary | "(" expr ")" | test
//! test    := operand
//!          | operand ( "==" | "!=" | "<" | "<=" | ">" | ">=" ) value
//!          | operand ( "=~" | "!~" ) regex
//!          | operand [ "not" ] "in" "(" value ( "," value )* ")"
//!          | "exists" "(" operand ")"
//! operand := "metadata." key | path
//! value   := 'text' | "text" | bare
//! ```
//! - An operand alone asks whether its value counts as true: a boolean by its value, a text unless it is
//!   empty or `false`, a number unless it is zero, arrays and objects always, `null` never.
//! - Every comparison with something that is missing is false, also `!=`, `not in` and `!~`; only
//!   `exists` and `!` can tell. `!` applies to a whole comparison.
//! - `==` compares texts: `5` equals `'5'`, `true` equals `'true'`, `null` equals `''`. Two numbers are
//!   also equal by value when the right one has no quotes: `5.0 == 5`. The order of two such numbers is
//!   that of their values, at any size; the order of everything else is that of its bytes, and `null`
//!   has none.
//! - A comparison needs a blank or a quote behind its operator, because keys may hold such characters.
//! - `metadata.a.b` is the metadata called `a.b`; a payload member of that name is `$.metadata.a.b`.
//! - In quotes, a backslash before a quote or a backslash is taken off; in a regex only before the quote.
//!
//! Differs: upstream takes text that it does not understand for a path that is missing, so the condition
//! is false at run time; here it is refused with its column. The unquoted right side compares with the
//! empty text in the first generation and with its text in the second; the second is followed.
//! `<`, `<=`, `>`, `>=`, `in`, `=~`, `!~`, `exists` and numbers by value are additions.
//!
//! Bounds: [`TEXT_MAX`] bytes, [`DEPTH_MAX`] levels, [`REGEX_COUNT_MAX`] regexes of [`REGEX_BYTES_MAX`] bytes.

mod parse;

use std::fmt;

use regex::Regex;

use levada_model::tree::{NodeId, Tree};
use levada_model::{Meta, Value};

pub use crate::path::TEXT_MAX;

use crate::error::SyntaxError;
use crate::literal::{Literal, Subject};
use crate::path::Path;

/// How deep parentheses and `!` may nest.
pub const DEPTH_MAX: usize = 64;

/// The most regexes of one condition.
pub const REGEX_COUNT_MAX: usize = 32;

/// The most memory of one compiled regex, in bytes.
pub const REGEX_BYTES_MAX: usize = 1 << 20;

/// A compiled condition.
#[derive(Clone, Debug)]
pub struct Condition {
    text: Box<str>,
    expr: Expr,
}

/// What a condition looks at.
#[derive(Clone, Copy, Debug)]
pub struct Input<'a> {
    /// The text that the nodes refer to.
    pub text: &'a [u8],
    /// The nodes.
    pub tree: &'a Tree,
    /// The document; `None` when the payload is not JSON, so every payload path is missing.
    pub root: Option<NodeId>,
    /// The metadata of the record.
    pub meta: Option<&'a Meta>,
}

#[derive(Clone, Debug)]
enum Expr {
    Any(Box<[Expr]>),
    All(Box<[Expr]>),
    Not(Box<Expr>),
    Test(Operand, Test),
}

#[derive(Clone, Debug)]
enum Operand {
    Path(Path),
    Meta(Box<str>),
}

#[derive(Clone, Debug)]
enum Test {
    Truthy,
    Exists,
    Equal(Literal),
    NotEqual(Literal),
    Below(Literal),
    AtMost(Literal),
    Above(Literal),
    AtLeast(Literal),
    In(Box<[Literal]>, bool),
    Match(Box<Regex>, bool),
}

// === impl Condition ===

impl Condition {
    /// Compiles a condition.
    ///
    /// Errors: the text is not a condition; the error says where and what to write. An empty or blank
    /// text has an error of its own, [`SyntaxError::is_blank`].
    pub fn compile(text: &str) -> Result<Condition, SyntaxError> {
        let expr = parse::compile(text)?;
        let text = text.into();
        Ok(Condition { text, expr })
    }

    /// Tells whether the record counts. Never fails, whatever the payload is.
    #[inline]
    pub fn eval(&self, input: Input<'_>) -> bool {
        self.expr.eval(&input)
    }

    /// Tells whether the payload matters at all; if not, it need not be parsed.
    pub fn reads_payload(&self) -> bool {
        self.expr.reads_payload()
    }
}

impl fmt::Display for Condition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

// === impl Expr ===

impl Expr {
    /// The recursion is bounded by [`DEPTH_MAX`].
    #[inline]
    fn eval(&self, input: &Input<'_>) -> bool {
        match self {
            Expr::Test(operand, test) => test.eval(operand, input),
            Expr::Any(parts) => parts.iter().any(|part| part.eval(input)),
            Expr::All(parts) => parts.iter().all(|part| part.eval(input)),
            Expr::Not(part) => !part.eval(input),
        }
    }

    fn reads_payload(&self) -> bool {
        match self {
            Expr::Test(operand, _) => matches!(operand, Operand::Path(_)),
            Expr::Any(parts) | Expr::All(parts) => parts.iter().any(Expr::reads_payload),
            Expr::Not(part) => part.reads_payload(),
        }
    }
}

// === impl Test ===

impl Test {
    #[inline]
    fn eval(&self, operand: &Operand, input: &Input<'_>) -> bool {
        match operand {
            Operand::Path(path) => {
                let Some(root) = input.root else {
                    return false;
                };
                if path.is_plain() {
                    let Some(node) = path.find_node(input.text, input.tree, root) else {
                        return false;
                    };
                    if let Some(subject) = Subject::of_scalar(input.text, input.tree, node) {
                        return self.holds(subject);
                    }
                }
                self.holds_for_any(path, input, root)
            }
            Operand::Meta(key) => {
                let value = input.meta.and_then(|meta| meta.get(key));
                value.is_some_and(|value| self.holds_for_meta(value))
            }
        }
    }

    /// The way of paths that find more than one scalar; allocates.
    #[cold]
    fn holds_for_any(&self, path: &Path, input: &Input<'_>, root: NodeId) -> bool {
        let found = path.find(input.text, input.tree, root);
        match self {
            // Printing a container only to see that it is there would be a waste.
            Test::Exists => found.exists(),
            Test::Truthy => found.is_truthy(input.text, input.tree),
            _ => found
                .with_subject(input.text, input.tree, |subject| self.holds(subject))
                .unwrap_or(false),
        }
    }

    fn holds_for_meta(&self, value: &Value) -> bool {
        let mut buffer = itoa::Buffer::new();
        match value {
            Value::Null => false,
            Value::Bool(value) => self.holds(Subject::Bool(*value)),
            Value::Str(text) => self.holds(Subject::Text(text.as_bytes())),
            Value::Bytes(bytes) => self.holds(Subject::Text(bytes)),
            Value::Int(number) => self.holds(Subject::Number(buffer.format(*number).as_bytes())),
            Value::UInt(number) => self.holds(Subject::Number(buffer.format(*number).as_bytes())),
            Value::Number(text) => self.holds(Subject::Number(text.as_bytes())),
            other => {
                let text = other.to_text().unwrap_or_default();
                self.holds(match other {
                    Value::Float(number) if number.is_finite() => Subject::Number(text.as_bytes()),
                    Value::List(_) | Value::Map(_) => Subject::Json(text.as_bytes()),
                    _ => Subject::Text(text.as_bytes()),
                })
            }
        }
    }

    #[inline]
    fn holds(&self, subject: Subject<'_>) -> bool {
        match self {
            Test::Truthy => subject.is_truthy(),
            Test::Exists => true,
            Test::Equal(literal) => subject.equals(literal),
            Test::NotEqual(literal) => !subject.equals(literal),
            Test::Below(literal) => subject.order(literal).is_some_and(|order| order.is_lt()),
            Test::AtMost(literal) => subject.order(literal).is_some_and(|order| order.is_le()),
            Test::Above(literal) => subject.order(literal).is_some_and(|order| order.is_gt()),
            Test::AtLeast(literal) => subject.order(literal).is_some_and(|order| order.is_ge()),
            Test::In(literals, expected) => {
                literals.iter().any(|literal| subject.equals(literal)) == *expected
            }
            Test::Match(regex, expected) => {
                let text = subject.text();
                let text = String::from_utf8_lossy(&text);
                regex.is_match(&text) == *expected
            }
        }
    }
}
