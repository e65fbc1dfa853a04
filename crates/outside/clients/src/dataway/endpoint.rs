//! Addresses of an endpoint.

use reqwest::Url;
use thiserror::Error;

/// Where a Dataway is: a URL with the token of a workspace in its query.
///
/// Differs: a path and credentials of the configured URL are kept, where upstream drops both.
#[derive(Clone, PartialEq, Eq)]
pub struct Endpoint {
    /// Path without a slash at its end, query sorted, no fragment.
    base: Url,
    token: String,
}

/// Why a text is no endpoint; the text itself may hold a token and is not shown.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum EndpointError {
    /// A scheme that is not spoken here.
    #[error("not supported scheme {0:?}")]
    Scheme(String),
    /// It is no URL.
    #[error("parse {0:?}: invalid URI for request")]
    Uri(String),
}

/// Why a token is none.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum TokenError {
    /// Nothing.
    #[error("empty token")]
    Empty,
    /// Not a known prefix and a text.
    #[error("invalid token format")]
    Format,
    /// Too long or too short.
    #[error("invalid token format, expect token length {expected}, but got {actual}")]
    Length {
        /// How long it should be, prefix included.
        expected: usize,
        /// How long it is.
        actual: usize,
    },
}

/// Prefixes of tokens, and how long the text behind `_` is.
const TOKENS: [(&str, usize); 3] = [("token", 32), ("tkn", 32), ("tokn", 24)];

/// Checks the form of a token; an endpoint takes any.
pub fn check_token(token: &str) -> Result<(), TokenError> {
    if token.is_empty() {
        return Err(TokenError::Empty);
    }
    let (prefix, rest) = token.split_once('_').ok_or(TokenError::Format)?;
    let known = TOKENS.iter().find(|(known, _)| *known == prefix);
    let (_, len) = known.filter(|_| !rest.contains('_')).ok_or(TokenError::Format)?;
    if rest.len() != *len {
        let expected = prefix.len() + 1 + len;
        return Err(TokenError::Length { expected, actual: token.len() });
    }
    Ok(())
}

// === impl Endpoint ===

impl Endpoint {
    /// Reads the URL of an endpoint.
    ///
    /// `token` counts when the URL has none; then it is added to the query (B14).
    pub fn parse(text: &str, token: Option<&str>) -> Result<Self, EndpointError> {
        let shown = || text.split(['?', '#']).next().unwrap_or_default().to_owned();
        if let Some(scheme) = foreign_scheme(text) {
            return Err(EndpointError::Scheme(scheme));
        }
        let mut base = Url::parse(text).map_err(|_| EndpointError::Uri(shown()))?;
        if !matches!(base.scheme(), "http" | "https") {
            return Err(EndpointError::Scheme(base.scheme().to_owned()));
        }
        let mut query = query_of(text);
        let own = query.iter().find(|(key, _)| key == "token").map(|(_, value)| value.clone());
        let own = own.unwrap_or_default();
        if own.is_empty()
            && let Some(token) = token.filter(|token| !token.is_empty())
        {
            query.retain(|(key, _)| key != "token");
            query.push(("token".to_owned(), token.to_owned()));
        }
        let token = if own.is_empty() { token.unwrap_or_default().to_owned() } else { own };
        query.sort_by(|one, other| one.0.cmp(&other.0));
        base.set_fragment(None);
        base.set_query(None);
        if !query.is_empty() {
            base.query_pairs_mut().extend_pairs(query);
        }
        let path = base.path().trim_end_matches('/').to_owned();
        base.set_path(&path);
        Ok(Endpoint { base, token })
    }

    /// Gives the address of an API, with more parameters behind those of the endpoint.
    pub fn url(&self, path: &str, parameters: &[(&str, &str)]) -> Url {
        let mut url = self.base.clone();
        let base = url.path().trim_end_matches('/').to_owned();
        url.set_path(&format!("{base}{path}"));
        if !parameters.is_empty() {
            url.query_pairs_mut().extend_pairs(parameters);
        }
        url
    }

    /// Gives the token, empty when there is none.
    pub fn token(&self) -> &str {
        &self.token
    }

    /// Gives the host, for labels.
    pub fn host(&self) -> &str {
        self.base.host_str().unwrap_or_default()
    }

    /// Gives scheme, host and port, for messages.
    pub fn shown(&self) -> String {
        self.base.origin().ascii_serialization()
    }
}

impl std::fmt::Debug for Endpoint {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Endpoint").field(&self.shown()).finish()
    }
}

/// Gives the scheme of a text that upstream refuses for it: `h` of `h:9528`, nothing of `//host`.
fn foreign_scheme(text: &str) -> Option<String> {
    if text.starts_with("//") {
        return Some(String::new());
    }
    let (scheme, _) = text.split_once(':')?;
    let is_scheme = scheme.bytes().enumerate().all(|(at, byte)| {
        byte.is_ascii_alphabetic()
            || at > 0 && (byte.is_ascii_digit() || matches!(byte, b'+' | b'-' | b'.'))
    });
    let scheme = scheme.to_ascii_lowercase();
    (is_scheme && !matches!(&*scheme, "http" | "https")).then_some(scheme)
}

/// Gives the pairs of a query as Go reads them: a fragment is a part of it, a pair with `;` is none.
fn query_of(text: &str) -> Vec<(String, String)> {
    let Some((_, query)) = text.split_once('?') else { return Vec::new() };
    let pairs = query.split('&').filter(|pair| !pair.is_empty() && !pair.contains(';'));
    pairs
        .map(|pair| {
            let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
            (decoded(key), decoded(value))
        })
        .collect()
}

fn decoded(text: &str) -> String {
    let bytes = text.as_bytes();
    let mut out = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while at < bytes.len() {
        let hex = bytes.get(at + 1..at + 3).and_then(|hex| std::str::from_utf8(hex).ok());
        match (bytes[at], hex.and_then(|hex| u8::from_str_radix(hex, 16).ok())) {
            (b'%', Some(code)) => {
                out.push(code);
                at += 2;
            }
            (b'+', _) => out.push(b' '),
            (byte, _) => out.push(byte),
        }
        at += 1;
    }
    String::from_utf8_lossy(&out).into_owned()
}
