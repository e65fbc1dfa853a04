//! What went wrong with a statement, and who can do something about it.

use std::fmt::Write as _;

use levada_model::ErrorClass;
use thiserror::Error;

use crate::traits::{SinkError, SourceError};

/// Characters of an error of the server that are kept. Ours: `failureInfo` holds whole stack traces.
const SHOWN_CHARACTERS_MAX: usize = 1000;

/// Why a statement failed.
#[derive(Debug, Error)]
#[error("{message}")]
pub(crate) struct Failure {
    pub(crate) class: ErrorClass,
    pub(crate) message: String,
    pub(crate) concerns: Concern,
    #[source]
    pub(crate) source: Option<Box<dyn std::error::Error + Send + Sync>>,
}

/// What a failure is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Concern {
    /// The server, the way to it, or the settings.
    Server,
    /// The values of some record.
    Records,
    /// Tables and columns that are not what they were.
    Schema,
}

/// The error of a query as the server gives it.
#[derive(Clone, Debug, Default)]
pub(crate) struct QueryError<'e> {
    pub(crate) message: &'e str,
    pub(crate) name: &'e str,
    pub(crate) kind: &'e str,
    pub(crate) code: Option<i64>,
    pub(crate) location: Option<(i64, i64)>,
    /// `failureInfo` as JSON.
    pub(crate) details: &'e str,
}

// === impl Failure ===

impl Failure {
    /// Makes a failure of the server or the settings.
    pub(crate) fn new(class: ErrorClass, message: impl Into<String>) -> Self {
        Failure { class, message: message.into(), concerns: Concern::Server, source: None }
    }

    /// Makes the failure of a request that was answered with a status.
    ///
    /// Source: dataflow-operator.md §3.5, the text.
    pub(crate) fn status(status: u16, body: &[u8]) -> Self {
        let class = match status {
            401 | 403 => ErrorClass::AuthError,
            408 => ErrorClass::Timeout,
            // The coordinator was started anew and has forgotten the query.
            404 | 410 | 425 | 429 | 500..=599 => ErrorClass::Transient,
            _ => ErrorClass::Unknown,
        };
        let body = String::from_utf8_lossy(body);
        Failure::new(
            class,
            format!("Trino query failed with status {status}: {}", cut(body.trim())),
        )
    }

    /// Makes the failure of a query.
    ///
    /// Source: dataflow-operator.md §3.5, the text. Differs: the details are cut.
    pub(crate) fn query(error: &QueryError<'_>) -> Self {
        let mut message = format!("Trino query failed: {}", cut(error.message));
        let mut parts = String::new();
        if !error.name.is_empty() {
            parts.push_str("Error: ");
            parts.push_str(error.name);
        }
        if let Some(code) = error.code {
            let gap = if parts.is_empty() { "" } else { ", " };
            write(&mut parts, format_args!("{gap}Code: {code}"));
        }
        if !parts.is_empty() {
            write(&mut message, format_args!(" ({parts})"));
        }
        if let Some((line, column)) = error.location {
            write(&mut message, format_args!(" at line {line}, column {column}"));
        }
        if !error.details.is_empty() {
            write(&mut message, format_args!(". Details: {}", cut(error.details)));
        }
        let (class, concerns) = classify(error);
        Failure { class, message, concerns, source: None }
    }
}

fn write(text: &mut String, parts: std::fmt::Arguments<'_>) {
    // Writing to a string cannot fail.
    let _written = text.write_fmt(parts).is_ok();
}

fn cut(text: &str) -> std::borrow::Cow<'_, str> {
    match text.char_indices().nth(SHOWN_CHARACTERS_MAX) {
        Some((at, _)) => format!("{}…", &text[..at]).into(),
        None => text.into(),
    }
}

/// Gives the class of a query's error, and what it is about.
///
/// Source: Trino, StandardErrorCode; dataflow-operator.md §4.4, the words of errors that pass.
fn classify(error: &QueryError<'_>) -> (ErrorClass, Concern) {
    const PASSES: [&str; 8] = [
        "transient",
        "worker node",
        "retry your query",
        "too many errors",
        "connect timeout",
        "under too much load",
        "the node may have crashed",
        "too_many_requests_failed",
    ];
    let message = error.message.to_lowercase();
    let passes = PASSES.iter().any(|word| message.contains(word));
    match error.name {
        "PERMISSION_DENIED" => (ErrorClass::AuthError, Concern::Server),
        "TABLE_NOT_FOUND"
        | "COLUMN_NOT_FOUND"
        | "SCHEMA_NOT_FOUND"
        | "TYPE_MISMATCH"
        | "MISMATCHED_COLUMN_ALIASES"
        | "DUPLICATE_COLUMN_NAME" => (ErrorClass::InvalidData, Concern::Schema),
        "CONSTRAINT_VIOLATION" | "JDBC_NON_TRANSIENT_ERROR" => {
            (ErrorClass::ConstraintViolation, Concern::Records)
        }
        "DIVISION_BY_ZERO"
        | "INVALID_CAST_ARGUMENT"
        | "INVALID_FUNCTION_ARGUMENT"
        | "INVALID_LITERAL"
        | "NUMERIC_VALUE_OUT_OF_RANGE"
        | "QUERY_TEXT_TOO_LARGE"
        | "MERGE_TARGET_ROW_MULTIPLE_MATCHES"
        | "STACK_OVERFLOW"
        | "COMPILER_ERROR"
        | "GENERIC_USER_ERROR" => (ErrorClass::InvalidData, Concern::Records),
        "USER_CANCELED" | "ADMINISTRATIVELY_KILLED" | "ADMINISTRATIVELY_PREEMPTED" => {
            (ErrorClass::Transient, Concern::Server)
        }
        // A defect of the server, perhaps one that a value shows.
        "GENERIC_INTERNAL_ERROR" if !passes => (ErrorClass::Unknown, Concern::Records),
        _ => match error.kind {
            // Nodes that went away, memory that was short, a store behind Trino that did not answer.
            "INTERNAL_ERROR" | "INSUFFICIENT_RESOURCES" | "EXTERNAL" => {
                (ErrorClass::Transient, Concern::Server)
            }
            _ if passes => (ErrorClass::Transient, Concern::Server),
            _ => (ErrorClass::Unknown, Concern::Server),
        },
    }
}

impl From<Failure> for SourceError {
    fn from(failure: Failure) -> Self {
        let Failure { class, message, source, .. } = failure;
        SourceError { class, message, source }
    }
}

impl From<Failure> for SinkError {
    fn from(failure: Failure) -> Self {
        let Failure { class, message, concerns, source } = failure;
        SinkError { class, message, is_about_records: concerns == Concern::Records, source }
    }
}

impl From<SinkError> for Failure {
    fn from(error: SinkError) -> Self {
        let SinkError { class, message, source, .. } = error;
        Failure { class, message, concerns: Concern::Server, source }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_are_those_of_the_original() {
        let error = QueryError {
            message: "line 1:8: Column 'x' cannot be resolved",
            name: "COLUMN_NOT_FOUND",
            kind: "USER_ERROR",
            code: Some(47),
            location: Some((1, 8)),
            details: "{\"type\":\"T\"}",
        };
        let failure = Failure::query(&error);
        assert_eq!(
            failure.message,
            "Trino query failed: line 1:8: Column 'x' cannot be resolved \
             (Error: COLUMN_NOT_FOUND, Code: 47) at line 1, column 8. Details: {\"type\":\"T\"}"
        );
        assert_eq!(failure.concerns, Concern::Schema);
        let bare = QueryError { message: "m", ..QueryError::default() };
        assert_eq!(Failure::query(&bare).message, "Trino query failed: m");
        let failure = Failure::status(503, b" busy\n");
        assert_eq!(failure.message, "Trino query failed with status 503: busy");
    }

    #[test]
    fn errors_have_their_classes() {
        for (name, kind, message, class, concerns) in [
            ("PERMISSION_DENIED", "USER_ERROR", "", ErrorClass::AuthError, Concern::Server),
            ("SYNTAX_ERROR", "USER_ERROR", "", ErrorClass::Unknown, Concern::Server),
            ("NOT_SUPPORTED", "USER_ERROR", "", ErrorClass::Unknown, Concern::Server),
            (
                "NOT_SUPPORTED",
                "USER_ERROR",
                "a TRANSIENT thing",
                { ErrorClass::Transient },
                Concern::Server,
            ),
            (
                "INVALID_CAST_ARGUMENT",
                "USER_ERROR",
                "",
                { ErrorClass::InvalidData },
                Concern::Records,
            ),
            (
                "CONSTRAINT_VIOLATION",
                "EXTERNAL",
                "",
                { ErrorClass::ConstraintViolation },
                Concern::Records,
            ),
            (
                "NO_NODES_AVAILABLE",
                "INTERNAL_ERROR",
                "",
                { ErrorClass::Transient },
                Concern::Server,
            ),
            (
                "EXCEEDED_GLOBAL_MEMORY_LIMIT",
                "INSUFFICIENT_RESOURCES",
                "",
                { ErrorClass::Transient },
                Concern::Server,
            ),
            (
                "GENERIC_INTERNAL_ERROR",
                "INTERNAL_ERROR",
                "null",
                { ErrorClass::Unknown },
                Concern::Records,
            ),
            (
                "GENERIC_INTERNAL_ERROR",
                "INTERNAL_ERROR",
                "The node may have crashed",
                { ErrorClass::Transient },
                Concern::Server,
            ),
        ] {
            let error = QueryError { message, name, kind, ..QueryError::default() };
            assert_eq!(classify(&error), (class, concerns), "{name} {message}");
        }
        for (status, class) in [
            (401, ErrorClass::AuthError),
            (404, ErrorClass::Transient),
            (429, ErrorClass::Transient),
            (502, ErrorClass::Transient),
            (400, ErrorClass::Unknown),
            (302, ErrorClass::Unknown),
        ] {
            assert_eq!(Failure::status(status, b"").class, class, "{status}");
        }
    }
}
