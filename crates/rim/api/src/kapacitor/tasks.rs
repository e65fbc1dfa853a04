//! Tasks, and what their httpOut nodes serve. Source: reference (server) §1.5.
//!
//! Differs: `?dry-run=true` on create and update says what would come of it; definitions that change are restarted at once.

use std::sync::Arc;
use std::time::Duration;

use hyper::{Method, StatusCode};
use levada_alert::json::write_float;
use levada_model::{ErrorKind, Str, Timestamp, with_causes};
use levada_pattern::Glob;
use levada_task::engine;
use levada_task::recordings::Executing;
use levada_task::service::change::given_vars;
use levada_task::service::view::{DotView, Stats};
use levada_task::service::{
    ListRange, Mode, ServiceError, TaskChange, TaskService, TaskView, ViewOptions,
};
use levada_tick::vars::to_json;
use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::Link;
use super::recordings::refusal;
use crate::answer::Answer;
use crate::api::Api;
use crate::error::ApiError;
use crate::list::ListQuery;
use crate::request::{Query, Request};
use crate::router::{Body, Route};

pub(super) const ROUTES: &[Route] = &[
    Route::new(Method::GET, "/kapacitor/v1/tasks", |api, request| Box::pin(list(api, request))),
    Route::new(Method::POST, "/kapacitor/v1/tasks", |api, request| Box::pin(create(api, request)))
        .takes(Body::Document),
    Route::new(Method::GET, "/kapacitor/v1/tasks/", |_, _| Box::pin(no_id())),
    Route::new(Method::PATCH, "/kapacitor/v1/tasks/", |_, _| Box::pin(no_id())),
    Route::new(Method::DELETE, "/kapacitor/v1/tasks/", |_, _| Box::pin(no_id())),
    Route::new(Method::GET, "/kapacitor/v1/tasks/{id}", |api, request| {
        Box::pin(show(api, request))
    }),
    Route::new(Method::PATCH, "/kapacitor/v1/tasks/{*id}", |api, request| {
        Box::pin(update(api, request))
    })
    .takes(Body::Document),
    Route::new(Method::DELETE, "/kapacitor/v1/tasks/{*id}", |api, request| {
        Box::pin(delete(api, request))
    }),
    Route::new(Method::GET, "/kapacitor/v1/tasks/{id}/{*endpoint}", |api, request| {
        Box::pin(served(api, request))
    }),
];

const FIELDS: &[&str] = &[
    "type",
    "dbrps",
    "script",
    "dot",
    "status",
    "executing",
    "error",
    "stats",
    "created",
    "modified",
    "last-enabled",
    "vars",
    "template-id",
];

/// When a request may come again that met a task at work.
const AGAIN: Duration = Duration::from_secs(1);

#[derive(Deserialize, Default)]
#[serde(default, rename_all = "kebab-case")]
struct TaskDocument {
    id: Option<String>,
    template_id: Option<String>,
    /// A hint that the script overrules; only its words are checked.
    r#type: Option<TypeWord>,
    dbrps: Option<Vec<Dbrp>>,
    script: Option<String>,
    status: Option<StatusWord>,
    vars: Option<Map<String, Value>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum TypeWord {
    Stream,
    Batch,
    Invalid,
}

#[derive(Deserialize, PartialEq, Eq)]
#[serde(rename_all = "kebab-case")]
enum StatusWord {
    Enabled,
    Disabled,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Dbrp {
    db: String,
    rp: String,
}

/// Gives who keeps the tasks.
pub(super) fn service(api: &Api) -> Result<&TaskService, ApiError> {
    api.tasks.as_ref().ok_or_else(|| ApiError::not_found("Not Found"))
}

pub(super) fn invalid_json() -> ApiError {
    ApiError::bad_request("invalid JSON")
}

async fn no_id() -> Result<Answer, ApiError> {
    Err(ApiError::bad_request("must specify task id on path"))
}

async fn create(api: Arc<Api>, request: Request) -> Result<Answer, ApiError> {
    let view = service(&api)?.create(read(&request)?, mode(&request.query)).await?;
    Ok(Answer::json(StatusCode::OK, &item(&view)))
}

async fn update(api: Arc<Api>, request: Request) -> Result<Answer, ApiError> {
    let (change, mode) = (read(&request)?, mode(&request.query));
    let view = service(&api)?.update(request.param("id"), change, mode).await?;
    Ok(Answer::json(StatusCode::OK, &item(&view)))
}

async fn show(api: Arc<Api>, request: Request) -> Result<Answer, ApiError> {
    let replay = request.query.text("replay-id");
    let options = view_options(&request.query)?;
    let mut view = service(&api)?.get(request.param("id"), options).await?;
    if !replay.is_empty() {
        in_replay(&api, &mut view, replay, options).await?;
    }
    Ok(Answer::json(StatusCode::OK, &item(&view)))
}

/// Shows the task as it runs in a replay.
async fn in_replay(
    api: &Api,
    view: &mut TaskView,
    replay: &str,
    options: ViewOptions,
) -> Result<(), ApiError> {
    let executing = match &api.recordings {
        Some(recordings) => {
            let executing = recordings.executing(replay, options.dot_view).await;
            executing.map_err(|error| refusal(error, ""))?
        }
        None => None,
    };
    let Some(Executing { task, nodes, dot }) = executing else {
        return Err(ApiError::bad_request(format!("no running replay with ID: {replay}")));
    };
    let id = &view.record.id;
    if task != *id {
        return Err(ApiError::bad_request(format!("replay {replay} is not for task: {id}")));
    }
    (view.is_executing, view.error) = (true, String::new());
    if !dot.is_empty() {
        view.dot = dot;
    }
    let nodes = nodes.into_iter().map(|(node, keys)| match keys {
        Value::Object(keys) => (node, keys.into_iter().collect()),
        _ => (node, Default::default()),
    });
    view.stats = Some(Stats { throughput: 0.0, nodes: nodes.collect() });
    Ok(())
}

async fn list(api: Arc<Api>, request: Request) -> Result<Answer, ApiError> {
    let query = ListQuery::read(&request.query, FIELDS)?;
    let options = view_options(&request.query)?;
    let views = service(&api)?.list(range(&query), options).await?;
    let items: Vec<Map<String, Value>> =
        views.iter().map(|view| query.select(listed(view))).collect();
    Ok(Answer::json(StatusCode::OK, &json!({ "tasks": items })))
}

async fn delete(api: Arc<Api>, request: Request) -> Result<Answer, ApiError> {
    service(&api)?.delete(request.param("id")).await?;
    Ok(Answer::empty(StatusCode::NO_CONTENT))
}

async fn served(api: Arc<Api>, request: Request) -> Result<Answer, ApiError> {
    let service = service(&api)?;
    let (id, endpoint) = (request.param("id").to_owned(), request.param("endpoint").to_owned());
    match service.served(&id, &endpoint).await? {
        engine::Served::Body(Ok(body)) => {
            Ok(Answer::bytes(StatusCode::OK, "application/json; charset=utf-8", body))
        }
        engine::Served::Body(Err(text)) => Err(ApiError::internal(text)),
        engine::Served::Busy => {
            Err(ApiError::unavailable(format!("task {id} is at work, try again later"), AGAIN))
        }
        // The path falls to the route of the task, which takes all of it for an ID.
        engine::Served::Unknown => Err(ServiceError::NoTask.into()),
    }
}

fn read(request: &Request) -> Result<TaskChange, ApiError> {
    let document: TaskDocument = request.object("").map_err(|_| invalid_json())?;
    let dbrps = document.dbrps.unwrap_or_default();
    Ok(TaskChange {
        id: document.id.unwrap_or_default(),
        template_id: document.template_id.unwrap_or_default(),
        dbrps: dbrps.iter().map(|dbrp| (Str::from(&*dbrp.db), Str::from(&*dbrp.rp))).collect(),
        script: document.script.unwrap_or_default(),
        is_enabled: document.status.map(|status| status == StatusWord::Enabled),
        vars: given_vars(&document.vars.unwrap_or_default()).map_err(|_| invalid_json())?,
    })
}

pub(super) fn mode(query: &Query) -> Mode {
    match query.text("dry-run") {
        "true" | "1" => Mode::DryRun,
        _ => Mode::Apply,
    }
}

fn view_options(query: &Query) -> Result<ViewOptions, ApiError> {
    let dot_view = DotView::parse(query.text("dot-view")).map_err(ApiError::bad_request)?;
    Ok(ViewOptions { is_raw: is_raw(query)?, dot_view })
}

pub(super) fn is_raw(query: &Query) -> Result<bool, ApiError> {
    match query.text("script-format") {
        "" | "formatted" => Ok(false),
        "raw" => Ok(true),
        other => Err(ApiError::bad_request(format!("invalid script-format parameter {other:?}"))),
    }
}

pub(super) fn range(query: &ListQuery) -> ListRange {
    ListRange {
        pattern: Glob::lenient(&query.pattern),
        offset: query.page.offset,
        limit: query.page.limit,
    }
}

fn item(view: &TaskView) -> Map<String, Value> {
    let record = &view.record;
    let dbrps: Vec<Value> =
        record.dbrps.iter().map(|(db, rp)| json!({"db": &**db, "rp": &**rp})).collect();
    let status = if record.is_enabled { "enabled" } else { "disabled" };
    let item = json!({
        "link": Link::to(&format!("tasks/{}", record.id)),
        "id": record.id,
        "template-id": record.template_id,
        "type": record.task_type.word(),
        "dbrps": dbrps,
        "script": view.script,
        "vars": to_json(&record.vars),
        "dot": view.dot,
        "status": status,
        "executing": view.is_executing,
        "error": view.error,
        "stats": view.stats.as_ref().map_or_else(|| json!({}), stats),
        "created": time(record.created),
        "modified": time(record.modified),
        "last-enabled": record.last_enabled.map_or_else(|| ZERO_TIME.to_owned(), time),
    });
    match item {
        Value::Object(item) => item,
        _ => Map::new(),
    }
}

/// The time of what never was. Source: Go's zero time.
const ZERO_TIME: &str = "0001-01-01T00:00:00Z";

/// A task in a list differs in small things from one by itself.
fn listed(view: &TaskView) -> Map<String, Value> {
    let mut item = item(view);
    if view.record.template_id.is_empty() {
        item.shift_remove("template-id");
    }
    if view.stats.is_none() {
        item.insert("stats".to_owned(), Value::Null);
    }
    item
}

fn stats(stats: &Stats) -> Value {
    // As Go writes it: without a fraction that says nothing.
    let mut throughput = Vec::new();
    write_float(stats.throughput, &mut throughput);
    let throughput: Value = serde_json::from_slice(&throughput).unwrap_or_default();
    json!({"task-stats": {"throughput": throughput}, "node-stats": stats.nodes})
}

pub(super) fn time(time: Timestamp) -> String {
    time.rfc3339_nano()
}

impl From<ServiceError> for ApiError {
    fn from(error: ServiceError) -> Self {
        let text = with_causes(&error);
        match error.kind() {
            ErrorKind::Invalid => ApiError::bad_request(text),
            ErrorKind::NotFound => ApiError::not_found(text),
            ErrorKind::Busy | ErrorKind::Unavailable => ApiError::unavailable(text, AGAIN),
            _ => ApiError::internal(text),
        }
    }
}
