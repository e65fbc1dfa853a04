#![expect(clippy::unwrap_used, reason = "tests")]

use std::collections::BTreeMap;
use std::sync::atomic::AtomicUsize;

use async_trait::async_trait;
use levada_model::Timestamp;
use levada_runtime::{Tasks, VirtualClock};
use tokio::runtime::Handle as Runtime;

use super::*;
use crate::event::Event;
use crate::event::tests::event;
use crate::level::Level;
use crate::topics::{
    Handler, HandlerError, HandlerSetup, MemoryTopicStore, OutboxSettings, Topics, TopicsDeps,
    TopicsSettings,
};

/// Looks whether each event comes whole: with an entry for each handler and its state.
#[derive(Default)]
struct Watching {
    inner: MemoryTopicStore,
    calls: AtomicUsize,
    events: AtomicUsize,
    torn: Mutex<Vec<String>>,
}

struct Nobody;

#[async_trait]
impl Handler for Nobody {
    async fn handle(&self, _: &Event) -> Result<(), HandlerError> {
        std::future::pending().await
    }
}

#[async_trait]
impl TopicStore for Watching {
    async fn load_outboxes(&self) -> Result<Vec<StoredEntry>, TopicStoreError> {
        self.inner.load_outboxes().await
    }

    async fn load(&self) -> Result<Vec<StoredState>, TopicStoreError> {
        self.inner.load().await
    }

    async fn apply(&self, changes: &[Change]) -> Result<(), TopicStoreError> {
        let mut parts: BTreeMap<Str, (u32, u32)> = BTreeMap::new();
        for change in changes {
            match change {
                Change::Enqueue(entry) => {
                    parts.entry(entry.entry.event.id.clone()).or_default().0 += 1;
                }
                Change::Save(state) => parts.entry(state.id.clone()).or_default().1 += 1,
                _ => {}
            }
        }
        self.calls.fetch_add(1, Ordering::Relaxed);
        self.events.fetch_add(parts.len(), Ordering::Relaxed);
        let torn = parts.iter().filter(|(_, counts)| **counts != (2, 1));
        self.torn.lock().unwrap().extend(torn.map(|(id, counts)| format!("{id}: {counts:?}")));
        self.inner.apply(changes).await
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_event_is_stored_whole_while_others_are_published() {
    const EVENTS: usize = 2_000;
    const PUBLISHERS: usize = 3;
    let store = Arc::new(Watching::default());
    let deps = TopicsDeps {
        tasks: Tasks::new(),
        runtime: Runtime::current(),
        clock: VirtualClock::new(Timestamp(1_000_000_000_000)),
        store: Some(store.clone()),
        silencer: None,
    };
    let outbox = OutboxSettings { entries_max: EVENTS * PUBLISHERS, ..OutboxSettings::default() };
    let topics =
        Topics::new(TopicsSettings { outbox: Some(outbox), ..TopicsSettings::default() }, deps);
    for handler in ["one", "other"] {
        topics.handler_add("t", HandlerSetup::new(handler, Arc::new(Nobody))).unwrap();
    }
    std::thread::scope(|scope| {
        for publisher in 0..PUBLISHERS {
            let topics = &topics;
            scope.spawn(move || {
                for number in 0..EVENTS {
                    let mut event = event("", Level::Critical);
                    event.id = format!("{publisher}-{number}").into();
                    topics.publish("t", event);
                }
            });
        }
    });
    assert!(topics.flush().await);
    let torn = store.torn.lock().unwrap().clone();
    assert_eq!(torn, [""; 0], "of {} calls", store.calls.load(Ordering::Relaxed));
    assert_eq!(store.events.load(Ordering::Relaxed), EVENTS * PUBLISHERS);
    assert!(store.calls.load(Ordering::Relaxed) > 2, "more than one transaction is needed");
}

#[tokio::test]
async fn the_store_is_busy_while_many_changes_come_together() {
    let clock = VirtualClock::new(Timestamp(1_000_000_000_000));
    let writer = Writer::new(Arc::new(MemoryTopicStore::default()), clock, None, 10);
    for (changes, is_busy) in [(0, false), (BUSY_FROM - 1, false), (BUSY_FROM, true), (0, false)] {
        for number in 0..changes {
            writer.set(&"t".into(), &number.to_string().into(), None);
        }
        writer.flush().await.unwrap();
        assert_eq!(writer.is_busy(), is_busy, "{changes} changes");
    }
}
