//! Small things in documents of many: those that are stored together share a document, a *bundle*. What is soon replaced or
//! deleted, as in a flood, then costs a share of a few changes of rows, and not two of its own.
//!
//! | key | holds |
//! |---|---|
//! | `~~~<number>` | the items of a bundle ([`super::packed`]); in JSON when an earlier version stored it |
//! | `~~~<number>-gone` | the places of those that are gone while others are left: `[0,7]` |
//! | any other | one item in JSON, as earlier versions stored it |
//!
//! - A bundle is deleted with its last item. When seven of eight are gone, the rest is written anew, so that one item that
//!   stays for days does not keep the text of many; not so when an earlier version stored it.
//! - Whether a bundle is there whose writing failed is not known: its name is kept, and what it may have left behind is
//!   deleted with the next changes of the space.
//! - Nor is it known which layout a bundle has whose rewriting failed, for a store may have done what it reports as failed: it
//!   is read before the next changes of the space ([`Bundles::settle`]).

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::hash::Hash;
use std::sync::Arc;

use foldhash::fast::RandomState;
use levada_store::{Document, DocumentError, Documents, Write};
use serde::Serialize;

use super::documents::read;
use super::packed::{Packed, Packer};

/// What names of bundles begin with; those of documents of one item do not, but for some that are longer.
const MARK: &str = "~~~";

/// Digits of the number of a bundle.
const DIGITS: usize = 20;

/// What the key of a bundle ends with where it tells which items are gone.
const GONE: &str = "-gone";

/// Items of a bundle. Ours: as many as a handler that takes several gets at once.
const ITEMS_MAX: usize = 256;

/// Bytes of a bundle after which no further item is put into it. Ours: what is left of one in the end is read and written anew.
const BYTES_MAX: usize = 64 << 10;

/// What is set aside for an item before its size is known. Ours: an event of ten points.
const ITEM_BYTES: usize = 512;

/// Of a bundle of which no more than one in so many items is left the rest is written anew. Ours.
const SHARE_MIN: usize = 8;

type Map<K, V> = HashMap<K, V, RandomState>;

/// Which bundles a space holds, and where the items are that are left; `K` names an item.
#[derive(Debug)]
pub(super) struct Bundles<K> {
    /// Bundle and place in it.
    places: Map<K, (u64, usize)>,
    bundles: Map<u64, Bundle<K>>,
    /// Bundles of which nobody knows whether they are there.
    doubtful: BTreeSet<u64>,
    /// Bundles as they are if a rewriting that failed was done after all.
    rewritten: BTreeMap<u64, Bundle<K>>,
    next: u64,
    /// Numbers of documents that are no bundles, counted from above.
    others: u64,
    /// The store holds some that could not be read; they stay.
    has_unread: bool,
}

#[derive(Clone, Debug)]
pub(super) struct Bundle<K> {
    /// The key of its document.
    name: String,
    items: Arc<[K]>,
    /// The places of items that are gone.
    gone: BTreeSet<usize>,
    /// The store knows of some that are gone.
    is_noted: bool,
}

/// What becomes of a space when its changes are stored.
#[derive(Debug)]
pub(super) struct Changed<K> {
    is_cleared: bool,
    gone: Vec<K>,
    /// Bundles as they are then; nothing for those that are deleted.
    bundles: Vec<(u64, Option<Bundle<K>>)>,
    rewritten: Vec<u64>,
    stored: Vec<u64>,
    /// Doubtful bundles that are deleted.
    settled: Vec<u64>,
    next: u64,
}

/// What is asked for of a space.
#[derive(Debug)]
pub(super) struct Asked<K, I> {
    /// Everything that was there goes.
    pub(super) is_cleared: bool,
    pub(super) stored: Vec<(K, I)>,
    pub(super) gone: Vec<K>,
}

// === impl Asked ===

impl<K, I> Default for Asked<K, I> {
    fn default() -> Self {
        Asked { is_cleared: false, stored: Vec::new(), gone: Vec::new() }
    }
}

// === impl Bundles ===

impl<K> Default for Bundles<K> {
    fn default() -> Self {
        Bundles {
            places: Map::default(),
            bundles: Map::default(),
            doubtful: BTreeSet::new(),
            rewritten: BTreeMap::new(),
            next: 0,
            others: u64::MAX,
            has_unread: false,
        }
    }
}

impl<K: Clone + Eq + Hash> Bundles<K> {
    /// Begins with the number `first` in a space with documents that could not be read.
    pub(super) fn after(first: Option<u64>) -> Self {
        let has_unread = first.is_some();
        Bundles { next: first.unwrap_or(0), has_unread, ..Bundles::default() }
    }

    /// Takes the documents of a space; `items` gives those of one, each with its name. Gives what is left.
    pub(super) fn load<T>(
        &mut self,
        space: &str,
        documents: &[Document],
        items: impl Fn(&Document) -> Vec<(K, T)>,
    ) -> Vec<T> {
        let mut gone: BTreeMap<u64, BTreeSet<usize>> = BTreeMap::new();
        for document in documents {
            if let Some(number) = document.key.strip_suffix(GONE).and_then(number_of) {
                gone.insert(number, read(space, document).unwrap_or_default());
            }
        }
        let mut left = Vec::new();
        for document in documents {
            if document.key.strip_suffix(GONE).and_then(number_of).is_some() {
                continue;
            }
            let number = number_of(&document.key).unwrap_or_else(|| {
                self.others -= 1;
                self.others
            });
            if number < self.others {
                self.next = self.next.max(number + 1);
            }
            let items = items(document);
            if items.is_empty() {
                self.has_unread = true;
                continue;
            }
            let noted = gone.remove(&number);
            let is_noted = noted.is_some();
            let gone = noted.unwrap_or_default();
            let mut names = Vec::with_capacity(items.len());
            for (place, (item, content)) in items.into_iter().enumerate() {
                if !gone.contains(&place) {
                    self.places.insert(item.clone(), (number, place));
                    left.push(content);
                }
                names.push(item);
            }
            let (name, items) = (document.key.clone(), names.into());
            self.bundles.insert(number, Bundle { name, items, gone, is_noted });
        }
        left
    }

    /// Adds what is to be written for changes; `head` is what each bundle has beside its items. Gives what to tell
    /// [`Bundles::end`].
    ///
    /// An item that is there is replaced.
    pub(super) fn write<I: Serialize>(
        &self,
        space: &str,
        head: &[u8],
        asked: Asked<K, I>,
        writes: &mut Vec<Write>,
    ) -> Result<Changed<K>, DocumentError> {
        let Asked { is_cleared, stored, gone } = asked;
        let mut changed = Changed {
            is_cleared,
            gone,
            bundles: Vec::new(),
            rewritten: Vec::new(),
            stored: Vec::new(),
            settled: self.doubtful.iter().copied().collect(),
            next: self.next,
        };
        if is_cleared {
            writes.push(Write::clear(space));
        } else {
            let replaced = stored.iter().map(|(item, _)| item);
            self.remove(space, changed.gone.iter().chain(replaced), writes, &mut changed.bundles)?;
            let doubtful = changed.settled.iter();
            writes.extend(doubtful.map(|number| Write::delete(space, name_of(*number))));
        }
        let mut stored = stored.into_iter().peekable();
        while stored.peek().is_some() {
            let number = changed.next;
            changed.next += 1;
            let name = name_of(number);
            let room = stored.len().saturating_mul(ITEM_BYTES).min(BYTES_MAX) + ITEM_BYTES;
            let invalid = |error| invalid(space, &name, &error);
            let mut bundle = Packer::new(head, room).map_err(invalid)?;
            let mut items = Vec::with_capacity(stored.len().min(ITEMS_MAX));
            while items.len() < ITEMS_MAX
                && bundle.len() < BYTES_MAX
                && let Some((item, content)) = stored.next()
            {
                bundle.add(&content).map_err(invalid)?;
                items.push(item);
            }
            writes.push(Write::put(space, &*name, bundle.finish()));
            changed.stored.push(number);
            let items = items.into();
            let bundle = Bundle { name, items, gone: BTreeSet::new(), is_noted: false };
            changed.bundles.push((number, Some(bundle)));
        }
        Ok(changed)
    }

    /// Adds what takes items out of their bundles.
    fn remove<'k>(
        &self,
        space: &str,
        items: impl Iterator<Item = &'k K>,
        writes: &mut Vec<Write>,
        bundles: &mut Vec<(u64, Option<Bundle<K>>)>,
    ) -> Result<(), DocumentError>
    where
        K: 'k,
    {
        let mut touched: BTreeMap<u64, Bundle<K>> = BTreeMap::new();
        for item in items {
            let Some((number, place)) = self.places.get(item) else { continue };
            let Some(known) = self.bundles.get(number) else { continue };
            touched.entry(*number).or_insert_with(|| known.clone()).gone.insert(*place);
        }
        for (number, mut bundle) in touched {
            if bundle.gone.len() < bundle.items.len() {
                let gone = json(space, &bundle.name, &bundle.gone)?;
                writes.push(Write::put(space, gone_key(&bundle.name), gone));
                bundle.is_noted = true;
                bundles.push((number, Some(bundle)));
                continue;
            }
            writes.push(Write::delete(space, &*bundle.name));
            if bundle.is_noted {
                writes.push(Write::delete(space, gone_key(&bundle.name)));
            }
            bundles.push((number, None));
        }
        Ok(())
    }

    /// Makes what [`Bundles::write`] gave shorter: of bundles most of whose items are gone the rest is written anew.
    pub(super) async fn tidy(
        documents: &dyn Documents,
        space: &str,
        head: &[u8],
        changed: &mut Changed<K>,
        writes: &mut Vec<Write>,
    ) -> Result<(), DocumentError> {
        for (number, bundle) in &mut changed.bundles {
            let Some(bundle) = bundle else { continue };
            let left = bundle.items.len() - bundle.gone.len();
            if left > bundle.items.len() / SHARE_MIN {
                continue;
            }
            let Some(found) = documents.get(space, &bundle.name).await? else { continue };
            let Some(items) = items_of(&found, bundle.items.len()) else { continue };
            let is_left = |place: usize| !bundle.gone.contains(&place);
            let invalid = |error| invalid(space, &bundle.name, &error);
            let mut rest = Packer::new(head, 0).map_err(invalid)?;
            for (_, item) in items.iter().enumerate().filter(|(place, _)| is_left(*place)) {
                rest.put(item).map_err(invalid)?;
            }
            let names = bundle.items.iter().enumerate();
            let names = names.filter(|(place, _)| is_left(*place)).map(|(_, item)| item.clone());
            bundle.items = names.collect();
            writes.push(Write::put(space, &*bundle.name, rest.finish()));
            writes.push(Write::delete(space, gone_key(&bundle.name)));
            (bundle.gone, bundle.is_noted) = (BTreeSet::new(), false);
            changed.rewritten.push(*number);
        }
        Ok(())
    }

    /// Gives the bundles of which nobody knows whether they were rewritten, as they are if so.
    pub(super) fn rewritten(&self) -> Vec<(u64, Bundle<K>)> {
        self.rewritten.iter().map(|(number, bundle)| (*number, bundle.clone())).collect()
    }

    /// Gives those of [`Bundles::rewritten`] that are so in the store.
    pub(super) async fn find_out(
        documents: &dyn Documents,
        space: &str,
        rewritten: Vec<(u64, Bundle<K>)>,
    ) -> Result<Vec<(u64, Bundle<K>)>, DocumentError> {
        let mut done = Vec::new();
        for (number, bundle) in rewritten {
            let document = documents.get(space, &bundle.name).await?;
            // A rewriting leaves out something, so that how many there are tells.
            if document.is_some_and(|found| items_of(&found, bundle.items.len()).is_some()) {
                done.push((number, bundle));
            }
        }
        Ok(done)
    }

    /// Takes over the bundles that were rewritten, as [`Bundles::find_out`] gave them.
    pub(super) fn settle(&mut self, rewritten: Vec<(u64, Bundle<K>)>) {
        self.rewritten.clear();
        for (number, bundle) in rewritten {
            if let Some(before) = self.bundles.remove(&number) {
                for item in before.items.iter() {
                    if self.places.get(item).is_some_and(|(known, _)| *known == number) {
                        self.places.remove(item);
                    }
                }
            }
            self.put(number, bundle);
        }
    }

    /// Notes how the changes went.
    pub(super) fn end(&mut self, changed: Changed<K>, is_stored: bool) {
        self.next = changed.next;
        if !is_stored {
            self.doubtful.extend(changed.stored);
            let bundles = changed.bundles.into_iter();
            let rewritten = bundles.filter(|(number, _)| changed.rewritten.contains(number));
            let rewritten = rewritten.filter_map(|(number, bundle)| Some((number, bundle?)));
            self.rewritten.extend(rewritten);
            return;
        }
        if changed.is_cleared {
            self.places.clear();
            self.bundles.clear();
            self.rewritten.clear();
        }
        for number in changed.settled {
            self.doubtful.remove(&number);
        }
        for item in changed.gone {
            self.places.remove(&item);
        }
        for (number, bundle) in changed.bundles {
            match bundle {
                Some(bundle) => self.put(number, bundle),
                None => drop(self.bundles.remove(&number)),
            }
        }
    }

    fn put(&mut self, number: u64, bundle: Bundle<K>) {
        // With items that are gone it is one whose other items are where they were.
        if bundle.gone.is_empty() {
            let items = bundle.items.iter().cloned().enumerate();
            self.places.extend(items.map(|(place, item)| (item, (number, place))));
        }
        self.bundles.insert(number, bundle);
    }

    /// Says whether nothing is to be remembered.
    pub(super) fn is_empty(&self) -> bool {
        self.bundles.is_empty() && self.doubtful.is_empty() && !self.has_unread
    }
}

/// Gives the items of a bundle as they are stored, if there are so many.
fn items_of(document: &Document, count: usize) -> Option<Vec<&[u8]>> {
    let Packed { items, .. } = Packed::of(&document.value)?.ok()?;
    (items.len() == count).then_some(items)
}

fn name_of(number: u64) -> String {
    format!("{MARK}{number:0DIGITS$}")
}

/// Gives the number behind those of all bundles among documents, if there are any.
pub(super) fn first_after(documents: &[Document]) -> Option<u64> {
    let numbers = documents.iter().filter_map(|document| number_of(&document.key));
    numbers.max().map(|last| last.saturating_add(1))
}

fn number_of(name: &str) -> Option<u64> {
    let digits = name.strip_prefix(MARK)?;
    let is_number = digits.len() == DIGITS && digits.bytes().all(|byte| byte.is_ascii_digit());
    digits.parse().ok().filter(|_| is_number)
}

fn gone_key(name: &str) -> String {
    format!("{name}{GONE}")
}

fn json(
    space: &str,
    key: &str,
    document: &(impl Serialize + ?Sized),
) -> Result<Vec<u8>, DocumentError> {
    serde_json::to_vec(document).map_err(|error| invalid(space, key, &error))
}

/// Says what does not become a document.
pub(super) fn invalid(space: &str, key: &str, error: &dyn std::error::Error) -> DocumentError {
    DocumentError::Invalid {
        space: space.to_owned(),
        key: key.to_owned(),
        reason: error.to_string(),
    }
}
