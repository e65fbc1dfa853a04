//! Events as templates of handlers see them.
//!
//! Source: reference §7.6, *Template data in handlers*.

use levada_model::{Point, Str};
use levada_template::{ListLike, MapLike as _, StructLike, Time, Value};

use super::render::Scope;
use crate::event::{Event, EventData};
use crate::info::{Fields, Tags, field_value};
use crate::rows::{Cell, Row, cell};

/// What options of most handlers see, or recipients of mails.
pub(super) struct EventView<'e> {
    event: &'e Event,
    scope: Scope,
    tags: Tags<'e>,
    fields: Fields<'e>,
}

/// What `post` and `kafka` see: the object that is sent.
pub(super) struct DataView<'e> {
    event: &'e Event,
    data: Data<'e>,
}

struct Data<'e>(Rows<'e>);

struct Rows<'e>(Vec<RowView<'e>>);

struct RowView<'e> {
    name: &'e Str,
    tags: Tags<'e>,
    columns: Columns<'e>,
    values: Table<'e>,
}

struct Columns<'e>(Vec<&'e str>);

struct Table<'e>(Vec<Line<'e>>);

struct Line<'e> {
    point: &'e Point,
    /// Behind `time`.
    columns: Vec<&'e str>,
}

// === impl EventView ===

impl<'e> EventView<'e> {
    pub(super) fn new(event: &'e Event, scope: Scope) -> Self {
        let tags = match &event.data {
            EventData::Point(point) => Tags::Series(&point.series),
            EventData::Batch(batch, _) => Tags::Group(&batch.group.key),
            EventData::None | EventData::Many(_) => Tags::None,
        };
        EventView { event, scope, tags, fields: Fields(event.point()) }
    }
}

impl StructLike for EventView<'_> {
    fn type_name(&self) -> &'static str {
        match self.scope {
            Scope::Mail => "alert.EventData",
            Scope::Event | Scope::Data => "alert.TemplateData",
        }
    }

    fn fields(&self) -> &'static [&'static str] {
        match self.scope {
            Scope::Mail => {
                &["Name", "TaskName", "Category", "Group", "Tags", "Fields", "Recoverable"]
            }
            Scope::Event | Scope::Data => &[
                "ID", "Message", "Level", "Time", "Duration", "Details", "Name", "TaskName",
                "Group", "Tags", "Fields",
            ],
        }
    }

    fn field(&self, name: &str) -> Option<Value<'_>> {
        if !self.fields().contains(&name) {
            return None;
        }
        let event = self.event;
        Some(match name {
            "ID" => Value::from(&*event.id),
            "Message" => Value::from(&*event.message),
            "Level" => Value::from(event.level.as_str()),
            "Time" => Value::Time(Time::utc(event.time)),
            "Duration" => Value::Duration(event.duration),
            "Details" => Value::from(&**event.details.text()),
            "Name" => Value::from(event.name()),
            "TaskName" => Value::from(&*event.task),
            "Category" => Value::from(&*event.category),
            "Group" => Value::from(&*event.group),
            "Tags" => Value::Map(&self.tags),
            "Fields" => Value::Map(&self.fields),
            "Recoverable" => Value::Bool(event.is_recoverable),
            _ => return None,
        })
    }
}

// === impl DataView ===

impl<'e> DataView<'e> {
    pub(super) fn new(event: &'e Event) -> Self {
        let rows = event.data.rows().into_iter().map(RowView::new).collect();
        DataView { event, data: Data(Rows(rows)) }
    }
}

impl StructLike for DataView<'_> {
    fn type_name(&self) -> &'static str {
        "alert.Data"
    }

    fn fields(&self) -> &'static [&'static str] {
        &[
            "ID",
            "Message",
            "Details",
            "Time",
            "Duration",
            "Level",
            "Data",
            "PreviousLevel",
            "Recoverable",
        ]
    }

    fn field(&self, name: &str) -> Option<Value<'_>> {
        let event = self.event;
        Some(match name {
            "ID" => Value::from(&*event.id),
            "Message" => Value::from(&*event.message),
            "Details" => Value::from(&**event.details.text()),
            "Time" => Value::Time(Time::utc(event.time)),
            "Duration" => Value::Duration(event.duration),
            "Level" => Value::from(event.level.as_str()),
            "Data" => Value::Struct(&self.data),
            "PreviousLevel" => Value::from(event.previous_level.as_str()),
            "Recoverable" => Value::Bool(event.is_recoverable),
            _ => return None,
        })
    }

    fn json_key(&self, field: &'static str) -> Option<&'static str> {
        Some(match field {
            "ID" => "id",
            "Message" => "message",
            "Details" => "details",
            "Time" => "time",
            "Duration" => "duration",
            "Level" => "level",
            "Data" => "data",
            "PreviousLevel" => "previousLevel",
            _ => "recoverable",
        })
    }
}

impl StructLike for Data<'_> {
    fn type_name(&self) -> &'static str {
        "models.Result"
    }

    fn fields(&self) -> &'static [&'static str] {
        &["Series"]
    }

    fn field(&self, name: &str) -> Option<Value<'_>> {
        match (name, self.0.0.is_empty()) {
            ("Series", true) => Some(Value::Nil),
            ("Series", false) => Some(Value::list(&self.0)),
            _ => None,
        }
    }

    fn json_key(&self, _field: &'static str) -> Option<&'static str> {
        Some("series")
    }
}

impl ListLike for Rows<'_> {
    fn type_name(&self) -> &'static str {
        "models.Rows"
    }

    fn len(&self) -> usize {
        self.0.len()
    }

    fn get(&self, index: usize) -> Value<'_> {
        Value::Struct(&self.0[index])
    }
}

// === impl RowView ===

impl<'e> RowView<'e> {
    fn new(row: Row<'e>) -> Self {
        let mut columns: Vec<&str> = row.columns().into_iter().map(|name| &**name).collect();
        let line = |point| Line { point, columns: columns.clone() };
        let values = Table(row.points().iter().map(line).collect());
        columns.insert(0, "time");
        let columns = Columns(if values.0.is_empty() { Vec::new() } else { columns });
        let tags = match row {
            Row::Point(point) => Tags::Series(&point.series),
            Row::Batch(batch) => Tags::Group(&batch.group.key),
        };
        RowView { name: row.name(), tags, columns, values }
    }
}

impl StructLike for RowView<'_> {
    fn type_name(&self) -> &'static str {
        "models.Row"
    }

    fn fields(&self) -> &'static [&'static str] {
        &["Name", "Tags", "Columns", "Values"]
    }

    fn field(&self, name: &str) -> Option<Value<'_>> {
        Some(match name {
            "Name" => Value::from(&**self.name),
            "Tags" => Value::Map(&self.tags),
            "Columns" => Value::list(&self.columns),
            "Values" => Value::list(&self.values),
            _ => return None,
        })
    }

    fn json_key(&self, field: &'static str) -> Option<&'static str> {
        match field {
            "Name" => Some("name").filter(|_| !self.name.is_empty()),
            "Tags" => Some("tags").filter(|_| !self.tags.is_empty()),
            "Columns" => Some("columns").filter(|_| !self.columns.0.is_empty()),
            _ => Some("values").filter(|_| !self.values.0.is_empty()),
        }
    }
}

impl ListLike for Columns<'_> {
    fn type_name(&self) -> &'static str {
        "[]string"
    }

    fn len(&self) -> usize {
        self.0.len()
    }

    fn get(&self, index: usize) -> Value<'_> {
        Value::from(self.0[index])
    }
}

impl ListLike for Table<'_> {
    fn type_name(&self) -> &'static str {
        "[][]interface {}"
    }

    fn len(&self) -> usize {
        self.0.len()
    }

    fn get(&self, index: usize) -> Value<'_> {
        Value::list(&self.0[index])
    }
}

impl ListLike for Line<'_> {
    fn len(&self) -> usize {
        self.columns.len() + 1
    }

    fn get(&self, index: usize) -> Value<'_> {
        let Some(column) = index.checked_sub(1).map(|at| self.columns[at]) else {
            return Value::Time(Time::utc(self.point.time));
        };
        match cell(self.point, column) {
            Cell::Field(value) => field_value(value),
            Cell::Tag(text) => Value::from(&**text),
            Cell::Missing => Value::Nil,
        }
    }
}
