#![expect(clippy::unwrap_used, reason = "tests")]

mod bundles;
mod faults;
mod flood;
mod handlers;
mod outbox;
mod silences;

use std::collections::VecDeque;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use async_trait::async_trait;
use levada_model::Timestamp;
use levada_runtime::VirtualClock;
use levada_store::{Document, MemoryDocuments, Range, Write};

use super::*;
use crate::event::Event;
use crate::event::tests::event;
use crate::level::Level;
use crate::topics::{Handler, HandlerError, HandlerSetup, OutboxSettings, OutboxStats};

/// A topic as scripts have them.
const TOPIC: &str = "main:t:alert2";

/// What a fake receiver does with an event.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Act {
    Take,
    Fail,
    After(Duration),
    Refuse,
    Hang,
    Panic,
}

/// A receiver that does as it is told, and keeps what it took.
#[derive(Default)]
struct Receiver {
    acts: Mutex<VecDeque<Act>>,
    /// What it does when no act is left; nothing for taking.
    always: Mutex<Option<Act>>,
    /// Events that it never takes.
    poison: Mutex<Option<String>>,
    got: Mutex<Vec<String>>,
    attempts: AtomicU64,
}

impl Receiver {
    fn new(acts: &[Act]) -> Arc<Self> {
        let acts = Mutex::new(acts.iter().copied().collect());
        Arc::new(Receiver { acts, ..Receiver::default() })
    }

    fn dead() -> Arc<Self> {
        Arc::new(Receiver { always: Mutex::new(Some(Act::Fail)), ..Receiver::default() })
    }

    fn set(&self, always: Option<Act>) {
        *self.always.lock().unwrap() = always;
    }

    fn got(&self) -> Vec<String> {
        self.got.lock().unwrap().clone()
    }

    fn attempts(&self) -> u64 {
        self.attempts.load(Ordering::Relaxed)
    }
}

#[async_trait]
impl Handler for Receiver {
    async fn handle(&self, event: &Event) -> Result<(), HandlerError> {
        self.attempts.fetch_add(1, Ordering::Relaxed);
        let is_poison = self.poison.lock().unwrap().as_deref() == Some(&*event.id);
        let act = self.acts.lock().unwrap().pop_front();
        let act = act.or(*self.always.lock().unwrap()).unwrap_or(Act::Take);
        match if is_poison { Act::Fail } else { act } {
            Act::Take => {
                self.got.lock().unwrap().push(event.message.to_string());
                Ok(())
            }
            Act::Fail => Err(HandlerError::new("away")),
            Act::After(after) => Err(HandlerError::new("busy").after(Some(after))),
            Act::Refuse => Err(HandlerError::new("no").finally()),
            Act::Hang => std::future::pending().await,
            Act::Panic => panic!("as it was told"),
        }
    }
}

/// Documents that fail when they are told to.
#[derive(Debug, Default)]
struct Flaky {
    inner: MemoryDocuments,
    fails: AtomicBool,
    /// It does what it says that it failed to do, as when a connection is lost while a transaction is committed.
    does: AtomicBool,
    /// Fails by itself once in so many calls, by this random number.
    random: Mutex<Option<u64>>,
}

#[async_trait]
impl Documents for Flaky {
    async fn get(&self, space: &str, key: &str) -> Result<Option<Document>, DocumentError> {
        self.inner.get(space, key).await
    }

    async fn list(&self, space: &str, range: Range<'_>) -> Result<Vec<Document>, DocumentError> {
        self.inner.list(space, range).await
    }

    async fn spaces(&self, prefix: &str) -> Result<Vec<String>, DocumentError> {
        self.inner.spaces(prefix).await
    }

    async fn apply(&self, writes: Vec<Write>) -> Result<(), DocumentError> {
        let mut fails = self.fails.load(Ordering::Relaxed);
        if let Some(random) = &mut *self.random.lock().unwrap() {
            *random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            fails |= (*random >> 33) % 4 == 0;
        }
        if !fails {
            return self.inner.apply(writes).await;
        }
        if self.does.load(Ordering::Relaxed) {
            self.inner.apply(writes).await?;
        }
        Err(DocumentError::Failed {
            action: "write",
            store: "flaky".to_owned(),
            kind: ErrorKind::Unavailable,
            source: "gone".into(),
        })
    }

    fn describe(&self) -> String {
        "flaky".to_owned()
    }
}

/// A server with its store and clock, to be killed and started again.
struct World {
    documents: Arc<Flaky>,
    clock: Arc<VirtualClock>,
    tasks: Tasks,
    service: AlertService,
    settings: ServiceSettings,
}

impl World {
    async fn new() -> Self {
        World::with(OutboxSettings::default()).await
    }

    async fn with(outbox: OutboxSettings) -> Self {
        let topics = TopicsSettings { outbox: Some(outbox), ..TopicsSettings::default() };
        let settings = ServiceSettings { topics, ..ServiceSettings::default() };
        let clock = VirtualClock::new(Timestamp(1_700_000_000_000_000_000));
        World::start(settings, Arc::default(), clock).await
    }

    async fn start(
        settings: ServiceSettings,
        documents: Arc<Flaky>,
        clock: Arc<VirtualClock>,
    ) -> Self {
        let tasks = Tasks::new();
        let deps = ServiceDeps {
            tasks: tasks.clone(),
            runtime: Runtime::current(),
            clock: clock.clone(),
            documents: documents.clone(),
            handlers: HandlerDeps::default(),
        };
        let service = AlertService::open(settings.clone(), deps).await.unwrap();
        World { documents, clock, tasks, service, settings }
    }

    /// Ends the process without any notice, and starts it again.
    async fn kill(self) -> Self {
        let World { documents, clock, tasks, service, settings } = self;
        tasks.abort_all();
        drop(service);
        World::start(settings, documents, clock).await
    }

    fn add(&self, receiver: &Arc<Receiver>) {
        let setup = HandlerSetup::new("fake0", receiver.clone());
        self.service.topics().handler_add(TOPIC, setup).unwrap();
    }

    /// Publishes an event whose message is its ID, its level and a number.
    fn publish(&self, id: &str, level: Level, number: usize) -> Level {
        let mut event = event(id, level);
        event.message = format!("{id} {level} {number}").into();
        self.service.topics().publish(TOPIC, event).previous
    }

    fn stats(&self) -> OutboxStats {
        self.service.topics().stats().outbox
    }

    /// Lets time pass until something is so.
    async fn until(&self, what: &str, is_met: impl Fn() -> bool) {
        for round in 0..4_000 {
            if is_met() {
                return;
            }
            for _ in 0..20 {
                tokio::task::yield_now().await;
            }
            if round % 4 == 3 {
                self.clock.advance(Duration::from_millis(250));
            }
        }
        panic!("waited in vain until {what}: {:?}", self.stats());
    }

    /// Lets everybody do what they can without time passing.
    async fn pause(&self) {
        for _ in 0..200 {
            tokio::task::yield_now().await;
        }
    }

    /// Lets so much time pass, in steps.
    async fn pass(&self, time: Duration) {
        let step = time / 50;
        for _ in 0..50 {
            self.clock.advance(step);
            for _ in 0..20 {
                tokio::task::yield_now().await;
            }
        }
    }

    /// Counts the entries of outboxes that are stored.
    async fn entries(&self) -> usize {
        let documents = self.documents.clone();
        let history = History::open(documents.clone(), HistorySettings::default()).await.unwrap();
        let store = DocumentTopicStore::new(documents, Arc::new(history));
        crate::topics::TopicStore::load_outboxes(&store).await.unwrap().len()
    }

    async fn stored(&self, prefix: &str) -> usize {
        let mut count = 0;
        for space in self.documents.spaces(prefix).await.unwrap() {
            count += self.documents.list(&space, Range::default()).await.unwrap().len();
        }
        count
    }
}
