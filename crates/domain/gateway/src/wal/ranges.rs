//! A set of records: all before a place, and ranges behind it.
//!
//! Places carry points and bytes as well as numbers, so that what lies between two ranges is known without reading it.

use std::collections::BTreeMap;

use super::record::Mark;

/// Which records are claimed, or finished.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Ranges {
    prefix: Mark,
    /// First number → where it begins and ends; neither touching each other nor the prefix.
    behind: BTreeMap<u64, (Mark, Mark)>,
}

// === impl Ranges ===

impl Ranges {
    /// Makes the set of all records before a place.
    pub(super) fn before(prefix: Mark) -> Self {
        Ranges { prefix, behind: BTreeMap::new() }
    }

    /// Gives the place of the first record that is not in the set.
    pub(super) fn prefix(&self) -> Mark {
        self.prefix
    }

    /// Gives the ranges behind the prefix.
    pub(super) fn behind(&self) -> impl ExactSizeIterator<Item = (Mark, Mark)> + '_ {
        self.behind.values().copied()
    }

    pub(super) fn contains(&self, sequence: u64) -> bool {
        sequence < self.prefix.sequence || self.range_of(sequence).is_some()
    }

    /// Gives the first place at or behind `mark` whose record is not in the set.
    pub(super) fn skip(&self, mark: Mark) -> Mark {
        if mark.sequence < self.prefix.sequence {
            return self.prefix;
        }
        self.range_of(mark.sequence).map_or(mark, |(_, end)| end)
    }

    /// Gives where the next range behind `sequence` begins.
    pub(super) fn next_start(&self, sequence: u64) -> Option<Mark> {
        let (_, (start, _)) = self.behind.range(sequence + 1..).next()?;
        Some(*start)
    }

    /// Tells whether all records from `start` up to `end` are in the set.
    pub(super) fn covers(&self, start: u64, end: u64) -> bool {
        end <= self.prefix.sequence
            || start >= end
            || self
                .range_of(start.max(self.prefix.sequence))
                .is_some_and(|(_, range_end)| end <= range_end.sequence)
    }

    /// Gives what is not in the set between two places.
    pub(super) fn gaps(&self, start: Mark, end: Mark) -> Vec<(Mark, Mark)> {
        let mut gaps = Vec::new();
        let mut at = self.skip(start);
        while at.sequence < end.sequence {
            match self.next_start(at.sequence).filter(|next| next.sequence < end.sequence) {
                Some(next) => {
                    gaps.push((at, next));
                    at = self.skip(next);
                }
                None => {
                    gaps.push((at, end));
                    break;
                }
            }
        }
        gaps
    }

    /// Tells whether a place can be one of the log that the set is about: its points and bytes lie between those of the
    /// ranges around it.
    pub(super) fn admits(&self, mark: Mark) -> bool {
        let is_ordered = |one: Mark, other: Mark| {
            one.sequence <= other.sequence
                && one.points <= other.points
                && one.position <= other.position
                && (one.sequence != other.sequence || one == other)
        };
        let before = self.behind.range(..=mark.sequence).next_back();
        let (start, end) = before.map_or((Mark::default(), self.prefix), |(_, range)| *range);
        if mark.sequence <= end.sequence {
            return is_ordered(start, mark) && is_ordered(mark, end);
        }
        let next = self.next_start(mark.sequence);
        is_ordered(end, mark) && next.is_none_or(|next| is_ordered(mark, next))
    }

    /// Adds the records from `start` up to `end`, none of which is in the set.
    pub(super) fn insert(&mut self, start: Mark, end: Mark) {
        debug_assert!(start.sequence < end.sequence, "{start:?} {end:?}");
        debug_assert_eq!(self.gaps(start, end), [(start, end)], "records are added once");
        if start.sequence == self.prefix.sequence {
            self.prefix = end;
            if let Some((_, end)) = self.behind.remove(&end.sequence) {
                self.prefix = end;
            }
            return;
        }
        let before = self.behind.range(..start.sequence).next_back();
        let start = match before {
            Some((_, (earlier, touching))) if touching.sequence == start.sequence => *earlier,
            _ => start,
        };
        let end = self.behind.remove(&end.sequence).map_or(end, |(_, later)| later);
        self.behind.insert(start.sequence, (start, end));
    }

    fn range_of(&self, sequence: u64) -> Option<(Mark, Mark)> {
        let (_, range) = self.behind.range(..=sequence).next_back()?;
        (sequence < range.1.sequence).then_some(*range)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    fn mark(sequence: u64) -> Mark {
        Mark { sequence, points: sequence * 10, position: sequence * 100 }
    }

    proptest! {
        #[test]
        fn it_is_a_set(order in Just((0_u64..60).collect::<Vec<_>>()).prop_shuffle(), count in 0_usize..60, lengths in proptest::collection::vec(1_u64..4, 60)) {
            let mut set = Ranges::before(mark(0));
            let mut model = BTreeSet::new();
            for (start, length) in order.into_iter().zip(lengths).take(count) {
                let end = (start..(start + length).min(60)).take_while(|number| !model.contains(number)).last();
                let Some(end) = end else { continue };
                model.extend(start..=end);
                set.insert(mark(start), mark(end + 1));
                for number in 0..61 {
                    prop_assert_eq!(set.contains(number), model.contains(&number), "{}", number);
                    let skipped = (number..).find(|number| !model.contains(number)).unwrap();
                    prop_assert_eq!(set.skip(mark(number)), mark(skipped));
                    let covered = (5..number).all(|number| model.contains(&number));
                    prop_assert_eq!(set.covers(5, number), covered, "5..{}", number);
                }
                let missing: u64 = set.gaps(mark(0), mark(60)).iter().map(|(start, end)| end.points - start.points).sum();
                prop_assert_eq!(missing, (60 - model.len() as u64) * 10);
            }
            // Ranges that touch are one.
            let ends: Vec<u64> = set.behind().map(|(_, end)| end.sequence).collect();
            prop_assert!(ends.iter().all(|end| !set.contains(*end)));
        }
    }
}
