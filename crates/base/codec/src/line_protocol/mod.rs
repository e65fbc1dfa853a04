//! Line protocol: `measurement,tag=value field=1i,other="x" 1770460200000000000`, one point per line.
//!
//! [`PointWriter`] appends points to the caller's buffer. What is escaped where:
//!
//! | part | escaped by a backslash |
//! |---|---|
//! | measurement | comma, blank; `=` and `"` behind a backslash |
//! | tag key, tag value | comma, blank, `=` |
//! | field key | comma, blank, `=`; `"` behind a backslash |
//! | text of a field | `"`, `\` |
//!
//! A backslash elsewhere stands for itself. So there are texts that no line can carry: names and tag
//! values that end in a backslash, have one before a blank or hold line ends or NUL, field keys with a backslash before a comma, a blank or
//! `=`, measurements that begin with `#` (a comment), measurements and field keys that begin with a tab, and floats that are not finite. They are errors here
//! and never reach a server.
//!
//! [`Parser`] reads lines, with a cache of the series that it has seen; [`write_point`] is the way back.
//!
//! Source: InfluxDB 1.8 `models/points.go` (what a server reads), InfluxDB's line protocol reference.

mod cache;
mod intern;
mod number;
mod parser;
mod print;
mod quick;
mod rules;
mod shared;
#[cfg(test)]
mod tests;
mod twins;

use levada_model::float;
use thiserror::Error;

pub use self::number::parse_float;
pub(crate) use self::number::short_time;
pub use self::parser::{
    EXCERPT_BYTES_MAX, Limits, LineProblem, Outcome, Parser, ParserStatistics, Precision,
};
pub use self::print::write_point;
pub use self::rules::Refusal;
pub use self::shared::SharedSeries;

/// Gives how many bytes at the beginning of a text are whole lines, for those who read a body piece by piece.
///
/// A line end inside of the text of a field is none.
pub fn whole_lines(text: &[u8]) -> usize {
    let mut whole = 0;
    while whole < text.len() {
        match rules::line_end(text, whole) {
            end if end < text.len() => whole = end + 1,
            _ => break,
        }
    }
    whole
}

/// A value of a field; its kind stays distinct on the wire.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum FieldValue<'a> {
    /// `1.5`
    Float(f64),
    /// `1i`
    Int(i64),
    /// `1u`; InfluxDB 1.x reads it only when it was built so.
    UInt(u64),
    /// `true`
    Bool(bool),
    /// `"text"`
    Str(&'a str),
}

/// Why a point cannot be a line.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum LineError {
    /// A name or a tag value without a character.
    #[error("{part} is empty")]
    Empty {
        /// Which part of the line.
        part: &'static str,
    },
    /// A text that line protocol has no escape for.
    #[error("{part} `{text}` {problem}, which line protocol cannot carry")]
    Unwritable {
        /// Which part of the line.
        part: &'static str,
        /// Its beginning.
        text: String,
        /// What stands in it.
        problem: &'static str,
    },
    /// NaN or an infinity.
    #[error("field `{key}` is not a finite number")]
    NotFinite {
        /// The field.
        key: String,
    },
    /// A point without a field.
    #[error("the point has no field")]
    NoFields,
}

/// Writes one point: tags, then fields, then the time.
///
/// A writer that is dropped before [`PointWriter::finish`] takes its line back.
#[derive(Debug)]
pub struct PointWriter<'b> {
    out: &'b mut Vec<u8>,
    start: usize,
    has_fields: bool,
    is_finished: bool,
}

/// Which characters get a backslash.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Escape {
    Measurement,
    Tag,
    Field,
}

// === impl PointWriter ===

impl<'b> PointWriter<'b> {
    /// Begins a line at the end of `out`.
    pub fn begin(out: &'b mut Vec<u8>, measurement: &str) -> Result<Self, LineError> {
        let start = out.len();
        let part = "measurement";
        if let Some(first @ (b'#' | b'\t')) = measurement.as_bytes().first() {
            let problem = if *first == b'#' { "begins with `#`" } else { "begins with a tab" };
            return Err(unwritable(part, measurement, problem));
        }
        append_name(out, part, measurement, Escape::Measurement)?;
        Ok(PointWriter { out, start, has_fields: false, is_finished: false })
    }

    /// Adds a tag; tags come before fields, sorted by key where speed matters, and no key twice.
    ///
    /// After an error the line is as before.
    pub fn tag(&mut self, key: &str, value: &str) -> Result<(), LineError> {
        debug_assert!(!self.has_fields, "tags come before fields");
        let before = self.out.len();
        self.out.push(b',');
        let result = append_name(self.out, "tag key", key, Escape::Tag).and_then(|()| {
            self.out.push(b'=');
            append_name(self.out, "tag value", value, Escape::Tag)
        });
        if result.is_err() {
            self.out.truncate(before);
        }
        result
    }

    /// Adds a field; after an error the line is as before.
    pub fn field(&mut self, key: &str, value: FieldValue<'_>) -> Result<(), LineError> {
        let before = self.out.len();
        self.out.push(if self.has_fields { b',' } else { b' ' });
        let result = append_name(self.out, "field key", key, Escape::Field).and_then(|()| {
            self.out.push(b'=');
            append_value(self.out, key, value)
        });
        match result {
            Ok(()) => self.has_fields = true,
            Err(_) => self.out.truncate(before),
        }
        result
    }

    /// Ends the line with a time in the unit that the server is told, or without.
    pub fn finish(mut self, time: Option<i64>) -> Result<(), LineError> {
        if !self.has_fields {
            return Err(LineError::NoFields);
        }
        if let Some(time) = time {
            self.out.push(b' ');
            self.out.extend_from_slice(itoa::Buffer::new().format(time).as_bytes());
        }
        self.out.push(b'\n');
        self.is_finished = true;
        Ok(())
    }
}

impl Drop for PointWriter<'_> {
    fn drop(&mut self) {
        if !self.is_finished {
            self.out.truncate(self.start);
        }
    }
}

fn append_name(
    out: &mut Vec<u8>,
    part: &'static str,
    text: &str,
    escape: Escape,
) -> Result<(), LineError> {
    let bytes = text.as_bytes();
    match bytes.last() {
        None => return Err(LineError::Empty { part }),
        // It would escape what follows.
        Some(b'\\') => return Err(unwritable(part, text, "ends in a backslash")),
        Some(_) => {}
    }
    if escape == Escape::Field && bytes[0] == b'\t' {
        return Err(unwritable(part, text, "begins with a tab"));
    }
    let before = out.len();
    let mut copied = 0;
    for (at, &byte) in bytes.iter().enumerate() {
        let is_behind_backslash = at > 0 && bytes[at - 1] == b'\\';
        match byte {
            b'\n' | b'\r' | 0 => {
                out.truncate(before);
                return Err(unwritable(part, text, "holds a line end or NUL"));
            }
            b',' | b' ' | b'=' if escape == Escape::Field && is_behind_backslash => {
                out.truncate(before);
                return Err(unwritable(part, text, "holds a backslash before a separator"));
            }
            // The server would look for the end of the line as if the fields had begun, and texts could leave theirs.
            b' ' if is_behind_backslash => {
                out.truncate(before);
                return Err(unwritable(part, text, "holds a backslash before a blank"));
            }
            b',' | b' ' => {}
            b'=' if escape != Escape::Measurement => {}
            // The server takes a backslash before these away, though they need none.
            b'"' if escape != Escape::Tag && is_behind_backslash => {}
            b'=' if is_behind_backslash => {}
            _ => continue,
        }
        out.extend_from_slice(&bytes[copied..at]);
        out.push(b'\\');
        copied = at;
    }
    out.extend_from_slice(&bytes[copied..]);
    Ok(())
}

fn append_value(out: &mut Vec<u8>, key: &str, value: FieldValue<'_>) -> Result<(), LineError> {
    match value {
        FieldValue::Float(number) if number.is_finite() => float::encode(number, out),
        FieldValue::Float(_) => return Err(LineError::NotFinite { key: beginning(key) }),
        FieldValue::Int(number) => {
            out.extend_from_slice(itoa::Buffer::new().format(number).as_bytes());
            out.push(b'i');
        }
        FieldValue::UInt(number) => {
            out.extend_from_slice(itoa::Buffer::new().format(number).as_bytes());
            out.push(b'u');
        }
        FieldValue::Bool(true) => out.extend_from_slice(b"true"),
        FieldValue::Bool(false) => out.extend_from_slice(b"false"),
        FieldValue::Str(text) => append_text(out, text),
    }
    Ok(())
}

/// Appends a text in quotes, quotes and backslashes escaped.
pub(crate) fn append_text(out: &mut Vec<u8>, text: &str) {
    let bytes = text.as_bytes();
    out.push(b'"');
    let mut copied = 0;
    for at in memchr::memchr2_iter(b'"', b'\\', bytes) {
        out.extend_from_slice(&bytes[copied..at]);
        out.push(b'\\');
        copied = at;
    }
    out.extend_from_slice(&bytes[copied..]);
    out.push(b'"');
}

#[cold]
fn unwritable(part: &'static str, text: &str, problem: &'static str) -> LineError {
    LineError::Unwritable { part, text: beginning(text), problem }
}

/// Gives as much of a text as a message needs, on one line.
fn beginning(text: &str) -> String {
    text.chars().take(60).map(|c| if c.is_control() { ' ' } else { c }).collect()
}
