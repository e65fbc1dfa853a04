//! The settings of the `nessie` sink, second generation.
//!
//! Source: dataflow-operator.md §1.7. They are read and checked; writing is not built in.

use levada_registry::{FieldPath, Report};
use levada_settings::Secret;
use schemars::JsonSchema;
use serde::Deserialize;

use crate::blocks::batch::Batch;
use crate::blocks::catalog::{CatalogAuth, check_storage_keys};
use crate::blocks::raw_mode::check_raw_mode;
use crate::blocks::secret_ref::check_either;
use crate::blocks::{BasicAuth, SecretRef};
use crate::{BuildContext, BuildError, Sink, SinkBatching, SinkSpec};

/// Appends records to an Iceberg table of a Nessie catalog.
#[derive(Debug, Default, Clone, Deserialize, JsonSchema)]
#[serde(default, rename_all = "camelCase")]
#[schemars(rename = "NessieSink")]
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

impl SinkSpec for Spec {
    const NAME: &'static str = "nessie";
    const SUMMARY: &'static str = "Appends to an Iceberg table of a Nessie catalog";
    const OF_ORIGINAL: bool = true;
    const BUILT_IN: bool = false;

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
