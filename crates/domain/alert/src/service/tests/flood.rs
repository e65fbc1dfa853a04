//! More events than handlers deliver: fast handlers lose none, slow ones do not hold up who publishes.

#![expect(clippy::disallowed_methods, reason = "tests look at the real clock")]

use std::collections::HashMap;
use std::sync::atomic::AtomicBool;
use std::time::Instant;

use super::*;
use crate::handlers::{Arg, HandlerSpec, by_method, by_option_kind};

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
    let world = World::new().await;
    let log = vec![Arg::from(path.to_str().unwrap())];
    let spec = HandlerSpec::from_call(by_method("log").unwrap(), log).unwrap();
    let handler = spec.start(&HandlerDeps::default()).unwrap();
    world.service.topics().handler_add(TOPIC, HandlerSetup::new("log0", handler)).unwrap();
    flood(&world, EVENTS, IDS).await;

    let stats = world.service.topics().stats();
    assert_eq!((stats.dropped, stats.outbox.dropped, stats.outbox.coalesced), (0, 0, 0));
    assert_eq!(stats.records_dropped, 0);
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
    let outbox = OutboxSettings { entries_max: 100, ..OutboxSettings::default() };
    let world = World::with(outbox).await;
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
    let before = began.elapsed();
    tokio::task::block_in_place(|| publish(75, 400));
    let took = began.elapsed() - before;
    assert!(took >= Duration::from_millis(900), "{took:?}");
    assert!(took < Duration::from_secs(5), "it was waited for again and again: {took:?}");
    let stats = world.stats();
    assert!((100..=101).contains(&stats.waiting), "{stats:?}");
    assert_eq!(stats.dropped + stats.waiting, 400, "what is lost is counted: {stats:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_topic_that_gets_its_events_from_another_loses_none() {
    const EVENTS: usize = 8_000;
    let world = World::new().await;
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
