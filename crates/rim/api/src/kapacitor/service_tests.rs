//! Trying out services. Source: reference (server) §1.11.

use std::sync::Arc;

use hyper::{Method, StatusCode};
use levada_alert::handlers::{HANDLERS, TestRule};
use levada_pattern::Glob;
use serde::Serialize;
use serde_json::{Map, Value};

use super::Link;
use crate::answer::Answer;
use crate::api::Api;
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

fn tests() -> impl Iterator<Item = (&'static str, TestRule)> {
    HANDLERS.iter().filter_map(|kind| Some((kind.section?.name, kind.test?)))
}

fn find(name: &str) -> Result<(&'static str, TestRule), ApiError> {
    let unknown = || ApiError::not_found(format!("service {name:?} not found"));
    tests().find(|(known, _)| *known == name).ok_or_else(unknown)
}

fn answer(api: &Api, name: &'static str, rule: TestRule) -> ServiceAnswer {
    let mut options = (rule.options)(&api.handlers);
    options.sort_keys();
    ServiceAnswer { link: Link::to(&format!("service-tests/{name}")), name, options }
}

async fn no_name() -> Result<Answer, ApiError> {
    Err(ApiError::bad_request("must provide service name"))
}

async fn list(api: Arc<Api>, request: Request) -> Result<Answer, ApiError> {
    let pattern = Glob::parse(request.query.text("pattern"))
        .map_err(|error| ApiError::bad_request(format!("bad pattern: {error}")))?;
    let mut found: Vec<_> = tests().filter(|(name, _)| pattern.matches(name)).collect();
    found.sort_by_key(|(name, _)| *name);
    let services = found.into_iter().map(|(name, rule)| answer(&api, name, rule)).collect();
    Ok(Answer::json(StatusCode::OK, &ListAnswer { link: Link::to("service-tests"), services }))
}

async fn show(api: Arc<Api>, request: Request) -> Result<Answer, ApiError> {
    let (name, rule) = find(request.param("name"))?;
    Ok(Answer::json(StatusCode::OK, &answer(&api, name, rule)))
}

async fn run(api: Arc<Api>, request: Request) -> Result<Answer, ApiError> {
    let (_, rule) = find(request.param("name"))?;
    let mut options = (rule.options)(&api.handlers);
    if !request.body.is_empty() {
        let wanted: Map<String, Value> = request.json("failed to decode JSON body: ")?;
        options.extend(wanted);
    }
    let outcome = match (rule.run)(options, api.handlers.clone()).await {
        Ok(()) => Outcome { success: true, message: String::new() },
        Err(error) => Outcome { success: false, message: error.message },
    };
    Ok(Answer::json(StatusCode::OK, &outcome))
}
