//! A client of `InfluxDB` 1.x, and of the Flux queries of 1.8 and 2.x.
//!
//! Texts go in, texts come out: what they mean is known by `levada_influxql`.

mod client;
mod cluster;
pub mod subscriptions;

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use levada_settings::Secret;

use crate::error::ClientError;
use crate::http::TlsOptions;

pub use client::Client;
pub use cluster::{ClusterError, Clusters};

/// How long a request may take when the settings do not say. Ours: upstream waits for ever, and so does its task.
pub const TIMEOUT_DEFAULT: Duration = Duration::from_secs(600);
/// Bytes of an answer, after decompression. Ours.
pub const ANSWER_BYTES_MAX: usize = 256 << 20;
/// Queries of one cluster that run at the same time. Ours; upstream has no bound.
pub const QUERIES_MAX: usize = 16;

/// The settings of one cluster.
#[derive(Clone, Debug)]
pub struct Config {
    /// Equal servers: the next one is asked when one cannot be reached.
    pub urls: Vec<String>,
    /// Empty: no credentials, or a token.
    pub username: String,
    /// Belongs to `username`.
    pub password: Secret<String>,
    /// Wins over `username`.
    pub token: Secret<String>,
    /// Makes what is sent in place of `password`; a token wins over it.
    pub bearer: Option<Bearer>,
    /// TLS towards the servers.
    pub tls: TlsOptions,
    /// How long a request may take, its answer included; zero means [`TIMEOUT_DEFAULT`].
    pub timeout: Duration,
    /// Whether written lines are compressed.
    pub compress: bool,
    /// Bytes of an answer, after decompression.
    pub answer_bytes_max: usize,
    /// Queries that run at the same time; more wait.
    pub queries_max: usize,
}

/// Makes the token of `Authorization: Bearer` anew for each request; cheap to clone.
#[derive(Clone)]
pub struct Bearer(Arc<dyn Fn() -> Secret<String> + Send + Sync>);

/// A query in `InfluxQL`.
#[derive(Clone, Debug, Default)]
pub struct Query {
    /// One statement or several.
    pub text: String,
    /// The database of sources that name none; may be empty.
    pub database: String,
    /// The values of `$name` in the text, as a JSON object; may be empty.
    pub parameters: serde_json::Map<String, serde_json::Value>,
    /// The unit of times in the answer, such as `ns`; empty: they are texts.
    pub epoch: String,
}

/// A query in Flux.
#[derive(Clone, Debug, Default)]
pub struct FluxQuery {
    /// The script.
    pub text: String,
    /// What `now()` gives.
    pub now: levada_model::Timestamp,
    /// The organisation by name; may be empty.
    pub org: String,
    /// The organisation by id; may be empty.
    pub org_id: String,
}

/// Where lines are written.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct WriteTarget {
    /// The database.
    pub database: String,
    /// The retention policy; empty is the default one.
    pub retention: String,
    /// The unit of times; empty is nanoseconds.
    pub precision: String,
    /// `any`, `one`, `quorum` or `all`; empty is the server's.
    pub consistency: String,
}

/// A server, or a cluster of them.
#[async_trait]
pub trait InfluxDb: Send + Sync + 'static {
    /// Asks whether it is there; gives its version.
    async fn ping(&self) -> Result<String, ClientError>;

    /// Asks in `InfluxQL`; gives the JSON of the answer.
    async fn query(&self, query: &Query) -> Result<String, ClientError>;

    /// Asks in Flux; gives the annotated CSV of the answer.
    async fn flux(&self, query: &FluxQuery) -> Result<String, ClientError>;

    /// Writes lines.
    async fn write(&self, target: &WriteTarget, lines: Bytes) -> Result<(), ClientError>;

    /// Is told that a task will write to it.
    ///
    /// - Errors: it may not.
    fn begins(&self, _task: &str) -> Result<(), ClientError> {
        Ok(())
    }

    /// Creates a database when there is none, with a default retention policy of this name when it is not empty.
    async fn create_database(&self, database: &str, retention: &str) -> Result<(), ClientError>;
}

// === impl Bearer ===

impl Bearer {
    /// Makes one of what signs tokens.
    pub fn new(make: impl Fn() -> Secret<String> + Send + Sync + 'static) -> Self {
        Bearer(Arc::new(make))
    }

    fn token(&self) -> Secret<String> {
        (self.0)()
    }
}

impl std::fmt::Debug for Bearer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Bearer")
    }
}

// === impl Config ===

impl Config {
    /// Gives the settings of a server without credentials.
    pub fn of(url: impl Into<String>) -> Self {
        Config { urls: vec![url.into()], ..Config::default() }
    }
}

impl Default for Config {
    fn default() -> Self {
        Config {
            urls: vec!["http://localhost:8086".to_owned()],
            username: String::new(),
            password: Secret::default(),
            token: Secret::default(),
            bearer: None,
            tls: TlsOptions::default(),
            timeout: Duration::ZERO,
            compress: true,
            answer_bytes_max: ANSWER_BYTES_MAX,
            queries_max: QUERIES_MAX,
        }
    }
}

/// Gives an identifier of `InfluxQL` in quotes.
pub fn quote_identifier(name: &str) -> String {
    let mut quoted = String::with_capacity(name.len() + 2);
    quoted.push('"');
    for c in name.chars() {
        match c {
            '"' => quoted.push_str("\\\""),
            '\\' => quoted.push_str("\\\\"),
            '\n' => quoted.push_str("\\n"),
            c => quoted.push(c),
        }
    }
    quoted.push('"');
    quoted
}

/// Gives how many points of a write the server dropped, when it says so; the others were written.
///
/// Source: `InfluxDB` 1.x, `partial write: … dropped=2`.
pub fn dropped_points(error: &ClientError) -> Option<u64> {
    let text = error.to_string();
    let (_, count) = text.rsplit_once("dropped=")?;
    count.trim().parse().ok().filter(|count| *count > 0)
}

#[cfg(test)]
mod tests;
