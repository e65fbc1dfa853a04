//! The settings of the `iceberg` sink, second generation.
//!
//! Source: dataflow-operator.md §1.7. They are read and checked; writing is not built in.

use levada_registry::{FieldPath, Report};
use levada_settings::Secret;
use schemars::JsonSchema;
use serde::Deserialize;

use crate::blocks::batch::Batch;
use crate::blocks::catalog::{CatalogAuth, OAuth2, check_storage_keys};
use crate::blocks::raw_mode::check_raw_mode;
use crate::blocks::secret_ref::check_either;
use crate::blocks::{BasicAuth, SecretRef};
use crate::{BuildContext, BuildError, Sink, SinkBatching, SinkSpec};

/// Appends records to an Iceberg table of a REST catalog.
#[derive(Debug, Default, Clone, Deserialize, JsonSchema)]
#[serde(default, rename_all = "camelCase")]
#[schemars(rename = "IcebergSink")]
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
    /// Records of one write; 0 means up to 10000, ended by the timer. Default 500.
    pub batch_size: Option<i32>,
    /// Seconds after which a batch is written though it is not full; 0 means never. Default 1.
    pub batch_flush_interval_seconds: Option<i32>,
    /// Create the table when it does not exist. Default `false`.
    pub auto_create_table: bool,
    /// Write the whole record and its metadata in two columns. Default `false`.
    pub raw_mode: bool,
    /// In raw mode, write a column for each metadata key. Default `false`.
    pub flatten_metadata_columns: bool,
    /// Start of the names of those columns, such as `kafka_`. Default: none.
    pub flatten_metadata_columns_prefix: String,
    /// Endpoint of the object storage. Default: what the catalog says.
    pub s3_endpoint: String,
    /// Region of the object storage. Default: what the catalog says.
    pub s3_region: String,
    /// Secret with the access key; goes with `secretAccessKeySecretRef`.
    pub access_key_secret_ref: Option<SecretRef>,
    /// Secret with the secret access key; goes with `accessKeySecretRef`.
    pub secret_access_key_secret_ref: Option<SecretRef>,
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

impl SinkSpec for Spec {
    const NAME: &'static str = "iceberg";
    const SUMMARY: &'static str = "Appends to an Iceberg table of a REST catalog";
    const OF_ORIGINAL: bool = true;
    const BUILT_IN: bool = false;

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
        self.batch().check(at, report);
        let prefix = &self.flatten_metadata_columns_prefix;
        check_raw_mode(self.raw_mode, self.flatten_metadata_columns, prefix, at, report);
        let access_key = self.access_key_secret_ref.as_ref();
        let secret_key = self.secret_access_key_secret_ref.as_ref();
        check_storage_keys(access_key, secret_key, at, report);
    }

    /// An append writes a repeated record again.
    fn is_idempotent(&self) -> Option<bool> {
        Some(false)
    }

    fn batching(&self) -> SinkBatching {
        self.batch().batching()
    }

    fn build(self, _ctx: &BuildContext) -> Result<Box<dyn Sink>, BuildError> {
        Err(BuildError::NotBuiltIn { role: "sink", name: Self::NAME })
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
