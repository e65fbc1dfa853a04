//! Protocol Buffers, as far as bodies of points and functions that run outside need them.
//!
//! A message is read field by field; what is unknown is stepped over. Nothing is allocated for what a length says
//! before its bytes are there.

use thiserror::Error;

/// What stands behind a number.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Field<'b> {
    /// Integers, booleans, enums.
    Varint(u64),
    /// Eight bytes.
    Fixed64(u64),
    /// Four bytes.
    Fixed32(u32),
    /// Texts, bytes, messages, packed lists.
    Bytes(&'b [u8]),
}

/// Why bytes are no message.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
pub enum WireError {
    /// The bytes end within a value.
    #[error("the message ends within a value")]
    Truncated,
    /// A number of more than ten bytes.
    #[error("a number has more than ten bytes")]
    Varint,
    /// A kind of value that does not exist, or no longer.
    #[error("unknown wire type {0}")]
    Kind(u8),
    /// Something that is no field.
    #[error("field number {0} does not exist")]
    Number(u64),
    /// A field of another kind than the schema says.
    #[error("field {0} has another type")]
    Type(u32),
    /// A text that is not UTF-8.
    #[error("field {0} is not UTF-8")]
    Utf8(u32),
    /// Messages within messages.
    #[error("nested too deeply")]
    Depth,
}

/// No number has more bytes.
const VARINT_MAX: usize = 10;

/// Reads the fields of a message.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Message<'b> {
    rest: &'b [u8],
}

// === impl Message ===

impl<'b> Message<'b> {
    pub(crate) fn new(bytes: &'b [u8]) -> Self {
        Message { rest: bytes }
    }

    /// Gives what has not been read.
    pub(crate) fn rest(&self) -> &'b [u8] {
        self.rest
    }

    /// Gives the next field: its number and what it holds.
    pub(crate) fn next(&mut self) -> Result<Option<(u32, Field<'b>)>, WireError> {
        if self.rest.is_empty() {
            return Ok(None);
        }
        let key = self.varint()?;
        let number = match u32::try_from(key >> 3) {
            Ok(number) if number > 0 => number,
            _ => return Err(WireError::Number(key >> 3)),
        };
        let field = match (key & 7) as u8 {
            0 => Field::Varint(self.varint()?),
            1 => Field::Fixed64(u64::from_le_bytes(self.array()?)),
            2 => {
                let len = usize::try_from(self.varint()?).map_err(|_| WireError::Truncated)?;
                Field::Bytes(self.take(len)?)
            }
            5 => Field::Fixed32(u32::from_le_bytes(self.array()?)),
            other => return Err(WireError::Kind(other)),
        };
        Ok(Some((number, field)))
    }

    fn varint(&mut self) -> Result<u64, WireError> {
        let (number, len) = varint_start(self.rest)?.ok_or(WireError::Truncated)?;
        self.rest = &self.rest[len..];
        Ok(number)
    }

    fn take(&mut self, len: usize) -> Result<&'b [u8], WireError> {
        let (taken, rest) = self.rest.split_at_checked(len).ok_or(WireError::Truncated)?;
        self.rest = rest;
        Ok(taken)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], WireError> {
        let (taken, rest) = self.rest.split_first_chunk::<N>().ok_or(WireError::Truncated)?;
        self.rest = rest;
        Ok(*taken)
    }

    /// Reads a packed list of eight bytes each, or one of them.
    pub(crate) fn packed64(
        number: u32,
        field: Field<'_>,
        out: &mut Vec<u64>,
    ) -> Result<(), WireError> {
        match field {
            Field::Fixed64(value) => out.push(value),
            Field::Bytes(bytes) => {
                let (chunks, rest) = bytes.as_chunks::<8>();
                if !rest.is_empty() {
                    return Err(WireError::Truncated);
                }
                out.extend(chunks.iter().map(|chunk| u64::from_le_bytes(*chunk)));
            }
            _ => return Err(WireError::Type(number)),
        }
        Ok(())
    }
}

// === impl Field ===

impl<'b> Field<'b> {
    pub(crate) fn bytes(self, number: u32) -> Result<&'b [u8], WireError> {
        match self {
            Field::Bytes(bytes) => Ok(bytes),
            _ => Err(WireError::Type(number)),
        }
    }

    pub(crate) fn text(self, number: u32) -> Result<&'b str, WireError> {
        std::str::from_utf8(self.bytes(number)?).map_err(|_| WireError::Utf8(number))
    }

    pub(crate) fn varint(self, number: u32) -> Result<u64, WireError> {
        match self {
            Field::Varint(value) => Ok(value),
            _ => Err(WireError::Type(number)),
        }
    }

    pub(crate) fn fixed64(self, number: u32) -> Result<u64, WireError> {
        match self {
            Field::Fixed64(value) => Ok(value),
            _ => Err(WireError::Type(number)),
        }
    }

    pub(crate) fn double(self, number: u32) -> Result<f64, WireError> {
        self.fixed64(number).map(f64::from_bits)
    }
}

/// Reads a number at the front of bytes, and how many it takes; nothing when they end within it.
#[inline]
pub(crate) fn varint_start(bytes: &[u8]) -> Result<Option<(u64, usize)>, WireError> {
    let mut number = 0_u64;
    for (at, &byte) in bytes.iter().take(VARINT_MAX).enumerate() {
        // Of the tenth byte one bit is left; the others are dropped, as all readers do.
        number |= u64::from(byte & 0x7f) << (7 * at);
        if byte < 0x80 {
            return Ok(Some((number, at + 1)));
        }
    }
    if bytes.len() < VARINT_MAX { Ok(None) } else { Err(WireError::Varint) }
}

/// Gives how many bytes a number takes.
pub(crate) fn varint_len(number: u64) -> usize {
    (64 - (number | 1).leading_zeros() as usize).div_ceil(7)
}

/// Gives how many bytes a field with a length takes, for numbers up to 15.
pub(crate) fn bytes_len(content: usize) -> usize {
    1 + varint_len(content as u64) + content
}

pub(crate) fn push_varint(mut number: u64, out: &mut Vec<u8>) {
    while number >= 0x80 {
        out.push(number as u8 | 0x80);
        number >>= 7;
    }
    out.push(number as u8);
}

fn push_key(field: u8, kind: u8, out: &mut Vec<u8>) {
    push_varint(u64::from(field) << 3 | u64::from(kind), out);
}

/// Appends a field of type varint.
pub(crate) fn push_number(field: u8, number: u64, out: &mut Vec<u8>) {
    push_key(field, 0, out);
    push_varint(number, out);
}

/// Appends a field of type fixed64.
pub(crate) fn push_fixed64(field: u8, bits: u64, out: &mut Vec<u8>) {
    push_key(field, 1, out);
    out.extend_from_slice(&bits.to_le_bytes());
}

/// Appends the head of a field with a length.
pub(crate) fn push_head(field: u8, len: usize, out: &mut Vec<u8>) {
    push_key(field, 2, out);
    push_varint(len as u64, out);
}

/// Appends a field with a length.
pub(crate) fn push_bytes(field: u8, bytes: &[u8], out: &mut Vec<u8>) {
    push_head(field, bytes.len(), out);
    out.extend_from_slice(bytes);
}

/// Appends a message that is a field.
pub(crate) fn push_message(field: u8, out: &mut Vec<u8>, write: impl FnOnce(&mut Vec<u8>)) {
    push_key(field, 2, out);
    push_sized(out, write);
}

/// Appends what is written, behind its length.
pub(crate) fn push_sized(out: &mut Vec<u8>, write: impl FnOnce(&mut Vec<u8>)) {
    // Most messages are short: one byte is enough, and the others move.
    let at = out.len();
    out.push(0);
    write(out);
    let len = out.len() - at - 1;
    if len < 0x80 {
        out[at] = len as u8;
        return;
    }
    let mut head = Vec::with_capacity(VARINT_MAX);
    push_varint(len as u64, &mut head);
    out.splice(at..=at, head);
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use super::*;

    #[test]
    fn fields_are_read_back() {
        let mut out = Vec::new();
        for number in [0, 1, 127, 128, u64::MAX] {
            push_number(3, number, &mut out);
        }
        push_fixed64(4, 1.5_f64.to_bits(), &mut out);
        push_bytes(15, b"text", &mut out);
        let mut message = Message::new(&out);
        for number in [0, 1, 127, 128, u64::MAX] {
            assert_eq!(message.next().unwrap(), Some((3, Field::Varint(number))));
        }
        assert_eq!(message.next().unwrap().unwrap().1.double(4), Ok(1.5));
        assert_eq!(message.next().unwrap().unwrap().1.text(15), Ok("text"));
        assert_eq!(message.next(), Ok(None));
    }

    #[test]
    fn what_is_no_message_is_an_error() {
        for (bytes, error) in [
            (&b"\x08"[..], WireError::Truncated),
            (b"\x08\x80", WireError::Truncated),
            (b"\x08\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01", WireError::Varint),
            (b"\x0a\x05abc", WireError::Truncated),
            (b"\x0a\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01", WireError::Truncated),
            (b"\x0b", WireError::Kind(3)),
            (b"\x00\x00", WireError::Number(0)),
            (b"\x09\x00", WireError::Truncated),
        ] {
            let mut message = Message::new(bytes);
            let result = loop {
                match message.next() {
                    Ok(Some(_)) => {}
                    other => break other,
                }
            };
            assert_eq!(result, Err(error), "{bytes:x?}");
        }
    }
}
