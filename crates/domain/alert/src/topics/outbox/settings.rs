//! What outboxes are told.

use std::time::Duration;

use levada_runtime::BackoffPolicy;

/// Entries that wait for one handler. Source: kapacitor: `[alert] topic-buffer-length`.
pub const ENTRIES_MAX_DEFAULT: usize = super::super::BUFFER_LENGTH_DEFAULT;

/// Owed recoveries that wait for one handler beside the other entries. Ours: as many as a topic has event states.
pub const RECOVERIES_MAX_DEFAULT: usize = super::super::STATES_MAX_DEFAULT;

/// How long an entry waits before it is given up. Ours: who comes back after a weekend wants to know what is wrong now.
const EXPIRY_DEFAULT: Duration = Duration::from_secs(3 * 24 * 3600);

/// How long one attempt may take. Ours: longer than any time-out of a handler, so that only a hanging one gets here.
const ATTEMPT_TIMEOUT_DEFAULT: Duration = Duration::from_secs(660);

/// How long a receiver may ask to be left alone. Ours: a mistyped `Retry-After` must not silence a handler for good.
const RETRY_AFTER_MAX: Duration = Duration::from_secs(3600);

/// How long entries wait for a store that fails before they are sent without it. Ours: an alert is worth more than the
/// promise to send it again after a crash.
const STORE_PATIENCE_DEFAULT: Duration = Duration::from_secs(5);

/// What happens to entries that are too many.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Overflow {
    /// The oldest one goes.
    #[default]
    DropOldest,
    /// The newest one goes.
    DropNewest,
}

/// What outboxes are told.
#[derive(Clone, Debug)]
pub struct OutboxSettings {
    /// Entries that wait for one handler, owed recoveries apart.
    pub entries_max: usize,
    /// Owed recoveries that wait for one handler.
    pub recoveries_max: usize,
    /// What happens to entries that are too many.
    pub overflow: Overflow,
    /// How long an entry waits before it is given up; owed recoveries are kept.
    pub expiry: Duration,
    /// How delays between attempts grow.
    pub backoff: BackoffPolicy,
    /// How long one attempt may take.
    pub attempt_timeout: Duration,
    /// How long a receiver may ask to be left alone.
    pub retry_after_max: Duration,
    /// How long entries wait for a store that fails before they are sent without it.
    pub store_patience: Duration,
}

// === impl OutboxSettings ===

impl Default for OutboxSettings {
    fn default() -> Self {
        OutboxSettings {
            entries_max: ENTRIES_MAX_DEFAULT,
            recoveries_max: RECOVERIES_MAX_DEFAULT,
            overflow: Overflow::default(),
            expiry: EXPIRY_DEFAULT,
            backoff: BackoffPolicy::default(),
            attempt_timeout: ATTEMPT_TIMEOUT_DEFAULT,
            retry_after_max: RETRY_AFTER_MAX,
            store_patience: STORE_PATIENCE_DEFAULT,
        }
    }
}
