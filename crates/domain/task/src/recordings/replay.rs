//! Replays: a task of its own that gets recorded data.

use std::path::PathBuf;
use std::sync::Arc;

use levada_model::Timestamp;
use levada_runtime::TaskKind;
use levada_store::{DocumentError, Expect};

use super::error::{self, RecordingsError};
use super::folder::{self, Partial};
use super::jobs::{End, HasJobs, Jobs, Place, Stop};
use super::kept::{self, RecordingType, Replay, ReplayClock, Status};
use super::record::{fetch_batches, fetch_query, unless_stopped};
use super::run::{Outcome, Run};
use super::turns::Waiting;
use super::{Inner, REPLAYS, Recordings, SHUTDOWN_TEXT, SourceTask};

/// What becomes of what a replay does outside.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum SideEffects {
    /// It is written down.
    #[default]
    Captured,
    /// It is done: alerts are sent, points are written, requests are made.
    Performed,
}

/// What all replays are asked for with.
#[derive(Clone, Debug, Default)]
pub struct ReplayOptions {
    /// The ID; one is made when it is empty.
    pub id: String,
    /// The task.
    pub task: String,
    /// Times are as they were recorded; otherwise the first point is now.
    pub recording_time: bool,
    /// How fast it is.
    pub clock: ReplayClock,
    /// What becomes of what it does outside.
    pub effects: SideEffects,
}

/// Asks for a replay of a recording.
#[derive(Clone, Debug)]
pub struct ReplayRecording {
    /// How.
    pub options: ReplayOptions,
    /// The recording.
    pub recording: String,
}

/// Asks for a replay of what the queries of the task give.
#[derive(Clone, Debug)]
pub struct ReplayBatch {
    /// How.
    pub options: ReplayOptions,
    /// The queries follow this; has to be given.
    pub start: Option<Timestamp>,
    /// The last query; now when it is not given.
    pub stop: Option<Timestamp>,
}

/// Asks for a replay of what one query gives.
#[derive(Clone, Debug)]
pub struct ReplayQuery {
    /// How.
    pub options: ReplayOptions,
    /// The query.
    pub query: String,
    /// The cluster; empty is the default one.
    pub cluster: String,
}

/// How far a replay is once it has what it asked for.
const FETCHED: f64 = 0.5;

/// Where the data come from.
enum Source {
    File(PathBuf),
    Batches { start: Timestamp, stop: Timestamp },
    Query { query: String, cluster: String },
}

/// A replay that was let in: it has a place among the jobs and one in the line.
struct Entered {
    place: Place,
    waiting: Waiting,
    stop: Stop,
}

/// Data that are there.
struct Data {
    path: PathBuf,
    /// Deletes the file in the end.
    _partial: Option<Partial>,
}

// === impl Recordings ===

impl Recordings {
    /// Begins to replay a recording.
    pub async fn replay_recording(
        &self,
        request: ReplayRecording,
    ) -> Result<Replay, RecordingsError> {
        let ReplayRecording { options, recording } = request;
        let id = error::id("replay", options.id.clone())?;
        let task = self.task(&options.task).await?;
        let found = self.recording(&recording).await?;
        if found.status != Status::Finished {
            let status = found.status.word();
            return Err(RecordingsError::Unfinished { id: recording, status });
        }
        check_type(found.kind, &task, &options.task)?;
        let source = Source::File(self.0.folder.path(&found.kind.file_name(&recording)));
        self.replay_begin(id, options, task, recording, source).await
    }

    /// Begins to replay what the queries of the task give.
    pub async fn replay_batch(&self, request: ReplayBatch) -> Result<Replay, RecordingsError> {
        let ReplayBatch { options, start, stop } = request;
        let id = error::id("replay", options.id.clone())?;
        let task = self.task(&options.task).await?;
        check_type(RecordingType::Batch, &task, &options.task)?;
        // Differs: upstream enumerates from the year 1 without one.
        let start = start.ok_or(RecordingsError::NoStart)?;
        let source = Source::Batches { start, stop: stop.unwrap_or_else(|| self.now()) };
        self.replay_begin(id, options, task, String::new(), source).await
    }

    /// Begins to replay what one query gives; a stream task gets points, a batch task batches.
    pub async fn replay_query(&self, request: ReplayQuery) -> Result<Replay, RecordingsError> {
        let ReplayQuery { options, query, cluster } = request;
        let id = error::id("replay", options.id.clone())?;
        let task = self.task(&options.task).await?;
        if query.is_empty() {
            return Err(RecordingsError::NoQuery);
        }
        let source = Source::Query { query, cluster };
        self.replay_begin(id, options, task, String::new(), source).await
    }

    async fn replay_begin(
        &self,
        id: String,
        options: ReplayOptions,
        task: SourceTask,
        recording: String,
        source: Source,
    ) -> Result<Replay, RecordingsError> {
        let what = "replay";
        let performs = options.effects == SideEffects::Performed;
        if performs && self.0.deps.live.is_none() {
            return Err(RecordingsError::NotLive);
        }
        let settings = &self.0.settings;
        let max = settings.replays_max.max(1).saturating_add(settings.replays_waiting_max);
        let holder = Arc::clone(&self.0) as Arc<dyn HasJobs>;
        let (place, stop) = Jobs::enter(holder, (REPLAYS, what), &id, max)?;
        let waiting = self.0.turns.line_up().await;
        let replay = Replay {
            id,
            task: options.task,
            recording,
            recording_time: options.recording_time,
            clock: options.clock,
            performs,
            date: self.now(),
            error: String::new(),
            status: Status::Running,
            progress: 0.0,
            stats: serde_json::Map::new(),
        };
        let documents = &*self.0.deps.documents;
        match kept::write(documents, REPLAYS, &replay, Expect::Absent).await {
            Err(RecordingsError::Store(DocumentError::Conflict { .. })) => {
                return Err(RecordingsError::Exists { what });
            }
            other => other?,
        }
        let name = format!("replay {}", replay.id);
        let work = work(
            Arc::clone(&self.0),
            replay.clone(),
            task,
            source,
            Entered { place, waiting, stop },
        );
        let _detached = self.0.deps.spawner.spawn(TaskKind::Task, &name, work);
        Ok(replay)
    }
}

/// Source of the text: kapacitor reference (server) §1.7; the other way round is ours.
fn check_type(kind: RecordingType, task: &SourceTask, id: &str) -> Result<(), RecordingsError> {
    let task_type = RecordingType::of_task(task.definition.pipeline.task_type());
    if kind == task_type {
        return Ok(());
    }
    let (data, task_type) = (kind.word(), task_type.word());
    Err(RecordingsError::Type { data, task_type, task: id.to_owned() })
}

/// Waits for its turn and the data, runs, and notes the outcome.
async fn work(
    inner: Arc<Inner>,
    mut replay: Replay,
    task: SourceTask,
    source: Source,
    entered: Entered,
) {
    let Entered { place, waiting, stop } = entered;
    let kind = RecordingType::of_task(task.definition.pipeline.task_type());
    let fetched = if matches!(source, Source::File(_)) { 0.0 } else { FETCHED };
    let prepared = unless_stopped(&stop, async {
        let turn = waiting.turn().await.map_err(|error| error.to_string())?;
        Ok((turn, fetch(&inner, &task, kind, source, &stop).await?))
    })
    .await;
    let outcome = match prepared {
        Err(text) => Outcome { result: Err(text), captured: None },
        Ok((turn, data)) => {
            let run = Run {
                inner: Arc::clone(&inner),
                replay: replay.clone(),
                task,
                kind,
                path: data.path.clone(),
                fetched,
                stop: stop.clone(),
            };
            let thread =
                inner.deps.spawner.spawn_thread(TaskKind::Task, &replay.id, move || run.run());
            let outcome = thread.await.unwrap_or_else(|_| Outcome {
                result: Err("the replay ended before its time".to_owned()),
                captured: None,
            });
            drop(turn);
            outcome
        }
    };
    let end = stop.end();
    if end == End::Deleted {
        return;
    }
    let mut lacks = None;
    if let Some((partial, file)) = outcome.captured {
        let (holder, name) = (Arc::clone(&inner), folder::effects_name(&replay.id));
        let kept = inner
            .deps
            .spawner
            .spawn_thread(TaskKind::Task, &replay.id, move || {
                holder.folder.keep(partial, &file, &name)
            })
            .await;
        if let Ok(Err(error)) = kept {
            lacks = Some(format!("what it would have done cannot be kept: {error}"));
        }
    }
    match (outcome.result, end) {
        (Ok((stats, also)), _) => {
            (replay.status, replay.progress, replay.stats) = (Status::Finished, 1.0, stats);
            replay.error = [lacks, also].into_iter().flatten().collect::<Vec<_>>().join("; ");
        }
        (Err(_), End::Closing) => replay.failed(SHUTDOWN_TEXT),
        (Err(text), _) => replay.failed(text),
    }
    if stop.end() == End::Deleted {
        return;
    }
    let written = kept::write(&*inner.deps.documents, REPLAYS, &replay, Expect::Present).await;
    if let Err(error) = written {
        let replay = &*replay.id;
        tracing::error!(replay, %error, "the end of a replay was not noted");
    }
    drop(place);
}

async fn fetch(
    inner: &Arc<Inner>,
    task: &SourceTask,
    kind: RecordingType,
    source: Source,
    stop: &Stop,
) -> Result<Data, String> {
    let written = match source {
        Source::File(path) => return Ok(Data { path, _partial: None }),
        Source::Batches { start, stop: end } => {
            fetch_batches(inner, task, (start, end), stop.progress(), FETCHED).await?
        }
        Source::Query { query, cluster } => fetch_query(inner, kind, &query, &cluster).await?,
    };
    let partial = written.into_partial();
    Ok(Data { path: partial.path().to_owned(), _partial: Some(partial) })
}
