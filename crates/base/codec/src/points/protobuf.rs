//! Version 2 bodies: `PBPoints` of `com.guance.Point`.
//!
//! ```text
//! PBPoints { repeated PBPoint arr = 1 }
//! PBPoint  { name = 1, repeated Field fields = 2, time = 3, repeated Warn warns = 4, repeated Debug debugs = 5 }
//! Field    { key = 1, one of i = 2, u = 3, f = 4, b = 5, d = 6, a = 7, s = 11; is_tag = 8, type = 9, unit = 10,
//!            description = 12 }
//! ```
//! A body is read point by point, so that a small one cannot become a large list.

use std::borrow::Cow;

use levada_model::Timestamp;
use thiserror::Error;

use super::tally::{ENTRIES_MAX, POINTS_MAX};
use super::{Details, Entry, Point, Remark, Value};
use crate::wire::{self, Field, Message, WireError};

/// The most entries, list items and remarks of one point that are read; checks take away far fewer.
pub const ITEMS_MAX: usize = 262_144;

const ARRAY_URL: &str = "type.googleapis.com/point.Array";
const MAP_URL: &str = "type.googleapis.com/point.Map";

/// Why a body is no list of points.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum ProtobufError {
    /// It is no message, or not this one.
    #[error("invalid protobuf point: {0}")]
    Wire(WireError),
    /// A value of a type that points do not have.
    #[error("invalid protobuf point: unknown type `{0}`")]
    Type(String),
    /// A point with too much in it.
    #[error("invalid protobuf point: more than {ITEMS_MAX} items")]
    TooMany,
    /// A body with too many points.
    #[error("the body has more than {POINTS_MAX} points, send fewer at once")]
    Points,
    /// A body whose points have too much in them together.
    #[error(
        "the points of the body have more than {ENTRIES_MAX} tags and fields together, send fewer at once"
    )]
    Entries,
}

/// Reads a body point by point; after an error there are no more.
#[derive(Debug)]
pub struct Reader<'b> {
    message: Option<Message<'b>>,
    now: Timestamp,
}

/// Reads what one point holds, and counts.
struct Room(usize);

// === impl ProtobufError ===

/// It is said in the text, and so it is no cause beside it.
impl From<WireError> for ProtobufError {
    fn from(error: WireError) -> Self {
        ProtobufError::Wire(error)
    }
}

// === impl Reader ===

impl<'b> Reader<'b> {
    /// Starts at the beginning of a body; a point without a time gets `now`.
    pub fn new(body: &'b [u8], now: Timestamp) -> Self {
        Reader { message: Some(Message::new(body)), now }
    }
}

impl<'b> Iterator for Reader<'b> {
    type Item = Result<Point<'b>, ProtobufError>;

    fn next(&mut self) -> Option<Self::Item> {
        let message = self.message.as_mut()?;
        let item = loop {
            match message.next() {
                Ok(None) => break None,
                Ok(Some((1, field))) => break Some(point(field, self.now)),
                Ok(Some(_)) => {}
                Err(error) => break Some(Err(error.into())),
            }
        };
        if !matches!(item, Some(Ok(_))) {
            self.message = None;
        }
        item
    }
}

/// Gives where so many points of a body end, if there are more.
pub fn end_of(body: &[u8], points: usize) -> Option<usize> {
    let mut message = Message::new(body);
    let mut seen = 0;
    while seen < points {
        let (number, _) = message.next().ok()??;
        seen += usize::from(number == 1);
    }
    let end = body.len() - message.rest().len();
    (end < body.len()).then_some(end)
}

fn point<'b>(field: Field<'b>, now: Timestamp) -> Result<Point<'b>, ProtobufError> {
    let mut message = Message::new(field.bytes(1)?);
    let mut point = Point { time: now, ..Point::default() };
    let mut room = Room(ITEMS_MAX);
    while let Some((number, field)) = message.next()? {
        match number {
            1 => point.name = Cow::Borrowed(field.text(number)?),
            2 => {
                room.take()?;
                point.entries.push(entry(field.bytes(number)?, &mut room)?);
            }
            3 => match field.varint(number)? as i64 {
                0 => {}
                time => point.time = Timestamp(time),
            },
            4 => {
                room.take()?;
                point.warnings.push(remark(field.bytes(number)?)?);
            }
            5 => {
                room.take()?;
                let mut message = Message::new(field.bytes(number)?);
                while let Some((number, field)) = message.next()? {
                    if number == 1 {
                        point.debugs.push(Cow::Borrowed(field.text(number)?));
                    }
                }
            }
            _ => {}
        }
    }
    Ok(point)
}

fn remark(bytes: &[u8]) -> Result<Remark<'_>, ProtobufError> {
    let mut message = Message::new(bytes);
    let mut remark = Remark { kind: Cow::Borrowed(""), message: Cow::Borrowed("") };
    while let Some((number, field)) = message.next()? {
        match number {
            1 => remark.kind = Cow::Borrowed(field.text(number)?),
            2 => remark.message = Cow::Borrowed(field.text(number)?),
            _ => {}
        }
    }
    Ok(remark)
}

fn entry<'b>(bytes: &'b [u8], room: &mut Room) -> Result<Entry<'b>, ProtobufError> {
    let mut message = Message::new(bytes);
    let mut entry = Entry::field("", Value::Nil);
    let mut details = Details::default();
    while let Some((number, field)) = message.next()? {
        match number {
            1 => entry.key = Cow::Borrowed(field.text(number)?),
            2..=6 => entry.value = scalar(number, field)?,
            7 => entry.value = any(field.bytes(number)?, room)?,
            8 => entry.is_tag = field.varint(number)? != 0,
            9 => details.metric_type = field.varint(number)? as i32,
            10 => details.unit = Cow::Borrowed(field.text(number)?),
            11 => entry.value = Value::Str(text(field.bytes(number)?)),
            12 => details.description = Cow::Borrowed(field.text(number)?),
            _ => {}
        }
    }
    if details != Details::default() {
        entry.details = Some(Box::new(details));
    }
    Ok(entry)
}

/// Reads the values that entries and lists have under the same numbers.
fn scalar<'b>(number: u32, field: Field<'b>) -> Result<Value<'b>, ProtobufError> {
    Ok(match number {
        2 => Value::Int(field.varint(number)? as i64),
        3 => Value::UInt(field.varint(number)?),
        4 => Value::Float(field.double(number)?),
        5 => Value::Bool(field.varint(number)? != 0),
        _ => Value::Bytes(Cow::Borrowed(field.bytes(number)?)),
    })
}

/// Gives a text; senders that are careless send what is not UTF-8.
fn text(bytes: &[u8]) -> Cow<'_, str> {
    String::from_utf8_lossy(bytes)
}

fn any<'b>(bytes: &'b [u8], room: &mut Room) -> Result<Value<'b>, ProtobufError> {
    let mut message = Message::new(bytes);
    let (mut url, mut content): (&str, &[u8]) = ("", &[]);
    while let Some((number, field)) = message.next()? {
        match number {
            1 => url = field.text(number)?,
            2 => content = field.bytes(number)?,
            _ => {}
        }
    }
    let mut message = Message::new(content);
    match url {
        ARRAY_URL => {
            let mut items = Vec::new();
            while let Some((number, field)) = message.next()? {
                if number == 1 {
                    room.take()?;
                    items.push(basic(field.bytes(number)?)?);
                }
            }
            Ok(Value::Array(items))
        }
        MAP_URL => {
            let mut items = Vec::new();
            while let Some((number, field)) = message.next()? {
                if number != 1 {
                    continue;
                }
                room.take()?;
                let mut pair = Message::new(field.bytes(number)?);
                let (mut key, mut value) = (Cow::Borrowed(""), Value::Nil);
                while let Some((number, field)) = pair.next()? {
                    match number {
                        1 => key = Cow::Borrowed(field.text(number)?),
                        2 => value = basic(field.bytes(number)?)?,
                        _ => {}
                    }
                }
                items.push((key, value));
            }
            Ok(Value::Map(items))
        }
        other => {
            let shown = &other[..other.floor_char_boundary(100)];
            Err(ProtobufError::Type(shown.to_owned()))
        }
    }
}

/// Reads `BasicTypes`, which numbers its values from 1, and texts 6.
fn basic(bytes: &[u8]) -> Result<Value<'_>, ProtobufError> {
    let mut message = Message::new(bytes);
    let mut value = Value::Nil;
    while let Some((number, field)) = message.next()? {
        match number {
            1..=5 => value = scalar(number + 1, field)?,
            6 => value = Value::Str(text(field.bytes(number)?)),
            _ => {}
        }
    }
    Ok(value)
}

// === impl Room ===

impl Room {
    fn take(&mut self) -> Result<(), ProtobufError> {
        self.0 = self.0.checked_sub(1).ok_or(ProtobufError::TooMany)?;
        Ok(())
    }
}

/// Appends a point to a body; bodies one behind the other are one body.
pub fn write_point(point: &Point<'_>, out: &mut Vec<u8>) {
    wire::push_message(1, out, |out| {
        if !point.name.is_empty() {
            wire::push_bytes(1, point.name.as_bytes(), out);
        }
        for entry in &point.entries {
            wire::push_message(2, out, |out| write_entry(entry, out));
        }
        if point.time.0 != 0 {
            wire::push_number(3, point.time.0 as u64, out);
        }
        for remark in &point.warnings {
            wire::push_message(4, out, |out| {
                wire::push_bytes(1, remark.kind.as_bytes(), out);
                wire::push_bytes(2, remark.message.as_bytes(), out);
            });
        }
        for debug in &point.debugs {
            wire::push_message(5, out, |out| wire::push_bytes(1, debug.as_bytes(), out));
        }
    });
}

fn write_entry(entry: &Entry<'_>, out: &mut Vec<u8>) {
    wire::push_bytes(1, entry.key.as_bytes(), out);
    match &entry.value {
        Value::Nil => {}
        Value::Str(text) => wire::push_bytes(11, text.as_bytes(), out),
        Value::Array(items) => wire::push_message(7, out, |out| {
            wire::push_bytes(1, ARRAY_URL.as_bytes(), out);
            wire::push_message(2, out, |out| {
                for item in items {
                    wire::push_message(1, out, |out| write_basic(item, out));
                }
            });
        }),
        Value::Map(items) => wire::push_message(7, out, |out| {
            wire::push_bytes(1, MAP_URL.as_bytes(), out);
            wire::push_message(2, out, |out| {
                for (key, item) in items {
                    wire::push_message(1, out, |out| {
                        wire::push_bytes(1, key.as_bytes(), out);
                        wire::push_message(2, out, |out| write_basic(item, out));
                    });
                }
            });
        }),
        scalar => write_scalar(1, scalar, out),
    }
    if entry.is_tag {
        wire::push_number(8, 1, out);
    }
    if let Some(details) = &entry.details {
        if details.metric_type != 0 {
            wire::push_number(9, i64::from(details.metric_type) as u64, out);
        }
        if !details.unit.is_empty() {
            wire::push_bytes(10, details.unit.as_bytes(), out);
        }
        if !details.description.is_empty() {
            wire::push_bytes(12, details.description.as_bytes(), out);
        }
    }
}

fn write_basic(value: &Value<'_>, out: &mut Vec<u8>) {
    match value {
        Value::Str(text) => wire::push_bytes(6, text.as_bytes(), out),
        scalar => write_scalar(0, scalar, out),
    }
}

/// Appends one of the values whose numbers are those of `BasicTypes` plus `offset`.
fn write_scalar(offset: u8, value: &Value<'_>, out: &mut Vec<u8>) {
    match value {
        Value::Int(number) => wire::push_number(1 + offset, *number as u64, out),
        Value::UInt(number) => wire::push_number(2 + offset, *number, out),
        Value::Float(number) => wire::push_fixed64(3 + offset, number.to_bits(), out),
        Value::Bool(value) => wire::push_number(4 + offset, u64::from(*value), out),
        Value::Bytes(bytes) => wire::push_bytes(5 + offset, bytes, out),
        // Lists hold none of these.
        Value::Nil | Value::Str(_) | Value::Array(_) | Value::Map(_) => {}
    }
}

#[cfg(test)]
mod tests;
