//! Threads that share work: few, and the same ones for as long as there is some.
//!
//! Waking a thread of the runtime for each piece of work costs as much as many pieces. And an allocator keeps for each thread
//! what that gave up last: when any of a hundred threads may prepare the next body, each has had a large one some time, and
//! what is kept for all of them is more than what is used.

use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use levada_runtime::{TaskKind, Tasks};
use tokio::sync::oneshot;

type Job = Box<dyn FnOnce() + Send>;

/// Threads that share work, which is begun in the order in which it comes.
pub(crate) struct Crew {
    settings: CrewSettings,
    jobs: Mutex<Jobs>,
    wake: Condvar,
}

/// How threads share work.
#[derive(Clone, Copy, Debug)]
pub(crate) struct CrewSettings {
    /// What they do, for lists of what runs.
    pub(crate) name: &'static str,
    /// Most threads at one time.
    pub(crate) threads_max: usize,
    /// So much work may wait for each thread that works before there is another thread.
    pub(crate) waiting_per_thread: usize,
    /// How long a thread waits for more before it ends.
    pub(crate) linger: Duration,
}

#[derive(Default)]
struct Jobs {
    waiting: VecDeque<Job>,
    threads: usize,
    /// Threads that wait for work.
    idle: usize,
}

// === impl Crew ===

impl Crew {
    /// Makes one without any thread.
    pub(crate) fn new(settings: CrewSettings) -> Arc<Self> {
        Arc::new(Crew { settings, jobs: Mutex::default(), wake: Condvar::new() })
    }

    /// Does work that may block for a while; it is done as well when this is dropped. Gives nothing when the work panicked, or
    /// when the runtime is ending.
    pub(crate) async fn run<T: Send + 'static>(
        self: &Arc<Self>,
        tasks: &Tasks,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Option<T> {
        let (tx, rx) = oneshot::channel();
        // Who wanted the result may have gone.
        self.push(tasks, Box::new(move || drop(tx.send(work()))));
        rx.await.ok()
    }

    fn push(self: &Arc<Self>, tasks: &Tasks, job: Job) {
        let CrewSettings { name, threads_max, waiting_per_thread, .. } = self.settings;
        {
            let jobs = &mut *self.jobs();
            jobs.waiting.push_back(job);
            let busy = jobs.threads - jobs.idle;
            let is_enough = jobs.waiting.len() <= jobs.idle + busy * waiting_per_thread;
            if is_enough || jobs.threads >= threads_max {
                self.wake.notify_one();
                return;
            }
            jobs.threads += 1;
        }
        let member = Member { crew: Arc::clone(self), has_begun: false };
        // Without the lock: a runtime that is ending drops the member at once.
        drop(tasks.spawn_thread(TaskKind::Gateway, name, move || member.work()));
    }

    fn jobs(&self) -> MutexGuard<'_, Jobs> {
        self.jobs.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A thread that is counted.
struct Member {
    crew: Arc<Crew>,
    has_begun: bool,
}

// === impl Member ===

impl Member {
    fn work(mut self) {
        self.has_begun = true;
        let crew = &self.crew;
        let mut jobs = crew.jobs();
        loop {
            if let Some(job) = jobs.waiting.pop_front() {
                drop(jobs);
                if catch_unwind(AssertUnwindSafe(job)).is_err() {
                    tracing::error!(work = crew.settings.name, "work failed");
                }
                jobs = crew.jobs();
                continue;
            }
            jobs.idle += 1;
            let waited = crew.wake.wait_timeout(jobs, crew.settings.linger);
            let (again, waited) = waited.unwrap_or_else(PoisonError::into_inner);
            jobs = again;
            jobs.idle -= 1;
            if waited.timed_out() && jobs.waiting.is_empty() {
                // Under the lock: who brings work from now on starts another.
                jobs.threads -= 1;
                return;
            }
        }
    }
}

impl Drop for Member {
    fn drop(&mut self) {
        if self.has_begun {
            return;
        }
        // The runtime is ending. Without a thread nobody does what is left; who waits for it is told.
        let jobs = &mut *self.crew.jobs();
        jobs.threads -= 1;
        if jobs.threads == 0 {
            jobs.waiting.clear();
        }
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use std::collections::HashSet;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use futures_util::future::join_all;

    use super::*;

    fn crew(threads_max: usize) -> Arc<Crew> {
        let linger = Duration::from_millis(20);
        Crew::new(CrewSettings { name: "test", threads_max, waiting_per_thread: 0, linger })
    }

    #[tokio::test]
    async fn few_threads_do_all_work() {
        let (crew, tasks) = (crew(2), Tasks::new());
        let (now, most) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
        let work = |number: usize| {
            let (now, most) = (Arc::clone(&now), Arc::clone(&most));
            let work = move || {
                most.fetch_max(now.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
                std::thread::yield_now();
                now.fetch_sub(1, Ordering::SeqCst);
                (number, std::thread::current().id())
            };
            crew.run(&tasks, work)
        };
        let done = join_all((0..200).map(work)).await;
        let numbers: Vec<usize> = done.iter().map(|one| one.unwrap().0).collect();
        assert_eq!(numbers, (0..200).collect::<Vec<_>>());
        let threads: HashSet<_> = done.iter().map(|one| one.unwrap().1).collect();
        assert!(threads.len() <= 2 && most.load(Ordering::SeqCst) <= 2, "{}", threads.len());
    }

    #[tokio::test]
    async fn a_panic_harms_nobody_else() {
        let (crew, tasks) = (crew(1), Tasks::new());
        let fails = crew.run(&tasks, || assert!(std::hint::black_box(false), "on purpose"));
        let (failed, works) = tokio::join!(fails, crew.run(&tasks, || 7));
        assert_eq!((failed, works), (None, Some(7)));
    }

    #[test]
    fn a_runtime_that_ends_leaves_nobody_waiting() {
        let (crew, tasks) = (crew(1), Tasks::new());
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let handle = runtime.handle().clone();
        drop(runtime);
        let late = {
            let _inside = handle.enter();
            let mut late = Box::pin(crew.run(&tasks, || 7));
            let mut ctx = std::task::Context::from_waker(std::task::Waker::noop());
            late.as_mut().poll(&mut ctx)
        };
        assert_eq!(late, std::task::Poll::Ready(None));
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        assert_eq!(runtime.block_on(crew.run(&tasks, || 7)), Some(7));
    }
}
