//! The history: every change of the level of an event, the newest first, bounded by age and count.
//!
//! One space per day, so that what is too old is deleted as a whole. Keys run against time, so that the newest line of a
//! day is the first one.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use levada_model::{Str, Timestamp};
use levada_store::{Document, DocumentError, Documents, Range, Write};
use serde::{Deserialize, Serialize};

use super::documents::{list_all, read};
use super::names::random_id;
use crate::level::Level;
use crate::topics::Transition;

/// Where lines are; the day follows.
const SPACE: &str = "alert-history/";

/// The most lines of one page.
pub const PAGE_MAX: usize = 1_000;

/// Lines that are looked at for one page; a page may hold less than asked for, and says where to go on. Ours.
const SCANNED_MAX: usize = 20_000;

/// Lines per read.
const READ: usize = 500;

/// How much of the history is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HistorySettings {
    /// The oldest line.
    pub age_max: Duration,
    /// The most lines.
    pub lines_max: u64,
}

/// The history of alerts.
#[derive(Debug)]
pub struct History {
    documents: Arc<dyn Documents>,
    settings: HistorySettings,
    /// Lines per space.
    counts: Mutex<BTreeMap<String, u64>>,
    /// Tells lines of the same nanosecond apart.
    next: AtomicU64,
    /// Tells lines of this process from those of others.
    process: String,
}

/// A line as it is stored and shown.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct HistoryLine {
    /// When the topic heard of it, in nanoseconds.
    pub at: i64,
    /// The topic.
    pub topic: String,
    /// The event.
    pub id: String,
    /// The task; empty when nobody knows it.
    pub task: String,
    /// The level now.
    pub level: Level,
    /// The level that the topic knew before.
    pub previous: Level,
    /// The message.
    pub message: String,
    /// The time of the event, in nanoseconds.
    pub time: i64,
    /// Nanoseconds since the group was last OK.
    pub duration: i64,
    /// The silence that kept it from the handlers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub silence: Option<String>,
    /// Nothing was heard of the event since the server started.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub stale: bool,
}

/// Which lines to give.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct HistoryFilter {
    /// Of this topic.
    pub topic: Option<String>,
    /// Of this event.
    pub id: Option<String>,
    /// Of this task.
    pub task: Option<String>,
    /// At least of this level, now or before.
    pub min_level: Level,
    /// Not before.
    pub since: Option<Timestamp>,
    /// Before.
    pub until: Option<Timestamp>,
    /// Behind this one: [`HistoryPage::next`] of the page before.
    pub after: Option<String>,
    /// At most so many; [`PAGE_MAX`] when it is more, or 0.
    pub limit: usize,
}

/// A page of the history.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct HistoryPage {
    /// The newest first.
    pub lines: Vec<HistoryLine>,
    /// Where to go on; nothing at the end.
    pub next: Option<String>,
}

// === impl HistorySettings ===

impl Default for HistorySettings {
    /// 30 days, 100,000 lines: some 50 MB. Ours.
    fn default() -> Self {
        HistorySettings { age_max: Duration::from_secs(30 * 24 * 3600), lines_max: 100_000 }
    }
}

// === impl HistoryLine ===

impl HistoryLine {
    fn of(transition: &Transition) -> Self {
        HistoryLine {
            at: transition.at.0,
            topic: transition.topic.to_string(),
            id: transition.id.to_string(),
            task: transition.task.to_string(),
            level: transition.level,
            previous: transition.previous,
            message: transition.message.to_string(),
            time: transition.time.0,
            duration: transition.duration,
            silence: transition.silence.as_ref().map(Str::to_string),
            stale: transition.is_stale,
        }
    }
}

// === impl HistoryFilter ===

impl HistoryFilter {
    fn is_match(&self, line: &HistoryLine) -> bool {
        let is = |wanted: &Option<String>, has: &str| {
            wanted.as_deref().is_none_or(|wanted| wanted == has)
        };
        is(&self.topic, &line.topic)
            && is(&self.id, &line.id)
            && is(&self.task, &line.task)
            && line.level.max(line.previous) >= self.min_level
            && self.until.is_none_or(|until| line.at < until.0)
    }
}

// === impl History ===

impl History {
    /// Opens the history and counts what is there.
    pub async fn open(
        documents: Arc<dyn Documents>,
        settings: HistorySettings,
    ) -> Result<Self, DocumentError> {
        let mut counts = BTreeMap::new();
        for space in documents.spaces(SPACE).await? {
            let count = list_all(&*documents, &space).await?.len() as u64;
            counts.insert(space, count);
        }
        let (counts, next) = (Mutex::new(counts), AtomicU64::new(0));
        Ok(History { documents, settings, counts, next, process: random_id() })
    }

    /// Gives how many lines there are.
    pub fn lines(&self) -> u64 {
        self.lock().values().sum()
    }

    /// Gives lines, the newest first.
    pub async fn page(&self, filter: &HistoryFilter) -> Result<HistoryPage, DocumentError> {
        let limit = if filter.limit == 0 { PAGE_MAX } else { filter.limit.min(PAGE_MAX) };
        let cursor = filter.after.as_deref().and_then(|after| after.split_once('/'));
        let mut page = HistoryPage::default();
        let mut scanned = 0;
        for space in self.documents.spaces(SPACE).await?.into_iter().rev() {
            let day = space.strip_prefix(SPACE).unwrap_or_default();
            let mut after = match cursor {
                Some((of_day, _)) if day > of_day => continue,
                Some((of_day, key)) if day == of_day => Some(key.to_owned()),
                _ => None,
            };
            loop {
                let range =
                    Range { after: after.as_deref(), limit: Some(READ), ..Range::default() };
                let documents = self.documents.list(&space, range).await?;
                for document in &documents {
                    let Some(line) = read::<HistoryLine>(&space, document) else { continue };
                    if filter.since.is_some_and(|since| line.at < since.0) {
                        return Ok(page);
                    }
                    scanned += 1;
                    if filter.is_match(&line) {
                        page.lines.push(line);
                    }
                    if page.lines.len() >= limit || scanned >= SCANNED_MAX {
                        page.next = Some(format!("{day}/{}", document.key));
                        return Ok(page);
                    }
                }
                if documents.len() < READ {
                    break;
                }
                after = documents.last().map(|document| document.key.clone());
            }
        }
        Ok(page)
    }

    /// Deletes what is too old or too much.
    pub async fn tidy(&self, now: Timestamp) -> Result<(), DocumentError> {
        let age = i64::try_from(self.settings.age_max.as_nanos()).unwrap_or(i64::MAX);
        let oldest = History::space(Timestamp(now.0.saturating_sub(age)));
        let spaces: Vec<String> = self.lock().keys().cloned().collect();
        for space in spaces.into_iter().filter(|space| *space < oldest) {
            self.documents.apply(vec![Write::clear(&*space)]).await?;
            self.lock().remove(&space);
        }
        while let excess @ 1.. = self.lines().saturating_sub(self.settings.lines_max) {
            let Some((space, count)) = self.first() else { return Ok(()) };
            if count <= excess {
                self.documents.apply(vec![Write::clear(&*space)]).await?;
                self.lock().remove(&space);
                continue;
            }
            let documents = list_all(&*self.documents, &space).await?;
            let excess = usize::try_from(excess).unwrap_or(usize::MAX).min(documents.len());
            let old: &[Document] = &documents[documents.len() - excess..];
            let writes = old.iter().map(|old| Write::delete(&*space, &*old.key)).collect();
            self.documents.apply(writes).await?;
            if let Some(count) = self.lock().get_mut(&space) {
                *count = count.saturating_sub(excess.max(1) as u64);
            }
        }
        Ok(())
    }

    fn first(&self) -> Option<(String, u64)> {
        self.lock().first_key_value().map(|(space, count)| (space.clone(), *count))
    }

    /// Gives the space of a time.
    pub(super) fn space(at: Timestamp) -> String {
        let text = at.to_string();
        let day = text.get(..10).unwrap_or("0000-00-00");
        format!("{SPACE}{day}")
    }

    /// Gives what stores a line.
    pub(super) fn write(&self, transition: &Transition) -> Write {
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        let at = u64::try_from(transition.at.0).unwrap_or(0);
        let number = 99_999_999 - number % 100_000_000;
        let key = format!("{:020}-{number:08}-{}", u64::MAX - at, self.process);
        let line = serde_json::to_vec(&HistoryLine::of(transition));
        Write::put(History::space(transition.at), key, line.unwrap_or_default())
    }

    /// Counts lines that were stored.
    pub(super) fn count(&self, recorded: BTreeMap<String, u64>) {
        let mut counts = self.lock();
        for (space, count) in recorded {
            *counts.entry(space).or_default() += count;
        }
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<String, u64>> {
        self.counts.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
