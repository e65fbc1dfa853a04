//! The clients of the clusters of the settings.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use levada_api::auth::sign_token;
use levada_clients::ClientError;
use levada_clients::http::TlsOptions;
use levada_clients::influxdb::{
    Bearer, Client, Clusters, Config, FluxQuery, InfluxDb, Query, WriteTarget,
};
use levada_model::{ErrorKind, Timestamp};
use levada_runtime::{Clock, Tasks};
use levada_settings::{Influxdb, Secret};

use crate::flows::Host;

/// How long a signed token holds. Source: reference (server) §7.2.
const TOKEN_TTL: Duration = Duration::from_secs(600);

/// Makes clients.
pub(super) struct Maker {
    tasks: Tasks,
    clock: Arc<dyn Clock>,
    /// Signs tokens; empty for none.
    shared_secret: Secret<String>,
}

/// Makes a client for each cluster of the settings; one that cannot be made says so whenever it is used.
pub(crate) async fn clients(host: &Host) -> Clusters {
    let settings = &host.settings.influxdb;
    let maker = Maker::new(host, host.settings.auth.shared_secret.expose().clone());
    let mut clients: Vec<(String, Arc<dyn InfluxDb>)> = Vec::new();
    for (name, cluster) in settings.all() {
        let client = maker.make(cluster).await.unwrap_or_else(|error| {
            tracing::error!(cluster = name, %error, "an InfluxDB cluster cannot be used");
            Arc::new(Unusable::new(&error))
        });
        clients.push((name.to_owned(), client));
    }
    let clusters = Clusters::new(settings.default_name(), clients);
    if let Some(gateway) = host.joins.gateway() {
        clusters.add_built_in(gateway.clusters());
    }
    clusters
}

// === impl Maker ===

impl Maker {
    pub(super) fn new(host: &Host, shared_secret: String) -> Self {
        let shared_secret = shared_secret.into();
        Maker { tasks: host.tasks.clone(), clock: Arc::clone(&host.clock), shared_secret }
    }

    /// Makes a client.
    ///
    /// - Errors: the settings do not make one.
    pub(super) async fn make(&self, cluster: &Influxdb) -> Result<Arc<dyn InfluxDb>, ClientError> {
        let bearer = cluster.http_shared_secret.then(|| self.bearer(&cluster.username));
        let config = Config { bearer: bearer.transpose()?, ..config(cluster) };
        Ok(Arc::new(Client::new(&config, &self.tasks).await?))
    }

    fn bearer(&self, username: &str) -> Result<Bearer, ClientError> {
        let missing = |text: &str| Err(ClientError::new(ErrorKind::Invalid, text));
        if self.shared_secret.expose().is_empty() {
            return missing("`http-shared-secret` needs the setting `auth.shared-secret`");
        }
        if username.is_empty() {
            return missing("`http-shared-secret` needs `username`: the token is for a user");
        }
        let (clock, username) = (Arc::clone(&self.clock), username.to_owned());
        let secret = self.shared_secret.clone();
        Ok(Bearer::new(move || {
            let until = clock.now().0.saturating_add(TOKEN_TTL.as_nanos() as i64);
            sign_token(&username, secret.expose().as_bytes(), Timestamp(until)).into()
        }))
    }
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
pub(super) struct Unusable(ErrorKind, String);

impl Unusable {
    pub(super) fn new(error: &ClientError) -> Self {
        Unusable(error.kind(), error.to_string())
    }

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
