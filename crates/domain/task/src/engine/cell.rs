//! A task on the workers: its queue, its actor, its turns.

use std::collections::HashMap;
use std::hash::BuildHasher as _;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU8, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, TryLockError, Weak};
use std::time::Duration;

use foldhash::fast::{FixedState, RandomState};
use levada_model::{BatchRef, Series, Str, Timestamp};
use levada_runtime::Clock;

use super::input::{Inbox, Input, OwnedBatch, Slice};
use super::queue::{Attempt, Queue};
use super::workers::Workers;
use crate::actor::Actor;
use crate::runtime::Step;

/// A task, or one shard of it, on the workers.
pub struct Cell {
    /// The task.
    pub id: Str,
    /// Its queue.
    pub queue: Queue,
    /// Loopbacks that the points at hand have been through; the effects read it.
    pub hops: Arc<AtomicU8>,
    state: Mutex<State>,
    /// One of `IDLE`, `IN_LINE`, `RUNNING`, `AGAIN`.
    phase: AtomicU8,
    /// The earliest time at which the workers wake the task, so that they are told once.
    wakes_at: AtomicI64,
    is_failed: AtomicBool,
    /// It is being stopped: who saves states leaves it out.
    is_retired: AtomicBool,
    /// It was stopped: nothing of it runs any more, not even a timer.
    is_over: AtomicBool,
    /// Those who wait to look at the actor: turns are cut short for them.
    visitors: AtomicUsize,
    /// Points that went through, for the throughput.
    processed: AtomicU64,
    /// Batches that went through.
    batches: AtomicU64,
    workers: Weak<Workers>,
    clock: Arc<dyn Clock>,
    failed: Box<dyn Fn(&Cell) + Send + Sync>,
}

struct State {
    actor: Actor,
    /// What a turn left over.
    pending: Option<Pending>,
    shard: Option<Shard>,
    /// Points between two looks at the clock.
    stride: usize,
}

/// A part of an input.
enum Pending {
    /// Points from a place on: a range of the slice, and how far in it.
    Points(Slice, usize, usize),
    /// Batches of one execution of a query.
    Batches(usize, std::vec::IntoIter<OwnedBatch>),
}

/// Which points belong to one of several actors of a task.
#[derive(Debug)]
pub struct Shard {
    /// Which one this is.
    pub index: u32,
    /// How many there are.
    pub count: u32,
    /// The tags that decide.
    pub dimensions: Arc<[Str]>,
    is_ours: HashMap<u64, bool, RandomState>,
}

/// How a turn ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Turn {
    /// There is more to do.
    More,
    /// Nothing is left; the earliest timer is due then.
    Idle(Option<Timestamp>),
    /// The task has failed.
    Failed,
}

/// Nobody works on it, and there is nothing to do.
const IDLE: u8 = 0;
/// It stands in the line of the workers.
const IN_LINE: u8 = 1;
/// A worker works on it. It is not put in the line meanwhile: a second worker would only wait for the first.
const RUNNING: u8 = 2;
/// A worker works on it, and there is more to do since.
const AGAIN: u8 = 3;
/// The workers need not wake it.
const NEVER: i64 = i64::MAX;
/// Timers between two looks at the clock.
const TIMERS: usize = 256;
/// How long a task keeps a worker.
const TURN: Duration = Duration::from_millis(20);
/// Points between two looks at the clock, at most and at first.
const STRIDE_MAX: usize = 512;
const STRIDE_FIRST: usize = 16;
/// A stride that takes longer is made shorter.
const STRIDE_SLOW: Duration = Duration::from_millis(2);
/// Between two tries to look at an actor.
const POLL: Duration = Duration::from_millis(1);
/// Series whose shard is remembered.
const SERIES_MAX: usize = 1_000_000;

/// The points of the first stride.
fn stride(actor: &Actor) -> usize {
    if actor.runs_outside() { 1 } else { STRIDE_FIRST }
}

// === impl Cell ===

impl Cell {
    /// Makes the cell of an actor; `failed` is called once when the task fails.
    pub fn new(
        id: Str,
        actor: Actor,
        shard: Option<Shard>,
        queue: Queue,
        hops: Arc<AtomicU8>,
        workers: &Arc<Workers>,
        failed: Box<dyn Fn(&Cell) + Send + Sync>,
    ) -> Arc<Self> {
        let mut actor = actor;
        actor.measure(Arc::clone(workers.clock()));
        Arc::new(Cell {
            id,
            queue,
            hops,
            state: Mutex::new(State { stride: stride(&actor), actor, pending: None, shard }),
            phase: AtomicU8::new(IDLE),
            wakes_at: AtomicI64::new(NEVER),
            is_failed: AtomicBool::new(false),
            is_retired: AtomicBool::new(false),
            is_over: AtomicBool::new(false),
            visitors: AtomicUsize::new(0),
            processed: AtomicU64::new(0),
            batches: AtomicU64::new(0),
            clock: Arc::clone(workers.clock()),
            workers: Arc::downgrade(workers),
            failed,
        })
    }

    /// Adds an input and sees to it that it is worked on; `false` when it was dropped.
    pub fn give(self: &Arc<Self>, input: Input) -> bool {
        let is_taken = self.queue.push(input);
        if is_taken {
            self.schedule();
        }
        is_taken
    }

    /// Adds an input like [`Cell::give`] for somebody who has waited elsewhere before; adds what it waited here.
    pub fn give_after(self: &Arc<Self>, input: Input, waited: &mut Duration) -> bool {
        let began = self.clock.monotonic();
        let is_taken = self.queue.push_after(input, *waited);
        *waited += self.clock.monotonic().saturating_sub(began);
        if is_taken {
            self.schedule();
        }
        is_taken
    }

    /// Adds an input when there is room; never waits.
    pub fn try_give(self: &Arc<Self>, input: Input) -> Attempt {
        let attempt = self.queue.try_push(input);
        if matches!(attempt, Attempt::Taken) {
            self.schedule();
        }
        attempt
    }

    /// Sees to it that the task gets a turn.
    pub fn schedule(self: &Arc<Self>) {
        if self.is_failed.load(Ordering::Acquire) {
            return;
        }
        let next = |phase| match phase {
            IDLE => Some(IN_LINE),
            RUNNING => Some(AGAIN),
            _ => None,
        };
        let before = self.phase.fetch_update(Ordering::AcqRel, Ordering::Acquire, next);
        if before == Ok(IDLE)
            && let Some(workers) = self.workers.upgrade()
        {
            workers.ready(Arc::clone(self));
        }
    }

    /// Begins a turn.
    pub(super) fn enter(&self) {
        self.phase.store(RUNNING, Ordering::Release);
    }

    /// Ends a turn; `true` when the task goes back in the line.
    pub(super) fn leave(&self, is_more: bool) -> bool {
        let next = if is_more { IN_LINE } else { IDLE };
        let ended = self.phase.compare_exchange(RUNNING, next, Ordering::AcqRel, Ordering::Acquire);
        if ended.is_ok() {
            return is_more;
        }
        self.phase.store(IN_LINE, Ordering::Release);
        true
    }

    /// Says whether the workers have to be told to wake the task at `at`.
    pub(super) fn wants_wake(&self, at: Timestamp) -> bool {
        self.wakes_at.fetch_min(at.0, Ordering::AcqRel) > at.0
    }

    /// Is told that the wake of `at` is used up.
    pub(super) fn woken(&self, at: Timestamp) {
        // A later one is still to come only if it was asked for before this earlier one; asking twice does no harm.
        self.wakes_at.compare_exchange(at.0, NEVER, Ordering::AcqRel, Ordering::Acquire).ok();
    }

    /// Counts the points that went through.
    pub fn processed(&self) -> u64 {
        self.processed.load(Ordering::Relaxed)
    }

    /// Counts the batches that went through.
    pub fn batches(&self) -> u64 {
        self.batches.load(Ordering::Relaxed)
    }

    /// Says whether the task has failed.
    pub fn is_failed(&self) -> bool {
        self.is_failed.load(Ordering::Acquire)
    }

    /// Looks at the actor, between two turns.
    pub fn with_actor<T>(&self, look: impl FnOnce(&mut Actor) -> T) -> T {
        look(&mut self.lock().actor)
    }

    /// Ends the turns, because another actor of the task has failed; what is queued is dropped, counted.
    pub fn halt(&self) {
        self.retire();
        self.is_over.store(true, Ordering::Release);
        self.queue.close();
        self.queue.clear();
    }

    /// Looks at the actor for the last time, as [`Cell::try_with_actor`] does; it gets no turn after that.
    pub fn end<T>(&self, patience: Duration, look: impl FnOnce(&mut Actor) -> T) -> Option<T> {
        let mut state = self.lock_within(patience);
        // Before the lock is given back: what a timer did after the state was saved would be done twice.
        self.is_over.store(true, Ordering::Release);
        state.as_mut().map(|state| look(&mut state.actor))
    }

    /// Looks at the actor when no turn is under way, or one ends within `patience`.
    ///
    /// - A node may work on one item for long; who only wants to know something must not hang for it.
    pub fn try_with_actor<T>(
        &self,
        patience: Duration,
        look: impl FnOnce(&mut Actor) -> T,
    ) -> Option<T> {
        let mut state = self.lock_within(patience)?;
        Some(look(&mut state.actor))
    }

    /// Puts another actor in the place of the one at hand, between two turns; what is queued is for the new one.
    ///
    /// - `None`: the task has failed or ended, or a node is at work for longer than `patience`.
    /// - After an error the old actor is still there.
    pub fn exchange<E>(
        &self,
        patience: Duration,
        make: impl FnOnce(&mut Actor) -> Result<Actor, E>,
    ) -> Option<Result<(), E>> {
        let mut state = self.lock_within(patience)?;
        if self.is_over.load(Ordering::Acquire) || state.actor.failure().is_some() {
            return None;
        }
        let result = make(&mut state.actor).map(|mut actor| {
            actor.measure(Arc::clone(&self.clock));
            state.stride = stride(&actor);
            state.actor = actor;
            if let Some(Pending::Batches(place, batches)) = &mut state.pending {
                // They were for a node of before.
                self.queue.refuse(&Input::Batches { place: *place, batches: batches.collect() });
                state.pending = None;
            }
            // The new nodes have timers of their own.
            self.wakes_at.store(NEVER, Ordering::Release);
        });
        Some(result)
    }

    fn lock_within(&self, patience: Duration) -> Option<MutexGuard<'_, State>> {
        if let Some(state) = self.try_lock() {
            return Some(state);
        }
        self.visitors.fetch_add(1, Ordering::AcqRel);
        let state = self.poll_lock(patience);
        self.visitors.fetch_sub(1, Ordering::AcqRel);
        state
    }

    fn try_lock(&self) -> Option<MutexGuard<'_, State>> {
        match self.state.try_lock() {
            Ok(state) => Some(state),
            Err(TryLockError::Poisoned(poisoned)) => Some(poisoned.into_inner()),
            Err(TryLockError::WouldBlock) => None,
        }
    }

    fn poll_lock(&self, patience: Duration) -> Option<MutexGuard<'_, State>> {
        let mut left = patience;
        loop {
            if let Some(state) = self.try_lock() {
                return Some(state);
            }
            if left.is_zero() {
                return None;
            }
            // In steps of real time: a clock of a test may stand still.
            std::thread::sleep(POLL);
            left = left.saturating_sub(POLL);
        }
    }

    /// Says that the task was stopped.
    pub fn retire(&self) {
        self.is_retired.store(true, Ordering::Release);
    }

    /// Says whether the task was stopped.
    pub fn is_retired(&self) -> bool {
        self.is_retired.load(Ordering::Acquire)
    }

    /// Works on what is queued, for a bounded time.
    pub(super) fn turn(self: &Arc<Self>) -> Turn {
        if self.is_failed() {
            return Turn::Failed;
        }
        if self.has_visitors() {
            // A task with much to do would take the lock again before they see that it is free.
            std::thread::sleep(POLL * 2);
        }
        let began = self.clock.monotonic();
        let mut state = self.lock();
        if self.is_over.load(Ordering::Acquire) {
            return Turn::Idle(None);
        }
        let now = self.clock.now();
        self.hops.store(0, Ordering::Relaxed);
        let (mut result, mut is_more) = self.timers(&mut state.actor, now, began);
        while result.is_ok() && !self.is_over.load(Ordering::Acquire) {
            if self.has_visitors() || self.clock.monotonic().saturating_sub(began) > TURN {
                is_more = true;
                break;
            }
            let has_given = match state.actor.collect() {
                Ok(has_given) => has_given,
                Err(failure) => {
                    result = Err(failure);
                    break;
                }
            };
            if state.actor.is_congested() {
                // It is woken when what is outside has caught up.
                if has_given {
                    continue;
                }
                break;
            }
            result = match state.pending.take() {
                Some(Pending::Points(slice, range, at)) => {
                    self.points(&mut state, slice, range, at, began)
                }
                Some(Pending::Batches(place, batches)) => {
                    self.batches_of(&mut state, place, batches, began)
                }
                None => match self.queue.take() {
                    Some(Input::Points(slice)) => self.points(&mut state, slice, 0, 0, began),
                    Some(Input::Batches { place, batches }) => {
                        self.batches_of(&mut state, place, batches.into_iter(), began)
                    }
                    Some(other) => self.other(&mut state, other),
                    None if has_given => continue,
                    None => break,
                },
            };
        }
        if result.is_err() {
            drop(state);
            self.fail();
            return Turn::Failed;
        }
        let timer = state.actor.next_timer();
        if is_more { Turn::More } else { Turn::Idle(timer) }
    }

    fn has_visitors(&self) -> bool {
        self.visitors.load(Ordering::Acquire) > 0
    }

    /// Ends the task, once.
    pub(super) fn fail(&self) {
        if !self.is_failed.swap(true, Ordering::AcqRel) {
            self.queue.close();
            self.queue.clear();
            (self.failed)(self);
        }
    }

    /// Runs the timers that are due, for half a turn at most: data have their share when timers never end.
    fn timers(&self, actor: &mut Actor, now: Timestamp, began: Duration) -> (Step, bool) {
        loop {
            match actor.advance_some(now, TIMERS) {
                Err(failure) => return (Err(failure), false),
                Ok(false) => return (Ok(()), false),
                Ok(true) if self.clock.monotonic().saturating_sub(began) > TURN / 2 => {
                    return (Ok(()), true);
                }
                Ok(true) => {}
            }
        }
    }

    /// Works on points from a place on; what the turn has no time for is left over.
    fn points(
        &self,
        state: &mut State,
        slice: Slice,
        mut range: usize,
        mut at: usize,
        began: Duration,
    ) -> Step {
        self.hops.store(slice.hops, Ordering::Relaxed);
        let mut last = self.clock.monotonic();
        while let Some(bounds) = slice.ranges.get(range) {
            let start = bounds.start as usize + at;
            let end = (bounds.end as usize).min(start + state.stride);
            if start >= end {
                (range, at) = (range + 1, 0);
                continue;
            }
            let points = &slice.points[start..end];
            let mut count = 0;
            match &mut state.shard {
                None => {
                    state.actor.points(points)?;
                    count = points.len();
                }
                Some(shard) => {
                    for run in points.chunk_by(|one, other| one.series.id == other.series.id) {
                        if shard.takes(&run[0].series) {
                            state.actor.points(run)?;
                            count += run.len();
                        }
                    }
                }
            }
            self.processed.fetch_add(count as u64, Ordering::Relaxed);
            at += end - start;
            let now = self.clock.monotonic();
            state.stride = match now.saturating_sub(last) > STRIDE_SLOW {
                // What is outside may have room for little.
                _ if state.actor.runs_outside() => 1,
                true => (state.stride / 8).max(1),
                false => (state.stride * 2).min(STRIDE_MAX),
            };
            last = now;
            let is_late = now.saturating_sub(began) > TURN;
            if is_late || self.has_visitors() || state.actor.is_congested() {
                state.pending = Some(Pending::Points(slice, range, at));
                return Ok(());
            }
        }
        Ok(())
    }

    fn other(&self, state: &mut State, input: Input) -> Step {
        self.hops.store(0, Ordering::Relaxed);
        match input {
            // These may be more than a turn has time for.
            Input::Points(_) | Input::Batches { .. } => Ok(()),
            Input::Answer { place, token, answer } => state.actor.answer(place, token, answer),
            Input::QueryFailed { place, message, cause } => {
                state.actor.complain(place, &message, &cause);
                Ok(())
            }
        }
    }

    /// Works on batches; what the turn has no time for, or something outside no room, is left over.
    fn batches_of(
        &self,
        state: &mut State,
        place: usize,
        mut batches: std::vec::IntoIter<OwnedBatch>,
        began: Duration,
    ) -> Step {
        self.hops.store(0, Ordering::Relaxed);
        while let Some(batch) = batches.next() {
            self.batch(&mut state.actor, place, batch)?;
            let is_late = self.clock.monotonic().saturating_sub(began) > TURN;
            let stops = is_late || self.has_visitors() || state.actor.is_congested();
            if stops && batches.len() > 0 {
                state.pending = Some(Pending::Batches(place, batches));
                return Ok(());
            }
        }
        Ok(())
    }

    fn batch(&self, actor: &mut Actor, place: usize, batch: OwnedBatch) -> Step {
        let OwnedBatch { name, key, time, points } = batch;
        self.processed.fetch_add(points.len() as u64, Ordering::Relaxed);
        self.batches.fetch_add(1, Ordering::Relaxed);
        let Some(group) = actor.group(key) else {
            actor.complain(place, "too many groups", &name);
            return Ok(());
        };
        actor.batch(place, BatchRef { name: &name, group: &group, time, points: &points })
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // A panic inside a node is caught by the actor, which refuses everything after it.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Says whether everything given so far has been worked on; `false` while a turn is under way.
    pub fn is_drained(&self) -> bool {
        if self.is_failed() || self.is_over.load(Ordering::Acquire) {
            return true;
        }
        match self.state.try_lock() {
            Ok(state) => self.queue.is_empty() && state.pending.is_none(),
            Err(TryLockError::Poisoned(_)) => true,
            Err(TryLockError::WouldBlock) => false,
        }
    }
}

impl Inbox for Arc<Cell> {
    fn push(&self, input: Input) -> bool {
        self.give(input)
    }

    fn wake(&self) {
        self.schedule();
    }

    fn is_open(&self) -> bool {
        self.queue.is_open()
    }
}

/// What is kept by those who must not keep the task.
impl Inbox for Weak<Cell> {
    fn push(&self, input: Input) -> bool {
        self.upgrade().is_some_and(|cell| cell.give(input))
    }

    fn wake(&self) {
        if let Some(cell) = self.upgrade() {
            cell.schedule();
        }
    }

    fn is_open(&self) -> bool {
        self.upgrade().is_some_and(|cell| cell.queue.is_open())
    }
}

// === impl Shard ===

impl Shard {
    /// Makes the filter of one of several actors.
    pub fn new(index: u32, count: u32, dimensions: Arc<[Str]>) -> Self {
        Shard { index, count, dimensions, is_ours: HashMap::default() }
    }

    /// Says whether a series belongs to this one.
    pub fn takes(&mut self, series: &Series) -> bool {
        if let Some(is_ours) = self.is_ours.get(&series.id) {
            return *is_ours;
        }
        if self.is_ours.len() >= SERIES_MAX {
            self.is_ours.clear();
        }
        let is_ours = self.hash(series) % u64::from(self.count) == u64::from(self.index);
        self.is_ours.insert(series.id, is_ours);
        is_ours
    }

    /// The same in every process, so that saved state finds its points again.
    fn hash(&self, series: &Series) -> u64 {
        let empty = Str::default();
        let values: Vec<&Str> =
            self.dimensions.iter().map(|name| series.tag(name).unwrap_or(&empty)).collect();
        FixedState::with_seed(0).hash_one(values)
    }
}
