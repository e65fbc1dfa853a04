//! Events as they are stored: everything that a handler may ask of one, read back as it was.
//!
//! - They are written in a format without names (`service/packed.rs`), so that members and variants are stored by their order
//!   here: a change is another layout. JSON is only read; earlier versions wrote it, with floats as texts and without
//!   members that say nothing.
//! - A point of a batch says only what is not as in the one before: most share all but times and values.
//! - Default details are made again of the event: they repeat everything it says.

use std::borrow::Cow;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use levada_model::{Batch, FieldValue, Group, GroupKey, Point, Series, Shape, Str, Timestamp};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::{Details, Event, EventData};
use crate::info::ServerInfo;
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
    /// Nothing for default details.
    details: Option<Text<'a>>,
    /// The server that default details name.
    server: Option<StoredServer<'a>>,
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
struct StoredServer<'a> {
    hostname: Text<'a>,
    cluster: Text<'a>,
    id: Text<'a>,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
enum StoredData<'a> {
    None,
    Point(StoredPoint<'a>),
    Batch(StoredBatch<'a>),
    Many(Vec<StoredData<'a>>),
}

/// Has `database` to `tags` unless its series is that of the point before, and `values` in place of `fields` when its shape
/// is.
#[derive(Debug, Serialize, Deserialize)]
struct StoredPoint<'a> {
    database: Option<Text<'a>>,
    retention: Option<Text<'a>>,
    name: Option<Text<'a>>,
    tags: Option<Vec<(Text<'a>, Text<'a>)>>,
    fields: Option<Vec<(Text<'a>, StoredValue<'a>)>>,
    values: Option<StoredValues<'a>>,
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
    points: StoredPoints<'a>,
    shown: usize,
}

/// Written as they stand in the batch.
#[derive(Debug)]
enum StoredPoints<'a> {
    Of(&'a [Point]),
    Read(Vec<StoredPoint<'a>>),
}

/// Written as they stand in the point.
#[derive(Debug)]
enum StoredValues<'a> {
    Of(&'a [FieldValue]),
    Read(Vec<StoredValue<'a>>),
}

#[derive(Debug, Serialize, Deserialize)]
enum StoredValue<'a> {
    /// Nothing for a text that is no number.
    #[serde(rename = "f", with = "float")]
    Float(Option<f64>),
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
        let server = event.details.default_server();
        let server = server.filter(|_| data.is_some() && event.point().is_some());
        debug_assert!(
            server.is_none_or(|server| {
                event.default_details(server).as_deref() == Some(&**event.details.text())
            }),
            "default details are those of the event"
        );
        let data = data.unwrap_or_else(|| {
            let (id, task) = (&event.id, &event.task);
            tracing::warn!(%id, %task, "an event has too many points; it waits without them");
            StoredData::None
        });
        StoredEvent {
            id: text(&event.id),
            message: text(&event.message),
            details: server.is_none().then(|| text(event.details.text())),
            server: server.map(|server| StoredServer::of(server)),
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
        let mut event = Event {
            id: self.id.into(),
            message: self.message.into(),
            details: Details::from(&*self.details.unwrap_or_default()),
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
        };
        if let Some(server) = self.server {
            let server = Arc::new(server.into_info());
            let (shown, named) = (event.clone(), Arc::clone(&server));
            event.details = Details::default_lazy(server, move || {
                shown.default_details(&named).unwrap_or_default()
            });
        }
        event
    }
}

// === impl StoredServer ===

impl<'a> StoredServer<'a> {
    fn of(server: &'a ServerInfo) -> Self {
        StoredServer {
            hostname: Cow::Borrowed(&server.hostname),
            cluster: Cow::Borrowed(&server.cluster_id),
            id: Cow::Borrowed(&server.server_id),
        }
    }

    fn into_info(self) -> ServerInfo {
        ServerInfo {
            hostname: self.hostname.into_owned(),
            cluster_id: self.cluster.into_owned(),
            server_id: self.id.into_owned(),
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
                StoredData::Point(StoredPoint::of(point, None))
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
            StoredData::Point(point) => EventData::Point(Arc::new(point.into_point(None))),
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
    /// - `before`: the point that is read before it.
    fn of(point: &'a Point, before: Option<&Point>) -> Self {
        let is_known = before.is_some_and(|before| Arc::ptr_eq(&before.series, &point.series));
        let series = Some(&point.series).filter(|_| !is_known);
        let is_known = before.is_some_and(|before| Arc::ptr_eq(&before.shape, &point.shape));
        let names = Some(&point.shape.names).filter(|_| !is_known);
        let values = point.values.iter().map(StoredValue::of);
        StoredPoint {
            database: series.map(|series| text(&series.database)),
            retention: series.map(|series| text(&series.retention)),
            name: series.map(|series| text(&series.name)),
            tags: series
                .map(|series| series.tags().map(|(key, value)| (text(key), text(value))).collect()),
            fields: names.map(|names| names.iter().map(text).zip(values).collect()),
            values: is_known.then_some(StoredValues::Of(&point.values)),
            time: point.time.0,
        }
    }

    fn into_point(self, before: Option<&Point>) -> Point {
        let series = match (self.name, before) {
            (None, Some(before)) => Arc::clone(&before.series),
            (name, _) => Series::new(
                self.database.unwrap_or_default().into(),
                self.retention.unwrap_or_default().into(),
                name.unwrap_or_default().into(),
                self.tags
                    .unwrap_or_default()
                    .into_iter()
                    .map(|(key, value)| (key.into(), value.into()))
                    .collect(),
            ),
        };
        let (shape, values) = match (self.fields, before) {
            (None, Some(before)) => {
                let values = self.values.map(StoredValues::into_list).unwrap_or_default();
                (Arc::clone(&before.shape), values)
            }
            (fields, _) => {
                let fields = fields.unwrap_or_default().into_iter();
                let (names, values): (Vec<Str>, Vec<StoredValue<'_>>) =
                    fields.map(|(name, value)| (Str::from(name), value)).unzip();
                (Shape::new(names.into()), values)
            }
        };
        let mut values: Vec<FieldValue> = values.into_iter().map(StoredValue::into_value).collect();
        let count = shape.names.len().min(values.len());
        values.truncate(count);
        // Each value has a name, whatever was stored.
        let shape = match shape.names.len() == count {
            true => shape,
            false => Shape::new(shape.names[..count].into()),
        };
        Point { series, shape, values: values.into_iter().collect(), time: Timestamp(self.time) }
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
            points: StoredPoints::Of(&batch.points),
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
            points: self.points.into_points(),
        }
    }
}

// === impl StoredPoints ===

impl StoredPoints<'_> {
    fn into_points(self) -> Vec<Point> {
        let read = match self {
            StoredPoints::Of(points) => return points.to_vec(),
            StoredPoints::Read(read) => read,
        };
        let mut points: Vec<Point> = Vec::with_capacity(read.len());
        for point in read {
            let point = point.into_point(points.last());
            points.push(point);
        }
        points
    }
}

impl Serialize for StoredPoints<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            StoredPoints::Of(points) => {
                let before = [None].into_iter().chain(points.iter().map(Some));
                let points = points.iter().zip(before);
                serializer.collect_seq(points.map(|(point, before)| StoredPoint::of(point, before)))
            }
            StoredPoints::Read(points) => points.serialize(serializer),
        }
    }
}

impl<'de> Deserialize<'de> for StoredPoints<'_> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Vec::deserialize(deserializer).map(StoredPoints::Read)
    }
}

// === impl StoredValues ===

impl<'a> StoredValues<'a> {
    fn into_list(self) -> Vec<StoredValue<'a>> {
        match self {
            StoredValues::Of(values) => values.iter().map(StoredValue::of).collect(),
            StoredValues::Read(values) => values,
        }
    }
}

impl Serialize for StoredValues<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            StoredValues::Of(values) => serializer.collect_seq(values.iter().map(StoredValue::of)),
            StoredValues::Read(values) => values.serialize(serializer),
        }
    }
}

impl<'de> Deserialize<'de> for StoredValues<'_> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Vec::deserialize(deserializer).map(StoredValues::Read)
    }
}

// === impl StoredValue ===

impl<'a> StoredValue<'a> {
    fn of(value: &'a FieldValue) -> Self {
        match value {
            FieldValue::Float(number) => StoredValue::Float(Some(*number)),
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
            StoredValue::Float(number) => number.map_or(FieldValue::Null, FieldValue::Float),
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

/// A float with all of its bits; a text in JSON, which is only read.
mod float {
    use serde::{Deserialize as _, Deserializer, Serializer};

    use super::Text;

    pub(super) fn serialize<S: Serializer>(
        number: &Option<f64>,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        serializer.serialize_f64(number.unwrap_or(f64::NAN))
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Option<f64>, D::Error> {
        match deserializer.is_human_readable() {
            true => Ok(Text::deserialize(deserializer)?.parse().ok()),
            false => f64::deserialize(deserializer).map(Some),
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
        let bytes = postcard::to_allocvec(&StoredEvent::of(event)).unwrap();
        postcard::from_bytes::<StoredEvent>(&bytes).unwrap().into_event()
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
    fn default_details_are_made_again_of_the_event() {
        let server =
            ServerInfo { hostname: "h\"".into(), cluster_id: "c".into(), server_id: "s".into() };
        let server = Arc::new(server);
        let fields = [("v", FieldValue::Float(0.1)), ("d", FieldValue::Duration(3))];
        let one = point("m", &[("host", "a<b")], &fields, 7);
        let grouped = batch("n", &[("host", "c")], 9, vec![one.clone(), one.clone()]);
        let none = batch("n", &[("host", "c")], 9, Vec::new());
        let point = EventData::Point(Arc::new(one));
        for (data, is_made_again) in [
            (point.clone(), true),
            (EventData::Batch(Arc::new(grouped), 1), true),
            (EventData::Batch(Arc::new(none), 0), false),
            (EventData::Many([point].into()), false),
            (EventData::None, false),
        ] {
            let mut before = event("id", Level::Critical);
            (before.data, before.duration) = (data, 17);
            let text = before.default_details(&server).unwrap_or_else(|| "others".into());
            before.details = Details::default_lazy(Arc::clone(&server), {
                let text = text.clone();
                move || text
            });
            assert_eq!(StoredEvent::of(&before).details.is_none(), is_made_again, "{before:?}");
            let after = again(&before);
            assert_eq!(**after.details.text(), *text);
            // And once more, of the event that was read.
            assert_eq!(**again(&after).details.text(), *text);
        }
    }

    #[test]
    fn points_of_a_batch_say_what_is_new() {
        let fields = |number| [("v", FieldValue::Int(number)), ("w", FieldValue::Float(0.5))];
        let tags = [("host", "a")];
        let first = point("m", &tags, &fields(1), 1);
        let second = Point {
            values: fields(2).map(|(_, value)| value).into_iter().collect(),
            time: Timestamp(2),
            ..first.clone()
        };
        // Equal, and no less than others for not being shared.
        let apart = point("m", &tags, &fields(3), 3);
        let of_others = point("n", &[], &[("s", FieldValue::Str("x".into()))], 4);
        let same_series = Point { series: Arc::clone(&of_others.series), ..first.clone() };
        let points = vec![first, second, apart, of_others, same_series];
        let said = |at: usize| {
            let before = at.checked_sub(1).map(|before| &points[before]);
            let stored = StoredPoint::of(&points[at], before);
            (stored.tags.is_some(), stored.fields.is_some(), stored.values.is_some())
        };
        let expected = [
            (true, true, false),
            (false, false, true),
            (true, true, false),
            (true, true, false),
            (false, true, false),
        ];
        assert_eq!([0, 1, 2, 3, 4].map(said), expected);
        let mut before = event("id", Level::Critical);
        before.data = EventData::Batch(Arc::new(batch("m", &tags, 9, points)), 2);
        let content = |event: &Event| {
            let EventData::Batch(batch, shown) = &event.data else { panic!("no batch") };
            let points = batch.points.iter().map(|point| {
                let (series, fields) = (&point.series, point.fields().collect::<Vec<_>>());
                let tags = series.tags().collect::<Vec<_>>();
                format!("{} {} {tags:?} {fields:?} {}", series.database, series.name, point.time.0)
            });
            (points.collect::<Vec<_>>(), *shown)
        };
        assert_eq!(content(&again(&before)), content(&before));
    }

    #[test]
    fn events_that_earlier_versions_stored_are_read() {
        let json = r#"{"id":"id","message":"m","server":{"hostname":"h","cluster":"c","id":"s"},"time":100,"duration":0,"level":"CRITICAL","previous":"OK","recoverable":true,"task":"t","category":"","group":"host=a","data":{"batch":{"name":"cpu","by_name":null,"dimensions":["host"],"values":["a"],"group":"host=a","time":2,"points":[{"database":"db","retention":"rp","name":"cpu","tags":[["host","a"]],"fields":[["usage",{"f":"91.9"}],["idle",{"f":"NaN"}]],"time":1},{"values":[{"f":"40.2"},{"i":7}],"time":2}],"shown":1}},"hops":0}"#;
        let event = serde_json::from_str::<StoredEvent>(json).unwrap().into_event();
        assert_eq!(
            (&*event.id, event.level, event.previous_level),
            ("id", Level::Critical, Level::Ok)
        );
        let EventData::Batch(batch, 1) = &event.data else { panic!("{event:?}") };
        let fields = batch.points.iter().map(|point| {
            let series =
                format!("{} {:?}", point.series.database, point.series.tags().collect::<Vec<_>>());
            format!("{series} {:?} {}", point.fields().collect::<Vec<_>>(), point.time.0)
        });
        let expected = [
            r#"db [("host", "a")] [("idle", Float(NaN)), ("usage", Float(91.9))] 1"#,
            r#"db [("host", "a")] [("idle", Int(7)), ("usage", Float(40.2))] 2"#,
        ];
        assert_eq!(fields.collect::<Vec<_>>(), expected);
        let server =
            ServerInfo { hostname: "h".into(), cluster_id: "c".into(), server_id: "s".into() };
        assert_eq!(Some(&**event.details.text()), event.default_details(&server).as_deref());
    }

    #[test]
    fn points_that_say_everything_or_too_little_are_read() {
        let read = |points: &str| {
            let text = format!(
                r#"{{"name":"m","by_name":null,"dimensions":[],"values":[],"group":"","time":1,"points":[{points}],"shown":0}}"#
            );
            let batch = serde_json::from_str::<StoredBatch>(&text).unwrap().into_batch();
            let points = batch.points.iter().map(|point| {
                let fields = point.fields().collect::<Vec<_>>();
                format!("{} {fields:?} {}", point.series.name, point.time.0)
            });
            points.collect::<Vec<_>>().join("; ")
        };
        // As earlier versions stored them.
        let old = r#"{"database":"d","retention":"r","name":"m","tags":[["a","b"]],"fields":[["v",{"f":"1.5"}]],"time":1}"#;
        let one = r#"m [("v", Float(1.5))] 1"#;
        assert_eq!(read(&format!("{old},{old}")), format!("{one}; {one}"));
        // Damaged ones.
        let values = r#"{"values":[{"i":1},{"i":2}],"time":2}"#;
        assert_eq!(read(values), " [] 2");
        assert_eq!(read(&format!("{old},{values}")), format!(r#"{one}; m [("v", Int(1))] 2"#));
        let none = r#"{"time":3}"#;
        assert_eq!(read(&format!("{old},{none}")), format!("{one}; m [] 3"));
        let word = old.replace("1.5", "x");
        assert_eq!(read(&word), r#"m [("v", Null)] 1"#);
    }

    #[test]
    fn an_event_with_too_many_points_is_kept_without_them() {
        let one = point("m", &[], &[("v", FieldValue::Int(1))], 7);
        for (count, is_kept) in [(POINTS_MAX, true), (POINTS_MAX + 1, false)] {
            let points = vec![one.clone(); count];
            let mut before = event("id", Level::Critical);
            before.data = EventData::Batch(Arc::new(batch("m", &[], 9, points)), 0);
            let details = before.default_details(&ServerInfo::default()).unwrap();
            before.details = Details::default_lazy(Arc::default(), {
                let details = details.clone();
                move || details
            });
            let after = again(&before);
            assert_eq!(after.point().is_some(), is_kept, "{count}");
            assert_eq!(**after.details.text(), *details, "{count}");
            assert_eq!((after.id, after.message), (before.id, before.message));
        }
    }
}
