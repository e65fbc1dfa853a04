//! Acknowledgements, counted per batch.
//!
//! A source hands out batches; for each origin in a batch (a partition and the position behind its
//! last record) the tracker keeps one counter of records that are not dealt with yet. Steps that drop
//! or split records change it once per batch; a sink counts down by as many records as it answered
//! for. The tracker keeps the counters of a partition in reading order and gives the position up to
//! which everything is finished, without a gap.
//!
//! Invariants
//! - A counter that reached zero never counts again; a debug build asserts it.
//! - A position is given out only when every record before it in its partition is finished.
//! - Records that are lost with a crashed part never finish, so their position is never committed.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use crate::value::Str;

/// Where a source stands in one partition; its form belongs to the source.
pub type Position = serde_json::Value;

/// Called whenever an origin finishes, so that the source can look at the tracker.
pub type Wake = Arc<dyn Fn() + Send + Sync>;

/// The counter of one origin; cheap to clone.
#[derive(Clone)]
pub struct Ack(Arc<State>);

struct State {
    pending: AtomicU64,
    held: AtomicBool,
    wake: Wake,
}

impl std::fmt::Debug for Ack {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Ack({} pending)", self.pending())
    }
}

// === impl Ack ===

impl Ack {
    /// Counts `records` more that must be dealt with; called before they can be finished.
    pub fn add(&self, records: u64) {
        if records > 0 {
            let before = self.0.pending.fetch_add(records, Ordering::Relaxed);
            debug_assert!(before > 0, "records were added to an origin that is finished");
        }
    }

    /// Counts `records` as dealt with: delivered, filtered, or written to the error sink.
    pub fn done(&self, records: u64) {
        if records == 0 {
            return;
        }
        let before = self.0.pending.fetch_sub(records, Ordering::AcqRel);
        debug_assert!(before >= records, "a record was resolved twice");
        if before == records {
            (self.0.wake)();
        }
    }

    /// Counts `records` as dealt with but keeps the position from ever moving past them.
    ///
    /// For `errors.ackPolicy: never`: the records are read again after a restart.
    pub fn hold(&self, records: u64) {
        self.0.held.store(true, Ordering::Release);
        self.done(records);
    }

    /// Gives how many records are not dealt with yet.
    pub fn pending(&self) -> u64 {
        self.0.pending.load(Ordering::Acquire)
    }
}

/// The origins of one source that are not committed yet, in reading order per partition.
pub struct AckTracker {
    partitions: BTreeMap<Str, Partition>,
    wake: Wake,
}

#[derive(Default)]
struct Partition {
    entries: VecDeque<Entry>,
    /// A held record was passed: nothing behind it may be committed in this run.
    blocked: bool,
}

struct Entry {
    ack: Ack,
    position: Position,
    bytes: u64,
}

/// What a tracker still waits for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Unfinished {
    /// Records that are not dealt with.
    pub records: u64,
    /// Bytes of the origins that hold them.
    pub bytes: u64,
    /// Origins, finished ones behind an unfinished one included.
    pub origins: usize,
}

impl AckTracker {
    /// Makes a tracker; `wake` is called from any thread when an origin finishes.
    pub fn new(wake: Wake) -> Self {
        AckTracker { partitions: BTreeMap::new(), wake }
    }

    /// Registers the next origin of a partition.
    ///
    /// `position` is where to go on once this origin and all before it are finished. An origin
    /// without records is finished at once.
    pub fn begin(&mut self, partition: &Str, position: Position, records: u64, bytes: u64) -> Ack {
        let state = State {
            pending: AtomicU64::new(records),
            held: AtomicBool::new(false),
            wake: self.wake.clone(),
        };
        let ack = Ack(Arc::new(state));
        let entry = Entry { ack: ack.clone(), position, bytes };
        self.partitions.entry(partition.clone()).or_default().entries.push_back(entry);
        ack
    }

    /// Takes out what is finished without a gap and gives the new position of each partition that moved.
    pub fn advance(&mut self) -> Vec<(Str, Position)> {
        let mut moved = Vec::new();
        for (name, partition) in &mut self.partitions {
            if let Some(position) = partition.advance() {
                moved.push((name.clone(), position));
            }
        }
        moved
    }

    /// Tells whether nothing is left up to the last of these origins but the records counted here.
    ///
    /// True: when those records are written, the positions of these origins may be stored with them.
    pub fn is_settled(&self, own: &[(Ack, u64)]) -> bool {
        let mut counts: HashMap<*const State, u64> = HashMap::with_capacity(own.len());
        for (ack, count) in own {
            *counts.entry(Arc::as_ptr(&ack.0)).or_default() += count;
        }
        let own_count = |entry: &Entry| counts.get(&Arc::as_ptr(&entry.ack.0)).copied();
        self.partitions.values().all(|partition| {
            let entries = &partition.entries;
            let Some(last) = entries.iter().rposition(|entry| own_count(entry).is_some()) else {
                return true;
            };
            let mut before = entries.range(..=last);
            before.all(|entry| entry.ack.pending() == own_count(entry).unwrap_or(0))
        })
    }

    /// Gives how much is under way.
    pub fn unfinished(&self) -> Unfinished {
        let mut sum = Unfinished::default();
        for partition in self.partitions.values() {
            sum.origins += partition.entries.len();
            for entry in &partition.entries {
                let pending = entry.ack.pending();
                if pending > 0 {
                    sum.records += pending;
                    sum.bytes += entry.bytes;
                }
            }
        }
        sum
    }
}

impl Partition {
    fn advance(&mut self) -> Option<Position> {
        let mut moved = None;
        while let Some(front) = self.entries.front() {
            if front.ack.pending() > 0 {
                break;
            }
            self.blocked |= front.ack.0.held.load(Ordering::Acquire);
            let entry = self.entries.pop_front().expect("the front was just seen");
            if !self.blocked {
                moved = Some(entry.position);
            }
        }
        moved
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tracker() -> (AckTracker, Arc<AtomicU64>) {
        let wakes = Arc::new(AtomicU64::new(0));
        let counter = wakes.clone();
        let wake: Wake = Arc::new(move || {
            counter.fetch_add(1, Ordering::Relaxed);
        });
        (AckTracker::new(wake), wakes)
    }

    #[test]
    fn only_the_contiguous_prefix_is_given_out() {
        let (mut tracker, wakes) = tracker();
        let partition: Str = "p".into();
        let first = tracker.begin(&partition, 10.into(), 2, 100);
        let second = tracker.begin(&partition, 20.into(), 1, 100);
        second.done(1);
        assert_eq!(tracker.advance(), vec![]);
        first.done(1);
        assert_eq!(tracker.advance(), vec![]);
        assert_eq!(tracker.unfinished(), Unfinished { records: 1, bytes: 100, origins: 2 });
        first.done(1);
        assert_eq!(tracker.advance(), vec![(partition, 20.into())]);
        assert_eq!(wakes.load(Ordering::Relaxed), 2);
        assert_eq!(tracker.unfinished(), Unfinished::default());
    }

    #[test]
    fn children_of_a_split_all_count() {
        let (mut tracker, _) = tracker();
        let ack = tracker.begin(&"p".into(), 1.into(), 1, 1);
        ack.add(2);
        ack.done(2);
        assert_eq!(tracker.advance(), vec![]);
        ack.done(1);
        assert_eq!(tracker.advance().len(), 1);
    }

    #[test]
    fn a_held_record_stops_its_partition_only() {
        let (mut tracker, _) = tracker();
        tracker.begin(&"a".into(), 1.into(), 1, 1).hold(1);
        tracker.begin(&"a".into(), 2.into(), 1, 1).done(1);
        tracker.begin(&"b".into(), 3.into(), 1, 1).done(1);
        assert_eq!(tracker.advance(), vec![("b".into(), 3.into())]);
        assert_eq!(tracker.unfinished().origins, 0, "nothing piles up behind a held record");
    }

    #[test]
    fn a_transaction_waits_for_what_others_have_of_its_origins() {
        let (mut tracker, _) = tracker();
        let before = tracker.begin(&"p".into(), 1.into(), 1, 1);
        let own = tracker.begin(&"p".into(), 2.into(), 3, 1);
        let _behind = tracker.begin(&"p".into(), 3.into(), 9, 1);
        let _elsewhere = tracker.begin(&"q".into(), 1.into(), 1, 1);
        let mine = [(own.clone(), 2)];
        assert!(!tracker.is_settled(&mine), "one before it and one of its own are open");
        before.done(1);
        assert!(!tracker.is_settled(&mine));
        own.done(1);
        assert!(tracker.is_settled(&mine), "what is behind it or elsewhere does not matter");
        assert!(tracker.is_settled(&[]));
    }

    #[test]
    fn an_origin_without_records_moves_the_position() {
        let (mut tracker, _) = tracker();
        tracker.begin(&"p".into(), 7.into(), 0, 0);
        assert_eq!(tracker.advance(), vec![("p".into(), 7.into())]);
    }
}
