//! Topics: the latest state per event ID, and the handlers that hear of every event.
//!
//! ```text
//! publish ─▶ state of the event ─▶ queue of handler 1 ─▶ worker ─▶ match? ─▶ handler
//!                │               └▶ queue of handler 2 ─▶ worker ─▶ …
//!                └▶ written behind, the newest state per event only ─▶ store
//! ```
//!
//! Invariants:
//! - [`Topics::publish`] never waits: a short lock of the topic, then queues that take the event or lose it, counted.
//!   Tasks call [`Topics::wait_for_room`] before it, so that handlers that are fast lose nothing.
//! - No lock is held while a handler works, while a queue drains or while the store is written.
//! - A handler gets the events of its topic in the order they were published, one at a time.
//! - Everything is bounded: queues, event states per topic, what waits for the store (one state per event).
//!
//! With [`TopicsSettings::outbox`] the queues of handlers are outboxes: stored before they are sent, and delivered at least
//! once. Without it, as in short-lived processes, they live in memory, and every handler gets each event at most once.
//!
//! Topics appear when they are first used. The anonymous topic of an alert node, `<task master>:<task>:<node>`, is closed
//! when its task stops, opened when it starts again, and deleted with the task.

mod list;
pub mod outbox;
mod queue;
mod room;
mod silence;
mod state;
mod store;
mod take;
#[cfg(test)]
mod tests;
mod topic;
mod transition;
mod upkeep;
mod writer;

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use foldhash::fast::RandomState;
use levada_model::{ErrorKind, Str};
use levada_runtime::{Clock, Tasks};
use thiserror::Error;
use tokio::runtime::Handle as Runtime;

use crate::event::Event;
use crate::level::Level;

pub use list::{EventEntry, EventPage, TopicStatus};
use outbox::Outboxes;
pub use outbox::{OutboxEntry, OutboxSettings, OutboxStats, Overflow};
pub use queue::{Handler, HandlerError, HandlerSetup, HandlerStats, Matcher, Worker};
pub use room::Patience;
pub use silence::Silencer;
pub use state::EventState;
pub use store::{Change, MemoryTopicStore, StoredEntry, StoredState, TopicStore, TopicStoreError};
pub use take::{TakeError, TakenStates};
use topic::{Context, Topic};
pub use transition::Transition;
use writer::Writer;

type Map<K, V> = HashMap<K, V, RandomState>;

/// Events that wait for a handler. Source: kapacitor: `[alert] topic-buffer-length`.
pub const BUFFER_LENGTH_DEFAULT: usize = 5_000;

/// A shorter buffer is replaced by the default. Source: kapacitor: reference (server) §4.1.
pub const BUFFER_LENGTH_MIN: usize = 1_000;

/// Event states per topic. Ours: upstream keeps every event ID forever.
pub const STATES_MAX_DEFAULT: usize = 100_000;

/// How long an event that is OK is remembered. Ours: forgetting it changes nothing but lists, as unknown events count as OK.
const OK_RETENTION_DEFAULT: Duration = Duration::from_secs(24 * 3600);

/// How long states are gathered before they are written. Ours: a crash loses the changes of so long.
const FLUSH_INTERVAL_DEFAULT: Duration = Duration::from_millis(500);

/// Lines of the history that wait for the store. Ours: some seconds of a busy disk in a storm of alerts.
const RECORDS_MAX_DEFAULT: usize = 10_000;

/// How long after the start a restored event is waited for. Ours: most tasks hear of all their groups within minutes.
const STALE_AFTER_DEFAULT: Duration = Duration::from_secs(3600);

/// How long a stale event is remembered, so that a group that comes back still gets its recovery. Ours.
const STALE_RETENTION_DEFAULT: Duration = Duration::from_secs(7 * 24 * 3600);

/// What topics are told.
#[derive(Clone, Debug)]
pub struct TopicsSettings {
    /// Events that wait for one handler.
    pub buffer_length: usize,
    /// Event states per topic.
    pub states_max: usize,
    /// How long an event that is OK is remembered.
    pub ok_retention: Duration,
    /// How long states are gathered before they are written; with outboxes they are written at once.
    pub flush_interval: Duration,
    /// How handlers get their events: from outboxes that are stored, or nothing for queues in memory.
    pub outbox: Option<OutboxSettings>,
    /// Changes of levels are recorded.
    pub keeps_history: bool,
    /// Lines of the history that wait for the store; of more, the oldest are lost, counted.
    pub records_max: usize,
    /// How long who publishes waits for handlers that are slower.
    pub patience: Patience,
    /// How long after the start a restored event is waited for before it is reported as stale.
    pub stale_after: Duration,
    /// How long a stale event is remembered.
    pub stale_retention: Duration,
}

/// What topics need.
#[derive(Clone)]
pub struct TopicsDeps {
    /// Runs the workers of handlers.
    pub tasks: Tasks,
    /// Where they run; publishing threads need not be part of it.
    pub runtime: Runtime,
    /// Tells when an event was last heard of.
    pub clock: Arc<dyn Clock>,
    /// Keeps states over a restart; nothing where they are not kept.
    pub store: Option<Arc<dyn TopicStore>>,
    /// Keeps events from handlers.
    pub silencer: Option<Arc<dyn Silencer>>,
}

/// All topics; cheap to clone.
#[derive(Clone)]
pub struct Topics(Arc<Inner>);

/// Topics that end when nobody else holds them: for handlers, which the topics hold.
#[derive(Clone)]
pub struct WeakTopics(std::sync::Weak<Inner>);

struct Inner {
    settings: TopicsSettings,
    deps: TopicsDeps,
    topics: RwLock<Map<Str, Arc<Topic>>>,
    writer: Option<Arc<Writer>>,
    outboxes: Option<Arc<Outboxes>>,
    events_dropped: AtomicU64,
    events_silenced: AtomicU64,
    stale_reported: AtomicU64,
    waits: room::Waits,
}

/// What became of an event.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Published {
    /// The level the topic knew before.
    pub previous: Level,
    /// Handlers whose queue took it.
    pub queued: usize,
    /// Handlers whose queue was full.
    pub dropped: usize,
    /// A silence kept it from the handlers.
    pub is_silenced: bool,
}

/// The numbers of all topics together.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TopicsStats {
    /// Times a handler lost an event because its queue was full.
    pub dropped: u64,
    /// Events that silences kept from handlers.
    pub silenced: u64,
    /// Events that were reported as stale.
    pub stale: u64,
    /// Times somebody who published waited for room.
    pub waits: u64,
    /// Times somebody waited for room in vain: a handler or the store was too slow.
    pub waits_in_vain: u64,
    /// Times the store failed.
    pub store_failures: u64,
    /// Lines of the history that were lost because the store failed for long.
    pub records_dropped: u64,
    /// The outboxes.
    pub outbox: OutboxStats,
}

/// What cannot be done with topics.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum TopicsError {
    /// The ID is taken.
    #[error("cannot register handler, handler with ID \"{0}\" already exists")]
    HandlerExists(String),
    /// There is no such handler.
    #[error("unknown handler: \"{0}\"")]
    UnknownHandler(String),
    /// There is no such topic.
    #[error("unknown topic: \"{0}\"")]
    UnknownTopic(String),
}

// === impl TopicsError ===

impl TopicsError {
    /// Gives the kind of the error.
    pub fn kind(&self) -> ErrorKind {
        match self {
            TopicsError::HandlerExists(_) => ErrorKind::Conflict,
            TopicsError::UnknownHandler(_) | TopicsError::UnknownTopic(_) => ErrorKind::NotFound,
        }
    }
}

// === impl TopicsSettings ===

impl Default for TopicsSettings {
    fn default() -> Self {
        TopicsSettings {
            buffer_length: BUFFER_LENGTH_DEFAULT,
            states_max: STATES_MAX_DEFAULT,
            ok_retention: OK_RETENTION_DEFAULT,
            flush_interval: FLUSH_INTERVAL_DEFAULT,
            outbox: None,
            keeps_history: false,
            records_max: RECORDS_MAX_DEFAULT,
            patience: Patience::default(),
            stale_after: STALE_AFTER_DEFAULT,
            stale_retention: STALE_RETENTION_DEFAULT,
        }
    }
}

impl TopicsSettings {
    /// Sets the buffer as the settings file says it: what is too short becomes the default.
    pub fn with_buffer_length(self, buffer_length: usize) -> Self {
        let is_too_short = buffer_length < BUFFER_LENGTH_MIN;
        let buffer_length = if is_too_short { BUFFER_LENGTH_DEFAULT } else { buffer_length };
        TopicsSettings { buffer_length, ..self }
    }
}

// === impl Published ===

impl Published {
    /// Gives what the node logs when handlers lost the event (`encountered error collecting event`).
    pub fn error_text(&self, event_id: &str) -> Option<String> {
        let line = || format!("failed to deliver event \"{event_id}\" to handler");
        match self.dropped {
            0 => None,
            1 => Some(line()),
            several => {
                let mut text = "multiple errors:".to_owned();
                for _ in 0..several {
                    text.push('\n');
                    text.push_str(&line());
                }
                Some(text)
            }
        }
    }

    /// Adds what became of the event in another topic; the previous level stays.
    pub fn and(self, other: Published) -> Published {
        Published {
            previous: self.previous,
            queued: self.queued + other.queued,
            dropped: self.dropped + other.dropped,
            is_silenced: self.is_silenced || other.is_silenced,
        }
    }
}

// === impl Topics ===

impl Topics {
    /// Makes the topics, and starts what writes states behind when there is a store.
    pub fn new(settings: TopicsSettings, deps: TopicsDeps) -> Self {
        let outboxes = settings.outbox.clone().filter(|_| deps.store.is_some());
        let outboxes =
            outboxes.map(|outbox| Arc::new(Outboxes::new(outbox, Arc::clone(&deps.clock))));
        let writer = deps.store.as_ref().map(|store| {
            let (store, clock) = (Arc::clone(store), Arc::clone(&deps.clock));
            Arc::new(Writer::new(store, clock, outboxes.clone(), settings.records_max))
        });
        let topics = Topics(Arc::new(Inner {
            settings,
            deps,
            topics: RwLock::default(),
            writer,
            outboxes,
            events_dropped: AtomicU64::new(0),
            events_silenced: AtomicU64::new(0),
            stale_reported: AtomicU64::new(0),
            waits: room::Waits::default(),
        }));
        topics.start_upkeep();
        topics.start_writing();
        topics
    }

    /// Gives a way to the topics that does not keep them.
    pub fn downgrade(&self) -> WeakTopics {
        WeakTopics(Arc::downgrade(&self.0))
    }

    /// Loads the states of all topics, and what waits for handlers, from the store; call it once, before handlers are
    /// added and tasks start.
    ///
    /// Anonymous topics stay closed until their task opens them.
    pub async fn restore(&self) -> Result<usize, TopicStoreError> {
        let Some(store) = &self.0.deps.store else { return Ok(0) };
        let states = store.load().await?;
        let count = states.len();
        let context = Context { writer: None, ..self.context() };
        for StoredState { topic, id, state } in states {
            let is_anonymous = is_anonymous(&topic);
            self.topic_or_new(&topic, is_anonymous).restore(id, state, &context);
        }
        if let Some(outboxes) = &self.0.outboxes {
            for StoredEntry { topic, handler, entry } in store.load_outboxes().await? {
                outboxes.restore(&topic, &handler, entry);
            }
        }
        Ok(count)
    }

    fn context(&self) -> Context<'_> {
        Context {
            now: self.0.deps.clock.now(),
            settings: &self.0.settings,
            writer: self.0.writer.as_deref(),
            silencer: self.0.deps.silencer.as_deref(),
            keeps_history: self.0.settings.keeps_history,
        }
    }

    /// Publishes an event; never waits.
    ///
    /// A topic that is unknown or closed is opened. The event that handlers get carries the level the topic knew before.
    pub fn publish(&self, topic: &str, event: Event) -> Published {
        let topic = self.topic_or_new(topic, false);
        let published = topic.publish(event, &self.context());
        if published.dropped > 0 {
            self.0.events_dropped.fetch_add(published.dropped as u64, Ordering::Relaxed);
        }
        if published.is_silenced {
            self.0.events_silenced.fetch_add(1, Ordering::Relaxed);
        }
        if let Some(outboxes) = &self.0.outboxes {
            // States are written with what waits because of them, silenced ones as soon.
            outboxes.dirty.notify_one();
        }
        published
    }

    /// Gives how many times a handler lost an event because its queue was full.
    pub fn events_dropped(&self) -> u64 {
        self.0.events_dropped.load(Ordering::Relaxed)
    }

    /// Gives the numbers of all topics together.
    pub fn stats(&self) -> TopicsStats {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        let (store_failures, records_dropped) =
            self.0.writer.as_ref().map(|writer| writer.failures()).unwrap_or_default();
        TopicsStats {
            dropped: self.events_dropped(),
            silenced: read(&self.0.events_silenced),
            stale: read(&self.0.stale_reported),
            waits: read(&self.0.waits.begun),
            waits_in_vain: read(&self.0.waits.in_vain),
            store_failures,
            records_dropped,
            outbox: self.0.outboxes.as_ref().map(|all| all.stats()).unwrap_or_default(),
        }
    }

    /// Gives the numbers of every outbox: topic, handler, numbers; sorted.
    pub fn outboxes(&self) -> Vec<(Str, Str, OutboxStats)> {
        let Some(outboxes) = &self.0.outboxes else { return Vec::new() };
        let all = outboxes.all().into_iter();
        let mut all: Vec<_> = all
            .map(|outbox| (outbox.topic.clone(), outbox.handler.clone(), outbox.stats()))
            .collect();
        all.sort_by(|one, other| (&one.0, &one.1).cmp(&(&other.0, &other.1)));
        all
    }

    /// Gives what a topic knows of an event.
    pub fn event_state(&self, topic: &str, event_id: &str) -> Option<EventState> {
        self.known(topic)?.event_state(event_id)
    }

    /// Sets what a topic knows of an event; no handler hears of it.
    ///
    /// Differs: U-37; upstream crashes on an unknown topic, here it is made.
    pub fn event_state_set(&self, topic: &str, event_id: &str, state: EventState) {
        let topic = self.topic_or_new(topic, false);
        topic.set_state(event_id.into(), state, &self.context());
    }

    /// Finds what is known of an event when its group is first seen: in the anonymous topic, else in the named one.
    ///
    /// The topic that knows something else, or nothing, is brought in line with the one that counts.
    pub fn event_state_sync(
        &self,
        anonymous: Option<&str>,
        named: Option<&str>,
        event_id: &str,
    ) -> Option<EventState> {
        let topics: Vec<&str> = anonymous.into_iter().chain(named).collect();
        let states: Vec<Option<EventState>> =
            topics.iter().map(|topic| self.event_state(topic, event_id)).collect();
        let state = states.iter().flatten().next()?.clone();
        for (topic, known) in topics.iter().zip(&states) {
            if known.as_ref().is_none_or(|known| known.level != state.level) {
                self.event_state_set(topic, event_id, state.clone());
            } else if let Some(topic) = self.known(topic) {
                topic.touch(event_id);
            }
        }
        Some(state)
    }

    /// Opens an anonymous topic when its task starts; what it knew is there again.
    pub fn open(&self, topic: &str) {
        self.topic_or_new(topic, false);
    }

    /// Closes a topic when its task stops: its handlers end after what they have queued, its states stay.
    pub fn close(&self, topic: &str) -> Vec<Worker> {
        self.known(topic).map(|topic| topic.close(false)).unwrap_or_default()
    }

    /// Deletes what a topic knows; its handlers stay bound to it.
    ///
    /// Differs: upstream detaches handlers until they are defined again.
    pub fn forget(&self, topic: &str) {
        let Some(known) = self.known(topic) else { return };
        known.clear();
        if let Some(writer) = &self.0.writer {
            writer.remove_topic(topic);
        }
        if !known.has_handlers() {
            self.write_topics().remove(topic);
        }
    }

    /// Deletes a topic with its handlers, which end after what they have queued: what a deleted task leaves.
    pub fn delete(&self, topic: &str) -> Vec<Worker> {
        let removed = self.write_topics().remove(topic);
        if let Some(writer) = &self.0.writer {
            writer.remove_topic(topic);
        }
        removed.map(|topic| topic.close(true)).unwrap_or_default()
    }

    /// Adds a handler to a topic and starts its worker.
    pub fn handler_add(&self, topic: &str, setup: HandlerSetup) -> Result<(), TopicsError> {
        let topic = self.topic_or_new(topic, false);
        topic.handler_add(
            setup,
            self.0.settings.buffer_length,
            &self.0.deps,
            self.0.outboxes.as_deref(),
        )
    }

    /// Puts a handler into the place of another, which ends after what it has queued; the ID may change.
    pub fn handler_replace(
        &self,
        topic: &str,
        old_id: &str,
        setup: HandlerSetup,
    ) -> Result<Worker, TopicsError> {
        let known = self.known(topic).ok_or_else(|| TopicsError::UnknownTopic(topic.to_owned()))?;
        known.handler_replace(
            old_id,
            setup,
            self.0.settings.buffer_length,
            &self.0.deps,
            self.0.outboxes.as_deref(),
        )
    }

    /// Takes a handler away; it ends after what it has queued.
    pub fn handler_remove(&self, topic: &str, id: &str) -> Option<Worker> {
        self.known(topic)?.handler_remove(id)
    }

    /// Gives ID and numbers of the handlers of a topic, in the order they were added.
    pub fn handlers(&self, topic: &str) -> Vec<(Str, HandlerStats)> {
        self.known(topic).map(|topic| topic.handlers()).unwrap_or_default()
    }

    fn known(&self, topic: &str) -> Option<Arc<Topic>> {
        self.read_topics().get(topic).cloned()
    }

    fn topic_or_new(&self, id: &str, is_closed: bool) -> Arc<Topic> {
        let topic = match self.known(id) {
            Some(topic) => topic,
            None => {
                let id: Str = id.into();
                let new = || Arc::new(Topic::new(Arc::clone(&id)));
                let mut topics = self.write_topics();
                Arc::clone(topics.entry(Arc::clone(&id)).or_insert_with(new))
            }
        };
        topic.set_closed(is_closed);
        topic
    }

    fn read_topics(&self) -> std::sync::RwLockReadGuard<'_, Map<Str, Arc<Topic>>> {
        self.0.topics.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write_topics(&self) -> std::sync::RwLockWriteGuard<'_, Map<Str, Arc<Topic>>> {
        self.0.topics.write().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        // Workers hold their outbox, not the topics: nobody else would end them.
        self.outboxes.iter().flat_map(|all| all.all()).for_each(|outbox| outbox.abort());
    }
}

// === impl WeakTopics ===

impl WeakTopics {
    /// Gives the topics, unless they are gone.
    pub fn upgrade(&self) -> Option<Topics> {
        self.0.upgrade().map(Topics)
    }
}

/// Says whether a topic is the anonymous one of an alert node: names of others have no colon.
pub fn is_anonymous(topic: &str) -> bool {
    topic.contains(':')
}
