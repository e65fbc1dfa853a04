//! Points on their way: those with the same destinations and the same header lie in one bucket.

use std::collections::HashMap;
use std::ops::Range;

use bytes::Bytes;
use foldhash::fast::RandomState;
use smallvec::SmallVec;

use super::{Coding, Write};
use crate::rules::DestinationId;
use crate::wal::Encoding;

/// The buckets of one body.
#[derive(Debug)]
pub struct Buckets {
    body: Bytes,
    /// How points are written in here: lines, or the messages of version 2, which hold more than lines.
    native: Encoding,
    piece_bytes_max: usize,
    known: HashMap<Address, usize, RandomState>,
    list: Vec<Bucket>,
    /// The bucket of each destination alone without a header, by its number.
    singles: Vec<u32>,
    /// The bucket of the line before; most lines go where the one before went.
    last: usize,
    /// The body as it came, when it was compressed with gzip.
    gzip: Option<Bytes>,
}

/// Stands for no bucket.
const NONE: u32 = u32::MAX;

/// Where the lines of a bucket go, and under which header.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(super) struct Address {
    pub(super) destinations: SmallVec<[DestinationId; 8]>,
    /// `X-Global-Tags`; one that is empty is another thing than none.
    pub(super) header: Option<Box<str>>,
}

/// Lines with the same address.
#[derive(Debug)]
pub(super) struct Bucket {
    pub(super) address: Address,
    content: Content,
    pieces: Vec<Piece>,
    points: u64,
}

/// Where lines are.
#[derive(Debug)]
enum Content {
    /// Still in the body, in order; ranges that touch are one.
    Body(SmallVec<[Range<usize>; 1]>),
    /// Copied.
    Copy(Vec<u8>),
    /// Copied, and complete.
    Frozen(Bytes),
}

/// Lines that become one record.
#[derive(Clone, Debug)]
struct Piece {
    bytes: usize,
    points: u32,
}

/// Points that become one record.
pub(super) struct Part {
    text: Bytes,
    /// What of the text, in order.
    ranges: SmallVec<[Range<usize>; 1]>,
    bytes: usize,
    pub(super) points: u32,
}

// === impl Buckets ===

impl Buckets {
    pub(super) fn new(body: Bytes, native: Encoding, piece_bytes_max: usize) -> Self {
        let (known, list) = (HashMap::default(), Vec::new());
        let (singles, last) = (Vec::new(), usize::MAX);
        Buckets { body, native, piece_bytes_max, known, list, singles, last, gzip: None }
    }

    /// Gives how points are written in here.
    pub(super) fn native(&self) -> Encoding {
        self.native
    }

    /// Gives the bucket of an address.
    #[inline]
    pub(super) fn find(&mut self, destinations: &[DestinationId], header: Option<&str>) -> usize {
        if let Some(last) = self.list.get(self.last)
            && *last.address.destinations == *destinations
            && last.address.header.as_deref() == header
        {
            return self.last;
        }
        self.find_other(destinations, header)
    }

    fn find_other(&mut self, destinations: &[DestinationId], header: Option<&str>) -> usize {
        // Most go to one destination and under no header: those are found by number.
        let single = match (destinations, header) {
            ([only], None) => Some(usize::from(*only)),
            _ => None,
        };
        let known = single.and_then(|only| self.singles.get(only)).copied().unwrap_or(NONE);
        if known != NONE {
            self.last = known as usize;
            return self.last;
        }
        let at = self.find_by_address(destinations, header);
        if let (Some(only), Ok(number)) = (single, u32::try_from(at)) {
            if self.singles.len() <= only {
                self.singles.resize(only + 1, NONE);
            }
            self.singles[only] = number;
        }
        self.last = at;
        at
    }

    fn find_by_address(&mut self, destinations: &[DestinationId], header: Option<&str>) -> usize {
        let address = Address {
            destinations: destinations.iter().copied().collect(),
            header: header.map(Box::from),
        };
        let next = self.list.len();
        let at = *self.known.entry(address.clone()).or_insert(next);
        if at == next {
            let content = Content::Body(SmallVec::new());
            self.list.push(Bucket { address, content, pieces: Vec::new(), points: 0 });
        }
        at
    }

    /// Adds a line that stands in the body, with its line end.
    #[inline]
    pub(super) fn push_range(&mut self, bucket: usize, range: Range<usize>) {
        let body = &self.body;
        let bucket = &mut self.list[bucket];
        match &mut bucket.content {
            Content::Body(known) => match known.last_mut() {
                Some(last) if last.end == range.start => last.end = range.end,
                _ => known.push(range.clone()),
            },
            _ => {
                let copy = bucket.copy(body);
                ended(copy);
                copy.extend_from_slice(&body[range.clone()]);
            }
        }
        bucket.add(range.len(), self.piece_bytes_max);
    }

    /// Adds a line with its line end, or a message.
    pub(super) fn push_point(&mut self, bucket: usize, point: &[u8]) {
        let bucket = &mut self.list[bucket];
        let copy = bucket.copy(&self.body);
        if self.native == Encoding::LineProtocol {
            ended(copy);
        }
        copy.extend_from_slice(point);
        bucket.add(point.len(), self.piece_bytes_max);
    }

    /// Gives the copies of points, one for each destination.
    pub(super) fn copies(&self) -> u64 {
        let copies = |it: &Bucket| it.points * it.address.destinations.len() as u64;
        self.list.iter().map(copies).sum()
    }

    /// Gives how many values of the header there are.
    pub(super) fn groups(&self) -> u64 {
        let headers: std::collections::BTreeSet<&str> =
            self.list.iter().filter_map(|bucket| bucket.address.header.as_deref()).collect();
        headers.len() as u64
    }

    /// Says that nothing more is added.
    pub(super) fn freeze(&mut self) {
        for bucket in &mut self.list {
            if let Content::Copy(copy) = &mut bucket.content {
                bucket.content = Content::Frozen(std::mem::take(copy).into());
            }
        }
    }

    /// Remembers how the body came, so that it can be sent so.
    pub(super) fn note_origin(&mut self, write: &Write) {
        if write.coding == Coding::Gzip {
            self.gzip = Some(write.body.clone());
        }
    }

    /// Gives up all lines; gives the text of the body, when it came compressed with gzip.
    pub(super) fn into_unpacked(self) -> Bytes {
        self.gzip.map_or_else(Bytes::new, |_| self.body)
    }

    /// Gives the buckets.
    pub(super) fn list(&self) -> &[Bucket] {
        &self.list
    }

    /// Gives the body as it came, when a bucket is the whole of it, unchanged, in one piece.
    pub(super) fn as_it_came(&self, bucket: &Bucket) -> Option<Bytes> {
        match &bucket.content {
            Content::Body(ranges) if bucket.pieces.len() == 1 => {
                let is_all = matches!(&ranges[..], [range] if *range == (0..self.body.len()));
                self.gzip.clone().filter(|_| is_all)
            }
            _ => None,
        }
    }

    /// Cuts a bucket into what becomes records; copies nothing.
    pub(super) fn parts(&self, bucket: &Bucket) -> Vec<Part> {
        let (text, ranges) = match &bucket.content {
            Content::Body(ranges) => (self.body.clone(), ranges.clone()),
            Content::Copy(copy) => (Bytes::copy_from_slice(copy), whole(copy.len())),
            Content::Frozen(copy) => (copy.clone(), whole(copy.len())),
        };
        let mut left = ranges.into_iter().peekable();
        let pieces = bucket.pieces.iter().enumerate();
        pieces
            .map(|(at, piece)| {
                let is_last = at + 1 == bucket.pieces.len();
                let wanted = if is_last { usize::MAX } else { piece.bytes };
                let (mut ranges, mut bytes) = (SmallVec::new(), 0);
                while bytes < wanted
                    && let Some(range) = left.peek_mut()
                {
                    let length = range.len().min(wanted - bytes);
                    ranges.push(range.start..range.start + length);
                    range.start += length;
                    bytes += length;
                    if range.start == range.end {
                        left.next();
                    }
                }
                Part { text: text.clone(), ranges, bytes, points: piece.points }
            })
            .collect()
    }
}

fn whole(bytes: usize) -> SmallVec<[Range<usize>; 1]> {
    SmallVec::from_elem(0..bytes, 1)
}

/// Makes the last line end; the last line of a body need not.
fn ended(copy: &mut Vec<u8>) {
    if copy.last().is_some_and(|last| *last != b'\n') {
        copy.push(b'\n');
    }
}

// === impl Bucket ===

impl Bucket {
    fn copy(&mut self, body: &Bytes) -> &mut Vec<u8> {
        match &self.content {
            Content::Body(ranges) => {
                let parts: Vec<&[u8]> = ranges.iter().map(|range| &body[range.clone()]).collect();
                self.content = Content::Copy(parts.concat());
            }
            Content::Frozen(copy) => self.content = Content::Copy(copy.to_vec()),
            Content::Copy(_) => {}
        }
        match &mut self.content {
            Content::Copy(copy) => copy,
            Content::Body(_) | Content::Frozen(_) => unreachable!("it was copied above"),
        }
    }

    #[inline]
    fn add(&mut self, bytes: usize, bytes_max: usize) {
        self.points += 1;
        match self.pieces.last_mut() {
            Some(piece) if piece.bytes + bytes <= bytes_max && piece.points < u32::MAX => {
                piece.bytes += bytes;
                piece.points += 1;
            }
            _ => self.pieces.push(Piece { bytes, points: 1 }),
        }
    }
}

// === impl Part ===

impl Part {
    /// Gives how many bytes it has.
    pub(super) fn len(&self) -> usize {
        self.bytes
    }

    /// Gives its text in pieces, in order.
    pub(super) fn slices(&self) -> impl Iterator<Item = &[u8]> {
        self.ranges.iter().map(|range| &self.text[range.clone()])
    }

    /// Gives its text in one piece. Where it is a small part of a larger text it is copied, so that the large one is not
    /// kept for its sake.
    pub(super) fn text(&self) -> Bytes {
        match &self.ranges[..] {
            [range] if range.len() >= self.text.len() / 2 => self.text.slice(range.clone()),
            _ => {
                let mut copy = Vec::with_capacity(self.bytes);
                self.slices().for_each(|slice| copy.extend_from_slice(slice));
                copy.into()
            }
        }
    }
}
