//! Who writes to the gateway in this process: flows, tasks, alerts.
//!
//! All of them bring lines, which is what queues keep: a line that needs no change is neither parsed into a point nor written
//! anew.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use bytes::Bytes;
use levada_alert::handlers::EventPoints;
use levada_alert::topics::HandlerError;
use levada_clients::ClientError;
use levada_clients::influxdb::{FluxQuery, InfluxDb, Query, WriteTarget};
use levada_codec::line_protocol::Precision;
use levada_codec::points::Unit;
use levada_connectors::gateway::{GatewayTarget, GatewayTargetError};
use levada_gateway::gateway::{Gateway, Way};
use levada_gateway::ingest::{Write, WriteError};
use levada_model::{Category, ErrorKind, with_causes};
use levada_runtime::{Clock, Tasks};

use super::circles::Circles;
use crate::joins::Joins;

/// The name under which scripts find the gateway among the clusters: `|influxDBOut().cluster('gateway')`.
///
/// `gateway/logging` and so on stand for other categories than metrics. A cluster of the settings that has the name wins.
pub const CLUSTER: &str = "gateway";

/// Takes lines for the gateway.
pub struct GatewayWriters {
    gateway: Arc<Gateway>,
    by_rules: Arc<Way>,
    /// The ways straight to a destination, by its name, as far as somebody went there.
    straight: Mutex<BTreeMap<String, Arc<Way>>>,
    tasks: Tasks,
    clock: Arc<dyn Clock>,
    circles: Arc<Circles>,
}

/// The gateway as a cluster of `InfluxDB`.
struct GatewayCluster {
    writers: Arc<GatewayWriters>,
    category: Category,
}

/// The gateway, or the news that there is none, as alerts see it.
pub(crate) struct GatewayEvents(pub(crate) Joins);

// === impl GatewayWriters ===

impl GatewayWriters {
    pub(super) fn new(
        gateway: Arc<Gateway>,
        tasks: Tasks,
        clock: Arc<dyn Clock>,
        circles: Arc<Circles>,
    ) -> Self {
        let (by_rules, straight) = Default::default();
        GatewayWriters { gateway, by_rules, straight, tasks, clock, circles }
    }

    /// Gives the gateway as clusters that scripts can name, one for each category.
    pub(crate) fn clusters(self: &Arc<Self>) -> Vec<(String, Arc<dyn InfluxDb>)> {
        let cluster = |category| {
            let writers = Arc::clone(self);
            Arc::new(GatewayCluster { writers, category }) as Arc<dyn InfluxDb>
        };
        let is_real = |one: &Category| !matches!(one, Category::Unknown | Category::DynamicDataway);
        let named = Category::ALL.into_iter().filter(is_real);
        let named = named.map(|one| (format!("{CLUSTER}/{}", one.name()), cluster(one)));
        std::iter::once((CLUSTER.to_owned(), cluster(Category::Metric))).chain(named).collect()
    }

    /// Gives the way to a destination; the empty name stands for what the rules say.
    fn way(&self, destination: &str) -> Result<Arc<Way>, GatewayTargetError> {
        if destination.is_empty() {
            return Ok(Arc::clone(&self.by_rules));
        }
        let mut straight = self.straight.lock().unwrap_or_else(PoisonError::into_inner);
        if !self.gateway.has_target(destination) {
            straight.remove(destination);
            let known = self.gateway.targets().join(", ");
            return Err(GatewayTargetError::Unknown { name: destination.to_owned(), known });
        }
        let way = straight.entry(destination.to_owned());
        Ok(Arc::clone(way.or_insert_with(|| Arc::new(Way::to(destination)))))
    }

    fn lines(&self, category: Category, lines: Bytes, precision: Precision) -> Write {
        let unit = Unit::Fixed(precision);
        Write { unit, ..Write::lines(category, lines, self.clock.now()) }
    }

    async fn write(&self, way: &Way, write: Write) -> Result<(), WriteError> {
        self.gateway.write_on(way, write, &self.tasks, None).await.map(drop)
    }
}

/// Says whether the lines are to blame, so that the same lines will never be taken.
fn is_about_lines(error: &WriteError) -> bool {
    matches!(error.kind(), ErrorKind::Invalid | ErrorKind::TooLarge)
}

#[async_trait]
impl GatewayTarget for GatewayWriters {
    fn check(&self, destination: &str) -> Result<(), GatewayTargetError> {
        self.way(destination).map(drop)
    }

    async fn write(
        &self,
        destination: &str,
        category: Category,
        lines: Bytes,
        is_strict: bool,
        hops: u8,
    ) -> Result<(), GatewayTargetError> {
        let way = self.way(destination)?;
        let write = self.lines(category, lines, Precision::Nanoseconds);
        self.write(&way, Write { is_strict, hops, ..write }).await.map_err(|error| {
            match is_about_lines(&error) {
                true => GatewayTargetError::Refused(with_causes(&error)),
                false => GatewayTargetError::Later(with_causes(&error)),
            }
        })
    }
}

#[async_trait]
impl EventPoints for GatewayEvents {
    async fn write(
        &self,
        destination: &str,
        category: Category,
        lines: Bytes,
    ) -> Result<(), HandlerError> {
        let Some(writers) = self.0.gateway() else {
            return levada_alert::handlers::NoGateway.write(destination, category, lines).await;
        };
        let way = writers.way(destination);
        let way = way.map_err(|error| HandlerError::new(error.to_string()).finally())?;
        let write = writers.lines(category, lines, Precision::Nanoseconds);
        writers.write(&way, write).await.map_err(|error| {
            let failed = HandlerError::new("failed to write the event to the gateway")
                .with("error", with_causes(&error));
            if is_about_lines(&error) { failed.finally() } else { failed }
        })
    }
}

#[async_trait]
impl InfluxDb for GatewayCluster {
    async fn ping(&self) -> Result<String, ClientError> {
        Ok(CLUSTER.to_owned())
    }

    async fn query(&self, _: &Query) -> Result<String, ClientError> {
        Err(ClientError::new(ErrorKind::Invalid, "the gateway takes points and cannot be queried"))
    }

    async fn flux(&self, _: &FluxQuery) -> Result<String, ClientError> {
        self.query(&Query::default()).await
    }

    /// The gateway has neither databases nor retention policies: its rules decide where points go.
    async fn write(&self, target: &WriteTarget, lines: Bytes) -> Result<(), ClientError> {
        let precision = match &*target.precision {
            "" => Precision::Nanoseconds,
            word => {
                word.parse().map_err(|error: String| ClientError::new(ErrorKind::Invalid, error))?
            }
        };
        let write = self.writers.lines(self.category, lines, precision);
        let written = self.writers.write(&self.writers.by_rules, write).await;
        written.map_err(|error| ClientError::new(error.kind(), with_causes(&error)))
    }

    fn begins(&self, task: &str) -> Result<(), ClientError> {
        let begins = self.writers.circles.task_writes(task, self.category);
        begins.map_err(|circle| ClientError::new(ErrorKind::Invalid, circle))
    }

    async fn create_database(&self, _: &str, _: &str) -> Result<(), ClientError> {
        Ok(())
    }
}
