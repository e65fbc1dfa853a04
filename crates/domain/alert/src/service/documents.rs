//! Topic states and outboxes as documents.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::Arc;

use async_trait::async_trait;
use levada_model::{ErrorKind, Str, Timestamp};
use levada_store::{Document, DocumentError, Documents, Range, Write};
use serde::{Deserialize, Serialize};

use super::history::History;
use super::names::document_name;
use super::outboxes::Outboxes;
use crate::event::Details;
use crate::level::Level;
use crate::topics::{Change, EventState, StoredEntry, StoredState, TopicStore, TopicStoreError};

/// Where states are; the name of the topic follows.
const STATES: &str = "topic-states/";

/// Documents per read. Ours: some megabytes.
const PAGE: usize = 1_000;

/// Keeps topic states and outboxes as documents, and the history beside them: one transaction for all changes of a call.
#[derive(Debug)]
pub struct DocumentTopicStore {
    documents: Arc<dyn Documents>,
    history: Arc<History>,
    outboxes: Outboxes,
}

#[derive(Serialize, Deserialize)]
struct StateDocument<'s> {
    topic: Cow<'s, str>,
    id: Cow<'s, str>,
    message: Cow<'s, str>,
    details: Cow<'s, str>,
    time: i64,
    duration: i64,
    level: Level,
}

// === impl DocumentTopicStore ===

impl DocumentTopicStore {
    /// Makes the store.
    pub fn new(documents: Arc<dyn Documents>, history: Arc<History>) -> Self {
        DocumentTopicStore { documents, history, outboxes: Outboxes::default() }
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

    /// Gives what is written for a change of something that has a document of its own.
    fn write(&self, change: &Change) -> Result<Option<Write>, TopicStoreError> {
        Ok(Some(match change {
            Change::Save(StoredState { topic, id, state }) => {
                let document = StateDocument {
                    topic: Cow::Borrowed(topic),
                    id: Cow::Borrowed(id),
                    message: Cow::Borrowed(&state.message),
                    details: Cow::Borrowed(state.details.text()),
                    time: state.time.0,
                    duration: state.duration,
                    level: state.level,
                };
                Write::put(states(topic), document_name(id), json(&document)?)
            }
            Change::Remove { topic, id } => Write::delete(states(topic), document_name(id)),
            Change::RemoveTopic { topic } => Write::clear(states(topic)),
            Change::Record(transition) => self.history.write(transition),
            Change::Enqueue(_) | Change::Dequeue { .. } => return Ok(None),
        }))
    }
}

#[async_trait]
impl TopicStore for DocumentTopicStore {
    async fn load(&self) -> Result<Vec<StoredState>, TopicStoreError> {
        let documents: Vec<StateDocument<'static>> = self.load_all(STATES).await?;
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
        self.outboxes.load(&*self.documents).await.map_err(failed)
    }

    async fn apply(&self, changes: &[Change]) -> Result<(), TopicStoreError> {
        let mut writes = Vec::new();
        for change in changes {
            writes.extend(self.write(change)?);
        }
        let outboxes = self.outboxes.write(&*self.documents, changes, &mut writes).await;
        let outboxes = outboxes.map_err(failed)?;
        let outcome = self.documents.apply(writes).await;
        self.outboxes.end(outboxes, outcome.is_ok());
        outcome.map_err(failed)?;
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
