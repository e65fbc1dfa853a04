//! Trying out services. Source: reference (server) §1.11.

use std::sync::Arc;

use hyper::{Method, StatusCode};
use levada_alert::handlers::{HANDLERS, TestRule};
use levada_pattern::Glob;
use levada_tick::lambda::quote;
use serde::Serialize;
use serde_json::{Map, Value};

use super::Link;
use crate::answer::Answer;
use crate::api::{Api, TestedService};
use crate::error::ApiError;
use crate::request::Request;
use crate::router::{Body, Route};

pub(super) const ROUTES: &[Route] = &[
    Route::new(Method::GET, "/kapacitor/v1/service-tests", |api, request| {
        Box::pin(list(api, request))
    }),
    Route::new(Method::GET, "/kapacitor/v1/service-tests/", |_, _| Box::pin(no_name())),
    Route::new(Method::POST, "/kapacitor/v1/service-tests/", |_, _| Box::pin(no_name())),
    Route::new(Method::GET, "/kapacitor/v1/service-tests/{name}", |api, request| {
        Box::pin(show(api, request))
    }),
    Route::new(Method::POST, "/kapacitor/v1/service-tests/{name}", |api, request| {
        Box::pin(run(api, request))
    })
    .takes(Body::Document),
];

#[derive(Serialize)]
struct ListAnswer {
    link: Link,
    services: Vec<ServiceAnswer>,
}

#[derive(Serialize)]
struct ServiceAnswer {
    link: Link,
    name: &'static str,
    options: Map<String, Value>,
}

#[derive(Serialize)]
struct Outcome {
    success: bool,
    message: String,
}

/// A service that can be tried out.
enum Tested {
    /// That of a kind of handlers.
    Handler(&'static str, TestRule),
    Other(Arc<dyn TestedService>),
}

impl Tested {
    fn name(&self) -> &'static str {
        match self {
            Tested::Handler(name, _) => name,
            Tested::Other(service) => service.name(),
        }
    }

    fn options(&self, api: &Api) -> Map<String, Value> {
        match self {
            Tested::Handler(_, rule) => (rule.options)(&api.handlers),
            Tested::Other(service) => service.options(),
        }
    }

    async fn test(&self, api: &Api, options: Map<String, Value>) -> Result<(), String> {
        match self {
            Tested::Handler(_, rule) => {
                let tested = (rule.run)(options, api.handlers.clone()).await;
                tested.map_err(|error| error.message)
            }
            Tested::Other(service) => service.test(options).await,
        }
    }
}

fn tests(api: &Api) -> impl Iterator<Item = Tested> {
    let of_handler = |kind: &&levada_alert::handlers::Kind| {
        Some(Tested::Handler(kind.section?.name, kind.test?))
    };
    let others = api.tested.iter().map(|service| Tested::Other(Arc::clone(service)));
    HANDLERS.iter().filter_map(of_handler).chain(others)
}

fn find(api: &Api, name: &str) -> Result<Tested, ApiError> {
    let unknown = || ApiError::not_found(format!("service {} not found", quote(name)));
    tests(api).find(|tested| tested.name() == name).ok_or_else(unknown)
}

fn answer(api: &Api, tested: &Tested) -> ServiceAnswer {
    let (name, mut options) = (tested.name(), tested.options(api));
    options.sort_keys();
    ServiceAnswer { link: Link::to(&format!("service-tests/{name}")), name, options }
}

async fn no_name() -> Result<Answer, ApiError> {
    Err(ApiError::bad_request("must provide service name"))
}

async fn list(api: Arc<Api>, request: Request) -> Result<Answer, ApiError> {
    let pattern = Glob::parse(request.query.text("pattern"))
        .map_err(|error| ApiError::bad_request(format!("bad pattern: {error}")))?;
    let mut found: Vec<Tested> =
        tests(&api).filter(|tested| pattern.matches(tested.name())).collect();
    found.sort_by_key(Tested::name);
    let services = found.iter().map(|tested| answer(&api, tested)).collect();
    Ok(Answer::json(StatusCode::OK, &ListAnswer { link: Link::to("service-tests"), services }))
}

async fn show(api: Arc<Api>, request: Request) -> Result<Answer, ApiError> {
    let tested = find(&api, request.param("name"))?;
    Ok(Answer::json(StatusCode::OK, &answer(&api, &tested)))
}

async fn run(api: Arc<Api>, request: Request) -> Result<Answer, ApiError> {
    let tested = find(&api, request.param("name"))?;
    let mut options = tested.options(&api);
    if !request.body.is_empty() {
        let wanted: Map<String, Value> = request.object("failed to decode JSON body: ")?;
        options.extend(wanted);
    }
    let outcome = match tested.test(&api, options).await {
        Ok(()) => Outcome { success: true, message: String::new() },
        Err(message) => Outcome { success: false, message },
    };
    Ok(Answer::json(StatusCode::OK, &outcome))
}
