//! The steps of a queue. Each one is a plain call that may block; the queue runs them on threads, tests one by one.
//!
//! Locks, outermost first: log (who writes), upkeep (who notes progress), reader (who reads), inner (what is known).
//! No file is touched while `inner` is held.

use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use levada_model::Timestamp;
use levada_runtime::Clock;

use super::dead_letter::{DeadLetters, NewLetter};
use super::error::{AppendError, StorageError};
use super::fetch::Reader;
use super::files::Handle;
use super::intake::{Intake, Pending, Receipt};
use super::ledger::DropReason;
use super::log::{Log, Place};
use super::record::Record;
use super::settings::{Keep, QueueSettings, Sync, WhenFull};
use super::state::State;
use super::stats::IoStats;
use super::upkeep::Upkeep;

/// A queue without threads.
pub(super) struct Engine {
    pub(super) settings: QueueSettings,
    pub(super) place: Place,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) log: Mutex<Log>,
    pub(super) upkeep: Mutex<Upkeep>,
    pub(super) reader: Mutex<Reader>,
    pub(super) inner: Mutex<Inner>,
}

/// What is known of a queue.
pub(super) struct Inner {
    pub(super) state: State,
    pub(super) intake: Intake,
    pub(super) letters: DeadLetters,
    pub(super) new_letters: Vec<NewLetter>,
    /// Files that were written since they were flushed.
    pub(super) unflushed: Vec<Arc<dyn Handle>>,
    pub(super) is_dir_unflushed: bool,
    pub(super) io: IoStats,
    /// Bytes that are set aside for records that will come.
    pub(super) reserved_bytes: u64,
    /// The disk is full and the records wait.
    pub(super) is_stalled: bool,
    pub(super) is_closed: bool,
}

/// What became of a record that somebody wants to append.
pub(super) enum Admission {
    /// It is to be written; this is the place of its result.
    Pushed(usize),
    /// It is done with.
    Done(Receipt),
    /// There is no room now.
    Full(Record),
}

/// What a step of writing came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// Something was done; there may be more.
    Worked,
    /// There is nothing to do.
    Idle,
    /// The disk is full, and what is to be written waits.
    Stalled,
}

/// What comes after the records that a write has so far.
enum Next {
    Taken(Pending),
    /// Nothing, or nothing that fits.
    None,
    /// The queue is full.
    NoRoom,
}

/// Most records in one write.
const BATCH_RECORDS_MAX: usize = 256;

/// Most attempts to make room on a full disk for one write.
const ROOM_ATTEMPTS_MAX: u32 = 64;

// === impl Engine ===

impl Engine {
    pub(super) fn inner(&self) -> MutexGuard<'_, Inner> {
        lock(&self.inner)
    }

    pub(super) fn now(&self) -> Duration {
        self.clock.monotonic()
    }

    pub(super) fn today(&self) -> Timestamp {
        self.clock.now()
    }

    pub(super) fn millis(&self) -> i64 {
        self.clock.now().0.div_euclid(1_000_000)
    }

    /// Gives the checksum that is written with a record.
    pub(super) fn crc_of(&self, record: &Record) -> u32 {
        match self.settings.keep {
            Keep::Disk => record.payload_crc(),
            Keep::Memory => 0,
        }
    }

    /// Lets a record in, if there is room. `attempts` is how often it was tried before.
    #[cfg(test)]
    pub(super) fn admit(
        &self,
        record: Record,
        crc: u32,
        attempts: u16,
    ) -> Result<Admission, AppendError> {
        self.admit_held(record, crc, attempts, &mut 0)
    }

    /// The same, for a writer that has set `held` bytes aside; when the record is in, its bytes are no longer among them.
    pub(super) fn admit_held(
        &self,
        record: Record,
        crc: u32,
        attempts: u16,
        held: &mut u64,
    ) -> Result<Admission, AppendError> {
        let bytes = record.stored_bytes();
        let bytes_max = self.settings.bytes_max;
        if bytes > bytes_max || record.payload_bytes() > super::record::PAYLOAD_BYTES_MAX {
            return Err(AppendError::TooLarge { bytes, bytes_max });
        }
        let inner = &mut *self.inner();
        if inner.is_closed {
            return Err(AppendError::Closed);
        }
        let own = bytes.min(*held);
        inner.reserved_bytes -= own;
        let admission = self.admit_to(inner, record, crc, attempts, bytes);
        match admission {
            Admission::Full(_) => inner.reserved_bytes += own,
            _ => *held -= own,
        }
        Ok(admission)
    }

    fn admit_to(
        &self,
        inner: &mut Inner,
        record: Record,
        crc: u32,
        attempts: u16,
        bytes: u64,
    ) -> Admission {
        let bytes_max = self.settings.bytes_max;
        if self.settings.keep == Keep::Memory {
            return self.admit_to_memory(inner, record);
        }
        let pending = inner.intake.pending_bytes;
        if pending > 0 && pending + bytes > self.settings.pending_bytes_max {
            return Admission::Full(record);
        }
        if inner.state.queued_bytes + inner.reserved_bytes + pending + bytes > bytes_max {
            match self.when_full(&record) {
                WhenFull::Block => return Admission::Full(record),
                WhenFull::DropNew => return inner.refuse(&record, DropReason::QueueFull),
                // The writer makes room.
                WhenFull::DropOld => {}
            }
        }
        Admission::Pushed(inner.intake.push(record, crc, attempts))
    }

    /// Sets room aside for records, of which those count that would wait for it; `None` when there is none now.
    pub(super) fn reserve(&self, records: &[&Record]) -> Result<Option<u64>, AppendError> {
        let bytes_max = self.settings.bytes_max;
        let mut wanted = 0;
        for record in records {
            let bytes = record.stored_bytes();
            if bytes > bytes_max || record.payload_bytes() > super::record::PAYLOAD_BYTES_MAX {
                return Err(AppendError::TooLarge { bytes, bytes_max });
            }
            if self.when_full(record) == WhenFull::Block {
                wanted += bytes;
            }
        }
        if wanted > bytes_max {
            return Err(AppendError::TooLarge { bytes: wanted, bytes_max });
        }
        let inner = &mut *self.inner();
        if inner.is_closed {
            return Err(AppendError::Closed);
        }
        let taken = inner.state.queued_bytes + inner.intake.pending_bytes + inner.reserved_bytes;
        if wanted > 0 && taken + wanted > bytes_max {
            return Ok(None);
        }
        inner.reserved_bytes += wanted;
        Ok(Some(wanted))
    }

    fn admit_to_memory(&self, inner: &mut Inner, record: Record) -> Admission {
        let bytes = record.stored_bytes();
        while inner.state.queued_bytes + inner.reserved_bytes + bytes > self.settings.bytes_max {
            match self.when_full(&record) {
                WhenFull::Block => return Admission::Full(record),
                WhenFull::DropNew => return inner.refuse(&record, DropReason::QueueFull),
                WhenFull::DropOld => {}
            }
            if !inner.state.drop_oldest(DropReason::QueueFull, may_drop) {
                return self.no_room(inner, record);
            }
        }
        let mark = inner.state.publish(self.now(), record);
        Admission::Done(Receipt::Kept { sequence: mark.sequence })
    }

    fn no_room(&self, inner: &mut Inner, record: Record) -> Admission {
        if self.settings.never_dropped.contains(record.category) {
            return Admission::Full(record);
        }
        inner.refuse(&record, DropReason::QueueFull)
    }

    fn when_full(&self, record: &Record) -> WhenFull {
        // A record that must not be dropped may push out others.
        match self.settings.when_full {
            WhenFull::DropNew if self.settings.never_dropped.contains(record.category) => {
                WhenFull::Block
            }
            policy => policy,
        }
    }

    /// Writes some of what is pending.
    pub(super) fn write_some(&self, log: &mut Log) -> Step {
        if self.write_letters() {
            return Step::Worked;
        }
        if !self.take_batch(log) {
            let inner = &mut *self.inner();
            inner.is_stalled &= !inner.intake.pending.is_empty() || !inner.new_letters.is_empty();
            return Step::Idle;
        }
        let mut attempts = 0;
        loop {
            match self.write_batch(log) {
                Ok(()) => return Step::Worked,
                Err(error) if error.is_full() => {
                    attempts += 1;
                    let makes_room = self.settings.when_full == WhenFull::DropOld;
                    if makes_room && attempts < ROOM_ATTEMPTS_MAX && self.free_a_segment() {
                        continue;
                    }
                    return self.disk_is_full(log);
                }
                Err(error) => {
                    tracing::error!(%error, source = %error.source, destination = self.place.destination, "points could not be written and were refused");
                    let inner = &mut *self.inner();
                    inner.io.write_failures += 1;
                    for pending in log.batch.drain(..) {
                        inner.intake.resolve(pending.slot, Err(error.clone()));
                    }
                    return Step::Worked;
                }
            }
        }
    }

    /// Takes what goes into one write, after it made room for it.
    fn take_batch(&self, log: &mut Log) -> bool {
        debug_assert!(log.batch.is_empty());
        let now = self.now();
        let mut bytes = 0;
        while log.batch.len() < BATCH_RECORDS_MAX {
            match self.next_for(log, &mut bytes, now) {
                Next::Taken(pending) => log.batch.push(pending),
                Next::None => break,
                // Reading the header of the oldest record must not hold the lock.
                Next::NoRoom if self.drop_one_oldest(DropReason::QueueFull) => {}
                Next::NoRoom if !log.batch.is_empty() || !self.refuse_first() => break,
                Next::NoRoom => {}
            }
        }
        !log.batch.is_empty()
    }

    /// Takes the next record if it goes into the same write as the `bytes` before it.
    fn next_for(&self, log: &Log, bytes: &mut u64, now: Duration) -> Next {
        let inner = &mut *self.inner();
        let Some(first) = inner.intake.pending.front() else { return Next::None };
        let stored = first.record.stored_bytes();
        if !log.batch.is_empty() {
            let is_new = log.is_due(*bytes, now, self.settings.segment_age);
            let room = if is_new { log.place.segment_bytes } else { log.room() };
            if *bytes + stored > room {
                return Next::None;
            }
        }
        let needed = inner.state.queued_bytes + *bytes + stored;
        if self.settings.when_full == WhenFull::DropOld && needed > self.settings.bytes_max {
            return Next::NoRoom;
        }
        let Some(pending) = inner.intake.pop() else { return Next::None };
        *bytes += stored;
        Next::Taken(pending)
    }

    /// Refuses the first record that is to be written, unless it must wait.
    fn refuse_first(&self) -> bool {
        let inner = &mut *self.inner();
        let Some(pending) = inner.intake.pop() else { return false };
        if self.settings.never_dropped.contains(pending.record.category) && !inner.is_closed {
            inner.intake.unpop(pending);
            inner.is_stalled = true;
            return false;
        }
        inner.refuse_pending(pending, DropReason::QueueFull);
        true
    }

    fn write_batch(&self, log: &mut Log) -> Result<(), StorageError> {
        let is_always = self.settings.sync == Sync::Always;
        let now = self.now();
        let bytes: u64 = log.batch.iter().map(|pending| pending.record.stored_bytes()).sum();
        let mut is_new = false;
        if log.active.is_none() || log.is_due(bytes, now, self.settings.segment_age) {
            // Everything in it was flushed, or is on the list of what is to be.
            let _sealed = log.seal(self.millis());
            let first = log.begin(now, self.millis())?;
            self.inner().state.segments.insert(first);
            is_new = true;
        }
        let handle = match log.write_batch(is_always, is_always && is_new) {
            Ok(handle) => handle,
            Err(failed) => {
                if let Some(first) = failed.removed {
                    self.inner().state.segments.remove(&first);
                }
                return Err(failed.error);
            }
        };
        let inner = &mut *self.inner();
        inner.is_stalled = false;
        inner.io.writes += 1;
        inner.io.written_bytes += bytes;
        inner.io.flushes += u64::from(is_always);
        if matches!(self.settings.sync, Sync::Interval(_)) {
            inner.is_dir_unflushed |= is_new;
            let is_listed = inner.unflushed.last().is_some_and(|last| Arc::ptr_eq(last, &handle));
            if !is_listed {
                inner.unflushed.push(handle);
            }
        }
        for pending in log.batch.drain(..) {
            let mark = inner.state.publish(now, pending.record);
            inner.intake.resolve(pending.slot, Ok(Receipt::Kept { sequence: mark.sequence }));
        }
        debug_assert_eq!(inner.state.tail, log.next);
        Ok(())
    }

    /// Does with the batch what the settings say when it does not fit on the disk.
    fn disk_is_full(&self, log: &mut Log) -> Step {
        let inner = &mut *self.inner();
        inner.io.disk_full += 1;
        let mut step = Step::Worked;
        for pending in log.batch.drain(..).rev() {
            let waits = self.settings.when_full == WhenFull::Block
                || self.settings.never_dropped.contains(pending.record.category);
            if waits && !inner.is_closed {
                inner.intake.unpop(pending);
                inner.is_stalled = true;
                step = Step::Stalled;
            } else {
                inner.refuse_pending(pending, DropReason::DiskFull);
            }
        }
        step
    }
}

// === impl Inner ===

impl Inner {
    /// Drops a record at the door.
    fn refuse(&mut self, record: &Record, reason: DropReason) -> Admission {
        self.state.ledger.refuse(reason, record.points.into());
        self.state.is_cursor_old = true;
        Admission::Done(Receipt::Dropped(reason))
    }

    fn refuse_pending(&mut self, pending: Pending, reason: DropReason) {
        self.state.ledger.refuse(reason, pending.record.points.into());
        self.state.is_cursor_old = true;
        self.intake.resolve(pending.slot, Ok(Receipt::Dropped(reason)));
    }
}

/// Tells whether a waiting record may be dropped for a new one.
pub(super) fn may_drop(state: &State, record: &Record) -> bool {
    !state.settings().never_dropped.contains(record.category)
}

/// Locks; a panic elsewhere must not stop deliveries, and no step leaves what is known half changed.
pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Gives the folder of dead letters.
pub(super) fn dead_letter_dir(place: &Place) -> PathBuf {
    place.dir.join("dead-letters")
}

/// Gives the folder of damaged regions.
pub(super) fn quarantine_dir(place: &Place) -> PathBuf {
    place.dir.join("quarantine")
}
