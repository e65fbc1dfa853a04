//! Fields of Protocol Buffers.

use super::UdfError;

/// The content of a field.
#[derive(Clone, Copy, Debug)]
pub(super) enum Content<'b> {
    Varint(u64),
    Fixed64(u64),
    Bytes(&'b [u8]),
    Fixed32,
}

/// A field: its number and its content.
#[derive(Clone, Copy, Debug)]
pub(super) struct Field<'b> {
    pub(super) number: u64,
    pub(super) content: Content<'b>,
}

const VARINT: u8 = 0;
const FIXED64: u8 = 1;
const BYTES: u8 = 2;
const FIXED32: u8 = 5;
/// No number has more bytes.
const VARINT_MAX: usize = 10;

/// Goes through the fields of a message.
pub(super) fn fields(
    mut bytes: &[u8],
    mut take: impl FnMut(Field<'_>) -> Result<(), UdfError>,
) -> Result<(), UdfError> {
    while !bytes.is_empty() {
        let key = varint(&mut bytes)?;
        let (number, kind) = (key >> 3, (key & 7) as u8);
        let content = match kind {
            VARINT => Content::Varint(varint(&mut bytes)?),
            FIXED64 => {
                let (head, rest) = bytes.split_first_chunk::<8>().ok_or(UdfError::Short)?;
                bytes = rest;
                Content::Fixed64(u64::from_le_bytes(*head))
            }
            BYTES => {
                let length = usize::try_from(varint(&mut bytes)?).map_err(|_| UdfError::Short)?;
                let (head, rest) = bytes.split_at_checked(length).ok_or(UdfError::Short)?;
                bytes = rest;
                Content::Bytes(head)
            }
            FIXED32 => {
                bytes = bytes.split_at_checked(4).ok_or(UdfError::Short)?.1;
                Content::Fixed32
            }
            _ => return Err(UdfError::Kind { field: number, kind }),
        };
        take(Field { number, content })?;
    }
    Ok(())
}

/// Takes a number from the front of the bytes.
pub(super) fn varint(bytes: &mut &[u8]) -> Result<u64, UdfError> {
    match varint_start(bytes)? {
        Some((number, length)) => {
            *bytes = &bytes[length..];
            Ok(number)
        }
        None => Err(UdfError::Short),
    }
}

/// Reads a number at the front of bytes, and how many it takes; nothing when they end within it.
pub(super) fn varint_start(bytes: &[u8]) -> Result<Option<(u64, usize)>, UdfError> {
    let mut number = 0_u64;
    for (index, byte) in bytes.iter().take(VARINT_MAX).enumerate() {
        // Of the tenth byte one bit is left; the others are dropped, as all readers do.
        number |= u64::from(byte & 0x7f).checked_shl(7 * index as u32).unwrap_or(0);
        if byte & 0x80 == 0 {
            return Ok(Some((number, index + 1)));
        }
    }
    if bytes.len() >= VARINT_MAX { Err(UdfError::Number) } else { Ok(None) }
}

// === impl Field ===

impl<'b> Field<'b> {
    pub(super) fn uint(self) -> Result<u64, UdfError> {
        match self.content {
            Content::Varint(number) => Ok(number),
            _ => Err(self.misfit()),
        }
    }

    pub(super) fn int(self) -> Result<i64, UdfError> {
        self.uint().map(|number| number as i64)
    }

    pub(super) fn flag(self) -> Result<bool, UdfError> {
        self.uint().map(|number| number != 0)
    }

    pub(super) fn double(self) -> Result<f64, UdfError> {
        match self.content {
            Content::Fixed64(bits) => Ok(f64::from_bits(bits)),
            _ => Err(self.misfit()),
        }
    }

    pub(super) fn bytes(self) -> Result<&'b [u8], UdfError> {
        match self.content {
            Content::Bytes(bytes) => Ok(bytes),
            _ => Err(self.misfit()),
        }
    }

    pub(super) fn text(self) -> Result<&'b str, UdfError> {
        std::str::from_utf8(self.bytes()?).map_err(|_| UdfError::Text)
    }

    /// Takes the numbers of a repeated field: one, or several packed into one.
    pub(super) fn uints(
        self,
        mut take: impl FnMut(u64) -> Result<(), UdfError>,
    ) -> Result<(), UdfError> {
        match self.content {
            Content::Varint(number) => take(number),
            Content::Bytes(mut packed) => {
                while !packed.is_empty() {
                    take(varint(&mut packed)?)?;
                }
                Ok(())
            }
            _ => Err(self.misfit()),
        }
    }

    fn misfit(self) -> UdfError {
        let kind = match self.content {
            Content::Varint(_) => VARINT,
            Content::Fixed64(_) => FIXED64,
            Content::Bytes(_) => BYTES,
            Content::Fixed32 => FIXED32,
        };
        UdfError::Kind { field: self.number, kind }
    }
}

// === writing ===

pub(super) fn push_varint(mut number: u64, out: &mut Vec<u8>) {
    while number >= 0x80 {
        out.push(number as u8 | 0x80);
        number >>= 7;
    }
    out.push(number as u8);
}

fn push_key(field: u8, kind: u8, out: &mut Vec<u8>) {
    push_varint(u64::from(field) << 3 | u64::from(kind), out);
}

/// Appends a number, also when it is 0.
pub(super) fn push_uint(field: u8, number: u64, out: &mut Vec<u8>) {
    push_key(field, VARINT, out);
    push_varint(number, out);
}

/// Appends a number unless it is 0, which is what a reader takes for one that is not there.
pub(super) fn push_int(field: u8, number: i64, out: &mut Vec<u8>) {
    if number != 0 {
        push_uint(field, number as u64, out);
    }
}

pub(super) fn push_flag(field: u8, flag: bool, out: &mut Vec<u8>) {
    push_int(field, flag.into(), out);
}

/// Appends a float, also when it is 0.
pub(super) fn push_double(field: u8, number: f64, out: &mut Vec<u8>) {
    push_key(field, FIXED64, out);
    out.extend_from_slice(&number.to_le_bytes());
}

/// Appends bytes, also when there are none.
pub(super) fn push_bytes(field: u8, bytes: &[u8], out: &mut Vec<u8>) {
    push_key(field, BYTES, out);
    push_varint(bytes.len() as u64, out);
    out.extend_from_slice(bytes);
}

/// Appends a text unless it is empty.
pub(super) fn push_text(field: u8, text: &str, out: &mut Vec<u8>) {
    if !text.is_empty() {
        push_bytes(field, text.as_bytes(), out);
    }
}

/// Appends a message that is a field.
pub(super) fn push_message(field: u8, out: &mut Vec<u8>, write: impl FnOnce(&mut Vec<u8>)) {
    push_key(field, BYTES, out);
    push_sized(out, write);
}

/// Appends what is written, behind its length.
pub(super) fn push_sized(out: &mut Vec<u8>, write: impl FnOnce(&mut Vec<u8>)) {
    // Most are shorter than 128 bytes, so that nothing has to make room.
    let at = out.len();
    out.push(0);
    write(out);
    let length = out.len() - at - 1;
    match u8::try_from(length) {
        Ok(short @ 0..0x80) => out[at] = short,
        _ => {
            let mut head = Vec::with_capacity(VARINT_MAX);
            push_varint(length as u64, &mut head);
            out.splice(at..=at, head);
        }
    }
}
