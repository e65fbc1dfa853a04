//! Kinds of destinations of `[gateway]`, and what each of them needs to know.

use std::collections::BTreeMap;
use std::path::PathBuf;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Destination, PointEncoding, Strategy};
use crate::{ByteSize, Secret};

/// What a destination is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    /// Dataways.
    #[default]
    Dataway,
    /// Servers of InfluxDB.
    Influx,
    /// Receivers of Prometheus' remote write.
    RemoteWrite,
    /// A cluster of Kafka.
    Kafka,
    /// A file.
    File,
    /// A flow in this process, whose source is of type `gateway`.
    Flow,
    /// The task engine of this process.
    Task,
}

/// Where in InfluxDB points go: `database` for version 1, `bucket` for version 2.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct InfluxTarget {
    /// The database.
    pub database: String,
    /// Its retention policy; empty means the usual one.
    pub retention_policy: String,
    /// The bucket.
    pub bucket: String,
    /// The organization of the bucket, by name or id.
    pub org: String,
    /// The user, when the endpoint has no token.
    pub username: String,
    /// The password of the user.
    pub password: Secret<String>,
}

/// How remote write is spoken.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct RemoteWriteTarget {
    /// Which messages are sent.
    pub version: RemoteWriteVersion,
    /// The user, when the endpoint has no token.
    pub username: String,
    /// The password of the user.
    pub password: Secret<String>,
    /// More headers, such as `X-Scope-OrgID`.
    pub headers: BTreeMap<String, Secret<String>>,
}

/// Versions of remote write.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum RemoteWriteVersion {
    /// That which everybody takes.
    #[default]
    #[serde(rename = "1.0")]
    V1,
    /// That in which texts stand once.
    #[serde(rename = "2.0")]
    V2,
}

/// A topic of Kafka; a body is one message.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct KafkaTarget {
    /// `HOST:PORT` each.
    pub brokers: Vec<String>,
    /// The topic.
    pub topic: String,
    /// Speak TLS, with the files of `gateway.ca-file` and so on.
    pub tls: bool,
    /// `PLAIN`, `SCRAM-SHA-256` or `SCRAM-SHA-512`.
    pub mechanism: String,
    /// The user; empty means that nobody logs in.
    pub username: String,
    /// The password of the user.
    pub password: Secret<String>,
}

/// A file that bodies are appended to; it belongs to the gateway.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct FileTarget {
    /// Where it is.
    pub path: PathBuf,
    /// A new one is begun before it gets larger; 0 means never. Source: `output_file` of the original.
    pub max_bytes: ByteSize,
    /// So many full files are kept, as `PATH.1` and so on.
    pub keep: usize,
    /// Points are delivered only when they are on the disk.
    pub sync: bool,
}

impl Default for FileTarget {
    fn default() -> Self {
        FileTarget { path: PathBuf::new(), max_bytes: ByteSize::new(32 << 20), keep: 1, sync: true }
    }
}

/// A flow of this process.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct FlowTarget {
    /// The name that its source gives; empty means that of the destination.
    pub name: String,
}

/// Tasks of this process.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct TaskTarget {
    /// The task that gets the points; empty means every task that listens to `database` and `retention-policy`.
    pub name: String,
    /// The database that points belong to; empty means `levada`.
    pub database: String,
    /// The retention policy that points belong to; empty means `autogen`.
    pub retention_policy: String,
}

// === impl Kind ===

impl Kind {
    /// Says whether its endpoints are named by URL.
    pub fn has_urls(self) -> bool {
        !matches!(self, Kind::Kafka | Kind::File | Kind::Flow | Kind::Task)
    }
}

/// Says what is wrong with the kind of a destination.
pub(super) fn check(destination: &Destination, mut add: impl FnMut(String)) {
    let kind = destination.kind;
    if !kind.has_urls() {
        if !destination.endpoint.is_empty() {
            add(".endpoint: a destination of this kind has none".to_owned());
        }
        if destination.strategy != Strategy::Failover {
            add(".strategy: there is nothing to share, this kind has one endpoint".to_owned());
        }
    }
    for (name, is_there, wanted) in [
        ("influx", destination.influx.is_some(), Kind::Influx),
        ("remote-write", destination.remote_write.is_some(), Kind::RemoteWrite),
        ("kafka", destination.kafka.is_some(), Kind::Kafka),
        ("file", destination.file.is_some(), Kind::File),
        ("flow", destination.flow.is_some(), Kind::Flow),
        ("task", destination.task.is_some(), Kind::Task),
    ] {
        if is_there && kind != wanted {
            add(format!(".{name} is for the kind `{name}`"));
        }
    }
    if kind == Kind::Influx {
        let target = destination.influx.clone().unwrap_or_default();
        if target.database.is_empty() == target.bucket.is_empty() {
            add(".influx must have one of `database` and `bucket`".to_owned());
        }
    }
    if kind == Kind::Kafka {
        let target = destination.kafka.clone().unwrap_or_default();
        if target.brokers.is_empty() || target.topic.is_empty() {
            add(".kafka must have `brokers` and `topic`".to_owned());
        }
        if target.username.is_empty() != target.mechanism.is_empty() {
            add(".kafka must have both `mechanism` and `username`, or none".to_owned());
        }
    }
    if kind == Kind::File {
        let target = destination.file.clone().unwrap_or_default();
        if target.path.as_os_str().is_empty() {
            add(".file must have a `path`".to_owned());
        }
        if matches!(destination.content_encoding, Some(PointEncoding::V2)) {
            add(".content-encoding: a file is made of lines, which `v2` does not have".to_owned());
        }
    }
}
