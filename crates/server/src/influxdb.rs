//! `InfluxDB` clusters: their clients, whether they answer, and what they send here.
//!
//! ```text
//! [influxdb] ─▶ elements of Kapacitor's `influxdb` section ◀─ [[influxdb]] of its file, overrides of the API
//!                          │ follow
//!                          ▼
//!        clients of scripts (Clusters)    a keeper per cluster (Cluster): ping, subscriptions
//! ```
//!
//! Source: reference (server) §3.4. Differs: a cluster that is down never keeps the server from starting; it is asked again, ever
//! more rarely, and health names it.

mod clients;
mod cluster;
mod destination;
mod elements;
mod filter;
mod link;
mod metrics;

use std::collections::BTreeMap;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use levada_alert::services::Element;
use levada_api::auth::Users;
use levada_api::config::Follower;
use levada_api::{Health, Identity, Subscriptions, TestedService};
use levada_clients::influxdb::{Clusters, InfluxDb};
use levada_runtime::{Clock, Shutdown, TaskKind, Tasks};
use levada_settings::{Influxdb, Settings};
use levada_telemetry::metrics::Registry;
use serde_json::{Map, Value};
use tokio::task::AbortHandle;

use crate::flows::Host;
use crate::inputs::{InputDeps, UdpStatistics};
use crate::serve::Bound;
pub(crate) use clients::clients;
use clients::{Maker, Unusable};
use cluster::Cluster;
pub(crate) use elements::own_elements;
use filter::Filter;
use metrics::ClusterMetrics;

/// How long a cluster that is tried out may take to answer.
const TEST_PATIENCE: Duration = Duration::from_secs(10);

/// The clusters of a server; they change with the configuration.
pub struct InfluxDbs {
    clients: Clusters,
    maker: Maker,
    settings: Arc<Settings>,
    identity: Identity,
    users: Option<Arc<Users>>,
    inputs: InputDeps,
    clock: Arc<dyn Clock>,
    tasks: Tasks,
    registry: Registry,
    /// Nothing before the server listens.
    around: OnceLock<Around>,
    running: Mutex<BTreeMap<String, Running>>,
    /// Clusters that are being left.
    leaving: Mutex<BTreeMap<String, AbortHandle>>,
}

/// What the clusters of a server need.
pub(crate) struct InfluxDeps<'d> {
    pub(crate) host: &'d Host,
    pub(crate) clients: &'d Clusters,
    pub(crate) identity: &'d Identity,
    /// With authentication.
    pub(crate) users: Option<Arc<Users>>,
    pub(crate) inputs: &'d InputDeps,
    /// Signs tokens for clusters that want some; empty for none.
    pub(crate) shared_secret: String,
}

struct Around {
    addresses: Vec<Bound>,
    shutdown: Shutdown,
}

struct Running {
    cluster: Arc<Cluster>,
    /// Nothing before the server listens.
    keeper: Option<AbortHandle>,
}

// === impl InfluxDbs ===

impl InfluxDbs {
    /// Makes the clusters of the configuration; nobody is asked yet. One that cannot be used says so whenever it is used.
    pub(crate) async fn new(deps: InfluxDeps<'_>, elements: &[Element]) -> Arc<Self> {
        let InfluxDeps { host, clients, identity, users, inputs, shared_secret } = deps;
        let clusters = InfluxDbs {
            clients: clients.clone(),
            maker: Maker::new(host, shared_secret),
            settings: Arc::clone(&host.settings),
            identity: identity.clone(),
            users,
            inputs: inputs.clone(),
            clock: Arc::clone(&host.clock),
            tasks: host.tasks.clone(),
            registry: host.metrics.clone(),
            around: OnceLock::new(),
            running: Mutex::default(),
            leaving: Mutex::default(),
        };
        let mut made = Vec::new();
        for (name, settings) in elements::clusters(elements, &clusters.settings.influxdb) {
            let server = match clusters.maker.make(&settings).await {
                Ok(server) => server,
                Err(error) => {
                    tracing::error!(cluster = name, %error, "an InfluxDB cluster cannot be used");
                    Arc::new(Unusable::new(&error))
                }
            };
            made.push((name, settings, server));
        }
        clusters.put(made);
        Arc::new(clusters)
    }

    /// Begins to ask the clusters; the server listens at these addresses.
    pub(crate) fn start(
        self: &Arc<Self>,
        addresses: &[Bound],
        health: &Health,
        shutdown: &Shutdown,
    ) {
        let around = Around { addresses: addresses.to_vec(), shutdown: shutdown.clone() };
        if self.around.set(around).is_err() {
            return tracing::debug!("InfluxDB clusters were started twice");
        }
        for running in self.lock().values_mut() {
            running.keeper = self.keep(&running.cluster);
        }
        let shown = Arc::clone(self);
        health.add_group(move || {
            let running = shown.lock();
            let part = |cluster: &Cluster| {
                (format!("influxdb {}", cluster.name), cluster.problem().clone())
            };
            running.values().map(|running| part(&running.cluster)).collect()
        });
    }

    /// Puts clusters in place of those that are there; those with the same settings stay as they are.
    fn put(&self, made: Vec<(String, Influxdb, Arc<dyn InfluxDb>)>) {
        let default = made.iter().find(|(_, settings, _)| settings.default).or(made.first());
        let default = default.map(|(name, ..)| name.clone()).unwrap_or_default();
        let clients = made.iter().map(|(name, _, server)| (name.clone(), Arc::clone(server)));
        self.clients.replace(default, clients.collect::<Vec<_>>());
        let mut before = std::mem::take(&mut *self.lock());
        let mut now = BTreeMap::new();
        for (name, settings, server) in made {
            let known = before.remove(&name);
            let running = match known {
                Some(known) if known.cluster.settings == settings => known,
                known => {
                    // Where points do not come as datagrams any more, or not from here, nothing listens for them.
                    if let Some(known) = known {
                        self.end(known, settings.disable_subscriptions);
                    }
                    let cluster = Arc::new(self.cluster(&name, settings, server));
                    let leaving =
                        self.leaving.lock().unwrap_or_else(PoisonError::into_inner).remove(&name);
                    if let Some(leaving) =
                        leaving.filter(|_| !cluster.settings.disable_subscriptions)
                    {
                        leaving.abort();
                    }
                    Running { keeper: self.keep(&cluster), cluster }
                }
            };
            now.insert(name, running);
        }
        *self.lock() = now;
        before.into_values().for_each(|gone| self.end(gone, true));
    }

    fn cluster(&self, name: &str, settings: Influxdb, server: Arc<dyn InfluxDb>) -> Cluster {
        Cluster {
            name: name.to_owned(),
            server,
            wanted: Filter::new(&settings.subscriptions, &settings.excluded_subscriptions),
            settings,
            identity: self.identity.clone(),
            users: self.users.clone(),
            inputs: self.inputs.clone(),
            clock: Arc::clone(&self.clock),
            here: OnceLock::new(),
            problem: Mutex::new(Some("has not answered yet".to_owned())),
            is_unlinkable: Mutex::new(false),
            count: Default::default(),
            links: Default::default(),
            metrics: ClusterMetrics::new(&self.registry, name),
        }
    }

    /// Starts to ask a cluster, when the server listens already.
    fn keep(&self, cluster: &Arc<Cluster>) -> Option<AbortHandle> {
        let around = self.around.get()?;
        cluster.is_at(&around.addresses);
        let keep = Arc::clone(cluster).keep(around.shutdown.clone());
        let keeper = self.tasks.spawn(TaskKind::Connector, "influxdb cluster", keep);
        Some(keeper.abort_handle())
    }

    /// Stops to ask a cluster; it may go on sending for a moment.
    fn end(&self, running: Running, leaves: bool) {
        let Running { cluster, keeper } = running;
        if let Some(keeper) = keeper {
            keeper.abort();
        }
        let name = cluster.name.clone();
        let handle = self.tasks.spawn(TaskKind::Connector, "influxdb farewell", async move {
            match leaves {
                true => cluster.leave().await,
                false => cluster.links.stop().await,
            }
        });
        if leaves {
            let mut leaving = self.leaving.lock().unwrap_or_else(PoisonError::into_inner);
            leaving.retain(|_, handle| !handle.is_finished());
            leaving.insert(name, handle.abort_handle());
        }
    }

    /// Gives what became of the datagrams of subscriptions.
    pub fn udp_statistics(&self) -> Vec<UdpStatistics> {
        self.clusters().iter().flat_map(|cluster| cluster.links.statistics()).collect()
    }

    /// Takes no more datagrams of subscriptions; waits until those that came have reached the tasks.
    pub(crate) async fn stop(&self) {
        for cluster in self.clusters() {
            cluster.links.stop().await;
        }
    }

    fn clusters(&self) -> Vec<Arc<Cluster>> {
        self.lock().values().map(|running| Arc::clone(&running.cluster)).collect()
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<String, Running>> {
        self.running.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[async_trait]
impl Follower for InfluxDbs {
    async fn follow(&self, elements: &[Element]) -> Result<(), String> {
        let mut made = Vec::new();
        for (name, settings) in elements::clusters(elements, &self.settings.influxdb) {
            let known = self.clusters().into_iter().find(|cluster| cluster.name == name);
            let server = match known.filter(|cluster| cluster.settings == settings) {
                Some(cluster) => Arc::clone(&cluster.server),
                None => self.maker.make(&settings).await.map_err(|error| error.to_string())?,
            };
            made.push((name, settings, server));
        }
        self.put(made);
        Ok(())
    }
}

#[async_trait]
impl Subscriptions for InfluxDbs {
    async fn relink(&self) -> Result<(), String> {
        let mut problems = Vec::new();
        for cluster in self.clusters().iter().filter(|c| !c.settings.disable_subscriptions) {
            if let Err(problem) = cluster.link().await {
                problems.push(format!("InfluxDB cluster {:?}: {problem}", cluster.name));
            }
        }
        match problems.is_empty() {
            true => Ok(()),
            false => Err(problems.join("; ")),
        }
    }

    fn count(&self) -> usize {
        self.clusters().iter().map(|cluster| cluster.count.load(Ordering::Relaxed)).sum()
    }
}

#[async_trait]
impl TestedService for InfluxDbs {
    fn name(&self) -> &'static str {
        "influxdb"
    }

    fn options(&self) -> Map<String, Value> {
        Map::from_iter([("cluster".to_owned(), Value::from(""))])
    }

    async fn test(&self, options: Map<String, Value>) -> Result<(), String> {
        let name = match options.get("cluster") {
            None | Some(Value::Null) => "",
            Some(Value::String(name)) => name,
            Some(_) => return Err("`cluster` must be a text".to_owned()),
        };
        let server = self.clients.get(name).map_err(|error| error.to_string())?;
        tokio::select! {
            answer = server.ping() => answer.map(drop).map_err(|error| error.to_string()),
            () = self.clock.sleep(TEST_PATIENCE) => Err("did not answer in time".to_owned()),
        }
    }
}
