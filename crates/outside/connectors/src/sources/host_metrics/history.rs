//! What the sample before said, by instance name, and how much counters grew since.

use std::collections::HashMap;

/// Values of the sample before, by instance; instances that vanish are forgotten.
pub(super) struct History<const N: usize> {
    entries: HashMap<Vec<u8>, Past<N>>,
    sample: u64,
}

/// Growth of the counters of one instance.
#[derive(Debug, PartialEq)]
pub(super) struct Growth<const N: usize> {
    /// Growth of each counter.
    pub(super) by: [u64; N],
    /// Seconds in which they grew; above zero.
    pub(super) seconds: f64,
}

struct Past<const N: usize> {
    counters: [u64; N],
    time: i64,
    sample: u64,
}

// === impl History ===

impl<const N: usize> Default for History<N> {
    fn default() -> Self {
        Self { entries: HashMap::new(), sample: 0 }
    }
}

impl<const N: usize> History<N> {
    /// Stores the counters of `name` at `time` and gives those it had before, with their time.
    pub(super) fn swap(
        &mut self,
        name: &[u8],
        time: i64,
        counters: [u64; N],
    ) -> Option<([u64; N], i64)> {
        let now = Past { counters, time, sample: self.sample };
        if let Some(past) = self.entries.get_mut(name) {
            let past = std::mem::replace(past, now);
            return Some((past.counters, past.time));
        }
        self.entries.insert(name.to_vec(), now);
        None
    }

    /// Stores the counters of `name` at `time` and gives their growth since the sample before.
    ///
    /// `None` the first time, when time did not advance, and when the instance was reset.
    pub(super) fn advance(
        &mut self,
        name: &[u8],
        time: i64,
        counters: [u64; N],
    ) -> Option<Growth<N>> {
        let (past, past_time) = self.swap(name, time, counters)?;
        let nanos = time.checked_sub(past_time).filter(|nanos| *nanos > 0)?;
        let mut by = [0; N];
        for index in 0..N {
            by[index] = growth(past[index], counters[index])?;
        }
        Some(Growth { by, seconds: nanos as f64 / 1e9 })
    }

    /// Ends the sample: forgets the instances that were not stored in it.
    pub(super) fn forget_unseen(&mut self) {
        let sample = self.sample;
        self.entries.retain(|_, past| past.sample == sample);
        self.sample += 1;
    }
}

// === impl Growth ===

impl<const N: usize> Growth<N> {
    /// Growth of the counter at `index` per second.
    pub(super) fn rate(&self, index: usize) -> f64 {
        self.by.get(index).map_or(0.0, |by| *by as f64 / self.seconds)
    }
}

/// Gives how much a counter grew, also across its end; `None` when it was set back instead.
///
/// The kernel counts in 64 bits, some drivers and all disk times in 32. A counter that fell from
/// the last quarter of either range into the first one went on counting; any other fall means that
/// the device was replaced or its driver reloaded.
fn growth(past: u64, now: u64) -> Option<u64> {
    const QUARTER_32: u64 = 1 << 30;
    const QUARTER_64: u64 = 1 << 62;
    if now >= past {
        Some(now - past)
    } else if (3 * QUARTER_32..4 * QUARTER_32).contains(&past) && now < QUARTER_32 {
        Some(4 * QUARTER_32 - past + now)
    } else if past >= 3 * QUARTER_64 && now < QUARTER_64 {
        Some(now.wrapping_sub(past))
    } else {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: i64 = 1_000_000_000;

    #[test]
    fn counters_grow_across_their_end_and_a_fall_is_a_reset() {
        let end_32 = u64::from(u32::MAX);
        assert_eq!(growth(5, 7), Some(2));
        assert_eq!(growth(end_32, 4), Some(5));
        assert_eq!(growth(end_32 + 1, 4), None, "not a counter of 32 bits");
        assert_eq!(growth(u64::MAX, 0), Some(1));
        assert_eq!(growth(1000, 3), None);
        assert_eq!(growth(end_32, 1 << 31), None, "too far for one interval");
    }

    #[test]
    fn one_counter_set_back_hides_all_rates_of_the_instance() {
        let mut history = History::<2>::default();
        assert_eq!(history.advance(b"eth0", 0, [u64::from(u32::MAX), 1000]), None);
        assert_eq!(history.advance(b"eth0", SECOND, [10, 1]), None);
        let growth = Growth { by: [4, 2], seconds: 2.0 };
        assert_eq!(history.advance(b"eth0", 3 * SECOND, [14, 3]), Some(growth));
    }

    #[test]
    fn time_that_stands_or_goes_back_gives_no_rates() {
        let mut history = History::<1>::default();
        for time in [SECOND, SECOND, 0, i64::MAX, i64::MIN] {
            let growth = history.advance(b"sda", time, [1]);
            assert_eq!(growth.is_some(), time == i64::MAX, "at {time}");
        }
    }

    #[test]
    fn an_instance_that_was_away_starts_anew() {
        let mut history = History::<1>::default();
        history.swap(b"sdb", 0, [1]);
        history.forget_unseen();
        assert!(history.swap(b"sdb", 1, [2]).is_some());
        history.forget_unseen();
        history.forget_unseen();
        assert!(history.swap(b"sdb", 2, [3]).is_none());
    }
}
