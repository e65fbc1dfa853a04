//! Bundles as they are stored: a third as long as they would be in JSON, and checked.
//!
//! ```text
//! ┌────────┬───────────────┬─────────────┬───────────────┬─────
//! │ 1      │ CRC-32C of    │ length head │ length item   │ …
//! │ layout │ what follows  │             │               │
//! └────────┴───────────────┴─────────────┴───────────────┴─────
//!   1 byte   4 bytes         4 bytes …     4 bytes …
//! ```
//!
//! Numbers are little-endian. Head and items are in the format of [`postcard`], which names neither members nor variants: with
//! others, or in another order, it is another layout, and a test fails. JSON begins with another byte, which tells what earlier
//! versions stored.

use serde::Serialize;
use serde::de::DeserializeOwned;

/// The first byte.
const LAYOUT: u8 = 1;

/// Where the checksum ends.
const CHECKED: usize = 5;

/// Bytes of a length.
const LENGTH: usize = 4;

/// Why something does not become a bundle, or is none.
#[derive(Debug, thiserror::Error)]
pub(super) enum PackedError {
    #[error("its checksum is not that of what it holds")]
    Checksum,
    #[error("it ends too early")]
    Short,
    #[error("it has more than 4 GiB")]
    Long,
    #[error("something stands behind the last member of a part")]
    Rest,
    #[error(transparent)]
    Content(#[from] postcard::Error),
}

/// Makes a bundle.
#[derive(Debug)]
pub(super) struct Packer {
    bytes: Vec<u8>,
}

/// The parts of a bundle, as they are stored.
#[derive(Debug)]
pub(super) struct Packed<'b> {
    pub(super) head: &'b [u8],
    pub(super) items: Vec<&'b [u8]>,
}

// === impl Packer ===

impl Packer {
    /// - `head`: what [`encode`] gave.
    /// - `room`: bytes set aside for items.
    pub(super) fn new(head: &[u8], room: usize) -> Result<Self, PackedError> {
        let mut bytes = Vec::with_capacity(CHECKED + LENGTH + head.len() + room);
        bytes.push(LAYOUT);
        bytes.resize(CHECKED, 0);
        let mut packer = Packer { bytes };
        packer.put(head)?;
        Ok(packer)
    }

    pub(super) fn add(&mut self, item: &impl Serialize) -> Result<(), PackedError> {
        let start = self.bytes.len() + LENGTH;
        self.bytes.resize(start, 0);
        self.bytes = postcard::to_extend(item, std::mem::take(&mut self.bytes))?;
        let length = length(self.bytes.len() - start)?;
        self.bytes[start - LENGTH..start].copy_from_slice(&length);
        Ok(())
    }

    /// Adds a part as it is: the head, or an item of another bundle.
    pub(super) fn put(&mut self, item: &[u8]) -> Result<(), PackedError> {
        self.bytes.extend_from_slice(&length(item.len())?);
        self.bytes.extend_from_slice(item);
        Ok(())
    }

    /// Gives how many bytes it has by now.
    pub(super) fn len(&self) -> usize {
        self.bytes.len()
    }

    pub(super) fn finish(mut self) -> Vec<u8> {
        let checksum = crc32c::crc32c(&self.bytes[CHECKED..]);
        self.bytes[1..CHECKED].copy_from_slice(&checksum.to_le_bytes());
        self.bytes
    }
}

// === impl Packed ===

impl<'b> Packed<'b> {
    /// Takes a bundle apart; nothing when it is one of an earlier version.
    pub(super) fn of(bytes: &'b [u8]) -> Option<Result<Self, PackedError>> {
        let (layout, bytes) = bytes.split_first()?;
        (*layout == LAYOUT).then(|| Packed::parts(bytes))
    }

    fn parts(bytes: &'b [u8]) -> Result<Self, PackedError> {
        let (checksum, mut rest) = bytes.split_first_chunk().ok_or(PackedError::Short)?;
        if u32::from_le_bytes(*checksum) != crc32c::crc32c(rest) {
            return Err(PackedError::Checksum);
        }
        let head = part(&mut rest)?;
        let mut items = Vec::new();
        while !rest.is_empty() {
            items.push(part(&mut rest)?);
        }
        Ok(Packed { head, items })
    }
}

/// Takes off what has its length before it.
fn part<'b>(rest: &mut &'b [u8]) -> Result<&'b [u8], PackedError> {
    let (length, behind) = rest.split_first_chunk().ok_or(PackedError::Short)?;
    let length = u32::from_le_bytes(*length) as usize;
    let (part, behind) = behind.split_at_checked(length).ok_or(PackedError::Short)?;
    *rest = behind;
    Ok(part)
}

fn length(bytes: usize) -> Result<[u8; LENGTH], PackedError> {
    u32::try_from(bytes).map(u32::to_le_bytes).map_err(|_| PackedError::Long)
}

/// Gives the bytes of a head.
pub(super) fn encode(head: &impl Serialize) -> Result<Vec<u8>, PackedError> {
    Ok(postcard::to_allocvec(head)?)
}

/// Reads a head or an item.
pub(super) fn decode<T: DeserializeOwned>(part: &[u8]) -> Result<T, PackedError> {
    let (value, rest) = postcard::take_from_bytes(part)?;
    rest.is_empty().then_some(value).ok_or(PackedError::Rest)
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use super::*;

    fn bundle() -> Vec<u8> {
        let mut packer = Packer::new(&encode(&"head").unwrap(), 0).unwrap();
        packer.add(&("one", 1_u64)).unwrap();
        packer.put(&encode(&("two", 2_u64)).unwrap()).unwrap();
        let expected = packer.len();
        let bytes = packer.finish();
        assert_eq!(bytes.len(), expected);
        bytes
    }

    #[test]
    fn a_bundle_gives_its_parts_again() {
        let bytes = bundle();
        let Packed { head, items } = Packed::of(&bytes).unwrap().unwrap();
        assert_eq!(decode::<String>(head).unwrap(), "head");
        let items: Vec<(String, u64)> =
            items.into_iter().map(|item| decode(item).unwrap()).collect();
        assert_eq!(items, [("one".to_owned(), 1), ("two".to_owned(), 2)]);
        assert!(matches!(decode::<u8>(&[7]), Ok(7)));
        assert!(matches!(decode::<u8>(&[7, 8]), Err(PackedError::Rest)));
    }

    #[test]
    fn json_is_no_bundle_and_a_damaged_one_is_an_error() {
        assert!(Packed::of(b"").is_none() && Packed::of(b"{}").is_none());
        let bytes = bundle();
        for end in 1..bytes.len() {
            assert!(Packed::of(&bytes[..end]).unwrap().is_err(), "{end}");
        }
        for at in 1..bytes.len() {
            let mut damaged = bytes.clone();
            damaged[at] ^= 0x10;
            assert!(matches!(Packed::of(&damaged), Some(Err(PackedError::Checksum))), "{at}");
        }
        // Lengths that do not fit, with a checksum that does.
        for content in
            [&b"\x05\0\0\0head"[..], b"\x04\0\0\0head\x01", b"\x04\0\0\0head\xff\xff\xff\xffx"]
        {
            let mut bytes = vec![LAYOUT];
            bytes.extend(crc32c::crc32c(content).to_le_bytes());
            bytes.extend(content);
            assert!(matches!(Packed::of(&bytes), Some(Err(PackedError::Short))), "{content:?}");
        }
    }
}
