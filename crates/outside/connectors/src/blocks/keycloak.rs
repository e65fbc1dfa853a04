//! Tokens of a Keycloak server.

use levada_registry::{FieldPath, Report};
use levada_settings::Secret;
use schemars::JsonSchema;
use serde::Deserialize;

use super::secret_ref::{SecretRef, check_either, check_reference};

/// A bearer token, or how to get one from Keycloak: by password, else by client credentials.
#[derive(Debug, Default, Clone, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(default, rename_all = "camelCase")]
pub struct Keycloak {
    /// Address of the Keycloak server; required unless a token is given.
    #[serde(rename = "serverURL")]
    pub server_url: String,
    /// Realm; required unless a token is given.
    pub realm: String,
    /// Client; required unless a token is given.
    #[serde(rename = "clientID")]
    pub client_id: String,
    /// Secret of the client. Default: none.
    pub client_secret: Secret<String>,
    /// User name for the password grant. Default: none.
    pub username: String,
    /// Password for the password grant. Default: none.
    pub password: Secret<String>,
    /// A token that is used as it is; everything else is ignored then. Default: none.
    pub token: Secret<String>,
    /// Secret with the address; wins over `serverURL`.
    #[serde(rename = "serverURLSecretRef")]
    pub server_url_secret_ref: Option<SecretRef>,
    /// Secret with the realm; wins over `realm`.
    pub realm_secret_ref: Option<SecretRef>,
    /// Secret with the client; wins over `clientID`.
    #[serde(rename = "clientIDSecretRef")]
    pub client_id_secret_ref: Option<SecretRef>,
    /// Secret with the client's secret; wins over `clientSecret`.
    pub client_secret_secret_ref: Option<SecretRef>,
    /// Secret with the user name; wins over `username`.
    pub username_secret_ref: Option<SecretRef>,
    /// Secret with the password; wins over `password`.
    pub password_secret_ref: Option<SecretRef>,
    /// Secret with the token; wins over `token`.
    pub token_secret_ref: Option<SecretRef>,
}

// === impl Keycloak ===

impl Keycloak {
    /// Reports what would fail when the first token is asked for; `at` is the path of the block.
    ///
    /// Source: dataflow-operator.md §3.5, the order token, password, client credentials.
    pub fn check(&self, at: &FieldPath, report: &mut Report) {
        for (field, reference) in [
            ("clientSecretSecretRef", &self.client_secret_secret_ref),
            ("usernameSecretRef", &self.username_secret_ref),
            ("passwordSecretRef", &self.password_secret_ref),
            ("tokenSecretRef", &self.token_secret_ref),
        ] {
            check_reference(field, reference.as_ref(), at, report);
        }
        let is_given = |literal: &str, reference: &Option<SecretRef>| {
            reference.is_some() || !literal.is_empty()
        };
        let has_token = is_given(self.token.expose(), &self.token_secret_ref);
        for (field, literal, reference) in [
            ("serverURL", &self.server_url, self.server_url_secret_ref.as_ref()),
            ("realm", &self.realm, self.realm_secret_ref.as_ref()),
            ("clientID", &self.client_id, self.client_id_secret_ref.as_ref()),
        ] {
            // With a token only the form of a reference counts: it is resolved all the same.
            if !has_token || reference.is_some() {
                check_either(field, literal, reference, at, report);
            }
        }
        let has_password = is_given(&self.username, &self.username_secret_ref)
            && is_given(self.password.expose(), &self.password_secret_ref);
        let has_client = is_given(self.client_secret.expose(), &self.client_secret_secret_ref);
        if !has_token && !has_password && !has_client {
            let detail = "Keycloak authentication requires either token, username/password, \
                          or client secret";
            report.required(at, detail);
        }
    }
}
