//! Values of lines, decoded.

use std::borrow::Cow;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::super::Value;
use super::error::Cause;
use crate::points::protobuf::ITEMS_MAX;

/// What a backslash is taken away from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Escapes {
    Measurement,
    Key,
}

/// Takes the backslashes from a name.
pub(super) fn name(raw: &str, escapes: Escapes) -> Cow<'_, str> {
    let bytes = raw.as_bytes();
    let is_escape = |at: usize| match bytes.get(at + 1) {
        Some(b',' | b' ') => true,
        Some(b'=') => escapes == Escapes::Key,
        _ => false,
    };
    unescape(raw, is_escape)
}

/// Takes the backslashes from a text.
pub(super) fn text(raw: &str) -> Cow<'_, str> {
    let bytes = raw.as_bytes();
    unescape(raw, |at| matches!(bytes.get(at + 1), Some(b'"' | b'\\')))
}

fn unescape(raw: &str, is_escape: impl Fn(usize) -> bool) -> Cow<'_, str> {
    let Some(mut at) = memchr::memchr(b'\\', raw.as_bytes()) else { return Cow::Borrowed(raw) };
    let mut out = String::new();
    let mut copied = 0;
    loop {
        let mut next = at + 1;
        if is_escape(at) {
            out.push_str(&raw[copied..at]);
            copied = at + 1;
            // What is behind has had its backslash.
            next += 1;
        }
        match raw.as_bytes().get(next..).and_then(|rest| memchr::memchr(b'\\', rest)) {
            Some(found) => at = next + found,
            None => break,
        }
    }
    if copied == 0 {
        return Cow::Borrowed(raw);
    }
    out.push_str(&raw[copied..]);
    Cow::Owned(out)
}

/// Reads base64.
pub(super) fn bytes(raw: &str) -> Result<Vec<u8>, Cause> {
    STANDARD.decode(raw).map_err(|_| Cause::Base64)
}

/// Reads what stands between brackets.
pub(super) fn array(raw: &str) -> Result<Vec<Value<'_>>, Cause> {
    let mut items: Vec<Value<'_>> = Vec::new();
    let mut rest = raw.trim();
    if rest.is_empty() {
        return Ok(items);
    }
    loop {
        let (item, behind) = element(rest)?;
        if let Some(first) = items.first()
            && std::mem::discriminant(first) != std::mem::discriminant(&item)
        {
            return Err(Cause::MixedArray);
        }
        if items.len() == ITEMS_MAX {
            return Err(Cause::Array);
        }
        items.push(item);
        let behind = behind.trim_start();
        match behind.strip_prefix(',') {
            Some(next) => rest = next.trim_start(),
            None if behind.is_empty() => return Ok(items),
            None => return Err(Cause::Array),
        }
    }
}

fn element(rest: &str) -> Result<(Value<'_>, &str), Cause> {
    if let Some(inner) = rest.strip_prefix('"') {
        let end = text_end(inner.as_bytes(), 0).ok_or(Cause::Array)?;
        let behind = &inner[end + 1..];
        return match behind.strip_prefix('b') {
            Some(behind) => Ok((Value::Bytes(bytes(&inner[..end])?.into()), behind)),
            None => Ok((Value::Str(text(&inner[..end])), behind)),
        };
    }
    let end = rest.find(',').unwrap_or(rest.len());
    let (word, behind) = (rest[..end].trim_end(), &rest[end..]);
    let value = match (word.strip_suffix('i'), word.strip_suffix('u')) {
        (Some(digits), _) => digits.parse().map(Value::Int).map_err(|_| Cause::Array)?,
        (_, Some(digits)) => digits.parse().map(Value::UInt).map_err(|_| Cause::Array)?,
        _ => match boolean(word) {
            Some(value) => Value::Bool(value),
            None => Value::Float(float(word).ok_or(Cause::Array)?),
        },
    };
    Ok((value, behind))
}

/// Gives where the quote is that ends a text.
pub(super) fn text_end(bytes: &[u8], mut at: usize) -> Option<usize> {
    loop {
        let found = at + memchr::memchr2(b'"', b'\\', bytes.get(at..)?)?;
        match bytes[found] {
            b'"' => return Some(found),
            _ => at = found + 2,
        }
    }
}

/// Gives the value of one of the words for a boolean.
pub(super) fn boolean(word: &str) -> Option<bool> {
    match word {
        "t" | "T" | "true" | "True" | "TRUE" => Some(true),
        "f" | "F" | "false" | "False" | "FALSE" => Some(false),
        _ => None,
    }
}

/// Gives a float; nothing for a word that is none, infinity for one that is too large.
pub(super) fn float(word: &str) -> Option<f64> {
    let is_part =
        |byte: u8| byte.is_ascii_digit() || matches!(byte, b'.' | b'-' | b'+' | b'e' | b'E');
    if word.bytes().all(is_part) { word.parse().ok() } else { None }
}
