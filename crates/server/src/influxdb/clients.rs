//! The clients of the clusters of the settings.

use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use levada_clients::ClientError;
use levada_clients::http::TlsOptions;
use levada_clients::influxdb::{Client, Clusters, Config, FluxQuery, InfluxDb, Query, WriteTarget};
use levada_model::ErrorKind;
use levada_settings::Influxdb;

use crate::flows::Host;

/// Makes a client for each cluster; one that cannot be made says so whenever it is used.
pub(crate) async fn clients(host: &Host) -> Clusters {
    let settings = &host.settings.influxdb;
    let mut clients: Vec<(String, Arc<dyn InfluxDb>)> = Vec::new();
    for (name, cluster) in settings.all() {
        let client: Arc<dyn InfluxDb> = match Client::new(&config(cluster), &host.tasks).await {
            Ok(client) => Arc::new(client),
            Err(error) => {
                tracing::error!(cluster = name, %error, "an InfluxDB cluster cannot be used");
                Arc::new(Unusable(error.kind(), error.to_string()))
            }
        };
        clients.push((name.to_owned(), client));
    }
    Clusters::new(settings.default_name(), clients)
}

fn config(cluster: &Influxdb) -> Config {
    Config {
        urls: cluster.urls().into_iter().map(str::to_owned).collect(),
        username: cluster.username.clone(),
        password: cluster.password.clone(),
        token: cluster.token.clone(),
        tls: TlsOptions {
            ca_file: cluster.ca_file.clone().into(),
            cert_file: cluster.cert_file.clone().into(),
            key_file: cluster.key_file.clone().into(),
            insecure_skip_verify: cluster.insecure_skip_verify,
        },
        timeout: cluster.timeout.into(),
        compress: cluster.compress,
        queries_max: cluster.queries_max,
        ..Config::default()
    }
}

/// A cluster whose settings do not make a client.
struct Unusable(ErrorKind, String);

impl Unusable {
    fn refuse<T>(&self) -> Result<T, ClientError> {
        Err(ClientError::new(self.0, self.1.clone()))
    }
}

#[async_trait]
impl InfluxDb for Unusable {
    async fn ping(&self) -> Result<String, ClientError> {
        self.refuse()
    }

    async fn query(&self, _: &Query) -> Result<String, ClientError> {
        self.refuse()
    }

    async fn flux(&self, _: &FluxQuery) -> Result<String, ClientError> {
        self.refuse()
    }

    async fn write(&self, _: &WriteTarget, _: Bytes) -> Result<(), ClientError> {
        self.refuse()
    }

    async fn create_database(&self, _: &str, _: &str) -> Result<(), ClientError> {
        self.refuse()
    }
}
