//! Which partitions are owned, from where each is read, and up to where it is committed.
//!
//! Pure: nothing here talks to a broker.

use std::collections::{BTreeMap, BTreeSet};

use levada_model::{Position, Str};

/// Who keeps the positions of the flow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Keeper {
    /// The group: the source commits what is finished.
    Group,
    /// The group, through a Kafka sink's transactions: the source commits nothing.
    Transactions,
    /// Another sink's transactions; the source tells the group afterwards, for people and monitoring.
    Sink,
}

/// Where a partition starts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Start {
    At(i64),
    Earliest,
    Latest,
}

/// The partitions of a source.
#[derive(Debug, Default)]
pub(super) struct Offsets {
    /// Positions that the engine gave when it opened the source.
    pub(super) given: BTreeMap<i32, i64>,
    owned: BTreeMap<i32, Owned>,
    /// A partition was given away since the source was opened.
    pub(super) is_lost: bool,
    /// Partitions were assigned since the source was opened.
    pub(super) has_begun: bool,
    /// Partitions that were read to their end.
    pub(super) at_end: BTreeSet<i32>,
}

#[derive(Clone, Copy, Debug, Default)]
struct Owned {
    /// What the group has, as far as is known; commits only go forward from here.
    confirmed: Option<i64>,
    /// Up to where the engine has finished and stored.
    finished: Option<i64>,
}

// === impl Offsets ===

impl Offsets {
    /// Gives where a partition starts that was assigned, or that is opened again.
    ///
    /// `committed` is what the group has. See the documentation of the source for the reasons.
    pub(super) fn start(
        &self,
        partition: i32,
        committed: Option<i64>,
        keeper: Keeper,
        fallback: Start,
    ) -> Start {
        let given = self.given.get(&partition).copied();
        let at = match keeper {
            Keeper::Group | Keeper::Transactions => committed.or(given),
            Keeper::Sink => given.max(committed),
        };
        at.map_or(fallback, Start::At)
    }

    /// Takes a partition over.
    pub(super) fn own(&mut self, partition: i32, committed: Option<i64>) {
        self.owned.insert(partition, Owned { confirmed: committed, finished: None });
        self.at_end.remove(&partition);
    }

    /// Goes back, or on, to a position that the engine asks for; commits go forward from there.
    pub(super) fn rewind(&mut self, partition: i32, at: i64) {
        if let Some(owned) = self.owned.get_mut(&partition) {
            owned.confirmed = owned.confirmed.filter(|&known| known <= at);
            owned.finished = owned.finished.filter(|&known| known <= at);
        }
    }

    /// Gives a partition away, and what of it is finished and not committed.
    pub(super) fn give_away(&mut self, partition: i32) -> Option<i64> {
        let owned = self.owned.remove(&partition)?;
        owned.finished.filter(|&finished| owned.confirmed.is_none_or(|known| finished > known))
    }

    /// Takes what the engine finished, and gives what of it is to be committed: only partitions that are
    /// owned, and only forward.
    pub(super) fn finish(&mut self, upto: &[(Str, Position)], topic: &str) -> Vec<(i32, i64)> {
        let mut commits = Vec::new();
        for (name, position) in upto {
            let Some((partition, offset)) = parse(name, position, topic) else { continue };
            let Some(owned) = self.owned.get_mut(&partition) else { continue };
            let known = owned.finished.max(owned.confirmed);
            if known.is_none_or(|known| offset > known) {
                owned.finished = Some(offset);
                commits.push((partition, offset));
            }
        }
        commits
    }

    /// Takes what the group has answered to a commit.
    pub(super) fn confirm(&mut self, partition: i32, offset: i64) {
        if let Some(owned) = self.owned.get_mut(&partition) {
            owned.confirmed = owned.confirmed.max(Some(offset));
        }
    }

    /// Gives the partitions that are owned.
    pub(super) fn owned(&self) -> impl Iterator<Item = i32> {
        self.owned.keys().copied()
    }

    /// Tells whether every partition was read to its end; there must be one.
    pub(super) fn is_at_end(&self) -> bool {
        !self.owned.is_empty() && self.owned.keys().all(|owned| self.at_end.contains(owned))
    }

    /// Tells whether a partition is owned.
    pub(super) fn owns(&self, partition: i32) -> bool {
        self.owned.contains_key(&partition)
    }

    /// Takes the positions that the engine opens the source with; other topics' are no business of it.
    pub(super) fn give(&mut self, positions: &[(Str, Position)], topic: &str) {
        self.given = positions.iter().filter_map(|(name, at)| parse(name, at, topic)).collect();
    }
}

/// Makes the name of a partition.
pub(super) fn name(topic: &str, partition: i32) -> Str {
    format!("{topic}/{partition}").into()
}

/// Reads a partition and its next offset.
pub(super) fn parse(name: &str, position: &Position, topic: &str) -> Option<(i32, i64)> {
    let (of, partition) = name.rsplit_once('/')?;
    let offset = position.as_i64().filter(|&offset| offset >= 0)?;
    Some((partition.parse().ok()?, offset)).filter(|_| of == topic)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn positions(list: &[(&str, i64)]) -> Vec<(Str, Position)> {
        list.iter().map(|&(name, at)| (name.into(), at.into())).collect()
    }

    #[test]
    fn what_the_group_has_counts_unless_a_sink_keeps_positions() {
        let mut offsets = Offsets::default();
        offsets.give(&positions(&[("t/0", 100), ("other/1", 7), ("t/x", 1), ("t/2", -1)]), "t");
        for (partition, committed, keeper, start) in [
            (0, Some(50), Keeper::Group, Start::At(50)),
            (0, Some(500), Keeper::Group, Start::At(500)),
            (0, None, Keeper::Group, Start::At(100)),
            (0, Some(50), Keeper::Transactions, Start::At(50)),
            (0, Some(50), Keeper::Sink, Start::At(100)),
            (0, Some(500), Keeper::Sink, Start::At(500)),
            (1, None, Keeper::Group, Start::Latest),
            (2, None, Keeper::Sink, Start::Latest),
        ] {
            let found = offsets.start(partition, committed, keeper, Start::Latest);
            assert_eq!(found, start, "{partition} {committed:?} {keeper:?}");
        }
    }

    #[test]
    fn commits_go_forward_and_only_for_owned_partitions() {
        let mut offsets = Offsets::default();
        offsets.own(0, Some(10));
        offsets.own(1, None);
        let finished = positions(&[("t/0", 9), ("t/1", 0), ("t/2", 5), ("u/0", 99)]);
        assert_eq!(offsets.finish(&finished, "t"), [(1, 0)]);
        assert_eq!(offsets.finish(&positions(&[("t/0", 12), ("t/1", 3)]), "t"), [(0, 12), (1, 3)]);
        offsets.confirm(0, 12);
        assert_eq!(offsets.give_away(0), None);
        assert_eq!(offsets.give_away(1), Some(3), "what was not confirmed is committed once more");
        // Another member went on to 500; what of the first time is still under way says nothing.
        offsets.own(0, Some(500));
        assert_eq!(offsets.finish(&positions(&[("t/0", 40)]), "t"), [(0, 0); 0]);
    }
}
