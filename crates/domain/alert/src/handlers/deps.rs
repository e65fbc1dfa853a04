//! What handlers need to run.

use std::sync::Arc;
use std::time::Duration;

use levada_model::Str;
use tokio::sync::Semaphore;

use super::connections::Connections;
use super::gateway::{EventPoints, NoGateway};
use super::go_templates::GoTemplates;
use super::http::Clients;
use super::kind::{Kind, StartError};
use super::render::Templates;
use crate::services::{NoServices, Services};
use crate::topics::WeakTopics;

/// Programs of `exec` handlers that run at a time. Ours: upstream has no bound.
pub const EXEC_MAX_DEFAULT: usize = 32;

/// How long a program may take. Ours: upstream waits forever, and with it every later event.
pub const EXEC_TIMEOUT_DEFAULT: Duration = Duration::from_secs(600);

/// How long a request may take, connecting included.
///
/// Source: kapacitor: the client of the `httppost` service.
pub const REQUEST_TIMEOUT_DEFAULT: Duration = Duration::from_secs(30);

/// The address of this server. Source: kapacitor: `hostname` and `[http] bind-address`, reference (server) §7.2.
pub const SERVER_URL_DEFAULT: &str = "http://localhost:9092";

/// What handlers need to run; cheap to clone.
#[derive(Clone)]
pub struct HandlerDeps {
    /// Parses templates.
    pub templates: Arc<dyn Templates>,
    /// Knows the settings of services; handlers ask at every event.
    pub services: Arc<dyn Services>,
    /// Where `publish` and `aggregate` go; nothing where there are no topics.
    pub topics: Option<WeakTopics>,
    /// The ID of the topic handler that is started; events of `aggregate` have it unless they say otherwise.
    pub handler_id: Str,
    /// The topic whose handler is started.
    pub topic: Str,
    /// The address of this server, for links in what services show.
    pub server_url: Str,
    /// Lets so many programs run at a time.
    pub exec_slots: Arc<Semaphore>,
    /// How long a program may take.
    pub exec_timeout: Duration,
    /// How long a request or a connection may take unless the handler says otherwise.
    pub request_timeout: Duration,
    /// Kinds of handlers, as topic handlers name them, that are refused.
    ///
    /// Source: kapacitor: the flag `-disable-handlers`. Differs: refused with a reason, in scripts too, instead of silently ignored.
    pub disabled_kinds: Arc<[String]>,
    /// Shared HTTP clients.
    pub clients: Clients,
    /// Shared connections of other protocols.
    pub connections: Connections,
    /// The gateway of this process.
    pub gateway: Arc<dyn EventPoints>,
}

// === impl HandlerDeps ===

impl HandlerDeps {
    /// Makes sure that a kind is not switched off.
    pub(crate) fn allow(&self, kind: &Kind) -> Result<(), StartError> {
        match self.disabled_kinds.iter().any(|disabled| disabled == kind.option_kind) {
            true => Err(StartError::Disabled(kind.option_kind)),
            false => Ok(()),
        }
    }
}

impl Default for HandlerDeps {
    fn default() -> Self {
        HandlerDeps {
            templates: Arc::new(GoTemplates::default()),
            services: Arc::new(NoServices),
            topics: None,
            handler_id: Str::from(""),
            topic: Str::from(""),
            server_url: Str::from(SERVER_URL_DEFAULT),
            exec_slots: Arc::new(Semaphore::new(EXEC_MAX_DEFAULT)),
            exec_timeout: EXEC_TIMEOUT_DEFAULT,
            request_timeout: REQUEST_TIMEOUT_DEFAULT,
            disabled_kinds: Arc::default(),
            clients: Clients::default(),
            connections: Connections::default(),
            gateway: Arc::new(NoGateway),
        }
    }
}
