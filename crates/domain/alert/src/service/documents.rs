//! Topic states and outboxes as documents.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt::Display;
use std::hash::Hash;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use levada_model::{Str, Timestamp, with_causes};
use levada_store::{Document, DocumentError, Documents, Range, Write};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize, Serializer};

use super::bundles::{self, Asked, Bundles, Changed, invalid};
use super::history::History;
use super::names::document_name;
use super::packed::{self, Packed};
use crate::event::{Details, StoredEvent};
use crate::level::Level;
use crate::topics::{
    Change, EventState, OutboxEntry, StoredEntry, StoredState, TopicStore, TopicStoreError,
    Transition,
};

/// Where states are; the name of the topic follows.
const STATES: &str = "topic-states/";

/// Where entries are; the names of topic and handler follow.
const OUTBOXES: &str = "outbox/";

/// Documents per read. Ours: some megabytes; bundles are larger than others, and there are fewer of them.
const PAGE: usize = 1_000;

/// Keeps topic states and outboxes as documents, and the history beside them: one transaction for all changes of a call.
#[derive(Debug)]
pub struct DocumentTopicStore {
    documents: Arc<dyn Documents>,
    history: Arc<History>,
    /// By topic.
    states: Spaces<Str, Str>,
    /// By topic and handler.
    outboxes: Spaces<(Str, Str), u64>,
}

/// The bundles of several spaces, by what each is named after.
#[derive(Debug)]
struct Spaces<N, K> {
    known: Mutex<BTreeMap<N, Bundles<K>>>,
    /// Where bundles may begin in spaces of which nothing could be read, so that what is there stays.
    unread: Mutex<BTreeMap<String, u64>>,
}

/// Where the bundles of a space are, and what each has beside its items.
struct Place<'d> {
    documents: &'d dyn Documents,
    space: String,
    head: Vec<u8>,
}

/// The order of members is stored.
#[derive(Serialize, Deserialize)]
struct StateDocument<'s> {
    id: Cow<'s, str>,
    message: Cow<'s, str>,
    details: Cow<'s, str>,
    time: i64,
    duration: i64,
    level: Level,
}

/// The order of members is stored.
#[derive(Serialize, Deserialize)]
struct EntryDocument<'e> {
    number: u64,
    at: i64,
    quiet: bool,
    event: StoredEvent<'e>,
}

/// Writes an entry as its [`EntryDocument`], made when it is written.
struct Waiting<'c>(&'c OutboxEntry);

/// What a bundle of states has beside them; the order of members is stored.
#[derive(Serialize, Deserialize)]
struct OfTopic {
    topic: String,
}

/// What a bundle of entries has beside them; the order of members is stored.
#[derive(Serialize, Deserialize)]
struct OfHandler {
    topic: String,
    handler: String,
}

/// What earlier versions stored.
#[derive(Deserialize)]
#[serde(untagged)]
enum Earlier<T> {
    Bundle { items: Vec<T> },
    One(T),
}

/// By topic.
type StateChanges<'c> = BTreeMap<&'c Str, Asked<Str, StateDocument<'c>>>;

/// By topic and handler.
type OutboxChanges<'c> = BTreeMap<(&'c Str, &'c Str), Asked<u64, Waiting<'c>>>;

/// What a call asks for, by where it is kept.
#[derive(Default)]
struct Plan<'c> {
    states: StateChanges<'c>,
    outboxes: OutboxChanges<'c>,
    records: Vec<&'c Transition>,
}

/// What becomes of the bundles when a call is stored.
#[derive(Default)]
struct Outcome {
    states: Vec<(Str, Changed<Str>)>,
    outboxes: Vec<((Str, Str), Changed<u64>)>,
}

// === impl Waiting ===

impl Serialize for Waiting<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let Waiting(entry) = self;
        let document = EntryDocument {
            number: entry.number,
            at: entry.at.0,
            quiet: entry.is_quiet_before,
            event: StoredEvent::of(&entry.event),
        };
        document.serialize(serializer)
    }
}

// === impl Plan ===

impl<'c> Plan<'c> {
    fn of(changes: &'c [Change]) -> Self {
        let mut plan = Plan::default();
        for change in changes {
            plan.add(change);
        }
        plan
    }

    fn add(&mut self, change: &'c Change) {
        match change {
            Change::Save(StoredState { topic, id, state }) => {
                let document = StateDocument {
                    id: Cow::Borrowed(id),
                    message: Cow::Borrowed(&state.message),
                    details: Cow::Borrowed(state.details.text()),
                    time: state.time.0,
                    duration: state.duration,
                    level: state.level,
                };
                self.states.entry(topic).or_default().stored.push((Str::clone(id), document));
            }
            Change::Remove { topic, id } => {
                self.states.entry(topic).or_default().gone.push(Str::clone(id));
            }
            Change::RemoveTopic { topic } => {
                self.states.entry(topic).or_default().is_cleared = true
            }
            Change::Enqueue(StoredEntry { topic, handler, entry }) => {
                let asked = self.outboxes.entry((topic, handler)).or_default();
                asked.stored.push((entry.number, Waiting(entry)));
            }
            Change::Dequeue { topic, handler, number } => {
                self.outboxes.entry((topic, handler)).or_default().gone.push(*number);
            }
            Change::Record(record) => self.records.push(record),
        }
    }
}

// === impl Spaces ===

impl<N, K> Default for Spaces<N, K> {
    fn default() -> Self {
        Spaces { known: Mutex::default(), unread: Mutex::default() }
    }
}

impl<N: Clone + Ord, K: Clone + Eq + Hash> Spaces<N, K> {
    fn lock(&self) -> MutexGuard<'_, BTreeMap<N, Bundles<K>>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn unread(&self) -> MutexGuard<'_, BTreeMap<String, u64>> {
        self.unread.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Names the documents of a space in the log, none of which says whose it is.
    fn skip(&self, space: &str, documents: &[Document]) {
        for document in documents {
            unreadable(space, document, &"it does not say what it belongs to");
        }
        if let Some(first) = bundles::first_after(documents) {
            self.unread().insert(space.to_owned(), first);
        }
    }

    /// Adds what is to be written for changes of a space.
    async fn write<I: Serialize>(
        &self,
        name: &N,
        place: &Place<'_>,
        asked: Asked<K, I>,
        writes: &mut Vec<Write>,
    ) -> Result<Changed<K>, DocumentError> {
        let Place { documents, space, head } = place;
        let first = self.unread().get(space).copied();
        let rewritten = {
            let mut all = self.lock();
            all.entry(name.clone()).or_insert_with(|| Bundles::after(first)).rewritten()
        };
        if !rewritten.is_empty() {
            let done = Bundles::find_out(*documents, space, rewritten).await?;
            self.lock().entry(name.clone()).or_default().settle(done);
        }
        let mut changed = {
            let mut all = self.lock();
            all.entry(name.clone()).or_default().write(space, head, asked, writes)?
        };
        Bundles::tidy(*documents, space, head, &mut changed, writes).await?;
        Ok(changed)
    }

    /// Notes how changes went.
    fn end(&self, changes: Vec<(N, Changed<K>)>, is_stored: bool) {
        let mut all = self.lock();
        for (name, changed) in changes {
            let bundles = all.entry(name.clone()).or_default();
            bundles.end(changed, is_stored);
            if bundles.is_empty() {
                // Nothing is left of it in the store, so its numbers may begin anew.
                all.remove(&name);
            }
        }
    }
}

// === impl DocumentTopicStore ===

impl DocumentTopicStore {
    /// Makes the store.
    pub fn new(documents: Arc<dyn Documents>, history: Arc<History>) -> Self {
        let (states, outboxes) = (Spaces::default(), Spaces::default());
        DocumentTopicStore { documents, history, states, outboxes }
    }

    /// Adds what is to be written for changes of states and outboxes.
    async fn write(
        &self,
        (states, outboxes): (StateChanges<'_>, OutboxChanges<'_>),
        writes: &mut Vec<Write>,
    ) -> Result<Outcome, DocumentError> {
        let mut outcome = Outcome::default();
        for (topic, asked) in states {
            let topic = Str::clone(topic);
            let space = states_space(&topic);
            let head = encode_head(&space, &OfTopic { topic: topic.to_string() })?;
            let place = Place { documents: &*self.documents, space, head };
            let changed = self.states.write(&topic, &place, asked, writes).await?;
            outcome.states.push((topic, changed));
        }
        for ((topic, handler), asked) in outboxes {
            let (topic, handler) = (Str::clone(topic), Str::clone(handler));
            let space = outbox_space(&topic, &handler);
            let of = OfHandler { topic: topic.to_string(), handler: handler.to_string() };
            let place =
                Place { documents: &*self.documents, head: encode_head(&space, &of)?, space };
            let name = (topic, handler);
            let changed = self.outboxes.write(&name, &place, asked, writes).await?;
            outcome.outboxes.push((name, changed));
        }
        Ok(outcome)
    }

    /// Notes how it went.
    fn end(&self, outcome: Outcome, is_stored: bool) {
        self.states.end(outcome.states, is_stored);
        self.outboxes.end(outcome.outboxes, is_stored);
    }
}

#[async_trait]
impl TopicStore for DocumentTopicStore {
    async fn load(&self) -> Result<Vec<StoredState>, TopicStoreError> {
        let mut all = Vec::new();
        for space in self.documents.spaces(STATES).await.map_err(failed)? {
            let documents = list_all(&*self.documents, &space).await.map_err(failed)?;
            let Some(OfTopic { topic }) = documents.iter().find_map(read_head) else {
                self.states.skip(&space, &documents);
                continue;
            };
            let topic = Str::from(topic);
            let items = |document: &Document| -> Vec<(Str, StateDocument<'static>)> {
                let states = read_items::<StateDocument>(&space, document);
                states.into_iter().map(|state| (Str::from(&*state.id), state)).collect()
            };
            let mut known = self.states.lock();
            let left = known.entry(topic.clone()).or_default().load(&space, &documents, items);
            all.extend(left.into_iter().map(|state| StoredState {
                topic: topic.clone(),
                id: state.id.into(),
                state: EventState {
                    level: state.level,
                    message: state.message.into(),
                    details: Details::from(&*state.details),
                    time: Timestamp(state.time),
                    duration: state.duration,
                },
            }));
        }
        Ok(all)
    }

    async fn load_outboxes(&self) -> Result<Vec<StoredEntry>, TopicStoreError> {
        let mut all = Vec::new();
        for space in self.documents.spaces(OUTBOXES).await.map_err(failed)? {
            let documents = list_all(&*self.documents, &space).await.map_err(failed)?;
            let Some(OfHandler { topic, handler }) = documents.iter().find_map(read_head) else {
                self.outboxes.skip(&space, &documents);
                continue;
            };
            let (topic, handler) = (Str::from(topic), Str::from(handler));
            let items = |document: &Document| -> Vec<(u64, EntryDocument<'static>)> {
                let entries = read_items::<EntryDocument>(&space, document);
                entries.into_iter().map(|entry| (entry.number, entry)).collect()
            };
            let mut known = self.outboxes.lock();
            let name = (topic.clone(), handler.clone());
            let mut left = known.entry(name).or_default().load(&space, &documents, items);
            left.sort_by_key(|entry| entry.number);
            all.extend(left.into_iter().map(|entry| StoredEntry {
                topic: topic.clone(),
                handler: handler.clone(),
                entry: OutboxEntry {
                    number: entry.number,
                    event: Arc::new(entry.event.into_event()),
                    at: Timestamp(entry.at),
                    is_quiet_before: entry.quiet,
                },
            }));
        }
        Ok(all)
    }

    async fn apply(&self, changes: &[Change]) -> Result<(), TopicStoreError> {
        let Plan { states, outboxes, records } = Plan::of(changes);
        let mut writes = Vec::new();
        self.history.write(&records, &mut writes).map_err(failed)?;
        let outcome = self.write((states, outboxes), &mut writes).await.map_err(failed)?;
        let stored = match writes.is_empty() {
            true => Ok(()),
            false => self.documents.apply(writes).await,
        };
        self.end(outcome, stored.is_ok());
        stored.map_err(failed)?;
        let mut recorded: BTreeMap<String, u64> = BTreeMap::new();
        for record in records {
            *recorded.entry(History::space(record.at)).or_default() += 1;
        }
        self.history.count(recorded);
        Ok(())
    }
}

fn states_space(topic: &Str) -> String {
    format!("{STATES}{}", document_name(topic))
}

fn outbox_space(topic: &Str, handler: &Str) -> String {
    format!("{OUTBOXES}{}/{}", document_name(topic), document_name(handler))
}

fn encode_head(space: &str, of: &impl Serialize) -> Result<Vec<u8>, DocumentError> {
    packed::encode(of).map_err(|error| invalid(space, "head", &error))
}

/// Reads what a document has beside its items; nothing when it is not one with items.
fn read_head<T: DeserializeOwned>(document: &Document) -> Option<T> {
    match Packed::of(&document.value) {
        Some(found) => packed::decode(found.ok()?.head).ok(),
        None => serde_json::from_slice(&document.value).ok(),
    }
}

/// Reads the items of a document; one that is not what it should be is named in the log.
fn read_items<T: DeserializeOwned>(space: &str, document: &Document) -> Vec<T> {
    let found = match Packed::of(&document.value) {
        Some(found) => {
            found.and_then(|found| found.items.into_iter().map(packed::decode).collect())
        }
        None => match read(space, document) {
            Some(Earlier::Bundle { items }) => Ok(items),
            Some(Earlier::One(item)) => Ok(vec![item]),
            None => Ok(Vec::new()),
        },
    };
    let found = found.inspect_err(|error| unreadable(space, document, error));
    found.unwrap_or_default()
}

/// Gives all documents of a space.
pub(super) async fn list_all(
    documents: &dyn Documents,
    space: &str,
) -> Result<Vec<Document>, DocumentError> {
    let mut all: Vec<Document> = Vec::new();
    loop {
        let after = all.last().map(|document| document.key.clone());
        let range = Range { after: after.as_deref(), limit: Some(PAGE), ..Range::default() };
        let page = documents.list(space, range).await?;
        let is_last = page.len() < PAGE;
        all.extend(page);
        if is_last {
            return Ok(all);
        }
    }
}

/// Reads a document; one that is not what it should be is named in the log.
pub(super) fn read<T: for<'de> Deserialize<'de>>(space: &str, document: &Document) -> Option<T> {
    serde_json::from_slice(&document.value)
        .inspect_err(|error| unreadable(space, document, error))
        .ok()
}

fn unreadable(space: &str, document: &Document, error: &dyn Display) {
    let key = &*document.key;
    tracing::error!(space, key, %error, "a stored document cannot be read; it is skipped");
}

fn failed(error: DocumentError) -> TopicStoreError {
    TopicStoreError { message: with_causes(&error), kind: error.kind() }
}
