//! What settings there are. Defaults, with a comment for each key, are in `default.toml`.

mod alert;
pub mod gateway;
mod http;
mod influxdb;
mod inputs;
mod recording;
mod udf;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

pub use self::alert::{Alert, OutboxOverflow};
pub use self::gateway::Gateway;
pub use self::http::{Http, ListenerAuth};
pub use self::influxdb::{Influxdb, SubscriptionMode, SubscriptionProtocol};
pub use self::inputs::{Tcp, Udp};
pub use self::recording::Recording;
pub use self::udf::Udf;

use crate::{ByteSize, Duration, Secret};

/// The text of `default.toml`: every key with its default and a comment.
pub const DEFAULTS: &str = include_str!("../default.toml");

/// All settings of a process.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Settings {
    /// Threads and shutdown.
    pub runtime: Runtime,
    /// Bounds and pace of flows.
    pub flow: Flow,
    /// Bounds and pace of tasks.
    pub task: Task,
    /// Topics, outboxes, history, silences, and what handlers may do.
    pub alert: Alert,
    /// Recordings and replays.
    pub recording: Recording,
    /// What `levada serve` listens to.
    pub http: Http,
    /// Who may call the server.
    pub auth: Auth,
    /// Where the server keeps documents.
    pub store: Store,
    /// The InfluxDB of scripts.
    pub influxdb: Influxdb,
    /// Functions of scripts that run outside.
    pub udf: Udf,
    /// Points as line protocol in datagrams.
    pub udp: Udp,
    /// Points as line protocol on connections.
    pub tcp: Tcp,
    /// Receives points and delivers them.
    pub gateway: Gateway,
    /// Commands that talk to a server.
    pub client: Client,
    /// What is taken over from a Kapacitor.
    pub kapacitor: Kapacitor,
    /// Log output.
    pub log: Log,
    /// Metrics.
    pub metrics: Metrics,
    /// Where state is kept.
    pub data: Data,
}

/// Threads and shutdown.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Runtime {
    /// Threads that run I/O and flows; 0 means one per core.
    pub worker_threads: usize,
    /// How long a stop waits for records under way.
    pub drain_timeout: Duration,
}

/// Bounds and pace of flows.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Flow {
    /// Records in a batch.
    pub batch_records: usize,
    /// Bytes in a batch.
    pub batch_bytes: ByteSize,
    /// Unfinished records per partition.
    pub window_records: usize,
    /// Unfinished bytes per partition.
    pub window_bytes: ByteSize,
    /// Records in front of each stage and sink.
    pub queue_records: usize,
    /// Bytes in front of each stage and sink.
    pub queue_bytes: ByteSize,
    /// Records that one record may become by steps that split it.
    pub copies_max: usize,
    /// Folder with manifests whose flows run in the server; empty means none.
    pub load_dir: String,
    /// How often finished positions are stored.
    pub checkpoint_interval: Duration,
    /// The database in which finished positions are stored; empty means files under `data.dir`.
    pub checkpoint_store: Secret<String>,
    /// First wait before a failed write is tried again.
    pub retry_initial: Duration,
    /// Longest wait before a failed write is tried again.
    pub retry_max: Duration,
    /// Tries of one write before the flow stops; 0 means without end.
    pub retry_limit: u64,
    /// Share of rejected records above which the flow stops; 1 means never.
    pub dlq_max_ratio: f64,
    /// Records that must have been seen before the share is looked at.
    pub dlq_min_records: u64,
    /// How long a flow may finish nothing while records wait; zero switches this off.
    pub progress_timeout: Duration,
}

/// Bounds and pace of tasks.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Task {
    /// Threads that tasks run on; 0 means one per core.
    pub workers: usize,
    /// Points in front of a task, or of each of its actors.
    pub queue_points: usize,
    /// What happens to points when a queue is full.
    pub overflow: Overflow,
    /// How long a writer waits with `block`.
    pub block_timeout: Duration,
    /// Groups of one task.
    pub groups_max: usize,
    /// Points that the nodes of one task may hold back.
    pub buffered_points: usize,
    /// Actors of one task, where its nodes allow several.
    pub shards: u32,
    /// How often the state of tasks is kept; 0s means only when a task stops.
    pub checkpoint_interval: Duration,
    /// First wait before a failed task starts again; 0s means it stays failed.
    pub restart_initial: Duration,
    /// Longest wait before a failed task starts again.
    pub restart_max: Duration,
    /// Close windows and the like by the progress of the data.
    pub watermark: bool,
    /// How far a point may be behind the newest one.
    pub watermark_lateness: Duration,
    /// How long no data come before the watermark follows the clock; 0s means never.
    pub watermark_idle: Duration,
    /// Groups without data for so long are forgotten; 0s means never.
    pub group_ttl: Duration,
    /// Numbers of `InfluxQL` answers stay integers when they have no fraction.
    pub query_integers: bool,
    /// Ticks of a query that wait while an earlier one runs; 0 is Kapacitor's way.
    pub query_catch_up: usize,
    /// Folder with tasks, templates and handlers that the server takes over; empty means none.
    pub load_dir: String,
    /// `1.8` brings back what Kapacitor 1.8 does; empty means Levada's own.
    pub compat: String,
}

/// Who may call the server.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Auth {
    /// Callers must be users.
    pub enabled: bool,
    /// The first administrator.
    pub admin_name: String,
    /// Password of the first administrator.
    pub admin_password: Secret<String>,
    /// Secret that signs bearer tokens.
    pub shared_secret: Secret<String>,
    /// How expensive it is to try passwords.
    pub bcrypt_cost: u32,
    /// How long a password that was right is not checked anew.
    pub cache: Duration,
}

/// Where the server keeps documents.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Store {
    /// The database; empty means SQLite under `data.dir`, `memory:` means none.
    pub url: Secret<String>,
}

/// What is taken over from a Kapacitor.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Kapacitor {
    /// Its configuration file; empty means none.
    pub config: String,
    /// The environment variables of its configuration, in their order; they are no setting of their own.
    #[serde(skip)]
    pub environment: Vec<(String, Secret<String>)>,
}

/// What happens to points when a queue is full.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Overflow {
    /// The writer waits, then the new points are dropped.
    Block,
    /// The new points are dropped.
    DropNewest,
    /// The oldest points are dropped.
    DropOldest,
}

/// Commands that talk to a server.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Client {
    /// The URL of the server.
    pub server: String,
}

/// Log output.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Log {
    /// A level, or levels per target.
    pub level: String,
    /// What a line looks like.
    pub format: LogFormat,
}

/// What a log line looks like.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum LogFormat {
    /// Text for people.
    Human,
    /// One JSON object per line.
    Json,
}

/// Metrics.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Metrics {
    /// Series of one metric.
    pub max_series: usize,
}

/// Where state is kept.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Data {
    /// Folder for everything that is kept.
    pub dir: std::path::PathBuf,
}

// === impl Settings ===

impl Default for Settings {
    fn default() -> Self {
        toml::from_str(DEFAULTS)
            .expect("default.toml holds every key with a valid value; a test reads it")
    }
}

impl Default for Udf {
    fn default() -> Self {
        Settings::default().udf
    }
}

impl Settings {
    /// Finds values that have the right type but cannot work: key and what is wrong.
    pub(crate) fn check(&self) -> Vec<(String, String)> {
        let mut problems = Vec::new();
        let mut expect = |holds: bool, key: &'static str, message: &str| {
            if !holds {
                problems.push((key.to_owned(), message.to_owned()));
            }
        };
        let flow = &self.flow;
        expect(
            self.runtime.worker_threads <= 1_024,
            "runtime.worker-threads",
            "must be in 0 to 1024",
        );
        for (key, value) in [
            ("flow.batch-records", flow.batch_records),
            ("flow.window-records", flow.window_records),
            ("flow.queue-records", flow.queue_records),
            ("flow.copies-max", flow.copies_max),
            ("metrics.max-series", self.metrics.max_series),
            ("task.queue-points", self.task.queue_points),
            ("task.groups-max", self.task.groups_max),
            ("task.buffered-points", self.task.buffered_points),
        ] {
            expect(value > 0, key, "must be at least 1");
        }
        for (key, value) in [
            ("flow.batch-bytes", flow.batch_bytes),
            ("flow.window-bytes", flow.window_bytes),
            ("flow.queue-bytes", flow.queue_bytes),
        ] {
            expect(value.bytes() > 0, key, "must be at least 1B");
        }
        for (key, value) in [
            ("flow.checkpoint-interval", flow.checkpoint_interval),
            ("flow.retry-initial", flow.retry_initial),
        ] {
            expect(!value.is_zero(), key, "must be longer than 0s");
        }
        let store = flow.checkpoint_store.expose();
        let is_postgres = ["postgres://", "postgresql://"].iter().any(|s| store.starts_with(s));
        expect(
            store.is_empty() || is_postgres,
            "flow.checkpoint-store",
            "must be empty or like `postgres://user:password@host:5432/database`",
        );
        let store = self.store.url.expose();
        let is_postgres = ["postgres://", "postgresql://"].iter().any(|s| store.starts_with(s));
        expect(
            store.is_empty() || store == "memory:" || is_postgres,
            "store.url",
            "must be empty, `memory:`, or like `postgres://user:password@host:5432/database`",
        );
        expect((4..=31).contains(&self.auth.bcrypt_cost), "auth.bcrypt-cost", "must be in 4 to 31");
        expect(flow.batch_records <= 1_000_000, "flow.batch-records", "must be at most 1000000");
        expect(
            flow.retry_max >= flow.retry_initial,
            "flow.retry-max",
            "must not be shorter than `flow.retry-initial`",
        );
        expect(
            (0.0..=1.0).contains(&flow.dlq_max_ratio),
            "flow.dlq-max-ratio",
            "must be in 0 to 1",
        );
        expect(self.task.workers <= 1_024, "task.workers", "must be in 0 to 1024");
        expect((1..=1_024).contains(&self.task.shards), "task.shards", "must be in 1 to 1024");
        expect(self.task.query_catch_up <= 10_000, "task.query-catch-up", "must be at most 10000");
        expect(
            matches!(self.task.compat.as_str(), "" | "1.8"),
            "task.compat",
            "must be empty or `1.8`",
        );
        expect(!self.log.level.trim().is_empty(), "log.level", "must be a level such as `info`");
        expect(
            !self.data.dir.as_os_str().is_empty(),
            "data.dir",
            "must be a folder, such as `./levada-data`",
        );
        self.http.check(self.auth.enabled, &mut problems);
        self.alert.check(&mut problems);
        self.recording.check(&mut problems);
        self.influxdb.check(&mut problems);
        if self.udf != Udf::default() {
            self.udf.check(&Udf::default(), &mut problems);
        }
        self.udp.check(&mut problems);
        self.tcp.check(&mut problems);
        self.gateway.check(&mut problems);
        problems
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_defaults_are_valid_and_those_of_the_design() {
        let settings = Settings::default();
        assert_eq!(settings.check(), []);
        assert_eq!(settings.flow.batch_records, 2_000);
        assert_eq!(settings.flow.batch_bytes, ByteSize::kib(128));
        assert_eq!(settings.data.dir, std::path::Path::new("./levada-data"));
    }

    #[test]
    fn every_key_of_the_defaults_has_a_comment() {
        let mut commented = false;
        for line in DEFAULTS.lines() {
            assert!(
                !line.contains(" = ") || line.starts_with('#') || commented,
                "no comment above `{line}`"
            );
            commented = line.starts_with("# ");
        }
    }

    #[test]
    fn values_that_cannot_work_are_all_found() {
        let mut settings = Settings::default();
        settings.flow.batch_records = 0;
        settings.flow.queue_bytes = ByteSize::new(0);
        settings.flow.retry_max = Duration::from_millis(1);
        settings.flow.dlq_max_ratio = f64::NAN;
        settings.flow.checkpoint_store = "redis://u:hunter2@h".to_owned().into();
        let keys: Vec<_> = settings.check().into_iter().map(|(key, _)| key).collect();
        assert_eq!(
            keys,
            [
                "flow.batch-records",
                "flow.queue-bytes",
                "flow.checkpoint-store",
                "flow.retry-max",
                "flow.dlq-max-ratio"
            ]
        );
    }

    #[test]
    fn the_schema_names_keys_as_they_are_written() {
        let schema = schemars::schema_for!(Settings).to_value().to_string();
        for key in ["batch-records", "progress-timeout", "worker-threads"] {
            assert!(schema.contains(&format!("\"{key}\"")), "{key}");
        }
    }
}
