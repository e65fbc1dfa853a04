//! What waits between a node and its function.
//!
//! The node is on the thread that runs its task, the conversation on the I/O threads; neither waits for the other here,
//! except for a node that ends.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use levada_codec::udf::Request;
use levada_model::{GroupKey, Point, Str};
use tokio::sync::Notify;

use super::UdfLimits;
use crate::engine::{Inbox, OwnedBatch};

/// What a function gave.
#[derive(Clone, Debug)]
pub enum Given {
    /// A point, and its group.
    Point(Point, GroupKey),
    /// A batch.
    Batch(OwnedBatch),
}

/// How a wait ended.
#[derive(Clone, Debug)]
pub enum Waited {
    /// The function gave something.
    Given(Given),
    /// There is no more to come.
    Done,
    /// Time is up.
    InVain,
}

/// How a conversation ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum End {
    /// Its input was closed, and it has given all there was.
    Finished,
    /// It cannot go on.
    Failed(Str),
}

/// What is next on the way to a function.
#[derive(Debug)]
pub(super) enum Next {
    /// Messages.
    Frames(Vec<u8>),
    /// A message whose answer must come before more is sent.
    Asked(Vec<u8>),
    /// There is nothing more, ever.
    Over,
}

/// What one node and its function did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct UdfStatistics {
    /// Points on their way to the function.
    pub queued: u64,
    /// Points that found the queue full.
    pub dropped: u64,
    /// Messages that were larger than they may be.
    pub too_large: u64,
    /// States that it gave.
    pub snapshots: u64,
}

/// What waits between a node and its function, both ways.
pub struct Link {
    limits: UdfLimits,
    inbox: Arc<dyn Inbox>,
    state: Mutex<State>,
    /// Something was given, or the end has come; for a node that ends.
    given: Condvar,
    /// There is something to say to the function.
    to_say: Notify,
    /// Something was taken.
    taken: Notify,
}

#[derive(Default)]
struct State {
    outgoing: VecDeque<Packet>,
    /// Of `outgoing`.
    out_points: usize,
    out_bytes: usize,
    /// The task waits for room.
    is_task_waiting: bool,
    /// Nothing follows what is in `outgoing`.
    is_over: bool,
    /// With the bytes that each came in.
    incoming: VecDeque<(Given, usize)>,
    /// Of `incoming`.
    in_points: usize,
    in_bytes: usize,
    end: Option<End>,
    snapshot: Option<Arc<[u8]>>,
    /// States that were asked for, and that were given.
    asked: u64,
    answered: u64,
    /// The function is to be asked whether it lives, with this time.
    keepalive: Option<i64>,
    dropped: u64,
    too_large: u64,
}

struct Packet {
    frames: Vec<u8>,
    points: usize,
    is_question: bool,
}

/// What more than the bounds is taken: a task looks at them between two runs of points only.
const SLACK: usize = 2;
/// Bytes of small messages that are sent at once.
const RUN_BYTES: usize = 64 << 10;
/// How long a node that ends waits before it looks again whether somebody is in a hurry.
const LOOK: Duration = Duration::from_millis(5);
/// What a wait that was cut short counts, and what an item counts.
const WOKEN: Duration = Duration::from_micros(100);
const ITEM: Duration = Duration::from_micros(1);

// === impl Link ===

impl Link {
    pub(super) fn new(limits: UdfLimits, inbox: Arc<dyn Inbox>) -> Self {
        Link {
            limits,
            inbox,
            state: Mutex::default(),
            given: Condvar::new(),
            to_say: Notify::new(),
            taken: Notify::new(),
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    // --- the side of the node ---

    /// Hands messages with so many points over; never waits.
    ///
    /// - Errors: too many wait already, which is counted.
    pub fn send(&self, frames: Vec<u8>, points: usize) -> Result<(), Str> {
        let mut state = self.lock();
        let UdfLimits { queue_points, queue_bytes, .. } = self.limits;
        let is_full = !state.outgoing.is_empty()
            && (state.out_points.saturating_add(points) > queue_points.saturating_mul(SLACK)
                || state.out_bytes.saturating_add(frames.len())
                    > queue_bytes.saturating_mul(SLACK));
        if is_full || state.is_over || state.end.is_some() {
            state.dropped += points as u64;
            return Err(match is_full {
                true => format!("{} points wait for it already", state.out_points).into(),
                false => "it takes nothing any more".into(),
            });
        }
        state.push(Packet { frames, points, is_question: false });
        drop(state);
        self.to_say.notify_one();
        Ok(())
    }

    /// Hands a message over that nothing is sent behind before it was answered.
    pub fn ask(&self, request: &Request) {
        let mut frames = Vec::new();
        request.append(&mut frames);
        self.lock().push(Packet { frames, points: 0, is_question: true });
        self.to_say.notify_one();
    }

    /// Says whether the task is to wait until the function has taken more; it is woken then.
    pub fn is_congested(&self) -> bool {
        let mut state = self.lock();
        let is_full = state.out_points >= self.limits.queue_points
            || state.out_bytes >= self.limits.queue_bytes;
        let is_congested = is_full && state.end.is_none() && !state.is_over;
        state.is_task_waiting |= is_congested;
        is_congested
    }

    /// Takes what the function gave first.
    ///
    /// - Errors: why it cannot go on; after everything that it gave before.
    pub fn take(&self) -> Result<Option<Given>, Str> {
        let mut state = self.lock();
        match state.incoming.pop_front() {
            Some((given, bytes)) => {
                state.in_points -= given.points().min(state.in_points);
                state.in_bytes -= bytes.min(state.in_bytes);
                drop(state);
                self.taken.notify_one();
                Ok(Some(given))
            }
            None => match &state.end {
                Some(End::Failed(text)) => Err(Str::clone(text)),
                _ => Ok(None),
            },
        }
    }

    /// Gives the newest state of the function; nothing when it has none.
    pub fn snapshot(&self) -> Option<Arc<[u8]>> {
        self.lock().snapshot.clone()
    }

    /// Gives the function its state back; it is its state until it gives another.
    pub fn restore(&self, snapshot: Arc<[u8]>) {
        self.ask(&Request::Restore { snapshot: snapshot.to_vec() });
        self.lock().snapshot = Some(snapshot);
    }

    /// Asks for the state of the function, behind everything that waits.
    pub fn ask_snapshot(&self) {
        let mut state = self.lock();
        // One question waits for its answer at a time: a function that hangs is not asked over and over.
        if state.asked > state.answered || state.is_over || state.end.is_some() {
            return;
        }
        state.ask_snapshot();
        drop(state);
        self.to_say.notify_one();
    }

    /// Says whether all questions for the state are answered.
    pub fn has_answered(&self) -> bool {
        let state = self.lock();
        state.answered >= state.asked || state.end.is_some()
    }

    /// Says that nothing follows.
    pub fn close(&self) {
        self.lock().is_over = true;
        self.to_say.notify_one();
    }

    /// Waits for what the function gives, or for the end of the wait.
    ///
    /// - It is done when it has ended; with `for_snapshot` when it has given its state.
    /// - For the end of a node only: nothing else of the task goes on meanwhile.
    /// - Errors: why it cannot go on.
    pub fn wait(&self, patience: &Patience, for_snapshot: bool) -> Result<Waited, Str> {
        loop {
            if patience.is_over() {
                return Ok(Waited::InVain);
            }
            if let Some(given) = self.take()? {
                // One that never stops giving must not hold the end up for ever.
                patience.take(ITEM);
                return Ok(Waited::Given(given));
            }
            let state = self.lock();
            if !state.incoming.is_empty() {
                continue;
            }
            let is_done = state.end.is_some() || for_snapshot && state.answered >= state.asked;
            if is_done {
                return match &state.end {
                    Some(End::Failed(text)) => Err(Str::clone(text)),
                    _ => Ok(Waited::Done),
                };
            }
            // In steps of real time: a clock of a test may stand still.
            let woken = self.given.wait_timeout(state, LOOK);
            let (state, waited) = woken.unwrap_or_else(PoisonError::into_inner);
            drop(state);
            patience.take(if waited.timed_out() { LOOK } else { WOKEN });
        }
    }

    /// Asks for the state of the function for the last time.
    pub fn ask_last_snapshot(&self) {
        let mut state = self.lock();
        if state.is_over || state.end.is_some() {
            return;
        }
        // A question under way may be answered without what was sent after it.
        state.ask_snapshot();
        drop(state);
        self.to_say.notify_one();
    }

    /// Gives what happened.
    pub fn statistics(&self) -> UdfStatistics {
        let state = self.lock();
        UdfStatistics {
            queued: state.out_points as u64,
            dropped: state.dropped,
            too_large: state.too_large,
            snapshots: state.answered,
        }
    }

    // --- the side of the conversation ---

    /// Waits for what is next to be said.
    pub(super) async fn next(&self) -> Next {
        loop {
            if let Some(next) = self.try_next() {
                return next;
            }
            self.to_say.notified().await;
        }
    }

    fn try_next(&self) -> Option<Next> {
        let mut state = self.lock();
        let mut frames = Vec::new();
        if let Some(time) = state.keepalive.take() {
            Request::Keepalive { time }.append(&mut frames);
        }
        while frames.len() < RUN_BYTES {
            let Some(packet) = state.outgoing.front() else { break };
            if packet.is_question && !frames.is_empty() {
                break;
            }
            let Some(packet) = state.outgoing.pop_front() else { break };
            state.out_points -= packet.points.min(state.out_points);
            state.out_bytes -= packet.frames.len().min(state.out_bytes);
            if packet.is_question {
                return Some(Next::Asked(packet.frames));
            }
            match frames.is_empty() {
                true => frames = packet.frames,
                false => frames.extend_from_slice(&packet.frames),
            }
        }
        let has_room = state.out_points <= self.limits.queue_points / 2
            && state.out_bytes <= self.limits.queue_bytes / 2;
        let wakes = has_room && std::mem::take(&mut state.is_task_waiting);
        let is_over = state.is_over && state.outgoing.is_empty();
        drop(state);
        if wakes {
            self.inbox.wake();
        }
        match frames.is_empty() {
            false => Some(Next::Frames(frames)),
            true => is_over.then_some(Next::Over),
        }
    }

    /// Waits for the question whether the function lives, and for nothing else.
    pub(super) async fn next_alive(&self) -> Vec<u8> {
        loop {
            if let Some(time) = self.lock().keepalive.take() {
                let mut frames = Vec::new();
                Request::Keepalive { time }.append(&mut frames);
                return frames;
            }
            self.to_say.notified().await;
        }
    }

    /// Says that the function is to be asked whether it lives.
    pub(super) fn ask_alive(&self, time: i64) {
        self.lock().keepalive = Some(time);
        self.to_say.notify_one();
    }

    /// Says whether nothing follows what waits.
    pub(super) fn is_over(&self) -> bool {
        self.lock().is_over
    }

    /// Hands over what the function gave; waits for room before.
    pub(super) async fn give(&self, given: Given, bytes: usize, is_held: &AtomicBool) {
        let points = given.points();
        loop {
            {
                let mut state = self.lock();
                let has_room = state.incoming.is_empty()
                    || state.in_points.saturating_add(points) <= self.limits.queue_points
                        && state.in_bytes.saturating_add(bytes) <= self.limits.queue_bytes;
                if has_room {
                    let wakes = state.incoming.is_empty();
                    state.in_points += points;
                    state.in_bytes += bytes;
                    state.incoming.push_back((given, bytes));
                    drop(state);
                    self.given.notify_all();
                    if wakes {
                        self.inbox.wake();
                    }
                    break;
                }
            }
            is_held.store(true, Ordering::Release);
            self.taken.notified().await;
        }
        is_held.store(false, Ordering::Release);
    }

    /// Takes the state that the function gave.
    pub(super) fn answer_snapshot(&self, snapshot: Vec<u8>) {
        let mut state = self.lock();
        state.answered += 1;
        // One without a state says so with nothing.
        state.snapshot = (!snapshot.is_empty()).then(|| snapshot.into());
        drop(state);
        self.given.notify_all();
    }

    pub(super) fn count_too_large(&self) {
        self.lock().too_large += 1;
    }

    /// Ends the conversation; a second end changes nothing.
    pub(super) fn end(&self, end: End) {
        let mut state = self.lock();
        state.end.get_or_insert(end);
        // Nobody will say it.
        let unsaid = state.out_points as u64;
        state.dropped += unsaid;
        state.outgoing.clear();
        (state.out_points, state.out_bytes) = (0, 0);
        drop(state);
        self.given.notify_all();
        self.inbox.wake();
    }
}

// === impl State ===

impl State {
    fn push(&mut self, packet: Packet) {
        self.out_points += packet.points;
        self.out_bytes += packet.frames.len();
        self.outgoing.push_back(packet);
    }

    fn ask_snapshot(&mut self) {
        let mut frames = Vec::new();
        Request::Snapshot.append(&mut frames);
        self.push(Packet { frames, points: 0, is_question: false });
        self.asked += 1;
    }
}

// === impl Given ===

impl Given {
    /// Counts the points; a batch without any counts as one.
    fn points(&self) -> usize {
        match self {
            Given::Point(..) => 1,
            Given::Batch(batch) => batch.points.len().max(1),
        }
    }
}

/// How long a node that ends may wait, all nodes of the task together; cheap to clone.
#[derive(Clone, Debug)]
pub struct Patience {
    left: Arc<Mutex<Duration>>,
    /// Somebody does not want to wait any longer.
    hurry: Arc<AtomicBool>,
}

// === impl Patience ===

impl Patience {
    /// Takes so much time, or less when `hurry` is set meanwhile.
    pub fn new(time: Duration, hurry: Arc<AtomicBool>) -> Self {
        Patience { left: Arc::new(Mutex::new(time)), hurry }
    }

    fn take(&self, part: Duration) {
        let mut left = self.left.lock().unwrap_or_else(PoisonError::into_inner);
        *left = left.saturating_sub(part);
    }

    fn is_over(&self) -> bool {
        let left = self.left.lock().unwrap_or_else(PoisonError::into_inner);
        left.is_zero() || self.hurry.load(Ordering::Acquire)
    }
}

impl Default for Patience {
    /// As long as a shutdown may take. Source: kapacitor: the limit of a shutdown.
    fn default() -> Self {
        Patience::new(Duration::from_secs(30), Arc::default())
    }
}
