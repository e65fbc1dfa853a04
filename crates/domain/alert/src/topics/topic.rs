//! One topic.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use levada_model::{Str, Timestamp};

use super::list::{EventEntry, TopicStatus};
use super::outbox::{Offer, Outboxes};
use super::queue::{Binding, HandlerSetup, HandlerStats, Lane, Worker};
use super::silence::Silencer;
use super::state::EventState;
use super::transition::Transition;
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
    presence: Presence,
}

/// Whether somebody still speaks of an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Presence {
    /// Heard of since the server started.
    Here,
    /// Loaded from the store.
    Awaited,
    /// Loaded from the store, and not heard of for long: it does not count for the level of the topic.
    Stale,
}

/// What became of a state that another server knew.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum TakenState {
    Taken,
    /// What is known is as new, or newer.
    Old,
    /// The topic knows as many events as it may.
    NoRoom,
}

/// What an event meets on its way.
pub(super) struct Context<'c> {
    pub(super) now: Timestamp,
    pub(super) settings: &'c TopicsSettings,
    pub(super) writer: Option<&'c Writer>,
    pub(super) silencer: Option<&'c dyn Silencer>,
    pub(super) keeps_history: bool,
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

    pub(super) fn publish(&self, mut event: Event, context: &Context<'_>) -> Published {
        self.collected.fetch_add(1, Ordering::Relaxed);
        let _whole = context.writer.map(Writer::publishing);
        let mut content = self.lock();
        let state = EventState::of(&event);
        event.previous_level = content.level_of(&event.id);
        let mut published = Published { previous: event.previous_level, ..Published::default() };
        let event = Arc::new(event);
        let silence = context.silencer.and_then(|silencer| silencer.silence(&self.id, &event));
        published.is_silenced = silence.is_some();
        // Under the lock, so that every handler sees the order of the states; a queue takes or loses at once. Before the
        // state is noted, so that no state is stored without what waits because of it.
        if silence.is_none() {
            for handler in &content.handlers {
                match handler.offer(&event) {
                    Offer::Queued => published.queued += 1,
                    Offer::Lost => published.dropped += 1,
                    Offer::Unwanted => {}
                }
            }
        }
        self.dropped.fetch_add(published.dropped as u64, Ordering::Relaxed);
        if context.keeps_history
            && event.level != event.previous_level
            && let Some(writer) = context.writer
        {
            writer.record(Transition::of(&self.id, &event, silence, context.now));
        }
        self.put(&mut content, &event.id, state, context);
        published
    }

    pub(super) fn set_state(&self, id: Str, state: EventState, context: &Context<'_>) {
        self.put(&mut self.lock(), &id, state, context);
    }

    /// Takes a state that another server knew, unless something as new is known; says what became of it.
    ///
    /// It is awaited, as those from the store are: nobody here has spoken of it yet.
    pub(super) fn take_state(
        &self,
        id: Str,
        state: EventState,
        context: &Context<'_>,
    ) -> TakenState {
        let mut content = self.lock();
        let known = content.states.get(&id).map(|known| known.state.time);
        if known.is_some_and(|time| time >= state.time) {
            return TakenState::Old;
        }
        let is_full = content.states.len() >= context.settings.states_max;
        if known.is_none() && is_full && !content.evict() {
            self.states_dropped.fetch_add(1, Ordering::Relaxed);
            return TakenState::NoRoom;
        }
        self.put(&mut content, &id, state, context);
        if let Some(known) = content.states.get_mut(&id) {
            known.presence = Presence::Awaited;
        }
        TakenState::Taken
    }

    /// Takes a state from the store, unless something newer is known.
    ///
    /// It is awaited: somebody should be heard of again.
    pub(super) fn restore(&self, id: Str, state: EventState, context: &Context<'_>) {
        let mut content = self.lock();
        if !content.states.contains_key(&id) {
            self.put(&mut content, &id, state, context);
            if let Some(known) = content.states.get_mut(&id) {
                known.presence = Presence::Awaited;
            }
        }
    }

    /// Sets the state of an event.
    fn put(&self, content: &mut Content, id: &Str, state: EventState, context: &Context<'_>) {
        let Context { now, settings, writer, .. } = *context;
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
            return;
        }
        content.put(id, state, now);
    }

    /// Notes that somebody was heard of: its state is no more awaited, and counts again when it was stale.
    pub(super) fn touch(&self, id: &str) {
        self.lock().touch(id);
    }

    /// Marks what was loaded from the store before a time and not heard of since; gives it.
    pub(super) fn mark_stale(&self, before: i64) -> Vec<(Str, EventState)> {
        let mut content = self.lock();
        let Content { states, counts, .. } = &mut *content;
        let mut stale = Vec::new();
        for (id, known) in states.iter_mut() {
            if known.presence == Presence::Awaited && known.seen.0 < before {
                known.presence = Presence::Stale;
                counts[known.state.level as usize] -= 1;
                stale.push((id.clone(), known.state.clone()));
            }
        }
        stale
    }

    /// Forgets what has been stale for long; gives their IDs.
    pub(super) fn forget_stale(&self, before: i64) -> Vec<Str> {
        let mut content = self.lock();
        let is_old = |known: &Known| known.presence == Presence::Stale && known.seen.0 < before;
        let ids = content.states.iter().filter(|(_, known)| is_old(known));
        let ids: Vec<Str> = ids.map(|(id, _)| id.clone()).collect();
        ids.iter().for_each(|id| drop(content.states.remove(id)));
        ids
    }

    pub(super) fn event_state(&self, id: &str) -> Option<EventState> {
        self.lock().states.get(id).map(|known| known.state.clone())
    }

    /// Gives what is known of an event, and whether it is stale.
    pub(super) fn event_entry(&self, id: &Str) -> Option<EventEntry> {
        let content = self.lock();
        let known = content.states.get(id)?;
        let is_stale = known.presence == Presence::Stale;
        Some(EventEntry { id: id.clone(), state: known.state.clone(), is_stale })
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
        let (level, stale) = {
            let content = self.lock();
            (content.level(), content.stale())
        };
        Some(TopicStatus {
            id: self.id.clone(),
            level,
            collected: self.collected.load(Ordering::Relaxed),
            dropped: self.dropped.load(Ordering::Relaxed),
            states_dropped: self.states_dropped.load(Ordering::Relaxed),
            stale,
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

    /// Shows the queues of its handlers.
    pub(super) fn places(&self, mut look: impl FnMut(&Lane)) {
        self.lock().handlers.iter().for_each(|handler| look(handler.lane()));
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
        outboxes: Option<&Outboxes>,
    ) -> Result<(), TopicsError> {
        let mut content = self.lock();
        if content.handlers.iter().any(|known| known.id == setup.id) {
            return Err(TopicsError::HandlerExists(setup.id.to_string()));
        }
        content.handlers.push(Binding::start(&self.id, setup, buffer_length, deps, outboxes));
        Ok(())
    }

    pub(super) fn handler_replace(
        &self,
        old_id: &str,
        setup: HandlerSetup,
        buffer_length: usize,
        deps: &TopicsDeps,
        outboxes: Option<&Outboxes>,
    ) -> Result<Worker, TopicsError> {
        let mut content = self.lock();
        let position = content.handlers.iter().position(|known| *known.id == *old_id);
        let at = position.ok_or_else(|| TopicsError::UnknownHandler(old_id.to_owned()))?;
        let is_taken = |known: &Binding| known.id == setup.id && *known.id != *old_id;
        if content.handlers.iter().any(is_taken) {
            return Err(TopicsError::HandlerExists(setup.id.to_string()));
        }
        let keeps_id = *setup.id == *old_id;
        if keeps_id && outboxes.is_some() {
            // The outbox stays; it gets another handler.
            let new = Binding::start(&self.id, setup, buffer_length, deps, outboxes);
            let old = std::mem::replace(&mut content.handlers[at], new);
            return Ok(old.replaced());
        }
        let new = Binding::start(&self.id, setup, buffer_length, deps, outboxes);
        Ok(std::mem::replace(&mut content.handlers[at], new).end(false))
    }

    /// Takes a handler away for good.
    pub(super) fn handler_remove(&self, id: &str) -> Option<Worker> {
        let mut content = self.lock();
        let at = content.handlers.iter().position(|known| *known.id == *id)?;
        Some(content.handlers.remove(at).end(true))
    }

    /// Hides the topic and ends its handlers, with `is_removed` for good; states that are not OK stay.
    pub(super) fn close(&self, is_removed: bool) -> Vec<Worker> {
        self.set_closed(true);
        let mut content = self.lock();
        content.forget_ok(i64::MAX);
        content.handlers.drain(..).map(|handler| handler.end(is_removed)).collect()
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
        let mut new =
            Known { state, seen: now, is_listed: is_ok, is_unmade, presence: Presence::Here };
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
                if known.presence != Presence::Stale {
                    self.counts[known.state.level as usize] -= 1;
                }
                *known = new;
            }
            None => {
                self.states.insert(id.clone(), new);
            }
        }
    }

    /// Gives how many events are stale: they are not counted.
    fn stale(&self) -> usize {
        self.states.len() - self.counts.iter().sum::<usize>()
    }

    fn level_of(&self, id: &str) -> Level {
        self.states.get(id).map(|known| known.state.level).unwrap_or_default()
    }

    fn touch(&mut self, id: &str) {
        let Some(known) = self.states.get_mut(id) else { return };
        if known.presence == Presence::Stale {
            self.counts[known.state.level as usize] += 1;
        }
        known.presence = Presence::Here;
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
