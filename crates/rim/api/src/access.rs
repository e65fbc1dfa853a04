//! The log of requests. Source: reference (server) §7.7.
//!
//! - Differs: its lines are of level `debug`, where nobody reads them they cost nothing.

use std::net::SocketAddr;
use std::time::Duration;

use hyper::header::{HeaderMap, HeaderName, REFERER, USER_AGENT};
use hyper::{Request as WireRequest, Uri};
use levada_model::Timestamp;

use crate::auth::Credentials;
use crate::request::Query;

/// What stands where there is nothing.
const NOTHING: &str = "-";
/// Parameters that are secrets: of Kapacitor's clients, and of the gateway's.
const SECRETS: [&str; 2] = ["p", "token"];

/// What is told of a request, kept until it is answered.
pub(crate) struct Access {
    start: Timestamp,
    username: String,
    method: String,
    uri: String,
    protocol: String,
    referer: String,
    user_agent: String,
}

impl Access {
    /// Looks at a request; nothing when nobody reads the log of requests.
    pub(crate) fn of<B>(request: &WireRequest<B>, start: Timestamp) -> Option<Self> {
        if !tracing::enabled!(tracing::Level::DEBUG) {
            return None;
        }
        let headers = request.headers();
        Some(Access {
            start,
            username: username(headers, request.uri()),
            method: request.method().to_string(),
            uri: shown(request.uri()),
            protocol: format!("{:?}", request.version()),
            referer: text(headers, &REFERER),
            user_agent: text(headers, &USER_AGENT),
        })
    }

    /// Writes the line.
    pub(crate) fn log(self, peer: SocketAddr, status: u16, id: &str, took: Duration) {
        let Access { start, username, method, uri, protocol, referer, user_agent } = self;
        tracing::debug!(
            service = "http", host = %peer.ip(), username, start = start.rfc3339_nano(), method, uri,
            protocol, status, referer, "user-agent" = user_agent, "request-id" = id, duration = ?took,
            "http request"
        );
    }
}

fn username(headers: &HeaderMap, uri: &Uri) -> String {
    match Credentials::find(headers, &Query::parse(uri.query().unwrap_or_default())) {
        Ok(Credentials::Password { name, .. }) => name,
        _ => NOTHING.to_owned(),
    }
}

fn text(headers: &HeaderMap, name: &HeaderName) -> String {
    let value = headers.get(name).map(|value| String::from_utf8_lossy(value.as_bytes()));
    value.map_or_else(|| NOTHING.to_owned(), |value| value.into_owned())
}

/// Gives path and query without what is secret.
fn shown(uri: &Uri) -> String {
    let Some(query) = uri.query() else { return uri.path().to_owned() };
    let pairs = query.split('&').map(|pair| match pair.split_once('=') {
        Some((name, _)) if SECRETS.contains(&name) => format!("{name}=[REDACTED]"),
        _ => pair.to_owned(),
    });
    format!("{}?{}", uri.path(), pairs.collect::<Vec<_>>().join("&"))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use super::*;

    #[test]
    fn secrets_are_not_told() {
        for (uri, expected) in [
            ("/a%20b", "/a%20b"),
            ("/write?db=d&u=me&p=secret&rp=", "/write?db=d&u=me&p=[REDACTED]&rp="),
            ("/v1/write/metric?token=secret", "/v1/write/metric?token=[REDACTED]"),
        ] {
            assert_eq!(shown(&uri.parse().unwrap()), expected);
        }
    }

    #[test]
    fn who_asks_is_told() {
        let name = |uri: &str| username(&HeaderMap::new(), &uri.parse().unwrap());
        assert_eq!((&*name("/a?u=me&p=x"), &*name("/a?u=me"), &*name("/a")), ("me", "-", "-"));
        let basic = |pair: &str| {
            use base64::Engine as _;
            let text = format!("Basic {}", base64::prelude::BASE64_STANDARD.encode(pair));
            HeaderMap::from_iter([(hyper::header::AUTHORIZATION, text.parse().unwrap())])
        };
        assert_eq!(username(&basic("me:x"), &"/a".parse().unwrap()), "me");
        assert_eq!(username(&basic("~subscriber:x"), &"/a".parse().unwrap()), "-");
    }
}
