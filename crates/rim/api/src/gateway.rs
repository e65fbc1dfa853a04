//! The gateway's HTTP dialects: those of DataKit and Dataway, and others that bring points.
//!
//! Source: dataway reference §9. Differs: a body is taken whole or refused whole; full queues answer 503 with `Retry-After`
//! after a bounded wait, because agents drop what a 4xx refuses.

mod admit;
mod datakit;
mod echo;
mod influx;
mod otlp;
mod pass;
mod take;
mod write;

use std::sync::Arc;
use std::time::Duration;

use levada_clients::dataway::{Dataway, Endpoint};
use levada_gateway::deliver::Senders;
use levada_gateway::gateway::Gateway;
use levada_gateway::metrics::DatawayMetrics;
use levada_gateway::tenants::Tenants;
use levada_runtime::Tasks;

pub(crate) use self::admit::admit;
use self::datakit::Elections;
use crate::router::Route;

/// The table of each group of routes.
pub const ROUTES: &[&[Route]] =
    &[write::ROUTES, influx::ROUTES, otlp::ROUTES, datakit::ROUTES, pass::ROUTES];

/// The table of a listener that gives the bare paths of InfluxDB to the gateway.
pub const INFLUX_ROUTES: &[&[Route]] = &[influx::BARE];

/// What routes of the gateway work with.
pub struct GatewayApi {
    /// Takes points.
    pub gateway: Arc<Gateway>,
    /// Who sends them, one for each queue.
    pub senders: Arc<Senders>,
    /// Who may write.
    pub tenants: Tenants,
    /// Counts what comes in, where it is counted.
    pub metrics: Option<Arc<DatawayMetrics>>,
    /// Spawns.
    pub tasks: Tasks,
    /// How long a request waits for room in a queue.
    pub patience: Duration,
    /// The largest body, as it comes.
    pub body_bytes_max: usize,
    /// A centre that is asked what this server does not know.
    pub centre: Option<(Dataway, Endpoint)>,
    /// Who leads, by token and namespace.
    pub elections: Elections,
}

impl std::fmt::Debug for GatewayApi {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("GatewayApi").finish_non_exhaustive()
    }
}
