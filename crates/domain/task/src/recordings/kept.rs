//! What is known of recordings and replays, and how it is kept.

use levada_model::Timestamp;
use levada_store::{Document, Documents, Expect, Range, Write};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::error::RecordingsError;
use crate::pipeline::TaskType;

/// What a recording holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum RecordingType {
    /// Points.
    Stream,
    /// Batches of query nodes.
    Batch,
}

/// How far a recording or a replay is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Status {
    /// Its error says why.
    Failed,
    /// It is under way.
    Running,
    /// It has ended well.
    Finished,
}

/// How fast a replay is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ReplayClock {
    /// As fast as the task takes the data.
    #[default]
    Fast,
    /// As fast as the data were recorded.
    Real,
}

/// A recording.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Recording {
    /// Its ID.
    pub id: String,
    /// What it holds.
    #[serde(rename = "type")]
    pub kind: RecordingType,
    /// Bytes of the file.
    pub size: u64,
    /// When it was begun, in nanoseconds UTC.
    #[serde(with = "nanos")]
    pub date: Timestamp,
    /// Why it failed; of one that is finished, what it lacks.
    pub error: String,
    /// How far it is.
    pub status: Status,
    /// From 0 to 1; as it is stored, only these two.
    pub progress: f64,
}

/// A replay.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Replay {
    /// Its ID.
    pub id: String,
    /// The task.
    pub task: String,
    /// The recording; empty when data were asked for.
    pub recording: String,
    /// Times are as they were recorded.
    pub recording_time: bool,
    /// How fast it is.
    pub clock: ReplayClock,
    /// Its effects are performed and not captured.
    pub performs: bool,
    /// When it was begun, in nanoseconds UTC.
    #[serde(with = "nanos")]
    pub date: Timestamp,
    /// Why it failed; of one that is finished, what it lacks.
    pub error: String,
    /// How far it is.
    pub status: Status,
    /// From 0 to 1; as it is stored, only these two.
    pub progress: f64,
    /// The statistics of the task and its nodes, after success.
    pub stats: serde_json::Map<String, serde_json::Value>,
}

/// Something with an ID and a date.
pub(super) trait Kept: Serialize + DeserializeOwned {
    fn id(&self) -> &str;
    fn date(&self) -> Timestamp;
}

// === impl RecordingType ===

impl RecordingType {
    /// Gives the word of upstream.
    pub fn word(self) -> &'static str {
        match self {
            RecordingType::Stream => "stream",
            RecordingType::Batch => "batch",
        }
    }

    /// Reads the word of upstream.
    pub fn from_word(word: &str) -> Option<Self> {
        [RecordingType::Stream, RecordingType::Batch].into_iter().find(|kind| kind.word() == word)
    }

    /// Gives what a task takes.
    pub fn of_task(task_type: TaskType) -> Self {
        match task_type {
            TaskType::Stream => RecordingType::Stream,
            TaskType::Batch => RecordingType::Batch,
        }
    }

    /// Gives the extension of files. Source: kapacitor reference (server) §5.2.
    pub(super) fn extension(self) -> &'static str {
        match self {
            RecordingType::Stream => "srpl",
            RecordingType::Batch => "brpl",
        }
    }

    pub(super) fn file_name(self, id: &str) -> String {
        format!("{id}.{}", self.extension())
    }
}

// === impl Status ===

impl Status {
    /// Gives the word of upstream.
    pub fn word(self) -> &'static str {
        match self {
            Status::Failed => "failed",
            Status::Running => "running",
            Status::Finished => "finished",
        }
    }
}

// === impl ReplayClock ===

impl ReplayClock {
    /// Gives the word of upstream.
    pub fn word(self) -> &'static str {
        match self {
            ReplayClock::Fast => "fast",
            ReplayClock::Real => "real",
        }
    }

    /// Reads the word of upstream; empty is the default.
    pub fn from_word(word: &str) -> Option<Self> {
        match word {
            "" | "fast" => Some(ReplayClock::Fast),
            "real" => Some(ReplayClock::Real),
            _ => None,
        }
    }
}

// === impl Recording ===

impl Recording {
    pub(super) fn new(id: String, kind: RecordingType, date: Timestamp) -> Self {
        let status = Status::Running;
        Recording { id, kind, size: 0, date, error: String::new(), status, progress: 0.0 }
    }

    pub(super) fn finished(&mut self, size: u64, lacks: Option<String>) {
        (self.status, self.progress, self.size) = (Status::Finished, 1.0, size);
        self.error = lacks.unwrap_or_default();
    }

    pub(super) fn failed(&mut self, error: impl Into<String>) {
        (self.status, self.error) = (Status::Failed, error.into());
    }
}

impl Kept for Recording {
    fn id(&self) -> &str {
        &self.id
    }

    fn date(&self) -> Timestamp {
        self.date
    }
}

// === impl Replay ===

impl Replay {
    pub(super) fn failed(&mut self, error: impl Into<String>) {
        (self.status, self.error) = (Status::Failed, error.into());
    }
}

impl Kept for Replay {
    fn id(&self) -> &str {
        &self.id
    }

    fn date(&self) -> Timestamp {
        self.date
    }
}

pub(super) fn read<T: Kept>(document: &Document) -> Result<T, RecordingsError> {
    serde_json::from_slice(&document.value)
        .map_err(|source| RecordingsError::Damaged { id: document.key.clone(), source })
}

/// Lists a space, the newest first; what cannot be read is left out and said in the log.
pub(super) async fn list<T: Kept>(
    documents: &dyn Documents,
    space: &str,
) -> Result<Vec<T>, RecordingsError> {
    let mut items: Vec<T> = Vec::new();
    for document in documents.list(space, Range::default()).await? {
        match read(&document) {
            Ok(item) => items.push(item),
            Err(error) => tracing::warn!(%error, "a document is left out"),
        }
    }
    items.sort_by(|left, right| (right.date(), left.id()).cmp(&(left.date(), right.id())));
    Ok(items)
}

/// Stores an item, whatever was there.
pub(super) async fn put<T: Kept>(
    documents: &dyn Documents,
    space: &str,
    item: &T,
) -> Result<(), RecordingsError> {
    write(documents, space, item, Expect::Any).await
}

pub(super) async fn write<T: Kept>(
    documents: &dyn Documents,
    space: &str,
    item: &T,
    expect: Expect,
) -> Result<(), RecordingsError> {
    let damaged = |source| RecordingsError::Damaged { id: item.id().to_owned(), source };
    let value = serde_json::to_vec(item).map_err(damaged)?.into();
    let (space, key) = (space.to_owned(), item.id().to_owned());
    Ok(documents.apply(vec![Write::Put { space, key, value, expect }]).await?)
}

pub(super) async fn delete(
    documents: &dyn Documents,
    space: &str,
    id: &str,
) -> Result<(), RecordingsError> {
    Ok(documents.apply(vec![Write::delete(space, id)]).await?)
}

/// Times as nanoseconds.
mod nanos {
    use levada_model::Timestamp;
    use serde::{Deserialize, Deserializer, Serializer};

    pub(super) fn serialize<S: Serializer>(
        time: &Timestamp,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        serializer.serialize_i64(time.0)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Timestamp, D::Error> {
        i64::deserialize(deserializer).map(Timestamp)
    }
}
