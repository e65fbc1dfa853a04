//! Names of documents for things whose own names may be too long or hold bytes that keys may not.

/// Bytes of a name that are used as they are. Ours: well below what keys and spaces may have, prefixes included.
const NAME_BYTES_MAX: usize = 400;

/// What names begin with that are not used as they are.
const MARK: &str = "~~";

/// Gives the name of a document for a name that may be anything; the document holds the name itself.
pub(super) fn document_name(name: &str) -> String {
    let is_plain = !name.is_empty()
        && name.len() <= NAME_BYTES_MAX
        && !name.contains('\0')
        && !name.starts_with(MARK);
    if is_plain {
        return name.to_owned();
    }
    let mut cut = name.len().min(NAME_BYTES_MAX);
    while !name.is_char_boundary(cut) {
        cut -= 1;
    }
    let readable = name[..cut].replace('\0', "");
    format!("{MARK}{readable}{MARK}{:016x}{:016x}", hash(name, 0), hash(name, 0x9e37_79b9))
}

/// FNV-1a: the same everywhere and forever, unlike the hashes of maps.
fn hash(text: &str, seed: u64) -> u64 {
    text.bytes().fold(0xcbf2_9ce4_8422_2325 ^ seed, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    })
}

/// Makes a random UUID of version 4.
pub(super) fn random_id() -> String {
    use std::hash::BuildHasher as _;
    // Seeded by the system; these IDs tell things apart and keep no secrets.
    let random = || std::hash::RandomState::new().hash_one(0u8);
    let (high, low) = (random(), random());
    let (high, low) = ((high & !0xf000) | 0x4000, (low & !(0b11 << 62)) | (0b10 << 62));
    let (a, b, c) = (high >> 32, (high >> 16) & 0xffff, high & 0xffff);
    format!("{a:08x}-{b:04x}-{c:04x}-{:04x}-{:012x}", low >> 48, low & 0xffff_ffff_ffff)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn names_of_all_sorts_become_keys_that_differ() {
        let long = "é".repeat(1_000);
        let longer = format!("{long}x");
        let names = ["cpu:host=a", "", "a\0b", "ab", "~~ab", &long, &longer, "a/b"];
        let keys: BTreeSet<String> = names.iter().map(|name| document_name(name)).collect();
        assert_eq!(keys.len(), names.len());
        assert!(keys.iter().all(|key| key.len() < 500 && !key.contains('\0') && !key.is_empty()));
        assert_eq!(document_name("cpu:host=a"), "cpu:host=a");
    }

    #[test]
    fn random_ids_are_uuids() {
        let (one, other) = (random_id(), random_id());
        assert_ne!(one, other);
        let parts: Vec<usize> = one.split('-').map(str::len).collect();
        assert_eq!(parts, [8, 4, 4, 4, 12]);
        assert_eq!(&one[14..15], "4");
        assert!("89ab".contains(&one[19..20]), "{one}");
    }
}
