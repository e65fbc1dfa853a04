//! One JSON value as the text that the server reads for a column.
//!
//! Nothing is lost on the way: numbers keep their digits, objects their text. A value that would be
//! changed is refused here or by the server, and with it the record.
//!
//! | column | from |
//! |---|---|
//! | integers | numbers without a fraction (`1.0` and `1e3` too), texts |
//! | `numeric`, floats | numbers as they were written, texts |
//! | `json`, `jsonb` | any value, as JSON; `null` is SQL's null |
//! | `bytea` | base64, or `\x` and hexadecimal digits |
//! | `timestamp`, `timestamptz`, `date` | RFC 3339 and whatever the server reads; numbers since 1970 |
//! | arrays | JSON arrays, nested for several dimensions; texts in the server's form |
//! | anything else | texts as they are, other values as their JSON text |
//!
//! Numbers for times are seconds, milliseconds, microseconds or nanoseconds, by their size. A text with
//! an offset for a column without a zone becomes UTC; the server would drop the offset.

use std::borrow::Cow;
use std::io::Write as _;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use levada_model::{NodeId, NodeKind, Tree};

use crate::postgres::Kind;

/// Where the bytes of a cell are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Place {
    /// SQL's null.
    Null,
    /// The text of the batch.
    Batch,
    /// The documents that were made for the batch.
    Docs,
    /// The values that were made for the batch.
    Arena,
}

/// One value of a row.
#[derive(Debug, Clone, Copy)]
pub(super) struct Cell {
    pub(super) start: u32,
    pub(super) end: u32,
    pub(super) place: Place,
    /// No byte of it means anything to `COPY`.
    pub(super) is_clean: bool,
}

/// Where a document stands.
#[derive(Clone, Copy)]
pub(super) struct Doc<'a> {
    pub(super) text: &'a [u8],
    pub(super) tree: &'a Tree,
    pub(super) place: Place,
}

/// An integer type that a value does not fit, by its bytes; 0: `numeric` is needed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Wider(pub(super) u8);

pub(super) const NULL: Cell = Cell { start: 0, end: 0, place: Place::Null, is_clean: true };

/// Gives the text of a value for a column of this kind.
///
/// Errors: why the value cannot be kept as it is.
#[inline]
pub(super) fn cell(
    kind: &Kind,
    doc: Doc<'_>,
    id: NodeId,
    arena: &mut Vec<u8>,
) -> Result<Cell, &'static str> {
    match doc.tree.kind(id) {
        NodeKind::Null => Ok(NULL),
        NodeKind::Number => match kind {
            Kind::Int(_) => integer(doc, id, arena),
            Kind::Timestamp | Kind::TimestampTz | Kind::Date => {
                made(arena, |arena| epoch(literal(doc, id), arena))
            }
            Kind::Bool if is_bit(literal(doc, id)) => scalar(doc, id),
            Kind::Bytea | Kind::Bool | Kind::Array(_) => {
                Err("a number cannot stand in this column")
            }
            _ => scalar(doc, id),
        },
        NodeKind::True | NodeKind::False => match kind {
            Kind::Bool | Kind::Json | Kind::Other => scalar(doc, id),
            _ => Err("a boolean cannot stand in this column"),
        },
        NodeKind::String if *kind == Kind::Json => span(doc, id, arena),
        NodeKind::String => string(kind, doc, id, arena),
        NodeKind::Array if matches!(kind, Kind::Array(_)) => {
            let Kind::Array(element) = kind else { return Err("no array column") };
            made(arena, |arena| array(element, doc, id, arena))
        }
        NodeKind::Array | NodeKind::Object => match kind {
            Kind::Json | Kind::Other => span(doc, id, arena),
            _ => Err("an object or array cannot stand in this column"),
        },
    }
}

/// Tells which integer type a number would need, when it does not fit `bytes`.
pub(super) fn wider(bytes: u8, literal: &str) -> Option<Wider> {
    let mut scratch = Vec::new();
    let digits = match exact_integer(literal, &mut scratch) {
        Some(digits) => digits,
        None => return Some(Wider(0)),
    };
    let Ok(number) = digits.parse::<i128>() else { return Some(Wider(0)) };
    let fits = |bytes: u8| {
        let limit = 1i128 << (u32::from(bytes) * 8 - 1);
        (-limit..limit).contains(&number)
    };
    match bytes {
        bytes if fits(bytes) => None,
        2 | 4 if fits(8) => Some(Wider(8)),
        _ => Some(Wider(0)),
    }
}

/// Gives a document or value as the text of a JSON column.
pub(super) fn span(doc: Doc<'_>, id: NodeId, arena: &mut Vec<u8>) -> Result<Cell, &'static str> {
    match doc.tree.span(id) {
        Some((start, end)) => Ok(Cell { start, end, place: doc.place, is_clean: false }),
        None => made(arena, |arena| {
            doc.tree.print(doc.text, id, arena);
            Ok(())
        }),
    }
}

/// Gives a number or boolean as it was written.
fn scalar(doc: Doc<'_>, id: NodeId) -> Result<Cell, &'static str> {
    let (start, end) = doc.tree.span(id).ok_or("an edited value cannot be read")?;
    Ok(Cell { start, end, place: doc.place, is_clean: true })
}

fn literal<'a>(doc: Doc<'a>, id: NodeId) -> &'a str {
    doc.tree.literal(doc.text, id).unwrap_or_default()
}

fn is_bit(literal: &str) -> bool {
    matches!(literal, "0" | "1")
}

/// Writes a value into the arena and gives its cell; what a failed one left is taken out.
pub(super) fn made(
    arena: &mut Vec<u8>,
    write: impl FnOnce(&mut Vec<u8>) -> Result<(), &'static str>,
) -> Result<Cell, &'static str> {
    let start = arena.len();
    match write(arena) {
        Ok(()) if arena.len() < u32::MAX as usize => {
            let end = arena.len() as u32;
            Ok(Cell { start: start as u32, end, place: Place::Arena, is_clean: false })
        }
        Ok(()) => {
            arena.truncate(start);
            Err("the batch is too large")
        }
        Err(problem) => {
            arena.truncate(start);
            Err(problem)
        }
    }
}

fn integer(doc: Doc<'_>, id: NodeId, arena: &mut Vec<u8>) -> Result<Cell, &'static str> {
    let text = literal(doc, id);
    if !text.bytes().any(|byte| matches!(byte, b'.' | b'e' | b'E')) {
        return scalar(doc, id);
    }
    made(arena, |arena| {
        let mut scratch = Vec::new();
        let digits =
            exact_integer(text, &mut scratch).ok_or("a fraction does not fit an integer")?;
        arena.extend_from_slice(digits.as_bytes());
        Ok(())
    })
}

/// Gives the digits of a number that is an integer, however it is written; nothing for others.
fn exact_integer<'a>(text: &'a str, scratch: &'a mut Vec<u8>) -> Option<&'a str> {
    if !text.bytes().any(|byte| matches!(byte, b'.' | b'e' | b'E')) {
        return Some(text);
    }
    let (mantissa, exponent) = match text.split_once(['e', 'E']) {
        Some((mantissa, exponent)) => (mantissa, exponent.parse::<i32>().ok()?),
        None => (text, 0),
    };
    let (sign, mantissa) = match mantissa.strip_prefix('-') {
        Some(rest) => ("-", rest),
        None => ("", mantissa),
    };
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    scratch.extend_from_slice(sign.as_bytes());
    let digits = scratch.len();
    scratch.extend_from_slice(whole.as_bytes());
    scratch.extend_from_slice(fraction.as_bytes());
    let shift = i64::from(exponent) - fraction.len() as i64;
    if scratch[digits..].iter().all(|&byte| byte == b'0') {
        return Some("0");
    }
    // Longer numbers fit no integer type anyway.
    if shift > 40 {
        return None;
    }
    for _ in 0..shift.max(0) {
        scratch.push(b'0');
    }
    for _ in 0..(-shift).max(0) {
        if scratch.len() <= digits || scratch.pop() != Some(b'0') {
            return None;
        }
    }
    std::str::from_utf8(scratch).ok()
}

fn string(
    kind: &Kind,
    doc: Doc<'_>,
    id: NodeId,
    arena: &mut Vec<u8>,
) -> Result<Cell, &'static str> {
    let text = doc.tree.string(doc.text, id).unwrap_or_default();
    match (kind, &text) {
        (Kind::Bytea, _) => made(arena, |arena| bytea(&text, arena)),
        (Kind::Timestamp, _) if has_offset(&text) => made(arena, |arena| {
            utc(&text, arena);
            Ok(())
        }),
        (_, Cow::Borrowed(_)) => match doc.tree.span(id) {
            // Without escapes there is neither a backslash nor a control character.
            Some((start, end)) => {
                Ok(Cell { start: start + 1, end: end - 1, place: doc.place, is_clean: true })
            }
            None => Err("an edited text cannot be read"),
        },
        (_, Cow::Owned(text)) => made(arena, |arena| plain(text, arena)),
    }
}

/// PostgreSQL keeps no NUL in texts.
fn plain(text: &str, arena: &mut Vec<u8>) -> Result<(), &'static str> {
    if memchr::memchr(0, text.as_bytes()).is_some() {
        return Err("the text holds a NUL character, which PostgreSQL cannot keep");
    }
    arena.extend_from_slice(text.as_bytes());
    Ok(())
}

fn bytea(text: &str, arena: &mut Vec<u8>) -> Result<(), &'static str> {
    const HEX: &[u8; 16] = b"0123456789abcdef";
    if text.starts_with("\\x") {
        arena.extend_from_slice(text.as_bytes());
        return Ok(());
    }
    let bytes = STANDARD.decode(text).map_err(|_| "bytes must be base64")?;
    arena.extend_from_slice(b"\\x");
    for byte in bytes {
        arena.push(HEX[usize::from(byte >> 4)]);
        arena.push(HEX[usize::from(byte & 15)]);
    }
    Ok(())
}

/// Tells whether a time ends with an offset other than `Z`: `+02:00`, `-0530`.
fn has_offset(text: &str) -> bool {
    let bytes = text.as_bytes();
    bytes.len() > 16 && bytes[11..].iter().any(|byte| matches!(byte, b'+' | b'-'))
}

fn utc(text: &str, arena: &mut Vec<u8>) {
    match text.parse::<jiff::Timestamp>() {
        Ok(time) => write_time(time, arena),
        // Not RFC 3339: the server may read it.
        Err(_) => arena.extend_from_slice(text.as_bytes()),
    }
}

fn write_time(time: jiff::Timestamp, arena: &mut Vec<u8>) {
    write!(arena, "{time}").expect("writing to memory does not fail");
}

/// Writes a number since 1970 as a time; its size tells the unit.
///
/// Ours: 1e11 seconds is the year 5138, and 1e11 milliseconds is 1973.
fn epoch(literal: &str, arena: &mut Vec<u8>) -> Result<(), &'static str> {
    const OUT: &str = "the number is out of the range of times";
    let nanos: i128 = match literal.parse::<i64>() {
        Ok(number) => {
            let factor = match number.unsigned_abs() {
                0..100_000_000_000 => 1_000_000_000,
                100_000_000_000..100_000_000_000_000 => 1_000_000,
                100_000_000_000_000..100_000_000_000_000_000 => 1_000,
                _ => 1,
            };
            i128::from(number) * factor
        }
        Err(_) => {
            let seconds: f64 = literal.parse().map_err(|_| OUT)?;
            if seconds.abs() >= 1e11 {
                return Err("a number with a fraction must be seconds since 1970");
            }
            // Whole and fraction apart: a float keeps no nanoseconds of today.
            let micros = (seconds * 1e6).round();
            micros as i128 * 1000
        }
    };
    let time = jiff::Timestamp::from_nanosecond(nanos).map_err(|_| OUT)?;
    write_time(time, arena);
    Ok(())
}

/// Writes a JSON array in the server's form: `{1,NULL,"a\"b",{…}}`.
fn array(
    element: &Kind,
    doc: Doc<'_>,
    id: NodeId,
    arena: &mut Vec<u8>,
) -> Result<(), &'static str> {
    let mut scratch = Vec::new();
    arena.push(b'{');
    let mut is_first = true;
    for child in doc.tree.children(id) {
        if !is_first {
            arena.push(b',');
        }
        is_first = false;
        if doc.tree.kind(child) == NodeKind::Array && *element != Kind::Json {
            array(element, doc, child, arena)?;
            continue;
        }
        scratch.clear();
        let cell = cell(element, doc, child, &mut scratch)?;
        let bytes = match cell.place {
            Place::Null => {
                arena.extend_from_slice(b"NULL");
                continue;
            }
            Place::Arena => &scratch[cell.start as usize..cell.end as usize],
            Place::Batch | Place::Docs => &doc.text[cell.start as usize..cell.end as usize],
        };
        arena.push(b'"');
        for &byte in bytes {
            if matches!(byte, b'"' | b'\\') {
                arena.push(b'\\');
            }
            arena.push(byte);
        }
        arena.push(b'"');
    }
    arena.push(b'}');
    Ok(())
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use super::*;

    fn text(kind: &Kind, json: &str) -> Result<Option<String>, &'static str> {
        let mut tree = Tree::default();
        let root = tree.parse(json.as_bytes(), 0, json.len() as u32).unwrap();
        let mut arena = Vec::new();
        let doc = Doc { text: json.as_bytes(), tree: &tree, place: Place::Batch };
        let cell = cell(kind, doc, root, &mut arena)?;
        let from = match cell.place {
            Place::Null => return Ok(None),
            Place::Arena => &arena[..],
            _ => json.as_bytes(),
        };
        Ok(Some(String::from_utf8(from[cell.start as usize..cell.end as usize].to_vec()).unwrap()))
    }

    #[track_caller]
    fn check(kind: Kind, json: &str, expected: &str) {
        assert_eq!(text(&kind, json), Ok(Some(expected.to_owned())), "{json}");
    }

    #[test]
    fn values_keep_what_they_are() {
        check(Kind::Int(8), "12", "12");
        check(Kind::Int(8), "-1.50e1", "-15");
        check(Kind::Int(8), "1e3", "1000");
        check(Kind::Int(8), "0.0", "0");
        check(Kind::Int(8), "\"12\"", "12");
        check(
            Kind::Numeric,
            "1.230000000000000000000000000000004e-5",
            "1.230000000000000000000000000000004e-5",
        );
        check(Kind::Json, "\"a\\u0041\"", "\"a\\u0041\"");
        check(Kind::Json, "{\"a\" : 1.0}", "{\"a\" : 1.0}");
        check(Kind::Other, "\"a\\u0041\\n\"", "aA\n");
        check(Kind::Other, "{\"a\":1}", "{\"a\":1}");
        check(Kind::Other, "12.50", "12.50");
        check(Kind::Bytea, "\"aGk=\"", "\\x6869");
        check(Kind::Bytea, "\"\\\\x6869\"", "\\x6869");
        assert_eq!(text(&Kind::Json, "null"), Ok(None));
    }

    #[test]
    fn times_are_texts_or_numbers() {
        check(Kind::TimestampTz, "\"2026-01-02T03:04:05+02:00\"", "2026-01-02T03:04:05+02:00");
        check(Kind::Timestamp, "\"2026-01-02T03:04:05+02:00\"", "2026-01-02T01:04:05Z");
        check(Kind::Timestamp, "\"2026-01-02T03:04:05Z\"", "2026-01-02T03:04:05Z");
        check(Kind::Timestamp, "\"2026-01-02\"", "2026-01-02");
        check(Kind::TimestampTz, "1770460200", "2026-02-07T10:30:00Z");
        check(Kind::TimestampTz, "1770460200.25", "2026-02-07T10:30:00.25Z");
        check(Kind::TimestampTz, "1770460200123", "2026-02-07T10:30:00.123Z");
        check(Kind::TimestampTz, "1770460200123456", "2026-02-07T10:30:00.123456Z");
        check(Kind::TimestampTz, "1770460200123456000", "2026-02-07T10:30:00.123456Z");
        check(Kind::Date, "0", "1970-01-01T00:00:00Z");
    }

    #[test]
    fn arrays_take_the_servers_form() {
        let list = |kind| Kind::Array(Box::new(kind));
        check(list(Kind::Int(4)), "[1,null,2.0]", "{\"1\",NULL,\"2\"}");
        check(list(Kind::Other), "[\"a\\\"b\",\"c\\\\\",\"\"]", "{\"a\\\"b\",\"c\\\\\",\"\"}");
        check(list(Kind::Int(4)), "[[1],[2]]", "{{\"1\"},{\"2\"}}");
        check(list(Kind::Json), "[{\"a\":1},[1]]", "{\"{\\\"a\\\":1}\",\"[1]\"}");
        check(list(Kind::Bytea), "[\"aGk=\"]", "{\"\\\\x6869\"}");
        check(list(Kind::Other), "\"{a,b}\"", "{a,b}");
        check(list(Kind::Int(4)), "[]", "{}");
    }

    #[test]
    fn what_would_change_is_refused() {
        for (kind, json) in [
            (Kind::Int(8), "1.5"),
            (Kind::Int(8), "true"),
            (Kind::Int(8), "{}"),
            (Kind::Bool, "2"),
            (Kind::Bytea, "\"?\""),
            (Kind::Bytea, "12"),
            (Kind::Other, "\"a\\u0000\""),
            (Kind::TimestampTz, "1e300"),
            (Kind::Array(Box::new(Kind::Int(4))), "1"),
        ] {
            assert!(text(&kind, json).is_err(), "{kind:?} {json}");
        }
    }

    #[test]
    fn numbers_that_do_not_fit_name_the_next_type() {
        for (bytes, literal, expected) in [
            (4, "2147483647", None),
            (4, "2147483648", Some(Wider(8))),
            (2, "-32769", Some(Wider(8))),
            (8, "9223372036854775808", Some(Wider(0))),
            (8, "-9223372036854775808", None),
            (8, "1.5", Some(Wider(0))),
            (8, "1.0", None),
            (4, "1e99", Some(Wider(0))),
        ] {
            assert_eq!(wider(bytes, literal), expected, "{bytes} {literal}");
        }
    }
}
