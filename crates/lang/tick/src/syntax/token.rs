//! The words of a script.

use super::ast::Operator;

/// One word.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Token {
    /// What it is.
    pub(crate) kind: TokenKind,
    /// Its first byte.
    pub(crate) start: usize,
    /// Behind its last byte.
    pub(crate) end: usize,
}

/// What a word is.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum TokenKind {
    /// The end of the script.
    Eof,
    /// What cannot be a word; holds the reason.
    Invalid(String),
    /// `var`
    Var,
    /// `dbrp`
    Dbrp,
    /// A name.
    Identifier,
    /// `"name"`
    Reference,
    /// `lambda:`
    Lambda,
    /// An integer or a float.
    Number,
    /// `'text'` or `'''text'''`
    String,
    /// `10s`
    Duration,
    /// `/pattern/`
    Regex,
    /// `TRUE`
    True,
    /// `FALSE`
    False,
    /// One or more lines of `// text`
    Comment,
    /// `(`
    ParenOpen,
    /// `)`
    ParenClose,
    /// `[`
    BracketOpen,
    /// `]`
    BracketClose,
    /// `,`
    Comma,
    /// `=`
    Assign,
    /// `*` where an operand stands.
    Star,
    /// An operator, also those of chains.
    Operator(Operator),
}

impl TokenKind {
    /// Gives the name that messages show.
    pub(crate) fn name(&self) -> &str {
        match self {
            TokenKind::Eof => "EOF",
            TokenKind::Invalid(reason) => reason,
            TokenKind::Var => "var",
            TokenKind::Dbrp => "dbrp",
            TokenKind::Identifier => "identifier",
            TokenKind::Reference => "reference",
            TokenKind::Lambda => "lambda",
            TokenKind::Number => "number",
            TokenKind::String => "string",
            TokenKind::Duration => "duration",
            TokenKind::Regex => "regex",
            TokenKind::True => "TRUE",
            TokenKind::False => "FALSE",
            TokenKind::Comment => "//",
            TokenKind::ParenOpen => "(",
            TokenKind::ParenClose => ")",
            TokenKind::BracketOpen => "[",
            TokenKind::BracketClose => "]",
            TokenKind::Comma => ",",
            TokenKind::Assign => "=",
            TokenKind::Star => "*",
            TokenKind::Operator(operator) => operator.text(),
        }
    }

    /// Says whether the word that follows may be an operator.
    pub(crate) fn ends_operand(&self) -> bool {
        matches!(
            self,
            TokenKind::Var
                | TokenKind::Dbrp
                | TokenKind::Identifier
                | TokenKind::Reference
                | TokenKind::Lambda
                | TokenKind::Number
                | TokenKind::String
                | TokenKind::Duration
                | TokenKind::True
                | TokenKind::False
                | TokenKind::ParenClose
        )
    }
}
