//! Requests as routes see them.

use bytes::Bytes;
use hyper::Method;
use hyper::header::{AsHeaderName, CONTENT_ENCODING, HeaderMap};
use percent_encoding::percent_decode_str;
use serde::de::DeserializeOwned;

use crate::error::ApiError;

/// A request: its route is known, its body is read.
#[derive(Clone, Debug)]
pub struct Request {
    /// The method.
    pub method: Method,
    /// The path, decoded.
    pub path: String,
    /// What the route's path leaves open, decoded, in its order.
    pub params: Vec<(String, String)>,
    /// The query.
    pub query: Query,
    /// The headers.
    pub headers: HeaderMap,
    /// The body; empty when the route takes none.
    pub body: Bytes,
    /// The name of the authenticated user; nothing without authentication.
    pub user: Option<String>,
}

/// The parameters of a query, decoded, in their order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Query {
    raw: String,
    pairs: Vec<(String, String)>,
}

// === impl Request ===

impl Request {
    /// Gives what the path has in place of `{name}`.
    pub fn param(&self, name: &str) -> &str {
        self.params.iter().find(|(known, _)| known == name).map_or("", |(_, value)| value)
    }

    /// Reads the body as JSON.
    ///
    /// - Errors: 400, the text begins with `prefix`.
    pub fn json<T: DeserializeOwned>(&self, prefix: &str) -> Result<T, ApiError> {
        serde_json::from_slice(&self.body)
            .map_err(|error| ApiError::bad_request(format!("{prefix}{error}")))
    }

    /// Reads the body as a JSON object.
    ///
    /// - A list is refused: the reader of a struct would take its items for the members in their order.
    /// - Errors: 400, the text begins with `prefix`.
    pub fn object<T: DeserializeOwned>(&self, prefix: &str) -> Result<T, ApiError> {
        if self.body.trim_ascii_start().starts_with(b"[") {
            let text = format!("{prefix}invalid type: list, expected an object");
            return Err(ApiError::bad_request(text));
        }
        self.json(prefix)
    }

    /// Tells whether the body is packed with gzip.
    pub fn is_gzip(&self) -> bool {
        self.headers.get(CONTENT_ENCODING).is_some_and(|value| value == "gzip")
    }
}

/// Gives a header as text; clients send what is not ASCII as UTF-8.
pub(crate) fn header_text(headers: &HeaderMap, name: impl AsHeaderName) -> Option<&str> {
    headers.get(name).and_then(|value| std::str::from_utf8(value.as_bytes()).ok())
}

// === impl Query ===

impl Query {
    /// Reads `a=1&b=2`; what is no valid UTF-8 is replaced.
    pub fn parse(text: &str) -> Self {
        let pairs = text.split('&').filter(|pair| !pair.is_empty()).map(|pair| {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            (decode(name), decode(value))
        });
        Query { raw: text.to_owned(), pairs: pairs.collect() }
    }

    /// Gives the query as it was sent.
    pub fn raw(&self) -> &str {
        &self.raw
    }

    /// Gives the first value of a parameter.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.all(name).next()
    }

    /// Gives the first value of a parameter, an empty text without one.
    pub fn text(&self, name: &str) -> &str {
        self.get(name).unwrap_or("")
    }

    /// Gives all parameters in their order.
    pub fn pairs(&self) -> impl Iterator<Item = (&str, &str)> {
        self.pairs.iter().map(|(name, value)| (&**name, &**value))
    }

    /// Gives all values of a parameter.
    pub fn all<'a>(&'a self, name: &str) -> impl Iterator<Item = &'a str> {
        self.pairs.iter().filter(move |(known, _)| known == name).map(|(_, value)| &**value)
    }
}

fn decode(text: &str) -> String {
    let spaced = text.replace('+', " ");
    percent_decode_str(&spaced).decode_utf8_lossy().into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_query_is_decoded_in_order() {
        let query = Query::parse("fields=a+b&fields=%7B%2b&&flag&x=1=2");
        assert_eq!(query.all("fields").collect::<Vec<_>>(), ["a b", "{+"]);
        assert_eq!((query.get("flag"), query.get("none")), (Some(""), None));
        assert_eq!(query.text("x"), "1=2");
    }
}
