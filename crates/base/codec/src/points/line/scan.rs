//! Finds the parts of lines.
//!
//! One pass from stop to stop. What decides is a table of byte classes; numbers of usual length are checked on the way.

use super::error::{BodyError, Cause, LineProblem};
use super::marks::Marks;
use super::{Kind, Line, Span, Unit, value};
use crate::line_protocol::{Refusal, short_time};

/// Reads a body line by line.
#[derive(Debug)]
pub struct Scanner<'b> {
    body: &'b str,
    marks: Marks,
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
/// Blank. Tabs, carriage returns and NUL stand for themselves in names.
const BLANK: u8 = 4;
/// Equals sign.
const EQUALS: u8 = 8;
/// Backslash.
const BACKSLASH: u8 = 16;
/// What ends a name or a value.
const ENDS: u8 = COMMA | BLANK | END;

/// What a byte is; those that are something are the stops of [`Marks`].
pub(super) const CLASSES: [u8; 256] = {
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
/// So long are numbers that are looked at as a whole.
const NUMBER_BYTES_MAX: usize = 2 * DIGITS_MAX;
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

/// Whether a key of a line is there twice.
#[derive(Default)]
struct Keys {
    /// Remembers keys roughly: what it has not seen is new.
    seen: [u64; 8],
    has_twice: bool,
    /// Some key may be there twice.
    is_suspicious: bool,
}

/// So many entries are looked through for a key that may be there; the keys of longer lines are sorted.
const COMPARED_MAX: usize = 64;

// === impl Keys ===

impl Keys {
    /// Says whether a key may have been there before.
    #[inline(always)]
    fn insert(&mut self, key: &[u8]) -> bool {
        let (Some(&first), Some(&last)) = (key.first(), key.last()) else { return false };
        let sample = u32::from_le_bytes([first, last, key[key.len() / 2], key.len() as u8]);
        let bit = sample.wrapping_mul(0x85eb_ca6b) >> 23;
        let (word, mask) = (&mut self.seen[(bit >> 6) as usize], 1 << (bit & 63));
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
        let marks = Marks::at(body.as_bytes(), 0);
        Ok(Scanner { body, marks, unit, at: 0, spans: Vec::new(), has_encoded: false })
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
        self.marks.skip_to(bytes, start);
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
                // A text may have line ends, so what was read may reach beyond the first. It is not read again: a body in
                // which each line reaches to the end would take forever.
                self.at = line_end(bytes, self.marks.passed().max(start)) + 1;
                Some(Err(LineProblem::new(&self.body[start..end], at + 1, cause)))
            }
        }
    }

    fn scan(&mut self, start: usize) -> Result<Parts, Refused> {
        let bytes = self.body.as_bytes();
        self.spans.clear();
        self.has_encoded = false;
        let (mut keys, mut is_escaped) = (Keys::default(), false);
        if bytes[start] == b',' {
            return Err((start, Refusal::MissingMeasurement.into()));
        }
        let (name_end, mut stop) = self.find(ENDS, &mut is_escaped);
        let mut at = name_end;
        while stop == b',' {
            let key_start = at + 1;
            let (key_end, equals) = self.find(ENDS | EQUALS, &mut is_escaped);
            if key_end == key_start {
                return Err((key_start, Refusal::MissingTagKey.into()));
            }
            if equals != b'=' {
                return Err((key_end, Refusal::MissingTagValue.into()));
            }
            let value_start = key_end + 1;
            (at, stop) = self.find(ENDS | EQUALS, &mut is_escaped);
            if at == value_start {
                return Err((at, Refusal::MissingTagValue.into()));
            }
            if stop == b'=' {
                return Err((at, Refusal::InvalidTagFormat.into()));
            }
            self.note_key(&bytes[key_start..key_end], &mut keys);
            self.push(key_start, key_end, value_start, at, Kind::Tag);
        }
        if stop != b' ' {
            return Err((at, Refusal::MissingFields.into()));
        }
        if at - start > KEY_BYTES_MAX {
            return Err((at, Refusal::KeyTooLong { bytes: at - start }.into()));
        }
        if self.has_twice(&keys) {
            return Err((start, Refusal::DuplicateTags.into()));
        }
        at = blanks_end(bytes, at);
        if matches!(bytes.get(at), None | Some(b'\n')) {
            return Err((at, Refusal::MissingFields.into()));
        }
        self.marks.skip_to(bytes, at);
        let fields_end = loop {
            let key_start = at;
            let (key_end, equals) = self.find(ENDS | EQUALS, &mut is_escaped);
            if equals != b'=' {
                return Err((key_end, Refusal::InvalidFieldFormat.into()));
            }
            if key_end == key_start {
                return Err((key_start, Refusal::MissingFieldKey.into()));
            }
            self.note_key(&bytes[key_start..key_end], &mut keys);
            let value_start = key_end + 1;
            at = match self.short_number(value_start) {
                Some((kind, digits_end, end)) => {
                    self.push(key_start, key_end, value_start, digits_end, kind);
                    end
                }
                None => self.value(key_start, key_end)?,
            };
            if bytes.get(at) != Some(&b',') {
                break at;
            }
            at += 1;
        };
        let (time, end) = match self.usual_time(fields_end) {
            Some((time, end)) => (Some(time), end),
            None => self.time(fields_end)?,
        };
        let has_duplicates = self.has_twice(&keys);
        Ok(Parts { name_end, fields_end, end, time, is_escaped, has_duplicates })
    }

    #[inline(always)]
    fn push(&mut self, key_start: usize, key_end: usize, start: usize, end: usize, kind: Kind) {
        // The length of the body was checked.
        let [key_start, key_end, value_start, value_end] =
            [key_start, key_end, start, end].map(|at| at as u32);
        self.spans.push(Span { key_start, key_end, value_start, value_end, kind });
    }

    /// Notes the key of the entry that comes next.
    #[inline(always)]
    fn note_key(&self, key: &[u8], keys: &mut Keys) {
        if keys.insert(key) {
            match self.spans.len() <= COMPARED_MAX {
                true => keys.has_twice |= self.has_key(key),
                false => keys.is_suspicious = true,
            }
        }
    }

    /// Says whether a key is there; escaped keys are compared as they stand.
    #[inline(never)]
    fn has_key(&self, key: &[u8]) -> bool {
        self.keys().any(|known| known == key)
    }

    /// Says whether a key is there twice; escaped keys are compared as they stand.
    #[inline]
    fn has_twice(&self, keys: &Keys) -> bool {
        keys.has_twice || keys.is_suspicious && self.sorted_has_twice()
    }

    #[cold]
    fn sorted_has_twice(&self) -> bool {
        let mut keys: Vec<&[u8]> = self.keys().collect();
        keys.sort_unstable();
        keys.array_windows().any(|[one, other]| one == other)
    }

    fn keys(&self) -> impl Iterator<Item = &'b [u8]> {
        let bytes = self.body.as_bytes();
        self.spans.iter().map(|span| &bytes[span.key_start as usize..span.key_end as usize])
    }

    /// Reads the value behind `key_end`; gives where it ends.
    #[inline]
    fn value(&mut self, key_start: usize, key_end: usize) -> Result<usize, Refused> {
        let bytes = self.body.as_bytes();
        let start = key_end + 1;
        match bytes.get(start) {
            Some(b'0'..=b'9' | b'-' | b'.' | b'+') => {
                // Its end was passed: by the next stop, or it is a tab or a carriage return, behind which no field follows.
                let (kind, digits_end, end) = number(self.body, start)?;
                self.push(key_start, key_end, start, digits_end, kind);
                Ok(end)
            }
            Some(b'"') => {
                let unbalanced = (start, Refusal::UnbalancedQuotes.into());
                let end = value::text_end(bytes, start + 1).ok_or(unbalanced)?;
                self.marks.pass(end);
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
                self.ended(end)
            }
            Some(b'[') => {
                let end = array_end(bytes, start + 1);
                self.marks.pass(end.unwrap_or_else(|given_up| given_up));
                let end = end.map_err(|_| (start, Cause::Array))?;
                value::array(&self.body[start + 1..end]).map_err(|cause| (start, cause))?;
                self.push(key_start, key_end, start + 1, end, Kind::Array);
                self.ended(end + 1)
            }
            _ => self.word(key_start, key_end, start),
        }
    }

    /// Passes stops up to the first of some classes that has no backslash before it; gives where it is and what, or the
    /// end and nothing.
    #[inline(always)]
    fn find(&mut self, classes: u8, is_escaped: &mut bool) -> (usize, u8) {
        let bytes = self.body.as_bytes();
        loop {
            let at = self.marks.next(bytes);
            let Some(&byte) = bytes.get(at) else { return (at, 0) };
            let class = CLASSES[byte as usize];
            if class & classes != 0 {
                return (at, byte);
            }
            if class == BACKSLASH {
                *is_escaped = true;
                // A backslash behind a backslash still makes plain what is behind it.
                if bytes.get(at + 1).is_some_and(|next| *next != b'\\') {
                    self.marks.skip_to(bytes, at + 2);
                }
            }
        }
    }

    /// Passes the next stop, whatever comes of it, and reads a number before it, of usual length and digits with at most one other byte; gives
    /// what it is, where its digits end, and where it ends.
    #[inline(always)]
    fn short_number(&mut self, start: usize) -> Option<(Kind, usize, usize)> {
        let bytes = self.body.as_bytes();
        let end = self.marks.next(bytes);
        let is_end = bytes.get(end).is_none_or(|stop| CLASSES[*stop as usize] & ENDS != 0);
        let length = end - start;
        if !is_end || length > NUMBER_BYTES_MAX {
            return None;
        }
        let minus = usize::from(bytes.get(start) == Some(&b'-'));
        let others = !self.marks.digits(start)? & ((1 << length) - 1) & !(minus as u64);
        if others == 0 {
            return (length > minus).then_some((Kind::Float, end, end));
        }
        let first = others.trailing_zeros() as usize;
        let is_alone = others & (others - 1) == 0;
        match bytes.get(start + first) {
            Some(b'.') if is_alone && length > minus + 1 => Some((Kind::Float, end, end)),
            Some(b'i') if first + 1 == length && (1..=DIGITS_MAX).contains(&(first - minus)) => {
                Some((Kind::Int, end - 1, end))
            }
            _ => None,
        }
    }

    /// Reads a time as most are: behind one blank, before the line end; gives it and where the line ends.
    #[inline(always)]
    fn usual_time(&self, fields_end: usize) -> Option<(i64, usize)> {
        let bytes = self.body.as_bytes();
        if bytes.get(fields_end) != Some(&b' ') {
            return None;
        }
        let (number, end) = short_time(bytes, fields_end + 1)?;
        let is_good =
            bytes.get(end) == Some(&b'\n') && (number < 0 || self.unit.time(number).is_some());
        is_good.then_some((number, end))
    }

    fn word(&mut self, key_start: usize, key_end: usize, start: usize) -> Result<usize, Refused> {
        let bytes = self.body.as_bytes();
        let end = value_end(bytes, start);
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
        self.ended(end)
    }

    /// Goes on behind a value that was not read from stop to stop.
    fn ended(&mut self, end: usize) -> Result<usize, Refused> {
        let bytes = self.body.as_bytes();
        if !ends_value(bytes, end) {
            return Err((end, Refusal::InvalidFieldFormat.into()));
        }
        self.marks.skip_to(bytes, end + 1);
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
        let (number, at) = match short_time(bytes, start) {
            Some((number, at)) => (Some(number), at),
            None => (None, long_time_end(bytes, start)),
        };
        let is_end = |at| matches!(bytes.get(at), None | Some(b'\n' | b' ' | b'\t' | b'\r' | 0));
        if at == start || !is_end(at) {
            return Err((start, Refusal::BadTimestamp.into()));
        }
        let end = blanks_end(bytes, at);
        if !matches!(bytes.get(end), None | Some(b'\n')) {
            return Err((end, Refusal::InvalidPoint.into()));
        }
        let Some(number) = number else {
            let digits = shown(&self.body[start..at]);
            let problem = "value out of range";
            return Err((start, Refusal::Timestamp { digits, problem }.into()));
        };
        if number >= 0 && self.unit.time(number).is_none() {
            return Err((start, Cause::TimeRange(number)));
        }
        Ok((Some(number), end))
    }
}

/// Gives where the digits of a time end that is not short; `start` when there are none.
#[cold]
fn long_time_end(bytes: &[u8], start: usize) -> usize {
    let first = start + usize::from(bytes[start] == b'-');
    let count = bytes[first..].iter().take_while(|byte| byte.is_ascii_digit()).count();
    if count == 0 { start } else { first + count }
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
fn ends_value(bytes: &[u8], at: usize) -> bool {
    matches!(bytes.get(at), None | Some(b',' | b' ' | b'\n' | b'\r' | b'\t'))
}

fn value_end(bytes: &[u8], mut at: usize) -> usize {
    while !ends_value(bytes, at) {
        at += 1;
    }
    at
}

/// Gives where the bracket is that ends a list; or else where it was given up.
fn array_end(bytes: &[u8], mut at: usize) -> Result<usize, usize> {
    loop {
        match bytes.get(at) {
            Some(b']') => return Ok(at),
            Some(b'"') => at = value::text_end(bytes, at + 1).ok_or(bytes.len())? + 1,
            None | Some(b'\n') => return Err(at),
            Some(_) => at += 1,
        }
    }
}

/// Reads a number; gives what it is, where its digits end, and where it ends.
#[cold]
fn number(body: &str, start: usize) -> Result<(Kind, usize, usize), Refused> {
    let end = value_end(body.as_bytes(), start);
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
