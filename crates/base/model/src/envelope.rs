//! What a message broker says about a record beside its payload: key, headers, time, offset.
//!
//! Metadata as a map costs several allocations per record, and most flows never look at it. A source
//! therefore puts the bytes into the text of the batch and remembers where they are; the map is made
//! when somebody asks for it.
//!
//! ```text
//! text … key bytes │ 4 name length │ name │ 4 value length │ value │ … │ payload \n
//! ```
//! Lengths are little-endian; a value length of `u32::MAX` is a null value.

use std::sync::Arc;

use crate::meta::Meta;
use crate::time::Timestamp;
use crate::value::Value;

/// Where the parts of an envelope stand in the text of its batch.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Envelope {
    /// Start and end of the key; nothing: a null key.
    pub key: Option<(u32, u32)>,
    /// Start and end of the encoded headers; nothing: none.
    pub headers: Option<(u32, u32)>,
    /// When the record was made, nanoseconds UTC.
    pub time: Option<Timestamp>,
    /// The offset in the partition.
    pub offset: i64,
    /// The record has no value at all, which is not the same as an empty one.
    pub is_tombstone: bool,
}

const NULL: u32 = u32::MAX;

/// Appends one header to encoded headers.
pub fn push_header(text: &mut Vec<u8>, name: &str, value: Option<&[u8]>) {
    text.extend_from_slice(&(name.len() as u32).to_le_bytes());
    text.extend_from_slice(name.as_bytes());
    let length = value.map_or(NULL, |value| value.len() as u32);
    text.extend_from_slice(&length.to_le_bytes());
    text.extend_from_slice(value.unwrap_or_default());
}

/// Iterates over encoded headers: name and value, in the order in which they were sent.
pub fn headers(mut encoded: &[u8]) -> impl Iterator<Item = (&str, Option<&[u8]>)> {
    std::iter::from_fn(move || {
        let name = take(&mut encoded)??;
        let value = take(&mut encoded)?;
        Some((std::str::from_utf8(name).unwrap_or_default(), value))
    })
}

/// Takes a length and as many bytes; nothing at the end, or where the rest is too short.
fn take<'t>(rest: &mut &'t [u8]) -> Option<Option<&'t [u8]>> {
    let (length, after) = rest.split_first_chunk::<4>()?;
    *rest = after;
    let length = u32::from_le_bytes(*length);
    if length == NULL {
        return Some(None);
    }
    let (value, after) = rest.split_at_checked(length as usize)?;
    *rest = after;
    Some(Some(value))
}

impl Envelope {
    /// Gives the bytes of the key.
    pub fn key_in<'t>(&self, text: &'t [u8]) -> Option<&'t [u8]> {
        self.key.map(|(start, end)| &text[start as usize..end as usize])
    }

    /// Gives the encoded headers; empty when there are none.
    pub fn headers_in<'t>(&self, text: &'t [u8]) -> &'t [u8] {
        self.headers.map_or(&[], |(start, end)| &text[start as usize..end as usize])
    }

    /// Copies the bytes that the envelope refers to, and gives the envelope that refers to the copy.
    pub(crate) fn copy(&self, from: &[u8], to: &mut Vec<u8>) -> Envelope {
        let mut copy = |span: Option<(u32, u32)>| {
            let (start, end) = span?;
            let begin = to.len() as u32;
            to.extend_from_slice(&from[start as usize..end as usize]);
            Some((begin, to.len() as u32))
        };
        Envelope { key: copy(self.key), headers: copy(self.headers), ..*self }
    }

    /// Makes the metadata: `base` with `offset`, `key`, `timestamp` and `headers` behind it.
    ///
    /// A null key is an empty text, and headers of the same name keep the last value, as in the original.
    /// Source: dataflow-operator.md §2.1. `tombstone` is ours: `true` where there is no value.
    pub(crate) fn meta(&self, base: Option<&Arc<Meta>>, text: &[u8]) -> Meta {
        let mut meta = base.map_or_else(Meta::new, |base| (**base).clone());
        meta.set("offset", Value::Int(self.offset));
        meta.set("key", self.key_in(text).map_or_else(|| Value::Str("".into()), text_or_bytes));
        if let Some(time) = self.time {
            meta.set("timestamp", Value::Time(time));
        }
        if self.headers.is_some() {
            let mut map: Vec<(Arc<str>, Value)> = Vec::new();
            for (name, value) in headers(self.headers_in(text)) {
                let value = value.map_or(Value::Null, text_or_bytes);
                match map.iter_mut().find(|(known, _)| &**known == name) {
                    Some((_, slot)) => *slot = value,
                    None => map.push((name.into(), value)),
                }
            }
            meta.set("headers", Value::Map(map));
        }
        if self.is_tombstone {
            meta.set("tombstone", Value::Bool(true));
        }
        meta
    }
}

fn text_or_bytes(bytes: &[u8]) -> Value {
    match std::str::from_utf8(bytes) {
        Ok(text) => Value::Str(text.into()),
        Err(_) => Value::Bytes(bytes.into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers_read_back_as_they_were_written() {
        let mut text = Vec::new();
        push_header(&mut text, "a", Some(b"1"));
        push_header(&mut text, "", None);
        push_header(&mut text, "a", Some(b"\xff"));
        let read: Vec<_> = headers(&text).collect();
        assert_eq!(read, vec![("a", Some(&b"1"[..])), ("", None), ("a", Some(&b"\xff"[..]))]);
        for cut in 0..text.len() {
            assert!(headers(&text[..cut]).count() <= 2, "cut at {cut}");
        }
    }
}
