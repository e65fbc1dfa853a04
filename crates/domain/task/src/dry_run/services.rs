//! What is configured around a task that is run dry: nothing, and every name is known.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use crate::runtime::Services;
use crate::runtime::services::{Alerts, CapturedAlerts, Endpoint, ServerInfo, SideloadSource};
use crate::udf::{Link, UdfSide, UdfStart};

/// Services of a dry run: every name is known, nothing is contacted; sideload files are read.
#[derive(Clone, Default)]
pub struct Unconfigured {
    alerts: Arc<CapturedAlerts>,
    /// Functions that run outside; without them scripts that call some do not start.
    udfs: Option<Arc<UdfSide>>,
}

// === impl Unconfigured ===

impl Unconfigured {
    /// Makes services that run functions.
    pub fn with(udfs: Option<Arc<UdfSide>>) -> Self {
        Unconfigured { alerts: Arc::default(), udfs }
    }
}

impl Services for Unconfigured {
    fn endpoint(&self, _name: &str) -> Option<Endpoint> {
        Some(Endpoint::default())
    }

    fn influxdb(&self, _cluster: &str) -> Result<(), String> {
        Ok(())
    }

    fn sideload(&self, source: &str) -> Result<SideloadSource, String> {
        match source.strip_prefix("file://") {
            Some(path) => Ok(SideloadSource::Folder(PathBuf::from(path))),
            None => Ok(SideloadSource::Tables(BTreeMap::new())),
        }
    }

    fn udf(&self, start: UdfStart<'_>) -> Result<Arc<Link>, String> {
        let udfs = self.udfs.as_ref();
        udfs.ok_or_else(|| format!("the function {} is not run here", start.function))?.open(start)
    }

    fn alerts(&self) -> Arc<dyn Alerts> {
        Arc::clone(&self.alerts) as Arc<dyn Alerts>
    }

    fn server(&self) -> ServerInfo {
        ServerInfo::default()
    }
}
