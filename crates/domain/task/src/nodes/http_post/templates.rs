//! What the templates of httpPost see: `{Name, Tags, Values}`, the last a list of columns by name.

use levada_alert::rows::{Cell, Row, cell};
use levada_model::{FieldValue, Point, Str};
use levada_template::{ListLike, MapLike, SortedTags, StructLike, Template, Time, Value};

/// The address and the body of a request.
#[derive(Debug)]
pub(super) struct Texts {
    url: Template,
    /// Whether the address is the same for all items.
    is_fixed: bool,
    row: Option<Template>,
}

/// The row of an item.
struct Data<'r> {
    row: Row<'r>,
    tags: SortedTags<'r, &'r Str, &'r Str>,
    values: Table<'r>,
}

struct Table<'r>(Vec<Line<'r>>);

struct Line<'r> {
    point: &'r Point,
    columns: &'r [&'r str],
}

/// The column of times.
const TIME: &str = "time";

// === impl Texts ===

impl Texts {
    /// Parses both; an empty `row` gives rows in JSON.
    pub(super) fn new(url: &str, row: &str) -> Result<Self, String> {
        let problem =
            |error: levada_template::ParseError| format!("error in url templating: {error}");
        let url = Template::text("url", url).map_err(problem)?;
        let row = if row.is_empty() {
            None
        } else {
            let parsed = Template::text("row-template", row);
            Some(parsed.map_err(|error| format!("error in row templating: {error}"))?)
        };
        Ok(Texts { is_fixed: !url.source().contains("{{"), url, row })
    }

    /// Says whether the body is made by a template.
    pub(super) fn has_row(&self) -> bool {
        self.row.is_some()
    }

    /// Gives the address and the body for an item.
    pub(super) fn render(&self, row: Row<'_>) -> Result<(String, Vec<u8>), String> {
        if self.is_fixed && self.row.is_none() {
            return Ok((self.url.source().to_owned(), json(row)));
        }
        let mut columns: Vec<&str> = row.columns().into_iter().map(|column| &**column).collect();
        columns.retain(|column| *column != TIME);
        let place = columns.partition_point(|column| *column < TIME);
        columns.insert(place, TIME);
        let lines = row.points().iter().map(|point| Line { point, columns: &columns });
        let tags: Vec<_> = row.tags().collect();
        let data = Data { row, tags: SortedTags(&tags), values: Table(lines.collect()) };
        let render = |template: &Template| {
            let mut text = String::new();
            template
                .execute(&Value::Struct(&data), &mut text)
                .map_err(|error| error.to_string())
                .map(|()| text)
        };
        let url = render(&self.url)?;
        let body = match &self.row {
            Some(template) => render(template)?.into_bytes(),
            None => json(row),
        };
        Ok((url, body))
    }
}

fn json(row: Row<'_>) -> Vec<u8> {
    let mut body = Vec::with_capacity(256);
    levada_alert::rows::write_result([Some(row)], &mut body);
    body.push(b'\n');
    body
}

// === impl Data ===

impl StructLike for Data<'_> {
    fn type_name(&self) -> &'static str {
        "*kapacitor.mappedRow"
    }

    fn fields(&self) -> &'static [&'static str] {
        &["Name", "Tags", "Values"]
    }

    fn field(&self, name: &str) -> Option<Value<'_>> {
        Some(match name {
            "Name" => Value::text(&**self.row.name()),
            "Tags" => Value::Map(&self.tags),
            "Values" => Value::list(&self.values),
            _ => return None,
        })
    }
}

// === impl Table ===

impl ListLike for Table<'_> {
    fn type_name(&self) -> &'static str {
        "[]map[string]interface {}"
    }

    fn len(&self) -> usize {
        self.0.len()
    }

    fn get(&self, index: usize) -> Value<'_> {
        Value::Map(&self.0[index])
    }
}

// === impl Line ===

impl Line<'_> {
    fn value(&self, column: &str) -> Value<'_> {
        if column == TIME {
            return Value::Time(Time::utc(self.point.time));
        }
        match cell(self.point, column) {
            Cell::Field(value) => field(value),
            Cell::Tag(text) => Value::text(&**text),
            Cell::Missing => Value::Nil,
        }
    }
}

impl MapLike for Line<'_> {
    fn len(&self) -> usize {
        self.columns.len()
    }

    fn get(&self, key: &str) -> Option<Value<'_>> {
        self.columns.contains(&key).then(|| self.value(key))
    }

    fn entry(&self, index: usize) -> (&str, Value<'_>) {
        let column = self.columns[index];
        (column, self.value(column))
    }
}

fn field(value: &FieldValue) -> Value<'_> {
    match value {
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
