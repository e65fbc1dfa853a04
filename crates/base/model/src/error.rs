//! What went wrong, in the few words that everything else is derived from.

use thiserror::Error;

/// The kind of any error: HTTP status, retry, back-off, exit code and metric label derive from it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ErrorKind {
    /// The input is wrong; the same input will fail again.
    Invalid,
    /// What was named does not exist.
    NotFound,
    /// The state does not allow it now.
    Conflict,
    /// Nobody proved who they are.
    Unauthorized,
    /// It is known who asks, and they may not.
    Forbidden,
    /// A bound was exceeded.
    TooLarge,
    /// A bound is reached now; later it may pass.
    Busy,
    /// Something outside does not answer; later it may.
    Unavailable,
    /// A defect of this program or its machine.
    Internal,
}

impl ErrorKind {
    /// Gives the word for metric labels and JSON.
    pub fn as_str(self) -> &'static str {
        match self {
            ErrorKind::Invalid => "invalid",
            ErrorKind::NotFound => "not_found",
            ErrorKind::Conflict => "conflict",
            ErrorKind::Unauthorized => "unauthorized",
            ErrorKind::Forbidden => "forbidden",
            ErrorKind::TooLarge => "too_large",
            ErrorKind::Busy => "busy",
            ErrorKind::Unavailable => "unavailable",
            ErrorKind::Internal => "internal",
        }
    }
}

/// Gives an error with its causes in one line: `cannot read it: no such file`.
pub fn with_causes(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(deeper) = cause {
        text.push_str(": ");
        text.push_str(&deeper.to_string());
        cause = deeper.source();
    }
    text
}

/// The class of a failed record.
///
/// Source: dataflow `error_type` labels, second generation; `transformation_error` is the first's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ErrorClass {
    /// The work was cancelled.
    ContextCanceled,
    /// Nothing answered in time.
    Timeout,
    /// The store refuses this row (SQLSTATE class 23).
    ConstraintViolation,
    /// No connection, or it broke.
    ConnectionError,
    /// Credentials are missing or wrong.
    AuthError,
    /// The other side says that it may work later.
    Transient,
    /// The record itself is wrong.
    InvalidData,
    /// A step failed on the record.
    TransformationError,
    /// None of these.
    Unknown,
}

impl ErrorClass {
    /// Gives the word for metric labels, dead letters and JSON.
    pub fn as_str(self) -> &'static str {
        match self {
            ErrorClass::ContextCanceled => "context_canceled",
            ErrorClass::Timeout => "timeout",
            ErrorClass::ConstraintViolation => "constraint_violation",
            ErrorClass::ConnectionError => "connection_error",
            ErrorClass::AuthError => "auth_error",
            ErrorClass::Transient => "transient",
            ErrorClass::InvalidData => "invalid_data",
            ErrorClass::TransformationError => "transformation_error",
            ErrorClass::Unknown => "unknown",
        }
    }

    /// Reads the word that [`ErrorClass::as_str`] gives.
    pub fn parse(word: &str) -> Option<Self> {
        ErrorClass::ALL.into_iter().find(|class| class.as_str() == word)
    }

    /// Every class, in the order of the documentation.
    pub const ALL: [ErrorClass; 9] = [
        ErrorClass::ContextCanceled,
        ErrorClass::Timeout,
        ErrorClass::ConstraintViolation,
        ErrorClass::ConnectionError,
        ErrorClass::AuthError,
        ErrorClass::Transient,
        ErrorClass::InvalidData,
        ErrorClass::TransformationError,
        ErrorClass::Unknown,
    ];

    /// Tells whether the same record may pass later, so that it is tried again and never dead-lettered.
    pub fn is_transient(self) -> bool {
        matches!(self, ErrorClass::Timeout | ErrorClass::ConnectionError | ErrorClass::Transient)
    }

    /// Gives the kind that statuses and exit codes derive from.
    pub fn kind(self) -> ErrorKind {
        match self {
            ErrorClass::ConstraintViolation => ErrorKind::Conflict,
            ErrorClass::AuthError => ErrorKind::Unauthorized,
            ErrorClass::InvalidData | ErrorClass::TransformationError => ErrorKind::Invalid,
            ErrorClass::Unknown => ErrorKind::Internal,
            ErrorClass::ContextCanceled
            | ErrorClass::Timeout
            | ErrorClass::ConnectionError
            | ErrorClass::Transient => ErrorKind::Unavailable,
        }
    }
}

/// Why one record cannot go on.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
#[error("{message}")]
pub struct RecordError {
    /// The class that policies and counters use.
    pub class: ErrorClass,
    /// For people; names the field and the value's kind, never whole payloads.
    pub message: String,
}

impl RecordError {
    /// Makes the error of a step that cannot handle a record.
    pub fn transform(message: impl Into<String>) -> Self {
        RecordError { class: ErrorClass::TransformationError, message: message.into() }
    }

    /// Makes the error of a record that is wrong in itself.
    pub fn invalid(message: impl Into<String>) -> Self {
        RecordError { class: ErrorClass::InvalidData, message: message.into() }
    }
}
