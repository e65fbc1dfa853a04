//! Outboxes as documents. Entries that are stored together for one handler share a document, a *bundle*: what is delivered
//! soon, as in a flood, then costs a share of two changes of a row, and not two of its own.
//!
//! | key | holds |
//! |---|---|
//! | `<number>` | the entries of a bundle; the lowest of their numbers names it |
//! | `<number>-gone` | which of them are gone while others are left |
//!
//! - A bundle is deleted with its last entry. When three quarters are gone, the rest is written anew, so that one entry that
//!   waits for days does not keep the text of many.
//! - Whether a bundle is there whose writing failed is not known: its name is kept, and what it may have left behind is
//!   deleted with the next changes of the outbox.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use foldhash::fast::RandomState;
use levada_model::{Str, Timestamp};
use levada_store::{DocumentError, Documents, Write};
use serde::{Deserialize, Serialize};

use super::documents::{list_all, read};
use super::names::document_name;
use crate::event::StoredEvent;
use crate::topics::{Change, OutboxEntry, StoredEntry};

/// Where entries are; the names of topic and handler follow.
const SPACE: &str = "outbox/";

/// What the key of a bundle ends with where it tells which entries are gone.
const GONE: &str = "-gone";

/// Entries of a bundle. Ours: as many as a handler that takes several gets at once.
const ENTRIES_MAX: usize = 256;

/// Bytes of a bundle after which no further entry is put into it. Ours.
const BYTES_MAX: usize = 256 << 10;

/// Of a bundle of which no more than one in so many entries is left the rest is written anew. Ours.
const SHARE_MIN: usize = 4;

type Map<K, V> = HashMap<K, V, RandomState>;

/// Topic and handler.
type Name = (Str, Str);

/// Which bundles there are.
#[derive(Debug, Default)]
pub(super) struct Outboxes(Mutex<Map<Name, Outbox>>);

/// The bundles of one outbox.
#[derive(Debug, Default)]
struct Outbox {
    /// The bundle of each entry that is left.
    places: Map<u64, u64>,
    bundles: Map<u64, Bundle>,
    /// Bundles of which nobody knows whether they are there.
    doubtful: BTreeSet<u64>,
}

#[derive(Clone, Debug, Default)]
struct Bundle {
    /// Entries in its document.
    stored: usize,
    /// Those of them that are gone.
    gone: BTreeSet<u64>,
    /// The store knows of some that are gone.
    is_noted: bool,
}

/// What becomes of outboxes when their changes are stored.
#[derive(Debug, Default)]
pub(super) struct Outcome(Vec<(Name, Changed)>);

/// What becomes of one outbox.
#[derive(Debug, Default)]
struct Changed {
    /// New bundles with their entries.
    stored: Vec<(u64, Vec<u64>)>,
    gone: Vec<u64>,
    /// Bundles as they are then; nothing for those that are deleted.
    bundles: Vec<(u64, Option<Bundle>)>,
    /// Doubtful bundles that are deleted.
    cleared: Vec<u64>,
}

/// What is asked for of one outbox.
#[derive(Default)]
struct Asked<'c> {
    entries: Vec<&'c OutboxEntry>,
    gone: Vec<u64>,
}

/// An entry in a bundle.
#[derive(Serialize, Deserialize)]
struct EntryDocument<'e> {
    number: u64,
    at: i64,
    quiet: bool,
    event: StoredEvent<'e>,
}

#[derive(Serialize, Deserialize)]
struct BundleDocument {
    topic: String,
    handler: String,
    entries: Vec<EntryDocument<'static>>,
}

/// A document as it may be found.
#[derive(Deserialize)]
#[serde(untagged)]
enum FoundDocument {
    Bundle(BundleDocument),
    /// One entry, as earlier versions stored it.
    Entry {
        topic: String,
        handler: String,
        #[serde(flatten)]
        entry: EntryDocument<'static>,
    },
}

// === impl Outboxes ===

impl Outboxes {
    /// Gives all entries, those of one handler in the order of their numbers.
    pub(super) async fn load(
        &self,
        documents: &dyn Documents,
    ) -> Result<Vec<StoredEntry>, DocumentError> {
        let mut all = Vec::new();
        for space in documents.spaces(SPACE).await? {
            let found = list_all(documents, &space).await?;
            let mut gone: Map<&str, BTreeSet<u64>> = Map::default();
            for document in &found {
                if let Some(name) = document.key.strip_suffix(GONE) {
                    gone.insert(name, read(&space, document).unwrap_or_default());
                }
            }
            let first = all.len();
            for document in found.iter().filter(|document| !document.key.ends_with(GONE)) {
                let Some(bundle) = read::<FoundDocument>(&space, document) else { continue };
                let Ok(first) = document.key.parse() else { continue };
                let gone = gone.remove(&*document.key);
                all.extend(self.take(first, bundle.into(), gone));
            }
            all[first..].sort_by_key(|stored: &StoredEntry| stored.entry.number);
        }
        Ok(all)
    }

    /// Takes a bundle as it was stored; gives its entries that are left.
    fn take(
        &self,
        first: u64,
        bundle: BundleDocument,
        gone: Option<BTreeSet<u64>>,
    ) -> Vec<StoredEntry> {
        let BundleDocument { topic, handler, entries } = bundle;
        let (topic, handler) = (Str::from(topic), Str::from(handler));
        let mut all = self.lock();
        let outbox = all.entry((topic.clone(), handler.clone())).or_default();
        let is_noted = gone.is_some();
        let gone = gone.unwrap_or_default();
        let stored = entries.len();
        let left = entries.into_iter().filter(|entry| !gone.contains(&entry.number));
        let left: Vec<StoredEntry> = left
            .map(|EntryDocument { number, at, quiet, event }| {
                outbox.places.insert(number, first);
                let event = Arc::new(event.into_event());
                let at = Timestamp(at);
                let entry = OutboxEntry { number, event, at, is_quiet_before: quiet };
                StoredEntry { topic: topic.clone(), handler: handler.clone(), entry }
            })
            .collect();
        outbox.bundles.insert(first, Bundle { stored, gone, is_noted });
        left
    }

    /// Adds what is to be written for changes of outboxes; gives what to tell [`Outboxes::end`].
    pub(super) async fn write(
        &self,
        documents: &dyn Documents,
        changes: &[Change],
        writes: &mut Vec<Write>,
    ) -> Result<Outcome, DocumentError> {
        let mut asked: BTreeMap<(&Str, &Str), Asked<'_>> = BTreeMap::new();
        for change in changes {
            match change {
                Change::Enqueue(StoredEntry { topic, handler, entry }) => {
                    asked.entry((topic, handler)).or_default().entries.push(entry);
                }
                Change::Dequeue { topic, handler, number } => {
                    asked.entry((topic, handler)).or_default().gone.push(*number);
                }
                _ => {}
            }
        }
        let mut outcome = Outcome::default();
        for ((topic, handler), Asked { mut entries, gone }) in asked {
            let name = (Str::clone(topic), Str::clone(handler));
            let space = space(topic, handler);
            entries.sort_by_key(|entry| entry.number);
            let mut changed = Changed { gone, ..Changed::default() };
            changed.stored = bundles(&name, &space, &entries, writes)?;
            let (bundles, doubtful) = self.after(&name, &changed.gone);
            for (first, mut bundle) in bundles {
                let left = bundle.stored - bundle.gone.len();
                if left > 0 && left <= bundle.stored / SHARE_MIN {
                    bundle = rewritten(documents, &space, first, bundle, writes).await?;
                } else if left > 0 {
                    let gone = json(&space, first, &bundle.gone)?;
                    writes.push(Write::put(&*space, gone_key(first), gone));
                    bundle.is_noted = true;
                }
                if left == 0 {
                    writes.push(Write::delete(&*space, entry_key(first)));
                    if bundle.is_noted {
                        writes.push(Write::delete(&*space, gone_key(first)));
                    }
                }
                changed.bundles.push((first, (left > 0).then_some(bundle)));
            }
            for first in doubtful {
                if changed.stored.iter().all(|(stored, _)| *stored != first) {
                    writes.push(Write::delete(&*space, entry_key(first)));
                }
                changed.cleared.push(first);
            }
            outcome.0.push((name, changed));
        }
        Ok(outcome)
    }

    /// Gives the bundles of entries as they are without them, and those that are doubtful.
    fn after(&self, name: &Name, gone: &[u64]) -> (BTreeMap<u64, Bundle>, Vec<u64>) {
        let all = self.lock();
        let Some(outbox) = all.get(name) else { return (BTreeMap::new(), Vec::new()) };
        let mut bundles: BTreeMap<u64, Bundle> = BTreeMap::new();
        for number in gone {
            let Some(first) = outbox.places.get(number) else { continue };
            let bundle = bundles
                .entry(*first)
                .or_insert_with(|| outbox.bundles.get(first).cloned().unwrap_or_default());
            bundle.gone.insert(*number);
        }
        (bundles, outbox.doubtful.iter().copied().collect())
    }

    /// Notes how the changes went.
    pub(super) fn end(&self, outcome: Outcome, is_stored: bool) {
        let mut all = self.lock();
        for (name, changed) in outcome.0 {
            let outbox = all.entry(name.clone()).or_default();
            if !is_stored {
                outbox.doubtful.extend(changed.stored.iter().map(|(first, _)| *first));
                continue;
            }
            for first in changed.cleared {
                outbox.doubtful.remove(&first);
            }
            for (first, entries) in changed.stored {
                let bundle = Bundle { stored: entries.len(), ..Bundle::default() };
                outbox.bundles.insert(first, bundle);
                outbox.places.extend(entries.into_iter().map(|number| (number, first)));
            }
            for number in changed.gone {
                outbox.places.remove(&number);
            }
            for (first, bundle) in changed.bundles {
                match bundle {
                    Some(bundle) => drop(outbox.bundles.insert(first, bundle)),
                    None => drop(outbox.bundles.remove(&first)),
                }
            }
            if outbox.bundles.is_empty() && outbox.doubtful.is_empty() {
                all.remove(&name);
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, Map<Name, Outbox>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

// === impl BundleDocument ===

impl From<FoundDocument> for BundleDocument {
    fn from(found: FoundDocument) -> Self {
        match found {
            FoundDocument::Bundle(bundle) => bundle,
            FoundDocument::Entry { topic, handler, entry } => {
                BundleDocument { topic, handler, entries: vec![entry] }
            }
        }
    }
}

/// Adds the documents of entries that are in the order of their numbers; gives their names and the entries in them.
fn bundles(
    (topic, handler): &Name,
    space: &str,
    entries: &[&OutboxEntry],
    writes: &mut Vec<Write>,
) -> Result<Vec<(u64, Vec<u64>)>, DocumentError> {
    let mut bundles = Vec::new();
    let mut entries = entries.iter().peekable();
    while let Some(OutboxEntry { number: first, .. }) = entries.peek() {
        let mut bytes = br#"{"topic":"#.to_vec();
        append(space, *first, &**topic, &mut bytes)?;
        bytes.extend_from_slice(br#","handler":"#);
        append(space, *first, &**handler, &mut bytes)?;
        bytes.extend_from_slice(br#","entries":["#);
        let mut numbers = Vec::new();
        while numbers.len() < ENTRIES_MAX
            && bytes.len() < BYTES_MAX
            && let Some(entry) = entries.next()
        {
            if !numbers.is_empty() {
                bytes.push(b',');
            }
            let document = EntryDocument {
                number: entry.number,
                at: entry.at.0,
                quiet: entry.is_quiet_before,
                event: StoredEvent::of(&entry.event),
            };
            append(space, *first, &document, &mut bytes)?;
            numbers.push(entry.number);
        }
        bytes.extend_from_slice(b"]}");
        writes.push(Write::put(space, entry_key(*first), bytes));
        bundles.push((*first, numbers));
    }
    Ok(bundles)
}

/// Adds what writes a bundle anew, without what is gone; gives what is known of it then.
async fn rewritten(
    documents: &dyn Documents,
    space: &str,
    first: u64,
    bundle: Bundle,
    writes: &mut Vec<Write>,
) -> Result<Bundle, DocumentError> {
    let found = documents.get(space, &entry_key(first)).await?;
    let document = found.as_ref().and_then(|found| read::<FoundDocument>(space, found));
    let Some(mut document) = document.map(BundleDocument::from) else {
        // Nothing is there to be written anew, so nothing comes back either.
        return Ok(bundle);
    };
    document.entries.retain(|entry| !bundle.gone.contains(&entry.number));
    writes.push(Write::put(space, entry_key(first), json(space, first, &document)?));
    if bundle.is_noted {
        writes.push(Write::delete(space, gone_key(first)));
    }
    Ok(Bundle { stored: document.entries.len(), ..Bundle::default() })
}

fn space(topic: &Str, handler: &Str) -> String {
    format!("{SPACE}{}/{}", document_name(topic), document_name(handler))
}

/// Gives a key that sorts as the number does.
fn entry_key(number: u64) -> String {
    format!("{number:020}")
}

fn gone_key(first: u64) -> String {
    format!("{first:020}{GONE}")
}

fn json(space: &str, first: u64, document: &impl Serialize) -> Result<Vec<u8>, DocumentError> {
    let mut bytes = Vec::new();
    append(space, first, document, &mut bytes)?;
    Ok(bytes)
}

fn append(
    space: &str,
    first: u64,
    document: &(impl Serialize + ?Sized),
    out: &mut Vec<u8>,
) -> Result<(), DocumentError> {
    serde_json::to_writer(out, document).map_err(|error| DocumentError::Invalid {
        space: space.to_owned(),
        key: entry_key(first),
        reason: error.to_string(),
    })
}
