//! Many filters at once: which of a hundred sinkers want a point, without asking a hundred times.
//!
//! ```text
//! { tenant = 'a', … }      ─┐
//! { tenant = 'b', … }       ├─ tenant ─▶ 'a' ▶ statements that can only be true with it
//! { tenant in ['a','c'] }  ─┘            'b' ▶ …
//! { load > 5 }             ─── the rest: evaluated for every point
//! ```
//! Of every statement one element that asks for a text is chosen, the one whose texts the fewest other statements ask
//! for. A point looks up its own value of that key and meets only the statements that could match.

use std::collections::HashMap;

use foldhash::fast::RandomState;

use super::ast::Literal;
use super::clause::{Clause, Look, Rule};
use super::lookup::{Key, Lookup, Value};
use super::test::Test;
use super::{Compat, Filter, FilterList};

/// Lists of filters, each with a number, of which all that match are wanted.
///
/// The filters must share their [`Keys`](super::Keys) when the points are looked up by number.
#[derive(Clone, Debug, Default)]
pub struct FilterIndex {
    targets: Vec<FilterList>,
    keys: Vec<IndexedKey>,
    rest: Vec<Place>,
}

/// A key by whose value statements are found.
#[derive(Clone, Debug)]
struct IndexedKey {
    compat: Compat,
    key: Key,
    by_text: HashMap<Box<str>, Vec<Place>, RandomState>,
}

/// Where a statement is.
#[derive(Clone, Copy, Debug)]
struct Place {
    target: u32,
    filter: u32,
    statement: u32,
    /// The part of the statement that is true for the points that it was found for, and need not be evaluated.
    found_by: Option<u32>,
}

/// A key and the texts of which it must have one.
struct Anchor<'f> {
    key: &'f Key,
    texts: Vec<&'f str>,
    /// Whether nothing else is asked for.
    is_all: bool,
}

/// How often a text is asked for, by mode, key and text.
type Counts<'f> = HashMap<(&'static str, &'f str, &'f str), usize, RandomState>;

// === impl FilterIndex ===

impl FilterIndex {
    /// Makes an index; the number of a list is its place.
    pub fn new(targets: Vec<FilterList>) -> Self {
        let mut counts = Counts::default();
        for (_, filter, statement) in statements(&targets) {
            for (anchor, _) in anchors_of_parts(filter, statement) {
                for text in anchor.texts {
                    *counts.entry((filter.compat.name(), &anchor.key.name, text)).or_default() += 1;
                }
            }
        }
        let (mut keys, mut rest): (Vec<IndexedKey>, Vec<Place>) = (Vec::new(), Vec::new());
        for (place, filter, statement) in statements(&targets) {
            let compat = filter.compat;
            let cost = |(anchor, _): &(Anchor<'_>, u32)| -> usize {
                let count = |text: &&str| {
                    counts.get(&(compat.name(), &*anchor.key.name, *text)).copied().unwrap_or(0)
                };
                anchor.texts.iter().map(count).sum()
            };
            let found = anchors_of_parts(filter, statement).min_by_key(cost);
            let Some((anchor, part)) = found else {
                rest.push(place);
                continue;
            };
            let is_same =
                |known: &IndexedKey| known.compat == compat && known.key.name == anchor.key.name;
            let at = keys.iter().position(is_same).unwrap_or_else(|| {
                let (key, by_text) = (anchor.key.clone(), HashMap::default());
                keys.push(IndexedKey { compat, key, by_text });
                keys.len() - 1
            });
            let place = Place { found_by: anchor.is_all.then_some(part), ..place };
            for text in anchor.texts {
                keys[at].by_text.entry(text.into()).or_default().push(place);
            }
        }
        FilterIndex { targets, keys, rest }
    }

    /// Puts the numbers of the lists that a point matches into `out`, in order, instead of what was there.
    ///
    /// Allocates nothing once `out` is large enough.
    pub fn matches<L: Lookup + ?Sized>(&self, point: &L, out: &mut Vec<u32>) {
        out.clear();
        for place in &self.rest {
            self.try_at(*place, point, out);
        }
        for indexed in &self.keys {
            let look =
                Look { compat: indexed.compat, keys: std::slice::from_ref(&indexed.key), point };
            let found = look.find(&indexed.key);
            for value in [found.value, found.other].into_iter().flatten() {
                // Not every mode compares bytes with texts: for bytes all is evaluated.
                let (text, is_text) = match value {
                    Value::Str(text) => (text, true),
                    Value::Bytes(bytes) => match std::str::from_utf8(bytes) {
                        Ok(text) => (text, false),
                        Err(_) => continue,
                    },
                    _ => continue,
                };
                for place in indexed.by_text.get(text).into_iter().flatten() {
                    let found_by = place.found_by.filter(|_| is_text);
                    self.try_at(Place { found_by, ..*place }, point, out);
                }
            }
        }
        if out.len() > 1 {
            out.sort_unstable();
            out.dedup();
        }
    }

    /// Gives the lists; the number of each is its place.
    pub fn targets(&self) -> &[FilterList] {
        &self.targets
    }

    #[inline]
    fn try_at<L: Lookup + ?Sized>(&self, place: Place, point: &L, out: &mut Vec<u32>) {
        // Statements of one list stand together, so this sees most of those that are decided.
        if out.last() == Some(&place.target) {
            return;
        }
        let filter = &self.targets[place.target as usize].filters()[place.filter as usize];
        if filter.is_off(point) {
            return;
        }
        let look = Look { compat: filter.compat, keys: &filter.keys, point };
        let statement = &filter.statements[place.statement as usize];
        let holds = match (place.found_by, &statement.rule) {
            (Some(found_by), Rule::All(parts)) => {
                let mut others = parts.iter().zip(0..).filter(|(_, at)| *at != found_by);
                others.all(|(part, _)| part.holds(&look))
            }
            _ => statement.holds(&look),
        };
        if holds {
            out.push(place.target);
        }
    }
}

fn statements(targets: &[FilterList]) -> impl Iterator<Item = (Place, &Filter, &Clause)> {
    targets.iter().zip(0..).flat_map(|(list, target)| {
        list.filters().iter().zip(0..).flat_map(move |(filter, number)| {
            filter.statements.iter().zip(0..).map(move |(clause, statement)| {
                let place = Place { target, filter: number, statement, found_by: None };
                (place, filter, clause)
            })
        })
    })
}

/// Gives everything that must be a certain text when a statement is true, and in which of its parts.
fn anchors_of_parts<'f>(
    filter: &'f Filter,
    statement: &'f Clause,
) -> impl Iterator<Item = (Anchor<'f>, u32)> {
    // A statement is a list of parts that all must be true; another one would be evaluated for every point.
    let parts: &[Clause] = match &statement.rule {
        Rule::All(parts) => parts,
        _ => &[],
    };
    parts.iter().zip(0..).flat_map(move |(part, at)| {
        anchors(filter, part).into_iter().map(move |anchor| (anchor, at))
    })
}

/// Gives everything that must be a certain text when a clause is true.
fn anchors<'f>(filter: &'f Filter, clause: &'f Clause) -> Vec<Anchor<'f>> {
    match &clause.rule {
        Rule::All(parts) => {
            let all = parts.iter().flat_map(|part| anchors(filter, part));
            all.map(|anchor| Anchor { is_all: false, ..anchor }).collect()
        }
        Rule::Any(parts) => either(filter, parts).into_iter().collect(),
        Rule::Test { key, is_negated: false, test } => {
            let key = &filter.keys[*key as usize];
            let anchor = texts_of(test).map(|texts| Anchor { key, texts, is_all: true });
            anchor.into_iter().collect()
        }
        _ => Vec::new(),
    }
}

/// Gives the texts of alternatives that all ask for the same key: `a = 'x' or a = 'y'`.
fn either<'f>(filter: &'f Filter, parts: &'f [Clause]) -> Option<Anchor<'f>> {
    let mut joined: Option<Anchor<'f>> = None;
    for part in parts {
        let Rule::Test { key, is_negated: false, test } = &part.rule else { return None };
        let key = &filter.keys[*key as usize];
        let texts = texts_of(test)?;
        match &mut joined {
            Some(anchor) if anchor.key.id == key.id => anchor.texts.extend(texts),
            Some(_) => return None,
            None => joined = Some(Anchor { key, texts, is_all: true }),
        }
    }
    let mut anchor = joined?;
    anchor.texts.sort_unstable();
    anchor.texts.dedup();
    Some(anchor)
}

/// Gives the texts of which a value must be one to pass a test.
fn texts_of(test: &Test) -> Option<Vec<&str>> {
    match test {
        Test::Equal(Literal::Str(text)) => Some(vec![text]),
        Test::In(set) => set.only_texts(),
        Test::Found(patterns) => patterns.whole_text().map(|text| vec![text]),
        _ => None,
    }
}
