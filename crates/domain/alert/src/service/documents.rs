//! Topic states and outboxes as documents.

use std::collections::BTreeMap;
use std::sync::Arc;

use async_trait::async_trait;
use levada_model::{ErrorKind, Str, Timestamp};
use levada_store::{Document, DocumentError, Documents, Range, Write};
use serde::{Deserialize, Serialize};

use super::history::History;
use super::names::document_name;
use crate::event::{Details, StoredEvent};
use crate::level::Level;
use crate::topics::{
    Change, EventState, OutboxEntry, StoredEntry, StoredState, TopicStore, TopicStoreError,
};

/// Where states are; the name of the topic follows.
const STATES: &str = "topic-states/";

/// Where entries are; the names of topic and handler follow.
const OUTBOXES: &str = "outbox/";

/// Documents per read. Ours: some megabytes.
const PAGE: usize = 1_000;

/// Keeps topic states and outboxes as documents, and the history beside them: one transaction for all changes of a call.
#[derive(Debug)]
pub struct DocumentTopicStore {
    documents: Arc<dyn Documents>,
    history: Arc<History>,
}

#[derive(Serialize, Deserialize)]
struct StateDocument {
    topic: String,
    id: String,
    message: String,
    details: String,
    time: i64,
    duration: i64,
    level: Level,
}

#[derive(Serialize, Deserialize)]
struct EntryDocument {
    topic: String,
    handler: String,
    number: u64,
    at: i64,
    quiet: bool,
    event: StoredEvent,
}

// === impl DocumentTopicStore ===

impl DocumentTopicStore {
    /// Makes the store.
    pub fn new(documents: Arc<dyn Documents>, history: Arc<History>) -> Self {
        DocumentTopicStore { documents, history }
    }

    /// Gives what the documents below a prefix hold; those that cannot be read are named in the log.
    async fn load_all<T: for<'de> Deserialize<'de>>(
        &self,
        prefix: &str,
    ) -> Result<Vec<T>, TopicStoreError> {
        let mut all = Vec::new();
        for space in self.documents.spaces(prefix).await.map_err(failed)? {
            let read = |document: &Document| read(&space, document);
            let documents = list_all(&*self.documents, &space).await.map_err(failed)?;
            all.extend(documents.iter().filter_map(read));
        }
        Ok(all)
    }

    fn write(&self, change: &Change) -> Result<Write, TopicStoreError> {
        Ok(match change {
            Change::Save(StoredState { topic, id, state }) => {
                let document = StateDocument {
                    topic: topic.to_string(),
                    id: id.to_string(),
                    message: state.message.to_string(),
                    details: state.details.text().to_string(),
                    time: state.time.0,
                    duration: state.duration,
                    level: state.level,
                };
                Write::put(states(topic), document_name(id), json(&document)?)
            }
            Change::Remove { topic, id } => Write::delete(states(topic), document_name(id)),
            Change::RemoveTopic { topic } => Write::clear(states(topic)),
            Change::Enqueue(StoredEntry { topic, handler, entry }) => {
                let document = EntryDocument {
                    topic: topic.to_string(),
                    handler: handler.to_string(),
                    number: entry.number,
                    at: entry.at.0,
                    quiet: entry.is_quiet_before,
                    event: StoredEvent::of(&entry.event),
                };
                Write::put(outbox(topic, handler), entry_key(entry.number), json(&document)?)
            }
            Change::Dequeue { topic, handler, number } => {
                Write::delete(outbox(topic, handler), entry_key(*number))
            }
            Change::Record(transition) => self.history.write(transition),
        })
    }
}

#[async_trait]
impl TopicStore for DocumentTopicStore {
    async fn load(&self) -> Result<Vec<StoredState>, TopicStoreError> {
        let documents: Vec<StateDocument> = self.load_all(STATES).await?;
        let states = documents.into_iter().map(|document| StoredState {
            topic: document.topic.into(),
            id: document.id.into(),
            state: EventState {
                level: document.level,
                message: document.message.into(),
                details: Details::from(&*document.details),
                time: Timestamp(document.time),
                duration: document.duration,
            },
        });
        Ok(states.collect())
    }

    async fn load_outboxes(&self) -> Result<Vec<StoredEntry>, TopicStoreError> {
        let documents: Vec<EntryDocument> = self.load_all(OUTBOXES).await?;
        let entries = documents.into_iter().map(|document| StoredEntry {
            topic: document.topic.into(),
            handler: document.handler.into(),
            entry: OutboxEntry {
                number: document.number,
                event: Arc::new(document.event.into_event()),
                at: Timestamp(document.at),
                is_quiet_before: document.quiet,
            },
        });
        Ok(entries.collect())
    }

    async fn apply(&self, changes: &[Change]) -> Result<(), TopicStoreError> {
        let writes: Result<Vec<Write>, TopicStoreError> =
            changes.iter().map(|change| self.write(change)).collect();
        self.documents.apply(writes?).await.map_err(failed)?;
        let mut recorded: BTreeMap<String, u64> = BTreeMap::new();
        for change in changes {
            if let Change::Record(transition) = change {
                *recorded.entry(History::space(transition.at)).or_default() += 1;
            }
        }
        self.history.count(recorded);
        Ok(())
    }
}

fn states(topic: &Str) -> String {
    format!("{STATES}{}", document_name(topic))
}

fn outbox(topic: &Str, handler: &Str) -> String {
    format!("{OUTBOXES}{}/{}", document_name(topic), document_name(handler))
}

/// Gives a key that sorts as the number does.
fn entry_key(number: u64) -> String {
    format!("{number:020}")
}

fn json(document: &impl Serialize) -> Result<Vec<u8>, TopicStoreError> {
    serde_json::to_vec(document)
        .map_err(|error| TopicStoreError { message: error.to_string(), kind: ErrorKind::Internal })
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
        .inspect_err(|error| {
            let key = &*document.key;
            tracing::error!(space, key, %error, "a stored document cannot be read; it is skipped");
        })
        .ok()
}

fn failed(error: DocumentError) -> TopicStoreError {
    TopicStoreError { message: chain(&error), kind: error.kind() }
}

/// Gives an error with its causes.
pub(super) fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text.push_str(": ");
        text.push_str(&error.to_string());
        cause = error.source();
    }
    text
}
