//! Posts bodies to one address: the write APIs of InfluxDB, of Prometheus and the like.
//!
//! Every status is an answer; what it means is up to the caller.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use levada_model::{ErrorKind, Timestamp};
use reqwest::Url;
pub use reqwest::header::{HeaderMap, HeaderName, HeaderValue};

use crate::dataway::{Reply, reply};
use crate::error::ClientError;
use crate::http::{self, TlsOptions};
use crate::net::{Fresh, Net};

/// Connections that wait to be used again.
const IDLE_MAX: usize = 64;

/// Where bodies go, and how.
#[derive(Clone, Debug, Default)]
pub struct WriterOptions {
    /// The address; a user and a password may stand in it.
    pub url: String,
    /// What is appended to its path, such as `/write`; empty for nothing.
    pub path: String,
    /// What is appended to its query.
    pub query: Vec<(String, String)>,
    /// Headers of every request.
    pub headers: Vec<(String, String)>,
    /// TLS.
    pub tls: TlsOptions,
    /// `http://host:port` of a proxy, empty for none.
    pub proxy: String,
    /// How long a request may take, the answer included.
    pub timeout: Duration,
    /// Names and connections.
    pub net: Net,
}

/// What a server answered, with its headers.
#[derive(Clone, Debug)]
pub struct Answered {
    /// Status, wait and body.
    pub reply: Reply,
    /// The headers.
    pub headers: HeaderMap,
}

/// Posts bodies; cheap to clone.
#[derive(Clone)]
pub struct Writer {
    client: Arc<Fresh>,
    url: Url,
    headers: HeaderMap,
    timeout: Duration,
    shown: String,
}

// === impl Writer ===

impl Writer {
    /// Makes one; reads the files of TLS, and asks nobody yet.
    pub async fn new(options: WriterOptions) -> Result<Self, ClientError> {
        let mut url = http::address(&options.url)?;
        let shown = shown_origin(&url);
        if !options.path.is_empty() {
            let path = format!("{}{}", url.path().trim_end_matches('/'), options.path);
            url.set_path(&path);
        }
        if !options.query.is_empty() {
            url.query_pairs_mut().extend_pairs(&options.query);
        }
        url.set_fragment(None);
        let mut headers = HeaderMap::new();
        for (name, value) in &options.headers {
            let wrong = |what: &str| {
                let message = format!("the header `{name}` has a wrong {what}");
                ClientError::new(ErrorKind::Invalid, message)
            };
            let key: HeaderName = name.parse().map_err(|_| wrong("name"))?;
            let mut value = HeaderValue::from_str(value).map_err(|_| wrong("value"))?;
            value.set_sensitive(true);
            headers.insert(key, value);
        }
        let WriterOptions { tls, proxy, net, .. } = &options;
        let client = Arc::new(Fresh::new(&url, tls, proxy, IDLE_MAX, net).await?);
        Ok(Writer { client, url, headers, timeout: options.timeout, shown })
    }

    /// Gives scheme, host and port, for labels.
    pub fn shown(&self) -> &str {
        &self.shown
    }

    /// Looks whether the name of the server has moved, and begins with new connections when it has.
    pub async fn look_up(&self) {
        self.client.look_up().await;
    }

    /// Posts a body with more headers; `now` tells what a date in `Retry-After` means.
    pub async fn post(
        &self,
        body: Bytes,
        headers: &[(HeaderName, HeaderValue)],
        now: Timestamp,
    ) -> Result<Answered, ClientError> {
        let mut all = self.headers.clone();
        all.extend(headers.iter().cloned());
        let (client, started) = (self.client.client(), self.client.now());
        let request = client.post(self.url.clone()).headers(all).timeout(self.timeout);
        let response = request.body(body).send().await;
        let response = response.map_err(|error| ClientError::no_answer(&self.shown, error))?;
        self.client.answered(&response, started);
        let headers = response.headers().clone();
        Ok(Answered { reply: reply(response, now).await, headers })
    }
}

impl fmt::Debug for Writer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Writer({:?})", self.shown)
    }
}

fn shown_origin(url: &Url) -> String {
    let mut origin = url.clone();
    origin.set_path("");
    http::shown_url(&origin).trim_end_matches('/').to_owned()
}

#[cfg(test)]
mod tests {
    use levada_testkit::fake_http::{FakeServer, Reply as Answer};

    use super::*;

    #[tokio::test]
    async fn addresses_headers_and_secrets() {
        let server = FakeServer::start(|request| {
            assert_eq!(request.target, "/base/write?x=1&db=a+b");
            assert_eq!(request.header("authorization"), Some("Token s3cret"));
            assert_eq!(request.header("content-encoding"), Some("gzip"));
            Answer::new(429, "slow down").with("Retry-After", "7")
        });
        let writer = Writer::new(WriterOptions {
            url: server.url("/base/?x=1"),
            path: "/write".into(),
            query: vec![("db".into(), "a b".into())],
            headers: vec![("Authorization".into(), "Token s3cret".into())],
            timeout: Duration::from_secs(5),
            ..WriterOptions::default()
        });
        let writer = writer.await.unwrap();
        let gzip = (reqwest::header::CONTENT_ENCODING, HeaderValue::from_static("gzip"));
        let answered = writer.post(Bytes::from_static(b"x"), &[gzip], Timestamp(0)).await.unwrap();
        let Answered { reply, headers } = answered;
        assert!(headers.contains_key("retry-after"));
        assert_eq!((reply.status, reply.retry_after), (429, Some(Duration::from_secs(7))));
        assert_eq!(reply.body, b"slow down");
        assert_eq!(writer.shown(), server.url(""));
        assert!(!format!("{writer:?}").contains("s3cret"));
        for (url, header) in [("ftp://h", "A"), ("http://h", "A B")] {
            let options = WriterOptions {
                url: url.into(),
                headers: vec![(header.into(), "v".into())],
                ..WriterOptions::default()
            };
            let refused = Writer::new(options).await.unwrap_err();
            assert_eq!(refused.kind(), ErrorKind::Invalid, "{url}");
        }
    }
}
