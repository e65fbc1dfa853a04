//! One topic.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use levada_model::{Str, Timestamp};

use super::list::TopicStatus;
use super::queue::{Binding, HandlerSetup, HandlerStats, Worker};
use super::state::EventState;
use super::writer::Writer;
use super::{Map, Published, TopicsDeps, TopicsError, TopicsSettings};
use crate::event::{Details, Event};
use crate::level::Level;

/// Details that are made in one go. Ours: between two of them other tasks get their turn.
const UNMADE_MAX: usize = 100;

pub(super) struct Topic {
    pub(super) id: Str,
    collected: AtomicU64,
    dropped: AtomicU64,
    states_dropped: AtomicU64,
    is_closed: AtomicBool,
    content: Mutex<Content>,
}

#[derive(Default)]
struct Content {
    states: Map<Str, Known>,
    /// How many events are at each level.
    counts: [usize; 4],
    /// Events that became OK, the first one first; those that are not OK any more are skipped when they come up.
    became_ok: VecDeque<Str>,
    /// Events whose details nobody has made yet; until then they hold on to their points.
    unmade: Vec<Str>,
    handlers: Vec<Binding>,
}

struct Known {
    state: EventState,
    /// When it was last heard of.
    seen: Timestamp,
    /// It is in `became_ok`, which holds nothing twice.
    is_listed: bool,
    /// It is in `unmade`, which holds nothing twice either.
    is_unmade: bool,
}

// === impl Topic ===

impl Topic {
    pub(super) fn new(id: Str) -> Self {
        Topic {
            id,
            collected: AtomicU64::new(0),
            dropped: AtomicU64::new(0),
            states_dropped: AtomicU64::new(0),
            is_closed: AtomicBool::new(false),
            content: Mutex::default(),
        }
    }

    pub(super) fn set_closed(&self, is_closed: bool) {
        self.is_closed.store(is_closed, Ordering::Release);
    }

    pub(super) fn is_closed(&self) -> bool {
        self.is_closed.load(Ordering::Acquire)
    }

    pub(super) fn publish(
        &self,
        mut event: Event,
        now: Timestamp,
        settings: &TopicsSettings,
        writer: Option<&Writer>,
    ) -> Published {
        self.collected.fetch_add(1, Ordering::Relaxed);
        let mut content = self.lock();
        let state = EventState::of(&event);
        let previous = self.put(&mut content, &event.id, state, now, settings, writer);
        let mut published = Published { previous, ..Published::default() };
        if content.handlers.is_empty() {
            return published;
        }
        event.previous_level = previous;
        let event = Arc::new(event);
        // Under the lock, so that every handler sees the order of the states; a queue takes or loses at once.
        for handler in &content.handlers {
            match handler.offer(&event) {
                true => published.queued += 1,
                false => published.dropped += 1,
            }
        }
        self.dropped.fetch_add(published.dropped as u64, Ordering::Relaxed);
        published
    }

    pub(super) fn set_state(
        &self,
        id: Str,
        state: EventState,
        now: Timestamp,
        settings: &TopicsSettings,
        writer: Option<&Writer>,
    ) {
        self.put(&mut self.lock(), &id, state, now, settings, writer);
    }

    /// Takes a state from the store, unless something newer is known.
    pub(super) fn restore(
        &self,
        id: Str,
        state: EventState,
        now: Timestamp,
        settings: &TopicsSettings,
    ) {
        let mut content = self.lock();
        if !content.states.contains_key(&id) {
            self.put(&mut content, &id, state, now, settings, None);
        }
    }

    /// Sets the state of an event and gives its level before.
    fn put(
        &self,
        content: &mut Content,
        id: &Str,
        state: EventState,
        now: Timestamp,
        settings: &TopicsSettings,
        writer: Option<&Writer>,
    ) -> Level {
        let level = state.level;
        let known = content.states.get(id).map(|known| known.state.level);
        if let Some(writer) = writer {
            match level {
                // Nothing is stored of an event that was OK.
                Level::Ok if known == Some(Level::Ok) => {}
                Level::Ok => writer.set(&self.id, id, None),
                _ => writer.set(&self.id, id, Some(state.clone())),
            }
        }
        if known.is_none() && content.states.len() >= settings.states_max && !content.evict() {
            self.states_dropped.fetch_add(1, Ordering::Relaxed);
            return Level::Ok;
        }
        content.put(id, state, now);
        known.unwrap_or_default()
    }

    pub(super) fn event_state(&self, id: &str) -> Option<EventState> {
        self.lock().states.get(id).map(|known| known.state.clone())
    }

    pub(super) fn event_ids(&self, min_level: Level) -> Vec<Str> {
        let content = self.lock();
        let wanted = content.states.iter().filter(|(_, known)| known.state.level >= min_level);
        wanted.map(|(id, _)| id.clone()).collect()
    }

    /// Gives what is listed of it; nothing when it is closed.
    pub(super) fn status(&self) -> Option<TopicStatus> {
        if self.is_closed() {
            return None;
        }
        Some(TopicStatus {
            id: self.id.clone(),
            level: self.lock().level(),
            collected: self.collected.load(Ordering::Relaxed),
            dropped: self.dropped.load(Ordering::Relaxed),
            states_dropped: self.states_dropped.load(Ordering::Relaxed),
        })
    }

    pub(super) fn clear(&self) {
        let mut content = self.lock();
        content.states = Map::default();
        content.became_ok = VecDeque::new();
        content.unmade = Vec::new();
        content.counts = [0; 4];
        self.collected.store(0, Ordering::Relaxed);
    }

    /// Makes details that nobody has made yet, so that events let go of their points; says whether there were any.
    pub(super) fn make_details(&self) -> bool {
        let taken = self.lock().take_unmade();
        taken.iter().for_each(|details| drop(details.text().clone()));
        !taken.is_empty()
    }

    /// Forgets events that are OK and were last heard of before a time.
    pub(super) fn forget_ok(&self, before: i64) {
        self.lock().forget_ok(before);
    }

    pub(super) fn has_handlers(&self) -> bool {
        !self.lock().handlers.is_empty()
    }

    pub(super) fn handlers(&self) -> Vec<(Str, HandlerStats)> {
        self.lock().handlers.iter().map(Binding::status).collect()
    }

    pub(super) fn handler_add(
        &self,
        setup: HandlerSetup,
        buffer_length: usize,
        deps: &TopicsDeps,
    ) -> Result<(), TopicsError> {
        let mut content = self.lock();
        if content.handlers.iter().any(|known| known.id == setup.id) {
            return Err(TopicsError::HandlerExists(setup.id.to_string()));
        }
        content.handlers.push(Binding::start(&self.id, setup, buffer_length, deps));
        Ok(())
    }

    pub(super) fn handler_replace(
        &self,
        old_id: &str,
        setup: HandlerSetup,
        buffer_length: usize,
        deps: &TopicsDeps,
    ) -> Result<Worker, TopicsError> {
        let mut content = self.lock();
        let position = content.handlers.iter().position(|known| *known.id == *old_id);
        let at = position.ok_or_else(|| TopicsError::UnknownHandler(old_id.to_owned()))?;
        let is_taken = |known: &Binding| known.id == setup.id && *known.id != *old_id;
        if content.handlers.iter().any(is_taken) {
            return Err(TopicsError::HandlerExists(setup.id.to_string()));
        }
        let new = Binding::start(&self.id, setup, buffer_length, deps);
        Ok(std::mem::replace(&mut content.handlers[at], new).end())
    }

    pub(super) fn handler_remove(&self, id: &str) -> Option<Worker> {
        let mut content = self.lock();
        let at = content.handlers.iter().position(|known| *known.id == *id)?;
        Some(content.handlers.remove(at).end())
    }

    /// Hides the topic and ends its handlers; states that are not OK stay.
    pub(super) fn close(&self) -> Vec<Worker> {
        self.set_closed(true);
        let mut content = self.lock();
        content.forget_ok(i64::MAX);
        content.handlers.drain(..).map(Binding::end).collect()
    }

    fn lock(&self) -> MutexGuard<'_, Content> {
        self.content.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

// === impl Content ===

impl Content {
    fn level(&self) -> Level {
        let worst = self.counts.iter().rposition(|count| *count > 0).unwrap_or(0);
        Level::from_bits(worst as u8)
    }

    fn put(&mut self, id: &Str, state: EventState, now: Timestamp) {
        let level = state.level;
        self.counts[level as usize] += 1;
        let is_ok = level == Level::Ok;
        let is_unmade = !state.details.is_made();
        let mut new = Known { state, seen: now, is_listed: is_ok, is_unmade };
        let known = self.states.get_mut(id);
        let (was_listed, was_unmade) =
            known.as_ref().map_or((false, false), |known| (known.is_listed, known.is_unmade));
        if is_ok && !was_listed {
            self.became_ok.push_back(id.clone());
        }
        if is_unmade && !was_unmade {
            self.unmade.push(id.clone());
        }
        new.is_listed |= was_listed;
        new.is_unmade |= was_unmade;
        match known {
            Some(known) => {
                self.counts[known.state.level as usize] -= 1;
                *known = new;
            }
            None => {
                self.states.insert(id.clone(), new);
            }
        }
    }

    /// Takes some of the details that nobody has made yet.
    fn take_unmade(&mut self) -> Vec<Details> {
        let rest = self.unmade.len().saturating_sub(UNMADE_MAX);
        let mut taken = Vec::new();
        for id in self.unmade.drain(rest..) {
            // An event that is gone took its details with it.
            if let Some(known) = self.states.get_mut(&id) {
                known.is_unmade = false;
                taken.push(known.state.details.clone());
            }
        }
        taken
    }

    /// Makes room by forgetting the event that became OK first; says whether there was one.
    fn evict(&mut self) -> bool {
        while let Some(id) = self.became_ok.pop_front() {
            let Some(known) = self.states.get_mut(&id) else { continue };
            if known.state.level == Level::Ok {
                self.states.remove(&id);
                self.counts[Level::Ok as usize] -= 1;
                return true;
            }
            known.is_listed = false;
        }
        false
    }

    fn forget_ok(&mut self, before: i64) {
        if self.counts[Level::Ok as usize] == 0 {
            return;
        }
        let is_old = |known: &Known| known.state.level == Level::Ok && known.seen.0 < before;
        let total = self.states.len();
        self.states.retain(|_, known| !is_old(known));
        let forgotten = total - self.states.len();
        if forgotten > 0 {
            self.counts[Level::Ok as usize] -= forgotten;
            self.became_ok.retain(|id| self.states.contains_key(id));
        }
    }
}
