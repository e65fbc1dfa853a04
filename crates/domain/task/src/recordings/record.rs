//! Recording: from the ingress, from the queries of a task, from one query.

use std::io;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use levada_clients::influxdb::{ClusterError, Query};
use levada_influxql::result;
use levada_model::{Point, Series, Str, Timestamp};
use levada_runtime::TaskKind;
use levada_store::{DocumentError, Expect};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use super::error::{self, RecordingsError};
use super::jobs::{End, HasJobs, Jobs, Place, Stop};
use super::kept::{self, Recording, RecordingType};
use super::output::{Output, Written};
use super::progress::Progress;
use super::{Inner, RECORDINGS, Recordings, SHUTDOWN_TEXT, SourceTask};
use crate::engine::master::subscription;
use crate::engine::queries::{ask, client};
use crate::engine::tap::Tap;
use crate::nodes::query::answer::{Conversion, of_series};
use crate::pipeline::TaskType;
use crate::recording::RecordedBatch;

/// Asks for the points that a task gets.
#[derive(Clone, Debug)]
pub struct RecordStream {
    /// The ID; one is made when it is empty.
    pub id: String,
    /// The task whose databases and measurements are recorded.
    pub task: String,
    /// A point later than this ends the recording.
    pub stop: Timestamp,
}

/// Asks for what the queries of a task would have given.
#[derive(Clone, Debug)]
pub struct RecordBatch {
    /// The ID; one is made when it is empty.
    pub id: String,
    /// The task.
    pub task: String,
    /// The queries follow this; has to be given.
    pub start: Option<Timestamp>,
    /// The last query; now when it is not given.
    pub stop: Option<Timestamp>,
}

/// Asks for what one query gives.
#[derive(Clone, Debug)]
pub struct RecordQuery {
    /// The ID; one is made when it is empty.
    pub id: String,
    /// Whether it becomes points or batches.
    pub kind: RecordingType,
    /// The query.
    pub query: String,
    /// The cluster; empty is the default one.
    pub cluster: String,
}

/// A part of a recording on its way to the file.
enum Piece {
    /// The next query node.
    File,
    Batches(Vec<RecordedBatch>),
    Points(Vec<Point>),
    /// There is no more.
    End,
}

/// Writes pieces on a thread of its own; what it has written is gone unless it is told of the end.
struct Pen {
    pieces: mpsc::Sender<Piece>,
    thread: JoinHandle<io::Result<Option<Written>>>,
}

/// Pieces that wait for the disk.
const PIECES: usize = 4;
/// How long nothing may come before the clock is looked at.
const POLL: Duration = Duration::from_millis(50);

impl HasJobs for Inner {
    fn jobs(&self) -> &Jobs {
        &self.jobs
    }
}

// === impl Recordings ===

impl Recordings {
    /// Begins to record the points of a task.
    ///
    /// - Differs: it ends on the clock, too, a while after `stop`; upstream waits for a later point for ever.
    pub async fn record_stream(&self, request: RecordStream) -> Result<Recording, RecordingsError> {
        let id = error::id("recording", request.id)?;
        let task = self.task(&request.task).await?;
        let (recording, place, stop) = self.begin(id, RecordingType::Stream).await?;
        let inner = Arc::clone(&self.0);
        // From here on nothing that is written is missed.
        let tap = Tapped::new(&inner, &task);
        let end = request.stop;
        let grace = i64::try_from(inner.settings.grace.as_nanos()).unwrap_or(i64::MAX);
        let begun = recording.date;
        let deadline = Timestamp(end.0.max(begun.0).saturating_add(grace));
        let stopped = stop.clone();
        let thread = inner.deps.spawner.spawn_thread(TaskKind::Task, &recording.id, {
            let inner = Arc::clone(&inner);
            move || stream(&inner, &tap, (begun, end, deadline), &stopped)
        });
        self.finish(recording.clone(), place, stop, async move {
            thread.await.unwrap_or_else(|_| Err("the recording ended before its time".to_owned()))
        });
        Ok(recording)
    }

    /// Begins to record the queries of a task.
    pub async fn record_batch(&self, request: RecordBatch) -> Result<Recording, RecordingsError> {
        let id = error::id("recording", request.id)?;
        let start = request.start.ok_or(RecordingsError::NoStart)?;
        let task = self.task(&request.task).await?;
        let (recording, place, stop) = self.begin(id, RecordingType::Batch).await?;
        let inner = Arc::clone(&self.0);
        let end = request.stop.unwrap_or(recording.date);
        let stopped = stop.clone();
        self.finish(recording.clone(), place, stop, async move {
            let fetch = fetch_batches(&inner, &task, (start, end), stopped.progress(), 1.0);
            unless_stopped(&stopped, fetch).await
        });
        Ok(recording)
    }

    /// Begins to record a query.
    pub async fn record_query(&self, request: RecordQuery) -> Result<Recording, RecordingsError> {
        let id = error::id("recording", request.id)?;
        if request.query.is_empty() {
            return Err(RecordingsError::NoQuery);
        }
        let (recording, place, stop) = self.begin(id, request.kind).await?;
        let inner = Arc::clone(&self.0);
        let stopped = stop.clone();
        self.finish(recording.clone(), place, stop, async move {
            let fetch = fetch_query(&inner, request.kind, &request.query, &request.cluster);
            unless_stopped(&stopped, fetch).await
        });
        Ok(recording)
    }

    async fn begin(
        &self,
        id: String,
        kind: RecordingType,
    ) -> Result<(Recording, Place, Stop), RecordingsError> {
        let what = "recording";
        let holder = Arc::clone(&self.0) as Arc<dyn HasJobs>;
        let max = self.0.settings.recordings_max;
        let (place, stop) = Jobs::enter(holder, (RECORDINGS, what), &id, max)?;
        let recording = Recording::new(id, kind, self.now());
        // A file that was put there since the start is not to be lost.
        if self.0.folder.size(&kind.file_name(&recording.id)).is_some() {
            return Err(RecordingsError::Exists { what });
        }
        let documents = &*self.0.deps.documents;
        match kept::write(documents, RECORDINGS, &recording, Expect::Absent).await {
            Err(RecordingsError::Store(DocumentError::Conflict { .. })) => {
                Err(RecordingsError::Exists { what })
            }
            Err(error) => Err(error),
            Ok(()) => Ok((recording, place, stop)),
        }
    }

    /// Waits for the file, gives it its name and notes the outcome.
    fn finish(
        &self,
        mut recording: Recording,
        place: Place,
        stop: Stop,
        work: impl Future<Output = Result<Written, String>> + Send + 'static,
    ) {
        let inner = Arc::clone(&self.0);
        let name = format!("recording {}", recording.id);
        let work = async move {
            let kept = match work.await {
                Ok(written) if stop.end() != End::Deleted => {
                    keep(&inner, written, &recording).await
                }
                Ok(_) => return,
                Err(text) => Err(text),
            };
            match (kept, stop.end()) {
                // Who deleted it waits for this, and deletes the file and what is known.
                (_, End::Deleted) => return,
                (Ok((size, lacks)), _) => recording.finished(size, lacks),
                (Err(_), End::Closing) => recording.failed(SHUTDOWN_TEXT),
                (Err(text), End::No) => recording.failed(text),
            }
            if !recording.error.is_empty() {
                let (id, text) = (&*recording.id, &*recording.error);
                tracing::warn!(recording = id, "the recording lacks something: {text}");
            }
            let documents = &*inner.deps.documents;
            let written = kept::write(documents, RECORDINGS, &recording, Expect::Present).await;
            if let Err(error) = written {
                let recording = &*recording.id;
                tracing::error!(recording, %error, "the end of a recording was not noted");
            }
            drop(place);
        };
        let _detached = self.0.deps.spawner.spawn(TaskKind::Task, &name, work);
    }
}

async fn keep(
    inner: &Arc<Inner>,
    written: Written,
    recording: &Recording,
) -> Result<(u64, Option<String>), String> {
    let name = recording.kind.file_name(&recording.id);
    let lacks = written.lacks.clone();
    let folder = Arc::clone(inner);
    let thread = inner
        .deps
        .spawner
        .spawn_thread(TaskKind::Task, &name.clone(), move || written.keep(&folder.folder, &name));
    match thread.await {
        Ok(Ok(size)) => Ok((size, lacks)),
        Ok(Err(error)) => Err(format!("the file cannot be kept: {error}")),
        Err(_) => Err("the recording ended before its time".to_owned()),
    }
}

pub(super) async fn unless_stopped<T>(
    stop: &Stop,
    work: impl Future<Output = Result<T, String>>,
) -> Result<T, String> {
    tokio::select! {
        biased;
        () = stop.wanted() => Err(SHUTDOWN_TEXT.to_owned()),
        done = work => done,
    }
}

/// A tap that is taken out when it is dropped.
struct Tapped {
    inner: Arc<Inner>,
    tap: Arc<Tap>,
}

// === impl Tapped ===

impl Tapped {
    fn new(inner: &Arc<Inner>, task: &SourceTask) -> Self {
        let tap = Arc::new(Tap::new(inner.settings.tap_points));
        inner.deps.routes.tap(subscription(&task.definition, &task.options), &tap);
        Tapped { inner: Arc::clone(inner), tap }
    }
}

impl Drop for Tapped {
    fn drop(&mut self) {
        self.inner.deps.routes.untap(&self.tap);
        self.tap.close();
    }
}

/// Writes what comes until the end.
fn stream(
    inner: &Inner,
    tapped: &Tapped,
    (begun, end, deadline): (Timestamp, Timestamp, Timestamp),
    stop: &Stop,
) -> Result<Written, String> {
    let failed = |error: io::Error| error.to_string();
    let max = inner.settings.file_bytes_max;
    let mut output = Output::create(&inner.folder, RecordingType::Stream, max).map_err(failed)?;
    let done = stop.progress().begin(0.0, 1.0, nanos(begun, end));
    'taking: while !stop.is_wanted() {
        for point in tapped.tap.take(POLL).unwrap_or_default() {
            if point.time > end {
                break 'taking;
            }
            output.point(&point).map_err(failed)?;
        }
        let now = inner.deps.clock.now();
        done.store(nanos(begun, now), Ordering::Relaxed);
        if now >= deadline {
            break;
        }
    }
    if stop.is_wanted() {
        return Err(SHUTDOWN_TEXT.to_owned());
    }
    let mut written = output.finish().map_err(failed)?;
    let dropped = tapped.tap.dropped();
    if dropped > 0 {
        let text = format!("{dropped} points were not recorded: they came faster than the disk");
        written.lacks = Some(match written.lacks.take() {
            Some(known) => format!("{known}; {text}"),
            None => text,
        });
    }
    Ok(written)
}

/// Asks all queries of a task for a time.
///
/// - `to`: how far the job is when it is done.
pub(super) async fn fetch_batches(
    inner: &Arc<Inner>,
    task: &SourceTask,
    (start, stop): (Timestamp, Timestamp),
    progress: &Progress,
    to: f64,
) -> Result<Written, String> {
    let pipeline = &task.definition.pipeline;
    if pipeline.task_type() != TaskType::Batch {
        return Err("wrong task type".to_owned());
    }
    let plans = pipeline.query_plans(task.options.compat.is_1_8);
    let is_query = |name: &str| crate::actor::QUERY_NODES.contains(&name);
    let queries = pipeline.nodes().filter(|(_, node)| is_query(node.spec.kind().name)).count();
    if plans.len() != queries {
        let problems = pipeline.check();
        let text = problems.first().map_or("a query is wrong", |(_, text)| text);
        return Err(text.to_owned());
    }
    let deps = &inner.deps;
    let mut clients = Vec::with_capacity(plans.len());
    for planned in &plans {
        planned.plan.check_sources(&task.options.dbrps)?;
        clients.push(client(&deps.clusters, &planned.plan.cluster)?);
    }
    let now = deps.clock.now();
    let mut left = inner.settings.executions_max;
    let mut pen = Pen::new(inner, RecordingType::Batch);
    // Each query takes its part, by the time that it has come to.
    let length = nanos(start, stop);
    let done = progress.begin(0.0, to, length.saturating_mul(plans.len() as u64));
    for (place, (planned, client)) in plans.iter().zip(clients).enumerate() {
        let plan = &planned.plan;
        pen.write(Piece::File).await?;
        for execution in plan.schedule.executions(plan.span(), start, stop, now, &deps.zone) {
            left = left.checked_sub(1).ok_or_else(|| {
                let max = inner.settings.executions_max;
                format!("the queries would be asked more than {max} times")
            })?;
            let asked = ask(plan, execution.tick, &*client, &deps.queries).await?;
            if let Some(problem) = asked.problems.into_iter().next() {
                return Err(problem);
            }
            let batches = asked.batches.into_iter().map(|batch| RecordedBatch {
                name: batch.name,
                key: batch.key,
                time: batch.time,
                points: batch.points,
            });
            pen.write(Piece::Batches(batches.collect())).await?;
            let before = length.saturating_mul(place as u64);
            let within = nanos(start, execution.tick).min(length);
            done.store(before.saturating_add(within), Ordering::Relaxed);
        }
    }
    pen.end().await
}

/// Gives the time between two times, 0 when the second is not later.
fn nanos(from: Timestamp, to: Timestamp) -> u64 {
    u64::try_from(to.0.saturating_sub(from.0)).unwrap_or(0)
}

/// Asks one query.
pub(super) async fn fetch_query(
    inner: &Arc<Inner>,
    kind: RecordingType,
    text: &str,
    cluster: &str,
) -> Result<Written, String> {
    let deps = &inner.deps;
    let prepared = levada_influxql::Query::prepare(text).map_err(|error| error.to_string())?;
    let sources: Vec<_> = prepared.sources().collect();
    let &[(database, retention)] = sources.as_slice() else { return Err(UNQUALIFIED.to_owned()) };
    if database.is_empty() || retention.is_empty() {
        return Err(UNQUALIFIED.to_owned());
    }
    let client = deps.clusters.get(cluster).map_err(|error| match (error, kind) {
        (ClusterError::None, RecordingType::Stream) => {
            "InfluxDB not configured, cannot record query".to_owned()
        }
        (ClusterError::None, RecordingType::Batch) => {
            "InfluxDB not configured, cannot record batch query".to_owned()
        }
        (error @ ClusterError::Unknown(_), _) => format!("failed to get InfluxDB client: {error}"),
    })?;
    let query = Query { text: text.to_owned(), ..Query::default() };
    let answer = client.query(&query).await.map_err(|error| error.to_string())?;
    let options = result::Options {
        keep_integers: deps.queries.keep_integers,
        cells_max: deps.queries.cells_max,
        ..result::Options::default()
    };
    let conversion =
        Conversion { by_name: false, is_grouped_by_time: true, stop: deps.clock.now() };
    let mut batches = Vec::new();
    for result in result::decode(&answer, options).map_err(|error| error.to_string())? {
        let series = result.map_err(|error| error.to_string())?;
        batches.extend(series.iter().map(|series| of_series(series, conversion)));
    }
    let mut pen = Pen::new(inner, kind);
    match kind {
        RecordingType::Batch => {
            pen.write(Piece::File).await?;
            pen.write(Piece::Batches(batches)).await?;
        }
        RecordingType::Stream => {
            pen.write(Piece::Points(merged(batches, &database.into(), &retention.into()))).await?;
        }
    }
    pen.end().await
}

/// Source: kapacitor reference (server) §5.1.
const UNQUALIFIED: &str =
    "could not determine database and retention policy. Is the query fully qualified?";

/// Gives the points of all batches by time, as if they had been written.
fn merged(batches: Vec<RecordedBatch>, database: &Str, retention: &Str) -> Vec<Point> {
    let mut points = Vec::with_capacity(batches.iter().map(|batch| batch.points.len()).sum());
    for batch in batches {
        let mut series = None;
        for mut point in batch.points {
            let known = series.get_or_insert_with(|| {
                let tags = point.series.tags();
                let tags = tags.map(|(key, value)| (Str::clone(key), Str::clone(value))).collect();
                Series::new(Str::clone(database), Str::clone(retention), batch.name.clone(), tags)
            });
            point.series = Arc::clone(known);
            points.push(point);
        }
    }
    points.sort_by_key(|point| point.time);
    points
}

// === impl Pen ===

impl Pen {
    fn new(inner: &Arc<Inner>, kind: RecordingType) -> Self {
        let (pieces, mut received) = mpsc::channel(PIECES);
        let holder = Arc::clone(inner);
        let write = move || -> io::Result<Option<Written>> {
            let max = holder.settings.file_bytes_max;
            let mut output = Output::create(&holder.folder, kind, max)?;
            loop {
                match received.blocking_recv() {
                    Some(Piece::File) => output.file()?,
                    Some(Piece::Batches(batches)) => {
                        batches.iter().try_for_each(|batch| output.batch(batch))?;
                    }
                    Some(Piece::Points(points)) => {
                        points.iter().try_for_each(|point| output.point(point))?;
                    }
                    Some(Piece::End) => return output.finish().map(Some),
                    None => return Ok(None),
                }
            }
        };
        let thread = inner.deps.spawner.spawn_thread(TaskKind::Task, "recording", write);
        Pen { pieces, thread }
    }

    async fn write(&mut self, piece: Piece) -> Result<(), String> {
        if self.pieces.send(piece).await.is_ok() {
            return Ok(());
        }
        Err(match (&mut self.thread).await {
            Ok(Err(error)) => error.to_string(),
            _ => "the recording ended before its time".to_owned(),
        })
    }

    async fn end(mut self) -> Result<Written, String> {
        self.write(Piece::End).await?;
        match self.thread.await {
            Ok(Ok(Some(written))) => Ok(written),
            Ok(Err(error)) => Err(error.to_string()),
            _ => Err("the recording ended before its time".to_owned()),
        }
    }
}
