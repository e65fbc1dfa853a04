//! Templates. Source: reference (server) §1.6.

use std::sync::Arc;

use hyper::{Method, StatusCode};
use levada_task::service::{TemplateChange, TemplateView};
use levada_tick::vars::to_json;
use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::Link;
use super::tasks::{TypeWord, invalid_json, is_raw, mode, range, service, time};
use crate::answer::Answer;
use crate::api::Api;
use crate::error::ApiError;
use crate::list::ListQuery;
use crate::request::Request;
use crate::router::{Body, Route};

pub(super) const ROUTES: &[Route] = &[
    Route::new(Method::GET, "/kapacitor/v1/templates", |api, request| Box::pin(list(api, request))),
    Route::new(Method::POST, "/kapacitor/v1/templates", |api, request| {
        Box::pin(create(api, request))
    })
    .takes(Body::Document),
    Route::new(Method::GET, "/kapacitor/v1/templates/", |_, _| Box::pin(no_id())),
    Route::new(Method::PATCH, "/kapacitor/v1/templates/", |_, _| Box::pin(no_id())),
    Route::new(Method::DELETE, "/kapacitor/v1/templates/", |_, _| Box::pin(no_id())),
    Route::new(Method::GET, "/kapacitor/v1/templates/{*id}", |api, request| {
        Box::pin(show(api, request))
    }),
    Route::new(Method::PATCH, "/kapacitor/v1/templates/{*id}", |api, request| {
        Box::pin(update(api, request))
    })
    .takes(Body::Document),
    Route::new(Method::DELETE, "/kapacitor/v1/templates/{*id}", |api, request| {
        Box::pin(delete(api, request))
    }),
];

const FIELDS: &[&str] = &["type", "script", "dot", "error", "created", "modified", "vars"];

#[derive(Deserialize, Default)]
#[serde(default)]
struct TemplateDocument {
    id: Option<String>,
    /// A hint that the script overrules; only its words are checked.
    r#type: Option<TypeWord>,
    script: Option<String>,
}

async fn no_id() -> Result<Answer, ApiError> {
    Err(ApiError::bad_request("must specify template id on path"))
}

async fn create(api: Arc<Api>, request: Request) -> Result<Answer, ApiError> {
    let view = service(&api)?.create_template(read(&request)?, mode(&request.query)).await?;
    Ok(Answer::json(StatusCode::OK, &item(&view)))
}

async fn update(api: Arc<Api>, request: Request) -> Result<Answer, ApiError> {
    let (change, mode) = (read(&request)?, mode(&request.query));
    let view = service(&api)?.update_template(request.param("id"), change, mode).await?;
    Ok(Answer::json(StatusCode::OK, &item(&view)))
}

async fn show(api: Arc<Api>, request: Request) -> Result<Answer, ApiError> {
    let view = service(&api)?.get_template(request.param("id"), is_raw(&request.query)?).await?;
    Ok(Answer::json(StatusCode::OK, &item(&view)))
}

async fn list(api: Arc<Api>, request: Request) -> Result<Answer, ApiError> {
    let query = ListQuery::read(&request.query, FIELDS)?;
    let views = service(&api)?.list_templates(range(&query), is_raw(&request.query)?).await?;
    let listed = |view: &TemplateView| {
        let mut item = item(view);
        if !query.fields.iter().any(|field| field == "vars") {
            item.shift_remove("vars");
        }
        query.select(item)
    };
    let items: Vec<Map<String, Value>> = views.iter().map(listed).collect();
    Ok(Answer::json(StatusCode::OK, &json!({ "templates": items })))
}

async fn delete(api: Arc<Api>, request: Request) -> Result<Answer, ApiError> {
    service(&api)?.delete_template(request.param("id")).await?;
    Ok(Answer::empty(StatusCode::NO_CONTENT))
}

fn read(request: &Request) -> Result<TemplateChange, ApiError> {
    let document: TemplateDocument = request.object("").map_err(|_| invalid_json())?;
    Ok(TemplateChange {
        id: document.id.unwrap_or_default(),
        script: document.script.unwrap_or_default(),
    })
}

fn item(view: &TemplateView) -> Map<String, Value> {
    let record = &view.record;
    let item = json!({
        "link": Link::to(&format!("templates/{}", record.id)),
        "id": record.id,
        "type": record.task_type.word(),
        "script": view.script,
        "vars": to_json(&view.vars),
        "dot": view.dot,
        "error": view.error,
        "created": time(record.created),
        "modified": time(record.modified),
    });
    match item {
        Value::Object(item) => item,
        _ => Map::new(),
    }
}
