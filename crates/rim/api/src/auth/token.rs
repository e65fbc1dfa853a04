//! Signed tokens (JWT with HMAC).

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hmac::{Hmac, KeyInit, Mac};
use levada_model::Timestamp;
use serde::Deserialize;
use serde_json::Value;
use sha2::{Sha256, Sha384, Sha512};
use thiserror::Error;

/// The longest token.
const TOKEN_BYTES_MAX: usize = 8 << 10;

/// Why a token is refused; the texts are Kapacitor's.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum TokenError {
    /// It cannot be read, is signed by somebody else or by other means, or is too old.
    #[error("invalid token: {0}")]
    Invalid(&'static str),
    /// It never ends.
    #[error("token expiration required")]
    NoExpiration,
    /// The name is no text.
    #[error("username in token must be a string")]
    UsernameType,
    /// There is no name.
    #[error("token must contain a username")]
    NoUsername,
}

#[derive(Deserialize)]
struct Header {
    alg: String,
}

/// Checks a token; gives the name in it.
///
/// - `now`: tokens that ended before are refused.
pub(super) fn verify(token: &str, secret: &[u8], now: Timestamp) -> Result<String, TokenError> {
    let malformed = TokenError::Invalid("token contains an invalid number of segments");
    if token.len() > TOKEN_BYTES_MAX {
        return Err(TokenError::Invalid("token is too long"));
    }
    let (signed, signature) = token.rsplit_once('.').ok_or(malformed.clone())?;
    let (header, claims) = signed.split_once('.').ok_or(malformed.clone())?;
    if claims.contains('.') {
        return Err(malformed);
    }
    let decode = |text: &str| {
        let text = text.trim_end_matches('=');
        URL_SAFE_NO_PAD.decode(text).map_err(|_| TokenError::Invalid("it is not base64"))
    };
    let unreadable = |_| TokenError::Invalid("it holds no JSON");
    let header: Header = serde_json::from_slice(&decode(header)?).map_err(unreadable)?;
    let signature = decode(signature)?;
    let is_signed = match &*header.alg {
        "HS256" => check::<Hmac<Sha256>>(secret, signed, &signature),
        "HS384" => check::<Hmac<Sha384>>(secret, signed, &signature),
        "HS512" => check::<Hmac<Sha512>>(secret, signed, &signature),
        _ => return Err(TokenError::Invalid("unexpected signing method")),
    };
    if !is_signed {
        return Err(TokenError::Invalid("signature is invalid"));
    }
    let claims: Value = serde_json::from_slice(&decode(claims)?).map_err(unreadable)?;
    let seconds = |claim: &str| claims.get(claim).and_then(Value::as_f64);
    let now = now.0 as f64 / 1e9;
    match seconds("exp") {
        Some(end) if end > 0.0 && end <= now => {
            return Err(TokenError::Invalid("token is expired"));
        }
        Some(end) if end > 0.0 => {}
        _ => return Err(TokenError::NoExpiration),
    }
    if seconds("nbf").is_some_and(|start| start > now) {
        return Err(TokenError::Invalid("token is not valid yet"));
    }
    match claims.get("username") {
        None => Err(TokenError::NoUsername),
        Some(Value::String(name)) if name.is_empty() => Err(TokenError::NoUsername),
        Some(Value::String(name)) => Ok(name.clone()),
        Some(_) => Err(TokenError::UsernameType),
    }
}

/// Signs a token for a user.
///
/// - `until`: when it ends, in whole seconds.
pub fn sign_token(username: &str, secret: &[u8], until: Timestamp) -> String {
    let claims =
        serde_json::json!({"exp": until.0.div_euclid(1_000_000_000), "username": username});
    let part = |text: String| URL_SAFE_NO_PAD.encode(text);
    let header = part(r#"{"alg":"HS256","typ":"JWT"}"#.to_owned());
    let signed = format!("{header}.{}", part(claims.to_string()));
    let signature = match <Hmac<Sha256> as KeyInit>::new_from_slice(secret) {
        Ok(mut mac) => {
            mac.update(signed.as_bytes());
            mac.finalize().into_bytes().to_vec()
        }
        // A key of any length will do.
        Err(_) => Vec::new(),
    };
    format!("{signed}.{}", URL_SAFE_NO_PAD.encode(signature))
}

fn check<M: Mac + KeyInit>(secret: &[u8], signed: &str, signature: &[u8]) -> bool {
    // A key of any length will do.
    let Ok(mut mac) = <M as KeyInit>::new_from_slice(secret) else { return false };
    mac.update(signed.as_bytes());
    mac.verify_slice(signature).is_ok()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use super::*;

    const NOW: Timestamp = Timestamp(1_700_000_000_000_000_000);

    fn sign(header: &str, claims: &str, secret: &[u8]) -> String {
        let signed =
            format!("{}.{}", URL_SAFE_NO_PAD.encode(header), URL_SAFE_NO_PAD.encode(claims));
        let mut mac = <Hmac<Sha256> as KeyInit>::new_from_slice(secret).unwrap();
        mac.update(signed.as_bytes());
        format!("{signed}.{}", URL_SAFE_NO_PAD.encode(mac.finalize().into_bytes()))
    }

    #[test]
    fn tokens_that_are_signed_here_are_taken_until_they_end() {
        let token = sign_token("ann \"b\"", b"secret", Timestamp(NOW.0 + 1_000_000_000));
        assert_eq!(verify(&token, b"secret", NOW).as_deref(), Ok("ann \"b\""));
        assert!(verify(&token, b"other", NOW).is_err());
        let late = Timestamp(NOW.0 + 1_000_000_000);
        let expired = Err(TokenError::Invalid("token is expired"));
        assert_eq!(verify(&token, b"secret", late), expired);
    }

    #[test]
    fn tokens_are_taken_or_refused_with_a_reason() {
        let hs256 = r#"{"alg":"HS256"}"#;
        let cases = [
            (hs256, r#"{"username":"bob","exp":1700000001}"#, Ok("bob")),
            (
                hs256,
                r#"{"username":"bob","exp":1700000000}"#,
                Err("invalid token: token is expired"),
            ),
            (hs256, r#"{"username":"bob"}"#, Err("token expiration required")),
            (hs256, r#"{"username":"bob","exp":"x"}"#, Err("token expiration required")),
            (
                hs256,
                r#"{"username":1,"exp":1800000000}"#,
                Err("username in token must be a string"),
            ),
            (hs256, r#"{"exp":1800000000}"#, Err("token must contain a username")),
            (r#"{"alg":"none"}"#, r#"{}"#, Err("invalid token: unexpected signing method")),
            (r#"{"alg":"RS256"}"#, r#"{}"#, Err("invalid token: unexpected signing method")),
            (r#"{"alg":"HS512"}"#, r#"{}"#, Err("invalid token: signature is invalid")),
        ];
        for (header, claims, expected) in cases {
            let found = verify(&sign(header, claims, b"secret"), b"secret", NOW);
            let found = found.map_err(|error| error.to_string());
            assert_eq!(found.as_deref().map_err(|text| &**text), expected, "{header} {claims}");
        }
        let other = sign(hs256, r#"{"username":"bob","exp":1700000001}"#, b"other");
        assert_eq!(
            verify(&other, b"secret", NOW),
            Err(TokenError::Invalid("signature is invalid"))
        );
        for text in ["", ".", "..", "a.b.c.d", "a.b", "\u{e4}.b.c"] {
            assert!(verify(text, b"secret", NOW).is_err(), "{text}");
        }
    }
}
