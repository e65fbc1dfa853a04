//! Reads every file there is to its end.

use std::path::Path;

use levada_model::ErrorClass;

use super::files::Found;
use super::identity::{FilePosition, find_renamed};
use super::reader::Reader;
use super::source::{Label, Stop, Worker, source_error};
use crate::SourceError;
use crate::formats::framer::Filled;
use crate::formats::pump::Gone;

/// Reads the files in the order of their paths and ends.
pub(super) fn run(worker: &mut Worker) -> Result<(), Gone> {
    let files = match worker.settings.patterns.find() {
        Ok(files) => files,
        Err(error) => {
            return worker
                .thread
                .fail(SourceError::new(ErrorClass::InvalidData, error.to_string()));
        }
    };
    if files.is_empty() {
        let message = worker.settings.patterns.nothing_found();
        return worker.thread.fail(SourceError::new(ErrorClass::InvalidData, message));
    }
    // Positions are found before anything is read, so that renames are known before positions of
    // new files take the place of old ones.
    let mut plan = Vec::with_capacity(files.len());
    let mut bytes_left = 0;
    for (path, found) in files {
        let label = Label::new(&path);
        let start = worker.take_stored(&label.partition, found.id);
        bytes_left += found.bytes;
        plan.push((path, found, label, start));
    }
    let mut failures = Vec::new();
    for (path, found, label, start) in plan {
        let stop = read_file(worker, &path, &label, start.as_ref(), bytes_left, found);
        bytes_left -= found.bytes;
        worker.set_lag(bytes_left);
        match stop {
            Ok(()) => {}
            Err(Stop::Gone) => return Err(Gone),
            Err(Stop::Read(error)) if error.is_vanished() => {
                tracing::warn!(path = %path.display(), "the file vanished before it was read");
            }
            Err(Stop::Read(error)) => failures.push(error),
        }
    }
    let count = failures.len();
    match failures.into_iter().next() {
        None => worker.thread.end(),
        Some(first) => {
            let mut error = source_error(first);
            if count > 1 {
                error.message = format!("{} (and {} more files)", error.message, count - 1);
            }
            worker.thread.fail(error)
        }
    }
}

fn read_file(
    worker: &mut Worker,
    path: &Path,
    label: &Label,
    start: Option<&FilePosition>,
    bytes_left: u64,
    found: Found,
) -> Result<(), Stop> {
    // Another file had this name: what is left of it comes first.
    if start.is_none()
        && let Some(old) = worker.stored.remove(&label.partition)
    {
        match find_renamed(path, old.id) {
            Some(renamed) => {
                let mut reader = worker.open(&renamed, Some(&old), false)?;
                read_to_end(worker, &mut reader, label, bytes_left)?;
            }
            None => tracing::warn!(path = %path.display(),
                "the file that was read under this name is gone; the new one is read from its start"),
        }
    }
    let at_end = worker.settings.start_at_end;
    let mut reader = worker.open(path, start, at_end)?;
    read_to_end(worker, &mut reader, label, bytes_left - found.bytes)
}

fn read_to_end(
    worker: &mut Worker,
    reader: &mut Reader,
    label: &Label,
    bytes_behind: u64,
) -> Result<(), Stop> {
    while worker.read(reader, label)? == Filled::Records {
        worker.set_lag(bytes_behind + reader.bytes_left());
    }
    worker.finish(reader, label)?;
    Ok(())
}
