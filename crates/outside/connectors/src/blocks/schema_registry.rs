//! A schema registry.

use levada_registry::{FieldPath, Report};
use schemars::JsonSchema;
use serde::Deserialize;

use super::basic_auth::BasicAuth;
use super::secret_ref::{SecretRef, check_either};
use super::tls::Tls;

/// A registry that gives the schema of Confluent-framed records by its number.
#[derive(Debug, Default, Clone, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(default, rename_all = "camelCase")]
pub struct SchemaRegistry {
    /// Address, such as `https://registry:8081`; required unless `urlSecretRef` is set.
    pub url: String,
    /// HTTP Basic credentials. Default: none.
    pub basic_auth: Option<BasicAuth>,
    /// TLS settings. Default: an `https` registry is checked against the system's CAs.
    pub tls: Option<Tls>,
    /// Secret with the address; wins over `url`.
    pub url_secret_ref: Option<SecretRef>,
}

// === impl SchemaRegistry ===

impl SchemaRegistry {
    /// Reports what is wrong with the block at the path `at`.
    pub fn check(&self, at: &FieldPath, report: &mut Report) {
        check_either("url", &self.url, self.url_secret_ref.as_ref(), at, report);
        if let Some(basic_auth) = &self.basic_auth {
            basic_auth.check(&at.child("basicAuth"), report);
        }
        if let Some(tls) = &self.tls {
            tls.check(&at.child("tls"), report);
        }
    }
}
