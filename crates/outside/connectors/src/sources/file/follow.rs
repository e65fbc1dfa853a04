//! Reads files as they grow.
//!
//! ```text
//! poll: patterns ──> same file: go on │ under another known name: go on there
//!                    gone or replaced: leaving ──> read to its end, then the new file of the name
//! ```

use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};
use std::time::Duration;

use levada_model::ErrorClass;

use super::files::Found;
use super::identity::{FileId, FilePosition, find_renamed};
use super::reader::Reader;
use super::source::{Label, Stop, Worker, source_error};
use crate::SourceError;
use crate::formats::framer::Filled;
use crate::formats::pump::Gone;

/// Files that are open at a time; the ones that were quiet longest are closed and opened again when
/// they change. Source: half of the usual limit of 1,024 descriptors of a process.
const OPEN_MAX: usize = 512;

/// Batches that one file may give before the others get their turn.
const BATCHES_PER_TURN: usize = 64;

/// Polls at the end of a file that was renamed before it counts as finished: its writer may not have
/// noticed yet.
const LEAVING_POLLS: u32 = 3;

/// A file that is followed.
struct Tracked {
    path: PathBuf,
    label: Label,
    id: FileId,
    /// Where to open it.
    start: Option<FilePosition>,
    at_end: bool,
    reader: Option<Reader>,
    /// Its size when there was nothing more to do, while it is closed.
    bytes_done: u64,
    /// Polls in a row that found nothing new in a file that is leaving.
    quiet_polls: u32,
    /// The turn in which it last gave something.
    last_turn: u64,
}

struct Follower<'w> {
    worker: &'w mut Worker,
    files: BTreeMap<PathBuf, Tracked>,
    /// Files that lost their name, in the order in which they did.
    leaving: Vec<Tracked>,
    is_first_poll: bool,
    turn: u64,
    open: usize,
    has_said_nothing: bool,
}

/// Follows files until nobody listens any more.
pub(super) fn run(worker: &mut Worker) -> Result<(), Gone> {
    let handle = tokio::runtime::Handle::current();
    let interval = worker.settings.poll_interval;
    let clock = worker.clock.clone();
    let mut follower = Follower {
        worker,
        files: BTreeMap::new(),
        leaving: Vec::new(),
        is_first_poll: true,
        turn: 0,
        open: 0,
        has_said_nothing: false,
    };
    let mut polled: Option<Duration> = None;
    loop {
        let now = clock.monotonic();
        let is_due = polled.is_none_or(|polled| now.saturating_sub(polled) >= interval);
        if is_due {
            match follower.poll() {
                Ok(()) => {}
                Err(PollError::Gone) => return Err(Gone),
                Err(PollError::Failed(error)) => return follower.worker.thread.fail(error),
            }
            polled = Some(now);
        }
        let has_more = match follower.read_all(is_due) {
            Ok(has_more) => has_more,
            Err(PollError::Gone) => return Err(Gone),
            Err(PollError::Failed(error)) => return follower.worker.thread.fail(error),
        };
        if follower.worker.thread.is_gone() {
            return Err(Gone);
        }
        if !has_more {
            let thread = &follower.worker.thread;
            handle.block_on(async {
                tokio::select! {
                    biased;
                    () = thread.gone() => {}
                    () = clock.sleep(interval) => {}
                }
            });
        }
    }
}

enum PollError {
    Gone,
    Failed(SourceError),
}

// === impl Follower ===

impl Follower<'_> {
    /// Looks which files there are and what became of the known ones.
    fn poll(&mut self) -> Result<(), PollError> {
        let found = self.worker.settings.patterns.find().map_err(|error| {
            PollError::Failed(SourceError::new(ErrorClass::InvalidData, error.to_string()))
        })?;
        if found.is_empty() && !self.has_said_nothing {
            self.has_said_nothing = true;
            tracing::info!("no file matches the paths yet; waiting for one");
        }
        let names: HashMap<FileId, &PathBuf> =
            found.iter().map(|(path, found)| (found.id, path)).collect();
        self.release(&found, &names);
        for (path, found) in &found {
            if !self.files.contains_key(path) {
                self.take_up(path, *found, &names);
            }
        }
        self.is_first_poll = false;
        let behind =
            self.files.iter().map(|(path, tracked)| match (&tracked.reader, found.get(path)) {
                (Some(reader), _) => reader.bytes_left(),
                (None, Some(found)) => found.bytes.saturating_sub(tracked.bytes_done),
                (None, None) => 0,
            });
        self.worker.set_lag(behind.sum());
        Ok(())
    }

    /// Lets go of files that lost their name, and renames those that have another one.
    fn release(&mut self, found: &BTreeMap<PathBuf, Found>, names: &HashMap<FileId, &PathBuf>) {
        let is_gone = |path: &PathBuf, tracked: &Tracked| {
            found.get(path).is_none_or(|found| found.id != tracked.id)
        };
        let gone: Vec<PathBuf> = self
            .files
            .iter()
            .filter(|(path, tracked)| is_gone(path, tracked))
            .map(|(path, _)| path.clone())
            .collect();
        let mut moved = Vec::new();
        for path in gone {
            let Some(mut tracked) = self.files.remove(&path) else { continue };
            match names.get(&tracked.id) {
                Some(new) => moved.push(((*new).clone(), tracked)),
                None => {
                    if found.contains_key(&path) {
                        tracing::info!(path = %path.display(),
                            "the file was replaced; the old one is read to its end first");
                    } else {
                        tracing::warn!(path = %path.display(),
                            "the file vanished; its position is kept");
                    }
                    tracked.quiet_polls = 0;
                    self.leaving.push(tracked);
                }
            }
        }
        for (path, mut tracked) in moved {
            tracing::info!(path = %path.display(), "a file goes on under another name");
            tracked.rename(&path, self.worker);
            self.files.insert(path, tracked);
        }
    }

    /// Starts to follow a file that has a name we do not know it under.
    fn take_up(&mut self, path: &Path, found: Found, names: &HashMap<FileId, &PathBuf>) {
        let label = Label::new(path);
        if let Some(at) = self.leaving.iter().position(|tracked| tracked.id == found.id) {
            // It came back.
            let mut tracked = self.leaving.remove(at);
            if tracked.path != path {
                tracked.rename(path, self.worker);
            }
            self.files.insert(path.to_owned(), tracked);
            return;
        }
        if self.leaving.iter().any(|tracked| tracked.label.partition == label.partition) {
            // Its turn comes when the old file of this name is read to its end.
            return;
        }
        let start = self.worker.take_stored(&label.partition, found.id);
        // What has another name by now takes its position there.
        let is_left = |old: &FilePosition| !names.contains_key(&old.id);
        if start.is_none()
            && self.worker.stored.get(&label.partition).is_some_and(is_left)
            && let Some(old) = self.worker.stored.remove(&label.partition)
        {
            match find_renamed(path, old.id) {
                Some(renamed) => {
                    let id = old.id;
                    self.leaving.push(Tracked::new(&renamed, label, id, Some(old), false));
                    return;
                }
                None => tracing::warn!(path = %path.display(),
                    "another file was read under this name; this one is read from its start"),
            }
            self.files.insert(path.to_owned(), Tracked::new(path, label, found.id, None, false));
            return;
        }
        // What comes into an empty file comes after the start.
        let is_old = self.is_first_poll && found.bytes > 0;
        let at_end = is_old && self.worker.settings.start_at_end;
        self.files.insert(path.to_owned(), Tracked::new(path, label, found.id, start, at_end));
    }

    /// Gives every file its turn; tells whether any of them may have more at once.
    fn read_all(&mut self, is_poll: bool) -> Result<bool, PollError> {
        self.turn += 1;
        let mut has_more = false;
        let mut leaving = std::mem::take(&mut self.leaving);
        let mut left = Vec::with_capacity(leaving.len());
        let mut result = Ok(());
        for mut tracked in leaving.drain(..) {
            if result.is_err() {
                left.push(tracked);
                continue;
            }
            match self.turn_of(&mut tracked, true, is_poll) {
                Ok(Turn::More) => {
                    has_more = true;
                    left.push(tracked);
                }
                Ok(Turn::Quiet) => left.push(tracked),
                Ok(Turn::Done) => {
                    self.close(&mut tracked);
                    // The new file of this name may be waiting.
                    has_more = true;
                }
                Err(error) => result = Err(error),
            }
        }
        self.leaving = left;
        result?;
        let mut result = Ok(());
        let mut files = std::mem::take(&mut self.files);
        for tracked in files.values_mut() {
            match self.turn_of(tracked, false, is_poll) {
                Ok(turn) => has_more |= turn == Turn::More,
                Err(error) => {
                    result = Err(error);
                    break;
                }
            }
        }
        self.files = files;
        result?;
        self.close_quiet();
        Ok(has_more)
    }

    fn turn_of(
        &mut self,
        tracked: &mut Tracked,
        is_leaving: bool,
        is_poll: bool,
    ) -> Result<Turn, PollError> {
        match self.read(tracked, is_leaving, is_poll) {
            Ok(turn) => Ok(turn),
            Err(Stop::Gone) => Err(PollError::Gone),
            Err(Stop::Read(error)) if error.is_vanished() => {
                // The next poll will find that it is gone.
                self.close(tracked);
                Ok(if is_leaving { Turn::Done } else { Turn::Quiet })
            }
            Err(Stop::Read(error)) => {
                let error = source_error(error);
                if error.class.is_transient() {
                    return Err(PollError::Failed(error));
                }
                let cause = error.source.as_ref().map(ToString::to_string).unwrap_or_default();
                tracing::error!(%error, cause, "the file is left as it is until it changes");
                self.close(tracked);
                tracked.bytes_done =
                    std::fs::metadata(&tracked.path).map_or(0, |metadata| metadata.len());
                Ok(if is_leaving { Turn::Done } else { Turn::Quiet })
            }
        }
    }

    fn read(
        &mut self,
        tracked: &mut Tracked,
        is_leaving: bool,
        is_poll: bool,
    ) -> Result<Turn, Stop> {
        if tracked.reader.is_none() && !self.open(tracked, is_leaving)? {
            return Ok(if is_leaving { Turn::Done } else { Turn::Quiet });
        }
        let Some(mut reader) = tracked.reader.take() else { return Ok(Turn::Quiet) };
        if !is_leaving && reader.is_truncated() {
            tracing::warn!(path = %tracked.path.display(),
                "the file was truncated; it is read from its start");
            // A last line that was read and cannot be read again.
            if let Err(Stop::Gone) = self.worker.finish(&mut reader, &tracked.label) {
                return Err(Stop::Gone);
            }
            reader = self.worker.open(&tracked.path, None, false)?;
            tracked.id = reader.id();
        }
        let result = self.read_turn(&mut reader, tracked, is_leaving, is_poll);
        tracked.reader = Some(reader);
        result
    }

    fn read_turn(
        &mut self,
        reader: &mut Reader,
        tracked: &mut Tracked,
        is_leaving: bool,
        is_poll: bool,
    ) -> Result<Turn, Stop> {
        for batches in 0..BATCHES_PER_TURN {
            if self.worker.read(reader, &tracked.label)? == Filled::Records {
                tracked.last_turn = self.turn;
                tracked.quiet_polls = 0;
                continue;
            }
            if batches == 0 && is_leaving && is_poll {
                tracked.quiet_polls += 1;
                if tracked.quiet_polls >= LEAVING_POLLS {
                    self.worker.finish(reader, &tracked.label)?;
                    return Ok(Turn::Done);
                }
            }
            return Ok(Turn::Quiet);
        }
        Ok(Turn::More)
    }

    /// Opens a file that has something new.
    fn open(&mut self, tracked: &mut Tracked, is_leaving: bool) -> Result<bool, Stop> {
        let bytes = match std::fs::metadata(&tracked.path) {
            Ok(metadata) if FileId::of(&metadata) == tracked.id => metadata.len(),
            _ if is_leaving => match find_renamed(&tracked.path, tracked.id) {
                Some(renamed) => {
                    tracked.path = renamed;
                    std::fs::metadata(&tracked.path).map_or(0, |metadata| metadata.len())
                }
                None => return Ok(false),
            },
            // The next poll will find out.
            _ => return Ok(false),
        };
        if bytes == tracked.bytes_done && !is_leaving {
            return Ok(false);
        }
        let reader = self.worker.open(&tracked.path, tracked.start.as_ref(), tracked.at_end)?;
        if reader.id() != tracked.id {
            return Ok(false);
        }
        tracked.at_end = false;
        if tracked.start.is_none() {
            // Known from now on, so that it is opened there again.
            tracked.start = Some(reader.position());
        }
        tracked.reader = Some(reader);
        tracked.last_turn = self.turn;
        self.open += 1;
        Ok(true)
    }

    fn close(&mut self, tracked: &mut Tracked) {
        if let Some(reader) = tracked.reader.take() {
            tracked.start = Some(reader.position());
            tracked.bytes_done = reader.bytes_done();
            self.open -= 1;
        }
    }

    /// Closes the files that were quiet longest when too many are open.
    fn close_quiet(&mut self) {
        if self.open <= OPEN_MAX {
            return;
        }
        let mut turns: Vec<(u64, PathBuf)> = self
            .files
            .values()
            .filter(|tracked| tracked.reader.is_some())
            .map(|tracked| (tracked.last_turn, tracked.path.clone()))
            .collect();
        turns.sort();
        for (_, path) in turns.into_iter().take(self.open - OPEN_MAX) {
            if let Some(mut tracked) = self.files.remove(&path) {
                self.close(&mut tracked);
                self.files.insert(path, tracked);
            }
        }
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Turn {
    /// It had more than its share.
    More,
    Quiet,
    /// It is read to its end for good.
    Done,
}

// === impl Tracked ===

impl Tracked {
    fn new(
        path: &Path,
        label: Label,
        id: FileId,
        start: Option<FilePosition>,
        at_end: bool,
    ) -> Self {
        Tracked {
            path: path.to_owned(),
            label,
            id,
            start,
            at_end,
            reader: None,
            bytes_done: 0,
            quiet_polls: 0,
            last_turn: 0,
        }
    }

    /// Goes on under another name, and thus in another partition.
    fn rename(&mut self, path: &Path, worker: &mut Worker) {
        self.path = path.to_owned();
        self.label = Label::new(path);
        let position = match &self.reader {
            Some(reader) => Some(reader.position()),
            None => self.start.clone(),
        };
        if let Some(position) = position {
            worker.renamed.push((self.label.partition.clone(), position.to_json()));
        }
    }
}
