//! The threads that tasks run on.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, VecDeque};
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
}

#[derive(Default)]
struct State {
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

// === impl Workers ===

impl Workers {
    /// Makes the threads.
    pub fn start(count: usize, clock: Arc<dyn Clock>, tasks: &Tasks) -> Arc<Self> {
        let workers = Arc::new(Workers { state: Mutex::default(), changed: Condvar::new(), clock });
        for index in 0..count.max(1) {
            let own = Arc::clone(&workers);
            let name = format!("task worker {index}");
            tasks.spawn_thread(TaskKind::Task, &name, move || own.work());
        }
        workers
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

    fn work(&self) {
        while let Some(cell) = self.next() {
            match cell.turn() {
                Turn::More => cell.schedule(),
                Turn::Idle(Some(at)) => self.wake_at(&cell, at),
                Turn::Idle(None) | Turn::Failed => {}
            }
        }
    }

    /// Waits for a task to run; nothing when it is over.
    fn next(&self) -> Option<Arc<Cell>> {
        let mut state = self.lock();
        loop {
            if state.is_stopped {
                return None;
            }
            let now = self.clock.now();
            while let Some(Reverse(wake)) = state.timers.peek() {
                if wake.at > now {
                    break;
                }
                let Some(Reverse(wake)) = state.timers.pop() else { break };
                if let Some(cell) = wake.cell.upgrade() {
                    drop(state);
                    cell.schedule();
                    state = self.lock();
                }
            }
            if let Some(cell) = state.ready.pop_front() {
                return Some(cell);
            }
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
