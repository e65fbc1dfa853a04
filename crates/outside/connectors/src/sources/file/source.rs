//! The async end of the source, and what both ways of reading share.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use levada_model::{ErrorClass, Meta, Position, RecordBatch, Str};
use levada_runtime::{Clock, TaskKind};
use levada_telemetry::metrics::Counter;

use super::files::Patterns;
use super::identity::{FileId, FilePosition};
use super::metrics::blank_lines;
use super::reader::{ReadError, ReadOptions, Reader};
use super::{follow, once};
use crate::formats::framer::Filled;
use crate::formats::pump::{Gone, Pump, PumpThread, pump};
use crate::traits::class_of_io;
use crate::{BuildContext, Source, SourceError};

/// What the settings say.
#[derive(Clone, Debug)]
pub(super) struct Settings {
    pub(super) patterns: Patterns,
    pub(super) follow: bool,
    pub(super) start_at_end: bool,
    pub(super) poll_interval: Duration,
    pub(super) read: ReadOptions,
}

/// The async end: starts the reader thread and takes its batches.
pub(super) struct FileSource {
    settings: Settings,
    ctx: BuildContext,
    lag: Arc<AtomicU64>,
    pump: Option<Pump>,
}

/// What the reader thread works with.
pub(super) struct Worker {
    pub(super) settings: Settings,
    pub(super) thread: PumpThread,
    pub(super) clock: Arc<dyn Clock>,
    /// Positions that were stored and are not used yet, by partition.
    pub(super) stored: BTreeMap<Str, FilePosition>,
    /// Positions of files that go on under another name: handed on with the next records, so that
    /// they are stored no later than the position that takes the place of the old name.
    pub(super) renamed: Vec<(Str, Position)>,
    lag: Arc<AtomicU64>,
    blank_lines: Option<Counter>,
    spare: Option<RecordBatch>,
}

/// Whose records are read.
#[derive(Clone)]
pub(super) struct Label {
    pub(super) partition: Str,
    meta: Arc<Meta>,
}

/// Why reading stops.
#[derive(Debug)]
pub(super) enum Stop {
    /// Nobody listens any more.
    Gone,
    /// This file cannot be read on.
    Read(ReadError),
}

// === impl FileSource ===

impl FileSource {
    pub(super) fn new(settings: Settings, ctx: &BuildContext) -> Self {
        FileSource { settings, ctx: ctx.clone(), lag: Arc::default(), pump: None }
    }

    #[cfg(test)]
    pub(super) fn tasks(&self) -> &levada_runtime::Tasks {
        &self.ctx.tasks
    }
}

#[async_trait]
impl Source for FileSource {
    async fn open(&mut self, positions: &[(Str, Position)]) -> Result<(), SourceError> {
        let mut stored = BTreeMap::new();
        for (partition, position) in positions {
            match FilePosition::from_json(position) {
                Some(position) => {
                    stored.insert(partition.clone(), position);
                }
                None => tracing::warn!(%partition,
                    "the stored position is none of a file; the file is read as one never read"),
            }
        }
        // The thread of an earlier opening ends because nobody listens to it any more.
        let (pump, thread) = pump();
        self.pump = Some(pump);
        let mut worker = Worker {
            settings: self.settings.clone(),
            thread,
            clock: self.ctx.clock.clone(),
            stored,
            renamed: Vec::new(),
            lag: self.lag.clone(),
            blank_lines: blank_lines(&self.ctx.metrics, &self.ctx.flow),
            spare: None,
        };
        self.ctx.tasks.spawn_thread(TaskKind::Source, "file source", move || {
            let follow = worker.settings.follow;
            let result = if follow { follow::run(&mut worker) } else { once::run(&mut worker) };
            if let Err(Gone) = result {
                tracing::debug!("the file source was closed before its files were read");
            }
        });
        Ok(())
    }

    async fn next(&mut self, batch: &mut RecordBatch) -> Result<bool, SourceError> {
        match &mut self.pump {
            Some(pump) => pump.next(batch).await,
            None => Err(SourceError::new(ErrorClass::Unknown, "the file source is not open")),
        }
    }

    fn lag(&self) -> Option<u64> {
        Some(self.lag.load(Ordering::Relaxed))
    }
}

// === impl Worker ===

impl Worker {
    /// Reads the next records of a file and hands them on; `Nothing`: there are none now.
    pub(super) fn read(&mut self, reader: &mut Reader, label: &Label) -> Result<Filled, Stop> {
        self.hand_on(reader, label, Reader::fill)
    }

    /// Hands on a last record that lacks its line end: the file cannot grow any more.
    pub(super) fn finish(&mut self, reader: &mut Reader, label: &Label) -> Result<Filled, Stop> {
        while self.hand_on(reader, label, Reader::fill_rest)? == Filled::Records {}
        self.hand_on(reader, label, Reader::finish)
    }

    /// Takes the position that was stored for a file, under whatever name.
    ///
    /// Two are there when it was renamed in between; the earlier one counts, because records behind
    /// it may not be finished.
    pub(super) fn take_stored(&mut self, partition: &str, id: FileId) -> Option<FilePosition> {
        let known: Vec<Str> = self
            .stored
            .iter()
            .filter(|(_, position)| position.id == id)
            .map(|(name, _)| name.clone())
            .collect();
        let mut first: Option<FilePosition> = None;
        let mut is_own = false;
        for name in known {
            is_own |= &*name == partition;
            let Some(position) = self.stored.remove(&name) else { continue };
            if first.as_ref().is_none_or(|first| position.place.offset < first.place.offset) {
                first = Some(position);
            }
        }
        if !is_own && let Some(position) = &first {
            self.renamed.push((partition.into(), position.to_json()));
        }
        first
    }

    /// Opens a file where it was left, else at its start.
    pub(super) fn open(
        &self,
        path: &Path,
        start: Option<&FilePosition>,
        at_end: bool,
    ) -> Result<Reader, Stop> {
        let options = &self.settings.read;
        let (mut reader, is_replaced) = Reader::open(path, start, options)?;
        if is_replaced {
            tracing::warn!(path = %path.display(),
                "the file is not the one that was read before; it is read from its start");
        } else if start.is_none() && at_end {
            reader.skip_to_end(options)?;
        }
        Ok(reader)
    }

    /// Sets how many bytes are not read yet.
    pub(super) fn set_lag(&self, bytes: u64) {
        self.lag.store(bytes, Ordering::Relaxed);
    }

    /// Counts the blank lines that a reader passed.
    pub(super) fn count_blank_lines(&self, reader: &mut Reader) {
        let blank_lines = reader.take_blank_lines();
        if let Some(counter) = &self.blank_lines {
            counter.add(blank_lines);
        }
    }

    fn hand_on<E: Into<Stop>>(
        &mut self,
        reader: &mut Reader,
        label: &Label,
        read: impl FnOnce(&mut Reader, &mut RecordBatch, u32) -> Result<Filled, E>,
    ) -> Result<Filled, Stop> {
        let mut batch = self.spare.take().unwrap_or_else(|| self.thread.empty());
        batch.received_at = self.clock.now();
        batch.set_shared_meta(Some(label.meta.clone()));
        let origin = batch.push_origin(label.partition.clone(), Position::Null);
        let result = read(reader, &mut batch, origin);
        self.count_blank_lines(reader);
        if let Ok(Filled::Records) = result {
            batch.origins[origin as usize].position = reader.position().to_json();
            for (partition, position) in self.renamed.drain(..) {
                batch.push_origin(partition, position);
            }
            self.thread.send(batch)?;
        } else {
            batch.clear();
            self.spare = Some(batch);
        }
        result.map_err(Into::into)
    }
}

// === impl Label ===

impl Label {
    pub(super) fn new(path: &Path) -> Label {
        let partition: Str = path.to_string_lossy().into();
        let meta: Meta =
            [("file".into(), levada_model::Value::Str(partition.clone()))].into_iter().collect();
        Label { partition, meta: Arc::new(meta) }
    }
}

// === impl Stop ===

impl From<ReadError> for Stop {
    fn from(error: ReadError) -> Self {
        Stop::Read(error)
    }
}

impl From<Gone> for Stop {
    fn from(_: Gone) -> Self {
        Stop::Gone
    }
}

/// Gives the error that the engine gets, its causes kept.
pub(super) fn source_error(error: ReadError) -> SourceError {
    let class = match error.io() {
        Some(io) => class_of_io(io),
        None => ErrorClass::InvalidData,
    };
    let message = error.to_string();
    let source: Option<Box<dyn std::error::Error + Send + Sync>> = Some(match error {
        ReadError::Open { source, .. } | ReadError::Read { source, .. } => Box::new(source),
        ReadError::Decompress { source, .. } => Box::new(source),
        ReadError::Csv { source, .. } => Box::new(source),
    });
    SourceError { class, message, source }
}
