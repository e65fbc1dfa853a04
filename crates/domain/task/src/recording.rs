//! Recorded data: files of points for stream tasks, files of batches for batch tasks.
//!
//! | part | what it is |
//! |---|---|
//! | [`points`] | `.srpl`: three lines per point, read and written |
//! | [`batches`] | `.brpl`: one file per query node, read and written |
//! | [`files`] | what is around both: gzip and zip |
//!
//! A batch is one line of JSON:
//!
//! ```json
//! {"name":"cpu","tmax":"1970-01-01T00:00:05Z","tags":{"host":"a"},"points":[{"fields":{"v":1},"time":"1970-01-01T00:00:01Z"}]}
//! ```
//!
//! - Source: kapacitor reference §8.6. Numbers are floats, as upstream reads them; the tags of a point default to those of
//!   the batch; `group` is not looked at, since it follows from the tags.
//! - Differs: a point may have `kinds`, which says which of its numbers are none of upstream's floats:
//!   `int`, `uint`, `duration`, and with a value of `null` `NaN`, `+Inf`, `-Inf`. Upstream does not look at it, so it reads
//!   the same file as ever.

pub mod batches;
pub mod files;
pub mod points;
mod quick;
pub(crate) mod quotes;
mod straight;

use std::io::{self, BufRead};

use std::collections::HashMap;
use std::sync::Arc;

use levada_model::{FieldValue, GroupKey, Point, Series, Shape, Str, Timestamp, Values};
use serde_json::{Map, Value as Json};
use thiserror::Error;

/// A batch that was read; its group is made by the task that gets it.
#[derive(Clone, Debug)]
pub struct RecordedBatch {
    /// The measurement.
    pub name: Str,
    /// Dimensions and tags.
    pub key: GroupKey,
    /// `tmax`, raised to the last point when that is later or when it is absent.
    pub time: Timestamp,
    /// The points.
    pub points: Vec<Point>,
}

/// Why recorded data cannot be read.
#[derive(Debug, Error)]
pub enum ReadError {
    /// The file itself.
    #[error("line {line}: the recording cannot be read: {source}")]
    Io {
        /// Which file of an archive, counted from 0.
        input: usize,
        /// The line that is not there whole, counted from 1.
        line: u64,
        /// What went wrong.
        source: io::Error,
    },
    /// A line.
    #[error("line {line}: {text}")]
    Line {
        /// Which file of an archive, counted from 0.
        input: usize,
        /// Counted from 1.
        line: u64,
        /// What is wrong with it.
        text: String,
    },
}

/// A longer line is refused, and so is a longer point.
pub const LINE_BYTES_MAX: usize = 64 << 20;

/// Why a line is no batch.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
#[error("{0}")]
pub struct RecordingError(String);

/// Reads one line; `None` for an empty batch, which recordings skip.
pub fn batch(line: &[u8]) -> Result<Option<RecordedBatch>, RecordingError> {
    let json: Json = serde_json::from_slice(line)
        .or_else(|error| match mended(line) {
            Some(line) => serde_json::from_slice(&line),
            None => Err(error),
        })
        .map_err(|error| RecordingError(format!("not a batch in JSON: {error}")))?;
    let members = json.as_object().ok_or_else(|| wrong("a batch", "an object", &json))?;
    let name: Str = members.get("name").and_then(Json::as_str).unwrap_or_default().into();
    let tags = tags(members.get("tags"))?;
    let by_name = members.get("byname").or_else(|| members.get("byName"));
    let key = key(&name, &tags, by_name.and_then(Json::as_bool).unwrap_or(false));
    let mut points = Vec::new();
    let mut layouts = Layouts::default();
    match members.get("points") {
        None | Some(Json::Null) => {}
        Some(Json::Array(items)) => {
            for item in items {
                points.push(point(item, &name, &tags, &mut layouts)?);
            }
        }
        Some(other) => return Err(wrong("points", "a list", other)),
    }
    let Some(last) = points.iter().map(|point| point.time).max() else { return Ok(None) };
    let written = members.get("tmax").filter(|tmax| !tmax.is_null()).map(time).transpose()?;
    let time = written.map_or(last, |written| written.max(last));
    Ok(Some(RecordedBatch { name, key, time, points }))
}

/// Reads up to the end of a line, or so many bytes, behind what is in the buffer; gives how many. The standard library looks
/// for the end more slowly.
fn read_line(input: &mut impl BufRead, most: usize, buffer: &mut Vec<u8>) -> io::Result<usize> {
    let mut read = 0;
    loop {
        let ahead = match input.fill_buf() {
            Ok(ahead) => ahead,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(error),
        };
        let ahead = &ahead[..ahead.len().min(most - read)];
        let end = memchr::memchr(b'\n', ahead).map(|at| at + 1);
        let used = end.unwrap_or(ahead.len());
        buffer.extend_from_slice(&ahead[..used]);
        input.consume(used);
        read += used;
        if end.is_some() || used == 0 {
            return Ok(read);
        }
    }
}

/// Puts U+FFFD in place of escapes that are half of a character, as Go reads them; nothing when there are none.
fn mended(line: &[u8]) -> Option<Vec<u8>> {
    let escaped = |at: usize| {
        let digits = line.get(at..at + 6)?.strip_prefix(b"\\u")?;
        u16::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()
    };
    let mut mended = None;
    let mut at = 0;
    while let Some(next) = memchr::memchr(b'\\', &line[at..]) {
        at += next;
        at += match escaped(at) {
            Some(0xd800..=0xdbff) if matches!(escaped(at + 6), Some(0xdc00..=0xdfff)) => 12,
            Some(0xd800..=0xdfff) => {
                let mended = mended.get_or_insert_with(|| line.to_vec());
                mended[at + 2..at + 6].copy_from_slice(b"fffd");
                6
            }
            // Whatever it is, what follows the backslash begins nothing.
            _ => 2,
        };
        if at >= line.len() {
            break;
        }
    }
    mended
}

/// Shapes and series of the batch at hand, so that equal ones are shared.
#[derive(Default)]
struct Layouts {
    shapes: HashMap<Vec<Str>, Arc<Shape>>,
    series: HashMap<Vec<(Str, Str)>, Arc<Series>>,
}

fn key(name: &Str, tags: &[(Str, Str)], by_name: bool) -> GroupKey {
    let (dimensions, values): (Vec<Str>, Vec<Str>) = tags.iter().cloned().unzip();
    GroupKey {
        name: by_name.then(|| Str::clone(name)),
        dimensions: dimensions.into(),
        values: values.into(),
    }
}

fn point(
    json: &Json,
    name: &Str,
    batch_tags: &[(Str, Str)],
    layouts: &mut Layouts,
) -> Result<Point, RecordingError> {
    let members = json.as_object().ok_or_else(|| wrong("a point", "an object", json))?;
    let tags = match members.get("tags") {
        None | Some(Json::Null) => batch_tags.to_vec(),
        some => tags(some)?,
    };
    let none = Map::new();
    let fields = match members.get("fields") {
        None | Some(Json::Null) => &none,
        Some(Json::Object(fields)) => fields,
        Some(other) => return Err(wrong("fields", "an object", other)),
    };
    let kinds = members.get("kinds").and_then(Json::as_object).unwrap_or(&none);
    let mut names = Vec::with_capacity(fields.len());
    let mut values = Values::new();
    for (key, value) in fields {
        let kind = kinds.get(key).and_then(Json::as_str);
        let value = match value {
            Json::Null => match kind {
                Some("NaN") => FieldValue::Float(f64::NAN),
                Some("+Inf") => FieldValue::Float(f64::INFINITY),
                Some("-Inf") => FieldValue::Float(f64::NEG_INFINITY),
                _ => continue,
            },
            Json::Number(_) => number(key, value, kind)?,
            Json::String(text) => FieldValue::Str(text.as_str().into()),
            Json::Bool(flag) => FieldValue::Bool(*flag),
            other => return Err(wrong(key, "a number, a string or a boolean", other)),
        };
        names.push(Str::from(key.as_str()));
        values.push(value);
    }
    let time = time(members.get("time").unwrap_or(&Json::Null))?;
    Ok(Point { series: layouts.series(name, tags), shape: layouts.shape(names), values, time })
}

fn number(key: &str, value: &Json, kind: Option<&str>) -> Result<FieldValue, RecordingError> {
    let number = match kind {
        Some("int") => value.as_i64().map(FieldValue::Int),
        Some("uint") => value.as_u64().map(FieldValue::UInt),
        Some("duration") => value.as_i64().map(FieldValue::Duration),
        _ => value.as_f64().map(FieldValue::Float),
    };
    number.ok_or_else(|| wrong(key, kind.unwrap_or("a number"), value))
}

fn tags(json: Option<&Json>) -> Result<Vec<(Str, Str)>, RecordingError> {
    let members = match json {
        None | Some(Json::Null) => return Ok(Vec::new()),
        Some(Json::Object(members)) => members,
        Some(other) => return Err(wrong("tags", "an object", other)),
    };
    let mut tags = members
        .iter()
        .map(|(key, value)| match value {
            Json::String(text) => Ok((Str::from(key.as_str()), Str::from(text.as_str()))),
            other => Err(wrong(key, "a string", other)),
        })
        .collect::<Result<Vec<_>, _>>()?;
    tags.sort();
    Ok(tags)
}

fn time(json: &Json) -> Result<Timestamp, RecordingError> {
    let text = json.as_str().ok_or_else(|| wrong("time", "a time in RFC 3339", json))?;
    let time: jiff::Timestamp =
        text.parse().map_err(|error| RecordingError(format!("time {text:?}: {error}")))?;
    let nanos = i64::try_from(time.as_nanosecond())
        .map_err(|_| RecordingError(format!("time {text:?} is out of range")))?;
    Ok(Timestamp(nanos))
}

fn wrong(what: &str, wanted: &str, got: &Json) -> RecordingError {
    let mut shown = got.to_string();
    if let Some((at, _)) = shown.char_indices().nth(60) {
        shown.truncate(at);
        shown.push('…');
    }
    RecordingError(format!("{what}: wanted {wanted}, got {shown}"))
}

// === impl Layouts ===

impl Layouts {
    fn shape(&mut self, names: Vec<Str>) -> Arc<Shape> {
        if let Some(known) = self.shapes.get(&names) {
            return Arc::clone(known);
        }
        let shape = Shape::new(names.clone().into());
        self.shapes.insert(names, Arc::clone(&shape));
        shape
    }

    fn series(&mut self, name: &Str, tags: Vec<(Str, Str)>) -> Arc<Series> {
        if let Some(known) = self.series.get(&tags) {
            return Arc::clone(known);
        }
        let none = Str::default();
        let series = Series::new(none.clone(), none, Str::clone(name), tags.clone());
        self.series.insert(tags, Arc::clone(&series));
        series
    }
}
