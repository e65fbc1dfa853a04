//! A queue with its threads: what others use.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::pin::pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, OnceLock};
use std::time::Duration;

use levada_runtime::{Clock, TaskKind, Tasks};
use tokio::sync::Notify;

use super::dead_letter::DeadLetter;
use super::engine::{Admission, Engine, quarantine_dir};
use super::error::{AppendError, DeadLetterError, OpenError, StorageError};
use super::files::{Files, SystemFiles};
use super::intake::Receipt;
use super::lease::{Lease, Outcome};
use super::ledger::{Counts, DropReason};
use super::log::Place;
use super::record::Record;
use super::settings::{Keep, QueueSettings};
use super::settle::settle;
use super::state::{PerCategory, Pick, Taken};
use super::stats::IoStats;
use super::threads::{Jobs, keep_up};

const LOCK_FILE: &str = "lock";

/// Records for one destination; a clone is cheap and is the same queue.
///
/// When the last clone is gone, the queue ends as if [`Queue::close`] had been called, only that nobody waits for it.
#[derive(Clone)]
pub struct Queue(Arc<Owner>);

/// A queue as people see it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct QueueStatus {
    /// Where the points are.
    pub counts: Counts,
    /// Records that wait or are under way.
    pub queued_records: u64,
    /// Their bytes.
    pub queued_bytes: u64,
    /// Records under way.
    pub leased_records: usize,
    /// Files of records.
    pub segments: usize,
    /// Records in the dead-letter store.
    pub dead_letters: usize,
    /// The disk is full, and appends wait.
    pub is_stalled: bool,
    /// What was done with the files.
    pub io: IoStats,
    /// Records whose bodies are in memory.
    pub in_memory: PerCategory,
    /// Records that waited too long, since the queue was opened; what is not known any more counts as `unknown`.
    pub expired: PerCategory,
}

/// Ends the queue when the last handle is gone.
struct Owner(Arc<Shared>);

pub(super) struct Shared {
    pub(super) engine: Engine,
    pub(super) tasks: Tasks,
    /// Something can be sent.
    pub(super) ready: Notify,
    /// Something may fit again.
    pub(super) space: Notify,
    /// Something is to be flushed or noted some time.
    pub(super) work: Notify,
    /// Something is to be noted now.
    pub(super) urgent: Notify,
    pub(super) jobs: Mutex<Jobs>,
    pub(super) wake_writer: Condvar,
    pub(super) is_ended: AtomicBool,
    /// Hears how long reads take.
    pub(super) reads: OnceLock<ReadWatch>,
    /// The lock of the folder; it ends with the file.
    pub(super) lock_file: Mutex<Option<File>>,
}

/// Is told how long it took to read a record from a file.
pub type ReadWatch = Arc<dyn Fn(Duration) + Send + Sync>;

// === impl Queue ===

impl Queue {
    /// Opens the queue of a destination in a folder of its own, which is made when it does not exist.
    ///
    /// Blocks for as long as it takes to read one segment. Must be called inside a tokio runtime.
    pub fn open(
        dir: &Path,
        destination: &str,
        settings: QueueSettings,
        tasks: &Tasks,
        clock: Arc<dyn Clock>,
    ) -> Result<Queue, OpenError> {
        let place = Place {
            files: Arc::new(SystemFiles),
            dir: dir.to_owned(),
            destination: destination.to_owned(),
            segment_bytes: settings.segment_bytes(),
        };
        let lock_file = match settings.keep {
            Keep::Disk => Some(lock_dir(&place)?),
            Keep::Memory => None,
        };
        let shared = Arc::new(Shared {
            engine: Engine::open(place, settings, clock)?,
            tasks: tasks.clone(),
            ready: Notify::new(),
            space: Notify::new(),
            work: Notify::new(),
            urgent: Notify::new(),
            jobs: Mutex::default(),
            wake_writer: Condvar::new(),
            is_ended: AtomicBool::new(false),
            reads: OnceLock::new(),
            lock_file: Mutex::new(lock_file),
        });
        let upkeep = keep_up(Arc::clone(&shared));
        drop(tasks.spawn(TaskKind::Gateway, &format!("queue of {destination}"), upkeep));
        Ok(Queue(Arc::new(Owner(shared))))
    }

    /// Takes a record; returns when it is as durable as the settings say, or was dropped as they say.
    ///
    /// Waits while the queue is full and the settings say so. Dropped before it returns, the record may be taken all the
    /// same.
    pub async fn append(&self, record: Record) -> Result<Receipt, AppendError> {
        self.shared().append(record, 0, &mut 0, Until::Ever).await
    }

    /// Gives the folder.
    pub fn dir(&self) -> &Path {
        &self.shared().engine.place.dir
    }

    /// Gives the settings.
    pub fn settings(&self) -> &QueueSettings {
        &self.shared().engine.settings
    }

    /// Takes a record as [`Queue::append`] does, but never waits for room.
    pub async fn try_append(&self, record: Record) -> Result<Receipt, AppendError> {
        self.shared().append(record, 0, &mut 0, Until::Now).await
    }

    /// Waits for the next record to send; `None` when the queue was closed, or was to be drained and is.
    pub async fn next(&self) -> Option<Lease> {
        let shared = self.shared();
        loop {
            let mut ready = pin!(shared.ready.notified());
            ready.as_mut().enable();
            if shared.is_ended() {
                shared.ready.notify_one();
                return None;
            }
            if let Some(lease) = shared.pick() {
                return Some(lease);
            }
            if shared.is_drained() {
                shared.ready.notify_one();
                return None;
            }
            ready.await;
        }
    }

    /// Gives the next record to send, if one is at hand.
    pub fn try_next(&self) -> Option<Lease> {
        if self.shared().is_ended() { None } else { self.shared().pick() }
    }

    /// Lets somebody hear how long reads take; the first one stays.
    pub fn watch_reads(&self, watch: ReadWatch) {
        if self.shared().reads.set(watch).is_err() {
            tracing::debug!("somebody hears of the reads of the queue already");
        }
    }

    /// Takes no more records; [`Queue::next`] goes on until none waits and none is under way.
    pub fn drain(&self) {
        let shared = self.shared();
        shared.engine.inner().is_closed = true;
        shared.wake_all();
    }

    /// Ends the queue: what waits is on the disk, and progress is noted; a queue in memory drops what waits.
    pub async fn close(&self) {
        self.drain();
        let shared = Arc::clone(self.shared());
        let tasks = shared.tasks.clone();
        let ended = tasks.spawn_thread(TaskKind::Gateway, "end of a queue", move || shared.end());
        if ended.await.is_err() {
            tracing::error!("the end of a queue failed");
        }
    }

    /// Gives where the points are, at one instant.
    pub fn counts(&self) -> Counts {
        self.shared().engine.inner().state.counts()
    }

    /// Gives what there is to say about the queue, at one instant.
    pub fn status(&self) -> QueueStatus {
        let inner = self.shared().engine.inner();
        let state = &inner.state;
        QueueStatus {
            counts: state.counts(),
            queued_records: state.queued_records(),
            queued_bytes: state.queued_bytes,
            leased_records: state.leased(),
            segments: state.segments.len(),
            dead_letters: inner.letters.letters.len(),
            is_stalled: inner.is_stalled,
            in_memory: inner.state.in_memory(),
            expired: inner.state.expired,
            io: inner.io,
        }
    }

    /// Gives the letters of the dead-letter store, the oldest first.
    pub fn dead_letters(&self) -> Vec<DeadLetter> {
        self.shared().engine.inner().letters.letters.values().cloned().collect()
    }

    /// Queues a dead letter again, as a new record.
    pub async fn dead_letter_replay(&self, sequence: u64) -> Result<Receipt, DeadLetterError> {
        let storage = |source| DeadLetterError::Storage { sequence, source };
        self.find_letter(sequence)?;
        let read = self.on_thread(move |engine| engine.read_letter(sequence)).await;
        let Some(opened) = read.map_err(storage)? else {
            self.on_thread(move |engine| engine.quarantine_letter(sequence))
                .await
                .map_err(storage)?;
            return Err(DeadLetterError::Damaged { sequence });
        };
        let receipt = self
            .shared()
            .append(opened.record, opened.letter.attempts, &mut 0, Until::Ever)
            .await
            .map_err(|source| DeadLetterError::Append { sequence, source })?;
        self.on_thread(move |engine| engine.replayed(sequence)).await.map_err(storage)?;
        self.shared().work.notify_one();
        Ok(receipt)
    }

    /// Drops a dead letter; its points count as dropped.
    pub async fn dead_letter_drop(&self, sequence: u64) -> Result<(), DeadLetterError> {
        self.find_letter(sequence)?;
        let removed = self
            .on_thread(move |engine| engine.remove_letter(sequence, DropReason::DeadLetterDropped));
        let is_removed =
            removed.await.map_err(|source| DeadLetterError::Storage { sequence, source })?;
        self.shared().work.notify_one();
        if is_removed { Ok(()) } else { Err(DeadLetterError::NotFound { sequence }) }
    }

    /// Gives the files of the quarantine with their sizes.
    pub async fn quarantined(&self) -> Result<Vec<(PathBuf, u64)>, StorageError> {
        self.on_thread(|engine| {
            let dir = quarantine_dir(&engine.place);
            match engine.place.files.list(&dir) {
                Ok(files) => {
                    Ok(files.into_iter().map(|(name, bytes)| (dir.join(name), bytes)).collect())
                }
                Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(Vec::new()),
                Err(error) => Err(engine.place.error("list", &dir, error)),
            }
        })
        .await
    }

    fn find_letter(&self, sequence: u64) -> Result<(), DeadLetterError> {
        let inner = self.shared().engine.inner();
        match inner.letters.letters.contains_key(&sequence) {
            true => Ok(()),
            false => Err(DeadLetterError::NotFound { sequence }),
        }
    }

    async fn on_thread<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Engine) -> Result<T, StorageError> + Send + 'static,
    ) -> Result<T, StorageError> {
        let shared = Arc::clone(self.shared());
        let tasks = shared.tasks.clone();
        let done = tasks
            .spawn_thread(TaskKind::Gateway, "files of a queue", move || work(&shared.engine))
            .await;
        done.unwrap_or_else(|error| {
            let dir = &self.shared().engine.place.dir;
            Err(StorageError::new("use", dir, std::io::Error::other(error)))
        })
    }

    pub(super) fn shared(&self) -> &Arc<Shared> {
        &self.0.0
    }
}

impl Drop for Owner {
    fn drop(&mut self) {
        let shared = Arc::clone(&self.0);
        shared.engine.inner().is_closed = true;
        shared.is_ended.store(true, Ordering::Release);
        shared.wake_all();
    }
}

// === impl Shared ===

impl Shared {
    /// Lets a record in, and waits until it is written; with `until`, no longer than that, if it can still be taken back.
    pub(super) async fn append(
        self: &Arc<Self>,
        mut record: Record,
        attempts: u16,
        held: &mut u64,
        until: Until,
    ) -> Result<Receipt, AppendError> {
        let crc = self.engine.crc_of(&record);
        loop {
            let mut space = pin!(self.space.notified());
            space.as_mut().enable();
            match self.engine.admit_held(record, crc, attempts, held)? {
                Admission::Done(receipt) => {
                    self.admitted();
                    return Ok(receipt);
                }
                Admission::Pushed(slot) => {
                    let written = Written::new(self, slot);
                    self.want_writer();
                    return written.until(until).await;
                }
                Admission::Full(_) if matches!(until, Until::Now) => return Err(AppendError::Full),
                Admission::Full(back) => record = back,
            }
            if !self.before(until, space).await {
                return Err(AppendError::Full);
            }
        }
    }

    /// Tells others of a record that was let in, or dropped, and needs no writer.
    pub(super) fn admitted(&self) {
        self.ready.notify_one();
        self.work.notify_one();
    }

    /// Waits for something, and gives whether it came before the time was over.
    pub(super) async fn before(&self, until: Until, event: impl Future<Output = ()>) -> bool {
        let Until::Time(until) = until else {
            event.await;
            return true;
        };
        let rest = until.saturating_sub(self.engine.now());
        tokio::select! {
            biased;
            () = event => true,
            () = self.engine.clock.sleep(rest) => false,
        }
    }

    fn pick(self: &Arc<Self>) -> Option<Lease> {
        let (pick, is_more, wants_fetch) = {
            let inner = &mut *self.engine.inner();
            let now = self.engine.now();
            let queued = inner.state.queued_bytes;
            let pick = inner.state.pick(now, self.engine.today());
            let wants_fetch = inner.state.next_fetch(now).is_some();
            if inner.state.queued_bytes < queued {
                // Some were too old.
                self.space.notify_waiters();
                self.work.notify_one();
            }
            (pick, inner.state.has_waiting(), wants_fetch)
        };
        if wants_fetch {
            self.want_fetcher();
        }
        let Pick::Lease(taken) = pick else { return None };
        if is_more {
            self.ready.notify_one();
        }
        Some(Lease::new(taken, Arc::clone(self)))
    }

    /// Ends a lease.
    pub(super) fn settle(self: &Arc<Self>, taken: Taken, outcome: Outcome) {
        let is_letter = {
            let inner = &mut *self.engine.inner();
            settle(inner, taken, outcome);
            !inner.new_letters.is_empty()
        };
        if is_letter {
            self.want_writer();
        }
        self.finished();
    }

    /// Ends a lease that nothing came of.
    pub(super) fn give_back(&self, taken: Taken) {
        self.engine.inner().state.put_back(taken);
        self.ready.notify_one();
    }

    fn finished(&self) {
        let (is_many, is_closed) = {
            let inner = self.engine.inner();
            let many = self.engine.settings.cursor_records.into();
            (inner.state.finished_since_cursor >= many, inner.is_closed)
        };
        self.work.notify_one();
        if is_many {
            self.urgent.notify_one();
        }
        self.space.notify_waiters();
        // A retry, or room for one more lease.
        self.ready.notify_one();
        if is_closed {
            self.ready.notify_waiters();
        }
    }

    pub(super) fn is_ended(&self) -> bool {
        self.is_ended.load(Ordering::Acquire)
    }

    fn is_drained(&self) -> bool {
        let inner = self.engine.inner();
        inner.is_closed && inner.state.queued_bytes == 0 && inner.intake.pending.is_empty()
    }

    pub(super) fn wake_all(&self) {
        self.space.notify_waiters();
        self.ready.notify_waiters();
        self.ready.notify_one();
        self.work.notify_one();
        self.urgent.notify_one();
    }
}

/// How long an append waits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Until {
    /// For no room at all.
    Now,
    /// Until a moment of the monotonic clock.
    Time(Duration),
    /// As long as it takes.
    Ever,
}

/// How often is looked whether a record that was being written can be taken back: only a full disk puts it back.
const LOOK_AGAIN: Duration = Duration::from_millis(50);

// === impl Written ===

impl Written {
    /// Waits for the record of a place.
    pub(super) fn new(shared: &Arc<Shared>, slot: usize) -> Self {
        Written { shared: Arc::clone(shared), slot: Some(slot) }
    }

    /// Gives what became of the record, if that is known now; asked once more after that it panics.
    pub(super) fn now(&mut self) -> Option<Result<Receipt, StorageError>> {
        let mut ctx = std::task::Context::from_waker(std::task::Waker::noop());
        match std::pin::Pin::new(self).poll(&mut ctx) {
            std::task::Poll::Ready(result) => Some(result),
            std::task::Poll::Pending => None,
        }
    }

    pub(super) async fn until(mut self, until: Until) -> Result<Receipt, AppendError> {
        let Until::Time(mut until) = until else {
            return self.await.map_err(AppendError::Storage);
        };
        let shared = Arc::clone(&self.shared);
        loop {
            let rest = until.saturating_sub(shared.engine.now());
            tokio::select! {
                biased;
                result = &mut self => return result.map_err(AppendError::Storage),
                () = shared.engine.clock.sleep(rest) => {}
            }
            if let Some(slot) = self.slot
                && shared.engine.inner().intake.withdraw(slot)
            {
                self.slot = None;
                shared.space.notify_waiters();
                return Err(AppendError::Full);
            }
            until = shared.engine.now() + LOOK_AGAIN;
        }
    }
}

/// Waits for a record to be written.
pub(super) struct Written {
    shared: Arc<Shared>,
    slot: Option<usize>,
}

impl Future for Written {
    type Output = Result<Receipt, StorageError>;

    fn poll(
        mut self: std::pin::Pin<&mut Self>,
        ctx: &mut std::task::Context<'_>,
    ) -> std::task::Poll<Self::Output> {
        let slot = self.slot.expect("not polled after it was ready");
        let result = self.shared.engine.inner().intake.poll(slot, ctx.waker());
        match result {
            Some(result) => {
                self.slot = None;
                std::task::Poll::Ready(result)
            }
            None => std::task::Poll::Pending,
        }
    }
}

impl Drop for Written {
    fn drop(&mut self) {
        if let Some(slot) = self.slot {
            self.shared.engine.inner().intake.abandon(slot);
        }
    }
}

/// Takes the folder for this process.
fn lock_dir(place: &Place) -> Result<File, OpenError> {
    let storage = |action, path: &Path, error| OpenError::Storage {
        destination: place.destination.clone(),
        source: StorageError::new(action, path, error),
    };
    SystemFiles.create_dir(&place.dir).map_err(|error| storage("make", &place.dir, error))?;
    let path = place.dir.join(LOCK_FILE);
    let mut options = File::options();
    options.read(true).write(true).create(true).truncate(false);
    let file = options.open(&path).map_err(|error| storage("open", &path, error))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(std::fs::TryLockError::WouldBlock) => {
            Err(OpenError::Locked { path: place.dir.clone() })
        }
        Err(std::fs::TryLockError::Error(error)) => Err(storage("lock", &path, error)),
    }
}
