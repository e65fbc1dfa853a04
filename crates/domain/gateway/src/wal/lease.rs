//! A record under way to its destination.

use std::sync::Arc;

use super::lanes::Lane;
use super::ledger::DropReason;
use super::queue::Shared;
use super::record::Record;
use super::state::Taken;

/// A record that somebody sends; dropped without an outcome, it waits again.
#[must_use = "a lease that is dropped waits again"]
pub struct Lease {
    taken: Option<Taken>,
    shared: Arc<Shared>,
}

/// What became of a record.
#[derive(Debug)]
pub enum Outcome {
    /// The destination took it.
    Delivered,
    /// It is given up.
    Dropped(DropReason),
    /// The destination refused it for good; it goes to the dead-letter store.
    DeadLetter {
        /// What the destination said; at most 1,024 bytes are kept.
        reason: String,
        /// What the points count as when there is no store.
        otherwise: DropReason,
    },
    /// It was split, and the parts ended differently. Points that no part names count as [`DropReason::Poison`].
    Parts {
        /// Points that the destination took.
        delivered: u32,
        /// Points that are given up.
        dropped: Vec<(DropReason, u32)>,
        /// The part that goes to the dead-letter store, and why.
        letter: Option<(Record, String)>,
    },
    /// It waits again, and comes before what was not tried yet.
    Retry,
}

// === impl Lease ===

impl Lease {
    pub(super) fn new(taken: Taken, shared: Arc<Shared>) -> Self {
        Lease { taken: Some(taken), shared }
    }

    /// Gives the record.
    pub fn record(&self) -> &Record {
        &self.taken().record
    }

    /// Gives the number of the record, the same after a restart.
    pub fn sequence(&self) -> u64 {
        self.taken().mark.sequence
    }

    /// Gives how often it was tried before, as far as this process knows.
    pub fn attempts(&self) -> u16 {
        self.taken().attempts
    }

    /// Gives the lane that it came from.
    pub fn lane(&self) -> Lane {
        self.taken().lane
    }

    /// Says what became of the record; never waits.
    pub fn done(mut self, outcome: Outcome) {
        if let Some(taken) = self.taken.take() {
            self.shared.settle(taken, outcome);
        }
    }

    /// Says whether the body was read from a file.
    pub fn is_from_disk(&self) -> bool {
        self.taken().is_from_disk
    }

    fn taken(&self) -> &Taken {
        self.taken.as_ref().expect("it is there until the outcome is known")
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        if let Some(taken) = self.taken.take() {
            self.shared.give_back(taken);
        }
    }
}
