//! Requests to a server that speaks Kapacitor's API.

use std::future::Future;
use std::io;
use std::time::Duration;

use reqwest::{Client, Method, Response, Url};
use serde_json::Value;
use tokio::runtime::Runtime;

/// How long a connection may take to be made. Ours; the original waits without end.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// The largest answer that is read whole, in bytes. Ours: a page of 100 tasks with the largest scripts lies below it.
const ANSWER_BYTES_MAX: usize = 64 << 20;
/// Bytes of an answer that an error shows.
const SHOWN_BYTES_MAX: usize = 4 << 10;

/// Where stable routes begin.
pub(crate) const V1: &[&str] = &["kapacitor", "v1"];
/// Where routes begin that may change.
pub(crate) const PREVIEW: &[&str] = &["kapacitor", "v1preview"];
/// Where Levada's own routes begin.
const OWN: &[&str] = &["api", "v1"];

/// A server.
pub(crate) struct Api {
    base: Url,
    answer_timeout: Duration,
    client: Client,
    runtime: Runtime,
}

/// Why a request brought nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ApiError {
    /// What a person reads.
    pub(crate) message: String,
    /// The status of the answer; none when there was no answer.
    pub(crate) status: Option<u16>,
}

/// Parameters of a query, in their order.
pub(crate) type Query<'q> = [(&'q str, &'q str)];

/// How a stream ended.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Streamed {
    /// Bytes that came.
    pub(crate) bytes: u64,
    /// Bytes that the server said would come.
    pub(crate) announced: Option<u64>,
    /// Why it broke off.
    pub(crate) broken: Option<ApiError>,
}

/// Says that a request got no answer, without its address, which may hold credentials.
impl ApiError {
    fn no_answer(base: &Url, error: reqwest::Error) -> Self {
        let target = shown(base);
        let error = error.without_url();
        let mut cause: &dyn std::error::Error = &error;
        while let Some(deeper) = cause.source() {
            cause = deeper;
        }
        ApiError::local(format!("cannot reach {target}: {cause}"))
    }

    fn of_answer(status: u16, body: &[u8]) -> Self {
        let said = serde_json::from_slice::<Value>(body).ok();
        let said = said.as_ref().and_then(|body| body.get("error")).and_then(Value::as_str);
        let message = match said.filter(|text| !text.is_empty()) {
            Some(text) => text.to_owned(),
            // Source: Kapacitor's client.
            None => {
                let body = String::from_utf8_lossy(&body[..body.len().min(SHOWN_BYTES_MAX)]);
                format!("invalid response: code {status}: body: {body}")
            }
        };
        ApiError { message, status: Some(status) }
    }

    fn local(message: impl Into<String>) -> Self {
        ApiError { message: message.into(), status: None }
    }
}

// === impl Api ===

impl Api {
    /// Makes a client of the server at `url`, whose credentials, if any, are used.
    pub(crate) fn new(
        url: &str,
        is_insecure: bool,
        answer_timeout: Duration,
    ) -> Result<Self, String> {
        let hidden = || match url.rsplit_once('@') {
            Some((_, rest)) => format!("***@{rest}"),
            None => url.to_owned(),
        };
        let base =
            Url::parse(url).map_err(|error| format!("invalid URL {:?}: {error}", hidden()))?;
        if !matches!(base.scheme(), "http" | "https") || !base.has_host() {
            return Err(format!(
                "invalid URL {:?}: it must begin with http:// or https://",
                hidden()
            ));
        }
        // Another part of the process may have chosen already, and it is the same choice.
        if rustls::crypto::ring::default_provider().install_default().is_err() {
            tracing::trace!("the TLS provider was installed before");
        }
        let mut builder = Client::builder()
            .no_proxy()
            .tls_backend_rustls()
            .retry(reqwest::retry::never())
            .user_agent(concat!("levada/", env!("CARGO_PKG_VERSION")))
            .connect_timeout(CONNECT_TIMEOUT);
        if is_insecure {
            builder = builder.tls_danger_accept_invalid_certs(true);
        }
        let client = builder
            .build()
            .map_err(|error| format!("cannot set up the HTTP client: {}", error.without_url()))?;
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(|error| format!("cannot set up the HTTP client: {error}"))?;
        Ok(Api { base, answer_timeout, client, runtime })
    }

    /// Gives what is at a path.
    pub(crate) fn get(&self, path: &[&str], query: &Query<'_>) -> Result<Value, ApiError> {
        self.ask(Method::GET, V1, path, query, None)
    }

    /// Gives what is at a path; none when the server says that there is nothing.
    pub(crate) fn find(&self, path: &[&str], query: &Query<'_>) -> Result<Option<Value>, ApiError> {
        match self.get(path, query) {
            Ok(value) => Ok(Some(value)),
            Err(error) if error.status == Some(404) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Gives what is at a path, byte for byte.
    pub(crate) fn get_bytes(&self, path: &[&str]) -> Result<Vec<u8>, ApiError> {
        self.send(Method::GET, V1, path, &[], None).map(|(_, body)| body)
    }

    /// Creates something, or makes something happen.
    pub(crate) fn post(&self, path: &[&str], body: &Value) -> Result<Value, ApiError> {
        self.ask(Method::POST, V1, path, &[], Some(body))
    }

    /// Posts to a route that the original does not have.
    pub(crate) fn post_preview(&self, path: &[&str], body: &Value) -> Result<Value, ApiError> {
        self.ask(Method::POST, PREVIEW, path, &[], Some(body))
    }

    /// Gives what is at a path of Levada's own.
    pub(crate) fn get_own(&self, path: &[&str], query: &Query<'_>) -> Result<Value, ApiError> {
        self.ask(Method::GET, OWN, path, query, None)
    }

    /// Creates something at a path of Levada's own.
    pub(crate) fn post_own(&self, path: &[&str], body: &Value) -> Result<Value, ApiError> {
        self.ask(Method::POST, OWN, path, &[], Some(body))
    }

    /// Deletes, or ends, something at a path of Levada's own.
    pub(crate) fn delete_own(&self, path: &[&str]) -> Result<(), ApiError> {
        self.send(Method::DELETE, OWN, path, &[], None).map(drop)
    }

    /// Changes something.
    pub(crate) fn patch(&self, path: &[&str], body: &Value) -> Result<Value, ApiError> {
        self.ask(Method::PATCH, V1, path, &[], Some(body))
    }

    /// Replaces something.
    pub(crate) fn put(&self, path: &[&str], body: &Value) -> Result<Value, ApiError> {
        self.ask(Method::PUT, V1, path, &[], Some(body))
    }

    /// Deletes something.
    pub(crate) fn delete(&self, path: &[&str]) -> Result<(), ApiError> {
        self.send(Method::DELETE, V1, path, &[], None).map(drop)
    }

    /// Asks one of Levada's own routes.
    pub(crate) fn own(
        &self,
        method: Method,
        path: &[&str],
        query: &Query<'_>,
    ) -> Result<Value, ApiError> {
        self.ask(method, OWN, path, query, None)
    }

    /// Hands on what is at a path as it comes; it may be endless.
    ///
    /// - `is_patient`: nothing may come for any time.
    /// - Errors: the server refuses, or `sink` fails; a stream that breaks off is told in the result.
    pub(crate) fn stream(
        &self,
        (root, path): (&[&str], &[&str]),
        query: &Query<'_>,
        is_patient: bool,
        sink: &mut dyn FnMut(&[u8]) -> io::Result<()>,
    ) -> Result<Streamed, StreamError> {
        let url = self.address(root, path, query).map_err(StreamError::Api)?;
        let work = async {
            let sent = tokio::time::timeout(self.answer_timeout, self.client.get(url).send());
            let response = match sent.await {
                Ok(sent) => sent.map_err(|error| ApiError::no_answer(&self.base, error)),
                Err(_) => Err(self.silent()),
            };
            let mut response = response.map_err(StreamError::Api)?;
            let status = response.status();
            if !status.is_success() {
                let body = self.bounded(self.whole(response)).await.map_err(StreamError::Api)?;
                return Err(StreamError::Api(ApiError::of_answer(status.as_u16(), &body)));
            }
            let announced = response.content_length();
            let mut streamed = Streamed { bytes: 0, announced, broken: None };
            loop {
                let next = match is_patient {
                    true => response.chunk().await,
                    false => {
                        match tokio::time::timeout(self.answer_timeout, response.chunk()).await {
                            Ok(next) => next,
                            Err(_) => {
                                streamed.broken = Some(self.silent());
                                return Ok(streamed);
                            }
                        }
                    }
                };
                match next {
                    Ok(Some(chunk)) => {
                        sink(&chunk).map_err(StreamError::Sink)?;
                        streamed.bytes += chunk.len() as u64;
                    }
                    Ok(None) => return Ok(streamed),
                    Err(error) => {
                        streamed.broken = Some(ApiError::no_answer(&self.base, error));
                        return Ok(streamed);
                    }
                }
            }
        };
        self.runtime.block_on(work)
    }

    /// Waits.
    pub(crate) fn wait(&self, future: impl Future<Output = ()>) {
        self.runtime.block_on(future);
    }

    /// Gives the address of the server without credentials.
    pub(crate) fn shown(&self) -> String {
        shown(&self.base)
    }

    fn ask(
        &self,
        method: Method,
        root: &[&str],
        path: &[&str],
        query: &Query<'_>,
        body: Option<&Value>,
    ) -> Result<Value, ApiError> {
        let (status, body) = self.send(method, root, path, query, body)?;
        if body.is_empty() {
            return Ok(Value::Null);
        }
        serde_json::from_slice(&body).map_err(|_| {
            let body = String::from_utf8_lossy(&body[..body.len().min(SHOWN_BYTES_MAX)]);
            let message = format!("invalid response: code {status}: body: {body}");
            ApiError { message, status: Some(status) }
        })
    }

    fn send(
        &self,
        method: Method,
        root: &[&str],
        path: &[&str],
        query: &Query<'_>,
        body: Option<&Value>,
    ) -> Result<(u16, Vec<u8>), ApiError> {
        let url = self.address(root, path, query)?;
        let mut request = self.client.request(method, url);
        if let Some(body) = body {
            request = request
                .header(reqwest::header::CONTENT_TYPE, "application/json")
                .body(body.to_string());
        }
        let work = async {
            let sent = request.send().await;
            let response = sent.map_err(|error| ApiError::no_answer(&self.base, error))?;
            let status = response.status();
            let body = self.whole(response).await?;
            match status.is_success() {
                true => Ok((status.as_u16(), body)),
                false => Err(ApiError::of_answer(status.as_u16(), &body)),
            }
        };
        self.runtime.block_on(self.bounded(work))
    }

    async fn bounded<T>(
        &self,
        work: impl Future<Output = Result<T, ApiError>>,
    ) -> Result<T, ApiError> {
        tokio::time::timeout(self.answer_timeout, work).await.unwrap_or_else(|_| Err(self.silent()))
    }

    fn silent(&self) -> ApiError {
        let waited = self.answer_timeout;
        ApiError::local(format!("{} did not answer within {waited:?}", self.shown()))
    }

    async fn whole(&self, mut response: Response) -> Result<Vec<u8>, ApiError> {
        let status = Some(response.status().as_u16());
        let mut bytes = Vec::new();
        loop {
            match response.chunk().await {
                Ok(Some(chunk)) if bytes.len() + chunk.len() > ANSWER_BYTES_MAX => {
                    let target = self.shown();
                    let message =
                        format!("{target} answered with more than {ANSWER_BYTES_MAX} bytes");
                    return Err(ApiError { message, status });
                }
                Ok(Some(chunk)) => bytes.extend_from_slice(&chunk),
                Ok(None) => return Ok(bytes),
                Err(error) => return Err(ApiError::no_answer(&self.base, error)),
            }
        }
    }

    /// Gives an address below the server's; every part of the path is escaped.
    fn address(&self, root: &[&str], path: &[&str], query: &Query<'_>) -> Result<Url, ApiError> {
        let mut url = self.base.clone();
        // Empty parts and those with dots are left out or resolved on the way, and another object would be meant.
        if let Some(part) = path.iter().find(|part| matches!(**part, "" | "." | "..")) {
            return Err(ApiError::local(format!("nothing can be called {part:?}")));
        }
        url.path_segments_mut()
            .map_err(|()| ApiError::local("the URL has no path"))?
            .pop_if_empty()
            .extend(root.iter().chain(path));
        url.set_query(None);
        url.set_fragment(None);
        if !query.is_empty() {
            url.query_pairs_mut().extend_pairs(query);
        }
        Ok(url)
    }
}

/// Why a stream was not handed on.
#[derive(Debug)]
pub(crate) enum StreamError {
    /// The server.
    Api(ApiError),
    /// What takes the bytes.
    Sink(io::Error),
}

fn shown(url: &Url) -> String {
    let mut url = url.clone();
    // Such an address has no credentials that could stay.
    let _has_none = url.set_username("").is_err() | url.set_password(None).is_err();
    url.set_query(None);
    url.set_fragment(None);
    url.as_str().trim_end_matches('/').to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(base: &str, path: &[&str]) -> Result<String, String> {
        let api = Api::new(base, false, Duration::from_secs(1))?;
        let url = api.address(V1, path, &[("pattern", "a b*")]).map_err(|error| error.message)?;
        Ok(url.to_string())
    }

    #[test]
    fn parts_of_paths_are_escaped_and_the_path_of_the_server_is_kept() {
        assert_eq!(
            address("http://h:1/proxy/?x=1#y", &["alerts", "topics", "a/b c"]).unwrap(),
            "http://h:1/proxy/kapacitor/v1/alerts/topics/a%2Fb%20c?pattern=a+b*"
        );
        for part in ["", ".", ".."] {
            let message = address("http://h", &["tasks", part]).unwrap_err();
            assert_eq!(message, format!("nothing can be called {part:?}"));
        }
    }

    #[test]
    fn a_wrong_url_is_refused_and_its_password_not_shown() {
        for (url, text) in [
            (
                "localhost:9092",
                "invalid URL \"localhost:9092\": it must begin with http:// or https://",
            ),
            ("ftp://u:pw@h", "invalid URL \"***@h\": it must begin with http:// or https://"),
            ("/x", "invalid URL \"/x\": relative URL without a base"),
        ] {
            assert_eq!(
                Api::new(url, false, Duration::from_secs(1)).map(|_| ()),
                Err(text.to_owned())
            );
        }
        let api =
            Api::new("http://u:pw@h:1/", false, Duration::from_secs(1)).map(|api| api.shown());
        assert_eq!(api.as_deref(), Ok("http://h:1"));
    }

    #[test]
    fn errors_are_what_the_server_says_or_its_answer() {
        let text = |body: &str| ApiError::of_answer(500, body.as_bytes()).message;
        assert_eq!(text("{\"error\": \"no\", \"message\": \"no\"}"), "no");
        assert_eq!(
            text("{\"error\": \"\"}"),
            "invalid response: code 500: body: {\"error\": \"\"}"
        );
        assert_eq!(text("<html>"), "invalid response: code 500: body: <html>");
        assert_eq!(
            text(&"x".repeat(5000)).len(),
            "invalid response: code 500: body: ".len() + 4096
        );
    }
}
