//! Attributes of a record: a packed list of names and values, made once and shared by reference.

use std::fmt;

use bytes::{BufMut as _, Bytes, BytesMut};

/// Most bytes of all attributes of a record.
const BYTES_MAX: usize = 256 << 10;

/// Names with values, in the order they were given: headers to send, the id of the package.
///
/// A clone is cheap. Written as `u16` length, name, `u32` length, value, one behind the other.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Attributes(Bytes);

/// Attributes that are too long to be kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the attributes of a body have more than {BYTES_MAX} bytes, or a name of more than 65535")]
pub struct AttributesTooLong;

// === impl Attributes ===

impl Attributes {
    /// Name of the address to send to, when the points bring their own; no header can be called so.
    pub const URL: &'static str = ":url";

    /// Packs names and values.
    pub fn new<'a>(
        pairs: impl IntoIterator<Item = (&'a str, &'a str)>,
    ) -> Result<Self, AttributesTooLong> {
        let mut bytes = BytesMut::new();
        for (name, value) in pairs {
            let name_bytes = u16::try_from(name.len()).map_err(|_| AttributesTooLong)?;
            let value_bytes = u32::try_from(value.len()).map_err(|_| AttributesTooLong)?;
            if bytes.len() + name.len() + value.len() + 6 > BYTES_MAX {
                return Err(AttributesTooLong);
            }
            bytes.put_u16_le(name_bytes);
            bytes.put_slice(name.as_bytes());
            bytes.put_u32_le(value_bytes);
            bytes.put_slice(value.as_bytes());
        }
        Ok(Attributes(bytes.freeze()))
    }

    /// Gives names and values.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        let mut rest: &[u8] = &self.0;
        std::iter::from_fn(move || {
            if rest.is_empty() {
                return None;
            }
            let pair = split(&mut rest);
            debug_assert!(pair.is_some(), "attributes are checked when they are made");
            pair
        })
    }

    /// Gives the first value of a name.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.iter().find(|(known, _)| *known == name).map(|(_, value)| value)
    }

    pub(super) fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// Takes packed attributes; `None` when they are not.
    pub(super) fn from_bytes(bytes: Bytes) -> Option<Self> {
        let mut rest: &[u8] = &bytes;
        while !rest.is_empty() {
            split(&mut rest)?;
        }
        Some(Attributes(bytes))
    }
}

impl fmt::Debug for Attributes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Names only: values may be tokens.
        f.debug_list().entries(self.iter().map(|(name, _)| name)).finish()
    }
}

fn split<'a>(rest: &mut &'a [u8]) -> Option<(&'a str, &'a str)> {
    let (length, behind) = rest.split_first_chunk::<2>()?;
    let (name, behind) = behind.split_at_checked(usize::from(u16::from_le_bytes(*length)))?;
    let (length, behind) = behind.split_first_chunk::<4>()?;
    let length = usize::try_from(u32::from_le_bytes(*length)).ok()?;
    let (value, behind) = behind.split_at_checked(length)?;
    *rest = behind;
    Some((std::str::from_utf8(name).ok()?, std::str::from_utf8(value).ok()?))
}
