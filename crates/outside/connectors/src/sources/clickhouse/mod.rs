//! The `clickhouse` source, second generation: polls a table or query over HTTP.
//!
//! Each poll asks for the rows behind the last one, in the order of two columns: when a row changed, and
//! one that tells rows with the same time apart. The position is their values in the last row,
//! `{"change": …, "order": …}`; together they must be unique, or rows are missed where a poll ends.
//! Rows in which one of them is NULL have no place in that order and are not read; where columns
//! can be NULL, the source says so when it opens. A row that becomes visible with a time that is past
//! already is not read either.
//!
//! A row is a JSON object by column: integers and decimals with all their digits, times as RFC 3339 in
//! UTC, floats that are no numbers as `"nan"`, `"inf"`, `"-inf"`.
//!
//! Source: dataflow-operator.md §1.7, §3.3. Differs: HTTP in place of the native protocol; a query must have the
//! two columns, because otherwise every poll would hand out all of it again.

mod source;

use levada_registry::{FieldPath, Report};
use levada_settings::Secret;
use schemars::JsonSchema;
use serde::Deserialize;

use crate::blocks::identifier::check_identifier;
use crate::blocks::limits::{check_not_negative, check_positive};
use crate::blocks::secret_ref::check_either;
use crate::blocks::{SecretRef, Tls};
use crate::{BuildContext, BuildError, Source, SourceSpec};

/// Polls a ClickHouse table or query for new rows.
#[derive(Debug, Default, Clone, Deserialize, JsonSchema)]
#[serde(default, rename_all = "camelCase")]
#[schemars(rename = "ClickhouseSource")]
pub struct Spec {
    /// Connection string, `clickhouse://`, `http://` or `https://`; required unless
    /// `connectionStringSecretRef` is set. The HTTP interface is used: the native ports 9000 and 9440 stand
    /// for 8123 and 8443.
    pub connection_string: Secret<String>,
    /// The table; required, also with a query, unless `tableSecretRef` is set.
    pub table: String,
    /// A query that is read in place of the table; its result must have the two columns below. Default:
    /// none.
    pub query: String,
    /// Seconds between two polls, from 1. Default 5.
    pub poll_interval: Option<i32>,
    /// Column that orders rows with the same time of change. Default `id`.
    pub order_by_column: String,
    /// Column that tells when a row changed. Default `created_at`.
    pub change_tracking_column: String,
    /// Rows that one poll reads at most; 0 means all. Default 0.
    pub read_batch_size: Option<i32>,
    /// End when a poll finds no row, instead of waiting for more; polls follow each other at once.
    /// Default `false`.
    pub stop_at_end: bool,
    /// TLS towards an `https` server. Default: the system's CAs.
    pub tls: Option<Tls>,
    /// Secret with the connection string; wins over `connectionString`.
    pub connection_string_secret_ref: Option<SecretRef>,
    /// Secret with the table; wins over `table`.
    pub table_secret_ref: Option<SecretRef>,
}

// === impl Spec ===

impl SourceSpec for Spec {
    const NAME: &'static str = "clickhouse";
    const SUMMARY: &'static str = "Polls a ClickHouse table or query";
    const OF_ORIGINAL: bool = true;
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
        if let Some(tls) = &self.tls {
            tls.check(&at.child("tls"), report);
        }
    }

    fn build(self, ctx: &BuildContext) -> Result<Box<dyn Source>, BuildError> {
        Ok(Box::new(source::ClickhouseSource::new(self, ctx)?))
    }
}
