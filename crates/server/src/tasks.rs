//! Tasks of the point engine in this process.

mod functions;
mod kafka;
mod metrics;
mod sideload;
mod states;
pub(crate) mod vitals;

use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use levada_alert::handlers::{Connections, HandlerDeps};
use levada_alert::service::AlertService;
use levada_alert::services::Services as ServiceConfig;
use levada_alert::topics::{Topics, TopicsDeps, TopicsSettings};
use levada_api::Identity;
use levada_clients::http::{Poster, TlsOptions};
use levada_clients::influxdb::Clusters;
use levada_connectors::points::{PointTarget, PointTargetError, PointTargets};
use levada_model::{Point, Str};
use levada_runtime::{Clock, Shutdown, TaskKind};
use levada_settings::{Overflow as OverflowSetting, Settings};
use levada_store::{Documents, StateFiles};
use levada_task::definition::{DefineOptions, Definition};
use levada_task::engine::queries::{CatchUp, QuerySettings};
use levada_task::engine::requests::RequestLimits;
use levada_task::engine::writer::WriterLimits;
use levada_task::engine::{
    Master, MasterDeps, Offer, Overflow, Restart, SideSettings, StartError, StateStore,
    TaskOptions, TaskStatus, TopicAlerts, Workers,
};
use levada_task::nodes::sideload::Source;
use levada_task::recordings::{Recordings, RecordingsDeps, RecordingsError, RecordingsSettings};
use levada_task::runtime::Services;
use levada_task::runtime::context::{Compat, Limits};
use levada_task::runtime::services::{Alerts, Deadman, Endpoint, ServerInfo, SideloadSource};
use levada_task::service::{ServiceDeps, TaskService};
use levada_task::udf::Udfs;
use levada_task::watermark::WatermarkSettings;

use crate::flows::Host;
use crate::{identity, influxdb};
pub use functions::of_settings as functions_of_settings;
use sideload::Fetcher;
use states::FileStates;
pub use vitals::Ingress;

/// Used for scripts without a `dbrp` statement; the `task` sink of flows has the same defaults.
pub const DBRP_DEFAULT: (&str, &str) = ("levada", "autogen");

/// The name of the task master. Source: kapacitor: server/server.go.
const MASTER: &str = "main";

/// How long handlers may finish the event at hand when the tasks took all the time there was.
const LAST_EVENTS: Duration = Duration::from_millis(500);
/// A full queue is looked at again after this.
const LOOK_AGAIN: Duration = Duration::from_millis(5);
/// How often tasks that failed are looked for.
const WATCH: Duration = Duration::from_secs(1);
/// Tasks whose states are stored at a time while they end: a disk that is asked for more at once does more.
const STOPPING: usize = 8;

/// The tasks of this process.
#[derive(Clone)]
pub struct TaskHost {
    master: Master,
    workers: Arc<Workers>,
    topics: Topics,
    alerts: TopicAlerts,
    sides: SideSettings,
    services: Arc<LiveServices>,
    ingress: Ingress,
    clock: Arc<dyn Clock>,
    settings: Arc<Settings>,
    keeps_state: bool,
}

/// A script that is to run.
pub struct TaskJob {
    /// The task.
    pub id: String,
    /// The script, understood.
    pub definition: Arc<Definition>,
}

struct LiveServices {
    alerts: TopicAlerts,
    config: Arc<dyn ServiceConfig>,
    fetcher: Fetcher,
    server: ServerInfo,
}

// === impl TaskHost ===

impl TaskHost {
    /// Starts the threads.
    ///
    /// - `keeps_state`: states are kept under the data folder.
    /// - Errors: that folder cannot be made, or a client of the settings.
    /// - `alerts`: where alerts go; without it they live in memory.
    /// - Waits until the functions of the settings have said what they are, for as long as their timeouts allow.
    pub async fn start(
        host: &Host,
        keeps_state: bool,
        alerts: Option<&AlertService>,
    ) -> io::Result<Self> {
        let config = alerts.map(|alerts| Arc::clone(&alerts.handler_deps().services));
        let udfs = functions::of(&host.settings, config.as_deref());
        udfs.ask_missing(&host.clock, &host.tasks).await;
        Self::start_with(host, keeps_state, alerts, udfs).await
    }

    /// Starts the threads like [`TaskHost::start`], with functions that have been asked before.
    pub async fn start_with(
        host: &Host,
        keeps_state: bool,
        alerts: Option<&AlertService>,
        udfs: Udfs,
    ) -> io::Result<Self> {
        let settings = Arc::clone(&host.settings);
        let count = match settings.task.workers {
            0 => std::thread::available_parallelism().map_or(1, usize::from),
            count => count,
        };
        let workers = Workers::start(count, Arc::clone(&host.clock), &host.tasks);
        let (topics, deps) = match alerts {
            Some(alerts) => (alerts.topics().clone(), alerts.handler_deps().clone()),
            None => alerts_in_memory(host).map_err(io::Error::other)?,
        };
        let alerts = TopicAlerts::new(MASTER.into(), topics.clone(), deps.clone());
        let store = match keeps_state {
            true => {
                let files = StateFiles::open(settings.data.dir.join("tasks"))?;
                Some(Arc::new(FileStates::new(files)) as Arc<dyn StateStore>)
            }
            false => None,
        };
        let sides = side_settings(host, influxdb::clients(host).await, udfs).await?;
        let services = Arc::new(LiveServices {
            alerts: alerts.clone(),
            config: Arc::clone(&deps.services),
            fetcher: Fetcher::new().await?,
            server: server_info(&settings, keeps_state)?,
        });
        let master = Master::new(MasterDeps {
            workers: Arc::clone(&workers),
            services: Arc::<LiveServices>::clone(&services),
            alerts: alerts.clone(),
            store,
            sides: Some(sides.clone()),
            zone: jiff::tz::TimeZone::system(),
        });
        let clock = Arc::clone(&host.clock);
        let ingress = Ingress::default();
        let tasks = TaskHost {
            master,
            workers,
            topics,
            alerts,
            sides,
            services,
            ingress,
            clock,
            settings,
            keeps_state,
        };
        tasks.keep_watch(host);
        if let Err(error) = metrics::TaskMetrics::register(&host.metrics, tasks.master.clone()) {
            tracing::warn!(%error, "tasks have no metrics");
        }
        Ok(tasks)
    }

    /// Saves states and starts failed tasks again, every so often.
    fn keep_watch(&self, host: &Host) {
        let own = self.clone();
        host.tasks.spawn(TaskKind::Task, "task watch", async move {
            loop {
                own.clock.sleep(WATCH).await;
                own.master.restart_due();
            }
        });
        let own = self.clone();
        let every = Duration::from(self.settings.task.checkpoint_interval);
        if every.is_zero() {
            return;
        }
        host.tasks.spawn(TaskKind::Task, "task states", async move {
            loop {
                own.clock.sleep(every).await;
                // No task remembers to have told what is not stored.
                if own.topics.flush().await {
                    // Copying state takes the time of the worker whose task it is, not of the I/O threads.
                    tokio::task::block_in_place(|| own.master.save());
                }
            }
        });
    }

    /// Starts a task.
    pub fn run(&self, job: TaskJob) -> Result<(), StartError> {
        let options = self.options(&job.definition);
        self.master.start(&job.id, job.definition, options)
    }

    /// Keeps tasks in a store: those that are enabled there start, while requests are answered.
    pub fn keep(
        &self,
        host: &Host,
        documents: Arc<dyn Documents>,
        shutdown: &Shutdown,
    ) -> TaskService {
        let service = TaskService::new(ServiceDeps {
            documents,
            master: self.master.clone(),
            clock: Arc::clone(&self.clock),
            tasks: host.tasks.clone(),
            options: self.options_of(Vec::new()),
            define: DefineOptions {
                deadman: deadman(&*self.services.config),
                udfs: self.sides.udfs.clone(),
                ..DefineOptions::default()
            },
        });
        let (own, watch) = (service.clone(), shutdown.clone());
        host.tasks.spawn(TaskKind::Task, "kept tasks", async move { own.run(watch).await });
        let own = service.clone();
        let (udfs, clock) = (self.sides.udfs.clone(), Arc::clone(&self.clock));
        let (joins, targets) = (host.joins.clone(), self.targets());
        let tasks = host.tasks.clone();
        host.tasks.spawn(TaskKind::Task, "start of kept tasks", async move {
            match own.restore().await {
                Ok(restored) => {
                    let (started, failed) = (restored.started, restored.failed);
                    tracing::info!(started, failed, "kept tasks have been started");
                }
                Err(error) => tracing::error!(%error, "kept tasks cannot be started"),
            }
            joins.set_tasks(targets);
            functions::await_missing(&own, udfs, &clock, &tasks).await;
        });
        service
    }

    /// Opens the recordings and replays of kept tasks.
    ///
    /// - `dir`: where the files are.
    /// - Errors: that folder or the store cannot be used.
    pub async fn recordings(
        &self,
        host: &Host,
        documents: Arc<dyn Documents>,
        kept: &TaskService,
        dir: PathBuf,
    ) -> Result<Recordings, RecordingsError> {
        let deps = RecordingsDeps {
            documents,
            tasks: Arc::new(kept.clone()),
            routes: self.master.routes().clone(),
            clusters: self.sides.clusters.clone(),
            queries: self.sides.queries.clone(),
            clock: Arc::clone(&self.clock),
            spawner: host.tasks.clone(),
            services: Arc::<LiveServices>::clone(&self.services),
            live: Some((self.alerts.clone(), self.sides.clone())),
            zone: jiff::tz::TimeZone::system(),
        };
        let recording = &self.settings.recording;
        let settings = RecordingsSettings {
            dir,
            recordings_max: recording.recordings_max,
            replays_max: recording.replays_max,
            replays_waiting_max: recording.replays_waiting_max,
            file_bytes_max: recording.file_bytes.bytes(),
            effects_bytes_max: recording.effects_bytes.bytes(),
            tap_points: recording.queue_points,
            executions_max: recording.executions_max,
            grace: recording.grace.into(),
            patience: recording.patience.into(),
        };
        Recordings::open(deps, settings).await
    }

    fn options(&self, definition: &Definition) -> TaskOptions {
        let mut dbrps = definition.dbrps.clone();
        if dbrps.is_empty() {
            dbrps.push((DBRP_DEFAULT.0.into(), DBRP_DEFAULT.1.into()));
        }
        self.options_of(dbrps)
    }

    fn options_of(&self, dbrps: Vec<(Str, Str)>) -> TaskOptions {
        let task = &self.settings.task;
        TaskOptions {
            dbrps,
            queue_points: task.queue_points,
            overflow: match task.overflow {
                OverflowSetting::Block => Overflow::Block(task.block_timeout.into()),
                OverflowSetting::DropNewest => Overflow::DropNewest,
                OverflowSetting::DropOldest => Overflow::DropOldest,
            },
            limits: Limits {
                groups: task.groups_max,
                buffered_points: task.buffered_points,
                group_ttl: nanos(task.group_ttl.into()),
            },
            compat: Compat { is_1_8: task.compat == "1.8" },
            shards: task.shards,
            restart: match task.restart_initial.is_zero() {
                true => Restart::Never,
                false => Restart::OnFailure {
                    first: task.restart_initial.into(),
                    longest: task.restart_max.into(),
                },
            },
            watermark: task.watermark.then(|| WatermarkSettings {
                lateness: nanos(task.watermark_lateness.into()),
                idle: nanos(task.watermark_idle.into()),
            }),
            keeps_state: true,
        }
    }

    /// Gives what counts points as they come in.
    pub fn ingress(&self) -> &Ingress {
        &self.ingress
    }

    /// Gives the master.
    pub fn master(&self) -> &Master {
        &self.master
    }

    /// Gives the `InfluxDB` clusters of the settings.
    pub fn clusters(&self) -> &Clusters {
        &self.sides.clusters
    }

    /// Gives what flows are to be given, so that their `task` sinks find the tasks.
    pub fn targets(&self) -> PointTargets {
        PointTargets(Arc::new(Targets { master: self.master.clone(), host: self.clone() }))
    }

    /// Waits until everything that was handed over has been worked on.
    pub async fn drain(&self, patience: Duration) {
        let deadline = self.clock.monotonic() + patience;
        while !self.master.is_drained() && self.clock.monotonic() < deadline {
            self.clock.sleep(LOOK_AGAIN).await;
        }
    }

    /// Ends all tasks, their handlers after what they have queued; gives how each ended.
    ///
    /// - All together take no longer than `runtime.drain-timeout` allows, however many of them hang: what is not done by
    ///   then is dropped, counted, or sent after the next start where it is stored.
    pub async fn stop(self) -> Vec<(Str, TaskStatus)> {
        let deadline = self.clock.monotonic() + self.settings.runtime.drain_timeout.into();
        let left = || deadline.saturating_sub(self.clock.monotonic());
        let mut ended = Vec::new();
        let ids = self.master.ids();
        if self.keeps_state {
            self.drain(left()).await;
            ended = tokio::task::block_in_place(|| self.stop_at_once(&ids, &left));
        } else {
            // One that ends may still tell the next one.
            for id in ids {
                self.drain(left()).await;
                let status = tokio::task::block_in_place(|| self.stop_one(&id, left()));
                ended.extend(status.map(|status| (id, status)));
            }
        }
        self.workers.stop();
        self.topics.shut_down(left().max(LAST_EVENTS)).await;
        ended
    }

    fn stop_at_once(
        &self,
        ids: &[Str],
        left: &(impl Fn() -> Duration + Sync),
    ) -> Vec<(Str, TaskStatus)> {
        let next = AtomicUsize::new(0);
        let stop = || {
            let mut ended = Vec::new();
            while let Some(id) = ids.get(next.fetch_add(1, Ordering::Relaxed)) {
                let status = self.stop_one(id, left());
                ended.extend(status.map(|status| (Str::clone(id), status)));
            }
            ended
        };
        std::thread::scope(|scope| {
            let stopping: Vec<_> =
                (0..STOPPING.min(ids.len())).map(|_| scope.spawn(stop)).collect();
            let parts = stopping.into_iter().filter_map(|part| part.join().ok());
            let mut ended: Vec<_> = parts.flatten().collect();
            ended.sort_by(|(one, _), (other, _)| one.cmp(other));
            ended
        })
    }

    fn stop_one(&self, id: &str, patience: Duration) -> Option<TaskStatus> {
        let status = self.master.status(id);
        self.master.stop(id, patience);
        status
    }
}

/// What tasks do outside: the `InfluxDB` clusters of the settings, requests over HTTP.
async fn side_settings(host: &Host, clusters: Clusters, udfs: Udfs) -> io::Result<SideSettings> {
    let task = &host.settings.task;
    let post = Poster::new(&TlsOptions::default()).await.map_err(io::Error::other)?;
    Ok(SideSettings {
        clusters,
        post: Arc::new(post),
        clock: Arc::clone(&host.clock),
        tasks: host.tasks.clone(),
        runtime: tokio::runtime::Handle::current(),
        writers: WriterLimits::default(),
        requests: RequestLimits::default(),
        queries: QuerySettings {
            zone: jiff::tz::TimeZone::system(),
            keep_integers: task.query_integers,
            catch_up: match task.query_catch_up {
                0 => CatchUp::None,
                count => CatchUp::All(count),
            },
            ..QuerySettings::default()
        },
        udfs,
    })
}

/// What alert handlers connect with, beside HTTP.
pub(crate) fn connections(host: &Host) -> Connections {
    let kafka = kafka::Producers { clock: Arc::clone(&host.clock), tasks: host.tasks.clone() };
    Connections::new(host.tasks.clone(), Arc::clone(&host.clock), Arc::new(kafka))
}

/// Gives topics of processes that keep no alerts, and what their handlers need.
///
/// - Errors: a setting that cannot be used.
fn alerts_in_memory(host: &Host) -> Result<(Topics, HandlerDeps), String> {
    let deps = TopicsDeps {
        tasks: host.tasks.clone(),
        runtime: tokio::runtime::Handle::current(),
        clock: Arc::clone(&host.clock),
        store: None,
        silencer: None,
    };
    let topics = Topics::new(TopicsSettings::default(), deps);
    let alone = crate::alerts::handler_deps_alone(host)?;
    let handlers = HandlerDeps { topics: Some(topics.downgrade()), ..alone };
    Ok((topics, handlers))
}

fn nanos(duration: Duration) -> i64 {
    i64::try_from(duration.as_nanos()).unwrap_or(i64::MAX)
}

/// Gives the settings of deadman, Kapacitor's `[deadman]`.
fn deadman(config: &dyn ServiceConfig) -> Deadman {
    let Some(settings) = config.elements("deadman").into_iter().next() else {
        return Deadman::default();
    };
    let default = Deadman::default();
    let interval = settings.text("interval").parse::<levada_settings::Duration>();
    let threshold = settings.options.get("threshold").and_then(serde_json::Value::as_f64);
    Deadman {
        interval: interval.map_or(default.interval, |interval| nanos(interval.into())),
        threshold: threshold.unwrap_or(default.threshold),
        id: settings.text("id").to_owned(),
        message: settings.text("message").to_owned(),
        is_global: settings.flag("global"),
    }
}

/// Gives what templates of alerts can say of this server; one that keeps nothing has no IDs.
fn server_info(settings: &Settings, keeps_state: bool) -> io::Result<ServerInfo> {
    if !keeps_state {
        return Ok(ServerInfo { hostname: identity::host(), ..ServerInfo::default() });
    }
    let Identity { host, cluster_id, server_id, .. } = identity::load(&settings.data.dir)?;
    Ok(ServerInfo { hostname: host, cluster_id, server_id })
}

struct Targets {
    master: Master,
    host: TaskHost,
}

#[async_trait]
impl PointTarget for Targets {
    async fn write(&self, name: &str, points: Vec<Point>) -> Result<(), PointTargetError> {
        let points = Arc::new(levada_task::engine::Points::from(points));
        let clock = &self.host.clock;
        let deadline = clock.monotonic() + Duration::from(self.host.settings.task.block_timeout);
        loop {
            match self.master.offer(name, &points) {
                Offer::Taken => {
                    self.host.ingress.count(&points);
                    return Ok(());
                }
                Offer::Full if clock.monotonic() < deadline => clock.sleep(LOOK_AGAIN).await,
                Offer::Full => return Err(PointTargetError::Full(name.to_owned())),
                Offer::Unknown => {
                    let known: Vec<Str> = self.master.ids();
                    let known = known.join(", ");
                    return Err(PointTargetError::Unknown { name: name.to_owned(), known });
                }
                Offer::Failed(cause) => {
                    return Err(PointTargetError::Failed { name: name.to_owned(), cause });
                }
            }
        }
    }
}

// === impl LiveServices ===

impl Services for LiveServices {
    fn endpoint(&self, name: &str) -> Option<Endpoint> {
        let found = levada_alert::handlers::endpoint(&*self.config, name);
        let found = found
            .inspect_err(|error| tracing::debug!(endpoint = name, %error, "no such endpoint"))
            .ok()?;
        let levada_alert::handlers::Endpoint { url, mut headers, basic_auth, row_template, .. } =
            found;
        if let Some((user, password)) = basic_auth {
            let credentials = BASE64_STANDARD.encode(format!("{user}:{password}"));
            headers.push(("Authorization".to_owned(), format!("Basic {credentials}")));
        }
        Some(Endpoint { url, headers, row_template: row_template.unwrap_or_default() })
    }

    fn influxdb(&self, _cluster: &str) -> Result<(), String> {
        Err("no InfluxDB cluster configured cannot use the InfluxDBOutNode".to_owned())
    }

    fn sideload(&self, source: &str) -> Result<SideloadSource, String> {
        match Source::parse(source)? {
            Source::Folder(path) => Ok(SideloadSource::Folder(PathBuf::from(path))),
            Source::Url(url) => self.fetcher.fetch(&url).map(SideloadSource::Tables),
            Source::Endpoint(name) => Err(format!("unknown sideload endpoint {name:?}")),
        }
    }

    fn alerts(&self) -> Arc<dyn Alerts> {
        levada_task::engine::alerts::shared(&self.alerts)
    }

    fn server(&self) -> ServerInfo {
        self.server.clone()
    }

    fn deadman(&self) -> Deadman {
        deadman(&*self.config)
    }
}
