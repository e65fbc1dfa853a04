//! More events than handlers deliver: fast handlers lose none, slow ones do not hold up who publishes.

#![expect(clippy::disallowed_methods, reason = "tests look at the real clock")]

use std::collections::HashMap;
use std::sync::atomic::AtomicBool;
use std::time::Instant;

use super::*;
use crate::handlers::{Arg, HandlerSpec, by_method, by_option_kind};
use crate::topics::Patience;

/// A server on which publishers wait as they are told.
async fn world(outbox: OutboxSettings, patience: Patience, records_max: usize) -> World {
    let topics =
        TopicsSettings { outbox: Some(outbox), patience, records_max, ..TopicsSettings::default() };
    let settings = ServiceSettings { topics, ..ServiceSettings::default() };
    let clock = VirtualClock::new(Timestamp(1_700_000_000_000_000_000));
    World::start(settings, Arc::default(), clock).await
}

/// A server of the default lengths on which nobody gives up, however busy the machine is.
async fn patient_world() -> World {
    let ever = Duration::from_secs(3_600);
    let records_max = TopicsSettings::default().records_max;
    world(OutboxSettings::default(), Patience { all: ever, still: ever }, records_max).await
}

/// Publishes from a thread of its own, as tasks do, while the handlers work here.
async fn flood(world: &World, events: usize, ids: usize) {
    let topics = world.service.topics().clone();
    let is_done = Arc::new(AtomicBool::new(false));
    let done = Arc::clone(&is_done);
    let publisher = std::thread::spawn(move || {
        for number in 0..events {
            let is_alert = (number / ids).is_multiple_of(2);
            let level = if is_alert { Level::Critical } else { Level::Ok };
            let mut event = event(&format!("id{}", number % ids), level);
            event.message = number.to_string().into();
            topics.wait_for_room(TOPIC);
            topics.publish(TOPIC, event);
        }
        done.store(true, Ordering::Release);
    });
    while !is_done.load(Ordering::Acquire) || world.stats().waiting > 0 {
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    publisher.join().unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_log_file_gets_every_event_of_a_flood_in_order() {
    const EVENTS: usize = 100_001;
    const IDS: usize = 700;
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("alerts.log");
    let world = patient_world().await;
    let log = vec![Arg::from(path.to_str().unwrap())];
    let spec = HandlerSpec::from_call(by_method("log").unwrap(), log).unwrap();
    let handler = spec.start(&HandlerDeps::default()).unwrap();
    world.service.topics().handler_add(TOPIC, HandlerSetup::new("log0", handler)).unwrap();
    flood(&world, EVENTS, IDS).await;

    let stats = world.service.topics().stats();
    assert_eq!((stats.dropped, stats.outbox.dropped, stats.outbox.coalesced), (0, 0, 0));
    assert_eq!((stats.records_dropped, stats.waits_in_vain), (0, 0));
    let log = std::fs::read_to_string(&path).unwrap();
    let mut next: HashMap<usize, usize> = (0..IDS).map(|id| (id, id)).collect();
    for line in log.lines() {
        let message = line.split_once("\"message\":\"").unwrap().1.split_once('"').unwrap().0;
        let number: usize = message.parse().unwrap();
        let expected = next.get_mut(&(number % IDS)).unwrap();
        assert_eq!(number, *expected, "an event is missing, doubled or out of its order");
        *expected += IDS;
    }
    assert_eq!(log.lines().count(), EVENTS);
    assert!(world.service.topics().flush().await);
    assert_eq!(world.stored("outbox/").await, 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_handler_that_hangs_is_waited_for_once() {
    let still = Duration::from_millis(200);
    // Neither the whole patience nor that where nothing moves is exceeded; without patience nobody waits.
    for (all, still, waits) in
        [(still * 50, still, 1), (still, still * 50, 1), (Duration::ZERO, still, 0)]
    {
        let outbox = OutboxSettings { entries_max: 100, ..OutboxSettings::default() };
        let world = world(outbox, Patience { all, still }, 10_000).await;
        let receiver = Receiver::new(&[]);
        receiver.set(Some(Act::Hang));
        world.add(&receiver);
        let began = Instant::now();
        let publish = |from: usize, to: usize| {
            for number in from..to {
                world.service.topics().wait_for_room(TOPIC);
                world.publish(&format!("id{number}"), Level::Critical, number);
            }
        };
        // A quarter is the margin: up to there nobody waits.
        tokio::task::block_in_place(|| publish(0, 75));
        assert_eq!(world.service.topics().stats().waits, 0);
        let before = began.elapsed();
        tokio::task::block_in_place(|| publish(75, 400));
        let took = began.elapsed() - before;
        assert!(waits == 0 || took >= all.min(still), "{took:?}");
        let all = world.service.topics().stats();
        assert_eq!((all.waits, all.waits_in_vain), (waits, waits), "it was waited for again");
        let stats = world.stats();
        assert!((100..=101).contains(&stats.waiting), "{stats:?}");
        assert_eq!(stats.dropped + stats.waiting, 400, "what is lost is counted: {stats:?}");
    }
}

#[tokio::test]
async fn lines_of_the_history_that_are_too_many_are_counted() {
    let patience = Patience { all: Duration::ZERO, still: Duration::ZERO };
    let world = world(OutboxSettings::default(), patience, 3).await;
    world.documents.fails.store(true, Ordering::Relaxed);
    let dropped = || world.service.topics().stats().records_dropped;
    for number in 0..3 {
        world.publish(&format!("id{number}"), Level::Critical, number);
    }
    // Given back by a flush that fails.
    assert!(!world.service.topics().flush().await);
    assert_eq!(dropped(), 0);
    world.publish("id3", Level::Critical, 3);
    assert_eq!(dropped(), 1);
    assert!(!world.service.topics().flush().await);
    assert_eq!(dropped(), 1);
    world.documents.fails.store(false, Ordering::Relaxed);
    assert!(world.service.topics().flush().await);
    assert_eq!((world.service.history().lines(), dropped()), (3, 1));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_topic_that_gets_its_events_from_another_loses_none() {
    const EVENTS: usize = 8_000;
    let world = patient_world().await;
    let topics = world.service.topics();
    let options = serde_json::json!({ "topics": ["other"] });
    let kind = by_option_kind("publish").unwrap();
    let spec = HandlerSpec::from_options(kind, options.as_object().unwrap()).unwrap();
    let deps = HandlerDeps { topics: Some(topics.downgrade()), ..HandlerDeps::default() };
    let publish = HandlerSetup::new("publish0", spec.start(&deps).unwrap());
    topics.handler_add(TOPIC, publish).unwrap();
    let receiver = Receiver::new(&[]);
    topics.handler_add("other", HandlerSetup::new("fake0", receiver.clone())).unwrap();
    let clock = Arc::clone(&world.clock);
    let moves = world.tasks.spawn(TaskKind::Alert, "time", async move {
        loop {
            clock.advance(Duration::from_millis(1));
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    });
    flood(&world, EVENTS, 500).await;
    moves.abort();
    assert_eq!(receiver.got().len(), EVENTS);
    assert_eq!(world.stats().dropped + world.stats().coalesced, 0);
}
