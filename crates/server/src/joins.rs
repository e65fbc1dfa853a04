//! What the parts of one process hand each other: flows, tasks, alerts and the gateway.
//!
//! ```text
//! flow ── `gateway` sink ──┐                         ┌── kind = "flow" ──▶ flow, `gateway` source
//! task ── influxDBOut ─────┼─▶ gateway ─▶ queues ────┤
//! alert ── handler ────────┘                         └── kind = "task" ──▶ task engine
//! ```
//! No domain knows another. They start one after the other, and some may be missing, so each looks for the others when it
//! needs them.

use std::sync::{Arc, OnceLock};

use levada_connectors::Links;
use levada_connectors::gateway::{GatewayTarget, GatewayTargets, LineFeeds};
use levada_connectors::points::PointTargets;

use crate::gateway::circles::Circles;
use crate::gateway::writers::GatewayWriters;

/// What the parts of one process hand each other; cheap to clone.
#[derive(Clone, Default)]
pub struct Joins(Arc<Parts>);

#[derive(Default)]
struct Parts {
    feeds: LineFeeds,
    gateway: OnceLock<Arc<GatewayWriters>>,
    tasks: OnceLock<PointTargets>,
    circles: Arc<Circles>,
}

// === impl Joins ===

impl Joins {
    /// Gives the flows that read from the gateway.
    pub fn feeds(&self) -> &LineFeeds {
        &self.0.feeds
    }

    /// Gives what knows where points go round.
    pub fn circles(&self) -> Arc<Circles> {
        Arc::clone(&self.0.circles)
    }

    /// Gives the gateway, when there is one.
    pub(crate) fn gateway(&self) -> Option<&Arc<GatewayWriters>> {
        self.0.gateway.get()
    }

    /// Lets others find the gateway.
    pub(crate) fn set_gateway(&self, writers: Arc<GatewayWriters>) {
        if self.0.gateway.set(writers).is_err() {
            tracing::warn!("a second gateway was started in this process; the first one is used");
        }
    }

    /// Gives the tasks, once they have been started.
    pub fn tasks(&self) -> Option<&PointTargets> {
        self.0.tasks.get()
    }

    /// Lets others find the tasks. Not before all of them have been started: points for those that are missing would be lost.
    pub fn set_tasks(&self, targets: PointTargets) {
        if self.0.tasks.set(targets).is_err() {
            tracing::debug!("tasks were started twice in this process; the first ones are used");
        }
    }

    /// Lets a flow find the others.
    pub(crate) fn link(&self, links: &Links) {
        links.put(self.0.feeds.clone());
        if let Some(writers) = self.gateway() {
            let writers = Arc::clone(writers) as Arc<dyn GatewayTarget>;
            links.put(GatewayTargets(writers));
        }
        if let Some(tasks) = self.tasks()
            && links.get::<PointTargets>().is_none()
        {
            links.put(tasks.clone());
        }
    }
}
