//! The words of `InfluxQL`, and how names and texts are quoted.

use std::fmt::Write as _;

/// An operator between two operands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Operator {
    /// `+`
    Add,
    /// `-`
    Sub,
    /// `*`
    Mul,
    /// `/`
    Div,
    /// `%`
    Mod,
    /// `&`
    BitAnd,
    /// `|`
    BitOr,
    /// `^`
    BitXor,
    /// `AND`
    And,
    /// `OR`
    Or,
    /// `=`
    Equal,
    /// `!=`, also written `<>`
    NotEqual,
    /// `=~`
    Match,
    /// `!~`
    NotMatch,
    /// `<`
    Less,
    /// `<=`
    AtMost,
    /// `>`
    Greater,
    /// `>=`
    AtLeast,
}

/// What a token is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Eof,
    Illegal,
    Ident,
    BoundParam,
    Number,
    Integer,
    Duration,
    String,
    BadString,
    BadEscape,
    Operator(Operator),
    Keyword(&'static str),
    True,
    False,
    LeftParen,
    RightParen,
    Comma,
    Colon,
    DoubleColon,
    Semicolon,
    Dot,
}

/// The reserved words besides `AND`, `OR`, `TRUE` and `FALSE`, sorted.
///
/// Source: the `InfluxQL` specification of InfluxDB 1.x.
pub const KEYWORDS: &[&str] = &[
    "ALL",
    "ALTER",
    "ANALYZE",
    "ANY",
    "AS",
    "ASC",
    "BEGIN",
    "BY",
    "CARDINALITY",
    "CONTINUOUS",
    "CREATE",
    "DATABASE",
    "DATABASES",
    "DEFAULT",
    "DELETE",
    "DESC",
    "DESTINATIONS",
    "DIAGNOSTICS",
    "DISTINCT",
    "DROP",
    "DURATION",
    "END",
    "EVERY",
    "EXACT",
    "EXPLAIN",
    "FIELD",
    "FOR",
    "FROM",
    "GRANT",
    "GRANTS",
    "GROUP",
    "GROUPS",
    "IN",
    "INF",
    "INSERT",
    "INTO",
    "KEY",
    "KEYS",
    "KILL",
    "LIMIT",
    "MEASUREMENT",
    "MEASUREMENTS",
    "NAME",
    "OFFSET",
    "ON",
    "ORDER",
    "PASSWORD",
    "POLICIES",
    "POLICY",
    "PRIVILEGES",
    "QUERIES",
    "QUERY",
    "READ",
    "REPLICATION",
    "RESAMPLE",
    "RETENTION",
    "REVOKE",
    "SELECT",
    "SERIES",
    "SET",
    "SHARD",
    "SHARDS",
    "SHOW",
    "SLIMIT",
    "SOFFSET",
    "STATS",
    "SUBSCRIPTION",
    "SUBSCRIPTIONS",
    "TAG",
    "TO",
    "USER",
    "USERS",
    "VALUES",
    "WHERE",
    "WITH",
    "WRITE",
];

/// Gives what a bare word is, in any case of its letters.
pub(crate) fn lookup(word: &str) -> Kind {
    let mut upper = [0_u8; 16];
    let Some(upper) = upper.get_mut(..word.len()) else {
        return Kind::Ident;
    };
    upper.copy_from_slice(word.as_bytes());
    upper.make_ascii_uppercase();
    match &*upper {
        b"AND" => Kind::Operator(Operator::And),
        b"OR" => Kind::Operator(Operator::Or),
        b"TRUE" => Kind::True,
        b"FALSE" => Kind::False,
        word => match KEYWORDS.binary_search_by(|known| known.as_bytes().cmp(word)) {
            Ok(at) => Kind::Keyword(KEYWORDS[at]),
            Err(_) => Kind::Ident,
        },
    }
}

/// Says whether a name must be quoted.
pub fn needs_quotes(name: &str) -> bool {
    let mut bytes = name.bytes();
    let plain_start = bytes.next().is_some_and(is_ident_start);
    !plain_start || !bytes.all(is_ident_part) || lookup(name) != Kind::Ident
}

/// Appends a name, quoted only where it must be.
pub fn write_ident(name: &str, out: &mut String) {
    if needs_quotes(name) {
        write_quoted(name, '"', out);
    } else {
        out.push_str(name);
    }
}

/// Appends a text within quotes, escaped as `InfluxQL` reads it back.
pub(crate) fn write_quoted(text: &str, quote: char, out: &mut String) {
    out.push(quote);
    for c in text.chars() {
        match c {
            '\n' => out.push_str("\\n"),
            '\\' => out.push_str("\\\\"),
            c if c == quote => {
                out.push('\\');
                out.push(c);
            }
            c => out.push(c),
        }
    }
    out.push(quote);
}

/// Gives a text as Go's `%q` does, for messages.
pub(crate) fn go_quote(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 2);
    out.push('"');
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            c if (c as u32) < 0x20 || c as u32 == 0x7f => {
                write!(out, "\\x{:02x}", c as u32).ok();
            }
            c => out.push(c),
        }
    }
    out.push('"');
    out
}

pub(crate) fn is_ident_start(byte: u8) -> bool {
    byte.is_ascii_alphabetic() || byte == b'_'
}

pub(crate) fn is_ident_part(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_'
}

// === impl Operator ===

impl Operator {
    /// Gives the operator as it is printed.
    pub fn text(self) -> &'static str {
        match self {
            Operator::Add => "+",
            Operator::Sub => "-",
            Operator::Mul => "*",
            Operator::Div => "/",
            Operator::Mod => "%",
            Operator::BitAnd => "&",
            Operator::BitOr => "|",
            Operator::BitXor => "^",
            Operator::And => "AND",
            Operator::Or => "OR",
            Operator::Equal => "=",
            Operator::NotEqual => "!=",
            Operator::Match => "=~",
            Operator::NotMatch => "!~",
            Operator::Less => "<",
            Operator::AtMost => "<=",
            Operator::Greater => ">",
            Operator::AtLeast => ">=",
        }
    }

    /// Says whether a pattern must stand on the right.
    pub fn is_match(self) -> bool {
        matches!(self, Operator::Match | Operator::NotMatch)
    }

    /// Says whether it calculates; the others compare or connect.
    pub fn is_math(self) -> bool {
        self.is_product()
            || matches!(self, Operator::Add | Operator::Sub | Operator::BitOr | Operator::BitXor)
    }

    /// Says whether it binds as closely as a multiplication.
    pub fn is_product(self) -> bool {
        matches!(self, Operator::Mul | Operator::Div | Operator::Mod | Operator::BitAnd)
    }
}

// === impl Kind ===

impl Kind {
    /// Gives the text that messages show for a token that has no text of its own.
    pub(crate) fn text(self) -> &'static str {
        match self {
            Kind::Eof => "EOF",
            Kind::Illegal => "ILLEGAL",
            Kind::Ident => "IDENT",
            Kind::BoundParam => "BOUNDPARAM",
            Kind::Number => "NUMBER",
            Kind::Integer => "INTEGER",
            Kind::Duration => "DURATIONVAL",
            Kind::String => "STRING",
            Kind::BadString => "BADSTRING",
            Kind::BadEscape => "BADESCAPE",
            Kind::Operator(operator) => operator.text(),
            Kind::Keyword(word) => word,
            Kind::True => "TRUE",
            Kind::False => "FALSE",
            Kind::LeftParen => "(",
            Kind::RightParen => ")",
            Kind::Comma => ",",
            Kind::Colon => ":",
            Kind::DoubleColon => "::",
            Kind::Semicolon => ";",
            Kind::Dot => ".",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_found_in_any_case() {
        assert!(KEYWORDS.is_sorted());
        assert!(KEYWORDS.iter().all(|word| word.len() <= 16));
        for word in KEYWORDS {
            assert_eq!(lookup(&word.to_lowercase()), Kind::Keyword(word));
        }
        assert_eq!(lookup("aNd"), Kind::Operator(Operator::And));
        assert_eq!(lookup("value"), Kind::Ident);
        assert_eq!(lookup("a_word_that_is_longer_than_all"), Kind::Ident);
    }

    #[test]
    fn names_are_quoted_where_they_must_be() {
        for (name, printed) in [
            ("cpu", "cpu"),
            ("_cpu1", "_cpu1"),
            ("1cpu", "\"1cpu\""),
            ("", "\"\""),
            ("duration", "\"duration\""),
            ("true", "\"true\""),
            ("or", "\"or\""),
            ("cpu.load", "\"cpu.load\""),
            ("größe", "\"größe\""),
            ("a\"b\\c\nd'", "\"a\\\"b\\\\c\\nd'\""),
        ] {
            let mut out = String::new();
            write_ident(name, &mut out);
            assert_eq!(out, printed);
        }
        assert_eq!(go_quote("a\"b\u{1}\\"), r#""a\"b\x01\\""#);
    }
}
