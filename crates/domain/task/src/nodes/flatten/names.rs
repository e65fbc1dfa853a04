//! The names that fields get.

use std::collections::HashMap;
use std::mem;
use std::sync::Arc;

use foldhash::fast::RandomState;
use levada_model::{Point, Series, Shape, Str};

use super::Part;
use crate::runtime::Out;

/// Gives fields their new names.
pub(super) struct Namer {
    on: Vec<String>,
    delimiter: String,
    drops_names: bool,
    /// By series: the prefix, or the tag that is missing.
    prefixes: HashMap<u64, Result<Arc<Prefix>, usize>, RandomState>,
    /// By text, so that series with the same values of the tags share one.
    by_text: HashMap<Str, Arc<Prefix>, RandomState>,
    /// By prefix and shape.
    columns: HashMap<(u64, u64), Arc<Columns>, RandomState>,
    next_id: u64,
    has_warned: bool,
}

struct Prefix {
    id: u64,
    text: Str,
}

/// The fields of a shape under a prefix.
struct Columns {
    shape: Arc<Shape>,
    /// The only field that is kept, when all get the same name.
    only: Option<u32>,
}

/// Series and shapes that are remembered.
const SERIES_MAX: usize = 1_000_000;
/// Shapes under prefixes that are remembered.
const COLUMNS_MAX: usize = 100_000;
// === impl Namer ===

impl Namer {
    pub(super) fn new(on: &[String], delimiter: &str, drops_names: bool) -> Self {
        Namer {
            on: on.to_vec(),
            delimiter: delimiter.to_owned(),
            drops_names,
            prefixes: HashMap::default(),
            by_text: HashMap::default(),
            columns: HashMap::default(),
            next_id: 0,
            has_warned: false,
        }
    }

    /// Gives a point's fields under their new names; nothing when it lacks a tag, which is reported.
    pub(super) fn part(&mut self, point: &Point, out: &mut Out<'_>) -> Option<Part> {
        let prefix = match self.prefixes.get(&point.series.id) {
            Some(known) => known.clone(),
            None => self.learn_prefix(&point.series),
        };
        let prefix = match prefix {
            Ok(prefix) => prefix,
            Err(missing) => {
                let cause = format!("tag {} is missing from point", self.on[missing]);
                out.error("point missing tag for flatten operation", &cause, &[]);
                return None;
            }
        };
        let columns = match self.columns.get(&(prefix.id, point.shape.id)) {
            Some(known) => Arc::clone(known),
            None => self.learn_columns(&prefix, &point.shape, out),
        };
        let values = match columns.only {
            Some(at) => point.values.get(at as usize).cloned().into_iter().collect(),
            None => point.values.clone(),
        };
        Some(Part { shape: Arc::clone(&columns.shape), values })
    }

    #[cold]
    fn learn_prefix(&mut self, series: &Series) -> Result<Arc<Prefix>, usize> {
        // Differs: a point that lacks a tag leaves nothing behind for the next one (U-38).
        let values: Result<Vec<&str>, usize> = self
            .on
            .iter()
            .enumerate()
            .map(|(at, name)| series.tag(name).map(|value| &**value).ok_or(at))
            .collect();
        let text = values.map(|values| values.join(&self.delimiter));
        let prefix = text.map(|text| self.prefix(text));
        if self.prefixes.len() >= SERIES_MAX {
            self.prefixes.clear();
        }
        self.prefixes.insert(series.id, prefix.clone());
        prefix
    }

    fn prefix(&mut self, text: String) -> Arc<Prefix> {
        if let Some(known) = self.by_text.get(text.as_str()) {
            return Arc::clone(known);
        }
        if self.by_text.len() >= SERIES_MAX {
            self.by_text.clear();
        }
        self.next_id += 1;
        let prefix = Arc::new(Prefix { id: self.next_id, text: text.into() });
        self.by_text.insert(Str::clone(&prefix.text), Arc::clone(&prefix));
        prefix
    }

    #[cold]
    fn learn_columns(
        &mut self,
        prefix: &Prefix,
        shape: &Arc<Shape>,
        out: &mut Out<'_>,
    ) -> Arc<Columns> {
        let text = &prefix.text;
        let columns = if self.on.is_empty() {
            Columns { shape: Arc::clone(shape), only: None }
        } else if self.drops_names {
            if shape.names.len() > 1 && !mem::replace(&mut self.has_warned, true) {
                let cause = format!("of the fields of a point only the last is kept as {text}");
                out.error("fields of one name in flatten operation", &cause, &[]);
            }
            // Differs: the last in the order of the names, where upstream takes any (U-43).
            let only = shape.sorted.last().copied();
            let names = if only.is_some() { vec![Str::clone(text)] } else { Vec::new() };
            Columns { shape: Shape::new(names.into()), only }
        } else {
            let name = |field: &Str| Str::from(format!("{text}{}{field}", self.delimiter));
            Columns { shape: Shape::new(shape.names.iter().map(name).collect()), only: None }
        };
        let columns = Arc::new(columns);
        if self.columns.len() >= COLUMNS_MAX {
            self.columns.clear();
        }
        self.columns.insert((prefix.id, shape.id), Arc::clone(&columns));
        columns
    }
}
