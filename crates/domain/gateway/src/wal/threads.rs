//! The threads of a queue: one that writes, one that reads ahead, and steps of upkeep; none of them while nothing is to do.

use std::sync::atomic::Ordering;
use std::sync::{Arc, LazyLock};
use std::time::Duration;

use levada_runtime::TaskKind;

use super::engine::{Engine, Step, lock};
use super::error::StorageError;
use super::intake::Receipt;
use super::ledger::DropReason;
use super::queue::{Shared, Written};
use super::record::Record;
use super::settings::Keep;
use super::state::State;
use super::upkeep::Due;
use crate::crew::{Crew, CrewSettings};

/// How long a thread that writes waits for more before it ends.
const LINGER: Duration = Duration::from_millis(50);

/// How often what waits is looked through for records that waited too long.
const EXPIRY_INTERVAL: Duration = Duration::from_secs(5);

/// The threads that flush files and note progress, of all queues of the process.
///
/// With a hundred queues, each of which wants that every 20 ms, a thread for each would cost as much as what it does, and
/// what is kept in memory for a hundred threads more than all else. More at once do not make a disk faster.
static UPKEEP: LazyLock<Arc<Crew>> = LazyLock::new(|| {
    Crew::new(CrewSettings {
        name: "upkeep of queues",
        threads_max: 16,
        waiting_per_thread: 4,
        linger: Duration::ZERO,
    })
});

/// What became of a record.
type AppendResult = Result<Receipt, StorageError>;

/// Which threads run, and whether they were asked for since they last looked.
#[derive(Default)]
pub(super) struct Jobs {
    writer: Job,
    fetcher: Job,
    /// Reading failed; it is tried again after a while.
    is_fetch_late: bool,
}

#[derive(Default)]
struct Job {
    is_running: bool,
    is_wanted: bool,
}

// === impl Shared ===

impl Shared {
    pub(super) fn want_writer(self: &Arc<Self>) {
        let jobs = &mut *lock(&self.jobs);
        jobs.writer.is_wanted = true;
        if std::mem::replace(&mut jobs.writer.is_running, true) {
            self.wake_writer.notify_one();
            return;
        }
        let shared = Arc::clone(self);
        let write = move || shared.write();
        drop(self.tasks.spawn_thread(TaskKind::Gateway, "writer of a queue", write));
    }

    pub(super) fn want_fetcher(self: &Arc<Self>) {
        let jobs = &mut *lock(&self.jobs);
        jobs.fetcher.is_wanted = true;
        if std::mem::replace(&mut jobs.fetcher.is_running, true) {
            return;
        }
        let shared = Arc::clone(self);
        let fetch = move || shared.fetch();
        drop(self.tasks.spawn_thread(TaskKind::Gateway, "reader of a queue", fetch));
    }

    /// Writes what is pending; the work of a thread, which stays a moment for what comes next.
    fn write(&self) {
        let _running = Running { shared: self, job: |jobs| &mut jobs.writer };
        loop {
            // Not held while it waits: others may write meanwhile.
            let step = self.engine.write_some(&mut lock(&self.engine.log));
            if step == Step::Worked {
                self.wrote();
                continue;
            }
            self.work.notify_one();
            let mut jobs = lock(&self.jobs);
            if !jobs.writer.is_wanted {
                let waited = self.wake_writer.wait_timeout(jobs, LINGER);
                jobs = waited.unwrap_or_else(std::sync::PoisonError::into_inner).0;
            }
            if !std::mem::take(&mut jobs.writer.is_wanted) {
                // Under the lock: whoever wants a writer from now on starts one.
                jobs.writer.is_running = false;
                return;
            }
        }
    }

    /// Writes what is pending until a record is written, on this thread, which may block. When the record has to wait, a
    /// thread of the queue goes on.
    pub(super) fn write_here(self: &Arc<Self>, written: &mut Written) -> Option<AppendResult> {
        // Whoever holds the log now is about to let go of it: nobody holds it while it waits for more.
        let log = &mut *lock(&self.engine.log);
        loop {
            // Another may have written it.
            if let Some(result) = written.now() {
                return Some(result);
            }
            if self.engine.write_some(log) != Step::Worked {
                break;
            }
            self.wrote();
        }
        self.want_writer();
        None
    }

    fn wrote(&self) {
        self.ready.notify_one();
        self.space.notify_waiters();
        self.work.notify_one();
    }

    /// Reads ahead; the work of a thread.
    fn fetch(&self) {
        let _running = Running { shared: self, job: |jobs| &mut jobs.fetcher };
        loop {
            let started = self.engine.now();
            let is_failed = match self.engine.fetch_one() {
                Ok(true) => {
                    if let Some(watch) = self.reads.get() {
                        watch(self.engine.now().saturating_sub(started));
                    }
                    self.ready.notify_one();
                    continue;
                }
                Ok(false) => false,
                Err(error) => {
                    tracing::warn!(%error, source = %error.source, "waiting records cannot be read; it is tried again");
                    self.engine.inner().io.read_failures += 1;
                    true
                }
            };
            let jobs = &mut *lock(&self.jobs);
            jobs.is_fetch_late |= is_failed;
            if is_failed || !std::mem::take(&mut jobs.fetcher.is_wanted) {
                jobs.fetcher.is_running = false;
                break;
            }
        }
        // Records that turned out to be damaged are finished.
        self.work.notify_one();
        self.space.notify_waiters();
    }

    /// Writes, flushes and notes everything; the work of a thread.
    pub(super) fn end(&self) {
        {
            let log = &mut *lock(&self.engine.log);
            while self.engine.write_some(log) == Step::Worked {}
        }
        if self.engine.settings.keep == Keep::Memory {
            let inner = &mut *self.engine.inner();
            while inner.state.drop_oldest(DropReason::Shutdown, |_: &State, _: &Record| true) {}
        }
        self.is_ended.store(true, Ordering::Release);
        self.engine.keep_up(true);
        drop(lock(&self.lock_file).take());
        self.wake_all();
    }

    fn due(&self) -> Due {
        if lock(&self.jobs).is_fetch_late {
            return Due::In(self.engine.settings.cursor_interval);
        }
        self.engine.due()
    }
}

/// Says that a thread ended, also when it panicked.
struct Running<'a> {
    shared: &'a Shared,
    job: fn(&mut Jobs) -> &mut Job,
}

impl Drop for Running<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            (self.job)(&mut lock(&self.shared.jobs)).is_running = false;
        }
    }
}

/// Flushes and notes what is due, until the queue ends.
pub(super) async fn keep_up(shared: Arc<Shared>) {
    let clock = Arc::clone(&shared.engine.clock);
    while !shared.is_ended() {
        match shared.due() {
            Due::In(wait) => {
                tokio::select! {
                    () = clock.sleep(wait) => {}
                    () = shared.urgent.notified() => {}
                }
            }
            Due::Never => {
                let expires = shared.engine.settings.age_max.is_some();
                let has_waiting = expires && shared.engine.inner().state.queued_bytes > 0;
                tokio::select! {
                    () = shared.work.notified() => continue,
                    () = clock.sleep(EXPIRY_INTERVAL), if has_waiting => {}
                }
            }
        }
        if shared.is_ended() {
            break;
        }
        step(&shared, Engine::keep_up, false).await;
        if std::mem::take(&mut lock(&shared.jobs).is_fetch_late) {
            shared.want_fetcher();
        }
        if shared.engine.inner().is_stalled {
            shared.want_writer();
        }
        shared.space.notify_waiters();
        shared.ready.notify_one();
    }
    // The last handle may have gone without anybody closing the queue.
    if lock(&shared.lock_file).is_some() {
        let ending = Arc::clone(&shared);
        let ended =
            shared.tasks.spawn_thread(TaskKind::Gateway, "end of a queue", move || ending.end());
        if ended.await.is_err() {
            tracing::error!("the end of a queue failed");
        }
    }
}

async fn step(shared: &Arc<Shared>, work: fn(&Engine, bool), is_final: bool) {
    let stepping = Arc::clone(shared);
    let done = UPKEEP.run(&shared.tasks, move || work(&stepping.engine, is_final)).await;
    if done.is_none() {
        tracing::error!(destination = shared.engine.place.destination, "upkeep of a queue failed");
    }
}
