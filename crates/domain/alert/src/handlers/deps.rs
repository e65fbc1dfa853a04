//! What handlers need to run.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use levada_model::Str;
use tokio::sync::Semaphore;

use super::go_templates::GoTemplates;
use super::http::Clients;
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

/// An endpoint of the configuration, by which `post` may be told where to go.
///
/// Source: kapacitor: `[[httppost]]`, reference (server) §4.5.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Endpoint {
    /// Where to; a template.
    pub url: String,
    /// Headers of every request.
    pub headers: Vec<(String, String)>,
    /// User and password; used when both are there.
    pub basic_auth: Option<(String, String)>,
    /// The body in place of the alert's JSON; a template.
    pub alert_template: Option<String>,
}

/// Knows the endpoints of the configuration.
pub trait Endpoints: Send + Sync + 'static {
    /// Gives an endpoint.
    fn endpoint(&self, name: &str) -> Option<Endpoint>;
}

/// A configuration without endpoints.
#[derive(Clone, Copy, Debug, Default)]
pub struct NoEndpoints;

impl Endpoints for NoEndpoints {
    fn endpoint(&self, _name: &str) -> Option<Endpoint> {
        None
    }
}

/// What handlers need to run; cheap to clone.
#[derive(Clone)]
pub struct HandlerDeps {
    /// Parses templates.
    pub templates: Arc<dyn Templates>,
    /// Knows the endpoints of the configuration.
    pub endpoints: Arc<dyn Endpoints>,
    /// Knows the settings of services; handlers ask at every event.
    pub services: Arc<dyn Services>,
    /// Where `publish` and `aggregate` go; nothing where there are no topics.
    pub topics: Option<WeakTopics>,
    /// The ID of the topic handler that is started; events of `aggregate` have it unless they say otherwise.
    pub handler_id: Str,
    /// Lets so many programs run at a time.
    pub exec_slots: Arc<Semaphore>,
    /// How long a program may take.
    pub exec_timeout: Duration,
    /// How long a request or a connection may take unless the handler says otherwise.
    pub request_timeout: Duration,
    /// Shared HTTP clients.
    pub clients: Clients,
}

impl Default for HandlerDeps {
    fn default() -> Self {
        HandlerDeps {
            templates: Arc::new(GoTemplates::default()),
            endpoints: Arc::new(NoEndpoints),
            services: Arc::new(NoServices),
            topics: None,
            handler_id: Str::from(""),
            exec_slots: Arc::new(Semaphore::new(EXEC_MAX_DEFAULT)),
            exec_timeout: EXEC_TIMEOUT_DEFAULT,
            request_timeout: REQUEST_TIMEOUT_DEFAULT,
            clients: Clients::default(),
        }
    }
}

impl fmt::Debug for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Addresses, headers and passwords may be secrets.
        f.write_str("Endpoint(***)")
    }
}
