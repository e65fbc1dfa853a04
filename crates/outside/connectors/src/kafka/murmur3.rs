//! Partitions by the 32-bit murmur3 of the key; the client has every other hash itself.

use rdkafka::producer::Partitioner;

/// Spreads messages by the hash of their key; those without one go to the first partition.
#[derive(Clone, Copy, Debug)]
pub(super) struct Murmur3;

impl Partitioner for Murmur3 {
    fn partition(
        &self,
        _topic: &str,
        key: Option<&[u8]>,
        count: i32,
        _is_available: impl Fn(i32) -> bool,
    ) -> i32 {
        // Ours: the sign is cut off, as Java's client does with its hash.
        let hash = hash(key.unwrap_or_default()) & i32::MAX as u32;
        (hash % count.max(1) as u32) as i32
    }
}

/// Source: Appleby's MurmurHash3_x86_32, seed 0.
fn hash(key: &[u8]) -> u32 {
    let scramble =
        |block: u32| block.wrapping_mul(0xcc9e_2d51).rotate_left(15).wrapping_mul(0x1b87_3593);
    let (blocks, tail) = key.as_chunks::<4>();
    let mut hash = 0u32;
    for block in blocks {
        hash ^= scramble(u32::from_le_bytes(*block));
        hash = hash.rotate_left(13).wrapping_mul(5).wrapping_add(0xe654_6b64);
    }
    if !tail.is_empty() {
        let rest = tail.iter().rev().fold(0, |rest, byte| rest << 8 | u32::from(*byte));
        hash ^= scramble(rest);
    }
    hash ^= key.len() as u32;
    hash = (hash ^ hash >> 16).wrapping_mul(0x85eb_ca6b);
    hash = (hash ^ hash >> 13).wrapping_mul(0xc2b2_ae35);
    hash ^ hash >> 16
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Known answers of the algorithm.
    #[test]
    fn hashes_are_those_of_the_original() {
        for (key, expected) in [
            ("", 0),
            ("a", 0x3c25_69b2),
            ("hello", 0x248b_fa47),
            ("hello, world", 0x149b_bb7f),
            ("The quick brown fox jumps over the lazy dog", 0x2e4f_f723),
        ] {
            assert_eq!(hash(key.as_bytes()), expected, "{key}");
        }
    }

    #[test]
    fn partitions_are_in_range() {
        for count in [1, 2, 3, 100, i32::MAX] {
            for key in ["", "a", "cpu:host=a", "The quick brown fox"] {
                let partition = Murmur3.partition("t", Some(key.as_bytes()), count, |_| true);
                assert!((0..count).contains(&partition), "{key} {count}");
            }
        }
        assert_eq!(Murmur3.partition("t", None, 0, |_| true), 0);
    }
}
