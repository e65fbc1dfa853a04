//! Why a script cannot be run, and what is odd about it.

use std::fmt;

use levada_model::ErrorKind;

use crate::syntax::{Position, caret};

/// Why a script cannot be run. Its `Display` is the text of the original, its fields are for people and tools.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ScriptError {
    /// The place, also where the text has none.
    pub position: Option<Position>,
    /// The whole text.
    pub message: String,
    /// What is probably meant, when there is an answer.
    pub hint: Option<String>,
}

/// What a script does that has no effect.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Warning {
    /// The place; none for what is not in the script.
    pub position: Option<Position>,
    /// The text, without the place.
    pub message: String,
}

impl fmt::Display for ScriptError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for ScriptError {}

impl fmt::Display for Warning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(Position { line, column, .. }) = self.position {
            write!(f, "line {line} char {column}: ")?;
        }
        f.write_str(&self.message)
    }
}

// === impl ScriptError ===

impl ScriptError {
    /// Says what kind of error this is, for every layer above.
    pub fn kind(&self) -> ErrorKind {
        ErrorKind::Invalid
    }

    /// Makes an error whose text begins with its place.
    pub(super) fn at(position: Position, text: impl fmt::Display) -> Self {
        let Position { line, column, .. } = position;
        ScriptError {
            position: Some(position),
            message: format!("line {line} char {column}: {text}"),
            hint: None,
        }
    }

    /// Makes an error whose text does not tell its place.
    pub(super) fn bare(position: Position, text: impl Into<String>) -> Self {
        ScriptError { position: Some(position), message: text.into(), hint: None }
    }

    pub(super) fn hint(mut self, hint: Option<String>) -> Self {
        self.hint = hint;
        self
    }

    /// Gives the line of the mistake with a mark under it, and the hint; the hint only when the place is not known.
    pub fn caret(&self, text: &str) -> String {
        match self.position {
            Some(position) => caret(text, position, word_end(text, position), self.hint.as_deref()),
            None => {
                self.hint.as_deref().map(|hint| format!("  = hint: {hint}")).unwrap_or_default()
            }
        }
    }
}

// === impl Warning ===

impl Warning {
    /// Gives the line that is odd with a mark under it.
    pub fn caret(&self, text: &str) -> String {
        self.position
            .map(|position| caret(text, position, word_end(text, position), None))
            .unwrap_or_default()
    }
}

/// Finds the end of the word that begins at `position`.
fn word_end(text: &str, position: Position) -> u32 {
    let rest = text.get(position.offset as usize..).unwrap_or_default();
    let length = rest.find(|c: char| !(c.is_alphanumeric() || c == '_')).unwrap_or(rest.len());
    position.offset + length as u32
}
