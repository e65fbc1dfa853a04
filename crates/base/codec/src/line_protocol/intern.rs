//! The objects that points share: series, sets of tag keys, shapes.

use std::hash::{BuildHasher, Hasher};
use std::sync::Arc;

use levada_model::Str;
use levada_model::point::{Series, Shape, TagKeys};

use super::cache::Generations;
use super::rules;
use super::shared::SharedSeries;

/// The place of nothing.
const NOWHERE: u32 = u32::MAX;
/// What one entry costs besides its texts, roughly.
const ENTRY_BYTES: usize = 160;
/// What one text costs besides its bytes: two words to it, two counts before it.
const TEXT_BYTES: usize = 32;

/// Hashes bytes from the network; the seed differs from process to process.
#[derive(Clone, Debug, Default)]
pub(super) struct RawHasher(foldhash::fast::RandomState);

/// A database and a retention policy, with a number that stands for both.
#[derive(Debug)]
pub(super) struct Scope {
    pub(super) id: u64,
    pub(super) database: Str,
    pub(super) retention: Str,
}

/// A series as it was spelled once.
#[derive(Debug)]
pub(super) struct KnownSeries {
    scope: u64,
    raw: Box<[u8]>,
    pub(super) series: Arc<Series>,
    /// What its last point looked like.
    pub(super) guess: Option<Arc<KnownShape>>,
    /// Where the series is whose line came after that of this one.
    next: u32,
    /// It came there more than once.
    is_next_sure: bool,
    /// The quick way has found the end of `raw` once, so it always does.
    is_quick: bool,
}

/// A shape as its keys were spelled once.
#[derive(Debug)]
pub(super) struct KnownShape {
    /// Each key with the equals sign behind it.
    pub(super) keys: Box<[FieldKey]>,
    /// The length of the longest key.
    pub(super) longest: usize,
    /// Whether bytes that begin like a key are that key: nothing in it changes how a line is read.
    pub(super) is_plain: bool,
    pub(super) shape: Arc<Shape>,
}

/// The key of a field with the equals sign behind it.
#[derive(Debug)]
pub(super) struct FieldKey {
    text: Box<[u8]>,
    /// Its first bytes as a number: most keys are not longer.
    word: u64,
    /// Which bits of the number count.
    mask: u64,
}

/// Series under the bytes that stand before the first blank of a line.
#[derive(Debug)]
pub(super) struct SeriesTable {
    pub(super) known: Generations<KnownSeries>,
    tag_keys: Generations<Arc<TagKeys>>,
    /// Measurements: each point is asked for its own, so that of many series it should be in one place.
    names: Generations<Str>,
    hasher: RawHasher,
    /// Where the series of the last line is.
    last: u32,
    pub(super) misses: u64,
    /// What other parsers know.
    pub(super) shared: Option<SharedSeries>,
}

/// Shapes under their keys.
#[derive(Debug)]
pub(super) struct ShapeTable {
    pub(super) known: Generations<Arc<KnownShape>>,
    hasher: RawHasher,
}

// === impl RawHasher ===

impl RawHasher {
    #[inline(always)]
    fn hash(&self, seed: u64, bytes: &[u8]) -> u64 {
        let mut hasher = self.0.build_hasher();
        hasher.write_u64(seed);
        hasher.write(bytes);
        hasher.finish()
    }

    pub(super) fn hash_all<'t>(&self, texts: impl Iterator<Item = &'t [u8]>) -> u64 {
        let mut hasher = self.0.build_hasher();
        for text in texts {
            hasher.write_usize(text.len());
            hasher.write(text);
        }
        hasher.finish()
    }
}

// === impl SeriesTable ===

impl SeriesTable {
    pub(super) fn new(entries_max: usize, bytes_max: usize, hasher: RawHasher) -> Self {
        SeriesTable {
            known: Generations::new(entries_max, bytes_max),
            tag_keys: Generations::new(entries_max, bytes_max / 4),
            names: Generations::new(entries_max, bytes_max / 4),
            hasher,
            last: NOWHERE,
            misses: 0,
            shared: None,
        }
    }

    /// Gives the series whose line came after the last one before, and where it ends, when it is there again.
    ///
    /// Writers send their series in one order over and over, so most of them need not be looked for. In a body without
    /// order nothing is sure, so nothing is looked at in vain.
    #[inline(always)]
    pub(super) fn expected(&mut self, scope: u64, bytes: &[u8], at: usize) -> Option<(u32, usize)> {
        let last = self.known.at(self.last)?;
        if !last.is_next_sure {
            return None;
        }
        let place = last.next;
        let known = self.known.at(place)?;
        let end = at + known.raw.len();
        let is_there = known.is_quick
            && known.scope == scope
            && bytes.get(end) == Some(&b' ')
            && bytes[at..end] == *known.raw;
        if !is_there {
            return None;
        }
        self.last = place;
        Some((place, end))
    }

    /// Gives where the series is that is spelled so, if it is known, and notes that its line came after the last one;
    /// the quick way has found the end of `raw`.
    #[inline(always)]
    pub(super) fn place(&mut self, scope: u64, raw: &[u8]) -> Option<u32> {
        let hash = self.hasher.hash(scope, raw);
        let place = self.known.place(hash, |known| known.scope == scope && *known.raw == *raw)?;
        if let Some(last) = self.known.at(self.last) {
            last.is_next_sure = last.next == place;
            last.next = place;
        }
        self.known.at(place)?.is_quick = true;
        self.last = place;
        Some(place)
    }

    /// Gives the series that is spelled so, if it is known.
    #[inline(always)]
    pub(super) fn find(&mut self, scope: u64, raw: &[u8]) -> Option<&mut KnownSeries> {
        let hash = self.hasher.hash(scope, raw);
        self.known.find(hash, |known| known.scope == scope && *known.raw == *raw)
    }

    /// Gives the series that is spelled so; `raw` is well formed.
    ///
    /// Each spelling has an entry. All of them lead to the series of the one whose tags are sorted.
    pub(super) fn get(&mut self, scope: &Scope, raw: &[u8]) -> &mut KnownSeries {
        let hash = self.hasher.hash(scope.id, raw);
        let is_wanted = |known: &KnownSeries| known.scope == scope.id && *known.raw == *raw;
        if self.known.find(hash, is_wanted).is_none() {
            self.misses += 1;
            let series = self.make(scope, raw);
            return self.add(scope, hash, raw, series);
        }
        self.known.find(hash, is_wanted).expect("it was found right now")
    }

    fn make(&mut self, scope: &Scope, raw: &[u8]) -> Arc<Series> {
        let mut tags: Vec<(&[u8], &[u8])> = rules::raw_tags(raw).collect();
        let is_sorted = tags.is_sorted_by_key(|(name, _)| *name);
        let measurement = &raw[..rules::measurement_end(raw)];
        let mut sorted = Vec::new();
        if !is_sorted {
            tags.sort_unstable();
            sorted.extend_from_slice(measurement);
            for (name, value) in &tags {
                sorted.push(b',');
                sorted.extend_from_slice(name);
                sorted.push(b'=');
                sorted.extend_from_slice(value);
            }
            if let Some(known) = self.find(scope.id, &sorted) {
                return Arc::clone(&known.series);
            }
        }
        // The order of the escaped names need not be that of the names.
        let mut pairs: Vec<(Str, Str)> = tags
            .iter()
            .map(|(name, value)| (text(name, TAG_ESCAPES), text(value, TAG_ESCAPES)))
            .collect();
        pairs.sort_by(|one, other| one.0.cmp(&other.0));
        // Bytes that are not UTF-8 may make two names one.
        pairs.dedup_by(|later, first| later.0 == first.0);
        let (names, values): (Vec<Str>, Vec<Str>) = pairs.into_iter().unzip();
        let keys = self.tag_keys(names);
        let name = self.name(text(measurement, NAME_ESCAPES));
        let series = Series::with_keys(
            Arc::clone(&scope.database),
            Arc::clone(&scope.retention),
            name,
            keys,
            values.into(),
        );
        let series = match &self.shared {
            Some(shared) => shared.get(series),
            None => series,
        };
        if !is_sorted {
            let hash = self.hasher.hash(scope.id, &sorted);
            self.add(scope, hash, &sorted, Arc::clone(&series));
        }
        series
    }

    fn add(
        &mut self,
        scope: &Scope,
        hash: u64,
        raw: &[u8],
        series: Arc<Series>,
    ) -> &mut KnownSeries {
        let texts = 2 + series.values.len();
        let bytes = ENTRY_BYTES + 2 * raw.len() + texts * TEXT_BYTES;
        let known = KnownSeries {
            scope: scope.id,
            raw: raw.into(),
            series,
            guess: None,
            next: NOWHERE,
            is_next_sure: false,
            is_quick: false,
        };
        self.known.insert(hash, bytes, known)
    }

    fn tag_keys(&mut self, names: Vec<Str>) -> Arc<TagKeys> {
        let hash = self.hasher.hash_all(names.iter().map(|name| name.as_bytes()));
        if let Some(known) = self.tag_keys.find(hash, |known| *known.names == *names) {
            return Arc::clone(known);
        }
        let bytes = ENTRY_BYTES + names.iter().map(|name| name.len() + TEXT_BYTES).sum::<usize>();
        Arc::clone(self.tag_keys.insert(hash, bytes, TagKeys::new(names.into())))
    }

    fn name(&mut self, name: Str) -> Str {
        let hash = self.hasher.hash_all(std::iter::once(name.as_bytes()));
        if let Some(known) = self.names.find(hash, |known| **known == *name) {
            return Str::clone(known);
        }
        let bytes = ENTRY_BYTES + name.len() + TEXT_BYTES;
        Str::clone(self.names.insert(hash, bytes, name))
    }
}

// === impl ShapeTable ===

impl ShapeTable {
    pub(super) fn new(entries_max: usize, bytes_max: usize, hasher: RawHasher) -> Self {
        ShapeTable { known: Generations::new(entries_max, bytes_max), hasher }
    }

    /// Gives the shape whose keys, each with its equals sign, are spelled so, if it is known.
    pub(super) fn find<'t>(
        &mut self,
        keys: impl ExactSizeIterator<Item = &'t [u8]> + Clone,
    ) -> Option<&Arc<KnownShape>> {
        let hash = self.hasher.hash_all(keys.clone());
        let is_wanted = |known: &Arc<KnownShape>| {
            known.keys.len() == keys.len()
                && known.keys.iter().zip(keys.clone()).all(|(one, other)| *one.text == *other)
        };
        self.known.find(hash, is_wanted).map(|known| &*known)
    }

    /// Gives the shape whose keys are spelled so; no key is there twice.
    pub(super) fn get(&mut self, keys: &[&[u8]]) -> Arc<KnownShape> {
        let keys: Box<[Box<[u8]>]> =
            keys.iter().map(|key| [key, &b"="[..]].concat().into()).collect();
        if let Some(known) = self.find(keys.iter().map(|key| &**key)) {
            return Arc::clone(known);
        }
        let names = keys.iter().map(|key| text(&key[..key.len() - 1], NAME_ESCAPES)).collect();
        let bytes = keys.iter().map(|key| 2 * key.len() + 2 * TEXT_BYTES).sum::<usize>();
        let hash = self.hasher.hash_all(keys.iter().map(|key| &**key));
        let known = Arc::new(KnownShape {
            longest: keys.iter().map(|key| key.len() - 1).max().unwrap_or(0),
            is_plain: keys.iter().all(|key| is_plain(&key[..key.len() - 1])),
            keys: keys.into_iter().map(FieldKey::new).collect(),
            shape: Shape::new(names),
        });
        Arc::clone(self.known.insert(hash, ENTRY_BYTES + bytes, known))
    }
}

// === impl FieldKey ===

impl FieldKey {
    fn new(text: Box<[u8]>) -> Self {
        let mut word = [0; size_of::<u64>()];
        let mut mask = [0; size_of::<u64>()];
        for (at, byte) in text.iter().enumerate().take(word.len()) {
            (word[at], mask[at]) = (*byte, u8::MAX);
        }
        FieldKey { text, word: u64::from_le_bytes(word), mask: u64::from_le_bytes(mask) }
    }

    /// Gives its length, with the equals sign.
    #[inline(always)]
    pub(super) fn len(&self) -> usize {
        self.text.len()
    }

    /// Says whether it stands at a place.
    #[inline(always)]
    pub(super) fn stands_at(&self, bytes: &[u8], at: usize) -> bool {
        if self.text.len() <= size_of::<u64>()
            && let Some(Ok(word)) = bytes.get(at..at + size_of::<u64>()).map(<[u8; 8]>::try_from)
        {
            return u64::from_le_bytes(word) & self.mask == self.word;
        }
        bytes.get(at..).is_some_and(|rest| rest.starts_with(&self.text))
    }
}

/// What a backslash may stand before in the key or the value of a tag.
const TAG_ESCAPES: &[u8] = b", =";
/// What it may stand before in a measurement or the key of a field.
pub(super) const NAME_ESCAPES: &[u8] = b", =\"";

fn text(raw: &[u8], escaped: &[u8]) -> Str {
    rules::unescaped(raw, escaped).into()
}

/// Tells whether all steps of the server see the same in a key: it is not empty, and backslashes stand only
/// before what they are meant for.
fn is_plain(key: &[u8]) -> bool {
    if key.is_empty() {
        return false;
    }
    let mut bytes = key.iter();
    while let Some(byte) = bytes.next() {
        match byte {
            b'\\' if !matches!(bytes.next(), Some(b',' | b' ' | b'=')) => return false,
            b'"' | b'\n' | b',' | b' ' | b'=' => return false,
            _ => {}
        }
    }
    true
}
