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
//! - Nobody waits for longer than [`Patience::all`] at a time, or [`Patience::still`] where nothing moves. After that the
//!   place counts as slow: until it is half empty it is not waited for, and what is too much is superseded or dropped there,
//!   counted. So is every wait, and every one that was in vain.
//! - Waiting and publishing are two steps, so that what must not wait can publish without; a margin keeps what others
//!   publish between the two steps from being too much.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use super::Topics;

/// How long one publisher waits while events are stored and delivered. Ours: a transaction on a busy disk, some times over.
const ALL_DEFAULT: Duration = Duration::from_secs(3);

/// How long it waits while nothing moves. Ours: a handler that hangs holds up a task for a second, and once.
const STILL_DEFAULT: Duration = Duration::from_secs(1);

/// Between two looks; what is waited is counted in these, so that a process that stood still has not waited. Ours: some
/// hundred events of a fast handler.
const STEP: Duration = Duration::from_millis(1);

/// Who waits goes on when one in so many places is free, so that it does not wait for each event. Together with
/// [`Patience::all`] it says how fast a handler has to be: some 80 events a second with the default length.
const PART: usize = 20;

/// Places that are kept for those who have looked and not yet published. Ours: more than there are threads for tasks.
const MARGIN_MAX: usize = 256;

/// How long who publishes waits for room.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Patience {
    /// At a time; nothing means that nobody waits.
    pub all: Duration,
    /// Since the last event was stored or delivered.
    pub still: Duration,
}

/// How often somebody waited.
#[derive(Debug, Default)]
pub(super) struct Waits {
    pub(super) begun: AtomicU64,
    pub(super) in_vain: AtomicU64,
}

/// How full a place for events is, and how much fits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Load {
    pub(super) used: usize,
    pub(super) most: usize,
    /// Grows when events are stored or leave.
    pub(super) moved: u64,
}

/// How long somebody has waited.
struct Waited {
    patience: Patience,
    all: Duration,
    /// Since something moved.
    still: Duration,
    moved: Option<u64>,
}

/// What comes of a look.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Look {
    Enough,
    Wait,
    InVain,
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

// === impl Patience ===

impl Default for Patience {
    fn default() -> Self {
        Patience { all: ALL_DEFAULT, still: STILL_DEFAULT }
    }
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
        let mut waited = self.begin();
        while self.is_waiting(&mut waited, &short) {
            // Real time: a clock of a test may stand still.
            std::thread::sleep(STEP);
        }
    }

    /// Waits until there is room for what is published to a topic, for a bounded time.
    pub async fn room(&self, topic: &str) {
        let Some(short) = self.short(topic) else { return };
        let mut waited = self.begin();
        while self.is_waiting(&mut waited, &short) {
            self.0.deps.clock.sleep(STEP).await;
        }
    }

    fn begin(&self) -> Waited {
        self.0.waits.begun.fetch_add(1, Ordering::Relaxed);
        Waited::new(self.0.settings.patience)
    }

    fn is_waiting(&self, waited: &mut Waited, places: &[Box<dyn Place + Send>]) -> bool {
        match waited.look(places) {
            Look::Wait => return true,
            Look::Enough => {}
            Look::InVain => {
                self.0.waits.in_vain.fetch_add(1, Ordering::Relaxed);
            }
        }
        false
    }

    /// Gives the places of a topic that are nearly full, if there are any.
    fn short(&self, topic: &str) -> Option<Vec<Box<dyn Place + Send>>> {
        if self.0.settings.patience.all.is_zero() {
            return None;
        }
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
    fn new(patience: Patience) -> Self {
        Waited { patience, all: Duration::ZERO, still: Duration::ZERO, moved: None }
    }

    /// Says whether to wait for another step; gives up where it has been long enough.
    fn look(&mut self, places: &[Box<dyn Place + Send>]) -> Look {
        let loads: Vec<Option<Load>> = places.iter().map(|place| place.load()).collect();
        let both = places.iter().zip(&loads);
        let short = both.filter(|(place, load)| !place.room().is_enough(**load));
        let short: Vec<&dyn Place> = short.map(|(place, _)| &**place as &dyn Place).collect();
        if short.is_empty() {
            return Look::Enough;
        }
        let moved = loads.iter().flatten().map(|load| load.moved).fold(0, u64::wrapping_add);
        if self.moved.replace(moved).is_some_and(|before| before != moved) {
            self.still = Duration::ZERO;
        }
        if self.all < self.patience.all && self.still < self.patience.still {
            self.all += STEP;
            self.still += STEP;
            return Look::Wait;
        }
        short.iter().filter(|place| place.room().give_up()).for_each(|place| place.tell_slow());
        Look::InVain
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

    /// Patience in steps, that where nothing moves, looks that find it full, looks that find that something moved; what comes
    /// of it, and the steps that were waited.
    type Case = (u32, u32, u64, &'static [u64], Look, u64);

    /// Nearly full for so many looks; something moves at some of them.
    #[derive(Default)]
    struct Fake {
        room: Room,
        looks: AtomicU64,
        full: u64,
        moves: &'static [u64],
    }

    impl Place for std::sync::Arc<Fake> {
        fn load(&self) -> Option<Load> {
            let look = self.looks.fetch_add(1, Ordering::Relaxed);
            let moved = self.moves.iter().filter(|at| **at <= look).count() as u64;
            Some(Load { used: if look < self.full { 100 } else { 0 }, most: 100, moved })
        }

        fn room(&self) -> &Room {
            &self.room
        }

        fn tell_slow(&self) {}
    }

    #[test]
    fn nobody_waits_for_longer_than_the_settings_say() {
        let steps = |count: u32| STEP * count;
        let cases: &[Case] = &[
            (5, 9, u64::MAX, &[], Look::InVain, 5),
            (5, 9, 6, &[], Look::InVain, 5),
            (5, 9, 5, &[], Look::Enough, 5),
            (9, 2, u64::MAX, &[], Look::InVain, 2),
            (9, 2, 3, &[], Look::InVain, 2),
            (9, 2, 2, &[], Look::Enough, 2),
            // It moves at the last moment, then no more.
            (9, 2, u64::MAX, &[2], Look::InVain, 4),
            (9, 2, u64::MAX, &[3], Look::InVain, 2),
            (9, 2, u64::MAX, &[2, 4, 6, 8], Look::InVain, 9),
            // What moved before anybody looked is nothing that moves.
            (9, 2, u64::MAX, &[0], Look::InVain, 2),
            (9, 0, u64::MAX, &[], Look::InVain, 0),
        ];
        for case in cases {
            let (all, still, full, moves, wanted, waited_steps) = *case;
            let fake = std::sync::Arc::new(Fake { full, moves, ..Fake::default() });
            let places: Vec<Box<dyn Place + Send>> = vec![Box::new(fake.clone())];
            let mut waited = Waited::new(Patience { all: steps(all), still: steps(still) });
            let (mut count, mut look) = (0, waited.look(&places));
            while look == Look::Wait {
                count += 1;
                look = waited.look(&places);
            }
            assert_eq!((look, count), (wanted, waited_steps), "{case:?}");
            assert_eq!(fake.room.is_slow.load(Ordering::Relaxed), look == Look::InVain, "{case:?}");
        }
    }
}
