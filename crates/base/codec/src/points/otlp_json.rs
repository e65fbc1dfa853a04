//! Bodies of OTLP/HTTP in JSON: written as the messages that they stand for, which [`otlp`](super::otlp) reads.
//!
//! The JSON of OTLP is that of Protocol Buffers with some rules of its own: keys in camel case, ids of traces and spans in
//! hexadecimal, enums as numbers; 64-bit integers may be texts or numbers. What is not known is stepped over.
//!
//! Source: OTLP 1.x, JSON Protobuf Encoding.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Map, Value};
use thiserror::Error;

use crate::wire::{push_bytes, push_fixed64, push_message, push_number};

/// The longest body that is read: its values take many times their text.
pub const JSON_BYTES_MAX: usize = super::json::JSON_BYTES_MAX;

/// Why a body is none.
#[derive(Debug, Error)]
pub enum OtlpJsonError {
    /// It is longer than is read.
    #[error("JSON body of {0} bytes is too large, at most {JSON_BYTES_MAX} are read")]
    TooLarge(usize),
    /// It is no JSON.
    #[error("invalid JSON")]
    Parse(#[source] serde_json::Error),
    /// A value of another type than the schema says.
    #[error("invalid OTLP: `{0}` is no {1}")]
    Type(&'static str, &'static str),
}

/// What a value is written as.
#[derive(Clone, Copy)]
enum Kind {
    Text,
    Bool,
    /// `int64` and enums.
    Integer,
    Fixed64,
    Double,
    /// Base64.
    Bytes,
    /// Hexadecimal.
    Id,
    /// Lists of these are packed.
    PackedFixed64,
    PackedDouble,
    /// Messages, one or a list of them.
    Message(&'static Schema),
}

type Schema = &'static [(&'static str, u8, Kind)];

static ANY: Schema = &[
    ("stringValue", 1, Kind::Text),
    ("boolValue", 2, Kind::Bool),
    ("intValue", 3, Kind::Integer),
    ("doubleValue", 4, Kind::Double),
    ("arrayValue", 5, Kind::Message(&ANY_LIST)),
    ("kvlistValue", 6, Kind::Message(&PAIR_LIST)),
    ("bytesValue", 7, Kind::Bytes),
];
static ANY_LIST: Schema = &[("values", 1, Kind::Message(&ANY))];
static PAIR: Schema = &[("key", 1, Kind::Text), ("value", 2, Kind::Message(&ANY))];
static PAIR_LIST: Schema = &[("values", 1, Kind::Message(&PAIR))];
static RESOURCE: Schema = &[("attributes", 1, Kind::Message(&PAIR))];
static NUMBER: Schema = &[
    ("attributes", 7, Kind::Message(&PAIR)),
    ("timeUnixNano", 3, Kind::Fixed64),
    ("asDouble", 4, Kind::Double),
    ("asInt", 6, Kind::Fixed64),
];
static HISTOGRAM: Schema = &[
    ("attributes", 9, Kind::Message(&PAIR)),
    ("timeUnixNano", 3, Kind::Fixed64),
    ("count", 4, Kind::Fixed64),
    ("sum", 5, Kind::Double),
    ("bucketCounts", 6, Kind::PackedFixed64),
    ("explicitBounds", 7, Kind::PackedDouble),
    ("min", 11, Kind::Double),
    ("max", 12, Kind::Double),
];
static QUANTILE: Schema = &[("quantile", 1, Kind::Double), ("value", 2, Kind::Double)];
static SUMMARY: Schema = &[
    ("attributes", 7, Kind::Message(&PAIR)),
    ("timeUnixNano", 3, Kind::Fixed64),
    ("count", 4, Kind::Fixed64),
    ("sum", 5, Kind::Double),
    ("quantileValues", 6, Kind::Message(&QUANTILE)),
];
static NOTHING: Schema = &[];
static NUMBERS: Schema = &[("dataPoints", 1, Kind::Message(&NUMBER))];
static HISTOGRAMS: Schema = &[("dataPoints", 1, Kind::Message(&HISTOGRAM))];
static EXPONENTIALS: Schema = &[("dataPoints", 1, Kind::Message(&NOTHING))];
static SUMMARIES: Schema = &[("dataPoints", 1, Kind::Message(&SUMMARY))];
static METRIC: Schema = &[
    ("name", 1, Kind::Text),
    ("gauge", 5, Kind::Message(&NUMBERS)),
    ("sum", 7, Kind::Message(&NUMBERS)),
    ("histogram", 9, Kind::Message(&HISTOGRAMS)),
    ("exponentialHistogram", 10, Kind::Message(&EXPONENTIALS)),
    ("summary", 11, Kind::Message(&SUMMARIES)),
];
static METRIC_SCOPE: Schema = &[("metrics", 2, Kind::Message(&METRIC))];
static METRIC_RESOURCE: Schema =
    &[("resource", 1, Kind::Message(&RESOURCE)), ("scopeMetrics", 2, Kind::Message(&METRIC_SCOPE))];
static METRICS: Schema = &[("resourceMetrics", 1, Kind::Message(&METRIC_RESOURCE))];
static LOG: Schema = &[
    ("timeUnixNano", 1, Kind::Fixed64),
    ("observedTimeUnixNano", 11, Kind::Fixed64),
    ("severityNumber", 2, Kind::Integer),
    ("severityText", 3, Kind::Text),
    ("body", 5, Kind::Message(&ANY)),
    ("attributes", 6, Kind::Message(&PAIR)),
    ("traceId", 9, Kind::Id),
    ("spanId", 10, Kind::Id),
];
static LOG_SCOPE: Schema = &[("logRecords", 2, Kind::Message(&LOG))];
static LOG_RESOURCE: Schema =
    &[("resource", 1, Kind::Message(&RESOURCE)), ("scopeLogs", 2, Kind::Message(&LOG_SCOPE))];
static LOGS: Schema = &[("resourceLogs", 1, Kind::Message(&LOG_RESOURCE))];

/// Writes an `ExportMetricsServiceRequest`.
pub fn metrics(text: &[u8]) -> Result<Vec<u8>, OtlpJsonError> {
    message_of(text, METRICS)
}

/// Writes an `ExportLogsServiceRequest`.
pub fn logs(text: &[u8]) -> Result<Vec<u8>, OtlpJsonError> {
    message_of(text, LOGS)
}

fn message_of(text: &[u8], schema: Schema) -> Result<Vec<u8>, OtlpJsonError> {
    if text.len() > JSON_BYTES_MAX {
        return Err(OtlpJsonError::TooLarge(text.len()));
    }
    // The parser bounds how deep values nest.
    let value: Value = serde_json::from_slice(text).map_err(OtlpJsonError::Parse)?;
    let object = value.as_object().ok_or(OtlpJsonError::Type("body", "object"))?;
    let mut out = Vec::with_capacity(text.len());
    write(object, schema, &mut out)?;
    Ok(out)
}

fn write(
    object: &Map<String, Value>,
    schema: Schema,
    out: &mut Vec<u8>,
) -> Result<(), OtlpJsonError> {
    for (key, number, kind) in schema {
        match object.get(*key) {
            None | Some(Value::Null) => {}
            Some(value) => field(key, *number, *kind, value, out)?,
        }
    }
    Ok(())
}

fn field(
    key: &'static str,
    number: u8,
    kind: Kind,
    value: &Value,
    out: &mut Vec<u8>,
) -> Result<(), OtlpJsonError> {
    let wrong = |what| OtlpJsonError::Type(key, what);
    match kind {
        Kind::Text => {
            push_bytes(number, value.as_str().ok_or(wrong("text"))?.as_bytes(), out);
        }
        Kind::Bool => {
            push_number(number, u64::from(value.as_bool().ok_or(wrong("boolean"))?), out);
        }
        Kind::Integer => push_number(number, integer(value).ok_or(wrong("integer"))?, out),
        Kind::Fixed64 => push_fixed64(number, integer(value).ok_or(wrong("integer"))?, out),
        Kind::Double => push_fixed64(number, double(value).ok_or(wrong("number"))?.to_bits(), out),
        Kind::Bytes => {
            let text = value.as_str().ok_or(wrong("text of base64"))?;
            let bytes = STANDARD.decode(text).map_err(|_| wrong("text of base64"))?;
            push_bytes(number, &bytes, out);
        }
        Kind::Id => {
            let id = value.as_str().and_then(hexadecimal).ok_or(wrong("hexadecimal id"))?;
            push_bytes(number, &id, out);
        }
        Kind::PackedFixed64 | Kind::PackedDouble => {
            let mut packed = Vec::new();
            for item in value.as_array().ok_or(wrong("list"))? {
                let bits = match kind {
                    Kind::PackedFixed64 => integer(item),
                    _ => double(item).map(f64::to_bits),
                };
                packed.extend_from_slice(&bits.ok_or(wrong("list of numbers"))?.to_le_bytes());
            }
            push_bytes(number, &packed, out);
        }
        Kind::Message(schema) => {
            let one = std::slice::from_ref(value);
            for item in value.as_array().map_or(one, Vec::as_slice) {
                let object = item.as_object().ok_or(wrong("object"))?;
                let mut result = Ok(());
                push_message(number, out, |out| result = write(object, schema, out));
                result?;
            }
        }
    }
    Ok(())
}

/// Gives an integer, signed or not, as its bits.
fn integer(value: &Value) -> Option<u64> {
    match value {
        Value::Number(number) => number.as_u64().or_else(|| number.as_i64().map(|n| n as u64)),
        Value::String(text) => {
            text.parse::<u64>().ok().or_else(|| text.parse::<i64>().ok().map(|n| n as u64))
        }
        _ => None,
    }
}

fn double(value: &Value) -> Option<f64> {
    match value {
        Value::Number(number) => number.as_f64(),
        Value::String(text) => match text.as_str() {
            "NaN" => Some(f64::NAN),
            "Infinity" => Some(f64::INFINITY),
            "-Infinity" => Some(f64::NEG_INFINITY),
            text => text.parse().ok(),
        },
        _ => None,
    }
}

fn hexadecimal(text: &str) -> Option<Vec<u8>> {
    let (pairs, rest) = text.as_bytes().as_chunks::<2>();
    if !rest.is_empty() {
        return None;
    }
    let digit = |byte: u8| char::from(byte).to_digit(16);
    pairs.iter().map(|[high, low]| Some((digit(*high)? << 4 | digit(*low)?) as u8)).collect()
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use levada_model::Timestamp;

    use super::*;
    use crate::points::line::write_point;
    use crate::points::otlp;

    #[test]
    fn metrics_become_points() {
        let body = r#"{"resourceMetrics":[{"resource":{"attributes":[{"key":"host","value":{"stringValue":"a"}}]},
            "scopeMetrics":[{"scope":{"name":"s"},"metrics":[
              {"name":"m","unit":"1","gauge":{"dataPoints":[{"asDouble":1.5,"timeUnixNano":"1700000000000000000",
                "attributes":[{"key":"n","value":{"intValue":"7"}}]}]}},
              {"name":"c","sum":{"isMonotonic":true,"dataPoints":[{"asInt":"-3","timeUnixNano":1700000000000000001}]}},
              {"name":"h","histogram":{"dataPoints":[{"count":"3","sum":6,"bucketCounts":["1","2"],"explicitBounds":[5],
                "timeUnixNano":"1700000000000000002"}]}},
              {"name":"e","exponentialHistogram":{"dataPoints":[{"count":1}]}},
              {"name":"s","summary":{"dataPoints":[{"count":2,"sum":3,"quantileValues":[{"quantile":0.5,"value":1}],
                "timeUnixNano":"1700000000000000003"}]}}]}]}]}"#;
        let bytes = metrics(body.as_bytes()).unwrap();
        let mut out = Vec::new();
        let take = &mut |point| assert!(write_point(&point, &mut out), "{point:?}");
        let skipped = otlp::metrics(&bytes, Timestamp(5), take).unwrap();
        assert_eq!(
            String::from_utf8(out).unwrap(),
            "m,host=a,n=7 value=1.5 1700000000000000000\nc,host=a value=-3i 1700000000000000001\n\
             h,host=a bucket_le_5=1u,bucket_le_inf=3u,count=3u,sum=6 1700000000000000002\n\
             s,host=a count=2u,quantile_0.5=1,sum=3 1700000000000000003\n"
        );
        assert_eq!(skipped, 1);
    }

    #[test]
    fn logs_become_points() {
        let body = r#"{"resourceLogs":[{"resource":{"attributes":[{"key":"service.name","value":{"stringValue":"shop"}}]},
            "scopeLogs":[{"logRecords":[{"timeUnixNano":"1700000000000000000","severityNumber":17,"body":{"stringValue":"hi"},
              "traceId":"5B8EFFF798038103D269B633813FC60C","spanId":"eee19b7ec3c1b174",
              "attributes":[{"key":"list","value":{"arrayValue":{"values":[{"boolValue":true},{"doubleValue":2.5}]}}}]}]}]}]}"#;
        let bytes = logs(body.as_bytes()).unwrap();
        let mut out = Vec::new();
        let take = &mut |point| assert!(write_point(&point, &mut out), "{point:?}");
        otlp::logs(&bytes, Timestamp(5), take).unwrap();
        assert_eq!(
            String::from_utf8(out).unwrap(),
            "shop,list=[true\\,2.5],service.name=shop message=\"hi\",span_id=\"eee19b7ec3c1b174\",status=\"error\",\
             trace_id=\"5b8efff798038103d269b633813fc60c\" 1700000000000000000\n"
        );
    }

    #[test]
    fn what_is_wrong_is_said() {
        for (body, expected) in [
            ("", "invalid JSON"),
            ("[]", "invalid OTLP: `body` is no object"),
            (r#"{"resourceLogs":[1]}"#, "invalid OTLP: `resourceLogs` is no object"),
            (
                r#"{"resourceLogs":[{"scopeLogs":[{"logRecords":[{"traceId":"xyz"}]}]}]}"#,
                "invalid OTLP: `traceId` is no hexadecimal id",
            ),
            (
                r#"{"resourceLogs":[{"scopeLogs":[{"logRecords":[{"timeUnixNano":1.5}]}]}]}"#,
                "invalid OTLP: `timeUnixNano` is no integer",
            ),
        ] {
            assert_eq!(logs(body.as_bytes()).unwrap_err().to_string(), expected, "{body}");
        }
        assert_eq!(logs(b"{}").unwrap(), b"");
        assert_eq!(logs(br#"{"resourceLogs":null,"more":1}"#).unwrap(), b"");
        let deep = format!("{}{}", "[".repeat(5_000), "]".repeat(5_000));
        assert!(matches!(metrics(deep.as_bytes()), Err(OtlpJsonError::Parse(_))));
        let large = vec![b' '; JSON_BYTES_MAX + 1];
        assert!(matches!(metrics(&large), Err(OtlpJsonError::TooLarge(_))));
    }
}
