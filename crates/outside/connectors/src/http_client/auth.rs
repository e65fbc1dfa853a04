//! Credentials in the header `Authorization`.

use levada_registry::{FieldPath, Report};
use reqwest::header::HeaderValue;
use schemars::JsonSchema;
use serde::Deserialize;

use crate::blocks::{BasicAuth, Bearer};

/// Credentials; one of the fields.
#[derive(Debug, Default, Clone, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(default, rename_all = "camelCase")]
#[schemars(rename = "HttpAuth")]
pub struct Auth {
    /// User name and password (RFC 7617).
    pub basic: Option<BasicAuth>,
    /// A bearer token (RFC 6750).
    pub bearer: Option<Bearer>,
}

/// A block of credentials, whatever its fields are called.
pub(crate) trait Credentials {
    /// Gives the user name and the password.
    fn basic(&self) -> Option<&BasicAuth>;

    /// Gives the other kinds: field, scheme of the header, token.
    fn tokens(&self) -> Vec<(&'static str, &'static str, Option<&Bearer>)>;

    /// Reports what is missing or cannot be sent; `at` is the path of the block.
    fn check(&self, at: &FieldPath, report: &mut Report) {
        let tokens = self.tokens();
        let given = usize::from(self.basic().is_some())
            + tokens.iter().filter(|(_, _, token)| token.is_some()).count();
        let names: Vec<&str> =
            std::iter::once("basic").chain(tokens.iter().map(|(name, ..)| *name)).collect();
        match given {
            0 => report.required(at, &format!("set {}", names.join(" or "))),
            1 => {}
            _ => report.forbidden(at, &format!("only one of {} may be set", names.join(", "))),
        }
        if let Some(basic) = self.basic() {
            basic.check_complete("basic", &at.child("basic"), report);
            if basic.username.contains(':') {
                let detail = "must not contain a colon";
                report.invalid(&at.child("basic.username"), basic.username.as_str(), detail);
            }
        }
        for (name, _, token) in tokens {
            if let Some(token) = token {
                token.check(&at.child(name), report);
            }
        }
    }

    /// Makes the header.
    fn header(&self) -> Result<Option<HeaderValue>, String> {
        use base64::Engine as _;
        let text = if let Some(basic) = self.basic() {
            let password = basic.password.expose();
            if basic.username.is_empty() || password.is_empty() {
                return Err("auth.basic needs a username and a password".into());
            }
            let pair = format!("{}:{password}", basic.username);
            format!("Basic {}", base64::engine::general_purpose::STANDARD.encode(pair))
        } else if let Some((name, scheme, token)) =
            self.tokens().into_iter().find_map(|(name, scheme, token)| Some((name, scheme, token?)))
        {
            if token.token.expose().is_empty() {
                return Err(format!("auth.{name} needs a token"));
            }
            format!("{scheme} {}", token.token.expose())
        } else {
            return Ok(None);
        };
        let mut value = HeaderValue::from_str(&text)
            .map_err(|_| "auth holds characters no header can carry".to_owned())?;
        value.set_sensitive(true);
        Ok(Some(value))
    }
}

impl Credentials for Auth {
    fn basic(&self) -> Option<&BasicAuth> {
        self.basic.as_ref()
    }

    fn tokens(&self) -> Vec<(&'static str, &'static str, Option<&Bearer>)> {
        vec![("bearer", "Bearer", self.bearer.as_ref())]
    }
}
