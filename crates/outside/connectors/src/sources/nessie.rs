//! The settings of the `nessie` source, second generation.
//!
//! Source: dataflow-operator.md §1.7. They are read and checked; polling is not built in.

use levada_registry::{FieldPath, Report};
use levada_settings::Secret;
use schemars::JsonSchema;
use serde::Deserialize;

use crate::blocks::catalog::{CatalogAuth, check_snapshots};
use crate::blocks::limits::check_positive;
use crate::blocks::secret_ref::check_either;
use crate::blocks::{BasicAuth, SecretRef};
use crate::{BuildContext, BuildError, Source, SourceSpec};

/// Polls an Iceberg table of a Nessie catalog.
#[derive(Debug, Default, Clone, Deserialize, JsonSchema)]
#[serde(default, rename_all = "camelCase")]
#[schemars(rename = "NessieSource")]
pub struct Spec {
    /// Address of the server, such as `http://nessie:19120`; required unless `baseURLSecretRef` is
    /// set.
    #[serde(rename = "baseURL")]
    pub base_url: String,
    /// Branch. Default `main`.
    pub branch: String,
    /// Warehouse. Default: the server's.
    pub warehouse: String,
    /// Namespace; required unless `namespaceSecretRef` is set.
    pub namespace: String,
    /// Table; required unless `tableSecretRef` is set.
    pub table: String,
    /// A query that is read in place of the table; not together with `incrementalBySnapshot`.
    /// Default: none.
    pub query: String,
    /// Seconds between two polls, from 1. Default 10.
    pub poll_interval: Option<i32>,
    /// Read only the snapshots after the last one that was handed on; else every poll reads the
    /// whole table. Default `false`.
    pub incremental_by_snapshot: bool,
    /// Snapshot to start from when there is no position, a whole number. Default: the current one.
    #[serde(rename = "startSnapshotID")]
    pub start_snapshot_id: String,
    /// Keep the position over restarts. Default `true`.
    pub snapshot_checkpoints: Option<bool>,
    /// HTTP Basic credentials. Default: none.
    pub basic_auth: Option<BasicAuth>,
    /// Bearer token. Default: none.
    pub bearer_token: Secret<String>,
    /// `AUTO` (what is there: token, else Basic, else nothing), `BEARER`, `BASIC` or `NONE`; case
    /// does not matter. Default `AUTO`.
    pub authentication_type: String,
    /// Secret with the address; wins over `baseURL`.
    #[serde(rename = "baseURLSecretRef")]
    pub base_url_secret_ref: Option<SecretRef>,
    /// Secret with the bearer token; wins over `bearerToken`.
    pub token_secret_ref: Option<SecretRef>,
    /// Secret with the namespace; wins over `namespace`.
    pub namespace_secret_ref: Option<SecretRef>,
    /// Secret with the table; wins over `table`.
    pub table_secret_ref: Option<SecretRef>,
}

// === impl Spec ===

impl SourceSpec for Spec {
    const NAME: &'static str = "nessie";
    const SUMMARY: &'static str = "Polls an Iceberg table of a Nessie catalog";
    const OF_ORIGINAL: bool = true;
    const BUILT_IN: bool = false;
    const POLLS: bool = true;

    fn check(&self, at: &FieldPath, report: &mut Report) {
        check_either("baseURL", &self.base_url, self.base_url_secret_ref.as_ref(), at, report);
        check_either("namespace", &self.namespace, self.namespace_secret_ref.as_ref(), at, report);
        check_either("table", &self.table, self.table_secret_ref.as_ref(), at, report);
        let auth = CatalogAuth {
            authentication_type: &self.authentication_type,
            bearer_token: &self.bearer_token,
            token_secret_ref: self.token_secret_ref.as_ref(),
            basic_auth: self.basic_auth.as_ref(),
        };
        auth.check(at, report);
        check_positive("pollInterval", self.poll_interval, at, report);
        let start = &self.start_snapshot_id;
        check_snapshots(self.incremental_by_snapshot, &self.query, start, at, report);
    }

    fn build(self, _ctx: &BuildContext) -> Result<Box<dyn Source>, BuildError> {
        Err(BuildError::NotBuiltIn { role: "source", name: Self::NAME })
    }
}
