//! A queue in memory.

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use tokio::sync::Notify;

use super::{Outbox, Outcome, Parcel, PushError};
use crate::wal::{Counts, DropReason, Record};

/// A queue that keeps at most so many bytes, and lets writers wait beyond.
#[derive(Debug)]
pub struct MemoryOutbox {
    bytes_max: usize,
    letters_max: usize,
    state: Mutex<State>,
    added: Notify,
    freed: Notify,
}

#[derive(Debug, Default)]
struct State {
    waiting: VecDeque<Parcel>,
    next_token: u64,
    /// Of what waits and of what is under way.
    bytes: usize,
    counts: Counts,
    letters: VecDeque<(Record, String)>,
    is_closed: bool,
}

// === impl MemoryOutbox ===

impl MemoryOutbox {
    /// Makes one for so many bytes, and so many records that were refused.
    pub fn new(bytes_max: usize, letters_max: usize) -> Self {
        let (added, freed) = (Notify::new(), Notify::new());
        MemoryOutbox { bytes_max, letters_max, state: Mutex::default(), added, freed }
    }

    /// Gives the records that were refused, and why.
    pub fn letters(&self) -> Vec<(Record, String)> {
        self.state().letters.iter().cloned().collect()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn try_push(&self, record: &Record) -> Option<Result<(), PushError>> {
        let mut state = self.state();
        let bytes = record.body.len();
        if state.is_closed {
            return Some(Err(PushError::Closed));
        }
        if bytes > self.bytes_max {
            let text = format!("{bytes} bytes, at most {}", self.bytes_max);
            return Some(Err(PushError::TooLarge(text)));
        }
        if state.bytes + bytes > self.bytes_max {
            return None;
        }
        state.bytes += bytes;
        let points = u64::from(record.points);
        state.counts.accepted += points;
        state.counts.queued += points;
        let token = state.next_token;
        state.next_token += 1;
        state.waiting.push_back(Parcel { token, record: record.clone(), attempts: 0 });
        drop(state);
        self.added.notify_one();
        Some(Ok(()))
    }
}

impl State {
    fn letter(&mut self, record: Record, reason: String, letters_max: usize) {
        let points = u64::from(record.points);
        if self.letters.len() >= letters_max {
            self.counts.dropped[DropReason::DeadLetterFull.index()] += points;
            return;
        }
        self.counts.dead_lettered += points;
        self.letters.push_back((record, reason));
    }
}

#[async_trait]
impl Outbox for MemoryOutbox {
    async fn push(&self, record: Record) -> Result<(), PushError> {
        loop {
            let mut freed = std::pin::pin!(self.freed.notified());
            freed.as_mut().enable();
            match self.try_push(&record) {
                Some(result) => return result,
                None => freed.await,
            }
        }
    }

    fn refuse(&self, reason: DropReason, points: u64) {
        let mut state = self.state();
        state.counts.accepted += points;
        state.counts.dropped[reason.index()] += points;
    }

    async fn next(&self) -> Option<Parcel> {
        loop {
            let mut added = std::pin::pin!(self.added.notified());
            added.as_mut().enable();
            {
                let mut state = self.state();
                if state.is_closed {
                    return None;
                }
                if let Some(parcel) = state.waiting.pop_front() {
                    return Some(parcel);
                }
            }
            added.await;
        }
    }

    fn try_next(&self, bytes_max: usize) -> Option<Parcel> {
        let mut state = self.state();
        let fits = state.waiting.front().is_some_and(|next| next.record.body.len() <= bytes_max);
        if fits && !state.is_closed { state.waiting.pop_front() } else { None }
    }

    fn finish(&self, mut parcel: Parcel, outcome: Outcome) {
        let mut state = self.state();
        let points = u64::from(parcel.record.points);
        if outcome == Outcome::Returned {
            parcel.attempts = parcel.attempts.saturating_add(1);
            state.waiting.push_front(parcel);
            drop(state);
            self.added.notify_one();
            return;
        }
        state.bytes -= parcel.record.body.len();
        state.counts.queued -= points;
        match outcome {
            Outcome::Delivered => state.counts.delivered += points,
            Outcome::Dropped(reason) => state.counts.dropped[reason.index()] += points,
            Outcome::Refused(reason) => state.letter(parcel.record, reason, self.letters_max),
            Outcome::Parts { delivered, expired, refused } => {
                state.counts.delivered += u64::from(delivered);
                state.counts.dropped[DropReason::Expired.index()] += u64::from(expired);
                for (record, reason) in refused {
                    state.letter(record, reason, self.letters_max);
                }
            }
            Outcome::Returned => {}
        }
        drop(state);
        self.freed.notify_waiters();
    }

    fn counts(&self) -> Counts {
        self.state().counts
    }

    fn close(&self) {
        self.state().is_closed = true;
        self.added.notify_waiters();
        self.freed.notify_waiters();
    }
}
