//! Back-pressure: who publishes faster than events leave waits for room, for a bounded time.
//!
//! ```text
//! task ─▶ wait_for_room ─▶ publish ─▶ outbox of handler 1, outbox of handler 2, …, history
//!            ▲                             │ nearly full
//!            └── until a part is free ◀────┘
//! ```
//!
//! - A handler that is fast (log files, sockets of this machine) therefore loses nothing in a flood: the task slows down,
//!   and its own queue, and who writes points, after it.
//! - Nobody waits for longer than [`PATIENCE`] at a time, or [`PATIENCE_STILL`] where nothing moves. After that the place
//!   counts as slow: until it is half empty it is not waited for, and what is too much is superseded or dropped there,
//!   counted.
//! - Waiting and publishing are two steps, so that what must not wait can publish without; a margin keeps what others
//!   publish between the two steps from being too much.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use super::Topics;

/// How long one publisher waits while events are stored and delivered. Ours: a transaction on a busy disk, some times over.
const PATIENCE: Duration = Duration::from_secs(3);

/// How long it waits while nothing moves. Ours: a handler that hangs holds up a task for a second, and once.
const PATIENCE_STILL: Duration = Duration::from_secs(1);

/// Between two looks. Ours: some hundred events of a fast handler.
const STEP: Duration = Duration::from_millis(1);

/// Who waits goes on when one in so many places is free, so that it does not wait for each event. Together with
/// [`PATIENCE`] it says how fast a handler has to be: some 80 events a second with the default length.
const PART: usize = 20;

/// Places that are kept for those who have looked and not yet published. Ours: more than there are threads for tasks.
const MARGIN_MAX: usize = 256;

/// How full a place for events is, and how much fits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Load {
    pub(super) used: usize,
    pub(super) most: usize,
    /// Grows when events are stored or leave.
    pub(super) moved: u64,
}

/// How long somebody has waited.
#[derive(Default)]
struct Waited {
    all: Duration,
    /// Since something moved.
    still: Duration,
    moved: u64,
}

/// Whether it is worth waiting for room in a place.
#[derive(Debug, Default)]
pub(super) struct Room {
    is_slow: AtomicBool,
}

/// A place for events that can be nearly full.
pub(super) trait Place {
    /// Gives how full it is; nothing when waiting is of no use, since nothing leaves at present.
    fn load(&self) -> Option<Load>;

    /// Gives what is remembered of waiting for it.
    fn room(&self) -> &Room;

    /// Says in the log that it is not waited for any more.
    fn tell_slow(&self);
}

// === impl Load ===

impl Load {
    /// Says whether so many more fit, beside the margin.
    fn has_room(self, more: usize) -> bool {
        let margin = (self.most / 4).min(MARGIN_MAX);
        self.used.saturating_add(margin).saturating_add(more) <= self.most
    }
}

// === impl Room ===

impl Room {
    /// Says whether who publishes should wait first.
    fn is_short(&self, load: Option<Load>) -> bool {
        let Some(load) = load else { return false };
        if self.is_slow.load(Ordering::Relaxed) {
            if load.used > load.most / 2 {
                return false;
            }
            self.is_slow.store(false, Ordering::Relaxed);
        }
        !load.has_room(1)
    }

    /// Says whether who waited may go on.
    fn is_enough(&self, load: Option<Load>) -> bool {
        load.is_none_or(|load| load.has_room((load.most / PART).max(1)))
    }

    /// Notes that somebody waited in vain; says whether that is news.
    fn give_up(&self) -> bool {
        !self.is_slow.swap(true, Ordering::Relaxed)
    }
}

// === impl Topics ===

impl Topics {
    /// Waits until there is room for what is published to a topic, for a bounded time. Blocks the thread.
    ///
    /// For threads that work for one task at a time. Everybody else publishes without it, or uses [`Topics::room`].
    pub fn wait_for_room(&self, topic: &str) {
        let Some(short) = self.short(topic) else { return };
        let mut waited = Waited::default();
        while waited.is_waiting(&short) {
            // Real time: a clock of a test may stand still.
            std::thread::sleep(STEP);
        }
    }

    /// Waits until there is room for what is published to a topic, for a bounded time.
    pub async fn room(&self, topic: &str) {
        let Some(short) = self.short(topic) else { return };
        let mut waited = Waited::default();
        while waited.is_waiting(&short) {
            self.0.deps.clock.sleep(STEP).await;
        }
    }

    /// Gives the places of a topic that are nearly full, if there are any.
    fn short(&self, topic: &str) -> Option<Vec<Box<dyn Place + Send>>> {
        let mut short: Vec<Box<dyn Place + Send>> = Vec::new();
        if let Some(topic) = self.known(topic) {
            topic.places(|place| {
                if place.room().is_short(place.load()) {
                    short.push(Box::new(place.clone()));
                }
            });
        }
        if let Some(writer) = self.0.writer.as_ref().filter(|_| self.0.settings.keeps_history)
            && writer.room().is_short(writer.load())
        {
            short.push(Box::new(std::sync::Arc::clone(writer)));
        }
        (!short.is_empty()).then_some(short)
    }
}

// === impl Waited ===

impl Waited {
    /// Says whether to wait for another step; gives up where it has been long enough.
    fn is_waiting(&mut self, places: &[Box<dyn Place + Send>]) -> bool {
        let loads: Vec<Option<Load>> = places.iter().map(|place| place.load()).collect();
        let both = places.iter().zip(&loads);
        let short = both.filter(|(place, load)| !place.room().is_enough(**load));
        let short: Vec<&dyn Place> = short.map(|(place, _)| &**place as &dyn Place).collect();
        if short.is_empty() {
            return false;
        }
        let moved = loads.iter().flatten().map(|load| load.moved).fold(0, u64::wrapping_add);
        self.still = if moved == self.moved { self.still + STEP } else { Duration::ZERO };
        (self.moved, self.all) = (moved, self.all + STEP);
        if self.all <= PATIENCE && self.still <= PATIENCE_STILL {
            return true;
        }
        short.iter().filter(|place| place.room().give_up()).for_each(|place| place.tell_slow());
        false
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slow_place_is_waited_for_again_when_it_is_half_empty() {
        let room = Room::default();
        let at = |used| Some(Load { used, most: 1_000, moved: 0 });
        // The margin is a quarter.
        assert!(!room.is_short(at(749)));
        assert!(room.is_short(at(750)));
        assert!(!room.is_enough(at(701)) && room.is_enough(at(700)));
        assert!(!room.is_short(None) && room.is_enough(None));
        assert!(room.give_up() && !room.give_up());
        assert!(!room.is_short(at(1_000)) && !room.is_short(at(501)));
        assert!(!room.is_short(at(500)));
        assert!(room.is_short(at(750)), "it was half empty since");
    }

    #[test]
    fn small_and_large_places_have_a_margin() {
        for (most, first_short) in [(1, 1), (4, 3), (5_000, 4_744)] {
            let room = Room::default();
            let is_short = |used| room.is_short(Some(Load { used, most, moved: 0 }));
            assert!(is_short(first_short) && !is_short(first_short - 1), "{most}");
        }
    }
}
