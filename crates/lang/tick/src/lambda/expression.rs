//! The tree that evaluation walks over.

use levada_model::Str;

use super::functions::Function;
use super::value::Value;
use crate::syntax::ast::Operator;

/// A node of the tree.
#[derive(Debug)]
pub(super) enum Expression {
    /// A literal, or what folding made of constants.
    Constant(Value),
    /// The place of a name in [`Program::references`](super::Program::references).
    Reference(u32),
    /// `!x`, and whether `x` is an operator between two operands
    Not(Box<Expression>, bool),
    /// `-x`
    Negate(Box<Expression>),
    /// Arithmetic, comparison or match.
    Binary(Box<Binary>),
    /// `a AND b AND c`, `a OR b OR c`
    Logic(Box<Logic>),
    /// A reference compared with a number.
    NumberTest(Box<NumberTest>),
    /// A reference compared with a text for equality.
    TextTest(Box<TextTest>),
    /// A call.
    Call(Box<Call>),
}

/// `left operator right`
#[derive(Debug)]
pub(super) struct Binary {
    pub(super) operator: Operator,
    pub(super) left: Expression,
    pub(super) right: Expression,
}

/// A chain of one logical operator.
#[derive(Debug)]
pub(super) struct Logic {
    /// `AND`; otherwise `OR`.
    pub(super) is_and: bool,
    /// At least two.
    pub(super) items: Box<[Expression]>,
    /// Every item is known to be boolean, so that items behind a short circuit need no look.
    pub(super) is_boolean: bool,
}

/// A comparison that needs no walk when the field is a number.
#[derive(Debug)]
pub(super) struct NumberTest {
    pub(super) reference: u32,
    /// As if the reference stood on the left.
    pub(super) operator: Operator,
    /// The constant, when it is an integer.
    pub(super) int: Option<i64>,
    /// The constant as a float.
    pub(super) float: f64,
    /// The comparison as written: decides in all other cases.
    pub(super) whole: Binary,
}

/// A comparison for equality that needs no walk when the value is a text.
#[derive(Debug)]
pub(super) struct TextTest {
    pub(super) reference: u32,
    pub(super) is_equal: bool,
    pub(super) text: Str,
    /// The comparison as written: decides in all other cases.
    pub(super) whole: Binary,
}

/// `name(args)`
#[derive(Debug)]
pub(super) struct Call {
    /// `None` when there is no such function.
    pub(super) function: Option<&'static Function>,
    pub(super) name: Str,
    pub(super) args: Box<[Expression]>,
    /// The arguments as messages show them.
    pub(super) texts: Box<[Box<str>]>,
    /// The place of its state.
    pub(super) slot: u32,
}
