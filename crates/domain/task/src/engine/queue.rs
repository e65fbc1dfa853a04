//! The queue in front of a task.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::input::Input;

/// What happens to points when a queue is full.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Overflow {
    /// Who writes waits, at most this long; then the new points are dropped.
    Block(Duration),
    /// The new points are dropped.
    DropNewest,
    /// The oldest points are dropped.
    DropOldest,
}

/// Points in one queue, unless the settings say otherwise.
///
/// - Source: ours; upstream has edges of 1,000 items between any two nodes.
pub const QUEUE_POINTS_DEFAULT: usize = 100_000;

/// The queue in front of a task: bounded in points.
#[derive(Debug)]
pub struct Queue {
    state: Mutex<State>,
    has_room: Condvar,
    limit: usize,
    overflow: Overflow,
    dropped: AtomicU64,
    accepted: AtomicU64,
}

#[derive(Debug, Default)]
struct State {
    inputs: VecDeque<Input>,
    points: usize,
    is_closed: bool,
    /// Somebody waited in vain, and nothing was taken since: nobody waits again until something is.
    is_stalled: bool,
}

/// What became of an input that could not wait.
#[derive(Debug)]
pub enum Attempt {
    /// It is in the queue.
    Taken,
    /// It was dropped, which is counted.
    Dropped,
    /// There is no room, and who has it may wait for some through [`Queue::push`].
    Full(Input),
}

// === impl Queue ===

impl Queue {
    /// Makes an empty queue.
    pub fn new(limit: usize, overflow: Overflow) -> Self {
        Queue {
            state: Mutex::default(),
            has_room: Condvar::new(),
            limit: limit.max(1),
            overflow,
            dropped: AtomicU64::new(0),
            accepted: AtomicU64::new(0),
        }
    }

    /// Adds an input; `false` when its points were dropped, or the queue is closed.
    ///
    /// - After somebody waited in vain nobody waits until the task has taken something: a task that hangs delays
    ///   who writes once, not at each write.
    ///
    /// - An input larger than the whole queue is taken when the queue is empty.
    /// - Answers are always taken: there are at most as many as requests under way.
    pub fn push(&self, input: Input) -> bool {
        match self.try_push(input) {
            Attempt::Taken => true,
            Attempt::Dropped => false,
            Attempt::Full(input) => self.push_patiently(input, Duration::ZERO),
        }
    }

    /// Adds an input like [`Queue::push`] for somebody who has waited elsewhere before, which counts.
    pub fn push_after(&self, input: Input, waited: Duration) -> bool {
        match self.try_push(input) {
            Attempt::Taken => true,
            Attempt::Dropped => false,
            Attempt::Full(input) => self.push_patiently(input, waited),
        }
    }

    /// Adds an input when there is room; never waits.
    pub fn try_push(&self, input: Input) -> Attempt {
        let points = weight(&input);
        let mut state = self.lock();
        if matches!(input, Input::Answer { .. } | Input::QueryFailed { .. }) {
            if state.is_closed {
                return Attempt::Dropped;
            }
            state.inputs.push_back(input);
            return Attempt::Taken;
        }
        if !self.fits(&state, points) && !state.is_closed {
            match self.overflow {
                Overflow::DropNewest => {}
                Overflow::DropOldest => self.drop_oldest(&mut state, points),
                Overflow::Block(_) if state.is_stalled => {}
                Overflow::Block(_) => return Attempt::Full(input),
            }
        }
        if self.settle(&mut state, input, points) { Attempt::Taken } else { Attempt::Dropped }
    }

    /// Drops an input for which there was no room, counted.
    pub fn refuse(&self, input: &Input) {
        self.dropped.fetch_add(weight(input) as u64, Ordering::Relaxed);
    }

    /// Drops an input that has waited elsewhere for as long as it may.
    pub fn give_up(&self, input: &Input) {
        self.lock().is_stalled = true;
        self.refuse(input);
    }

    fn push_patiently(&self, input: Input, waited: Duration) -> bool {
        let points = weight(&input);
        let mut state = self.lock();
        if let Overflow::Block(patience) = self.overflow {
            let is_full = |state: &mut State| {
                !state.is_closed && !state.is_stalled && !self.fits(state, points)
            };
            let (woken, outcome) = self
                .has_room
                .wait_timeout_while(state, patience.saturating_sub(waited), is_full)
                .unwrap_or_else(PoisonError::into_inner);
            state = woken;
            if outcome.timed_out() {
                // Who waits beside this one has waited for nothing as well.
                state.is_stalled = true;
                self.has_room.notify_all();
            }
        }
        self.settle(&mut state, input, points)
    }

    fn settle(&self, state: &mut State, input: Input, points: usize) -> bool {
        if state.is_closed || !self.fits(state, points) {
            self.dropped.fetch_add(points as u64, Ordering::Relaxed);
            return false;
        }
        state.points += points;
        state.inputs.push_back(input);
        self.accepted.fetch_add(points as u64, Ordering::Relaxed);
        true
    }

    /// Takes the oldest input.
    pub fn take(&self) -> Option<Input> {
        let mut state = self.lock();
        let input = state.inputs.pop_front()?;
        state.points -= weight(&input).min(state.points);
        state.is_stalled = false;
        drop(state);
        // All: the one that was waiting first may need more room than there is.
        self.has_room.notify_all();
        Some(input)
    }

    /// Refuses everything from now on; what is queued can still be taken.
    pub fn close(&self) {
        self.lock().is_closed = true;
        self.has_room.notify_all();
    }

    /// Drops what is queued, counted.
    pub fn clear(&self) {
        let mut state = self.lock();
        self.dropped.fetch_add(state.points as u64, Ordering::Relaxed);
        state.inputs.clear();
        state.points = 0;
        state.is_stalled = false;
        drop(state);
        self.has_room.notify_all();
    }

    /// Drops what is meant for single nodes, batches counted: the nodes are replaced, the points stay.
    pub fn clear_for_nodes(&self) {
        let mut state = self.lock();
        let is_for_all = |input: &Input| matches!(input, Input::Points(_));
        let dropped: usize =
            state.inputs.iter().filter(|input| !is_for_all(input)).map(weight).sum();
        self.dropped.fetch_add(dropped as u64, Ordering::Relaxed);
        state.points -= dropped.min(state.points);
        state.inputs.retain(is_for_all);
        state.is_stalled = false;
        drop(state);
        self.has_room.notify_all();
    }

    /// Says whether so many points would be taken now.
    pub fn has_room(&self, points: usize) -> bool {
        let state = self.lock();
        !state.is_closed && self.fits(&state, points)
    }

    /// Says whether inputs are taken.
    pub fn is_open(&self) -> bool {
        !self.lock().is_closed
    }

    /// Says whether nothing is queued.
    pub fn is_empty(&self) -> bool {
        self.lock().inputs.is_empty()
    }

    /// Counts the points that are queued.
    pub fn points(&self) -> usize {
        self.lock().points
    }

    /// Counts the points that were dropped.
    pub fn dropped(&self) -> u64 {
        self.dropped.load(Ordering::Relaxed)
    }

    /// Counts the points that were taken in.
    pub fn accepted(&self) -> u64 {
        self.accepted.load(Ordering::Relaxed)
    }

    fn fits(&self, state: &State, points: usize) -> bool {
        state.points == 0 || state.points + points <= self.limit
    }

    fn drop_oldest(&self, state: &mut State, points: usize) {
        let mut at = 0;
        while !self.fits(state, points) && at < state.inputs.len() {
            match &state.inputs[at] {
                Input::Answer { .. } | Input::QueryFailed { .. } => at += 1,
                input => {
                    let weight = weight(input);
                    self.dropped.fetch_add(weight as u64, Ordering::Relaxed);
                    state.points -= weight;
                    state.inputs.remove(at);
                }
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What an input counts for.
fn weight(input: &Input) -> usize {
    match input {
        Input::Points(slice) => slice.len().max(1),
        Input::Batches { batches, .. } => {
            batches.iter().map(|batch| batch.points.len()).sum::<usize>().max(1)
        }
        Input::Answer { .. } | Input::QueryFailed { .. } => 0,
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use std::sync::Arc;

    use levada_model::{Point, Series, Shape, Timestamp, Values};

    use super::super::input::Slice;
    use super::*;

    fn points(count: usize, first: i64) -> Input {
        let series = Series::new("db".into(), "rp".into(), "m".into(), Vec::new());
        let shape = Shape::new([].into());
        let point = |time| Point {
            series: Arc::clone(&series),
            shape: Arc::clone(&shape),
            values: Values::new(),
            time: Timestamp(time),
        };
        Input::Points(Slice::all((first..first + count as i64).map(point).collect()))
    }

    fn first_time(input: &Input) -> i64 {
        let Input::Points(slice) = input else { panic!("points") };
        slice.runs().next().unwrap()[0].time.0
    }

    #[test]
    fn the_bound_is_exact() {
        let queue = Queue::new(10, Overflow::DropNewest);
        assert!(queue.push(points(10, 0)), "exactly full");
        assert!(!queue.push(points(1, 10)));
        assert_eq!((queue.points(), queue.dropped(), queue.accepted()), (10, 1, 10));
        assert_eq!(first_time(&queue.take().unwrap()), 0);
        assert!(queue.push(points(1, 11)));
    }

    #[test]
    fn the_oldest_make_room() {
        let queue = Queue::new(10, Overflow::DropOldest);
        assert!(queue.push(points(5, 0)) && queue.push(points(5, 5)));
        assert!(queue.push(points(6, 10)));
        assert_eq!((queue.points(), queue.dropped()), (6, 10));
        assert_eq!(first_time(&queue.take().unwrap()), 10);
    }

    #[test]
    fn more_than_the_whole_queue_is_taken_when_it_is_empty() {
        let queue = Queue::new(3, Overflow::DropNewest);
        assert!(queue.push(points(100, 0)));
        assert!(!queue.push(points(1, 0)));
    }

    #[test]
    fn who_waits_goes_on_when_there_is_room_and_gives_up_in_time() {
        let queue = Arc::new(Queue::new(1, Overflow::Block(Duration::from_secs(60))));
        assert!(queue.push(points(1, 0)));
        let other = Arc::clone(&queue);
        let waiting = std::thread::spawn(move || other.push(points(1, 1)));
        assert_eq!(first_time(&queue.take().unwrap()), 0);
        assert!(waiting.join().unwrap());
        let impatient = Queue::new(1, Overflow::Block(Duration::from_millis(1)));
        assert!(impatient.push(points(1, 0)));
        assert!(!impatient.push(points(1, 1)));
        assert_eq!(impatient.dropped(), 1);
    }

    #[test]
    fn who_has_waited_elsewhere_waits_that_much_less() {
        let patience = Duration::from_secs(600);
        let queue = Queue::new(1, Overflow::Block(patience));
        assert!(queue.push_after(points(1, 0), patience), "there is room");
        assert!(!queue.push_after(points(1, 1), patience));
        // In vain, so nobody waits any more until something is taken.
        assert!(!queue.push(points(1, 2)));
        assert_eq!(queue.dropped(), 2);
        assert!(queue.take().is_some() && queue.push(points(1, 3)));
    }

    #[test]
    fn a_closed_queue_refuses_and_can_be_emptied() {
        let queue = Queue::new(10, Overflow::DropNewest);
        assert!(queue.push(points(2, 0)));
        queue.close();
        assert!(!queue.push(points(1, 2)));
        assert!(queue.take().is_some());
        assert!(queue.take().is_none() && queue.is_empty() && !queue.is_open());
    }
}
