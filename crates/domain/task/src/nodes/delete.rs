//! `delete`: takes fields and tags away.

use std::sync::Arc;

use levada_model::{GroupKey, Point, Series, Shape, Str};
use levada_tick::script::{CallError, Value};
use serde_json::{Value as Json, json};

use super::derived::{Memo, SERIES_MAX, SHAPES_MAX};
use super::rewritten::{Rewrite, Rewritten};
use crate::property::PropertyType;
use crate::property::types::{exactly, text, text_argument};
use crate::runtime::{Node, StartContext};
use crate::spec::{EdgeRule, Kind, Spec};
use crate::{spec_json, spec_properties};

/// `|delete()`
#[derive(Clone, Debug, Default)]
pub struct Delete {
    fields: Names,
    tags: Names,
}

/// Names, one per call.
#[derive(Clone, Debug, Default)]
struct Names(Vec<String>);

crate::properties! { Delete { "field" => fields, "tag" => tags } }

/// What is the same for all of them.
pub static KIND: Kind = Kind {
    name: "delete",
    type_name: "DeleteNode",
    desc: "delete",
    json_type: "delete",
    summary: "takes fields and tags away",
    wants: EdgeRule::SameAsParent,
    provides: EdgeRule::SameAsParent,
    chain: |builder, parent, _name, args| {
        exactly::<0>(args)?;
        builder.add(parent, Box::new(Delete::default()))
    },
    empty: || Box::new(Delete::default()),
};

struct Running {
    fields: Vec<String>,
    tags: Vec<String>,
    shapes: Memo<Reduced>,
    series: Memo<Arc<Series>>,
}

/// A shape without the fields.
#[derive(Clone)]
struct Reduced {
    shape: Arc<Shape>,
    /// The places of the fields that go, the last one first.
    gone: Arc<[usize]>,
}

// === impl Delete ===

impl Spec for Delete {
    fn kind(&self) -> &'static Kind {
        &KIND
    }

    spec_properties!();
    spec_json!();

    fn args(&self) -> Vec<Value> {
        Vec::new()
    }

    fn decides_groups(&self) -> bool {
        !self.tags.0.is_empty()
    }

    fn start(&self, _ctx: &mut StartContext<'_>) -> Result<Box<dyn Node>, String> {
        Ok(Box::new(Rewritten::new(Running {
            fields: self.fields.0.clone(),
            tags: self.tags.0.clone(),
            shapes: Memo::new(SHAPES_MAX),
            series: Memo::new(SERIES_MAX),
        })))
    }
}

// === impl Names ===

impl PropertyType for Names {
    fn set(&mut self, _name: &str, args: Vec<Value>) -> Result<(), CallError> {
        let [name] = exactly::<1>(args)?;
        self.0.push(text_argument(name)?);
        Ok(())
    }

    fn calls(&self) -> Vec<Vec<Value>> {
        self.0.iter().map(|name| vec![text(name)]).collect()
    }

    fn json(&self) -> Json {
        json!(self.0)
    }

    fn load(&mut self, json: &Json) -> Result<(), String> {
        let names = match json {
            Json::Null => Some(Vec::new()),
            Json::Array(items) => {
                items.iter().map(|item| item.as_str().map(str::to_owned)).collect()
            }
            _ => None,
        };
        self.0 = names.ok_or_else(|| format!("wanted a list of strings, got {json}"))?;
        Ok(())
    }

    fn read(&self) -> Value {
        Value::List(self.0.iter().map(|name| text(name)).collect())
    }
}

// === impl Running ===

impl Rewrite for Running {
    fn point(&mut self, point: &Point) -> Point {
        let Running { fields, tags, shapes, series, .. } = self;
        let reduced = shapes.get(point.shape.id, || Reduced::new(&point.shape, fields));
        let mut values = point.values.clone();
        for place in reduced.gone.iter() {
            values.remove(*place);
        }
        Point {
            series: Arc::clone(series.get(point.series.id, || without(&point.series, tags))),
            shape: Arc::clone(&reduced.shape),
            values,
            time: point.time,
        }
    }

    fn changes_groups(&self) -> bool {
        !self.tags.is_empty()
    }

    fn key(&self, key: &GroupKey) -> Option<GroupKey> {
        regroup(key, &self.tags)
    }
}

impl Reduced {
    fn new(shape: &Arc<Shape>, fields: &[String]) -> Self {
        let mut gone: Vec<usize> =
            fields.iter().filter_map(|field| shape.position(field)).collect();
        gone.sort_unstable();
        gone.dedup();
        gone.reverse();
        if gone.is_empty() {
            return Reduced { shape: Arc::clone(shape), gone: Arc::from([]) };
        }
        let mut names = shape.names.to_vec();
        for place in &gone {
            names.remove(*place);
        }
        Reduced { shape: Shape::new(names.into()), gone: gone.into() }
    }
}

fn is_named(names: &[String], name: &str) -> bool {
    names.iter().any(|known| known == name)
}

fn without(series: &Arc<Series>, tags: &[String]) -> Arc<Series> {
    if !series.keys.names.iter().any(|name| is_named(tags, name)) {
        return Arc::clone(series);
    }
    let kept = series.tags().filter(|(name, _)| !is_named(tags, name));
    let kept = kept.map(|(name, value)| (Str::clone(name), Str::clone(value)));
    let Series { database, retention, name, .. } = &**series;
    Series::new(database.clone(), retention.clone(), name.clone(), kept.collect())
}

/// Gives the key that a group has without the tags; nothing when it is the same.
fn regroup(key: &GroupKey, tags: &[String]) -> Option<GroupKey> {
    if !key.dimensions.iter().any(|name| is_named(tags, name)) {
        return None;
    }
    let kept = key.tags().filter(|(name, _)| !is_named(tags, name));
    let kept = kept.map(|(name, value)| (Str::clone(name), Str::clone(value)));
    let (dimensions, values): (Vec<Str>, Vec<Str>) = kept.unzip();
    Some(GroupKey { name: key.name.clone(), dimensions: dimensions.into(), values: values.into() })
}
