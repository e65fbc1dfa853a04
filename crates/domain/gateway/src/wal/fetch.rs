//! Reads waiting records back, and gets around damage.

use std::io::{self, IoSlice};
use std::sync::Arc;

use super::engine::{Engine, lock, quarantine_dir};
use super::error::StorageError;
use super::files::Handle;
use super::ledger::DropReason;
use super::record::{HEADER_BYTES, Header, Mark, Record};
use super::segment::{self, Found, SEGMENT_HEADER_BYTES, SegmentHeader, Want, offset_of};
use super::state::{Fetch, Oldest, Taken};

/// Bytes copied to the quarantine at once.
const COPY_BYTES: usize = 64 << 10;

/// Open segments; one for each lane.
#[derive(Default)]
pub(super) struct Reader {
    open: [Option<Open>; 2],
}

struct Open {
    first: u64,
    handle: Arc<dyn Handle>,
    /// The position of its first record; `None` when nothing in the file tells.
    origin: Option<u64>,
}

/// Where the segments around a record begin.
#[derive(Clone, Copy)]
struct Around {
    /// That of the record.
    this: Option<u64>,
    /// The one behind it.
    next: Option<u64>,
    tail: Mark,
}

/// What was found at a place of the log.
enum Located {
    Record(Header, Record),
    /// Its header, when no more was asked for.
    Header(Header),
    /// Nothing readable up to a place.
    Damage(Mark),
    /// The segment was removed meanwhile.
    Moved,
}

// === impl Reader ===

impl Reader {
    /// Closes a segment that is gone, so that its space is free.
    pub(super) fn forget(&mut self, first: u64) {
        for slot in &mut self.open {
            if slot.as_ref().is_some_and(|open| open.first == first) {
                *slot = None;
            }
        }
    }
}

// === impl Engine ===

impl Engine {
    /// Reads one record ahead; tells whether there was one to read.
    pub(super) fn fetch_one(&self) -> Result<bool, StorageError> {
        let mut reader = lock(&self.reader);
        let (fetch, around) = {
            let inner = &mut *self.inner();
            let Some(fetch) = inner.state.next_fetch(self.now()) else { return Ok(false) };
            (fetch, inner.around(fetch.at))
        };
        match self.locate(&mut reader, &fetch, around, Want::Record)? {
            Located::Record(header, record) => {
                let inner = &mut *self.inner();
                inner.io.reads += 1;
                inner.state.fetched(Taken {
                    mark: header.mark,
                    after: header.after(),
                    record,
                    attempts: header.attempts,
                    lane: fetch.lane,
                    is_from_disk: true,
                });
            }
            Located::Damage(end) => self.give_up_damage(&mut reader, &fetch, around, end),
            Located::Header(_) | Located::Moved => {}
        }
        Ok(true)
    }

    /// Drops the oldest record that nobody holds; tells whether there was one that may be dropped.
    pub(super) fn drop_one_oldest(&self, reason: DropReason) -> bool {
        self.drop_oldest_if(reason, |_| true)
    }

    /// Drops the oldest record if it has waited longer than it may.
    pub(super) fn drop_one_expired(&self) -> bool {
        let today = self.today();
        self.drop_oldest_if(DropReason::Expired, |packed_at| {
            self.inner().state.is_too_old(packed_at, today)
        })
    }

    fn drop_oldest_if(
        &self,
        reason: DropReason,
        is_wanted: impl Fn(levada_model::Timestamp) -> bool,
    ) -> bool {
        let is_expiry = reason == DropReason::Expired;
        let mut reader = lock(&self.reader);
        loop {
            let (fetch, around) = {
                let inner = &mut *self.inner();
                match inner.state.oldest() {
                    Oldest::None => return false,
                    Oldest::Known => {
                        let today = self.today();
                        return inner.state.drop_oldest(reason, |state, record| {
                            if is_expiry {
                                state.is_expired(record, today)
                            } else {
                                super::engine::may_drop(state, record)
                            }
                        });
                    }
                    Oldest::Unread(fetch) => (fetch, inner.around(fetch.at)),
                }
            };
            let keeps_some = self.settings.never_dropped != super::Categories::default();
            let want = if keeps_some && !is_expiry { Want::Record } else { Want::Header };
            let located = match self.locate(&mut reader, &fetch, around, want) {
                Ok(located) => located,
                Err(error) => {
                    tracing::warn!(%error, source = %error.source, "cannot read the oldest record");
                    self.inner().io.read_failures += 1;
                    return false;
                }
            };
            let header = match located {
                Located::Record(_, record)
                    if self.settings.never_dropped.contains(record.category) =>
                {
                    return false;
                }
                Located::Record(header, _) | Located::Header(header) => header,
                Located::Damage(end) => {
                    self.give_up_damage(&mut reader, &fetch, around, end);
                    return true;
                }
                Located::Moved => continue,
            };
            if !is_wanted(header.packed_at()) {
                return false;
            }
            let state = &mut self.inner().state;
            state.give_up(header.mark, header.after(), reason);
            // Only the header was read, and the category stands behind it.
            state.count_expired(reason, levada_model::Category::Unknown);
            return true;
        }
    }

    fn locate(
        &self,
        reader: &mut Reader,
        fetch: &Fetch,
        around: Around,
        want: Want,
    ) -> Result<Located, StorageError> {
        let (at, stop) = (fetch.at, fetch.stop);
        let is_within = |mark: Mark| {
            mark.sequence > at.sequence
                && mark.points >= at.points
                && mark.position > at.position
                && mark.sequence <= stop.sequence
                && mark.points <= stop.points
                && mark.position <= stop.position
        };
        // Up to the first segment behind it that tells where it begins.
        let damage = |reader: &mut Reader| -> Result<Located, StorageError> {
            let mut next = around.next;
            while let Some(first) = next.filter(|next| *next < stop.sequence) {
                let mark = self.first_mark(reader, fetch, first)?;
                if let Some(mark) = mark.filter(|mark| is_within(*mark)) {
                    return Ok(Located::Damage(mark));
                }
                next = self.inner().state.segments.range(first + 1..).next().copied();
            }
            Ok(Located::Damage(stop))
        };
        let Some(this) = around.this else { return damage(reader) };
        let (handle, origin) = match self.open_segment(reader, fetch, this)? {
            Some(open) => (Arc::clone(&open.handle), open.origin),
            None if !self.inner().state.segments.contains(&this) => return Ok(Located::Moved),
            None => return damage(reader),
        };
        let Some((origin, offset)) = origin.and_then(|o| Some((o, offset_of(at, o)?))) else {
            return damage(reader);
        };
        let end = self.end_of(&*handle, around, origin);
        let found = segment::read(&*handle, offset, end, want).unwrap_or(Found::Nothing);
        let from = match found {
            Found::Record(header, record) if header.mark == at && is_within(header.after()) => {
                return Ok(Located::Record(header, record));
            }
            Found::Header(header)
                if header.mark == at && !header.is_end() && is_within(header.after()) =>
            {
                if want == Want::Header {
                    return Ok(Located::Header(header));
                }
                return Ok(Located::Damage(header.after()));
            }
            Found::Record(..) | Found::Header(_) | Found::Nothing => offset + 1,
        };
        let is_wanted = |offset: u64, header: &Header| {
            offset_of(header.mark, origin) == Some(offset) && is_within(header.mark)
        };
        match segment::search(&*handle, from, end, is_wanted) {
            Ok(Some((_, header))) => Ok(Located::Damage(header.mark)),
            Ok(None) | Err(_) => damage(reader),
        }
    }

    /// Gives where the records of a segment end.
    fn end_of(&self, handle: &dyn Handle, around: Around, origin: u64) -> u64 {
        let size = handle.size().unwrap_or(u64::MAX);
        match around.next {
            Some(_) => size,
            None => offset_of(around.tail, origin).map_or(size, |end| end.min(size)),
        }
    }

    fn open_segment<'r>(
        &self,
        reader: &'r mut Reader,
        fetch: &Fetch,
        first: u64,
    ) -> Result<Option<&'r Open>, StorageError> {
        let slot = &mut reader.open[fetch.lane.index()];
        if slot.as_ref().is_none_or(|open| open.first != first) {
            *slot = open_segment(self, first)?;
        }
        Ok(slot.as_ref())
    }

    /// Gives the place of the first record of a segment.
    fn first_mark(
        &self,
        reader: &mut Reader,
        fetch: &Fetch,
        first: u64,
    ) -> Result<Option<Mark>, StorageError> {
        let Some(open) = self.open_segment(reader, fetch, first)? else { return Ok(None) };
        // What cannot be read does not tell.
        Ok(first_mark_of(&*open.handle, first).unwrap_or(None))
    }

    fn give_up_damage(&self, reader: &mut Reader, fetch: &Fetch, around: Around, end: Mark) {
        let kept = self.quarantine(reader, fetch, around, end);
        let inner = &mut *self.inner();
        let points = inner.state.give_up(fetch.at, end, DropReason::Corrupt);
        inner.io.damaged_regions += 1;
        inner.io.quarantined_bytes += kept;
        tracing::error!(
            destination = self.place.destination,
            first = fetch.at.sequence,
            end = end.sequence,
            points,
            "waiting records are damaged; what is left of them is in the quarantine"
        );
    }

    /// Keeps the bytes of a damaged region for people; gives how many.
    fn quarantine(&self, reader: &mut Reader, fetch: &Fetch, around: Around, end: Mark) -> u64 {
        let budget = {
            let inner = self.inner();
            self.settings.quarantine_bytes_max.saturating_sub(inner.io.quarantined_bytes)
        };
        let Some(this) = around.this else { return 0 };
        let Ok(Some(open)) = self.open_segment(reader, fetch, this) else { return 0 };
        let size = open.handle.size().unwrap_or(0);
        let (from, to) = match open.origin {
            Some(origin) => {
                (offset_of(fetch.at, origin).unwrap_or(0), offset_of(end, origin).unwrap_or(size))
            }
            None => (0, size),
        };
        let to = to.min(size);
        if from >= to || budget < to - from {
            return 0;
        }
        let name = format!("{:020}-{from}.bad", fetch.at.sequence);
        match self.copy(&*open.handle, from, to, &name) {
            Ok(()) => to - from,
            Err(error) => {
                tracing::warn!(%error, name, "cannot keep a damaged region");
                0
            }
        }
    }

    fn copy(&self, from: &dyn Handle, start: u64, end: u64, name: &str) -> io::Result<()> {
        let dir = quarantine_dir(&self.place);
        self.place.files.create_dir(&dir)?;
        let file = self.place.files.create(&dir.join(name), 0)?;
        let mut buffer = vec![0; COPY_BYTES];
        let mut at = start;
        while at < end {
            let length = usize::try_from(end - at).map_or(COPY_BYTES, |left| left.min(COPY_BYTES));
            let read = from.read_at(at, &mut buffer[..length])?;
            if read == 0 {
                break;
            }
            file.write_at(at - start, &mut [IoSlice::new(&buffer[..read])])?;
            at += read as u64;
        }
        Ok(())
    }
}

impl super::engine::Inner {
    fn around(&self, at: Mark) -> Around {
        let segments = &self.state.segments;
        Around {
            this: segments.range(..=at.sequence).next_back().copied(),
            next: segments.range(at.sequence + 1..).next().copied(),
            tail: self.state.tail,
        }
    }
}

fn open_segment(engine: &Engine, first: u64) -> Result<Option<Open>, StorageError> {
    let path = engine.place.path_of(first);
    let handle = match engine.place.files.open(&path) {
        Ok(handle) => handle,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(engine.place.error("open", &path, error)),
    };
    let origin = first_mark_of(&*handle, first).ok().flatten().map(|mark| mark.position);
    Ok(Some(Open { first, handle, origin }))
}

/// Finds out where a segment begins; from its records when its header is damaged.
pub(super) fn first_mark_of(handle: &dyn Handle, first: u64) -> io::Result<Option<Mark>> {
    if let Ok(header) = SegmentHeader::read(handle)?
        && header.first.sequence == first
        && header.first.is_believable()
    {
        return Ok(Some(header.first));
    }
    let end = handle.size()?;
    let is_wanted = |offset: u64, header: &Header| {
        let before = offset - SEGMENT_HEADER_BYTES;
        let records_max = before / HEADER_BYTES as u64;
        header.mark.sequence >= first
            && header.mark.sequence - first <= records_max
            && header.mark.is_believable()
            && header.mark.position >= before
            && header.stored_bytes() <= end - offset
    };
    let from = SEGMENT_HEADER_BYTES;
    let found = segment::search(handle, from, end.max(HEADER_BYTES as u64), is_wanted)?;
    Ok(found.map(|(offset, header)| {
        if first == 0 {
            return Mark::default();
        }
        // When records are missing in front of it, their points are unknown and count as those of the segment before.
        let position = header.mark.position - (offset - SEGMENT_HEADER_BYTES);
        Mark { sequence: first, points: header.mark.points, position }
    }))
}
