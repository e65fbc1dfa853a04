//! Names of packages.

use std::sync::atomic::{AtomicU32, Ordering};

/// Makes ids of packages: `dk_` and 20 characters, unique among all processes for all practical purposes.
///
/// An id is made once with its package and stays with it, so that receivers can tell copies (B34).
///
/// Source: xid, 12 bytes of time, machine, process and counter in base 32.
#[derive(Debug)]
pub struct PackageIds {
    process: [u8; 5],
    counter: AtomicU32,
}

const ALPHABET: &[u8; 32] = b"0123456789abcdefghijklmnopqrstuv";

// === impl PackageIds ===

impl PackageIds {
    /// Starts at a random place; `random` stands for machine, process and start.
    pub fn new(random: u64) -> Self {
        let bytes = random.to_le_bytes();
        let process = [bytes[0], bytes[1], bytes[2], bytes[3], bytes[4]];
        let counter = u32::from(bytes[5]) | u32::from(bytes[6]) << 8 | u32::from(bytes[7]) << 16;
        PackageIds { process, counter: AtomicU32::new(counter) }
    }

    /// Makes an id.
    pub fn next(&self, unix_seconds: i64) -> String {
        let counter = self.counter.fetch_add(1, Ordering::Relaxed).to_be_bytes();
        let mut bytes = [0; 12];
        bytes[..4].copy_from_slice(&(unix_seconds as u32).to_be_bytes());
        bytes[4..9].copy_from_slice(&self.process);
        bytes[9..].copy_from_slice(&counter[1..]);
        let mut id = String::with_capacity(23);
        id.push_str("dk_");
        let bit = |at: usize| bytes.get(at / 8).is_some_and(|byte| byte >> (7 - at % 8) & 1 == 1);
        for character in 0..20 {
            let index =
                (0..5).fold(0, |index, at| index << 1 | usize::from(bit(character * 5 + at)));
            id.push(char::from(ALPHABET[index]));
        }
        id
    }
}
