//! The `trino` sink: one `INSERT`, or one `MERGE`, per batch.
//!
//! ```text
//! record ─▶ row of literals (layout, trino::literal) ─▶ statements below the server's text limit ─▶ POST
//! ```
//! - Columns and types are read once, and again when the server says that they are not what they were.
//! - A value that its column cannot hold exactly rejects its record, before anything is sent. What the server
//!   refuses is about the records of a statement, and the engine finds which.
//! - At least once: a statement whose answer got lost is sent again. With `upsertMode` that makes no difference.
//!
//! Source: dataflow-operator.md §1.5, §1.7, §3.5, §3.8.

mod create;
mod layout;
mod sink;
mod statement;

use levada_registry::{FieldPath, Report};
use schemars::JsonSchema;
use serde::Deserialize;

use crate::blocks::batch::Batch;
use crate::blocks::identifier::check_identifier;
use crate::blocks::limits::check_positive;
use crate::blocks::raw_mode::check_raw_mode;
use crate::blocks::secret_ref::check_either;
use crate::blocks::words::check_word;
use crate::blocks::{Keycloak, SecretRef, Tls};
use crate::{BuildContext, BuildError, Sink, SinkBatching, SinkSpec};

/// Writes records to a Trino table.
#[derive(Debug, Default, Clone, Deserialize, JsonSchema)]
#[serde(default, rename_all = "camelCase")]
#[schemars(rename = "TrinoSink")]
pub struct Spec {
    /// Address of the coordinator, such as `http://trino:8080`; required unless
    /// `serverURLSecretRef` is set.
    #[serde(rename = "serverURL")]
    pub server_url: String,
    /// Catalog; required unless `catalogSecretRef` is set.
    pub catalog: String,
    /// Schema; required unless `schemaSecretRef` is set.
    pub schema: String,
    /// Table; required unless `tableSecretRef` is set.
    pub table: String,
    /// Records of one statement; 0 means up to 10000, ended by the timer. Default 10.
    pub batch_size: Option<i32>,
    /// Seconds after which a batch is written though it is not full; 0 means never. Default 1.
    pub batch_flush_interval_seconds: Option<i32>,
    /// Seconds that a statement may take; 0 means the default. Default 600.
    pub query_timeout_seconds: Option<i32>,
    /// Create the table when it does not exist. Default `false`.
    pub auto_create_table: bool,
    /// Update the row that has the same conflict key, by `MERGE`; only in Iceberg catalogs. Default
    /// `false`.
    pub upsert_mode: bool,
    /// Column that identifies a row; required with `upsertMode`.
    pub conflict_key: String,
    /// Write the whole record and its metadata in two columns. Default `false`.
    pub raw_mode: bool,
    /// In raw mode, write a column for each metadata key. Default `false`.
    pub flatten_metadata_columns: bool,
    /// Start of the names of those columns, such as `kafka_`. Default: none.
    pub flatten_metadata_columns_prefix: String,
    /// What becomes of fields that no column has: `ignore` leaves them out, names them in the log and counts
    /// them; `strict` rejects their records. Default `ignore`.
    pub schema_change: String,
    /// User that statements run as. Default `dataflow-operator`.
    pub user: String,
    /// TLS towards the server and Keycloak. Default: the system's CAs.
    pub tls: Option<Tls>,
    /// Bearer token, or how to get one from Keycloak. Default: no authentication.
    pub keycloak: Option<Keycloak>,
    /// Secret with the address; wins over `serverURL`.
    #[serde(rename = "serverURLSecretRef")]
    pub server_url_secret_ref: Option<SecretRef>,
    /// Secret with the catalog; wins over `catalog`.
    pub catalog_secret_ref: Option<SecretRef>,
    /// Secret with the schema; wins over `schema`.
    pub schema_secret_ref: Option<SecretRef>,
    /// Secret with the table; wins over `table`.
    pub table_secret_ref: Option<SecretRef>,
}

// === impl Spec ===

impl SinkSpec for Spec {
    const NAME: &'static str = "trino";
    const SUMMARY: &'static str = "Writes records to a Trino table";
    const OF_ORIGINAL: bool = true;

    fn check(&self, at: &FieldPath, report: &mut Report) {
        check_either(
            "serverURL",
            &self.server_url,
            self.server_url_secret_ref.as_ref(),
            at,
            report,
        );
        check_either("catalog", &self.catalog, self.catalog_secret_ref.as_ref(), at, report);
        check_either("schema", &self.schema, self.schema_secret_ref.as_ref(), at, report);
        check_either("table", &self.table, self.table_secret_ref.as_ref(), at, report);
        self.batch().check(at, report);
        let timeout = self.query_timeout_seconds.filter(|&seconds| seconds != 0);
        check_positive("queryTimeoutSeconds", timeout, at, report);
        if self.upsert_mode {
            self.check_upsert(at, report);
        }
        let prefix = &self.flatten_metadata_columns_prefix;
        check_raw_mode(self.raw_mode, self.flatten_metadata_columns, prefix, at, report);
        check_word("schemaChange", &self.schema_change, &["strict", "ignore"], at, report);
        if let Some(tls) = &self.tls {
            tls.check(&at.child("tls"), report);
        }
        if let Some(keycloak) = &self.keycloak {
            keycloak.check(&at.child("keycloak"), report);
        }
    }

    fn is_idempotent(&self) -> Option<bool> {
        Some(self.upsert_mode && !self.conflict_key.trim().is_empty())
    }

    fn batching(&self) -> SinkBatching {
        self.batch().batching()
    }

    fn build(self, ctx: &BuildContext) -> Result<Box<dyn Sink>, BuildError> {
        Ok(Box::new(sink::TrinoSink::new(self, ctx)?))
    }
}

impl Spec {
    fn batch(&self) -> Batch {
        Batch {
            sink: Self::NAME,
            default: 10,
            size: self.batch_size,
            flush_seconds: self.batch_flush_interval_seconds,
        }
    }

    /// Source: dataflow-operator.md §7.2, upsert. A catalog from a Secret is not known here.
    fn check_upsert(&self, at: &FieldPath, report: &mut Report) {
        let key = self.conflict_key.trim();
        if key.is_empty() {
            let detail = "conflictKey is required when upsertMode is enabled";
            report.required(&at.child("conflictKey"), detail);
        }
        check_identifier("conflictKey", key, at, report);
        let catalog = self.catalog.as_str();
        let is_known = self.catalog_secret_ref.is_none() && !catalog.is_empty();
        if is_known && !catalog.to_lowercase().contains("iceberg") {
            let detail = "upsertMode writes by MERGE, which Iceberg catalogs alone take: the name of \
                          the catalog must contain iceberg";
            report.invalid(&at.child("catalog"), catalog, detail);
        }
    }
}
