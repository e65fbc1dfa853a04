//! The `clickhouse` sink, second generation: inserts records over HTTP.
//!
//! ```text
//! batch ─▶ rows (objects, one per line) ─▶ table there? columns known? ─▶ INSERT … FORMAT JSONEachRow
//! ```
//! - A batch is one INSERT and one block: all of it is there or nothing.
//! - Every INSERT has a token made of what is in it and where it came from, so that a repeated batch is
//!   there once in tables that look at tokens: replicated ones, and others with
//!   `non_replicated_deduplication_window`. Elsewhere delivery is at least once.
//! - An INSERT is answered when it is written; the server does not gather it (`async_insert`).
//! - Values are not touched: what a column makes of a number or a text is up to ClickHouse.
//!
//! Source: dataflow-operator.md §1.7, §3.6, §3.8, §10.3, §10.6. Differs: HTTP in place of the native protocol.

mod rows;
mod sink;
mod table;

use levada_registry::{FieldPath, Report};
use levada_settings::{Duration, Secret};
use schemars::JsonSchema;
use serde::Deserialize;

use crate::blocks::batch::Batch;
use crate::blocks::identifier::check_identifier;
use crate::blocks::raw_mode::check_raw_mode;
use crate::blocks::secret_ref::check_either;
use crate::blocks::words::check_word;
use crate::blocks::{SecretRef, Tls};
use crate::{BuildContext, BuildError, Sink, SinkBatching, SinkSpec};

/// The words of `schemaChange`. Source: dataflow-operator.md §10.6.
const SCHEMA_CHANGES: &[&str] = &["strict", "evolve", "ignore"];
const COMPRESSIONS: &[&str] = &["none", "gzip"];

/// Writes records to a ClickHouse table.
#[derive(Debug, Default, Clone, Deserialize, JsonSchema)]
#[serde(default, rename_all = "camelCase")]
#[schemars(rename = "ClickhouseSink")]
pub struct Spec {
    /// Connection string, `clickhouse://`, `http://` or `https://`; required unless
    /// `connectionStringSecretRef` is set. The HTTP interface is used: the native ports 9000 and 9440 stand
    /// for 8123 and 8443.
    pub connection_string: Secret<String>,
    /// The table; required unless `tableSecretRef` is set.
    pub table: String,
    /// Records of one write; 0 means up to 10000, ended by the timer. Default 500.
    pub batch_size: Option<i32>,
    /// Seconds after which a batch is written though it is not full; 0 means never. Default 1.
    pub batch_flush_interval_seconds: Option<i32>,
    /// Create the table when it does not exist. Default `false`.
    pub auto_create_table: bool,
    /// Replace the row that has the same conflict key, by the engine `ReplacingMergeTree`. Default
    /// `false`.
    pub upsert_mode: bool,
    /// Column that identifies a row. Default: none.
    pub conflict_key: String,
    /// Engine of a table that is created: `MergeTree` or `ReplacingMergeTree`. Default: as
    /// `upsertMode` needs.
    pub table_engine: String,
    /// Column that tells which of two rows `ReplacingMergeTree` keeps. Default: none.
    pub replacing_version_column: String,
    /// Write the whole record and its metadata in two columns. Default `false`.
    pub raw_mode: bool,
    /// In raw mode, write a column for each metadata key. Default `false`.
    pub flatten_metadata_columns: bool,
    /// Start of the names of those columns, such as `kafka_`. Default: none.
    pub flatten_metadata_columns_prefix: String,
    /// What happens to a field that is no column: `strict` rejects its record, `evolve` adds a nullable
    /// column, `ignore` leaves the field out. Default `strict`.
    pub schema_change: String,
    /// How bodies are compressed: `none` or `gzip`. Default `none`.
    pub compression: String,
    /// TLS towards an `https` server. Default: the system's CAs.
    pub tls: Option<Tls>,
    /// How long an insert may take. Default `60s`.
    pub timeout: Option<Duration>,
    /// Secret with the connection string; wins over `connectionString`.
    pub connection_string_secret_ref: Option<SecretRef>,
    /// Secret with the table; wins over `table`.
    pub table_secret_ref: Option<SecretRef>,
}

// === impl Spec ===

impl SinkSpec for Spec {
    const NAME: &'static str = "clickhouse";
    const SUMMARY: &'static str = "Writes records to a ClickHouse table";
    const OF_ORIGINAL: bool = true;

    fn check(&self, at: &FieldPath, report: &mut Report) {
        let connection = self.connection_string.expose();
        let reference = self.connection_string_secret_ref.as_ref();
        check_either("connectionString", connection, reference, at, report);
        check_either("table", &self.table, self.table_secret_ref.as_ref(), at, report);
        self.batch().check(at, report);
        if self.upsert_mode {
            check_identifier("conflictKey", self.conflict_key.trim(), at, report);
        }
        // Source: dataflow-operator.md §7.2, upsert; an invalid value there, not an unsupported
        // one.
        let engine = self.table_engine.as_str();
        if !matches!(engine, "" | "MergeTree" | "ReplacingMergeTree") {
            let path = at.child("tableEngine");
            report.invalid(&path, engine, "must be MergeTree or ReplacingMergeTree");
        }
        let version = self.replacing_version_column.trim();
        check_identifier("replacingVersionColumn", version, at, report);
        let prefix = &self.flatten_metadata_columns_prefix;
        check_raw_mode(self.raw_mode, self.flatten_metadata_columns, prefix, at, report);
        check_word("schemaChange", &self.schema_change, SCHEMA_CHANGES, at, report);
        check_word("compression", &self.compression, COMPRESSIONS, at, report);
        if let Some(tls) = &self.tls {
            tls.check(&at.child("tls"), report);
        }
        if self.timeout.is_some_and(Duration::is_zero) {
            report.invalid(&at.child("timeout"), "0s", "must be greater than zero");
        }
    }

    fn is_idempotent(&self) -> Option<bool> {
        Some(self.upsert_mode && !self.conflict_key.trim().is_empty())
    }

    fn batching(&self) -> SinkBatching {
        self.batch().batching()
    }

    fn build(self, ctx: &BuildContext) -> Result<Box<dyn Sink>, BuildError> {
        Ok(Box::new(sink::ClickhouseSink::new(self, ctx)?))
    }
}

impl Spec {
    fn batch(&self) -> Batch {
        Batch {
            sink: Self::NAME,
            default: 500,
            size: self.batch_size,
            flush_seconds: self.batch_flush_interval_seconds,
        }
    }
}
