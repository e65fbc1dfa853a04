//! Random histories with crashes: nothing that was accepted is lost without a count, little is sent twice.

use std::collections::{BTreeMap, BTreeSet};

use super::super::ledger::DropReason;
use super::super::settings::{Categories, WhenFull};
use super::sim::{Faults, Random};
use super::*;

/// How a history goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    /// The process is killed.
    Kill,
    /// The power is lost.
    Power,
    /// The power is lost, and writes and flushes fail now and then.
    Failing,
    /// The power is lost, and flushes do nothing.
    Lying,
    /// The process is killed, and the disk is small.
    Full,
}

/// What the test knows of a record.
#[derive(Clone, Copy, Debug, Default)]
struct Known {
    points: u32,
    /// Somebody was told that it is kept.
    is_accepted: bool,
    /// The disk has promised to have it.
    is_durable: bool,
    /// Somebody said what became of it.
    is_settled: bool,
    /// It was this process.
    is_settled_now: bool,
    /// That was noted by a cursor that was written since.
    is_noted: bool,
}

struct History {
    seed: u64,
    kind: Kind,
    random: Random,
    sim: Sim,
    settings: QueueSettings,
    clock: Arc<VirtualClock>,
    known: BTreeMap<u64, Known>,
    next_id: u64,
    /// Appended, and nobody knows yet what became of it: place → number.
    waiting: Vec<(usize, u64)>,
    held: Vec<Taken>,
    /// On their way to the dead-letter store: number and place in the log.
    lettered: Vec<(u64, u64)>,
    cursor_writes: u64,
    flush_failures: u64,
    queued_at_open: u64,
}

impl History {
    fn new(seed: u64, kind: Kind) -> Self {
        let mut random = Random::new(seed);
        let sim = Sim::new(seed ^ 0xabcd);
        let bytes_max = random.pick(&[16 << 10, 40 << 10, 200 << 10]);
        let settings = QueueSettings {
            sync: random.pick(&[
                Sync::Always,
                Sync::Always,
                Sync::Interval(Duration::from_millis(20)),
                Sync::None,
            ]),
            when_full: random.pick(&[WhenFull::Block, WhenFull::DropNew, WhenFull::DropOld]),
            bytes_max,
            memory_bytes_max: random.pick(&[0, 3_000, 1 << 20]),
            leases_max: random.pick(&[1, 4, 16]),
            cursor_records: random.pick(&[1, 5, 100]),
            fresh_age: Duration::from_millis(random.pick(&[50, 400, 60_000])),
            age_max: random.pick(&[None, None, Some(Duration::from_millis(1_500))]),
            dead_letters_max: random.pick(&[0, 2, 100]),
            dead_letter_bytes_max: random.pick(&[2_000, 1 << 20]),
            never_dropped: random
                .pick(&[Categories::default(), Categories::of(&[Category::Logging])]),
            ..small()
        };
        if kind == Kind::Full {
            sim.set_capacity(random.pick(&[20_000, 40_000, 90_000]));
        }
        History {
            seed,
            kind,
            random,
            sim,
            settings,
            clock: VirtualClock::new(START),
            known: BTreeMap::new(),
            next_id: 0,
            waiting: Vec::new(),
            held: Vec::new(),
            lettered: Vec::new(),
            cursor_writes: 0,
            flush_failures: 0,
            queued_at_open: 0,
        }
    }

    fn run(&mut self) {
        for _ in 0..self.random.below(4) + 1 {
            if self.kind == Kind::Failing {
                self.sim.set_faults(Faults { writes: 30, flushes: 30, flushes_lie: false });
            }
            if self.kind == Kind::Lying {
                self.sim.set_faults(Faults { flushes_lie: true, ..Faults::default() });
            }
            if self.random.one_in(2) {
                let changes = self.random.below(120);
                self.sim.fail_after(changes);
            }
            if let Some(engine) = self.open() {
                self.live(&engine);
            }
            self.crash();
        }
        self.sim.set_faults(Faults::default());
        self.sim.set_capacity(u64::MAX);
        self.settings.when_full = WhenFull::Block;
        let engine = self.open().expect("nothing fails any more");
        self.finish(&engine);
    }

    fn open(&mut self) -> Option<Engine> {
        match open_on(&self.sim, &self.settings, &self.clock) {
            Ok(engine) => {
                assert_balanced(&engine);
                self.cursor_writes = 0;
                self.flush_failures = 0;
                self.queued_at_open = engine.inner().state.queued_bytes;
                Some(engine)
            }
            Err(error) => {
                let may_fail = self.sim.is_off() || matches!(self.kind, Kind::Failing | Kind::Full);
                assert!(may_fail, "seed {}: {error:?}", self.seed);
                None
            }
        }
    }

    fn live(&mut self, engine: &Engine) {
        for _ in 0..self.random.below(150) {
            if self.sim.is_off() {
                break;
            }
            match self.random.below(12) {
                0..=3 => self.append(engine),
                4 => self.write(engine),
                5..=7 => self.take(engine),
                8 | 9 => self.settle(engine),
                10 => {
                    advance(&self.clock, self.random.below(150));
                }
                _ => engine.keep_up(false),
            }
            self.look(engine);
        }
        if !self.sim.is_off() && self.random.one_in(4) {
            // An orderly end.
            self.write(engine);
            engine.inner().is_closed = true;
            self.write(engine);
            engine.keep_up(true);
            self.look(engine);
        }
    }

    fn append(&mut self, engine: &Engine) {
        for _ in 0..self.random.below(4) + 1 {
            let id = self.next_id;
            self.next_id += 1;
            let points = self.random.below(50) as u32;
            let bytes = self.random.pick(&[0, 10, 200, 1_500, 5_000]);
            let mut record = record(id, points, bytes);
            record.packed_at = levada_runtime::Clock::now(&*self.clock);
            let crc = record.payload_crc();
            if let Ok(Admission::Pushed(slot)) = engine.admit(record, crc, 0) {
                self.known.insert(id, Known { points, ..Known::default() });
                self.waiting.push((slot, id));
            }
        }
        if self.random.one_in(2) {
            self.write(engine);
        }
    }

    fn write(&mut self, engine: &Engine) {
        write(engine);
        let inner = &mut *engine.inner();
        let known = &mut self.known;
        let is_always = self.settings.sync == Sync::Always;
        self.waiting.retain(|(slot, id)| match inner.intake.poll(*slot, Waker::noop()) {
            None => true,
            Some(result) => {
                let known = known.get_mut(id).unwrap();
                known.is_accepted = matches!(result, Ok(Receipt::Kept { .. }));
                known.is_durable = known.is_accepted && is_always;
                false
            }
        });
    }

    fn take(&mut self, engine: &Engine) {
        if self.random.one_in(3) {
            drop(engine.fetch_one());
        }
        let pick = engine.inner().state.pick(engine.now(), engine.today());
        if let Pick::Lease(taken) = pick {
            self.check_taken(&taken);
            self.held.push(taken);
        }
    }

    /// It is what was appended, and it was not in hand already.
    fn check_taken(&mut self, taken: &Taken) {
        let id = id_of(&taken.record);
        let seed = self.seed;
        let known =
            *self.known.get(&id).unwrap_or_else(|| panic!("seed {seed}: {id} out of nowhere"));
        let mut expected = record(id, known.points, taken.record.body.len() - 8);
        expected.packed_at = taken.record.packed_at;
        assert_eq!(taken.record, expected, "seed {seed}");
        let twice = self.held.iter().find(|held| id_of(&held.record) == id);
        assert!(twice.is_none(), "seed {seed}: {id} is in hand twice");
        let may_repeat =
            self.kind == Kind::Lying || self.settings.sync == Sync::None && self.kind != Kind::Kill;
        assert!(
            !known.is_noted || may_repeat,
            "seed {seed}: {id} comes again though that was noted"
        );
    }

    fn settle(&mut self, engine: &Engine) {
        if self.held.is_empty() {
            return;
        }
        let index = self.random.below(self.held.len() as u64) as usize;
        let taken = self.held.swap_remove(index);
        let id = id_of(&taken.record);
        let outcome = match self.random.below(10) {
            0 | 1 => Outcome::Retry,
            2 => Outcome::Dropped(DropReason::Poison),
            3 => {
                let reason = format!("400 {id}");
                Outcome::DeadLetter { reason, otherwise: DropReason::Http4xx }
            }
            4 => {
                let mut part = taken.record.clone();
                part.points /= 3;
                Outcome::Parts {
                    delivered: taken.record.points / 2,
                    dropped: vec![(DropReason::TooLarge, 1)],
                    letter: self.random.one_in(2).then(|| (part, "413".to_owned())),
                }
            }
            _ => Outcome::Delivered,
        };
        let is_retry = matches!(outcome, Outcome::Retry);
        let is_lettered =
            matches!(outcome, Outcome::DeadLetter { .. } | Outcome::Parts { letter: Some(_), .. });
        let sequence = taken.mark.sequence;
        settle(engine, taken, outcome);
        if is_lettered && !engine.inner().new_letters.is_empty() {
            self.lettered.push((id, sequence));
            self.write(engine);
        } else if !is_retry {
            self.settled(id);
        }
    }

    fn settled(&mut self, id: u64) {
        let known = self.known.get_mut(&id).unwrap();
        known.is_settled = true;
        known.is_settled_now = true;
    }

    /// What must hold at every instant.
    fn look(&mut self, engine: &Engine) {
        let inner = engine.inner();
        let counts = inner.state.counts();
        assert!(counts.is_balanced(), "seed {}: {counts:?}", self.seed);
        if inner.io.cursor_writes > self.cursor_writes {
            self.cursor_writes = inner.io.cursor_writes;
            // Looked at after every step, so all that is settled was settled before the cursor was written.
            for known in self.known.values_mut().filter(|known| known.is_settled_now) {
                known.is_noted = true;
            }
        }
        // Behind the look at the cursor: it may have been written before the letter in the same step.
        let finished = &inner.state.finished;
        let (done, waits): (Vec<_>, Vec<_>) = std::mem::take(&mut self.lettered)
            .into_iter()
            .partition(|(_, sequence)| finished.contains(*sequence));
        self.lettered = waits;
        for (id, _) in done {
            self.settled(id);
        }
        let is_flushed = matches!(self.settings.sync, Sync::Interval(_))
            && inner.unflushed.is_empty()
            && !inner.is_dir_unflushed
            && inner.io.flush_failures == self.flush_failures;
        self.flush_failures = inner.io.flush_failures;
        if is_flushed && inner.io.flush_failures == 0 {
            for known in self.known.values_mut().filter(|known| known.is_accepted) {
                known.is_durable = true;
            }
        }
        // What was finished and not noted waits again after a crash.
        let budget = self.settings.bytes_max.max(self.queued_at_open);
        let queued = inner.state.queued_bytes;
        assert!(queued <= budget, "seed {}: {queued} {:?}", self.seed, self.settings);
    }

    fn crash(&mut self) {
        match self.kind {
            Kind::Kill | Kind::Full => {
                self.sim.killed();
                for known in self.known.values_mut().filter(|known| known.is_accepted) {
                    known.is_durable = true;
                }
            }
            Kind::Power | Kind::Failing | Kind::Lying => self.sim.power_lost(),
        }
        for known in self.known.values_mut() {
            known.is_accepted = known.is_durable;
            known.is_settled_now = false;
        }
        self.waiting.clear();
        self.held.clear();
        self.lettered.clear();
    }

    /// Delivers all that is left and compares it with what was promised.
    fn finish(&mut self, engine: &Engine) {
        let seed = self.seed;
        while let Some(taken) = take(engine) {
            self.check_taken(&taken);
            self.settled(id_of(&taken.record));
            settle(engine, taken, Outcome::Delivered);
            engine.keep_up(false);
            self.look(engine);
        }
        let inner = engine.inner();
        let counts = inner.state.counts();
        assert_eq!((counts.queued, inner.state.queued_bytes), (0, 0), "seed {seed}");
        // What is missing was dropped as the settings say, with a count.
        let by_policy = [DropReason::QueueFull, DropReason::DiskFull, DropReason::Expired];
        let allowed: u64 = by_policy.iter().map(|reason| counts.dropped_for(*reason)).sum();
        let is_missing = |known: &&Known| known.is_durable && !known.is_settled;
        let missing: u64 =
            self.known.values().filter(is_missing).map(|known| u64::from(known.points)).sum();
        if self.kind != Kind::Lying {
            assert!(
                missing <= allowed,
                "seed {seed} {:?}: {missing} of {counts:?}\n{:?}",
                self.kind,
                self.settings
            );
            // Of a write that nobody was told of, the power may leave the end and take the beginning.
            if matches!(self.kind, Kind::Kill | Kind::Full) {
                assert_eq!(counts.dropped_for(DropReason::Corrupt), 0, "seed {seed}: {counts:?}");
                assert_eq!(counts.dropped_for(DropReason::Lost), 0, "seed {seed}: {counts:?}");
            }
        }
        let letters: Vec<_> = inner.letters.letters.keys().copied().collect();
        let points: u64 =
            inner.letters.letters.values().map(|letter| u64::from(letter.points)).sum();
        assert_eq!(points, counts.dead_lettered, "seed {seed}");
        drop(inner);
        let mut seen = BTreeSet::new();
        for sequence in letters {
            let opened = engine.read_letter(sequence).unwrap();
            let Some(opened) = opened else {
                let may_tear = self.settings.sync == Sync::None || self.kind == Kind::Lying;
                assert!(may_tear, "seed {seed}: letter {sequence} is torn");
                continue;
            };
            assert!(seen.insert(sequence));
            assert_eq!(opened.letter.sequence, sequence, "seed {seed}");
            assert!(self.known.contains_key(&id_of(&opened.record)), "seed {seed}");
        }
    }
}

fn check(kind: Kind, seeds: std::ops::Range<u64>) {
    for seed in seeds {
        let run = std::panic::catch_unwind(|| History::new(seed, kind).run());
        assert!(run.is_ok(), "seed {seed} {kind:?}; what failed is above");
    }
}

/// Seeds of each kind; a seed takes some milliseconds.
const SEEDS: u64 = 400;

#[test]
fn killed_processes() {
    check(Kind::Kill, 0..SEEDS);
}

#[test]
fn lost_power() {
    check(Kind::Power, 10_000..10_000 + SEEDS);
}

#[test]
fn lost_power_and_failing_disks() {
    check(Kind::Failing, 20_000..20_000 + SEEDS);
}

#[test]
fn lost_power_and_lying_disks() {
    check(Kind::Lying, 31_000..31_000 + SEEDS);
}

#[test]
fn full_disks() {
    check(Kind::Full, 40_000..40_000 + SEEDS);
}
