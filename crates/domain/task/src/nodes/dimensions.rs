//! The dimensions of a grouping, for `from` and `groupBy`.

use std::collections::HashMap;
use std::sync::Arc;

use foldhash::fast::RandomState;
use levada_model::{Group, GroupKey, Series, Str};
use levada_tick::script::{CallError, Value};
use serde_json::{Value as Json, json};

use crate::property::PropertyType;
use crate::property::types::text;
use crate::runtime::{Groups, PerGroup};

/// The arguments of `groupBy`: texts and stars as written.
#[derive(Clone, Debug, Default)]
pub struct Dimensions(pub Vec<Value>);

/// What points are grouped by.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Grouping {
    /// All tag keys of a point instead of `names`.
    pub is_all: bool,
    /// Sorted, without duplicates; what is left out when `is_all`.
    pub names: Arc<[Str]>,
    /// The measurement counts, too.
    pub by_name: bool,
}

/// Gives the group of each series.
///
/// - One look-up per point; the cache is emptied when it is full, since series come and go.
#[derive(Debug)]
pub struct Grouper {
    grouping: Grouping,
    /// The slot of the group of each series.
    by_series: HashMap<u64, u32, RandomState>,
    groups: PerGroup<Arc<Group>>,
    /// The slot of the only group, when the grouping knows no other and it was asked for.
    only: Option<u32>,
    by_keys: HashMap<u64, Arc<[Str]>, RandomState>,
}

/// Series that are remembered.
const SERIES_MAX: usize = 1_000_000;
/// Sets of tag keys that are remembered.
const KEYS_MAX: usize = 10_000;

// === impl Dimensions ===

impl Dimensions {
    /// Checks the dimensions as upstream does when a task is defined.
    ///
    /// - Source: kapacitor reference §5.6.
    pub fn check(&self, has_exclude: bool) -> Result<(), String> {
        let mut has_star = false;
        for dimension in &self.0 {
            match dimension {
                Value::Star => has_star = true,
                Value::Str(name) if name.is_empty() => {
                    return Err("dimensions cannot not be the empty string".to_owned());
                }
                Value::Str(_) => {}
                other => {
                    return Err(format!("invalid dimension object of type {}", other.go_type()));
                }
            }
        }
        if has_star && self.0.len() > 1 {
            return Err("cannot group by both '*' and named dimensions.".to_owned());
        }
        if has_exclude && !has_star {
            return Err("exclude requires '*'".to_owned());
        }
        Ok(())
    }

    /// Gives the grouping.
    pub fn grouping(&self, exclude: &[String], by_name: bool) -> Grouping {
        let is_all = self.0.iter().any(|dimension| matches!(dimension, Value::Star));
        let mut names: Vec<Str> = if is_all {
            exclude.iter().map(|name| Str::from(name.as_str())).collect()
        } else {
            let texts = self.0.iter().filter_map(|dimension| match dimension {
                Value::Str(name) => Some(Str::clone(name)),
                _ => None,
            });
            texts.collect()
        };
        names.sort();
        names.dedup();
        Grouping { is_all, names: names.into(), by_name }
    }
}

impl PropertyType for Dimensions {
    fn set(&mut self, _name: &str, args: Vec<Value>) -> Result<(), CallError> {
        // An empty list is a value of its own: `groupBy()` takes all dimensions away.
        self.0 = args;
        Ok(())
    }

    fn calls(&self) -> Vec<Vec<Value>> {
        if self.0.is_empty() { vec![] } else { vec![self.0.clone()] }
    }

    fn json(&self) -> Json {
        let dimensions = self.0.iter().map(|dimension| match dimension {
            Value::Str(name) => json!(&**name),
            _ => json!({"typeOf": "star"}),
        });
        dimensions.collect()
    }

    fn load(&mut self, json: &Json) -> Result<(), String> {
        let items = match json {
            Json::Null => return Ok(()),
            Json::Array(items) => items,
            _ => return Err(format!("wanted a list of dimensions, got {json}")),
        };
        self.0 = items
            .iter()
            .map(|item| match item {
                Json::String(name) => Ok(text(name)),
                Json::Object(members) if members.get("typeOf") == Some(&json!("star")) => {
                    Ok(Value::Star)
                }
                _ => Err(format!("wanted a string or a star, got {item}")),
            })
            .collect::<Result<_, _>>()?;
        Ok(())
    }

    fn read(&self) -> Value {
        Value::List(self.0.clone())
    }
}

// === impl Grouping ===

impl Grouping {
    /// Gives the dimensions of a point with these tag keys; `None` when they do not depend on the keys.
    fn of_keys(&self, keys: &[Str]) -> Arc<[Str]> {
        keys.iter().filter(|key| !self.names.contains(key)).cloned().collect()
    }
}

// === impl Grouper ===

impl Grouper {
    /// Makes a grouper.
    pub fn new(grouping: Grouping) -> Self {
        Grouper {
            grouping,
            by_series: HashMap::default(),
            groups: PerGroup::default(),
            only: None,
            by_keys: HashMap::default(),
        }
    }

    /// Gives what it groups by.
    pub fn grouping(&self) -> &Grouping {
        &self.grouping
    }

    /// Gives the group of a series; `None` when the task has too many groups.
    #[inline]
    pub fn group(&mut self, series: &Series, groups: &mut Groups) -> Option<&Arc<Group>> {
        let known = self.only.or_else(|| self.by_series.get(&series.id).copied());
        let slot = match known {
            Some(slot) => slot,
            None => self.look_up(series, groups, self.grouping.by_name)?,
        };
        self.groups.get(slot)
    }

    /// Gives the group of a series, by its measurement, too, when `by_name` says so or the grouping does.
    pub fn group_by_name(
        &mut self,
        series: &Series,
        groups: &mut Groups,
        by_name: bool,
    ) -> Option<&Arc<Group>> {
        let by_name = by_name || self.grouping.by_name;
        let is_wanted = |slot: &u32| {
            self.groups.get(*slot).is_some_and(|group| group.key.name.is_some() == by_name)
        };
        let slot = match self.by_series.get(&series.id).copied().filter(is_wanted) {
            Some(slot) => slot,
            None => self.look_up(series, groups, by_name)?,
        };
        self.groups.get(slot)
    }

    /// Forgets a group, so that its slot can be used again.
    pub fn forget(&mut self, slot: u32) {
        self.only = self.only.filter(|only| *only != slot);
        if self.groups.remove(slot).is_some() {
            self.by_series.retain(|_, known| *known != slot);
        }
    }

    #[cold]
    fn look_up(&mut self, series: &Series, groups: &mut Groups, by_name: bool) -> Option<u32> {
        let dimensions = if self.grouping.is_all {
            if self.by_keys.len() >= KEYS_MAX {
                self.by_keys.clear();
            }
            let known = self.by_keys.entry(series.keys.id);
            Arc::clone(known.or_insert_with(|| self.grouping.of_keys(&series.keys.names)))
        } else {
            Arc::clone(&self.grouping.names)
        };
        let group = groups.intern(GroupKey::of(series, &dimensions, by_name))?;
        let slot = group.slot;
        if self.by_series.len() >= SERIES_MAX {
            self.by_series.clear();
            self.groups = PerGroup::default();
            self.only = None;
        }
        if dimensions.is_empty() && !self.grouping.is_all && !by_name {
            self.only = Some(slot);
        }
        self.by_series.insert(series.id, slot);
        self.groups.entry(slot, || group);
        Some(slot)
    }
}
