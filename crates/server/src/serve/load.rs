//! The load directory: tasks, templates and handlers as files. Source: reference (server) §2.6.

use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use levada_alert::service::{AlertService, Definition};
use levada_runtime::{Shutdown, TaskKind, Tasks};
use levada_task::service::TaskService;
use levada_task::service::load::LoadHandlers;
use serde_json::Value;

/// What the files of a directory become.
#[derive(Clone)]
pub(super) struct LoadDirectory {
    /// The directory.
    pub(super) directory: PathBuf,
    /// Keeps tasks and templates.
    pub(super) tasks: TaskService,
    /// Keeps handlers.
    pub(super) alerts: AlertService,
    /// Knows how it went.
    pub(super) told: LoadTold,
}

/// How loads went; cheap to clone.
#[derive(Clone, Default)]
pub(super) struct LoadTold(Arc<Told>);

#[derive(Default)]
struct Told {
    /// Files of all loads that were wrong, and loads that failed as a whole.
    errors: AtomicU64,
    /// What is wrong since the last load.
    trouble: Mutex<Option<String>>,
}

struct Handlers(AlertService);

// === impl LoadTold ===

impl LoadTold {
    /// Counts what was wrong so far.
    pub(super) fn errors(&self) -> u64 {
        self.0.errors.load(Ordering::Relaxed)
    }

    /// Says what is wrong since the last load.
    pub(super) fn trouble(&self) -> Option<String> {
        self.0.trouble.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn tell(&self, errors: usize, trouble: Option<String>) {
        self.0.errors.fetch_add(errors as u64, Ordering::Relaxed);
        *self.0.trouble.lock().unwrap_or_else(PoisonError::into_inner) = trouble;
    }
}

// === impl LoadDirectory ===

impl LoadDirectory {
    /// Loads the directory now, and again at each SIGHUP.
    pub(super) fn watch(self, tasks: &Tasks, mut shutdown: Shutdown) {
        use tokio::signal::unix::{SignalKind, signal};
        tasks.spawn(TaskKind::Task, "load directory", async move {
            self.load().await;
            let mut hangup = match signal(SignalKind::hangup()) {
                Ok(hangup) => hangup,
                Err(error) => {
                    return tracing::warn!(service = "load", %error, "SIGHUP is not noticed");
                }
            };
            loop {
                tokio::select! {
                    received = hangup.recv() => match received {
                        Some(()) => self.load().await,
                        None => return,
                    },
                    () = shutdown.draining() => return,
                }
            }
        });
    }

    async fn load(&self) {
        let handlers = Handlers(self.alerts.clone());
        match self.tasks.load(&self.directory, Some(&handlers)).await {
            Ok(loaded) => {
                for (path, error) in &loaded.errors {
                    tracing::error!(service = "load", path = %path.display(), error, "a file was not loaded");
                }
                let (changed, unchanged, removed) =
                    (loaded.changed, loaded.unchanged, loaded.removed);
                let errors = loaded.errors.len();
                let first = loaded.errors.first().map(|(path, error)| {
                    let path = path.display();
                    format!("files that were not loaded: {errors}, e.g. `{path}`: {error}")
                });
                self.told.tell(errors, first);
                let directory = self.directory.display();
                tracing::info!(
                    service = "load", %directory, changed, unchanged, removed, errors,
                    "the directory was loaded"
                );
            }
            Err(error) => {
                tracing::error!(service = "load", %error, "the directory was not loaded");
                self.told.tell(1, Some(format!("the directory was not loaded: {error}")));
            }
        }
    }
}

#[async_trait]
impl LoadHandlers for Handlers {
    async fn load(&self, definition: &Value) -> Result<String, String> {
        let definition: Definition =
            serde_json::from_value(definition.clone()).map_err(|error| error.to_string())?;
        let (topic, id) = (definition.topic.clone(), definition.id.clone());
        let done = match self.0.handler(&topic, &id) {
            Some(_) => self.0.handler_update(&topic, &id, |_| Ok(definition)).await.map(drop),
            None => self.0.handler_create(definition).await,
        };
        done.map_err(|error| error.to_string())?;
        serde_json::to_string(&(topic, id)).map_err(|error| error.to_string())
    }

    async fn remove(&self, known: &str) -> Result<(), String> {
        let (topic, id): (String, String) =
            serde_json::from_str(known).map_err(|error| error.to_string())?;
        self.0.handler_delete(&topic, &id).await.map(drop).map_err(|error| error.to_string())
    }
}
