//! Fresh records go first while a backlog drains, and the backlog drains all the same.

use super::super::ledger::DropReason;
use super::super::settings::{Categories, WhenFull};
use super::*;

fn aged() -> (QueueSettings, Arc<VirtualClock>) {
    let settings =
        QueueSettings { fresh_age: Duration::from_secs(60), memory_bytes_max: 1 << 20, ..small() };
    (settings, VirtualClock::new(START))
}

#[test]
fn without_a_backlog_records_come_in_order() {
    let (settings, clock) = aged();
    let engine = open_on(&Sim::new(1), &settings, &clock).unwrap();
    append(&engine, (0..50).map(|id| record(id, 1, 100)));
    assert!(deliver_all(&engine).is_sorted());
}

#[test]
fn fresh_records_have_their_share_of_the_bytes() {
    for memory_bytes_max in [0, 1 << 20] {
        let (mut settings, clock) = aged();
        settings.memory_bytes_max = memory_bytes_max;
        let engine = open_on(&Sim::new(1), &settings, &clock).unwrap();
        append(&engine, (0..100).map(|id| record(id, 1, 100)));
        // The receiver was away.
        advance(&clock, 90_000);
        append(&engine, (100..300).map(|id| record(id, 1, 100)));
        let mut first: Vec<u64> = Vec::new();
        for _ in 0..100 {
            let taken = take(&engine).unwrap();
            let id = id_of(&taken.record);
            assert_eq!(taken.lane == super::super::Lane::Backlog, id < 100);
            first.push(id);
            settle(&engine, taken, Outcome::Delivered);
        }
        let fresh = first.iter().filter(|id| **id >= 100).count();
        assert!((65..=75).contains(&fresh), "{fresh} of 100");
        assert!(first[0] >= 100, "fresh ones go first");
        let backlog: Vec<u64> = first.into_iter().filter(|id| *id < 100).collect();
        assert!(backlog.is_sorted());
        let rest = deliver_all(&engine);
        assert_eq!(rest.len(), 200);
        engine.keep_up(true);
        assert_eq!(engine.inner().state.finished.behind().len(), 0);
    }
}

#[test]
fn what_was_sent_of_both_lanes_does_not_come_again() {
    let (settings, clock) = aged();
    let sim = Sim::new(1);
    let engine = open_on(&sim, &settings, &clock).unwrap();
    append(&engine, (0..100).map(|id| record(id, 1, 100)));
    advance(&clock, 90_000);
    append(&engine, (100..120).map(|id| record(id, 1, 100)));
    let mut sent = Vec::new();
    for _ in 0..25 {
        let taken = take(&engine).unwrap();
        sent.push(id_of(&taken.record));
        settle(&engine, taken, Outcome::Delivered);
    }
    engine.keep_up(true);
    drop(engine);
    let engine = open_on(&sim, &settings, &clock).unwrap();
    sent.extend(deliver_all(&engine));
    sent.sort_unstable();
    assert_eq!(sent, (0..120).collect::<Vec<_>>());
}

#[test]
fn a_fresh_lane_that_lags_jumps_and_nothing_is_left_behind() {
    let (settings, clock) = aged();
    let engine = open_on(&Sim::new(1), &settings, &clock).unwrap();
    let mut sent = Vec::new();
    let mut next = 0;
    // Two records come in for each that goes out, for an hour.
    for _ in 0..360 {
        advance(&clock, 10_000);
        append(&engine, (next..next + 2).map(|id| record(id, 1, 10)));
        next += 2;
        let taken = take(&engine).unwrap();
        sent.push((id_of(&taken.record), next));
        settle(&engine, taken, Outcome::Delivered);
    }
    let ranges = engine.inner().state.finished.behind().len();
    assert!(ranges <= 130, "{ranges} ranges in an hour");
    let late: Vec<_> = sent.iter().skip(60).filter(|(id, next)| next - id < 16).collect();
    assert!(late.len() > 150, "most of what is sent is fresh: {}", late.len());
    let mut ids: Vec<u64> = sent.into_iter().map(|(id, _)| id).collect();
    ids.extend(deliver_all(&engine));
    ids.sort_unstable();
    assert_eq!(ids, (0..next).collect::<Vec<_>>());
    assert_eq!(engine.inner().state.finished.behind().len(), 0);
}

#[test]
fn a_full_queue_drops_single_old_records() {
    for memory_bytes_max in [0, 1 << 20] {
        let settings = QueueSettings {
            bytes_max: 20_000,
            memory_bytes_max,
            when_full: WhenFull::DropOld,
            ..small()
        };
        let engine = open(&Sim::new(1), &settings);
        append(&engine, (0..100).map(|id| record(id, 10, 400)));
        let inner = engine.inner();
        assert!(inner.state.queued_bytes <= 20_000);
        assert!(inner.state.queued_bytes > 19_000, "no more than necessary");
        let dropped = inner.state.counts().dropped_for(DropReason::QueueFull);
        drop(inner);
        let ids = deliver_all(&engine);
        assert_eq!(ids, (100 - ids.len() as u64..100).collect::<Vec<_>>());
        assert_eq!(dropped, (100 - ids.len() as u64) * 10);
    }
}

#[test]
fn a_full_queue_refuses_new_records_but_not_those_that_must_wait() {
    let settings = QueueSettings {
        bytes_max: 20_000,
        when_full: WhenFull::DropNew,
        never_dropped: Categories::of(&[Category::Logging]),
        ..small()
    };
    let engine = open(&Sim::new(1), &settings);
    append(&engine, (0..36).map(|id| record(id, 10, 400)));
    let new = Record { category: Category::Metric, ..record(50, 10, 2_000) };
    let admission = engine.admit(new.clone(), 0, 0).unwrap();
    assert!(matches!(admission, Admission::Done(Receipt::Dropped(DropReason::QueueFull))));
    let log = Record { category: Category::Logging, ..new };
    assert!(matches!(engine.admit(log, 0, 0).unwrap(), Admission::Full(_)));
    assert_balanced(&engine);
    let counts = engine.inner().state.counts();
    assert_eq!((counts.accepted, counts.dropped_for(DropReason::QueueFull)), (370, 10));
}

#[test]
fn old_packages_are_not_sent() {
    for memory_bytes_max in [0, 1 << 20] {
        let (mut settings, clock) = aged();
        settings.age_max = Some(Duration::from_secs(3_600));
        settings.memory_bytes_max = memory_bytes_max;
        let engine = open_on(&Sim::new(1), &settings, &clock).unwrap();
        let mut young = record(2, 10, 10);
        young.packed_at = Timestamp(START.0 + 3_000_000_000_000);
        append(&engine, [record(0, 10, 10), record(1, 10, 10), young.clone()]);
        advance(&clock, 3_600_000);
        assert_eq!(take(&engine).map(|taken| id_of(&taken.record)), Some(0), "just not too old");
        advance(&clock, 1);
        assert_eq!(deliver_all(&engine), [2]);
        assert_eq!(engine.inner().state.counts().dropped_for(DropReason::Expired), 10);
        // Also when nobody asks.
        append(&engine, [record(3, 10, 10)]);
        engine.keep_up(false);
        assert_eq!(engine.inner().state.counts().dropped_for(DropReason::Expired), 20);
    }
}
