//! Text to words.
//!
//! The lexer has two contexts. Behind an operand it looks for an operator; everywhere else `*` is a star, `/` begins a
//! pattern and `-` is a sign.

use std::sync::LazyLock;

use super::ast::Operator;
use super::duration::UNITS;
use super::token::{Token, TokenKind};

/// Cuts a script into words, one at a time.
#[derive(Debug)]
pub(crate) struct Lexer<'a> {
    text: &'a str,
    at: usize,
    context: Context,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Context {
    /// An operand is expected.
    Operand,
    /// Behind an operand.
    Operator,
}

// === impl Lexer ===

impl<'a> Lexer<'a> {
    /// Starts at the beginning of `text`.
    pub(crate) fn new(text: &'a str) -> Self {
        Lexer { text, at: 0, context: Context::Operand }
    }

    /// Gives the next word; at the end [`TokenKind::Eof`], again and again.
    pub(crate) fn next(&mut self) -> Token {
        self.skip_space();
        let start = self.at;
        let kind = self.scan();
        self.context = match &kind {
            kind if kind.ends_operand() => Context::Operator,
            _ => Context::Operand,
        };
        if let TokenKind::Invalid(_) = kind {
            // Nothing behind the mistake is looked at.
            self.at = self.text.len();
        }
        Token { kind, start, end: self.at }
    }

    fn scan(&mut self) -> TokenKind {
        let Some(first) = self.peek() else { return TokenKind::Eof };
        if first == '/' && self.rest().starts_with("//") {
            return self.comment();
        }
        if self.context == Context::Operator
            && let Some(kind) = self.operator()
        {
            return kind;
        }
        match first {
            '-' => self.one(TokenKind::Operator(Operator::Minus)),
            '!' => self.one(TokenKind::Operator(Operator::Not)),
            '"' => self.quoted('"', TokenKind::Reference, "unterminated field reference"),
            '\'' if self.rest().starts_with("'''") => self.triple(),
            '\'' => self.quoted('\'', TokenKind::String, "unterminated string"),
            '/' => self.quoted('/', TokenKind::Regex, "unterminated regex"),
            '(' => self.one(TokenKind::ParenOpen),
            ')' => self.one(TokenKind::ParenClose),
            '[' => self.one(TokenKind::BracketOpen),
            ']' => self.one(TokenKind::BracketClose),
            '|' => self.one(TokenKind::Operator(Operator::Pipe)),
            '@' => self.one(TokenKind::Operator(Operator::At)),
            ',' => self.one(TokenKind::Comma),
            '*' => self.one(TokenKind::Star),
            '.' if !self.rest()[1..].starts_with(is_digit) => {
                self.one(TokenKind::Operator(Operator::Dot))
            }
            c if c == '.' || is_digit(c) => self.number(),
            c if is_letter(c) => self.word(),
            c => TokenKind::Invalid(format!("unknown state, last char: {}", go_quoted(c))),
        }
    }

    fn operator(&mut self) -> Option<TokenKind> {
        const OPERATORS: [(&str, Operator); 15] = [
            // Longer ones first.
            ("!=", Operator::NotEqual),
            ("!~", Operator::MatchesNot),
            (">=", Operator::GreaterEqual),
            ("<=", Operator::LessEqual),
            ("==", Operator::Equal),
            ("=~", Operator::Matches),
            ("+", Operator::Plus),
            ("-", Operator::Minus),
            ("*", Operator::Multiply),
            ("/", Operator::Divide),
            ("%", Operator::Modulo),
            ("!", Operator::Not),
            (">", Operator::Greater),
            ("<", Operator::Less),
            ("=", Operator::Equal),
        ];
        let (text, operator) =
            OPERATORS.into_iter().find(|(text, _)| self.rest().starts_with(text))?;
        self.at += text.len();
        Some(if text == "=" { TokenKind::Assign } else { TokenKind::Operator(operator) })
    }

    /// Takes lines of comment as one word, as long as the next line is one, too.
    fn comment(&mut self) -> TokenKind {
        loop {
            self.at += self.rest().find('\n').unwrap_or(self.rest().len());
            let below = self.rest().strip_prefix('\n').unwrap_or_default();
            let indented = below.trim_start_matches(|c: char| c != '\n' && c.is_whitespace());
            // Differs: a line with a single slash is no comment; it may be a pattern.
            if !indented.starts_with("//") {
                return TokenKind::Comment;
            }
            self.at = self.text.len() - indented.len();
        }
    }

    /// Takes what stands between two quotes; a backslash before the quote keeps it inside.
    fn quoted(&mut self, quote: char, kind: TokenKind, open: &str) -> TokenKind {
        let bytes = self.text.as_bytes();
        let quote = quote as u8;
        let mut at = self.at + 1;
        while let Some(&byte) = bytes.get(at) {
            if byte == quote {
                self.at = at + 1;
                return kind;
            }
            at += if byte == b'\\' && bytes.get(at + 1) == Some(&quote) { 2 } else { 1 };
        }
        TokenKind::Invalid(open.to_owned())
    }

    fn triple(&mut self) -> TokenKind {
        match self.rest()[3..].find("'''") {
            Some(length) => {
                self.at += length + 6;
                TokenKind::String
            }
            None => TokenKind::Invalid("unterminated string".to_owned()),
        }
    }

    fn number(&mut self) -> TokenKind {
        let mut has_dot = false;
        while let Some(c) = self.peek() {
            if c == '.' {
                if has_dot {
                    return TokenKind::Invalid("multiple decimals in number".to_owned());
                }
                has_dot = true;
            } else if !is_digit(c) {
                break;
            }
            self.at += c.len_utf8();
        }
        if has_dot {
            return TokenKind::Number;
        }
        let unit = UNITS
            .iter()
            .filter(|unit| unit.is_literal && self.rest().starts_with(unit.text))
            .max_by_key(|unit| unit.text.len());
        match unit {
            Some(unit) => {
                self.at += unit.text.len();
                TokenKind::Duration
            }
            None => TokenKind::Number,
        }
    }

    fn word(&mut self) -> TokenKind {
        let rest = self.rest();
        let length =
            rest.find(|c| !(is_letter(c) || is_digit(c) || c == '_')).unwrap_or(rest.len());
        self.at += length;
        match &rest[..length] {
            "AND" => TokenKind::Operator(Operator::And),
            "OR" => TokenKind::Operator(Operator::Or),
            "TRUE" => TokenKind::True,
            "FALSE" => TokenKind::False,
            "var" => TokenKind::Var,
            "dbrp" => TokenKind::Dbrp,
            "lambda" if rest[length..].starts_with(':') => self.one(TokenKind::Lambda),
            _ => TokenKind::Identifier,
        }
    }

    fn skip_space(&mut self) {
        self.at = self.text.len() - self.rest().trim_start().len();
    }

    fn one(&mut self, kind: TokenKind) -> TokenKind {
        self.at += 1;
        kind
    }

    fn peek(&self) -> Option<char> {
        self.rest().chars().next()
    }

    fn rest(&self) -> &'a str {
        &self.text[self.at..]
    }
}

/// Says whether `c` is a letter in Unicode's sense (categories L).
pub(crate) fn is_letter(c: char) -> bool {
    static LETTER: LazyLock<regex::Regex> =
        LazyLock::new(|| regex::Regex::new(r"\A\p{L}\z").expect("a constant pattern"));
    if c.is_ascii() {
        return c.is_ascii_alphabetic();
    }
    c.is_alphabetic() && LETTER.is_match(c.encode_utf8(&mut [0; 4]))
}

/// Says whether `c` is a decimal digit in Unicode's sense (category Nd).
pub(crate) fn is_digit(c: char) -> bool {
    static DIGIT: LazyLock<regex::Regex> =
        LazyLock::new(|| regex::Regex::new(r"\A\p{Nd}\z").expect("a constant pattern"));
    if c.is_ascii() {
        return c.is_ascii_digit();
    }
    c.is_numeric() && DIGIT.is_match(c.encode_utf8(&mut [0; 4]))
}

/// Gives `c` as Go's `%q` prints a rune.
fn go_quoted(c: char) -> String {
    let shown = match c {
        '\'' => "\\'".to_owned(),
        '\\' => "\\\\".to_owned(),
        '\x07' => "\\a".to_owned(),
        '\x08' => "\\b".to_owned(),
        '\x0c' => "\\f".to_owned(),
        '\n' => "\\n".to_owned(),
        '\r' => "\\r".to_owned(),
        '\t' => "\\t".to_owned(),
        '\x0b' => "\\v".to_owned(),
        c if (c as u32) < 0x20 || c as u32 == 0x7f => format!("\\x{:02x}", c as u32),
        // Marks and spaces that print nothing of their own are shown by number.
        c if c != '"' && c.escape_debug().len() > 1 => match c as u32 {
            code @ ..=0xffff => format!("\\u{code:04x}"),
            code => format!("\\U{code:08x}"),
        },
        c => c.to_string(),
    };
    format!("'{shown}'")
}
