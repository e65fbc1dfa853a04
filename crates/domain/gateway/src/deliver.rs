//! From the queue of a destination to whoever receives: endpoints, retries, limits.
//!
//! ```text
//! outbox ─ next ─▶ flight ─ limits ─▶ endpoint that may be asked ─▶ receiver ─▶ answer
//!                    ▲                                                           │
//!                    ├── later, or elsewhere ◀── not now ────────────────────────┤
//!                    ├── halves ◀── too large ───────────────────────────────────┤
//!                    └── done: delivered, refused for good, expired ◀────────────┘
//! ```
//! Every destination has a queue, a sender and limits of its own: one that is slow or away holds up no other. A record
//! keeps its package id through all attempts and endpoints (B34). Only an answer that says *this body is bad* gives a
//! body up; one that says *you may not* or *not here* pauses the endpoint and keeps the data (B35, B39).
//!
//! Source: dataway reference §5.6, §11.5.

mod answer;
mod concurrency;
mod dataway;
mod group;
mod health;
mod rate;
mod sender;
mod senders;
#[cfg(test)]
mod tests;

use std::time::Duration;

pub use self::answer::{Answer, of_failure, of_partial_reply, of_reply};
pub use self::dataway::DatawayReceiver;
pub(crate) use self::dataway::content_type;
pub use self::group::{Group, Member, Strategy};
pub use self::health::{BreakerPolicy, EndpointState};
pub use self::sender::{Attempt, NAMES_EVERY, ReadBytes, SendStats, Sender, SenderParts, Watch};
pub use self::senders::Senders;

use async_trait::async_trait;
use levada_model::Timestamp;
use levada_runtime::backoff::BackoffPolicy;

use crate::wal::Record;

/// Something that takes records: the client of one endpoint.
#[async_trait]
pub trait Receiver: Send + Sync + 'static {
    /// Gives the name of the endpoint for labels and logs; it holds no secret.
    fn label(&self) -> &str;

    /// Sends a record and says what came of it; takes a bounded time.
    ///
    /// `is_retry` says that it was sent before, perhaps with success.
    async fn send(&self, record: &Record, is_retry: bool, now: Timestamp) -> Answer;

    /// Looks whether the name of the endpoint has moved to other addresses, and begins with new connections when it has.
    async fn look_up(&self) {}
}

/// How hard a destination tries, and how fast.
#[derive(Clone, Debug, PartialEq)]
pub struct SendPolicy {
    /// How long an endpoint rests after a failure.
    pub retry: BackoffPolicy,
    /// A record that is older is given up.
    pub age_max: Option<Duration>,
    /// When an endpoint is taken for dead.
    pub breaker: BreakerPolicy,
    /// Requests per second; 0 is without limit.
    pub requests_per_second: f64,
    /// Bytes per second, as sent; 0 is without limit.
    pub bytes_per_second: f64,
    /// Requests under way at once; fewer while the receiver is slow.
    pub in_flight_max: usize,
    /// Small records are sent together up to so many bytes.
    pub join_bytes_max: usize,
    /// How long a small record waits for others that are sent with it.
    pub linger: Duration,
}

impl Default for SendPolicy {
    /// Source: dataway reference §11.5.
    fn default() -> Self {
        SendPolicy {
            retry: BackoffPolicy {
                initial: Duration::from_millis(500),
                max: Duration::from_secs(60),
                attempts_max: 0,
            },
            age_max: Some(Duration::from_secs(12 * 3_600)),
            breaker: BreakerPolicy::default(),
            requests_per_second: 0.0,
            bytes_per_second: 0.0,
            in_flight_max: 16,
            join_bytes_max: 1 << 20,
            linger: Duration::ZERO,
        }
    }
}
