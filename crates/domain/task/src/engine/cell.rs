//! A task on the workers: its queue, its actor, its turns.

use std::collections::HashMap;
use std::hash::BuildHasher as _;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use foldhash::fast::{FixedState, RandomState};
use levada_model::{BatchRef, Point, Series, Str, Timestamp};
use levada_runtime::Clock;

use super::input::{Inbox, Input, OwnedBatch, Slice};
use super::queue::Queue;
use super::workers::Workers;
use crate::actor::Actor;
use crate::effect::Answer;
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
    is_scheduled: AtomicBool,
    is_failed: AtomicBool,
    /// Points that went through, for the throughput.
    processed: AtomicU64,
    workers: Weak<Workers>,
    clock: Arc<dyn Clock>,
    failed: Box<dyn Fn(&Cell) + Send + Sync>,
}

struct State {
    actor: Actor,
    /// What a turn left over.
    pending: Option<(Slice, usize, usize)>,
    shard: Option<Shard>,
    /// Points between two looks at the clock.
    stride: usize,
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

/// How long a task keeps a worker.
const TURN: Duration = Duration::from_millis(20);
/// Points between two looks at the clock, at most and at first.
const STRIDE_MAX: usize = 512;
const STRIDE_FIRST: usize = 16;
/// A stride that takes longer is made shorter.
const STRIDE_SLOW: Duration = Duration::from_millis(2);
/// Series whose shard is remembered.
const SERIES_MAX: usize = 1_000_000;

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
        Arc::new(Cell {
            id,
            queue,
            hops,
            state: Mutex::new(State { actor, pending: None, shard, stride: STRIDE_FIRST }),
            is_scheduled: AtomicBool::new(false),
            is_failed: AtomicBool::new(false),
            processed: AtomicU64::new(0),
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

    /// Sees to it that the task gets a turn.
    pub fn schedule(self: &Arc<Self>) {
        if self.is_failed.load(Ordering::Acquire) {
            return;
        }
        if !self.is_scheduled.swap(true, Ordering::AcqRel)
            && let Some(workers) = self.workers.upgrade()
        {
            workers.ready(Arc::clone(self));
        }
    }

    /// Counts the points that went through.
    pub fn processed(&self) -> u64 {
        self.processed.load(Ordering::Relaxed)
    }

    /// Says whether the task has failed.
    pub fn is_failed(&self) -> bool {
        self.is_failed.load(Ordering::Acquire)
    }

    /// Looks at the actor, between two turns.
    pub fn with_actor<T>(&self, look: impl FnOnce(&mut Actor) -> T) -> T {
        look(&mut self.lock().actor)
    }

    /// Works on what is queued, for a bounded time.
    pub(super) fn turn(self: &Arc<Self>) -> Turn {
        let began = self.clock.monotonic();
        let mut state = self.lock();
        // Whoever adds an input from here on schedules another turn.
        self.is_scheduled.store(false, Ordering::Release);
        let now = self.clock.now();
        let mut result = state.actor.advance(now);
        let mut is_more = false;
        while result.is_ok() {
            if self.clock.monotonic().saturating_sub(began) > TURN {
                is_more = true;
                break;
            }
            result = match state.pending.take() {
                Some((slice, range, at)) => self.points(&mut state, slice, range, at, began),
                None => match self.queue.take() {
                    Some(Input::Points(slice)) => self.points(&mut state, slice, 0, 0, began),
                    Some(other) => self.other(&mut state, other),
                    None => break,
                },
            };
        }
        if result.is_err() {
            drop(state);
            self.is_failed.store(true, Ordering::Release);
            self.queue.close();
            self.queue.clear();
            (self.failed)(self);
            return Turn::Failed;
        }
        let timer = state.actor.next_timer();
        if is_more { Turn::More } else { Turn::Idle(timer) }
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
            match &mut state.shard {
                None => state.actor.points(points)?,
                Some(shard) => {
                    for run in points.chunk_by(|one, other| one.series.id == other.series.id) {
                        if shard.takes(&run[0].series) {
                            state.actor.points(run)?;
                        }
                    }
                }
            }
            self.processed.fetch_add(points.len() as u64, Ordering::Relaxed);
            at += end - start;
            let now = self.clock.monotonic();
            state.stride = match now.saturating_sub(last) > STRIDE_SLOW {
                true => (state.stride / 8).max(1),
                false => (state.stride * 2).min(STRIDE_MAX),
            };
            last = now;
            if now.saturating_sub(began) > TURN {
                state.pending = Some((slice, range, at));
                return Ok(());
            }
        }
        Ok(())
    }

    fn other(&self, state: &mut State, input: Input) -> Step {
        match input {
            Input::Points(_) => Ok(()),
            Input::Batches { place, batches } => {
                batches.into_iter().try_for_each(|batch| self.batch(&mut state.actor, place, batch))
            }
            Input::Answer { place, token, answer } => state.actor.answer(place, token, answer),
            Input::QueryFailed { place, message, cause } => {
                state.actor.complain(place, &message, &cause);
                Ok(())
            }
        }
    }

    fn batch(&self, actor: &mut Actor, place: usize, batch: OwnedBatch) -> Step {
        let OwnedBatch { name, key, time, points } = batch;
        self.processed.fetch_add(points.len() as u64, Ordering::Relaxed);
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

    /// Says whether everything given so far has been worked on.
    pub fn is_drained(&self) -> bool {
        self.is_failed() || self.queue.is_empty() && self.lock().pending.is_none()
    }
}

impl Inbox for Arc<Cell> {
    fn push(&self, input: Input) -> bool {
        self.give(input)
    }

    fn is_open(&self) -> bool {
        self.queue.is_open()
    }
}

/// Hands an answer in for a task that may be gone.
pub fn answer(cell: &Weak<Cell>, place: usize, token: u64, answer: Answer) -> bool {
    cell.upgrade().is_some_and(|cell| cell.give(Input::Answer { place, token, answer }))
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

/// Points of a slice, for tests.
pub fn points_of(slice: &Slice) -> Vec<Point> {
    slice.runs().flatten().cloned().collect()
}
