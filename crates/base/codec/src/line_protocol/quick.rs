//! The quick way through a line that is nothing out of the ordinary.
//!
//! Everything here answers `None` as soon as something is special, right or wrong, and leaves the line to the
//! [`rules`]. What it takes must be what they take: a test compares both on all kinds of bodies.

use std::sync::Arc;

use levada_model::point::{FieldValue, Shape, Values};

use super::intern::{KnownSeries, ShapeTable};
use super::number::short_number;
use super::rules::{self, KEY_BYTES_MAX};
use super::twins::Twins;

/// Reads the fields of one line.
pub(super) struct Fields<'p> {
    pub(super) bytes: &'p [u8],
    /// The length of measurement and tags.
    pub(super) key_bytes: usize,
    /// For texts with backslashes.
    pub(super) scratch: &'p mut Vec<u8>,
    pub(super) twins: &'p mut Twins,
    pub(super) unsigned: bool,
}

/// The shape of a line, and where its fields end.
type Found = (Arc<Shape>, usize);

// === impl Fields ===

impl Fields<'_> {
    /// Reads fields whose keys are those of the series' last point.
    #[inline(always)]
    pub(super) fn guessed(
        &mut self,
        known: &KnownSeries,
        mut at: usize,
        values: &mut Values,
    ) -> Option<Found> {
        let shape = known.guess.as_deref()?;
        if !self.has_room_for(shape.longest) {
            return None;
        }
        let last = shape.keys.len() - 1;
        if last >= values.inline_size() {
            values.reserve_exact(last + 1);
        }
        for (index, key) in shape.keys.iter().enumerate() {
            if !key.stands_at(self.bytes, at) {
                return None;
            }
            let (value, end) = self.value(at + key.len())?;
            let is_more = self.bytes.get(end) == Some(&b',');
            if is_more != (index < last) {
                return None;
            }
            values.push(value);
            at = end + usize::from(is_more);
        }
        Some((self.twins.of(&shape.shape), at))
    }

    /// Reads fields whose keys are those of any known shape, which is the guess from then on.
    #[inline(never)]
    pub(super) fn other(
        &mut self,
        known: &mut KnownSeries,
        shapes: &mut ShapeTable,
        spans: &mut Vec<(usize, usize)>,
        mut at: usize,
        values: &mut Values,
    ) -> Option<Found> {
        spans.clear();
        loop {
            let start = at;
            at = field_key(self.bytes, start)?;
            spans.push((start, at));
            let (value, end) = self.value(at)?;
            values.push(value);
            at = end;
            if self.bytes.get(at) != Some(&b',') {
                break;
            }
            at += 1;
        }
        let shape = shapes.find(spans.iter().map(|(start, end)| &self.bytes[*start..*end]))?;
        if !shape.is_plain || !self.has_room_for(shape.longest) {
            return None;
        }
        known.guess = Some(Arc::clone(shape));
        Some((self.twins.of(&shape.shape), at))
    }

    #[inline(always)]
    fn has_room_for(&self, key_bytes: usize) -> bool {
        self.key_bytes + key_bytes + rules::SEPARATOR_BYTES <= KEY_BYTES_MAX
    }

    /// Reads a value; gives it and where it ends, which is at a comma, a blank, a line end or the end of the body.
    #[inline(always)]
    fn value(&mut self, at: usize) -> Option<(FieldValue, usize)> {
        let bytes = self.bytes;
        let (value, end) = match bytes.get(at)? {
            b'"' => text(bytes, at + 1, self.scratch)?,
            _ => match short_number(bytes, at) {
                Some((value, end)) if is_value_end(bytes, end) => return Some((value, end)),
                _ => {
                    let is_end = |byte: &u8| matches!(byte, b',' | b' ' | b'\n');
                    let end =
                        bytes[at..].iter().position(is_end).map_or(bytes.len(), |found| at + found);
                    (rules::plain_value(&bytes[at..end], self.unsigned).ok()?, end)
                }
            },
        };
        is_value_end(bytes, end).then_some((value, end))
    }
}

/// Gives the first blank behind `at`, when what stands before it is not special to any step of the server.
#[inline(always)]
pub(super) fn key_end(bytes: &[u8], at: usize) -> Option<usize> {
    if matches!(bytes[at], b' ' | b'\t' | 0 | b'#' | b',' | b'\n') {
        return None;
    }
    let mut from = at + 1;
    loop {
        let end = from + memchr::memchr2(b' ', b'\n', &bytes[from..])?;
        if bytes[end] == b'\n' {
            return None;
        }
        if bytes[end - 1] != b'\\' {
            return Some(end);
        }
        // Two backslashes and a blank go on with the key, and yet the fields begin where the line end is looked for.
        if end - 1 > at && bytes[end - 2] == b'\\' {
            return None;
        }
        from = end + 1;
    }
}

/// Gives where the key of a field and its equals sign end, when there is nothing special in it.
fn field_key(bytes: &[u8], start: usize) -> Option<usize> {
    let mut at = start;
    loop {
        match bytes.get(at)? {
            b'=' if at > start => return Some(at + 1),
            b'=' | b',' | b' ' | b'"' | b'\n' => return None,
            b'\\' if !matches!(bytes.get(at + 1), Some(b',' | b' ' | b'=')) => return None,
            b'\\' => at += 2,
            _ => at += 1,
        }
    }
}

#[inline(always)]
fn is_value_end(bytes: &[u8], at: usize) -> bool {
    matches!(bytes.get(at), None | Some(b',' | b' ' | b'\n'))
}

/// Reads a text from behind its first quote on; gives it and where the last one ends.
#[inline(always)]
fn text(bytes: &[u8], start: usize, scratch: &mut Vec<u8>) -> Option<(FieldValue, usize)> {
    let end = start + memchr::memchr2(b'"', b'\\', &bytes[start..])?;
    if bytes[end] == b'"' {
        let text = String::from_utf8_lossy(&bytes[start..end]);
        return Some((FieldValue::Str(text.as_ref().into()), end + 1));
    }
    escaped_text(bytes, start, end, scratch)
}

#[inline(never)]
fn escaped_text(
    bytes: &[u8],
    start: usize,
    mut at: usize,
    scratch: &mut Vec<u8>,
) -> Option<(FieldValue, usize)> {
    scratch.clear();
    let mut copied = start;
    while bytes[at] == b'\\' {
        let &escaped = bytes.get(at + 1)?;
        scratch.extend_from_slice(&bytes[copied..at]);
        copied = if matches!(escaped, b'"' | b'\\') { at + 1 } else { at };
        at += 2;
        at += memchr::memchr2(b'"', b'\\', &bytes[at..])?;
    }
    scratch.extend_from_slice(&bytes[copied..at]);
    let text = String::from_utf8_lossy(scratch);
    Some((FieldValue::Str(text.as_ref().into()), at + 1))
}
