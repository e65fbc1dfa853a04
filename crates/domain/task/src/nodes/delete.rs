//! `delete`: takes fields and tags away.

use std::sync::Arc;

use levada_model::{BatchRef, Group, GroupKey, Point, Series, Shape, Str};
use levada_tick::script::{CallError, Value};
use serde_json::{Value as Json, json};

use super::derived::{Memo, SERIES_MAX, SHAPES_MAX};
use super::regroup::Regroup;
use crate::property::PropertyType;
use crate::property::types::{exactly, text, text_argument};
use crate::runtime::{Barrier, Node, Out, Reader, StartContext, StateError, Step, Writer};
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
    groups: Regroup,
    /// Room for the points of a batch.
    points: Vec<Point>,
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
        Ok(Box::new(Running {
            fields: self.fields.0.clone(),
            tags: self.tags.0.clone(),
            shapes: Memo::new(SHAPES_MAX),
            series: Memo::new(SERIES_MAX),
            groups: Regroup::default(),
            points: Vec::new(),
        }))
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

impl Running {
    fn reduce(&mut self, point: &Point) -> Point {
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

    fn group(&mut self, group: &Arc<Group>, out: &mut Out<'_>) -> Option<Arc<Group>> {
        if self.tags.is_empty() {
            return Some(Arc::clone(group));
        }
        let tags = &self.tags;
        let becomes = self.groups.group(group, out.ctx, |key| regroup(key, tags));
        if becomes.is_none() {
            out.error("too many groups", &group.id, &[]);
        }
        becomes
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

impl Node for Running {
    fn point(
        &mut self,
        _input: usize,
        point: &Point,
        group: &Arc<Group>,
        out: &mut Out<'_>,
    ) -> Step {
        let Some(group) = self.group(group, out) else { return Ok(()) };
        out.point(&self.reduce(point), &group)
    }

    fn batch(&mut self, _input: usize, batch: BatchRef<'_>, out: &mut Out<'_>) -> Step {
        let Some(group) = self.group(batch.group, out) else { return Ok(()) };
        let mut points = std::mem::take(&mut self.points);
        points.extend(batch.points.iter().map(|point| self.reduce(point)));
        let result = out.batch(BatchRef { group: &group, points: &points, ..batch });
        points.clear();
        self.points = points;
        result
    }

    fn barrier(&mut self, _input: usize, barrier: &Barrier, out: &mut Out<'_>) -> Step {
        let tags = &self.tags;
        self.groups.barrier(barrier, out, |key| regroup(key, tags))
    }

    fn delete(&mut self, _input: usize, group: &Arc<Group>, out: &mut Out<'_>) -> Step {
        self.groups.delete(group, out)
    }

    fn forget(&mut self, slot: u32) {
        self.groups.forget(slot);
    }

    fn cardinality(&self) -> usize {
        0
    }

    fn save(&self, writer: &mut Writer<'_>) {
        self.groups.save(writer);
    }

    fn load(&mut self, reader: &mut Reader<'_>) -> Result<(), StateError> {
        self.groups = Regroup::load(reader)?;
        Ok(())
    }
}
