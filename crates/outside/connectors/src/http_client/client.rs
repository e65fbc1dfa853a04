//! The client, and calls to the servers it is for.

use std::time::Duration;

use levada_model::ErrorClass;
use reqwest::header::{CONTENT_ENCODING, HeaderMap, HeaderValue, USER_AGENT};
use reqwest::{Client, Method};

use super::address::Endpoint;
use super::answer::{Answer, no_answer};
use super::body::{Compression, compressed};
use super::request::client;
use crate::blocks::Tls;
use crate::context::BuildContext;
use crate::traits::SinkError;

/// The longest `Retry-After` that is waited for before the next request. Ours: a server that asks for
/// more is asked again after this.
const WAIT_MAX: Duration = Duration::from_secs(60);

/// What a caller is made of.
pub(crate) struct CallerSettings {
    /// Where requests go; the next one is taken when one fails.
    pub(crate) endpoints: Vec<Endpoint>,
    /// The method.
    pub(crate) method: Method,
    /// Headers of every request.
    pub(crate) headers: HeaderMap,
    /// How bodies are compressed.
    pub(crate) compression: Compression,
    /// TLS towards the servers.
    pub(crate) tls: Option<Tls>,
    /// How long a request may take, its answer included.
    pub(crate) timeout: Duration,
    /// Wait as long as `Retry-After` says before the next request.
    pub(crate) waits: bool,
}

/// Sends bodies, one after the other, to one of several equal servers.
pub(crate) struct Caller {
    settings: CallerSettings,
    ctx: BuildContext,
    client: Option<Client>,
    /// Index of the endpoint in use.
    current: usize,
    /// On the monotonic clock: no request before.
    not_before: Duration,
}

// === impl Caller ===

impl Caller {
    /// Makes a caller; there must be an endpoint.
    pub(crate) fn new(mut settings: CallerSettings, ctx: &BuildContext) -> Self {
        debug_assert!(!settings.endpoints.is_empty());
        let agent = concat!("levada/", env!("CARGO_PKG_VERSION"));
        settings.headers.entry(USER_AGENT).or_insert(HeaderValue::from_static(agent));
        if let Some(name) = settings.compression.name() {
            settings.headers.insert(CONTENT_ENCODING, HeaderValue::from_static(name));
        }
        let not_before = Duration::ZERO;
        Caller { settings, ctx: ctx.clone(), client: None, current: 0, not_before }
    }

    /// Makes the client anew, also after a failure: certificates may have been renewed, addresses moved.
    pub(crate) async fn open(&mut self) -> Result<(), SinkError> {
        self.client = Some(client(self.settings.tls.as_ref(), &self.ctx.base_dir).await?);
        Ok(())
    }

    /// Closes the connections.
    pub(crate) fn close(&mut self) {
        self.client = None;
    }

    /// Tells whether the client was made.
    pub(crate) fn is_open(&self) -> bool {
        self.client.is_some()
    }

    /// Gives the address in use, for messages.
    pub(crate) fn target(&self) -> &str {
        &self.settings.endpoints[self.current].shown
    }

    /// Sends a body to the server in use and reads the answer and at most `most` bytes of its body.
    ///
    /// Errors: there was no answer. The next request goes to the next server, as after an answer that
    /// this one cannot now.
    pub(crate) async fn send(&mut self, body: Vec<u8>, most: usize) -> Result<Answer, SinkError> {
        let endpoint = self.settings.endpoints[self.current].clone();
        let method = self.settings.method.clone();
        self.send_to(method, &endpoint, body, most).await
    }

    /// Like [`Caller::send`], to another address of the same servers.
    pub(crate) async fn send_to(
        &mut self,
        method: Method,
        endpoint: &Endpoint,
        body: Vec<u8>,
        most: usize,
    ) -> Result<Answer, SinkError> {
        let Some(client) = self.client.clone() else {
            return Err(SinkError::new(ErrorClass::Unknown, "the sink is not open"));
        };
        let now = self.ctx.clock.monotonic();
        if now < self.not_before {
            self.ctx.clock.sleep(self.not_before - now).await;
        }
        let body = compressed(&self.ctx.tasks, self.settings.compression, body).await?;
        let request = client
            .request(method, endpoint.url.clone())
            .headers(self.settings.headers.clone())
            .timeout(self.settings.timeout)
            .body(body);
        let answer = match request.send().await {
            Ok(response) => Answer::read(response, most).await,
            Err(error) => {
                self.turn();
                return Err(no_answer(&endpoint.shown, error));
            }
        };
        if answer.status.is_server_error() || answer.status.as_u16() == 429 {
            self.turn();
            if let (true, Some(wait)) = (self.settings.waits, answer.wait) {
                self.not_before = self.ctx.clock.monotonic() + wait.min(WAIT_MAX);
            }
        }
        Ok(answer)
    }

    /// Goes on to the next server.
    fn turn(&mut self) {
        self.current = (self.current + 1) % self.settings.endpoints.len();
    }
}
