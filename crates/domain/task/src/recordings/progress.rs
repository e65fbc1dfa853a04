//! How far a recording or a replay is, and what a replay's task has done so far.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use serde_json::{Map, Value};
use tokio::sync::Notify;

use crate::pipeline::dot::DotView;
use crate::runtime::Graph;

/// The most that is said of what has not ended: the end itself takes time, too.
const MOST: f64 = 0.99;

/// How far a job is; shared by who does it and who looks.
#[derive(Debug, Default)]
pub(super) struct Progress {
    stage: Mutex<Stage>,
    /// Somebody wants to see the task.
    is_wanted: AtomicBool,
    /// The task waits for its time: what was shown last is how it is.
    rests: AtomicBool,
    seen: Mutex<Option<Arc<Seen>>>,
    shown: Notify,
}

/// A part of the work: from one fraction to another.
#[derive(Debug, Default)]
struct Stage {
    from: f64,
    to: f64,
    done: Arc<AtomicU64>,
    total: u64,
}

/// The task of a replay at one moment.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Seen {
    pub(super) nodes: Map<String, Value>,
    attributes: String,
    labels: String,
}

// === impl Progress ===

impl Progress {
    /// Begins a part of the work; gives what is to be counted up to `total`.
    pub(super) fn begin(&self, from: f64, to: f64, total: u64) -> Arc<AtomicU64> {
        let done = Arc::<AtomicU64>::default();
        *self.stage() = Stage { from, to, done: Arc::clone(&done), total };
        done
    }

    /// Gives the fraction.
    pub(super) fn fraction(&self) -> f64 {
        let stage = self.stage();
        let part = match stage.total {
            0 => 0.0,
            total => (stage.done.load(Ordering::Relaxed) as f64 / total as f64).min(1.0),
        };
        (stage.from + (stage.to - stage.from) * part).min(MOST)
    }

    /// Shows the task when somebody wants to see it.
    pub(super) fn show_if_wanted(&self, graph: &Graph, task: &str, unit: &str) {
        if self.is_wanted.load(Ordering::Relaxed) {
            self.show(graph, task, unit);
        }
    }

    pub(super) fn show(&self, graph: &Graph, task: &str, unit: &str) {
        self.is_wanted.store(false, Ordering::Relaxed);
        let seen = Seen {
            nodes: graph.statistics(),
            attributes: graph.dot(task, DotView::Attributes, 0.0, unit),
            labels: graph.dot(task, DotView::Labels, 0.0, unit),
        };
        *self.seen.lock().unwrap_or_else(PoisonError::into_inner) = Some(Arc::new(seen));
        self.shown.notify_waiters();
    }

    /// Says whether the task waits for its time.
    pub(super) fn rest(&self, rests: bool) {
        self.rests.store(rests, Ordering::Relaxed);
    }

    /// Waits until the task is shown; the caller bounds the wait.
    pub(super) async fn look(&self) {
        let shown = self.shown.notified();
        tokio::pin!(shown);
        shown.as_mut().enable();
        self.is_wanted.store(true, Ordering::Relaxed);
        if !self.rests.load(Ordering::Relaxed) {
            shown.await;
        }
    }

    /// Gives the task as it was shown last.
    pub(super) fn seen(&self) -> Arc<Seen> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner).clone().unwrap_or_default()
    }

    fn stage(&self) -> MutexGuard<'_, Stage> {
        self.stage.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

// === impl Seen ===

impl Seen {
    pub(super) fn dot(&self, view: DotView) -> &str {
        match view {
            DotView::Attributes => &self.attributes,
            DotView::Labels => &self.labels,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stages_follow_each_other_and_the_end_is_not_told_early() {
        let progress = Progress::default();
        assert_eq!(progress.fraction(), 0.0);
        let done = progress.begin(0.0, 0.5, 4);
        done.store(2, Ordering::Relaxed);
        assert_eq!(progress.fraction(), 0.25);
        done.store(9, Ordering::Relaxed);
        assert_eq!(progress.fraction(), 0.5);
        let done = progress.begin(0.5, 1.0, 10);
        assert_eq!(progress.fraction(), 0.5);
        done.store(5, Ordering::Relaxed);
        assert_eq!(progress.fraction(), 0.75);
        done.store(10, Ordering::Relaxed);
        assert_eq!(progress.fraction(), MOST);
    }
}
