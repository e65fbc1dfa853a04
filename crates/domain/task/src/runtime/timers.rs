//! The timers of a task, on its own clock.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use levada_model::Timestamp;

/// Timers, earliest first.
#[derive(Debug, Default)]
pub struct Timers {
    heap: BinaryHeap<Reverse<Timer>>,
    sequence: u64,
}

/// One timer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Timer {
    /// When it is due.
    pub at: Timestamp,
    /// Of two at one time, the one set first goes first.
    sequence: u64,
    /// Whose it is.
    pub node: usize,
    /// What the node knows it by.
    pub token: u64,
}

// === impl Timers ===

impl Timers {
    /// Sets a timer.
    pub fn set(&mut self, node: usize, token: u64, at: Timestamp) {
        self.sequence += 1;
        self.heap.push(Reverse(Timer { at, sequence: self.sequence, node, token }));
    }

    /// Gives the time of the earliest one.
    pub fn next(&self) -> Option<Timestamp> {
        self.heap.peek().map(|Reverse(timer)| timer.at)
    }

    /// Takes the earliest one that is due at `now`.
    pub fn take_due(&mut self, now: Timestamp) -> Option<Timer> {
        if self.next()? > now {
            return None;
        }
        self.heap.pop().map(|Reverse(timer)| timer)
    }

    /// Drops the timers of a node.
    pub fn drop_of(&mut self, node: usize) {
        self.heap.retain(|Reverse(timer)| timer.node != node);
    }

    /// Drops all timers.
    pub fn clear(&mut self) {
        self.heap.clear();
    }
}
