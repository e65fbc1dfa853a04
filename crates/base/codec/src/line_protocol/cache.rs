//! A table that forgets: what was not used for two generations is gone.
//!
//! New and used entries are in the young half. When that is full, it becomes the old half, and what was in the old
//! half and nobody asked for meanwhile is dropped. So there is no list to keep in order and nothing to do per hit.

use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};

/// Entries under a 64-bit hash of their key; who asks compares the key itself.
#[derive(Debug)]
pub(super) struct Generations<V> {
    young: Half<V>,
    old: Half<V>,
    /// How much one half may hold.
    entries_max: usize,
    bytes_max: usize,
    /// How many entries were dropped.
    pub(super) evicted: u64,
}

#[derive(Debug)]
struct Half<V> {
    places: HashMap<u64, u32, BuildHasherDefault<Identity>>,
    entries: Vec<Entry<V>>,
    bytes: usize,
}

#[derive(Debug)]
struct Entry<V> {
    hash: u64,
    bytes: usize,
    value: V,
}

/// The keys are hashes already.
#[derive(Debug, Default)]
struct Identity(u64);

// === impl Generations ===

impl<V> Generations<V> {
    /// Makes a table for about so many entries and bytes; at least one entry is kept in each half.
    pub(super) fn new(entries_max: usize, bytes_max: usize) -> Self {
        Generations {
            young: Half::default(),
            old: Half::default(),
            entries_max: (entries_max / 2).clamp(1, u32::MAX as usize),
            bytes_max: bytes_max / 2,
            evicted: 0,
        }
    }

    /// Gives the entry under `hash` that is the wanted one.
    #[inline]
    pub(super) fn find(&mut self, hash: u64, is_wanted: impl Fn(&V) -> bool) -> Option<&mut V> {
        let place = self.place(hash, is_wanted)?;
        self.at(place)
    }

    /// Gives where the entry under `hash` is that is the wanted one, for [`Generations::at`].
    #[inline]
    pub(super) fn place(&mut self, hash: u64, is_wanted: impl Fn(&V) -> bool) -> Option<u32> {
        if let Some(at) = self.young.position(hash)
            && is_wanted(&self.young.entries[at].value)
        {
            return Some(at as u32);
        }
        self.place_old(hash, is_wanted)
    }

    #[cold]
    fn place_old(&mut self, hash: u64, is_wanted: impl Fn(&V) -> bool) -> Option<u32> {
        let at = self.old.position(hash)?;
        if !is_wanted(&self.old.entries[at].value) {
            return None;
        }
        let entry = self.old.take(at);
        self.insert(entry.hash, entry.bytes, entry.value);
        Some((self.young.entries.len() - 1) as u32)
    }

    /// Gives the entry at a place: after an insertion it may be another one than before, or none.
    #[inline]
    pub(super) fn at(&mut self, place: u32) -> Option<&mut V> {
        self.young.entries.get_mut(place as usize).map(|entry| &mut entry.value)
    }

    /// Adds an entry that takes so many bytes; one with the same hash gives way.
    pub(super) fn insert(&mut self, hash: u64, bytes: usize, value: V) -> &mut V {
        let is_full = self.young.places.len() >= self.entries_max
            || self.young.bytes.saturating_add(bytes) > self.bytes_max;
        if is_full && !self.young.places.is_empty() {
            self.evicted += self.old.places.len() as u64;
            self.old = std::mem::take(&mut self.young);
        }
        if let Some(at) = self.young.position(hash) {
            self.evicted += 1;
            self.young.take(at);
        }
        self.young.push(Entry { hash, bytes, value })
    }

    /// Gives how many entries there are.
    pub(super) fn len(&self) -> usize {
        self.young.places.len() + self.old.places.len()
    }

    /// Gives how many bytes the entries take by what was said when they were added.
    pub(super) fn bytes(&self) -> usize {
        self.young.bytes + self.old.bytes
    }
}

// === impl Half ===

impl<V> Default for Half<V> {
    fn default() -> Self {
        Half { places: HashMap::default(), entries: Vec::new(), bytes: 0 }
    }
}

impl<V> Half<V> {
    #[inline]
    fn position(&self, hash: u64) -> Option<usize> {
        self.places.get(&hash).map(|at| *at as usize)
    }

    fn push(&mut self, entry: Entry<V>) -> &mut V {
        let at = self.entries.len();
        self.bytes += entry.bytes;
        self.places.insert(entry.hash, at as u32);
        self.entries.push(entry);
        &mut self.entries[at].value
    }

    fn take(&mut self, at: usize) -> Entry<V> {
        let entry = self.entries.swap_remove(at);
        self.places.remove(&entry.hash);
        if let Some(moved) = self.entries.get(at) {
            self.places.insert(moved.hash, at as u32);
        }
        self.bytes -= entry.bytes;
        entry
    }
}

// === impl Identity ===

impl Hasher for Identity {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = self.0.rotate_left(8) ^ u64::from(*byte);
        }
    }

    fn write_u64(&mut self, number: u64) {
        self.0 = number;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_used_stays_and_the_rest_goes() {
        let mut table = Generations::new(8, 1_000);
        for number in 0..100_u64 {
            table.insert(number, 1, number);
            assert!(table.find(0, |value| *value == 0).is_some(), "after {number}");
            assert!(table.len() <= 8, "{} entries", table.len());
            assert_eq!(table.bytes(), table.len());
        }
        assert!(table.find(3, |_| true).is_none());
        assert!(table.find(99, |_| true).is_some());
        assert!(table.find(99, |value| *value == 98).is_none(), "the key decides");
        assert_eq!(table.evicted as usize + table.len(), 100);
    }

    #[test]
    fn bytes_are_bounded_except_for_the_last_entry() {
        let mut table = Generations::new(1_000, 100);
        for number in 0..50_u64 {
            table.insert(number, 20, number);
            assert!(table.bytes() <= 100, "{} bytes", table.bytes());
        }
        table.insert(50, 10_000, 50);
        assert!(table.find(50, |_| true).is_some());
        table.insert(51, 1, 51);
        table.insert(52, 100, 52);
        assert!(table.bytes() <= 101, "{} bytes", table.bytes());
    }
}
