//! The gateway of a server: from settings to destinations that are sent to.

pub mod circles;
mod estate;
pub mod import;
mod inside;
mod kept;
mod reload;
mod specs;
pub mod writers;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use levada_api::gateway::GatewayApi;
use levada_clients::dataway::{Dataway, DatawayOptions, Endpoint};
use levada_clients::net::Net;
use levada_gateway::destination::{DestinationError, DestinationSpec, Destinations};
use levada_gateway::gateway::Gateway;
use levada_gateway::ingest::Encoder;
use levada_gateway::metrics::{
    CacheMetrics, DatawayMetrics, EndpointMetrics, NetMetrics, QueueFamilies, show_pipeline,
};
use levada_gateway::pull::Puller;
use levada_gateway::rules::RulesError;
use levada_gateway::tenants::Tenants;
use levada_runtime::{Shutdown, TaskKind};
use levada_telemetry::metrics::MetricsError;
use thiserror::Error;
use uuid::Uuid;

use self::estate::{Estate, Ground};
pub use self::reload::ReadSettings;
use self::reload::Reloader;
use crate::flows::Host;
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
    estate: Arc<Estate>,
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
    #[error("rules of the gateway are wrong")]
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
        let mut wanted = specs::destinations(settings)?;
        let ground = Ground {
            host: host.clone(),
            dir: host.settings.data.dir.join(FOLDER),
            encoder: Arc::clone(&encoder),
            metrics: Arc::clone(&metrics),
            net,
            net_metrics,
        };
        let sinkers = specs::of_sinkers(settings).len();
        let names = kept::place(&mut wanted, sinkers, &ground.dir, &host.tasks, &clock).await;
        let shared = ground.shared();
        let (destinations, _) =
            Destinations::default().plan(&wanted, &shared).await?.open(&shared).await?;
        drop(shared);
        let places = destinations.places();
        let rules = specs::rules(settings, &kept::renamed(&names, places.targets.clone()))?;
        let circles = host.joins.circles();
        circles.set_gateway(&wanted, &rules, &places.targets).map_err(GatewayError::Setting)?;
        let gateway = Arc::new(Gateway::with(places, rules, bounds, encoder)?);
        let (own, tasks) = (Arc::clone(&gateway), host.tasks.clone());
        let writers = GatewayWriters::new(own, tasks, Arc::clone(&clock), circles);
        gateway.watch(Arc::clone(&head) as _, Arc::clone(&clock));
        head.filters_changed(clock.now());
        let tenants = specs::tenants(settings);
        let tenants =
            Tenants::new(settings.token.expose(), tenants, Arc::clone(&clock), &host.metrics)?;
        let centre = centre(settings, &wanted).await?;
        if let (Some((client, endpoint)), true) = (&centre, settings.pull_filters) {
            let (client, endpoint) = (client.clone(), endpoint.clone());
            let puller = Puller::new(client, endpoint, Arc::clone(&gateway), Arc::clone(&clock));
            let puller = puller.watched(Arc::clone(&head));
            let shutdown = shutdown.clone();
            host.tasks.spawn(TaskKind::Gateway, "pull of filters", async move {
                puller.run(shutdown).await;
            });
        }
        let estate = Arc::new(Estate::new(ground, Arc::clone(&gateway), destinations)?);
        let api = Arc::new(GatewayApi {
            gateway,
            senders: Arc::clone(&estate.senders),
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
            let (estate, started) = (Arc::clone(&estate), settings.clone());
            let reloader = Reloader { read, estate, started, clock, head };
            reloader.watch(&host.tasks, shutdown.clone());
        }
        Ok(Some(GatewayHost { api, host: host.clone(), estate }))
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
        self.estate.hurry();
        let clock = &self.host.clock;
        // What goes on while everything else has ended: destinations that are not in this process.
        let queued = || self.estate.queued(|spec| !spec.kind.is_inside());
        let (mut left, mut since) = (queued().await, clock.monotonic());
        while left > 0 && clock.monotonic().saturating_sub(since) < LAST_DELIVERIES {
            clock.sleep(LOOK_EVERY).await;
            let now = queued().await;
            if now != left {
                (left, since) = (now, clock.monotonic());
            }
        }
        self.stop().await;
        self.estate.queued(|_| true).await
    }

    /// Takes no more. What is in memory is sent while there is time, what is on the disk stays there; requests under way end.
    pub async fn stop(&self) {
        self.estate.hurry();
        let clock = &self.host.clock;
        let patience: Duration = self.host.settings.runtime.drain_timeout.into();
        let deadline = clock.monotonic() + patience;
        let is_lost = |spec: &DestinationSpec| !spec.kind.is_inside() && specs::is_in_memory(spec);
        while self.estate.queued(is_lost).await > 0 && clock.monotonic() < deadline {
            clock.sleep(LOOK_EVERY).await;
        }
        self.estate.end(deadline).await;
    }
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
    show_pipeline(&host.metrics, &api.gateway, &[])?;
    let own = EndpointMetrics::new(&host.metrics)?;
    let caches = CacheMetrics::new(&host.metrics)?;
    let state = Mutex::new((BTreeMap::new(), own, caches));
    // A gateway that is gone is shown no more.
    let (api, clock) = (Arc::downgrade(api), Arc::clone(&host.clock));
    host.metrics.before_render(move || {
        let Some(api) = api.upgrade() else { return };
        let (queues, own, caches) = &mut *state.lock().unwrap_or_else(PoisonError::into_inner);
        let outlets = api.gateway.outlets();
        queues.retain(|name, _| outlets.iter().any(|outlet| outlet.name == *name));
        for outlet in &*outlets {
            let metrics = queues.entry(outlet.name.clone());
            let metrics = metrics.or_insert_with(|| families.of(&outlet.name));
            metrics.show(&outlet.queue.status());
        }
        let senders = api.senders.list();
        let senders: Vec<_> = senders.iter().map(|sender| &**sender).collect();
        caches.show(&api.gateway, clock.now());
        if let Some(metrics) = &api.metrics {
            metrics.elections().show(api.elections.leaders(clock.monotonic()));
        }
        own.show(api.gateway.stats(), &senders, clock.monotonic());
    });
    Ok(())
}
