//! Delivery: at least once, in order per event, with what receivers do wrong.

use super::*;
use crate::topics::Overflow;

#[tokio::test]
async fn events_are_stored_then_sent_then_forgotten() {
    let world = World::new().await;
    let receiver = Receiver::new(&[]);
    world.add(&receiver);
    for (number, level) in [Level::Info, Level::Critical, Level::Ok].into_iter().enumerate() {
        world.publish("a", level, number);
    }
    assert_eq!(receiver.got().len(), 0, "nothing is sent before it is stored");
    world.until("all is sent", || world.stats().waiting == 0).await;
    assert_eq!(receiver.got(), ["a INFO 0", "a CRITICAL 1", "a OK 2"]);
    assert!(world.service.topics().flush().await);
    assert_eq!(world.stored("outbox/").await, 0);
    let stats = world.stats();
    assert_eq!((stats.accepted, stats.sent, stats.retried, stats.failed), (3, 3, 0, 0));
}

#[tokio::test]
async fn what_was_stored_is_sent_after_a_kill() {
    let world = World::new().await;
    let receiver = Receiver::dead();
    world.add(&receiver);
    world.publish("a", Level::Critical, 0);
    world.publish("b", Level::Warning, 1);
    world.publish("a", Level::Ok, 2);
    assert!(world.service.topics().flush().await);
    let world = world.kill().await;
    assert_eq!(world.stats().waiting, 3);
    world.pass(Duration::from_secs(60)).await;
    assert_eq!(receiver.got().len(), 0, "nobody has taken the events up");
    receiver.set(None);
    world.add(&receiver);
    world.until("all is sent", || world.stats().waiting == 0).await;
    assert_eq!(receiver.got(), ["a CRITICAL 0", "b WARNING 1", "a OK 2"]);
    // The states came back with them.
    let state = world.service.topics().event_state(TOPIC, "b").unwrap();
    assert_eq!(state.level, Level::Warning);
    assert!(world.service.topics().event_state(TOPIC, "a").is_none(), "it was OK");
    let world = world.kill().await;
    assert_eq!(world.stats().waiting, 0, "what was sent was deleted");
}

#[tokio::test]
async fn failures_hangs_and_panics_are_tried_again_and_refusals_are_not() {
    let acts = [Act::Fail, Act::Panic, Act::Hang, Act::Take, Act::Refuse, Act::Take];
    let world = World::new().await;
    let receiver = Receiver::new(&acts);
    world.add(&receiver);
    world.publish("a", Level::Critical, 0);
    world.until("it hangs", || receiver.attempts() == 3).await;
    assert_eq!(receiver.got().len(), 0);
    world.pass(Duration::from_secs(700)).await;
    world.until("it is sent", || receiver.got().len() == 1).await;
    world.publish("b", Level::Critical, 1);
    world.publish("c", Level::Critical, 2);
    world.until("the last is sent", || receiver.got().len() == 2).await;
    assert_eq!(receiver.got(), ["a CRITICAL 0", "c CRITICAL 2"]);
    let stats = world.stats();
    assert_eq!((stats.sent, stats.retried, stats.failed, stats.rejected), (2, 3, 4, 1));
    assert_eq!(stats.waiting, 0);
}

#[tokio::test]
async fn a_receiver_that_asks_for_time_gets_it_within_reason() {
    for (asked, given) in [(120, 120), (10_000_000, 3600)] {
        let world = World::new().await;
        let receiver = Receiver::new(&[Act::After(Duration::from_secs(asked))]);
        world.add(&receiver);
        world.publish("a", Level::Critical, 0);
        world.publish("b", Level::Critical, 1);
        world.pause().await;
        assert_eq!(receiver.attempts(), 1);
        world.pass(Duration::from_secs(given - 1)).await;
        assert_eq!(receiver.attempts(), 1, "the other event waits, too");
        world.pass(Duration::from_secs(2)).await;
        assert_eq!(receiver.got().len(), 2);
    }
}

#[tokio::test]
async fn one_event_that_nobody_can_take_does_not_hold_up_the_others() {
    let world = World::new().await;
    let receiver = Receiver::new(&[]);
    *receiver.poison.lock().unwrap() = Some("bad".to_owned());
    world.add(&receiver);
    world.publish("bad", Level::Critical, 0);
    for number in 0..20 {
        world.publish(&format!("good{number}"), Level::Critical, number);
    }
    world.until("the others are sent", || receiver.got().len() == 20).await;
    assert_eq!(world.stats().waiting, 1);
    // It is given up when it is too old.
    world.pass(Duration::from_secs(4 * 24 * 3600)).await;
    world.until("it is given up", || world.stats().waiting == 0).await;
    assert_eq!(world.stats().expired, 1);
    assert!(world.service.topics().flush().await);
    assert_eq!(world.stored("outbox/").await, 0);
}

#[tokio::test]
async fn newer_events_supersede_older_ones_while_the_receiver_is_away_but_no_recovery_that_is_owed()
{
    let world = World::new().await;
    let receiver = Receiver::new(&[]);
    world.add(&receiver);
    world.publish("a", Level::Critical, 0);
    world.until("the alert is sent", || receiver.got().len() == 1).await;
    receiver.set(Some(Act::Fail));
    world.publish("z", Level::Info, 1);
    world.until("it is away", || world.stats().failed > 0).await;
    // The receiver knows that `a` is critical: its first recovery is owed. What comes after it is news of which only the
    // last counts.
    let levels = [Level::Ok, Level::Warning, Level::Critical, Level::Ok, Level::Info];
    for (number, level) in levels.into_iter().enumerate() {
        world.publish("a", level, 2 + number);
    }
    // It never heard of `b`.
    for (number, level) in [Level::Warning, Level::Critical, Level::Ok].into_iter().enumerate() {
        world.publish("b", level, 10 + number);
    }
    assert_eq!(world.stats().coalesced, 5);
    receiver.set(None);
    world.until("all is sent", || world.stats().waiting == 0).await;
    let mut got = receiver.got();
    got.retain(|message| !message.starts_with('z'));
    assert_eq!(got, ["a CRITICAL 0", "a OK 2", "a INFO 6", "b OK 12"]);
}

#[tokio::test]
async fn ten_thousand_events_for_a_dead_receiver_stay_within_bounds() {
    for (overflow, first_kept) in [(Overflow::DropOldest, 9_000), (Overflow::DropNewest, 0)] {
        let outbox = OutboxSettings { entries_max: 1_000, overflow, ..OutboxSettings::default() };
        let world = World::with(outbox).await;
        let receiver = Receiver::new(&[]);
        world.add(&receiver);
        for number in 0..50 {
            world.publish(&format!("known{number}"), Level::Critical, number);
        }
        world.until("the alerts are sent", || receiver.got().len() == 50).await;
        receiver.set(Some(Act::Fail));
        for number in 0..10_000 {
            world.publish(&format!("id{number:05}"), Level::Critical, number);
        }
        for number in 0..50 {
            world.publish(&format!("known{number}"), Level::Ok, number);
        }
        world.pass(Duration::from_secs(10)).await;
        assert!(world.service.topics().flush().await);
        let stats = world.stats();
        assert_eq!((stats.waiting, stats.dropped), (1_050, 9_000), "owed recoveries come on top");
        assert_eq!(world.entries().await, 1_050);
        assert_eq!(
            world.service.topics().events_dropped(),
            match overflow {
                Overflow::DropOldest => 0,
                Overflow::DropNewest => 9_000,
            }
        );
        receiver.set(None);
        receiver.got.lock().unwrap().clear();
        world.until("all is sent", || world.stats().waiting == 0).await;
        let mut got = receiver.got();
        assert_eq!(got.iter().filter(|message| message.starts_with("known")).count(), 50);
        got.retain(|message| message.starts_with("id"));
        got.sort();
        // One may have been in the hands of the handler when it was its turn to be dropped.
        assert!(got.contains(&format!("id{:05} CRITICAL {0}", first_kept + 500)), "{overflow:?}");
    }
}

#[tokio::test]
async fn owed_recoveries_have_a_bound_of_their_own() {
    let outbox = OutboxSettings { recoveries_max: 10, ..OutboxSettings::default() };
    let world = World::with(outbox).await;
    let receiver = Receiver::new(&[]);
    world.add(&receiver);
    for number in 0..12 {
        world.publish(&format!("{number}"), Level::Critical, number);
    }
    world.until("the alerts are sent", || receiver.got().len() == 12).await;
    receiver.set(Some(Act::Fail));
    for number in 0..12 {
        world.publish(&format!("{number}"), Level::Ok, number);
        if number == 9 {
            assert_eq!((world.stats().waiting, world.stats().dropped), (10, 0));
        }
    }
    assert_eq!((world.stats().waiting, world.stats().dropped), (10, 2));
}

#[tokio::test]
async fn a_store_that_fails_delays_events_a_little_and_loses_none() {
    let world = World::new().await;
    let receiver = Receiver::new(&[]);
    world.add(&receiver);
    world.documents.fails.store(true, Ordering::Relaxed);
    world.publish("a", Level::Critical, 0);
    world.pass(Duration::from_secs(4)).await;
    assert_eq!(receiver.got().len(), 0, "it is not stored yet");
    world.pass(Duration::from_secs(4)).await;
    assert_eq!(receiver.got(), ["a CRITICAL 0"], "an alert is worth more than the promise");
    receiver.set(Some(Act::Fail));
    world.publish("b", Level::Critical, 1);
    world.pass(Duration::from_secs(2)).await;
    assert!(world.service.topics().stats().store_failures > 3);
    world.documents.fails.store(false, Ordering::Relaxed);
    world.pass(Duration::from_secs(2)).await;
    assert_eq!(world.stored("outbox/").await, 1);
    let world = world.kill().await;
    receiver.set(None);
    world.add(&receiver);
    world.until("the other is sent", || receiver.got().len() == 2).await;
    let level = |id| world.service.topics().event_state(TOPIC, id).unwrap().level;
    assert_eq!((level("a"), level("b")), (Level::Critical, Level::Critical));
}

#[tokio::test]
async fn a_task_that_stops_keeps_what_waits_and_one_that_is_edited_sends_it() {
    let world = World::new().await;
    let receiver = Receiver::dead();
    world.add(&receiver);
    world.publish("a", Level::Critical, 0);
    world.until("it is away", || world.stats().failed > 0).await;
    drop(world.service.topics().close(TOPIC));
    world.pass(Duration::from_secs(60)).await;
    assert_eq!(world.stats().waiting, 1);
    let other = Receiver::new(&[]);
    world.service.topics().open(TOPIC);
    world.add(&other);
    world.until("the new handler sends it", || other.got() == ["a CRITICAL 0"]).await;
    assert_eq!(receiver.got().len(), 0);
    // A handler that is gone for good is not tried again.
    other.set(Some(Act::Fail));
    world.publish("a", Level::Warning, 1);
    world.until("it is away", || world.stats().failed > 10 || world.stats().waiting == 1).await;
    drop(world.service.topics().delete(TOPIC));
    world.until("it is given up", || world.stats().waiting == 0).await;
    assert_eq!(world.stats().abandoned, 1);
}

#[tokio::test]
async fn a_shutdown_waits_for_the_attempt_under_way_and_keeps_the_rest() {
    let world = World::new().await;
    let receiver = Receiver::new(&[Act::Hang]);
    world.add(&receiver);
    world.publish("a", Level::Critical, 0);
    world.publish("b", Level::Critical, 1);
    world.until("it hangs", || receiver.attempts() == 1).await;
    let (service, clock) = (world.service.clone(), world.clock.clone());
    let done = world.tasks.spawn(TaskKind::Alert, "shut down", async move {
        service.shut_down(Duration::from_secs(5)).await;
    });
    world.pause().await;
    assert!(!done.is_finished());
    clock.advance(Duration::from_secs(6));
    done.await.unwrap();
    let world = world.kill().await;
    world.add(&receiver);
    world.until("both are sent", || receiver.got().len() == 2).await;
}

#[tokio::test]
async fn what_waits_for_a_handler_that_never_comes_back_is_given_up() {
    let world = World::new().await;
    let receiver = Receiver::new(&[]);
    world.add(&receiver);
    world.publish("a", Level::Critical, 0);
    world.until("the alert is sent", || receiver.got().len() == 1).await;
    receiver.set(Some(Act::Fail));
    world.publish("a", Level::Ok, 1);
    world.publish("b", Level::Info, 2);
    assert!(world.service.topics().flush().await);
    // While there is a handler its recovery waits however long it takes.
    world.pass(Duration::from_secs(4 * 24 * 3600)).await;
    world.until("the other is given up", || world.stats().expired == 1).await;
    assert_eq!(world.stats().waiting, 1);
    assert!(world.service.topics().flush().await);
    let world = world.kill().await;
    assert_eq!(world.stats().waiting, 1);
    world.until("nothing waits", || world.stats().waiting == 0).await;
    assert!(world.service.topics().flush().await);
    assert_eq!(world.stored("outbox/").await, 0);
}
