//! The dialect `point` of line protocol.
//!
//! What it has beyond InfluxDB's: `1u`, bytes `f="aGk="b`, lists `f=[1i,2i]`. A newline inside of a text belongs to it.
//!
//! [`Scanner`] gives [`Line`]s: places in the body, checked but not decoded. Most lines are only copied: taking one
//! apart is [`Line::point`].
//!
//! Differs: a list of different types is an error (B49), times are checked for their range (B46, B47).

mod error;
mod marks;
mod print;
mod scan;
#[cfg(test)]
mod tests;
mod value;

use std::borrow::Cow;
use std::collections::{HashMap, hash_map};

use foldhash::fast::RandomState;
use levada_model::Timestamp;

pub use self::error::{BodyError, Cause, LineProblem, PROBLEMS_MAX};
pub use self::print::write_point;
pub use self::scan::Scanner;

use super::{Entry, Point, Unit, Value};
use crate::line_protocol::parse_float;

/// What kind of value stands somewhere.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::points) enum Kind {
    Tag,
    Float,
    Int,
    UInt,
    True,
    False,
    /// A text between its quotes.
    Text,
    /// The same, with backslashes in it.
    EscapedText,
    /// Base64 between quotes.
    Bytes,
    /// Everything between the brackets.
    Array,
}

/// Where a tag or a field is.
#[derive(Clone, Copy, Debug)]
pub(in crate::points) struct Span {
    pub(in crate::points) key_start: u32,
    pub(in crate::points) key_end: u32,
    pub(in crate::points) value_start: u32,
    pub(in crate::points) value_end: u32,
    pub(in crate::points) kind: Kind,
}

/// A line that was checked: places in the body.
#[derive(Clone, Copy, Debug)]
pub struct Line<'s, 'b> {
    pub(super) body: &'b str,
    pub(super) spans: &'s [Span],
    pub(super) start: usize,
    pub(super) name_end: usize,
    pub(super) fields_end: usize,
    pub(super) end: usize,
    pub(super) time: Option<i64>,
    pub(super) is_escaped: bool,
    pub(super) has_duplicates: bool,
    pub(super) has_encoded: bool,
}

/// A value as it stands in a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Raw<'b> {
    /// The value of a tag.
    Tag(&'b str),
    /// Digits of a float.
    Float(&'b str),
    /// Digits of an integer, without its suffix.
    Int(&'b str),
    /// Digits of an unsigned integer, without its suffix.
    UInt(&'b str),
    /// A boolean.
    Bool(bool),
    /// A text as it is.
    Text(&'b str),
    /// A text with backslashes.
    EscapedText(&'b str),
    /// Base64.
    Bytes(&'b str),
    /// What stands between brackets.
    Array(&'b str),
}

/// Reads a body; one bad line refuses all of it.
///
/// A line without a time, or with a negative one, gets `now`.
pub fn decode(body: &str, unit: Unit, now: Timestamp) -> Result<Vec<Point<'_>>, BodyError> {
    if body.is_empty() {
        return Err(BodyError::Empty);
    }
    let mut scanner = Scanner::new(body, unit)?;
    let mut points = Vec::new();
    let mut problems = Vec::new();
    let (mut good, mut bad) = (0, 0);
    while let Some(line) = scanner.next_line() {
        match line {
            Ok(line) if bad == 0 => points.push(line.point(unit, now)),
            Ok(_) => {}
            Err(problem) => {
                bad += 1;
                if problems.len() < PROBLEMS_MAX {
                    problems.push(problem);
                }
                continue;
            }
        }
        good += 1;
    }
    if bad > 0 { Err(BodyError::lines(problems, good, bad, body)) } else { Ok(points) }
}

// === impl Line ===

impl<'b> Line<'_, 'b> {
    /// Gives the line as it is, without its end.
    #[inline]
    pub fn raw(&self) -> &'b str {
        &self.body[self.start..self.end]
    }

    /// Gives the line up to its time.
    #[inline]
    pub fn head(&self) -> &'b str {
        &self.body[self.start..self.fields_end]
    }

    /// Gives the offset of the line in the body.
    #[inline]
    pub fn start(&self) -> usize {
        self.start
    }

    /// Gives the offset of the end of the line in the body: that of its line end, if it has one.
    #[inline]
    pub fn end(&self) -> usize {
        self.end
    }

    /// Gives the number at the end of the line; the scanner has checked that its unit can count it.
    #[inline]
    pub fn time(&self) -> Option<i64> {
        self.time
    }

    /// Says whether keys, names and tags are in the line as they are, and no key twice.
    #[inline]
    pub fn is_plain(&self) -> bool {
        !self.is_escaped && !self.has_duplicates
    }

    /// Says whether some field cannot be looked at without decoding it: a text with backslashes, or bytes.
    #[inline]
    pub fn has_encoded(&self) -> bool {
        self.has_encoded
    }

    /// Gives the measurement, still escaped.
    #[inline]
    pub fn name(&self) -> &'b str {
        &self.body[self.start..self.name_end]
    }

    /// Gives how many tags and fields there are.
    #[inline]
    pub fn len(&self) -> usize {
        self.spans.len()
    }

    /// Says whether there is nothing; it is never so.
    pub fn is_empty(&self) -> bool {
        self.spans.is_empty()
    }

    /// Gives tags, then fields, with keys and tags still escaped.
    #[inline]
    pub fn entries(&self) -> impl Iterator<Item = (&'b str, Raw<'b>)> {
        self.spans.iter().map(|span| (self.key(span), self.value(span)))
    }

    /// Gives the place of an entry of a plain line.
    #[inline]
    pub fn position(&self, key: &str, is_tag: bool) -> Option<usize> {
        let bytes = self.body.as_bytes();
        let wanted = key.as_bytes();
        self.spans.iter().position(|span| {
            (span.kind == Kind::Tag) == is_tag
                && bytes[span.key_start as usize..span.key_end as usize] == *wanted
        })
    }

    /// Gives the value of a tag or a field of a plain line, which has no key twice.
    #[inline]
    pub fn find(&self, key: &str) -> Option<Raw<'b>> {
        let bytes = self.body.as_bytes();
        let wanted = key.as_bytes();
        let is_wanted = |span: &&Span| {
            (span.key_end - span.key_start) as usize == wanted.len()
                && is_same(&bytes[span.key_start as usize..span.key_end as usize], wanted)
        };
        self.spans.iter().find(is_wanted).map(|span| self.value(span))
    }

    /// Gives an entry by its place.
    #[inline]
    pub fn entry(&self, at: usize) -> (&'b str, Raw<'b>) {
        (self.key(&self.spans[at]), self.value(&self.spans[at]))
    }

    /// Takes the line apart.
    ///
    /// A line without a time, or with a negative one, gets `now`. Of two fields with one key the last one counts; a tag
    /// and a field with one key are both there.
    pub fn point(&self, unit: Unit, now: Timestamp) -> Point<'b> {
        let mut entries: Vec<Entry<'b>> = Vec::with_capacity(self.spans.len());
        let mut places = HashMap::<Cow<'b, str>, usize, RandomState>::default();
        for span in self.spans {
            let key = value::name(self.key(span), value::Escapes::Key);
            let is_tag = span.kind == Kind::Tag;
            let value = self.value(span).decode();
            if !is_tag && self.has_duplicates {
                match places.entry(key.clone()) {
                    hash_map::Entry::Occupied(place) => {
                        entries[*place.get()].value = value;
                        continue;
                    }
                    hash_map::Entry::Vacant(place) => drop(place.insert(entries.len())),
                }
            }
            entries.push(Entry { key, value, is_tag, details: None });
        }
        let time = self.time.filter(|time| *time >= 0).and_then(|time| unit.time(time));
        Point {
            name: value::name(self.name(), value::Escapes::Measurement),
            entries,
            time: time.unwrap_or(now),
            ..Point::default()
        }
    }

    /// Gives where tags and fields are.
    #[inline]
    pub(in crate::points) fn spans(&self) -> &[Span] {
        self.spans
    }

    #[inline]
    pub(in crate::points) fn key(&self, span: &Span) -> &'b str {
        &self.body[span.key_start as usize..span.key_end as usize]
    }

    #[inline]
    fn value(&self, span: &Span) -> Raw<'b> {
        let text = &self.body[span.value_start as usize..span.value_end as usize];
        match span.kind {
            Kind::Tag => Raw::Tag(text),
            Kind::Float => Raw::Float(text),
            Kind::Int => Raw::Int(text),
            Kind::UInt => Raw::UInt(text),
            Kind::True => Raw::Bool(true),
            Kind::False => Raw::Bool(false),
            Kind::Text => Raw::Text(text),
            Kind::EscapedText => Raw::EscapedText(text),
            Kind::Bytes => Raw::Bytes(text),
            Kind::Array => Raw::Array(text),
        }
    }
}

/// Compares two keys of the same length; most are so short that a call would take longer.
#[inline]
fn is_same(one: &[u8], other: &[u8]) -> bool {
    if let (Some(start), Some(end)) = (one.first_chunk::<8>(), one.last_chunk::<8>())
        && one.len() <= 16
    {
        return other.first_chunk() == Some(start) && other.last_chunk() == Some(end);
    }
    if let (Some(start), Some(end)) = (one.first_chunk::<4>(), one.last_chunk::<4>())
        && one.len() <= 8
    {
        return other.first_chunk() == Some(start) && other.last_chunk() == Some(end);
    }
    one == other
}

// === impl Raw ===

impl<'b> Raw<'b> {
    /// Gives the value.
    pub fn decode(self) -> Value<'b> {
        match self {
            Raw::Tag(text) => Value::Str(value::name(text, value::Escapes::Key)),
            Raw::Float(digits) => Value::Float(parse_float(digits).unwrap_or(f64::NAN)),
            Raw::Int(digits) => digits.parse().map_or(Value::Nil, Value::Int),
            Raw::UInt(digits) => digits.parse().map_or(Value::Nil, Value::UInt),
            Raw::Bool(value) => Value::Bool(value),
            Raw::Text(text) => Value::Str(Cow::Borrowed(text)),
            Raw::EscapedText(text) => Value::Str(value::text(text)),
            Raw::Bytes(text) => value::bytes(text).map_or(Value::Nil, |b| Value::Bytes(b.into())),
            Raw::Array(text) => value::array(text).map_or(Value::Nil, Value::Array),
        }
    }
}
