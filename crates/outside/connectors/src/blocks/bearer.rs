//! A bearer token.

use levada_registry::{FieldPath, Report};
use levada_settings::Secret;
use schemars::JsonSchema;
use serde::Deserialize;

use super::secret_ref::{SecretRef, check_either};

/// A bearer token (RFC 6750).
#[derive(Debug, Default, Clone, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(default, rename_all = "camelCase")]
pub struct Bearer {
    /// The token. Required, here or in a Secret.
    pub token: Secret<String>,
    /// Secret with the token; wins over `token`.
    pub token_secret_ref: Option<SecretRef>,
}

// === impl Bearer ===

impl Bearer {
    /// Reports a token that is missing, or that no header can carry; `at` is the path of the block.
    pub fn check(&self, at: &FieldPath, report: &mut Report) {
        let token = self.token.expose();
        check_either("token", token, self.token_secret_ref.as_ref(), at, report);
        if token.bytes().any(|byte| !byte.is_ascii_graphic()) {
            let text = "Invalid value: token may hold visible ASCII characters only";
            report.error(&at.child("token"), text.into());
        }
    }
}
