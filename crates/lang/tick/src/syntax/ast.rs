//! The syntax tree.

use std::sync::Arc;

use levada_model::Str;
pub use levada_pattern::Regex;

/// Where something stands in a script.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Position {
    /// Bytes before it.
    pub offset: u32,
    /// Counted from 1.
    pub line: u32,
    /// Bytes in its line before it, plus 1.
    pub column: u32,
}

/// Comment lines before a node, without `//`.
#[derive(Clone, Debug, PartialEq)]
pub struct Comment {
    /// Where the first one begins.
    pub position: Position,
    /// The texts as written behind `//`; [`Comment::BLOCK_END`] where a block of lines ended.
    pub lines: Vec<Str>,
}

/// A node of the tree.
#[derive(Clone, Debug)]
pub struct Node {
    /// Of a chain or a binary node its operator, of a call its name, of a declaration its keyword.
    pub position: Position,
    /// What stands before it; of a program, what stands behind its last statement.
    pub comment: Option<Box<Comment>>,
    /// What it is.
    pub kind: Kind,
}

/// What a node is.
#[derive(Clone, Debug)]
pub enum Kind {
    /// The whole script.
    Program(Vec<Node>),
    /// `var x = right`; `name` is the identifier.
    Declaration {
        /// The variable.
        name: Box<Node>,
        /// Its value.
        value: Box<Node>,
    },
    /// `var x int`
    TypeDeclaration {
        /// The variable.
        name: Box<Node>,
        /// The word after it, known or not.
        type_name: Box<Node>,
    },
    /// `dbrp "db"."rp"`
    Dbrp {
        /// The database.
        database: Str,
        /// The retention policy.
        retention: Str,
    },
    /// `left|right`, `left.right`, `left@right`; `right` is a call or, behind a dot, an identifier.
    Chain {
        /// One of [`Operator::Pipe`], [`Operator::Dot`], [`Operator::At`].
        operator: Operator,
        /// The object.
        left: Box<Node>,
        /// The call.
        right: Box<Node>,
    },
    /// A call.
    Call(Call),
    /// `lambda: expression`
    Lambda(Arc<Node>),
    /// `[a, 'b', *]`
    List(Vec<Node>),
    /// `-x`, `!x`
    Unary {
        /// Minus or Not.
        operator: Operator,
        /// What it applies to.
        operand: Box<Node>,
    },
    /// `left operator right`
    Binary {
        /// The operator.
        operator: Operator,
        /// Left operand.
        left: Box<Node>,
        /// Right operand.
        right: Box<Node>,
        /// Written inside parentheses.
        in_parens: bool,
        /// The right operand stood on a later line than the operator.
        is_multi_line: bool,
    },
    /// An integer; `is_octal` when it began with a zero.
    Int {
        /// Its value.
        value: i64,
        /// Printed with a leading zero.
        is_octal: bool,
    },
    /// A float.
    Float(f64),
    /// A duration.
    Duration {
        /// Nanoseconds.
        nanos: i64,
        /// As it was written; empty for one made by a variable.
        literal: Str,
    },
    /// `TRUE`, `FALSE`
    Bool(bool),
    /// A string.
    String {
        /// Without quotes and escapes.
        value: Str,
        /// Written with three quotes.
        is_triple: bool,
    },
    /// `"name"`
    Reference(Str),
    /// `/pattern/`
    Regex(Arc<Regex>),
    /// `*`
    Star,
    /// A name.
    Identifier(Str),
}

/// A call: `name(args)`.
#[derive(Clone, Debug)]
pub struct Call {
    /// How it was reached.
    pub kind: CallKind,
    /// The name as written.
    pub name: Str,
    /// The arguments.
    pub args: Vec<Node>,
    /// Some argument or the closing parenthesis stood on a later line than the name.
    pub is_multi_line: bool,
}

/// How a call was reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CallKind {
    /// `name(...)`
    Global,
    /// `|name(...)`
    Chain,
    /// `.name(...)`
    Property,
    /// `@name(...)`
    Dynamic,
}

/// An operator.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Operator {
    /// `+`
    Plus,
    /// `-`, binary and unary
    Minus,
    /// `*`
    Multiply,
    /// `/`
    Divide,
    /// `%`
    Modulo,
    /// `==`
    Equal,
    /// `!=`
    NotEqual,
    /// `<`
    Less,
    /// `<=`
    LessEqual,
    /// `>`
    Greater,
    /// `>=`
    GreaterEqual,
    /// `=~`
    Matches,
    /// `!~`
    MatchesNot,
    /// `AND`
    And,
    /// `OR`
    Or,
    /// `!`
    Not,
    /// `|`
    Pipe,
    /// `.`
    Dot,
    /// `@`
    At,
}

// === impl Comment ===

impl Comment {
    /// Stands between two blocks of lines; no line of a comment can be this.
    pub const BLOCK_END: &'static str = "\n";
}

// === impl Operator ===

impl Operator {
    /// All of them.
    pub const ALL: [Operator; 19] = [
        Operator::Plus,
        Operator::Minus,
        Operator::Multiply,
        Operator::Divide,
        Operator::Modulo,
        Operator::Equal,
        Operator::NotEqual,
        Operator::Less,
        Operator::LessEqual,
        Operator::Greater,
        Operator::GreaterEqual,
        Operator::Matches,
        Operator::MatchesNot,
        Operator::And,
        Operator::Or,
        Operator::Not,
        Operator::Pipe,
        Operator::Dot,
        Operator::At,
    ];

    /// Gives it as it is written.
    pub fn text(self) -> &'static str {
        match self {
            Operator::Plus => "+",
            Operator::Minus => "-",
            Operator::Multiply => "*",
            Operator::Divide => "/",
            Operator::Modulo => "%",
            Operator::Equal => "==",
            Operator::NotEqual => "!=",
            Operator::Less => "<",
            Operator::LessEqual => "<=",
            Operator::Greater => ">",
            Operator::GreaterEqual => ">=",
            Operator::Matches => "=~",
            Operator::MatchesNot => "!~",
            Operator::And => "AND",
            Operator::Or => "OR",
            Operator::Not => "!",
            Operator::Pipe => "|",
            Operator::Dot => ".",
            Operator::At => "@",
        }
    }

    /// Gives how tightly a binary operator binds, 0 (`OR`) to 5; `None` for the others.
    pub fn precedence(self) -> Option<u8> {
        match self {
            Operator::Multiply | Operator::Divide | Operator::Modulo => Some(5),
            Operator::Plus | Operator::Minus => Some(4),
            Operator::Less | Operator::LessEqual | Operator::Greater | Operator::GreaterEqual => {
                Some(3)
            }
            Operator::Equal | Operator::NotEqual | Operator::Matches | Operator::MatchesNot => {
                Some(2)
            }
            Operator::And => Some(1),
            Operator::Or => Some(0),
            Operator::Not | Operator::Pipe | Operator::Dot | Operator::At => None,
        }
    }
}

// === impl Node ===

impl Node {
    /// Makes a node without a comment.
    pub fn new(position: Position, kind: Kind) -> Self {
        Node { position, comment: None, kind }
    }
}

impl Node {
    /// Calls `visit` with every node right below this one, in the order of the text.
    pub fn each_child<'a>(&'a self, mut visit: impl FnMut(&'a Node)) {
        match &self.kind {
            Kind::Program(nodes) | Kind::List(nodes) => nodes.iter().for_each(visit),
            Kind::Declaration { name: a, value: b }
            | Kind::TypeDeclaration { name: a, type_name: b }
            | Kind::Chain { left: a, right: b, .. }
            | Kind::Binary { left: a, right: b, .. } => {
                visit(a);
                visit(b);
            }
            Kind::Call(call) => call.args.iter().for_each(visit),
            Kind::Lambda(body) => visit(body),
            Kind::Unary { operand, .. } => visit(operand),
            Kind::Dbrp { .. }
            | Kind::Int { .. }
            | Kind::Float(_)
            | Kind::Duration { .. }
            | Kind::Bool(_)
            | Kind::String { .. }
            | Kind::Reference(_)
            | Kind::Regex(_)
            | Kind::Star
            | Kind::Identifier(_) => {}
        }
    }
}
