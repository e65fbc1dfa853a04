//! What happens beside appends and deliveries: flushes, the cursor, spent segments, expiry, the reserve.

use std::io::IoSlice;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use super::cursor::{self, CURSOR_FILE, CURSOR_NEW_FILE};
use super::engine::{Engine, lock};
use super::error::StorageError;
use super::files::{Handle, is_full};
use super::settings::{Keep, Sync};

pub(super) const RESERVE_FILE: &str = "reserve";

/// Most expired records dropped in one step.
const EXPIRED_MAX: usize = 1_024;

/// Who notes progress; whoever holds it is the only one.
#[derive(Default)]
pub(super) struct Upkeep {
    pub(super) last_cursor: Option<Duration>,
    /// The text of the cursor; used again.
    pub(super) text: Vec<u8>,
    pub(super) has_reserve: bool,
    cursors: Cursors,
}

/// The files of the cursor, which take turns.
///
/// A new file for each cursor is what most of the time went for: the system has to find a free place for it and to give up
/// that of the one before. Only a file that is no longer the cursor on the disk, whatever happens, is written again.
#[derive(Default)]
struct Cursors {
    /// The cursor, when it is on the disk under its name.
    current: Option<CursorFile>,
    /// The one before, under the other name.
    spare: Option<CursorFile>,
    cannot_exchange: bool,
}

struct CursorFile {
    handle: Arc<dyn Handle>,
    bytes: usize,
}

/// How long the next step may wait.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Due {
    /// This long.
    In(Duration),
    /// Until something happens.
    Never,
}

// === impl Upkeep ===

impl Upkeep {
    pub(super) fn new(has_reserve: bool) -> Self {
        Upkeep { has_reserve, ..Upkeep::default() }
    }
}

// === impl Engine ===

impl Engine {
    /// Does what is due; at the end of the queue also what is not.
    pub(super) fn keep_up(&self, is_final: bool) {
        if self.settings.keep == Keep::Memory {
            self.drop_expired();
            // There is no cursor to write.
            self.inner().state.is_cursor_old = false;
            return;
        }
        let upkeep = &mut *lock(&self.upkeep);
        self.flush(is_final);
        self.drop_expired();
        self.note_progress(upkeep, is_final);
        if !upkeep.has_reserve {
            upkeep.has_reserve = self.make_reserve();
        }
    }

    /// Tells when the next step is due.
    pub(super) fn due(&self) -> Due {
        let inner = self.inner();
        if let Sync::Interval(interval) = self.settings.sync
            && (!inner.unflushed.is_empty() || inner.is_dir_unflushed)
        {
            return Due::In(interval.min(self.settings.cursor_interval));
        }
        if inner.state.is_cursor_old || inner.is_stalled {
            Due::In(self.settings.cursor_interval)
        } else {
            Due::Never
        }
    }

    /// Makes room on a full disk: gives up the oldest records until a segment is spent, and removes it.
    pub(super) fn free_a_segment(&self) -> bool {
        let upkeep = &mut *lock(&self.upkeep);
        loop {
            let is_spent = {
                let inner = self.inner();
                if inner.state.segments.len() < 2 {
                    // Whatever fills the disk, it is not this queue.
                    return false;
                }
                !inner.state.spent_segments(&inner.state.finished).is_empty()
            };
            if is_spent {
                break;
            }
            if !self.drop_one_oldest(super::DropReason::DiskFull) {
                return false;
            }
        }
        self.note_progress(upkeep, true)
    }

    fn drop_expired(&self) {
        if self.settings.age_max.is_none() {
            return;
        }
        for _ in 0..EXPIRED_MAX {
            if !self.drop_one_expired() {
                break;
            }
        }
    }

    fn flush(&self, is_final: bool) {
        let (handles, is_dir) = {
            let inner = &mut *self.inner();
            (std::mem::take(&mut inner.unflushed), std::mem::take(&mut inner.is_dir_unflushed))
        };
        let mut failures = 0;
        for handle in &handles {
            if let Err(error) = handle.sync() {
                // A second flush of the same file would say that all is well; the pages may be gone all the same.
                failures += 1;
                tracing::error!(%error, destination = self.place.destination, "records could not be flushed; some may be lost with the power");
            }
        }
        if is_dir && let Err(error) = self.place.files.sync_dir(&self.place.dir) {
            tracing::error!(%error, destination = self.place.destination, "the folder could not be flushed");
            failures += 1;
            self.inner().is_dir_unflushed = !is_final;
        }
        let inner = &mut *self.inner();
        inner.io.flushes += handles.len() as u64;
        inner.io.flush_failures += failures;
    }

    /// Writes the cursor when it is due and removes what is spent; tells whether a segment was removed.
    fn note_progress(&self, upkeep: &mut Upkeep, is_forced: bool) -> bool {
        let now = self.now();
        let spent = {
            let inner = &mut *self.inner();
            let state = &mut inner.state;
            let is_late =
                upkeep.last_cursor.is_none_or(|last| last + self.settings.cursor_interval <= now);
            let is_many = state.finished_since_cursor >= self.settings.cursor_records.into();
            if !state.is_cursor_old || !(is_forced || is_late || is_many) {
                return false;
            }
            state.is_cursor_old = false;
            state.finished_since_cursor = 0;
            cursor::write(state.tail, &state.finished, &state.ledger, &mut upkeep.text);
            state.spent_segments(&state.finished)
        };
        upkeep.last_cursor = Some(now);
        let is_durable = self.settings.sync != Sync::None || !spent.is_empty();
        if let Err(error) = self.write_cursor(upkeep, is_durable) {
            tracing::warn!(%error, source = %error.source, destination = self.place.destination, "progress could not be noted; it is tried again");
            let inner = &mut *self.inner();
            inner.io.cursor_failures += 1;
            inner.state.is_cursor_old = true;
            return false;
        }
        self.inner().io.cursor_writes += 1;
        self.remove_spent(&spent)
    }

    fn write_cursor(&self, upkeep: &mut Upkeep, is_durable: bool) -> Result<(), StorageError> {
        let new = self.place.dir.join(CURSOR_NEW_FILE);
        let Upkeep { text, cursors, .. } = upkeep;
        match self.try_write_cursor(text, cursors, is_durable) {
            Err(error) if is_full(&error) && upkeep.has_reserve => {
                // This is what the reserve is for.
                upkeep.has_reserve = false;
                let reserve = self.place.dir.join(RESERVE_FILE);
                self.place
                    .files
                    .remove(&reserve)
                    .map_err(|error| self.place.error("remove", &reserve, error))?;
                self.try_write_cursor(text, cursors, is_durable)
            }
            result => result,
        }
        .map_err(|error| self.place.error("write", &new, error))
    }

    fn try_write_cursor(
        &self,
        text: &[u8],
        cursors: &mut Cursors,
        is_durable: bool,
    ) -> std::io::Result<()> {
        let files = &self.place.files;
        let (name, new) = (self.place.dir.join(CURSOR_FILE), self.place.dir.join(CURSOR_NEW_FILE));
        // Until all is done it is not known what the names on the disk mean.
        let (current, spare) = (cursors.current.take(), cursors.spare.take());
        let file = match spare {
            Some(spare) => spare,
            None => {
                // What has the name may still be the cursor on the disk.
                match files.remove(&new) {
                    Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                        return Err(error);
                    }
                    _ => CursorFile { handle: files.create(&new, 0)?, bytes: 0 },
                }
            }
        };
        file.handle.write_at(0, &mut [IoSlice::new(text)])?;
        if file.bytes > text.len() {
            file.handle.truncate(text.len() as u64)?;
        }
        let written = CursorFile { bytes: text.len(), ..file };
        if !is_durable {
            return files.rename(&new, &name);
        }
        written.handle.sync()?;
        let mut spare = None;
        match current {
            Some(current) if !cursors.cannot_exchange => match files.exchange(&new, &name) {
                Ok(()) => spare = Some(current),
                Err(error) if error.kind() == std::io::ErrorKind::Unsupported => {
                    cursors.cannot_exchange = true;
                    files.rename(&new, &name)?;
                }
                Err(error) => return Err(error),
            },
            _ => files.rename(&new, &name)?,
        }
        files.sync_dir(&self.place.dir)?;
        (cursors.current, cursors.spare) = (Some(written), spare);
        Ok(())
    }

    fn remove_spent(&self, spent: &[u64]) -> bool {
        let mut removed = 0;
        for first in spent {
            let path: PathBuf = self.place.path_of(*first);
            lock(&self.reader).forget(*first);
            match self.place.files.remove(&path) {
                Ok(()) => {}
                Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
                Err(error) => {
                    tracing::warn!(%error, path = %path.display(), "cannot remove a segment; it is tried again");
                    self.inner().state.is_cursor_old = true;
                    continue;
                }
            }
            let inner = &mut *self.inner();
            inner.state.segments.remove(first);
            inner.io.segments_removed += 1;
            removed += 1;
        }
        removed > 0
    }

    fn make_reserve(&self) -> bool {
        let bytes = self.settings.reserve_bytes;
        if bytes == 0 {
            return false;
        }
        let path = self.place.dir.join(RESERVE_FILE);
        let made = self.place.files.create(&path, bytes).and_then(|handle| {
            // Written out, because a file system that cannot set space aside must hold it all the same.
            let zeroes = vec![0; ZEROES];
            let mut at = 0;
            while at < bytes {
                let length = usize::try_from(bytes - at).map_or(ZEROES, |left| left.min(ZEROES));
                handle.write_at(at, &mut [IoSlice::new(&zeroes[..length])])?;
                at += length as u64;
            }
            Ok(())
        });
        if made.is_err()
            && let Err(error) = self.place.files.remove(&path)
        {
            tracing::debug!(%error, "there is no room for a reserve");
        }
        made.is_ok()
    }
}

/// Bytes of the reserve written at once.
const ZEROES: usize = 64 << 10;
