//! All side actors of one actor, and what its nodes start with.
//!
//! ```text
//! Sides::new ─▶ services(…) ─▶ Actor::start ─▶ attach(inbox) ─▶ start_queries ── … ── close ─▶ is_done
//! ```

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use levada_clients::http::Post;
use levada_clients::influxdb::{ClusterError, Clusters};
use levada_model::Str;
use levada_runtime::{Clock, Tasks};
use tokio::runtime::Handle;

use super::effects::{Requests, Writes};
use super::input::Inbox;
use super::queries::{Queries, QuerySettings};
use super::requests::{RequestLimits, RequestQueues};
use super::side::{LateInbox, SideDeps};
use super::writer::{WriterLimits, Writers};
use crate::effect::{Answer, HttpPost, NodeName, Write};
use crate::nodes::query::plan::PlannedQuery;
use crate::runtime::Services;
use crate::runtime::services::{
    Alerts, Deadman, Endpoint, InfluxdbOut, ServerInfo, SideloadSource,
};
use crate::udf::{Link, UdfSide, UdfStart, Udfs};

/// What the side actors of all tasks share; cheap to clone.
#[derive(Clone)]
pub struct SideSettings {
    /// The clusters of the settings.
    pub clusters: Clusters,
    /// Who posts the requests of httpPost.
    pub post: Arc<dyn Post>,
    /// The clock.
    pub clock: Arc<dyn Clock>,
    /// Who spawns.
    pub tasks: Tasks,
    /// Where is spawned.
    pub runtime: Handle,
    /// The bounds of influxDBOut.
    pub writers: WriterLimits,
    /// The bounds of httpPost.
    pub requests: RequestLimits,
    /// How queries are asked.
    pub queries: QuerySettings,
    /// Functions that run outside.
    pub udfs: Udfs,
}

/// The side actors of one actor.
///
/// - Dropping it ends them at once; what they hold is lost then. [`Sides::close`] lets them finish.
pub struct Sides {
    settings: SideSettings,
    inbox: Arc<LateInbox>,
    deps: SideDeps,
    /// The influxDBOut nodes.
    pub writers: Arc<Writers>,
    /// The httpPost nodes.
    pub requests: Arc<RequestQueues>,
    /// The nodes of functions that run outside.
    pub udfs: UdfSide,
    queries: Mutex<Option<Queries>>,
}

/// What is configured around tasks, for the nodes of one actor.
pub struct SideServices<'s> {
    around: &'s dyn Services,
    sides: &'s Sides,
}

// === impl Sides ===

impl Sides {
    /// Makes the side of an actor that is about to start.
    pub fn new(settings: &SideSettings) -> Self {
        let inbox = LateInbox::new();
        let deps = SideDeps {
            inbox: Arc::clone(&inbox) as Arc<dyn Inbox>,
            clock: Arc::clone(&settings.clock),
            tasks: settings.tasks.clone(),
            runtime: settings.runtime.clone(),
        };
        let post = Arc::clone(&settings.post);
        Sides {
            writers: Arc::new(Writers::new(deps.clone(), settings.writers)),
            requests: Arc::new(RequestQueues::new(deps.clone(), settings.requests, post)),
            udfs: UdfSide::new(deps.clone(), settings.udfs.clone()),
            queries: Mutex::new(None),
            settings: settings.clone(),
            inbox,
            deps,
        }
    }

    /// Gives the services that the nodes of the actor start with.
    pub fn services<'s>(&'s self, around: &'s dyn Services) -> SideServices<'s> {
        SideServices { around, sides: self }
    }

    /// Says where results go; keep what is given weak, for the actor holds its side.
    pub fn attach(&self, inbox: Box<dyn Inbox>) {
        self.inbox.set(inbox);
    }

    /// Starts the queries of a batch task.
    ///
    /// - Errors: upstream's; the task is to be stopped again.
    pub fn start_queries(
        &self,
        task: &Str,
        plans: Vec<PlannedQuery>,
        dbrps: &[(Str, Str)],
    ) -> Result<(), String> {
        let (clusters, settings) = (&self.settings.clusters, &self.settings.queries);
        let started = Queries::start(&self.deps, task, plans, dbrps, clusters, settings)?;
        *self.queries() = Some(started);
        Ok(())
    }

    /// Lets nothing come back any more: the nodes that asked are being replaced.
    pub(super) fn cut(&self) {
        self.inbox.cut();
    }

    /// Ends the queries, at once; before the queue of the task is closed.
    pub fn close_queries(&self) {
        if let Some(queries) = &*self.queries() {
            queries.close();
        }
    }

    /// Takes nothing more; what is not done when `patience` is over is given up and reported. After the nodes have ended.
    pub fn close(&self, patience: Duration) {
        self.close_queries();
        self.writers.close(patience);
        self.requests.close(patience);
        self.udfs.close(patience);
    }

    /// Says whether all have ended, after [`Sides::close`].
    pub fn is_done(&self) -> bool {
        let has_no_queries = self.queries().as_ref().is_none_or(Queries::is_done);
        has_no_queries && self.writers.is_done() && self.requests.is_done() && self.udfs.is_done()
    }

    /// Looks at the queries, for their statistics.
    pub fn with_queries<T>(&self, look: impl FnOnce(&Queries) -> T) -> Option<T> {
        self.queries().as_ref().map(look)
    }

    fn queries(&self) -> MutexGuard<'_, Option<Queries>> {
        self.queries.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Requests for RequestQueues {
    fn request(&self, node: &NodeName, request: HttpPost) -> Result<Option<Answer>, Str> {
        RequestQueues::request(self, node, request).map(|()| None)
    }
}

impl Writes for Writers {
    fn write(&self, node: &NodeName, write: &Write<'_>) -> Result<(), Str> {
        Writers::write(self, node, write)
    }
}

// === impl SideServices ===

impl SideServices<'_> {
    fn cluster(&self, name: &str) -> Result<Arc<dyn levada_clients::influxdb::InfluxDb>, String> {
        self.sides.settings.clusters.get(name).map_err(|error| match error {
            ClusterError::None => {
                "no InfluxDB cluster configured cannot use the InfluxDBOutNode".to_owned()
            }
            error @ ClusterError::Unknown(_) => format!("failed to get InfluxDB client: {error}"),
        })
    }
}

impl Services for SideServices<'_> {
    fn endpoint(&self, name: &str) -> Option<Endpoint> {
        self.around.endpoint(name)
    }

    fn influxdb(&self, cluster: &str) -> Result<(), String> {
        self.cluster(cluster).map(|_| ())
    }

    fn influxdb_out(&self, out: &InfluxdbOut) -> Result<(), String> {
        let client = self.cluster(&out.cluster)?;
        client.begins(&out.task).map_err(|error| error.to_string())?;
        self.sides.writers.open(out, client);
        Ok(())
    }

    fn sideload(&self, source: &str) -> Result<SideloadSource, String> {
        self.around.sideload(source)
    }

    fn udf(&self, start: UdfStart<'_>) -> Result<Arc<Link>, String> {
        self.sides.udfs.open(start)
    }

    fn alerts(&self) -> Arc<dyn Alerts> {
        self.around.alerts()
    }

    fn server(&self) -> ServerInfo {
        self.around.server()
    }

    fn deadman(&self) -> Deadman {
        self.around.deadman()
    }
}
