//! Finds the parts of lines.
//!
//! One pass over the bytes. What decides is a table of byte classes; numbers of usual length are checked on the way.

use super::error::{BodyError, Cause, LineProblem};
use super::{Kind, Line, Span, Unit, value};
use crate::line_protocol::Refusal;

/// Reads a body line by line.
#[derive(Debug)]
pub struct Scanner<'b> {
    body: &'b str,
    unit: Unit,
    at: usize,
    spans: Vec<Span>,
    /// Whether the line that is read has a text with backslashes, or bytes.
    has_encoded: bool,
}

/// Line end.
const END: u8 = 1;
/// Comma.
const COMMA: u8 = 2;
/// Blank, tab, NUL, carriage return.
const BLANK: u8 = 4;
/// Equals sign.
const EQUALS: u8 = 8;
/// Backslash.
const BACKSLASH: u8 = 16;

const CLASSES: [u8; 256] = {
    let mut classes = [0; 256];
    classes[b'\n' as usize] = END;
    classes[b',' as usize] = COMMA;
    classes[b' ' as usize] = BLANK;
    classes[b'=' as usize] = EQUALS;
    classes[b'\\' as usize] = BACKSLASH;
    classes
};

/// How long measurement and tags may be. Source: the parser of upstream.
const KEY_BYTES_MAX: usize = 65_535;
/// So many digits fit an `i64` whatever they are.
const DIGITS_MAX: usize = 18;
/// How much of a number a message shows.
const DIGITS_SHOWN_MAX: usize = 64;

type Refused = (usize, Cause);

/// The parts of a line, while it is read.
struct Parts {
    name_end: usize,
    fields_end: usize,
    end: usize,
    time: Option<i64>,
    is_escaped: bool,
    has_duplicates: bool,
}

/// Remembers keys roughly: what it has not seen is new.
#[derive(Default)]
struct Seen([u64; 4]);

// === impl Seen ===

impl Seen {
    /// Says whether a key may have been there before.
    #[inline]
    fn insert(&mut self, key: &[u8]) -> bool {
        let (Some(&first), Some(&last)) = (key.first(), key.last()) else { return false };
        let middle = key[key.len() / 2];
        let mixed = u32::from(first)
            .wrapping_mul(0x9e37_79b1)
            .wrapping_add(u32::from(last).wrapping_mul(0x85eb_ca6b))
            .wrapping_add(u32::from(middle).wrapping_mul(0xc2b2_ae35))
            .wrapping_add((key.len() as u32).wrapping_mul(0x27d4_eb2f));
        let bit = mixed >> 24;
        let (word, mask) = (&mut self.0[(bit >> 6) as usize], 1 << (bit & 63));
        let was_there = *word & mask != 0;
        *word |= mask;
        was_there
    }
}

// === impl Scanner ===

impl<'b> Scanner<'b> {
    /// Starts at the beginning of a body.
    ///
    /// - Errors: the body has 4 GiB or more.
    pub fn new(body: &'b str, unit: Unit) -> Result<Self, BodyError> {
        if u32::try_from(body.len()).is_err() {
            return Err(BodyError::TooLarge(body.len()));
        }
        Ok(Scanner { body, unit, at: 0, spans: Vec::new(), has_encoded: false })
    }

    /// Gives the next line that is neither empty nor a comment.
    #[inline]
    pub fn next_line(&mut self) -> Option<Result<Line<'_, 'b>, LineProblem>> {
        let bytes = self.body.as_bytes();
        let start = loop {
            let start = blanks_end(bytes, self.at);
            match bytes.get(start) {
                None => return None,
                Some(b'\n') => self.at = start + 1,
                Some(b'#') => self.at = line_end(bytes, start) + 1,
                Some(_) => break start,
            }
        };
        match self.scan(start) {
            Ok(parts) => {
                self.at = parts.end + 1;
                Some(Ok(Line {
                    body: self.body,
                    spans: &self.spans,
                    start,
                    name_end: parts.name_end,
                    fields_end: parts.fields_end,
                    end: parts.end,
                    time: parts.time,
                    is_escaped: parts.is_escaped,
                    has_duplicates: parts.has_duplicates,
                    has_encoded: self.has_encoded,
                }))
            }
            Err((at, cause)) => {
                let end = line_end(bytes, start);
                self.at = end + 1;
                Some(Err(LineProblem::new(&self.body[start..end], at + 1, cause)))
            }
        }
    }

    fn scan(&mut self, start: usize) -> Result<Parts, Refused> {
        let bytes = self.body.as_bytes();
        self.spans.clear();
        self.has_encoded = false;
        let mut seen = Seen::default();
        let (mut is_escaped, mut is_suspicious) = (false, false);
        if bytes[start] == b',' {
            return Err((start, Refusal::MissingMeasurement.into()));
        }
        let name_end = find(bytes, start, COMMA | BLANK | END, &mut is_escaped);
        let mut at = name_end;
        while bytes.get(at) == Some(&b',') {
            let key_start = at + 1;
            let key_end = find(bytes, key_start, COMMA | BLANK | END | EQUALS, &mut is_escaped);
            if key_end == key_start {
                return Err((key_start, Refusal::MissingTagKey.into()));
            }
            if bytes.get(key_end) != Some(&b'=') {
                return Err((key_end, Refusal::MissingTagValue.into()));
            }
            let value_start = key_end + 1;
            at = find(bytes, value_start, COMMA | BLANK | END | EQUALS, &mut is_escaped);
            if at == value_start {
                return Err((at, Refusal::MissingTagValue.into()));
            }
            if bytes.get(at) == Some(&b'=') {
                return Err((at, Refusal::InvalidTagFormat.into()));
            }
            is_suspicious |= seen.insert(&bytes[key_start..key_end]);
            self.push(key_start, key_end, value_start, at, Kind::Tag);
        }
        if bytes.get(at) != Some(&b' ') {
            return Err((at, Refusal::MissingFields.into()));
        }
        if at - start > KEY_BYTES_MAX {
            return Err((at, Refusal::KeyTooLong { bytes: at - start }.into()));
        }
        let tags = self.spans.len();
        if is_suspicious && self.has_twice(0) {
            return Err((start, Refusal::DuplicateTags.into()));
        }
        at = blanks_end(bytes, at);
        if matches!(bytes.get(at), None | Some(b'\n')) {
            return Err((at, Refusal::MissingFields.into()));
        }
        loop {
            let key_start = at;
            let key_end = find(bytes, key_start, COMMA | BLANK | END | EQUALS, &mut is_escaped);
            if bytes.get(key_end) != Some(&b'=') {
                return Err((key_end, Refusal::InvalidFieldFormat.into()));
            }
            if key_end == key_start {
                return Err((key_start, Refusal::MissingFieldKey.into()));
            }
            is_suspicious |= seen.insert(&bytes[key_start..key_end]);
            at = self.value(key_start, key_end)?;
            if bytes.get(at) != Some(&b',') {
                break;
            }
            at += 1;
        }
        let fields_end = at;
        let (time, end) = self.time(at)?;
        let has_duplicates = is_suspicious && self.spans.len() > tags && self.has_twice(0);
        Ok(Parts { name_end, fields_end, end, time, is_escaped, has_duplicates })
    }

    #[inline]
    fn push(&mut self, key_start: usize, key_end: usize, start: usize, end: usize, kind: Kind) {
        // The length of the body was checked.
        self.spans.push(Span {
            key_start: key_start as u32,
            key_end: key_end as u32,
            value_start: start as u32,
            value_end: end as u32,
            kind,
        });
    }

    /// Says whether a key is there twice; escaped keys are compared as they stand.
    #[cold]
    fn has_twice(&self, from: usize) -> bool {
        let bytes = self.body.as_bytes();
        let mut keys: Vec<&[u8]> = self.spans[from..]
            .iter()
            .map(|span| &bytes[span.key_start as usize..span.key_end as usize])
            .collect();
        keys.sort_unstable();
        keys.array_windows().any(|[one, other]| one == other)
    }

    /// Reads the value behind `key_end`; gives where it ends.
    #[inline]
    fn value(&mut self, key_start: usize, key_end: usize) -> Result<usize, Refused> {
        let bytes = self.body.as_bytes();
        let start = key_end + 1;
        match bytes.get(start) {
            Some(b'0'..=b'9' | b'-' | b'.' | b'+') => {
                let (kind, digits_end, end) = number(self.body, start)?;
                self.push(key_start, key_end, start, digits_end, kind);
                Ok(end)
            }
            Some(b'"') => {
                let unbalanced = (start, Refusal::UnbalancedQuotes.into());
                let end = value::text_end(bytes, start + 1).ok_or(unbalanced)?;
                let raw = &bytes[start + 1..end];
                let kind = if bytes.get(end + 1) == Some(&b'b') {
                    value::bytes(&self.body[start + 1..end]).map_err(|cause| (start, cause))?;
                    Kind::Bytes
                } else if memchr::memchr(b'\\', raw).is_some() {
                    Kind::EscapedText
                } else {
                    Kind::Text
                };
                self.has_encoded |= kind != Kind::Text;
                self.push(key_start, key_end, start + 1, end, kind);
                let end = end + 1 + usize::from(kind == Kind::Bytes);
                if is_stop(bytes, end) {
                    Ok(end)
                } else {
                    Err((end, Refusal::InvalidFieldFormat.into()))
                }
            }
            Some(b'[') => {
                let end = array_end(bytes, start + 1).ok_or((start, Cause::Array))?;
                value::array(&self.body[start + 1..end]).map_err(|cause| (start, cause))?;
                self.push(key_start, key_end, start + 1, end, Kind::Array);
                if is_stop(bytes, end + 1) {
                    Ok(end + 1)
                } else {
                    Err((end + 1, Refusal::InvalidFieldFormat.into()))
                }
            }
            _ => self.word(key_start, key_end, start),
        }
    }

    fn word(&mut self, key_start: usize, key_end: usize, start: usize) -> Result<usize, Refused> {
        let bytes = self.body.as_bytes();
        let end = stop(bytes, start);
        let kind = match value::boolean(&self.body[start..end]) {
            Some(true) => Kind::True,
            Some(false) => Kind::False,
            None => {
                let refusal = match bytes.get(start) {
                    _ if end == start => Refusal::MissingFieldValue,
                    Some(b'N' | b'n' | b'I' | b'i') => Refusal::InvalidNumber,
                    _ => Refusal::InvalidBoolean,
                };
                return Err((start, refusal.into()));
            }
        };
        self.push(key_start, key_end, start, end, kind);
        Ok(end)
    }

    /// Reads the time, if there is one; gives where the line ends.
    #[inline]
    fn time(&self, fields_end: usize) -> Result<(Option<i64>, usize), Refused> {
        let bytes = self.body.as_bytes();
        let start = blanks_end(bytes, fields_end);
        if matches!(bytes.get(start), None | Some(b'\n')) {
            return Ok((None, start));
        }
        let is_negative = bytes[start] == b'-';
        let first = start + usize::from(is_negative);
        let (mut at, mut number) = (first, 0_u64);
        while let Some(digit @ 0..=9) = bytes.get(at).map(|byte| byte.wrapping_sub(b'0')) {
            number = number.wrapping_mul(10).wrapping_add(u64::from(digit));
            at += 1;
        }
        let is_end = |at| matches!(bytes.get(at), None | Some(b'\n' | b' ' | b'\t' | b'\r' | 0));
        if at == first || !is_end(at) {
            return Err((start, Refusal::BadTimestamp.into()));
        }
        let end = blanks_end(bytes, at);
        if !matches!(bytes.get(end), None | Some(b'\n')) {
            return Err((end, Refusal::InvalidPoint.into()));
        }
        // An `u64` holds nineteen digits of any kind.
        let number = match i64::try_from(number) {
            Ok(number) if at - first <= DIGITS_MAX + 1 => number,
            _ => {
                let digits = shown(&self.body[start..at]);
                let problem = "value out of range";
                return Err((start, Refusal::Timestamp { digits, problem }.into()));
            }
        };
        let number = if is_negative { -number } else { number };
        if number >= 0 && self.unit.time(number).is_none() {
            return Err((start, Cause::TimeRange(number)));
        }
        Ok((Some(number), end))
    }
}

/// Gives the first byte of some classes that has no backslash before it, or the end.
#[inline]
fn find(bytes: &[u8], mut at: usize, classes: u8, is_escaped: &mut bool) -> usize {
    while let Some(&byte) = bytes.get(at) {
        let class = CLASSES[byte as usize];
        if class & (classes | BACKSLASH) != 0 {
            if class != BACKSLASH {
                return at;
            }
            *is_escaped = true;
            // A backslash behind a backslash still makes plain what is behind it.
            at += usize::from(bytes.get(at + 1).is_some_and(|next| *next != b'\\'));
        }
        at += 1;
    }
    at.min(bytes.len())
}

#[inline]
fn blanks_end(bytes: &[u8], mut at: usize) -> usize {
    while matches!(bytes.get(at), Some(b' ' | b'\t' | b'\r' | 0)) {
        at += 1;
    }
    at
}

fn line_end(bytes: &[u8], at: usize) -> usize {
    memchr::memchr(b'\n', &bytes[at..]).map_or(bytes.len(), |found| at + found)
}

#[inline]
fn is_stop(bytes: &[u8], at: usize) -> bool {
    matches!(bytes.get(at), None | Some(b',' | b' ' | b'\n' | b'\r' | b'\t'))
}

fn stop(bytes: &[u8], mut at: usize) -> usize {
    while !is_stop(bytes, at) {
        at += 1;
    }
    at
}

/// Gives where the bracket is that ends a list.
fn array_end(bytes: &[u8], mut at: usize) -> Option<usize> {
    loop {
        match bytes.get(at)? {
            b']' => return Some(at),
            b'"' => at = value::text_end(bytes, at + 1)? + 1,
            b'\n' => return None,
            _ => at += 1,
        }
    }
}

/// Reads a number; gives what it is, where its digits end, and where it ends.
#[inline]
fn number(body: &str, start: usize) -> Result<(Kind, usize, usize), Refused> {
    let bytes = body.as_bytes();
    let first = start + usize::from(bytes[start] == b'-');
    let mut at = first;
    while bytes.get(at).is_some_and(u8::is_ascii_digit) {
        at += 1;
    }
    let mut digits = at - first;
    match bytes.get(at) {
        Some(b'i') if (1..=DIGITS_MAX).contains(&digits) && is_stop(bytes, at + 1) => {
            return Ok((Kind::Int, at, at + 1));
        }
        Some(b'.') => {
            at += 1;
            let point = at;
            while bytes.get(at).is_some_and(u8::is_ascii_digit) {
                at += 1;
            }
            digits += at - point;
        }
        _ => {}
    }
    if digits > 0 && digits <= DIGITS_MAX * 2 && is_stop(bytes, at) {
        return Ok((Kind::Float, at, at));
    }
    unusual_number(body, start)
}

#[cold]
fn unusual_number(body: &str, start: usize) -> Result<(Kind, usize, usize), Refused> {
    let end = stop(body.as_bytes(), start);
    let word = &body[start..end];
    let digits = &word[..word.floor_char_boundary(word.len().saturating_sub(1))];
    let is_whole = |text: &str| {
        let text = text.strip_prefix(['-', '+']).unwrap_or(text);
        !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit())
    };
    let refused = |refusal: Refusal| Err((start, refusal.into()));
    match word.as_bytes().last() {
        Some(b'i') if is_whole(digits) => match digits.parse::<i64>() {
            Ok(_) => Ok((Kind::Int, end - 1, end)),
            Err(_) => refused(Refusal::IntegerRange { digits: shown(digits) }),
        },
        Some(b'u') if is_whole(digits) && !digits.starts_with('-') => match digits.parse::<u64>() {
            Ok(_) => Ok((Kind::UInt, end - 1, end)),
            Err(_) => {
                let problem = "value out of range";
                refused(Refusal::Unsigned { digits: shown(digits), problem })
            }
        },
        _ => match value::float(word) {
            Some(number) if number.is_finite() => Ok((Kind::Float, end, end)),
            Some(_) => refused(Refusal::InvalidFloat),
            None => refused(Refusal::InvalidNumber),
        },
    }
}

fn shown(digits: &str) -> String {
    digits[..digits.floor_char_boundary(DIGITS_SHOWN_MAX)].to_owned()
}
