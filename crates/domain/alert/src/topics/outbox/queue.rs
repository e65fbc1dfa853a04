//! What waits for one handler: a pure structure without clock, store or tasks.
//!
//! ```text
//! push ─▶ unstored ─▶ storing ─▶ stored ─▶ ready (the first of its event ID) ─▶ in flight ─▶ gone
//!                                              ▲                                   │ failed
//!                                              └─────────── delayed ◀──────────────┘
//! ```
//!
//! Invariants:
//! - Entries of one event ID are tried in the order they were pushed; the next one only when the one before is gone.
//! - A *recovery that is owed* (the event is OK, and the receiver may have heard that it was not) is never superseded,
//!   never expires, and is not dropped for others.
//! - At most `entries_max` other entries and `recoveries_max` owed recoveries.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use levada_model::{Str, Timestamp};

use super::settings::{OutboxSettings, Overflow};
use crate::event::Event;
use crate::level::Level;
use crate::topics::Map;

#[derive(Debug, Default)]
pub(super) struct Queue {
    entries: BTreeMap<u64, Entry>,
    /// Per event ID, in order; without those that are held.
    lines: Map<Str, VecDeque<u64>>,
    /// May be dropped when there are too many.
    droppable: BTreeSet<u64>,
    /// Recoveries that are owed.
    owed: BTreeSet<u64>,
    /// First of their line, stored, not delayed; what was tried less often comes first, so that what fails by itself does
    /// not hold up the rest.
    ready: BTreeSet<(u32, u64)>,
    /// First of their line, not stored yet.
    early: BTreeSet<(u32, u64)>,
    /// Tried before, to be tried again at a time of the monotonic clock.
    delayed: BTreeSet<(Duration, u64)>,
    unstored: BTreeSet<u64>,
    storing: BTreeSet<u64>,
    /// Stored, but gone.
    deleted: BTreeSet<u64>,
    /// Handled, but to be kept until the handler says that it is done with them.
    held: BTreeSet<u64>,
    next: u64,
    /// Entries that were stored, and those that are gone.
    moved: u64,
}

#[derive(Debug)]
struct Entry {
    event: Arc<Event>,
    at: Timestamp,
    /// Before this entry the receiver takes the event for OK, for sure.
    is_quiet_before: bool,
    is_stored: bool,
    attempts: u32,
    phase: Phase,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    Waiting,
    Delayed(Duration),
    InFlight,
    Held,
}

/// An entry as it is stored.
#[derive(Clone, Debug)]
pub struct OutboxEntry {
    /// Its number; grows within a handler.
    pub number: u64,
    /// What is to be sent.
    pub event: Arc<Event>,
    /// When it was accepted.
    pub at: Timestamp,
    /// The receiver takes the event for OK before it hears of this one.
    pub is_quiet_before: bool,
}

/// What came of a push.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Pushed {
    /// Entries that the new one supersedes.
    pub(super) coalesced: u64,
    /// Entries that are lost because there were too many.
    pub(super) dropped: u64,
    /// The new one is among them.
    pub(super) is_lost: bool,
}

/// What is to be sent next.
#[derive(Debug)]
pub(super) struct Taken {
    pub(super) number: u64,
    pub(super) event: Arc<Event>,
    /// How often it was tried before.
    pub(super) attempts: u32,
}

// === impl Entry ===

impl Entry {
    fn is_owed(&self) -> bool {
        self.event.level == Level::Ok && !self.is_quiet_before
    }

    fn is_waiting(&self) -> bool {
        matches!(self.phase, Phase::Waiting | Phase::Delayed(_))
    }

    /// The receiver may have heard that the event is not OK.
    fn may_have_alarmed(&self) -> bool {
        self.attempts > 0 && self.event.level != Level::Ok
    }
}

// === impl Queue ===

impl Queue {
    pub(super) fn len(&self) -> usize {
        self.entries.len()
    }

    /// Counts the entries that `entries_max` is about.
    pub(super) fn load(&self) -> usize {
        self.entries.len() - self.owed.len()
    }

    /// Gives a number that grows when entries are stored or go.
    pub(super) fn moved(&self) -> u64 {
        self.moved
    }

    pub(super) fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Says whether all that is left was handled and is only held.
    pub(super) fn is_all_held(&self) -> bool {
        self.entries.len() == self.held.len()
    }

    /// Says whether nothing waits any more to be sent or to be written to the store.
    pub(super) fn is_settled(&self) -> bool {
        self.is_empty() && self.deleted.is_empty() && self.storing.is_empty()
    }

    /// Takes an entry that an earlier process stored.
    pub(super) fn restore(&mut self, entry: OutboxEntry) {
        let OutboxEntry { number, event, at, is_quiet_before } = entry;
        self.next = self.next.max(number.saturating_add(1));
        if self.entries.contains_key(&number) {
            return;
        }
        // Nobody knows whether it was tried.
        let phase = Phase::Waiting;
        let entry = Entry { event, at, is_quiet_before, is_stored: true, attempts: 1, phase };
        self.insert(number, entry);
    }

    /// Adds an event; `is_away` says that the receiver does not take any at present, so that newer ones supersede older ones.
    pub(super) fn push(
        &mut self,
        event: Arc<Event>,
        at: Timestamp,
        is_away: bool,
        settings: &OutboxSettings,
    ) -> Pushed {
        let mut pushed = Pushed::default();
        let is_full = self.load() >= settings.entries_max;
        let mut is_quiet = event.previous_level == Level::Ok;
        if is_away || is_full {
            let mut may_have_alarmed = false;
            while let Some(last) = self.last_superseded(&event.id) {
                let entry = self.remove(last).expect("it was found just now");
                may_have_alarmed |= entry.may_have_alarmed();
                is_quiet = entry.is_quiet_before && !may_have_alarmed;
                pushed.coalesced += 1;
            }
        }
        if let Some(before) = self.lines.get(&event.id).and_then(|line| line.back()) {
            is_quiet = self.entries[before].event.level == Level::Ok;
        }
        let number = self.next;
        self.next += 1;
        let entry = Entry {
            event,
            at,
            is_quiet_before: is_quiet,
            is_stored: false,
            attempts: 0,
            phase: Phase::Waiting,
        };
        self.unstored.insert(number);
        self.insert(number, entry);
        self.make_room(number, settings, &mut pushed);
        pushed
    }

    /// Finds the last entry of an ID that a newer event makes superfluous.
    fn last_superseded(&self, id: &str) -> Option<u64> {
        let last = *self.lines.get(id)?.back()?;
        let entry = &self.entries[&last];
        (entry.is_waiting() && !entry.is_owed()).then_some(last)
    }

    fn make_room(&mut self, new: u64, settings: &OutboxSettings, pushed: &mut Pushed) {
        while self.load() > settings.entries_max {
            let oldest = self.droppable.first().copied();
            let victim = match settings.overflow {
                Overflow::DropOldest => oldest,
                Overflow::DropNewest => self.droppable.last().copied(),
            };
            // Everything else is in the hands of the handler.
            let Some(victim) = victim else { return };
            self.drop_entry(victim);
            pushed.dropped += 1;
            pushed.is_lost |= victim == new;
        }
        while self.owed.len() > settings.recoveries_max {
            let waiting = self
                .owed
                .iter()
                .copied()
                .find(|number| self.entries.get(number).is_some_and(Entry::is_waiting));
            let Some(victim) = waiting else { return };
            self.drop_entry(victim);
            pushed.dropped += 1;
            pushed.is_lost |= victim == new;
        }
    }

    /// Takes the next entry; `any` takes those, too, that are not stored yet.
    pub(super) fn take(&mut self, now: Duration, any: bool) -> Option<Taken> {
        while let Some((due, number)) = self.delayed.first().copied().filter(|(due, _)| *due <= now)
        {
            self.delayed.remove(&(due, number));
            if let Some(entry) = self.entries.get_mut(&number) {
                entry.phase = Phase::Waiting;
            }
            self.place(number);
        }
        let ready = self.ready.first().copied();
        let early = self.early.first().copied().filter(|_| any);
        let (_, number) = ready.into_iter().chain(early).min()?;
        self.unplace(number);
        let entry = self.entries.get_mut(&number).expect("what is ready is there");
        let attempts = entry.attempts;
        entry.phase = Phase::InFlight;
        entry.attempts = entry.attempts.saturating_add(1);
        let event = Arc::clone(&entry.event);
        self.sort(number);
        Some(Taken { number, event, attempts })
    }

    /// Takes the next entry, and up to `most` together with those behind it, where none of them was tried before.
    ///
    /// What fails by itself is tried by itself.
    pub(super) fn take_some(&mut self, now: Duration, any: bool, most: usize) -> Vec<Taken> {
        let mut some = Vec::from_iter(self.take(now, any));
        let is_fresh = some.first().is_some_and(|first| first.attempts == 0);
        while is_fresh && some.len() < most && self.is_next_fresh(any) {
            some.extend(self.take(now, any));
        }
        some
    }

    fn is_next_fresh(&self, any: bool) -> bool {
        let early = self.early.first().filter(|_| any);
        self.ready.first().into_iter().chain(early).min().is_some_and(|(tries, _)| *tries == 0)
    }

    /// Gives when the next delayed entry is due.
    pub(super) fn next_due(&self) -> Option<Duration> {
        self.delayed.first().map(|(due, _)| *due)
    }

    /// Says that an entry needs no more attempt: it was sent, or it cannot be.
    pub(super) fn finish(&mut self, number: u64) {
        self.remove(number);
    }

    /// Says that an entry was handled, but is to be kept until [`Queue::finish_held`].
    pub(super) fn hold(&mut self, number: u64) {
        let Some(entry) = self.entries.get_mut(&number) else { return };
        entry.phase = Phase::Held;
        let id = Str::clone(&entry.event.id);
        self.held.insert(number);
        self.owed.remove(&number);
        self.leave_line(&id, number);
    }

    /// Lets go of all that is held; gives how many there were.
    pub(super) fn finish_held(&mut self) -> u64 {
        let held = std::mem::take(&mut self.held);
        held.iter().for_each(|number| drop(self.remove(*number)));
        held.len() as u64
    }

    /// Makes all that is held wait again.
    pub(super) fn release_held(&mut self) {
        for number in std::mem::take(&mut self.held) {
            let Some(mut entry) = self.entries.remove(&number) else { continue };
            entry.phase = Phase::Waiting;
            self.insert(number, entry);
        }
    }

    /// Says that an attempt failed.
    pub(super) fn fail(&mut self, number: u64, again: Duration) {
        let Some(entry) = self.entries.get_mut(&number) else { return };
        entry.phase = Phase::Delayed(again);
        self.sort(number);
        self.place(number);
    }

    /// Drops what was accepted before a time; owed recoveries only when nobody is there to send them. Gives how many.
    pub(super) fn expire(&mut self, before: Timestamp, is_orphaned: bool) -> u64 {
        // Numbers grow with time, so the oldest come first; a clock that went back only delays this.
        let mut count = 0;
        while let Some(number) = self.droppable.first().copied()
            && self.entries[&number].at < before
        {
            self.drop_entry(number);
            count += 1;
        }
        while is_orphaned
            && let Some(number) = self.owed.first().copied()
            && self.entries[&number].at < before
        {
            self.drop_entry(number);
            count += 1;
        }
        count
    }

    /// Drops everything that is not in flight; gives how many.
    pub(super) fn clear(&mut self) -> u64 {
        let waiting = self.entries.iter().filter(|(_, entry)| entry.phase != Phase::InFlight);
        let numbers: Vec<u64> = waiting.map(|(number, _)| *number).collect();
        numbers.iter().for_each(|number| drop(self.remove(*number)));
        numbers.len() as u64
    }

    /// Gives what is to be stored.
    pub(super) fn begin_store(&mut self) -> Vec<OutboxEntry> {
        let mut entries = Vec::new();
        while let Some(number) = self.unstored.pop_first() {
            let Some(entry) = self.entries.get(&number) else { continue };
            self.storing.insert(number);
            entries.push(OutboxEntry {
                number,
                event: Arc::clone(&entry.event),
                at: entry.at,
                is_quiet_before: entry.is_quiet_before,
            });
        }
        entries
    }

    /// Says whether there is anything to write.
    pub(super) fn is_dirty(&self) -> bool {
        !self.unstored.is_empty() || !self.deleted.is_empty()
    }

    /// Says how storing went.
    pub(super) fn end_store(&mut self, numbers: &[u64], is_stored: bool) {
        for number in numbers {
            self.storing.remove(number);
            match (self.entries.get_mut(number), is_stored) {
                (Some(entry), true) => {
                    entry.is_stored = true;
                    self.moved += 1;
                    let turn = (entry.attempts, *number);
                    if self.early.remove(&turn) {
                        self.ready.insert(turn);
                    }
                }
                (Some(_), false) => drop(self.unstored.insert(*number)),
                (None, true) => drop(self.deleted.insert(*number)),
                (None, false) => {}
            }
        }
    }

    /// Gives stored entries that are gone.
    pub(super) fn take_deleted(&mut self) -> Vec<u64> {
        std::mem::take(&mut self.deleted).into_iter().collect()
    }

    /// Takes back what could not be deleted.
    pub(super) fn give_back_deleted(&mut self, numbers: &[u64]) {
        self.deleted.extend(numbers);
    }

    fn insert(&mut self, number: u64, entry: Entry) {
        let id = Str::clone(&entry.event.id);
        self.entries.insert(number, entry);
        let line = self.lines.entry(id).or_default();
        let at = line.partition_point(|known| *known < number);
        line.insert(at, number);
        let second = line.get(1).copied().filter(|_| at == 0);
        if let Some(second) = second {
            self.unplace(second);
        }
        self.sort(number);
        self.place(number);
    }

    /// Removes an entry that the receiver never heard of because of it; what follows knows less of a past.
    fn drop_entry(&mut self, number: u64) {
        let follower = self.entries.get(&number).and_then(|entry| {
            let line = self.lines.get(&entry.event.id)?;
            let at = line.iter().position(|known| *known == number)?;
            line.get(at + 1).copied()
        });
        let Some(entry) = self.remove(number) else { return };
        let is_quiet = entry.is_quiet_before && !entry.may_have_alarmed();
        if let Some(number) = follower
            && let Some(next) = self.entries.get_mut(&number)
        {
            // A recovery that was dropped is still unknown to the receiver.
            next.is_quiet_before = is_quiet;
            self.sort(number);
        }
    }

    fn remove(&mut self, number: u64) -> Option<Entry> {
        self.unplace(number);
        let entry = self.entries.remove(&number)?;
        self.moved += 1;
        self.droppable.remove(&number);
        self.owed.remove(&number);
        self.unstored.remove(&number);
        self.held.remove(&number);
        if entry.is_stored {
            self.deleted.insert(number);
        }
        self.leave_line(&entry.event.id, number);
        Some(entry)
    }

    /// Takes an entry out of its line; the next one comes forward.
    fn leave_line(&mut self, id: &Str, number: u64) {
        let Some(line) = self.lines.get_mut(id) else { return };
        match line.front() == Some(&number) {
            true => drop(line.pop_front()),
            false => line.retain(|known| *known != number),
        }
        match line.front().copied() {
            None => drop(self.lines.remove(id)),
            Some(front) => self.place(front),
        }
    }

    /// Notes whether an entry may be dropped, and whether it is owed.
    fn sort(&mut self, number: u64) {
        let Some(entry) = self.entries.get(&number) else { return };
        let (is_owed, is_waiting) = (entry.is_owed(), entry.is_waiting());
        set(&mut self.owed, number, is_owed && entry.phase != Phase::Held);
        set(&mut self.droppable, number, is_waiting && !is_owed);
    }

    /// Puts the first of a line where it is looked for.
    fn place(&mut self, number: u64) {
        let Some(entry) = self.entries.get(&number) else { return };
        let is_first =
            self.lines.get(&entry.event.id).and_then(|line| line.front()) == Some(&number);
        match entry.phase {
            _ if !is_first => {}
            Phase::Waiting if entry.is_stored => {
                self.ready.insert((entry.attempts, number));
            }
            Phase::Waiting => drop(self.early.insert((entry.attempts, number))),
            Phase::Delayed(due) => drop(self.delayed.insert((due, number))),
            Phase::InFlight | Phase::Held => {}
        }
    }

    fn unplace(&mut self, number: u64) {
        let Some(entry) = self.entries.get(&number) else { return };
        self.ready.remove(&(entry.attempts, number));
        self.early.remove(&(entry.attempts, number));
        if let Phase::Delayed(due) = entry.phase {
            self.delayed.remove(&(due, number));
        }
    }
}

fn set(numbers: &mut BTreeSet<u64>, number: u64, is_in: bool) {
    match is_in {
        true => numbers.insert(number),
        false => numbers.remove(&number),
    };
}
