//! What an answer means for the body, and for the endpoint.

use std::time::Duration;

use levada_clients::ClientError;
use levada_clients::dataway::Reply;
use levada_codec::points::LeftOut;
use levada_model::ErrorKind;

/// What came of sending a record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// The receiver has it.
    Delivered {
        /// The status, for counts; 0 without HTTP.
        status: u16,
        /// What this kind of receiver cannot hold.
        left_out: LeftOut,
    },
    /// Not now.
    Later {
        /// The status, if there was an answer.
        status: Option<u16>,
        /// How long the receiver asks to wait.
        after: Option<Duration>,
        /// Whether the receiver is overloaded, so that fewer requests may help.
        is_overload: bool,
        /// For people.
        reason: String,
    },
    /// Not here, or not us: nothing about the body, so it waits until somebody mends that.
    Pause {
        /// The status, if there was an answer.
        status: Option<u16>,
        /// Whether the receiver says that the data of the contract is used up.
        is_beyond_usage: bool,
        /// For people.
        reason: String,
    },
    /// The body is too large.
    TooLarge,
    /// Some points of the body are bad, others may have been taken, and nobody says which.
    Mixed {
        /// The status.
        status: u16,
        /// For people.
        reason: String,
    },
    /// The body is bad.
    Refused {
        /// The status; 0 without HTTP.
        status: u16,
        /// For people.
        reason: String,
    },
}

/// The text by which a Dataway says that the data of the contract is used up.
const BEYOND_USAGE: &[u8] = b"beyondDataUsage";

/// How much of an answer stands in a reason.
const REASON_BYTES_MAX: usize = 256;

/// Gives what an answer of an HTTP server means.
///
/// Source: dataway reference §5.6, recommended column; what it does not name pauses, for it says nothing about the body.
pub fn of_reply(reply: &Reply) -> Answer {
    let status = reply.status;
    let reason = || {
        let body = String::from_utf8_lossy(&reply.body[..reply.body.len().min(REASON_BYTES_MAX)]);
        let body: String = body.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
        format!("status {status}: {}", body.trim())
    };
    let later = |is_overload| Answer::Later {
        status: Some(status),
        after: reply.retry_after,
        is_overload,
        reason: reason(),
    };
    match status {
        200..=299 => Answer::Delivered { status, left_out: LeftOut::default() },
        400 | 406 | 409 | 422 => Answer::Refused { status, reason: reason() },
        413 => Answer::TooLarge,
        408 | 429 | 503 | 504 => later(true),
        425 => later(false),
        501 => Answer::Pause { status: Some(status), is_beyond_usage: false, reason: reason() },
        500.. => later(false),
        _ => {
            let has = |text: &[u8]| reply.body.windows(text.len()).any(|part| part == text);
            let is_beyond_usage = status == 403 && has(BEYOND_USAGE);
            Answer::Pause { status: Some(status), is_beyond_usage, reason: reason() }
        }
    }
}

/// Gives what an answer of a server means that takes the good points of a body and refuses the bad ones.
pub fn of_partial_reply(reply: &Reply) -> Answer {
    match of_reply(reply) {
        Answer::Refused { status, reason } => Answer::Mixed { status, reason },
        other => other,
    }
}

/// Gives what it means that there was no answer.
pub fn of_failure(error: &ClientError) -> Answer {
    let reason = error.to_string();
    match error.kind() {
        // What cannot even be asked will not be better later, but the body is not to blame.
        ErrorKind::Invalid => Answer::Pause { status: None, is_beyond_usage: false, reason },
        _ => Answer::Later { status: None, after: None, is_overload: error.is_timeout(), reason },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn word(status: u16, body: &str) -> &'static str {
        let after = Some(Duration::from_secs(5));
        match of_reply(&Reply { status, retry_after: after, body: body.into() }) {
            Answer::Delivered { .. } => "delivered",
            Answer::Later { is_overload: true, after: Some(_), .. } => "overload",
            Answer::Later { .. } => "later",
            Answer::Pause { is_beyond_usage: true, .. } => "beyond usage",
            Answer::Pause { .. } => "pause",
            Answer::TooLarge => "too large",
            Answer::Mixed { .. } => "mixed",
            Answer::Refused { .. } => "refused",
        }
    }

    #[test]
    fn statuses_mean_what_the_table_says() {
        for (status, expected) in [
            (200, "delivered"),
            (204, "delivered"),
            (301, "pause"),
            (307, "pause"),
            (400, "refused"),
            (401, "pause"),
            (402, "pause"),
            (403, "pause"),
            (404, "pause"),
            (405, "pause"),
            (406, "refused"),
            (408, "overload"),
            (413, "too large"),
            (415, "pause"),
            (422, "refused"),
            (425, "later"),
            (429, "overload"),
            (500, "later"),
            (501, "pause"),
            (502, "later"),
            (503, "overload"),
            (504, "overload"),
            (599, "later"),
        ] {
            assert_eq!(word(status, ""), expected, "{status}");
        }
        assert_eq!(word(403, "{\"error_code\":\"kodo.beyondDataUsage\"}"), "beyond usage");
        assert_eq!(word(500, "beyondDataUsage"), "later");
    }

    #[test]
    fn reasons_are_short_and_on_one_line() {
        let reply = Reply { status: 400, retry_after: None, body: vec![b'\n'; 4_096] };
        let Answer::Refused { reason, .. } = of_reply(&reply) else { panic!("it is refused") };
        assert!(reason.len() < 300 && !reason.contains('\n'), "{reason}");
    }
}
