//! The clusters of the settings, by name.

use std::collections::BTreeMap;
use std::sync::Arc;

use levada_model::ErrorKind;
use thiserror::Error;

use super::InfluxDb;

/// The clusters of the settings; cheap to clone.
#[derive(Clone, Default)]
pub struct Clusters(Arc<Table>);

#[derive(Default)]
struct Table {
    clusters: BTreeMap<String, Arc<dyn InfluxDb>>,
    default: String,
}

/// Why there is no client.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum ClusterError {
    /// There is not one cluster.
    #[error("no InfluxDB cluster is configured")]
    None,
    /// There is none of this name.
    #[error("no such InfluxDB config {0}")]
    Unknown(String),
}

// === impl Clusters ===

impl Clusters {
    /// Makes a table; `default` names the cluster of scripts that name none.
    pub fn new(
        default: impl Into<String>,
        clusters: impl IntoIterator<Item = (String, Arc<dyn InfluxDb>)>,
    ) -> Self {
        let clusters = clusters.into_iter().collect();
        Clusters(Arc::new(Table { clusters, default: default.into() }))
    }

    /// Gives a cluster; the default one when the name is empty.
    pub fn get(&self, name: &str) -> Result<Arc<dyn InfluxDb>, ClusterError> {
        let Table { clusters, default } = &*self.0;
        if clusters.is_empty() {
            return Err(ClusterError::None);
        }
        let name = if name.is_empty() { default } else { name };
        clusters.get(name).cloned().ok_or_else(|| ClusterError::Unknown(name.to_owned()))
    }

    /// Gives the names.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.0.clusters.keys().map(String::as_str)
    }
}

impl std::fmt::Debug for Clusters {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_list().entries(self.names()).finish()
    }
}

// === impl ClusterError ===

impl ClusterError {
    /// Says of what kind it is.
    pub fn kind(&self) -> ErrorKind {
        ErrorKind::NotFound
    }
}
