//! The settings of the `postgresql` source, both generations.
//!
//! Source: dataflow-operator.md §1.5, §1.7. They are read and checked; polling is not built in.

use levada_registry::{FieldPath, Report};
use levada_settings::Secret;
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
    const BUILT_IN: bool = false;
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
    }

    fn build(self, _ctx: &BuildContext) -> Result<Box<dyn Source>, BuildError> {
        Err(BuildError::NotBuiltIn { role: "source", name: Self::NAME })
    }
}
