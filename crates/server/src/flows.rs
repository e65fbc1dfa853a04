//! Runs flows side by side in one process.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use levada_connectors::Links;
use levada_flow::engine::{self, Counters, Deps, FlowError, Limits, Outcome, Rewound, Start};
use levada_flow::spec::Flow;
use levada_flow::spec::secrets::Secrets;
use levada_model::{Position, Str};
use levada_runtime::{Clock, Shutdown, SystemClock, TaskKind, Tasks};
use levada_settings::Settings;
use levada_store::{CheckpointStore, FileCheckpointStore, Loaded, StoreError};
use levada_telemetry::metrics::Registry;
use thiserror::Error;

use crate::joins::Joins;

/// What flows of one process share.
#[derive(Clone)]
pub struct Host {
    /// The settings.
    pub settings: Arc<Settings>,
    /// The clock.
    pub clock: Arc<dyn Clock>,
    /// The metrics.
    pub metrics: Registry,
    /// The tasks.
    pub tasks: Tasks,
    /// What its flows, tasks, alerts and gateway hand each other.
    pub joins: Joins,
    store: Option<Arc<dyn CheckpointStore>>,
}

/// Why a host cannot be made.
#[derive(Debug, Error)]
pub enum HostError {
    /// The database for checkpoints cannot be used.
    #[error("the store of the setting `flow.checkpoint-store` cannot be used")]
    Database {
        /// The cause.
        source: StoreError,
    },
    /// The folder for checkpoints cannot be used.
    #[error("the folder for checkpoints `{}` cannot be used; choose another with --data", path.display())]
    Store {
        /// The folder.
        path: PathBuf,
        /// The cause.
        source: StoreError,
    },
}

/// A flow that is to run.
pub struct Job {
    /// The checked flow.
    pub flow: Flow,
    /// How it starts.
    pub start: Start,
    /// Where its secrets are looked up.
    pub secrets: Arc<Secrets>,
    /// The folder that its paths are relative to.
    pub base_dir: PathBuf,
    /// Its counts.
    pub counters: Arc<Counters>,
    /// Set when its source was opened.
    pub is_ready: Arc<AtomicBool>,
    /// What its connectors are given, such as where points go.
    pub links: Links,
}

impl Job {
    /// Makes a job that starts as the flow is written.
    pub fn new(flow: Flow, secrets: Arc<Secrets>, base_dir: PathBuf) -> Self {
        Job {
            flow,
            start: Start::default(),
            secrets,
            base_dir,
            counters: Arc::default(),
            is_ready: Arc::default(),
            links: Links::default(),
        }
    }
}

impl Host {
    /// Makes a host that keeps checkpoints where the settings say: in a database or under the data folder.
    ///
    /// Errors: the database does not answer, or the folder cannot be made or used.
    pub fn new(settings: Settings) -> Result<Self, HostError> {
        let store = open_store(&settings)?;
        let mut host = Self::without_store(settings);
        host.store = Some(store);
        Ok(host)
    }

    /// Makes a host that forgets positions at the end.
    pub fn without_store(settings: Settings) -> Self {
        let clock = SystemClock::new();
        Host {
            metrics: Registry::with_clock(settings.metrics.max_series, clock.clone()),
            settings: Arc::new(settings),
            clock,
            tasks: Tasks::new(),
            joins: Joins::default(),
            store: None,
        }
    }

    /// Runs flows until all have ended; gives how each ended, in the order given.
    ///
    /// One flow that fails does not stop the others.
    pub async fn run(&self, jobs: Vec<Job>, shutdown: &Shutdown) -> Vec<Outcome> {
        let mut running = Vec::new();
        for job in jobs {
            let name = format!("{}/{}", job.flow.object.namespace, job.flow.object.name);
            let host = self.clone();
            let shutdown = shutdown.clone();
            let task = async move { host.run_one(job, shutdown).await };
            running.push((name, self.tasks.spawn(TaskKind::Source, "flow", task)));
        }
        let mut outcomes = Vec::new();
        for (name, task) in running {
            outcomes.push(match task.await {
                Ok(outcome) => outcome,
                Err(error) => Outcome::unexpected(name, &error.to_string()),
            });
        }
        outcomes
    }

    async fn run_one(&self, job: Job, shutdown: Shutdown) -> Outcome {
        let (flow, start, limits, deps) = self.prepare(job);
        engine::run(&flow, start, limits, deps, shutdown).await
    }

    fn prepare(&self, job: Job) -> (Flow, Start, Limits, Deps) {
        let Job { flow, start, secrets, base_dir, counters, is_ready, links } = job;
        self.joins.link(&links);
        let max_ratio = flow.errors.as_ref().and_then(|errors| errors.max_ratio);
        let limits = Limits::new(&self.settings, &flow.fields, max_ratio);
        let deps = Deps {
            clock: self.clock.clone(),
            store: self.store.clone(),
            metrics: self.metrics.clone(),
            tasks: self.tasks.clone(),
            secrets,
            base_dir,
            counters,
            is_ready,
            links,
        };
        (flow, start, limits, deps)
    }

    /// Gives the checkpoint of a flow, nothing when it has none; see [`CheckpointStore::load`].
    pub fn checkpoint(&self, flow: &str) -> Result<Option<Loaded>, StoreError> {
        self.store.as_ref().map_or(Ok(None), |store| store.load(flow))
    }

    /// Makes the flow of a job, which does not run, go on somewhere else; see [`engine::rewind`].
    pub async fn rewind(
        &self,
        job: Job,
        to: Option<&[(Str, Position)]>,
    ) -> Result<Rewound, FlowError> {
        let (flow, _, limits, deps) = self.prepare(job);
        engine::rewind(&flow, to, &limits, &deps).await
    }
}

/// Opens the store of checkpoints that the settings name; also for commands that look at positions without running a flow.
///
/// Errors: the database does not answer, or the folder cannot be made or used.
pub fn open_store(settings: &Settings) -> Result<Arc<dyn CheckpointStore>, HostError> {
    let address = settings.flow.checkpoint_store.expose();
    if !address.is_empty() {
        return levada_store::open(address).map_err(|source| HostError::Database { source });
    }
    let path = settings.data.dir.join("checkpoints");
    match FileCheckpointStore::open(&path) {
        Ok(store) => Ok(Arc::new(store)),
        Err(source) => Err(HostError::Store { path, source }),
    }
}
