//! Remote write of Prometheus, and metrics and logs of OpenTelemetry over HTTP.
//!
//! Source: Prometheus remote write 1.0 and 2.0; OTLP 1.x, Protocol Buffers and JSON.

use std::sync::Arc;

use hyper::header::{CONTENT_ENCODING, CONTENT_TYPE};
use hyper::{Method, StatusCode};
use levada_gateway::ingest::{Coding, Format, Write, Written};
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
        |api, request| Box::pin(otlp(api, request, Category::Metric)),
        refuse_status,
    ),
    post("/v1/logs", |api, request| Box::pin(otlp(api, request, Category::Logging)), refuse_status),
];

/// What a receiver of remote write 2.0 says, and whether it is the number of samples; others are not kept here.
const WRITTEN: [(&str, bool); 3] = [
    ("x-prometheus-remote-write-samples-written", true),
    ("x-prometheus-remote-write-histograms-written", false),
    ("x-prometheus-remote-write-exemplars-written", false),
];
/// The message of remote write 1.0.
const FIRST: &str = "prometheus.WriteRequest";
const JSON: &str = "application/json";
const PROTOBUF: &str = "application/x-protobuf";

const fn post(path: &'static str, handle: Handle, refuse: Refuse) -> Route {
    Route::new(Method::POST, path, handle).token().takes(Body::Gateway).refuses(refuse)
}

async fn remote_write(api: Arc<Api>, request: Request) -> Result<Answer, ApiError> {
    let gateway = gateway(&api)?;
    let content_type = header(&request, CONTENT_TYPE.as_str());
    let is_second = content_type.contains("io.prometheus.write.v2.Request");
    if content_type.contains("proto=") && !is_second && !content_type.contains(FIRST) {
        let text = format!("`{content_type}` is not known here, send {FIRST}");
        return Err(ApiError::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, text));
    }
    let coding = match header(&request, CONTENT_ENCODING.as_str()) {
        "" => Coding::Snappy,
        name => coding(name)?,
    };
    let write = Write {
        coding,
        format: if is_second { Format::RemoteWriteV2 } else { Format::RemoteWrite },
        ..Write::lines(Category::Metric, request.body.clone(), api.clock.now())
    };
    let written = match take(gateway, &request, write, "prometheus-remote-write").await {
        // Prometheus sends what it knows of metrics by itself, without a sample.
        Err(error) if error.code == "datakit.noPoints" => Written::default(),
        written => written?,
    };
    let answer = Answer::empty(StatusCode::NO_CONTENT);
    if !is_second {
        return Ok(answer);
    }
    // Senders of 2.0 take the absence of these for a receiver that has written nothing.
    let samples = written.samples.to_string();
    Ok(WRITTEN.into_iter().fold(answer, |answer, (name, is_samples)| {
        answer.header(name, if is_samples { &samples } else { "0" })
    }))
}

async fn otlp(api: Arc<Api>, request: Request, category: Category) -> Result<Answer, ApiError> {
    let content_type = header(&request, CONTENT_TYPE.as_str());
    let media_type = content_type.split(';').next().unwrap_or_default().trim();
    let is_json = media_type.eq_ignore_ascii_case(JSON);
    if !is_json && !media_type.eq_ignore_ascii_case(PROTOBUF) {
        let text = format!("only {PROTOBUF} and {JSON} are known here");
        return Err(ApiError::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, text));
    }
    let format = match (category, is_json) {
        (Category::Metric, false) => Format::OtlpMetrics,
        (Category::Metric, true) => Format::OtlpMetricsJson,
        (_, false) => Format::OtlpLogs,
        (_, true) => Format::OtlpLogsJson,
    };
    // An answer is written as its request. All was taken: a message without fields.
    match (take_otlp(&api, &request, category, format).await, is_json) {
        (Ok(()), true) => Ok(Answer::bytes(StatusCode::OK, JSON, b"{}".to_vec())),
        (Ok(()), false) => Ok(Answer::bytes(StatusCode::OK, PROTOBUF, Vec::new())),
        (Err(error), true) => Ok(refuse_json(&error)),
        (Err(error), false) => Err(error),
    }
}

async fn take_otlp(
    api: &Api,
    request: &Request,
    category: Category,
    format: Format,
) -> Result<(), ApiError> {
    let gateway = gateway(api)?;
    let write = Write {
        coding: coding(header(request, CONTENT_ENCODING.as_str()))?,
        format,
        ..Write::lines(category, request.body.clone(), api.clock.now())
    };
    match take(gateway, request, write, "otlp").await {
        // A request without points is a good one: an empty message is an empty body.
        Err(error) if matches!(error.code, "datakit.emptyBody" | "datakit.noPoints") => Ok(()),
        done => done.map(drop),
    }
}

fn header<'r>(request: &'r Request, name: &str) -> &'r str {
    request.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default()
}

fn refuse_plain(error: &ApiError) -> Answer {
    let text = format!("{}\n", error.text);
    error.finish(Answer::bytes(error.status, "text/plain; charset=utf-8", text.into_bytes()))
}

/// Source: OTLP: the message `google.rpc.Status`.
fn refuse_json(error: &ApiError) -> Answer {
    let status = serde_json::json!({"code": code_of(error), "message": error.text});
    error.finish(Answer::bytes(error.status, JSON, status.to_string().into_bytes()))
}

/// Source: OTLP: the message `google.rpc.Status` with code (1) and message (2).
fn refuse_status(error: &ApiError) -> Answer {
    let text = error.text.as_bytes();
    let mut body = vec![8, code_of(error), 18];
    let mut length = text.len();
    while length >= 0x80 {
        body.push((length & 0x7f) as u8 | 0x80);
        length >>= 7;
    }
    body.push(length as u8);
    body.extend_from_slice(text);
    error.finish(Answer::bytes(error.status, PROTOBUF, body))
}

/// Gives the code of gRPC that says the same as a status.
fn code_of(error: &ApiError) -> u8 {
    match error.status {
        StatusCode::UNAUTHORIZED => 16,
        StatusCode::FORBIDDEN => 7,
        StatusCode::TOO_MANY_REQUESTS | StatusCode::PAYLOAD_TOO_LARGE => 8,
        StatusCode::SERVICE_UNAVAILABLE => 14,
        status if status.is_client_error() => 3,
        _ => 13,
    }
}
