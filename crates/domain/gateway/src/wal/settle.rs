//! Counts the points of records whose lease is over.

use super::dead_letter::NewLetter;
use super::engine::Inner;
use super::lease::Outcome;
use super::ledger::DropReason;
use super::record::Record;
use super::settings::Keep;
use super::state::{State, Taken};

/// Counts the points of a record whose lease is over.
pub(super) fn settle(inner: &mut Inner, taken: Taken, outcome: Outcome) {
    let state = &mut inner.state;
    let points = u64::from(taken.record.points);
    match outcome {
        Outcome::Delivered => {
            state.settle(&taken);
            state.ledger.delivered += points;
        }
        Outcome::Retry if state.settings().not_kept.contains(taken.record.category) => {
            state.settle(&taken);
            state.ledger.drop_points(DropReason::NotKept, points);
        }
        Outcome::Retry => {
            inner.io.retries += 1;
            state.put_back(Taken { attempts: taken.attempts.saturating_add(1), ..taken });
        }
        Outcome::Dropped(reason) => {
            state.settle(&taken);
            state.ledger.drop_points(reason, points);
        }
        Outcome::DeadLetter { otherwise, .. } if state.settings().keep == Keep::Memory => {
            state.settle(&taken);
            state.ledger.drop_points(otherwise, points);
        }
        Outcome::DeadLetter { reason, otherwise } => {
            inner.new_letters.push(NewLetter { taken, rest: None, reason, otherwise });
        }
        Outcome::Parts { delivered, dropped, letter } => {
            let parts = Parts::of(taken.record.points, delivered, dropped, letter.as_ref());
            match letter {
                Some((mut record, reason)) if state.settings().keep == Keep::Disk => {
                    record.points = parts.lettered;
                    let rest = Some((record, parts));
                    let otherwise = DropReason::Poison;
                    inner.new_letters.push(NewLetter { taken, rest, reason, otherwise });
                }
                _ => {
                    state.settle(&taken);
                    parts.count(state, DropReason::Poison);
                }
            }
        }
    }
}

/// Where the points of a split record went.
pub(super) struct Parts {
    delivered: u32,
    dropped: Vec<(DropReason, u32)>,
    lettered: u32,
}

// === impl Parts ===

impl Parts {
    /// Takes the numbers that a sender gave, so that they add up to the points of the record.
    fn of(
        points: u32,
        delivered: u32,
        mut dropped: Vec<(DropReason, u32)>,
        letter: Option<&(Record, String)>,
    ) -> Parts {
        let mut left = points;
        let mut take = |wanted: u32| {
            let taken = wanted.min(left);
            left -= taken;
            taken
        };
        let lettered = take(letter.map_or(0, |(record, _)| record.points));
        let delivered = take(delivered);
        for (_, points) in &mut dropped {
            *points = take(*points);
        }
        dropped.push((DropReason::Poison, left));
        Parts { delivered, dropped, lettered }
    }

    /// Counts them; those of the letter as dropped for a reason.
    pub(super) fn count(&self, state: &mut State, letter: DropReason) {
        state.ledger.drop_points(letter, self.lettered.into());
        self.count_rest(state);
    }

    /// Gives the points of the letter.
    pub(super) fn lettered(&self) -> u32 {
        self.lettered
    }

    /// Counts all but those of the letter.
    pub(super) fn count_rest(&self, state: &mut State) {
        state.ledger.delivered += u64::from(self.delivered);
        for (reason, points) in &self.dropped {
            state.ledger.drop_points(*reason, (*points).into());
        }
    }
}
