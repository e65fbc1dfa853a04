//! Opens a log after whatever happened to it.
//!
//! Only the last segment is read, and the cursor; of what waits before, nothing is, so that opening takes as long as one
//! segment at most. Damage in the middle is found when it is read.

use std::collections::BTreeSet;
use std::io;
use std::sync::{Arc, Mutex};

use levada_runtime::Clock;

use super::cursor::{
    self, CURSOR_BYTES_MAX, CURSOR_DAMAGED_FILE, CURSOR_FILE, CURSOR_NEW_FILE, Cursor, CursorError,
};
use super::dead_letter::DeadLetters;
use super::engine::{Engine, Inner, quarantine_dir};
use super::error::{OpenError, StorageError};
use super::fetch::{Reader, first_mark_of};
use super::files::{Handle, read_all};
use super::intake::Intake;
use super::ledger::{DropReason, Ledger};
use super::log::{Active, Log, Place};
use super::ranges::Ranges;
use super::record::{Header, Mark};
use super::segment::{
    self, Found, SEGMENT_HEADER_BYTES, SegmentHeader, SegmentHeaderError, Want, first_of, offset_of,
};
use super::settings::{Keep, QueueSettings, Sync};
use super::state::State;
use super::stats::IoStats;
use super::upkeep::{RESERVE_FILE, Upkeep};

/// The end of a log.
#[derive(Default)]
struct End {
    tail: Mark,
    /// The segment to go on with.
    active: Option<(u64, Arc<dyn Handle>, u64)>,
    torn_bytes: u64,
}

/// What a look through the last segment gives.
struct Scan {
    tail: Mark,
    offset: u64,
    is_sealed: bool,
}

// === impl Engine ===

impl Engine {
    /// Opens the log in a folder, which is made when it does not exist.
    pub(super) fn open(
        place: Place,
        settings: QueueSettings,
        clock: Arc<dyn Clock>,
    ) -> Result<Engine, OpenError> {
        if settings.keep == Keep::Memory {
            let state =
                State::new(settings.clone(), Mark::default(), Ranges::default(), Ledger::default());
            return Ok(Engine::new(place, settings, clock, state, End::default(), false));
        }
        let mut listed = list(&place)?;
        let cursor = read_cursor(&place)?;
        let end = find_end(&place, &settings, &mut listed.segments)?;
        let cursor = cursor.filter(|cursor| {
            let is_known = fits(cursor, &end);
            if !is_known {
                tracing::error!(
                    destination = place.destination,
                    "the cursor is not that of this log"
                );
            }
            is_known
        });
        let is_new = cursor.is_none();
        let cursor = match cursor {
            Some(cursor) => cursor,
            None => from_segments(&place, &listed.segments, &end)?,
        };
        let lost = (end.tail, cursor.tail);
        let is_lost = cursor.tail.sequence > end.tail.sequence;
        let tail = if is_lost { cursor.tail } else { end.tail };
        let mut state = State::new(settings.clone(), tail, cursor.finished, cursor.ledger);
        if is_lost {
            let points = state.give_up(lost.0, lost.1, DropReason::Lost);
            if points > 0 {
                tracing::error!(
                    destination = place.destination,
                    points,
                    "points were lost that had not been flushed when the machine stopped"
                );
            }
        }
        state.segments = listed.segments;
        // Written anew, so that segments are removed whose end the process before did not come to.
        state.is_cursor_old = !is_new || tail.sequence > 0;
        let has_reserve = listed.reserve.is_some_and(|bytes| bytes >= settings.reserve_bytes);
        let end = if is_lost { End { tail, active: None, ..end } } else { end };
        let engine = Engine::new(place, settings, clock, state, end, has_reserve);
        engine.find_letters().map_err(|error| storage(&engine.place, error))?;
        Ok(engine)
    }

    fn new(
        place: Place,
        settings: QueueSettings,
        clock: Arc<dyn Clock>,
        state: State,
        end: End,
        has_reserve: bool,
    ) -> Engine {
        let begun = clock.monotonic();
        let active =
            end.active.map(|(first, handle, offset)| Active { first, handle, offset, begun });
        let io = IoStats { torn_bytes: end.torn_bytes, ..IoStats::default() };
        Engine {
            log: Mutex::new(Log::new(place.clone(), state.tail, active)),
            upkeep: Mutex::new(Upkeep::new(has_reserve)),
            reader: Mutex::new(Reader::default()),
            inner: Mutex::new(Inner {
                state,
                intake: Intake::default(),
                letters: DeadLetters::default(),
                new_letters: Vec::new(),
                unflushed: Vec::new(),
                is_dir_unflushed: false,
                io,
                reserved_bytes: 0,
                is_stalled: false,
                is_closed: false,
            }),
            settings,
            place,
            clock,
        }
    }
}

/// What is in the folder.
struct Listed {
    segments: BTreeSet<u64>,
    reserve: Option<u64>,
}

fn list(place: &Place) -> Result<Listed, OpenError> {
    let dir = &place.dir;
    let failed = |action, error| storage(place, place.error(action, dir, error));
    place.files.create_dir(dir).map_err(|error| failed("make", error))?;
    if let Some(parent) = dir.parent()
        && let Err(error) = place.files.sync_dir(parent)
    {
        // Others may own it; then the folder is durable when they say so.
        tracing::debug!(%error, path = %parent.display(), "cannot flush the folder above a queue");
    }
    let files = place.files.list(dir).map_err(|error| failed("list", error))?;
    let mut listed = Listed { segments: BTreeSet::new(), reserve: None };
    for (name, bytes) in files {
        if let Some(first) = first_of(&name) {
            listed.segments.insert(first);
        } else if name == RESERVE_FILE {
            listed.reserve = Some(bytes);
        } else if name == CURSOR_NEW_FILE {
            let new = dir.join(CURSOR_NEW_FILE);
            place.files.remove(&new).map_err(|error| failed("remove", error))?;
        }
    }
    Ok(listed)
}

fn read_cursor(place: &Place) -> Result<Option<Cursor>, OpenError> {
    let path = place.dir.join(CURSOR_FILE);
    let bytes = match read_all(&*place.files, &path, CURSOR_BYTES_MAX) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) if error.kind() == io::ErrorKind::InvalidData => Vec::new(),
        Err(error) => return Err(storage(place, place.error("read", &path, error))),
    };
    match cursor::read(&bytes) {
        Ok(cursor) => Ok(Some(cursor)),
        Err(CursorError::Version(version)) => Err(OpenError::Version { path, version }),
        Err(CursorError::Damaged) => {
            tracing::error!(
                path = %path.display(),
                "the cursor is damaged; everything in the log is sent again"
            );
            let aside = place.dir.join(CURSOR_DAMAGED_FILE);
            place
                .files
                .rename(&path, &aside)
                .map_err(|error| storage(place, place.error("move", &path, error)))?;
            Ok(None)
        }
    }
}

/// Tells whether the cursor can be that of a log with this end.
fn fits(cursor: &Cursor, end: &End) -> bool {
    let (tail, end) = (cursor.tail, end.tail);
    match tail.sequence.cmp(&end.sequence) {
        std::cmp::Ordering::Equal => tail == end,
        std::cmp::Ordering::Less => tail.points <= end.points && tail.position < end.position,
        std::cmp::Ordering::Greater => {
            tail.points >= end.points && tail.position > end.position && cursor.finished.admits(end)
        }
    }
}

/// Makes a cursor from the log alone: nothing in it is finished, and what was before it counts as delivered.
fn from_segments(place: &Place, segments: &BTreeSet<u64>, end: &End) -> Result<Cursor, OpenError> {
    let mut start = end.tail;
    for first in segments {
        let path = place.path_of(*first);
        let mark = place.files.open(&path).and_then(|handle| first_mark_of(&*handle, *first));
        let mark = mark.map_err(|error| storage(place, place.error("read", &path, error)))?;
        let is_before = |mark: &Mark| {
            mark.sequence <= end.tail.sequence
                && mark.points <= end.tail.points
                && mark.position <= end.tail.position
        };
        if let Some(mark) = mark.filter(is_before) {
            start = mark;
            break;
        }
    }
    let ledger = Ledger { delivered: start.points, ..Ledger::default() };
    Ok(Cursor { tail: end.tail, finished: Ranges::before(start), ledger })
}

/// Finds the end of the log, and cuts off what a crash left of an interrupted write.
fn find_end(
    place: &Place,
    settings: &QueueSettings,
    segments: &mut BTreeSet<u64>,
) -> Result<End, OpenError> {
    let mut torn_bytes = 0;
    while let Some(first) = segments.last().copied() {
        let path = place.path_of(first);
        let failed = |action, error| storage(place, place.error(action, &path, error));
        let handle = place.files.open(&path).map_err(|error| failed("open", error))?;
        let has_header = check_header(place, &path, &*handle).map_err(|error| match error {
            HeaderError::Open(error) => error,
            HeaderError::Io(error) => failed("read", error),
        })?;
        let size = handle.size().map_err(|error| failed("read", error))?;
        let start = first_mark_of(&*handle, first).map_err(|error| failed("read", error))?;
        let scan = start.map(|start| scan(&*handle, start, size));
        // Without a header, only a whole record tells where the log is.
        let Some(scan) = scan.filter(|scan| has_header || scan.tail.sequence > first) else {
            // It was begun, and nothing of it came to the disk.
            torn_bytes += size;
            segments.remove(&first);
            put_aside(place, &path, size).map_err(|error| failed("move", error))?;
            continue;
        };
        if !scan.is_sealed && size > scan.offset {
            torn_bytes += size - scan.offset;
            handle.truncate(scan.offset).map_err(|error| failed("cut", error))?;
        }
        if settings.sync != Sync::None {
            handle.sync().map_err(|error| failed("flush", error))?;
        }
        let active = (!scan.is_sealed).then_some((first, handle, scan.offset));
        return Ok(End { tail: scan.tail, active, torn_bytes });
    }
    Ok(End { torn_bytes, ..End::default() })
}

enum HeaderError {
    Open(OpenError),
    Io(io::Error),
}

/// Tells whether the header can be read.
fn check_header(
    place: &Place,
    path: &std::path::Path,
    handle: &dyn Handle,
) -> Result<bool, HeaderError> {
    let path = path.to_owned();
    match SegmentHeader::read(handle).map_err(HeaderError::Io)? {
        Err(SegmentHeaderError::Version(version)) => {
            Err(HeaderError::Open(OpenError::Version { path, version }))
        }
        Ok(header) if header.destination != SegmentHeader::kept_name(&place.destination) => {
            Err(HeaderError::Open(OpenError::Foreign {
                path: place.dir.clone(),
                destination: place.destination.clone(),
                found: header.destination,
            }))
        }
        Ok(_) => Ok(true),
        // Its records tell the same.
        Err(SegmentHeaderError::Damaged) => Ok(false),
    }
}

/// Looks for the last whole record.
fn scan(handle: &dyn Handle, start: Mark, size: u64) -> Scan {
    let origin = start.position;
    let mut good = Scan { tail: start, offset: SEGMENT_HEADER_BYTES, is_sealed: false };
    let (mut mark, mut offset) = (start, SEGMENT_HEADER_BYTES);
    loop {
        let found = segment::read(handle, offset, size, Want::Record).unwrap_or(Found::Nothing);
        match found {
            Found::Record(header, _) if header.mark == mark => {
                mark = header.after();
                offset += header.stored_bytes();
                good = Scan { tail: mark, offset, is_sealed: false };
                continue;
            }
            Found::Header(header) if header.mark == mark && header.is_end() => {
                return Scan { is_sealed: true, tail: mark, offset };
            }
            _ => {}
        }
        // Either the end, or damage with something behind it.
        let is_wanted = |offset: u64, header: &Header| {
            offset_of(header.mark, origin) == Some(offset)
                && header.mark.sequence > mark.sequence
                && header.mark.points >= mark.points
                && header.mark.is_believable()
        };
        match segment::search(handle, offset + 1, size, is_wanted) {
            Ok(Some((at, header))) => (mark, offset) = (header.mark, at),
            Ok(None) | Err(_) => return good,
        }
    }
}

fn put_aside(place: &Place, path: &std::path::Path, size: u64) -> io::Result<()> {
    if size <= SEGMENT_HEADER_BYTES {
        return place.files.remove(path);
    }
    let dir = quarantine_dir(place);
    place.files.create_dir(&dir)?;
    place.files.rename(path, &dir.join(path.file_name().unwrap_or_default()))
}

fn storage(place: &Place, source: StorageError) -> OpenError {
    OpenError::Storage { destination: place.destination.clone(), source }
}
