//! The sender of one node: one request at a time, in the order of the chunks.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use levada_clients::ClientError;
use levada_clients::influxdb::{InfluxDb, dropped_points};
use levada_model::ErrorKind;
use levada_runtime::{Backoff, BackoffPolicy};
use tokio::sync::Notify;

use super::Shared;
use super::state::{Chunk, Due, Report};
use crate::effect::Answer;
use crate::engine::input::Input;
use crate::runtime::services::InfluxdbOut;

/// What is said of points that were not written when the task had to end.
const NO_TIME: &str = "the task was stopped before the points were written";

struct Sender {
    shared: Arc<Shared>,
    out: InfluxdbOut,
    client: Arc<dyn InfluxDb>,
    wake: Arc<Notify>,
}

/// How a wait ended.
enum Ended<T> {
    With(T),
    NoTime,
}

/// Sends what a node buffers until the task is stopped.
pub(super) async fn run(shared: Arc<Shared>, out: InfluxdbOut, client: Arc<dyn InfluxDb>) {
    let place = out.node.index;
    let Some(wake) = shared.with(place, |node| Arc::clone(&node.wake)) else { return };
    let sender = Sender { shared, out, client, wake };
    if sender.out.creates && !sender.out.database.is_empty() {
        sender.create().await;
    }
    sender.serve().await;
    // Who waited to the end is told everything.
    sender.report(true);
}

// === impl Sender ===

impl Sender {
    async fn serve(&self) {
        loop {
            let next_report = self.report(false);
            let closing = self.shared.closing.is_closing();
            let now = self.now();
            let due = self.shared.with(self.place(), |node| node.due(now, closing));
            match due {
                None | Some(Due::Done) => return,
                Some(Due::Wait(next)) => {
                    let next = [next, next_report].into_iter().flatten().min();
                    self.wait(next).await;
                }
                Some(Due::Send(chunk)) => {
                    if self.send(&chunk).await.is_none() {
                        self.shared.with(self.place(), |node| {
                            node.failed(&chunk, chunk.points as u64, NO_TIME);
                            node.give_up(NO_TIME);
                        });
                        return;
                    }
                }
            }
        }
    }

    /// Waits until the sender is woken, until a time, or until the end starts.
    async fn wait(&self, until: Option<Duration>) {
        let sleep = async {
            match until {
                Some(until) => self.sleep(until.saturating_sub(self.now())).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            () = self.wake.notified() => {}
            () = sleep => {}
            () = self.shared.closing.started() => {}
        }
    }

    /// Sends a chunk until the server has taken or refused it; `None` when time was over before.
    async fn send(&self, chunk: &Chunk) -> Option<()> {
        let mut backoff = Backoff::new(BackoffPolicy::default(), self.place() as u64 + 1);
        let mut may_create = self.out.creates;
        loop {
            let write = self.client.write(&chunk.to, chunk.lines.clone());
            let error = match self.in_time(self.attentively(write)).await {
                Ended::NoTime => return None,
                Ended::With(Ok(())) => {
                    self.shared.with(self.place(), |node| node.written(chunk));
                    return Some(());
                }
                Ended::With(Err(error)) => error,
            };
            if error.kind() == ErrorKind::NotFound && may_create {
                // It was not there at the start, or somebody dropped it.
                may_create = false;
                if let Ended::NoTime = self.in_time(self.create()).await {
                    return None;
                }
                continue;
            }
            if !error.is_transient() {
                self.refused(chunk, &error);
                return Some(());
            }
            if backoff.attempts() == 0 {
                let (task, node) = (&*self.out.task, &*self.out.node.name);
                tracing::warn!(
                    task,
                    node,
                    "failed to write points to InfluxDB, trying again: {error}"
                );
            }
            self.shared.with(self.place(), super::state::NodeState::retried);
            let delay = backoff.next_delay().unwrap_or(Duration::from_secs(1));
            let delay = delay.max(error.retry_after().unwrap_or_default());
            if let Ended::NoTime = self.in_time(self.attentively(self.sleep(delay))).await {
                return None;
            }
        }
    }

    /// Waits for something, and looks after reports of points that find no room meanwhile.
    async fn attentively<T>(&self, work: impl Future<Output = T>) -> T {
        tokio::pin!(work);
        loop {
            let next_report = self.report(false);
            let sleep = async {
                match next_report {
                    Some(next) => self.sleep(next.saturating_sub(self.now())).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                output = &mut work => return output,
                () = self.wake.notified() => {}
                () = sleep => {}
            }
        }
    }

    fn refused(&self, chunk: &Chunk, error: &ClientError) {
        let points = dropped_points(error).filter(|_| error.status() == Some(400));
        let points = points.unwrap_or(chunk.points as u64);
        self.shared.with(self.place(), |node| node.failed(chunk, points, &error.to_string()));
    }

    /// Creates the database; that it does not work is only logged, as upstream has it.
    async fn create(&self) {
        let (database, retention) = (&self.out.database, &self.out.retention);
        let create = self.client.create_database(database, retention);
        if let Ended::With(Err(error)) = self.in_time(create).await {
            let (task, node) = (&*self.out.task, &*self.out.node.name);
            tracing::warn!(task, node, database, "failed to create database: {error}");
        }
    }

    /// Tells the node of lost points; gives when there is more to tell.
    fn report(&self, everything: bool) -> Option<Duration> {
        let now = self.now();
        let (reports, next) =
            self.shared.with(self.place(), |node| node.reports(now, everything))?;
        for Report { points, cause } in reports {
            let (place, answer) = (self.place(), Answer::Failed(cause));
            let input = Input::Answer { place, token: points, answer };
            if !self.shared.deps.inbox.push(input) {
                let (task, node) = (&*self.out.task, &*self.out.node.name);
                tracing::warn!(task, node, points, "points were lost when the task was gone");
            }
        }
        next
    }

    /// Waits for something, but not beyond the time to finish.
    async fn in_time<T>(&self, work: impl Future<Output = T>) -> Ended<T> {
        tokio::select! {
            biased;
            output = work => Ended::With(output),
            () = self.shared.closing.expired(&*self.shared.deps.clock) => Ended::NoTime,
        }
    }

    async fn sleep(&self, duration: Duration) {
        self.shared.deps.clock.sleep(duration).await;
    }

    fn now(&self) -> Duration {
        self.shared.deps.clock.monotonic()
    }

    fn place(&self) -> usize {
        self.out.node.index
    }
}
