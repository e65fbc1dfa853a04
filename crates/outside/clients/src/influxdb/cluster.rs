//! The clusters of the settings, by name; they may change while queries and writers hold them.

use std::collections::BTreeMap;
use std::sync::{Arc, PoisonError, RwLock};

use async_trait::async_trait;
use bytes::Bytes;
use levada_model::ErrorKind;
use thiserror::Error;

use super::{FluxQuery, InfluxDb, Query, WriteTarget};
use crate::error::ClientError;

/// The clusters of the settings; cheap to clone.
///
/// - Whoever was given a cluster follows its changes: the next request goes where the settings say then.
#[derive(Clone, Default)]
pub struct Clusters(Arc<RwLock<Table>>);

#[derive(Default)]
struct Table {
    /// Those that were removed stay as long as somebody holds them: they may come back.
    places: BTreeMap<String, Arc<Place>>,
    /// Whatever is the cluster of scripts that name none.
    default: Arc<Place>,
    default_name: String,
    /// What is there whatever the settings say; a cluster of the settings with the same name hides it.
    built_in: BTreeMap<String, Arc<dyn InfluxDb>>,
}

/// Where the client of a cluster is, as long as there is one.
#[derive(Default)]
struct Place {
    /// Empty for the cluster of scripts that name none.
    name: String,
    client: RwLock<Option<Arc<dyn InfluxDb>>>,
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
        let made = Clusters::default();
        made.replace(default, clusters);
        made
    }

    /// Puts these clusters in place of those that were there.
    pub fn replace(
        &self,
        default: impl Into<String>,
        clusters: impl IntoIterator<Item = (String, Arc<dyn InfluxDb>)>,
    ) {
        let mut clusters: BTreeMap<String, Arc<dyn InfluxDb>> = clusters.into_iter().collect();
        let mut table = self.0.write().unwrap_or_else(PoisonError::into_inner);
        table.default_name = default.into();
        table.default.set(clusters.get(&table.default_name).cloned());
        table.places.retain(|name, place| {
            place.set(clusters.remove(name));
            place.is_there() || Arc::strong_count(place) > 1
        });
        for (name, client) in clusters {
            let place = Place { name: name.clone(), client: RwLock::new(Some(client)) };
            table.places.insert(name, Arc::new(place));
        }
    }

    /// Adds clusters that stay, whatever the settings become; no list names them.
    pub fn add_built_in(&self, clusters: impl IntoIterator<Item = (String, Arc<dyn InfluxDb>)>) {
        let mut table = self.0.write().unwrap_or_else(PoisonError::into_inner);
        table.built_in.extend(clusters);
    }

    /// Gives a cluster; the default one when the name is empty.
    pub fn get(&self, name: &str) -> Result<Arc<dyn InfluxDb>, ClusterError> {
        let table = self.0.read().unwrap_or_else(PoisonError::into_inner);
        let is_of_settings = table.places.get(name).is_some_and(|place| place.is_there());
        if let (Some(built_in), false) = (table.built_in.get(name), is_of_settings) {
            return Ok(Arc::clone(built_in));
        }
        if !table.places.values().any(|place| place.is_there()) {
            return Err(ClusterError::None);
        }
        let (place, name) = match name {
            "" => (Some(&table.default), &*table.default_name),
            name => (table.places.get(name), name),
        };
        match place.filter(|place| place.is_there()) {
            Some(place) => Ok(Arc::clone(place) as Arc<dyn InfluxDb>),
            None => Err(ClusterError::Unknown(name.to_owned())),
        }
    }

    /// Gives the names, sorted.
    pub fn names(&self) -> Vec<String> {
        let table = self.0.read().unwrap_or_else(PoisonError::into_inner);
        let there = table.places.iter().filter(|(_, place)| place.is_there());
        there.map(|(name, _)| name.clone()).collect()
    }
}

impl std::fmt::Debug for Clusters {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_list().entries(self.names()).finish()
    }
}

// === impl Place ===

impl Place {
    fn set(&self, client: Option<Arc<dyn InfluxDb>>) {
        *self.client.write().unwrap_or_else(PoisonError::into_inner) = client;
    }

    fn is_there(&self) -> bool {
        self.client.read().unwrap_or_else(PoisonError::into_inner).is_some()
    }

    /// Gives the client that is there now.
    fn client(&self) -> Result<Arc<dyn InfluxDb>, ClientError> {
        let client = self.client.read().unwrap_or_else(PoisonError::into_inner).clone();
        client.ok_or_else(|| {
            let text = match &*self.name {
                "" => "no InfluxDB cluster is configured any more".to_owned(),
                name => format!("InfluxDB cluster `{name}` is not configured any more"),
            };
            // It may come back, and what waits for it should not be lost until then.
            ClientError::new(ErrorKind::Unavailable, text)
        })
    }
}

#[async_trait]
impl InfluxDb for Place {
    async fn ping(&self) -> Result<String, ClientError> {
        self.client()?.ping().await
    }

    async fn query(&self, query: &Query) -> Result<String, ClientError> {
        self.client()?.query(query).await
    }

    async fn flux(&self, query: &FluxQuery) -> Result<String, ClientError> {
        self.client()?.flux(query).await
    }

    async fn write(&self, target: &WriteTarget, lines: Bytes) -> Result<(), ClientError> {
        self.client()?.write(target, lines).await
    }

    async fn create_database(&self, database: &str, retention: &str) -> Result<(), ClientError> {
        self.client()?.create_database(database, retention).await
    }
}

// === impl ClusterError ===

impl ClusterError {
    /// Says of what kind it is.
    pub fn kind(&self) -> ErrorKind {
        ErrorKind::NotFound
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use super::*;

    /// Says its version.
    struct Named(&'static str);

    #[async_trait]
    impl InfluxDb for Named {
        async fn ping(&self) -> Result<String, ClientError> {
            Ok(self.0.to_owned())
        }

        async fn query(&self, _: &Query) -> Result<String, ClientError> {
            self.ping().await
        }

        async fn flux(&self, _: &FluxQuery) -> Result<String, ClientError> {
            self.ping().await
        }

        async fn write(&self, _: &WriteTarget, _: Bytes) -> Result<(), ClientError> {
            Ok(())
        }

        async fn create_database(&self, _: &str, _: &str) -> Result<(), ClientError> {
            Ok(())
        }
    }

    fn named(names: &[(&str, &'static str)]) -> Vec<(String, Arc<dyn InfluxDb>)> {
        let made = names.iter().map(|(name, version)| {
            ((*name).to_owned(), Arc::new(Named(version)) as Arc<dyn InfluxDb>)
        });
        made.collect()
    }

    #[tokio::test]
    async fn built_in_clusters_stay_unless_the_settings_have_one_of_the_name() {
        let clusters = Clusters::default();
        clusters.add_built_in(named(&[("gateway", "built in")]));
        let version = async |name: &str| clusters.get(name).unwrap().ping().await.unwrap();
        assert_eq!(version("gateway").await, "built in");
        assert_eq!(clusters.get("").err(), Some(ClusterError::None), "it is no default");
        assert_eq!(clusters.get("other").err(), Some(ClusterError::None));
        assert!(clusters.names().is_empty());
        clusters.replace("gateway", named(&[("gateway", "of the settings")]));
        assert_eq!(version("gateway").await, "of the settings");
        clusters.replace("", Vec::new());
        assert_eq!(version("gateway").await, "built in");
    }

    #[tokio::test]
    async fn whoever_holds_a_cluster_follows_its_changes() {
        let clusters = Clusters::new("a", named(&[("a", "a1"), ("b", "b1")]));
        let (a, b, default) =
            (clusters.get("a").unwrap(), clusters.get("b").unwrap(), clusters.get("").unwrap());
        assert_eq!(default.ping().await.unwrap(), "a1");
        clusters.replace("b", named(&[("b", "b2"), ("c", "c1")]));
        assert_eq!(b.ping().await.unwrap(), "b2");
        assert_eq!(default.ping().await.unwrap(), "b2");
        let error = a.ping().await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Unavailable);
        assert_eq!(error.to_string(), "InfluxDB cluster `a` is not configured any more");
        assert_eq!(clusters.get("a").err(), Some(ClusterError::Unknown("a".to_owned())));
        assert_eq!(clusters.names(), ["b", "c"]);
        clusters.replace("", Vec::new());
        assert_eq!(clusters.get("b").err(), Some(ClusterError::None));
        clusters.replace("x", named(&[("a", "a3")]));
        assert_eq!(a.ping().await.unwrap(), "a3");
        assert_eq!(clusters.get("").err(), Some(ClusterError::Unknown("x".to_owned())));
        assert!(default.ping().await.is_err());
    }
}
