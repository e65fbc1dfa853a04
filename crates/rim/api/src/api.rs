//! What routes work with.

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;

use async_trait::async_trait;
use hyper::Method;
use hyper::header::HeaderMap;
use levada_alert::handlers::HandlerDeps;
use levada_alert::service::AlertService;
use levada_runtime::{Clock, Shutdown};
use levada_store::Documents;
use levada_task::recordings::Recordings;
use levada_task::service::TaskService;
use levada_telemetry::feed::LogFeed;
use levada_telemetry::metrics::Registry;
use serde_json::{Map, Value};

use crate::auth::Users;
use crate::config::Config;
use crate::error::ApiError;
use crate::gateway::GatewayApi;
use crate::kapacitor::Points;
use crate::request::Query;
use crate::router::{Access, Body, Router};
use crate::vitals::Vitals;

/// The version of InfluxDB that its clients are shown: the last one that speaks version 1 of its protocol.
pub(crate) const INFLUXDB_VERSION: &str = "1.8.10";

/// What routes work with; listeners differ in the first three.
#[derive(Clone)]
pub struct Api {
    /// The routes.
    pub router: Arc<Router>,
    /// Decides who may call them.
    pub gate: Arc<dyn Gate>,
    /// The largest bodies.
    pub limits: Limits,
    /// Who this server is.
    pub identity: Identity,
    /// The users, where there is authentication.
    pub users: Option<Arc<Users>>,
    /// The subscriptions at `InfluxDB`, where there is any.
    pub subscriptions: Option<Arc<dyn Subscriptions>>,
    /// Services beside those of handlers that can be tried out.
    pub tested: Vec<Arc<dyn TestedService>>,
    /// Recordings and replays, where tasks are served.
    pub recordings: Option<Recordings>,
    /// What is known about parts that do not work.
    pub health: Health,
    /// The metrics.
    pub metrics: Registry,
    /// The level of the log.
    pub log: Arc<dyn LogControl>,
    /// Everything that is kept.
    pub documents: Arc<dyn Documents>,
    /// The alerts.
    pub alerts: AlertService,
    /// The configuration of services.
    pub config: Arc<Config>,
    /// What handlers work with, to try out services.
    pub handlers: HandlerDeps,
    /// How the work goes.
    pub vitals: Arc<dyn Vitals>,
    /// Tells answers without an end when to end.
    pub shutdown: Shutdown,
    /// A folder for files that are needed for a moment.
    pub work_folder: PathBuf,
    /// The clock.
    pub clock: Arc<dyn Clock>,
    /// Tasks and templates, where tasks run.
    pub tasks: Option<TaskService>,
    /// Where points come in, where tasks run.
    pub points: Option<Points>,
    /// The gateway, where there is one.
    pub gateway: Option<Arc<GatewayApi>>,
}

/// Who a server is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    /// The version of Kapacitor whose API is served.
    pub kapacitor_version: String,
    /// The own version.
    pub version: String,
    /// The name of the machine.
    pub host: String,
    /// The ID of the cluster, kept in the data folder.
    pub cluster_id: String,
    /// The ID of the server, kept in the data folder.
    pub server_id: String,
}

/// The largest bodies in bytes, as they are sent and as they are unpacked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Of documents.
    pub document_bytes: usize,
    /// Of points.
    pub points_bytes: usize,
}

/// What a gate looks at before the body of a request is read.
#[derive(Clone, Copy, Debug)]
pub struct Visit<'a> {
    /// The method.
    pub method: &'a Method,
    /// The path, decoded.
    pub path: &'a str,
    /// What the route needs.
    pub access: Access,
    /// The headers.
    pub headers: &'a HeaderMap,
    /// The query.
    pub query: &'a Query,
}

/// Decides who may call a route.
#[async_trait]
pub trait Gate: fmt::Debug + Send + Sync + 'static {
    /// Gives the user, nothing where nobody needs to be known.
    ///
    /// - Errors: 401 or 403.
    async fn admit(&self, visit: Visit<'_>) -> Result<Option<String>, ApiError>;

    /// Tells whether anybody has to say who they are.
    fn asks(&self) -> bool {
        true
    }

    /// Checks that a user may write points to a database.
    ///
    /// - Errors: the text of 401.
    async fn may_write(&self, user: Option<&str>, database: &str) -> Result<(), String>;
}

/// A gate without a door: for servers that only this machine reaches.
#[derive(Clone, Copy, Debug)]
pub struct NoGate;

/// Sets the level of the log while the server runs.
pub trait LogControl: fmt::Debug + Send + Sync + 'static {
    /// Sets it.
    ///
    /// - Errors: what does not work.
    fn set_level(&self, level: &str) -> Result<(), String>;

    /// Gives where its lines can be read while they are written; nothing where they cannot.
    fn feed(&self) -> Option<LogFeed> {
        None
    }
}

/// What `InfluxDB` servers send here by themselves.
#[async_trait]
pub trait Subscriptions: Send + Sync + 'static {
    /// Compares the subscriptions of every cluster with what should be, now.
    ///
    /// - Errors: what does not work.
    async fn relink(&self) -> Result<(), String>;

    /// Gives how many there are.
    fn count(&self) -> usize;
}

/// Knows what does not work; cheap to clone.
#[derive(Clone, Default)]
pub struct Health(Arc<std::sync::Mutex<Vec<Look>>>);

/// Looks at parts: nothing for one that works, what is wrong otherwise.
type Look = Arc<dyn Fn() -> Vec<(String, Option<String>)> + Send + Sync>;

/// A service beside those of handlers that can be tried out on request.
#[async_trait]
pub trait TestedService: Send + Sync + 'static {
    /// Gives its name.
    fn name(&self) -> &'static str;

    /// Gives all options with what they are unless the request says otherwise.
    fn options(&self) -> Map<String, Value>;

    /// Tries it.
    ///
    /// - Errors: what does not work.
    async fn test(&self, options: Map<String, Value>) -> Result<(), String>;
}

// === impl Api ===

impl fmt::Debug for Api {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Api").field("identity", &self.identity).finish_non_exhaustive()
    }
}

// === impl Limits ===

impl Default for Limits {
    fn default() -> Self {
        // Source: InfluxDB takes bodies of 25 MB.
        Limits { document_bytes: 16 << 20, points_bytes: 25_000_000 }
    }
}

impl Limits {
    /// Gives the largest body of a kind.
    pub fn of(&self, body: Body) -> usize {
        match body {
            Body::None => 0,
            Body::Document => self.document_bytes,
            Body::Points => self.points_bytes,
            // Those of the gateway are in its own settings.
            Body::Gateway => 0,
        }
    }
}

#[async_trait]
impl Gate for NoGate {
    fn asks(&self) -> bool {
        false
    }

    async fn admit(&self, _: Visit<'_>) -> Result<Option<String>, ApiError> {
        Ok(None)
    }

    async fn may_write(&self, _: Option<&str>, _: &str) -> Result<(), String> {
        Ok(())
    }
}

// === impl Health ===

impl Health {
    /// Adds a part.
    pub fn add(
        &self,
        part: impl Into<String>,
        look: impl Fn() -> Option<String> + Send + Sync + 'static,
    ) {
        let part = part.into();
        self.add_group(move || vec![(part.clone(), look())]);
    }

    /// Adds parts that come and go.
    pub fn add_group(
        &self,
        look: impl Fn() -> Vec<(String, Option<String>)> + Send + Sync + 'static,
    ) {
        self.lock().push(Arc::new(look));
    }

    /// Looks at every part.
    pub fn look(&self) -> Vec<(String, Option<String>)> {
        // Looked at outside the lock: a slow part must not keep others from being added.
        let looks = self.lock().clone();
        looks.into_iter().flat_map(|look| look()).collect()
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Vec<Look>> {
        self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}

impl fmt::Debug for Health {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Health({})", self.lock().len())
    }
}
