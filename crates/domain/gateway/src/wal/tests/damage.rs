//! Damage takes what it hits and nothing else, and is counted.

use proptest::collection::vec;
use proptest::prelude::*;

use super::super::ledger::{Counts, DropReason};
use super::sim::Random;
use super::*;

const RECORDS: u64 = 60;

/// A log of several segments, closed in order; ten of its records are delivered.
fn log_of(sim: &Sim, random: &mut Random) -> QueueSettings {
    let settings = small();
    let engine = open(sim, &settings);
    append(&engine, (0..RECORDS).map(|id| record(id, 10, random.below(600) as usize)));
    for _ in 0..10 {
        let taken = take(&engine).unwrap();
        settle(&engine, taken, Outcome::Delivered);
    }
    engine.keep_up(true);
    assert!(segment_paths(sim).len() > 4);
    settings
}

fn counts(engine: &Engine) -> Counts {
    engine.inner().state.counts()
}

#[test]
fn a_flipped_bit_takes_one_record() {
    for seed in 0..400 {
        let (mut random, sim) = (Random::new(seed), Sim::new(seed));
        let settings = log_of(&sim, &mut random);
        let paths = segment_paths(&sim);
        let path = &paths[random.below(paths.len() as u64) as usize];
        let bit = random.below(size_of(&sim, path) * 8) as usize;
        sim.damage(path, |bytes| bytes[bit / 8] ^= 1 << (bit % 8));
        let engine = open(&sim, &settings);
        let ids = deliver_all(&engine);
        let missing: Vec<u64> = (10..RECORDS).filter(|id| !ids.contains(id)).collect();
        assert!(missing.len() <= 1, "seed {seed}: {missing:?}");
        assert!(ids.is_sorted() && ids.iter().all(|id| *id >= 10), "seed {seed}: {ids:?}");
        let counts = counts(&engine);
        let lost = counts.dropped_for(DropReason::Corrupt) + counts.dropped_for(DropReason::Lost);
        assert_eq!(lost, missing.len() as u64 * 10, "seed {seed}: {counts:?}");
        assert_eq!(counts.accepted, RECORDS * 10);
        assert_eq!(counts.dropped_total(), lost);
    }
}

#[test]
fn a_damaged_region_is_kept_for_people() {
    let sim = Sim::new(1);
    let settings = log_of(&sim, &mut Random::new(1));
    let path = segment_paths(&sim).remove(2);
    sim.damage(&path, |bytes| bytes[600..1_500].fill(0xee));
    let engine = open(&sim, &settings);
    let ids = deliver_all(&engine);
    let counts = counts(&engine);
    let missing = (10..RECORDS).filter(|id| !ids.contains(id)).count() as u64;
    assert!(missing > 0 && counts.dropped_for(DropReason::Corrupt) == missing * 10, "{counts:?}");
    let kept = sim.list(&dir().join("quarantine")).unwrap();
    let io = engine.inner().io;
    assert!(io.damaged_regions >= 1);
    assert_eq!(kept.iter().map(|(_, bytes)| bytes).sum::<u64>(), io.quarantined_bytes);
    assert!(io.quarantined_bytes >= 900, "{kept:?}");
}

#[test]
fn the_quarantine_has_a_bound() {
    let sim = Sim::new(1);
    let settings = QueueSettings { quarantine_bytes_max: 10, ..log_of(&sim, &mut Random::new(1)) };
    let path = segment_paths(&sim).remove(2);
    sim.damage(&path, |bytes| bytes[600..1_500].fill(0xee));
    let engine = open(&sim, &settings);
    deliver_all(&engine);
    assert!(counts(&engine).dropped_for(DropReason::Corrupt) > 0);
    assert_eq!(engine.inner().io.quarantined_bytes, 0);
}

#[test]
fn a_missing_segment_is_counted() {
    let sim = Sim::new(1);
    let settings = log_of(&sim, &mut Random::new(1));
    let gone = segment_paths(&sim).remove(2);
    sim.remove(&gone).unwrap();
    let engine = open(&sim, &settings);
    let ids = deliver_all(&engine);
    let missing = (10..RECORDS).filter(|id| !ids.contains(id)).count() as u64;
    assert!(missing > 1);
    assert_eq!(counts(&engine).dropped_for(DropReason::Corrupt), missing * 10);
}

#[test]
fn without_a_cursor_everything_in_the_log_comes_again() {
    for is_damaged in [true, false] {
        let sim = Sim::new(1);
        let settings = log_of(&sim, &mut Random::new(1));
        let cursor = dir().join("cursor");
        if is_damaged {
            sim.damage(&cursor, |bytes| bytes[20] ^= 1);
        } else {
            sim.remove(&cursor).unwrap();
        }
        let engine = open(&sim, &settings);
        let ids = deliver_all(&engine);
        assert_eq!(ids.last(), Some(&(RECORDS - 1)));
        assert!(ids[0] <= 10 && ids.len() as u64 == RECORDS - ids[0], "{ids:?}");
        assert_eq!(counts(&engine).accepted, RECORDS * 10);
        assert_eq!(counts(&engine).delivered, RECORDS * 10);
        let aside = sim.list(&dir()).unwrap().iter().any(|(name, _)| name == "cursor.damaged");
        assert_eq!(aside, is_damaged);
    }
}

#[test]
fn a_body_that_holds_a_log_is_not_taken_for_one() {
    let inner = Sim::new(1);
    log_of(&inner, &mut Random::new(1));
    let segment = segment_paths(&inner).remove(1);
    let mut bytes = vec![0; size_of(&inner, &segment) as usize];
    inner.open(&segment).unwrap().read_at(0, &mut bytes).unwrap();
    let sim = Sim::new(2);
    let settings = small();
    let engine = open(&sim, &settings);
    let mut body = 7_u64.to_le_bytes().to_vec();
    body.extend(&bytes);
    append(
        &engine,
        [record(6, 10, 10), Record { body: body.into(), ..record(7, 10, 0) }, record(8, 10, 10)],
    );
    engine.keep_up(true);
    drop(engine);
    // The record itself cannot be read, only those that it carries.
    let path = segment_paths(&sim).into_iter().find(|path| size_of(&sim, path) > 4_000).unwrap();
    sim.damage(&path, |damaged| {
        let at = memchr::memmem::find(damaged, &bytes).unwrap();
        damaged[at - 100..at].fill(0);
    });
    let engine = open(&sim, &settings);
    assert_eq!(deliver_all(&engine), [6, 8]);
    assert_eq!(counts(&engine).dropped_for(DropReason::Corrupt), 10);
}

#[test]
fn other_owners_and_newer_programs_are_refused() {
    let sim = Sim::new(1);
    let settings = log_of(&sim, &mut Random::new(1));
    let place = Place {
        files: Arc::new(sim.clone()),
        dir: dir(),
        destination: "team-b".to_owned(),
        segment_bytes: 4_096,
    };
    let error = Engine::open(place, settings.clone(), VirtualClock::new(START)).err().unwrap();
    assert_eq!(
        error.to_string(),
        "`/queue` holds the queue of `team-a`, not of `team-b`; give each destination a folder of its own"
    );
    sim.damage(&dir().join("cursor"), |bytes| {
        bytes[4] = 9;
        let end = bytes.len() - 4;
        let crc = crc32c::crc32c(&bytes[..end]).to_le_bytes();
        bytes[end..].copy_from_slice(&crc);
    });
    let error = open_on(&sim, &settings, &VirtualClock::new(START)).err().unwrap();
    assert_eq!(
        error.to_string(),
        "`/queue/cursor` has version 9, this program knows version 1; run a newer program"
    );
}

#[test]
fn opening_reads_one_segment_however_much_waits() {
    let sim = Sim::new(1);
    let settings = QueueSettings { bytes_max: 64 << 20, segment_bytes: 4 << 10, ..small() };
    let mut reads = Vec::new();
    for _ in 0..3 {
        let engine = open(&sim, &settings);
        append(&engine, (0..200).map(|id| record(id, 1, 300)));
        engine.keep_up(true);
        drop(engine);
        let before = sim.reads();
        drop(open(&sim, &settings));
        reads.push(sim.reads() - before);
    }
    assert!(segment_paths(&sim).len() > 60);
    assert!(reads.iter().max() <= Some(&80), "{reads:?}");
    assert!(reads[2] < reads[0] + 40, "{reads:?}");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn no_bytes_make_it_panic_or_lose_count(
        segments in vec(any_segment(), 1..4), cursor in prop::option::of(vec(any::<u8>(), 0..200)), letter in vec(any::<u8>(), 0..200),
    ) {
        let sim = Sim::new(0);
        for (first, bytes) in segments {
            sim.put(&dir().join(format!("{first:020}.seg")), &bytes);
        }
        if let Some(cursor) = cursor {
            sim.put(&dir().join("cursor"), &cursor);
        }
        sim.put(&dir().join("dead-letters").join(format!("{:020}.letter", 0)), &letter);
        if let Ok(engine) = open_on(&sim, &small(), &VirtualClock::new(START)) {
            assert_balanced(&engine);
            append(&engine, [record(1, 1, 1)]);
            let mut is_found = false;
            while let Some(taken) = take(&engine) {
                is_found |= taken.record == record(1, 1, 1);
                settle(&engine, taken, Outcome::Delivered);
                assert_balanced(&engine);
            }
            prop_assert!(is_found, "what is appended behind the damage comes out");
            prop_assert_eq!(counts(&engine).queued, 0);
        }
    }

    #[test]
    fn any_damage_is_survived(seed in any::<u64>(), hits in vec((any::<prop::sample::Index>(), any::<prop::sample::Index>(), vec(any::<u8>(), 1..700), any::<bool>()), 1..5)) {
        let sim = Sim::new(0);
        let settings = log_of(&sim, &mut Random::new(seed));
        let paths = segment_paths(&sim);
        for (path, at, bytes, cuts) in hits {
            sim.damage(&paths[path.index(paths.len())], |content| {
                if content.is_empty() {
                    return;
                }
                let at = at.index(content.len());
                if cuts {
                    content.truncate(at);
                } else {
                    let end = (at + bytes.len()).min(content.len());
                    content[at..end].copy_from_slice(&bytes[..end - at]);
                }
            });
        }
        let engine = open(&sim, &settings);
        assert_balanced(&engine);
        let ids = deliver_all(&engine);
        let missing = (10..RECORDS).filter(|id| !ids.contains(id)).count() as u64;
        let counts = counts(&engine);
        prop_assert!(ids.is_sorted_by(|one, other| one < other), "{:?}", ids);
        prop_assert_eq!(counts.dropped_total(), missing * 10, "{:?}", counts);
        prop_assert_eq!(counts.accepted, RECORDS * 10);
    }
}

/// Bytes that look more or less like a segment.
fn any_segment() -> impl Strategy<Value = (u64, Vec<u8>)> {
    use super::super::record::Mark;
    use super::super::segment::SegmentHeader;
    let number = || prop_oneof![0_u64..5, Just(1 << 62), any::<u64>()];
    let piece = prop_oneof![
        vec(any::<u8>(), 0..200),
        Just(b"DWR1".to_vec()),
        (number(), number(), number(), any::<u32>(), 0..50_usize).prop_map(
            |(sequence, points, position, count, body)| {
                let record = record(3, count, body);
                let mut bytes = Vec::new();
                record
                    .header(Mark { sequence, points, position }, 0, record.payload_crc())
                    .write(&mut bytes);
                bytes.extend_from_slice(record.category.name().as_bytes());
                bytes.extend_from_slice(record.attributes.as_bytes());
                bytes.extend_from_slice(&record.body);
                bytes
            }
        ),
    ];
    let header = (number(), number(), number(), any::<bool>());
    (0_u64..4, header, vec(piece, 0..6)).prop_map(
        |(first, (sequence, points, position, is_whole), pieces)| {
            let header = SegmentHeader {
                first: Mark { sequence, points, position },
                made_millis: 0,
                destination: "team-a".to_owned(),
            };
            let mut bytes = header.to_bytes();
            if !is_whole {
                bytes.truncate(300);
            }
            bytes.extend(pieces.concat());
            (first, bytes)
        },
    )
}
