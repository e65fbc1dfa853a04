//! What is configured around tasks, as nodes see it when they are made.

use std::collections::BTreeMap;
use std::path::PathBuf;

use levada_model::FieldValue;

/// A configured endpoint of httpPost.
#[derive(Clone, Debug, Default)]
pub struct Endpoint {
    /// Where requests go; a template.
    pub url: String,
    /// Headers sent with each.
    pub headers: Vec<(String, String)>,
    /// The body of httpPost as a template; JSON rows when empty.
    pub row_template: String,
}

/// What is configured around tasks.
pub trait Services: Send + Sync {
    /// Gives an endpoint; a dry run knows all names.
    fn endpoint(&self, name: &str) -> Option<Endpoint>;

    /// Says whether an `InfluxDB` cluster is configured: `Err` holds upstream's enable error.
    fn influxdb(&self, cluster: &str) -> Result<(), String>;

    /// Gives the tables of a sideload source: key → name → value.
    ///
    /// - Errors: upstream's enable error.
    fn sideload(&self, source: &str) -> Result<SideloadSource, String>;

    /// Gives what is known of this server, for templates.
    fn server(&self) -> ServerInfo;

    /// Gives the settings of deadman.
    fn deadman(&self) -> Deadman {
        Deadman::default()
    }
}

/// Where a sideload node reads.
#[derive(Clone, Debug)]
pub enum SideloadSource {
    /// A folder of files.
    Folder(PathBuf),
    /// Tables that were fetched.
    Tables(BTreeMap<String, BTreeMap<String, FieldValue>>),
}

/// What is known of this server.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ServerInfo {
    /// The host's name.
    pub hostname: String,
    /// The cluster.
    pub cluster_id: String,
    /// This server.
    pub server_id: String,
}

/// The settings of deadman.
///
/// - Source of the defaults: kapacitor reference §5.20.
#[derive(Clone, Debug, PartialEq)]
pub struct Deadman {
    /// Nanoseconds.
    pub interval: i64,
    /// Points per interval.
    pub threshold: f64,
    /// The id, a template.
    pub id: String,
    /// The message, a template.
    pub message: String,
    /// Every source node gets one.
    pub is_global: bool,
}

// === impl Deadman ===

impl Default for Deadman {
    fn default() -> Self {
        Deadman {
            interval: 10_000_000_000,
            threshold: 0.0,
            id: "{{ .Group }}:NODE_NAME for task '{{ .TaskName }}'".to_owned(),
            message: r#"{{ .ID }} is {{ if eq .Level "OK" }}alive{{ else }}dead{{ end }}: {{ index .Fields "emitted" | printf "%0.3f" }} points/INTERVAL."#.to_owned(),
            is_global: false,
        }
    }
}
