//! Turns: no more than so many replays run at a time, in the order in which they were asked for.

use std::future::poll_fn;
use std::pin::Pin;
use std::sync::Arc;
use std::task::Poll;

use tokio::sync::{AcquireError, OwnedSemaphorePermit, Semaphore};
use tokio::task::coop::unconstrained;

/// Turns of those that may run at a time.
pub(super) struct Turns(Arc<Semaphore>);

/// A place in the line; whoever drops it gives it up.
pub(super) struct Waiting(Pin<Box<dyn Future<Output = Taken> + Send>>);

/// A turn; it ends when this is dropped.
pub(super) type Turn = OwnedSemaphorePermit;

type Taken = Result<Turn, AcquireError>;

// === impl Turns ===

impl Turns {
    /// Gives turns to `max` at a time.
    pub(super) fn new(max: usize) -> Self {
        Turns(Arc::new(Semaphore::new(max)))
    }

    /// Takes the last place in the line.
    pub(super) async fn line_up(&self) -> Waiting {
        // Without a limit on polls, which could put off this one.
        let mut turn = Box::pin(unconstrained(Arc::clone(&self.0).acquire_owned()));
        // A semaphore knows who waits from the first poll on, and tasks are not polled in the order in which they begin.
        let first = poll_fn(|context| Poll::Ready(turn.as_mut().poll(context))).await;
        match first {
            Poll::Ready(taken) => Waiting(Box::pin(std::future::ready(taken))),
            Poll::Pending => Waiting(turn),
        }
    }
}

// === impl Waiting ===

impl Waiting {
    /// Waits until it is the first.
    pub(super) async fn turn(self) -> Taken {
        self.0.await
    }
}
