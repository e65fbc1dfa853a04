//! The watermark of a task: how far its data have come.
//!
//! Off by default, as upstream has only the times of the data: then a window is closed by the next point of its group. When
//! it is on, windows, joins, unions and the like are closed as soon as no older data are to be expected.

use levada_model::Timestamp;

/// When data count as complete.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WatermarkSettings {
    /// Nanoseconds that a point may be behind the newest one; later ones are dropped, counted.
    pub lateness: i64,
    /// Nanoseconds without data after which the watermark follows the clock; 0 means never.
    pub idle: i64,
}

/// The watermark of a running task.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Watermark {
    settings: WatermarkSettings,
    /// The newest time of the data; nothing before the first point.
    newest: Option<Timestamp>,
    /// The clock when the last point came, or when the watermark last followed it.
    seen: Timestamp,
    /// The last one that the nodes were told.
    told: Timestamp,
    late: u64,
}

/// Nodes are told again only after the data have moved on by this part of the lateness.
const STEPS: i64 = 8;
/// …and by this at least. Source: ours; each time costs a call per node.
const STEP_MIN: i64 = 10_000_000;

// === impl Watermark ===

impl Watermark {
    pub(crate) fn new(settings: WatermarkSettings, now: Timestamp) -> Self {
        Watermark { settings, newest: None, seen: now, told: Timestamp(i64::MIN), late: 0 }
    }

    /// Says whether a point comes too late; it is counted then.
    pub(crate) fn is_late(&mut self, time: Timestamp) -> bool {
        let is_late = time < self.told;
        self.late += u64::from(is_late);
        is_late
    }

    /// Takes note of a point; gives what the nodes are to be told before it.
    pub(crate) fn advance(&mut self, time: Timestamp, now: Timestamp) -> Option<Timestamp> {
        self.seen = now;
        if self.newest.is_some_and(|newest| time <= newest) {
            return None;
        }
        self.newest = Some(time);
        let next = minus(time, self.settings.lateness);
        let step = (self.settings.lateness / STEPS).max(STEP_MIN);
        self.tell(next, step)
    }

    /// Gives what the nodes are to be told because no data came for long enough.
    pub(crate) fn follow(&mut self, now: Timestamp) -> Option<Timestamp> {
        if self.idle_at().is_none_or(|due| now < due) {
            return None;
        }
        let newest = self.newest?;
        let passed = now.0.saturating_sub(self.seen.0);
        self.newest = Some(Timestamp(newest.0.saturating_add(passed)));
        self.seen = now;
        let next = minus(Timestamp(newest.0.saturating_add(passed)), self.settings.lateness);
        self.tell(next, 1)
    }

    /// Gives when the clock is to be looked at.
    pub(crate) fn idle_at(&self) -> Option<Timestamp> {
        self.newest?;
        let idle = self.settings.idle;
        (idle > 0).then(|| Timestamp(self.seen.0.saturating_add(idle)))
    }

    /// Gives what the nodes are to be told at the end of the data.
    pub(crate) fn last(&self) -> Option<Timestamp> {
        self.newest.map(|_| Timestamp(i64::MAX))
    }

    /// Counts the points that came too late.
    pub(crate) fn late(&self) -> u64 {
        self.late
    }

    /// Gives what is saved: the newest time and what the nodes were told.
    pub(crate) fn saved(&self) -> (Option<Timestamp>, Timestamp) {
        (self.newest, self.told)
    }

    /// Goes on with what was saved.
    pub(crate) fn restore(&mut self, newest: Option<Timestamp>, told: Timestamp, now: Timestamp) {
        (self.newest, self.told, self.seen) = (newest, told, now);
    }

    fn tell(&mut self, next: Timestamp, step: i64) -> Option<Timestamp> {
        let is_far = self.told.0 == i64::MIN || next.0.saturating_sub(self.told.0) >= step;
        if !is_far {
            return None;
        }
        self.told = next;
        Some(next)
    }
}

fn minus(time: Timestamp, nanos: i64) -> Timestamp {
    Timestamp(time.0.saturating_sub(nanos))
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: i64 = 1_000_000_000;

    fn at(seconds: i64) -> Timestamp {
        Timestamp(seconds * SECOND)
    }

    #[test]
    fn it_stays_behind_the_newest_point_and_never_goes_back() {
        let settings = WatermarkSettings { lateness: 8 * SECOND, idle: 0 };
        let mut watermark = Watermark::new(settings, at(0));
        assert_eq!(watermark.advance(at(100), at(0)), Some(at(92)));
        assert!(!watermark.is_late(at(92)));
        assert!(watermark.is_late(at(91)));
        assert_eq!(watermark.advance(at(95), at(0)), None, "an older point moves nothing");
        assert_eq!(
            watermark.advance(Timestamp(at(100).0 + SECOND / 2), at(0)),
            None,
            "a small step"
        );
        assert_eq!(watermark.advance(at(101), at(0)), Some(at(93)));
        assert_eq!(watermark.late(), 1);
    }

    #[test]
    fn it_follows_the_clock_when_no_data_come() {
        let settings = WatermarkSettings { lateness: SECOND, idle: 10 * SECOND };
        let mut watermark = Watermark::new(settings, at(0));
        assert_eq!(watermark.follow(at(50)), None, "there were no data yet");
        watermark.advance(at(1_000), at(50));
        assert_eq!(watermark.idle_at(), Some(at(60)));
        assert_eq!(watermark.follow(at(59)), None);
        assert_eq!(watermark.follow(at(60)), Some(at(1_009)));
        assert_eq!(watermark.follow(at(65)), None);
        assert_eq!(watermark.follow(at(70)), Some(at(1_019)));
    }
}
