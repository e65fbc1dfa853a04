//! HTTP Basic credentials.

use levada_registry::{FieldPath, Report};
use levada_settings::Secret;
use schemars::JsonSchema;
use serde::Deserialize;

use super::secret_ref::{SecretRef, check_reference};

/// HTTP Basic credentials; sent only when both are given.
#[derive(Debug, Default, Clone, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(default, rename_all = "camelCase")]
pub struct BasicAuth {
    /// User name. Default: none.
    pub username: String,
    /// Password. Default: none.
    pub password: Secret<String>,
    /// Secret with the user name; wins over `username`.
    pub username_secret_ref: Option<SecretRef>,
    /// Secret with the password; wins over `password`.
    pub password_secret_ref: Option<SecretRef>,
}

// === impl BasicAuth ===

impl BasicAuth {
    /// Reports bad references, and warns of half a pair; `at` is the path of the block.
    pub fn check(&self, at: &FieldPath, report: &mut Report) {
        self.check_references(at, report);
        if self.has_username() != self.has_password() {
            let text = "username and password are sent only when both are set";
            report.warning(at, text.into());
        }
    }

    /// Reports bad references and what is missing; `setting` needs it, e.g. `x Y`.
    pub fn check_complete(&self, setting: &str, at: &FieldPath, report: &mut Report) {
        self.check_references(at, report);
        for (field, is_there) in
            [("username", self.has_username()), ("password", self.has_password())]
        {
            if !is_there {
                let detail = format!("{setting} needs it: set {field} or {field}SecretRef");
                report.required(&at.child(field), &detail);
            }
        }
    }

    fn check_references(&self, at: &FieldPath, report: &mut Report) {
        check_reference("usernameSecretRef", self.username_secret_ref.as_ref(), at, report);
        check_reference("passwordSecretRef", self.password_secret_ref.as_ref(), at, report);
    }

    fn has_username(&self) -> bool {
        self.username_secret_ref.is_some() || !self.username.is_empty()
    }

    fn has_password(&self) -> bool {
        self.password_secret_ref.is_some() || !self.password.expose().is_empty()
    }
}
