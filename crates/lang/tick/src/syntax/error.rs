//! Why a script cannot be read.

use std::fmt;

use levada_model::ErrorKind;

use super::ast::Position;

/// Why a script cannot be read. Its `Display` is the text of the original, its fields are for people and tools.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ParseError {
    /// Where the word stands at which reading stopped.
    pub position: Position,
    /// Behind the last byte of that word.
    pub end: u32,
    /// The whole text, `parser: ` included.
    pub message: String,
    /// What is probably meant, when there is an answer.
    pub hint: Option<String>,
}

impl fmt::Display for ParseError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for ParseError {}

// === impl ParseError ===

impl ParseError {
    /// Says what kind of error this is, for every layer above.
    pub fn kind(&self) -> ErrorKind {
        ErrorKind::Invalid
    }

    /// Gives the line of the mistake with a mark under it, and the hint.
    ///
    /// ```text
    ///   |
    /// 3 |     |where(lambda: "a" = 1)
    ///   |                        ^
    ///   = hint: `==` compares
    /// ```
    pub fn caret(&self, text: &str) -> String {
        caret(text, self.position, self.end, self.hint.as_deref())
    }
}

/// Longest part of a line that [`caret`] shows on either side of the mark, characters.
const SHOWN_MAX: usize = 80;

/// Gives the line at `position` with a mark under the bytes up to `end`.
pub fn caret(text: &str, position: Position, end: u32, hint: Option<&str>) -> String {
    let at = floor_boundary(text, position.offset as usize);
    let line_start = text[..at].rfind('\n').map_or(0, |newline| newline + 1);
    let line_end = text[at..].find('\n').map_or(text.len(), |newline| at + newline);
    let end = floor_boundary(text, end as usize).clamp(at, line_end);

    let before = tail(&text[line_start..at]);
    let behind: String = text[at..line_end].chars().take(SHOWN_MAX).collect();
    // A tab stays a tab, so that the mark stands right however wide the terminal makes it.
    let padding: String = before.chars().map(|c| if c == '\t' { '\t' } else { ' ' }).collect();
    let marks = text[at..end].chars().count().clamp(1, SHOWN_MAX);

    let number = position.line.to_string();
    let margin = " ".repeat(number.len());
    let mut shown = format!("{margin} |\n{number} | {before}{}\n", behind.trim_end());
    shown.push_str(&format!("{margin} | {padding}{}", "^".repeat(marks)));
    if let Some(hint) = hint {
        shown.push_str(&format!("\n{margin} = hint: {hint}"));
    }
    shown
}

fn tail(text: &str) -> &str {
    match text.char_indices().rev().nth(SHOWN_MAX - 1) {
        Some((start, _)) => &text[start..],
        None => text,
    }
}

fn floor_boundary(text: &str, at: usize) -> usize {
    let mut at = at.min(text.len());
    while !text.is_char_boundary(at) {
        at -= 1;
    }
    at
}
