//! Bearer tokens: given, or asked for at Keycloak.
//!
//! A token is renewed when 80 % of its time are over, by the grant that gave it, and once when the server
//! refuses it. Source: dataflow-operator.md §3.5. Differs: values of the form are URL-encoded, and the password
//! grant is made anew, where the original spends a refresh token that the server may have ended.

use std::time::Duration;

use levada_model::ErrorClass;
use levada_runtime::Clock;
use reqwest::Url;
use reqwest::header::{CONTENT_TYPE, HeaderValue};
use serde::Deserialize;

use super::client::{body_of, redacted};
use super::failure::Failure;
use crate::blocks::Keycloak;
use crate::http_client::answer;
use crate::spec::BuildError;

const TIMEOUT: Duration = Duration::from_secs(30);
const BODY_BYTES_MAX: usize = 1 << 20;

/// How long a token holds whose answer does not say it. Source: dataflow-operator.md §3.5, five minutes.
const LIFETIME_DEFAULT: u64 = 300;

/// A token holds a year at most: no arithmetic with what a server says can overflow.
const LIFETIME_MAX: u64 = 365 * 86_400;

/// Where tokens come from, and the one that holds.
pub(crate) struct Tokens {
    grant: Grant,
    /// The token, and when it is renewed.
    held: Option<(HeaderValue, Duration)>,
}

enum Grant {
    /// No authentication.
    None,
    /// A token that is used as it is.
    Fixed(HeaderValue),
    /// A form for the token endpoint.
    Ask { url: Url, form: String },
}

#[derive(Deserialize)]
struct Answer {
    access_token: String,
    expires_in: Option<f64>,
}

// === impl Tokens ===

impl Tokens {
    /// Makes the provider; asks for nothing.
    pub(crate) fn new(keycloak: Option<&Keycloak>) -> Result<Self, BuildError> {
        let grant = match keycloak {
            None => Grant::None,
            Some(keycloak) => grant(keycloak)?,
        };
        Ok(Tokens { grant, held: None })
    }

    /// Tells whether requests carry a token.
    pub(crate) fn are_used(&self) -> bool {
        !matches!(self.grant, Grant::None)
    }

    /// Forgets the token that the server refused; gives whether there can be another.
    pub(crate) fn forget(&mut self) -> bool {
        self.held = None;
        matches!(self.grant, Grant::Ask { .. })
    }

    /// Gives the header of a request, asking for a token when none holds.
    pub(crate) async fn header(
        &mut self,
        http: &reqwest::Client,
        clock: &dyn Clock,
    ) -> Result<Option<HeaderValue>, Failure> {
        let (url, form) = match &self.grant {
            Grant::None => return Ok(None),
            Grant::Fixed(header) => return Ok(Some(header.clone())),
            Grant::Ask { url, form } => (url, form),
        };
        if let Some((header, renewal)) = &self.held
            && clock.monotonic() < *renewal
        {
            return Ok(Some(header.clone()));
        }
        let asked_at = clock.monotonic();
        let (token, lifetime) = ask(http, url, form).await?;
        let header = bearer(&token).map_err(|problem| {
            Failure::new(ErrorClass::AuthError, format!("Keycloak gave a token that {problem}"))
        })?;
        self.held = Some((header.clone(), asked_at + lifetime.mul_f64(0.8)));
        Ok(Some(header))
    }
}

/// Chooses the way to a token. Source: dataflow-operator.md §3.5: token, password, client credentials.
fn grant(keycloak: &Keycloak) -> Result<Grant, BuildError> {
    let token = keycloak.token.expose();
    if !token.is_empty() {
        let invalid = |problem| BuildError::Invalid(format!("keycloak.token {problem}"));
        return Ok(Grant::Fixed(bearer(token.trim()).map_err(invalid)?));
    }
    let secret = keycloak.client_secret.expose();
    let password = keycloak.password.expose();
    let mut form = String::new();
    if !keycloak.username.is_empty() && !password.is_empty() {
        push_pair(&mut form, "grant_type", "password");
        push_pair(&mut form, "client_id", &keycloak.client_id);
        if !secret.is_empty() {
            push_pair(&mut form, "client_secret", secret);
        }
        push_pair(&mut form, "username", &keycloak.username);
        push_pair(&mut form, "password", password);
    } else if !secret.is_empty() {
        push_pair(&mut form, "grant_type", "client_credentials");
        push_pair(&mut form, "client_id", &keycloak.client_id);
        push_pair(&mut form, "client_secret", secret);
    } else {
        return Err(BuildError::Invalid(
            "Keycloak authentication requires either token, username/password, or client secret"
                .into(),
        ));
    }
    let mut address = keycloak.server_url.trim().trim_end_matches('/').to_owned();
    address.push_str("/realms/");
    push_encoded(&mut address, &keycloak.realm);
    address.push_str("/protocol/openid-connect/token");
    let url = Url::parse(&address)
        .ok()
        .filter(|url| matches!(url.scheme(), "http" | "https"))
        .ok_or_else(|| {
            let text = "keycloak.serverURL must begin with http:// or https://";
            BuildError::Invalid(text.into())
        })?;
    Ok(Grant::Ask { url, form })
}

async fn ask(http: &reqwest::Client, url: &Url, form: &str) -> Result<(String, Duration), Failure> {
    let request = http
        .post(url.clone())
        .header(CONTENT_TYPE, "application/x-www-form-urlencoded")
        .timeout(TIMEOUT)
        .body(form.to_owned());
    let target = redacted(url);
    let response = request.send().await.map_err(|error| answer::no_answer(&target, error))?;
    let status = response.status();
    let mut body = Vec::new();
    body_of(&target, response, BODY_BYTES_MAX, &mut body).await?;
    if !status.is_success() {
        let class = match status.as_u16() {
            400 | 401 | 403 => ErrorClass::AuthError,
            408 => ErrorClass::Timeout,
            429 | 500..=599 => ErrorClass::Transient,
            _ => ErrorClass::Unknown,
        };
        // Source: dataflow-operator.md §3.5, the text.
        let message = format!(
            "Keycloak token request failed with status {}: {}",
            status.as_u16(),
            answer::shown(&body)
        );
        return Err(Failure::new(class, message));
    }
    // The body holds secrets, so no error shows any of it.
    let answer: Answer = serde_json::from_slice(&body).map_err(|_| {
        let message = "Keycloak answered the token request with something else than a token";
        Failure::new(ErrorClass::AuthError, message)
    })?;
    let seconds = match answer.expires_in {
        // Saturates; a server that says 0 or less gets one request per second.
        Some(seconds) => (seconds as u64).clamp(1, LIFETIME_MAX),
        None => LIFETIME_DEFAULT,
    };
    Ok((answer.access_token, Duration::from_secs(seconds)))
}

fn bearer(token: &str) -> Result<HeaderValue, &'static str> {
    let mut value = HeaderValue::from_str(&format!("Bearer {token}"))
        .map_err(|_| "holds characters that no header can carry")?;
    value.set_sensitive(true);
    Ok(value)
}

fn push_pair(form: &mut String, name: &str, value: &str) {
    if !form.is_empty() {
        form.push('&');
    }
    form.push_str(name);
    form.push('=');
    push_encoded(form, value);
}

/// Appends a text with everything but letters, digits and `-._~` as `%XX` (RFC 3986).
fn push_encoded(out: &mut String, text: &str) {
    const HEX: &[u8; 16] = b"0123456789ABCDEF";
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            out.push(char::from(byte));
        } else {
            out.push('%');
            out.push(char::from(HEX[usize::from(byte >> 4)]));
            out.push(char::from(HEX[usize::from(byte & 15)]));
        }
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use super::*;

    fn keycloak(json: serde_json::Value) -> Keycloak {
        serde_json::from_value(json).unwrap()
    }

    #[test]
    fn forms_are_encoded_and_grants_have_an_order() {
        let base = serde_json::json!({
            "serverURL": "http://k:1/auth/", "realm": "my realm", "clientID": "c&d",
            "username": "ü", "password": "a+b=c&d", "clientSecret": "s/",
        });
        let form = |json| match grant(&keycloak(json)).unwrap() {
            Grant::Ask { url, form } => (url.to_string(), form),
            _ => panic!("no form"),
        };
        let address = "http://k:1/auth/realms/my%20realm/protocol/openid-connect/token";
        assert_eq!(
            form(base.clone()),
            (address.into(), {
                "grant_type=password&client_id=c%26d&client_secret=s%2F&username=%C3%BC&password=a%2Bb%3Dc%26d"
                .into()
            })
        );
        let mut client = base.clone();
        client["username"] = "".into();
        assert_eq!(form(client).1, {
            "grant_type=client_credentials&client_id=c%26d&client_secret=s%2F"
        });
        let mut token = base.clone();
        token["token"] = "t\n".into();
        let Ok(Grant::Fixed(header)) = grant(&keycloak(token)) else { panic!("no token") };
        assert_eq!(header, "Bearer t");
        let mut nothing = base;
        nothing["username"] = "".into();
        nothing["clientSecret"] = "".into();
        let error = grant(&keycloak(nothing)).err().map(|error| error.to_string());
        assert_eq!(error.as_deref(), {
            Some(
                "Keycloak authentication requires either token, username/password, or client secret",
            )
        });
    }
}
