#![expect(clippy::unwrap_used, reason = "tests")]

use std::sync::Mutex;
use std::sync::atomic::AtomicBool;

use async_trait::async_trait;
use levada_model::Timestamp;
use levada_runtime::{TaskKind, VirtualClock};
use levada_testkit::wait::until_async;
use tokio::sync::Semaphore;

use super::*;
use crate::event::Details;
use crate::event::tests::event;

const MOST: Duration = Duration::from_secs(10);

/// Keeps what it gets; takes an event only when it may.
struct Keeper {
    got: Mutex<Vec<String>>,
    permits: Semaphore,
}

impl Keeper {
    fn new(permits: usize) -> Arc<Self> {
        Arc::new(Keeper { got: Mutex::default(), permits: Semaphore::new(permits) })
    }

    fn open() -> Arc<Self> {
        Keeper::new(Semaphore::MAX_PERMITS)
    }

    fn got(&self) -> Vec<String> {
        self.got.lock().unwrap().clone()
    }
}

#[async_trait]
impl Handler for Keeper {
    async fn handle(&self, event: &Event) -> Result<(), HandlerError> {
        self.permits.acquire().await.unwrap().forget();
        let text = format!("{} {} before {}", event.id, event.level, event.previous_level);
        self.got.lock().unwrap().push(text);
        Ok(())
    }
}

struct Fixture {
    topics: Topics,
    store: Arc<MemoryTopicStore>,
    clock: Arc<VirtualClock>,
    tasks: Tasks,
}

fn fixture_with(settings: TopicsSettings, store: Arc<MemoryTopicStore>) -> Fixture {
    let clock = VirtualClock::new(Timestamp(1_000_000_000_000));
    let tasks = Tasks::new();
    let deps = TopicsDeps {
        tasks: tasks.clone(),
        runtime: Runtime::current(),
        clock: clock.clone(),
        store: Some(store.clone()),
        silencer: None,
    };
    Fixture { topics: Topics::new(settings, deps), store, clock, tasks }
}

fn fixture() -> Fixture {
    fixture_with(TopicsSettings::default(), Arc::default())
}

fn state(level: Level) -> EventState {
    EventState::of(&event("x", level))
}

async fn stored(store: &MemoryTopicStore) -> Vec<String> {
    let states = store.load().await.unwrap().into_iter();
    states.map(|one| format!("{} {} {}", one.topic, one.id, one.state.level)).collect()
}

#[tokio::test]
async fn handlers_get_events_in_order_with_the_level_before() {
    let Fixture { topics, .. } = fixture();
    let (one, other) = (Keeper::open(), Keeper::open());
    topics.handler_add("t", HandlerSetup::new("one", one.clone())).unwrap();
    topics.handler_add("t", HandlerSetup::new("other", other.clone())).unwrap();
    let levels = [Level::Info, Level::Critical, Level::Ok, Level::Warning];
    let mut previous = Vec::new();
    // A thread that is no part of the runtime, as those of the engine.
    let publisher = topics.clone();
    let thread =
        std::thread::spawn(move || levels.map(|level| publisher.publish("t", event("a", level))));
    previous.extend(thread.join().unwrap().map(|published| published.previous));
    assert_eq!(previous, [Level::Ok, Level::Info, Level::Critical, Level::Ok]);
    until_async("both got all", MOST, || one.got().len() == 4 && other.got().len() == 4).await;
    let expected = [
        "a INFO before OK",
        "a CRITICAL before INFO",
        "a OK before CRITICAL",
        "a WARNING before OK",
    ];
    assert_eq!(one.got(), expected);
    assert_eq!(other.got(), expected);
    let status = topics.status("t").unwrap();
    assert_eq!((status.level, status.collected, status.dropped), (Level::Warning, 4, 0));
}

#[tokio::test]
async fn a_full_queue_loses_events_counts_them_and_delays_nobody() {
    let settings = TopicsSettings { buffer_length: 3, ..TopicsSettings::default() };
    let Fixture { topics, .. } = fixture_with(settings, Arc::default());
    let (stuck, free) = (Keeper::new(0), Keeper::open());
    topics.handler_add("t", HandlerSetup::new("stuck", stuck.clone())).unwrap();
    topics.handler_add("t", HandlerSetup::new("free", free.clone())).unwrap();
    let mut queued = 0;
    // One event is in the hands of the stuck handler once its worker took it.
    topics.publish("t", event("0", Level::Info));
    until_async("the worker took it", MOST, || topics.handlers("t")[0].1.queued == 0).await;
    for index in 1..=5 {
        let published = topics.publish("t", event(&index.to_string(), Level::Info));
        queued += published.queued;
        let text = published.error_text("5");
        match index {
            1..=3 => assert_eq!(text, None, "{index}"),
            _ => assert_eq!(text.unwrap(), "failed to deliver event \"5\" to handler"),
        }
        // The other handler keeps up, whatever the stuck one does.
        until_async("it got it", MOST, || free.got().len() == index + 1).await;
    }
    assert_eq!(queued, 3 + 5);
    assert_eq!((topics.events_dropped(), topics.status("t").unwrap().dropped), (2, 2));
    assert_eq!(topics.handlers("t")[0].1.dropped, 2);
    stuck.permits.add_permits(100);
    until_async("the queue ran empty", MOST, || stuck.got().len() == 4).await;
    assert_eq!(stuck.got().last().unwrap(), "3 INFO before OK");
}

#[test]
fn texts_and_bounds() {
    let lost = |dropped| Published { dropped, ..Published::default() };
    assert_eq!(
        lost(1).and(lost(1)).error_text("x").unwrap(),
        "multiple errors:\nfailed to deliver event \"x\" to handler\nfailed to deliver event \"x\" to handler"
    );
    let length = |length| TopicsSettings::default().with_buffer_length(length).buffer_length;
    assert_eq!((length(999), length(1000), length(7000)), (5000, 1000, 7000));
    assert!(is_anonymous("main:tid:alert2") && !is_anonymous("t.x-y_z"));
}

#[tokio::test]
async fn handlers_are_added_replaced_and_removed_without_losing_what_is_queued() {
    let Fixture { topics, .. } = fixture();
    let old = Keeper::new(0);
    topics.handler_add("t", HandlerSetup::new("h", old.clone())).unwrap();
    let error = topics.handler_add("t", HandlerSetup::new("h", old.clone())).unwrap_err();
    assert_eq!(error.to_string(), "cannot register handler, handler with ID \"h\" already exists");
    topics.publish("t", event("1", Level::Info));
    topics.publish("t", event("2", Level::Info));
    let new = Keeper::open();
    topics.handler_add("t", HandlerSetup::new("k", new.clone())).unwrap();
    let replace =
        |old_id, id: &str| topics.handler_replace("t", old_id, HandlerSetup::new(id, new.clone()));
    assert_eq!(replace("h", "k").unwrap_err().kind(), ErrorKind::Conflict);
    assert_eq!(replace("z", "y").unwrap_err().to_string(), "unknown handler: \"z\"");
    let worker = replace("h", "renamed").unwrap();
    topics.publish("t", event("3", Level::Info));
    old.permits.add_permits(10);
    worker.drained().await;
    assert_eq!(old.got(), ["1 INFO before OK", "2 INFO before OK"]);
    until_async("both new ones got it", MOST, || new.got().len() == 2).await;
    let ids: Vec<String> = topics.handlers("t").into_iter().map(|(id, _)| id.to_string()).collect();
    assert_eq!(ids, ["renamed", "k"]);
    topics.handler_remove("t", "k").unwrap().drained().await;
    assert!(topics.handler_remove("t", "k").is_none());
}

struct Only(&'static str);

impl Matcher for Only {
    fn is_match(&self, event: &Event) -> Result<bool, HandlerError> {
        match &*event.id {
            "broken" => Err(HandlerError::new("no such tag")),
            id => Ok(id == self.0),
        }
    }
}

struct Panics(AtomicBool);

#[async_trait]
impl Handler for Panics {
    async fn handle(&self, _event: &Event) -> Result<(), HandlerError> {
        assert!(self.0.swap(true, Ordering::AcqRel), "the first event ends in a panic");
        Ok(())
    }
}

#[tokio::test]
async fn matchers_state_changes_and_panics() {
    let Fixture { topics, .. } = fixture();
    let (some, changes) = (Keeper::open(), Keeper::open());
    let matcher: Option<Arc<dyn Matcher>> = Some(Arc::new(Only("a")));
    topics
        .handler_add("t", HandlerSetup { matcher, ..HandlerSetup::new("some", some.clone()) })
        .unwrap();
    let setup =
        HandlerSetup { is_state_changes_only: true, ..HandlerSetup::new("c", changes.clone()) };
    topics.handler_add("t", setup).unwrap();
    let panics = Arc::new(Panics(AtomicBool::new(false)));
    topics.handler_add("t", HandlerSetup::new("panics", panics)).unwrap();
    for id in ["a", "b", "broken", "a"] {
        topics.publish("t", event(id, Level::Info));
    }
    let finished = |index: usize| {
        let stats = topics.handlers("t")[index].1;
        stats.handled + stats.failed + stats.unmatched
    };
    until_async("all were done", MOST, || (0..3).all(|index| finished(index) == 4)).await;
    assert_eq!(some.got(), ["a INFO before OK", "a INFO before INFO"]);
    let numbers = |index: usize| {
        let stats = topics.handlers("t")[index].1;
        (stats.handled, stats.unmatched, stats.failed)
    };
    assert_eq!(numbers(0), (2, 1, 1));
    assert_eq!(changes.got().len(), 3, "U-35: the second event of `a` is no change");
    assert_eq!(numbers(1), (3, 1, 0));
    assert_eq!(numbers(2), (3, 0, 1), "a handler that panicked goes on");
}

#[tokio::test]
async fn states_are_written_behind_and_restored() {
    let Fixture { topics, store, .. } = fixture();
    let anonymous = "main:tid:alert2";
    topics.publish("t", event("a", Level::Info));
    topics.publish("t", event("a", Level::Critical));
    topics.publish("t", event("b", Level::Warning));
    topics.publish("t", event("b", Level::Ok));
    topics.publish(anonymous, event("c", Level::Warning));
    assert!(stored(&store).await.is_empty(), "nothing is written on the way");
    topics.flush().await;
    assert_eq!(stored(&store).await, ["main:tid:alert2 c WARNING", "t a CRITICAL"]);

    let again = fixture_with(TopicsSettings::default(), store.clone());
    assert_eq!(again.topics.restore().await.unwrap(), 2);
    assert_eq!(again.topics.publish("t", event("a", Level::Ok)).previous, Level::Critical);
    assert!(again.topics.status(anonymous).is_none(), "closed until its task starts");
    again.topics.open(anonymous);
    assert_eq!(again.topics.status(anonymous).unwrap().level, Level::Warning);
    let known = again.topics.event_state(anonymous, "c").unwrap();
    assert_eq!(&*known.message, "c is WARNING");
    again.topics.flush().await;
    assert_eq!(stored(&store).await, ["main:tid:alert2 c WARNING"]);

    again.topics.close(anonymous);
    assert!(again.topics.status(anonymous).is_none());
    assert!(again.topics.event_state(anonymous, "c").is_some(), "a stopped task starts again");
    again.topics.delete(anonymous);
    assert!(again.topics.event_state(anonymous, "c").is_none());
    again.topics.flush().await;
    assert!(stored(&store).await.is_empty());
}

#[tokio::test]
async fn upkeep_writes_by_itself_forgets_and_ends() {
    let Fixture { topics, store, clock, tasks } = fixture();
    topics.publish("t", event("a", Level::Info));
    topics.publish("t", event("b", Level::Ok));
    let mut is_stored = false;
    while !is_stored {
        clock.advance(FLUSH_INTERVAL_DEFAULT);
        tokio::task::yield_now().await;
        is_stored = !stored(&store).await.is_empty();
    }
    topics.forget_ok();
    assert!(topics.event_state("t", "b").is_some(), "it was just heard of");
    clock.advance(OK_RETENTION_DEFAULT);
    topics.forget_ok();
    assert!(topics.event_state("t", "b").is_none());
    assert!(topics.event_state("t", "a").is_some(), "only what is OK is forgotten");
    drop(topics);
    until_async("the upkeep ended", MOST, || {
        clock.advance(FLUSH_INTERVAL_DEFAULT);
        tasks.running().is_empty()
    })
    .await;
}

/// Fails until it is told not to.
#[derive(Default)]
struct Broken {
    works: AtomicBool,
    inner: MemoryTopicStore,
}

#[async_trait]
impl TopicStore for Broken {
    async fn load_outboxes(&self) -> Result<Vec<StoredEntry>, TopicStoreError> {
        Ok(Vec::new())
    }

    async fn load(&self) -> Result<Vec<StoredState>, TopicStoreError> {
        self.inner.load().await
    }

    async fn apply(&self, changes: &[Change]) -> Result<(), TopicStoreError> {
        match self.works.load(Ordering::Acquire) {
            true => self.inner.apply(changes).await,
            false => {
                Err(TopicStoreError { message: "gone".to_owned(), kind: ErrorKind::Unavailable })
            }
        }
    }
}

#[tokio::test]
async fn what_cannot_be_written_waits_and_the_newest_counts() {
    let store = Arc::new(Broken::default());
    let writer = Writer::new(store.clone(), VirtualClock::new(Timestamp(0)), None, 10);
    let (t, u): (Str, Str) = ("t".into(), "u".into());
    for index in 0..2_500 {
        writer.set(&t, &index.to_string().into(), Some(state(Level::Info)));
    }
    writer.set(&u, &"gone".into(), Some(state(Level::Info)));
    assert!(writer.flush().await.is_err());
    writer.set(&t, &"7".into(), Some(state(Level::Critical)));
    writer.set(&t, &"8".into(), None);
    writer.remove_topic("u");
    assert!(writer.flush().await.is_err());
    store.works.store(true, Ordering::Release);
    writer.flush().await.unwrap();
    let states = stored(&store.inner).await;
    assert_eq!(states.len(), 2_499, "all but the one that became OK and the topic removed");
    assert!(states.contains(&"t 7 CRITICAL".to_owned()));
}

#[tokio::test]
async fn lists_are_sorted_and_filtered() {
    let Fixture { topics, .. } = fixture();
    for (topic, id, level) in [
        ("b", "z", Level::Info),
        ("b", "y", Level::Critical),
        ("b", "x", Level::Ok),
        ("a", "1", Level::Ok),
        ("c", "1", Level::Warning),
    ] {
        topics.publish(topic, event(id, level));
    }
    let list = |min_level| -> Vec<String> {
        let list = topics.list(min_level, |id| id != "c").into_iter();
        list.map(|status| format!("{} {}", status.id, status.level)).collect()
    };
    assert_eq!(list(Level::Ok), ["a OK", "b CRITICAL"]);
    assert_eq!(list(Level::Warning), ["b CRITICAL"]);
    let page = |min_level, offset, limit| {
        let page = topics.events("b", min_level, offset, limit).unwrap();
        let ids: Vec<String> = page.events.iter().map(|event| event.id.to_string()).collect();
        (ids.join(" "), page.total)
    };
    assert_eq!(page(Level::Ok, 0, 10), ("x y z".to_owned(), 3));
    assert_eq!(page(Level::Info, 1, 1), ("z".to_owned(), 2));
    assert_eq!(page(Level::Info, 5, 1), (String::new(), 2));
    let error = topics.events("none", Level::Ok, 0, 10).unwrap_err();
    assert_eq!(
        (error.to_string(), error.kind()),
        ("unknown topic: \"none\"".to_owned(), ErrorKind::NotFound)
    );
    // What a topic knew is gone, its handlers stay.
    let keeper = Keeper::open();
    topics.handler_add("b", HandlerSetup::new("h", keeper.clone())).unwrap();
    topics.forget("b");
    assert_eq!(
        topics.status("b").map(|status| (status.level, status.collected)),
        Some((Level::Ok, 0))
    );
    topics.publish("b", event("y", Level::Info));
    until_async("the handler is still there", MOST, || keeper.got() == ["y INFO before OK"]).await;
    topics.forget("a");
    assert!(topics.status("a").is_none());
}

#[tokio::test]
async fn states_per_topic_are_bounded() {
    let settings = TopicsSettings { states_max: 3, ..TopicsSettings::default() };
    let Fixture { topics, .. } = fixture_with(settings, Arc::default());
    let publish = |id, level| topics.publish("t", event(id, level)).previous;
    publish("a", Level::Ok);
    publish("b", Level::Ok);
    publish("a", Level::Info);
    publish("c", Level::Info);
    publish("d", Level::Info);
    let ids = || -> Vec<String> {
        let page = topics.events("t", Level::Ok, 0, 10).unwrap();
        page.events.into_iter().map(|event| event.id.to_string()).collect()
    };
    assert_eq!(ids(), ["a", "c", "d"], "b was OK and made room");
    assert_eq!(topics.status("t").unwrap().states_dropped, 0);
    publish("e", Level::Critical);
    assert_eq!(ids(), ["a", "c", "d"], "nothing was OK");
    assert_eq!(topics.status("t").unwrap().states_dropped, 1);
    assert_eq!(publish("e", Level::Critical), Level::Ok, "an event that was not kept is unknown");
    publish("c", Level::Ok);
    publish("e", Level::Critical);
    assert_eq!(ids(), ["a", "d", "e"]);
    assert_eq!(topics.status("t").unwrap().level, Level::Critical);
}

#[tokio::test]
async fn states_of_another_server_are_taken_up_to_the_bound_and_stored() {
    let settings = TopicsSettings { states_max: 3, ..TopicsSettings::default() };
    let Fixture { topics, store, .. } = fixture_with(settings, Arc::default());
    let keeper = Keeper::open();
    topics.handler_add("t", HandlerSetup::new("one", keeper.clone())).unwrap();
    let at = |id: &str, time: i64, level| {
        (Str::from(id), EventState { time: Timestamp(time), ..state(level) })
    };
    let first = vec![at("a", 5, Level::Critical), at("b", 5, Level::Warning)];
    let outcome = topics.states_take("t", first).await.unwrap();
    assert_eq!(outcome, TakenStates { taken: 2, old: 0 });
    assert_eq!(stored(&store).await, ["t a CRITICAL", "t b WARNING"]);
    let second = vec![
        at("a", 5, Level::Ok),
        at("b", 6, Level::Info),
        at("c", 1, Level::Info),
        at("d", 1, Level::Info),
    ];
    let error = topics.states_take("t", second).await.unwrap_err();
    assert_eq!(error, TakeError::NoRoom { missing: 1, most: 3 });
    assert_eq!(stored(&store).await, ["t a CRITICAL", "t b INFO", "t c INFO"]);
    let status = topics.status("t").unwrap();
    assert_eq!((status.level, status.collected, status.states_dropped), (Level::Critical, 0, 1));
    // Nobody has spoken of them here: they become stale as those that were loaded at the start.
    assert_eq!(topics.publish("t", event("a", Level::Ok)).previous, Level::Critical);
    until_async("the first event is heard of", MOST, || keeper.got().len() == 1).await;
    assert_eq!(keeper.got(), ["a OK before CRITICAL"]);
}

#[tokio::test]
async fn restoring_a_group_prefers_the_anonymous_topic_and_syncs_the_other() {
    let Fixture { topics, .. } = fixture();
    let sync = || topics.event_state_sync(Some("m:t:a2"), Some("t"), "x").map(|state| state.level);
    let level = |topic| topics.event_state(topic, "x").map(|state| state.level);
    assert_eq!(sync(), None);
    topics.event_state_set("t", "x", state(Level::Warning));
    assert_eq!(level("t"), Some(Level::Warning), "U-37: an unknown topic is made");
    assert_eq!(sync(), Some(Level::Warning));
    assert_eq!(level("m:t:a2"), Some(Level::Warning));
    topics.event_state_set("m:t:a2", "x", state(Level::Critical));
    assert_eq!(sync(), Some(Level::Critical));
    assert_eq!(level("t"), Some(Level::Critical));
    assert_eq!(
        topics.event_state_sync(None, Some("t"), "x").map(|one| one.level),
        Some(Level::Critical)
    );
}

#[tokio::test]
async fn shutting_down_waits_and_says_what_was_abandoned() {
    let Fixture { topics, store, clock, .. } = fixture();
    let (stuck, slow) = (Keeper::new(0), Keeper::new(1));
    topics.handler_add("t", HandlerSetup::new("slow", slow.clone())).unwrap();
    topics.handler_add("u", HandlerSetup::new("stuck", stuck.clone())).unwrap();
    topics.publish("t", event("a", Level::Info));
    topics.publish("u", event("b", Level::Info));
    topics.publish("u", event("c", Level::Info));
    let waiting = topics.clone();
    let tasks = Tasks::new();
    let done = tasks.spawn(TaskKind::Alert, "shut down", async move {
        waiting.shut_down(Duration::from_secs(5)).await
    });
    until_async("the slow one is done", MOST, || slow.got().len() == 1).await;
    assert!(!done.is_finished());
    until_async("the time is over", MOST, || {
        clock.advance(Duration::from_secs(1));
        done.is_finished()
    })
    .await;
    assert_eq!(done.await.unwrap(), 2);
    assert_eq!(stored(&store).await, ["t a INFO", "u b INFO", "u c INFO"]);
}

#[tokio::test]
async fn details_are_not_made_for_nobody_and_once_for_all() {
    let Fixture { topics, .. } = fixture();
    let made = Arc::new(AtomicU64::new(0));
    let counter = made.clone();
    let details = Details::lazy(move || {
        counter.fetch_add(1, Ordering::AcqRel);
        "made".to_owned()
    });
    topics.publish("t", Event { details, ..event("a", Level::Info) });
    assert_eq!(made.load(Ordering::Acquire), 0);
    topics.make_details().await;
    assert!(topics.event_state("t", "a").unwrap().details.is_made());
    assert_eq!(&**topics.event_state("t", "a").unwrap().details.text(), "made");
    assert_eq!(made.load(Ordering::Acquire), 1);
}

#[tokio::test]
async fn states_let_go_of_the_points_of_their_events() {
    let Fixture { topics, .. } = fixture();
    let held = Arc::new(());
    let lazy = || {
        let held = held.clone();
        Details::lazy(move || format!("{:?}", held))
    };
    for round in 0..3 {
        for index in 0..250 {
            let level = if round == 2 { Level::Ok } else { Level::Info };
            let details = lazy();
            topics.publish("t", Event { details, ..event(&index.to_string(), level) });
        }
    }
    assert_eq!(Arc::strong_count(&held), 251);
    topics.make_details().await;
    assert_eq!(Arc::strong_count(&held), 1);
    topics.publish("t", Event { details: lazy(), ..event("0", Level::Info) });
    topics.make_details().await;
    assert_eq!(Arc::strong_count(&held), 1);
}
