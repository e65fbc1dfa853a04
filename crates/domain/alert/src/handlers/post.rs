//! `post`: sends events as the bodies of HTTP requests.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use reqwest::header::{CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue};

use super::deps::HandlerDeps;
use super::endpoint::{self, Endpoint, SECTION};
use super::form::{self, Field, Goes, Sample};
use super::http::{Tls, read_answer};
use super::kind::{Kind, Place, Rule, Shape, StartError, TestRule, Trouble};
use super::outgoing::{self, Outgoing, Sender};
use super::render::{Scope, Template};
use super::spec::HandlerSpec;
use crate::event::Event;
use crate::services::Element;
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
    section: Some(&SECTION),
    test: Some(TestRule {
        options: |deps| form::options(&SECTION, FIELDS, deps),
        run: |options, deps| form::run(&KIND, FIELDS, options, deps),
    }),
    ..Kind::starting(start)
};

static FIELDS: &[Field] = &[
    Field::new("endpoint", Sample::Text(""), Goes::Option("endpoint")),
    Field::new("url", Sample::Text("http://localhost:3000/"), Goes::Option("url")),
    Field::new("headers", Sample::NoEntries, Goes::Option("headers")),
    Field::new("timeout", Sample::Text("30s"), Goes::Option("timeout")),
];

struct Post {
    spec: HandlerSpec,
    deps: HandlerDeps,
    sender: Sender,
    tls: Tls,
    captures_response: bool,
    timeout: Option<Duration>,
    /// What was made of the endpoint when it last changed.
    target: Mutex<Arc<Target>>,
}

struct Target {
    /// The endpoint it was made of; nothing where the handler names none.
    element: Option<Element>,
    url: Arc<dyn Template>,
    headers: HeaderMap,
    basic_auth: Option<(String, String)>,
    body: Option<Arc<dyn Template>>,
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
    let element = element(spec, deps).map_err(|error| Trouble::enable(error.message))?;
    let target = Target::new(spec, deps, element)?;
    let timeout = spec.duration("timeout").filter(|timeout| *timeout > 0);
    Ok(Arc::new(Post {
        sender: Sender::new(deps),
        tls: Tls::skipping(spec.flag("skipSSLVerification")),
        captures_response: spec.flag("captureResponse"),
        timeout: timeout.map(|nanos| Duration::from_nanos(nanos as u64)),
        target: Mutex::new(Arc::new(target)),
        spec: spec.clone(),
        deps: deps.clone(),
    }))
}

/// Finds the endpoint that the handler names, as it is now.
fn element(spec: &HandlerSpec, deps: &HandlerDeps) -> Result<Option<Element>, HandlerError> {
    spec.text("endpoint").map(|name| endpoint::find(&*deps.services, name)).transpose()
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

// === impl Target ===

impl Target {
    fn new(
        spec: &HandlerSpec,
        deps: &HandlerDeps,
        element: Option<Element>,
    ) -> Result<Self, Trouble> {
        let endpoint = element.as_ref().map(Endpoint::of).transpose();
        let endpoint = endpoint.map_err(|error| Trouble::enable(error.message))?;
        let endpoint = endpoint.unwrap_or_default();
        let parse = |name: &str, text: &str| {
            deps.templates.parse(name, text, Scope::Data).map_err(Trouble::enable)
        };
        // The address in the script is the more special one.
        let url = parse("url", spec.text("url").unwrap_or(&endpoint.url))?;
        let body =
            endpoint.alert_template.as_deref().map(|text| parse("body", text)).transpose()?;
        let headers = headers(spec, &endpoint, body.is_none())?;
        Ok(Target { element, url, headers, basic_auth: endpoint.basic_auth, body })
    }
}

// === impl Post ===

impl Post {
    /// Gives where to send, made anew when the endpoint has changed.
    fn target(&self) -> Result<Arc<Target>, HandlerError> {
        let element = element(&self.spec, &self.deps)?;
        let mut target = self.target.lock().unwrap_or_else(PoisonError::into_inner);
        if target.element != element {
            let made = Target::new(&self.spec, &self.deps, element);
            *target = Arc::new(made.map_err(|trouble| HandlerError::new(trouble.text).finally())?);
        }
        Ok(Arc::clone(&target))
    }

    fn outgoing(&self, event: &Event) -> Result<Outgoing, HandlerError> {
        let failed = |error: String| HandlerError::new(error).finally();
        let target = self.target()?;
        let url = target.url.render(event).map_err(failed)?;
        let body = match &target.body {
            Some(template) => template.render(event).map_err(failed)?.as_bytes().to_vec(),
            None => event.to_json(),
        };
        Ok(Outgoing {
            url: outgoing::url(&url, &[])?,
            headers: target.headers.clone(),
            body,
            basic_auth: target.basic_auth.clone(),
            tls: self.tls.clone(),
            timeout: self.timeout,
        })
    }
}

#[async_trait]
impl Handler for Post {
    async fn handle(&self, event: &Event) -> Result<(), HandlerError> {
        let sent = async { self.sender.send(self.outgoing(event)?).await };
        let answer = sent.await.map_err(|error| error.during("failed to POST alert data"))?;
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
