//! Levada's own routes: health, metrics, silences, the history of alerts.

mod alerts;
mod gateway;

use std::sync::Arc;

use hyper::{Method, StatusCode};
use levada_telemetry::metrics::CONTENT_TYPE;
use serde::Serialize;

use crate::answer::Answer;
use crate::api::Api;
use crate::error::ApiError;
use crate::router::Route;

/// The table of each group of routes.
pub const ROUTES: &[&[Route]] = &[SERVER, alerts::ROUTES, gateway::ROUTES];

const SERVER: &[Route] = &[
    Route::new(Method::GET, "/health", |api, _| Box::pin(health(api))).open(),
    Route::new(Method::GET, "/metrics", |api, _| Box::pin(metrics(api))),
];

#[derive(Serialize)]
struct HealthAnswer {
    /// `pass` or `degraded`.
    status: &'static str,
    version: String,
    parts: Vec<Part>,
}

#[derive(Serialize)]
struct Part {
    name: String,
    status: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    message: Option<String>,
}

/// Answers 200 while the server serves, and names what does not work.
async fn health(api: Arc<Api>) -> Result<Answer, ApiError> {
    let parts: Vec<Part> = api
        .health
        .look()
        .into_iter()
        .map(|(name, message)| Part { name, status: word(message.is_none()), message })
        .collect();
    let status = word(parts.iter().all(|part| part.message.is_none()));
    let version = api.identity.version.clone();
    Ok(Answer::json(StatusCode::OK, &HealthAnswer { status, version, parts }))
}

fn word(works: bool) -> &'static str {
    if works { "pass" } else { "degraded" }
}

async fn metrics(api: Arc<Api>) -> Result<Answer, ApiError> {
    let text = tokio::task::block_in_place(|| api.metrics.render());
    Ok(Answer::bytes(StatusCode::OK, CONTENT_TYPE, text.into_bytes()))
}
