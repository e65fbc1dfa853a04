//! The gateway of a server: from settings to destinations that are sent to.

mod inside;
mod reload;
mod specs;
pub mod writers;

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use levada_api::gateway::GatewayApi;
use levada_clients::dataway::{Dataway, DatawayOptions, Endpoint};
use levada_clients::net::Net;
use levada_gateway::destination::{self, DestinationError, DestinationSpec, Shared};
use levada_gateway::gateway::Gateway;
use levada_gateway::ingest::Encoder;
use levada_gateway::metrics::{
    CacheMetrics, DatawayMetrics, EndpointMetrics, NetMetrics, QueueFamilies, show_pipeline,
};
use levada_gateway::pull::Puller;
use levada_gateway::rules::{DestinationId, RulesError, RulesSpec, Target};
use levada_gateway::tenants::Tenants;
use levada_runtime::{Shutdown, ShutdownHandle, TaskKind};
use levada_telemetry::metrics::MetricsError;
use thiserror::Error;
use tokio::task::JoinHandle;
use uuid::Uuid;

pub use self::reload::ReadSettings;
use self::reload::Reloader;
use crate::flows::Host;
use inside::InThisProcess;
use writers::GatewayWriters;

/// The folder of the queues, in the data folder.
const FOLDER: &str = "gateway";
/// How long a request waits for room in a queue.
const PATIENCE: Duration = Duration::from_secs(5);
/// How often is looked whether queues are empty, at the end.
const LOOK_EVERY: Duration = Duration::from_millis(20);
/// How long is waited at the end of a command while nothing is delivered.
const LAST_DELIVERIES: Duration = Duration::from_secs(5);

/// The gateway of a server.
pub struct GatewayHost {
    api: Arc<GatewayApi>,
    host: Host,
    /// Ends the senders; later than the shutdown of the server, so that what is under way may arrive.
    stop: ShutdownHandle,
    senders: Mutex<Vec<JoinHandle<()>>>,
    /// What can go on while everything else has ended: destinations that are not in this process.
    outside: Vec<DestinationId>,
    /// Those of them that lose what waits when the process ends.
    in_memory: Vec<DestinationId>,
}

/// Why a gateway did not start.
#[derive(Debug, Error)]
pub enum GatewayError {
    /// A destination cannot be opened.
    #[error("a destination of the gateway cannot be opened")]
    Destination(#[from] DestinationError),
    /// A value of the settings cannot be.
    #[error("{0}")]
    Setting(String),
    /// Rules are wrong.
    #[error("rules of the gateway are wrong: {0}")]
    Rules(#[from] RulesError),
    /// Metrics contradict each other.
    #[error("the gateway has no metrics")]
    Metrics(#[from] MetricsError),
}

// === impl GatewayHost ===

impl GatewayHost {
    /// Opens destinations and starts to send; nothing when the settings name none. With `read`, SIGHUP reads rules again.
    ///
    /// - Errors: anything that is wrong with the settings (B16), or a queue that cannot be opened.
    pub async fn start(
        host: &Host,
        read: Option<ReadSettings>,
        shutdown: &Shutdown,
    ) -> Result<Option<Self>, GatewayError> {
        let settings = &host.settings.gateway;
        if !settings.is_set() {
            return Ok(None);
        }
        let clock = Arc::clone(&host.clock);
        let metrics = Arc::new(DatawayMetrics::new(&host.metrics, Arc::clone(&clock))?);
        let net_metrics = Arc::new(NetMetrics::new(&host.metrics, "dataway")?);
        let net = Net {
            watch: Some(Arc::clone(&net_metrics) as _),
            clock: Arc::clone(&clock),
            ..Net::default()
        };
        let bounds = specs::bounds(settings);
        let random = Uuid::new_v4().as_u128() as u64;
        let head = Arc::clone(metrics.head());
        let encoder = Encoder::new(bounds.clone(), random);
        let encoder = Arc::new(encoder.watched(Arc::clone(&head) as _, Arc::clone(&clock)));
        let destinations = specs::destinations(settings)?;
        let dir: PathBuf = host.settings.data.dir.join(FOLDER);
        let shared = Shared {
            dir: &dir,
            encoder: Arc::clone(&encoder),
            clock: Arc::clone(&clock),
            tasks: &host.tasks,
            watch: Some(Arc::clone(&metrics) as _),
            net: net.clone(),
            insiders: Some(Arc::new(InThisProcess(host.joins.clone()))),
        };
        let opened = destination::open(&destinations, &shared).await?;
        net_metrics.watches(specs::names(&destinations));
        let rules = specs::rules(settings, &opened.targets)?;
        metrics.set_sunk_to(sunk_to(&rules, &opened));
        let gateway = Arc::new(Gateway::new(opened.outlets, rules, bounds, encoder)?);
        let outside: Vec<&DestinationSpec> =
            destinations.iter().filter(|spec| !spec.kind.is_inside()).collect();
        let in_memory = outside.iter().copied().filter(|spec| specs::is_in_memory(spec));
        let in_memory = ids(in_memory, &opened.targets);
        let outside = ids(outside.into_iter(), &opened.targets);
        let (own, tasks) = (Arc::clone(&gateway), host.tasks.clone());
        let writers = GatewayWriters::new(own, opened.targets.clone(), tasks, Arc::clone(&clock));
        gateway.watch(Arc::clone(&head) as _, Arc::clone(&clock));
        gateway.outlets().iter().for_each(|outlet| head.watch_reads(&outlet.queue));
        head.filters_changed(clock.now());
        let tenants = specs::tenants(settings);
        let tenants =
            Tenants::new(settings.token.expose(), tenants, Arc::clone(&clock), &host.metrics)?;
        let centre = centre(settings, &destinations).await?;
        if let (Some((client, endpoint)), true) = (&centre, settings.pull_filters) {
            let (client, endpoint) = (client.clone(), endpoint.clone());
            let puller = Puller::new(client, endpoint, Arc::clone(&gateway), Arc::clone(&clock));
            let puller = puller.watched(Arc::clone(&head));
            let shutdown = shutdown.clone();
            host.tasks.spawn(TaskKind::Gateway, "pull of filters", async move {
                puller.run(shutdown).await;
            });
        }
        let (stop, stopping) = ShutdownHandle::new();
        let senders = opened.senders.iter().map(|sender| {
            let (sender, stopping) = (Arc::clone(sender), stopping.clone());
            let name = format!("sender of {}", sender.name());
            host.tasks.spawn(TaskKind::Gateway, &name, async move { sender.run(stopping).await })
        });
        let senders = Mutex::new(senders.collect());
        for sender in &opened.senders {
            let (sender, stopping) = (Arc::clone(sender), stopping.clone());
            let name = format!("names of {}", sender.name());
            let work = async move { sender.watch_names(stopping).await };
            drop(host.tasks.spawn(TaskKind::Gateway, &name, work));
        }
        let api = Arc::new(GatewayApi {
            gateway,
            senders: opened.senders,
            tenants,
            metrics: Some(metrics),
            tasks: host.tasks.clone(),
            patience: PATIENCE,
            body_bytes_max: settings.max_http_body_bytes.as_usize(),
            centre,
            elections: Default::default(),
        });
        show(host, &api)?;
        host.joins.set_gateway(Arc::new(writers));
        if let Some(read) = read {
            let reloader = Reloader {
                read,
                gateway: Arc::clone(&api.gateway),
                destinations,
                targets: opened.targets,
                started: settings.clone(),
                clock,
                head,
            };
            reloader.watch(&host.tasks, shutdown.clone());
        }
        Ok(Some(GatewayHost { api, host: host.clone(), stop, senders, outside, in_memory }))
    }

    /// Gives what routes work with.
    pub fn api(&self) -> Arc<GatewayApi> {
        Arc::clone(&self.api)
    }

    /// Gives what takes points, for writers in this process.
    pub fn gateway(&self) -> &Arc<Gateway> {
        &self.api.gateway
    }

    /// Waits until everything has been delivered, for as long as deliveries go on, and then stops; for commands that end with
    /// their work. Gives how many copies of points wait for the next start.
    pub async fn finish(&self) -> u64 {
        let outlets = self.api.gateway.outlets();
        outlets.iter().for_each(|outlet| outlet.queue.drain());
        self.api.senders.iter().for_each(|sender| sender.hurry());
        let clock = &self.host.clock;
        let (mut left, mut since) = (self.queued(&self.outside), clock.monotonic());
        while left > 0 && clock.monotonic().saturating_sub(since) < LAST_DELIVERIES {
            clock.sleep(LOOK_EVERY).await;
            let now = self.queued(&self.outside);
            if now != left {
                (left, since) = (now, clock.monotonic());
            }
        }
        self.stop().await;
        outlets.iter().map(|outlet| outlet.queue.counts().queued).sum()
    }

    /// Gives how many copies of points wait for some destinations.
    fn queued(&self, destinations: &[DestinationId]) -> u64 {
        let outlets = self.api.gateway.outlets();
        destinations.iter().map(|id| outlets[usize::from(*id)].queue.counts().queued).sum()
    }

    /// Takes no more. What is in memory is sent while there is time, what is on the disk stays there; requests under way end.
    pub async fn stop(&self) {
        let outlets = self.api.gateway.outlets();
        outlets.iter().for_each(|outlet| outlet.queue.drain());
        self.api.senders.iter().for_each(|sender| sender.hurry());
        let clock = &self.host.clock;
        let patience: Duration = self.host.settings.runtime.drain_timeout.into();
        let deadline = clock.monotonic() + patience;
        while self.queued(&self.in_memory) > 0 && clock.monotonic() < deadline {
            clock.sleep(LOOK_EVERY).await;
        }
        self.stop.drain();
        let senders =
            std::mem::take(&mut *self.senders.lock().unwrap_or_else(PoisonError::into_inner));
        for sender in senders {
            let left = deadline.saturating_sub(clock.monotonic());
            tokio::select! {
                ended = sender => if let Err(error) = ended {
                    tracing::warn!(%error, "a sender ended unexpectedly");
                },
                () = clock.sleep(left) => self.stop.abort(),
            }
        }
        for outlet in outlets {
            outlet.queue.close().await;
            let left = outlet.queue.counts().queued;
            if left > 0 {
                tracing::info!(
                    destination = outlet.name,
                    points = left,
                    "points wait for the next start"
                );
            }
        }
    }
}

/// Gives the queues of destinations.
fn ids<'s>(
    specs: impl Iterator<Item = &'s DestinationSpec>,
    targets: &BTreeMap<String, Target>,
) -> Vec<DestinationId> {
    specs.filter_map(|spec| targets.get(&spec.name)).flat_map(specs::ids).collect()
}

/// Gives the queues that only sinkers send to.
fn sunk_to(rules: &RulesSpec, opened: &destination::Opened) -> BTreeSet<String> {
    let of_default = rules.default.as_ref().map(specs::ids).unwrap_or_default();
    let ids = rules.sinkers.iter().flat_map(|sinker| specs::ids(&sinker.target));
    let ids = ids.filter(|id| !of_default.contains(id));
    ids.map(|id| opened.outlets[usize::from(id)].name.clone()).collect()
}

/// Makes a client of the first endpoint, which is asked what only a centre knows.
async fn centre(
    settings: &levada_settings::Gateway,
    destinations: &[DestinationSpec],
) -> Result<Option<(Dataway, Endpoint)>, GatewayError> {
    if settings.urls.is_empty() {
        return Ok(None);
    }
    let Some(first) = destinations.first().and_then(|spec| spec.endpoints.first()) else {
        return Ok(None);
    };
    let endpoint = Endpoint::parse(&first.url, Some(&first.token))
        .map_err(|error| GatewayError::Setting(format!("gateway.urls[0]: {error}")))?;
    let options = DatawayOptions {
        tls: first.tls.clone(),
        proxy: first.proxy.clone(),
        timeout: first.timeout,
        ..DatawayOptions::default()
    };
    let client = Dataway::new(&endpoint, options).await;
    let client =
        client.map_err(|error| GatewayError::Setting(format!("gateway.urls[0]: {error}")))?;
    Ok(Some((client, endpoint)))
}

/// Shows all numbers at every scrape.
fn show(host: &Host, api: &Arc<GatewayApi>) -> Result<(), GatewayError> {
    let families = QueueFamilies::new(&host.metrics)?;
    let outlets = api.gateway.outlets();
    let queues: Vec<_> = outlets.iter().map(|outlet| families.of(&outlet.name)).collect();
    show_pipeline(&host.metrics, &api.gateway, &api.senders)?;
    let own = EndpointMetrics::new(&host.metrics)?;
    let caches = CacheMetrics::new(&host.metrics, host.clock.now())?;
    let state = Mutex::new((queues, own, caches));
    // A gateway that is gone is shown no more.
    let (api, clock) = (Arc::downgrade(api), Arc::clone(&host.clock));
    host.metrics.before_render(move || {
        let Some(api) = api.upgrade() else { return };
        let (queues, own, caches) = &mut *state.lock().unwrap_or_else(PoisonError::into_inner);
        for (metrics, outlet) in queues.iter_mut().zip(api.gateway.outlets()) {
            metrics.show(&outlet.queue.status());
        }
        let senders: Vec<_> = api.senders.iter().map(|sender| &**sender).collect();
        caches.show(&api.gateway);
        if let Some(metrics) = &api.metrics {
            metrics.elections().show(api.elections.leaders(clock.monotonic()));
        }
        own.show(api.gateway.stats(), &senders, clock.monotonic());
    });
    Ok(())
}
