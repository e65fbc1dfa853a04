//! Which file each record goes to, and what becomes of files.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use levada_codec::compression::Compression;
use levada_codec::csv::CsvOptions;
use levada_model::{ErrorClass, Meta, RecordBatch, Timestamp, with_causes};
use levada_runtime::Clock;
use levada_runtime::durable::sync_folder;

use super::output::{Output, OutputError, Tail};
use super::path::{PathTemplate, piece_name, write_time};
use crate::formats::Format;
use crate::formats::blocking::blocking;
use crate::formats::csv_rows::CsvRows;
use crate::formats::line_writer::LineWriter;
use crate::{Outcomes, Sink, SinkError};

/// What a file is called until it is finished, in `atomic` mode.
const PARTIAL: &str = ".partial";

/// Unfinished files that are not open. Ours: each costs its name.
const PARTIALS_MAX: usize = 65_536;

/// Pieces of one file within one second.
const PIECES_MAX: u32 = 100_000;

/// What the settings say.
#[derive(Clone, Debug)]
pub(super) struct Settings {
    pub(super) template: PathTemplate,
    pub(super) base_dir: PathBuf,
    pub(super) format: Format,
    pub(super) csv: CsvOptions,
    pub(super) compression: Compression,
    pub(super) is_atomic: bool,
    pub(super) rotate_bytes: Option<u64>,
    pub(super) rotate_interval: Option<Duration>,
    pub(super) open_max: usize,
}

/// The sink.
pub(super) struct FileSink {
    settings: Settings,
    clock: Arc<dyn Clock>,
    /// Open files by the path of their final name.
    open: BTreeMap<String, OpenFile>,
    /// Files of `atomic` mode that were closed and do not have their final name yet.
    partials: BTreeSet<String>,
    /// Date and hour that the open files are of.
    period: String,
    lines: LineWriter,
    groups: Groups,
    uses: u64,
    has_looked_for_partials: bool,
}

struct OpenFile {
    output: Output,
    csv: Option<CsvRows>,
    opened: Duration,
    last_use: u64,
}

/// Records of one batch by the file they go to; used again from batch to batch.
#[derive(Default)]
struct Groups {
    names: Vec<String>,
    /// Index of the name, index of the record.
    members: Vec<(u32, u32)>,
    path: String,
}

// === impl FileSink ===

impl FileSink {
    pub(super) fn new(settings: Settings, clock: Arc<dyn Clock>) -> Self {
        FileSink {
            settings,
            clock,
            open: BTreeMap::new(),
            partials: BTreeSet::new(),
            period: String::new(),
            lines: LineWriter::default(),
            groups: Groups::default(),
            uses: 0,
            has_looked_for_partials: false,
        }
    }

    fn start(&mut self) -> Result<(), SinkError> {
        if let Some(path) = self.settings.template.fixed() {
            // A file that cannot be written shows before the first record.
            let name = path.to_owned();
            self.take(&name)?;
        } else if self.settings.is_atomic && !self.has_looked_for_partials {
            self.find_partials();
            self.has_looked_for_partials = true;
        }
        Ok(())
    }

    fn write_batch(
        &mut self,
        batch: &RecordBatch,
        outcomes: &mut Outcomes,
    ) -> Result<(), SinkError> {
        if batch.is_empty() {
            return Ok(());
        }
        let now = self.clock.now();
        self.begin_period(now)?;
        let mut groups = std::mem::take(&mut self.groups);
        groups.fill(&self.settings.template, batch, now);
        let result = self.write_groups(&groups, batch, outcomes);
        self.groups = groups;
        result
    }

    fn write_groups(
        &mut self,
        groups: &Groups,
        batch: &RecordBatch,
        outcomes: &mut Outcomes,
    ) -> Result<(), SinkError> {
        for members in groups.members.chunk_by(|a, b| a.0 == b.0) {
            let name = &groups.names[members[0].0 as usize];
            let rejected_before = outcomes.rejected_records().len();
            self.write_group(name, members, batch, outcomes)?;
            let rejected: Vec<usize> = outcomes.rejected_records()[rejected_before..]
                .iter()
                .map(|(index, _)| *index)
                .collect();
            if rejected.is_empty() && members.len() == batch.len() {
                outcomes.delivered(0..batch.len());
            } else {
                let mut rejected = rejected.into_iter().peekable();
                for &(_, index) in members {
                    let index = index as usize;
                    if rejected.next_if_eq(&index).is_none() {
                        outcomes.delivered(index..index + 1);
                    }
                }
            }
            if self.is_full(name)
                && let Err(error) = self.finish(name, true)
            {
                // The records are written; the file is only larger than it should be.
                tracing::warn!(error = with_causes(&error), "a full file cannot get its name yet");
            }
        }
        Ok(())
    }

    fn write_group(
        &mut self,
        name: &str,
        members: &[(u32, u32)],
        batch: &RecordBatch,
        outcomes: &mut Outcomes,
    ) -> Result<(), SinkError> {
        // Taken out, so that the file and the buffer can be used at the same time.
        let mut lines = std::mem::take(&mut self.lines);
        let result = self.take(name).and_then(|file| {
            let bytes = match &mut file.csv {
                Some(csv) => {
                    csv.clear();
                    for (_, index) in members {
                        csv.push(batch, *index as usize, outcomes);
                    }
                    csv.pushed()
                }
                None if members.len() == batch.len() => {
                    lines.lines(batch, 0..batch.len(), outcomes)
                }
                None => {
                    lines.clear();
                    for (_, index) in members {
                        lines.push(batch, *index as usize, outcomes);
                    }
                    lines.pushed()
                }
            };
            let result = file.output.write(bytes);
            if result.is_err()
                && file.output.is_empty()
                && let Some(csv) = &mut file.csv
            {
                csv.restart();
            }
            result.map_err(sink_error)
        });
        self.lines = lines;
        result
    }

    /// Gives an open file, opening it and closing another one as needed.
    fn take(&mut self, name: &str) -> Result<&mut OpenFile, SinkError> {
        self.uses += 1;
        if !self.open.contains_key(name) {
            while self.open.len() >= self.settings.open_max {
                self.close_oldest()?;
            }
            let file = self.open_file(name)?;
            self.partials.remove(name);
            self.open.insert(name.to_owned(), file);
        }
        let uses = self.uses;
        match self.open.get_mut(name) {
            Some(file) => {
                file.last_use = uses;
                Ok(file)
            }
            None => {
                Err(SinkError::new(ErrorClass::Unknown, "a file was closed while it was opened"))
            }
        }
    }

    fn open_file(&self, name: &str) -> Result<OpenFile, SinkError> {
        let settings = &self.settings;
        let tail = if settings.is_atomic { Tail::Cut } else { Tail::Keep };
        let output = Output::open(&self.written_path(name), settings.compression, tail)
            .map_err(sink_error)?;
        let csv = match settings.format {
            Format::Csv => {
                let head = output.head().map_err(sink_error)?;
                let rows = CsvRows::append_to(&settings.csv, &head).map_err(|error| {
                    let path = output.path().display();
                    let message = format!("cannot go on with csv file `{path}`: {error}");
                    SinkError::new(ErrorClass::InvalidData, message)
                })?;
                Some(rows)
            }
            Format::Ndjson | Format::Lines => None,
        };
        Ok(OpenFile { output, csv, opened: self.clock.monotonic(), last_use: 0 })
    }

    fn close_oldest(&mut self) -> Result<(), SinkError> {
        let oldest = self.open.iter().min_by_key(|(_, file)| file.last_use);
        let Some(name) = oldest.map(|(name, _)| name.clone()) else { return Ok(()) };
        if self.settings.is_atomic && self.partials.len() >= PARTIALS_MAX {
            let message = format!(
                "more than {PARTIALS_MAX} files are unfinished; use fewer names, or mode `append`"
            );
            return Err(SinkError::new(ErrorClass::Unknown, message));
        }
        if let Some(file) = self.open.get_mut(&name) {
            file.output.sync().map_err(sink_error)?;
        }
        self.open.remove(&name);
        if self.settings.is_atomic {
            self.partials.insert(name);
        }
        Ok(())
    }

    /// Finishes the files of the hour before, when the path depends on the time.
    fn begin_period(&mut self, now: Timestamp) -> Result<(), SinkError> {
        if !self.settings.template.has_time() {
            return Ok(());
        }
        let mut period = String::new();
        write_time(now, "%Y%m%d%H", &mut period);
        if period != self.period {
            if !self.period.is_empty() {
                self.finish_all()?;
            }
            self.period = period;
        }
        Ok(())
    }

    fn is_full(&self, name: &str) -> bool {
        let Some(file) = self.open.get(name) else { return false };
        if !file.output.is_regular() || file.output.is_empty() {
            return false;
        }
        let settings = &self.settings;
        let age = self.clock.monotonic().saturating_sub(file.opened);
        settings.rotate_bytes.is_some_and(|most| file.output.bytes() >= most)
            || settings.rotate_interval.is_some_and(|most| age >= most)
    }

    /// Makes a file durable, closes it, and gives it its final name where it has another one.
    fn finish(&mut self, name: &str, is_full: bool) -> Result<(), SinkError> {
        let Some(file) = self.open.get_mut(name) else { return Ok(()) };
        file.output.sync().map_err(sink_error)?;
        let is_empty = file.output.is_empty();
        let is_regular = file.output.is_regular();
        if is_regular && (is_full || self.settings.is_atomic) {
            // The lock goes with the descriptor, so the file is renamed while it is held.
            self.give_name(name, is_empty, is_full).map_err(sink_error)?;
        }
        self.open.remove(name);
        Ok(())
    }

    fn finish_all(&mut self) -> Result<(), SinkError> {
        let names: Vec<String> = self.open.keys().cloned().collect();
        for name in names {
            self.finish(&name, false)?;
        }
        while let Some(name) = self.partials.first().cloned() {
            // Opening mends what a crash left.
            match self.open_file(&name) {
                Ok(file) => {
                    let is_empty = file.output.is_empty();
                    self.give_name(&name, is_empty, false).map_err(sink_error)?;
                }
                Err(error) if error.class.is_transient() => return Err(error),
                Err(error) => {
                    tracing::warn!(
                        name,
                        error = with_causes(&error),
                        "an unfinished file stays as it is"
                    );
                }
            }
            self.partials.remove(&name);
        }
        Ok(())
    }

    /// Gives a file its final name; with rotation that is the name of a piece.
    fn give_name(&self, name: &str, is_empty: bool, is_full: bool) -> Result<(), OutputError> {
        let settings = &self.settings;
        let from = self.written_path(name);
        let path = settings.base_dir.join(name);
        let fail = |source| OutputError { action: "rename", path: from.clone(), source };
        let is_piece =
            is_full || settings.rotate_bytes.is_some() || settings.rotate_interval.is_some();
        if is_empty && (is_piece || path.exists()) {
            return std::fs::remove_file(&from).map_err(fail);
        }
        let to = if is_piece { self.free_piece_name(&path).map_err(fail)? } else { path };
        std::fs::rename(&from, &to).map_err(fail)?;
        match to.parent().filter(|parent| !parent.as_os_str().is_empty()) {
            Some(parent) => sync_folder(parent).map_err(fail),
            None => Ok(()),
        }
    }

    fn free_piece_name(&self, path: &Path) -> std::io::Result<PathBuf> {
        let now = self.clock.now();
        (1..=PIECES_MAX)
            .map(|number| piece_name(path, now, number))
            .find(|piece| !piece.exists())
            .ok_or_else(|| std::io::ErrorKind::AlreadyExists.into())
    }

    /// Gives the path under which a file is written.
    fn written_path(&self, name: &str) -> PathBuf {
        let mut path = self.settings.base_dir.join(name).into_os_string();
        if self.settings.is_atomic {
            path.push(PARTIAL);
        }
        path.into()
    }

    /// Finds what a crash left unfinished: it is gone on with, or gets its name with the others.
    fn find_partials(&mut self) {
        let base = glob::Pattern::escape(&self.settings.base_dir.to_string_lossy());
        let pattern = Path::new(&base).join(self.settings.template.to_pattern() + PARTIAL);
        let Ok(paths) = glob::glob(&pattern.to_string_lossy()) else { return };
        for path in paths.flatten().take(PARTIALS_MAX) {
            let name = path.strip_prefix(&self.settings.base_dir).unwrap_or(&path);
            if let Some(name) = name.to_str().and_then(|name| name.strip_suffix(PARTIAL)) {
                self.partials.insert(name.to_owned());
            }
        }
    }

    fn sync_all(&mut self) -> Result<(), SinkError> {
        for file in self.open.values_mut() {
            file.output.sync().map_err(sink_error)?;
        }
        if self.settings.rotate_interval.is_some() {
            let names: Vec<String> = self.open.keys().cloned().collect();
            for name in names {
                if self.is_full(&name)
                    && let Err(error) = self.finish(&name, true)
                {
                    tracing::warn!(
                        error = with_causes(&error),
                        "a full file cannot get its name yet"
                    );
                }
            }
        }
        Ok(())
    }
}

#[async_trait]
impl Sink for FileSink {
    async fn open(&mut self) -> Result<(), SinkError> {
        blocking(|| self.start())
    }

    async fn write(
        &mut self,
        batch: &RecordBatch,
        outcomes: &mut Outcomes,
    ) -> Result<(), SinkError> {
        blocking(|| self.write_batch(batch, outcomes))
    }

    async fn sync(&mut self) -> Result<(), SinkError> {
        blocking(|| self.sync_all())
    }

    async fn close(&mut self) -> Result<(), SinkError> {
        blocking(|| self.finish_all())
    }
}

// === impl Groups ===

impl Groups {
    fn fill(&mut self, template: &PathTemplate, batch: &RecordBatch, now: Timestamp) {
        self.names.clear();
        self.members.clear();
        if !template.has_metadata() {
            self.path.clear();
            template.write(now, None, &mut self.path);
            self.names.push(self.path.clone());
            self.members.extend((0..batch.len() as u32).map(|index| (0, index)));
            return;
        }
        let mut last: Option<(*const Meta, u32)> = None;
        for index in 0..batch.len() {
            let meta = batch.meta(index);
            let pointer = meta.map_or(std::ptr::null(), std::ptr::from_ref);
            let name = match last {
                // Records of one source share their metadata, and thus their file.
                Some((known, name)) if known == pointer => name,
                _ => {
                    self.path.clear();
                    template.write(now, meta, &mut self.path);
                    self.name()
                }
            };
            last = Some((pointer, name));
            self.members.push((name, index as u32));
        }
        // Stable: the records of a file keep their order.
        self.members.sort_by_key(|(name, _)| *name);
    }

    /// Gives the index of the current path.
    fn name(&mut self) -> u32 {
        let known = self.names.iter().rposition(|name| *name == self.path);
        known.unwrap_or_else(|| {
            self.names.push(self.path.clone());
            self.names.len() - 1
        }) as u32
    }
}

fn sink_error(error: OutputError) -> SinkError {
    SinkError::io(error.to_string(), error.source)
}
