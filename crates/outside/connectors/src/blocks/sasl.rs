//! SASL towards Kafka.

use levada_registry::{FieldPath, Report};
use levada_settings::Secret;
use schemars::JsonSchema;
use serde::Deserialize;

use super::secret_ref::{SecretRef, check_reference};

/// Mechanisms by their wire name. Source: dataflow-operator.md §1.4; lower case only.
pub const MECHANISMS: [&str; 3] = ["plain", "scram-sha-256", "scram-sha-512"];

/// SASL towards the brokers.
#[derive(Debug, Default, Clone, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(default, rename_all = "camelCase")]
pub struct Sasl {
    /// `plain`, `scram-sha-256` or `scram-sha-512`, in lower case. Default `plain`.
    pub mechanism: String,
    /// User name; required unless `usernameSecretRef` is set.
    pub username: String,
    /// Password; required unless `passwordSecretRef` is set.
    pub password: Secret<String>,
    /// Secret with the user name; wins over `username`.
    pub username_secret_ref: Option<SecretRef>,
    /// Secret with the password; wins over `password`.
    pub password_secret_ref: Option<SecretRef>,
}

// === impl Sasl ===

impl Sasl {
    /// Reports what would fail when the connection is made; `at` is the path of the block.
    ///
    /// Source: dataflow-operator.md §1.4, the texts of the original's connect errors.
    pub fn check(&self, at: &FieldPath, report: &mut Report) {
        let mechanism = self.mechanism.as_str();
        if !mechanism.is_empty() && !MECHANISMS.contains(&mechanism) {
            let list = MECHANISMS.join(", ");
            let detail = format!("unsupported SASL mechanism: {mechanism} (supported: {list})");
            report.invalid(&at.child("mechanism"), mechanism, &detail);
        }
        check_reference("usernameSecretRef", self.username_secret_ref.as_ref(), at, report);
        check_reference("passwordSecretRef", self.password_secret_ref.as_ref(), at, report);
        if self.username_secret_ref.is_none() && self.username.is_empty() {
            report.required(&at.child("username"), "SASL username is required but not provided");
        }
        if self.password_secret_ref.is_none() && self.password.expose().is_empty() {
            let detail = "SASL password is required but not provided \
                          (check if passwordSecretRef is correctly configured)";
            report.required(&at.child("password"), detail);
        }
    }
}
