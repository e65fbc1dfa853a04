//! Statements that are not queries: known by their first words, so that messages can name them.

use super::{Parser, expected};
use crate::error::ParseError;
use crate::token::{Kind, Operator, write_ident, write_quoted};

/// The first words in the order in which messages list them, and what may follow; nothing where anything may.
const STATEMENTS: &[(&str, &[&str])] = &[
    ("SELECT", &[]),
    ("DELETE", &[]),
    (
        "SHOW",
        &[
            "CONTINUOUS",
            "DATABASES",
            "DIAGNOSTICS",
            "FIELD",
            "GRANTS",
            "MEASUREMENT",
            "MEASUREMENTS",
            "QUERIES",
            "RETENTION",
            "SERIES",
            "SHARD",
            "SHARDS",
            "STATS",
            "SUBSCRIPTIONS",
            "TAG",
            "USERS",
        ],
    ),
    ("CREATE", &["CONTINUOUS", "DATABASE", "USER", "RETENTION", "SUBSCRIPTION"]),
    (
        "DROP",
        &[
            "CONTINUOUS",
            "DATABASE",
            "MEASUREMENT",
            "RETENTION",
            "SERIES",
            "SHARD",
            "SUBSCRIPTION",
            "USER",
        ],
    ),
    ("EXPLAIN", &[]),
    ("GRANT", &[]),
    ("REVOKE", &[]),
    ("ALTER", &["RETENTION"]),
    ("SET", &["PASSWORD"]),
    ("KILL", &["QUERY"]),
];

impl Parser<'_> {
    /// Reads a statement up to its semicolon and gives its canonical text.
    pub(super) fn other(&mut self) -> Result<String, ParseError> {
        let token = self.peek();
        let known = STATEMENTS.iter().find(|(word, _)| token.kind == Kind::Keyword(word));
        let Some((word, following)) = known else {
            let words: Vec<_> = STATEMENTS.iter().map(|(word, _)| *word).collect();
            return Err(expected(&token, &words));
        };
        self.next();
        let token = self.peek();
        let fits = following.iter().any(|word| token.kind == Kind::Keyword(word));
        if !fits && !following.is_empty() {
            return Err(expected(&token, following));
        }
        self.rest_of_statement((*word).into())
    }

    fn rest_of_statement(&mut self, mut text: String) -> Result<String, ParseError> {
        // A password is not shown, as in the original.
        let mut secret = false;
        let mut tight = false;
        loop {
            if matches!(self.peek().kind, Kind::Eof | Kind::Semicolon) {
                return Ok(text);
            }
            if let Some(pattern) = self.pattern_text()? {
                let pattern = pattern.replace('/', "\\/");
                text.push_str(&format!(" /{pattern}/"));
                continue;
            }
            let token = self.next();
            let glued = tight
                || matches!(token.kind, Kind::Comma | Kind::RightParen | Kind::Dot)
                || (token.kind == Kind::LeftParen && !text.ends_with(' '));
            if !glued {
                text.push(' ');
            }
            tight = matches!(token.kind, Kind::LeftParen | Kind::Dot);
            match token.kind {
                Kind::Ident => write_ident(&token.text, &mut text),
                Kind::String if secret => text.push_str("[REDACTED]"),
                Kind::String => write_quoted(&token.text, '\'', &mut text),
                Kind::BadString | Kind::BadEscape | Kind::Illegal => {
                    return Err(expected(&token, &[";", "EOF"]));
                }
                Kind::True => text.push_str("true"),
                Kind::False => text.push_str("false"),
                _ => text.push_str(&token.found()),
            }
            secret = token.kind == Kind::Keyword("PASSWORD")
                || (secret && matches!(token.kind, Kind::Keyword("FOR") | Kind::Ident))
                || (secret && token.kind == Kind::Operator(Operator::Equal));
        }
    }
}
