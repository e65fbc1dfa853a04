//! What is sent to services over HTTP, and what they answer.
//!
//! ```text
//! event, settings ─▶ HttpService::request ─▶ Outgoing ─▶ Sender ─▶ Answer ─▶ HttpService::judge
//! ```

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use levada_model::with_causes;
use reqwest::header::{
    AUTHORIZATION, CONTENT_TYPE, DATE, HeaderMap, HeaderName, HeaderValue, RETRY_AFTER,
};
use reqwest::{Response, StatusCode, Url};
use serde_json::Value;

use super::address_filter::Denied;
use super::deps::HandlerDeps;
use super::http::{Clients, Tls, read_answer};
use crate::event::Event;
use crate::topics::{Handler, HandlerError};

/// The longest time a receiver may ask for. Ours: what waits longer than a day is no news.
pub(super) const RETRY_AFTER_MAX: Duration = Duration::from_secs(24 * 3600);

/// Bytes of an answer that a message shows.
const SHOWN_MAX: usize = 1_000;

/// A request to a service; a `POST`.
pub(super) struct Outgoing {
    pub(super) url: Url,
    pub(super) headers: HeaderMap,
    pub(super) body: Vec<u8>,
    pub(super) basic_auth: Option<(String, String)>,
    pub(super) tls: Tls,
    /// How long it may take; the shared time-out without.
    pub(super) timeout: Option<Duration>,
}

/// What a service answered.
pub(super) struct Answer {
    pub(super) status: u16,
    pub(super) body: String,
    pub(super) retry_after: Option<Duration>,
}

/// Sends requests; cheap to clone.
#[derive(Clone)]
pub(super) struct Sender {
    clients: Clients,
    timeout: Duration,
}

/// A service that hears of each event with one request.
pub(super) trait HttpService: Send + Sync + 'static {
    /// As messages call it.
    const NAME: &'static str;

    /// Makes the request.
    fn request(&self, event: &Event) -> Result<Outgoing, HandlerError>;

    /// Says whether the service took it.
    fn judge(&self, answer: &Answer) -> Result<(), HandlerError>;
}

/// A handler that sends one request per event.
struct HttpHandler<S> {
    service: S,
    sender: Sender,
}

/// Makes a handler of a service.
pub(super) fn handler<S: HttpService>(service: S, deps: &HandlerDeps) -> Arc<dyn Handler> {
    Arc::new(HttpHandler { service, sender: Sender::new(deps) })
}

/// Reads an address that settings hold, and appends segments to its path.
///
/// Errors: it is no address. The text does not show it: it may hold secrets.
pub(super) fn url(base: &str, segments: &[&str]) -> Result<Url, HandlerError> {
    let invalid = |reason: &str| HandlerError::new(format!("invalid URL: {reason}")).finally();
    if base.is_empty() {
        return Err(invalid("it is empty"));
    }
    let mut url = Url::parse(base).map_err(|error| invalid(&error.to_string()))?;
    if !matches!(url.scheme(), "http" | "https") {
        return Err(invalid("its scheme is not http or https"));
    }
    if !segments.is_empty()
        && let Ok(mut path) = url.path_segments_mut()
    {
        path.pop_if_empty().extend(segments);
    }
    Ok(url)
}

/// Gives pairs as the body of a form.
pub(super) fn form(pairs: &[(&str, &str)]) -> Vec<u8> {
    let Ok(mut url) = Url::parse("http://form") else { return Vec::new() };
    url.query_pairs_mut().extend_pairs(pairs);
    url.query().unwrap_or_default().as_bytes().to_vec()
}

/// Gives the first text unless it is empty: options of a handler over those of its section.
pub(super) fn first<'t>(text: &'t str, other: &'t str) -> &'t str {
    if text.is_empty() { other } else { text }
}

/// Gives the first list unless it is empty.
pub(super) fn first_list<'t>(texts: &'t [String], others: &'t [String]) -> &'t [String] {
    if texts.is_empty() { others } else { texts }
}

// === impl Outgoing ===

impl Outgoing {
    /// Makes a request with a JSON body.
    pub(super) fn json(url: Url, body: Vec<u8>) -> Self {
        Outgoing::with_type(url, "application/json", body)
    }

    /// Makes a request with the body of a form.
    pub(super) fn form(url: Url, pairs: &[(&str, &str)]) -> Self {
        Outgoing::with_type(url, "application/x-www-form-urlencoded", form(pairs))
    }

    fn with_type(url: Url, content_type: &'static str, body: Vec<u8>) -> Self {
        let mut headers = HeaderMap::new();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
        Outgoing { url, headers, body, basic_auth: None, tls: Tls::default(), timeout: None }
    }

    /// Sets a header.
    pub(super) fn header(mut self, name: HeaderName, value: &'static str) -> Self {
        self.headers.insert(name, HeaderValue::from_static(value));
        self
    }

    /// Sets what the receiver knows us by.
    ///
    /// Errors: it is no value of a header.
    pub(super) fn authorization(mut self, scheme: &str, token: &str) -> Result<Self, HandlerError> {
        let value = HeaderValue::from_str(&format!("{scheme} {token}"));
        let mut value = value.map_err(|_| {
            HandlerError::new("the token has characters no header can hold").finally()
        })?;
        value.set_sensitive(true);
        self.headers.insert(AUTHORIZATION, value);
        Ok(self)
    }

    /// Sets user and password, unless both are empty.
    pub(super) fn basic_auth(self, user: &str, password: &str) -> Self {
        let is_there = !user.is_empty() || !password.is_empty();
        let basic_auth = is_there.then(|| (user.to_owned(), password.to_owned()));
        Outgoing { basic_auth, ..self }
    }

    /// Sets how certificates are checked.
    pub(super) fn tls(self, tls: Tls) -> Self {
        Outgoing { tls, ..self }
    }
}

// === impl Sender ===

impl Sender {
    pub(super) fn new(deps: &HandlerDeps) -> Self {
        Sender { clients: deps.clients.clone(), timeout: deps.request_timeout }
    }

    /// Sends a request; the body of the answer is not read yet.
    ///
    /// Errors: there is no answer.
    pub(super) async fn send(&self, outgoing: Outgoing) -> Result<Response, HandlerError> {
        let denied = |denied: &Denied| HandlerError::new(denied.to_string()).finally();
        self.clients.filter().check_url(&outgoing.url).map_err(|error| denied(&error))?;
        let client = self.clients.client(&outgoing.tls)?;
        let mut request = client
            .post(outgoing.url)
            .headers(outgoing.headers)
            .body(outgoing.body)
            .timeout(outgoing.timeout.unwrap_or(self.timeout));
        if let Some((user, password)) = &outgoing.basic_auth {
            request = request.basic_auth(user, Some(password));
        }
        request.send().await.map_err(|error| match find_denied(&error) {
            Some(found) => denied(found),
            // The address may hold secrets.
            None => HandlerError::new(with_causes(&error.without_url())),
        })
    }

    /// Sends a request and reads the answer.
    pub(super) async fn ask(&self, outgoing: Outgoing) -> Result<Answer, HandlerError> {
        let response = self.send(outgoing).await?;
        let (status, retry_after) = (response.status().as_u16(), retry_after(response.headers()));
        Ok(Answer { status, body: read_answer(response).await, retry_after })
    }
}

fn find_denied<'e>(error: &'e (dyn std::error::Error + 'static)) -> Option<&'e Denied> {
    let mut cause = error.source();
    while let Some(error) = cause {
        if let Some(denied) = error.downcast_ref() {
            return Some(denied);
        }
        cause = error.source();
    }
    None
}

/// Gives how long the receiver asks to be left alone: seconds, or a time on its own clock.
pub(super) fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let text = headers.get(RETRY_AFTER)?.to_str().ok()?.trim();
    let wait = match text.parse::<u64>() {
        Ok(seconds) => Duration::from_secs(seconds),
        Err(_) => {
            let now = date(headers.get(DATE)?.to_str().ok()?)?;
            let until = date(text)?;
            // A time that has passed asks for no wait.
            Duration::try_from(until.duration_since(now)).unwrap_or_default()
        }
    };
    Some(wait.min(RETRY_AFTER_MAX))
}

fn date(text: &str) -> Option<jiff::Timestamp> {
    jiff::fmt::rfc2822::DateTimeParser::new().parse_timestamp(text).ok()
}

/// Says whether trying again cannot help.
pub(super) fn is_final(status: u16) -> bool {
    match StatusCode::from_u16(status) {
        Ok(status) if status.is_server_error() => false,
        Ok(status) => !matches!(
            status,
            StatusCode::REQUEST_TIMEOUT | StatusCode::TOO_EARLY | StatusCode::TOO_MANY_REQUESTS
        ),
        Err(_) => false,
    }
}

// === impl Answer ===

impl Answer {
    /// Refuses every status but some.
    pub(super) fn expect(&self, service: &str, statuses: &[u16]) -> Result<(), HandlerError> {
        match statuses.contains(&self.status) {
            true => Ok(()),
            false => Err(self.refusal(service)),
        }
    }

    /// Refuses every status but those of success.
    pub(super) fn expect_success(&self, service: &str) -> Result<(), HandlerError> {
        match (200..300).contains(&self.status) {
            true => Ok(()),
            false => Err(self.refusal(service)),
        }
    }

    /// Makes the error for an answer nobody expected.
    pub(super) fn refusal(&self, service: &str) -> HandlerError {
        let shown = shorten(self.body.trim(), SHOWN_MAX);
        self.error(match shown {
            "" => format!("{service} answered {}", self.status),
            shown => format!("{service} answered {}: {shown}", self.status),
        })
    }

    /// Makes an error of this answer.
    pub(super) fn error(&self, text: impl Into<String>) -> HandlerError {
        let error = HandlerError::new(text).after(self.retry_after);
        HandlerError { is_final: is_final(self.status), ..error }
    }

    /// Gives the body when it is JSON.
    pub(super) fn json(&self) -> Option<Value> {
        serde_json::from_str(&self.body).ok()
    }
}

/// Cuts a text to some bytes; no character is cut apart.
pub(super) fn shorten(text: &str, most: usize) -> &str {
    &text[..text.floor_char_boundary(most)]
}

// === impl HttpHandler ===

#[async_trait]
impl<S: HttpService> Handler for HttpHandler<S> {
    async fn handle(&self, event: &Event) -> Result<(), HandlerError> {
        let sent = async {
            let answer = self.sender.ask(self.service.request(event)?).await?;
            self.service.judge(&answer)
        };
        sent.await.map_err(|error| error.during(format!("failed to send event to {}", S::NAME)))
    }
}
