//! What is under way: known by space and ID, ended from outside.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::watch;

use super::error::RecordingsError;
use super::progress::Progress;

/// Why a job is to end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum End {
    /// It is not.
    No,
    /// It was deleted: nothing of it is kept.
    Deleted,
    /// The server ends.
    Closing,
}

/// Hears that a job is to end, and tells how far it is.
#[derive(Clone, Debug)]
pub(super) struct Stop {
    end: watch::Receiver<End>,
    progress: Arc<Progress>,
}

#[derive(Debug, Default)]
pub(super) struct Jobs {
    running: Mutex<HashMap<(&'static str, String), Job>>,
    is_closed: AtomicBool,
}

#[derive(Debug)]
struct Job {
    stop: watch::Sender<End>,
    progress: Arc<Progress>,
    /// Closed when the job is gone.
    done: watch::Receiver<()>,
}

/// A place among the jobs, free again when it is dropped.
pub(super) struct Place {
    jobs: Arc<dyn HasJobs>,
    key: (&'static str, String),
    _done: watch::Sender<()>,
}

/// Whoever holds the jobs.
pub(super) trait HasJobs: Send + Sync {
    fn jobs(&self) -> &Jobs;
}

// === impl Jobs ===

impl Jobs {
    /// Takes a place.
    ///
    /// - Errors: the ID is in use, or `max` places are taken.
    pub(super) fn enter(
        holder: Arc<dyn HasJobs>,
        (space, what): (&'static str, &'static str),
        id: &str,
        max: usize,
    ) -> Result<(Place, Stop), RecordingsError> {
        let key = (space, id.to_owned());
        let (stop, stopped) = watch::channel(End::No);
        let (sender, done) = watch::channel(());
        let progress = Arc::<Progress>::default();
        {
            let jobs = holder.jobs();
            let mut running = jobs.running();
            if jobs.is_closed.load(Ordering::Acquire) {
                return Err(RecordingsError::Closing);
            }
            if running.contains_key(&key) {
                return Err(RecordingsError::Exists { what });
            }
            if running.keys().filter(|(known, _)| *known == space).count() >= max {
                return Err(RecordingsError::Busy { what: space, max });
            }
            let job = Job { stop, progress: Arc::clone(&progress), done };
            running.insert(key.clone(), job);
        }
        Ok((Place { jobs: holder, key, _done: sender }, Stop { end: stopped, progress }))
    }

    /// Ends a job and waits for that.
    pub(super) async fn cancel(&self, space: &'static str, id: &str) {
        let done = {
            let running = self.running();
            let Some(job) = running.get(&(space, id.to_owned())) else { return };
            job.stop.send_replace(End::Deleted);
            job.done.clone()
        };
        gone(done).await;
    }

    /// Ends all jobs, takes no more, and waits for that.
    pub(super) async fn close(&self) {
        let done: Vec<_> = {
            let running = self.running();
            self.is_closed.store(true, Ordering::Release);
            for job in running.values() {
                job.stop.send_replace(End::Closing);
            }
            running.values().map(|job| job.done.clone()).collect()
        };
        for done in done {
            gone(done).await;
        }
    }

    /// Gives how far a job is; nothing when it is not under way.
    pub(super) fn progress(&self, space: &'static str, id: &str) -> Option<Arc<Progress>> {
        let running = self.running();
        running.get(&(space, id.to_owned())).map(|job| Arc::clone(&job.progress))
    }

    pub(super) fn count(&self, space: &str) -> usize {
        self.running().keys().filter(|(known, _)| *known == space).count()
    }

    fn running(&self) -> MutexGuard<'_, HashMap<(&'static str, String), Job>> {
        self.running.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

async fn gone(mut done: watch::Receiver<()>) {
    // Nothing is ever sent: the error is what is waited for.
    while done.changed().await.is_ok() {}
}

// === impl Place ===

impl Drop for Place {
    fn drop(&mut self) {
        self.jobs.jobs().running().remove(&self.key);
    }
}

// === impl Stop ===

impl Stop {
    /// Says why the job is to end; one that nobody waits for any more ends like the server does.
    pub(super) fn end(&self) -> End {
        let end = *self.end.borrow();
        match end {
            End::No if self.end.has_changed().is_err() => End::Closing,
            end => end,
        }
    }

    pub(super) fn progress(&self) -> &Progress {
        &self.progress
    }

    pub(super) fn is_wanted(&self) -> bool {
        self.end() != End::No
    }

    /// Waits until the job is to end.
    pub(super) async fn wanted(&self) {
        let mut known = self.end.clone();
        // An error says that nobody waits for it any more.
        let _gone = known.wait_for(|end| *end != End::No).await.is_err();
    }
}
