//! Words of the filter language.

use std::fmt::Write as _;

/// A word and where it stands.
#[derive(Clone, Debug)]
pub(super) struct Token<'t> {
    pub(super) word: Word<'t>,
    /// As written.
    pub(super) text: &'t str,
    /// Bytes before it.
    pub(super) at: usize,
}

/// What a word is.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Word<'t> {
    /// A bracket, a separator, `=` or the like: stands for itself.
    Sign(char),
    /// Everything else that joins two operands.
    Operator(Operator),
    /// `in` and the like.
    ListOperator(ListOperator),
    /// A name without quotes.
    Name(&'t str),
    /// A text in back quotes, without them.
    Quoted(&'t str),
    /// A text in quotes, escapes resolved.
    Text(Box<str>),
    /// A number without its sign.
    Number,
    /// A number with a unit, which has no place in the language.
    Duration,
    True,
    False,
    Nil,
    Re,
    Identifier,
    /// A word that is kept for later and cannot be a name.
    Reserved,
    End,
}

/// What joins two operands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Operator {
    Or,
    And,
    Less,
    LessEqual,
    Greater,
    GreaterEqual,
    Equal,
    NotEqual,
    Add,
    Subtract,
    Multiply,
    Divide,
    Modulo,
    Power,
}

/// What asks for a list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ListOperator {
    In,
    NotIn,
    Match,
    NotMatch,
}

/// The words that cannot be names. Source: dataway reference §4.1.
const RESERVED: [&str; 16] = [
    "as", "asc", "auto", "by", "desc", "filter", "int", "float", "limit", "link", "offset",
    "order", "slimit", "soffset", "tz", "with",
];

/// How much of a word an error shows, in characters.
const SHOWN_MAX: usize = 64;

/// Gives what a name means when it is a keyword; `not_in` is one from DataKit 1.84 on.
pub(super) fn keyword(name: &str, has_not_in: bool) -> Option<Word<'static>> {
    // The longest keyword has ten letters.
    if name.len() > 10 {
        return None;
    }
    let mut buffer = [0u8; 10];
    let lower = &mut buffer[..name.len()];
    lower.copy_from_slice(name.as_bytes());
    lower.make_ascii_lowercase();
    Some(match &*lower {
        b"and" => Word::Operator(Operator::And),
        b"or" => Word::Operator(Operator::Or),
        b"in" => Word::ListOperator(ListOperator::In),
        b"notin" => Word::ListOperator(ListOperator::NotIn),
        b"not_in" if has_not_in => Word::ListOperator(ListOperator::NotIn),
        b"not_in" => return None,
        b"match" => Word::ListOperator(ListOperator::Match),
        b"notmatch" => Word::ListOperator(ListOperator::NotMatch),
        b"true" => Word::True,
        b"false" => Word::False,
        b"nil" | b"null" => Word::Nil,
        b"re" => Word::Re,
        b"identifier" => Word::Identifier,
        b"inf" | b"nan" => Word::Number,
        lower if RESERVED.iter().any(|word| word.as_bytes() == lower) => Word::Reserved,
        _ => return None,
    })
}

/// Says whether a name can be written without back quotes, in every mode.
pub(super) fn is_plain_name(name: &str) -> bool {
    let mut bytes = name.bytes();
    bytes.next().is_some_and(|first| first.is_ascii_alphabetic() || first == b'_')
        && bytes.all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
        && keyword(name, true).is_none()
}

// === impl Token ===

impl Token<'_> {
    /// Gives the word as an error names it.
    pub(super) fn description(&self) -> String {
        let shown = quoted(self.text, SHOWN_MAX);
        match &self.word {
            Word::Sign('*') | Word::Operator(_) if self.text != "=" => {
                format!("<op:'{}'>", self.text)
            }
            Word::Sign(_) | Word::Operator(_) => shown,
            Word::Name(_) => format!("id {shown}"),
            Word::Quoted(name) => format!("id {}", quoted(name, SHOWN_MAX)),
            Word::Text(text) => format!("string {}", quoted(text, SHOWN_MAX)),
            Word::Number => format!("number {shown}"),
            Word::Duration => format!("duration {shown}"),
            Word::End => "EOF".into(),
            Word::ListOperator(_)
            | Word::True
            | Word::False
            | Word::Nil
            | Word::Re
            | Word::Identifier
            | Word::Reserved => format!("<{}>", self.text),
        }
    }
}

// === impl Operator ===

impl Operator {
    /// Gives how tightly it binds; the loosest is 1.
    pub(super) fn precedence(self) -> u8 {
        match self {
            Operator::Or => 1,
            Operator::And => 2,
            Operator::Less
            | Operator::LessEqual
            | Operator::Greater
            | Operator::GreaterEqual
            | Operator::Equal
            | Operator::NotEqual => 3,
            Operator::Add | Operator::Subtract => 4,
            Operator::Multiply | Operator::Divide | Operator::Modulo => 5,
            Operator::Power => 6,
        }
    }

    pub(super) fn is_comparison(self) -> bool {
        self.precedence() == 3
    }

    pub(super) fn sign(self) -> &'static str {
        match self {
            Operator::Or => "or",
            Operator::And => "and",
            Operator::Less => "<",
            Operator::LessEqual => "<=",
            Operator::Greater => ">",
            Operator::GreaterEqual => ">=",
            Operator::Equal => "=",
            Operator::NotEqual => "!=",
            Operator::Add => "+",
            Operator::Subtract => "-",
            Operator::Multiply => "*",
            Operator::Divide => "/",
            Operator::Modulo => "%",
            Operator::Power => "^",
        }
    }
}

// === impl ListOperator ===

impl ListOperator {
    pub(super) fn sign(self) -> &'static str {
        match self {
            ListOperator::In => "in",
            ListOperator::NotIn => "notin",
            ListOperator::Match => "match",
            ListOperator::NotMatch => "notmatch",
        }
    }

    /// Says whether the list holds patterns.
    pub(super) fn takes_patterns(self) -> bool {
        matches!(self, ListOperator::Match | ListOperator::NotMatch)
    }
}

/// Gives the beginning of a text in double quotes, as Go's `%q` prints it.
pub(super) fn quoted(text: &str, characters_max: usize) -> String {
    let mut out = String::from("\"");
    let mut characters = text.chars();
    for character in characters.by_ref().take(characters_max) {
        append_escaped(&mut out, character, '"');
    }
    out.push('"');
    if characters.next().is_some() {
        out.push_str("...");
    }
    out
}

/// Gives a character in single quotes, as Go's `%q` prints it.
pub(super) fn quoted_character(character: char) -> String {
    let mut out = String::from("'");
    append_escaped(&mut out, character, '\'');
    out.push('\'');
    out
}

/// Adds a character as it stands between quotes; one that cannot be seen is written as an escape.
pub(super) fn append_escaped(out: &mut String, character: char, quote: char) {
    let short = match character {
        '\x07' => 'a',
        '\x08' => 'b',
        '\x0c' => 'f',
        '\n' => 'n',
        '\r' => 'r',
        '\t' => 't',
        '\x0b' => 'v',
        '\\' => '\\',
        _ if character == quote => quote,
        _ => {
            let code = u32::from(character);
            let written = match code {
                0..=0x1f | 0x7f => write!(out, "\\x{code:02x}"),
                0x80..=0x9f | 0xad | 0x2028 | 0x2029 | 0xfeff => write!(out, "\\u{code:04x}"),
                _ => out.write_char(character),
            };
            debug_assert!(written.is_ok(), "a string takes every text");
            return;
        }
    };
    out.push('\\');
    out.push(short);
}
