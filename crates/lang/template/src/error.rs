//! What can be wrong with a template, in the words of Go.

use levada_model::ErrorKind;
use thiserror::Error;

/// Why a template cannot be used.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum ParseError {
    /// The syntax is wrong: `template: id:1: unclosed action`.
    #[error("template: {name}:{line}: {message}")]
    Syntax {
        /// The name of the template.
        name: String,
        /// The line of the mistake, from 1.
        line: usize,
        /// What is wrong.
        message: String,
    },
    /// An html template would print a value where its context is not known or not safe.
    #[error("html/template:{name}{place}: {message}")]
    Context {
        /// The name of the template.
        name: String,
        /// `:line:column`, or only a part of it where no place is known.
        place: String,
        /// What is wrong.
        message: String,
    },
}

/// Why a template failed while it was rendered.
///
/// The text is complete: `template: id:1:3: executing "id" at <.Foo>: can't evaluate field Foo in
/// type kapacitor.idInfo`.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
#[error("{0}")]
pub struct ExecError(pub(crate) String);

// === impl ParseError ===

impl ParseError {
    /// Says what the one who asked can do.
    pub fn kind(&self) -> ErrorKind {
        ErrorKind::Invalid
    }
}

// === impl ExecError ===

impl ExecError {
    /// Says what the one who asked can do.
    pub fn kind(&self) -> ErrorKind {
        ErrorKind::Invalid
    }
}
