//! What settings there are. Defaults, with a comment for each key, are in `default.toml`.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{ByteSize, Duration};

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
    /// The HTTP server.
    pub http: Http,
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
    /// How long a batch that is not full may wait.
    pub batch_linger: Duration,
    /// Unfinished records per partition.
    pub window_records: usize,
    /// Unfinished bytes per partition.
    pub window_bytes: ByteSize,
    /// Records in front of each stage and sink.
    pub queue_records: usize,
    /// Bytes in front of each stage and sink.
    pub queue_bytes: ByteSize,
    /// Size of the largest record.
    pub max_record_bytes: ByteSize,
    /// Nesting of the deepest document.
    pub max_record_depth: usize,
    /// How often finished positions are stored.
    pub checkpoint_interval: Duration,
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

/// The HTTP server.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Http {
    /// Address of the server, `host:port`.
    pub listen: String,
    /// Largest request body.
    pub max_body_bytes: ByteSize,
    /// Largest set of request headers.
    pub max_header_bytes: ByteSize,
    /// Connections at a time.
    pub max_connections: usize,
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

impl Settings {
    /// Finds values that have the right type but cannot work: key and what is wrong.
    pub(crate) fn check(&self) -> Vec<(&'static str, String)> {
        let mut problems = Vec::new();
        let mut expect = |holds: bool, key: &'static str, message: &str| {
            if !holds {
                problems.push((key, message.to_owned()));
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
            ("flow.max-record-depth", flow.max_record_depth),
            ("http.max-connections", self.http.max_connections),
            ("metrics.max-series", self.metrics.max_series),
        ] {
            expect(value > 0, key, "must be at least 1");
        }
        for (key, value) in [
            ("flow.batch-bytes", flow.batch_bytes),
            ("flow.window-bytes", flow.window_bytes),
            ("flow.queue-bytes", flow.queue_bytes),
            ("flow.max-record-bytes", flow.max_record_bytes),
            ("http.max-body-bytes", self.http.max_body_bytes),
            ("http.max-header-bytes", self.http.max_header_bytes),
        ] {
            expect(value.bytes() > 0, key, "must be at least 1B");
        }
        for (key, value) in [
            ("flow.checkpoint-interval", flow.checkpoint_interval),
            ("flow.retry-initial", flow.retry_initial),
        ] {
            expect(!value.is_zero(), key, "must be longer than 0s");
        }
        expect(
            flow.batch_records <= 1_000_000,
            "flow.batch-records",
            "must be at most 1000000",
        );
        // The parser of documents keeps one level per nesting; deeper input is an attack, not data.
        expect(
            flow.max_record_depth <= 10_000,
            "flow.max-record-depth",
            "must be at most 10000",
        );
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
        expect(
            valid_listen(&self.http.listen),
            "http.listen",
            "must be an address and a port, such as `127.0.0.1:9092` or `[::1]:9092`",
        );
        expect(
            !self.log.level.trim().is_empty(),
            "log.level",
            "must be a level such as `info`",
        );
        expect(
            !self.data.dir.as_os_str().is_empty(),
            "data.dir",
            "must be a folder, such as `./levada-data`",
        );
        problems
    }
}

fn valid_listen(text: &str) -> bool {
    let Some((host, port)) = text.rsplit_once(':') else {
        return false;
    };
    // The original's flags write `:9090` for every address of the machine.
    let host_ok = !host.contains(':') || (host.starts_with('[') && host.ends_with(']'));
    host_ok && port.parse::<u16>().is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_defaults_are_valid_and_those_of_the_design() {
        let settings = Settings::default();
        assert_eq!(settings.check(), []);
        assert_eq!(settings.flow.batch_records, 1_000);
        assert_eq!(settings.flow.batch_bytes, ByteSize::mib(1));
        assert_eq!(settings.flow.batch_linger, Duration::from_millis(5));
        assert_eq!(settings.http.listen, "127.0.0.1:9092");
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
        settings.http.listen = "localhost".into();
        let keys: Vec<_> = settings.check().into_iter().map(|(key, _)| key).collect();
        assert_eq!(
            keys,
            [
                "flow.batch-records",
                "flow.queue-bytes",
                "flow.retry-max",
                "flow.dlq-max-ratio",
                "http.listen"
            ]
        );
    }

    #[test]
    fn listen_addresses() {
        for text in [
            "127.0.0.1:0",
            "localhost:9092",
            ":9090",
            "[::1]:80",
            "0.0.0.0:65535",
        ] {
            assert!(valid_listen(text), "{text}");
        }
        for text in [
            "",
            "9092",
            "localhost:",
            "localhost:65536",
            "::1:80",
            "localhost:http",
        ] {
            assert!(!valid_listen(text), "{text}");
        }
    }

    #[test]
    fn the_schema_names_keys_as_they_are_written() {
        let schema = schemars::schema_for!(Settings).to_value().to_string();
        for key in ["batch-linger", "max-body-bytes", "worker-threads"] {
            assert!(schema.contains(&format!("\"{key}\"")), "{key}");
        }
    }
}
