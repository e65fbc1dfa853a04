//! What can be wrong with a text, and with a write.

use std::fmt;

use thiserror::Error;

use crate::path::PAD_MAX;

/// Why a path or a condition cannot be compiled.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SyntaxError {
    /// The column of the mistake, in characters from zero.
    pub at: usize,
    /// What is wrong.
    pub message: String,
    /// What to write instead, when there is an obvious answer.
    pub hint: Option<String>,
    blank: bool,
}

/// Why a value cannot be put where a path points; the document is then as it was.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum WriteError {
    /// The path can address many places, so it does not say which one to make.
    #[error("path `{path}` cannot be created: only keys and indexes say where a new value goes")]
    Complex {
        /// The path as written.
        path: String,
    },
    /// A key was used on an array.
    #[error("`{key}` in path `{path}` meets an array: use an index, or `-1` to append")]
    NotAnIndex {
        /// The key.
        key: String,
        /// The path as written.
        path: String,
    },
    /// The index lies too far beyond the end of the array.
    #[error(
        "index {index} in path `{path}` lies too far beyond the end of an array of {len}: at most {PAD_MAX} elements are filled with `null`"
    )]
    TooFar {
        /// The index.
        index: u32,
        /// How many elements there are.
        len: usize,
        /// The path as written.
        path: String,
    },
}

// === impl SyntaxError ===

impl SyntaxError {
    /// Makes an error at a byte of the text.
    pub(crate) fn new(text: &str, byte: usize, message: impl Into<String>) -> Self {
        let before = text.get(..byte).unwrap_or(text);
        SyntaxError {
            at: before.chars().count(),
            message: message.into(),
            hint: None,
            blank: false,
        }
    }

    pub(crate) fn blank() -> Self {
        SyntaxError { at: 0, message: "condition is required".into(), hint: None, blank: true }
    }

    pub(crate) fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// Moves the column, for a text that is a part of another.
    pub(crate) fn shifted(mut self, columns: usize) -> Self {
        self.at += columns;
        self
    }

    /// Tells whether the text was empty or blank, which has a message of its own.
    pub fn is_blank(&self) -> bool {
        self.blank
    }
}

impl fmt::Display for SyntaxError {
    /// The column counts from one, as editors do.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.blank {
            return f.write_str(&self.message);
        }
        write!(f, "syntax error at column {}: {}", self.at + 1, self.message)?;
        match &self.hint {
            Some(hint) => write!(f, "; {hint}"),
            None => Ok(()),
        }
    }
}

impl std::error::Error for SyntaxError {}
