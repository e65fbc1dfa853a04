//! Fields of several points under one roof: the names that join and combine give them.

use std::collections::HashMap;
use std::sync::Arc;

use foldhash::fast::RandomState;
use levada_model::{FieldValue, Shape, Str, Values};
use levada_tick::script::{CallError, Value};
use serde_json::{Value as Json, json};
use smallvec::SmallVec;

use crate::property::PropertyType;
use crate::property::types::{one_for_field, text, wrong_field};

/// What stands between a prefix and the name of a field; `.` unless a script says otherwise.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Delimiter(pub String);

/// Merges the fields of points, each under a prefix of its own.
///
/// - One look-up per merged point at most: what goes where is remembered by the shapes of the parts.
#[derive(Debug)]
pub struct Merger {
    prefixes: Box<[String]>,
    known: HashMap<Key, Arc<Merged>, RandomState>,
    key: Key,
    /// What was asked for last, which is what is asked for next as a rule.
    last: Option<(Key, Arc<Merged>)>,
}

/// How parts of certain shapes are merged.
#[derive(Debug)]
pub struct Merged {
    /// The shape of the merged point.
    pub shape: Arc<Shape>,
    picks: Box<[Pick]>,
}

/// Where a value comes from.
#[derive(Clone, Copy, Debug)]
struct Pick {
    part: u32,
    /// [`MISSING`] when the part is not there.
    place: u32,
}

/// The shapes of the parts, 0 for one that is missing; then the shape that a missing part is named after.
type Key = SmallVec<[u64; 6]>;

const MISSING: u32 = u32::MAX;

/// Combinations of shapes that are remembered.
///
/// - Source: ours; a join sees a handful.
const MERGED_MAX: usize = 10_000;

/// What is wrong with the prefixes of a node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PrefixProblem<'p> {
    /// One is empty.
    Empty,
    /// One contains the delimiter.
    Delimiter(&'p str),
    /// There are two of this name.
    Twice,
}

/// Finds the first problem of prefixes, in their order.
pub fn find_problem<'p>(
    prefixes: &'p [String],
    contains_delimiter: impl Fn(&str) -> bool,
) -> Option<PrefixProblem<'p>> {
    let mut seen = std::collections::HashSet::new();
    prefixes.iter().find_map(|prefix| {
        if prefix.is_empty() {
            Some(PrefixProblem::Empty)
        } else if contains_delimiter(prefix) {
            Some(PrefixProblem::Delimiter(prefix))
        } else if !seen.insert(prefix) {
            Some(PrefixProblem::Twice)
        } else {
            None
        }
    })
}

// === impl Delimiter ===

impl Default for Delimiter {
    fn default() -> Self {
        Delimiter(".".to_owned())
    }
}

impl PropertyType for Delimiter {
    fn set(&mut self, name: &str, args: Vec<Value>) -> Result<(), CallError> {
        match one_for_field(name, args)? {
            Value::Str(text) => self.0 = text.to_string(),
            other => return Err(wrong_field(&other, "string")),
        }
        Ok(())
    }

    fn calls(&self) -> Vec<Vec<Value>> {
        if *self == Delimiter::default() { vec![] } else { vec![vec![text(&self.0)]] }
    }

    fn json(&self) -> Json {
        json!(self.0)
    }

    fn load(&mut self, json: &Json) -> Result<(), String> {
        self.0 = json.as_str().ok_or_else(|| format!("wanted a string, got {json}"))?.to_owned();
        Ok(())
    }

    fn read(&self) -> Value {
        text(&self.0)
    }
}

// === impl Merger ===

impl Merger {
    /// Makes a merger; the prefixes stand in the order of the parts.
    pub fn new(prefixes: &[String], delimiter: &str) -> Self {
        Merger {
            prefixes: prefixes.iter().map(|prefix| format!("{prefix}{delimiter}")).collect(),
            known: HashMap::default(),
            key: Key::new(),
            last: None,
        }
    }

    /// Gives how the parts are merged.
    ///
    /// - `shape` gives the shape of a part, nothing for one that is missing: its fields get the names of `template`.
    pub fn merged<'s>(
        &mut self,
        shape: impl Fn(usize) -> Option<&'s Arc<Shape>>,
        template: &Arc<Shape>,
    ) -> &Arc<Merged> {
        let mut is_complete = true;
        self.key.clear();
        for part in 0..self.prefixes.len() {
            let id = shape(part).map_or(0, |shape| shape.id);
            is_complete &= id != 0;
            self.key.push(id);
        }
        self.key.push(if is_complete { 0 } else { template.id });
        if self.last.as_ref().is_none_or(|(key, _)| *key != self.key) {
            let merged = match self.known.get(self.key.as_slice()) {
                Some(known) => Arc::clone(known),
                None => self.learn(shape, template),
            };
            self.last = Some((self.key.clone(), merged));
        }
        &self.last.as_ref().expect("it was set just now").1
    }

    #[cold]
    fn learn<'s>(
        &mut self,
        shape: impl Fn(usize) -> Option<&'s Arc<Shape>>,
        template: &Arc<Shape>,
    ) -> Arc<Merged> {
        let mut places: HashMap<Str, usize> = HashMap::new();
        let (mut names, mut picks): (Vec<Str>, Vec<Pick>) = (Vec::new(), Vec::new());
        for (part, prefix) in self.prefixes.iter().enumerate() {
            let own = shape(part);
            for (place, field) in own.unwrap_or(template).names.iter().enumerate() {
                let name: Str = format!("{prefix}{field}").into();
                let place = if own.is_some() { place as u32 } else { MISSING };
                let pick = Pick { part: part as u32, place };
                // Without a delimiter two names may be one; the later part counts.
                match places.get(&name) {
                    Some(at) => picks[*at] = pick,
                    None => {
                        places.insert(Str::clone(&name), names.len());
                        names.push(name);
                        picks.push(pick);
                    }
                }
            }
        }
        let merged = Arc::new(Merged { shape: Shape::new(names.into()), picks: picks.into() });
        if self.known.len() >= MERGED_MAX {
            self.known.clear();
        }
        self.known.insert(self.key.clone(), Arc::clone(&merged));
        merged
    }
}

// === impl Merged ===

impl Merged {
    /// Gives the values; those of missing parts are `fill`.
    #[inline]
    pub fn values<'v>(
        &self,
        values: impl Fn(usize) -> Option<&'v Values>,
        fill: &FieldValue,
    ) -> Values {
        let mut merged = Values::new();
        self.put_values(values, fill, &mut merged);
        merged
    }

    /// Adds the values to `merged`; those of missing parts are `fill`.
    #[inline]
    pub fn put_values<'v>(
        &self,
        values: impl Fn(usize) -> Option<&'v Values>,
        fill: &FieldValue,
        merged: &mut Values,
    ) {
        merged.reserve(self.picks.len());
        for pick in &self.picks {
            let own = values(pick.part as usize).and_then(|own| own.get(pick.place as usize));
            merged.push(own.unwrap_or(fill).clone());
        }
    }
}
