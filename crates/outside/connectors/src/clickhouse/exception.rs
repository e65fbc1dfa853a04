//! What ClickHouse's exceptions mean for records.
//!
//! An exception shows in a header, in the body of a status that is no success, and, when it happens after
//! the status was sent, at the end of a body that began well.

use levada_model::ErrorClass;
use memchr::memmem;

use crate::http_client::{self, HttpError};
use crate::traits::{SinkError, SourceError};

/// Why a query failed.
#[derive(Debug)]
pub(crate) struct Failure {
    pub(crate) class: ErrorClass,
    /// Other records may pass.
    pub(crate) is_about_records: bool,
    pub(crate) message: String,
    source: Option<HttpError>,
}

// === impl Failure ===

impl Failure {
    /// Makes a failure of neither server nor records.
    pub(crate) fn new(class: ErrorClass, message: impl Into<String>) -> Self {
        Failure { class, is_about_records: false, message: message.into(), source: None }
    }

    /// Makes the failure of an answer that holds an exception or is no success.
    pub(crate) fn of_answer(target: &str, status: u16, code: Option<i32>, body: &[u8]) -> Self {
        let code = code.or_else(|| code_in(body));
        let text = http_client::shown(body);
        let (class, is_about_records) = match code {
            Some(code) => classify(code, &text),
            None => (http_client::class_of_status(status), false),
        };
        let message = match (code, text.is_empty()) {
            (Some(code), true) => format!("`{target}` answered with exception {code}"),
            (Some(_), false) => format!("`{target}`: {text}"),
            (None, true) => format!("`{target}` answered {status}"),
            (None, false) => format!("`{target}` answered {status}: {text}"),
        };
        Failure { class, is_about_records, message, source: None }
    }
}

impl From<HttpError> for Failure {
    fn from(error: HttpError) -> Self {
        Failure {
            class: error.class,
            is_about_records: false,
            message: error.message.clone(),
            source: Some(error),
        }
    }
}

impl From<Failure> for SinkError {
    fn from(failure: Failure) -> Self {
        match failure.source {
            Some(error) => error.into(),
            None => SinkError {
                class: failure.class,
                message: failure.message,
                is_about_records: failure.is_about_records,
                source: None,
            },
        }
    }
}

impl From<Failure> for SourceError {
    fn from(failure: Failure) -> Self {
        match failure.source {
            Some(error) => error.into(),
            None => SourceError::new(failure.class, failure.message),
        }
    }
}

/// Gives the code of an exception in a body: `Code: 27. DB::Exception: …`.
pub(crate) fn code_in(body: &[u8]) -> Option<i32> {
    let at = memmem::find(body, b"DB::")?;
    let before = &body[..at];
    let start = memmem::rfind(before, b"Code: ")? + b"Code: ".len();
    let digits: Vec<u8> =
        before[start..].iter().copied().take_while(u8::is_ascii_digit).take(9).collect();
    std::str::from_utf8(&digits).ok()?.parse().ok()
}

/// Gives the class of an exception, and whether the records are at fault.
///
/// Source: ClickHouse, `src/Common/ErrorCodes.cpp`.
fn classify(code: i32, text: &str) -> (ErrorClass, bool) {
    use ErrorClass as Class;
    match code {
        // Too many partitions for one INSERT has the code of too many parts; a smaller batch has fewer.
        252 if text.contains("partitions for single INSERT") => (Class::InvalidData, true),
        // The store looks after itself and then goes on: parts, memory, quotas, queues, replicas, Keeper.
        173 | 201 | 202 | 203 | 225 | 236 | 241 | 242 | 243 | 244 | 252 | 254 | 265 | 285 | 286
        | 289 | 319 | 364 | 369 | 384 | 394 | 416 | 439 | 473 | 499 | 999 => {
            (Class::Transient, false)
        }
        159 | 160 | 209 => (Class::Timeout, false),
        95 | 96 | 198 | 210 | 279 => (Class::ConnectionError, false),
        192..=196 | 291 | 497 | 516 => (Class::AuthError, false),
        469 => (Class::ConstraintViolation, true),
        // Texts that are no value of their column, and fields that the table does not have.
        6 | 20 | 25 | 26 | 27 | 32 | 33 | 38 | 41 | 53 | 69 | 70 | 72 | 117 | 128 | 130 | 131
        | 190 | 321 | 349 | 376 | 407 | 441 | 467 | 675 | 676 | 691 => (Class::InvalidData, true),
        _ => (Class::Unknown, false),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exceptions_have_their_classes() {
        for (code, class, is_about_records) in [
            (252, ErrorClass::Transient, false),
            (241, ErrorClass::Transient, false),
            (159, ErrorClass::Timeout, false),
            (209, ErrorClass::Timeout, false),
            (210, ErrorClass::ConnectionError, false),
            (516, ErrorClass::AuthError, false),
            (193, ErrorClass::AuthError, false),
            (27, ErrorClass::InvalidData, true),
            (53, ErrorClass::InvalidData, true),
            (117, ErrorClass::InvalidData, true),
            (469, ErrorClass::ConstraintViolation, true),
            (60, ErrorClass::Unknown, false),
            (62, ErrorClass::Unknown, false),
        ] {
            assert_eq!(classify(code, ""), (class, is_about_records), "{code}");
        }
        let text =
            "Code: 252. DB::Exception: Too many partitions for single INSERT block (more than 100)";
        assert_eq!(classify(252, text), (ErrorClass::InvalidData, true));
    }

    #[test]
    fn codes_are_found_in_bodies() {
        for (body, code) in [
            ("Code: 27. DB::Exception: Cannot parse", Some(27)),
            ("{\"a\":1}\nCode: 241. DB::Exception: Memory", Some(241)),
            ("{\"exception\": \"Code: 395. DB::Exception: x\"}", Some(395)),
            ("Code: 999. Coordination::Exception", None),
            ("Code: 1000. DB::NetException: e", Some(1000)),
            ("<html>502</html>", None),
            ("Code: . DB::", None),
        ] {
            assert_eq!(code_in(body.as_bytes()), code, "{body}");
        }
        let failure = Failure::of_answer("h", 502, None, b"<html>Bad gateway");
        assert_eq!((failure.class, failure.is_about_records), (ErrorClass::Transient, false));
        assert_eq!(failure.message, "`h` answered 502: <html>Bad gateway");
    }
}
