//! From text to tokens.
//!
//! Places are counted as the original counts them, since users see them: a string is placed at the character before
//! its quote, and the end of the text one further where a word or a blank was read up to it.

use crate::error::Pos;
use crate::token::{Kind, Operator, is_ident_part, is_ident_start, lookup};

/// A token and where it starts.
#[derive(Clone, Debug)]
pub(crate) struct Token {
    pub(crate) kind: Kind,
    /// The content of names, numbers and texts; empty for words and signs.
    pub(crate) text: String,
    pub(crate) at: Pos,
}

/// How a pattern between slashes ended.
pub(crate) enum Pattern {
    Text(String, Pos),
    Bad(Pos),
}

/// A place in a text; a copy of it is a place to come back to.
#[derive(Clone, Copy)]
pub(crate) struct Scanner<'t> {
    text: &'t str,
    byte: usize,
    pos: Pos,
    previous: Pos,
    end_was_read: bool,
}

/// Signs of two characters come before those of one.
const SIGNS: &[(&str, Kind)] = &[
    ("=~", Kind::Operator(Operator::Match)),
    ("!=", Kind::Operator(Operator::NotEqual)),
    ("!~", Kind::Operator(Operator::NotMatch)),
    (">=", Kind::Operator(Operator::AtLeast)),
    ("<=", Kind::Operator(Operator::AtMost)),
    ("<>", Kind::Operator(Operator::NotEqual)),
    ("::", Kind::DoubleColon),
    ("+", Kind::Operator(Operator::Add)),
    ("-", Kind::Operator(Operator::Sub)),
    ("*", Kind::Operator(Operator::Mul)),
    ("/", Kind::Operator(Operator::Div)),
    ("%", Kind::Operator(Operator::Mod)),
    ("&", Kind::Operator(Operator::BitAnd)),
    ("|", Kind::Operator(Operator::BitOr)),
    ("^", Kind::Operator(Operator::BitXor)),
    ("=", Kind::Operator(Operator::Equal)),
    (">", Kind::Operator(Operator::Greater)),
    ("<", Kind::Operator(Operator::Less)),
    ("(", Kind::LeftParen),
    (")", Kind::RightParen),
    (",", Kind::Comma),
    (";", Kind::Semicolon),
    (":", Kind::Colon),
    (".", Kind::Dot),
];

impl<'t> Scanner<'t> {
    pub(crate) fn new(text: &'t str) -> Self {
        Scanner {
            text,
            byte: 0,
            pos: Pos::default(),
            previous: Pos::default(),
            end_was_read: false,
        }
    }

    pub(crate) fn peek(&self) -> Option<char> {
        self.rest().chars().next()
    }

    /// Takes a sign that stands exactly here.
    pub(crate) fn take(&mut self, sign: char) -> bool {
        let found = self.peek() == Some(sign);
        if found {
            self.advance();
        }
        found
    }

    pub(crate) fn next(&mut self) -> Token {
        if let Err(token) = self.skip_blanks() {
            return token;
        }
        let at = self.pos;
        let rest = self.rest();
        let bytes = rest.as_bytes();
        match bytes {
            [] => self.end(),
            [b'"', ..] => self.quoted('"', Kind::Ident, at),
            [b'\'', ..] => {
                let before = self.previous;
                self.quoted('\'', Kind::String, before)
            }
            [b'$', ..] => self.bound_param(),
            [b'0'..=b'9', ..] | [b'.', b'0'..=b'9', ..] => self.number(),
            [first, ..] if is_ident_start(*first) => {
                let word = self.bare_word();
                match lookup(word) {
                    Kind::Ident => Token { kind: Kind::Ident, text: word.into(), at },
                    kind => Token { kind, text: String::new(), at },
                }
            }
            _ => match SIGNS.iter().find(|(sign, _)| rest.starts_with(sign)) {
                Some((sign, kind)) => {
                    sign.chars().for_each(|_| self.advance());
                    Token { kind: *kind, text: String::new(), at }
                }
                None => {
                    let text = self.peek().map(String::from).unwrap_or_default();
                    self.advance();
                    Token { kind: Kind::Illegal, text, at }
                }
            },
        }
    }

    /// Reads a pattern, if one starts at the next character that is not blank.
    pub(crate) fn pattern(&mut self) -> Option<Pattern> {
        let start = *self;
        if self.skip_blanks().is_err() || self.peek() != Some('/') {
            *self = start;
            return None;
        }
        let at = self.pos;
        self.advance();
        let mut text = String::new();
        loop {
            match self.peek() {
                None | Some('\n') => return Some(Pattern::Bad(at)),
                Some('/') => {
                    self.advance();
                    return Some(Pattern::Text(text, at));
                }
                Some('\\') => {
                    self.advance();
                    if !self.take('/') {
                        text.push('\\');
                    } else {
                        text.push('/');
                    }
                }
                Some(c) => {
                    self.advance();
                    text.push(c);
                }
            }
        }
    }

    fn rest(&self) -> &'t str {
        &self.text[self.byte..]
    }

    fn advance(&mut self) {
        if let Some(c) = self.peek() {
            self.byte += c.len_utf8();
            self.previous = self.pos;
            if c == '\n' {
                self.pos = Pos { line: self.pos.line + 1, column: 0 };
            } else {
                self.pos.column += 1;
            }
        }
    }

    fn advance_while(&mut self, wanted: impl Fn(char) -> bool) -> &'t str {
        let start = self.byte;
        while self.peek().is_some_and(&wanted) {
            self.advance();
        }
        &self.text[start..self.byte]
    }

    fn end(&mut self) -> Token {
        let mut at = self.pos;
        at.column += usize::from(self.end_was_read);
        Token { kind: Kind::Eof, text: String::new(), at }
    }

    /// Skips blanks and comments; a comment that does not end is a token of its own.
    fn skip_blanks(&mut self) -> Result<(), Token> {
        loop {
            if !self.advance_while(is_blank).is_empty() {
                self.end_was_read |= self.rest().is_empty();
            }
            if self.rest().starts_with("--") {
                self.advance_while(|c| c != '\n');
            } else if self.rest().starts_with("/*") {
                let at = self.pos;
                let Some(end) = self.rest()[2..].find("*/") else {
                    self.advance_while(|_| true);
                    return Err(Token { kind: Kind::Illegal, text: String::new(), at });
                };
                let end = self.byte + 2 + end + 2;
                while self.byte < end {
                    self.advance();
                }
            } else {
                return Ok(());
            }
        }
    }

    fn bare_word(&mut self) -> &'t str {
        let word = self.advance_while(|c| c.is_ascii() && is_ident_part(c as u8));
        self.end_was_read |= self.rest().is_empty();
        word
    }

    fn bound_param(&mut self) -> Token {
        let at = self.pos;
        self.advance();
        if self.peek() == Some('"') {
            let token = self.quoted('"', Kind::BoundParam, at);
            return Token { text: format!("${}", token.text), ..token };
        }
        let word = self.bare_word();
        Token { kind: Kind::BoundParam, text: format!("${word}"), at }
    }

    fn quoted(&mut self, quote: char, kind: Kind, at: Pos) -> Token {
        let before = self.previous;
        self.advance();
        let mut text = String::new();
        loop {
            match self.peek() {
                None | Some('\n') => {
                    self.advance();
                    return Token { kind: Kind::BadString, text, at: before };
                }
                Some('\\') => {
                    self.advance();
                    let escaped = self.peek();
                    self.advance();
                    match escaped {
                        Some('n') => text.push('\n'),
                        Some(c @ ('\\' | '"' | '\'')) => text.push(c),
                        other => {
                            let text = std::iter::once('\\').chain(other).collect();
                            return Token { kind: Kind::BadEscape, text, at: self.previous };
                        }
                    }
                }
                Some(c) => {
                    self.advance();
                    if c == quote {
                        return Token { kind, text, at };
                    }
                    text.push(c);
                }
            }
        }
    }

    fn number(&mut self) -> Token {
        let at = self.pos;
        let start = self.byte;
        self.advance_while(|c| c.is_ascii_digit());
        let kind = if self.peek() == Some('.') {
            self.advance();
            self.advance_while(|c| c.is_ascii_digit());
            Kind::Number
        } else if self.peek().is_some_and(is_unit) {
            self.advance_while(|c| is_unit(c) || c.is_ascii_digit());
            Kind::Duration
        } else {
            Kind::Integer
        };
        // A dot without digits after it belongs to the number and is not a part of its text.
        let text = self.text[start..self.byte].trim_end_matches('.').into();
        Token { kind, text, at }
    }
}

fn is_blank(c: char) -> bool {
    matches!(c, ' ' | '\t' | '\n' | '\r')
}

fn is_unit(c: char) -> bool {
    c.is_ascii_alphabetic() || c == 'µ'
}

// === impl Token ===

impl Token {
    /// Gives the text that messages show.
    pub(crate) fn found(&self) -> String {
        if self.text.is_empty() { self.kind.text().into() } else { self.text.clone() }
    }
}
