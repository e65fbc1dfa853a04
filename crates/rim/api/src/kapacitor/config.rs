//! Configuration overrides. Source: reference (server) §1.9.

use std::collections::BTreeMap;
use std::sync::Arc;

use hyper::{Method, StatusCode};
use serde::Serialize;
use serde_json::Value;

use super::Link;
use crate::answer::Answer;
use crate::api::Api;
use crate::config::{Shown, Update};
use crate::error::ApiError;
use crate::json;
use crate::request::Request;
use crate::router::{Body, Route};

pub(super) const ROUTES: &[Route] = &[
    Route::new(Method::GET, "/kapacitor/v1/config", |api, _| Box::pin(list(api))),
    Route::new(Method::GET, "/kapacitor/v1/config/", |api, _| Box::pin(no_section(api))),
    Route::new(Method::GET, "/kapacitor/v1/config/{*place}", |api, request| {
        Box::pin(show(api, request))
    }),
    Route::new(Method::POST, "/kapacitor/v1/config/", |api, _| Box::pin(change_nothing(api))),
    Route::new(Method::POST, "/kapacitor/v1/config/{*place}", |api, request| {
        Box::pin(change(api, request))
    })
    .takes(Body::Document),
];

#[derive(Serialize)]
struct ListAnswer {
    link: Link,
    sections: BTreeMap<&'static str, SectionAnswer>,
}

#[derive(Serialize)]
struct SectionAnswer {
    link: Link,
    elements: Vec<ElementAnswer>,
}

#[derive(Serialize)]
struct ElementAnswer {
    link: Link,
    options: BTreeMap<String, Value>,
    redacted: Vec<&'static str>,
}

// === impl ElementAnswer ===

impl ElementAnswer {
    fn of(section: &str, shown: Shown) -> Self {
        let Shown { name, options, redacted } = shown;
        ElementAnswer { link: Link::to(&format!("config/{section}/{name}")), options, redacted }
    }
}

// === impl SectionAnswer ===

impl SectionAnswer {
    fn of(section: &str, elements: Vec<Shown>) -> Self {
        let elements = elements.into_iter().map(|shown| ElementAnswer::of(section, shown));
        SectionAnswer { link: Link::to(&format!("config/{section}")), elements: elements.collect() }
    }
}

/// Source: reference (server) §1.1: compact plus a line feed.
fn answer(value: &impl Serialize) -> Answer {
    let mut text = json::compact(value);
    text.push(b'\n');
    Answer::bytes(StatusCode::OK, "application/json; charset=utf-8", text)
}

fn check_enabled(api: &Api) -> Result<(), ApiError> {
    match api.config.is_enabled() {
        true => Ok(()),
        false => {
            Err(ApiError::new(StatusCode::FORBIDDEN, "config override service is not enabled"))
        }
    }
}

async fn list(api: Arc<Api>) -> Result<Answer, ApiError> {
    check_enabled(&api)?;
    let sections = api.config.shown().into_iter();
    let sections = sections.map(|(name, shown)| (name, SectionAnswer::of(name, shown))).collect();
    Ok(answer(&ListAnswer { link: Link::to("config"), sections }))
}

async fn no_section(api: Arc<Api>) -> Result<Answer, ApiError> {
    check_enabled(&api)?;
    Err(ApiError::bad_request("section not specified, do you have an extra trailing '/'?"))
}

async fn change_nothing(api: Arc<Api>) -> Result<Answer, ApiError> {
    check_enabled(&api)?;
    Err(ApiError::bad_request("no section specified"))
}

fn place(request: &Request) -> (&str, Option<&str>) {
    let place = request.param("place");
    place.split_once('/').map_or((place, None), |(section, element)| (section, Some(element)))
}

async fn show(api: Arc<Api>, request: Request) -> Result<Answer, ApiError> {
    check_enabled(&api)?;
    let (section, element) = place(&request);
    let unknown = match element {
        None => format!("unknown section: {section}"),
        Some(element) => format!("unknown section/element: {section}/{element}"),
    };
    let unknown = || ApiError::not_found(unknown.clone());
    let elements = api.config.shown_section(section).ok_or_else(unknown)?;
    let Some(name) = element else {
        return Ok(answer(&SectionAnswer::of(section, elements)));
    };
    let shown = elements.into_iter().find(|shown| shown.name == name).ok_or_else(unknown)?;
    Ok(answer(&ElementAnswer::of(section, shown)))
}

async fn change(api: Arc<Api>, request: Request) -> Result<Answer, ApiError> {
    check_enabled(&api)?;
    let update: Update = request.object("failed to decode JSON:")?;
    let (section, element) = place(&request);
    api.config.update(section, element, update).await?;
    Ok(Answer::empty(StatusCode::NO_CONTENT))
}
