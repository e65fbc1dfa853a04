//! Batches as nearly all files have them, read without a copy of each text: names, tags and fields are compared with those
//! that were read before.
//!
//! What is out of the ordinary (kinds, escapes in keys, a name twice, anything wrong) is left to [`super::batch`], which
//! knows it all and says what is wrong. Both give the same for what both read.

use std::collections::HashMap;
use std::sync::Arc;

use foldhash::fast::RandomState;
use levada_model::tree::{NodeId, NodeKind, Tree};
use levada_model::{FieldValue, GroupKey, Point, Series, Shape, Str, TagKeys, Timestamp, Values};

use super::{RecordedBatch, RecordingError, batch as slow, key};

/// Spellings of tags that are remembered; with more all are forgotten.
const SERIES_MAX: usize = 100_000;
/// Bytes of a spelling that is remembered.
const SPELLING_BYTES_MAX: usize = 4 << 10;
/// Lists of fields that are remembered.
const SHAPES_MAX: usize = 64;
/// Bytes of a time up to its minute: `2026-03-01T10:00`.
const MINUTE_BYTES: usize = 16;

/// Reads batches.
#[derive(Debug, Default)]
pub(crate) struct Batches {
    tree: Tree,
    /// The measurement of the last batch.
    pub(super) name: Str,
    /// Tags as they were spelled, for the measurement at hand.
    pub(super) tags: HashMap<Box<[u8]>, Arc<Tags>, RandomState>,
    none: Option<Arc<Tags>>,
    /// The names of the last tags that were new; most series have the same.
    keys: Option<Arc<TagKeys>>,
    pub(super) shapes: Vec<Fields>,
    /// The place of the last shape.
    pub(super) shape: usize,
    /// The last minute as it was spelled, and the seconds at its beginning.
    minute: Option<([u8; MINUTE_BYTES], i64)>,
    /// Points of the last batch.
    pub(super) points: usize,
}

/// Tags that were read.
#[derive(Debug)]
pub(super) struct Tags {
    /// As they were spelled, when that is remembered.
    pub(super) spelling: Box<[u8]>,
    /// What a batch with them has, without its name.
    key: GroupKey,
    pub(super) series: Arc<Series>,
}

/// Fields that were read.
#[derive(Debug)]
pub(super) struct Fields {
    pub(super) shape: Arc<Shape>,
    /// What stands before the value of each: `"usage":`, `,"idle":`, ….
    pub(super) keys: Box<[Box<[u8]>]>,
}

/// The members of an object that are looked at.
struct Members<const COUNT: usize>([Option<NodeId>; COUNT]);

// === impl Batches ===

impl Batches {
    /// Reads one line; `None` for an empty batch, which recordings skip.
    pub(crate) fn read(&mut self, line: &[u8]) -> Result<Option<RecordedBatch>, RecordingError> {
        match self.quick(line) {
            Some(batch) => Ok(batch),
            None => slow(line),
        }
    }

    /// Reads one line; nothing when it is out of the ordinary.
    fn quick(&mut self, line: &[u8]) -> Option<Option<RecordedBatch>> {
        let line = line.trim_ascii_end();
        simdutf8::basic::from_utf8(line).ok()?;
        if let Some(batch) = self.straight(line) {
            return Some(Some(batch));
        }
        let mut tree = std::mem::take(&mut self.tree);
        tree.clear();
        let root = tree.parse(line, 0, u32::try_from(line.len()).ok()?).ok();
        let read = root.and_then(|root| self.batch(line, &tree, root));
        self.tree = tree;
        read
    }

    fn batch(&mut self, line: &[u8], tree: &Tree, root: NodeId) -> Option<Option<RecordedBatch>> {
        let names = [&b"name"[..], b"tags", b"points", b"tmax", b"byname", b"byName"];
        let Members([name, tags, points, tmax, by_name, by_name_too]) =
            Members::of(line, tree, root, names)?;
        let by_name = match (by_name, by_name_too) {
            (None, None) => false,
            (Some(one), None) | (None, Some(one)) => tree.kind(one) == NodeKind::True,
            (Some(_), Some(_)) => return None,
        };
        let name = name.and_then(|name| tree.string(line, name)).unwrap_or_default();
        if *self.name != *name {
            self.name = Str::from(&*name);
            self.tags.clear();
            self.none = None;
        }
        let tags = self.tags(line, tree, tags)?;
        let points = points.filter(|points| tree.kind(*points) != NodeKind::Null);
        let points = match points {
            Some(points) if tree.kind(points) == NodeKind::Array => points,
            Some(_) => return None,
            None => return Some(None),
        };
        let mut read = Vec::new();
        let mut last = i64::MIN;
        for point in tree.children(points) {
            let point = self.point(line, tree, point, &tags)?;
            last = last.max(point.time.0);
            read.push(point);
        }
        if read.is_empty() {
            return Some(None);
        }
        let tmax = tmax.filter(|tmax| tree.kind(*tmax) != NodeKind::Null);
        let time = match tmax {
            Some(tmax) => self.time(line, tree, tmax)?.max(last),
            None => last,
        };
        self.points = read.len();
        let key = tags.key(&self.name, by_name);
        let name = Str::clone(&self.name);
        Some(Some(RecordedBatch { name, key, time: Timestamp(time), points: read }))
    }

    fn point(
        &mut self,
        line: &[u8],
        tree: &Tree,
        point: NodeId,
        of_batch: &Arc<Tags>,
    ) -> Option<Point> {
        let names = [&b"fields"[..], b"tags", b"time", b"kinds"];
        let Members([fields, tags, time, kinds]) = Members::of(line, tree, point, names)?;
        if kinds.is_some() {
            return None;
        }
        let tags = tags.filter(|tags| tree.kind(*tags) != NodeKind::Null);
        let series = match tags {
            Some(_) => Arc::clone(&self.tags(line, tree, tags)?.series),
            None => Arc::clone(&of_batch.series),
        };
        let mut values = Values::new();
        let fields = fields.filter(|fields| tree.kind(*fields) != NodeKind::Null);
        let shape = match fields {
            Some(fields) if tree.kind(fields) == NodeKind::Object => {
                for field in tree.children(fields) {
                    values.push(value(line, tree, field)?);
                }
                self.shape(line, tree, fields, values.len())?
            }
            Some(_) => return None,
            None => Shape::new([].into()),
        };
        let time = Timestamp(self.time(line, tree, time?)?);
        Some(Point { series, shape, values, time })
    }

    fn shape(
        &mut self,
        line: &[u8],
        tree: &Tree,
        fields: NodeId,
        count: usize,
    ) -> Option<Arc<Shape>> {
        let is_it = |known: &Fields| {
            let names = &known.shape.names;
            names.len() == count
                && (tree.children(fields).zip(names))
                    .all(|(field, name)| tree.raw_key(line, field) == name.as_bytes())
        };
        if let Some(known) = self.shapes.get(self.shape).filter(|known| is_it(known)) {
            return Some(Arc::clone(&known.shape));
        }
        if let Some(at) = self.shapes.iter().position(is_it) {
            self.shape = at;
            return Some(Arc::clone(&self.shapes[at].shape));
        }
        let mut names: Vec<Str> = Vec::with_capacity(count);
        for field in tree.children(fields) {
            let name = plain_key(line, tree, field)?;
            if names.iter().any(|known| **known == *name) {
                return None;
            }
            names.push(name.into());
        }
        if self.shapes.len() >= SHAPES_MAX {
            self.shapes.clear();
        }
        self.shape = self.shapes.len();
        let fields = Fields::new(Shape::new(names.into()));
        let shape = Arc::clone(&fields.shape);
        self.shapes.push(fields);
        Some(shape)
    }

    fn tags(&mut self, line: &[u8], tree: &Tree, tags: Option<NodeId>) -> Option<Arc<Tags>> {
        let tags = tags.filter(|tags| tree.kind(*tags) != NodeKind::Null);
        let Some(tags) = tags else {
            if self.none.is_none() {
                self.none = Some(Arc::new(self.new_tags(&[], &[])));
            }
            return self.none.clone();
        };
        let (start, end) = tree.span(tags)?;
        let spelling = &line[start as usize..end as usize];
        if let Some(known) = self.tags.get(spelling) {
            return Some(Arc::clone(known));
        }
        if tree.kind(tags) != NodeKind::Object {
            return None;
        }
        let mut pairs: Vec<(Str, Str)> = Vec::new();
        for tag in tree.children(tags) {
            let (name, value) = (plain_key(line, tree, tag)?, tree.string(line, tag)?);
            pairs.push((name.into(), Str::from(&*value)));
        }
        pairs.sort();
        if pairs.windows(2).any(|pair| pair[0].0 == pair[1].0) {
            return None;
        }
        let is_short = spelling.len() <= SPELLING_BYTES_MAX;
        let read = Arc::new(self.new_tags(if is_short { spelling } else { &[] }, &pairs));
        if is_short {
            if self.tags.len() >= SERIES_MAX {
                self.tags.clear();
            }
            self.tags.insert(spelling.into(), Arc::clone(&read));
        }
        Some(read)
    }

    /// - `pairs`: sorted, no name twice.
    fn new_tags(&mut self, spelling: &[u8], pairs: &[(Str, Str)]) -> Tags {
        let (none, name) = (Str::default(), Str::clone(&self.name));
        let key = key(&name, pairs, false);
        let keys = self.keys_of(pairs);
        let values = pairs.iter().map(|(_, value)| Str::clone(value)).collect();
        let series = Series::with_keys(none.clone(), none, name, keys, values);
        Tags { spelling: spelling.into(), key, series }
    }

    /// Gives the object that all series with these names share: what is bound to it is found again.
    fn keys_of(&mut self, pairs: &[(Str, Str)]) -> Arc<TagKeys> {
        let names = pairs.iter().map(|(name, _)| name);
        if let Some(known) = self.keys.as_ref().filter(|known| known.names.iter().eq(names.clone()))
        {
            return Arc::clone(known);
        }
        let keys = TagKeys::new(names.cloned().collect());
        self.keys = Some(Arc::clone(&keys));
        keys
    }

    /// Reads a time like `2026-03-01T10:00:50.5Z`; nothing for all others that RFC 3339 knows.
    fn time(&mut self, line: &[u8], tree: &Tree, time: NodeId) -> Option<i64> {
        let (start, end) = tree.span(time).filter(|_| tree.kind(time) == NodeKind::String)?;
        self.spelled_time(&line[start as usize + 1..end as usize - 1])
    }

    /// Reads what stands between the quotes of such a time.
    pub(super) fn spelled_time(&mut self, text: &[u8]) -> Option<i64> {
        let (minute, rest) = text.split_first_chunk::<MINUTE_BYTES>()?;
        let (seconds, rest) = rest.split_first_chunk::<3>()?;
        let [b':', s1, s2] = seconds else { return None };
        let begun = match self.minute {
            Some((known, begun)) if known == *minute => begun,
            _ => {
                let begun = seconds_of_minute(minute)?;
                self.minute = Some((*minute, begun));
                begun
            }
        };
        let second = two(*s1, *s2)?;
        if second > 59 {
            return None;
        }
        let fraction = match rest {
            b"Z" => 0,
            [b'.', digits @ .., b'Z'] if (1..=9).contains(&digits.len()) => {
                let mut nanos = 0;
                for at in 0..9 {
                    nanos = nanos * 10 + digits.get(at).map_or(Some(0), |digit| one(*digit))?;
                }
                nanos
            }
            _ => return None,
        };
        Some((begun + second) * 1_000_000_000 + fraction)
    }
}

// === impl Fields ===

impl Fields {
    /// Takes a shape whose names were read from keys without escapes.
    fn new(shape: Arc<Shape>) -> Self {
        let key = |(place, name): (usize, &Str)| {
            let comma = if place == 0 { "" } else { "," };
            format!("{comma}\"{name}\":").into_bytes().into_boxed_slice()
        };
        let keys = shape.names.iter().enumerate().map(key).collect();
        Fields { shape, keys }
    }
}

// === impl Tags ===

impl Tags {
    pub(super) fn key(&self, name: &Str, by_name: bool) -> GroupKey {
        GroupKey { name: by_name.then(|| Str::clone(name)), ..self.key.clone() }
    }
}

// === impl Members ===

impl<const COUNT: usize> Members<COUNT> {
    /// Finds members by their names; nothing when one is there twice, is spelled with escapes, or it is no object.
    fn of(line: &[u8], tree: &Tree, object: NodeId, names: [&[u8]; COUNT]) -> Option<Self> {
        if tree.kind(object) != NodeKind::Object {
            return None;
        }
        let mut found = [None; COUNT];
        for member in tree.children(object) {
            let key = tree.raw_key(line, member);
            match names.iter().position(|name| *name == key) {
                Some(at) if found[at].is_some() => return None,
                Some(at) => found[at] = Some(member),
                None if key.contains(&b'\\') => return None,
                None => {}
            }
        }
        Some(Members(found))
    }
}

fn plain_key<'l>(line: &'l [u8], tree: &Tree, member: NodeId) -> Option<&'l str> {
    let key = tree.raw_key(line, member);
    std::str::from_utf8(key).ok().filter(|key| !key.contains('\\'))
}

fn value(line: &[u8], tree: &Tree, field: NodeId) -> Option<FieldValue> {
    match tree.kind(field) {
        NodeKind::Number => {
            let number: f64 = tree.literal(line, field)?.parse().ok()?;
            number.is_finite().then_some(FieldValue::Float(number))
        }
        NodeKind::String => Some(FieldValue::Str(Str::from(&*tree.string(line, field)?))),
        NodeKind::True => Some(FieldValue::Bool(true)),
        NodeKind::False => Some(FieldValue::Bool(false)),
        NodeKind::Null | NodeKind::Array | NodeKind::Object => None,
    }
}

/// Gives the seconds at the beginning of a minute like `2026-03-01T10:00`, of the years from 1970 to 2199.
fn seconds_of_minute(minute: &[u8; MINUTE_BYTES]) -> Option<i64> {
    let (date, clock) = minute.split_first_chunk::<10>()?;
    let [b'T', h1, h2, b':', m1, m2] = clock else { return None };
    let (hour, minute) = (two(*h1, *h2)?, two(*m1, *m2)?);
    if hour > 23 || minute > 59 {
        return None;
    }
    Some(seconds_of(date)? + hour * 3_600 + minute * 60)
}

/// Gives the seconds at the beginning of a day like `2026-03-01`, of the years from 1970 to 2199.
fn seconds_of(date: &[u8; 10]) -> Option<i64> {
    let [y1, y2, y3, y4, b'-', m1, m2, b'-', d1, d2] = *date else { return None };
    let (year, month, day) = (two(y1, y2)? * 100 + two(y3, y4)?, two(m1, m2)?, two(d1, d2)?);
    let is_leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    let length = match month {
        2 => 28 + i64::from(is_leap),
        4 | 6 | 9 | 11 => 30,
        1..=12 => 31,
        _ => return None,
    };
    if !(1970..2200).contains(&year) || !(1..=length).contains(&day) {
        return None;
    }
    // Years that begin in March, so that the leap day is the last one.
    let (year, month) = if month > 2 { (year, month - 3) } else { (year - 1, month + 9) };
    let days = 365 * year + year / 4 - year / 100 + year / 400 + (153 * month + 2) / 5 + day - 1;
    // Days from 0000-03-01 to 1970-01-01.
    Some((days - 719_468) * 86_400)
}

fn two(first: u8, second: u8) -> Option<i64> {
    Some(one(first)? * 10 + one(second)?)
}

fn one(digit: u8) -> Option<i64> {
    digit.is_ascii_digit().then(|| i64::from(digit - b'0'))
}

#[cfg(test)]
mod tests;
