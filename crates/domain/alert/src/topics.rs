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
//! - No lock is held while a handler works, while a queue drains or while the store is written.
//! - A handler gets the events of its topic in the order they were published, one at a time, each at most once.
//! - Everything is bounded: queues, event states per topic, what waits for the store (one state per event).
//!
//! Topics appear when they are first used. The anonymous topic of an alert node, `<task master>:<task>:<node>`, is closed
//! when its task stops, opened when it starts again, and deleted with the task.

mod list;
mod queue;
mod state;
mod store;
#[cfg(test)]
mod tests;
mod topic;
mod writer;

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use foldhash::fast::RandomState;
use levada_model::{ErrorKind, Str};
use levada_runtime::{Clock, TaskKind, Tasks};
use thiserror::Error;
use tokio::runtime::Handle as Runtime;

use crate::event::Event;
use crate::level::Level;

pub use list::{EventEntry, EventPage, TopicStatus};
pub use queue::{Handler, HandlerError, HandlerSetup, HandlerStats, Matcher, Worker};
pub use state::EventState;
pub use store::{Change, MemoryTopicStore, StoredState, TopicStore, TopicStoreError};
use topic::Topic;
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

/// What topics are told.
#[derive(Clone, Debug)]
pub struct TopicsSettings {
    /// Events that wait for one handler.
    pub buffer_length: usize,
    /// Event states per topic.
    pub states_max: usize,
    /// How long an event that is OK is remembered.
    pub ok_retention: Duration,
    /// How long states are gathered before they are written.
    pub flush_interval: Duration,
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
    events_dropped: AtomicU64,
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
        }
    }
}

// === impl Topics ===

impl Topics {
    /// Makes the topics, and starts what writes states behind when there is a store.
    pub fn new(settings: TopicsSettings, deps: TopicsDeps) -> Self {
        let writer = deps.store.as_ref().map(|store| Arc::new(Writer::new(Arc::clone(store))));
        let topics = Topics(Arc::new(Inner {
            settings,
            deps,
            topics: RwLock::default(),
            writer,
            events_dropped: AtomicU64::new(0),
        }));
        topics.start_upkeep();
        topics
    }

    /// Gives a way to the topics that does not keep them.
    pub fn downgrade(&self) -> WeakTopics {
        WeakTopics(Arc::downgrade(&self.0))
    }

    /// Loads the states of all topics from the store; call it once, before tasks start.
    ///
    /// Anonymous topics stay closed until their task opens them.
    pub async fn restore(&self) -> Result<usize, TopicStoreError> {
        let Some(store) = &self.0.deps.store else { return Ok(0) };
        let states = store.load().await?;
        let count = states.len();
        let now = self.0.deps.clock.now();
        for StoredState { topic, id, state } in states {
            let is_anonymous = is_anonymous(&topic);
            self.topic_or_new(&topic, is_anonymous).restore(id, state, now, &self.0.settings);
        }
        Ok(count)
    }

    /// Publishes an event; never waits.
    ///
    /// A topic that is unknown or closed is opened. The event that handlers get carries the level the topic knew before.
    pub fn publish(&self, topic: &str, event: Event) -> Published {
        let topic = self.topic_or_new(topic, false);
        let now = self.0.deps.clock.now();
        let published = topic.publish(event, now, &self.0.settings, self.0.writer.as_deref());
        if published.dropped > 0 {
            self.0.events_dropped.fetch_add(published.dropped as u64, Ordering::Relaxed);
        }
        published
    }

    /// Gives how many times a handler lost an event because its queue was full.
    pub fn events_dropped(&self) -> u64 {
        self.0.events_dropped.load(Ordering::Relaxed)
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
        let now = self.0.deps.clock.now();
        topic.set_state(event_id.into(), state, now, &self.0.settings, self.0.writer.as_deref());
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
        self.known(topic).map(|topic| topic.close()).unwrap_or_default()
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
        removed.map(|topic| topic.close()).unwrap_or_default()
    }

    /// Adds a handler to a topic and starts its worker.
    pub fn handler_add(&self, topic: &str, setup: HandlerSetup) -> Result<(), TopicsError> {
        let topic = self.topic_or_new(topic, false);
        topic.handler_add(setup, self.0.settings.buffer_length, &self.0.deps)
    }

    /// Puts a handler into the place of another, which ends after what it has queued; the ID may change.
    pub fn handler_replace(
        &self,
        topic: &str,
        old_id: &str,
        setup: HandlerSetup,
    ) -> Result<Worker, TopicsError> {
        let known = self.known(topic).ok_or_else(|| TopicsError::UnknownTopic(topic.to_owned()))?;
        known.handler_replace(old_id, setup, self.0.settings.buffer_length, &self.0.deps)
    }

    /// Takes a handler away; it ends after what it has queued.
    pub fn handler_remove(&self, topic: &str, id: &str) -> Option<Worker> {
        self.known(topic)?.handler_remove(id)
    }

    /// Gives ID and numbers of the handlers of a topic, in the order they were added.
    pub fn handlers(&self, topic: &str) -> Vec<(Str, HandlerStats)> {
        self.known(topic).map(|topic| topic.handlers()).unwrap_or_default()
    }

    /// Ends all handlers after what they have queued, and writes what waits for the store; gives how many events were
    /// abandoned when `within` had passed.
    pub async fn shut_down(&self, within: Duration) -> u64 {
        let topics: Vec<Arc<Topic>> = self.read_topics().values().cloned().collect();
        let workers: Vec<Worker> = topics.iter().flat_map(|topic| topic.close()).collect();
        let deadline = self.0.deps.clock.sleep(within);
        tokio::pin!(deadline);
        for worker in &workers {
            tokio::select! {
                () = worker.drained() => {}
                () = &mut deadline => break,
            }
        }
        let abandoned = workers.iter().map(Worker::abandon).sum();
        if abandoned > 0 {
            tracing::error!(abandoned, "events were abandoned by their handlers on shutdown");
        }
        self.flush().await;
        abandoned
    }

    /// Writes what waits for the store; what cannot be written keeps waiting.
    pub async fn flush(&self) {
        let Some(writer) = &self.0.writer else { return };
        if let Err(error) = writer.flush().await {
            tracing::warn!(%error, "failed to store topic states");
        }
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

    /// Starts what writes states behind and forgets events that have been OK for long; it ends with the last clone.
    fn start_upkeep(&self) {
        let inner = Arc::downgrade(&self.0);
        let (clock, interval) = (Arc::clone(&self.0.deps.clock), self.0.settings.flush_interval);
        let entered = self.0.deps.runtime.enter();
        self.0.deps.tasks.spawn(TaskKind::Alert, "topic upkeep", async move {
            loop {
                clock.sleep(interval).await;
                let Some(inner) = inner.upgrade() else { return };
                let topics = Topics(inner);
                topics.flush().await;
                topics.make_details().await;
                topics.forget_ok();
            }
        });
        drop(entered);
    }

    /// Makes the details that nobody has read yet, so that event states let go of the points they were made from.
    async fn make_details(&self) {
        let topics: Vec<Arc<Topic>> = self.read_topics().values().cloned().collect();
        for topic in topics {
            while topic.make_details() {
                tokio::task::yield_now().await;
            }
        }
    }

    /// Forgets events that have been OK for longer than the settings say.
    pub fn forget_ok(&self) {
        let retention = i64::try_from(self.0.settings.ok_retention.as_nanos()).unwrap_or(i64::MAX);
        let before = self.0.deps.clock.now().0.saturating_sub(retention);
        let topics: Vec<Arc<Topic>> = self.read_topics().values().cloned().collect();
        for topic in topics {
            topic.forget_ok(before);
        }
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
