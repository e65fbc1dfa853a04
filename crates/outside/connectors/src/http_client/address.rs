//! Addresses of servers: checked, shown without what may be secret, extended by a path.

use levada_registry::{FieldPath, Report};
use reqwest::Url;

/// Where requests go.
#[derive(Clone, Debug)]
pub(crate) struct Endpoint {
    /// The whole address.
    pub(crate) url: Url,
    /// The address without credentials and query, for messages.
    pub(crate) shown: String,
}

// === impl Endpoint ===

impl Endpoint {
    /// Makes the endpoint of an address.
    ///
    /// Errors: what is wrong, in the words of the setting `url`.
    pub(crate) fn new(url: &str) -> Result<Endpoint, &'static str> {
        let url = Url::parse(url).map_err(|_| "url is not a URL")?;
        if !matches!(url.scheme(), "http" | "https") {
            return Err("url must begin with http:// or https://");
        }
        Ok(Endpoint { shown: redacted(url.as_str()), url })
    }

    /// Adds segments to the path and pairs to the query; pairs without a value are left out.
    pub(crate) fn with(mut self, path: &[&str], query: &[(&str, &str)]) -> Endpoint {
        if let Ok(mut segments) = self.url.path_segments_mut() {
            segments.pop_if_empty().extend(path);
        }
        if query.iter().any(|(_, value)| !value.is_empty()) {
            let mut pairs = self.url.query_pairs_mut();
            pairs.extend_pairs(query.iter().filter(|(_, value)| !value.is_empty()));
        }
        self.shown = redacted(self.url.as_str());
        self
    }
}

/// Reports an address that cannot be used, and credentials that would cross the network in clear text.
pub(crate) fn check_url(text: &str, has_auth: bool, at: &FieldPath, report: &mut Report) {
    if text.is_empty() {
        return report.required(at, "url is required");
    }
    match Url::parse(text) {
        Ok(url) if !matches!(url.scheme(), "http" | "https") || !url.has_host() => {
            report.invalid(at, redacted(text), "must begin with http:// or https://");
        }
        Ok(url) => {
            if has_auth && (!url.username().is_empty() || url.password().is_some()) {
                let detail = "credentials stand in url and in auth; leave those in url out";
                report.invalid(at, redacted(text), detail);
            }
            let sends_secret = has_auth || url.password().is_some();
            if sends_secret && url.scheme() == "http" && !is_loopback(&url) {
                let text = "credentials and records cross the network in clear text; use https://";
                report.warning(at, text.into());
            }
        }
        Err(error) => report.invalid(at, redacted(text), &format!("not a URL: {error}")),
    }
}

fn is_loopback(url: &Url) -> bool {
    match url.host_str() {
        Some("localhost") => true,
        Some(host) => {
            let host = host.trim_start_matches('[').trim_end_matches(']');
            host.parse::<std::net::IpAddr>().is_ok_and(|address| address.is_loopback())
        }
        None => false,
    }
}

/// Gives an address without what may be secret in it, even when it is none.
fn redacted(url: &str) -> String {
    let url = url.split(['?', '#']).next().unwrap_or_default();
    let (scheme, rest) = url.split_once("//").map_or(("", url), |(scheme, rest)| (scheme, rest));
    let rest = rest.rsplit_once('@').map_or(rest.to_owned(), |(_, rest)| format!("***@{rest}"));
    if scheme.is_empty() { rest } else { format!("{scheme}//{rest}") }
}
