//! The points of influxDBOut on their way to `InfluxDB`.
//!
//! ```text
//! Effect::Write ─▶ buffer of the node and target ── full, or old enough ──▶ chunk ─▶ sender of the node ─▶ POST /write
//! ```
//! - A point becomes a line at once, so that nothing of the task is held. That takes a lock that only the sender takes, too,
//!   and that for the moment of moving a buffer.
//! - What a node holds is bounded. A point that finds no room is lost and counted; the node hears how many were lost and
//!   why, at most every [`REPORT_INTERVAL`] for each target.
//! - Differs: upstream tries once. Here a server that is away is tried again for as long as there is room.

mod sender;
mod state;

#[cfg(test)]
mod tests;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use levada_clients::influxdb::InfluxDb;
use levada_model::Str;
use levada_runtime::TaskKind;
use tokio::task::JoinHandle;

use super::side::{Closing, SideDeps};
use crate::effect::{NodeName, Write};
use crate::runtime::services::InfluxdbOut;

use state::NodeState;

pub use state::WriterStatistics;

/// Points that wait for one target: a database, a retention policy, a consistency and a precision. Ours.
pub const TARGET_POINTS_MAX: usize = 100_000;
/// Bytes of lines that wait in one node. Ours.
pub const NODE_BYTES_MAX: usize = 64 << 20;
/// Bytes of one request, before compression; `max-body-size` of `InfluxDB` 1.x is 25 MB.
pub const CHUNK_BYTES_MAX: usize = 10 << 20;
/// Targets of one node that are told apart.
pub const TARGETS_MAX: usize = 1_000;
/// The shortest time between two reports of one target.
pub const REPORT_INTERVAL: Duration = Duration::from_secs(10);

/// The bounds of one node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WriterLimits {
    /// Points that wait for one target.
    pub target_points: usize,
    /// Bytes of lines that wait in the node.
    pub node_bytes: usize,
    /// Bytes of one request; a longer line goes alone.
    pub chunk_bytes: usize,
    /// Targets of the node.
    pub targets: usize,
}

/// The influxDBOut nodes of one actor.
pub struct Writers {
    shared: Arc<Shared>,
    senders: Mutex<Vec<JoinHandle<()>>>,
}

pub(super) struct Shared {
    deps: SideDeps,
    limits: WriterLimits,
    closing: Closing,
    nodes: Mutex<Vec<Option<NodeState>>>,
}

// === impl WriterLimits ===

impl Default for WriterLimits {
    fn default() -> Self {
        WriterLimits {
            target_points: TARGET_POINTS_MAX,
            node_bytes: NODE_BYTES_MAX,
            chunk_bytes: CHUNK_BYTES_MAX,
            targets: TARGETS_MAX,
        }
    }
}

// === impl Writers ===

impl Writers {
    /// Makes the side of an actor without nodes.
    pub fn new(deps: SideDeps, limits: WriterLimits) -> Self {
        let (closing, nodes) = (Closing::new(), Mutex::default());
        Writers {
            shared: Arc::new(Shared { deps, limits, closing, nodes }),
            senders: Mutex::default(),
        }
    }

    /// Prepares for the points of a node and starts its sender.
    pub fn open(&self, out: &InfluxdbOut, client: Arc<dyn InfluxDb>) {
        let place = out.node.index;
        {
            let mut nodes = self.shared.lock();
            while nodes.len() <= place {
                nodes.push(None);
            }
            nodes[place] = Some(NodeState::new(out));
        }
        let sender = sender::run(Arc::clone(&self.shared), out.clone(), client);
        let name = format!("{} {}", out.task, out.node.name);
        let handle = self.shared.deps.spawn(TaskKind::Sink, &name, sender);
        self.senders().push(handle);
    }

    /// Takes a point; never waits.
    ///
    /// - Errors: the point cannot be a line, or the task is being stopped. That a buffer is full is no error here: the node
    ///   hears of it with others, by [`crate::runtime::Node::answer`].
    pub fn write(&self, node: &NodeName, write: &Write<'_>) -> Result<(), Str> {
        let mut nodes = self.shared.lock();
        let state = nodes.get_mut(node.index).and_then(Option::as_mut);
        let Some(state) = state.filter(|_| !self.shared.closing.is_closing()) else {
            return Err("points are not taken any more".into());
        };
        let now = || self.shared.deps.clock.monotonic();
        state.write(write, &self.shared.limits, now).map_err(|error| error.to_string().into())
    }

    /// Gives what a node did.
    pub fn statistics(&self, place: usize) -> Option<WriterStatistics> {
        self.shared.lock().get(place)?.as_ref().map(NodeState::statistics)
    }

    /// Sends what is buffered and takes nothing more; what is not written when `patience` is over is lost and reported.
    pub fn close(&self, patience: Duration) {
        let until = self.shared.deps.clock.monotonic().saturating_add(patience);
        // Under the lock: no point may come after its sender has ended.
        let nodes = self.shared.lock();
        self.shared.closing.close(until);
        nodes.iter().flatten().for_each(|node| node.wake.notify_one());
    }

    /// Says whether all senders have ended, after [`Writers::close`].
    pub fn is_done(&self) -> bool {
        self.senders().iter().all(JoinHandle::is_finished)
    }

    /// Closes and waits for the end; gives how many points were lost because time was over, or before.
    pub async fn stop(&self, patience: Duration) -> u64 {
        self.close(patience);
        let senders = std::mem::take(&mut *self.senders());
        for sender in senders {
            if sender.await.is_err() {
                tracing::warn!("a sender of points ended before its time");
            }
        }
        let nodes = self.shared.lock();
        nodes.iter().flatten().map(|node| node.statistics().points_lost).sum()
    }

    fn senders(&self) -> MutexGuard<'_, Vec<JoinHandle<()>>> {
        self.senders.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Writers {
    /// Senders that nobody waits for end at once.
    fn drop(&mut self) {
        if !self.shared.closing.is_closing() {
            self.close(Duration::ZERO);
        }
    }
}

// === impl Shared ===

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Vec<Option<NodeState>>> {
        self.nodes.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Does something with the state of a node; its sender lives no longer than it.
    fn with<T>(&self, place: usize, act: impl FnOnce(&mut NodeState) -> T) -> Option<T> {
        self.lock().get_mut(place)?.as_mut().map(act)
    }
}
