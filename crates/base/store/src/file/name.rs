//! File names for flow names.
//!
//! A flow may have any name; a file may not. Lower-case letters, digits, `_`, `-` and `.` (not first) stand for themselves, every other
//! byte is `%XX`: upper-case letters too, so that two flows never share a file where case does not count. A name that
//! would be longer than 120 bytes is cut and ends in `~` and a 128-bit hash of the whole name.

/// Longest flow name, bytes.
pub(super) const FLOW_BYTES_MAX: usize = 4_096;

/// Longest encoded name; with suffixes it stays below the 255 bytes that file systems allow.
const ENCODED_MAX: usize = 120;

/// How much of a long name is kept in front of the hash, for people.
const KEPT: usize = 60;

/// Gives the start of the file names of a flow.
pub(super) fn encode(flow: &str) -> String {
    let mut name = String::new();
    for (index, byte) in flow.bytes().enumerate() {
        let plain = byte.is_ascii_lowercase()
            || byte.is_ascii_digit()
            || matches!(byte, b'_' | b'-')
            || (byte == b'.' && index > 0);
        if plain {
            name.push(char::from(byte));
        } else {
            name.push_str(&format!("%{byte:02X}"));
        }
        if name.len() > ENCODED_MAX {
            // Not in the middle of an escape.
            let cut = name[..KEPT].rfind('%').filter(|start| start + 3 > KEPT).unwrap_or(KEPT);
            return format!("{}~{:032x}", &name[..cut], hash(flow.as_bytes()));
        }
    }
    name
}

/// Gives the flow name back, unless it was cut.
pub(super) fn decode(name: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(name.len());
    let mut rest = name.as_bytes();
    while let Some((&first, after)) = rest.split_first() {
        rest = match first {
            b'~' => return None,
            b'%' => {
                let digits = std::str::from_utf8(after.get(..2)?).ok()?;
                bytes.push(u8::from_str_radix(digits, 16).ok()?);
                &after[2..]
            }
            plain => {
                bytes.push(plain);
                after
            }
        };
    }
    String::from_utf8(bytes).ok()
}

/// FNV-1a, 128 bits. Stable for ever, which hashes of tables are not. Somebody could make two names collide; the flow name
/// inside the file is compared, so that ends in an error and not in foreign positions.
fn hash(bytes: &[u8]) -> u128 {
    const OFFSET: u128 = 0x6c62_272e_07bb_0142_62b8_2175_6295_c58d;
    const PRIME: u128 = 0x0000_0000_0100_0000_0000_0000_0000_013b;
    bytes.iter().fold(OFFSET, |hash, &byte| (hash ^ u128::from(byte)).wrapping_mul(PRIME))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn names_are_safe_and_readable() {
        assert_eq!(encode("default/cpu-to-vm"), "default%2Fcpu-to-vm");
        assert_eq!(encode("."), "%2E");
        assert_eq!(encode("../../etc/passwd"), "%2E.%2F..%2Fetc%2Fpasswd");
        assert_eq!(encode("A.b\0~ü"), "%41.b%00%7E%C3%BC");
    }

    #[test]
    fn long_names_are_cut_and_stay_apart() {
        let (a, b) = (format!("{}a", "x/".repeat(500)), format!("{}b", "x/".repeat(500)));
        assert!(encode(&a).len() <= ENCODED_MAX && encode(&a) != encode(&b));
        assert_eq!(encode(&"x".repeat(120)).len(), 120);
        assert_eq!(
            encode(&"x".repeat(121)),
            format!("{}~{:032x}", "x".repeat(60), hash(&[b'x'; 121]))
        );
        assert_eq!(decode(&encode(&a)), None);
    }

    #[test]
    fn the_hash_is_the_published_one() {
        assert_eq!(hash(b""), 0x6c62272e07bb014262b821756295c58d);
        assert_eq!(hash(b"a"), 0xd228cb696f1a8caf78912b704e4a8964);
    }

    proptest! {
        #[test]
        fn every_name_makes_a_plain_file_name(flow in ".{0,200}") {
            let name = encode(&flow);
            prop_assert!(name.len() <= ENCODED_MAX);
            prop_assert!(name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_-.%~".contains(&byte)));
            prop_assert!(!name.starts_with('.'));
            if !name.contains('~') {
                prop_assert_eq!(decode(&name), Some(flow));
            }
        }
    }
}
