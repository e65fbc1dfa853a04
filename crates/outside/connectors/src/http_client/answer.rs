//! What an answer, or none, says about the records that were sent.

use std::fmt::Write as _;
use std::time::Duration;

use levada_model::ErrorClass;
use reqwest::header::{HeaderMap, RETRY_AFTER};
use reqwest::{Response, StatusCode};

use super::request::HttpError;
use crate::traits::SinkError;

/// Bytes of an answer that are read when nobody needs it, so that its connection can be used again. Ours.
pub(crate) const ANSWER_BYTES_MAX: usize = 64 << 10;

/// Bytes of an answer that an error shows.
const SHOWN_BYTES_MAX: usize = 200;

/// What a server answered.
#[derive(Debug)]
pub(crate) struct Answer {
    /// The status.
    pub(crate) status: StatusCode,
    /// `Retry-After` for people.
    retry_after: Option<String>,
    /// `Retry-After`, when it is a number of seconds.
    pub(crate) wait: Option<Duration>,
    /// The beginning of the body, as far as the caller wanted it.
    pub(crate) body: Vec<u8>,
    /// The body is all there is.
    pub(crate) is_whole: bool,
}

impl Answer {
    /// Reads an answer, and at most `most` bytes of its body.
    ///
    /// A body that breaks is as good as one that ends, for the status has been seen; callers that need
    /// it look at `is_whole`.
    pub(super) async fn read(mut response: Response, most: usize) -> Answer {
        let status = response.status();
        let (retry_after, wait) = retry_after(response.headers());
        let mut body = Vec::new();
        let is_whole = loop {
            let Ok(chunk) = response.chunk().await else { break false };
            let Some(chunk) = chunk else { break true };
            let room = most - body.len();
            body.extend_from_slice(&chunk[..room.min(chunk.len())]);
            if chunk.len() > room {
                break false;
            }
        };
        Answer { status, retry_after, wait, body, is_whole }
    }

    /// Makes the error of an answer that is no success.
    pub(crate) fn failure(&self, target: &str) -> SinkError {
        let (class, is_about_records) = classify(self.status);
        let mut message = format!("`{target}` answered {}", self.status.as_u16());
        if let Some(reason) = self.status.canonical_reason() {
            message.push_str(&format!(" {reason}"));
        }
        if self.status.is_redirection() {
            message.push_str("; redirects are not followed, put the final address into url");
        }
        if let Some(after) = &self.retry_after {
            message.push_str(&format!("; it asks to wait for {after}"));
        }
        let shown = shown(&self.body);
        if !shown.is_empty() {
            message.push_str(&format!(": {shown}"));
        }
        SinkError { class, message, is_about_records, source: None }
    }
}

/// Makes the error of a request that got no answer.
pub(crate) fn no_answer(target: &str, error: reqwest::Error) -> SinkError {
    HttpError::no_answer(target, error).into()
}

/// Gives the class of a status, and whether the records are at fault.
fn classify(status: StatusCode) -> (ErrorClass, bool) {
    match status {
        StatusCode::BAD_REQUEST
        | StatusCode::PAYLOAD_TOO_LARGE
        | StatusCode::UNPROCESSABLE_ENTITY => (ErrorClass::InvalidData, true),
        StatusCode::UNAUTHORIZED
        | StatusCode::FORBIDDEN
        | StatusCode::PROXY_AUTHENTICATION_REQUIRED => (ErrorClass::AuthError, false),
        StatusCode::REQUEST_TIMEOUT => (ErrorClass::Timeout, false),
        StatusCode::TOO_EARLY | StatusCode::TOO_MANY_REQUESTS => (ErrorClass::Transient, false),
        status if status.is_server_error() => (ErrorClass::Transient, false),
        _ => (ErrorClass::Unknown, false),
    }
}

/// Gives `Retry-After` for people, and as a duration: seconds, or a date as it was written.
fn retry_after(headers: &HeaderMap) -> (Option<String>, Option<Duration>) {
    let Some(text) = headers.get(RETRY_AFTER).and_then(|value| value.to_str().ok()) else {
        return (None, None);
    };
    let text: String = text.trim().chars().take(40).collect();
    match text.parse::<u64>() {
        Ok(seconds) => (Some(format!("{text}s")), Some(Duration::from_secs(seconds))),
        Err(_) => (Some(text), None),
    }
}

/// Gives the first bytes of a body as one line.
pub(crate) fn shown(body: &[u8]) -> String {
    let text = String::from_utf8_lossy(&body[..body.len().min(SHOWN_BYTES_MAX)]);
    let mut line = String::new();
    for word in text.split(|c: char| c.is_whitespace() || c.is_control()).filter(|w| !w.is_empty())
    {
        let gap = if line.is_empty() { "" } else { " " };
        // Writing to a string cannot fail.
        if write!(line, "{gap}{word}").is_err() {
            break;
        }
    }
    if body.len() > SHOWN_BYTES_MAX {
        line.push('…');
    }
    line
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn statuses_have_their_classes() {
        for (status, class, is_about_records) in [
            (400, ErrorClass::InvalidData, true),
            (401, ErrorClass::AuthError, false),
            (403, ErrorClass::AuthError, false),
            (404, ErrorClass::Unknown, false),
            (405, ErrorClass::Unknown, false),
            (408, ErrorClass::Timeout, false),
            (413, ErrorClass::InvalidData, true),
            (422, ErrorClass::InvalidData, true),
            (429, ErrorClass::Transient, false),
            (301, ErrorClass::Unknown, false),
            (500, ErrorClass::Transient, false),
            (503, ErrorClass::Transient, false),
            (599, ErrorClass::Transient, false),
        ] {
            let status = StatusCode::from_u16(status).unwrap_or_default();
            assert_eq!(classify(status), (class, is_about_records), "{status}");
        }
    }

    #[test]
    fn bodies_are_shown_as_one_short_line() {
        assert_eq!(shown(b" a\r\n\x1b[31m b\0 "), "a [31m b");
        assert_eq!(shown(&[b'x'; 300]).chars().count(), 201);
        assert_eq!(shown(b"\xff"), "\u{fffd}");
        assert_eq!(shown(b""), "");
    }
}
