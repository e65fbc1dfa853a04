//! Refusals.

use std::time::Duration;

use hyper::StatusCode;
use levada_model::with_causes;
use levada_store::DocumentError;
use serde::Serialize;

use crate::answer::Answer;

/// Why a request was not done.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{text}")]
pub struct ApiError {
    /// The status of the answer.
    pub status: StatusCode,
    /// What is wrong; Kapacitor's text where there is one.
    pub text: String,
    /// When the same request may be sent again.
    pub retry_after: Option<Duration>,
    /// Whether the answer is on one line, as those about credentials are.
    pub is_compact: bool,
    /// What programs know it by, in dialects that have that; empty for none.
    pub code: &'static str,
    /// Headers of the answer.
    pub headers: Vec<(&'static str, String)>,
}

/// Source: kapacitor: services/httpd: both fields always carry the same text.
#[derive(Serialize)]
struct Refusal<'a> {
    error: &'a str,
    message: &'a str,
}

// === impl ApiError ===

impl ApiError {
    /// Makes a refusal.
    pub fn new(status: StatusCode, text: impl Into<String>) -> Self {
        ApiError {
            status,
            text: text.into(),
            retry_after: None,
            is_compact: false,
            code: "",
            headers: Vec::new(),
        }
    }

    /// 400.
    pub fn bad_request(text: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, text)
    }

    /// 404.
    pub fn not_found(text: impl Into<String>) -> Self {
        Self::new(StatusCode::NOT_FOUND, text)
    }

    /// 500.
    pub fn internal(text: impl Into<String>) -> Self {
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, text)
    }

    /// 503, to be sent again after a while.
    pub fn unavailable(text: impl Into<String>, retry_after: Duration) -> Self {
        ApiError {
            retry_after: Some(retry_after),
            ..Self::new(StatusCode::SERVICE_UNAVAILABLE, text)
        }
    }

    /// The same with its answer on one line.
    #[must_use]
    pub fn compact(self) -> Self {
        ApiError { is_compact: true, ..self }
    }

    /// The same with what programs know it by.
    #[must_use]
    pub fn code(self, code: &'static str) -> Self {
        ApiError { code, ..self }
    }

    /// Gives the answer.
    pub fn answer(&self) -> Answer {
        let refusal = Refusal { error: &self.text, message: &self.text };
        let answer = match self.is_compact {
            true => Answer::compact(self.status, &refusal),
            false => Answer::json(self.status, &refusal),
        };
        self.finish(answer)
    }

    /// Adds the headers of the refusal to an answer.
    pub(crate) fn finish(&self, mut answer: Answer) -> Answer {
        for (name, value) in &self.headers {
            answer = answer.header(name, value);
        }
        match self.retry_after {
            // A part of a second more is better than a part less.
            Some(after) => {
                let seconds = after.as_secs() + u64::from(after.subsec_nanos() > 0);
                answer.header("retry-after", &seconds.max(1).to_string())
            }
            None => answer,
        }
    }
}

impl From<DocumentError> for ApiError {
    fn from(error: DocumentError) -> Self {
        let text = with_causes(&error);
        match error {
            DocumentError::Conflict { .. } => Self::new(StatusCode::CONFLICT, text),
            DocumentError::Invalid { .. } => Self::bad_request(text),
            DocumentError::Failed { kind: levada_model::ErrorKind::Unavailable, .. } => {
                Self::unavailable(text, Duration::from_secs(5))
            }
            DocumentError::Failed { .. } | DocumentError::Address { .. } => Self::internal(text),
        }
    }
}
