//! The server: its store, its tasks and alerts, its listeners.

mod identity;
mod load;
mod tls;

use std::io;
use std::net::{SocketAddr, ToSocketAddrs};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use levada_alert::handlers::HandlerDeps;
use levada_alert::metrics::AlertMetrics;
use levada_alert::service::{AlertService, ServiceDeps, ServiceSettings};
use levada_alert::services::Services;
pub use levada_api::LogControl;
use levada_api::auth::{NewUser, UserError, UserGate, UserKind, Users, UsersSettings};
use levada_api::config::{Config, ConfigDeps, ConfigError};
use levada_api::kapacitor::{Points, PointsDeps};
use levada_api::{
    Api, Gate, Health, Identity, Limits, Listener, NoGate, Router, gateway, kapacitor, own,
};
use levada_runtime::{Shutdown, ShutdownHandle, TaskKind};
use levada_settings::Settings;
use levada_store::{DocumentError, Documents};
use levada_task::recordings::{Recordings, RecordingsError};
use levada_task::service::TaskService;
use thiserror::Error;

use crate::flows::Host;
use crate::gateway::{GatewayError, GatewayHost};
use crate::influxdb::{InfluxDbs, InfluxDeps};
use crate::inputs::metrics::InputMetrics;
use crate::inputs::{InputDeps, Inputs};
use crate::tasks::vitals::{Monitoring, TaskVitals};
use crate::tasks::{TaskHost, connections};
use load::LoadDirectory;

/// The file of the store, in the data folder.
const DATABASE: &str = "levada.db";
/// How long the last answers may take after everything else ended.
const LAST_ANSWERS: Duration = Duration::from_secs(5);
/// How often the numbers of alerts are brought up to date.
const METRICS_INTERVAL: Duration = Duration::from_secs(1);

/// What a server is started with.
pub struct ServerDeps {
    /// Settings, clock, metrics, tasks of the process.
    pub host: Host,
    /// The level of the log.
    pub log: Arc<dyn LogControl>,
    /// Tells when to stop.
    pub shutdown: Shutdown,
}

/// A server that accepts requests.
pub struct Server {
    host: Host,
    tasks: TaskHost,
    recordings: Recordings,
    api: Arc<Api>,
    inputs: Arc<Inputs>,
    influxdb: Arc<InfluxDbs>,
    gateway: Option<GatewayHost>,
    addresses: Vec<SocketAddr>,
}

/// Why a server did not start.
#[derive(Debug, Error)]
pub enum ServeError {
    /// An address cannot be listened on.
    #[error("cannot listen on `{address}` (setting `http.listen`)")]
    Listen {
        /// The address.
        address: String,
        /// The cause.
        source: io::Error,
    },
    /// Everybody could come in.
    #[error(
        "`{0}` can be reached from other machines, and nobody has to say who they are; listen on 127.0.0.1, \
         switch on authentication, or set `http.allow-anyone = true`"
    )]
    Anyone(SocketAddr),
    /// The certificate or its key cannot be used.
    #[error("TLS cannot be offered (settings `http.tls-certificate`, `http.tls-key`): {0}")]
    Tls(String),
    /// The store cannot be opened.
    #[error("the store of the setting `store.url` cannot be used")]
    Store(#[source] DocumentError),
    /// Something in the data folder cannot be read or written.
    #[error("the data folder cannot be used; choose another with --data")]
    Data(#[source] io::Error),
    /// What alerts have stored cannot be read.
    #[error("alerts cannot be used")]
    Alerts(#[source] levada_alert::service::ServiceError),
    /// Recordings cannot be kept.
    #[error("recordings cannot be kept")]
    Recordings(#[source] RecordingsError),
    /// Kapacitor's configuration cannot be used.
    #[error("the configuration of services cannot be used")]
    Config(#[source] ConfigError),
    /// Users cannot be read, or the first one not be made.
    #[error("users cannot be used")]
    Users(#[source] UserError),
    /// Nobody could come in.
    #[error(
        "`auth.enabled` is set, but there are no users; set `auth.admin-password` (LEVADA_AUTH_ADMIN_PASSWORD) to make the first one"
    )]
    Nobody,
    /// The gateway cannot work.
    #[error(transparent)]
    Gateway(#[from] GatewayError),
    /// The program contradicts itself.
    #[error("{0}")]
    Internal(String),
}

// === impl Server ===

impl Server {
    /// Opens the store, starts what is enabled, then listens.
    ///
    /// - Errors: what this server cannot be without. A task that cannot start is none of it.
    pub async fn start(deps: ServerDeps) -> Result<Self, ServeError> {
        let ServerDeps { host, log, shutdown } = deps;
        let settings = Arc::clone(&host.settings);
        let identity = identity::load(&settings.data.dir).map_err(ServeError::Data)?;
        let documents = documents(&settings, &host).await?;
        let config = config(&settings, &documents, &host).await?;
        let alerts = alerts(&documents, &config, &host).await?;
        let tasks = TaskHost::start(&host, true, Some(&alerts)).await.map_err(ServeError::Data)?;
        let service = tasks.keep(&host, Arc::clone(&documents), &shutdown);
        let recordings = tasks.recordings(&host, Arc::clone(&documents), &service).await;
        let recordings = recordings.map_err(ServeError::Recordings)?;
        let points = Points::new(PointsDeps {
            routes: tasks.master().routes().clone(),
            retention: "".into(),
            tasks: host.tasks.clone(),
            seen: tasks.ingress().counter(),
        });
        let vitals = vitals(&identity, &config, &tasks, &service, &host);
        let users = users(&settings, &documents, &host).await?;
        let mut tables = kapacitor::ROUTES.to_vec();
        tables.extend_from_slice(own::ROUTES);
        tables.extend_from_slice(gateway::ROUTES);
        let gateway = GatewayHost::start(&host, &shutdown).await?;
        let gate: Arc<dyn Gate> = match &users {
            Some(users) => {
                tables.push(kapacitor::users::ROUTES);
                Arc::new(UserGate(Arc::clone(users)))
            }
            None => Arc::new(NoGate),
        };
        let health = Health::default();
        let looked_at = alerts.clone();
        health.add("topic handlers", move || look_at_handlers(&looked_at));
        let input_deps = input_deps(&host, &tasks);
        let influxdb = InfluxDbs::new(&InfluxDeps {
            host: &host,
            clients: tasks.clusters(),
            identity: &identity,
            users: users.clone(),
            inputs: &input_deps,
        });
        let inputs = Arc::new(Inputs::start(&settings, &input_deps, &health));
        vitals.add_entries(Arc::clone(&inputs), Arc::clone(&influxdb));
        let api = Arc::new(Api {
            identity,
            subscriptions: Some(influxdb.clone()),
            router: Router::new(&tables).map_err(ServeError::Internal)?,
            gate,
            users,
            recordings: Some(recordings.clone()),
            limits: Limits {
                document_bytes: settings.http.document_bytes.as_usize(),
                points_bytes: settings.http.points_bytes.as_usize(),
                gateway_bytes: settings.gateway.max_http_body_bytes.as_usize(),
            },
            health: health.clone(),
            metrics: host.metrics.clone(),
            log,
            documents,
            alerts: alerts.clone(),
            config,
            handlers: alerts.handler_deps().clone(),
            vitals,
            shutdown: shutdown.clone(),
            work_folder: settings.data.dir.clone(),
            clock: Arc::clone(&host.clock),
            points: Some(points),
            gateway: gateway.as_ref().map(GatewayHost::api),
            tasks: Some(service.clone()),
        });
        if let Some(directory) = load_directory(&settings, &api.config) {
            let (tasks, alerts) = (service, api.alerts.clone());
            LoadDirectory { directory, tasks, alerts }.watch(&host.tasks, shutdown.clone());
        }
        let addresses = listen(&settings, &api, &host, &shutdown).await?;
        influxdb.start(&addresses, &host, &health, &shutdown);
        Ok(Server { host, tasks, recordings, inputs, influxdb, gateway, api, addresses })
    }

    /// Gives the bound addresses.
    pub fn addresses(&self) -> &[SocketAddr] {
        &self.addresses
    }

    /// Gives the tasks.
    pub fn tasks(&self) -> &TaskHost {
        &self.tasks
    }

    /// Gives the listeners for line protocol.
    pub fn inputs(&self) -> &Inputs {
        &self.inputs
    }

    /// Gives the `InfluxDB` clusters.
    pub fn influxdb(&self) -> &InfluxDbs {
        &self.influxdb
    }

    /// Finishes requests, tasks and handlers; the listeners take no more since the shutdown drains.
    pub async fn stop(self, handle: &ShutdownHandle) {
        self.inputs.stop().await;
        self.influxdb.stop().await;
        self.recordings.close().await;
        self.tasks.stop().await;
        if let Some(gateway) = &self.gateway {
            gateway.stop().await;
        }
        handle.abort();
        let clock = &self.host.clock;
        let deadline = clock.monotonic() + LAST_ANSWERS;
        let is_serving =
            || self.host.tasks.running().iter().any(|(kind, _)| *kind == TaskKind::Http);
        while is_serving() && clock.monotonic() < deadline {
            clock.sleep(Duration::from_millis(20)).await;
        }
        self.api.documents.close().await;
    }
}

fn input_deps(host: &Host, tasks: &TaskHost) -> InputDeps {
    let metrics = InputMetrics::new(&host.metrics).unwrap_or_else(|error| {
        tracing::warn!(%error, "listeners have no metrics");
        InputMetrics::hidden()
    });
    InputDeps {
        routes: tasks.master().routes().clone(),
        seen: tasks.ingress().counter(),
        clock: Arc::clone(&host.clock),
        tasks: host.tasks.clone(),
        metrics: Arc::new(metrics),
    }
}

async fn alerts(
    documents: &Arc<dyn Documents>,
    config: &Arc<Config>,
    host: &Host,
) -> Result<AlertService, ServeError> {
    let deps = ServiceDeps {
        tasks: host.tasks.clone(),
        runtime: tokio::runtime::Handle::current(),
        clock: Arc::clone(&host.clock),
        documents: Arc::clone(documents),
        handlers: HandlerDeps {
            connections: connections(host),
            services: Arc::clone(config) as Arc<dyn Services>,
            ..HandlerDeps::default()
        },
    };
    let length = config.start_element("alert").options.get("topic-buffer-length").cloned();
    let length = length.and_then(|length| usize::try_from(length.as_i64()?).ok());
    let mut service_settings = ServiceSettings::default();
    service_settings.topics = service_settings.topics.with_buffer_length(length.unwrap_or(0));
    let alerts = AlertService::open(service_settings, deps).await;
    let alerts = alerts.map_err(ServeError::Alerts)?;
    show_metrics(&alerts, host);
    Ok(alerts)
}

/// Shows the numbers of alerts every so often.
fn show_metrics(alerts: &AlertService, host: &Host) {
    let metrics = match AlertMetrics::new(&host.metrics) {
        Ok(metrics) => metrics,
        Err(error) => return tracing::warn!(%error, "alerts have no metrics"),
    };
    let (topics, clock) = (alerts.topics().downgrade(), Arc::clone(&host.clock));
    host.tasks.spawn(TaskKind::Alert, "alert metrics", async move {
        while let Some(topics) = topics.upgrade() {
            metrics.show(&topics);
            drop(topics);
            clock.sleep(METRICS_INTERVAL).await;
        }
    });
}

/// Says which topic handlers do not run.
fn look_at_handlers(alerts: &AlertService) -> Option<String> {
    let failed = alerts.handler_errors();
    let first = failed.first()?;
    let (topic, id) = (&first.definition.topic, &first.definition.id);
    let error = first.error.as_deref().unwrap_or_default();
    Some(format!("{} do not run, e.g. `{id}` of topic `{topic}`: {error}", failed.len()))
}

async fn documents(settings: &Settings, host: &Host) -> Result<Arc<dyn Documents>, ServeError> {
    let url = settings.store.url.expose();
    let address = match url.is_empty() {
        true => format!("sqlite:{}", settings.data.dir.join(DATABASE).display()),
        false => url.clone(),
    };
    levada_store::open_documents(&address, &host.tasks).await.map_err(ServeError::Store)
}

async fn config(
    settings: &Settings,
    documents: &Arc<dyn Documents>,
    host: &Host,
) -> Result<Arc<Config>, ServeError> {
    let deps = ConfigDeps {
        kapacitor: &settings.kapacitor,
        documents: Arc::clone(documents),
        clock: Arc::clone(&host.clock),
    };
    Config::open(deps).await.map_err(ServeError::Config)
}

/// Makes what knows how the work goes, and lets it write points unless Kapacitor's `[stats]` says otherwise.
fn vitals(
    identity: &Identity,
    config: &Config,
    tasks: &TaskHost,
    kept: &TaskService,
    host: &Host,
) -> Arc<TaskVitals> {
    let clock = Arc::clone(&host.clock);
    let vitals =
        Arc::new(TaskVitals::new(tasks.clone(), Some(kept.clone()), host.tasks.clone(), clock));
    let stats = config.start_element("stats");
    let every = stats.text("stats-interval").parse::<levada_settings::Duration>();
    if let (true, Ok(every)) = (stats.is_enabled(), every)
        && !every.is_zero()
    {
        vitals.monitor(Monitoring {
            every: every.into(),
            database: stats.text("database").into(),
            retention: stats.text("retention-policy").into(),
            identity: identity.clone(),
        });
    }
    vitals
}

/// Gives the directory of tasks, templates and handlers: that of the settings, or Kapacitor's `[load]`.
fn load_directory(settings: &Settings, config: &Config) -> Option<PathBuf> {
    if !settings.task.load_dir.is_empty() {
        return Some(PathBuf::from(&settings.task.load_dir));
    }
    let load = config.start_element("load");
    load.is_enabled().then(|| PathBuf::from(load.text("dir")))
}

/// Opens the users, and makes the first one.
async fn users(
    settings: &Settings,
    documents: &Arc<dyn Documents>,
    host: &Host,
) -> Result<Option<Arc<Users>>, ServeError> {
    let auth = &settings.auth;
    if !auth.enabled {
        return Ok(None);
    }
    let secret = auth.shared_secret.expose();
    let users_settings = UsersSettings {
        bcrypt_cost: auth.bcrypt_cost,
        cache: auth.cache.into(),
        shared_secret: (!secret.is_empty()).then(|| secret.as_bytes().to_vec()),
    };
    let users = Users::new(Arc::clone(documents), Arc::clone(&host.clock), users_settings);
    let (name, password) = (&auth.admin_name, auth.admin_password.expose());
    if !password.is_empty() && users.get(name).await.map_err(ServeError::Users)?.is_none() {
        let admin = NewUser {
            name: name.clone(),
            password: Some(password.clone()),
            kind: Some(UserKind::Admin),
            ..NewUser::default()
        };
        users.create(admin).await.map_err(ServeError::Users)?;
    }
    if users.list().await.map_err(ServeError::Users)?.is_empty() {
        return Err(ServeError::Nobody);
    }
    Ok(Some(Arc::new(users)))
}

async fn listen(
    settings: &Settings,
    api: &Arc<Api>,
    host: &Host,
    shutdown: &Shutdown,
) -> Result<Vec<SocketAddr>, ServeError> {
    let http = &settings.http;
    let tls = match http.tls_certificate.is_empty() {
        true => None,
        false => {
            Some(tls::acceptor(&http.tls_certificate, &http.tls_key).map_err(ServeError::Tls)?)
        }
    };
    let mut bound = Vec::new();
    for address in http.listen.split(',').map(str::trim).filter(|address| !address.is_empty()) {
        let failed = |source| ServeError::Listen { address: address.to_owned(), source };
        if !http.allow_anyone && !api.gate.asks() {
            let found = address.to_socket_addrs().map_err(failed)?;
            if let Some(open) = found.into_iter().find(|found| !found.ip().is_loopback()) {
                return Err(ServeError::Anyone(open));
            }
        }
        let listener = Listener {
            address: address.to_owned(),
            tls: tls.clone(),
            connections_max: http.connections_max,
            head_timeout: http.head_timeout.into(),
            body_timeout: http.body_timeout.into(),
            drain_timeout: settings.runtime.drain_timeout.into(),
        };
        let served = levada_api::serve(listener, Arc::clone(api), &host.tasks, shutdown).await;
        bound.push(served.map_err(failed)?.address);
    }
    Ok(bound)
}
