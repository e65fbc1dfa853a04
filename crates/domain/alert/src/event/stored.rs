//! Events as they are stored: everything that a handler may ask of one, read back as it was.
//!
//! Numbers are kept as text, so that a float comes back with all of its bits.

use std::borrow::Cow;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use levada_model::{Batch, FieldValue, Group, GroupKey, Point, Series, Shape, Str, Timestamp};
use serde::{Deserialize, Serialize};

use super::{Details, Event, EventData};
use crate::level::Level;

/// Points of one event that are stored; an event with more is stored without its points. Ours: a document has a bound.
const POINTS_MAX: usize = 50_000;

/// How deep aggregated events may nest. Ours: `aggregate` adds one level per topic.
const DEPTH_MAX: usize = 32;

/// A text that is written as it stands in the event, and read as a text of its own.
type Text<'a> = Cow<'a, str>;

/// An event as it is stored.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct StoredEvent<'a> {
    id: Text<'a>,
    message: Text<'a>,
    details: Text<'a>,
    time: i64,
    duration: i64,
    level: Level,
    previous: Level,
    recoverable: bool,
    task: Text<'a>,
    category: Text<'a>,
    group: Text<'a>,
    data: StoredData<'a>,
    hops: u8,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
enum StoredData<'a> {
    None,
    Point(StoredPoint<'a>),
    Batch(StoredBatch<'a>),
    Many(Vec<StoredData<'a>>),
}

#[derive(Debug, Serialize, Deserialize)]
struct StoredPoint<'a> {
    database: Text<'a>,
    retention: Text<'a>,
    name: Text<'a>,
    tags: Vec<(Text<'a>, Text<'a>)>,
    fields: Vec<(Text<'a>, StoredValue<'a>)>,
    time: i64,
}

#[derive(Debug, Serialize, Deserialize)]
struct StoredBatch<'a> {
    name: Text<'a>,
    by_name: Option<Text<'a>>,
    dimensions: Vec<Text<'a>>,
    values: Vec<Text<'a>>,
    group: Text<'a>,
    time: i64,
    points: Vec<StoredPoint<'a>>,
    shown: usize,
}

#[derive(Debug, Serialize, Deserialize)]
enum StoredValue<'a> {
    #[serde(rename = "f")]
    Float(String),
    #[serde(rename = "i")]
    Int(i64),
    #[serde(rename = "u")]
    UInt(u64),
    #[serde(rename = "b")]
    Bool(bool),
    #[serde(rename = "s")]
    Str(Text<'a>),
    #[serde(rename = "x")]
    Bytes(String),
    #[serde(rename = "d")]
    Duration(i64),
    #[serde(rename = "n")]
    Null,
}

// === impl StoredEvent ===

impl<'a> StoredEvent<'a> {
    pub(crate) fn of(event: &'a Event) -> Self {
        let mut room = POINTS_MAX;
        let data = StoredData::of(&event.data, &mut room, 0);
        let data = data.unwrap_or_else(|| {
            let (id, task) = (&event.id, &event.task);
            tracing::warn!(%id, %task, "an event has too many points; it waits without them");
            StoredData::None
        });
        StoredEvent {
            id: text(&event.id),
            message: text(&event.message),
            details: text(event.details.text()),
            time: event.time.0,
            duration: event.duration,
            level: event.level,
            previous: event.previous_level,
            recoverable: event.is_recoverable,
            task: text(&event.task),
            category: text(&event.category),
            group: text(&event.group),
            data,
            hops: event.hops,
        }
    }

    pub(crate) fn into_event(self) -> Event {
        Event {
            id: self.id.into(),
            message: self.message.into(),
            details: Details::from(&*self.details),
            time: Timestamp(self.time),
            duration: self.duration,
            level: self.level,
            previous_level: self.previous,
            is_recoverable: self.recoverable,
            task: self.task.into(),
            category: self.category.into(),
            group: self.group.into(),
            data: self.data.into_data(),
            hops: self.hops,
        }
    }
}

// === impl StoredData ===

impl<'a> StoredData<'a> {
    /// Gives nothing when there is more than `room`.
    fn of(data: &'a EventData, room: &mut usize, depth: usize) -> Option<Self> {
        let mut take = |count: usize| room.checked_sub(count).map(|rest| *room = rest);
        Some(match data {
            EventData::None => StoredData::None,
            EventData::Point(point) => {
                take(1)?;
                StoredData::Point(StoredPoint::of(point))
            }
            EventData::Batch(batch, shown) => {
                take(batch.points.len())?;
                StoredData::Batch(StoredBatch::of(batch, *shown))
            }
            EventData::Many(_) if depth >= DEPTH_MAX => return None,
            EventData::Many(parts) => {
                let parts = parts.iter().map(|part| StoredData::of(part, room, depth + 1));
                StoredData::Many(parts.collect::<Option<_>>()?)
            }
        })
    }

    fn into_data(self) -> EventData {
        match self {
            StoredData::None => EventData::None,
            StoredData::Point(point) => EventData::Point(Arc::new(point.into_point())),
            StoredData::Batch(batch) => {
                let shown = batch.shown;
                EventData::Batch(Arc::new(batch.into_batch()), shown)
            }
            StoredData::Many(parts) => {
                EventData::Many(parts.into_iter().map(StoredData::into_data).collect())
            }
        }
    }
}

// === impl StoredPoint ===

impl<'a> StoredPoint<'a> {
    fn of(point: &'a Point) -> Self {
        let series = &point.series;
        let names = point.shape.names.iter();
        StoredPoint {
            database: text(&series.database),
            retention: text(&series.retention),
            name: text(&series.name),
            tags: series.tags().map(|(key, value)| (text(key), text(value))).collect(),
            fields: names
                .zip(&point.values)
                .map(|(name, value)| (text(name), StoredValue::of(value)))
                .collect(),
            time: point.time.0,
        }
    }

    fn into_point(self) -> Point {
        let (names, values): (Vec<Str>, Vec<FieldValue>) =
            self.fields.into_iter().map(|(name, value)| (name.into(), value.into_value())).unzip();
        Point {
            series: Series::new(
                self.database.into(),
                self.retention.into(),
                self.name.into(),
                self.tags.into_iter().map(|(key, value)| (key.into(), value.into())).collect(),
            ),
            shape: Shape::new(names.into()),
            values: values.into_iter().collect(),
            time: Timestamp(self.time),
        }
    }
}

// === impl StoredBatch ===

impl<'a> StoredBatch<'a> {
    fn of(batch: &'a Batch, shown: usize) -> Self {
        let key = &batch.group.key;
        StoredBatch {
            name: text(&batch.name),
            by_name: key.name.as_ref().map(text),
            dimensions: key.dimensions.iter().map(text).collect(),
            values: key.values.iter().map(text).collect(),
            group: text(&batch.group.id),
            time: batch.time.0,
            points: batch.points.iter().map(StoredPoint::of).collect(),
            shown,
        }
    }

    fn into_batch(self) -> Batch {
        let key = GroupKey {
            name: self.by_name.map(Str::from),
            dimensions: self.dimensions.into_iter().map(Str::from).collect(),
            values: self.values.into_iter().map(Str::from).collect(),
        };
        Batch {
            name: self.name.into(),
            group: Arc::new(Group { slot: 0, key, id: self.group.into() }),
            time: Timestamp(self.time),
            points: self.points.into_iter().map(StoredPoint::into_point).collect(),
        }
    }
}

// === impl StoredValue ===

impl<'a> StoredValue<'a> {
    fn of(value: &'a FieldValue) -> Self {
        match value {
            FieldValue::Float(number) => StoredValue::Float(format!("{number:?}")),
            FieldValue::Int(number) => StoredValue::Int(*number),
            FieldValue::UInt(number) => StoredValue::UInt(*number),
            FieldValue::Bool(value) => StoredValue::Bool(*value),
            FieldValue::Str(value) => StoredValue::Str(text(value)),
            FieldValue::Bytes(bytes) => StoredValue::Bytes(STANDARD.encode(bytes)),
            FieldValue::Duration(nanos) => StoredValue::Duration(*nanos),
            FieldValue::Null => StoredValue::Null,
        }
    }

    fn into_value(self) -> FieldValue {
        match self {
            StoredValue::Float(text) => text.parse().map_or(FieldValue::Null, FieldValue::Float),
            StoredValue::Int(number) => FieldValue::Int(number),
            StoredValue::UInt(number) => FieldValue::UInt(number),
            StoredValue::Bool(value) => FieldValue::Bool(value),
            StoredValue::Str(text) => FieldValue::Str(text.into()),
            StoredValue::Bytes(text) => {
                let bytes = STANDARD.decode(text).unwrap_or_default();
                FieldValue::Bytes(bytes.into())
            }
            StoredValue::Duration(nanos) => FieldValue::Duration(nanos),
            StoredValue::Null => FieldValue::Null,
        }
    }
}

fn text(text: &Str) -> Text<'_> {
    Cow::Borrowed(text)
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use super::*;
    use crate::event::tests::{batch, event, point};

    fn again(event: &Event) -> Event {
        let json = serde_json::to_vec(&StoredEvent::of(event)).unwrap();
        serde_json::from_slice::<StoredEvent>(&json).unwrap().into_event()
    }

    #[test]
    fn an_event_comes_back_with_all_that_handlers_ask_for() {
        let fields = [
            ("z", FieldValue::Float(0.1 + 0.2)),
            ("a", FieldValue::Float(f64::INFINITY)),
            ("i", FieldValue::Int(i64::MIN)),
            ("u", FieldValue::UInt(u64::MAX)),
            ("b", FieldValue::Bool(true)),
            ("s", FieldValue::Str("x\"\u{0}".into())),
            ("x", FieldValue::Bytes(b"\xff\x00".as_slice().into())),
            ("d", FieldValue::Duration(5)),
            ("n", FieldValue::Null),
        ];
        let one = point("m", &[("host", "a"), ("dc", "b")], &fields, 7);
        let grouped = batch("m", &[("host", "a")], 9, vec![one.clone(), one.clone()]);
        let data = [
            EventData::None,
            EventData::Point(Arc::new(one)),
            EventData::Batch(Arc::new(grouped), 1),
        ];
        let many = EventData::Many(data.clone().into());
        for data in data.into_iter().chain([many]) {
            let mut before = event("id", Level::Critical);
            before.previous_level = Level::Warning;
            (before.data, before.hops, before.duration) = (data, 3, 17);
            before.category = "c".into();
            let after = again(&before);
            assert_eq!(after.to_json(), before.to_json());
            let seen = |event: &Event| {
                let tags = event.tags().map(|(k, v)| format!("{k}={v}")).collect::<Vec<_>>();
                let fields = event.fields().map(|(k, v)| format!("{k}={v:?}")).collect::<Vec<_>>();
                (tags, fields, event.name().to_owned(), event.hops, event.category.clone())
            };
            assert_eq!(seen(&after), seen(&before));
            assert_eq!((after.task, after.group), (before.task, before.group));
        }
    }

    #[test]
    fn an_event_with_too_many_points_is_kept_without_them() {
        let one = point("m", &[], &[("v", FieldValue::Int(1))], 7);
        for (count, is_kept) in [(POINTS_MAX, true), (POINTS_MAX + 1, false)] {
            let points = vec![one.clone(); count];
            let mut before = event("id", Level::Critical);
            before.data = EventData::Batch(Arc::new(batch("m", &[], 9, points)), 0);
            let after = again(&before);
            assert_eq!(after.point().is_some(), is_kept, "{count}");
            assert_eq!((after.id, after.message), (before.id, before.message));
        }
    }
}
