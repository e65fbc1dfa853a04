//! Bodies of OTLP/HTTP in Protocol Buffers, metrics and logs, read as points.
//!
//! | OTLP | point |
//! |---|---|
//! | number of a gauge or sum | name of the metric; field `value` |
//! | histogram | fields `count`, `sum`, `min`, `max`, and `bucket_le_<bound>` with the cumulated counts |
//! | summary | fields `count`, `sum`, `quantile_<q>` |
//! | log record | name: `service.name`, or `otel`; fields `message`, `status`, `trace_id`, `span_id` |
//! | attributes of resource and data point | tags; of logs, those that are no texts are fields |
//!
//! An attribute of the data point is stronger than one of the resource. Exponential histograms are stepped over and
//! counted. What a body becomes is bounded by [`ITEMS_MAX`] entries for each point, and by [`tally`](super::tally).
//!
//! Source: opentelemetry-proto 1.x, the field numbers of its messages.

use std::borrow::Cow;
use std::collections::HashSet;

use foldhash::fast::RandomState;
use levada_model::Timestamp;

use super::protobuf::{ITEMS_MAX, ProtobufError};
use super::tally::Tally;
use super::{Entry, Point, Value};
use crate::wire::{Field, Message, WireError};

/// Who takes points, and what was seen on the way.
struct Out<'t, 'b> {
    take: &'t mut dyn FnMut(Point<'b>),
    tally: Tally,
    skipped: u64,
}

/// How deep values may nest.
const DEPTH_MAX: usize = 16;
/// So many attributes are looked through one by one.
const FEW: usize = 16;
/// The name of logs of nobody.
const NOBODY: &str = "otel";

type Attributes<'b> = Vec<(&'b str, Value<'b>)>;

/// Reads an `ExportMetricsServiceRequest` point by point; a point without a time gets `now`. Gives how many data points
/// are of a kind that is no point here.
///
/// - Errors: what follows the points that were taken is no such message, or too much.
pub fn metrics<'b>(
    body: &'b [u8],
    now: Timestamp,
    take: &mut dyn FnMut(Point<'b>),
) -> Result<u64, ProtobufError> {
    let mut out = Out { take, tally: Tally::default(), skipped: 0 };
    each(body, 1, &mut |resource_metrics| {
        let resource = resource(resource_metrics)?;
        each(resource_metrics, 2, &mut |scope| {
            each(scope, 2, &mut |bytes| metric(bytes, &resource, now, &mut out))
        })
    })?;
    Ok(out.skipped)
}

/// Reads an `ExportLogsServiceRequest` record by record; one without a time gets `now`.
///
/// - Errors: what follows the records that were taken is no such message, or too much.
pub fn logs<'b>(
    body: &'b [u8],
    now: Timestamp,
    take: &mut dyn FnMut(Point<'b>),
) -> Result<(), ProtobufError> {
    let mut out = Out { take, tally: Tally::default(), skipped: 0 };
    each(body, 1, &mut |resource_logs| {
        let resource = resource(resource_logs)?;
        each(resource_logs, 2, &mut |scope| {
            each(scope, 2, &mut |bytes| {
                let point = log(bytes, &resource, now)?;
                out.add(point)
            })
        })
    })
}

/// Calls `take` with every message under a number.
fn each<'b>(
    bytes: &'b [u8],
    wanted: u32,
    take: &mut dyn FnMut(&'b [u8]) -> Result<(), ProtobufError>,
) -> Result<(), ProtobufError> {
    let mut message = Message::new(bytes);
    while let Some((number, field)) = message.next()? {
        if number == wanted {
            take(field.bytes(number)?)?;
        }
    }
    Ok(())
}

fn resource(bytes: &[u8]) -> Result<Attributes<'_>, ProtobufError> {
    let mut attributes = Vec::new();
    each(bytes, 1, &mut |resource| {
        each(resource, 1, &mut |pair| attribute(pair, &mut attributes))
    })?;
    Ok(attributes)
}

fn attribute<'b>(pair: &'b [u8], out: &mut Attributes<'b>) -> Result<(), ProtobufError> {
    let (mut message, mut key, mut value) = (Message::new(pair), "", Value::Nil);
    while let Some((number, field)) = message.next()? {
        match number {
            1 => key = field.text(1)?,
            2 => value = any(field.bytes(2)?)?,
            _ => {}
        }
    }
    if out.len() >= ITEMS_MAX {
        return Err(ProtobufError::TooMany);
    }
    if !key.is_empty() && value != Value::Nil {
        out.push((key, value));
    }
    Ok(())
}

/// Reads `AnyValue`; lists and maps become their text, for they may hold anything.
fn any(bytes: &[u8]) -> Result<Value<'_>, ProtobufError> {
    Ok(match nested(bytes, DEPTH_MAX)? {
        value @ (Value::Array(_) | Value::Map(_)) => text_of(&value),
        other => other,
    })
}

fn nested(bytes: &[u8], depth: usize) -> Result<Value<'_>, ProtobufError> {
    if depth == 0 {
        return Err(WireError::Depth.into());
    }
    let (mut message, mut value) = (Message::new(bytes), Value::Nil);
    while let Some((number, field)) = message.next()? {
        value = match number {
            1 => Value::Str(String::from_utf8_lossy(field.bytes(1)?)),
            2 => Value::Bool(field.varint(2)? != 0),
            3 => Value::Int(field.varint(3)? as i64),
            4 => Value::Float(field.double(4)?),
            5 => {
                let mut items = Vec::new();
                each(field.bytes(5)?, 1, &mut |item| {
                    items.push(nested(item, depth - 1)?);
                    Ok(())
                })?;
                Value::Array(items)
            }
            6 => {
                let mut items = Vec::new();
                each(field.bytes(6)?, 1, &mut |pair| {
                    let (mut message, mut key, mut value) = (Message::new(pair), "", Value::Nil);
                    while let Some((number, field)) = message.next()? {
                        match number {
                            1 => key = field.text(1)?,
                            2 => value = nested(field.bytes(2)?, depth - 1)?,
                            _ => {}
                        }
                    }
                    items.push((Cow::Borrowed(key), value));
                    Ok(())
                })?;
                Value::Map(items)
            }
            7 => Value::Bytes(Cow::Borrowed(field.bytes(7)?)),
            _ => continue,
        };
    }
    Ok(value)
}

fn text_of(value: &Value<'_>) -> Value<'static> {
    let mut text = Vec::new();
    super::json::write_value(value, &mut text);
    Value::Str(Cow::Owned(String::from_utf8_lossy(&text).into_owned()))
}

fn metric<'b>(
    bytes: &'b [u8],
    resource: &Attributes<'b>,
    now: Timestamp,
    out: &mut Out<'_, 'b>,
) -> Result<(), ProtobufError> {
    let mut name = "";
    let mut message = Message::new(bytes);
    while let Some((number, field)) = message.next()? {
        if number == 1 {
            name = field.text(1)?;
        }
    }
    let mut message = Message::new(bytes);
    while let Some((number, field)) = message.next()? {
        let read: fn(Field<'b>, u32, &mut Data<'b>) -> Result<(), ProtobufError> = match number {
            5 | 7 => Data::number,
            9 => Data::histogram,
            11 => Data::summary,
            10 => {
                each(field.bytes(10)?, 1, &mut |_| {
                    out.skipped += 1;
                    Ok(())
                })?;
                continue;
            }
            _ => continue,
        };
        each(field.bytes(number)?, 1, &mut |bytes| {
            let mut data = Data::default();
            let mut message = Message::new(bytes);
            while let Some((number, field)) = message.next()? {
                read(field, number, &mut data)?;
            }
            out.add(data.point(name, resource, now))
        })?;
    }
    Ok(())
}

/// A data point of any kind.
#[derive(Default)]
struct Data<'b> {
    attributes: Attributes<'b>,
    time: u64,
    fields: Vec<(Cow<'b, str>, Value<'b>)>,
    counts: Vec<u64>,
    bounds: Vec<u64>,
}

// === impl Data ===

impl<'b> Data<'b> {
    fn field(&mut self, key: impl Into<Cow<'b, str>>, value: Value<'b>) {
        self.fields.push((key.into(), value));
    }

    fn number(field: Field<'b>, number: u32, data: &mut Data<'b>) -> Result<(), ProtobufError> {
        match number {
            3 => data.time = field.fixed64(3)?,
            4 => data.field("value", Value::Float(field.double(4)?)),
            6 => data.field("value", Value::Int(field.fixed64(6)? as i64)),
            7 => attribute(field.bytes(7)?, &mut data.attributes)?,
            _ => {}
        }
        Ok(())
    }

    fn histogram(field: Field<'b>, number: u32, data: &mut Data<'b>) -> Result<(), ProtobufError> {
        match number {
            3 => data.time = field.fixed64(3)?,
            4 => data.field("count", Value::UInt(field.fixed64(4)?)),
            5 => data.field("sum", Value::Float(field.double(5)?)),
            6 => Message::packed64(6, field, &mut data.counts)?,
            7 => Message::packed64(7, field, &mut data.bounds)?,
            9 => attribute(field.bytes(9)?, &mut data.attributes)?,
            11 => data.field("min", Value::Float(field.double(11)?)),
            12 => data.field("max", Value::Float(field.double(12)?)),
            _ => {}
        }
        if data.counts.len().max(data.bounds.len()) > ITEMS_MAX {
            return Err(ProtobufError::TooMany);
        }
        Ok(())
    }

    fn summary(field: Field<'b>, number: u32, data: &mut Data<'b>) -> Result<(), ProtobufError> {
        match number {
            3 => data.time = field.fixed64(3)?,
            4 => data.field("count", Value::UInt(field.fixed64(4)?)),
            5 => data.field("sum", Value::Float(field.double(5)?)),
            6 => {
                let mut message = Message::new(field.bytes(6)?);
                let (mut quantile, mut value) = (0.0, 0.0);
                while let Some((number, field)) = message.next()? {
                    match number {
                        1 => quantile = field.double(1)?,
                        2 => value = field.double(2)?,
                        _ => {}
                    }
                }
                data.field(format!("quantile_{quantile}"), Value::Float(value));
            }
            7 => attribute(field.bytes(7)?, &mut data.attributes)?,
            _ => {}
        }
        Ok(())
    }

    fn point(mut self, name: &'b str, resource: &Attributes<'b>, now: Timestamp) -> Point<'b> {
        let mut entries = Vec::new();
        for (key, value) in strongest(resource, std::mem::take(&mut self.attributes)) {
            entries.push(Entry::tag(key, text_value(value)));
        }
        let mut below = 0_u64;
        for (at, count) in self.counts.iter().enumerate() {
            below = below.saturating_add(*count);
            let key = match self.bounds.get(at) {
                Some(bits) => format!("bucket_le_{}", f64::from_bits(*bits)),
                None => "bucket_le_inf".to_owned(),
            };
            self.fields.push((key.into(), Value::UInt(below)));
        }
        entries.extend(self.fields.into_iter().map(|(key, value)| Entry::field(key, value)));
        let time = time_of(self.time, 0, now);
        Point { name: Cow::Borrowed(name), entries, time, ..Point::default() }
    }
}

fn log<'b>(
    bytes: &'b [u8],
    resource: &Attributes<'b>,
    now: Timestamp,
) -> Result<Point<'b>, ProtobufError> {
    let (mut time, mut observed, mut severity, mut severity_text) = (0, 0, 0, "");
    let (mut own, mut fields) = (Vec::new(), Vec::new());
    let mut message = Message::new(bytes);
    while let Some((number, field)) = message.next()? {
        match number {
            1 => time = field.fixed64(1)?,
            2 => severity = field.varint(2)?,
            3 => severity_text = field.text(3)?,
            5 => {
                let body = text_value(any(field.bytes(5)?)?);
                fields.push(Entry::field("message", Value::Str(body)));
            }
            6 => attribute(field.bytes(6)?, &mut own)?,
            9 | 10 => {
                let id = field.bytes(number)?;
                let key = if number == 9 { "trace_id" } else { "span_id" };
                if !id.is_empty() {
                    let hex: String = id.iter().map(|byte| format!("{byte:02x}")).collect();
                    fields.push(Entry::field(key, Value::Str(hex.into())));
                }
            }
            11 => observed = field.fixed64(11)?,
            _ => {}
        }
    }
    let mut name = Cow::Borrowed(NOBODY);
    let mut entries = Vec::new();
    for (key, value) in strongest(resource, own) {
        match value {
            Value::Str(text) => {
                if key == "service.name" {
                    name = text.clone();
                }
                entries.push(Entry::tag(key, text));
            }
            other => entries.push(Entry::field(key, other)),
        }
    }
    let status = match (severity_text, severity) {
        ("", 1..=4) => "trace".into(),
        ("", 5..=8) => "debug".into(),
        ("", 9..=12) => "info".into(),
        ("", 13..=16) => "warn".into(),
        ("", 17..=20) => "error".into(),
        ("", 21..=24) => "fatal".into(),
        ("", _) => "unknown".into(),
        (text, _) => text.to_lowercase(),
    };
    entries.push(Entry::field("status", Value::Str(status.into())));
    entries.append(&mut fields);
    let time = time_of(time, observed, now);
    Ok(Point { name, entries, time, ..Point::default() })
}

/// Gives the attributes of both, those of the data point where both have one.
fn strongest<'b>(resource: &Attributes<'b>, own: Attributes<'b>) -> Attributes<'b> {
    let mut all: Attributes<'b> = if own.len() <= FEW {
        let has = |key: &str| own.iter().any(|(known, _)| *known == key);
        resource.iter().filter(|(key, _)| !has(key)).cloned().collect()
    } else {
        let keys: HashSet<&str, RandomState> = own.iter().map(|(key, _)| *key).collect();
        resource.iter().filter(|(key, _)| !keys.contains(key)).cloned().collect()
    };
    all.extend(own);
    all
}

fn text_value(value: Value<'_>) -> Cow<'_, str> {
    match value {
        Value::Str(text) => text,
        other => {
            let mut text = Vec::new();
            super::json::write_value(&other, &mut text);
            let text = String::from_utf8_lossy(&text);
            Cow::Owned(text.trim_matches('"').to_owned())
        }
    }
}

fn time_of(time: u64, otherwise: u64, now: Timestamp) -> Timestamp {
    let first = [time, otherwise].into_iter().find(|time| *time > 0);
    first.and_then(|time| i64::try_from(time).ok()).map_or(now, Timestamp)
}

// === impl Out ===

impl<'b> Out<'_, 'b> {
    fn add(&mut self, point: Point<'b>) -> Result<(), ProtobufError> {
        self.tally.add(&point)?;
        (self.take)(point);
        Ok(())
    }
}

#[cfg(test)]
mod tests;
