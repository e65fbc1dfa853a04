//! The `InfluxDB` clusters of the settings: their clients, whether they answer, and what they send here.
//!
//! Source: reference (server) §3.4. Differs: a cluster that is down never keeps the server from starting; it is asked again, ever
//! more rarely, and health names it.

mod clients;
mod destination;
mod filter;
mod link;
mod metrics;

use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use levada_api::auth::Users;
use levada_api::{Health, Identity, Subscriptions};
use levada_clients::influxdb::{Clusters, InfluxDb};
use levada_runtime::{Backoff, BackoffPolicy, Clock, Shutdown, TaskKind};
use levada_settings::Influxdb;

use crate::flows::Host;
use crate::inputs::{InputDeps, UdpStatistics};
pub(crate) use clients::clients;
use filter::Filter;
use link::Links;
use metrics::ClusterMetrics;

/// How often a cluster is asked whether it is there, and how often at most while it is not.
const LOOK_EVERY: Duration = Duration::from_secs(10);
const RETRY: BackoffPolicy =
    BackoffPolicy { initial: Duration::from_millis(250), max: LOOK_EVERY, attempts_max: 0 };
/// How long that answer may take.
const PING_PATIENCE: Duration = Duration::from_secs(10);
/// How long it may take to compare subscriptions.
const LINK_PATIENCE: Duration = Duration::from_secs(120);

/// The clusters of a server.
pub struct InfluxDbs {
    clusters: Vec<Arc<Cluster>>,
}

/// What the clusters of a server need.
pub(crate) struct InfluxDeps<'d> {
    pub(crate) host: &'d Host,
    pub(crate) clients: &'d Clusters,
    pub(crate) identity: &'d Identity,
    /// With authentication.
    pub(crate) users: Option<Arc<Users>>,
    pub(crate) inputs: &'d InputDeps,
}

/// One cluster.
struct Cluster {
    name: String,
    server: Arc<dyn InfluxDb>,
    settings: Influxdb,
    wanted: Filter,
    identity: Identity,
    users: Option<Arc<Users>>,
    inputs: InputDeps,
    clock: Arc<dyn Clock>,
    /// The server itself takes TLS only.
    is_tls: bool,
    here: OnceLock<Here>,
    problem: Mutex<Option<String>>,
    /// What is told once: the server has no subscriptions.
    is_unlinkable: Mutex<bool>,
    count: AtomicUsize,
    links: Links,
    metrics: ClusterMetrics,
}

/// Where this server is reached.
struct Here {
    host: String,
    port: u16,
    /// Only by this machine.
    is_local: bool,
}

// === impl InfluxDbs ===

impl InfluxDbs {
    /// Makes the clusters; nobody is asked yet.
    pub(crate) fn new(deps: &InfluxDeps<'_>) -> Arc<Self> {
        let settings = &deps.host.settings;
        let mut clusters = Vec::new();
        for (name, cluster) in settings.influxdb.all() {
            let Ok(server) = deps.clients.get(name) else { continue };
            clusters.push(Arc::new(Cluster {
                name: name.to_owned(),
                server,
                settings: cluster.clone(),
                wanted: Filter::new(&cluster.subscriptions, &cluster.excluded_subscriptions),
                identity: deps.identity.clone(),
                users: deps.users.clone(),
                inputs: deps.inputs.clone(),
                clock: Arc::clone(&deps.host.clock),
                is_tls: !settings.http.tls_certificate.is_empty(),
                here: OnceLock::new(),
                problem: Mutex::new(Some("has not answered yet".to_owned())),
                is_unlinkable: Mutex::new(false),
                count: AtomicUsize::new(0),
                links: Links::default(),
                metrics: ClusterMetrics::new(&deps.host.metrics, name),
            }));
        }
        Arc::new(InfluxDbs { clusters })
    }

    /// Begins to ask the clusters; the server listens at these addresses.
    pub(crate) fn start(
        &self,
        addresses: &[SocketAddr],
        host: &Host,
        health: &Health,
        shutdown: &Shutdown,
    ) {
        for cluster in &self.clusters {
            cluster.is_at(addresses);
            let shown = Arc::clone(cluster);
            health.add(format!("influxdb {}", cluster.name), move || shown.problem().clone());
            let keep = Arc::clone(cluster).keep(shutdown.clone());
            host.tasks.spawn(TaskKind::Connector, "influxdb cluster", keep);
        }
    }

    /// Gives what became of the datagrams of subscriptions.
    pub fn udp_statistics(&self) -> Vec<UdpStatistics> {
        self.clusters.iter().flat_map(|cluster| cluster.links.statistics()).collect()
    }

    /// Takes no more datagrams of subscriptions; waits until those that came have reached the tasks.
    pub(crate) async fn stop(&self) {
        for cluster in &self.clusters {
            cluster.links.stop().await;
        }
    }
}

#[async_trait]
impl Subscriptions for InfluxDbs {
    async fn relink(&self) -> Result<(), String> {
        let mut problems = Vec::new();
        for cluster in self.clusters.iter().filter(|c| !c.settings.disable_subscriptions) {
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
        self.clusters.iter().map(|cluster| cluster.count.load(Ordering::Relaxed)).sum()
    }
}

// === impl Cluster ===

impl Cluster {
    /// Settles where `InfluxDB` finds this server.
    fn is_at(&self, addresses: &[SocketAddr]) {
        let here = Here::new(&self.settings, addresses, &self.identity.host);
        if self.here.set(here).is_err() {
            tracing::debug!(cluster = self.name, "a cluster was started twice");
        }
    }

    /// Looks at the cluster until the server stops.
    async fn keep(self: Arc<Self>, mut shutdown: Shutdown) {
        let mut backoff = Backoff::new(RETRY, self.clock.now().0 as u64);
        let mut link_at = Duration::ZERO;
        loop {
            let looked = tokio::select! {
                looked = self.look(&mut link_at) => looked,
                () = shutdown.draining() => return,
            };
            self.metrics.up.set(i64::from(looked.is_ok()));
            let wait = match looked {
                Ok(()) => {
                    self.tell(None);
                    backoff.reset();
                    LOOK_EVERY.min(link_at.saturating_sub(self.clock.monotonic()))
                }
                Err(problem) => {
                    self.tell(Some(problem));
                    link_at = Duration::ZERO;
                    backoff.next_delay().unwrap_or(RETRY.max)
                }
            };
            tokio::select! {
                () = self.clock.sleep(wait) => {}
                () = shutdown.draining() => return,
            }
        }
    }

    /// Asks whether it is there, and compares subscriptions when it is time to.
    async fn look(&self, link_at: &mut Duration) -> Result<(), String> {
        tokio::select! {
            answer = self.server.ping() => answer.map(|_| ()).map_err(|error| error.to_string())?,
            () = self.clock.sleep(PING_PATIENCE) => return Err("did not answer in time".to_owned()),
        }
        let now = self.clock.monotonic();
        if self.settings.disable_subscriptions {
            *link_at = now + LOOK_EVERY;
        } else if now >= *link_at {
            self.link().await?;
            *link_at = now + Duration::from(self.settings.subscriptions_sync_interval);
        }
        Ok(())
    }

    /// Compares subscriptions with what should be, and makes them so.
    async fn link(&self) -> Result<(), String> {
        let linked = tokio::select! {
            linked = self.compare() => linked,
            () = self.clock.sleep(LINK_PATIENCE) => {
                self.metrics.failures.inc();
                return Err("subscriptions took too long".to_owned());
            }
        };
        match linked {
            Ok(count) => {
                self.count.store(count, Ordering::Relaxed);
                self.metrics.subscriptions.set(i64::try_from(count).unwrap_or(i64::MAX));
                Ok(())
            }
            Err(error) if error.is_unsupported() => {
                self.tell_unsupported(&error.to_string());
                Ok(())
            }
            Err(error) => {
                self.metrics.failures.inc();
                Err(format!("subscriptions: {error}"))
            }
        }
    }

    /// Says what is wrong, once per change.
    fn tell(&self, problem: Option<String>) {
        let mut known = self.problem();
        if *known == problem {
            return;
        }
        match &problem {
            Some(problem) => {
                tracing::warn!(cluster = self.name, problem, "an InfluxDB cluster does not work");
            }
            None => tracing::info!(cluster = self.name, "an InfluxDB cluster works"),
        }
        *known = problem;
    }

    fn tell_unsupported(&self, reason: &str) {
        let mut is_told = self.is_unlinkable.lock().unwrap_or_else(PoisonError::into_inner);
        if !*is_told {
            tracing::info!(
                cluster = self.name,
                reason,
                "an InfluxDB cluster has no subscriptions; have its points written to this server directly"
            );
            *is_told = true;
        }
    }

    fn problem(&self) -> std::sync::MutexGuard<'_, Option<String>> {
        self.problem.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

// === impl Here ===

impl Here {
    fn new(settings: &Influxdb, addresses: &[SocketAddr], machine: &str) -> Self {
        // An address that others reach is the one to tell them.
        let open = addresses.iter().find(|address| !address.ip().is_loopback());
        let host = match (&*settings.kapacitor_hostname, open) {
            ("", None) => "localhost".to_owned(),
            ("", Some(open)) if !open.ip().is_unspecified() => open.ip().to_string(),
            ("", Some(_)) => machine.to_owned(),
            (host, _) => host.trim_matches(['[', ']']).to_owned(),
        };
        let port = match settings.http_port {
            0 => open.or(addresses.first()).map_or(0, SocketAddr::port),
            port => port,
        };
        let is_here = ["localhost", "127.0.0.1", "::1"].contains(&&*host);
        Here { host, port, is_local: open.is_none() && is_here }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use super::*;

    #[test]
    fn the_address_told_is_one_that_others_reach() {
        let mut settings = levada_settings::Settings::default().influxdb;
        for (listen, host, port, expected) in [
            ("127.0.0.1:9092", "", 0, "localhost:9092"),
            ("127.0.0.1:9092", "tunnel", 0, "tunnel:9092"),
            ("127.0.0.1:9092 0.0.0.0:9093", "", 0, "machine:9093"),
            ("[::1]:1 10.1.2.3:2", "", 0, "10.1.2.3:2"),
            ("[fe80::1]:2", "", 0, "fe80::1:2"),
            ("10.1.2.3:2", "proxy", 0, "proxy:2"),
            ("10.1.2.3:2", "[::7]", 80, "::7:80"),
        ] {
            settings.kapacitor_hostname = host.to_owned();
            settings.http_port = port;
            let addresses: Vec<SocketAddr> =
                listen.split(' ').map(|address| address.parse().unwrap()).collect();
            let here = Here::new(&settings, &addresses, "machine");
            assert_eq!(format!("{}:{}", here.host, here.port), expected, "{listen} {host}");
            assert_eq!(here.is_local, expected.starts_with("localhost"));
        }
    }
}
