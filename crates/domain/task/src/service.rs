//! Tasks and templates as they are kept: created, changed, listed, started again after a restart.
//!
//! ```text
//! request ─▶ TaskService ─ validate ─▶ Documents (one `apply`) ─▶ Master (start, replace, stop) ─▶ answer
//!                ▲                          │
//!   failures ────┘        restore, load ◀───┘
//! ```
//!
//! Invariants:
//! - A definition is stored before it runs: what was acknowledged is there after a crash, and runs again.
//! - Changes of one ID follow each other; those of other IDs do not wait for them. A change of a template holds all of its
//!   tasks. What ends slowly goes on by itself: an answer waits for it for [`STOP_ANSWER`] only.
//! - A definition that does not change is not restarted; one that does keeps the state of its unchanged nodes.
//! - A change that has begun is finished, also when nobody waits for the answer any more.
//!
//! Where to start: [`TaskService`]; what a request may ask for is [`TaskChange`] and [`TemplateChange`].

pub mod change;
mod compile;
pub mod error;
pub mod id;
pub mod load;
mod locks;
mod record;
mod restore;
mod source;
mod task;
mod template;
pub mod view;
mod watch;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use levada_model::Str;
use levada_runtime::{Clock, TaskKind, Tasks};
use levada_store::Documents;
use tokio::sync::Notify;

use crate::definition::{DefineOptions, Definition};
use crate::engine::{Master, TaskOptions};

pub use change::{GivenVars, Mode, TaskChange, TemplateChange};
pub use error::{InvalidVars, ServiceError};
pub use record::{TaskRecord, TemplateRecord};
pub use view::{ListRange, TaskView, TemplateView, ViewOptions};

/// The space of tasks.
pub const TASKS: &str = "tasks";
/// The space of templates.
pub const TEMPLATES: &str = "templates";

/// How long an answer waits for the end of a task; the end goes on after that. Ours: answers come within a second.
pub const STOP_ANSWER: Duration = Duration::from_millis(700);
/// How long a task may take to end. Source: kapacitor: the limit of a shutdown.
const STOP_PATIENCE: Duration = Duration::from_secs(30);
/// How long a change waits for a node that is at work, before the task is stopped and started instead.
const REPLACE_PATIENCE: Duration = Duration::from_millis(300);
/// How long a start waits for the end of the run before, which is told to hurry.
const FREE_PATIENCE: Duration = Duration::from_secs(2);
/// Between two looks whether a run has ended.
const FREE_POLL: Duration = Duration::from_millis(5);

/// The tasks and templates of a server; cheap to clone.
#[derive(Clone)]
pub struct TaskService(Arc<Inner>);

/// What the service works with.
pub struct ServiceDeps {
    /// Where definitions are kept.
    pub documents: Arc<dyn Documents>,
    /// Who runs them.
    pub master: Master,
    /// The clock.
    pub clock: Arc<dyn Clock>,
    /// Who spawns.
    pub tasks: Tasks,
    /// How tasks run; their databases come from their definitions.
    pub options: TaskOptions,
    /// What scripts are understood with: functions, the settings of deadman. Variables come from the definitions.
    pub define: DefineOptions,
}

struct Inner {
    deps: ServiceDeps,
    locks: locks::Locks,
    /// Tasks that failed or started again by themselves since that was last stored.
    changed: Mutex<BTreeSet<Str>>,
    has_changed: Notify,
    /// Tasks that should run and do not, with their errors.
    troubled: Mutex<BTreeMap<String, String>>,
}

// === impl TaskService ===

impl TaskService {
    /// Makes the service; nothing is started yet.
    pub fn new(deps: ServiceDeps) -> Self {
        let service = TaskService(Arc::new(Inner {
            deps,
            locks: locks::Locks::default(),
            changed: Mutex::default(),
            has_changed: Notify::new(),
            troubled: Mutex::default(),
        }));
        let own = Arc::downgrade(&service.0);
        service.0.deps.master.on_change(move |id| {
            if let Some(inner) = own.upgrade() {
                inner.changed.lock().unwrap_or_else(PoisonError::into_inner).insert(id.into());
                inner.has_changed.notify_one();
            }
        });
        service
    }

    /// Gives who runs the tasks.
    pub fn master(&self) -> &Master {
        &self.0.deps.master
    }

    fn clock(&self) -> &Arc<dyn Clock> {
        &self.0.deps.clock
    }

    fn documents(&self) -> &dyn Documents {
        &*self.0.deps.documents
    }

    /// Does something that takes time on a thread of its own.
    async fn blocking<T: Send + 'static>(
        &self,
        name: &str,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, ServiceError> {
        let handle = self.0.deps.tasks.spawn_thread(TaskKind::Task, name, work);
        handle.await.map_err(|_| ServiceError::Interrupted)
    }

    /// Finishes a change, also when nobody waits for it any more.
    async fn to_the_end<T: Send + 'static>(
        &self,
        name: &str,
        change: impl Future<Output = Result<T, ServiceError>> + Send + 'static,
    ) -> Result<T, ServiceError> {
        let handle = self.0.deps.tasks.spawn(TaskKind::Task, name, change);
        handle.await.unwrap_or(Err(ServiceError::Interrupted))
    }

    // --- running ---

    fn options(&self, dbrps: &[(Str, Str)]) -> TaskOptions {
        TaskOptions { dbrps: dbrps.to_vec(), ..self.0.deps.options.clone() }
    }

    /// Starts a task that does not run.
    async fn start(
        &self,
        record: &TaskRecord,
        definition: Arc<Definition>,
    ) -> Result<(), ServiceError> {
        self.wait_until_free(&record.id).await;
        let (master, id) = (self.master().clone(), record.id.clone());
        let options = self.options(&record.dbrps);
        let started = self
            .blocking("start of a task", move || master.start(&id, definition, options))
            .await?;
        started.map_err(|error| ServiceError::Start(error.to_string()))
    }

    /// Gives a running task another definition.
    async fn replace(
        &self,
        record: &TaskRecord,
        definition: Arc<Definition>,
    ) -> Result<(), ServiceError> {
        let (master, id) = (self.master().clone(), record.id.clone());
        let options = self.options(&record.dbrps);
        let replaced = self
            .blocking("change of a task", move || {
                master.replace(&id, definition, options, REPLACE_PATIENCE)
            })
            .await?;
        replaced.map_err(|error| ServiceError::Start(error.to_string()))
    }

    /// Stops a task and does something before another run of it can start; after [`STOP_ANSWER`] that goes on by itself.
    ///
    /// - `false`: it goes on.
    async fn stop(&self, id: &str, then: impl FnOnce(&Master) + Send + 'static) -> bool {
        self.wait_until_free(id).await;
        let (master, name) = (self.master().clone(), id.to_owned());
        let mut end = self.0.deps.tasks.spawn_thread(TaskKind::Task, "end of a task", move || {
            master.stop_then(&name, STOP_PATIENCE, || then(&master));
        });
        tokio::select! {
            _ = &mut end => true,
            () = self.clock().sleep(STOP_ANSWER) => {
                tracing::info!(task = id, "the task still works on what it has");
                false
            }
        }
    }

    /// Waits for the end of an earlier run, and cuts it short.
    async fn wait_until_free(&self, id: &str) {
        let until = self.clock().monotonic() + FREE_PATIENCE;
        while self.master().is_busy(id) && self.clock().monotonic() < until {
            self.master().hurry(id);
            self.clock().sleep(FREE_POLL).await;
        }
    }
}
