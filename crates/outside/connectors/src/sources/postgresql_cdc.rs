//! The settings of the `postgresql-cdc` source, second generation.
//!
//! Source: dataflow-operator.md §1.7. They are read and checked; replication is not built in.

use levada_registry::{FieldPath, Report};
use levada_settings::Secret;
use schemars::JsonSchema;
use serde::Deserialize;

use crate::blocks::SecretRef;
use crate::blocks::identifier::{check_identifier, check_identifier_list, check_table};
use crate::blocks::secret_ref::check_either;
use crate::blocks::words::check_word;
use crate::{BuildContext, BuildError, Source, SourceSpec};

/// Follows the changes of PostgreSQL tables by logical replication.
#[derive(Debug, Default, Clone, Deserialize, JsonSchema)]
#[serde(default, rename_all = "camelCase")]
#[schemars(rename = "PostgresqlCdcSource")]
pub struct Spec {
    /// Connection string of a role that may replicate; required unless `connectionStringSecretRef`
    /// is set.
    pub connection_string: Secret<String>,
    /// Replication slot; required unless `slotNameSecretRef` is set.
    pub slot_name: String,
    /// Publication; required unless `publicationNameSecretRef` is set.
    pub publication_name: String,
    /// Tables, as `schema.table` or `table`; at least one.
    pub tables: Vec<String>,
    /// When existing rows are read first: `initial`, `never` or `always`. Default `initial`.
    pub snapshot_mode: String,
    /// Create the slot when it does not exist. Default `true`.
    pub create_slot_if_not_exists: Option<bool>,
    /// Create the publication when it does not exist. Default `true`.
    pub create_publication_if_not_exists: Option<bool>,
    /// Output plug-in of the slot. Default, and the only value: `pgoutput`.
    pub plugin: String,
    /// Seconds between two messages that keep the slot moving; 0 switches them off. Default 10.
    pub heartbeat_interval_seconds: Option<i32>,
    /// Column that identifies a row. Default `id`.
    pub primary_key_column: String,
    /// Columns to hand on. Default: all.
    pub include_columns: Vec<String>,
    /// Columns to leave out. Default: none.
    pub exclude_columns: Vec<String>,
    /// Form of the payload: `row` or `debezium`. Default `row`.
    pub envelope_format: String,
    /// Secret with the connection string; wins over `connectionString`.
    pub connection_string_secret_ref: Option<SecretRef>,
    /// Secret with the replication slot; wins over `slotName`.
    pub slot_name_secret_ref: Option<SecretRef>,
    /// Secret with the publication; wins over `publicationName`.
    pub publication_name_secret_ref: Option<SecretRef>,
}

// === impl Spec ===

impl SourceSpec for Spec {
    const NAME: &'static str = "postgresql-cdc";
    const SUMMARY: &'static str = "Follows the changes of PostgreSQL tables";
    const OF_ORIGINAL: bool = true;
    const BUILT_IN: bool = false;

    fn check(&self, at: &FieldPath, report: &mut Report) {
        let connection = self.connection_string.expose();
        let reference = self.connection_string_secret_ref.as_ref();
        check_either("connectionString", connection, reference, at, report);
        check_either("slotName", &self.slot_name, self.slot_name_secret_ref.as_ref(), at, report);
        let reference = self.publication_name_secret_ref.as_ref();
        check_either("publicationName", &self.publication_name, reference, at, report);
        let tables = at.child("tables");
        if self.tables.is_empty() {
            report.required(&tables, "name the tables to follow, one or more");
        }
        for (index, table) in self.tables.iter().enumerate() {
            check_table(table, &tables.index(index), report);
        }
        check_word(
            "snapshotMode",
            &self.snapshot_mode,
            &["initial", "never", "always"],
            at,
            report,
        );
        check_word("plugin", &self.plugin, &["pgoutput"], at, report);
        check_word("envelopeFormat", &self.envelope_format, &["row", "debezium"], at, report);
        check_identifier("primaryKeyColumn", &self.primary_key_column, at, report);
        check_identifier_list("includeColumns", &self.include_columns, at, report);
        check_identifier_list("excludeColumns", &self.exclude_columns, at, report);
        if let Some(seconds) = self.heartbeat_interval_seconds.filter(|&seconds| seconds < 0) {
            report.invalid(&at.child("heartbeatIntervalSeconds"), seconds, "must be >= 0");
        }
    }

    fn build(self, _ctx: &BuildContext) -> Result<Box<dyn Source>, BuildError> {
        Err(BuildError::NotBuiltIn { role: "source", name: Self::NAME })
    }
}
