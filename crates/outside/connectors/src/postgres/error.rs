//! What an error of the server means, by its SQLSTATE.

use levada_model::{ErrorClass, RecordError};
use sqlx::postgres::PgDatabaseError;

use crate::http_client::request::has_certificate_problem;
use crate::traits::{SinkError, SourceError, class_of_io};

/// Characters of the server's message that are handed on; it may quote a whole value.
const MESSAGE_CHARS_MAX: usize = 300;

/// What an error is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum FaultKind {
    /// The connection, or the server as a whole.
    Server,
    /// The values of a record.
    Record,
    /// A row with the same key is there (23505).
    Duplicate,
    /// A statement would change one row twice (21000).
    Twice,
    /// The table is not what it was known to be.
    Schema,
    /// Anything else.
    Statement,
}

/// An error of the server or of the way to it.
#[derive(Debug, Clone)]
pub(crate) struct Fault {
    /// The class for the engine.
    pub(crate) class: ErrorClass,
    /// What it is about.
    pub(crate) kind: FaultKind,
    /// For people.
    pub(crate) message: String,
    /// The SQLSTATE, when the server gave one.
    pub(crate) code: String,
    /// The line of a COPY, from one.
    pub(crate) line: Option<usize>,
}

// === impl Fault ===

impl Fault {
    /// Makes a fault that is none of the server's.
    pub(crate) fn new(class: ErrorClass, message: impl Into<String>) -> Self {
        Fault {
            class,
            kind: FaultKind::Statement,
            message: message.into(),
            code: String::new(),
            line: None,
        }
    }

    /// Tells whether the error concerns records and not the sink.
    pub(crate) fn is_about_records(&self) -> bool {
        matches!(self.kind, FaultKind::Record | FaultKind::Duplicate | FaultKind::Twice)
    }

    /// Gives the reason why a record is given up.
    pub(crate) fn record_error(&self) -> RecordError {
        RecordError { class: self.class, message: self.message.clone() }
    }

    fn of_database(error: &PgDatabaseError) -> Self {
        let code = error.code();
        let (class, kind) = classify(code);
        let mut message: String = error.message().chars().take(MESSAGE_CHARS_MAX).collect();
        if let Some(column) = error.column()
            && !message.contains(column)
        {
            message = format!("column `{column}`: {message}");
        }
        let line = error.r#where().and_then(copy_line);
        Fault {
            class,
            kind,
            message: format!("{message} (SQLSTATE {code})"),
            code: code.into(),
            line,
        }
    }
}

impl From<sqlx::Error> for Fault {
    fn from(error: sqlx::Error) -> Self {
        if let Some(database) = error.as_database_error()
            && let Some(error) = database.try_downcast_ref::<PgDatabaseError>()
        {
            return Fault::of_database(error);
        }
        let class = match &error {
            sqlx::Error::Io(_) if has_certificate_problem(&error) => ErrorClass::AuthError,
            sqlx::Error::Io(error) => match class_of_io(error) {
                // Bytes that are no TLS are no data of a record.
                ErrorClass::Unknown | ErrorClass::InvalidData => ErrorClass::ConnectionError,
                class => class,
            },
            sqlx::Error::Tls(_) => ErrorClass::AuthError,
            sqlx::Error::Protocol(_) | sqlx::Error::WorkerCrashed => ErrorClass::ConnectionError,
            _ => ErrorClass::Unknown,
        };
        let kind = if class.is_transient() { FaultKind::Server } else { FaultKind::Statement };
        let message = format!("PostgreSQL: {error}");
        Fault { class, kind, message, code: String::new(), line: None }
    }
}

impl From<Fault> for SinkError {
    fn from(fault: Fault) -> Self {
        let is_about_records = fault.is_about_records();
        SinkError { is_about_records, ..SinkError::new(fault.class, fault.message) }
    }
}

impl From<Fault> for SourceError {
    fn from(fault: Fault) -> Self {
        SourceError::new(fault.class, fault.message)
    }
}

/// Gives what a SQLSTATE means for the flow.
///
/// Source: PostgreSQL, appendix A. Classes that are not listed end the flow.
fn classify(code: &str) -> (ErrorClass, FaultKind) {
    use ErrorClass as Class;
    match code {
        "23505" | "23P01" => return (Class::ConstraintViolation, FaultKind::Duplicate),
        "21000" => return (Class::InvalidData, FaultKind::Twice),
        "57014" => return (Class::Timeout, FaultKind::Server),
        "57P04" | "3D000" => return (Class::Unknown, FaultKind::Statement),
        "42501" => return (Class::AuthError, FaultKind::Statement),
        // Read-only after a fail-over; a lock that is not free now.
        "25006" | "55P03" | "55006" => return (Class::Transient, FaultKind::Server),
        "25P03" => return (Class::ConnectionError, FaultKind::Server),
        // Columns, tables, types that are not there; a plan whose result changed.
        "42703" | "42P01" | "42704" | "42804" | "0A000" | "3F000" => {
            return (Class::Unknown, FaultKind::Schema);
        }
        // A trigger refuses the row.
        "P0001" => return (Class::ConstraintViolation, FaultKind::Record),
        _ => {}
    }
    match code.get(..2).unwrap_or_default() {
        "08" | "57" => (Class::ConnectionError, FaultKind::Server),
        "40" | "53" | "58" => (Class::Transient, FaultKind::Server),
        "28" => (Class::AuthError, FaultKind::Statement),
        "23" | "44" => (Class::ConstraintViolation, FaultKind::Record),
        "22" | "54" => (Class::InvalidData, FaultKind::Record),
        _ => (Class::Unknown, FaultKind::Statement),
    }
}

/// Reads the line from `COPY name, line 3, column a: "x"`.
///
/// The name may hold anything, so that only a context without a second `, line ` is believed.
fn copy_line(context: &str) -> Option<usize> {
    let first = context.lines().next()?;
    let rest = first.strip_prefix("COPY ")?;
    let (_, behind) = rest.split_once(", line ")?;
    let digits = behind.bytes().take_while(u8::is_ascii_digit).count();
    behind[..digits].parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn states_are_classified() {
        for (code, class, kind) in [
            ("08006", ErrorClass::ConnectionError, FaultKind::Server),
            ("57P01", ErrorClass::ConnectionError, FaultKind::Server),
            ("57014", ErrorClass::Timeout, FaultKind::Server),
            ("53300", ErrorClass::Transient, FaultKind::Server),
            ("40P01", ErrorClass::Transient, FaultKind::Server),
            ("28P01", ErrorClass::AuthError, FaultKind::Statement),
            ("42501", ErrorClass::AuthError, FaultKind::Statement),
            ("23502", ErrorClass::ConstraintViolation, FaultKind::Record),
            ("23505", ErrorClass::ConstraintViolation, FaultKind::Duplicate),
            ("22P02", ErrorClass::InvalidData, FaultKind::Record),
            ("42703", ErrorClass::Unknown, FaultKind::Schema),
            ("42P10", ErrorClass::Unknown, FaultKind::Statement),
        ] {
            assert_eq!(classify(code), (class, kind), "{code}");
        }
    }

    #[test]
    fn the_line_of_a_copy_is_found() {
        assert_eq!(copy_line("COPY t, line 12, column id: \"x\""), Some(12));
        assert_eq!(copy_line("COPY t, line 3"), Some(3));
        assert_eq!(copy_line("PL/pgSQL function f() line 3 at RAISE\nCOPY t, line 3"), None);
        assert_eq!(copy_line("SQL statement"), None);
    }
}
