//! The `trino` source: polls a table or a query for new and changed rows.
//!
//! ```text
//! SELECT … WHERE behind the position ORDER BY change, order ─▶ rows, answer by answer ─▶ batches ─▶ wait
//! ```
//! - The position is the pair (change, order) of the last row; rows with equal pairs are never parted.
//! - Rows without a time of change have a position of their own, so that they are read as well.
//! - A query without the order column is read whole by every poll, as the original does.
//!
//! Source: dataflow-operator.md §1.5, §1.7, §3.3, §3.5.

mod place;
mod select;
mod source;

use levada_registry::{FieldPath, Report};
use schemars::JsonSchema;
use serde::Deserialize;

use crate::blocks::identifier::check_identifier;
use crate::blocks::limits::{check_not_negative, check_positive};
use crate::blocks::secret_ref::check_either;
use crate::blocks::{Keycloak, SecretRef, Tls};
use crate::{BuildContext, BuildError, Source, SourceSpec};

/// Polls a Trino table or query for new and changed rows.
#[derive(Debug, Default, Clone, Deserialize, JsonSchema)]
#[serde(default, rename_all = "camelCase")]
#[schemars(rename = "TrinoSource")]
pub struct Spec {
    /// Address of the coordinator, such as `http://trino:8080`; required unless
    /// `serverURLSecretRef` is set.
    #[serde(rename = "serverURL")]
    pub server_url: String,
    /// Catalog; required unless `catalogSecretRef` is set.
    pub catalog: String,
    /// Schema; required unless `schemaSecretRef` is set.
    pub schema: String,
    /// Table; required, also with a query, unless `tableSecretRef` is set.
    pub table: String,
    /// A query that is read in place of the table. Default: none.
    pub query: String,
    /// Seconds between two polls, from 1. Default 5.
    pub poll_interval: Option<i32>,
    /// Column that orders rows with the same time of change. Default `id`.
    pub order_by_column: String,
    /// Column that tells when a row changed. Default `updated_at`.
    pub change_tracking_column: String,
    /// Rows that one poll reads at most; 0 means all. Default 0.
    pub read_batch_size: Option<i32>,
    /// Seconds that a poll may wait for the server; 0 means the default. Default 600.
    pub query_timeout_seconds: Option<i32>,
    /// User that statements run as. Default `dataflow-operator`.
    pub user: String,
    /// TLS towards the server and Keycloak. Default: the system's CAs.
    pub tls: Option<Tls>,
    /// Bearer token, or how to get one from Keycloak. Default: no authentication.
    pub keycloak: Option<Keycloak>,
    /// End when a poll finds nothing that was not handed out before, instead of waiting for more; polls
    /// follow each other at once. What is read whole by every poll is read once. Default `false`.
    pub stop_at_end: bool,
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

impl SourceSpec for Spec {
    const NAME: &'static str = "trino";
    const SUMMARY: &'static str = "Polls a Trino table or query";
    const OF_ORIGINAL: bool = true;
    const POLLS: bool = true;

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
        check_positive("pollInterval", self.poll_interval, at, report);
        check_not_negative("readBatchSize", self.read_batch_size, at, report);
        check_identifier("orderByColumn", &self.order_by_column, at, report);
        check_identifier("changeTrackingColumn", &self.change_tracking_column, at, report);
        let timeout = self.query_timeout_seconds.filter(|&seconds| seconds != 0);
        check_positive("queryTimeoutSeconds", timeout, at, report);
        if let Some(tls) = &self.tls {
            tls.check(&at.child("tls"), report);
        }
        if let Some(keycloak) = &self.keycloak {
            keycloak.check(&at.child("keycloak"), report);
        }
    }

    fn build(self, ctx: &BuildContext) -> Result<Box<dyn Source>, BuildError> {
        Ok(Box::new(source::TrinoSource::new(self, ctx)?))
    }
}
