//! Points and batches as the rows that alerts, `httpOut` and `httpPost` send.
//!
//! ```text
//! {"name":"cpu","tags":{"host":"a"},"columns":["time","value"],"values":[["1970-01-01T00:00:01Z",61]]}
//! ```
//!
//! A part without content is left out, as InfluxDB does. Source: reference §5.21.

use std::sync::Arc;

use levada_model::{BatchRef, FieldValue, Point, Str};

use crate::json::{write_field, write_key, write_text, write_time};

/// What a row is made of.
#[derive(Clone, Copy, Debug)]
pub enum Row<'p> {
    /// One point with all of its tags.
    Point(&'p Point),
    /// A batch with the tags of its group; other tags are columns.
    Batch(BatchRef<'p>),
}

/// A cell of a row.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Cell<'p> {
    /// A field.
    Field(&'p FieldValue),
    /// A tag.
    Tag(&'p Str),
    /// The point has neither.
    Missing,
}

// === impl Row ===

impl<'p> Row<'p> {
    /// Gives the measurement.
    pub fn name(&self) -> &'p Str {
        match self {
            Row::Point(point) => &point.series.name,
            Row::Batch(batch) => batch.name,
        }
    }

    /// Gives the tags in the order of their keys.
    pub fn tags(&self) -> Box<dyn Iterator<Item = (&'p Str, &'p Str)> + 'p> {
        match *self {
            Row::Point(point) => Box::new(point.series.tags()),
            Row::Batch(batch) => Box::new(batch.group.key.tags()),
        }
    }

    /// Gives the columns behind `time`, sorted: the fields of the first point, and its tags beside those of the group.
    ///
    /// A tag with the name of a field has no column of its own.
    pub fn columns(&self) -> Vec<&'p Str> {
        match *self {
            Row::Point(point) => point.fields().map(|(name, _)| name).collect(),
            Row::Batch(batch) => {
                let Some(first) = batch.points.first() else { return Vec::new() };
                let tags = first.series.keys.names.iter();
                let mut columns: Vec<&Str> =
                    tags.filter(|name| batch.group.key.tag(name).is_none()).collect();
                columns.extend(first.fields().map(|(name, _)| name));
                columns.sort_unstable();
                columns.dedup();
                columns
            }
        }
    }

    /// Gives the points.
    pub fn points(&self) -> &'p [Point] {
        match *self {
            Row::Point(point) => std::slice::from_ref(point),
            Row::Batch(batch) => batch.points,
        }
    }

    /// Appends the row.
    pub fn write(&self, out: &mut Vec<u8>) {
        out.push(b'{');
        let mut comma = Comma::default();
        if !self.name().is_empty() {
            comma.write(out);
            write_key("name", out);
            write_text(self.name(), out);
        }
        let mut tags = self.tags().peekable();
        if tags.peek().is_some() {
            comma.write(out);
            write_key("tags", out);
            out.push(b'{');
            let mut comma = Comma::default();
            for (name, value) in tags {
                comma.write(out);
                write_key(name, out);
                write_text(value, out);
            }
            out.push(b'}');
        }
        if !self.points().is_empty() {
            comma.write(out);
            self.write_table(out);
        }
        out.push(b'}');
    }

    fn write_table(&self, out: &mut Vec<u8>) {
        let columns = self.columns();
        out.extend_from_slice(b"\"columns\":[\"time\"");
        for column in &columns {
            out.push(b',');
            write_text(column, out);
        }
        out.extend_from_slice(b"],\"values\":[");
        let mut comma = Comma::default();
        // Where the columns are in the values of points of a shape; most have the same.
        let (mut shape, mut places) = (None, Vec::with_capacity(columns.len()));
        for point in self.points() {
            if !shape.is_some_and(|known| Arc::ptr_eq(known, &point.shape)) {
                shape = Some(&point.shape);
                places.clear();
                places.extend(columns.iter().map(|column| point.shape.position(column)));
            }
            comma.write(out);
            out.push(b'[');
            write_time(point.time, out);
            for (column, place) in columns.iter().zip(&places) {
                out.push(b',');
                match cell_at(point, column, *place) {
                    Cell::Field(value) => write_field(value, out),
                    Cell::Tag(text) => write_text(text, out),
                    Cell::Missing => out.extend_from_slice(b"null"),
                }
            }
            out.push(b']');
        }
        out.push(b']');
    }
}

/// Gives what a point has under a column that is not `time`.
pub fn cell<'p>(point: &'p Point, column: &str) -> Cell<'p> {
    cell_at(point, column, point.shape.position(column))
}

/// - `place`: where the column is in the values of points of this shape.
fn cell_at<'p>(point: &'p Point, column: &str, place: Option<usize>) -> Cell<'p> {
    match place {
        Some(at) => Cell::Field(&point.values[at]),
        None => point.series.tag(column).map_or(Cell::Missing, Cell::Tag),
    }
}

/// Appends `{"series":[…]}`, or `{"series":null}` when there is no row; a row may be missing.
pub fn write_result<'p>(rows: impl IntoIterator<Item = Option<Row<'p>>>, out: &mut Vec<u8>) {
    out.extend_from_slice(b"{\"series\":");
    let mut rows = rows.into_iter().peekable();
    if rows.peek().is_none() {
        out.extend_from_slice(b"null}");
        return;
    }
    out.push(b'[');
    let mut comma = Comma::default();
    for row in rows {
        comma.write(out);
        match row {
            Some(row) => row.write(out),
            None => out.extend_from_slice(b"null"),
        }
    }
    out.extend_from_slice(b"]}");
}

/// Writes a comma before every item but the first.
#[derive(Default)]
struct Comma(bool);

impl Comma {
    fn write(&mut self, out: &mut Vec<u8>) {
        if self.0 {
            out.push(b',');
        }
        self.0 = true;
    }
}
