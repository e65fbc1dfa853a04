//! `post`: sends events as the bodies of HTTP requests.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use reqwest::header::{CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue};

use super::deps::{Endpoint, HandlerDeps};
use super::http::{Tls, read_answer};
use super::kind::{Kind, Place, Rule, Shape, StartError, Trouble};
use super::outgoing::{self, Outgoing, Sender};
use super::render::{Scope, Template};
use super::spec::HandlerSpec;
use crate::event::Event;
use crate::topics::{Handler, HandlerError};

pub(super) static KIND: Kind = Kind {
    method: Some("post"),
    option_kind: "post",
    summary: "sends events as the bodies of HTTP requests",
    rules: &[
        Rule::text("url", "url").template().at(Place::OptionalCall),
        Rule::text("endpoint", "endpoint"),
        Rule::new(Shape::Pair, "header", "headers"),
        Rule::new(Shape::Flag, "captureResponse", "capture-response"),
        Rule::new(Shape::Duration, "timeout", "timeout"),
        // Differs: U-18, honoured; upstream ignores it in scripts.
        Rule::new(Shape::Flag, "skipSSLVerification", "skip-ssl-verification"),
    ],
    check,
    start: Some(start),
    ..Kind::BASE
};

struct Post {
    sender: Sender,
    tls: Tls,
    url: Arc<dyn Template>,
    headers: HeaderMap,
    basic_auth: Option<(String, String)>,
    body: Option<Arc<dyn Template>>,
    captures_response: bool,
    timeout: Option<Duration>,
}

fn check(spec: &HandlerSpec) -> Result<(), Trouble> {
    for (name, value) in spec.pairs("header") {
        if name.eq_ignore_ascii_case("authenticate") {
            return Err(Trouble::define("invalid post: cannot set 'authenticate' header"));
        }
        if HeaderName::try_from(&**name).is_err() || HeaderValue::from_str(value).is_err() {
            return Err(Trouble::define(format!("invalid post: invalid header {name:?}")));
        }
    }
    if spec.duration("timeout").is_some_and(|timeout| timeout < 0) {
        return Err(Trouble::define("invalid post: timeout must not be negative"));
    }
    if spec.text("url").is_none() && spec.text("endpoint").is_none() {
        return Err(Trouble::enable("Either URL or endpoint must be non-empty"));
    }
    Ok(())
}

fn start(spec: &HandlerSpec, deps: &HandlerDeps) -> Result<Arc<dyn Handler>, StartError> {
    let endpoint = endpoint(spec, deps)?;
    let parse = |name: &str, text: &str| {
        deps.templates.parse(name, text, Scope::Data).map_err(Trouble::enable)
    };
    // The address in the script is the more special one.
    let url = parse("url", spec.text("url").unwrap_or(&endpoint.url))?;
    let body = endpoint.alert_template.as_deref().map(|text| parse("body", text)).transpose()?;
    let timeout = spec.duration("timeout").filter(|timeout| *timeout > 0);
    Ok(Arc::new(Post {
        sender: Sender::new(deps),
        tls: Tls::skipping(spec.flag("skipSSLVerification")),
        url,
        headers: headers(spec, &endpoint, body.is_none())?,
        basic_auth: endpoint
            .basic_auth
            .filter(|(user, password)| !user.is_empty() && !password.is_empty()),
        body,
        captures_response: spec.flag("captureResponse"),
        timeout: timeout.map(|nanos| Duration::from_nanos(nanos as u64)),
    }))
}

fn endpoint(spec: &HandlerSpec, deps: &HandlerDeps) -> Result<Endpoint, Trouble> {
    let Some(name) = spec.text("endpoint") else { return Ok(Endpoint::default()) };
    let known = deps.endpoints.endpoint(name);
    known.ok_or_else(|| Trouble::enable(format!("endpoint '{name}' does not exist")))
}

/// Gives the headers: those of the endpoint, then those of the handler over them.
fn headers(spec: &HandlerSpec, endpoint: &Endpoint, is_json: bool) -> Result<HeaderMap, Trouble> {
    let mut headers = HeaderMap::new();
    if is_json {
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    }
    let of_endpoint = endpoint.headers.iter().map(|(name, value)| (&**name, &**value));
    let of_handler = spec.pairs("header").into_iter().map(|(name, value)| (&**name, &**value));
    for (name, value) in of_endpoint.chain(of_handler) {
        let invalid = || Trouble::enable(format!("invalid post: invalid header {name:?}"));
        let key = HeaderName::try_from(name).map_err(|_| invalid())?;
        headers.insert(key, HeaderValue::from_str(value).map_err(|_| invalid())?);
    }
    Ok(headers)
}

#[async_trait]
impl Handler for Post {
    async fn handle(&self, event: &Event) -> Result<(), HandlerError> {
        let failed =
            |error: String| HandlerError::new(error).finally().during("failed to POST alert data");
        let url = self.url.render(event).map_err(failed)?;
        let body = match &self.body {
            Some(template) => template.render(event).map_err(failed)?.as_bytes().to_vec(),
            None => event.to_json(),
        };
        let outgoing = Outgoing {
            url: outgoing::url(&url, &[]).map_err(|error| failed(error.message))?,
            headers: self.headers.clone(),
            body,
            basic_auth: self.basic_auth.clone(),
            tls: self.tls.clone(),
            timeout: self.timeout,
        };
        let answer = self.sender.send(outgoing).await;
        let answer = answer.map_err(|error| error.during("failed to POST alert data"))?;
        let status = answer.status();
        if status.is_success() {
            return Ok(());
        }
        let retry_after = outgoing::retry_after(answer.headers());
        let text = match self.captures_response {
            true => read_answer(answer).await,
            false => {
                "unknown error, use .captureResponse() to capture the HTTP response".to_owned()
            }
        };
        let error = HandlerError::new("POST returned non 2xx status code")
            .with("code", status.as_u16().to_string())
            .with("error", text)
            .after(retry_after);
        Err(HandlerError { is_final: outgoing::is_final(status.as_u16()), ..error })
    }
}
