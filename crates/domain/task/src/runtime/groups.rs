//! The groups of a task, and tables by group.

use std::borrow::Borrow;
use std::collections::HashSet;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

use foldhash::fast::RandomState;
use levada_model::{Group, GroupKey, Str};

/// The groups of a task: equal keys give one object, with a small number that tables are indexed by.
///
/// - Slots of forgotten groups are used again, so tables stay as long as the most groups at one time.
#[derive(Debug)]
pub struct Groups {
    by_key: HashSet<ByKey, RandomState>,
    by_slot: Vec<Option<Arc<Group>>>,
    free: Vec<u32>,
    limit: usize,
    refused: u64,
}

/// A group that is found by its key, which is there once.
#[derive(Debug)]
struct ByKey(Arc<Group>);

/// A table by group.
#[derive(Debug)]
pub struct PerGroup<T> {
    slots: Vec<Option<T>>,
    count: usize,
}

// === impl Groups ===

impl Groups {
    /// Makes an empty table that holds at most `limit` groups.
    pub fn new(limit: usize) -> Self {
        Groups {
            by_key: HashSet::default(),
            by_slot: Vec::new(),
            free: Vec::new(),
            limit,
            refused: 0,
        }
    }

    /// Gives the group of a key; `None` when there are too many groups, which is counted.
    pub fn intern(&mut self, key: GroupKey) -> Option<Arc<Group>> {
        if let Some(ByKey(group)) = self.by_key.get(&key) {
            return Some(Arc::clone(group));
        }
        if self.by_key.len() >= self.limit {
            self.refused += 1;
            return None;
        }
        let slot = self.free.pop().unwrap_or_else(|| {
            self.by_slot.push(None);
            (self.by_slot.len() - 1) as u32
        });
        let id: Str = key.text().into();
        let group = Arc::new(Group { slot, key, id });
        self.by_slot[slot as usize] = Some(Arc::clone(&group));
        self.by_key.insert(ByKey(Arc::clone(&group)));
        Some(group)
    }

    /// Gives back the slot of a group that no node has state for any more.
    ///
    /// - Does nothing while somebody still holds the group.
    pub fn release(&mut self, key: &GroupKey) {
        // One for each of the two tables.
        const OWN: usize = 2;
        let is_free = self.by_key.get(key).is_some_and(|own| Arc::strong_count(&own.0) == OWN);
        if is_free && let Some(ByKey(group)) = self.by_key.take(key) {
            self.by_slot[group.slot as usize] = None;
            self.free.push(group.slot);
        }
    }

    /// Gives the group of a slot.
    pub fn at(&self, slot: u32) -> Option<&Arc<Group>> {
        self.by_slot.get(slot as usize)?.as_ref()
    }

    /// Counts the groups.
    pub fn len(&self) -> usize {
        self.by_key.len()
    }

    /// Says whether there is no group.
    pub fn is_empty(&self) -> bool {
        self.by_key.is_empty()
    }

    /// Counts the look-ups that failed because there were too many groups.
    pub fn refused(&self) -> u64 {
        self.refused
    }
}

// === impl ByKey ===

impl Borrow<GroupKey> for ByKey {
    fn borrow(&self) -> &GroupKey {
        &self.0.key
    }
}

impl Hash for ByKey {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.0.key.hash(state);
    }
}

impl PartialEq for ByKey {
    fn eq(&self, other: &Self) -> bool {
        self.0.key == other.0.key
    }
}

impl Eq for ByKey {}

// === impl PerGroup ===

impl<T> Default for PerGroup<T> {
    fn default() -> Self {
        PerGroup { slots: Vec::new(), count: 0 }
    }
}

impl<T> PerGroup<T> {
    /// Gives the entry of a slot.
    #[inline]
    pub fn get(&self, slot: u32) -> Option<&T> {
        self.slots.get(slot as usize)?.as_ref()
    }

    /// Gives the entry of a slot.
    #[inline]
    pub fn get_mut(&mut self, slot: u32) -> Option<&mut T> {
        self.slots.get_mut(slot as usize)?.as_mut()
    }

    /// Gives the entry of a slot, made by `make` when there is none.
    #[inline]
    pub fn entry(&mut self, slot: u32, make: impl FnOnce() -> T) -> &mut T {
        let at = slot as usize;
        if self.slots.get(at).is_none_or(Option::is_none) {
            self.add(at, make());
        }
        self.slots[at].as_mut().expect("it was there or was added")
    }

    #[cold]
    #[inline(never)]
    fn add(&mut self, at: usize, entry: T) {
        if at >= self.slots.len() {
            self.slots.resize_with(at + 1, || None);
        }
        self.slots[at] = Some(entry);
        self.count += 1;
    }

    /// Takes an entry out.
    pub fn remove(&mut self, slot: u32) -> Option<T> {
        let taken = self.slots.get_mut(slot as usize)?.take();
        self.count -= usize::from(taken.is_some());
        taken
    }

    /// Counts the entries.
    pub fn len(&self) -> usize {
        self.count
    }

    /// Says whether there is no entry.
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// Gives slots and entries in the order of the slots.
    pub fn iter(&self) -> impl Iterator<Item = (u32, &T)> {
        self.slots
            .iter()
            .enumerate()
            .filter_map(|(slot, entry)| entry.as_ref().map(|entry| (slot as u32, entry)))
    }

    /// Gives slots and entries in the order of the slots.
    pub fn iter_mut(&mut self) -> impl Iterator<Item = (u32, &mut T)> {
        self.slots
            .iter_mut()
            .enumerate()
            .filter_map(|(slot, entry)| entry.as_mut().map(|entry| (slot as u32, entry)))
    }
}
