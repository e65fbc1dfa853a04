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
    known: Known,
}

/// What of a statement is true for the point that it was found for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Known {
    Nothing,
    /// One of the parts that all must be true.
    Part(u32),
    All,
}

/// A key and the texts of which it must have one.
struct Anchor<'f> {
    key: &'f Key,
    texts: Vec<&'f str>,
    /// What is true when it has.
    known: Known,
}

/// How often a text is asked for, by mode, key and text.
type Counts<'f> = HashMap<(&'static str, &'f str, &'f str), usize, RandomState>;

// === impl FilterIndex ===

impl FilterIndex {
    /// Makes an index; the number of a list is its place.
    pub fn new(targets: Vec<FilterList>) -> Self {
        let mut counts = Counts::default();
        for (_, filter, statement) in statements(&targets) {
            for anchor in anchors(filter, statement) {
                for text in anchor.texts {
                    *counts.entry((filter.compat.name(), &anchor.key.name, text)).or_default() += 1;
                }
            }
        }
        let (mut keys, mut rest): (Vec<IndexedKey>, Vec<Place>) = (Vec::new(), Vec::new());
        for (place, filter, statement) in statements(&targets) {
            let compat = filter.compat;
            let cost = |anchor: &Anchor<'_>| -> usize {
                let count = |text: &&str| {
                    counts.get(&(compat.name(), &*anchor.key.name, *text)).copied().unwrap_or(0)
                };
                anchor.texts.iter().map(count).sum()
            };
            let Some(anchor) = anchors(filter, statement).into_iter().min_by_key(cost) else {
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
            let place = Place { known: anchor.known, ..place };
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
                // Not every mode compares bytes with texts: of those nothing is known.
                let (text, is_text) = match value {
                    Value::Str(text) => (text, true),
                    Value::Bytes(bytes) => match std::str::from_utf8(bytes) {
                        Ok(text) => (text, false),
                        Err(_) => continue,
                    },
                    _ => continue,
                };
                for place in indexed.by_text.get(text).into_iter().flatten() {
                    let known = if is_text { place.known } else { Known::Nothing };
                    self.try_at(Place { known, ..*place }, point, out);
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
        let holds = match (place.known, &statement.rule) {
            (Known::All, _) => true,
            (Known::Part(known), Rule::All(parts)) => {
                let mut others = parts.iter().zip(0..).filter(|(_, at)| *at != known);
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
                let known = Known::Nothing;
                (Place { target, filter: number, statement, known }, filter, clause)
            })
        })
    })
}

/// Gives everything that must be a certain text when a clause is true.
fn anchors<'f>(filter: &'f Filter, clause: &'f Clause) -> Vec<Anchor<'f>> {
    match &clause.rule {
        Rule::All(parts) => {
            let of_part = |(part, at): (&'f Clause, u32)| {
                anchors(filter, part).into_iter().map(move |anchor| {
                    let is_all = anchor.known == Known::All;
                    let known = if is_all { Known::Part(at) } else { Known::Nothing };
                    Anchor { known, ..anchor }
                })
            };
            parts.iter().zip(0..).flat_map(of_part).collect()
        }
        Rule::Any(parts) => either(filter, parts).into_iter().collect(),
        Rule::Test { key, is_negated: false, test } => {
            let key = &filter.keys[*key as usize];
            let anchor = texts_of(test).map(|texts| Anchor { key, texts, known: Known::All });
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
            None => joined = Some(Anchor { key, texts, known: Known::All }),
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
