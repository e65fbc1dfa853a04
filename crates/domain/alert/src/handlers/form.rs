//! Trying out a service with the values of a form: they become a handler and an event, and the handler deals with the event.
//!
//! ```text
//! request over defaults ─▶ fields ─┬▶ options of a handler ─▶ start ─┐
//!                                  └▶ event ─────────────────────────┴▶ handle
//! ```
//!
//! - Source: kapacitor: reference (server) §1.11.
//! - Ours: a value that is empty counts as not set, so that the settings of the service hold; secrets among them are not shown.

use std::sync::Arc;

use futures_util::FutureExt as _;
use levada_model::{Batch, FieldValue, Group, GroupKey, Point, Series, Shape, Str, Timestamp};
use levada_runtime::{Clock as _, SystemClock};
use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::deps::HandlerDeps;
use super::kind::{Kind, TestOutcome};
use super::spec::HandlerSpec;
use crate::event::{Details, Event, EventData};
use crate::info::UNGROUPED;
use crate::level::Level;
use crate::services::SectionRule;
use crate::topics::HandlerError;

/// Series, and values per series, of what a form says. Ours: a request is no data set.
const DATA_MAX: usize = 1_000;

/// A value of the form.
#[derive(Clone, Copy, Debug)]
pub(super) struct Field {
    pub(super) name: &'static str,
    pub(super) sample: Sample,
    pub(super) goes: Goes,
}

/// What a value is unless the request says otherwise.
#[derive(Clone, Copy, Debug)]
pub(super) enum Sample {
    Text(&'static str),
    Texts(&'static [&'static str]),
    /// Anything, as JSON.
    Json(&'static str),
    /// An empty object.
    NoEntries,
    /// An option of the section, as it is now.
    Setting(&'static str),
    /// A point of a measurement.
    EventData,
}

/// Where a value goes.
#[derive(Clone, Copy, Debug)]
pub(super) enum Goes {
    /// An option of the handler.
    Option(&'static str),
    Id,
    Message,
    Details,
    /// A level, also as services call it.
    Level,
    Time,
    Topic,
    /// Measurement, task, group, tags, fields and points.
    EventData,
}

/// What a form says of the data of an event. Source: the event of a template, with upper case as there.
#[derive(Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct FormData {
    name: String,
    task_name: String,
    group: String,
    tags: Map<String, Value>,
    fields: Map<String, Value>,
    result: FormResult,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct FormResult {
    series: Option<Vec<FormRow>>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct FormRow {
    name: String,
    tags: Map<String, Value>,
    columns: Vec<String>,
    values: Vec<Vec<Value>>,
}

// === impl Field ===

impl Field {
    pub(super) const fn new(name: &'static str, sample: Sample, goes: Goes) -> Self {
        Field { name, sample, goes }
    }
}

// === impl Sample ===

impl Sample {
    /// A level that everybody notices.
    pub(super) const CRITICAL: Sample = Sample::Text("CRITICAL");

    /// A time that nobody takes for one of now.
    pub(super) const TIME: Sample = Sample::Text("1970-01-01T00:00:01Z");
}

/// Gives the options of the form.
pub(super) fn options(
    section: &'static SectionRule,
    fields: &[Field],
    deps: &HandlerDeps,
) -> Map<String, Value> {
    let mut elements = deps.services.elements(section.name);
    let at = elements.iter().position(|element| element.flag("default")).unwrap_or(0);
    let settings = match at < elements.len() {
        true => elements.swap_remove(at).options,
        false => section.defaults(),
    };
    let value = |sample| match sample {
        Sample::Text(text) => text.into(),
        Sample::Texts(texts) => texts.iter().copied().collect(),
        Sample::Json(text) => serde_json::from_str(text).unwrap_or_default(),
        Sample::NoEntries => json!({}),
        Sample::Setting(name) => settings.get(name).cloned().unwrap_or_default(),
        Sample::EventData => sample_data(),
    };
    fields.iter().map(|field| (field.name.to_owned(), value(field.sample))).collect()
}

/// Tries a service with all values of the form; values that the form does not have are ignored.
///
/// Errors: what the handler says, with the reason as its message.
pub(super) fn run(
    kind: &'static Kind,
    fields: &'static [Field],
    options: Map<String, Value>,
    deps: HandlerDeps,
) -> TestOutcome {
    async move {
        let (spec, event, topic) = read(kind, fields, &options)?;
        let deps = HandlerDeps { topic: topic.into(), ..deps };
        let handler = spec.start(&deps).map_err(invalid)?;
        let outcome = handler.handle(&event).await;
        outcome.map_err(|error| HandlerError { message: error.reason().to_owned(), ..error })
    }
    .boxed()
}

fn invalid(error: impl ToString) -> HandlerError {
    HandlerError::new(error.to_string()).finally()
}

/// Makes a handler, an event and a topic of the values of a form.
fn read(
    kind: &'static Kind,
    fields: &[Field],
    options: &Map<String, Value>,
) -> Result<(HandlerSpec, Event, String), HandlerError> {
    let mut of_handler = Map::new();
    let mut event = event()?;
    let mut topic = String::new();
    for field in fields {
        let Some(value) = options.get(field.name).filter(|value| !is_empty(value)) else {
            continue;
        };
        let text = || {
            let wrong = || invalid(format!("option `{}` must be a text", field.name));
            value.as_str().ok_or_else(wrong)
        };
        match field.goes {
            Goes::Option(name) => {
                of_handler.insert(name.to_owned(), value.clone());
            }
            Goes::Id => event.id = text()?.into(),
            Goes::Message => event.message = text()?.into(),
            Goes::Details => event.details = Details::from(text()?),
            Goes::Level => event.level = level(text()?)?,
            Goes::Time => event.time = time(text()?)?,
            Goes::Topic => topic = text()?.to_owned(),
            Goes::EventData => set_data(&mut event, value)?,
        }
    }
    let spec = HandlerSpec::from_options(kind, &of_handler).map_err(invalid)?;
    Ok((spec, event, topic))
}

fn is_empty(value: &Value) -> bool {
    match value {
        Value::Null | Value::Bool(false) => true,
        Value::String(text) => text.is_empty(),
        Value::Array(items) => items.is_empty(),
        Value::Object(entries) => entries.is_empty(),
        _ => false,
    }
}

/// Makes an event of the sample data, now.
fn event() -> Result<Event, HandlerError> {
    let mut event = Event {
        id: "".into(),
        message: "".into(),
        details: Details::from(""),
        time: SystemClock::new().now(),
        duration: 0,
        level: Level::Ok,
        previous_level: Level::Ok,
        is_recoverable: true,
        task: "".into(),
        category: "".into(),
        group: UNGROUPED.into(),
        data: EventData::None,
        hops: 0,
    };
    set_data(&mut event, &sample_data())?;
    Ok(event)
}

fn level(text: &str) -> Result<Level, HandlerError> {
    match &*text.to_ascii_lowercase() {
        "recovery" => Ok(Level::Ok),
        "informational" => Ok(Level::Info),
        text => text.parse().map_err(invalid),
    }
}

fn time(text: &str) -> Result<Timestamp, HandlerError> {
    let time: Option<jiff::Timestamp> = text.parse().ok();
    let nanos = time.and_then(|time| i64::try_from(time.as_nanosecond()).ok());
    nanos.map(Timestamp).ok_or_else(|| {
        invalid(format!("invalid time `{text}`; for example `1970-01-01T00:00:01Z`"))
    })
}

fn sample_data() -> Value {
    json!({
        "Name": "cpu",
        "TaskName": "testTask",
        "Group": "host=serverA",
        "Tags": {"host": "serverA"},
        "Fields": {"value": 42},
        "Result": {"series": [{
            "name": "cpu",
            "tags": {"host": "serverA"},
            "columns": ["time", "value"],
            "values": [["1970-01-01T00:00:01Z", 42]],
        }]},
    })
}

fn set_data(event: &mut Event, value: &Value) -> Result<(), HandlerError> {
    let data: FormData = serde_json::from_value(value.clone())
        .map_err(|error| invalid(format!("invalid data of an event: {error}")))?;
    if !data.task_name.is_empty() {
        event.task = (&*data.task_name).into();
    }
    if !data.group.is_empty() {
        event.group = (&*data.group).into();
    }
    let rows = data.result.series.unwrap_or_default();
    if rows.len() > DATA_MAX || rows.iter().any(|row| row.values.len() > DATA_MAX) {
        return Err(invalid(format!("more than {DATA_MAX} series or values")));
    }
    let mut parts = rows.iter().map(batch).collect::<Result<Vec<_>, _>>()?;
    event.data = match parts.len() {
        0 => {
            let point = point(&data.name, &data.tags, fields(&data.fields), event.time);
            EventData::Point(Arc::new(point))
        }
        1 => parts.swap_remove(0),
        _ => EventData::Many(parts.into()),
    };
    Ok(())
}

fn fields(fields: &Map<String, Value>) -> Vec<(Str, FieldValue)> {
    fields.iter().map(|(key, value)| (Str::from(&**key), field(value))).collect()
}

fn field(value: &Value) -> FieldValue {
    match value {
        Value::Null => FieldValue::Null,
        Value::Bool(value) => FieldValue::Bool(*value),
        Value::Number(number) => match number.as_i64() {
            Some(number) => FieldValue::Int(number),
            None => FieldValue::Float(number.as_f64().unwrap_or_default()),
        },
        Value::String(text) => FieldValue::Str(Str::from(&**text)),
        other => FieldValue::Str(other.to_string().into()),
    }
}

fn tags(tags: &Map<String, Value>) -> Vec<(Str, Str)> {
    let text = |value: &Value| match value {
        Value::String(text) => Str::from(&**text),
        other => other.to_string().into(),
    };
    let mut tags: Vec<(Str, Str)> =
        tags.iter().map(|(key, value)| (Str::from(&**key), text(value))).collect();
    tags.sort();
    tags
}

fn point(
    name: &str,
    of_point: &Map<String, Value>,
    mut fields: Vec<(Str, FieldValue)>,
    time: Timestamp,
) -> Point {
    fields.sort_by(|(a, _), (b, _)| a.cmp(b));
    fields.dedup_by(|(a, _), (b, _)| a == b);
    let empty = || Str::from("");
    let names: Box<[Str]> = fields.iter().map(|(name, _)| name.clone()).collect();
    Point {
        series: Series::new(empty(), empty(), name.into(), tags(of_point)),
        shape: Shape::new(names),
        values: fields.into_iter().map(|(_, value)| value).collect(),
        time,
    }
}

/// Makes a batch of a row.
fn batch(row: &FormRow) -> Result<EventData, HandlerError> {
    let mut points = Vec::with_capacity(row.values.len());
    for values in &row.values {
        let mut at = Timestamp(0);
        let mut fields = Vec::new();
        for (column, value) in row.columns.iter().zip(values) {
            match (&**column, value) {
                ("time", Value::String(text)) => at = time(text)?,
                ("time", value) => at = Timestamp(value.as_i64().unwrap_or_default()),
                (column, value) => fields.push((Str::from(column), field(value))),
            }
        }
        points.push(point(&row.name, &row.tags, fields, at));
    }
    let (dimensions, values): (Vec<Str>, Vec<Str>) = tags(&row.tags).into_iter().unzip();
    let key = GroupKey { name: None, dimensions: dimensions.into(), values: values.into() };
    let id = key.text().into();
    let time = points.last().map_or(Timestamp(0), |point| point.time);
    let group = Arc::new(Group { slot: 0, key, id });
    let batch = Batch { name: Str::from(&*row.name), group, time, points };
    Ok(EventData::Batch(Arc::new(batch), 0))
}
