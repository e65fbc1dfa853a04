//! Posts packages.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use levada_model::{Category, ErrorKind, Timestamp};
use reqwest::header::{
    CONTENT_ENCODING, CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue, LOCATION, REFERER,
    RETRY_AFTER, USER_AGENT,
};
use reqwest::{Method, Response, Url};

use super::Endpoint;
use crate::error::ClientError;
use crate::http::{self, TlsOptions};
use crate::net::{Fresh, Net};

/// How much of an answer is kept.
const ANSWER_BYTES_MAX: usize = 4 << 10;
/// The longest answer of a pull.
const PULL_BYTES_MAX: usize = 16 << 20;
/// The longest `Retry-After` that is believed.
const RETRY_AFTER_MAX: Duration = Duration::from_secs(3_600);
/// Connections that wait to be used again. Source: `max_idle_conns_per_host`.
const IDLE_MAX: usize = 64;

/// How a Dataway is talked to.
#[derive(Clone, Debug)]
pub struct DatawayOptions {
    /// TLS.
    pub tls: TlsOptions,
    /// `http://host:port` of a proxy, empty for none.
    pub proxy: String,
    /// How long a request may take, the answer included.
    pub timeout: Duration,
    /// `User-Agent`: `datakit-<os>-<arch>/<version>/<host name>`.
    pub user_agent: String,
    /// Names and connections.
    pub net: Net,
}

/// What is posted.
#[derive(Clone, Debug)]
pub struct Package {
    /// What the points are about.
    pub category: Category,
    /// Encoded, and compressed if `content_encoding` says so.
    pub body: Bytes,
    /// `application/line-protocol` and the like.
    pub content_type: &'static str,
    /// `gzip`, or empty.
    pub content_encoding: &'static str,
    /// How many points.
    pub points: u32,
    /// The id of the package; empty for none.
    pub id: String,
    /// `X-Global-Tags`; a header that is there may be empty, and that means something else than none.
    pub global_tags: Option<String>,
    /// `X-Storage-Index-Name`.
    pub storage_index: Option<String>,
    /// Whether the body has been sent before.
    pub is_retry: bool,
}

/// A request that is given on.
#[derive(Clone, Debug)]
pub struct Forward<'f> {
    /// Its method.
    pub method: &'f str,
    /// The path of the API.
    pub path: &'f str,
    /// Parameters beside the token.
    pub query: &'f [(&'f str, &'f str)],
    /// Headers.
    pub headers: &'f [(&'f str, &'f str)],
    /// The body.
    pub body: Bytes,
}

/// What came back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Forwarded {
    /// The status.
    pub status: u16,
    /// What the body is.
    pub content_type: String,
    /// The body.
    pub body: Bytes,
}

/// What a server answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reply {
    /// The status.
    pub status: u16,
    /// How long the server asks to wait.
    pub retry_after: Option<Duration>,
    /// The beginning of the body.
    pub body: Vec<u8>,
}

/// Posts packages to one server; cheap to clone.
#[derive(Clone)]
pub struct Dataway {
    client: Arc<Fresh>,
    options: DatawayOptions,
}

// === impl DatawayOptions ===

impl Default for DatawayOptions {
    fn default() -> Self {
        let (os, arch) = (
            std::env::consts::OS,
            match std::env::consts::ARCH {
                "x86_64" => "amd64",
                "aarch64" => "arm64",
                other => other,
            },
        );
        DatawayOptions {
            tls: TlsOptions::default(),
            proxy: String::new(),
            timeout: Duration::from_secs(30),
            user_agent: format!("datakit-{os}-{arch}/levada-{}", env!("CARGO_PKG_VERSION")),
            net: Net::default(),
        }
    }
}

// === impl Dataway ===

impl Dataway {
    /// Makes a client of an endpoint; reads the files of the options.
    pub async fn new(endpoint: &Endpoint, options: DatawayOptions) -> Result<Self, ClientError> {
        let DatawayOptions { tls, proxy, net, .. } = &options;
        let url = endpoint.url("", &[]);
        let client = Arc::new(Fresh::new(&url, tls, proxy, IDLE_MAX, net).await?);
        Ok(Dataway { client, options })
    }

    /// Looks whether the name of the server has moved, and begins with new connections when it has.
    pub async fn look_up(&self) {
        self.client.look_up().await;
    }

    /// Posts a package; every status is an answer.
    ///
    /// A redirection with 307 or 308 to the same host is followed once. `now` tells what a date in `Retry-After` means.
    pub async fn post(
        &self,
        endpoint: &Endpoint,
        package: &Package,
        now: Timestamp,
    ) -> Result<Reply, ClientError> {
        let url = endpoint.url(package.category.path(), &[]);
        let headers = self.headers(package);
        let mut response = self.send(url.clone(), &headers, package.body.clone()).await?;
        if matches!(response.status().as_u16(), 307 | 308)
            && let Some(next) = same_host(&url, &response)
        {
            response = self.send(next, &headers, package.body.clone()).await?;
        }
        Ok(reply(response, now).await)
    }

    /// Asks for what is at an address of an endpoint, such as `/v1/datakit/pull`.
    ///
    /// - Errors: no answer, one that is no success, or one that is too long.
    pub async fn get(
        &self,
        endpoint: &Endpoint,
        path: &str,
        parameters: &[(&str, &str)],
    ) -> Result<Bytes, ClientError> {
        let shown = format!("{}{path}", endpoint.shown());
        let (client, started) = (self.client.client(), self.client.now());
        let request = client.get(endpoint.url(path, parameters)).timeout(self.options.timeout);
        let request = request.header(USER_AGENT, header_value(&self.options.user_agent));
        let response =
            request.send().await.map_err(|error| ClientError::no_answer(&shown, error))?;
        self.client.answered(&response, started);
        let status = response.status();
        if !status.is_success() {
            let body = http::beginning(response, ANSWER_BYTES_MAX).await;
            let body = String::from_utf8_lossy(&body);
            let message =
                format!("`{shown}` failed with status code {}, body: {body}", status.as_u16());
            return Err(ClientError::answered(status.as_u16(), message));
        }
        http::whole(&shown, response, PULL_BYTES_MAX).await
    }

    /// Gives a request on; every status is an answer.
    ///
    /// - Errors: no answer, or one that is too long.
    pub async fn forward(
        &self,
        endpoint: &Endpoint,
        forward: Forward<'_>,
    ) -> Result<Forwarded, ClientError> {
        let shown = format!("{}{}", endpoint.shown(), forward.path);
        let wrong = |what: &str| ClientError::new(ErrorKind::Invalid, format!("{what} is none"));
        let method = Method::from_bytes(forward.method.as_bytes()).map_err(|_| wrong("method"))?;
        let mut headers = HeaderMap::new();
        headers.insert(USER_AGENT, header_value(&self.options.user_agent));
        for (name, value) in forward.headers {
            let name: HeaderName = name.parse().map_err(|_| wrong("header"))?;
            headers.insert(name, header_value(value));
        }
        let (client, started) = (self.client.client(), self.client.now());
        let request = client.request(method, endpoint.url(forward.path, forward.query));
        let request = request.headers(headers).timeout(self.options.timeout).body(forward.body);
        let response =
            request.send().await.map_err(|error| ClientError::no_answer(&shown, error))?;
        self.client.answered(&response, started);
        let status = response.status().as_u16();
        let content_type = response.headers().get(CONTENT_TYPE);
        let content_type = content_type.and_then(|value| value.to_str().ok()).unwrap_or_default();
        let content_type = content_type.to_owned();
        let body = http::whole(&shown, response, PULL_BYTES_MAX).await?;
        Ok(Forwarded { status, content_type, body })
    }

    async fn send(
        &self,
        url: Url,
        headers: &HeaderMap,
        body: Bytes,
    ) -> Result<Response, ClientError> {
        let shown = http::shown_url(&url);
        let (client, started) = (self.client.client(), self.client.now());
        let request = client.post(url).headers(headers.clone()).timeout(self.options.timeout);
        let response = request.body(body).send().await;
        let response = response.map_err(|error| ClientError::no_answer(&shown, error))?;
        self.client.answered(&response, started);
        Ok(response)
    }

    fn headers(&self, package: &Package) -> HeaderMap {
        let mut headers = HeaderMap::new();
        let mut put = |name: HeaderName, text: &str| {
            headers.insert(name, header_value(text));
        };
        put(USER_AGENT, &self.options.user_agent);
        put(REFERER, "DataKit");
        put(HeaderName::from_static("x-points"), &package.points.to_string());
        if !package.content_type.is_empty() {
            put(CONTENT_TYPE, package.content_type);
        }
        if !package.content_encoding.is_empty() {
            put(CONTENT_ENCODING, package.content_encoding);
        }
        if !package.id.is_empty() {
            put(HeaderName::from_static("x-pkg-id"), &package.id);
        }
        if let Some(tags) = &package.global_tags {
            put(HeaderName::from_static("x-global-tags"), tags);
        }
        if let Some(index) = &package.storage_index {
            put(HeaderName::from_static("x-storage-index-name"), index);
        }
        if package.is_retry {
            put(HeaderName::from_static("x-fail-cache-retry"), "1");
        }
        headers
    }
}

impl fmt::Debug for Dataway {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Dataway").field("options", &self.options).finish_non_exhaustive()
    }
}

/// Gives a text as the value of a header: what would end the header becomes `_`, other bytes go as they are. No value
/// that came with points may keep them from being sent.
fn header_value(text: &str) -> HeaderValue {
    let clean: Vec<u8> =
        text.bytes().map(|byte| if byte.is_ascii_control() { b'_' } else { byte }).collect();
    HeaderValue::from_bytes(&clean).unwrap_or_else(|_| HeaderValue::from_static(""))
}

fn same_host(from: &Url, response: &Response) -> Option<Url> {
    let location = response.headers().get(LOCATION)?.to_str().ok()?;
    let to = from.join(location).ok()?;
    (to.scheme() == from.scheme() && to.host() == from.host()).then_some(to)
}

/// Reads what a server answered.
pub(crate) async fn reply(response: Response, now: Timestamp) -> Reply {
    let status = response.status().as_u16();
    let retry_after = response
        .headers()
        .get(RETRY_AFTER)
        .and_then(|value| retry_after(value.to_str().ok()?.trim(), now));
    let body = http::beginning(response, ANSWER_BYTES_MAX).await;
    Reply { status, retry_after, body }
}

/// Reads `Retry-After`: seconds, or a date.
pub(super) fn retry_after(text: &str, now: Timestamp) -> Option<Duration> {
    let wait = match text.parse::<u64>() {
        Ok(seconds) => Duration::from_secs(seconds),
        Err(_) => {
            let date = jiff::fmt::rfc2822::parse(text).ok()?.timestamp().as_nanosecond();
            let nanos = (date - i128::from(now.0)).max(0);
            Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX))
        }
    };
    Some(wait.min(RETRY_AFTER_MAX))
}
