//! Alerts as a durable service: states, outboxes, topic handlers, silences and history in one store of documents.
//!
//! ```text
//! topic-handlers/…  ─▶ definitions ─▶ Topics ◀─ silences
//!                                       │ one transaction: states, entries of outboxes, lines of the history
//!                                       ▼
//!            topic-states/<topic>   outbox/<topic>/<handler>   alert-history/<day>
//! ```
//!
//! Invariants:
//! - What a call has changed is stored when it returns.
//! - A handler that cannot start keeps its definition and its error, and stops no other.
//! - A document that cannot be read is skipped and named in the log; it never keeps the service from starting.
//!
//! Where to start: [`AlertService::open`]. What is not here: the HTTP API with its texts and pages.

mod bundles;
mod documents;
mod handlers;
mod history;
mod matching;
mod names;
mod packed;
mod silences;
#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::time::Duration;

use levada_model::ErrorKind;
use levada_runtime::{Clock, TaskKind, Tasks};
use levada_store::{DocumentError, Documents};
use thiserror::Error;
use tokio::runtime::Handle as Runtime;

use crate::handlers::HandlerDeps;
use crate::topics::{Silencer, TopicStore, TopicStoreError, Topics, TopicsDeps, TopicsSettings};
pub use documents::DocumentTopicStore;
pub use handlers::{Definition, DefinitionError, TopicHandler};
pub use history::{History, HistoryFilter, HistoryLine, HistoryPage, HistorySettings, PAGE_MAX};
pub use matching::{Expression, ExpressionError};
pub use silences::{
    MatcherError, NewSilence, Operator, Silence, SilenceError, SilenceMatcher, SilencePhase,
    Silences, SilencesSettings, Subject,
};

/// How often old silences and old lines of the history are looked for. Ours.
const TIDY_INTERVAL: Duration = Duration::from_secs(60);

/// What the service is told.
#[derive(Clone, Debug, Default)]
pub struct ServiceSettings {
    /// States and topics. Without an outbox of its own it gets the default one.
    pub topics: TopicsSettings,
    /// How much of the history is kept.
    pub history: HistorySettings,
    /// How many silences there may be, and for how long.
    pub silences: SilencesSettings,
}

/// What the service needs.
#[derive(Clone)]
pub struct ServiceDeps {
    /// Runs workers.
    pub tasks: Tasks,
    /// Where they run.
    pub runtime: Runtime,
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// Keeps everything.
    pub documents: Arc<dyn Documents>,
    /// What handlers need; its topics are those of the service.
    pub handlers: HandlerDeps,
}

/// Alerts as a durable service; cheap to clone.
#[derive(Clone)]
pub struct AlertService(Arc<Inner>);

struct Inner {
    topics: Topics,
    silences: Arc<Silences>,
    history: Arc<History>,
    handlers: handlers::Definitions,
    clock: Arc<dyn Clock>,
}

/// Why the service does not start, or did not change something.
#[derive(Debug, Error)]
pub enum ServiceError {
    /// The states or the outboxes cannot be loaded.
    #[error("cannot load alerts")]
    Load(#[source] TopicStoreError),
    /// The store does not do what it should.
    #[error("the store of alerts failed")]
    Store(#[source] DocumentError),
}

// === impl ServiceError ===

impl ServiceError {
    /// Gives the kind of the error.
    pub fn kind(&self) -> ErrorKind {
        match self {
            ServiceError::Load(error) => error.kind(),
            ServiceError::Store(error) => error.kind(),
        }
    }
}

impl From<DocumentError> for ServiceError {
    fn from(error: DocumentError) -> Self {
        ServiceError::Store(error)
    }
}

// === impl AlertService ===

impl AlertService {
    /// Loads what is stored, and starts the topic handlers.
    ///
    /// - Errors: the store cannot be read. A handler that does not start is none.
    pub async fn open(settings: ServiceSettings, deps: ServiceDeps) -> Result<Self, ServiceError> {
        let documents = Arc::clone(&deps.documents);
        let history = Arc::new(History::open(Arc::clone(&documents), settings.history).await?);
        let silences =
            Silences::open(Arc::clone(&documents), Arc::clone(&deps.clock), settings.silences);
        let silences = Arc::new(silences.await?);
        let store = DocumentTopicStore::new(Arc::clone(&documents), Arc::clone(&history));
        let topics = Topics::new(
            TopicsSettings {
                outbox: Some(settings.topics.outbox.clone().unwrap_or_default()),
                keeps_history: true,
                ..settings.topics
            },
            TopicsDeps {
                tasks: deps.tasks.clone(),
                runtime: deps.runtime.clone(),
                clock: Arc::clone(&deps.clock),
                store: Some(Arc::new(store) as Arc<dyn TopicStore>),
                silencer: Some(Arc::clone(&silences) as Arc<dyn Silencer>),
            },
        );
        topics.restore().await.map_err(ServiceError::Load)?;
        let handler_deps =
            HandlerDeps { topics: Some(topics.downgrade()), ..deps.handlers.clone() };
        let handlers = handlers::Definitions::open(
            documents,
            topics.clone(),
            handler_deps,
            Arc::clone(&deps.clock),
        )
        .await?;
        let clock = Arc::clone(&deps.clock);
        let service = AlertService(Arc::new(Inner { topics, silences, history, handlers, clock }));
        service.start_tidying(&deps);
        Ok(service)
    }

    /// Gives the topics: tasks publish there.
    pub fn topics(&self) -> &Topics {
        &self.0.topics
    }

    /// Gives the silences.
    pub fn silences(&self) -> &Silences {
        &self.0.silences
    }

    /// Gives the history.
    pub fn history(&self) -> &History {
        &self.0.history
    }

    /// Gives what handlers of scripts need, too.
    pub fn handler_deps(&self) -> &HandlerDeps {
        self.0.handlers.deps()
    }

    /// Lets attempts under way end, and stores what is not stored yet.
    pub async fn shut_down(&self, within: Duration) {
        self.0.topics.shut_down(within).await;
    }

    fn start_tidying(&self, deps: &ServiceDeps) {
        let inner = Arc::downgrade(&self.0);
        let clock = Arc::clone(&deps.clock);
        let entered = deps.runtime.enter();
        deps.tasks.spawn(TaskKind::Alert, "alert history upkeep", async move {
            loop {
                clock.sleep(TIDY_INTERVAL).await;
                let Some(inner) = inner.upgrade() else { return };
                let now = inner.clock.now();
                if let Err(error) = inner.history.tidy(now).await {
                    tracing::warn!(%error, "old lines of the alert history cannot be deleted");
                }
                if let Err(error) = inner.silences.tidy(now).await {
                    tracing::warn!(%error, "old silences cannot be deleted");
                }
            }
        });
        drop(entered);
    }
}
