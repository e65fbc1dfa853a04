//! Why a server was not asked, or did not do what it was asked for.

use std::time::Duration;

use levada_model::ErrorKind;
use thiserror::Error;

/// Why a server was not asked, or did not do what it was asked for.
#[derive(Debug, Error)]
#[error("{message}")]
pub struct ClientError {
    kind: ErrorKind,
    message: String,
    status: Option<u16>,
    retry_after: Option<Duration>,
    is_timeout: bool,
    #[source]
    source: Option<Box<dyn std::error::Error + Send + Sync>>,
}

// === impl ClientError ===

impl ClientError {
    /// Makes an error without a cause.
    pub fn new(kind: ErrorKind, message: impl Into<String>) -> Self {
        ClientError {
            kind,
            message: message.into(),
            status: None,
            retry_after: None,
            is_timeout: false,
            source: None,
        }
    }

    /// Makes the error of an answer; `message` is for people.
    pub fn answered(status: u16, message: impl Into<String>) -> Self {
        let kind = kind_of_status(status);
        ClientError { status: Some(status), ..ClientError::new(kind, message) }
    }

    /// Says why `target` gave no answer, or not a whole one.
    pub(crate) fn no_answer(target: &str, error: reqwest::Error) -> Self {
        // The address may hold secrets.
        let error = error.without_url();
        let (kind, what) = if error.is_timeout() {
            (ErrorKind::Unavailable, "did not answer in time")
        } else if error.is_builder() {
            (ErrorKind::Invalid, "cannot be asked")
        } else {
            (ErrorKind::Unavailable, "cannot be reached, or the connection broke")
        };
        let cause = innermost(&error);
        let is_timeout = error.is_timeout();
        let message = format!("`{target}` {what}: {cause}");
        ClientError { is_timeout, ..ClientError::new(kind, message).with_source(error) }
    }

    /// Adds the cause.
    pub(crate) fn with_source(
        self,
        source: impl Into<Box<dyn std::error::Error + Send + Sync>>,
    ) -> Self {
        ClientError { source: Some(source.into()), ..self }
    }

    /// Adds how long the server asks to wait.
    pub(crate) fn with_retry_after(self, retry_after: Option<Duration>) -> Self {
        ClientError { retry_after, ..self }
    }

    /// Says of what kind it is.
    pub fn kind(&self) -> ErrorKind {
        self.kind
    }

    /// Gives the status, when there was an answer.
    pub fn status(&self) -> Option<u16> {
        self.status
    }

    /// Gives how long the server asks to wait.
    pub fn retry_after(&self) -> Option<Duration> {
        self.retry_after
    }

    /// Says whether the time for an answer was over.
    pub fn is_timeout(&self) -> bool {
        self.is_timeout
    }

    /// Says whether the same request may do later.
    pub fn is_transient(&self) -> bool {
        matches!(self.kind, ErrorKind::Busy | ErrorKind::Unavailable)
    }
}

/// Gives the kind of a status that is not a success.
fn kind_of_status(status: u16) -> ErrorKind {
    match status {
        401 | 407 => ErrorKind::Unauthorized,
        403 => ErrorKind::Forbidden,
        404 => ErrorKind::NotFound,
        408 => ErrorKind::Unavailable,
        409 => ErrorKind::Conflict,
        413 => ErrorKind::TooLarge,
        425 | 429 | 503 => ErrorKind::Busy,
        500.. => ErrorKind::Unavailable,
        _ => ErrorKind::Invalid,
    }
}

/// Gives the text of the first cause: what reqwest says itself is of no use.
fn innermost(error: &reqwest::Error) -> String {
    let mut cause: &dyn std::error::Error = error;
    while let Some(next) = cause.source() {
        cause = next;
    }
    cause.to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn statuses_have_their_kinds() {
        for (status, kind, is_transient) in [
            (400, ErrorKind::Invalid, false),
            (401, ErrorKind::Unauthorized, false),
            (403, ErrorKind::Forbidden, false),
            (404, ErrorKind::NotFound, false),
            (408, ErrorKind::Unavailable, true),
            (409, ErrorKind::Conflict, false),
            (413, ErrorKind::TooLarge, false),
            (422, ErrorKind::Invalid, false),
            (429, ErrorKind::Busy, true),
            (500, ErrorKind::Unavailable, true),
            (503, ErrorKind::Busy, true),
            (301, ErrorKind::Invalid, false),
        ] {
            let error = ClientError::answered(status, "x");
            assert_eq!((error.kind(), error.is_transient()), (kind, is_transient), "{status}");
            assert_eq!(error.status(), Some(status));
        }
    }
}
