//! Where every point is.

use super::record::Mark;

/// Why points were given up.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum DropReason {
    /// The receiver refused them for good, and there is no dead-letter store.
    Http4xx,
    /// They waited longer than they may.
    Expired,
    /// The queue was full.
    QueueFull,
    /// The disk was full.
    DiskFull,
    /// One point, or a body that cannot be split, is larger than the receiver takes.
    TooLarge,
    /// They could not be encoded.
    EncodeError,
    /// No rule and no rest wants them.
    NoRule,
    /// A filter rejected them.
    FilterError,
    /// The process ended, and the queue was in memory only.
    Shutdown,
    /// They were damaged on the disk.
    Corrupt,
    /// They had been written but were not durable yet when the machine lost its power.
    Lost,
    /// They failed in a way that would go on for ever.
    Poison,
    /// Sending failed, and their category is not kept for another attempt.
    NotKept,
    /// The dead-letter store was full.
    DeadLetterFull,
    /// Somebody dropped them from the dead-letter store.
    DeadLetterDropped,
}

/// Where the points of a queue are; taken at one instant.
///
/// `accepted = delivered + dropped + dead_lettered + queued`. Counts go on from where the process before left them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Points taken.
    pub accepted: u64,
    /// Points that the destination took.
    pub delivered: u64,
    /// Points given up, by [`DropReason::index`].
    pub dropped: [u64; DropReason::ALL.len()],
    /// Points in the dead-letter store.
    pub dead_lettered: u64,
    /// Points that wait or are under way.
    pub queued: u64,
}

/// The part of the counts that is kept in the cursor.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Ledger {
    pub(super) delivered: u64,
    pub(super) dropped: [u64; DropReason::ALL.len()],
    pub(super) dead_lettered: u64,
    /// Points that left the dead-letter store for the queue; there they count a second time.
    pub(super) replayed: u64,
    /// Points that were dropped at the door; they are in no record.
    pub(super) refused: u64,
}

// === impl DropReason ===

impl DropReason {
    /// All reasons, in the order of their index; the index is stored, so new ones go to the end.
    pub const ALL: [DropReason; 15] = [
        DropReason::Http4xx,
        DropReason::Expired,
        DropReason::QueueFull,
        DropReason::DiskFull,
        DropReason::TooLarge,
        DropReason::EncodeError,
        DropReason::NoRule,
        DropReason::FilterError,
        DropReason::Shutdown,
        DropReason::Corrupt,
        DropReason::Lost,
        DropReason::Poison,
        DropReason::NotKept,
        DropReason::DeadLetterFull,
        DropReason::DeadLetterDropped,
    ];

    /// Gives its place in [`DropReason::ALL`].
    pub const fn index(self) -> usize {
        self as usize
    }

    /// Gives the label of metrics.
    pub const fn name(self) -> &'static str {
        match self {
            DropReason::Http4xx => "http_4xx",
            DropReason::Expired => "expired",
            DropReason::QueueFull => "queue_full",
            DropReason::DiskFull => "disk_full",
            DropReason::TooLarge => "too_large",
            DropReason::EncodeError => "encode_error",
            DropReason::NoRule => "no_rule",
            DropReason::FilterError => "filter_error",
            DropReason::Shutdown => "shutdown",
            DropReason::Corrupt => "corrupt",
            DropReason::Lost => "lost",
            DropReason::Poison => "poison",
            DropReason::NotKept => "not_kept",
            DropReason::DeadLetterFull => "dead_letter_full",
            DropReason::DeadLetterDropped => "dead_letter_dropped",
        }
    }
}

// === impl Counts ===

impl Counts {
    /// Gives all points given up.
    pub fn dropped_total(&self) -> u64 {
        self.dropped.iter().sum()
    }

    /// Gives the points given up for one reason.
    pub fn dropped_for(&self, reason: DropReason) -> u64 {
        self.dropped[reason.index()]
    }

    /// Tells whether every point is somewhere.
    pub fn is_balanced(&self) -> bool {
        self.accepted == self.delivered + self.dropped_total() + self.dead_lettered + self.queued
    }
}

// === impl Ledger ===

impl Ledger {
    /// Counts points of records as given up.
    pub(super) fn drop_points(&mut self, reason: DropReason, points: u64) {
        self.dropped[reason.index()] += points;
    }

    /// Counts points that never became a record.
    pub(super) fn refuse(&mut self, reason: DropReason, points: u64) {
        self.refused += points;
        self.drop_points(reason, points);
    }

    pub(super) fn counts(&self, tail: Mark, queued: u64) -> Counts {
        Counts {
            accepted: (tail.points + self.refused).saturating_sub(self.replayed),
            delivered: self.delivered,
            dropped: self.dropped,
            dead_lettered: self.dead_lettered,
            queued,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn reasons_stand_at_their_index_and_have_names_of_their_own() {
        for (index, reason) in DropReason::ALL.into_iter().enumerate() {
            assert_eq!(reason.index(), index);
        }
        let names: BTreeSet<_> = DropReason::ALL.into_iter().map(DropReason::name).collect();
        assert_eq!(names.len(), DropReason::ALL.len());
    }
}
