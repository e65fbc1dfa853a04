//! The settings of the `iceberg` source, second generation.
//!
//! Source: dataflow-operator.md §1.7. They are read and checked; polling is not built in.

use levada_registry::{FieldPath, Report};
use levada_settings::Secret;
use schemars::JsonSchema;
use serde::Deserialize;

use crate::blocks::catalog::{CatalogAuth, OAuth2, check_snapshots};
use crate::blocks::limits::check_positive;
use crate::blocks::secret_ref::check_either;
use crate::blocks::{BasicAuth, SecretRef};
use crate::{BuildContext, BuildError, Source, SourceSpec};

/// Polls an Iceberg table of a REST catalog.
#[derive(Debug, Default, Clone, Deserialize, JsonSchema)]
#[serde(default, rename_all = "camelCase")]
#[schemars(rename = "IcebergSource")]
pub struct Spec {
    /// Address of the REST catalog; required unless `catalogURISecretRef` is set.
    #[serde(rename = "catalogURI")]
    pub catalog_uri: String,
    /// Prefix of the catalog's paths. Default: what the catalog says.
    pub prefix: String,
    /// Warehouse. Default: the catalog's.
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
    /// Token endpoint for client credentials. Default: that of the catalog.
    #[serde(rename = "oauth2ServerURI")]
    pub oauth2_server_uri: String,
    /// Client of the client credentials; goes with its secret and not with a bearer token. Default:
    /// none.
    #[serde(rename = "oauth2ClientID")]
    pub oauth2_client_id: String,
    /// Secret of that client. Default: none.
    pub oauth2_client_secret: Secret<String>,
    /// Scope that is asked for. Default `catalog`.
    pub oauth2_scope: String,
    /// Secret with the address; wins over `catalogURI`.
    #[serde(rename = "catalogURISecretRef")]
    pub catalog_uri_secret_ref: Option<SecretRef>,
    /// Secret with the bearer token; wins over `bearerToken`.
    pub token_secret_ref: Option<SecretRef>,
    /// Secret with the token endpoint; wins over `oauth2ServerURI`.
    #[serde(rename = "oauth2ServerURISecretRef")]
    pub oauth2_server_uri_secret_ref: Option<SecretRef>,
    /// Secret with the client; wins over `oauth2ClientID`.
    #[serde(rename = "oauth2ClientIDSecretRef")]
    pub oauth2_client_id_secret_ref: Option<SecretRef>,
    /// Secret with the client's secret; wins over `oauth2ClientSecret`.
    pub oauth2_client_secret_secret_ref: Option<SecretRef>,
    /// Secret with the namespace; wins over `namespace`.
    pub namespace_secret_ref: Option<SecretRef>,
    /// Secret with the table; wins over `table`.
    pub table_secret_ref: Option<SecretRef>,
}

// === impl Spec ===

impl SourceSpec for Spec {
    const NAME: &'static str = "iceberg";
    const SUMMARY: &'static str = "Polls an Iceberg table of a REST catalog";
    const OF_ORIGINAL: bool = true;
    const BUILT_IN: bool = false;
    const POLLS: bool = true;

    fn check(&self, at: &FieldPath, report: &mut Report) {
        let reference = self.catalog_uri_secret_ref.as_ref();
        check_either("catalogURI", &self.catalog_uri, reference, at, report);
        check_either("namespace", &self.namespace, self.namespace_secret_ref.as_ref(), at, report);
        check_either("table", &self.table, self.table_secret_ref.as_ref(), at, report);
        let auth = CatalogAuth {
            authentication_type: &self.authentication_type,
            bearer_token: &self.bearer_token,
            token_secret_ref: self.token_secret_ref.as_ref(),
            basic_auth: self.basic_auth.as_ref(),
        };
        auth.check(at, report);
        let oauth2 = OAuth2 {
            client_id: &self.oauth2_client_id,
            client_id_secret_ref: self.oauth2_client_id_secret_ref.as_ref(),
            client_secret: &self.oauth2_client_secret,
            client_secret_secret_ref: self.oauth2_client_secret_secret_ref.as_ref(),
            server_uri_secret_ref: self.oauth2_server_uri_secret_ref.as_ref(),
        };
        oauth2.check(&auth, at, report);
        check_positive("pollInterval", self.poll_interval, at, report);
        let start = &self.start_snapshot_id;
        check_snapshots(self.incremental_by_snapshot, &self.query, start, at, report);
    }

    fn build(self, _ctx: &BuildContext) -> Result<Box<dyn Source>, BuildError> {
        Err(BuildError::NotBuiltIn { role: "source", name: Self::NAME })
    }
}
