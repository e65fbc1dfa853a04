//! The service of recordings and replays: recorded data in a folder, what is known of them in the store.
//!
//! ```text
//! record stream ─ tap of the ingress ─┐
//! record batch, query ─ InfluxDB ─────┴▶ file in `.partial` ─ whole ─▶ `ID.srpl`, `ID.brpl`
//! replay ─ file ─▶ task of its own on the time of the data ─▶ effects, captured in `.effects/ID.jsonl` or performed
//! ```
//!
//! - A file has its name only when it is whole; what a crash leaves is cleared when the folder is opened again, and a
//!   recording or replay that was under way has failed then.
//! - How many are under way is bounded, and so is the size of every file.
//! - A replay has a graph, groups, a clock, loopbacks and topics of nodes of its own. It touches nothing of the task of the
//!   same name that runs.
//! - Differs: what a replay does outside is captured unless it was asked to perform it (U-53).
//! - Source: kapacitor reference (server) §1.7, §5.

mod effects;
mod error;
mod folder;
mod jobs;
mod kept;
mod output;
mod progress;
mod record;
mod replay;
mod run;
mod turns;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use jiff::tz::TimeZone;
use levada_clients::influxdb::Clusters;
use levada_model::Timestamp;
use levada_runtime::{Clock, Tasks};
use levada_store::Documents;

use crate::definition::Definition;
use crate::engine::queries::QuerySettings;
use crate::engine::{Routes, SideSettings, TaskOptions, TopicAlerts};
use crate::pipeline::dot::DotView;
use crate::runtime::Services;
use folder::Folder;
use jobs::Jobs;
use turns::Turns;

pub use error::{ID_BYTES_MAX, RecordingsError};
pub use kept::{Recording, RecordingType, Replay, ReplayClock, Status};
pub use record::{RecordBatch, RecordQuery, RecordStream};
pub use replay::{ReplayBatch, ReplayOptions, ReplayQuery, ReplayRecording, SideEffects};

/// Bounds and places.
#[derive(Clone, Debug)]
pub struct RecordingsSettings {
    /// Where the files are. Source: kapacitor: `[replay] dir`.
    pub dir: PathBuf,
    /// Recordings under way at once; more are refused.
    pub recordings_max: usize,
    /// Replays that run at once; more wait.
    pub replays_max: usize,
    /// Replays that wait; more are refused.
    pub replays_waiting_max: usize,
    /// The largest file, as it is on disk.
    pub file_bytes_max: u64,
    /// The most that is kept of what one replay would have done.
    pub effects_bytes_max: u64,
    /// Points of a stream that wait to be written; more are dropped and counted.
    pub tap_points: usize,
    /// Executions of the queries of one recording.
    pub executions_max: usize,
    /// So long after its end on the clock a recording of a stream waits for a point that is later.
    pub grace: Duration,
    /// How long a replay that performs its effects waits for what is still under way at its end.
    pub patience: Duration,
}

/// What recordings and replays need of the world.
#[derive(Clone)]
pub struct RecordingsDeps {
    /// Where what is known of them is kept.
    pub documents: Arc<dyn Documents>,
    /// The tasks that can be recorded and replayed against.
    pub tasks: Arc<dyn TaskSource>,
    /// The ingress of the tasks that run.
    pub routes: Routes,
    /// Whom queries ask.
    pub clusters: Clusters,
    /// How they are asked.
    pub queries: QuerySettings,
    /// The clock.
    pub clock: Arc<dyn Clock>,
    /// Who spawns.
    pub spawner: Tasks,
    /// What is configured around tasks.
    pub services: Arc<dyn Services>,
    /// Topics and what side actors share, for replays that perform their effects; without them none can.
    pub live: Option<(TopicAlerts, SideSettings)>,
    /// The time zone of schedules and lambdas.
    pub zone: TimeZone,
}

/// A task as it is defined, running or not.
#[derive(Clone, Debug)]
pub struct SourceTask {
    /// Its script, understood.
    pub definition: Arc<Definition>,
    /// How it runs.
    pub options: TaskOptions,
}

/// Knows tasks.
#[async_trait]
pub trait TaskSource: Send + Sync + 'static {
    /// Gives a task; nothing when there is none.
    ///
    /// - Errors: why its script is not understood, or cannot be read.
    async fn task(&self, id: &str) -> Result<Option<SourceTask>, String>;
}

/// The task of a replay that is under way.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Executing {
    /// The task.
    pub task: String,
    /// The statistics of its nodes; empty before it has begun.
    pub nodes: serde_json::Map<String, serde_json::Value>,
    /// The graph with them; empty before it has begun.
    pub dot: String,
}

/// The service; cheap to clone.
#[derive(Clone)]
pub struct Recordings(Arc<Inner>);

struct Inner {
    deps: RecordingsDeps,
    settings: RecordingsSettings,
    folder: Folder,
    jobs: Jobs,
    /// Replays that may run.
    turns: Turns,
}

/// How long a replay may take to show its task.
const LOOK_PATIENCE: Duration = Duration::from_millis(300);
/// The space of recordings.
const RECORDINGS: &str = "recordings";
/// The space of replays.
const REPLAYS: &str = "replays";
/// What was under way when the server ended. Source: kapacitor reference (server) §5.1.
const SHUTDOWN_TEXT: &str = "unexpected Kapacitor shutdown";

// === impl RecordingsSettings ===

impl RecordingsSettings {
    /// Gives the defaults for a folder.
    pub fn of(dir: impl Into<PathBuf>) -> Self {
        RecordingsSettings {
            dir: dir.into(),
            recordings_max: 32,
            replays_max: 4,
            replays_waiting_max: 64,
            file_bytes_max: 16 << 30,
            effects_bytes_max: 256 << 20,
            tap_points: 100_000,
            executions_max: 1_000_000,
            grace: Duration::from_secs(30),
            patience: Duration::from_secs(30),
        }
    }
}

// === impl Recordings ===

impl Recordings {
    /// Opens the folder: clears what a crash left, and takes in the files that were put there.
    ///
    /// - Errors: the folder or the store cannot be used.
    pub async fn open(
        deps: RecordingsDeps,
        settings: RecordingsSettings,
    ) -> Result<Self, RecordingsError> {
        let folder = Folder::open(&settings.dir)?;
        let turns = Turns::new(settings.replays_max.max(1));
        let inner = Inner { deps, settings, folder, jobs: Jobs::default(), turns };
        let recordings = Recordings(Arc::new(inner));
        recordings.recover().await?;
        Ok(recordings)
    }

    /// Gives a recording.
    pub async fn recording(&self, id: &str) -> Result<Recording, RecordingsError> {
        let found = self.0.deps.documents.get(RECORDINGS, id).await?;
        let document = found.ok_or(RecordingsError::NoRecording)?;
        kept::read(&document).map(|recording| self.recording_now(recording))
    }

    /// Lists recordings, the newest first.
    pub async fn recordings(&self) -> Result<Vec<Recording>, RecordingsError> {
        let all = kept::list(&*self.0.deps.documents, RECORDINGS).await?;
        Ok(all.into_iter().map(|recording| self.recording_now(recording)).collect())
    }

    /// Says how far one is that is under way.
    fn recording_now(&self, mut recording: Recording) -> Recording {
        if recording.status == Status::Running
            && let Some(progress) = self.0.jobs.progress(RECORDINGS, &recording.id)
        {
            recording.progress = progress.fraction();
        }
        recording
    }

    /// Deletes a recording and its file; one that is under way ends. One that is not there is deleted already.
    pub async fn recording_delete(&self, id: &str) -> Result<(), RecordingsError> {
        if !folder::is_name(id) {
            return Ok(());
        }
        self.0.jobs.cancel(RECORDINGS, id).await;
        for kind in [RecordingType::Stream, RecordingType::Batch] {
            self.0.folder.delete(&kind.file_name(id))?;
        }
        kept::delete(&*self.0.deps.documents, RECORDINGS, id).await
    }

    /// Gives a replay.
    pub async fn replay(&self, id: &str) -> Result<Replay, RecordingsError> {
        let found = self.0.deps.documents.get(REPLAYS, id).await?;
        let document = found.ok_or(RecordingsError::NoReplay)?;
        kept::read(&document).map(|replay| self.replay_now(replay))
    }

    /// Lists replays, the newest first.
    pub async fn replays(&self) -> Result<Vec<Replay>, RecordingsError> {
        let all = kept::list(&*self.0.deps.documents, REPLAYS).await?;
        Ok(all.into_iter().map(|replay| self.replay_now(replay)).collect())
    }

    /// Says how far one is that is under way.
    fn replay_now(&self, mut replay: Replay) -> Replay {
        if replay.status == Status::Running
            && let Some(progress) = self.0.jobs.progress(REPLAYS, &replay.id)
        {
            replay.progress = progress.fraction();
        }
        replay
    }

    /// Gives the task of a replay that is under way, as it is there; nothing when the replay is not.
    ///
    /// - Errors: the store.
    pub async fn executing(
        &self,
        id: &str,
        view: DotView,
    ) -> Result<Option<Executing>, RecordingsError> {
        let Some(progress) = self.0.jobs.progress(REPLAYS, id) else { return Ok(None) };
        let replay = match self.replay(id).await {
            Ok(replay) if replay.status == Status::Running => replay,
            Ok(_) | Err(RecordingsError::NoReplay) => return Ok(None),
            Err(error) => return Err(error),
        };
        tokio::select! {
            () = progress.look() => {}
            // It waits for its turn, or an item takes long.
            () = self.0.deps.clock.sleep(LOOK_PATIENCE) => {}
        }
        let seen = progress.seen();
        let dot = seen.dot(view).to_owned();
        Ok(Some(Executing { task: replay.task, nodes: seen.nodes.clone(), dot }))
    }

    /// Deletes a replay and what was captured of it; one that is under way ends.
    ///
    /// - Differs: upstream lets it run on.
    pub async fn replay_delete(&self, id: &str) -> Result<(), RecordingsError> {
        if !folder::is_name(id) {
            return Ok(());
        }
        self.0.jobs.cancel(REPLAYS, id).await;
        self.0.folder.delete(&folder::effects_name(id))?;
        kept::delete(&*self.0.deps.documents, REPLAYS, id).await
    }

    /// Gives where the lines of what a replay would have done are, once it has ended.
    ///
    /// - `None`: it performed its effects, or still runs.
    pub async fn replay_effects(&self, id: &str) -> Result<Option<PathBuf>, RecordingsError> {
        self.replay(id).await?;
        let path = self.0.folder.path(&folder::effects_name(id));
        Ok(path.is_file().then_some(path))
    }

    /// Counts the recordings and replays under way.
    pub fn running(&self) -> usize {
        self.0.jobs.count(RECORDINGS) + self.0.jobs.count(REPLAYS)
    }

    /// Ends what is under way, which has failed then, and takes nothing more.
    pub async fn close(&self) {
        self.0.jobs.close().await;
    }

    fn now(&self) -> Timestamp {
        self.0.deps.clock.now()
    }

    async fn task(&self, id: &str) -> Result<SourceTask, RecordingsError> {
        let found = self.0.deps.tasks.task(id).await.map_err(RecordingsError::Task)?;
        found.ok_or(RecordingsError::NoTask)
    }

    async fn recover(&self) -> Result<(), RecordingsError> {
        let documents = &*self.0.deps.documents;
        for mut recording in kept::list::<Recording>(documents, RECORDINGS).await? {
            if recording.status != Status::Running {
                continue;
            }
            // The file gets its name when it is whole: only the note of that is missing.
            let size = self.0.folder.size(&recording.kind.file_name(&recording.id));
            match size {
                Some(size) => recording.finished(size, None),
                None => recording.failed(SHUTDOWN_TEXT),
            }
            kept::put(documents, RECORDINGS, &recording).await?;
        }
        for mut replay in kept::list::<Replay>(documents, REPLAYS).await? {
            if replay.status == Status::Running {
                replay.failed(SHUTDOWN_TEXT);
                kept::put(documents, REPLAYS, &replay).await?;
            }
        }
        for found in self.0.folder.recordings()? {
            if !crate::service::id::is_valid(&found.id) {
                tracing::warn!(file = found.id, "a file is not taken in, its name is no ID");
            } else if documents.get(RECORDINGS, &found.id).await?.is_none() {
                tracing::info!(recording = found.id, "a file was taken in as a recording");
                kept::put(documents, RECORDINGS, &found).await?;
            }
        }
        Ok(())
    }
}
