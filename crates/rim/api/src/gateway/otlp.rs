//! Remote write of Prometheus, and metrics and logs of OpenTelemetry over HTTP.
//!
//! Source: Prometheus remote write 1.0; OTLP 1.x, binary Protocol Buffers. Not taken: remote write 2.0 and OTLP's JSON
//! (415, so that a client may choose the other).

use std::sync::Arc;

use hyper::header::{CONTENT_ENCODING, CONTENT_TYPE};
use hyper::{Method, StatusCode};
use levada_gateway::ingest::{Coding, Format, Write};
use levada_model::Category;

use super::admit::gateway;
use super::take::{coding, take};
use crate::answer::Answer;
use crate::api::Api;
use crate::error::ApiError;
use crate::request::Request;
use crate::router::{Body, Handle, Refuse, Route};

pub(super) const ROUTES: &[Route] = &[
    post("/api/v1/write", |api, request| Box::pin(remote_write(api, request)), refuse_plain),
    post(
        "/v1/metrics",
        |api, request| Box::pin(otlp(api, request, Format::OtlpMetrics, Category::Metric)),
        refuse_status,
    ),
    post(
        "/v1/logs",
        |api, request| Box::pin(otlp(api, request, Format::OtlpLogs, Category::Logging)),
        refuse_status,
    ),
];

const PROTOBUF: &str = "application/x-protobuf";

const fn post(path: &'static str, handle: Handle, refuse: Refuse) -> Route {
    Route::new(Method::POST, path, handle).token().takes(Body::Gateway).refuses(refuse)
}

async fn remote_write(api: Arc<Api>, request: Request) -> Result<Answer, ApiError> {
    let gateway = gateway(&api)?;
    let content_type = header(&request, CONTENT_TYPE.as_str());
    if content_type.contains("io.prometheus.write.v2") {
        let text = "remote write 2.0 is not known here; send prometheus.WriteRequest";
        return Err(ApiError::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, text));
    }
    let (coding, body) = match header(&request, CONTENT_ENCODING.as_str()) {
        "" => (Coding::Snappy, request.body.clone()),
        name => coding(name, &request.body)?,
    };
    let write = Write {
        body,
        coding,
        format: Format::RemoteWrite,
        ..Write::lines(Category::Metric, request.body.clone(), api.clock.now())
    };
    take(gateway, &request, write, "prometheus-remote-write").await?;
    Ok(Answer::empty(StatusCode::NO_CONTENT))
}

async fn otlp(
    api: Arc<Api>,
    request: Request,
    format: Format,
    category: Category,
) -> Result<Answer, ApiError> {
    let gateway = gateway(&api)?;
    if !header(&request, CONTENT_TYPE.as_str()).starts_with(PROTOBUF) {
        let text = format!("only {PROTOBUF} is known here");
        return Err(ApiError::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, text));
    }
    let (coding, body) = coding(header(&request, CONTENT_ENCODING.as_str()), &request.body)?;
    let write = Write {
        body,
        coding,
        format,
        ..Write::lines(category, request.body.clone(), api.clock.now())
    };
    match take(gateway, &request, write, "otlp").await {
        // A request without points is a good one: an empty message is an empty body.
        Err(error) if matches!(error.code, "datakit.emptyBody" | "datakit.noPoints") => {}
        done => drop(done?),
    }
    // All was taken: a message without fields.
    Ok(Answer::bytes(StatusCode::OK, PROTOBUF, Vec::new()))
}

fn header<'r>(request: &'r Request, name: &str) -> &'r str {
    request.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default()
}

fn refuse_plain(error: &ApiError) -> Answer {
    let text = format!("{}\n", error.text);
    error.finish(Answer::bytes(error.status, "text/plain; charset=utf-8", text.into_bytes()))
}

/// Source: OTLP: the message `google.rpc.Status` with code (1) and message (2).
fn refuse_status(error: &ApiError) -> Answer {
    let code: u8 = match error.status {
        StatusCode::UNAUTHORIZED => 16,
        StatusCode::FORBIDDEN => 7,
        StatusCode::TOO_MANY_REQUESTS | StatusCode::PAYLOAD_TOO_LARGE => 8,
        StatusCode::SERVICE_UNAVAILABLE => 14,
        status if status.is_client_error() => 3,
        _ => 13,
    };
    let text = error.text.as_bytes();
    let mut body = vec![8, code, 18];
    let mut length = text.len();
    while length >= 0x80 {
        body.push((length & 0x7f) as u8 | 0x80);
        length >>= 7;
    }
    body.push(length as u8);
    body.extend_from_slice(text);
    error.finish(Answer::bytes(error.status, PROTOBUF, body))
}
