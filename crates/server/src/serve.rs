//! The server: its store, its tasks and alerts, its listeners.

mod flows;
mod listen;
mod load;
mod metrics;
mod tls;

use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use levada_alert::service::AlertService;
use levada_alert::services::Services as _;
pub use levada_api::LogControl;
use levada_api::auth::{NewUser, UserError, UserKind, Users, UsersSettings};
use levada_api::config::{Config, ConfigDeps, ConfigError};
use levada_api::kapacitor::{Points, PointsDeps};
use levada_api::{Api, Health, Identity};
use levada_runtime::{Shutdown, ShutdownHandle, TaskKind};
use levada_settings::Settings;
use levada_store::{DocumentError, Documents};
use levada_task::recordings::{Recordings, RecordingsError};
use levada_task::service::TaskService;
use thiserror::Error;

use crate::flows::{Host, Job};
pub use crate::gateway::ReadSettings;
use crate::gateway::{GatewayError, GatewayHost};
use crate::identity;
use crate::influxdb::{InfluxDbs, InfluxDeps, own_elements};
use crate::inputs::metrics::InputMetrics;
use crate::inputs::{InputDeps, Inputs};
use crate::tasks::TaskHost;
use crate::tasks::vitals::{Monitoring, TaskVitals};
use flows::Flows;
pub(crate) use listen::Bound;
use load::{LoadDirectory, LoadTold};

/// The file of the store, in the data folder.
const DATABASE: &str = "levada.db";
/// How long the last answers may take after everything else ended.
const LAST_ANSWERS: Duration = Duration::from_secs(5);

/// What a server is started with.
pub struct ServerDeps {
    /// Settings, clock, metrics, tasks of the process.
    pub host: Host,
    /// The level of the log.
    pub log: Arc<dyn LogControl>,
    /// Tells when to stop.
    pub shutdown: Shutdown,
    /// Flows that run for as long as the server does, or until their sources end.
    pub flows: Vec<Job>,
    /// Reads the settings again at SIGHUP, for what can change while the server runs.
    pub read_settings: Option<ReadSettings>,
}

/// A server that accepts requests.
pub struct Server {
    host: Host,
    tasks: TaskHost,
    recordings: Recordings,
    documents: Arc<dyn Documents>,
    inputs: Arc<Inputs>,
    influxdb: Arc<InfluxDbs>,
    gateway: Option<GatewayHost>,
    flows: Flows,
    addresses: Vec<SocketAddr>,
}

/// Why a server did not start.
#[derive(Debug, Error)]
pub enum ServeError {
    /// An address cannot be listened on.
    #[error("cannot listen on `{address}` (setting `{setting}`)")]
    Listen {
        /// The address.
        address: String,
        /// The key of the setting.
        setting: String,
        /// The cause.
        source: io::Error,
    },
    /// Everybody could come in.
    #[error(
        "`{address}` can be reached from other machines, and nobody has to say who they are; listen on 127.0.0.1, \
         switch on authentication, or set `{listener}allow-anyone = true`"
    )]
    Anyone {
        /// The address.
        address: SocketAddr,
        /// The start of the keys of the listener.
        listener: String,
    },
    /// The certificate or its key cannot be used.
    #[error(
        "TLS cannot be offered (settings `{listener}tls-certificate`, `{listener}tls-key`): {reason}"
    )]
    Tls {
        /// The start of the keys of the listener.
        listener: String,
        /// The cause.
        reason: String,
    },
    /// There is no such dialect.
    #[error("setting `{listener}dialects`: there is no dialect {name:?}; known: {known}")]
    Dialect {
        /// The start of the keys of the listener.
        listener: String,
        /// What was written.
        name: String,
        /// The names.
        known: String,
    },
    /// The store cannot be opened.
    #[error("the store of the setting `store.url` cannot be used")]
    Store(#[source] DocumentError),
    /// Something in the data folder cannot be read or written.
    #[error("the data folder cannot be used; choose another with --data")]
    Data(#[source] io::Error),
    /// A setting has the right type and cannot be used.
    #[error("{0}")]
    Setting(String),
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
        let ServerDeps { host, log, shutdown, flows: jobs, read_settings } = deps;
        let settings = Arc::clone(&host.settings);
        let identity = identity::load(&settings.data.dir).map_err(ServeError::Data)?;
        let documents = documents(&settings, &host).await?;
        let config = config(&settings, &documents, &host).await?;
        host.joins.circles().set_flows(jobs.iter().map(|job| &job.flow));
        // First: tasks and alerts look for it.
        let gateway = GatewayHost::start(&host, read_settings, &shutdown).await?;
        let alerts = crate::alerts::open(&documents, &config, &host).await?;
        let tasks = TaskHost::start(&host, true, Some(&alerts)).await.map_err(ServeError::Data)?;
        let users = users(&settings, &documents, &host).await?;
        let input_deps = input_deps(&host, &tasks);
        let deps = InfluxDeps {
            host: &host,
            clients: tasks.clusters(),
            identity: &identity,
            users: users.clone(),
            inputs: &input_deps,
            shared_secret: shared_secret(&settings, &config),
        };
        // Before tasks start: they look for the clusters that they ask.
        let influxdb = InfluxDbs::new(deps, &config.elements("influxdb")).await;
        config.add_follower("influxdb", influxdb.clone());
        let service = tasks.keep(&host, Arc::clone(&documents), &shutdown);
        let folder = recordings_folder(&settings, &config);
        let recordings = tasks.recordings(&host, Arc::clone(&documents), &service, folder).await;
        let recordings = recordings.map_err(ServeError::Recordings)?;
        let points = Points::new(PointsDeps {
            routes: tasks.master().routes().clone(),
            retention: config.start_element("").text("default-retention-policy").into(),
            tasks: host.tasks.clone(),
            seen: tasks.ingress().counter(),
        });
        let vitals = vitals(&identity, &config, &tasks, &service, &host);
        let health = Health::default();
        let looked_at = alerts.clone();
        health.add("topic handlers", move || look_at_handlers(&looked_at));
        let looked_at = service.clone();
        health.add("tasks", move || look_at_tasks(&looked_at));
        let inputs = Arc::new(Inputs::start(&settings, &input_deps, &health));
        vitals.add_entries(Arc::clone(&inputs), Arc::clone(&influxdb));
        let load = load_directory(&settings, &config);
        let load = load.map(|directory| (directory, LoadTold::default()));
        if let Some((_, told)) = &load {
            let (counted, looked_at) = (told.clone(), told.clone());
            vitals.add_load(move || counted.errors());
            health.add("load directory", move || looked_at.trouble());
        }
        metrics::register(&host.metrics, &documents, log.feed());
        let parts = listen::Parts::new(&settings.http, users.as_ref(), "http.")?;
        let api = Api {
            router: parts.router,
            gate: parts.gate,
            limits: parts.limits,
            identity,
            subscriptions: Some(influxdb.clone()),
            users,
            recordings: Some(recordings.clone()),
            tested: vec![influxdb.clone()],
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
        };
        if let Some((directory, told)) = load {
            let (tasks, alerts) = (service, api.alerts.clone());
            LoadDirectory { directory, tasks, alerts, told }.watch(&host.tasks, shutdown.clone());
        }
        let bound = listen::all(&api, &host, &shutdown).await?;
        influxdb.start(&bound, &health, &shutdown);
        let addresses = bound.iter().map(|bound| bound.address).collect();
        let flows = Flows::start(jobs, &host, &tasks, &health, &shutdown);
        let documents = api.documents;
        Ok(Server {
            host,
            tasks,
            recordings,
            inputs,
            influxdb,
            gateway,
            flows,
            documents,
            addresses,
        })
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
        // Before what they write to.
        self.flows.stop().await;
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
        self.documents.close().await;
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

/// Says which tasks do not run although they are enabled.
fn look_at_tasks(tasks: &TaskService) -> Option<String> {
    let (count, id, error) = tasks.troubled()?;
    Some(format!("enabled tasks that do not run: {count}, e.g. `{id}`: {error}"))
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
        own: own_elements(&settings.influxdb).into_iter().map(|set| ("influxdb", set)).collect(),
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

/// Gives the secret that signs tokens for `InfluxDB`: that of the settings, or of Kapacitor's `[http]`.
fn shared_secret(settings: &Settings, config: &Config) -> String {
    match &**settings.auth.shared_secret.expose() {
        "" => config.start_element("http").text("shared-secret").to_owned(),
        own => own.to_owned(),
    }
}

/// Gives the folder of recordings: that of the settings, Kapacitor's `[replay]`, or one with the other data.
fn recordings_folder(settings: &Settings, config: &Config) -> PathBuf {
    let of_kapacitor = config.start_element("replay");
    match (&*settings.recording.dir, of_kapacitor.text("dir")) {
        ("", "") => settings.data.dir.join("replay"),
        ("", dir) | (dir, _) => PathBuf::from(dir),
    }
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
