//! The end of the log: the segment that is written.

use std::io::{self, IoSlice};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use super::error::StorageError;
use super::files::{Files, Handle};
use super::intake::Pending;
use super::record::{HEADER_BYTES, Header, Mark};
use super::segment::{SEGMENT_HEADER_BYTES, SegmentHeader, name_of};

/// Writes records; whoever holds it is the only writer.
pub(super) struct Log {
    pub(super) place: Place,
    /// The place behind the last record.
    pub(super) next: Mark,
    pub(super) active: Option<Active>,
    /// Headers of the records of one write; used again.
    headers: Vec<u8>,
    /// Records of one write; used again.
    pub(super) batch: Vec<Pending>,
}

/// Where a log is.
#[derive(Clone)]
pub(super) struct Place {
    pub(super) files: Arc<dyn Files>,
    pub(super) dir: PathBuf,
    pub(super) destination: String,
    pub(super) segment_bytes: u64,
}

/// The segment that is written.
pub(super) struct Active {
    pub(super) first: u64,
    pub(super) handle: Arc<dyn Handle>,
    /// Where the next record goes.
    pub(super) offset: u64,
    /// When it was begun, on the monotonic clock.
    pub(super) begun: Duration,
}

/// What a failed write leaves.
pub(super) struct Failed {
    pub(super) error: StorageError,
    /// The segment that was begun for this write and is gone again.
    pub(super) removed: Option<u64>,
}

// === impl Place ===

impl Place {
    pub(super) fn path_of(&self, first: u64) -> PathBuf {
        self.dir.join(name_of(first))
    }

    pub(super) fn error(
        &self,
        action: &'static str,
        path: &Path,
        error: io::Error,
    ) -> StorageError {
        StorageError::new(action, path, error)
    }
}

// === impl Log ===

impl Log {
    pub(super) fn new(place: Place, next: Mark, active: Option<Active>) -> Self {
        Log { place, next, active, headers: Vec::new(), batch: Vec::new() }
    }

    /// Gives the bytes that still fit into the segment that is written.
    pub(super) fn room(&self) -> u64 {
        self.active
            .as_ref()
            .map_or(0, |active| self.place.segment_bytes.saturating_sub(active.offset))
    }

    /// Tells whether a record must begin a new segment.
    pub(super) fn is_due(&self, bytes: u64, now: Duration, age_max: Duration) -> bool {
        self.active.as_ref().is_none_or(|active| {
            let is_empty = active.offset == SEGMENT_HEADER_BYTES;
            !is_empty && (bytes > self.room() || active.begun + age_max <= now)
        })
    }

    /// Ends the segment; gives its handle, which may still have to be flushed.
    pub(super) fn seal(&mut self, millis: i64) -> Option<Arc<dyn Handle>> {
        let active = self.active.take()?;
        let mut bytes = Vec::with_capacity(HEADER_BYTES);
        Header::end_of_segment(self.next, millis).write(&mut bytes);
        // The mark is for people and checks only; the name of the next segment says the same.
        if let Err(error) = active.handle.write_at(active.offset, &mut [IoSlice::new(&bytes)]) {
            tracing::debug!(%error, segment = active.first, "cannot mark the end of a segment");
        }
        Some(active.handle)
    }

    /// Begins a segment.
    pub(super) fn begin(&mut self, now: Duration, millis: i64) -> Result<u64, StorageError> {
        let path = self.place.path_of(self.next.sequence);
        let files = &self.place.files;
        let created = match files.create(&path, self.place.segment_bytes) {
            // There may be room for less than a whole segment.
            Err(error) if super::files::is_full(&error) => files.create(&path, 0),
            result => result,
        };
        let handle = created.map_err(|error| {
            self.remove(&path);
            self.place.error("make", &path, error)
        })?;
        let header = SegmentHeader {
            first: self.next,
            made_millis: millis,
            destination: self.place.destination.clone(),
        };
        if let Err(error) = handle.write_at(0, &mut [IoSlice::new(&header.to_bytes())]) {
            self.remove(&path);
            return Err(self.place.error("write", &path, error));
        }
        let first = self.next.sequence;
        self.active = Some(Active { first, handle, offset: SEGMENT_HEADER_BYTES, begun: now });
        Ok(first)
    }

    /// Writes the records of the batch and flushes them when asked to; they fit into the segment, which was begun.
    ///
    /// After an error nothing of the batch is in the log, and the next write begins a segment: what a failed flush left
    /// in the old one is not to be relied on.
    pub(super) fn write_batch(
        &mut self,
        is_flushed: bool,
        is_dir_flushed: bool,
    ) -> Result<Arc<dyn Handle>, Failed> {
        let active = self.active.as_mut().expect("a segment was begun");
        self.headers.clear();
        let mut next = self.next;
        for pending in &self.batch {
            let header = pending.record.header(next, pending.attempts, pending.crc);
            header.write(&mut self.headers);
            next = header.after();
        }
        let mut parts = Vec::with_capacity(self.batch.len() * 4);
        for (header, pending) in self.headers.chunks_exact(HEADER_BYTES).zip(&self.batch) {
            let record = &pending.record;
            let payload =
                [record.category.name().as_bytes(), record.attributes.as_bytes(), &record.body];
            parts.push(IoSlice::new(header));
            parts.extend(payload.into_iter().filter(|part| !part.is_empty()).map(IoSlice::new));
        }
        let files = &self.place.files;
        let written = active.handle.write_at(active.offset, &mut parts);
        let flushed = written.map_err(|error| ("write", error)).and_then(|()| {
            if is_flushed {
                active.handle.sync().map_err(|error| ("flush", error))?;
            }
            if is_dir_flushed {
                files.sync_dir(&self.place.dir).map_err(|error| ("flush the folder of", error))?;
            }
            Ok(())
        });
        match flushed {
            Ok(()) => {
                active.offset += next.position - self.next.position;
                self.next = next;
                Ok(Arc::clone(&active.handle))
            }
            Err((action, error)) => Err(self.abandon(action, error)),
        }
    }

    /// Gives a segment up after a failed write.
    fn abandon(&mut self, action: &'static str, error: io::Error) -> Failed {
        let active = self.active.take().expect("it was written to");
        let path = self.place.path_of(active.first);
        let error = self.place.error(action, &path, error);
        // What cannot be cut off is covered by the next segment, which begins with the same number.
        if let Err(error) = active.handle.truncate(active.offset) {
            tracing::debug!(%error, segment = active.first, "cannot cut a segment");
        }
        let is_empty = active.offset == SEGMENT_HEADER_BYTES;
        if is_empty {
            self.remove(&path);
        }
        Failed { error, removed: is_empty.then_some(active.first) }
    }

    fn remove(&self, path: &Path) {
        if let Err(error) = self.place.files.remove(path)
            && error.kind() != io::ErrorKind::NotFound
        {
            tracing::debug!(%error, path = %path.display(), "cannot remove an empty segment");
        }
    }
}
