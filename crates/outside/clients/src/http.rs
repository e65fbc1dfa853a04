//! What clients share: TLS, the client itself, bounded answers; and requests that are posted anywhere.

use std::path::PathBuf;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use levada_model::ErrorKind;
use reqwest::header::{HeaderMap, HeaderName, HeaderValue, RETRY_AFTER};
use reqwest::{Client, ClientBuilder, Response, Url};

use crate::error::ClientError;

/// How long a connection may take to be made. Ours, as for connectors.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// How often the system looks whether a silent peer is still there. Source: dataway reference §5.5.
const KEEP_ALIVE: Duration = Duration::from_secs(90);
/// Connections to one server that wait to be used again.
const IDLE_MAX: usize = 4;
/// The longest `Retry-After` that is believed.
const RETRY_AFTER_MAX: Duration = Duration::from_secs(300);
/// Bytes of an answer that are read when nobody needs it, so that its connection can be used again.
const DRAIN_BYTES_MAX: usize = 64 << 10;

/// TLS towards a server; paths of PEM files, empty when there is none.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TlsOptions {
    /// The CA certificates that servers are checked against, instead of the system's.
    pub ca_file: PathBuf,
    /// The client's certificate; used together with a key.
    pub cert_file: PathBuf,
    /// The client's private key.
    pub key_file: PathBuf,
    /// Believes any server, unless CA certificates are given.
    pub insecure_skip_verify: bool,
}

/// A request to any server.
#[derive(Clone, Debug, Default)]
pub struct PostRequest {
    /// Where it goes.
    pub url: String,
    /// In their order; of two with one name the later replaces the earlier.
    pub headers: Vec<(String, String)>,
    /// The body.
    pub body: Vec<u8>,
    /// How long it may take, the answer included.
    pub timeout: Duration,
    /// Bytes of the answer that are kept.
    pub answer_bytes_max: usize,
}

/// What a server answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PostAnswer {
    /// The status.
    pub status: u16,
    /// The beginning of the body.
    pub body: Vec<u8>,
}

/// Posts requests.
#[async_trait]
pub trait Post: Send + Sync + 'static {
    /// Posts a request; every status is an answer.
    async fn post(&self, request: PostRequest) -> Result<PostAnswer, ClientError>;
}

/// Posts requests over HTTP; cheap to clone.
#[derive(Clone, Debug)]
pub struct Poster(Client);

// === impl Poster ===

impl Poster {
    /// Makes one.
    pub async fn new(tls: &TlsOptions) -> Result<Self, ClientError> {
        client(tls).await.map(Poster)
    }
}

impl Poster {
    /// Asks for what is at an address; every status is an answer.
    ///
    /// - Of the body at most `answer_bytes_max` bytes are kept.
    pub async fn get(
        &self,
        url: &str,
        timeout: Duration,
        answer_bytes_max: usize,
    ) -> Result<PostAnswer, ClientError> {
        let url = address(url)?;
        let shown = shown_url(&url);
        let response = self.0.get(url).timeout(timeout).send().await;
        let response = response.map_err(|error| ClientError::no_answer(&shown, error))?;
        let status = response.status().as_u16();
        let body = beginning(response, answer_bytes_max).await;
        Ok(PostAnswer { status, body })
    }
}

#[async_trait]
impl Post for Poster {
    async fn post(&self, request: PostRequest) -> Result<PostAnswer, ClientError> {
        let url = address(&request.url)?;
        let shown = shown_url(&url);
        let mut headers = HeaderMap::new();
        for (name, value) in &request.headers {
            let wrong = |what: &str| {
                ClientError::new(
                    ErrorKind::Invalid,
                    format!("the header `{name}` has a wrong {what}"),
                )
            };
            let name: HeaderName = name.parse().map_err(|_| wrong("name"))?;
            let value = HeaderValue::from_str(value).map_err(|_| wrong("value"))?;
            headers.insert(name, value);
        }
        let sent = self.0.post(url).headers(headers).timeout(request.timeout).body(request.body);
        let response = sent.send().await.map_err(|error| ClientError::no_answer(&shown, error))?;
        let status = response.status().as_u16();
        let body = beginning(response, request.answer_bytes_max).await;
        Ok(PostAnswer { status, body })
    }
}

/// Makes a client; reads the files of `tls`.
pub(crate) async fn client(tls: &TlsOptions) -> Result<Client, ClientError> {
    built(builder_through(tls, "", IDLE_MAX).await?)
}

/// Prepares a client that goes through a proxy, if there is one.
pub(crate) async fn builder_through(
    tls: &TlsOptions,
    proxy: &str,
    idle_max: usize,
) -> Result<ClientBuilder, ClientError> {
    // Another part of the process may have chosen already, and it is the same choice.
    if rustls::crypto::ring::default_provider().install_default().is_err() {
        tracing::trace!("the TLS provider was installed before");
    }
    let mut builder = Client::builder()
        .redirect(reqwest::redirect::Policy::none())
        .no_proxy()
        .tls_backend_rustls()
        .retry(reqwest::retry::never())
        .user_agent(concat!("levada/", env!("CARGO_PKG_VERSION")))
        .connect_timeout(CONNECT_TIMEOUT)
        .tcp_keepalive(KEEP_ALIVE)
        .pool_max_idle_per_host(idle_max);
    let has = |path: &PathBuf| !path.as_os_str().is_empty();
    let wrong = |message: String| ClientError::new(ErrorKind::Invalid, message);
    if !proxy.is_empty() {
        let proxy = address(proxy)?;
        let shown = shown_url(&proxy);
        let proxy = reqwest::Proxy::all(proxy)
            .map_err(|_| wrong(format!("`{shown}` is no address of a proxy")))?;
        builder = builder.proxy(proxy);
    }
    if has(&tls.ca_file) {
        let pem = read(&tls.ca_file).await?;
        let certificates = reqwest::Certificate::from_pem_bundle(&pem)
            .ok()
            .filter(|certificates| !certificates.is_empty());
        let Some(certificates) = certificates else {
            let path = tls.ca_file.display();
            return Err(wrong(format!("`{path}` holds no certificate in PEM form")));
        };
        builder = builder.tls_certs_only(certificates);
    } else if tls.insecure_skip_verify {
        builder = builder.tls_danger_accept_invalid_certs(true);
    }
    if has(&tls.cert_file) != has(&tls.key_file) {
        return Err(wrong("a client certificate needs both its file and that of its key".into()));
    }
    if has(&tls.cert_file) {
        let mut both = read(&tls.cert_file).await?;
        both.push(b'\n');
        both.extend_from_slice(&read(&tls.key_file).await?);
        let identity = reqwest::Identity::from_pem(&both).map_err(|_| {
            let (certificate, key) = (tls.cert_file.display(), tls.key_file.display());
            wrong(format!("`{certificate}` and `{key}` hold no certificate and key in PEM form"))
        })?;
        builder = builder.identity(identity);
    }
    Ok(builder)
}

/// Makes the client that was prepared.
pub(crate) fn built(builder: ClientBuilder) -> Result<Client, ClientError> {
    builder.build().map_err(|error| {
        ClientError::new(ErrorKind::Internal, "cannot set up the HTTP client")
            .with_source(error.without_url())
    })
}

/// Reads a file of the settings.
pub(crate) async fn read(path: &PathBuf) -> Result<Vec<u8>, ClientError> {
    tokio::fs::read(path).await.map_err(|error| {
        let message = format!("cannot read `{}`: {error}", path.display());
        ClientError::new(ErrorKind::Invalid, message).with_source(error)
    })
}

/// Reads an address of a server.
pub(crate) fn address(text: &str) -> Result<Url, ClientError> {
    let wrong = |what: &str| {
        let shown = redacted(text);
        ClientError::new(ErrorKind::Invalid, format!("`{shown}` {what}"))
    };
    let url = Url::parse(text).map_err(|error| wrong(&format!("is not a URL: {error}")))?;
    if !matches!(url.scheme(), "http" | "https") || !url.has_host() {
        return Err(wrong("must begin with http:// or https://"));
    }
    Ok(url)
}

/// Gives an address for messages: without credentials and query.
pub(crate) fn shown_url(url: &Url) -> String {
    let mut url = url.clone();
    // Such an address has no credentials that could stay.
    let _has_none = url.set_username("").is_err() | url.set_password(None).is_err();
    url.set_query(None);
    url.set_fragment(None);
    url.to_string()
}

/// Gives a text that should be an address without what may be secret in it.
fn redacted(text: &str) -> String {
    let text = text.split(['?', '#']).next().unwrap_or_default();
    match text.rsplit_once('@') {
        Some((before, rest)) => {
            let scheme = before.split_once("//").map_or("", |(scheme, _)| scheme);
            format!("{scheme}//***@{rest}")
        }
        None => text.to_owned(),
    }
}

/// Reads a body whole.
///
/// - Errors: it is longer than `bytes_max`, or it broke off.
pub(crate) async fn whole(
    target: &str,
    mut response: Response,
    bytes_max: usize,
) -> Result<Bytes, ClientError> {
    let mut bytes = Vec::new();
    loop {
        match response.chunk().await {
            Ok(Some(chunk)) if bytes.len() + chunk.len() > bytes_max => {
                return Err(too_large(target, bytes_max));
            }
            Ok(Some(chunk)) => bytes.extend_from_slice(&chunk),
            Ok(None) => return Ok(bytes.into()),
            Err(error) => return Err(ClientError::no_answer(target, error)),
        }
    }
}

/// Says that an answer is longer than is taken.
pub(crate) fn too_large(target: &str, bytes_max: usize) -> ClientError {
    let message = format!("`{target}` answered with more than {bytes_max} bytes");
    ClientError::new(ErrorKind::TooLarge, message)
}

/// Reads the beginning of a body; one that breaks off is as good as one that ends, for the status has been seen.
pub(crate) async fn beginning(mut response: Response, bytes_max: usize) -> Vec<u8> {
    let mut body = Vec::new();
    let mut read = 0;
    while let Ok(Some(chunk)) = response.chunk().await {
        let room = bytes_max - body.len();
        body.extend_from_slice(&chunk[..room.min(chunk.len())]);
        read += chunk.len();
        if read > bytes_max.saturating_add(DRAIN_BYTES_MAX) {
            break;
        }
    }
    body
}

/// Gives `Retry-After`, when it is a number of seconds.
pub(crate) fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let seconds: u64 = headers.get(RETRY_AFTER)?.to_str().ok()?.trim().parse().ok()?;
    Some(Duration::from_secs(seconds).min(RETRY_AFTER_MAX))
}

#[cfg(test)]
mod tests;
