//! The one way to start work that goes on by itself.

use std::future::Future;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::task::{AbortHandle, JoinHandle};

/// What a task does; for counts and for the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TaskKind {
    /// Reads a source.
    Source,
    /// Transforms batches; a thread of its own.
    Transform,
    /// Writes a sink.
    Sink,
    /// Stores positions.
    Commit,
    /// Serves HTTP.
    Http,
    /// Helps one connector.
    Connector,
    /// Delivers alert events.
    Alert,
    /// Keeps and delivers points of the gateway.
    Gateway,
    /// Runs the tasks of the point engine, or what they do outside.
    Task,
    /// Keeps documents.
    Store,
    /// Shows progress.
    Progress,
}

/// Spawns tasks and knows which still run; cheap to clone.
#[derive(Clone, Debug, Default)]
pub struct Tasks {
    running: Arc<Mutex<Running>>,
}

#[derive(Debug, Default)]
struct Running {
    list: Vec<(TaskKind, String, AbortHandle)>,
    /// When there are so many, those that ended are taken out: looking at hundreds whenever one more is started costs more
    /// than starting it.
    look_at: usize,
}

/// So few are never looked through.
const FEW: usize = 64;

impl Tasks {
    /// Makes an empty set.
    pub fn new() -> Self {
        Self::default()
    }

    /// Starts a task on the current tokio runtime.
    #[expect(clippy::disallowed_methods, reason = "the one place that spawns")]
    pub fn spawn<F>(&self, kind: TaskKind, name: &str, future: F) -> JoinHandle<F::Output>
    where
        F: Future + Send + 'static,
        F::Output: Send + 'static,
    {
        let handle = tokio::spawn(future);
        self.register(kind, name, handle.abort_handle());
        handle
    }

    /// Runs blocking or CPU-heavy work on a thread of its own; a panic there shows as an error of the handle.
    #[expect(clippy::disallowed_methods, reason = "the one place that spawns")]
    pub fn spawn_thread<T, F>(&self, kind: TaskKind, name: &str, work: F) -> JoinHandle<T>
    where
        F: FnOnce() -> T + Send + 'static,
        T: Send + 'static,
    {
        let handle = tokio::task::spawn_blocking(work);
        self.register(kind, name, handle.abort_handle());
        handle
    }

    /// Gives kind and name of every task that still runs.
    pub fn running(&self) -> Vec<(TaskKind, String)> {
        let running = self.running.lock().unwrap_or_else(PoisonError::into_inner);
        running
            .list
            .iter()
            .filter(|(_, _, handle)| !handle.is_finished())
            .map(|(kind, name, _)| (*kind, name.clone()))
            .collect()
    }

    /// Aborts every task that still runs; threads finish by themselves.
    pub fn abort_all(&self) {
        let running = self.running.lock().unwrap_or_else(PoisonError::into_inner);
        for (_, _, handle) in &running.list {
            handle.abort();
        }
    }

    fn register(&self, kind: TaskKind, name: &str, handle: AbortHandle) {
        let mut running = self.running.lock().unwrap_or_else(PoisonError::into_inner);
        if running.list.len() >= running.look_at.max(FEW) {
            running.list.retain(|(_, _, handle)| !handle.is_finished());
            running.look_at = running.list.len() * 2;
        }
        running.list.push((kind, name.to_owned(), handle));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn finished_tasks_are_forgotten() {
        let tasks = Tasks::new();
        let waiting = tasks.spawn(TaskKind::Sink, "waits", std::future::pending::<()>());
        let done = tasks.spawn_thread(TaskKind::Transform, "ends", || 7);
        assert_eq!(done.await.ok(), Some(7));
        assert_eq!(tasks.running(), [(TaskKind::Sink, "waits".to_owned())]);
        tasks.abort_all();
        assert!(waiting.await.is_err());
        assert_eq!(tasks.running(), []);
    }

    #[tokio::test]
    async fn what_is_kept_follows_what_runs() {
        let tasks = Tasks::new();
        let known = |tasks: &Tasks| tasks.running.lock().map_or(0, |running| running.list.len());
        let start = || tasks.spawn(TaskKind::Sink, "waits", std::future::pending::<()>());
        let waiting: Vec<_> = (0..FEW).map(|_| start()).collect();
        for _ in 0..10 * FEW {
            drop(tasks.spawn(TaskKind::Sink, "ends", async {}).await);
            assert!(known(&tasks) <= 2 * FEW + 1, "{}", known(&tasks));
        }
        assert_eq!(tasks.running().len(), FEW);
        waiting.iter().for_each(tokio::task::JoinHandle::abort);
    }
}
