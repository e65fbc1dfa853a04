//! The queue and the worker of one handler.

use std::panic::AssertUnwindSafe;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use futures_util::FutureExt as _;
use levada_model::Str;
use levada_runtime::{Clock, TaskKind};
use thiserror::Error;
use tokio::sync::mpsc::{Receiver, Sender, channel};
use tokio::sync::watch;
use tokio::task::AbortHandle;

use super::TopicsDeps;
use super::outbox::{Offer, Outbox, Outboxes};
use super::room::{Load, Place, Room};
use crate::event::Event;

/// The key of what happened, in the context of an error that says what was tried.
const REASON: &str = "error";

/// Does something with events.
#[async_trait]
pub trait Handler: Send + Sync + 'static {
    /// Deals with one event; the next one waits.
    ///
    /// An error is logged and counted, and the event is lost to this handler.
    async fn handle(&self, event: &Event) -> Result<(), HandlerError>;

    /// Gives how many events it takes at once, at most; they are of different event IDs.
    fn events_max(&self) -> usize {
        1
    }

    /// Deals with some events, in their order: after an error all of them count as not dealt with.
    async fn handle_all(&self, events: &[&Event]) -> Result<(), HandlerError> {
        for event in events {
            self.handle(event).await?;
        }
        Ok(())
    }

    /// Gives how often [`tick`](Handler::tick) is called; nothing for never.
    fn interval(&self) -> Option<Duration> {
        None
    }

    /// Is called once per interval between events, and once after the last event.
    async fn tick(&self) -> Result<(), HandlerError> {
        Ok(())
    }
}

/// Says which events a handler gets; the `match` expression of a handler definition.
///
/// An error is logged, and the event is not delivered.
pub trait Matcher: Send + Sync + 'static {
    /// Says whether the handler gets the event.
    fn is_match(&self, event: &Event) -> Result<bool, HandlerError>;
}

/// Why an event was not dealt with.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
#[error("{message}")]
pub struct HandlerError {
    /// What happened, as upstream logs it.
    pub message: String,
    /// More to know, such as what a program printed or a server answered.
    pub context: Vec<(&'static str, String)>,
    /// How long the receiver asks to be left alone.
    pub retry_after: Option<Duration>,
    /// Trying the same event again cannot help.
    pub is_final: bool,
}

/// A handler of a topic.
#[derive(Clone)]
pub struct HandlerSetup {
    /// Its ID within the topic.
    pub id: Str,
    /// What deals with events.
    pub handler: Arc<dyn Handler>,
    /// Which events it gets; all of them without.
    pub matcher: Option<Arc<dyn Matcher>>,
    /// It gets events only whose level differs from the one the topic knew before.
    ///
    /// Differs: U-35; what a service asks for with `state-changes-only` concerns its own handler, not the whole alert.
    pub is_state_changes_only: bool,
}

/// The numbers of a handler.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct HandlerStats {
    /// Events that were dealt with.
    pub handled: u64,
    /// Events that its `match` expression did not want.
    pub unmatched: u64,
    /// Events that it, or its `match` expression, failed on.
    pub failed: u64,
    /// Events lost because its queue was full.
    pub dropped: u64,
    /// Events that wait.
    pub queued: usize,
}

#[derive(Debug, Default)]
struct Counters {
    handled: AtomicU64,
    unmatched: AtomicU64,
    failed: AtomicU64,
    dropped: AtomicU64,
    /// Taken from the queue or lost: what is missing to the number of events accepted still waits.
    accepted: AtomicU64,
    finished: AtomicU64,
    room: Room,
}

/// What a topic holds of a handler.
pub(super) struct Binding {
    pub(super) id: Str,
    lane: Lane,
}

/// How events get to a handler.
#[derive(Clone)]
pub(super) enum Lane {
    /// Through a queue that is lost with the process.
    Queue(Sender<Arc<Event>>, Running),
    /// Through an outbox that is stored.
    Outbox(Arc<Outbox>),
}

#[derive(Clone, Debug)]
pub(super) struct Running {
    task: AbortHandle,
    ended: watch::Receiver<bool>,
    counters: Arc<Counters>,
}

/// The worker of a handler that was taken away: it deals with what is queued, then ends.
#[derive(Clone)]
pub struct Worker(Ending);

#[derive(Clone)]
enum Ending {
    Queue(Running),
    Outbox(Arc<Outbox>),
    Gone,
}

// === impl HandlerSetup ===

impl HandlerSetup {
    /// Makes a handler that gets every event.
    pub fn new(id: impl Into<Str>, handler: Arc<dyn Handler>) -> Self {
        HandlerSetup { id: id.into(), handler, matcher: None, is_state_changes_only: false }
    }
}

// === impl HandlerError ===

impl HandlerError {
    /// Makes an error without more to know.
    pub fn new(message: impl Into<String>) -> Self {
        HandlerError {
            message: message.into(),
            context: Vec::new(),
            retry_after: None,
            is_final: false,
        }
    }

    /// Says what was tried; what happened becomes the `error` of the context.
    pub fn during(mut self, attempt: impl Into<String>) -> Self {
        let reason = std::mem::replace(&mut self.message, attempt.into());
        self.context.push((REASON, reason));
        self
    }

    /// Gives what happened, without what was tried.
    pub fn reason(&self) -> &str {
        let reason = self.context.iter().find(|(key, _)| *key == REASON);
        reason.map_or(&self.message, |(_, reason)| reason)
    }

    /// Says that trying the same event again cannot help.
    pub fn finally(self) -> Self {
        HandlerError { is_final: true, ..self }
    }

    /// Says how long the receiver asks to be left alone.
    pub fn after(self, retry_after: Option<Duration>) -> Self {
        HandlerError { retry_after, ..self }
    }

    /// Adds something to know.
    pub fn with(mut self, key: &'static str, value: impl Into<String>) -> Self {
        self.context.push((key, value.into()));
        self
    }
}

// === impl Worker ===

impl Worker {
    /// Waits until everything queued was dealt with.
    pub async fn drained(&self) {
        match &self.0 {
            Ending::Queue(running) => {
                let mut ended = running.ended.clone();
                // An error means that the worker is gone: aborted, or done before anybody looked.
                let _gone = ended.wait_for(|is_ended| *is_ended).await.is_err();
            }
            Ending::Outbox(outbox) => outbox.ended().await,
            Ending::Gone => {}
        }
    }

    /// Ends it now; gives how many events were lost by that. What waits in an outbox is none of them.
    pub fn abandon(&self) -> u64 {
        match &self.0 {
            Ending::Queue(running) => {
                running.task.abort();
                let accepted = running.counters.accepted.load(Ordering::Acquire);
                accepted.saturating_sub(running.counters.finished.load(Ordering::Acquire))
            }
            Ending::Outbox(outbox) => {
                outbox.abort();
                0
            }
            Ending::Gone => 0,
        }
    }
}

impl std::fmt::Debug for Worker {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match &self.0 {
            Ending::Queue(_) => "Worker(queue)",
            Ending::Outbox(_) => "Worker(outbox)",
            Ending::Gone => "Worker(gone)",
        })
    }
}

// === impl Binding ===

impl Binding {
    /// Starts the worker of a handler.
    pub(super) fn start(
        topic: &Str,
        setup: HandlerSetup,
        buffer_length: usize,
        deps: &TopicsDeps,
        outboxes: Option<&Outboxes>,
    ) -> Self {
        let id = setup.id.clone();
        if let Some(outboxes) = outboxes {
            return Binding { id, lane: Lane::Outbox(outboxes.attach(topic, setup, deps)) };
        }
        let (queue, events) = channel(buffer_length.max(1));
        let counters = Arc::new(Counters::default());
        let (end, ended) = watch::channel(false);
        let name = format!("handler {id} of topic {topic}");
        let clock = Arc::clone(&deps.clock);
        let run = run(topic.clone(), setup, events, Arc::clone(&counters), clock);
        let entered = deps.runtime.enter();
        let task = deps.tasks.spawn(TaskKind::Alert, &name, async move {
            run.await;
            end.send_replace(true);
        });
        drop(entered);
        let running = Running { task: task.abort_handle(), ended, counters };
        Binding { id, lane: Lane::Queue(queue, running) }
    }

    /// Gives how events get to it.
    pub(super) fn lane(&self) -> &Lane {
        &self.lane
    }

    /// Queues an event.
    pub(super) fn offer(&self, event: &Arc<Event>) -> Offer {
        let (queue, counters) = match &self.lane {
            Lane::Queue(queue, running) => (queue, &running.counters),
            Lane::Outbox(outbox) => return outbox.offer(event),
        };
        // Counted before, so that the worker never finishes more than was accepted.
        counters.accepted.fetch_add(1, Ordering::AcqRel);
        if queue.try_send(Arc::clone(event)).is_ok() {
            return Offer::Queued;
        }
        counters.accepted.fetch_sub(1, Ordering::AcqRel);
        counters.dropped.fetch_add(1, Ordering::Relaxed);
        Offer::Lost
    }

    pub(super) fn status(&self) -> (Str, HandlerStats) {
        let (queue, counters) = match &self.lane {
            Lane::Queue(queue, running) => (queue, &running.counters),
            Lane::Outbox(outbox) => return (self.id.clone(), outbox.handler_stats()),
        };
        let stats = HandlerStats {
            handled: counters.handled.load(Ordering::Relaxed),
            unmatched: counters.unmatched.load(Ordering::Relaxed),
            failed: counters.failed.load(Ordering::Relaxed),
            dropped: counters.dropped.load(Ordering::Relaxed),
            queued: queue.max_capacity() - queue.capacity(),
        };
        (self.id.clone(), stats)
    }

    /// Lets go of a handler whose outbox another one has by now.
    pub(super) fn replaced(self) -> Worker {
        Worker(match self.lane {
            Lane::Queue(_queue, running) => Ending::Queue(running),
            Lane::Outbox(_) => Ending::Gone,
        })
    }

    /// Lets go of the handler: it ends after what it has queued. With `is_removed` nothing that fails is tried again.
    pub(super) fn end(self, is_removed: bool) -> Worker {
        Worker(match self.lane {
            Lane::Queue(_queue, running) => Ending::Queue(running),
            Lane::Outbox(outbox) => {
                outbox.detach(is_removed);
                Ending::Outbox(outbox)
            }
        })
    }
}

// === impl Lane ===

impl Place for Lane {
    fn load(&self) -> Option<Load> {
        match self {
            Lane::Queue(queue, running) => {
                let most = queue.max_capacity();
                let moved = running.counters.finished.load(Ordering::Relaxed);
                Some(Load { used: most - queue.capacity(), most, moved })
            }
            Lane::Outbox(outbox) => outbox.load(),
        }
    }

    fn room(&self) -> &Room {
        match self {
            Lane::Queue(_, running) => &running.counters.room,
            Lane::Outbox(outbox) => outbox.room(),
        }
    }

    fn tell_slow(&self) {
        match self {
            Lane::Queue(..) => tracing::warn!("a handler is too slow for its events"),
            Lane::Outbox(outbox) => outbox.tell_slow(),
        }
    }
}

async fn run(
    topic: Str,
    setup: HandlerSetup,
    mut events: Receiver<Arc<Event>>,
    counters: Arc<Counters>,
    clock: Arc<dyn Clock>,
) {
    let interval = setup.handler.interval();
    let mut next_tick = wait(&*clock, interval);
    loop {
        let event = tokio::select! {
            // A tick that is due goes first, however many events wait.
            biased;
            () = &mut next_tick => {
                tick(&topic, &setup).await;
                next_tick = wait(&*clock, interval);
                continue;
            }
            event = events.recv() => event,
        };
        let Some(event) = event else { break };
        // A handler that panics loses this event and deals with the next one.
        let outcome = AssertUnwindSafe(deliver(&setup, &event)).catch_unwind().await;
        let outcome = outcome.unwrap_or_else(|_| Err(HandlerError::new("handler panicked")));
        match outcome {
            Ok(true) => counters.handled.fetch_add(1, Ordering::Relaxed),
            Ok(false) => counters.unmatched.fetch_add(1, Ordering::Relaxed),
            Err(error) => {
                log(&topic, &setup, &event.id, &error);
                counters.failed.fetch_add(1, Ordering::Relaxed)
            }
        };
        counters.finished.fetch_add(1, Ordering::AcqRel);
    }
    if interval.is_some() {
        tick(&topic, &setup).await;
    }
}

/// Waits for the next tick; forever where there is none.
fn wait(clock: &dyn Clock, interval: Option<Duration>) -> Pin<Box<dyn Future<Output = ()> + Send>> {
    match interval {
        Some(interval) => clock.sleep(interval),
        None => Box::pin(std::future::pending()),
    }
}

async fn tick(topic: &Str, setup: &HandlerSetup) {
    let outcome = AssertUnwindSafe(setup.handler.tick()).catch_unwind().await;
    let outcome = outcome.unwrap_or_else(|_| Err(HandlerError::new("handler panicked")));
    if let Err(error) = outcome {
        log(topic, setup, "", &error);
    }
}

fn log(topic: &str, setup: &HandlerSetup, event: &str, error: &HandlerError) {
    let (handler, context) = (&setup.id, &error.context);
    tracing::error!(topic, %handler, event, %error, ?context, "failed to handle event");
}

async fn deliver(setup: &HandlerSetup, event: &Event) -> Result<bool, HandlerError> {
    if setup.is_state_changes_only && event.level == event.previous_level {
        return Ok(false);
    }
    if let Some(matcher) = &setup.matcher
        && !matcher.is_match(event)?
    {
        return Ok(false);
    }
    setup.handler.handle(event).await?;
    Ok(true)
}
