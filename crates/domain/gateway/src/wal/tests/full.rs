//! Disks that are full or fail at one place.

use std::io::ErrorKind;

use super::super::ledger::DropReason;
use super::super::settings::WhenFull;
use super::sim::Faults;
use super::*;

/// Lets a record in without writing it; gives the place of its result.
fn push(engine: &Engine, record: Record) -> usize {
    let crc = record.payload_crc();
    match engine.admit(record, crc, 0).unwrap() {
        Admission::Pushed(slot) => slot,
        Admission::Done(receipt) => panic!("{receipt:?}"),
        Admission::Full(_) => panic!("full"),
    }
}

fn result(engine: &Engine, slot: usize) -> Option<Result<Receipt, super::super::StorageError>> {
    engine.inner().intake.poll(slot, Waker::noop())
}

fn step(engine: &Engine) -> Step {
    engine.write_some(&mut lock(&engine.log))
}

fn names(sim: &Sim) -> Vec<String> {
    sim.list(&dir()).unwrap().into_iter().map(|(name, _)| name).collect()
}

#[test]
fn a_full_disk_can_still_note_progress() {
    let sim = Sim::new(1);
    let settings = small();
    let engine = open(&sim, &settings);
    append(&engine, (0..20).map(|id| record(id, 1, 300)));
    engine.keep_up(true);
    assert!(names(&sim).contains(&"reserve".to_owned()));
    sim.set_capacity(sim.used());
    for _ in 0..18 {
        let taken = take(&engine).unwrap();
        settle(&engine, taken, Outcome::Delivered);
    }
    engine.keep_up(true);
    let io = engine.inner().io;
    assert_eq!((io.cursor_failures, io.cursor_writes), (0, 1));
    assert!(io.segments_removed >= 1, "which makes room");
    drop(engine);
    sim.power_lost();
    let engine = open(&sim, &settings);
    assert_eq!(deliver_all(&engine), [18, 19]);
    engine.keep_up(true);
    assert!(names(&sim).contains(&"reserve".to_owned()), "it is set aside again");
}

#[test]
fn without_a_reserve_progress_waits_for_room() {
    let sim = Sim::new(1);
    let engine = open(&sim, &QueueSettings { reserve_bytes: 0, ..small() });
    append(&engine, (0..5).map(|id| record(id, 1, 300)));
    engine.keep_up(true);
    sim.set_capacity(sim.used());
    let taken = take(&engine).unwrap();
    settle(&engine, taken, Outcome::Delivered);
    engine.keep_up(true);
    assert_eq!(engine.inner().io.cursor_failures, 1);
    sim.set_capacity(u64::MAX);
    engine.keep_up(true);
    assert_eq!(engine.inner().io.cursor_writes, 1);
}

#[test]
fn writers_wait_for_room_on_the_disk() {
    let sim = Sim::new(1);
    let engine = open(&sim, &small());
    append(&engine, (0..3).map(|id| record(id, 1, 300)));
    sim.set_capacity(sim.used());
    let slots: Vec<usize> = (3..40).map(|id| push(&engine, record(id, 1, 300))).collect();
    while step(&engine) == Step::Worked {}
    assert_eq!(step(&engine), Step::Stalled);
    assert!(engine.inner().is_stalled);
    assert_eq!(engine.due(), super::super::upkeep::Due::In(Duration::from_millis(100)));
    let waiting = slots.iter().copied().find(|slot| result(&engine, *slot).is_none());
    let first = engine.inner().intake.pending.front().map(|pending| pending.slot);
    assert_eq!(first, waiting, "in order");
    sim.set_capacity(u64::MAX);
    write(&engine);
    assert!(!engine.inner().is_stalled);
    assert!(deliver_all(&engine).is_sorted());
    let counts = engine.inner().state.counts();
    assert_eq!((counts.delivered, counts.accepted), (40, 40));
}

#[test]
fn new_records_are_dropped_when_the_disk_is_full() {
    let sim = Sim::new(1);
    let engine = open(&sim, &QueueSettings { when_full: WhenFull::DropNew, ..small() });
    append(&engine, [record(0, 10, 300)]);
    sim.set_capacity(sim.used());
    // The segment has been set aside; what is larger needs another one.
    let slot = push(&engine, record(1, 10, 9_000));
    write(&engine);
    let dropped = result(&engine, slot).unwrap().unwrap();
    assert_eq!(dropped, Receipt::Dropped(DropReason::DiskFull));
    assert_balanced(&engine);
    assert_eq!(deliver_all(&engine), [0]);
}

#[test]
fn old_records_make_room_on_a_full_disk() {
    let sim = Sim::new(1);
    let engine = open(&sim, &QueueSettings { when_full: WhenFull::DropOld, ..small() });
    append(&engine, (0..40).map(|id| record(id, 10, 300)));
    engine.keep_up(true);
    sim.set_capacity(sim.used());
    append(&engine, (40..60).map(|id| record(id, 10, 300)));
    assert_balanced(&engine);
    let ids = deliver_all(&engine);
    assert_eq!(ids.last(), Some(&59));
    assert!(ids.len() > 20 && ids.is_sorted(), "{ids:?}");
    let counts = engine.inner().state.counts();
    assert_eq!(counts.dropped_for(DropReason::DiskFull), (60 - ids.len() as u64) * 10);
}

#[test]
fn dead_letters_wait_for_room_on_the_disk() {
    let sim = Sim::new(1);
    let engine = open(&sim, &QueueSettings { reserve_bytes: 0, ..small() });
    append(&engine, [record(0, 10, 300)]);
    let taken = take(&engine).unwrap();
    sim.set_capacity(sim.used());
    let reason = "400".to_owned();
    settle(&engine, taken, Outcome::DeadLetter { reason, otherwise: DropReason::Http4xx });
    assert_eq!(step(&engine), Step::Idle);
    assert!(engine.inner().is_stalled);
    assert!(take(&engine).is_none(), "it is not sent again meanwhile");
    assert_eq!(engine.inner().state.counts().queued, 10);
    sim.set_capacity(u64::MAX);
    assert_eq!(step(&engine), Step::Worked);
    assert_eq!(step(&engine), Step::Idle);
    assert!(!engine.inner().is_stalled);
    let counts = engine.inner().state.counts();
    assert_eq!((counts.queued, counts.dead_lettered), (0, 10));
}

#[test]
fn a_failed_flush_is_told_and_the_next_write_is_sound() {
    let sim = Sim::new(1);
    let engine = open(&sim, &small());
    append(&engine, [record(0, 10, 300)]);
    sim.set_faults(Faults { flushes: 1_000, ..Faults::default() });
    let slot = push(&engine, record(1, 10, 300));
    write(&engine);
    let error = result(&engine, slot).unwrap().unwrap_err();
    assert_eq!(error.to_string(), "cannot flush `/queue/00000000000000000000.seg`");
    assert_eq!(error.source.kind(), ErrorKind::Other);
    assert_eq!(engine.inner().state.counts().accepted, 10, "it was not taken");
    sim.set_faults(Faults::default());
    append(&engine, [record(2, 10, 300)]);
    sim.power_lost();
    let ids = deliver_all(&open(&sim, &small()));
    assert_eq!(ids, [0, 2]);
}

#[test]
fn a_failed_flush_in_between_is_counted() {
    let sim = Sim::new(1);
    let sync = Sync::Interval(Duration::from_millis(20));
    let engine = open(&sim, &QueueSettings { sync, ..small() });
    append(&engine, [record(0, 10, 300)]);
    assert_eq!(engine.due(), super::super::upkeep::Due::In(Duration::from_millis(20)));
    sim.set_faults(Faults { flushes: 1_000, ..Faults::default() });
    engine.keep_up(false);
    assert!(engine.inner().io.flush_failures >= 1);
    sim.set_faults(Faults::default());
    engine.keep_up(false);
    append(&engine, [record(1, 10, 300)]);
    engine.keep_up(false);
    sim.power_lost();
    assert!(deliver_all(&open(&sim, &QueueSettings { sync, ..small() })).contains(&1));
}

#[test]
fn records_that_wait_do_not_gather_in_memory() {
    let settings = QueueSettings { age_max: Some(Duration::from_secs(3_600)), ..small() };
    let engine = open(&Sim::new(1), &settings);
    append(&engine, (0..200).map(|id| record(id, 1, 300)));
    let held = |engine: &Engine| engine.inner().state.held_records();
    let taken = take(&engine).unwrap();
    settle(&engine, taken, Outcome::Retry);
    while engine.fetch_one().unwrap() {}
    let before = held(&engine);
    for _ in 0..50 {
        engine.keep_up(false);
        while engine.fetch_one().unwrap() {}
    }
    assert_eq!(held(&engine), before);
    assert!(before < 30, "{before}");
}
