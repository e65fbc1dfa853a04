//! Batches as programs write them, one like the other: without blanks, with the members that are known, each point with the
//! fields of the one before. They are read in one pass and compared with what was read before.
//!
//! ```text
//! {"name":"cpu","tags":{"host":"a"},"points":[{"fields":{"usage":97.1,"idle":2.5},"tags":{"host":"a"},"time":"2026-03-01T10:00:50Z"},…]}
//!          └ the last ┘  └ known spelling ┘              └ keys of the last shape ┘
//! ```
//!
//! Anything else, right or wrong, gives nothing here, and [`super::quick`] reads the line from its beginning. What is read here
//! is what it would read.

use std::sync::Arc;

use levada_model::{FieldValue, Point, Str, Timestamp, Values};

use super::RecordedBatch;
use super::quick::{Batches, Tags};

/// Up to here a float holds every integer.
const EXACT_MAX: u64 = 1 << 53;
/// Powers of ten that a float holds exactly; a quotient of two exact numbers is the nearest float.
const TENS: [f64; 16] =
    [1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14, 1e15];
/// So many digits fit a `u64`.
const DIGITS_MAX: usize = 18;
/// A time has fewer bytes.
const TIME_BYTES_MAX: usize = 40;
/// One of whole seconds has so many with its quotes.
const WHOLE_BYTES: usize = 22;

/// A place in a line.
struct Cursor<'l> {
    line: &'l [u8],
    at: usize,
}

// === impl Batches ===

impl Batches {
    /// Reads one line; nothing when it is not as those before.
    pub(super) fn straight(&mut self, line: &[u8]) -> Option<RecordedBatch> {
        let mut cursor = Cursor { line, at: 0 };
        cursor.expect(b"{\"name\":\"")?;
        let name = Str::clone(&self.name);
        if name.bytes().any(|byte| matches!(byte, b'"' | b'\\') || byte < b' ') {
            return None;
        }
        if !cursor.skip_known(name.as_bytes()) {
            return None;
        }
        cursor.expect(b"\"")?;
        let (mut tmax, mut by_name, mut has_group, mut tags) = (None, None, false, None);
        loop {
            cursor.expect(b",\"")?;
            if cursor.skip(b"points\":[") {
                break;
            } else if tmax.is_none() && cursor.skip(b"tmax\":") {
                tmax = Some(self.spelled_time(cursor.time()?)?);
            } else if by_name.is_none() && cursor.skip(b"byname\":") {
                by_name = Some(cursor.flag()?);
            } else if !has_group && cursor.skip(b"group\":") {
                cursor.text(usize::MAX)?;
                has_group = true;
            } else if tags.is_none() && cursor.skip(b"tags\":") {
                tags = Some(self.known_tags(&mut cursor)?);
            } else {
                return None;
            }
        }
        let tags = tags?;
        let mut points = Vec::with_capacity(self.points);
        let mut last = i64::MIN;
        loop {
            let point = self.straight_point(&mut cursor, &tags)?;
            last = last.max(point.time.0);
            points.push(point);
            if !cursor.skip(b",") {
                break;
            }
        }
        cursor.expect(b"]}")?;
        if cursor.at != line.len() {
            return None;
        }
        self.points = points.len();
        let time = Timestamp(tmax.map_or(last, |tmax| tmax.max(last)));
        let key = tags.key(&name, by_name.unwrap_or(false));
        Some(RecordedBatch { name, key, time, points })
    }

    fn straight_point(&mut self, cursor: &mut Cursor<'_>, of_batch: &Arc<Tags>) -> Option<Point> {
        cursor.expect(b"{\"fields\":{")?;
        let fields = self.shapes.get(self.shape)?;
        let mut values = Values::new();
        for key in &fields.keys {
            if !cursor.skip_known(key) {
                return None;
            }
            values.push(cursor.value()?);
        }
        let shape = Arc::clone(&fields.shape);
        cursor.expect(b"},\"")?;
        let series = if cursor.skip(b"tags\":") {
            let series =
                match !of_batch.spelling.is_empty() && cursor.skip_known(&of_batch.spelling) {
                    true => Arc::clone(&of_batch.series),
                    false => Arc::clone(&self.known_tags(cursor)?.series),
                };
            cursor.expect(b",\"")?;
            series
        } else {
            Arc::clone(&of_batch.series)
        };
        cursor.expect(b"time\":")?;
        let time = Timestamp(self.spelled_time(cursor.time()?)?);
        cursor.expect(b"}")?;
        Some(Point { series, shape, values, time })
    }

    /// Finds tags that were spelled so before.
    fn known_tags(&self, cursor: &mut Cursor<'_>) -> Option<Arc<Tags>> {
        // A longer spelling in which the brace stands in a string is not among those that are known.
        let rest = &cursor.line[cursor.at..];
        let end = memchr::memchr(b'}', rest)? + 1;
        let known = self.tags.get(&rest[..end])?;
        cursor.at += end;
        Some(Arc::clone(known))
    }
}

// === impl Cursor ===

impl<'l> Cursor<'l> {
    /// Steps over a text of the form, whose length is known where this is compiled.
    #[inline(always)]
    fn skip(&mut self, text: &[u8]) -> bool {
        let is_there = self.line[self.at..].starts_with(text);
        self.at += if is_there { text.len() } else { 0 };
        is_there
    }

    #[inline(always)]
    fn expect(&mut self, text: &[u8]) -> Option<()> {
        self.skip(text).then_some(())
    }

    /// Steps over a text that was read before.
    #[inline(always)]
    fn skip_known(&mut self, text: &[u8]) -> bool {
        let is_there = begins_with(&self.line[self.at..], text);
        self.at += if is_there { text.len() } else { 0 };
        is_there
    }

    /// Reads a string without escapes of fewer bytes than `most`.
    fn text(&mut self, most: usize) -> Option<&'l [u8]> {
        self.expect(b"\"")?;
        let rest = &self.line[self.at..];
        let rest = &rest[..rest.len().min(most)];
        let end = rest.iter().position(|byte| matches!(byte, b'"' | b'\\') || *byte < b' ')?;
        if rest[end] != b'"' {
            return None;
        }
        self.at += end + 1;
        Some(&rest[..end])
    }

    /// Reads the string of a time; what is in it is for the caller to see.
    fn time(&mut self) -> Option<&'l [u8]> {
        // Nearly all are of whole seconds: `"2026-03-01T10:00:50Z"`.
        if let Some([b'"', .., b'Z', b'"']) = self.line.get(self.at..self.at + WHOLE_BYTES) {
            let text = self.at + 1..self.at + WHOLE_BYTES - 1;
            self.at += WHOLE_BYTES;
            return Some(&self.line[text]);
        }
        self.text(TIME_BYTES_MAX)
    }

    fn flag(&mut self) -> Option<bool> {
        if self.skip(b"true") {
            return Some(true);
        }
        self.skip(b"false").then_some(false)
    }

    fn value(&mut self) -> Option<FieldValue> {
        match self.line.get(self.at)? {
            b'"' => {
                let text = std::str::from_utf8(self.text(usize::MAX)?).ok()?;
                Some(FieldValue::Str(Str::from(text)))
            }
            b't' | b'f' => self.flag().map(FieldValue::Bool),
            _ => self.number().map(FieldValue::Float),
        }
    }

    /// Reads a number of JSON without exponent that the quotient of two exact numbers is.
    fn number(&mut self) -> Option<f64> {
        let is_negative = self.skip(b"-");
        let first = self.at;
        let mut digits = 0_u64;
        self.digits(&mut digits);
        let whole = self.at - first;
        let has_leading_zero = whole > 1 && self.line[first] == b'0';
        if whole == 0 || has_leading_zero {
            return None;
        }
        let mut fraction = 0;
        if self.skip(b".") {
            let point = self.at;
            self.digits(&mut digits);
            fraction = self.at - point;
            if fraction == 0 {
                return None;
            }
        }
        // An exponent, or anything else that does not end a number, is not what the caller expects next.
        if whole + fraction > DIGITS_MAX || digits > EXACT_MAX {
            return None;
        }
        let number = digits as f64 / TENS.get(fraction)?;
        Some(if is_negative { -number } else { number })
    }

    fn digits(&mut self, number: &mut u64) {
        while let Some(digit @ 0..=9) = self.line.get(self.at).map(|byte| byte.wrapping_sub(b'0')) {
            *number = number.wrapping_mul(10).wrapping_add(u64::from(digit));
            self.at += 1;
        }
    }
}

/// Compares as words: calling a function for the few bytes of a key takes longer than comparing them.
#[inline(always)]
fn begins_with(rest: &[u8], mut text: &[u8]) -> bool {
    let Some(mut rest) = rest.get(..text.len()) else { return false };
    while let (Some((word, behind)), Some((other, text_behind))) =
        (rest.split_first_chunk::<8>(), text.split_first_chunk::<8>())
    {
        if word != other {
            return false;
        }
        (rest, text) = (behind, text_behind);
    }
    // The first and the last four of what is left: together all of it.
    if let (Some(start), Some(end)) = (rest.first_chunk::<4>(), rest.last_chunk::<4>()) {
        return text.first_chunk() == Some(start) && text.last_chunk() == Some(end);
    }
    rest.iter().zip(text).all(|(byte, other)| byte == other)
}

#[cfg(test)]
mod tests;
