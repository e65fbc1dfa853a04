//! Which of the waiting records goes next: fresh ones first, while a backlog drains.
//!
//! ```text
//!  prefix of what is claimed        live                     tail
//!      ▼                              ▼                        ▼
//! ─────┼── backlog: oldest first ─────┼── fresh: oldest first ─┼
//! ```
//! Without a backlog both places are the same one, and everything goes in order. What waits longer than the fresh age is
//! backlog. When the fresh lane itself lags by that much, it jumps; what it jumped over becomes backlog.

use std::collections::VecDeque;
use std::time::Duration;

use super::ranges::Ranges;
use super::record::Mark;

/// Most ranges of claimed records; past it the fresh lane does not jump any more, because the cursor holds them all.
pub(super) const RANGES_MAX: usize = 4_096;

/// How many marks are kept of the fresh age.
const MARKS: u32 = 12;

/// Most bytes by which one lane can be owed more than its share.
const OWED_BYTES_MAX: i64 = 8 << 20;

/// One of the two lanes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lane {
    /// What came in lately.
    Fresh,
    /// What has waited.
    Backlog,
}

#[derive(Debug)]
pub(super) struct Lanes {
    fresh_age: Duration,
    /// Percent.
    fresh_share: i64,
    /// When records were appended, and the tail before that; some of them.
    marks: VecDeque<(Duration, Mark)>,
    live: Mark,
    has_backlog: bool,
    /// Bytes that the fresh lane had more than its share, times 100.
    ahead: i64,
}

// === impl Lane ===

impl Lane {
    pub(super) const fn index(self) -> usize {
        self as usize
    }
}

// === impl Lanes ===

impl Lanes {
    /// Makes the lanes of a log that ends at `tail`; all that it holds is backlog.
    pub(super) fn new(fresh_age: Duration, fresh_share: u8, tail: Mark) -> Self {
        Lanes {
            fresh_age,
            fresh_share: i64::from(fresh_share.min(100)),
            marks: VecDeque::new(),
            live: tail,
            has_backlog: false,
            ahead: 0,
        }
    }

    /// Takes note that records were appended at `now` behind `before`.
    pub(super) fn appended(&mut self, now: Duration, before: Mark) {
        let step = self.fresh_age / MARKS;
        if self.marks.back().is_none_or(|(last, _)| *last + step <= now) {
            self.marks.push_back((now, before));
        }
    }

    /// Finds out where the lanes are.
    pub(super) fn refresh(&mut self, now: Duration, claimed: &Ranges, tail: Mark) {
        while self.marks.front().is_some_and(|(at, _)| *at + self.fresh_age <= now) {
            self.marks.pop_front();
        }
        let fresh_since = self.marks.front().map_or(tail, |(_, mark)| *mark);
        let prefix = claimed.prefix();
        self.has_backlog = prefix.sequence < fresh_since.sequence;
        if !self.has_backlog {
            self.live = prefix;
            self.ahead = 0;
        } else if self.live.sequence < fresh_since.sequence {
            let half = self.fresh_age / 2;
            let young = self.marks.iter().find(|(at, _)| *at + half > now);
            self.live = match young {
                _ if claimed.behind().len() >= RANGES_MAX => prefix,
                Some((_, mark)) => *mark,
                None => tail,
            };
        }
        self.live = claimed.skip(self.live);
    }

    pub(super) fn has_backlog(&self) -> bool {
        self.has_backlog
    }

    /// Gives where the fresh lane is.
    pub(super) fn live(&self) -> Mark {
        self.live
    }

    /// Gives the lanes in the order in which they may serve.
    pub(super) fn order(&self) -> [Lane; 2] {
        if self.has_backlog && self.ahead > 0 {
            [Lane::Backlog, Lane::Fresh]
        } else {
            [Lane::Fresh, Lane::Backlog]
        }
    }

    /// Takes note that a lane was served.
    pub(super) fn served(&mut self, lane: Lane, bytes: u64) {
        let bytes = i64::try_from(bytes).unwrap_or(OWED_BYTES_MAX).min(OWED_BYTES_MAX);
        match lane {
            Lane::Fresh => self.ahead += bytes * (100 - self.fresh_share),
            Lane::Backlog => self.ahead -= bytes * self.fresh_share,
        }
        self.ahead = self.ahead.clamp(-OWED_BYTES_MAX * 100, OWED_BYTES_MAX * 100);
    }
}
