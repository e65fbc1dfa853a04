//! TLS towards a server.

use levada_registry::{FieldPath, Report};
use schemars::JsonSchema;
use serde::Deserialize;

use super::secret_ref::{SecretRef, check_reference};

/// TLS towards a server; the presence of the block switches it on, with TLS 1.2 as the minimum.
#[derive(Debug, Default, Clone, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(default, rename_all = "camelCase")]
pub struct Tls {
    /// Accept any certificate of the server. Default `false`; a CA wins over it.
    pub insecure_skip_verify: bool,
    /// Path of the client certificate, PEM. Default: none; used only together with a key.
    pub cert_file: String,
    /// Path of the client's private key, PEM. Default: none.
    pub key_file: String,
    /// Path of the CA certificates that the server is checked against, PEM. Default: the system's.
    pub ca_file: String,
    /// Secret with the client certificate, as PEM text or as a path; wins over `certFile`.
    pub cert_secret_ref: Option<SecretRef>,
    /// Secret with the private key, as PEM text or as a path; wins over `keyFile`.
    pub key_secret_ref: Option<SecretRef>,
    /// Secret with the CA certificates, as PEM text or as a path; wins over `caFile`.
    pub ca_secret_ref: Option<SecretRef>,
}

// === impl Tls ===

impl Tls {
    /// Reports bad references, and warns of settings that have no effect; `at` is the path of the
    /// block.
    ///
    /// Source: dataflow-operator.md §1.4. Half a client certificate is ignored there, so it warns.
    pub fn check(&self, at: &FieldPath, report: &mut Report) {
        check_reference("certSecretRef", self.cert_secret_ref.as_ref(), at, report);
        check_reference("keySecretRef", self.key_secret_ref.as_ref(), at, report);
        check_reference("caSecretRef", self.ca_secret_ref.as_ref(), at, report);
        let has_cert = self.cert_secret_ref.is_some() || !self.cert_file.is_empty();
        let has_key = self.key_secret_ref.is_some() || !self.key_file.is_empty();
        let has_ca = self.ca_secret_ref.is_some() || !self.ca_file.is_empty();
        if has_cert && !has_key {
            let text =
                "neither keyFile nor keySecretRef is set, so the client certificate is not used";
            report.warning(&at.child("keyFile"), text.into());
        }
        if has_key && !has_cert {
            let text = "neither certFile nor certSecretRef is set, so the private key is not used";
            report.warning(&at.child("certFile"), text.into());
        }
        if self.insecure_skip_verify && has_ca {
            let text = "has no effect: the server is checked against the CA that is given";
            report.warning(&at.child("insecureSkipVerify"), text.into());
        }
    }
}
