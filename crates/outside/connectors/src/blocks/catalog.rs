//! What Nessie and Iceberg REST catalogs have in common: authentication, snapshots, object storage.

use levada_registry::{FieldPath, Report};
use levada_settings::Secret;

use super::basic_auth::BasicAuth;
use super::secret_ref::{SecretRef, check_reference};
use super::words::check_word_in_any_case;

/// How a catalog is authenticated to; case does not matter.
pub const AUTHENTICATION_TYPES: [&str; 4] = ["AUTO", "BEARER", "BASIC", "NONE"];

/// The authentication settings of a catalog's block.
#[derive(Clone, Copy, Debug)]
pub struct CatalogAuth<'b> {
    /// `authenticationType`; empty: `AUTO`.
    pub authentication_type: &'b str,
    /// `bearerToken`.
    pub bearer_token: &'b Secret<String>,
    /// `tokenSecretRef`.
    pub token_secret_ref: Option<&'b SecretRef>,
    /// `basicAuth`.
    pub basic_auth: Option<&'b BasicAuth>,
}

/// The client credentials of an Iceberg catalog's block.
#[derive(Clone, Copy, Debug)]
pub struct OAuth2<'b> {
    /// `oauth2ClientID`.
    pub client_id: &'b str,
    /// `oauth2ClientIDSecretRef`.
    pub client_id_secret_ref: Option<&'b SecretRef>,
    /// `oauth2ClientSecret`.
    pub client_secret: &'b Secret<String>,
    /// `oauth2ClientSecretSecretRef`.
    pub client_secret_secret_ref: Option<&'b SecretRef>,
    /// `oauth2ServerURISecretRef`.
    pub server_uri_secret_ref: Option<&'b SecretRef>,
}

// === impl CatalogAuth ===

impl CatalogAuth<'_> {
    /// Reports an unknown type and what the type needs; `at` is the path of the block.
    ///
    /// Source: dataflow-operator.md §7.2, nessie and iceberg.
    pub fn check(&self, at: &FieldPath, report: &mut Report) {
        check_reference("tokenSecretRef", self.token_secret_ref, at, report);
        let kind = self.authentication_type.trim();
        check_word_in_any_case("authenticationType", kind, &AUTHENTICATION_TYPES, at, report);
        if kind.eq_ignore_ascii_case("BEARER") && !self.has_token() {
            let detail =
                "authenticationType BEARER sends a token: set bearerToken or tokenSecretRef";
            report.required(&at.child("bearerToken"), detail);
        }
        let path = at.child("basicAuth");
        match self.basic_auth {
            Some(basic) if kind.eq_ignore_ascii_case("BASIC") => {
                basic.check_complete("authenticationType BASIC", &path, report);
            }
            Some(basic) => basic.check(&path, report),
            None if kind.eq_ignore_ascii_case("BASIC") => {
                let detail =
                    "authenticationType BASIC sends a username and a password: set basicAuth";
                report.required(&path, detail);
            }
            None => {}
        }
    }

    fn has_token(&self) -> bool {
        self.token_secret_ref.is_some() || !self.bearer_token.expose().is_empty()
    }
}

// === impl OAuth2 ===

impl OAuth2<'_> {
    /// Reports half a pair, and a pair beside a bearer token; `at` is the path of the block.
    ///
    /// Source: dataflow-operator.md §7.2, nessie and iceberg. Differs: the token is not shown.
    pub fn check(&self, auth: &CatalogAuth<'_>, at: &FieldPath, report: &mut Report) {
        for (field, reference) in [
            ("oauth2ServerURISecretRef", self.server_uri_secret_ref),
            ("oauth2ClientIDSecretRef", self.client_id_secret_ref),
            ("oauth2ClientSecretSecretRef", self.client_secret_secret_ref),
        ] {
            check_reference(field, reference, at, report);
        }
        let has_id = self.client_id_secret_ref.is_some() || !self.client_id.is_empty();
        let has_secret =
            self.client_secret_secret_ref.is_some() || !self.client_secret.expose().is_empty();
        if has_id != has_secret {
            let detail = "set both oauth2ClientID and oauth2ClientSecret, or neither";
            report.invalid(&at.child("oauth2ClientID"), self.client_id, detail);
        }
        if auth.has_token() && (has_id || has_secret) {
            let detail = "a token is used instead of a client: leave out either it or \
                          oauth2ClientID and oauth2ClientSecret";
            report.invalid(&at.child("bearerToken"), auth.bearer_token.to_string(), detail);
        }
    }
}

/// Reports a query beside incremental reading, and a snapshot that is no number.
///
/// Source: dataflow-operator.md §7.2, nessie and iceberg; a snapshot has 63 bits.
pub fn check_snapshots(
    incremental: bool,
    query: &str,
    start_snapshot: &str,
    at: &FieldPath,
    report: &mut Report,
) {
    if incremental && !query.trim().is_empty() {
        let detail = "query is not supported when incrementalBySnapshot is true";
        report.invalid(&at.child("query"), query, detail);
    }
    let start = start_snapshot.trim();
    let is_number = start.bytes().all(|byte| byte.is_ascii_digit()) && start.parse::<i64>().is_ok();
    if !start.is_empty() && !is_number {
        let detail = "startSnapshotID must be a non-negative integer snapshot ID";
        report.invalid(&at.child("startSnapshotID"), start, detail);
    }
}

/// Reports one key of object storage without the other, and bad references.
///
/// Source: dataflow-operator.md §7.2, nessie and iceberg.
pub fn check_storage_keys(
    access_key: Option<&SecretRef>,
    secret_access_key: Option<&SecretRef>,
    at: &FieldPath,
    report: &mut Report,
) {
    check_reference("accessKeySecretRef", access_key, at, report);
    check_reference("secretAccessKeySecretRef", secret_access_key, at, report);
    if access_key.is_some() != secret_access_key.is_some() {
        let shown = access_key.map_or(
            serde_json::Value::Null,
            |reference| serde_json::json!({"name": reference.name, "key": reference.key}),
        );
        let detail = "set both accessKeySecretRef and secretAccessKeySecretRef, or neither";
        report.invalid(&at.child("accessKeySecretRef"), shown, detail);
    }
}
