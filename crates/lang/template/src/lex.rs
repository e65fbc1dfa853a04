//! Cuts a template into items.

use crate::go::quote;

/// What an item is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// What went wrong; the text of the item says it.
    Error,
    Bool,
    /// A printable character that means nothing by itself, such as `,`.
    Char,
    CharConstant,
    Assign,
    Declare,
    Eof,
    Field,
    Identifier,
    LeftDelim,
    LeftParen,
    Number,
    Pipe,
    RawString,
    RightDelim,
    RightParen,
    Space,
    Str,
    Text,
    Variable,
    Dot,
    Nil,
    Keyword(Keyword),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Keyword {
    Block,
    Break,
    Continue,
    Define,
    Else,
    End,
    If,
    Range,
    Template,
    With,
}

/// A piece of the text.
#[derive(Clone, Debug)]
pub(crate) struct Item {
    pub(crate) kind: Kind,
    /// The byte where it begins.
    pub(crate) at: usize,
    /// The line where it begins, from 1.
    pub(crate) line: usize,
    pub(crate) text: String,
}

const LEFT: &str = "{{";
const RIGHT: &str = "}}";
const SPACES: [char; 4] = [' ', '\t', '\r', '\n'];

/// Cuts the whole text; the last item is the end or an error.
pub(crate) fn lex(text: &str) -> Vec<Item> {
    let mut lexer = Lexer { text, at: 0, start: 0, line: 1, items: Vec::new(), parens: 0 };
    while lexer.text_and_action() {}
    lexer.items
}

struct Lexer<'t> {
    text: &'t str,
    at: usize,
    start: usize,
    /// The line of `start`.
    line: usize,
    items: Vec<Item>,
    parens: usize,
}

impl<'t> Lexer<'t> {
    fn rest(&self) -> &'t str {
        &self.text[self.at..]
    }

    fn peek(&self) -> Option<char> {
        self.rest().chars().next()
    }

    fn bump(&mut self) -> Option<char> {
        let c = self.peek()?;
        self.at += c.len_utf8();
        Some(c)
    }

    fn accept(&mut self, set: &str) -> bool {
        let found = self.peek().is_some_and(|c| set.contains(c));
        self.at += usize::from(found);
        found
    }

    fn accept_run(&mut self, set: &str) {
        while self.accept(set) {}
    }

    fn ignore(&mut self) {
        self.line += self.text[self.start..self.at].matches('\n').count();
        self.start = self.at;
    }

    fn emit(&mut self, kind: Kind) {
        let text = self.text[self.start..self.at].to_owned();
        self.items.push(Item { kind, at: self.start, line: self.line, text });
        self.ignore();
    }

    /// Ends with an error.
    fn fail(&mut self, message: impl Into<String>) -> bool {
        let text = message.into();
        self.items.push(Item { kind: Kind::Error, at: self.start, line: self.line, text });
        false
    }

    /// Takes the text up to the next action and the action; says whether to go on.
    fn text_and_action(&mut self) -> bool {
        let Some(found) = self.rest().find(LEFT) else {
            self.at = self.text.len();
            if self.at > self.start {
                self.emit(Kind::Text);
            }
            self.emit(Kind::Eof);
            return false;
        };
        let open = self.at + found;
        let trims = has_left_trim(&self.text[open + LEFT.len()..]);
        self.at = open;
        if trims {
            let kept = self.text[self.start..open].trim_end_matches(SPACES);
            self.at = self.start + kept.len();
        }
        if self.at > self.start {
            self.emit(Kind::Text);
        }
        self.at = open;
        self.ignore();
        self.left_delim(trims)
    }

    fn left_delim(&mut self, trims: bool) -> bool {
        self.at += LEFT.len();
        let after = self.at + if trims { 2 } else { 0 };
        if self.text[after..].starts_with("/*") {
            self.at = after;
            self.ignore();
            return self.comment();
        }
        self.emit(Kind::LeftDelim);
        self.at = after;
        self.ignore();
        self.parens = 0;
        loop {
            match self.inside_action() {
                Step::Inside => {}
                Step::Outside => return true,
                Step::Failed => return false,
            }
        }
    }

    fn comment(&mut self) -> bool {
        let Some(end) = self.rest()[2..].find("*/") else {
            return self.fail("unclosed comment");
        };
        self.at += 2 + end + 2;
        match right_delim(self.rest()) {
            Some(trims) => {
                self.right_delim(trims, false);
                true
            }
            None => self.fail("comment ends before closing delimiter"),
        }
    }

    fn right_delim(&mut self, trims: bool, emits: bool) {
        if trims {
            self.at += 2;
            self.ignore();
        }
        self.at += RIGHT.len();
        if emits {
            self.emit(Kind::RightDelim);
        } else {
            self.ignore();
        }
        if trims {
            let rest = self.rest();
            self.at += rest.len() - rest.trim_start_matches(SPACES).len();
            self.ignore();
        }
    }

    fn inside_action(&mut self) -> Step {
        if let Some(trims) = right_delim(self.rest()) {
            if self.parens > 0 {
                return self.failed("unclosed left paren");
            }
            self.right_delim(trims, true);
            return Step::Outside;
        }
        let Some(c) = self.bump() else {
            return self.failed("unclosed action");
        };
        match c {
            c if SPACES.contains(&c) => {
                while self.peek().is_some_and(|c| SPACES.contains(&c)) {
                    // The space before `-}}` belongs to it.
                    if right_delim(self.rest()) == Some(true) {
                        break;
                    }
                    self.bump();
                }
                // A single space may itself begin ` -}}`; that was seen above, before it was taken.
                self.emit(Kind::Space);
            }
            '=' => self.emit(Kind::Assign),
            ':' if self.accept("=") => self.emit(Kind::Declare),
            ':' => return self.failed("expected :="),
            '|' => self.emit(Kind::Pipe),
            '"' => return self.quoted('"', "unterminated quoted string", Kind::Str),
            '\'' => {
                return self.quoted('\'', "unterminated character constant", Kind::CharConstant);
            }
            '`' => match self.rest().find('`') {
                Some(end) => {
                    self.at += end + 1;
                    self.emit(Kind::RawString);
                }
                None => return self.failed("unterminated raw quoted string"),
            },
            '$' => return self.name(Kind::Variable),
            '.' if !self.peek().is_some_and(|c| c.is_ascii_digit()) => {
                return self.name(Kind::Field);
            }
            '.' | '+' | '-' | '0'..='9' => {
                self.at -= 1;
                return self.number();
            }
            c if is_alphanumeric(c) => return self.identifier(),
            '(' => {
                self.emit(Kind::LeftParen);
                self.parens += 1;
            }
            ')' if self.parens == 0 => return self.failed("unexpected right paren"),
            ')' => {
                self.emit(Kind::RightParen);
                self.parens -= 1;
            }
            c if c.is_ascii() && quote::is_print(c) => self.emit(Kind::Char),
            c => return self.failed(format!("unrecognized character in action: {}", unicode(c))),
        }
        Step::Inside
    }

    fn failed(&mut self, message: impl Into<String>) -> Step {
        self.fail(message);
        Step::Failed
    }

    fn quoted(&mut self, quote: char, message: &str, kind: Kind) -> Step {
        loop {
            match self.bump() {
                Some('\\') => match self.bump() {
                    None | Some('\n') => return self.failed(message),
                    Some(_) => {}
                },
                None | Some('\n') => return self.failed(message),
                Some(c) if c == quote => break,
                Some(_) => {}
            }
        }
        self.emit(kind);
        Step::Inside
    }

    /// Takes the name of a field or variable, whose first character is taken.
    fn name(&mut self, kind: Kind) -> Step {
        if self.at_terminator() {
            self.emit(if kind == Kind::Field { Kind::Dot } else { kind });
            return Step::Inside;
        }
        while self.peek().is_some_and(is_alphanumeric) {
            self.bump();
        }
        if !self.at_terminator() {
            return self.bad_character();
        }
        self.emit(kind);
        Step::Inside
    }

    fn identifier(&mut self) -> Step {
        while self.peek().is_some_and(is_alphanumeric) {
            self.bump();
        }
        if !self.at_terminator() {
            return self.bad_character();
        }
        let kind = match &self.text[self.start..self.at] {
            "block" => Kind::Keyword(Keyword::Block),
            "break" => Kind::Keyword(Keyword::Break),
            "continue" => Kind::Keyword(Keyword::Continue),
            "define" => Kind::Keyword(Keyword::Define),
            "else" => Kind::Keyword(Keyword::Else),
            "end" => Kind::Keyword(Keyword::End),
            "if" => Kind::Keyword(Keyword::If),
            "range" => Kind::Keyword(Keyword::Range),
            "template" => Kind::Keyword(Keyword::Template),
            "with" => Kind::Keyword(Keyword::With),
            "nil" => Kind::Nil,
            "true" | "false" => Kind::Bool,
            _ => Kind::Identifier,
        };
        self.emit(kind);
        Step::Inside
    }

    fn bad_character(&mut self) -> Step {
        let c = self.peek().unwrap_or('\u{fffd}');
        self.failed(format!("bad character {}", unicode(c)))
    }

    fn at_terminator(&self) -> bool {
        match self.peek() {
            None => true,
            Some(c) if SPACES.contains(&c) || ".,|:)(".contains(c) => true,
            _ => self.rest().starts_with(RIGHT),
        }
    }

    fn number(&mut self) -> Step {
        let mut good = self.scan_number();
        if good && matches!(self.peek(), Some('+' | '-')) {
            // A complex number, which ends in `i`.
            good = self.scan_number() && self.text[..self.at].ends_with('i');
        }
        if !good {
            let mut text = String::new();
            quote::quote(&mut text, &self.text[self.start..self.at], false);
            return self.failed(format!("bad number syntax: {text}"));
        }
        self.emit(Kind::Number);
        Step::Inside
    }

    /// Takes what looks like a number; says whether it ends there.
    fn scan_number(&mut self) -> bool {
        self.accept("+-");
        let mut digits = "0123456789_";
        let mut exponent = "eE";
        if self.accept("0") {
            if self.accept("xX") {
                (digits, exponent) = ("0123456789abcdefABCDEF_", "pP");
            } else if self.accept("oO") {
                (digits, exponent) = ("01234567_", "");
            } else if self.accept("bB") {
                (digits, exponent) = ("01_", "");
            }
        }
        self.accept_run(digits);
        if self.accept(".") {
            self.accept_run(digits);
        }
        if self.accept(exponent) {
            self.accept("+-");
            self.accept_run("0123456789_");
        }
        self.accept("i");
        if self.peek().is_some_and(is_alphanumeric) {
            self.bump();
            return false;
        }
        true
    }
}

enum Step {
    Inside,
    Outside,
    Failed,
}

/// Says whether an action begins with `- `.
fn has_left_trim(rest: &str) -> bool {
    rest.starts_with('-') && rest[1..].starts_with(SPACES)
}

/// Says whether the action ends here, and whether with ` -}}`.
fn right_delim(rest: &str) -> Option<bool> {
    if rest.starts_with(SPACES) && rest[1..].starts_with('-') && rest[2..].starts_with(RIGHT) {
        return Some(true);
    }
    rest.starts_with(RIGHT).then_some(false)
}

fn is_alphanumeric(c: char) -> bool {
    c == '_' || c.is_alphabetic() || c.is_numeric()
}

/// Writes a character as `%#U` does.
fn unicode(c: char) -> String {
    let code = format!("U+{:04X}", c as u32);
    if quote::is_print(c) { format!("{code} '{c}'") } else { code }
}
