//! Bounded edges between stages.
//!
//! An edge carries items that have a weight in records and bytes. It is full when either bound is
//! reached; one item always fits into an empty edge, so that nothing heavier than the bound blocks for
//! ever. A full edge makes the sender wait: that is the back-pressure.
//!
//! One short lock per item (a batch), never per record.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use tokio::sync::Notify;

/// What an edge may hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bounds {
    /// Records at most.
    pub records: u64,
    /// Bytes at most.
    pub bytes: u64,
}

/// Tells how heavy an item is.
pub trait Weigh {
    /// Gives records and bytes.
    fn weigh(&self) -> (u64, u64);
}

/// What an edge holds now and what passed it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct EdgeStats {
    /// Items waiting.
    pub items: u64,
    /// Records waiting.
    pub records: u64,
    /// Bytes waiting.
    pub bytes: u64,
    /// Records that were ever put in.
    pub records_in: u64,
    /// How often a sender had to wait.
    pub waits: u64,
}

/// The end that puts items in; cheap to clone. The edge closes when the last one is dropped.
pub struct EdgeSender<T: Weigh>(Arc<Shared<T>>);

/// The end that takes items out; cheap to clone, each item goes to one receiver.
pub struct EdgeReceiver<T: Weigh>(Arc<Shared<T>>);

/// Observes an edge without keeping it open.
pub struct EdgeWatch<T: Weigh>(Weak<Shared<T>>);

struct Shared<T> {
    state: Mutex<State<T>>,
    bounds: Bounds,
    not_full: Notify,
    not_empty: Notify,
}

struct State<T> {
    queue: VecDeque<T>,
    stats: EdgeStats,
    senders: usize,
    receivers: usize,
}

/// Makes an edge.
pub fn edge<T: Weigh>(bounds: Bounds) -> (EdgeSender<T>, EdgeReceiver<T>) {
    let state =
        State { queue: VecDeque::new(), stats: EdgeStats::default(), senders: 1, receivers: 1 };
    let shared = Arc::new(Shared {
        state: Mutex::new(state),
        bounds,
        not_full: Notify::new(),
        not_empty: Notify::new(),
    });
    (EdgeSender(shared.clone()), EdgeReceiver(shared))
}

impl<T> Shared<T> {
    fn lock(&self) -> MutexGuard<'_, State<T>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

// === impl EdgeSender ===

impl<T: Weigh> EdgeSender<T> {
    /// Puts an item in, waiting while the edge is full.
    ///
    /// Errors: every receiver is gone; the item comes back.
    pub async fn send(&self, item: T) -> Result<(), T> {
        let mut item = match self.try_put(item) {
            Ok(result) => return result,
            Err(item) => item,
        };
        self.0.lock().stats.waits += 1;
        loop {
            let notified = self.0.not_full.notified();
            tokio::pin!(notified);
            // Register before looking, so that a wake between the two is not missed.
            notified.as_mut().enable();
            item = match self.try_put(item) {
                Ok(result) => return result,
                Err(item) => item,
            };
            notified.await;
        }
    }

    /// `Ok`: put in, or closed (with the item). `Err`: full.
    fn try_put(&self, item: T) -> Result<Result<(), T>, T> {
        let (records, bytes) = item.weigh();
        let mut state = self.0.lock();
        if state.receivers == 0 {
            return Ok(Err(item));
        }
        let is_full = state.stats.records + records > self.0.bounds.records
            || state.stats.bytes + bytes > self.0.bounds.bytes;
        if is_full && !state.queue.is_empty() {
            return Err(item);
        }
        state.queue.push_back(item);
        state.stats.items += 1;
        state.stats.records += records;
        state.stats.records_in += records;
        state.stats.bytes += bytes;
        drop(state);
        self.0.not_empty.notify_one();
        Ok(Ok(()))
    }

    /// Gives what the edge holds.
    pub fn stats(&self) -> EdgeStats {
        self.0.lock().stats
    }

    /// Gives the bounds.
    pub fn bounds(&self) -> Bounds {
        self.0.bounds
    }
}

impl<T: Weigh> Clone for EdgeSender<T> {
    fn clone(&self) -> Self {
        self.0.lock().senders += 1;
        EdgeSender(self.0.clone())
    }
}

impl<T: Weigh> Drop for EdgeSender<T> {
    fn drop(&mut self) {
        let mut state = self.0.lock();
        state.senders -= 1;
        if state.senders == 0 {
            drop(state);
            self.0.not_empty.notify_waiters();
            self.0.not_empty.notify_one();
        }
    }
}

// === impl EdgeReceiver ===

impl<T: Weigh> EdgeReceiver<T> {
    /// Takes the next item, waiting while there is none; nothing when the edge is closed and empty.
    pub async fn recv(&self) -> Option<T> {
        loop {
            let notified = self.0.not_empty.notified();
            tokio::pin!(notified);
            notified.as_mut().enable();
            if let Some(result) = self.try_take() {
                return result;
            }
            notified.await;
        }
    }

    /// Takes the next item if there is one.
    pub fn try_recv(&self) -> Option<T> {
        self.try_take().flatten()
    }

    /// `Some(None)`: closed and empty. `None`: nothing there now.
    fn try_take(&self) -> Option<Option<T>> {
        let mut state = self.0.lock();
        let Some(item) = state.queue.pop_front() else {
            let is_closed = state.senders == 0;
            drop(state);
            if is_closed {
                // Other receivers wait for the same news.
                self.0.not_empty.notify_one();
                return Some(None);
            }
            return None;
        };
        let (records, bytes) = item.weigh();
        state.stats.items -= 1;
        state.stats.records = state.stats.records.saturating_sub(records);
        state.stats.bytes = state.stats.bytes.saturating_sub(bytes);
        let has_more = !state.queue.is_empty();
        drop(state);
        self.0.not_full.notify_waiters();
        if has_more {
            self.0.not_empty.notify_one();
        }
        Some(Some(item))
    }

    /// Gives what the edge holds.
    pub fn stats(&self) -> EdgeStats {
        self.0.lock().stats
    }

    /// Gives an observer that keeps neither end open.
    pub fn watch(&self) -> EdgeWatch<T> {
        EdgeWatch(Arc::downgrade(&self.0))
    }
}

impl<T: Weigh> EdgeWatch<T> {
    /// Gives how many records wait; none when the edge is gone.
    pub fn records(&self) -> u64 {
        self.0.upgrade().map_or(0, |shared| shared.lock().stats.records)
    }
}

impl<T: Weigh> Clone for EdgeWatch<T> {
    fn clone(&self) -> Self {
        EdgeWatch(self.0.clone())
    }
}

impl<T: Weigh> Clone for EdgeReceiver<T> {
    fn clone(&self) -> Self {
        self.0.lock().receivers += 1;
        EdgeReceiver(self.0.clone())
    }
}

impl<T: Weigh> Drop for EdgeReceiver<T> {
    fn drop(&mut self) {
        let mut state = self.0.lock();
        state.receivers -= 1;
        if state.receivers == 0 {
            state.queue.clear();
            state.stats.items = 0;
            state.stats.records = 0;
            state.stats.bytes = 0;
            drop(state);
            self.0.not_full.notify_waiters();
        }
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use super::*;
    use crate::{TaskKind, Tasks};

    #[derive(Debug, PartialEq)]
    struct Item(u64, u64);

    impl Weigh for Item {
        fn weigh(&self) -> (u64, u64) {
            (self.0, self.1)
        }
    }

    #[tokio::test]
    async fn a_full_edge_makes_the_sender_wait() {
        let (sender, receiver) = edge(Bounds { records: 10, bytes: 1000 });
        sender.send(Item(6, 1)).await.unwrap();
        let second = sender.clone();
        let waiting =
            Tasks::new().spawn(TaskKind::Sink, "t", async move { second.send(Item(5, 1)).await });
        while sender.stats().waits == 0 {
            tokio::task::yield_now().await;
        }
        assert_eq!(sender.stats().records, 6);
        assert_eq!(receiver.recv().await, Some(Item(6, 1)));
        waiting.await.unwrap().unwrap();
        assert_eq!(
            sender.stats(),
            EdgeStats { items: 1, records: 5, bytes: 1, records_in: 11, waits: 1 }
        );
    }

    #[tokio::test]
    async fn one_item_always_fits() {
        let (sender, receiver) = edge(Bounds { records: 1, bytes: 1 });
        sender.send(Item(100, 100)).await.unwrap();
        assert_eq!(receiver.try_recv(), Some(Item(100, 100)));
    }

    #[tokio::test]
    async fn closing_wakes_every_waiter() {
        let (sender, receiver) = edge::<Item>(Bounds { records: 1, bytes: 1 });
        let tasks = Tasks::new();
        let waiters: Vec<_> = (0..3)
            .map(|_| {
                let receiver = receiver.clone();
                tasks.spawn(TaskKind::Sink, "t", async move { receiver.recv().await })
            })
            .collect();
        tokio::task::yield_now().await;
        drop(sender);
        for waiter in waiters {
            assert_eq!(waiter.await.unwrap(), None);
        }
        let (sender, receiver) = edge(Bounds { records: 1, bytes: 1 });
        drop(receiver);
        assert_eq!(sender.send(Item(1, 1)).await, Err(Item(1, 1)));
    }
}
