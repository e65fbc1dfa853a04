//! What stands between writers and senders: the queue of one destination.
//!
//! ```text
//! push ─▶ queued ─ next ─▶ leased ─ finish ─▶ delivered, dropped, dead-lettered
//!            ▲                └── give back ──┘
//! ```
//! Senders and writers know this trait only. [`MemoryOutbox`] keeps everything in memory.

mod memory;

use async_trait::async_trait;
use levada_model::ErrorKind;
use thiserror::Error;

pub use self::memory::MemoryOutbox;

use crate::wal::{Counts, DropReason, Record};

/// A record that a sender has.
#[derive(Clone, Debug)]
pub struct Parcel {
    /// Its number in the queue.
    pub token: u64,
    /// What is to be sent.
    pub record: Record,
    /// How often it was tried, by this process or one before.
    pub attempts: u16,
}

/// What became of a record.
#[derive(Clone, Debug, PartialEq)]
pub enum Outcome {
    /// The receiver has it.
    Delivered,
    /// It was given up.
    Dropped(DropReason),
    /// The receiver refuses it for good, for this reason.
    Refused(String),
    /// It was halved and its parts met different ends. Together they are all of it.
    Parts {
        /// Points that the receiver has.
        delivered: u32,
        /// Points that waited too long.
        expired: u32,
        /// Records that it refuses, each with a reason.
        refused: Vec<(Record, String)>,
    },
    /// The sender stops; the record waits again.
    Returned,
}

/// Why a queue does not take a record.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum PushError {
    /// It is closed.
    #[error("the gateway is stopping")]
    Closed,
    /// The record is larger than the queue.
    #[error("the points do not fit into the queue: {0}")]
    TooLarge(String),
    /// The disk does not take it.
    #[error("the points cannot be kept: {0}")]
    Storage(String),
}

/// The queue of a destination.
#[async_trait]
pub trait Outbox: Send + Sync + 'static {
    /// Adds a record; it is as durable as the queue makes records when this returns. May wait while the queue is full.
    async fn push(&self, record: Record) -> Result<(), PushError>;

    /// Counts points of a destination that never became a record.
    fn refuse(&self, reason: DropReason, points: u64);

    /// Gives the next record as soon as there is one; `None` when the queue is closed.
    ///
    /// Dropping the future takes nothing.
    async fn next(&self) -> Option<Parcel>;

    /// Gives the next record if it is there already and has no more than `bytes_max` bytes.
    fn try_next(&self, bytes_max: usize) -> Option<Parcel>;

    /// Says what became of a record.
    fn finish(&self, parcel: Parcel, outcome: Outcome);

    /// Gives where all points are.
    fn counts(&self) -> Counts;

    /// Ends it: nothing more is taken, and who waits for the next record is told.
    fn close(&self);
}

// === impl PushError ===

impl PushError {
    /// Says of what kind it is.
    pub fn kind(&self) -> ErrorKind {
        match self {
            PushError::Closed | PushError::Storage(_) => ErrorKind::Unavailable,
            PushError::TooLarge(_) => ErrorKind::TooLarge,
        }
    }
}
