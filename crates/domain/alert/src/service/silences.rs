//! Silences: which events handlers shall not hear of for some time.
//!
//! States and history go on; when a silence ends while something still alerts, its next event is sent as usual.

mod matcher;

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::Duration;

use levada_model::{ErrorKind, Str, Timestamp};
use levada_runtime::Clock;
use levada_store::{DocumentError, Documents, Write};
use serde::{Deserialize, Serialize};
use thiserror::Error;

use super::documents::{list_all, read};
use super::names::random_id;
use crate::event::Event;
use crate::topics::Silencer;
pub use matcher::{MatcherError, Operator, SilenceMatcher, Subject};

/// Where silences are.
const SPACE: &str = "silences";

/// The most matchers of one silence. Ours.
const MATCHERS_MAX: usize = 100;

/// Bytes of author and comment together. Ours.
const TEXT_BYTES_MAX: usize = 16 << 10;

/// How many silences there may be, and for how long.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SilencesSettings {
    /// The most silences, ended ones included: each is looked at for every event while it holds.
    pub silences_max: usize,
    /// How long an ended silence is still listed.
    pub retention: Duration,
}

/// What is asked for.
#[derive(Clone, Debug, Default)]
pub struct NewSilence {
    /// All of them must match.
    pub matchers: Vec<SilenceMatcher>,
    /// From when; nothing for now.
    pub start: Option<Timestamp>,
    /// Until when.
    pub end: Timestamp,
    /// Who asks.
    pub author: String,
    /// Why.
    pub comment: String,
}

/// A silence.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Silence {
    /// Made by the server.
    pub id: String,
    /// All of them must match.
    pub matchers: Vec<SilenceMatcher>,
    /// From when, in nanoseconds.
    pub start: i64,
    /// Until when, in nanoseconds.
    pub end: i64,
    /// Who asked.
    pub author: String,
    /// Why.
    pub comment: String,
    /// When it was asked for, in nanoseconds.
    pub created: i64,
}

/// Whether a silence holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SilencePhase {
    /// Its start is still to come.
    Pending,
    /// It holds.
    Active,
    /// It has ended.
    Expired,
}

/// Why a silence was not made or ended.
#[derive(Debug, Error)]
pub enum SilenceError {
    /// It would silence everything.
    #[error("a silence needs at least one matcher")]
    NoMatcher,
    /// There are too many matchers.
    #[error("a silence has at most {MATCHERS_MAX} matchers")]
    TooManyMatchers,
    /// It would end before it starts, or has ended already.
    #[error("a silence must end after it starts, and not in the past")]
    Times,
    /// Author and comment are too long.
    #[error("author and comment have more than {TEXT_BYTES_MAX} bytes")]
    TooLong,
    /// There are too many.
    #[error("there are {0} silences")]
    TooMany(usize),
    /// There is no such silence.
    #[error("unknown silence: {0:?}")]
    Unknown(String),
    /// The store does not do what it should.
    #[error("the store of silences failed")]
    Store(#[source] DocumentError),
}

/// All silences.
pub struct Silences {
    documents: Arc<dyn Documents>,
    clock: Arc<dyn Clock>,
    settings: SilencesSettings,
    /// By ID, with how many events each silenced since the start.
    known: Mutex<BTreeMap<String, Arc<Kept>>>,
    /// Those that have not ended; replaced as a whole, so that events do not wait.
    held: RwLock<Arc<Vec<Arc<Kept>>>>,
    /// Held over a change, so that what is stored and what holds are the same.
    changing: tokio::sync::Mutex<()>,
}

#[derive(Debug)]
struct Kept {
    silence: Silence,
    id: Str,
    silenced: AtomicU64,
}

// === impl SilencesSettings ===

impl Default for SilencesSettings {
    /// 10,000, listed for a week after their end. Ours.
    fn default() -> Self {
        SilencesSettings { silences_max: 10_000, retention: Duration::from_secs(7 * 24 * 3600) }
    }
}

// === impl SilenceError ===

impl SilenceError {
    /// Gives the kind of the error.
    pub fn kind(&self) -> ErrorKind {
        match self {
            SilenceError::Unknown(_) => ErrorKind::NotFound,
            SilenceError::Store(error) => error.kind(),
            SilenceError::TooMany(_) => ErrorKind::TooLarge,
            _ => ErrorKind::Invalid,
        }
    }
}

// === impl Silence ===

impl Silence {
    /// Says whether it holds at a time.
    pub fn phase(&self, now: Timestamp) -> SilencePhase {
        match () {
            () if now.0 >= self.end => SilencePhase::Expired,
            () if now.0 < self.start => SilencePhase::Pending,
            () => SilencePhase::Active,
        }
    }

    /// Says whether its matchers fit an event.
    pub fn is_match(&self, topic: &str, event: &Event) -> bool {
        self.matchers.iter().all(|matcher| matcher.is_match(topic, event))
    }
}

// === impl SilencePhase ===

impl SilencePhase {
    /// Gives the word that is shown.
    pub fn as_str(self) -> &'static str {
        match self {
            SilencePhase::Pending => "pending",
            SilencePhase::Active => "active",
            SilencePhase::Expired => "expired",
        }
    }
}

// === impl Silences ===

impl Silences {
    /// Loads the silences.
    pub async fn open(
        documents: Arc<dyn Documents>,
        clock: Arc<dyn Clock>,
        settings: SilencesSettings,
    ) -> Result<Self, DocumentError> {
        let stored = list_all(&*documents, SPACE).await?;
        let known = stored.iter().filter_map(|document| read::<Silence>(SPACE, document));
        let known = known.map(|silence| (silence.id.clone(), Arc::new(Kept::new(silence, 0))));
        let silences = Silences {
            documents,
            clock,
            settings,
            known: Mutex::new(known.collect()),
            held: RwLock::default(),
            changing: tokio::sync::Mutex::default(),
        };
        silences.refresh();
        Ok(silences)
    }

    /// Makes a silence: it is stored and holds when the call returns.
    pub async fn create(&self, new: NewSilence) -> Result<Silence, SilenceError> {
        let now = self.clock.now();
        let start = new.start.unwrap_or(now);
        if new.matchers.is_empty() {
            return Err(SilenceError::NoMatcher);
        }
        if new.matchers.len() > MATCHERS_MAX {
            return Err(SilenceError::TooManyMatchers);
        }
        if new.end <= start || new.end <= now {
            return Err(SilenceError::Times);
        }
        if new.author.len() + new.comment.len() > TEXT_BYTES_MAX {
            return Err(SilenceError::TooLong);
        }
        let _turn = self.changing.lock().await;
        let most = self.settings.silences_max;
        if self.lock().len() >= most {
            return Err(SilenceError::TooMany(most));
        }
        let silence = Silence {
            id: random_id(),
            matchers: new.matchers,
            start: start.0,
            end: new.end.0,
            author: new.author,
            comment: new.comment,
            created: now.0,
        };
        self.store(silence.clone(), 0).await?;
        Ok(silence)
    }

    /// Ends a silence now; one that has ended stays as it is.
    pub async fn expire(&self, id: &str) -> Result<Silence, SilenceError> {
        let _turn = self.changing.lock().await;
        let kept = self.lock().get(id).cloned();
        let kept = kept.ok_or_else(|| SilenceError::Unknown(id.to_owned()))?;
        let now = self.clock.now();
        let mut silence = kept.silence.clone();
        if silence.phase(now) != SilencePhase::Expired {
            silence.end = now.0;
            silence.start = silence.start.min(now.0);
            self.store(silence.clone(), kept.silenced.load(Ordering::Relaxed)).await?;
        }
        Ok(silence)
    }

    /// Gives a silence, and how many events it silenced since the server started.
    pub fn get(&self, id: &str) -> Option<(Silence, u64)> {
        self.lock().get(id).map(|kept| kept.show())
    }

    /// Gives all silences, the ones that end last first, and how many events each silenced since the server started.
    pub fn list(&self) -> Vec<(Silence, u64)> {
        let mut all: Vec<(Silence, u64)> = self.lock().values().map(|kept| kept.show()).collect();
        all.sort_by(|(one, _), (other, _)| (other.end, &other.id).cmp(&(one.end, &one.id)));
        all
    }

    /// Deletes silences that ended long ago.
    pub async fn tidy(&self, now: Timestamp) -> Result<(), DocumentError> {
        let _turn = self.changing.lock().await;
        let retention = i64::try_from(self.settings.retention.as_nanos()).unwrap_or(i64::MAX);
        let before = now.0.saturating_sub(retention);
        let known = self.lock().values().cloned().collect::<Vec<_>>();
        let old = known.iter().filter(|kept| kept.silence.end < before);
        let old: Vec<&str> = old.map(|kept| &*kept.silence.id).collect();
        if !old.is_empty() {
            let writes = old.iter().map(|id| Write::delete(SPACE, *id)).collect();
            self.documents.apply(writes).await?;
            old.iter().for_each(|id| drop(self.lock().remove(*id)));
        }
        self.refresh();
        Ok(())
    }

    async fn store(&self, silence: Silence, silenced: u64) -> Result<(), SilenceError> {
        let json = serde_json::to_vec(&silence).expect("texts and numbers become JSON");
        let write = Write::put(SPACE, &*silence.id, json);
        self.documents.apply(vec![write]).await.map_err(SilenceError::Store)?;
        let id = silence.id.clone();
        self.lock().insert(id, Arc::new(Kept::new(silence, silenced)));
        self.refresh();
        Ok(())
    }

    /// Makes the list that events look at.
    fn refresh(&self) {
        let now = self.clock.now();
        let known = self.lock();
        let held = known.values().filter(|kept| kept.silence.end > now.0);
        let held = Arc::new(held.cloned().collect());
        *self.held.write().unwrap_or_else(PoisonError::into_inner) = held;
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, BTreeMap<String, Arc<Kept>>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Silencer for Silences {
    fn silence(&self, topic: &str, event: &Event) -> Option<Str> {
        let held = Arc::clone(&self.held.read().unwrap_or_else(PoisonError::into_inner));
        if held.is_empty() {
            return None;
        }
        let now = self.clock.now();
        let found = held.iter().find(|kept| {
            kept.silence.phase(now) == SilencePhase::Active && kept.silence.is_match(topic, event)
        })?;
        found.silenced.fetch_add(1, Ordering::Relaxed);
        Some(Str::clone(&found.id))
    }
}

// === impl Kept ===

impl Kept {
    fn new(silence: Silence, silenced: u64) -> Self {
        let id = Str::from(&*silence.id);
        Kept { silence, id, silenced: AtomicU64::new(silenced) }
    }

    fn show(&self) -> (Silence, u64) {
        (self.silence.clone(), self.silenced.load(Ordering::Relaxed))
    }
}
