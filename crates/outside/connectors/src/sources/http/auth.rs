//! Who may send to the `http` source.

use axum::http::HeaderValue;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use levada_registry::{FieldPath, Report};
use levada_settings::Secret;
use schemars::JsonSchema;
use serde::Deserialize;
use subtle::ConstantTimeEq as _;

use crate::blocks::{BasicAuth, Bearer};

/// How clients prove who they are; one of the fields.
#[derive(Debug, Default, Clone, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(default, rename_all = "camelCase")]
pub struct Auth {
    /// User name and password (RFC 7617).
    pub basic: Option<BasicAuth>,
    /// A bearer token (RFC 6750).
    pub bearer: Option<Bearer>,
    /// `true`: anybody may send. Needed by name for a listener that other machines reach.
    pub none: bool,
}

/// What the `Authorization` header must say.
pub(super) enum Guard {
    /// Nothing.
    Open,
    /// `Basic` with these `user:password` bytes.
    Basic(Secret<Vec<u8>>),
    /// `Bearer` with this token.
    Bearer(Secret<Vec<u8>>),
}

// === impl Auth ===

impl Auth {
    /// Reports what is wrong; `at` is the path of the block.
    pub(super) fn check(&self, at: &FieldPath, report: &mut Report) {
        if let Some(basic) = &self.basic {
            basic.check_complete("basic", &at.child("basic"), report);
            if basic.username.contains(':') {
                let detail = "must not contain a colon";
                report.invalid(&at.child("basic.username"), basic.username.as_str(), detail);
            }
        }
        if let Some(bearer) = &self.bearer {
            bearer.check(&at.child("bearer"), report);
        }
        let ways = [self.basic.is_some(), self.bearer.is_some(), self.none];
        match ways.into_iter().filter(|is_set| *is_set).count() {
            0 => report.required(at, "set one of basic, bearer, none"),
            1 => {}
            _ => report.forbidden(at, "only one of basic, bearer, none may be set"),
        }
    }

    /// Gives what requests must bring.
    ///
    /// - Errors: credentials are not there, for people.
    pub(super) fn guard(self) -> Result<Guard, String> {
        if let Some(basic) = self.basic {
            let password = basic.password.expose();
            if basic.username.is_empty() || password.is_empty() {
                return Err("auth.basic needs a username and a password".into());
            }
            let pair = format!("{}:{password}", basic.username);
            return Ok(Guard::Basic(Secret::new(pair.into_bytes())));
        }
        if let Some(bearer) = self.bearer {
            let token = bearer.token.into_exposed();
            if token.is_empty() {
                return Err("auth.bearer needs a token".into());
            }
            return Ok(Guard::Bearer(Secret::new(token.into_bytes())));
        }
        Ok(Guard::Open)
    }
}

// === impl Guard ===

impl Guard {
    /// Tells whether a request may pass; takes the same time for every wrong credential of a length.
    pub(super) fn allows(&self, header: Option<&HeaderValue>) -> bool {
        let (scheme, expected) = match self {
            Guard::Open => return true,
            Guard::Basic(pair) => ("basic", pair),
            Guard::Bearer(token) => ("bearer", token),
        };
        let Some((given_scheme, rest)) =
            header.and_then(|header| header.to_str().ok()).and_then(|text| text.split_once(' '))
        else {
            return false;
        };
        if !given_scheme.eq_ignore_ascii_case(scheme) {
            return false;
        }
        let rest = rest.trim();
        let given = match self {
            Guard::Basic(_) => STANDARD.decode(rest).unwrap_or_default(),
            _ => rest.as_bytes().to_vec(),
        };
        given.as_slice().ct_eq(expected.expose().as_slice()).into()
    }

    /// Gives the value of `WWW-Authenticate`.
    pub(super) fn challenge(&self) -> HeaderValue {
        HeaderValue::from_static(match self {
            Guard::Basic(_) => r#"Basic realm="levada", charset="UTF-8""#,
            _ => r#"Bearer realm="levada""#,
        })
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use super::*;

    fn allows(guard: &Guard, header: &str) -> bool {
        guard.allows(Some(&HeaderValue::from_str(header).unwrap()))
    }

    #[test]
    fn only_the_right_credentials_pass() {
        let basic = Guard::Basic(Secret::new(b"ann:s3:cret".to_vec()));
        let header = |pair: &str| format!("basic {}", STANDARD.encode(pair));
        assert!(allows(&basic, &header("ann:s3:cret")));
        for wrong in ["ann:s3:cre", "ann:s3:cret2", "bob:s3:cret", "", "ann"] {
            assert!(!allows(&basic, &header(wrong)), "{wrong}");
        }
        for wrong in ["Basic", "Basic !!!", "Bearer s3:cret", "", "Basic "] {
            assert!(!allows(&basic, wrong), "{wrong}");
        }
        assert!(!basic.allows(None));
        let bearer = Guard::Bearer(Secret::new(b"token".to_vec()));
        assert!(allows(&bearer, "Bearer token") && allows(&bearer, "bearer  token"));
        assert!(!allows(&bearer, "Bearer toke") && !allows(&bearer, "Bearer"));
        assert!(Guard::Open.allows(None));
    }
}
