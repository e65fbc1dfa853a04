//! Rows that were handed out already, among those that are read again.

use std::collections::HashMap;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};

use super::plan::Mark;

/// Rows that are remembered. Ours: 48 MB, and more than a window of seconds holds as a rule.
const ROWS_MAX: usize = 1_000_000;

/// The rows of the window, by a hash of 128 bits.
#[derive(Default)]
pub(super) struct Seen {
    rows: HashMap<(u64, u64), u64>,
    poll: u64,
}

/// Which transactions a snapshot saw: `xmin:xmax:running,running`.
///
/// Source: PostgreSQL, "Transaction ID and Snapshot Information Functions".
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Snapshot {
    xmax: u64,
    running: Vec<u64>,
}

// === impl Seen ===

impl Seen {
    /// Forgets every row.
    pub(super) fn clear(&mut self) {
        self.rows.clear();
    }

    /// Begins a poll.
    pub(super) fn begin(&mut self) {
        self.poll += 1;
    }

    /// Notes a row, and tells whether it is new.
    pub(super) fn is_new(&mut self, mark: &Mark) -> bool {
        self.rows.insert(hash(mark), self.poll).is_none()
    }

    /// Ends a poll that read the whole window: rows that it did not meet have left it.
    pub(super) fn end(&mut self) {
        let poll = self.poll;
        self.rows.retain(|_, met| *met == poll);
    }

    /// Tells whether no more rows can be remembered.
    pub(super) fn is_full(&self) -> bool {
        self.rows.len() >= ROWS_MAX
    }
}

fn hash(mark: &Mark) -> (u64, u64) {
    let mut first = DefaultHasher::new();
    (&mark.change, &mark.key).hash(&mut first);
    let mut second = DefaultHasher::new();
    (&mark.key, 1u8, &mark.change).hash(&mut second);
    (first.finish(), second.finish())
}

// === impl Snapshot ===

impl Snapshot {
    /// Reads the text form.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let mut parts = text.split(':');
        let _xmin: u64 = parts.next()?.parse().ok()?;
        let xmax = parts.next()?.parse().ok()?;
        let running = parts.next()?.split(',').filter(|id| !id.is_empty());
        let running: Result<Vec<u64>, _> = running.map(str::parse).collect();
        Some(Snapshot { xmax, running: running.ok()? })
    }

    /// Tells whether the snapshot saw what a transaction wrote; rows keep the low 32 bits of its number.
    pub(super) fn saw(&self, transaction: u32) -> bool {
        const HALF: u64 = 1 << 31;
        let mut id = (self.xmax & !u64::from(u32::MAX)) | u64::from(transaction);
        if id > self.xmax + HALF {
            id = id.saturating_sub(2 * HALF);
        } else if id + HALF < self.xmax {
            id += 2 * HALF;
        }
        id < self.xmax && !self.running.contains(&id)
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use super::*;

    #[test]
    fn a_snapshot_knows_what_it_saw() {
        let snapshot = Snapshot::parse("100:105:100,103").unwrap();
        let saw: Vec<bool> = (99..107).map(|id| snapshot.saw(id)).collect();
        assert_eq!(saw, [true, false, true, true, false, true, false, false]);
        // Numbers wrap around after 32 bits.
        let snapshot = Snapshot::parse("4294967300:4294967300:").unwrap();
        assert!(snapshot.saw(u32::MAX) && snapshot.saw(3) && !snapshot.saw(4) && !snapshot.saw(9));
        assert_eq!(Snapshot::parse("x"), None);
    }

    #[test]
    fn rows_that_left_the_window_are_forgotten() {
        let mark = |key: &str| Mark { change: None, key: key.into() };
        let mut seen = Seen::default();
        seen.begin();
        assert!(seen.is_new(&mark("1")) && seen.is_new(&mark("2")) && !seen.is_new(&mark("1")));
        seen.begin();
        assert!(!seen.is_new(&mark("2")));
        seen.end();
        assert!(seen.is_new(&mark("1")));
    }
}
