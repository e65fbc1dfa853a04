//! JSON bodies: a list of points, each in one of two shapes.
//!
//! ```json
//! [{"measurement":"abc","tags":{"t":"b"},"fields":{"f":1},"time":1624550216},
//!  {"name":"abc","fields":[{"key":"i","i":"12"},{"key":"t","s":"v","is_tag":true}],"time":"1709523668830398000"}]
//! ```
//! In the first all numbers are floats; the second is the JSON of Protocol Buffers, in which 64-bit integers are texts.

use std::borrow::Cow;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use levada_model::text::encode_string;
use levada_model::tree::ParseError;
use levada_model::{NodeId, NodeKind, Timestamp, Tree, float};
use thiserror::Error;

use super::{Details, Entry, METRIC_TYPES, Point, Remark, Unit, Value};

/// The longest body that is read: its values take many times their text.
pub const JSON_BYTES_MAX: usize = 16 << 20;

/// Why a body is no list of points.
#[derive(Debug, Error)]
pub enum JsonError {
    /// It is longer than is read.
    #[error("JSON body of {0} bytes is too large, at most {JSON_BYTES_MAX} are read")]
    TooLarge(usize),
    /// It is no JSON.
    #[error("invalid JSON")]
    Parse(#[source] ParseError),
    /// It is JSON of something else.
    #[error("invalid JSON point: {0}")]
    Shape(String),
}

/// A body that was parsed.
#[derive(Debug)]
pub struct Document<'b> {
    text: &'b [u8],
    tree: Tree,
    root: NodeId,
}

/// A value with what is needed to look into it.
#[derive(Clone, Copy)]
struct Place<'d, 'b> {
    document: &'d Document<'b>,
    id: NodeId,
}

// === impl Document ===

impl<'b> Document<'b> {
    /// Parses a body.
    pub fn parse(text: &'b [u8]) -> Result<Self, JsonError> {
        if text.len() > JSON_BYTES_MAX {
            return Err(JsonError::TooLarge(text.len()));
        }
        let mut tree = Tree::default();
        let root = tree.parse(text, 0, text.len() as u32).map_err(JsonError::Parse)?;
        if tree.kind(root) != NodeKind::Array {
            return Err(JsonError::Shape("the body is no array".to_owned()));
        }
        Ok(Document { text, tree, root })
    }

    /// Gives the points; one without a time gets `now`.
    ///
    /// `unit` is that of the first shape; the second counts nanoseconds.
    pub fn points(
        &self,
        unit: Unit,
        now: Timestamp,
    ) -> impl Iterator<Item = Result<Point<'_>, JsonError>> {
        self.tree.children(self.root).map(move |id| {
            let place = Place { document: self, id };
            match place.member("measurement") {
                Some(name) => simple(place, name, unit, now),
                None => full(place, now),
            }
        })
    }
}

// === impl Place ===

impl<'d> Place<'d, '_> {
    fn kind(self) -> NodeKind {
        self.document.tree.kind(self.id)
    }

    fn member(self, key: &str) -> Option<Self> {
        if self.kind() != NodeKind::Object {
            return None;
        }
        let id = self.document.tree.member(self.document.text, self.id, key.as_bytes())?;
        let place = Place { id, ..self };
        (place.kind() != NodeKind::Null).then_some(place)
    }

    fn children(self) -> impl Iterator<Item = Self> {
        self.document.tree.children(self.id).map(move |id| Place { id, ..self })
    }

    fn key(self) -> Cow<'d, str> {
        self.document.tree.key(self.document.text, self.id).unwrap_or_default()
    }

    fn text(self) -> Option<Cow<'d, str>> {
        self.document.tree.string(self.document.text, self.id)
    }

    /// Gives a number, or the text that stands for one.
    fn digits(self) -> Option<Cow<'d, str>> {
        match self.kind() {
            NodeKind::String => self.text(),
            NodeKind::Number => {
                self.document.tree.literal(self.document.text, self.id).map(Cow::Borrowed)
            }
            _ => None,
        }
    }

    fn number<T: std::str::FromStr>(self, what: &str) -> Result<T, JsonError> {
        self.digits()
            .and_then(|digits| digits.parse().ok())
            .ok_or_else(|| JsonError::Shape(format!("`{what}` is no number of its type")))
    }

    fn demand_text(self, what: &str) -> Result<Cow<'d, str>, JsonError> {
        self.text().ok_or_else(|| JsonError::Shape(format!("`{what}` is no string")))
    }
}

fn simple<'d>(
    place: Place<'d, '_>,
    name: Place<'d, '_>,
    unit: Unit,
    now: Timestamp,
) -> Result<Point<'d>, JsonError> {
    let mut point = Point { name: name.demand_text("measurement")?, time: now, ..Point::default() };
    if let Some(tags) = place.member("tags") {
        for tag in tags.children() {
            let key = tag.key();
            let value = tag.demand_text(&key)?;
            point.entries.push(Entry::tag(key, value));
        }
    }
    if let Some(fields) = place.member("fields") {
        for field in fields.children() {
            let key = field.key();
            let value = simple_value(field, true).ok_or_else(|| {
                JsonError::Shape(format!("field `{key}` has no value of a point"))
            })?;
            point.entries.push(Entry::field(key, value));
        }
    }
    if let Some(time) = place.member("time") {
        let number = time.number("time")?;
        point.time = unit
            .time(number)
            .ok_or_else(|| JsonError::Shape(format!("time out of range: {number}")))?;
    }
    Ok(point)
}

fn simple_value<'d>(place: Place<'d, '_>, may_nest: bool) -> Option<Value<'d>> {
    Some(match place.kind() {
        NodeKind::Null => Value::Nil,
        NodeKind::True => Value::Bool(true),
        NodeKind::False => Value::Bool(false),
        NodeKind::Number => Value::Float(place.digits()?.parse().ok()?),
        NodeKind::String => Value::Str(place.text()?),
        NodeKind::Array if may_nest => {
            let items = place.children().map(|item| simple_value(item, false));
            let items: Vec<Value<'_>> = items.collect::<Option<_>>()?;
            let first = items.first().map(std::mem::discriminant);
            // Lists have one type. Source: B49.
            if items.iter().any(|item| Some(std::mem::discriminant(item)) != first) {
                return None;
            }
            Value::Array(items)
        }
        NodeKind::Object if may_nest => {
            let items = place.children().map(|item| Some((item.key(), simple_value(item, false)?)));
            Value::Map(items.collect::<Option<_>>()?)
        }
        _ => return None,
    })
}

fn full<'d>(place: Place<'d, '_>, now: Timestamp) -> Result<Point<'d>, JsonError> {
    let name = place.member("name").ok_or_else(|| {
        JsonError::Shape("an element has neither `measurement` nor `name`".to_owned())
    })?;
    let mut point = Point { name: name.demand_text("name")?, time: now, ..Point::default() };
    if let Some(fields) = place.member("fields") {
        for field in fields.children() {
            point.entries.push(full_entry(field)?);
        }
    }
    if let Some(time) = place.member("time") {
        match time.number("time")? {
            0 => {}
            time => point.time = Timestamp(time),
        }
    }
    if let Some(warnings) = place.member("warns") {
        for warning in warnings.children() {
            let text = |key: &str| warning.member(key).and_then(Place::text).unwrap_or_default();
            point.warnings.push(Remark { kind: text("type"), message: text("message") });
        }
    }
    if let Some(debugs) = place.member("debugs") {
        let texts = debugs.children().filter_map(|debug| debug.member("info")?.text());
        point.debugs.extend(texts);
    }
    Ok(point)
}

fn full_entry<'d>(place: Place<'d, '_>) -> Result<Entry<'d>, JsonError> {
    let key = place
        .member("key")
        .ok_or_else(|| JsonError::Shape("a field has no `key`".to_owned()))?
        .demand_text("key")?;
    let mut entry = Entry::field(key, basic(place)?);
    if let Some(any) = place.member("a") {
        entry.value = full_any(any)?;
    }
    entry.is_tag = ["is_tag", "isTag"]
        .iter()
        .any(|key| place.member(key).is_some_and(|it| it.kind() == NodeKind::True));
    let mut details = Details::default();
    if let Some(metric_type) = place.member("type") {
        let word = metric_type.digits().unwrap_or_default();
        let known = METRIC_TYPES.iter().position(|known| *known == word);
        details.metric_type = match known {
            Some(number) => number as i32,
            None => word.parse().map_err(|_| JsonError::Shape(format!("unknown type `{word}`")))?,
        };
    }
    if let Some(unit) = place.member("unit") {
        details.unit = unit.demand_text("unit")?;
    }
    if let Some(description) = place.member("description") {
        details.description = description.demand_text("description")?;
    }
    if details != Details::default() {
        entry.details = Some(Box::new(details));
    }
    Ok(entry)
}

/// Reads the value of an object that has it under a letter.
fn basic<'d>(place: Place<'d, '_>) -> Result<Value<'d>, JsonError> {
    let mut value = Value::Nil;
    if let Some(number) = place.member("i") {
        value = Value::Int(number.number("i")?);
    }
    if let Some(number) = place.member("u") {
        value = Value::UInt(number.number("u")?);
    }
    if let Some(number) = place.member("f") {
        // `NaN`, `Infinity` and `-Infinity` are texts.
        value = Value::Float(number.number("f")?);
    }
    if let Some(truth) = place.member("b") {
        value = Value::Bool(match truth.kind() {
            NodeKind::True => true,
            NodeKind::False => false,
            _ => return Err(JsonError::Shape("`b` is no boolean".to_owned())),
        });
    }
    if let Some(bytes) = place.member("d") {
        let text = bytes.demand_text("d")?;
        let bytes = STANDARD.decode(&*text);
        let bytes = bytes.map_err(|_| JsonError::Shape("`d` is no base64".to_owned()))?;
        value = Value::Bytes(bytes.into());
    }
    if let Some(text) = place.member("s") {
        value = Value::Str(text.demand_text("s")?);
    }
    Ok(value)
}

fn full_any<'d>(place: Place<'d, '_>) -> Result<Value<'d>, JsonError> {
    if let Some(items) = place.member("arr") {
        return Ok(Value::Array(items.children().map(basic).collect::<Result<_, _>>()?));
    }
    if let Some(items) = place.member("map") {
        let items = items.children().map(|item| Ok((item.key(), basic(item)?)));
        return Ok(Value::Map(items.collect::<Result<_, JsonError>>()?));
    }
    match place.member("@type").and_then(Place::text).as_deref() {
        Some("type.googleapis.com/point.Array") => Ok(Value::Array(Vec::new())),
        Some("type.googleapis.com/point.Map") => Ok(Value::Map(Vec::new())),
        _ => Err(JsonError::Shape("`a` is neither a list nor a map".to_owned())),
    }
}

/// Appends points in the first shape.
pub fn write_simple<'p>(points: impl Iterator<Item = &'p Point<'p>>, out: &mut Vec<u8>) {
    list(b'[', b']', points, out, |point, out| {
        out.extend_from_slice(b"{\"measurement\":");
        encode_string(&point.name, out);
        out.extend_from_slice(b",\"tags\":");
        let of_kind = |is_tag| point.entries.iter().filter(move |entry| entry.is_tag == is_tag);
        let member = |entry: &Entry<'_>, out: &mut Vec<u8>| {
            encode_string(&entry.key, out);
            out.push(b':');
            write_value(&entry.value, out);
        };
        list(b'{', b'}', of_kind(true), out, member);
        out.extend_from_slice(b",\"fields\":");
        list(b'{', b'}', of_kind(false), out, member);
        out.extend_from_slice(b",\"time\":");
        out.extend_from_slice(itoa::Buffer::new().format(point.time.0).as_bytes());
        out.push(b'}');
    });
}

/// Appends points in the second shape.
pub fn write_full<'p>(points: impl Iterator<Item = &'p Point<'p>>, out: &mut Vec<u8>) {
    list(b'[', b']', points, out, |point, out| {
        out.extend_from_slice(b"{\"name\":");
        encode_string(&point.name, out);
        out.extend_from_slice(b",\"fields\":");
        list(b'[', b']', point.entries.iter(), out, write_entry);
        out.extend_from_slice(b",\"time\":\"");
        out.extend_from_slice(itoa::Buffer::new().format(point.time.0).as_bytes());
        out.push(b'"');
        if !point.warnings.is_empty() {
            out.extend_from_slice(b",\"warns\":");
            list(b'[', b']', point.warnings.iter(), out, |remark, out| {
                out.extend_from_slice(b"{\"type\":");
                encode_string(&remark.kind, out);
                out.extend_from_slice(b",\"message\":");
                encode_string(&remark.message, out);
                out.push(b'}');
            });
        }
        if !point.debugs.is_empty() {
            out.extend_from_slice(b",\"debugs\":");
            list(b'[', b']', point.debugs.iter(), out, |info, out| {
                out.extend_from_slice(b"{\"info\":");
                encode_string(info, out);
                out.push(b'}');
            });
        }
        out.push(b'}');
    });
}

fn write_entry(entry: &Entry<'_>, out: &mut Vec<u8>) {
    out.extend_from_slice(b"{\"key\":");
    encode_string(&entry.key, out);
    match &entry.value {
        Value::Array(items) => {
            out.extend_from_slice(
                b",\"a\":{\"@type\":\"type.googleapis.com/point.Array\",\"arr\":",
            );
            list(b'[', b']', items.iter(), out, |item, out| {
                out.push(b'{');
                write_lettered(item, out);
                out.push(b'}');
            });
            out.push(b'}');
        }
        Value::Map(items) => {
            out.extend_from_slice(b",\"a\":{\"@type\":\"type.googleapis.com/point.Map\",\"map\":");
            list(b'{', b'}', items.iter(), out, |(key, item), out| {
                encode_string(key, out);
                out.extend_from_slice(b":{");
                write_lettered(item, out);
                out.push(b'}');
            });
            out.push(b'}');
        }
        Value::Nil => {}
        scalar => {
            out.push(b',');
            write_lettered(scalar, out);
        }
    }
    if entry.is_tag {
        out.extend_from_slice(b",\"is_tag\":true");
    }
    if let Some(details) = &entry.details {
        if details.metric_type != 0 {
            out.extend_from_slice(b",\"type\":");
            match usize::try_from(details.metric_type).ok().and_then(|at| METRIC_TYPES.get(at)) {
                Some(word) => encode_string(word, out),
                None => out.extend_from_slice(details.metric_type.to_string().as_bytes()),
            }
        }
        for (key, text) in [("unit", &details.unit), ("description", &details.description)] {
            if !text.is_empty() {
                out.push(b',');
                encode_string(key, out);
                out.push(b':');
                encode_string(text, out);
            }
        }
    }
    out.push(b'}');
}

/// Appends a value behind the letter of its type.
fn write_lettered(value: &Value<'_>, out: &mut Vec<u8>) {
    let letter = match value {
        Value::Int(_) => "i",
        Value::UInt(_) => "u",
        Value::Float(_) => "f",
        Value::Bool(_) => "b",
        Value::Bytes(_) => "d",
        Value::Str(_) => "s",
        Value::Nil | Value::Array(_) | Value::Map(_) => return,
    };
    encode_string(letter, out);
    out.push(b':');
    match value {
        Value::Int(_) | Value::UInt(_) => {
            out.push(b'"');
            write_value(value, out);
            out.push(b'"');
        }
        Value::Float(number) if !number.is_finite() => {
            let word = match *number {
                f64::INFINITY => "Infinity",
                f64::NEG_INFINITY => "-Infinity",
                _ => "NaN",
            };
            encode_string(word, out);
        }
        _ => write_value(value, out),
    }
}

/// Appends a value as plain JSON: bytes as base64, floats that are not finite as `null`.
pub(super) fn write_value(value: &Value<'_>, out: &mut Vec<u8>) {
    match value {
        Value::Nil => out.extend_from_slice(b"null"),
        Value::Float(number) if number.is_finite() => float::encode_short(*number, out),
        Value::Float(_) => out.extend_from_slice(b"null"),
        Value::Int(number) => out.extend_from_slice(itoa::Buffer::new().format(*number).as_bytes()),
        Value::UInt(number) => {
            out.extend_from_slice(itoa::Buffer::new().format(*number).as_bytes());
        }
        Value::Bool(true) => out.extend_from_slice(b"true"),
        Value::Bool(false) => out.extend_from_slice(b"false"),
        Value::Str(text) => encode_string(text, out),
        Value::Bytes(bytes) => encode_string(&STANDARD.encode(bytes), out),
        Value::Array(items) => list(b'[', b']', items.iter(), out, |item, out| {
            write_value(item, out);
        }),
        Value::Map(items) => list(b'{', b'}', items.iter(), out, |(key, item), out| {
            encode_string(key, out);
            out.push(b':');
            write_value(item, out);
        }),
    }
}

fn list<T>(
    open: u8,
    close: u8,
    items: impl Iterator<Item = T>,
    out: &mut Vec<u8>,
    write: impl Fn(T, &mut Vec<u8>),
) {
    out.push(open);
    for (at, item) in items.enumerate() {
        if at > 0 {
            out.push(b',');
        }
        write(item, out);
    }
    out.push(close);
}

#[cfg(test)]
mod tests;
