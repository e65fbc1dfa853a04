//! The rules of the server, one after the other, for the lines that the quick way does not take.
//!
//! An InfluxDB 1.6 server looks at a line several times, and not always with the same idea of what a backslash
//! does. What follows from that is kept: it decides which lines are good.
//!
//! | step | a backslash makes plain |
//! |---|---|
//! | where the line ends | the byte behind it, whichever it is |
//! | measurement and tags | the byte behind it, even when the backslash itself stands behind one |
//! | where the fields end | the byte behind it, whichever it is |
//! | key of a field | as for tags |
//! | value of a field | `"` and `\` behind it |
//!
//! So a comment with `="` takes the lines up to the next quote with it, `f="a"b` is the text `a"`, and a line may go
//! on behind a backslash.
//!
//! Source: InfluxDB 1.6.7, observed; the tests that run against the real server hold both side by side.

use std::borrow::Cow;

use levada_model::point::FieldValue;
use thiserror::Error;

use super::Precision;

/// How long measurement and tags may be, and these with the key of a field.
pub(super) const KEY_BYTES_MAX: usize = 65_535;
/// What the server's storage puts between the key of a series and that of a field.
pub(super) const SEPARATOR_BYTES: usize = 4;
/// The server keeps the outermost values of an `i64` for itself.
const TIME_MIN: i64 = i64::MIN + 2;
const TIME_MAX: i64 = i64::MAX - 1;

/// Why a line is refused, in the words of the server.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum Refusal {
    /// The line begins with a comma.
    #[error("missing measurement")]
    MissingMeasurement,
    /// A tag without a key.
    #[error("missing tag key")]
    MissingTagKey,
    /// A tag without a value.
    #[error("missing tag value")]
    MissingTagValue,
    /// An equals sign within the value of a tag.
    #[error("invalid tag format")]
    InvalidTagFormat,
    /// Two tags with one key.
    #[error("duplicate tags")]
    DuplicateTags,
    /// The line ends before its fields.
    #[error("missing fields")]
    MissingFields,
    /// A field without a key.
    #[error("missing field key")]
    MissingFieldKey,
    /// A field without a value.
    #[error("missing field value")]
    MissingFieldValue,
    /// Commas and equals signs do not alternate.
    #[error("invalid field format")]
    InvalidFieldFormat,
    /// The last field has no value.
    #[error("invalid value: field-key={key}")]
    InvalidValue {
        /// Its key, or the beginning of it.
        key: String,
    },
    /// A number that is none, or not finite.
    #[error("invalid number")]
    InvalidNumber,
    /// A number beyond the range of a float.
    #[error("invalid float")]
    InvalidFloat,
    /// A value that is neither a number nor a text and no truth value.
    #[error("invalid boolean")]
    InvalidBoolean,
    /// A number beyond the range of an integer.
    #[error(
        "unable to parse integer {digits}: strconv.ParseInt: parsing {digits:?}: value out of range"
    )]
    IntegerRange {
        /// The number, or the beginning of it.
        digits: String,
    },
    /// A number beyond the range of an unsigned integer.
    #[error("unable to parse unsigned {digits}: strconv.ParseUint: parsing {digits:?}: {problem}")]
    Unsigned {
        /// The number, or the beginning of it.
        digits: String,
        /// What is wrong with it.
        problem: &'static str,
    },
    /// A text that does not end.
    #[error("unbalanced quotes")]
    UnbalancedQuotes,
    /// A time that is no number.
    #[error("bad timestamp")]
    BadTimestamp,
    /// A time beyond the range of an integer, or nothing but a minus.
    #[error("strconv.ParseInt: parsing {digits:?}: {problem}")]
    Timestamp {
        /// The number, or the beginning of it.
        digits: String,
        /// What is wrong with it.
        problem: &'static str,
    },
    /// A time that nanoseconds cannot count.
    #[error("time outside range {TIME_MIN} - {TIME_MAX}")]
    TimeRange,
    /// Something behind the time.
    #[error("point is invalid")]
    InvalidPoint,
    /// Names that are too long.
    #[error("max key length exceeded: {bytes} > {KEY_BYTES_MAX}")]
    KeyTooLong {
        /// How long they are.
        bytes: usize,
    },
}

/// A refusal and the offset in the line at which it was found.
pub(super) type Refused = (usize, Refusal);

/// A good line in its parts, which are still escaped.
#[derive(Debug)]
pub(super) struct Parts<'t> {
    pub(super) key: &'t [u8],
    pub(super) fields: Vec<(&'t [u8], FieldValue)>,
    pub(super) time: Option<i64>,
}

/// Gives where the line that begins at `at` ends: its line end, or the end of the text.
pub(super) fn line_end(text: &[u8], mut at: usize) -> usize {
    let (mut in_fields, mut in_quotes) = (false, false);
    let (mut equals, mut commas) = (0_usize, 0_usize);
    while let Some(&byte) = text.get(at) {
        match byte {
            b'\\' if at + 2 < text.len() => at += 1,
            b' ' => in_fields = true,
            b'=' if in_fields && !in_quotes => equals += 1,
            b',' if in_fields && !in_quotes => commas += 1,
            b'"' if in_fields && equals > commas => in_quotes = !in_quotes,
            b'\n' if !in_quotes => break,
            _ => {}
        }
        at += 1;
    }
    at.min(text.len())
}

/// Gives the offset of the first byte that is no blank.
pub(super) fn skip_blanks(text: &[u8], at: usize) -> usize {
    let is_blank = |byte: &&u8| matches!(byte, b' ' | b'\t' | 0);
    at + text[at..].iter().take_while(is_blank).count()
}

/// Takes a line apart; it is not empty and does not begin with a blank.
pub(super) fn parts(
    line: &[u8],
    precision: Precision,
    unsigned: bool,
) -> Result<Parts<'_>, Refused> {
    let key_end = key_end(line)?;
    let key = &line[..key_end];
    check_duplicates(key)?;
    if key.len() > KEY_BYTES_MAX {
        return Err((KEY_BYTES_MAX, Refusal::KeyTooLong { bytes: key.len() }));
    }
    let start = skip_blanks(line, key_end);
    let end = fields_end(line, start, unsigned)?;
    let fields = fields(&line[..end], start, key.len(), unsigned)?;
    let time = time(line, end, precision)?;
    Ok(Parts { key, fields, time })
}

/// Gives whether the byte at `at` has a backslash before it.
fn is_escaped(line: &[u8], at: usize) -> bool {
    at > 0 && line[at - 1] == b'\\'
}

/// Gives the offset of the first of `stops` behind `at` that no backslash precedes.
fn find_plain(line: &[u8], at: usize, stops: &[u8]) -> Option<usize> {
    (at..line.len()).find(|at| stops.contains(&line[*at]) && !is_escaped(line, *at))
}

/// Gives where measurement and tags end: at a blank.
fn key_end(line: &[u8]) -> Result<usize, Refused> {
    if line.first() == Some(&b',') {
        return Err((0, Refusal::MissingMeasurement));
    }
    let missing_fields = (line.len(), Refusal::MissingFields);
    let Some(mut at) = find_plain(line, 1, b", ") else { return Err(missing_fields) };
    while line[at] == b',' {
        let key = at + 1;
        if matches!(line.get(key), None | Some(b' ' | b',' | b'=')) {
            return Err((key, Refusal::MissingTagKey));
        }
        let equals = match find_plain(line, key + 1, b"=, ") {
            Some(equals) if line[equals] == b'=' => equals,
            other => return Err((other.unwrap_or(line.len()), Refusal::MissingTagValue)),
        };
        let value = equals + 1;
        if matches!(line.get(value), None | Some(b' ' | b',')) {
            return Err((value, Refusal::MissingTagValue));
        }
        match find_plain(line, value + 1, b"=, ") {
            None => return Err(missing_fields),
            Some(equals) if line[equals] == b'=' => {
                return Err((equals, Refusal::InvalidTagFormat));
            }
            Some(end) => at = end,
        }
    }
    Ok(at)
}

/// Gives the tags of a key that is well formed, still escaped.
pub(super) fn raw_tags(key: &[u8]) -> impl Iterator<Item = (&[u8], &[u8])> {
    let mut at = measurement_end(key);
    std::iter::from_fn(move || {
        if at >= key.len() {
            return None;
        }
        let start = at + 1;
        let equals = find_plain(key, start + 1, b"=")?;
        at = find_plain(key, equals + 2, b",").unwrap_or(key.len());
        Some((&key[start..equals], &key[equals + 1..at]))
    })
}

/// Gives where the measurement of a key ends.
pub(super) fn measurement_end(key: &[u8]) -> usize {
    find_plain(key, 1, b",").unwrap_or(key.len())
}

fn check_duplicates(key: &[u8]) -> Result<(), Refused> {
    let mut names: Vec<&[u8]> = raw_tags(key).map(|(name, _)| name).collect();
    names.sort_unstable();
    match names.array_windows().any(|[one, other]| one == other) {
        true => Err((0, Refusal::DuplicateTags)),
        false => Ok(()),
    }
}

/// Gives where the fields that begin at `start` end: at a blank outside of texts, or with the line.
fn fields_end(line: &[u8], start: usize, unsigned: bool) -> Result<usize, Refused> {
    let mut at = start;
    let mut quote = None;
    let (mut equals, mut commas) = (0_usize, 0_usize);
    while let Some(&byte) = line.get(at) {
        match byte {
            b'\\' if at + 1 < line.len() => at += 1,
            b'"' if equals > commas => quote = if quote.is_some() { None } else { Some(at) },
            _ if quote.is_some() => {}
            b'=' => {
                equals += 1;
                let is_first = matches!(line[at - 1], b',' | b' ');
                if is_first && !is_escaped(line, at - 1) {
                    return Err((at, Refusal::MissingFieldKey));
                }
                match line.get(at + 1) {
                    None | Some(b',' | b' ') => return Err((at + 1, Refusal::MissingFieldValue)),
                    Some(b'"') => {}
                    Some(_) => {
                        let end = token_end(line, at + 1);
                        if let Err(refusal) = plain_value(&line[at + 1..end], unsigned) {
                            return Err((at + 1, refusal));
                        }
                        at = end;
                        continue;
                    }
                }
            }
            b',' => commas += 1,
            b' ' => break,
            _ => {}
        }
        at += 1;
    }
    if let Some(quote) = quote {
        return Err((quote, Refusal::UnbalancedQuotes));
    }
    if equals == 0 || commas != equals - 1 {
        return Err((start, Refusal::InvalidFieldFormat));
    }
    Ok(at.min(line.len()))
}

/// Gives where a number or a truth value ends.
fn token_end(line: &[u8], at: usize) -> usize {
    memchr::memchr2(b',', b' ', &line[at..]).map_or(line.len(), |found| at + found)
}

/// Takes the fields apart once more: keys end as those of tags do, values as texts do.
fn fields(
    line: &[u8],
    start: usize,
    key_bytes: usize,
    unsigned: bool,
) -> Result<Vec<(&[u8], FieldValue)>, Refused> {
    let mut found = Vec::new();
    let mut at = start;
    while at < line.len() {
        let rest = &line[at..];
        let equals = find_plain(rest, 0, b"=").unwrap_or(rest.len());
        let name = &rest[..equals];
        if equals + 2 > rest.len() {
            return Err((at, Refusal::InvalidValue { key: beginning(name) }));
        }
        let bytes = key_bytes + SEPARATOR_BYTES + name.len();
        if bytes > KEY_BYTES_MAX {
            return Err((at, Refusal::KeyTooLong { bytes }));
        }
        let value = at + equals + 1;
        let end = value_end(line, value);
        found.push((name, field_value(&line[value..end], unsigned).map_err(|why| (value, why))?));
        at = end + 1;
    }
    Ok(found)
}

fn value_end(line: &[u8], mut at: usize) -> usize {
    let mut in_quotes = false;
    while let Some(&byte) = line.get(at) {
        match byte {
            b'\\' if matches!(line.get(at + 1), Some(b'"' | b'\\')) => at += 1,
            b'"' => in_quotes = !in_quotes,
            b',' if !in_quotes => break,
            _ => {}
        }
        at += 1;
    }
    at.min(line.len())
}

/// Reads the value of a field.
///
/// Differs: a value that the server accepts and then cannot read, as the one of `\\=x,g=1`, is refused with the line.
fn field_value(value: &[u8], unsigned: bool) -> Result<FieldValue, Refusal> {
    match value.first() {
        None => Err(Refusal::MissingFieldValue),
        Some(b'"') => {
            // What stands behind the closing quote belongs to the text, except for the last byte.
            let inner = value.get(1..value.len() - 1).unwrap_or_default();
            Ok(FieldValue::Str(unescaped(inner, b"\"\\").into()))
        }
        Some(_) => plain_value(value, unsigned),
    }
}

/// Reads a number or a truth value.
pub(super) fn plain_value(value: &[u8], unsigned: bool) -> Result<FieldValue, Refusal> {
    match value.first() {
        Some(b'0'..=b'9' | b'.' | b'-' | b'N' | b'n') => number(value, unsigned),
        _ => match value {
            b"t" | b"T" | b"true" | b"True" | b"TRUE" => Ok(FieldValue::Bool(true)),
            b"f" | b"F" | b"false" | b"False" | b"FALSE" => Ok(FieldValue::Bool(false)),
            _ => Err(Refusal::InvalidBoolean),
        },
    }
}

fn number(value: &[u8], unsigned: bool) -> Result<FieldValue, Refusal> {
    let (suffix, digits) = match value.split_last() {
        Some((suffix @ (b'i' | b'u'), digits)) => (Some(suffix), digits),
        _ => (None, value),
    };
    let body = digits.strip_prefix(b"-").unwrap_or(digits);
    let is_scientific = check_number(body, suffix.is_some())?;
    let text = std::str::from_utf8(digits).map_err(|_| Refusal::InvalidNumber)?;
    match suffix {
        Some(b'i') => text
            .parse()
            .map(FieldValue::Int)
            .map_err(|_| Refusal::IntegerRange { digits: beginning(digits) }),
        Some(_) if !unsigned => Err(Refusal::InvalidNumber),
        Some(_) => text.parse().map(FieldValue::UInt).map_err(|_| {
            let problem = if body.len() < digits.len() { "invalid syntax" } else { OUT_OF_RANGE };
            Refusal::Unsigned { digits: beginning(digits), problem }
        }),
        None => match text.parse::<f64>() {
            Ok(number) if number.is_finite() => Ok(FieldValue::Float(number)),
            Err(_) if !is_scientific => Err(Refusal::InvalidNumber),
            _ => Err(Refusal::InvalidFloat),
        },
    }
}

const OUT_OF_RANGE: &str = "value out of range";

/// Checks the characters of a number without sign and suffix; tells whether it has an exponent.
fn check_number(body: &[u8], is_whole: bool) -> Result<bool, Refusal> {
    let (mut digits, mut points, mut is_scientific) = (0_usize, 0_usize, false);
    for (at, byte) in body.iter().enumerate() {
        match byte {
            b'0'..=b'9' => digits += 1,
            b'.' => points += 1,
            b'e' | b'E' => is_scientific = true,
            b'+' | b'-' if at > 0 && matches!(body[at - 1], b'e' | b'E') => {}
            _ => return Err(Refusal::InvalidNumber),
        }
    }
    let is_wrong = digits == 0 && !is_scientific
        || points > 1
        || is_whole && (points > 0 || is_scientific)
        || body.is_empty();
    if is_wrong { Err(Refusal::InvalidNumber) } else { Ok(is_scientific) }
}

/// Reads the time behind the fields.
fn time(line: &[u8], at: usize, precision: Precision) -> Result<Option<i64>, Refused> {
    let start = skip_blanks(line, at);
    let end = memchr::memchr2(b' ', b'\n', &line[start..]);
    let end = end.map_or(line.len(), |found| start + found);
    let text = &line[start..end];
    if text.is_empty() {
        return Ok(None);
    }
    let digits = text.strip_prefix(b"-").unwrap_or(text);
    if let Some(bad) = digits.iter().position(|byte| !byte.is_ascii_digit()) {
        return Err((end - digits.len() + bad, Refusal::BadTimestamp));
    }
    let number = std::str::from_utf8(text).ok().and_then(|text| text.parse::<i64>().ok());
    let Some(number) = number else {
        let problem = if digits.is_empty() { "invalid syntax" } else { OUT_OF_RANGE };
        return Err((start, Refusal::Timestamp { digits: beginning(text), problem }));
    };
    let Some(time) = scaled(number, precision) else { return Err((start, Refusal::TimeRange)) };
    match line[end..].iter().position(|byte| *byte != b' ') {
        Some(bad) => Err((end + bad, Refusal::InvalidPoint)),
        None => Ok(Some(time)),
    }
}

/// Gives a time in nanoseconds when the server takes it.
#[inline(always)]
pub(super) fn scaled(number: i64, precision: Precision) -> Option<i64> {
    let time = number.checked_mul(precision.nanoseconds())?;
    (TIME_MIN..=TIME_MAX).contains(&time).then_some(time)
}

/// Takes the backslashes before the bytes of `escaped` away.
///
/// Differs: bytes that are not UTF-8 become U+FFFD; the server keeps them.
pub(super) fn unescaped<'t>(raw: &'t [u8], escaped: &[u8]) -> Cow<'t, str> {
    if memchr::memchr(b'\\', raw).is_none() {
        return String::from_utf8_lossy(raw);
    }
    let mut out = Vec::with_capacity(raw.len());
    let mut at = 0;
    while at < raw.len() {
        if raw[at] == b'\\' && raw.get(at + 1).is_some_and(|next| escaped.contains(next)) {
            at += 1;
        }
        out.push(raw[at]);
        at += 1;
    }
    match String::from_utf8(out) {
        Ok(text) => Cow::Owned(text),
        Err(error) => Cow::Owned(String::from_utf8_lossy(error.as_bytes()).into_owned()),
    }
}

/// Gives as much of a text as a message needs.
fn beginning(text: &[u8]) -> String {
    const BYTES_MAX: usize = 256;
    String::from_utf8_lossy(&text[..text.len().min(BYTES_MAX)]).into_owned()
}
