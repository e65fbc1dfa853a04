//! What the side actors of a task share: where their results go, and how they end.
//!
//! A side actor does for a task what takes time: writes, requests, queries. It never holds the task up: what it takes in
//! is bounded and counted, what it gives comes back as input.

use std::future::Future;
use std::sync::{Arc, OnceLock, PoisonError, RwLock, RwLockReadGuard};
use std::time::Duration;

use levada_runtime::{Clock, TaskKind, Tasks};
use tokio::runtime::Handle;
use tokio::sync::watch;
use tokio::task::JoinHandle;

use super::input::{Inbox, Input};

/// What every side actor needs of the world; cheap to clone.
#[derive(Clone)]
pub struct SideDeps {
    /// Where results go.
    pub inbox: Arc<dyn Inbox>,
    /// The clock of the task.
    pub clock: Arc<dyn Clock>,
    /// Who spawns.
    pub tasks: Tasks,
    /// Where is spawned: tasks are started by threads that are not of it.
    pub runtime: Handle,
}

/// The inbox of a task that is still being made: side actors start with its nodes, its queue comes last.
///
/// - Keep what is set weak, or the task and its side actors keep each other.
#[derive(Default)]
pub struct LateInbox {
    inbox: OnceLock<Box<dyn Inbox>>,
    /// Nothing of its side actors is wanted any more. Held for reading while something is pushed, so that nothing comes
    /// after [`LateInbox::cut`].
    is_cut: RwLock<bool>,
}

/// Ends side actors: first they finish what they hold, then they give up.
#[derive(Clone, Debug)]
pub(crate) struct Closing(watch::Sender<Option<Duration>>);

// === impl SideDeps ===

impl SideDeps {
    /// Takes the current tokio runtime; panics where there is none.
    pub fn new(inbox: Arc<dyn Inbox>, clock: Arc<dyn Clock>, tasks: Tasks) -> Self {
        SideDeps { inbox, clock, tasks, runtime: Handle::current() }
    }

    pub(crate) fn spawn(
        &self,
        kind: TaskKind,
        name: &str,
        work: impl Future<Output = ()> + Send + 'static,
    ) -> JoinHandle<()> {
        let _inside = self.runtime.enter();
        self.tasks.spawn(kind, name, work)
    }
}

// === impl LateInbox ===

impl LateInbox {
    /// Makes an empty one.
    pub fn new() -> Arc<Self> {
        Arc::default()
    }

    /// Sets the inbox; a second call changes nothing.
    pub fn set(&self, inbox: Box<dyn Inbox>) {
        let _was_set = self.inbox.set(inbox).is_err();
    }

    /// Refuses everything from now on: the nodes that it was for are gone.
    pub(super) fn cut(&self) {
        *self.is_cut.write().unwrap_or_else(PoisonError::into_inner) = true;
    }

    fn is_cut(&self) -> RwLockReadGuard<'_, bool> {
        self.is_cut.read().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Inbox for LateInbox {
    fn push(&self, input: Input) -> bool {
        let is_cut = self.is_cut();
        !*is_cut && self.inbox.get().is_some_and(|inbox| inbox.push(input))
    }

    fn wake(&self) {
        let is_cut = self.is_cut();
        if !*is_cut && let Some(inbox) = self.inbox.get() {
            inbox.wake();
        }
    }

    /// One that is not set yet belongs to a task that is about to run.
    fn is_open(&self) -> bool {
        !*self.is_cut() && self.inbox.get().is_none_or(|inbox| inbox.is_open())
    }
}

// === impl Closing ===

impl Closing {
    pub(crate) fn new() -> Self {
        Closing(watch::Sender::new(None))
    }

    /// Starts the end; `until` is on the monotonic clock. A second call may only bring it nearer.
    pub(crate) fn close(&self, until: Duration) {
        self.0.send_modify(|known| *known = Some(known.map_or(until, |known| known.min(until))));
    }

    /// Says whether the end has started.
    pub(super) fn is_closing(&self) -> bool {
        self.0.borrow().is_some()
    }

    /// Waits until the end starts.
    pub(crate) async fn started(&self) {
        // The sender is ours, so the channel does not end.
        let _gone = self.0.subscribe().wait_for(Option::is_some).await.is_err();
    }

    /// Waits until the time to finish is over.
    pub(crate) async fn expired(&self, clock: &dyn Clock) {
        let mut known = self.0.subscribe();
        loop {
            let until = known.borrow_and_update().to_owned();
            match until {
                None => {
                    let _gone = known.changed().await.is_err();
                }
                Some(until) => {
                    let now = clock.monotonic();
                    if now >= until {
                        return;
                    }
                    tokio::select! {
                        () = clock.sleep(until - now) => {}
                        _ = known.changed() => {}
                    }
                }
            }
        }
    }
}

#[cfg(test)]
pub(crate) mod testing;
