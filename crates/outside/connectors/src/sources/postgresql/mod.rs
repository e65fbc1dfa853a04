//! The `postgresql` source: polls a table or a query.
//!
//! Source of the settings: dataflow-operator.md §1.5, §1.7; of the behaviour: §3.3, §10.4.
//!
//! Each poll is a cursor over one snapshot, so that a table of any size is streamed and nothing is read
//! twice. Rows come ordered by (time of change, key), or by the key where there is no such time, and the
//! position is the tuple of the last row, as exact texts.
//!
//! Rows with equal times are told apart by the key. Rows that become visible late, because their
//! transaction was open longer than that of later rows, stand before the position: each poll therefore
//! reads a window behind it again (`overlap`) and drops what was handed out. What was handed out is
//! remembered while the process runs; for a restart the position holds the snapshot of its poll, and a row
//! of the window was handed out if that snapshot saw its transaction. Two limits:
//! - a row that was written under a savepoint, in a transaction that was open while the position was
//!   stored, is missed when the process restarts within the window;
//! - rows of views and queries have no transaction: those of the window come again after a restart.
//!
//! Waiting until no older transaction is open would need no window, but one forgotten transaction
//! would stop the flow, and times that the application sets say nothing about transactions.
//!
//! Rows are JSON objects by column name: numbers with all digits, times as RFC 3339 (those without a zone
//! as UTC), bytes as base64.
//!
//! A query without `changeTrackingColumn` is read whole by every poll.

#[cfg(feature = "postgresql")]
mod plan;
#[cfg(feature = "postgresql")]
mod seen;
#[cfg(feature = "postgresql")]
mod settings;
#[cfg(feature = "postgresql")]
mod source;

use levada_registry::{FieldPath, Report};
use levada_settings::{Duration, Secret};
use schemars::JsonSchema;
use serde::Deserialize;

use crate::blocks::SecretRef;
use crate::blocks::identifier::check_identifier;
use crate::blocks::limits::{check_not_negative, check_positive};
use crate::blocks::secret_ref::check_either;
use crate::{BuildContext, BuildError, Source, SourceSpec};

/// Polls a PostgreSQL table or query for new and changed rows.
#[derive(Debug, Default, Clone, Deserialize, JsonSchema)]
#[serde(default, rename_all = "camelCase")]
#[schemars(rename = "PostgresqlSource")]
pub struct Spec {
    /// Connection string, such as `postgres://user:password@host:5432/database`; required unless
    /// `connectionStringSecretRef` is set.
    pub connection_string: Secret<String>,
    /// The table, which may be `schema.table`; required, also with a query, unless `tableSecretRef`
    /// is set.
    pub table: String,
    /// A query that is read in place of the table. Default: none.
    pub query: String,
    /// Seconds between two polls, from 1. Default 5.
    pub poll_interval: Option<i32>,
    /// Rows that one poll reads at most; 0 means all. Default 0.
    pub read_batch_size: Option<i32>,
    /// Column that tells when a row changed; set it to follow changes of a query. Default
    /// `updated_at`.
    pub change_tracking_column: String,
    /// Column that orders rows with the same time of change. Default `id`.
    pub order_by_column: String,
    /// Create the table when it does not exist. Default `false`.
    pub auto_create_table: bool,
    /// How far behind the position rows are read again, to find those of transactions that were open
    /// when the rows behind them were read; without times of change, 1000 keys. 0 switches it off.
    /// Default `5s`.
    pub overlap: Option<Duration>,
    /// How long a statement may take, and a poll wait for the sinks. Default `5m`.
    pub statement_timeout: Option<Duration>,
    /// End when a poll finds nothing that was not handed out before, instead of waiting for more; polls
    /// follow each other at once. What is read whole by every poll is read once. Default `false`.
    pub stop_at_end: bool,
    /// Secret with the connection string; wins over `connectionString`.
    pub connection_string_secret_ref: Option<SecretRef>,
    /// Secret with the table; wins over `table`.
    pub table_secret_ref: Option<SecretRef>,
}

// === impl Spec ===

impl SourceSpec for Spec {
    const NAME: &'static str = "postgresql";
    const SUMMARY: &'static str = "Polls a PostgreSQL table or query";
    const OF_ORIGINAL: bool = true;
    const BUILT_IN: bool = cfg!(feature = "postgresql");
    const POLLS: bool = true;

    fn check(&self, at: &FieldPath, report: &mut Report) {
        let connection = self.connection_string.expose();
        let reference = self.connection_string_secret_ref.as_ref();
        check_either("connectionString", connection, reference, at, report);
        check_either("table", &self.table, self.table_secret_ref.as_ref(), at, report);
        check_positive("pollInterval", self.poll_interval, at, report);
        check_not_negative("readBatchSize", self.read_batch_size, at, report);
        check_identifier("orderByColumn", &self.order_by_column, at, report);
        check_identifier("changeTrackingColumn", &self.change_tracking_column, at, report);
        if self.statement_timeout.is_some_and(Duration::is_zero) {
            report.invalid(&at.child("statementTimeout"), "0s", "must be greater than zero");
        }
    }

    #[cfg(feature = "postgresql")]
    fn build(self, ctx: &BuildContext) -> Result<Box<dyn Source>, BuildError> {
        let settings = settings::Settings::new(&self)?;
        Ok(Box::new(source::PostgresqlSource::new(settings, ctx)))
    }

    #[cfg(not(feature = "postgresql"))]
    fn build(self, _ctx: &BuildContext) -> Result<Box<dyn Source>, BuildError> {
        Err(BuildError::NotBuiltIn { role: "source", name: Self::NAME })
    }
}
