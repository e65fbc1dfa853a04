//! What the templates of an alert see.

use levada_alert::level::Level;
use levada_model::{FieldValue, Group, Point, Str, Timestamp};
use levada_template::{MapLike, StructLike, Time, Value};

use crate::runtime::services::ServerInfo;

/// What is known about an item when a text is rendered; more for the message than for the id, more for details still.
#[derive(Clone, Copy)]
pub struct Facts<'f> {
    /// The measurement.
    pub name: &'f str,
    /// The task.
    pub task: &'f str,
    /// The group.
    pub group: &'f Group,
    /// The tags of the point, or of the batch.
    pub tags: &'f Tags<'f>,
    /// This server.
    pub server: &'f ServerInfo,
    /// The rendered id; with it the rest is known, too.
    pub id: Option<&'f str>,
    /// The fields of the point.
    pub fields: &'f Fields<'f>,
    /// The level.
    pub level: Level,
    /// The time of the event.
    pub time: Timestamp,
    /// Nanoseconds.
    pub duration: i64,
    /// The rendered message; only details have it.
    pub message: Option<&'f str>,
}

/// Tags as a map.
pub enum Tags<'f> {
    /// Of a point.
    Point(&'f Point),
    /// Of a batch.
    Group(&'f Group),
}

/// Fields as a map.
pub struct Fields<'f>(pub Option<&'f Point>);

const ID_FIELDS: &[&str] = &["Name", "TaskName", "Group", "Tags", "ServerInfo"];
const MESSAGE_FIELDS: &[&str] = &[
    "Name",
    "TaskName",
    "Group",
    "Tags",
    "ServerInfo",
    "ID",
    "Fields",
    "Level",
    "Time",
    "Duration",
];
const DETAILS_FIELDS: &[&str] = &[
    "Name",
    "TaskName",
    "Group",
    "Tags",
    "ServerInfo",
    "ID",
    "Fields",
    "Level",
    "Time",
    "Duration",
    "Message",
];

// === impl Facts ===

impl StructLike for Facts<'_> {
    fn type_name(&self) -> &'static str {
        match (self.id, self.message) {
            (None, _) => "kapacitor.idInfo",
            (Some(_), None) => "kapacitor.messageInfo",
            (Some(_), Some(_)) => "kapacitor.detailsInfo",
        }
    }

    fn fields(&self) -> &'static [&'static str] {
        match (self.id, self.message) {
            (None, _) => ID_FIELDS,
            (Some(_), None) => MESSAGE_FIELDS,
            (Some(_), Some(_)) => DETAILS_FIELDS,
        }
    }

    fn field(&self, name: &str) -> Option<Value<'_>> {
        let value = match name {
            "Name" => Value::text(self.name),
            "TaskName" => Value::text(self.task),
            "Group" if self.group.id.is_empty() => Value::text("nil"),
            "Group" => Value::text(&*self.group.id),
            "Tags" => Value::Map(self.tags),
            "ServerInfo" => Value::Struct(self.server),
            _ => {
                let id = self.id?;
                match name {
                    "ID" => Value::text(id),
                    "Fields" => Value::Map(self.fields),
                    "Level" => Value::text(self.level.as_str()),
                    "Time" => Value::Time(Time::utc(self.time)),
                    "Duration" => Value::Duration(self.duration),
                    "Message" => Value::text(self.message?),
                    _ => return None,
                }
            }
        };
        Some(value)
    }
}

// === impl Tags ===

impl Tags<'_> {
    fn at(&self, index: usize) -> (&Str, &Str) {
        match self {
            Tags::Point(point) => (&point.series.keys.names[index], &point.series.values[index]),
            Tags::Group(group) => (&group.key.dimensions[index], &group.key.values[index]),
        }
    }
}

impl MapLike for Tags<'_> {
    fn type_name(&self) -> &'static str {
        "models.Tags"
    }

    fn element_type(&self) -> &'static str {
        "string"
    }

    fn len(&self) -> usize {
        match self {
            Tags::Point(point) => point.series.values.len(),
            Tags::Group(group) => group.key.values.len(),
        }
    }

    fn get(&self, key: &str) -> Option<Value<'_>> {
        let value = match self {
            Tags::Point(point) => point.series.tag(key),
            Tags::Group(group) => group.key.tag(key),
        };
        value.map(|value| Value::text(&**value))
    }

    fn entry(&self, index: usize) -> (&str, Value<'_>) {
        let (key, value) = self.at(index);
        (key, Value::text(&**value))
    }
}

// === impl Fields ===

impl MapLike for Fields<'_> {
    fn type_name(&self) -> &'static str {
        "models.Fields"
    }

    fn len(&self) -> usize {
        self.0.map_or(0, |point| point.values.len())
    }

    fn get(&self, key: &str) -> Option<Value<'_>> {
        self.0?.field(key).map(value)
    }

    fn entry(&self, index: usize) -> (&str, Value<'_>) {
        let Some(point) = self.0 else { return ("", Value::Nil) };
        let at = point.shape.sorted[index] as usize;
        (&point.shape.names[at], value(&point.values[at]))
    }
}

fn value(field: &FieldValue) -> Value<'_> {
    match field {
        FieldValue::Float(number) => Value::Float(*number),
        FieldValue::Int(number) => Value::Int64(*number),
        FieldValue::UInt(number) => Value::Uint64(*number),
        FieldValue::Bool(flag) => Value::Bool(*flag),
        FieldValue::Str(text) => Value::text(&**text),
        FieldValue::Bytes(bytes) => Value::text(String::from_utf8_lossy(bytes)),
        FieldValue::Duration(nanos) => Value::Duration(*nanos),
        FieldValue::Null => Value::Nil,
    }
}

// === impl ServerInfo ===

impl StructLike for ServerInfo {
    fn type_name(&self) -> &'static str {
        "kapacitor.serverInfo"
    }

    fn fields(&self) -> &'static [&'static str] {
        &["Hostname", "ClusterID", "ServerID"]
    }

    fn field(&self, name: &str) -> Option<Value<'_>> {
        Some(match name {
            "Hostname" => Value::text(&*self.hostname),
            "ClusterID" => Value::text(&*self.cluster_id),
            "ServerID" => Value::text(&*self.server_id),
            _ => return None,
        })
    }
}
