//! Tells members of one flow on one host apart, the same way again after a crash.
//!
//! A member holds the lock of the lowest free slot of its flow for as long as its process lives; the system
//! lets go of it when the process ends, however it ends. So two members never have one slot, and a member
//! that is started again gets the slot of the one that died.

use std::fs::File;
use std::path::Path;

use rustix::fs::{FlockOperation, flock};

/// Members of one flow on one host at most; those beyond share no slot with anybody but are not found
/// again after a crash.
const SLOTS_MAX: u32 = 64;

/// A slot, held.
pub(crate) struct Slot {
    /// Counts from 0; nothing: none could be locked.
    number: Option<u32>,
    _lock: Option<File>,
}

// === impl Slot ===

impl Slot {
    /// Takes the lowest free slot of `name`, with lock files in `folder`.
    pub(crate) fn take(folder: &Path, name: &str) -> Self {
        let safe: String =
            name.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '-' }).collect();
        // Names that differ only in other characters must not meet.
        let sum = crc32c::crc32c(name.as_bytes());
        for number in 0..SLOTS_MAX {
            let path = folder.join(format!("levada-{safe}-{sum:08x}.{number}.lock"));
            // A lock needs no right to write, so that another user's file serves too.
            let file = File::options().append(true).create(true).open(&path);
            let Ok(file) = file.or_else(|_| File::open(&path)) else { continue };
            if flock(&file, FlockOperation::NonBlockingLockExclusive).is_ok() {
                return Slot { number: Some(number), _lock: Some(file) };
            }
        }
        tracing::warn!(name, "no slot could be locked; after a crash others wait for this member");
        Slot { number: None, _lock: None }
    }

    /// Gives what tells this member from the others on its host; nothing for the first one.
    pub(crate) fn suffix(&self) -> String {
        match self.number {
            Some(0) => String::new(),
            Some(number) => format!("-{number}"),
            None => format!("-p{}", std::process::id()),
        }
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use super::*;

    #[test]
    fn slots_are_held_and_found_again() {
        let folder = tempfile::tempdir().unwrap();
        let take = |name| Slot::take(folder.path(), name);
        let (first, second, other) = (take("ns/a"), take("ns/a"), take("ns-a"));
        let suffixes = [first.suffix(), second.suffix(), other.suffix()];
        assert_eq!(suffixes, ["", "-1", ""]);
        drop(first);
        assert_eq!(take("ns/a").suffix(), "");
        let nowhere = Slot::take(&folder.path().join("missing"), "x");
        assert_eq!(nowhere.suffix(), format!("-p{}", std::process::id()));
    }
}
