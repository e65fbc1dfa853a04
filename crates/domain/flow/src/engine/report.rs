//! What a running flow tells: counts, its failure, its guarantee.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use levada_model::ErrorKind;
use serde::Serialize;
use thiserror::Error;

/// Counts of a running flow; shared by all its stages.
#[derive(Debug, Default)]
pub struct Counters {
    /// Records that the source handed out.
    pub records_in: AtomicU64,
    /// Payload bytes of those.
    pub bytes_in: AtomicU64,
    /// Records that went through the steps, whatever became of them.
    pub processed: AtomicU64,
    /// Records that sinks wrote, the error sink not counted.
    pub records_out: AtomicU64,
    /// Payload bytes of those.
    pub bytes_out: AtomicU64,
    /// Records that a step filtered.
    pub filtered: AtomicU64,
    /// Records that the error sink wrote.
    pub dead_lettered: AtomicU64,
    /// Records that failed and were dropped by policy.
    pub dropped: AtomicU64,
    /// Records that failed, whatever happened to them.
    pub errors: AtomicU64,
    /// Attempts that failed and were repeated.
    pub retries: AtomicU64,
    /// How far behind the source is, in its own unit; `u64::MAX`: unknown.
    pub lag: AtomicU64,
}

/// The counts at one moment.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Snapshot {
    /// See [`Counters::records_in`].
    pub records_in: u64,
    /// See [`Counters::bytes_in`].
    pub bytes_in: u64,
    /// See [`Counters::records_out`].
    pub records_out: u64,
    /// See [`Counters::bytes_out`].
    pub bytes_out: u64,
    /// See [`Counters::filtered`].
    pub filtered: u64,
    /// See [`Counters::dead_lettered`].
    pub dead_lettered: u64,
    /// See [`Counters::dropped`].
    pub dropped: u64,
    /// See [`Counters::errors`].
    pub errors: u64,
    /// See [`Counters::retries`].
    pub retries: u64,
    /// See [`Counters::lag`].
    pub lag: Option<u64>,
}

impl Counters {
    /// Adds to a count.
    pub fn add(counter: &AtomicU64, count: u64) {
        counter.fetch_add(count, Ordering::Relaxed);
    }

    /// Gives the counts now.
    pub fn snapshot(&self) -> Snapshot {
        let load = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        let lag = load(&self.lag);
        Snapshot {
            records_in: load(&self.records_in),
            bytes_in: load(&self.bytes_in),
            records_out: load(&self.records_out),
            bytes_out: load(&self.bytes_out),
            filtered: load(&self.filtered),
            dead_lettered: load(&self.dead_lettered),
            dropped: load(&self.dropped),
            errors: load(&self.errors),
            retries: load(&self.retries),
            lag: (lag != u64::MAX).then_some(lag),
        }
    }
}

/// What a flow promises about each record.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Guarantee {
    /// It arrives; after a crash it may arrive twice.
    AtLeastOnce,
    /// It arrives once: the sink keeps the source's positions together with the records.
    ExactlyOnce,
}

/// What a flow did, for people and programs.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Summary {
    /// `namespace/name`.
    pub flow: String,
    /// The counts at the end.
    #[serde(flatten)]
    pub counts: Snapshot,
    /// Records that are not finished; they are read again at the next start.
    pub unfinished: u64,
    /// How long it ran.
    pub elapsed_seconds: f64,
    /// What was promised.
    pub guarantee: Guarantee,
}

impl Summary {
    /// Makes the summary of a flow.
    pub(super) fn new(
        flow: String,
        counts: Snapshot,
        unfinished: u64,
        elapsed: Duration,
        guarantee: Guarantee,
    ) -> Self {
        let elapsed_seconds = (elapsed.as_secs_f64() * 1000.0).round() / 1000.0;
        Summary { flow, counts, unfinished, elapsed_seconds, guarantee }
    }
}

/// Why a flow stopped before its source ended.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum FlowError {
    /// A part of the flow is checked but cannot run in this program.
    #[error("{0}")]
    NotBuiltIn(String),
    /// The flow cannot be built.
    #[error("{0}")]
    Build(String),
    /// A record failed and the policy is to stop.
    #[error(
        "{stage} failed on the record at {partition}:{offset}: {message}; set `onError: dlq` with an `errors` sink, or `onError: drop`, to go on without it"
    )]
    Record {
        /// The stage.
        stage: String,
        /// The partition of the source.
        partition: String,
        /// The position in it.
        offset: u64,
        /// Why.
        message: String,
    },
    /// Too many records failed.
    #[error(
        "{failed} of {seen} records failed, more than the share of {max} that `errors.maxRatio` allows"
    )]
    TooManyFailures {
        /// Records that failed.
        failed: u64,
        /// Records seen.
        seen: u64,
        /// The share, as text.
        max: String,
    },
    /// What is under way must be thrown away, and read again from what is stored.
    #[error("{message}")]
    Restart {
        /// Why.
        message: String,
    },
    /// A source, sink or store failed for good.
    #[error("{stage}: {message}")]
    Stage {
        /// The stage.
        stage: String,
        /// Why, with causes.
        message: String,
        /// The kind.
        kind: ErrorKind,
    },
}

impl FlowError {
    /// Gives the kind that exit codes derive from.
    pub fn kind(&self) -> ErrorKind {
        match self {
            FlowError::NotBuiltIn(_) | FlowError::Build(_) | FlowError::Record { .. } => {
                ErrorKind::Invalid
            }
            FlowError::TooManyFailures { .. } | FlowError::Restart { .. } => ErrorKind::Unavailable,
            FlowError::Stage { kind, .. } => *kind,
        }
    }
}
