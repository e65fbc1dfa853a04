//! Topic handlers: definitions that are stored, and the handlers made of them.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use levada_model::{ErrorKind, Str};
use levada_runtime::Clock;
use levada_store::{DocumentError, Documents, Write};
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::{Map, Value};
use thiserror::Error;

use super::AlertService;
use super::documents::{list_all, read};
use super::matching::{Expression, ExpressionError};
use crate::handlers::{HandlerDeps, HandlerSpec, OptionsError, StartError, by_option_kind};
use crate::topics::{HandlerSetup, HandlerStats, Matcher, Topics};

/// Where definitions are; keys are `<topic>/<id>`, and neither part holds a slash.
const SPACE: &str = "topic-handlers";

/// The longest name of a topic or a handler that a definition may have, in bytes. Ours: keys have a bound.
const NAME_BYTES_MAX: usize = 400;

/// The most topic handlers. Ours.
const HANDLERS_MAX: usize = 10_000;

/// A topic handler as it was defined.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Definition {
    /// Its ID within the topic.
    #[serde(default)]
    pub id: String,
    /// The topic.
    #[serde(default)]
    pub topic: String,
    /// The kind, e.g. `slack`.
    #[serde(default)]
    pub kind: String,
    /// The options of the kind, as they were written.
    #[serde(default, deserialize_with = "or_nothing")]
    pub options: Map<String, Value>,
    /// Which events it gets; empty for all.
    #[serde(default, rename = "match")]
    pub matcher: String,
}

/// A topic handler as it is.
#[derive(Clone, Debug, PartialEq)]
pub struct TopicHandler {
    /// As it was defined.
    pub definition: Definition,
    /// Why it does not run.
    pub error: Option<String>,
    /// Its numbers, while it runs.
    pub stats: Option<HandlerStats>,
}

/// Why a definition was not taken.
#[derive(Debug, Error)]
pub enum DefinitionError {
    /// The name of the topic. Source: upstream prints the ID of the handler here, not the topic.
    #[error("handler topic must contain only letters, numbers, '-', '.' and '_'. {0:?}")]
    Topic(String),
    /// The ID.
    #[error("handler ID must contain only letters, numbers, '-', '.' and '_'. {0:?}")]
    Id(String),
    /// No kind.
    #[error("handler Kind must not be empty")]
    NoKind,
    /// No such kind.
    #[error("unsupported action kind {0:?}")]
    Kind(String),
    /// The options are not those of the kind.
    #[error(transparent)]
    Options(#[from] OptionsError),
    /// The handler cannot work.
    #[error(transparent)]
    Start(#[from] StartError),
    /// The `match` expression.
    #[error(transparent)]
    Match(#[from] ExpressionError),
    /// The ID is taken.
    #[error("cannot register handler, handler with ID {0:?} already exists")]
    Exists(String),
    /// There is no such handler.
    #[error("unknown handler: {0:?}")]
    Unknown(String),
    /// A handler stays with its topic.
    #[error("cannot change topic in update")]
    TopicChanged,
    /// There are too many.
    #[error("there are {HANDLERS_MAX} topic handlers; delete one first")]
    TooMany,
    /// Whoever changes the definition does not want to.
    #[error("{0}")]
    Refused(String),
    /// The store does not do what it should.
    #[error("the store of alerts failed")]
    Store(#[source] DocumentError),
}

/// All topic handlers.
pub(super) struct Definitions {
    documents: Arc<dyn Documents>,
    topics: Topics,
    deps: HandlerDeps,
    clock: Arc<dyn Clock>,
    known: Mutex<BTreeMap<(String, String), Known>>,
    /// Held over a change, so that what is stored and what runs are the same.
    changing: tokio::sync::Mutex<()>,
}

struct Known {
    definition: Definition,
    error: Option<String>,
}

// === impl Definition ===

impl Definition {
    /// Checks the names and that there is a kind.
    pub fn check(&self) -> Result<(), DefinitionError> {
        let has_name = |text: &str, is_other: fn(char) -> bool| {
            !text.is_empty()
                && text.len() <= NAME_BYTES_MAX
                && text.chars().all(|letter| is_id_letter(letter) || is_other(letter))
        };
        if !has_name(&self.topic, |letter| letter == ':') {
            return Err(DefinitionError::Topic(self.id.clone()));
        }
        if !has_name(&self.id, |_| false) {
            return Err(DefinitionError::Id(self.id.clone()));
        }
        if self.kind.is_empty() {
            return Err(DefinitionError::NoKind);
        }
        Ok(())
    }

    fn key(&self) -> String {
        format!("{}/{}", self.topic, self.id)
    }
}

/// Says whether IDs may have a character. Source: reference (server) §1.1: `^[-\._\p{L}0-9]+$`.
fn is_id_letter(letter: char) -> bool {
    letter.is_alphabetic() || letter.is_ascii_digit() || matches!(letter, '-' | '.' | '_')
}

// === impl DefinitionError ===

impl DefinitionError {
    /// Gives the kind of the error.
    pub fn kind(&self) -> ErrorKind {
        match self {
            DefinitionError::Exists(_) => ErrorKind::Conflict,
            DefinitionError::Unknown(_) => ErrorKind::NotFound,
            DefinitionError::Store(error) => error.kind(),
            _ => ErrorKind::Invalid,
        }
    }

    fn store(error: DocumentError, id: &str) -> Self {
        match error.kind() {
            ErrorKind::Conflict => DefinitionError::Exists(id.to_owned()),
            _ => DefinitionError::Store(error),
        }
    }
}

// === impl Definitions ===

impl Definitions {
    /// Loads the definitions and starts their handlers.
    pub(super) async fn open(
        documents: Arc<dyn Documents>,
        topics: Topics,
        deps: HandlerDeps,
        clock: Arc<dyn Clock>,
    ) -> Result<Self, DocumentError> {
        let stored = list_all(&*documents, SPACE).await?;
        let definitions = Definitions {
            documents,
            topics,
            deps,
            clock,
            known: Mutex::default(),
            changing: tokio::sync::Mutex::default(),
        };
        for document in &stored {
            let Some(definition) = read::<Definition>(SPACE, document) else { continue };
            let started = definitions.setup(&definition).and_then(|setup| {
                let added = definitions.topics.handler_add(&definition.topic, setup);
                added.map_err(|_| DefinitionError::Exists(definition.id.clone()))
            });
            let error = started.err().map(|error| error.to_string());
            if let Some(error) = &error {
                let (topic, handler) = (&*definition.topic, &*definition.id);
                tracing::error!(topic, handler, error, "a topic handler does not start");
            }
            let key = (definition.topic.clone(), definition.id.clone());
            definitions.lock().insert(key, Known { definition, error });
        }
        Ok(definitions)
    }

    pub(super) fn deps(&self) -> &HandlerDeps {
        &self.deps
    }

    /// Makes what a topic needs of a handler.
    fn setup(&self, definition: &Definition) -> Result<HandlerSetup, DefinitionError> {
        definition.check()?;
        let kind = by_option_kind(&definition.kind)
            .ok_or_else(|| DefinitionError::Kind(definition.kind.clone()))?;
        self.deps.allow(kind)?;
        let spec = HandlerSpec::from_options(kind, &definition.options)?;
        let matcher = match definition.matcher.trim() {
            "" => None,
            text => {
                let expression = Expression::parse(text, Arc::clone(&self.clock))?;
                Some(Arc::new(expression) as Arc<dyn Matcher>)
            }
        };
        let id = Str::from(&*definition.id);
        let deps = HandlerDeps { handler_id: Str::clone(&id), ..self.deps.clone() };
        let handler = spec.start(&deps)?;
        Ok(HandlerSetup { id, handler, matcher, is_state_changes_only: false })
    }

    fn show(&self, known: &Known) -> TopicHandler {
        let definition = known.definition.clone();
        let stats = self.topics.handlers(&definition.topic).into_iter();
        let stats = stats.filter(|_| known.error.is_none());
        let stats = stats.clone().find(|(id, _)| **id == *definition.id).map(|(_, stats)| stats);
        TopicHandler { definition, error: known.error.clone(), stats }
    }

    fn get(&self, topic: &str, id: &str) -> Option<Definition> {
        let key = (topic.to_owned(), id.to_owned());
        self.lock().get(&key).map(|known| known.definition.clone())
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<(String, String), Known>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

// === impl AlertService ===

impl AlertService {
    /// Gives the topic handlers of a topic, sorted by ID.
    pub fn handler_list(&self, topic: &str) -> Vec<TopicHandler> {
        let handlers = &self.0.handlers;
        let known = handlers.lock();
        let of_topic = known.range((topic.to_owned(), String::new())..);
        let of_topic = of_topic.take_while(|((of, _), _)| of == topic);
        of_topic.map(|(_, known)| handlers.show(known)).collect()
    }

    /// Gives a topic handler.
    pub fn handler(&self, topic: &str, id: &str) -> Option<TopicHandler> {
        let handlers = &self.0.handlers;
        let known = handlers.lock();
        known.get(&(topic.to_owned(), id.to_owned())).map(|known| handlers.show(known))
    }

    /// Gives topic handlers that do not run, with their errors.
    pub fn handler_errors(&self) -> Vec<TopicHandler> {
        let handlers = &self.0.handlers;
        let known = handlers.lock();
        let failed = known.values().filter(|known| known.error.is_some());
        failed.map(|known| handlers.show(known)).collect()
    }

    /// Creates a topic handler: it is stored and runs when the call returns.
    pub async fn handler_create(&self, definition: Definition) -> Result<(), DefinitionError> {
        let handlers = &self.0.handlers;
        let _turn = handlers.changing.lock().await;
        let setup = handlers.setup(&definition)?;
        let exists = || DefinitionError::Exists(definition.id.clone());
        if handlers.get(&definition.topic, &definition.id).is_some() {
            return Err(exists());
        }
        if handlers.lock().len() >= HANDLERS_MAX {
            return Err(DefinitionError::TooMany);
        }
        let write = Write::create(SPACE, definition.key(), json(&definition));
        let stored = handlers.documents.apply(vec![write]).await;
        stored.map_err(|error| DefinitionError::store(error, &definition.id))?;
        handlers.topics.handler_add(&definition.topic, setup).map_err(|_| exists())?;
        let key = (definition.topic.clone(), definition.id.clone());
        handlers.lock().insert(key, Known { definition, error: None });
        Ok(())
    }

    /// Changes a topic handler; the ID may change, the topic may not. What waits for it goes through the new one.
    ///
    /// - `change`: gives the new definition; its error is [`DefinitionError::Refused`].
    pub async fn handler_update(
        &self,
        topic: &str,
        id: &str,
        change: impl FnOnce(&Definition) -> Result<Definition, String> + Send,
    ) -> Result<Definition, DefinitionError> {
        let handlers = &self.0.handlers;
        let _turn = handlers.changing.lock().await;
        let unknown = || DefinitionError::Unknown(id.to_owned());
        let old = handlers.get(topic, id).ok_or_else(unknown)?;
        let new = change(&old).map_err(DefinitionError::Refused)?;
        new.check()?;
        if new.topic != old.topic {
            return Err(DefinitionError::TopicChanged);
        }
        let setup = handlers.setup(&new)?;
        let is_renamed = new.id != old.id;
        if is_renamed && handlers.get(topic, &new.id).is_some() {
            return Err(DefinitionError::Exists(new.id));
        }
        let mut writes = vec![Write::put(SPACE, new.key(), json(&new))];
        if is_renamed {
            writes.push(Write::delete(SPACE, old.key()));
        }
        let stored = handlers.documents.apply(writes).await;
        stored.map_err(|error| DefinitionError::store(error, &new.id))?;
        // It is not in the topic when it did not start.
        if handlers.topics.handler_replace(topic, id, setup.clone()).is_err() {
            let added = handlers.topics.handler_add(topic, setup);
            added.map_err(|_| DefinitionError::Exists(new.id.clone()))?;
        }
        let mut known = handlers.lock();
        known.remove(&(topic.to_owned(), id.to_owned()));
        let key = (topic.to_owned(), new.id.clone());
        known.insert(key, Known { definition: new.clone(), error: None });
        Ok(new)
    }

    /// Deletes a topic handler; says whether there was one. What waits for it is still sent, as long as it succeeds.
    pub async fn handler_delete(&self, topic: &str, id: &str) -> Result<bool, DefinitionError> {
        let handlers = &self.0.handlers;
        let _turn = handlers.changing.lock().await;
        let Some(definition) = handlers.get(topic, id) else { return Ok(false) };
        let write = Write::delete(SPACE, definition.key());
        let stored = handlers.documents.apply(vec![write]).await;
        stored.map_err(DefinitionError::Store)?;
        drop(handlers.topics.handler_remove(topic, id));
        handlers.lock().remove(&(topic.to_owned(), id.to_owned()));
        Ok(true)
    }
}

/// Reads options; `null` is none.
fn or_nothing<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Map<String, Value>, D::Error> {
    Ok(Option::deserialize(deserializer)?.unwrap_or_default())
}

fn json(definition: &Definition) -> Vec<u8> {
    serde_json::to_vec(definition).expect("maps with texts as keys and plain values become JSON")
}
