//! What a queue knows: which records wait, are claimed, are finished; a structure without files, clock or tasks.
//!
//! ```text
//! publish ─▶ waits (in the log; the latest also in memory) ─▶ claimed: fetched ─▶ leased ─▶ finished
//!                                                                 ▲               │
//!                                                                 └── returned ◀──┘ retry
//! ```

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;

use levada_model::{Category, Timestamp};

use super::lanes::{Lane, Lanes};
use super::ledger::{Counts, DropReason, Ledger};
use super::ranges::Ranges;
use super::record::{Mark, Record};
use super::settings::{Keep, QueueSettings};

/// A number for each category.
pub type PerCategory = [u64; Category::ALL.len()];

/// A claimed record.
#[derive(Clone, Debug)]
pub(super) struct Taken {
    pub(super) mark: Mark,
    pub(super) after: Mark,
    pub(super) record: Record,
    pub(super) attempts: u16,
    pub(super) lane: Lane,
    /// Whether its body was read from a file.
    pub(super) is_from_disk: bool,
}

/// What there is to send.
pub(super) enum Pick {
    /// This record; it is leased now.
    Lease(Taken),
    /// Nothing that may be sent now.
    Nothing,
}

/// What is to be read from the log next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Fetch {
    pub(super) lane: Lane,
    pub(super) at: Mark,
    /// Where what is not claimed ends.
    pub(super) stop: Mark,
}

/// The oldest record that nobody holds.
pub(super) enum Oldest {
    /// It is known.
    Known,
    /// Its header has to be read.
    Unread(Fetch),
    /// All that is queued is leased.
    None,
}

pub(super) struct State {
    settings: QueueSettings,
    pub(super) tail: Mark,
    /// Where the log ended when it was opened. What is before it was found, and may not be what it says it is.
    opened: Mark,
    pub(super) claimed: Ranges,
    pub(super) finished: Ranges,
    pub(super) ledger: Ledger,
    queued_records: u64,
    pub(super) queued_points: u64,
    pub(super) queued_bytes: u64,
    /// The latest records, one behind the other up to the tail.
    recent: VecDeque<(Mark, Record)>,
    /// Records that waited too long.
    pub(super) expired: PerCategory,
    recent_bytes: u64,
    fetched: [VecDeque<Taken>; 2],
    fetched_bytes: u64,
    returned: BTreeMap<u64, Taken>,
    leased: usize,
    lanes: Lanes,
    /// First sequences of the segments.
    pub(super) segments: BTreeSet<u64>,
    /// Records finished since the cursor was written.
    pub(super) finished_since_cursor: u64,
    /// Whether the cursor would say something new.
    pub(super) is_cursor_old: bool,
}

// === impl Taken ===

impl Taken {
    /// Gives the bytes that the record takes in the log.
    pub(super) fn bytes(&self) -> u64 {
        self.after.position - self.mark.position
    }
}

// === impl State ===

impl State {
    pub(super) fn new(
        settings: QueueSettings,
        tail: Mark,
        finished: Ranges,
        ledger: Ledger,
    ) -> Self {
        let gaps = finished.gaps(finished.prefix(), tail);
        let lanes = Lanes::new(settings.fresh_age, settings.fresh_share, tail);
        State {
            settings,
            tail,
            opened: tail,
            claimed: finished.clone(),
            queued_records: gaps.iter().map(|(start, end)| end.sequence - start.sequence).sum(),
            queued_points: gaps.iter().map(|(start, end)| end.points - start.points).sum(),
            queued_bytes: gaps.iter().map(|(start, end)| end.position - start.position).sum(),
            finished,
            ledger,
            recent: VecDeque::new(),
            expired: PerCategory::default(),
            recent_bytes: 0,
            fetched: Default::default(),
            fetched_bytes: 0,
            returned: BTreeMap::new(),
            leased: 0,
            lanes,
            segments: BTreeSet::new(),
            finished_since_cursor: 0,
            is_cursor_old: false,
        }
    }

    pub(super) fn settings(&self) -> &QueueSettings {
        &self.settings
    }

    /// Gives where the points are.
    pub(super) fn counts(&self) -> Counts {
        self.ledger.counts(self.tail, self.queued_points)
    }

    /// Gives the number of records that are claimed and in memory.
    #[cfg(test)]
    pub(super) fn held_records(&self) -> usize {
        self.returned.len() + self.fetched.iter().map(VecDeque::len).sum::<usize>()
    }

    /// Gives the number of leased records.
    pub(super) fn leased(&self) -> usize {
        self.leased
    }

    /// Gives the number of records that wait or are under way.
    pub(super) fn queued_records(&self) -> u64 {
        self.queued_records
    }

    /// Takes a record that is in the log now.
    pub(super) fn publish(&mut self, now: Duration, record: Record) -> Mark {
        let (mark, bytes) = (self.tail, record.stored_bytes());
        self.lanes.appended(now, mark);
        self.tail = mark.after(record.points, bytes);
        self.queued_records += 1;
        self.queued_points += u64::from(record.points);
        self.queued_bytes += bytes;
        self.recent.push_back((mark, record));
        self.recent_bytes += bytes;
        self.trim_recent();
        mark
    }

    /// Gives the next record to send.
    pub(super) fn pick(&mut self, now: Duration, today: Timestamp) -> Pick {
        while self.leased < self.settings.leases_max {
            let Some(taken) = self.take(now) else { return Pick::Nothing };
            if self.is_expired(&taken.record, today) {
                self.finish(taken.mark, taken.after);
                self.ledger.drop_points(DropReason::Expired, taken.record.points.into());
                self.count_expired(DropReason::Expired, taken.record.category);
                continue;
            }
            self.leased += 1;
            return Pick::Lease(taken);
        }
        Pick::Nothing
    }

    /// Counts a record that waited too long.
    pub(super) fn count_expired(&mut self, reason: DropReason, category: Category) {
        if reason == DropReason::Expired {
            self.expired[category as usize] += 1;
        }
    }

    /// Gives how many records are in memory, by category.
    pub(super) fn in_memory(&self) -> PerCategory {
        let mut counts = PerCategory::default();
        for (_, record) in &self.recent {
            counts[record.category as usize] += 1;
        }
        counts
    }

    /// Tells what is to be read, so that senders find it.
    pub(super) fn next_fetch(&mut self, now: Duration) -> Option<Fetch> {
        if self.settings.keep == Keep::Memory
            || self.fetched_bytes >= self.settings.read_ahead_bytes_max
        {
            return None;
        }
        self.lanes.refresh(now, &self.claimed, self.tail);
        let lanes = self.lanes.order();
        lanes.into_iter().find_map(|lane| {
            let at = self.next_of(lane)?;
            let is_short = self.fetched[lane.index()].len() < READ_AHEAD_RECORDS_MAX;
            (is_short && self.recent_at(at).is_none()).then(|| self.fetch(lane, at))
        })
    }

    /// Takes a record that was read; nothing when it was claimed meanwhile.
    pub(super) fn fetched(&mut self, taken: Taken) {
        if self.claimed.contains(taken.mark.sequence) {
            return;
        }
        let lane = taken.lane;
        self.claim(taken.mark, taken.after);
        self.fetched_bytes += taken.bytes();
        self.fetched[lane.index()].push_back(taken);
    }

    /// Gives up all records between two places that nobody has claimed; gives their points.
    pub(super) fn give_up(&mut self, start: Mark, end: Mark, reason: DropReason) -> u64 {
        let mut points = 0;
        for (start, end) in self.claimed.gaps(start, end) {
            self.claim(start, end);
            self.finish(start, end);
            points += end.points - start.points;
        }
        self.ledger.drop_points(reason, points);
        points
    }

    /// Finds the oldest record that nobody holds.
    pub(super) fn oldest(&self) -> Oldest {
        let head = self.claimed.prefix();
        let is_unclaimed = head.sequence < self.tail.sequence;
        match self.oldest_held() {
            Some(held) if !is_unclaimed || held < head.sequence => Oldest::Known,
            _ if is_unclaimed && self.recent_at(head).is_some() => Oldest::Known,
            _ if is_unclaimed => Oldest::Unread(self.fetch(Lane::Backlog, head)),
            _ => Oldest::None,
        }
    }

    /// Gives up the oldest record, which [`State::oldest`] said is known, unless `is_wanted` says no.
    pub(super) fn drop_oldest(
        &mut self,
        reason: DropReason,
        is_wanted: impl Fn(&Self, &Record) -> bool,
    ) -> bool {
        let head = self.claimed.prefix();
        let is_unclaimed = head.sequence < self.tail.sequence;
        match self.oldest_held() {
            Some(held) if !is_unclaimed || held < head.sequence => {
                if !self.held(held).is_some_and(|taken| is_wanted(self, &taken.record)) {
                    return false;
                }
                let Some(taken) = self.take_held(held) else { return false };
                self.finish(taken.mark, taken.after);
                self.ledger.drop_points(reason, taken.record.points.into());
                self.count_expired(reason, taken.record.category);
                true
            }
            _ if is_unclaimed => {
                let Some(record) = self.recent_at(head) else { return false };
                if !is_wanted(self, record) {
                    return false;
                }
                let after = head.after(record.points, record.stored_bytes());
                let category = record.category;
                self.give_up(head, after, reason);
                self.count_expired(reason, category);
                true
            }
            _ => false,
        }
    }

    /// Tells whether the record has waited longer than it may.
    pub(super) fn is_expired(&self, record: &Record, today: Timestamp) -> bool {
        self.is_too_old(record.packed_at, today)
    }

    pub(super) fn is_too_old(&self, packed_at: Timestamp, today: Timestamp) -> bool {
        self.settings.age_max.is_some_and(|age_max| {
            let age = i128::from(today.0) - i128::from(packed_at.0);
            age > i128::try_from(age_max.as_nanos()).unwrap_or(i128::MAX)
        })
    }

    /// Ends a lease: the points are wherever the caller counted them.
    pub(super) fn settle(&mut self, taken: &Taken) {
        self.leased -= 1;
        self.finish(taken.mark, taken.after);
    }

    /// Ends a lease: the record waits again.
    pub(super) fn put_back(&mut self, taken: Taken) {
        self.leased -= 1;
        self.returned.insert(taken.mark.sequence, taken);
    }

    /// Tells whether anything could be sent or read.
    pub(super) fn has_waiting(&self) -> bool {
        !self.returned.is_empty()
            || self.fetched.iter().any(|lane| !lane.is_empty())
            || self.claimed.prefix().sequence < self.tail.sequence
    }

    /// Gives the segments whose records are all in `finished`; the last one stays.
    pub(super) fn spent_segments(&self, finished: &Ranges) -> Vec<u64> {
        let next = self.segments.iter().skip(1);
        self.segments
            .iter()
            .zip(next)
            .filter(|(first, next)| finished.covers(**first, **next))
            .map(|(first, _)| *first)
            .collect()
    }

    fn finish(&mut self, start: Mark, end: Mark) {
        self.finished.insert(start, end);
        self.queued_records -= end.sequence - start.sequence;
        self.queued_points -= end.points - start.points;
        self.queued_bytes -= end.position - start.position;
        self.finished_since_cursor += end.sequence - start.sequence;
        self.is_cursor_old = true;
    }

    fn claim(&mut self, start: Mark, end: Mark) {
        self.claimed.insert(start, end);
        self.trim_recent();
    }

    fn take(&mut self, now: Duration) -> Option<Taken> {
        if let Some((_, taken)) = self.returned.pop_first() {
            return Some(taken);
        }
        self.lanes.refresh(now, &self.claimed, self.tail);
        let order = self.lanes.order();
        let taken = order.into_iter().find_map(|lane| self.take_of(lane))?;
        self.lanes.served(taken.lane, taken.bytes());
        Some(taken)
    }

    fn take_of(&mut self, lane: Lane) -> Option<Taken> {
        if let Some(taken) = self.fetched[lane.index()].pop_front() {
            self.fetched_bytes -= taken.bytes();
            return Some(taken);
        }
        let mark = self.next_of(lane)?;
        let record = self.recent_at(mark)?.clone();
        let after = mark.after(record.points, record.stored_bytes());
        let taken = Taken { mark, after, record, attempts: 0, lane, is_from_disk: false };
        self.claim(mark, taken.after);
        Some(taken)
    }

    /// Gives the place of the next record of a lane that is not claimed.
    fn next_of(&self, lane: Lane) -> Option<Mark> {
        let mark = match lane {
            Lane::Fresh => self.claimed.skip(self.lanes.live()),
            Lane::Backlog if self.lanes.has_backlog() => self.claimed.prefix(),
            Lane::Backlog => return None,
        };
        (mark.sequence < self.tail.sequence).then_some(mark)
    }

    fn fetch(&self, lane: Lane, at: Mark) -> Fetch {
        let end = if at.sequence < self.opened.sequence { self.opened } else { self.tail };
        let next = self.claimed.next_start(at.sequence);
        let stop = next.filter(|next| next.sequence < end.sequence).unwrap_or(end);
        Fetch { lane, at, stop }
    }

    fn recent_at(&self, mark: Mark) -> Option<&Record> {
        let (front, _) = self.recent.front()?;
        let index = usize::try_from(mark.sequence.checked_sub(front.sequence)?).ok()?;
        self.recent.get(index).map(|(_, record)| record)
    }

    /// Forgets records that are claimed, and the oldest ones when there are too many.
    fn trim_recent(&mut self) {
        let bytes_max = match self.settings.keep {
            Keep::Disk => self.settings.memory_bytes_max,
            Keep::Memory => u64::MAX,
        };
        while let Some((mark, record)) = self.recent.front()
            && (self.recent_bytes > bytes_max || self.claimed.contains(mark.sequence))
        {
            self.recent_bytes -= record.stored_bytes();
            self.recent.pop_front();
        }
    }

    fn oldest_held(&self) -> Option<u64> {
        let fetched = self.fetched.iter().filter_map(VecDeque::front);
        let fetched = fetched.map(|taken| taken.mark.sequence);
        fetched.chain(self.returned.keys().next().copied()).min()
    }

    fn held(&self, sequence: u64) -> Option<&Taken> {
        let fetched = self.fetched.iter().filter_map(VecDeque::front);
        fetched.chain(self.returned.get(&sequence)).find(|taken| taken.mark.sequence == sequence)
    }

    fn take_held(&mut self, sequence: u64) -> Option<Taken> {
        if let Some(taken) = self.returned.remove(&sequence) {
            return Some(taken);
        }
        let mut lanes = self.fetched.iter_mut();
        let lane = lanes.find(|lane| lane.front().is_some_and(|t| t.mark.sequence == sequence))?;
        let taken = lane.pop_front()?;
        self.fetched_bytes -= taken.bytes();
        Some(taken)
    }
}

/// Most records of a lane that are read ahead.
const READ_AHEAD_RECORDS_MAX: usize = 1_024;
