//! Writes of InfluxDB clients, version 1 below `/gateway` and version 2.
//!
//! Points are metrics; database, retention policy, organisation and bucket mean nothing here.

use std::sync::Arc;

use hyper::header::CONTENT_ENCODING;
use hyper::{Method, StatusCode};
use levada_codec::line_protocol::Precision;
use levada_codec::points::{Checks, Unit};
use levada_gateway::ingest::Write;
use levada_model::Category;
use serde_json::json;

use super::admit::gateway;
use super::take::{coding, take};
use crate::answer::Answer;
use crate::api::{Api, INFLUXDB_VERSION};
use crate::error::ApiError;
use crate::request::Request;
use crate::router::{Body, Route};

pub(super) const ROUTES: &[Route] = &[
    write_1("/gateway/write"),
    ping(Method::GET, "/gateway/ping"),
    ping(Method::HEAD, "/gateway/ping"),
    query("/gateway/query"),
    Route::new(Method::POST, "/api/v2/write", |api, request| {
        Box::pin(write(api, request, "influx-v2"))
    })
    .token()
    .takes(Body::Gateway)
    .refuses(refuse_2),
];

/// Version 1 where it stands by itself.
pub(super) const BARE: &[Route] =
    &[write_1("/write"), ping(Method::GET, "/ping"), ping(Method::HEAD, "/ping"), query("/query")];

const fn write_1(path: &'static str) -> Route {
    Route::new(Method::POST, path, |api, request| Box::pin(write(api, request, "influx-v1")))
        .token()
        .takes(Body::Gateway)
        .refuses(refuse_1)
}

const fn ping(method: Method, path: &'static str) -> Route {
    Route::new(method, path, |_, _| Box::pin(pong())).open()
}

/// Clients of version 1 make their database before they write.
const fn query(path: &'static str) -> Route {
    Route::new(Method::POST, path, |_, _| Box::pin(nothing())).open()
}

async fn write(api: Arc<Api>, request: Request, name: &str) -> Result<Answer, ApiError> {
    let gateway = gateway(&api)?;
    let precision = match request.query.text("precision") {
        "" | "n" | "ns" => Precision::Nanoseconds,
        "u" | "us" | "µ" => Precision::Microseconds,
        "ms" => Precision::Milliseconds,
        "s" => Precision::Seconds,
        "m" => Precision::Minutes,
        "h" => Precision::Hours,
        other => {
            let text = format!("invalid precision {other:?} (use n, u, ms, s, m or h)");
            return Err(ApiError::bad_request(text));
        }
    };
    let packed = request.headers.get(CONTENT_ENCODING).and_then(|value| value.to_str().ok());
    let write = Write {
        coding: coding(packed.unwrap_or_default())?,
        unit: Unit::Fixed(precision),
        checks: Some(Checks::influx()),
        ..Write::lines(Category::Metric, request.body.clone(), api.clock.now())
    };
    take(gateway, &request, write, name).await?;
    Ok(Answer::empty(StatusCode::NO_CONTENT))
}

async fn pong() -> Result<Answer, ApiError> {
    Ok(Answer::empty(StatusCode::NO_CONTENT).header("x-influxdb-version", INFLUXDB_VERSION))
}

async fn nothing() -> Result<Answer, ApiError> {
    Ok(Answer::compact(StatusCode::OK, &json!({"results": [{"statement_id": 0}]})))
}

fn refuse_1(error: &ApiError) -> Answer {
    let answer = Answer::compact(error.status, &json!({"error": error.text}));
    let line: String = error.text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    error.finish(answer.header("x-influxdb-error", &line))
}

/// Source: InfluxDB 2's API: these words.
fn refuse_2(error: &ApiError) -> Answer {
    let code = match error.status {
        StatusCode::UNAUTHORIZED => "unauthorized",
        StatusCode::FORBIDDEN => "forbidden",
        StatusCode::PAYLOAD_TOO_LARGE => "request too large",
        StatusCode::TOO_MANY_REQUESTS => "too many requests",
        StatusCode::SERVICE_UNAVAILABLE => "unavailable",
        status if status.is_client_error() => "invalid",
        _ => "internal error",
    };
    error.finish(Answer::compact(error.status, &json!({"code": code, "message": error.text})))
}
