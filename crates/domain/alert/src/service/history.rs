//! The history: every change of the level of an event, the newest first, bounded by age and count.
//!
//! One space per day, so that what is too old is deleted as a whole. Keys run against time, so that the newest line of a
//! day is the first one. Lines that are stored together share a document, the newest first; its key is that of its newest
//! line and says how many there are: `<key>+<lines>`.

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

/// Documents per read.
const READ: usize = 50;

/// Lines of a document. Ours: some tens of kilobytes.
const LINES_MAX: usize = 100;

/// Stands between the key of a document and its lines.
const COUNT: char = '+';

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

/// Where a page goes on.
struct Cursor<'c> {
    day: &'c str,
    key: &'c str,
    /// The last line of this document that was given, when there are more in it.
    place: Option<usize>,
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
            let found = list_all(&*documents, &space).await?;
            counts.insert(space, found.iter().map(|document| lines_of(&document.key)).sum());
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
        let cursor = filter.after.as_deref().and_then(Cursor::read);
        let mut page = HistoryPage::default();
        let mut scanned = 0;
        for space in self.documents.spaces(SPACE).await?.into_iter().rev() {
            let day = space.strip_prefix(SPACE).unwrap_or_default();
            let cursor = match &cursor {
                Some(cursor) if day > cursor.day => continue,
                Some(cursor) if day == cursor.day => Some(cursor),
                _ => None,
            };
            let mut after = cursor.map(|cursor| cursor.key.to_owned());
            let mut documents = Vec::new();
            let mut skipped = 0;
            if let Some(Cursor { key, place: Some(place), .. }) = cursor {
                // Some lines of this one were given.
                documents.extend(self.documents.get(&space, key).await?);
                skipped = if documents.is_empty() { 0 } else { place + 1 };
            }
            loop {
                let range =
                    Range { after: after.as_deref(), limit: Some(READ), ..Range::default() };
                let read = self.documents.list(&space, range).await?;
                let is_last = read.len() < READ;
                documents.extend(read);
                for document in &documents {
                    let lines = lines(&space, document);
                    let count = lines.len();
                    for (place, line) in lines.into_iter().enumerate().skip(skipped) {
                        if filter.since.is_some_and(|since| line.at < since.0) {
                            return Ok(page);
                        }
                        scanned += 1;
                        if filter.is_match(&line) {
                            page.lines.push(line);
                        }
                        if page.lines.len() >= limit || scanned >= SCANNED_MAX {
                            let place = (place + 1 < count).then_some(place);
                            page.next = Some(Cursor { day, key: &document.key, place }.text());
                            return Ok(page);
                        }
                    }
                    skipped = 0;
                }
                if is_last {
                    break;
                }
                after = documents.pop().map(|document| document.key);
                documents.clear();
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
            let (writes, deleted) = without_oldest(&space, &documents, excess)?;
            self.documents.apply(writes).await?;
            if let Some(count) = self.lock().get_mut(&space) {
                *count = count.saturating_sub(deleted.max(1));
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

    /// Adds what stores lines, which are in the order of what happened.
    pub(super) fn write(
        &self,
        transitions: &[&Transition],
        writes: &mut Vec<Write>,
    ) -> Result<(), DocumentError> {
        let same_day = |one: &&Transition, other: &&Transition| {
            History::space(one.at) == History::space(other.at)
        };
        for of_day in transitions.chunk_by(same_day) {
            for lines in of_day.chunks(LINES_MAX) {
                let Some(newest) = lines.last() else { continue };
                let before = self.next.fetch_add(lines.len() as u64, Ordering::Relaxed);
                let number = before + lines.len() as u64 - 1;
                let at = u64::try_from(newest.at.0).unwrap_or(0);
                let number = 99_999_999 - number % 100_000_000;
                let key = format!("{:020}-{number:08}-{}", u64::MAX - at, self.process);
                let lines = lines.iter().rev().map(|line| HistoryLine::of(line)).collect();
                writes.push(put(&History::space(newest.at), &key, lines)?);
            }
        }
        Ok(())
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

// === impl Cursor ===

impl<'c> Cursor<'c> {
    fn read(text: &'c str) -> Option<Self> {
        let (day, key) = text.split_once('/')?;
        Some(match key.split_once('/') {
            Some((key, place)) => Cursor { day, key, place: Some(place.parse().ok()?) },
            None => Cursor { day, key, place: None },
        })
    }

    fn text(&self) -> String {
        let Cursor { day, key, place } = self;
        match place {
            Some(place) => format!("{day}/{key}/{place}"),
            None => format!("{day}/{key}"),
        }
    }
}

/// Gives how many lines the document of a key holds.
fn lines_of(key: &str) -> u64 {
    key.rsplit_once(COUNT).and_then(|(_, count)| count.parse().ok()).unwrap_or(1)
}

/// Gives the lines of a document, the newest first.
fn lines(space: &str, document: &Document) -> Vec<HistoryLine> {
    if document.key.contains(COUNT) {
        return read(space, document).unwrap_or_default();
    }
    read(space, document).into_iter().collect()
}

/// Gives what stores lines, the newest first; `key` is that of the newest.
fn put(space: &str, key: &str, lines: Vec<HistoryLine>) -> Result<Write, DocumentError> {
    let count = lines.len();
    let json = match &*lines {
        [line] => serde_json::to_vec(line),
        lines => serde_json::to_vec(lines),
    };
    let json = json.map_err(|error| DocumentError::Invalid {
        space: space.to_owned(),
        key: key.to_owned(),
        reason: error.to_string(),
    })?;
    let key = if count == 1 { key.to_owned() } else { format!("{key}{COUNT}{count}") };
    Ok(Write::put(space, key, json))
}

/// Gives what deletes so many of the oldest lines of a day, and how many these are.
fn without_oldest(
    space: &str,
    documents: &[Document],
    excess: u64,
) -> Result<(Vec<Write>, u64), DocumentError> {
    let (mut writes, mut left) = (Vec::new(), excess);
    for document in documents.iter().rev() {
        if left == 0 {
            break;
        }
        writes.push(Write::delete(space, &*document.key));
        let count = lines_of(&document.key);
        if count <= left {
            left -= count;
            continue;
        }
        let mut kept = lines(space, document);
        kept.truncate(usize::try_from(count - left).unwrap_or(usize::MAX));
        left = 0;
        let key = document.key.rsplit_once(COUNT).map_or(&*document.key, |(key, _)| key);
        if !kept.is_empty() {
            writes.push(put(space, key, kept)?);
        }
    }
    Ok((writes, excess - left))
}
