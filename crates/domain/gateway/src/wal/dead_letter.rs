//! Records that their receiver refused for good, kept one by one until somebody looks at them.
//!
//! ```text
//! <sequence, 20 digits>.letter:
//!  0  magic `DWL1`   4  u16 version   6  u16 bytes of the reason   8  i64 when, Unix milliseconds
//! 16  the reason, then u32 CRC-32C of everything before, then the record as in a segment
//! ```
//! A letter is on the disk before its record is finished in the queue. Files and cursor may differ by what was under way
//! when the process ended; opening the queue settles that: a letter whose record still waits is removed, and points whose
//! letter is gone are counted as dropped.

use std::collections::BTreeMap;
use std::io::{self, IoSlice};
use std::path::PathBuf;

use bytes::Bytes;
use levada_model::{Category, Timestamp};

use super::engine::{Engine, Inner, dead_letter_dir, quarantine_dir};
use super::error::StorageError;
use super::files::{Files, Handle, is_full, read_all};
use super::ledger::DropReason;
use super::ranges::Ranges;
use super::record::{HEADER_BYTES, Header, PAYLOAD_BYTES_MAX, Record, u64_at};
use super::settings::Sync;
use super::settle::Parts;
use super::state::Taken;

const MAGIC: [u8; 4] = *b"DWL1";
const VERSION: u16 = 1;
const FIXED_BYTES: usize = 16;
const SUFFIX: &str = ".letter";
const NEW_FILE: &str = "new";

/// Longest reason that is kept, bytes; the rest is cut off.
const REASON_BYTES_MAX: usize = 1_024;

/// Largest letter that is read, bytes.
const BYTES_MAX: u64 = (PAYLOAD_BYTES_MAX + HEADER_BYTES + REASON_BYTES_MAX + 64) as u64;

/// A record in the dead-letter store.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeadLetter {
    /// Its number in the queue, by which it is replayed or dropped.
    pub sequence: u64,
    /// Why it is here.
    pub reason: String,
    /// When it came here.
    pub at: Timestamp,
    /// The category of its points.
    pub category: Category,
    /// How many points there are.
    pub points: u32,
    /// Bytes of its file.
    pub bytes: u64,
    /// How often it was tried.
    pub attempts: u16,
}

/// A leased record on its way to the store.
pub(super) struct NewLetter {
    pub(super) taken: Taken,
    /// The part of it that goes there, and where the others went; without, all of it goes there.
    pub(super) rest: Option<(Record, Parts)>,
    pub(super) reason: String,
    /// What its points count as when there is no room for it.
    pub(super) otherwise: DropReason,
}

/// What is in the store, by number.
#[derive(Debug, Default)]
pub(super) struct DeadLetters {
    pub(super) letters: BTreeMap<u64, DeadLetter>,
    bytes: u64,
}

/// What was read from a file.
pub(super) struct Opened {
    pub(super) letter: DeadLetter,
    pub(super) record: Record,
}

// === impl DeadLetters ===

impl DeadLetters {
    fn add(&mut self, letter: DeadLetter) {
        self.bytes += letter.bytes;
        self.letters.insert(letter.sequence, letter);
    }

    pub(super) fn remove(&mut self, sequence: u64) -> Option<DeadLetter> {
        let letter = self.letters.remove(&sequence)?;
        self.bytes -= letter.bytes;
        Some(letter)
    }
}

// === impl Engine ===

impl Engine {
    /// Writes letters that wait; tells whether any of them is done with.
    pub(super) fn write_letters(&self) -> bool {
        let letters = std::mem::take(&mut self.inner().new_letters);
        let mut is_work = false;
        for letter in letters {
            match self.write_letter(letter) {
                None => is_work = true,
                Some(again) => {
                    // Sent again, it would be refused again; so it waits here, leased, and is tried again with the upkeep.
                    let inner = &mut *self.inner();
                    inner.new_letters.push(again);
                    inner.is_stalled = true;
                }
            }
        }
        is_work
    }

    /// Writes a letter; gives it back when that failed.
    fn write_letter(&self, new: NewLetter) -> Option<NewLetter> {
        let NewLetter { taken, rest, mut reason, otherwise } = new;
        reason.truncate(reason.floor_char_boundary(REASON_BYTES_MAX));
        let record = rest.as_ref().map_or(&taken.record, |(record, _)| record);
        let millis = self.millis();
        let head = head_of(&taken, record, &reason, millis);
        let bytes = head.len() as u64 + record.payload_bytes() as u64;
        if bytes > self.settings.dead_letter_bytes_max || self.settings.dead_letters_max == 0 {
            let state = &mut self.inner().state;
            state.settle(&taken);
            match &rest {
                Some((_, parts)) => parts.count(state, otherwise),
                None => state.ledger.drop_points(otherwise, taken.record.points.into()),
            }
            return None;
        }
        while let Some(oldest) = self.letter_to_evict(bytes) {
            if let Err(error) = self.remove_letter(oldest, DropReason::DeadLetterFull) {
                tracing::warn!(%error, source = %error.source, "cannot make room for a dead letter");
                break;
            }
        }
        let sequence = taken.mark.sequence;
        if let Err(error) = self.try_write_letter(sequence, &head, record) {
            let path = self.letter_path(sequence);
            if let Err(error) = self.place.files.remove(&path) {
                tracing::debug!(%error, "cannot remove what is left of a dead letter");
            }
            let io = &mut self.inner().io;
            io.disk_full += u64::from(is_full(&error));
            io.write_failures += u64::from(!is_full(&error));
            tracing::warn!(%error, path = %path.display(), "a dead letter could not be written; it is tried again");
            return Some(NewLetter { taken, rest, reason, otherwise });
        }
        let inner = &mut *self.inner();
        inner.state.settle(&taken);
        let points = match &rest {
            Some((_, parts)) => {
                parts.count_rest(&mut inner.state);
                parts.lettered()
            }
            None => taken.record.points,
        };
        inner.state.ledger.dead_lettered += u64::from(points);
        inner.letters.add(DeadLetter {
            sequence,
            reason,
            at: Timestamp(millis.saturating_mul(1_000_000)),
            category: record.category,
            points,
            bytes,
            attempts: taken.attempts,
        });
        None
    }

    fn letter_to_evict(&self, bytes: u64) -> Option<u64> {
        let inner = self.inner();
        let is_full = inner.letters.letters.len() >= self.settings.dead_letters_max
            || inner.letters.bytes + bytes > self.settings.dead_letter_bytes_max;
        inner.letters.letters.keys().next().copied().filter(|_| is_full)
    }

    fn try_write_letter(&self, sequence: u64, head: &[u8], record: &Record) -> io::Result<()> {
        let files = &self.place.files;
        let dir = dead_letter_dir(&self.place);
        files.create_dir(&dir)?;
        // A letter that could not be finished must not be taken for one after a crash.
        let (path, new) = (self.letter_path(sequence), dir.join(NEW_FILE));
        let handle = files.create(&new, 0)?;
        let payload =
            [record.category.name().as_bytes(), record.attributes.as_bytes(), &record.body];
        let mut parts = vec![IoSlice::new(head)];
        parts.extend(payload.into_iter().filter(|part| !part.is_empty()).map(IoSlice::new));
        handle.write_at(0, &mut parts)?;
        if self.settings.sync != Sync::None {
            handle.sync()?;
        }
        files.rename(&new, &path)?;
        if self.settings.sync != Sync::None {
            files.sync_dir(&dir)?;
            files.sync_dir(&self.place.dir)?;
        }
        Ok(())
    }

    /// Removes a letter and counts its points as dropped.
    pub(super) fn remove_letter(
        &self,
        sequence: u64,
        reason: DropReason,
    ) -> Result<bool, StorageError> {
        if !self.inner().letters.letters.contains_key(&sequence) {
            return Ok(false);
        }
        self.remove_letter_file(sequence)?;
        let inner = &mut *self.inner();
        let Some(letter) = inner.letters.remove(sequence) else { return Ok(false) };
        inner.state.ledger.dead_lettered -= u64::from(letter.points);
        inner.state.ledger.drop_points(reason, letter.points.into());
        inner.state.is_cursor_old = true;
        Ok(true)
    }

    /// Removes a letter whose record was queued again.
    pub(super) fn replayed(&self, sequence: u64) -> Result<(), StorageError> {
        self.remove_letter_file(sequence)?;
        let inner = &mut *self.inner();
        if let Some(letter) = inner.letters.remove(sequence) {
            inner.state.ledger.dead_lettered -= u64::from(letter.points);
            inner.state.ledger.replayed += u64::from(letter.points);
            inner.state.is_cursor_old = true;
        }
        Ok(())
    }

    /// Reads a letter; `None` when it is damaged.
    pub(super) fn read_letter(&self, sequence: u64) -> Result<Option<Opened>, StorageError> {
        let path = self.letter_path(sequence);
        let bytes = read_all(&*self.place.files, &path, BYTES_MAX)
            .map_err(|error| self.place.error("read", &path, error))?;
        Ok(read(bytes))
    }

    /// Moves a damaged letter to the quarantine and counts its points.
    pub(super) fn quarantine_letter(&self, sequence: u64) -> Result<(), StorageError> {
        let path = self.letter_path(sequence);
        move_away(&*self.place.files, &path, quarantine_dir(&self.place))
            .map_err(|error| self.place.error("move", &path, error))?;
        let inner = &mut *self.inner();
        inner.io.damaged_regions += 1;
        if let Some(letter) = inner.letters.remove(sequence) {
            inner.state.ledger.dead_lettered -= u64::from(letter.points);
            inner.state.ledger.drop_points(DropReason::Corrupt, letter.points.into());
            inner.state.is_cursor_old = true;
        }
        Ok(())
    }

    fn remove_letter_file(&self, sequence: u64) -> Result<(), StorageError> {
        let path = self.letter_path(sequence);
        match self.place.files.remove(&path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                Err(self.place.error("remove", &path, error))
            }
            _ if self.settings.sync == Sync::None => Ok(()),
            // A letter that came back after a crash would count twice.
            _ => {
                let dir = dead_letter_dir(&self.place);
                let synced = self.place.files.sync_dir(&dir);
                synced.map_err(|error| self.place.error("flush", &dir, error))
            }
        }
    }

    fn letter_path(&self, sequence: u64) -> PathBuf {
        dead_letter_dir(&self.place).join(name_of(sequence))
    }

    /// Finds the letters of an earlier process and settles what the cursor says differently.
    pub(super) fn find_letters(&self) -> Result<(), StorageError> {
        let (files, dir) = (&self.place.files, dead_letter_dir(&self.place));
        let listed = match files.list(&dir) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Vec::new(),
            result => result.map_err(|error| self.place.error("list", &dir, error))?,
        };
        let finished: Ranges = self.inner().state.finished.clone();
        let mut found = DeadLetters::default();
        let mut is_changed = false;
        for (name, bytes) in listed {
            let Some(sequence) = sequence_of(&name) else { continue };
            let path = dir.join(&name);
            let letter = if finished.contains(sequence) {
                files.open(&path).and_then(|file| read_head(&*file, bytes))
            } else {
                is_changed = true;
                files.remove(&path).map(|()| None)
            };
            match letter {
                Ok(Some(letter)) if letter.sequence == sequence => found.add(letter),
                Ok(None) if !finished.contains(sequence) => {}
                Ok(_) => {
                    tracing::error!(path = %path.display(), "a dead letter is damaged; it is in the quarantine");
                    self.inner().io.damaged_regions += 1;
                    move_away(&**files, &path, quarantine_dir(&self.place))
                        .map_err(|error| self.place.error("move", &path, error))?;
                }
                Err(error) => return Err(self.place.error("read", &path, error)),
            }
        }
        if is_changed {
            // The numbers may be given out again.
            files.sync_dir(&dir).map_err(|error| self.place.error("flush", &dir, error))?;
        }
        self.inner().settle_letters(found);
        Ok(())
    }
}

// === impl Inner ===

impl Inner {
    fn settle_letters(&mut self, found: DeadLetters) {
        let points: u64 = found.letters.values().map(|letter| u64::from(letter.points)).sum();
        let ledger = &mut self.state.ledger;
        let known = ledger.dead_lettered;
        if points < known {
            ledger.dead_lettered = points;
            ledger.drop_points(DropReason::DeadLetterDropped, known - points);
            self.state.is_cursor_old = true;
        } else if points > known {
            // Only after the cursor was lost: what is in the store was counted as delivered.
            ledger.dead_lettered = points;
            let moved = (points - known).min(ledger.delivered);
            ledger.delivered -= moved;
            ledger.refused += points - known - moved;
            self.state.is_cursor_old = true;
        }
        self.letters = found;
    }
}

/// Gives what stands before the payload.
fn head_of(taken: &Taken, record: &Record, reason: &str, millis: i64) -> Vec<u8> {
    let mut head = Vec::with_capacity(FIXED_BYTES + reason.len() + 4 + HEADER_BYTES);
    head.extend_from_slice(&MAGIC);
    head.extend_from_slice(&VERSION.to_le_bytes());
    head.extend_from_slice(&u16::try_from(reason.len()).unwrap_or(0).to_le_bytes());
    head.extend_from_slice(&millis.to_le_bytes());
    head.extend_from_slice(reason.as_bytes());
    let crc = crc32c::crc32c(&head);
    head.extend_from_slice(&crc.to_le_bytes());
    record.header(taken.mark, taken.attempts, record.payload_crc()).write(&mut head);
    head
}

/// Reads what stands before the payload, and the category.
fn read_head(file: &dyn Handle, bytes: u64) -> io::Result<Option<DeadLetter>> {
    let mut head = vec![0; FIXED_BYTES + REASON_BYTES_MAX + 4 + HEADER_BYTES + 256];
    let read = file.read_at(0, &mut head)?;
    head.truncate(read);
    Ok(parse(&head).and_then(|(mut letter, header, payload_at)| {
        if payload_at as u64 + u64::from(header.payload_bytes) != bytes {
            return None;
        }
        let name = head.get(payload_at..payload_at + header.category_bytes())?;
        let name = std::str::from_utf8(name).ok()?;
        letter.category = Category::of_name(name).unwrap_or(Category::Unknown);
        letter.bytes = bytes;
        Some(letter)
    }))
}

fn read(bytes: Vec<u8>) -> Option<Opened> {
    let bytes = Bytes::from(bytes);
    let (mut letter, header, payload_at) = parse(&bytes)?;
    let record = Record::from_payload(&header, &bytes.slice(payload_at..))?;
    letter.category = record.category;
    letter.bytes = bytes.len() as u64;
    Some(Opened { letter, record })
}

fn parse(bytes: &[u8]) -> Option<(DeadLetter, Header, usize)> {
    let fixed = bytes.get(..FIXED_BYTES)?;
    let reason_bytes = usize::from(u16::from_le_bytes([fixed[6], fixed[7]]));
    let reason_end = FIXED_BYTES + reason_bytes;
    let crc = bytes.get(reason_end..reason_end + 4)?;
    let is_whole = fixed[..4] == MAGIC
        && fixed[4..6] == VERSION.to_le_bytes()
        && crc32c::crc32c(&bytes[..reason_end]).to_le_bytes() == crc;
    if !is_whole {
        return None;
    }
    let header = Header::read(bytes.get(reason_end + 4..)?)?;
    let letter = DeadLetter {
        sequence: header.mark.sequence,
        reason: std::str::from_utf8(&bytes[FIXED_BYTES..reason_end]).ok()?.to_owned(),
        at: Timestamp(u64_at(fixed, 8).cast_signed().saturating_mul(1_000_000)),
        category: Category::Unknown,
        points: header.points,
        bytes: 0,
        attempts: header.attempts,
    };
    Some((letter, header, reason_end + 4 + HEADER_BYTES))
}

fn move_away(files: &dyn Files, path: &std::path::Path, dir: PathBuf) -> io::Result<()> {
    files.create_dir(&dir)?;
    let name = path.file_name().unwrap_or_default();
    files.rename(path, &dir.join(name))
}

fn name_of(sequence: u64) -> String {
    format!("{sequence:020}{SUFFIX}")
}

fn sequence_of(name: &str) -> Option<u64> {
    name.strip_suffix(SUFFIX)?.parse().ok()
}
