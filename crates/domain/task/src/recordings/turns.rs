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
type Turn = OwnedSemaphorePermit;

type Taken = Result<Turn, AcquireError>;

// === impl Turns ===

impl Turns {
    /// Gives turns to `max` at a time.
    pub(super) fn new(max: usize) -> Self {
        Turns(Arc::new(Semaphore::new(max)))
    }

    /// Takes the last place in the line.
    pub(super) async fn line_up(&self) -> Waiting {
        // A semaphore knows who waits from the first poll on, and tasks are not polled in the order in which they begin. No
        // budget may put off that poll.
        let mut turn = Box::pin(unconstrained(Arc::clone(&self.0).acquire_owned()));
        let first = poll_fn(|context| Poll::Ready(turn.as_mut().poll(context))).await;
        match first {
            Poll::Ready(taken) => Waiting(Box::pin(std::future::ready(taken))),
            Poll::Pending => Waiting(turn),
        }
    }
}

// === impl Waiting ===

impl Waiting {
    /// Waits for the turn.
    pub(super) async fn turn(self) -> Taken {
        self.0.await
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use super::*;

    async fn is_ready(turn: &mut Pin<Box<impl Future<Output = Taken>>>) -> bool {
        poll_fn(|context| Poll::Ready(turn.as_mut().poll(context).is_ready())).await
    }

    #[tokio::test]
    async fn turns_come_in_order_whoever_asks_first_for_the_news() {
        let turns = Turns::new(1);
        let first = turns.line_up().await.turn().await.unwrap();
        let [second, third, fourth] =
            [turns.line_up().await, turns.line_up().await, turns.line_up().await];
        let (mut third, mut fourth) = (Box::pin(third.turn()), Box::pin(fourth.turn()));
        assert!(!is_ready(&mut fourth).await && !is_ready(&mut third).await);
        drop(first);
        assert!(!is_ready(&mut fourth).await && !is_ready(&mut third).await, "it is the second's");
        drop(second);
        assert!(!is_ready(&mut fourth).await, "the third is before it");
        drop(third.await.unwrap());
        drop(fourth.await.unwrap());
    }
}
