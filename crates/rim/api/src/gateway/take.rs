//! The way of a body into the gateway, whatever its dialect.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
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
/// The largest body after `deflate` or `br`, which the gateway does not know itself.
const INFLATED_BYTES_MAX: u64 = 256 << 20;

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

/// Gives how a body is packed and the body, unpacked where the gateway cannot do it.
///
/// - Errors: nobody can.
pub(super) fn coding(name: &str, body: &Bytes) -> Result<(Coding, Bytes), ApiError> {
    let failed = |text: String| ApiError::bad_request(text).code("datakit.decodeBodyFailed");
    if let Some(coding) = Coding::of_name(name) {
        return Ok((coding, body.clone()));
    }
    let unpack: fn(&[u8]) -> Result<Vec<u8>, Inflate> = match name.trim() {
        word if word.eq_ignore_ascii_case("deflate") => inflate,
        word if word.eq_ignore_ascii_case("br") => unbrotli,
        _ => return Err(failed(format!("decode body failed: unknown encoding `{name}`"))),
    };
    match unpack(body) {
        Ok(plain) => Ok((Coding::Identity, plain.into())),
        Err(Inflate::TooLarge) => {
            let text = format!("decode body failed: more than {INFLATED_BYTES_MAX} bytes");
            Err(ApiError::new(StatusCode::PAYLOAD_TOO_LARGE, text).code("datakit.decodeBodyFailed"))
        }
        Err(Inflate::Bad(error)) => Err(failed(format!("decode body failed: {error}"))),
    }
}

enum Inflate {
    TooLarge,
    Bad(std::io::Error),
}

/// Undoes `deflate`, with the header of zlib or, as some send it, without.
fn inflate(body: &[u8]) -> Result<Vec<u8>, Inflate> {
    use std::io::Read as _;
    let mut plain = Vec::new();
    let is_zlib = body.len() > 1
        && body[0] & 0x0f == 8
        && u16::from_be_bytes([body[0], body[1]]).is_multiple_of(31);
    let read = match is_zlib {
        true => flate2::read::ZlibDecoder::new(body)
            .take(INFLATED_BYTES_MAX + 1)
            .read_to_end(&mut plain),
        false => flate2::read::DeflateDecoder::new(body)
            .take(INFLATED_BYTES_MAX + 1)
            .read_to_end(&mut plain),
    };
    match read {
        Ok(bytes) if bytes as u64 > INFLATED_BYTES_MAX => Err(Inflate::TooLarge),
        Ok(_) => Ok(plain),
        Err(error) => Err(Inflate::Bad(error)),
    }
}

/// Undoes `br`. Source: dataway reference §9.2.
fn unbrotli(body: &[u8]) -> Result<Vec<u8>, Inflate> {
    use std::io::Read as _;
    let mut plain = Vec::new();
    let reader = brotli_decompressor::Decompressor::new(body, BROTLI_BUFFER_BYTES);
    match reader.take(INFLATED_BYTES_MAX + 1).read_to_end(&mut plain) {
        Ok(bytes) if bytes as u64 > INFLATED_BYTES_MAX => Err(Inflate::TooLarge),
        Ok(_) => Ok(plain),
        Err(error) => Err(Inflate::Bad(error)),
    }
}

/// What is read at once.
const BROTLI_BUFFER_BYTES: usize = 16 << 10;

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use super::*;

    /// `m f=1i`, in a stream of one block that is not compressed.
    const PLAIN: &[u8] = b"\x8b\x02\x80m f=1i\x03";

    #[test]
    fn brotli_is_undone() {
        let (coding, body) = coding("br", &Bytes::from_static(PLAIN)).unwrap();
        assert_eq!((coding, &body[..]), (Coding::Identity, &b"m f=1i"[..]));
        for bad in [&PLAIN[..5], b"\xff\xff\xff", b""] {
            let error = super::coding("BR", &Bytes::copy_from_slice(bad)).unwrap_err();
            assert_eq!(
                (error.status, error.code),
                (StatusCode::BAD_REQUEST, "datakit.decodeBodyFailed")
            );
        }
        assert!(super::coding("lzma", &Bytes::new()).is_err());
    }
}
