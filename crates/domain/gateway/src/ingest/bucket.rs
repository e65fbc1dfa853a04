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
    /// The bucket of the line before; most lines go where the one before went.
    last: usize,
    /// The body as it came, when it was compressed with gzip.
    gzip: Option<Bytes>,
}

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
    /// Still in the body, one behind the other.
    Body(Range<usize>),
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

/// Points that become one record, cut out.
pub(super) struct Part {
    pub(super) bytes: Bytes,
    pub(super) points: u32,
}

// === impl Buckets ===

impl Buckets {
    pub(super) fn new(body: Bytes, native: Encoding, piece_bytes_max: usize) -> Self {
        let (known, list) = (HashMap::default(), Vec::new());
        Buckets { body, native, piece_bytes_max, known, list, last: usize::MAX, gzip: None }
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
        let address = Address {
            destinations: destinations.iter().copied().collect(),
            header: header.map(Box::from),
        };
        let next = self.list.len();
        let at = *self.known.entry(address.clone()).or_insert(next);
        if at == next {
            let content = Content::Body(0..0);
            self.list.push(Bucket { address, content, pieces: Vec::new(), points: 0 });
        }
        self.last = at;
        at
    }

    /// Adds a line that stands in the body, with its line end.
    #[inline]
    pub(super) fn push_range(&mut self, bucket: usize, range: Range<usize>) {
        let body = &self.body;
        let bucket = &mut self.list[bucket];
        match &mut bucket.content {
            Content::Body(known) if known.start == known.end => *known = range.clone(),
            Content::Body(known) if known.end == range.start => known.end = range.end,
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

    /// Gives the buckets.
    pub(super) fn list(&self) -> &[Bucket] {
        &self.list
    }

    /// Gives the body as it came, when a bucket is the whole of it, unchanged, in one piece.
    pub(super) fn as_it_came(&self, bucket: &Bucket) -> Option<Bytes> {
        match &bucket.content {
            Content::Body(range) if bucket.pieces.len() == 1 && *range == (0..self.body.len()) => {
                self.gzip.clone()
            }
            _ => None,
        }
    }

    /// Cuts a bucket into what becomes records.
    pub(super) fn parts(&self, bucket: &Bucket) -> Vec<Part> {
        let all = match &bucket.content {
            Content::Body(range) => self.body.slice(range.clone()),
            Content::Copy(copy) => Bytes::copy_from_slice(copy),
            Content::Frozen(copy) => copy.clone(),
        };
        let mut start = 0;
        let pieces = bucket.pieces.iter().enumerate();
        pieces
            .map(|(at, piece)| {
                let is_last = at + 1 == bucket.pieces.len();
                let end = if is_last { all.len() } else { (start + piece.bytes).min(all.len()) };
                let part = Part { bytes: all.slice(start..end), points: piece.points };
                start = end;
                part
            })
            .collect()
    }
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
            Content::Body(range) => self.content = Content::Copy(body[range.clone()].to_vec()),
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
