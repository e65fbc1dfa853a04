//! The client over HTTP.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use base64::Engine as _;
use bytes::Bytes;
use levada_codec::compression::{Compression, compress_all, decompress_all};
use levada_influxql::{flux, result};
use levada_model::ErrorKind;
use levada_runtime::{TaskKind, Tasks};
use reqwest::header::{
    ACCEPT_ENCODING, AUTHORIZATION, CONTENT_ENCODING, CONTENT_TYPE, HeaderMap, HeaderValue,
};
use reqwest::{Method, Response, Url};
use serde::Deserialize;
use tokio::sync::Semaphore;

use super::{
    Bearer, Config, FluxQuery, InfluxDb, Query, TIMEOUT_DEFAULT, WriteTarget, quote_identifier,
};
use crate::error::ClientError;
use crate::http;

/// Bodies above this are compressed and decompressed on a thread of their own. Ours: below it, that takes a millisecond.
const INLINE_BYTES_MAX: usize = 64 << 10;
/// Bytes of a refusal that are read.
const REFUSAL_BYTES_MAX: usize = 64 << 10;
/// Bytes of a refusal that are shown.
const SHOWN_BYTES_MAX: usize = 400;

/// A cluster over HTTP; cheap to clone.
#[derive(Clone)]
pub struct Client(Arc<Shared>);

struct Shared {
    http: reqwest::Client,
    endpoints: Vec<Endpoint>,
    /// The place of the endpoint that is asked first.
    current: AtomicUsize,
    authorization: Authorization,
    timeout: Duration,
    compress: bool,
    answer_bytes_max: usize,
    queries: Semaphore,
    tasks: Tasks,
}

/// How the client says who it is.
enum Authorization {
    None,
    Fixed(HeaderValue),
    /// It ends soon, and is made anew for each request.
    Bearer(Bearer),
}

struct Endpoint {
    url: Url,
    shown: String,
}

/// A request to any of the endpoints.
struct Request<'r> {
    method: Method,
    path: &'r str,
    query: &'r [(&'r str, &'r str)],
    headers: HeaderMap,
    body: Bytes,
}

// === impl Client ===

impl Client {
    /// Makes a client; reads the files of TLS, and asks nobody yet.
    pub async fn new(config: &Config, tasks: &Tasks) -> Result<Self, ClientError> {
        let wrong = |message: &str| ClientError::new(ErrorKind::Invalid, message);
        let mut endpoints = Vec::with_capacity(config.urls.len());
        for text in &config.urls {
            let url = http::address(text)?;
            let shown = http::shown_url(&url).trim_end_matches('/').to_owned();
            endpoints.push(Endpoint { url, shown });
        }
        if endpoints.is_empty() {
            return Err(wrong("an InfluxDB cluster needs an address"));
        }
        let timeout = if config.timeout.is_zero() { TIMEOUT_DEFAULT } else { config.timeout };
        Ok(Client(Arc::new(Shared {
            http: http::client(&config.tls).await?,
            endpoints,
            current: AtomicUsize::new(0),
            authorization: authorization(config)?,
            timeout,
            compress: config.compress,
            answer_bytes_max: config.answer_bytes_max,
            queries: Semaphore::new(config.queries_max.clamp(1, Semaphore::MAX_PERMITS)),
            tasks: tasks.clone(),
        })))
    }

    /// Sends a request to the endpoint in use, and to the others when that one cannot be reached.
    ///
    /// - What is sent may be sent twice: a server that breaks off may have done what it was asked for. Points that are
    ///   written twice are the same points, and queries change nothing.
    async fn send(&self, request: &Request<'_>) -> Result<(Response, &str), ClientError> {
        let shared = &*self.0;
        let count = shared.endpoints.len();
        let first = shared.current.load(Ordering::Relaxed);
        let mut last = None;
        for step in 0..count {
            let place = (first + step) % count;
            let endpoint = &shared.endpoints[place];
            match self.send_to(endpoint, request).await {
                Ok(response) => {
                    let status = response.status().as_u16();
                    // An answer that this one cannot now: the next request goes to the next one.
                    let next = if status >= 500 || status == 429 { place + 1 } else { place };
                    shared.current.store(next % count, Ordering::Relaxed);
                    return Ok((response, &endpoint.shown));
                }
                Err(error) => {
                    shared.current.store((place + 1) % count, Ordering::Relaxed);
                    let is_over = error.is_timeout() && !error.is_connect();
                    let is_ours = error.is_builder();
                    last = Some(ClientError::no_answer(&endpoint.shown, error));
                    // Its time is used up; what cannot be sent to one cannot be sent to another.
                    if is_over || is_ours {
                        break;
                    }
                }
            }
        }
        Err(last.unwrap_or_else(|| ClientError::new(ErrorKind::Internal, "there is no endpoint")))
    }

    async fn send_to(
        &self,
        endpoint: &Endpoint,
        request: &Request<'_>,
    ) -> Result<Response, reqwest::Error> {
        let shared = &*self.0;
        let mut url = endpoint.url.clone();
        if let Ok(mut segments) = url.path_segments_mut() {
            segments.pop_if_empty().extend(request.path.split('/'));
        }
        if request.query.iter().any(|(_, value)| !value.is_empty()) {
            let given = request.query.iter().filter(|(_, value)| !value.is_empty());
            url.query_pairs_mut().extend_pairs(given);
        }
        let mut headers = request.headers.clone();
        let authorization = match &shared.authorization {
            Authorization::None => None,
            Authorization::Fixed(value) => Some(value.clone()),
            // What no header can carry is sent without, and the server says what is missing.
            Authorization::Bearer(bearer) => {
                header(&format!("Bearer {}", bearer.token().expose())).ok()
            }
        };
        if let Some(value) = authorization {
            headers.insert(AUTHORIZATION, value);
        }
        let sent = shared.http.request(request.method.clone(), url).headers(headers);
        sent.timeout(shared.timeout).body(request.body.clone()).send().await
    }

    /// Gives the body of an answer as text, or the error that the answer is.
    async fn text(&self, response: Response, target: &str) -> Result<String, ClientError> {
        let shared = &*self.0;
        if !response.status().is_success() {
            return Err(refusal(response, target).await);
        }
        let bytes_max = shared.answer_bytes_max;
        let coding = response.headers().get(CONTENT_ENCODING).map(HeaderValue::as_bytes);
        let is_gzip = coding.is_some_and(|coding| coding.eq_ignore_ascii_case(b"gzip"));
        let body = http::whole(target, response, bytes_max).await?;
        let plain = if is_gzip { self.unzipped(body, target).await? } else { body.into() };
        String::from_utf8(plain).map_err(|_| {
            let message = format!("`{target}` answered with what is not UTF-8");
            ClientError::new(ErrorKind::Invalid, message)
        })
    }

    async fn unzipped(&self, body: Bytes, target: &str) -> Result<Vec<u8>, ClientError> {
        let bytes_max = self.0.answer_bytes_max;
        let is_small = body.len() <= INLINE_BYTES_MAX / 8;
        let work = move || decompress_all(Compression::Gzip, &body, bytes_max);
        let result = if is_small {
            work()
        } else {
            let thread = self.0.tasks.spawn_thread(TaskKind::Connector, "influxdb answer", work);
            thread.await.map_err(|_| stopped())?
        };
        result.map_err(|error| {
            use levada_codec::compression::CompressionError::ExpansionLimit;
            let kind = match error {
                ExpansionLimit { .. } => ErrorKind::TooLarge,
                _ => ErrorKind::Invalid,
            };
            ClientError::new(kind, format!("`{target}` answered: {error}")).with_source(error)
        })
    }

    async fn zipped(&self, lines: Bytes) -> Result<Bytes, ClientError> {
        let is_small = lines.len() <= INLINE_BYTES_MAX;
        let work = move || compress_all(Compression::Gzip, &lines);
        let result = if is_small {
            work()
        } else {
            let thread = self.0.tasks.spawn_thread(TaskKind::Connector, "influxdb lines", work);
            thread.await.map_err(|_| stopped())?
        };
        let failed = |error| {
            ClientError::new(ErrorKind::Internal, "cannot compress lines").with_source(error)
        };
        result.map(Bytes::from).map_err(failed)
    }
}

#[async_trait]
impl InfluxDb for Client {
    async fn ping(&self) -> Result<String, ClientError> {
        let request = Request {
            method: Method::GET,
            path: "ping",
            query: &[],
            headers: HeaderMap::new(),
            body: Bytes::new(),
        };
        let (response, target) = self.send(&request).await?;
        if !response.status().is_success() {
            return Err(refusal(response, target).await);
        }
        let version = response.headers().get("x-influxdb-version");
        Ok(version.and_then(|version| version.to_str().ok()).unwrap_or_default().to_owned())
    }

    async fn query(&self, query: &Query) -> Result<String, ClientError> {
        let _permit = self.0.queries.acquire().await.map_err(|_| stopped())?;
        // A form has no bound on its length, as an address has.
        let parameters = match query.parameters.is_empty() {
            true => String::new(),
            false => serde_json::Value::Object(query.parameters.clone()).to_string(),
        };
        let pairs = [
            ("db", query.database.as_str()),
            ("epoch", query.epoch.as_str()),
            ("params", parameters.as_str()),
            ("q", query.text.as_str()),
        ];
        let request = Request {
            method: Method::POST,
            path: "query",
            query: &[],
            headers: headers("application/x-www-form-urlencoded"),
            body: form(&pairs).into(),
        };
        let (response, target) = self.send(&request).await?;
        self.text(response, target).await
    }

    async fn flux(&self, query: &FluxQuery) -> Result<String, ClientError> {
        let _permit = self.0.queries.acquire().await.map_err(|_| stopped())?;
        let request = Request {
            method: Method::POST,
            path: "api/v2/query",
            query: &[("org", &query.org), ("orgID", &query.org_id)],
            headers: headers("application/json"),
            body: flux::request_body(&query.text, query.now).into(),
        };
        let (response, target) = self.send(&request).await?;
        self.text(response, target).await
    }

    async fn write(&self, target: &WriteTarget, lines: Bytes) -> Result<(), ClientError> {
        let mut headers = headers("text/plain; charset=utf-8");
        let body = if self.0.compress {
            headers.insert(CONTENT_ENCODING, HeaderValue::from_static("gzip"));
            self.zipped(lines).await?
        } else {
            lines
        };
        let request = Request {
            method: Method::POST,
            path: "write",
            query: &[
                ("db", &target.database),
                ("rp", &target.retention),
                ("precision", &target.precision),
                ("consistency", &target.consistency),
            ],
            headers,
            body,
        };
        let (response, shown) = self.send(&request).await?;
        if response.status().is_success() {
            // Reads to the end, so that the connection can be used again.
            http::beginning(response, 0).await;
            return Ok(());
        }
        Err(refusal(response, shown).await)
    }

    async fn create_database(&self, database: &str, retention: &str) -> Result<(), ClientError> {
        let mut text = format!("CREATE DATABASE {}", quote_identifier(database));
        if !retention.is_empty() {
            text.push_str(&format!(" WITH NAME {}", quote_identifier(retention)));
        }
        let answer = self.query(&Query { text, ..Query::default() }).await?;
        let failed = |error: levada_influxql::DecodeError| {
            ClientError::new(ErrorKind::Invalid, error.to_string())
        };
        let results = result::decode(&answer, result::Options::default()).map_err(failed)?;
        results.into_iter().try_for_each(|result| result.map(|_| ()).map_err(failed))
    }
}

fn headers(content_type: &'static str) -> HeaderMap {
    let mut headers = HeaderMap::new();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    headers.insert(ACCEPT_ENCODING, HeaderValue::from_static("gzip"));
    headers
}

/// Gives pairs as a form; those without a value are left out.
fn form(pairs: &[(&str, &str)]) -> String {
    let given = pairs.iter().filter(|(_, value)| !value.is_empty());
    // An address does not have to be one to carry pairs.
    let mut url = match Url::parse("http://form/") {
        Ok(url) => url,
        Err(_) => return String::new(),
    };
    url.query_pairs_mut().extend_pairs(given);
    url.query().unwrap_or_default().to_owned()
}

/// Source: reference (server) §7.2: a token, else a signed one where it is wanted, else user and password.
fn authorization(config: &Config) -> Result<Authorization, ClientError> {
    let token = config.token.expose();
    if !token.is_empty() {
        return header(&format!("Token {token}")).map(Authorization::Fixed);
    }
    if let Some(bearer) = &config.bearer {
        return Ok(Authorization::Bearer(bearer.clone()));
    }
    if config.username.is_empty() {
        return Ok(Authorization::None);
    }
    let pair = format!("{}:{}", config.username, config.password.expose());
    let text = format!("Basic {}", base64::engine::general_purpose::STANDARD.encode(pair));
    header(&text).map(Authorization::Fixed)
}

fn header(text: &str) -> Result<HeaderValue, ClientError> {
    let mut value = HeaderValue::from_str(text).map_err(|_| {
        ClientError::new(ErrorKind::Invalid, "the token holds characters no header can carry")
    })?;
    value.set_sensitive(true);
    Ok(value)
}

fn stopped() -> ClientError {
    ClientError::new(ErrorKind::Unavailable, "the program is being stopped")
}

/// Makes the error of an answer that is no success.
async fn refusal(response: Response, target: &str) -> ClientError {
    let status = response.status();
    let retry_after = http::retry_after(response.headers());
    let header = response.headers().get("x-influxdb-error");
    let header = header.and_then(|text| text.to_str().ok()).map(str::to_owned);
    let body = http::beginning(response, REFUSAL_BYTES_MAX).await;
    let reason = reason(&body, header.as_deref());
    let mut message = format!("`{target}` answered {}", status.as_u16());
    if let Some(phrase) = status.canonical_reason() {
        message.push_str(&format!(" {phrase}"));
    }
    if !reason.is_empty() {
        message.push_str(&format!(": {reason}"));
    }
    // 1.x answers 500 to what no later try can heal.
    let error = if status.as_u16() == 500 && reason.starts_with("retention policy not found") {
        ClientError::answered(404, message)
    } else {
        ClientError::answered(status.as_u16(), message)
    };
    error.with_retry_after(retry_after)
}

/// Gives what the server says is wrong: `error` of 1.x, `message` of 2.x, or the text itself.
fn reason(body: &[u8], header: Option<&str>) -> String {
    #[derive(Default, Deserialize)]
    #[serde(default)]
    struct Refusal {
        error: Option<String>,
        message: Option<String>,
    }
    let refusal: Refusal = serde_json::from_slice(body).unwrap_or_default();
    let text = match refusal.error.or(refusal.message).or(header.map(str::to_owned)) {
        Some(text) => text,
        None => String::from_utf8_lossy(body).into_owned(),
    };
    let mut line: String =
        text.trim().chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    if line.len() > SHOWN_BYTES_MAX {
        // The number of dropped points stands at the end.
        let tail = line.rfind("dropped=").filter(|at| *at > line.len() - 32);
        let tail = tail.map_or(String::new(), |at| line[at..].to_owned());
        line.truncate(line.floor_char_boundary(SHOWN_BYTES_MAX));
        line.push('…');
        line.push_str(&tail);
    }
    line
}
