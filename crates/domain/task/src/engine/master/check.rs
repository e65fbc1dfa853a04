//! Whether a task could start, without starting it.

use std::collections::BTreeMap;
use std::sync::Arc;

use levada_clients::influxdb::{ClusterError, Clusters};

use super::{Master, StartError, TaskOptions};
use crate::definition::Definition;
use crate::pipeline::start::StartOptions;
use crate::runtime::Services;
use crate::runtime::services::{
    Alerts, CapturedAlerts, Deadman, Endpoint, ServerInfo, SideloadSource,
};

/// What is configured around tasks, for nodes that are made only to see whether they can be: nothing is contacted.
struct Looking<'s> {
    around: &'s dyn Services,
    clusters: Option<&'s Clusters>,
    alerts: Arc<CapturedAlerts>,
}

impl Master {
    /// Says what would stop a task from starting; nothing is started or contacted.
    ///
    /// - What only shows when a server is asked, such as a sideload address that does not answer, is not seen.
    pub fn check(
        &self,
        id: &str,
        definition: &Definition,
        options: &TaskOptions,
    ) -> Result<(), StartError> {
        if options.dbrps.is_empty() {
            return Err(StartError::NoDbrps);
        }
        let deps = &self.0.deps;
        let clusters = deps.sides.as_ref().map(|sides| &sides.clusters);
        let services = Looking { around: &*deps.services, clusters, alerts: Arc::default() };
        let start = StartOptions {
            task: id.into(),
            dbrps: &options.dbrps,
            services: &services,
            limits: &options.limits,
            compat: options.compat,
            seed: 0,
        };
        definition.pipeline.start(&start).map_err(StartError::Enable)?;
        let Some(clusters) = clusters else { return Ok(()) };
        for planned in definition.pipeline.query_plans(options.compat.is_1_8) {
            planned.plan.check_sources(&options.dbrps).map_err(StartError::Enable)?;
            clusters.get(&planned.plan.cluster).map_err(|error| {
                StartError::Enable(match error {
                    ClusterError::None => {
                        "InfluxDB not configured, cannot query InfluxDB for batch query".to_owned()
                    }
                    error @ ClusterError::Unknown(_) => {
                        format!("failed to get InfluxDB client: {error}")
                    }
                })
            })?;
        }
        Ok(())
    }
}

// === impl Looking ===

impl Services for Looking<'_> {
    fn endpoint(&self, name: &str) -> Option<Endpoint> {
        self.around.endpoint(name)
    }

    fn influxdb(&self, cluster: &str) -> Result<(), String> {
        let Some(clusters) = self.clusters else { return self.around.influxdb(cluster) };
        clusters.get(cluster).map(|_| ()).map_err(|error| match error {
            ClusterError::None => {
                "no InfluxDB cluster configured cannot use the InfluxDBOutNode".to_owned()
            }
            error @ ClusterError::Unknown(_) => format!("failed to get InfluxDB client: {error}"),
        })
    }

    fn sideload(&self, _source: &str) -> Result<SideloadSource, String> {
        Ok(SideloadSource::Tables(BTreeMap::new()))
    }

    fn alerts(&self) -> Arc<dyn Alerts> {
        Arc::clone(&self.alerts) as Arc<dyn Alerts>
    }

    fn server(&self) -> ServerInfo {
        self.around.server()
    }

    fn deadman(&self) -> Deadman {
        self.around.deadman()
    }
}
