//! What the client says by itself, and what of that explains a failure.

use std::sync::{Mutex, PoisonError};

use rdkafka::config::RDKafkaLogLevel;
use rdkafka::error::{KafkaError, RDKafkaErrorCode as Code};

use levada_model::ErrorClass;

use super::error::{Problem, class_of};

/// The last thing that went wrong on a connection; a call that fails later only says that it timed out.
#[derive(Default)]
pub(crate) struct Events {
    last: Mutex<Option<(Code, String)>>,
}

// === impl Events ===

impl Events {
    /// Takes a line of the client's log.
    ///
    /// Lines about connections are no warnings of ours: what they lead to is reported as an error of the
    /// source or the sink, once.
    pub(crate) fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        tracing::debug!(?level, facility, message, "kafka client");
    }

    /// Takes an error that the client reports by itself.
    pub(crate) fn error(&self, error: &KafkaError, reason: &str) {
        tracing::debug!(%error, reason, "kafka client error");
        let Some(code) = error.rdkafka_error_code() else { return };
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        // That all brokers are down follows from why each of them is.
        let says_more = |code: Code| match code {
            Code::AllBrokersDown => 0,
            code if class_of(code) == ErrorClass::AuthError => 2,
            _ => 1,
        };
        let is_news = last.as_ref().is_none_or(|(known, _)| says_more(code) >= says_more(*known));
        if is_news {
            *last = Some((code, reason.to_owned()));
        }
    }

    /// Forgets what was reported: a connection works.
    pub(crate) fn forget(&self) {
        *self.last.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }

    /// Gives the code of what was reported last.
    pub(crate) fn code(&self) -> Option<Code> {
        self.last.lock().unwrap_or_else(PoisonError::into_inner).as_ref().map(|(code, _)| *code)
    }

    /// Makes the problem of something that failed, with what the client reported as its reason.
    ///
    /// `class` is that of the failure itself; what was reported may say more.
    pub(crate) fn explain(&self, what: String, class: ErrorClass) -> Problem {
        let last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        match last.as_ref() {
            Some((code, reason)) => {
                let class = match class_of(*code) {
                    ErrorClass::AuthError if class.is_transient() => ErrorClass::AuthError,
                    _ => class,
                };
                Problem::new(class, format!("{what}: {reason}"))
            }
            None => Problem::new(class, what),
        }
    }
}
