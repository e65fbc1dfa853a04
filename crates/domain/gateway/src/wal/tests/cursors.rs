//! The two files of the cursor, which take turns.

use super::*;

fn names(sim: &Sim) -> Vec<String> {
    sim.list(&dir()).unwrap().into_iter().map(|(name, _)| name).collect()
}

/// Delivers some records, and notes that after each of them.
fn deliver_noted(engine: &Engine, records: usize) {
    for _ in 0..records {
        let taken = take(engine).unwrap();
        settle(engine, taken, Outcome::Delivered);
        engine.keep_up(true);
    }
}

#[test]
fn progress_needs_no_new_file_each_time() {
    for (seed, can_exchange) in [(2, true), (3, false)] {
        let sim = Sim::new(seed);
        let engine = open(&sim, &small());
        append(&engine, (0..30).map(|id| record(id, 1, 20)));
        deliver_noted(&engine, 4);
        let made = sim.files_made();
        deliver_noted(&engine, 20);
        assert_eq!(engine.inner().io.cursor_writes, 24);
        assert_eq!(sim.files_made() == made, can_exchange);
        assert_eq!(names(&sim).contains(&"cursor.new".to_owned()), can_exchange);
        drop(engine);
        sim.power_lost();
        assert_eq!(deliver_all(&open(&sim, &small())), (24..30).collect::<Vec<_>>());
    }
}

#[test]
fn a_shorter_cursor_leaves_nothing_of_a_longer_one() {
    let sim = Sim::new(2);
    let engine = open(&sim, &small());
    append(&engine, (0..40).map(|id| record(id, 1, 20)));
    // Every other one: a cursor of many ranges.
    let mut held = Vec::new();
    for _ in 0..16 {
        let taken = take(&engine).unwrap();
        settle(&engine, taken, Outcome::Delivered);
        held.push(take(&engine).unwrap());
        engine.keep_up(true);
    }
    let long = size_of(&sim, &dir().join("cursor"));
    held.drain(..).for_each(|taken| settle(&engine, taken, Outcome::Delivered));
    engine.keep_up(true);
    assert!(size_of(&sim, &dir().join("cursor")) < long);
    deliver_noted(&engine, 2);
    drop(engine);
    sim.power_lost();
    assert_eq!(deliver_all(&open(&sim, &small())), (34..40).collect::<Vec<_>>());
}

/// A process may be killed when the names have changed in memory and not on the disk.
#[test]
fn what_is_the_cursor_on_the_disk_is_not_written_over() {
    for seed in 0..100 {
        for changes in 0..8 {
            let sim = Sim::new(seed);
            let engine = open(&sim, &small());
            append(&engine, (0..12).map(|id| record(id, 1, 20)));
            deliver_noted(&engine, 3);
            sim.fail_after(changes);
            deliver_noted(&engine, 1);
            drop(engine);
            sim.killed();
            let engine = open(&sim, &small());
            let left = engine.inner().state.queued_records() as usize;
            // The second of these is the first that could use a file again.
            sim.fail_after(changes + 9);
            deliver_noted(&engine, left - 4);
            drop(engine);
            sim.power_lost();
            let engine = open(&sim, &small());
            assert!(!names(&sim).contains(&"cursor.damaged".to_owned()), "{seed} {changes}");
            let ids = deliver_all(&engine);
            assert!(ids.ends_with(&[8, 9, 10, 11]) && ids.is_sorted(), "{seed} {changes} {ids:?}");
        }
    }
}
