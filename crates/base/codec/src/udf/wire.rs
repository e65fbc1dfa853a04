//! What these messages need beyond the shared reader and writer: fields that know their number, and values that are left
//! out when they are 0.

use super::UdfError;
use crate::wire::{self, Message, WireError, push_bytes, push_number};

/// A field: its number and its content.
#[derive(Clone, Copy, Debug)]
pub(super) struct Field<'b> {
    pub(super) number: u32,
    content: wire::Field<'b>,
}

/// Goes through the fields of a message.
pub(super) fn fields(
    bytes: &[u8],
    mut take: impl FnMut(Field<'_>) -> Result<(), UdfError>,
) -> Result<(), UdfError> {
    let mut message = Message::new(bytes);
    while let Some((number, content)) = message.next()? {
        take(Field { number, content })?;
    }
    Ok(())
}

// === impl Field ===

impl<'b> Field<'b> {
    pub(super) fn uint(self) -> Result<u64, UdfError> {
        Ok(self.content.varint(self.number)?)
    }

    pub(super) fn int(self) -> Result<i64, UdfError> {
        self.uint().map(|number| number as i64)
    }

    pub(super) fn flag(self) -> Result<bool, UdfError> {
        self.uint().map(|number| number != 0)
    }

    pub(super) fn double(self) -> Result<f64, UdfError> {
        Ok(self.content.double(self.number)?)
    }

    pub(super) fn bytes(self) -> Result<&'b [u8], UdfError> {
        Ok(self.content.bytes(self.number)?)
    }

    pub(super) fn text(self) -> Result<&'b str, UdfError> {
        Ok(self.content.text(self.number)?)
    }

    /// Takes the numbers of a repeated field: one, or several packed into one.
    pub(super) fn uints(
        self,
        mut take: impl FnMut(u64) -> Result<(), UdfError>,
    ) -> Result<(), UdfError> {
        let wire::Field::Bytes(mut packed) = self.content else { return take(self.uint()?) };
        while !packed.is_empty() {
            let (number, length) = wire::varint_start(packed)?.ok_or(WireError::Truncated)?;
            packed = &packed[length..];
            take(number)?;
        }
        Ok(())
    }
}

// === writing ===

/// Appends a number unless it is 0, which is what a reader takes for one that is not there.
pub(super) fn push_int(field: u8, number: i64, out: &mut Vec<u8>) {
    if number != 0 {
        push_number(field, number as u64, out);
    }
}

pub(super) fn push_flag(field: u8, flag: bool, out: &mut Vec<u8>) {
    push_int(field, flag.into(), out);
}

/// Appends a text unless it is empty.
pub(super) fn push_text(field: u8, text: &str, out: &mut Vec<u8>) {
    if !text.is_empty() {
        push_bytes(field, text.as_bytes(), out);
    }
}
