//! `ping`, `:routes`, `loglevel`. Source: reference (server) §1.3; the bare `/ping` is ours.

use std::collections::BTreeMap;
use std::sync::Arc;

use hyper::{Method, StatusCode};
use serde::Deserialize;

use crate::answer::Answer;
use crate::api::{Api, INFLUXDB_VERSION};
use crate::error::ApiError;
use crate::request::Request;
use crate::router::{Body, Route};

pub(super) const ROUTES: &[Route] = &[
    Route::new(Method::GET, "/kapacitor/v1/ping", |_, _| Box::pin(ping())),
    Route::new(Method::HEAD, "/kapacitor/v1/ping", |_, _| Box::pin(ping())).open(),
    Route::new(Method::GET, "/ping", |_, _| Box::pin(bare_ping())),
    Route::new(Method::HEAD, "/ping", |_, _| Box::pin(bare_ping())).open(),
    Route::new(Method::GET, "/kapacitor/v1/:routes", |api, _| Box::pin(routes(api))),
    Route::new(Method::POST, "/kapacitor/v1/loglevel", |api, request| {
        Box::pin(set_log_level(api, request))
    })
    .takes(Body::Document),
];

async fn ping() -> Result<Answer, ApiError> {
    Ok(Answer::empty(StatusCode::NO_CONTENT))
}

/// What those ask who write to the bare `/write`: clients of InfluxDB, which look for its version.
async fn bare_ping() -> Result<Answer, ApiError> {
    Ok(Answer::empty(StatusCode::NO_CONTENT).header("x-influxdb-version", INFLUXDB_VERSION))
}

async fn routes(api: Arc<Api>) -> Result<Answer, ApiError> {
    let mut methods: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for route in api.router.routes() {
        methods.entry(route.path).or_default().push(route.method.as_str());
    }
    Ok(Answer::json(StatusCode::OK, &methods))
}

#[derive(Deserialize)]
struct LogLevel {
    #[serde(default)]
    level: String,
}

async fn set_log_level(api: Arc<Api>, request: Request) -> Result<Answer, ApiError> {
    let wanted: LogLevel = request.object("invalid json: ")?;
    let level = wanted.level.to_lowercase();
    if !["debug", "info", "error"].contains(&&*level) {
        return Err(ApiError::bad_request("invalid log level"));
    }
    api.log.set_level(&level).map_err(ApiError::internal)?;
    Ok(Answer::empty(StatusCode::NO_CONTENT))
}
