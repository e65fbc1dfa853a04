//! What is probably meant where a script cannot be read.

use super::ast::Position;
use super::token::{Token, TokenKind};

/// Gives a hint for a word that was not expected; `open` is the innermost open parenthesis or bracket.
pub(super) fn of(
    text: &str,
    token: &Token,
    expected: &[&str],
    open: Option<Position>,
) -> Option<String> {
    let rest = &text[token.start..];
    let before = text[..token.start].trim_end();
    let wants = |name: &str| expected.contains(&name);
    let hint = match &token.kind {
        TokenKind::Invalid(reason) => return of_invalid(reason, rest, before),
        TokenKind::Assign if before.ends_with('=') => "`==` compares",
        TokenKind::Assign if open.is_some() => "`==` compares; `=` stands only behind `var name`",
        TokenKind::Assign => "a variable is made with `var name = value`",
        TokenKind::Operator(operator) if operator.text() == "|" && before.ends_with('|') => {
            "behind `|` stands the name of a node; in expressions, write `OR`"
        }
        TokenKind::String if wants("reference") => {
            "names stand in double quotes here: `dbrp \"db\".\"rp\"`"
        }
        TokenKind::Lambda if wants("number") => {
            "a lambda cannot stand inside an expression; put it in a variable first"
        }
        TokenKind::BracketOpen if wants("number") => {
            "a list cannot stand inside an expression; put it in a variable first"
        }
        TokenKind::Var | TokenKind::Dbrp if wants("identifier") => {
            "this word is reserved; choose another name"
        }
        _ if wants("*") => "a list holds names, strings and `*` only",
        TokenKind::Eof if open.is_some() && wants("number") => {
            return Some(not_closed(token, open?));
        }
        _ if wants("(") && !wants("number") => "a node is made by a call: `|name()`",
        TokenKind::Identifier if is_word(rest, "true") => "write `TRUE`",
        TokenKind::Identifier if is_word(rest, "false") => "write `FALSE`",
        TokenKind::Identifier if is_word(rest, "and") => "write `AND`",
        TokenKind::Identifier if is_word(rest, "or") => "write `OR`",
        TokenKind::Operator(_) | TokenKind::Star if wants("number") => {
            "an operand is missing before it"
        }
        _ if wants(")") || wants("]") => return Some(not_closed(token, open?)),
        _ => return None,
    };
    Some(hint.to_owned())
}

fn of_invalid(reason: &str, rest: &str, before: &str) -> Option<String> {
    let hint = match reason {
        "unterminated string" => {
            "a string ends with `'`; `\\'` is a quote inside it, so one that ends in a backslash needs `'''`"
        }
        "unterminated field reference" => "the name of a field or a tag ends with `\"`",
        "unterminated regex" => "a pattern ends with `/`; write `\\/` for a slash inside it",
        "multiple decimals in number" => "put versions and addresses in quotes",
        _ if before.lines().next_back().is_some_and(|line| line.contains("//"))
            && rest.starts_with(['=', '<', '>', '+', '%']) =>
        {
            "an operator cannot follow a comment; move the comment"
        }
        _ => match rest.chars().next()? {
            '_' => "names begin with a letter",
            '&' => "write `AND`",
            '#' => "comments begin with `//`",
            ';' => "statements need nothing between them",
            '{' | '}' => "blocks do not exist; templates go in quotes",
            '`' | '“' | '”' | '‘' | '’' => {
                "strings stand in single quotes, fields and tags in double quotes"
            }
            ':' if before.ends_with("lambda") => "`lambda:` is one word",
            '=' | '<' | '>' | '+' | '%' => "an operand is missing before it",
            _ => return None,
        },
    };
    Some(hint.to_owned())
}

fn not_closed(token: &Token, open: Position) -> String {
    let Position { line, column, .. } = open;
    match token.kind {
        TokenKind::Eof => format!("what opens at line {line} char {column} is never closed"),
        _ => format!(
            "a comma or the end of what opens at line {line} char {column} is missing before it"
        ),
    }
}

fn is_word(rest: &str, word: &str) -> bool {
    rest.strip_prefix(word)
        .is_some_and(|behind| !behind.starts_with(|c: char| c.is_alphanumeric() || c == '_'))
}
