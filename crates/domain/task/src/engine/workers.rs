//! The threads that tasks run on.
//!
//! A node may work on one item for long, and cannot be interrupted. When all workers hang so while tasks wait, more are
//! started, up to a bound; they end when they have nothing to do.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, VecDeque};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use levada_model::Timestamp;
use levada_runtime::{Clock, TaskKind, Tasks};

use super::cell::{Cell, Turn};

/// The threads that tasks run on, and who is to run.
pub struct Workers {
    state: Mutex<State>,
    changed: Condvar,
    clock: Arc<dyn Clock>,
    tasks: Tasks,
    /// Workers without the spare ones.
    count: usize,
}

#[derive(Default)]
struct State {
    /// Workers, spare ones among them.
    threads: usize,
    /// Turns that have begun.
    turns: u64,
    ready: VecDeque<Arc<Cell>>,
    timers: BinaryHeap<Reverse<Wake>>,
    sequence: u64,
    is_stopped: bool,
}

struct Wake {
    at: Timestamp,
    sequence: u64,
    cell: Weak<Cell>,
}

/// A worker looks at the clock at least so often: clocks of tests move by themselves.
const LOOK: Duration = Duration::from_millis(50);
/// Workers beside the usual ones, while those hang.
pub const SPARE_MAX: usize = 64;

// === impl Workers ===

impl Workers {
    /// Makes the threads.
    pub fn start(count: usize, clock: Arc<dyn Clock>, tasks: &Tasks) -> Arc<Self> {
        let count = count.max(1);
        let workers = Arc::new(Workers {
            state: Mutex::default(),
            changed: Condvar::new(),
            clock,
            tasks: tasks.clone(),
            count,
        });
        workers.lock().threads = count;
        for index in 0..count {
            workers.start_thread(&format!("task worker {index}"), Workers::work);
        }
        workers.start_thread("task workers' watch", Workers::watch);
        workers
    }

    fn start_thread(self: &Arc<Self>, name: &str, work: fn(&Arc<Self>)) {
        let own = Arc::clone(self);
        self.tasks.spawn_thread(TaskKind::Task, name, move || work(&own));
    }

    /// Counts the threads.
    pub fn threads(&self) -> usize {
        self.lock().threads
    }

    /// Gives the clock.
    pub fn clock(&self) -> &Arc<dyn Clock> {
        &self.clock
    }

    /// Puts a task at the end of the line.
    pub(super) fn ready(&self, cell: Arc<Cell>) {
        self.lock().ready.push_back(cell);
        self.changed.notify_one();
    }

    /// Gives a task a turn at some time.
    pub fn wake_at(&self, cell: &Arc<Cell>, at: Timestamp) {
        if !cell.wants_wake(at) {
            return;
        }
        let mut state = self.lock();
        state.sequence += 1;
        let wake = Wake { at, sequence: state.sequence, cell: Arc::downgrade(cell) };
        let is_first = state.timers.peek().is_none_or(|Reverse(first)| at < first.at);
        state.timers.push(Reverse(wake));
        drop(state);
        if is_first {
            self.changed.notify_one();
        }
    }

    /// Ends the threads after the turns under way.
    pub fn stop(&self) {
        self.lock().is_stopped = true;
        self.changed.notify_all();
    }

    fn work(self: &Arc<Self>) {
        while let Some(cell) = self.next() {
            cell.enter();
            // The actor catches the panics of nodes; this is for whatever is around it, which must not cost a worker.
            let turn = catch_unwind(AssertUnwindSafe(|| cell.turn())).unwrap_or_else(|_| {
                cell.fail();
                Turn::Failed
            });
            match turn {
                Turn::Failed => continue,
                Turn::Idle(Some(at)) => self.wake_at(&cell, at),
                Turn::Idle(None) | Turn::More => {}
            }
            if cell.leave(turn == Turn::More) {
                self.ready(cell);
            }
        }
    }

    /// Starts workers when all hang, and wakes tasks meanwhile.
    fn watch(self: &Arc<Self>) {
        let mut turns = 0;
        let mut state = self.lock();
        while !state.is_stopped {
            state = self.wake_due(state);
            let hangs = !state.ready.is_empty() && state.turns == turns;
            if hangs && state.threads < self.count + SPARE_MAX {
                state.threads += 1;
                drop(state);
                self.start_thread("spare task worker", Workers::work);
                state = self.lock();
            }
            turns = state.turns;
            drop(state);
            // Not on the condition: who is woken by it is to be a worker.
            std::thread::sleep(LOOK);
            state = self.lock();
        }
    }

    fn wake_due<'w>(&'w self, mut state: MutexGuard<'w, State>) -> MutexGuard<'w, State> {
        let now = self.clock.now();
        while state.timers.peek().is_some_and(|Reverse(wake)| wake.at <= now) {
            let Some(Reverse(wake)) = state.timers.pop() else { break };
            drop(state);
            // Dropping the last hold on a task ends its nodes, so it happens without the lock.
            if let Some(cell) = wake.cell.upgrade() {
                cell.woken(wake.at);
                cell.schedule();
                drop(cell);
            }
            state = self.lock();
        }
        state
    }

    /// Waits for a task to run; nothing when it is over.
    fn next(&self) -> Option<Arc<Cell>> {
        let mut state = self.lock();
        loop {
            if state.is_stopped {
                return None;
            }
            state = self.wake_due(state);
            if let Some(cell) = state.ready.pop_front() {
                state.turns += 1;
                return Some(cell);
            }
            if state.threads > self.count {
                state.threads -= 1;
                return None;
            }
            let now = self.clock.now();
            let until_timer = state.timers.peek().map(|Reverse(wake)| {
                Duration::from_nanos(wake.at.0.saturating_sub(now.0).max(0) as u64)
            });
            let patience = until_timer.unwrap_or(LOOK).min(LOOK);
            state = self
                .changed
                .wait_timeout(state, patience)
                .unwrap_or_else(PoisonError::into_inner)
                .0;
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

// === impl Wake ===

impl PartialEq for Wake {
    fn eq(&self, other: &Self) -> bool {
        (self.at, self.sequence) == (other.at, other.sequence)
    }
}

impl Eq for Wake {}

impl PartialOrd for Wake {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Wake {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        (self.at, self.sequence).cmp(&(other.at, other.sequence))
    }
}
