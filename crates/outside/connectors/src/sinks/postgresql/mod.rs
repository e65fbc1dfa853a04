//! The `postgresql` sink: records become rows of a table.
//!
//! ```text
//! batch ─▶ rows (rows.rs, value.rs) ─▶ COPY or arrays (statement.rs) ─▶ one transaction (write.rs, sink.rs)
//!             │ evolve.rs: tables that are made or changed      │ positions.rs: exactly once
//!             └ records that are no rows: rejected               └ rows that the server refuses: rejected
//! ```
//! Source of the settings: dataflow-operator.md §1.5, §1.7; of the behaviour: §3.4, §3.8, §10.3, §10.6.
//!
//! - Columns are the keys of a record; rows with the same keys share a statement. A column that a record
//!   does not name gets its default.
//! - A table with a column `data` of type `jsonb` gets the whole document there.
//! - Bad rows are found inside the transaction and rejected one by one; the others land.
//! - Names are always quoted. Values are never part of a statement.

#[cfg(feature = "postgresql")]
mod build;
#[cfg(feature = "postgresql")]
mod evolve;
#[cfg(feature = "postgresql")]
mod history;
#[cfg(feature = "postgresql")]
mod layout;
#[cfg(feature = "postgresql")]
mod metrics;
#[cfg(feature = "postgresql")]
mod positions;
#[cfg(feature = "postgresql")]
mod raw;
#[cfg(feature = "postgresql")]
mod rows;
#[cfg(feature = "postgresql")]
mod sink;
#[cfg(feature = "postgresql")]
mod statement;
#[cfg(feature = "postgresql")]
mod value;
#[cfg(feature = "postgresql")]
mod write;

use levada_registry::{FieldPath, Report};
use levada_settings::{Duration, Secret};
use schemars::JsonSchema;
use serde::Deserialize;

use crate::blocks::SecretRef;
use crate::blocks::batch::Batch;
use crate::blocks::identifier::{check_conflict_key, check_identifier};
use crate::blocks::raw_mode::check_raw_mode;
use crate::blocks::secret_ref::check_either;
use crate::{BuildContext, BuildError, Sink, SinkBatching, SinkSpec};

/// What happens when a record and the table do not agree.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum SchemaChange {
    /// The record is rejected, and the column named.
    #[default]
    Strict,
    /// Columns are added, and integer columns widened.
    Evolve,
    /// Keys without a column are left out and counted.
    Ignore,
}

/// Writes records to a PostgreSQL table: a column for each key, or one JSONB column.
#[derive(Debug, Default, Clone, Deserialize, JsonSchema)]
#[serde(default, rename_all = "camelCase")]
#[schemars(rename = "PostgresqlSink")]
pub struct Spec {
    /// Connection string, such as `postgres://user:password@host:5432/database`; required unless
    /// `connectionStringSecretRef` is set.
    pub connection_string: Secret<String>,
    /// The table, which may be `schema.table`; required unless `tableSecretRef` is set.
    pub table: String,
    /// Records of one write; 0 means up to 10000, ended by the timer. Default 100.
    pub batch_size: Option<i32>,
    /// Seconds after which a batch is written though it is not full; 0 means never. Default 1.
    pub batch_flush_interval_seconds: Option<i32>,
    /// Create the table when it does not exist. Default `false`.
    pub auto_create_table: bool,
    /// Update the row that has the same conflict key. Default `false`.
    pub upsert_mode: bool,
    /// Column that identifies a row, or several separated by commas. Default `id`.
    pub conflict_key: String,
    /// When a row is updated: `always`, or `ifNewer` by `upsertVersionColumn`. Default `always`.
    pub upsert_strategy: String,
    /// Column that tells which of two rows is newer; required with `ifNewer`.
    pub upsert_version_column: String,
    /// Column that is set to the time of a delete, in place of deleting the row. Default: none.
    pub soft_delete_column: String,
    /// Write the whole record and its metadata in two columns. Default `false`.
    pub raw_mode: bool,
    /// In raw mode, write a column for each metadata key. Default `false`.
    pub flatten_metadata_columns: bool,
    /// What happens to keys without a column: `strict` rejects the record, `evolve` adds columns and
    /// widens integer ones, `ignore` leaves the keys out and counts them. Default `strict`.
    pub schema_change: SchemaChange,
    /// Records of the first batch after which a table is made. Default 100.
    pub sample_records: Option<u32>,
    /// How long a statement may take, and a transaction stand still. Default `5m`.
    pub statement_timeout: Option<Duration>,
    /// Start of the names of those columns, such as `kafka_`. Default: none.
    pub flatten_metadata_columns_prefix: String,
    /// Secret with the connection string; wins over `connectionString`.
    pub connection_string_secret_ref: Option<SecretRef>,
    /// Secret with the table; wins over `table`.
    pub table_secret_ref: Option<SecretRef>,
}

// === impl Spec ===

impl SinkSpec for Spec {
    const NAME: &'static str = "postgresql";
    const SUMMARY: &'static str = "Writes records to a PostgreSQL table";
    const OF_ORIGINAL: bool = true;
    const BUILT_IN: bool = cfg!(feature = "postgresql");

    fn check(&self, at: &FieldPath, report: &mut Report) {
        let connection = self.connection_string.expose();
        let reference = self.connection_string_secret_ref.as_ref();
        check_either("connectionString", connection, reference, at, report);
        check_either("table", &self.table, self.table_secret_ref.as_ref(), at, report);
        self.batch().check(at, report);
        self.check_upsert(at, report);
        check_identifier("softDeleteColumn", self.soft_delete_column.trim(), at, report);
        let prefix = &self.flatten_metadata_columns_prefix;
        check_raw_mode(self.raw_mode, self.flatten_metadata_columns, prefix, at, report);
        if self.sample_records == Some(0) {
            report.invalid(&at.child("sampleRecords"), 0, "must be greater than zero");
        }
        if self.statement_timeout.is_some_and(Duration::is_zero) {
            report.invalid(&at.child("statementTimeout"), "0s", "must be greater than zero");
        }
    }

    fn is_idempotent(&self) -> Option<bool> {
        Some(self.upsert_mode && !self.conflict_key.trim().is_empty())
    }

    fn batching(&self) -> SinkBatching {
        self.batch().batching()
    }

    /// Positions stand beside the rows, whatever source they come from.
    fn can_be_exactly_once(&self, _source: &str) -> bool {
        true
    }

    #[cfg(feature = "postgresql")]
    fn build(self, ctx: &BuildContext) -> Result<Box<dyn Sink>, BuildError> {
        build::sink(&self, ctx)
    }

    #[cfg(not(feature = "postgresql"))]
    fn build(self, _ctx: &BuildContext) -> Result<Box<dyn Sink>, BuildError> {
        Err(BuildError::NotBuiltIn { role: "sink", name: Self::NAME })
    }
}

impl Spec {
    fn batch(&self) -> Batch {
        Batch {
            sink: Self::NAME,
            default: 100,
            size: self.batch_size,
            flush_seconds: self.batch_flush_interval_seconds,
        }
    }

    /// Source: dataflow-operator.md §7.2, upsert; a conflict key without upserts has no effect.
    fn check_upsert(&self, at: &FieldPath, report: &mut Report) {
        if self.upsert_mode {
            check_conflict_key(&self.conflict_key, at, report);
        }
        let version = self.upsert_version_column.trim();
        match self.upsert_strategy.as_str() {
            "ifNewer" if version.is_empty() => {
                let detail = "upsertVersionColumn is required when upsertStrategy is ifNewer";
                report.required(&at.child("upsertVersionColumn"), detail);
            }
            "" | "always" | "ifNewer" => {}
            other => {
                let path = at.child("upsertStrategy");
                report.invalid(&path, other, "must be always or ifNewer");
            }
        }
        check_identifier("upsertVersionColumn", version, at, report);
    }
}
