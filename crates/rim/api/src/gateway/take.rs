//! The way of a body into the gateway, whatever its dialect.

use std::sync::Arc;
use std::time::Duration;

use hyper::StatusCode;
use levada_gateway::gateway::Way;
use levada_gateway::ingest::{Coding, Format, Write, WriteError, Written};
use levada_model::{ErrorKind, with_causes};

use super::GatewayApi;
use super::admit::over;
use crate::error::ApiError;
use crate::request::Request;

/// When a body may come again for which there was no room.
const AGAIN: Duration = Duration::from_secs(1);

/// Takes a body for the tenant of a request; `name` is who sends it, for counts.
///
/// - Errors: nothing of it was taken; only when a queue does not work may a part of its copies be, and the text says which.
pub(super) async fn take(
    gateway: &Arc<GatewayApi>,
    request: &Request,
    write: Write,
    name: &str,
) -> Result<Written, ApiError> {
    let tenant = request.user.as_deref().unwrap_or_default();
    gateway.tenants.admit(tenant, request.body.len()).map_err(|more| over(&more))?;
    let (category, format) = (write.category, write.format);
    let rules = gateway.gateway.rules();
    let patience = Some(gateway.patience);
    let written = gateway.gateway.write_on(&Way::default(), write, &gateway.tasks, patience).await;
    let written = written.map_err(|error| refused(&error))?;
    gateway.tenants.charge(tenant, written.points);
    if let Some(metrics) = &gateway.metrics {
        let encoding = match format {
            Format::Lines => "v1",
            Format::Protobuf => "v2",
            Format::Json => "json",
            Format::RemoteWrite | Format::RemoteWriteV2 => "remote-write",
            Format::OtlpMetrics
            | Format::OtlpLogs
            | Format::OtlpMetricsJson
            | Format::OtlpLogsJson => "otlp",
        };
        metrics.written(name, encoding, category, &written, &rules);
    }
    Ok(written)
}

/// Gives the refusal of a body.
pub(super) fn refused(error: &WriteError) -> ApiError {
    let status = match error.kind() {
        ErrorKind::Invalid => StatusCode::BAD_REQUEST,
        ErrorKind::TooLarge => StatusCode::PAYLOAD_TOO_LARGE,
        ErrorKind::Busy | ErrorKind::Unavailable => StatusCode::SERVICE_UNAVAILABLE,
        _ => StatusCode::INTERNAL_SERVER_ERROR,
    };
    let text = with_causes(error);
    let code = match error.code() {
        "emptyBody" => "datakit.emptyBody",
        "noPoints" => "datakit.noPoints",
        "bodyTooLarge" => "datakit.bodyTooLarge",
        "decodeBodyFailed" => "datakit.decodeBodyFailed",
        "invalidLinePoint" => "datakit.invalidLinePoint",
        "invalidJsonPoint" => "datakit.invalidJsonPoint",
        "invalidProtobufPoint" => "datakit.invalidProtobufPoint",
        "pointGotWarning" => "datakit.pointGotWarning",
        "invalidHeader" => "datakit.invalidHeader",
        "queueNotAvailable" => "datakit.queueNotAvailable",
        _ => "datakit.internal",
    };
    let retry_after = (status == StatusCode::SERVICE_UNAVAILABLE).then_some(AGAIN);
    ApiError { retry_after, ..ApiError::new(status, text).code(code) }
}

/// Gives how a body is packed.
///
/// - Errors: in a way that is not known here.
pub(super) fn coding(name: &str) -> Result<Coding, ApiError> {
    Coding::of_name(name).ok_or_else(|| {
        let text = format!("decode body failed: unknown encoding `{name}`");
        ApiError::bad_request(text).code("datakit.decodeBodyFailed")
    })
}
