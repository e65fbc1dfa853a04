//! `default`: sets fields and tags that a point lacks.

use std::sync::Arc;

use levada_model::{FieldValue, GroupKey, Point, Series, Shape, Str};
use levada_tick::script::{CallError, Value};
use serde_json::{Value as Json, json};

use super::derived::{Memo, SERIES_MAX, SHAPES_MAX, with_name};
use super::rewritten::{Rewrite, Rewritten};
use crate::property::types::{exactly, text, text_argument};
use crate::property::{Pairs, PropertyType};
use crate::runtime::{Node, StartContext};
use crate::spec::{Edge, EdgeRule, Kind, Spec};
use crate::{spec_json, spec_properties};

/// `|default()`
#[derive(Clone, Debug, Default)]
pub struct Default {
    fields: Fields,
    tags: Pairs,
}

/// Names and values; a later call with the same name replaces the earlier one.
#[derive(Clone, Debug, std::default::Default)]
struct Fields(Vec<(String, Value)>);

crate::properties! { Default { "field" => fields, "tag" => tags } }

/// What is the same for all of them.
pub static KIND: Kind = Kind {
    name: "default",
    type_name: "DefaultNode",
    desc: "default",
    json_type: "default",
    summary: "sets fields and tags that a point lacks",
    wants: EdgeRule::SameAsParent,
    provides: EdgeRule::SameAsParent,
    chain: |builder, parent, _name, args| {
        exactly::<0>(args)?;
        builder.add(parent, Box::new(<Default as std::default::Default>::default()))
    },
    empty: || Box::new(<Default as std::default::Default>::default()),
};

struct Running {
    fields: Vec<(Str, FieldValue)>,
    /// Sorted.
    tags: Vec<(Str, Str)>,
    shapes: Memo<Completed>,
    series: Memo<Arc<Series>>,
    is_batch: bool,
}

/// A shape with all fields.
#[derive(Clone)]
struct Completed {
    shape: Arc<Shape>,
    /// Where each of the fields is.
    places: Arc<[usize]>,
}

// === impl Default ===

impl Spec for Default {
    fn kind(&self) -> &'static Kind {
        &KIND
    }

    spec_properties!();
    spec_json!();

    fn args(&self) -> Vec<Value> {
        Vec::new()
    }

    fn validate(&self) -> Result<(), String> {
        for (name, value) in &self.fields.0 {
            if field_value(value).is_none() {
                return Err(format!(
                    "unsupported type {} for field \"{name}\", \
                     field default values must be float,int,string or bool",
                    value.go_type()
                ));
            }
        }
        Ok(())
    }

    fn decides_groups(&self) -> bool {
        !self.tags.0.is_empty()
    }

    fn start(&self, ctx: &mut StartContext<'_>) -> Result<Box<dyn Node>, String> {
        self.validate()?;
        let fields = self.fields.0.iter().filter_map(|(name, value)| {
            field_value(value).map(|value| (Str::from(name.as_str()), value))
        });
        let tags = self.tags.0.iter();
        let mut tags: Vec<(Str, Str)> = tags
            .map(|(name, value)| (Str::from(name.as_str()), Str::from(value.as_str())))
            .collect();
        tags.sort();
        Ok(Box::new(Rewritten::new(Running {
            fields: fields.collect(),
            tags,
            shapes: Memo::new(SHAPES_MAX),
            series: Memo::new(SERIES_MAX),
            is_batch: ctx.wants == Edge::Batch,
        })))
    }
}

fn field_value(value: &Value) -> Option<FieldValue> {
    Some(match value {
        Value::Int(number) => FieldValue::Int(*number),
        Value::Float(number) => FieldValue::Float(*number),
        Value::Bool(flag) => FieldValue::Bool(*flag),
        Value::Str(text) => FieldValue::Str(Str::clone(text)),
        _ => return None,
    })
}

// === impl Fields ===

impl PropertyType for Fields {
    fn set(&mut self, _name: &str, args: Vec<Value>) -> Result<(), CallError> {
        let [name, value] = exactly::<2>(args)?;
        let name = text_argument(name)?;
        match self.0.iter_mut().find(|(known, _)| *known == name) {
            Some(field) => field.1 = value,
            None => self.0.push((name, value)),
        }
        Ok(())
    }

    fn calls(&self) -> Vec<Vec<Value>> {
        self.0.iter().map(|(name, value)| vec![text(name), value.clone()]).collect()
    }

    fn json(&self) -> Json {
        let fields = self.0.iter().map(|(name, value)| {
            let value = match value {
                Value::Int(number) => json!(number),
                Value::Float(number) => json!(number),
                Value::Bool(flag) => json!(flag),
                Value::Str(text) => json!(&**text),
                _ => Json::Null,
            };
            (name.clone(), value)
        });
        Json::Object(fields.collect())
    }

    fn load(&mut self, json: &Json) -> Result<(), String> {
        let members = match json {
            Json::Null => return Ok(()),
            Json::Object(members) => members,
            _ => return Err(format!("wanted an object of values, got {json}")),
        };
        self.0 = members
            .iter()
            .map(|(name, value)| {
                let read = match value {
                    Json::Bool(flag) => Some(Value::Bool(*flag)),
                    Json::String(string) => Some(text(string)),
                    Json::Number(number) => number
                        .as_i64()
                        .map(Value::Int)
                        .or_else(|| number.as_f64().map(Value::Float)),
                    _ => None,
                };
                read.map(|value| (name.clone(), value))
                    .ok_or_else(|| format!("wanted a value for {name}, got {value}"))
            })
            .collect::<Result<_, _>>()?;
        Ok(())
    }

    fn read(&self) -> Value {
        Value::List(self.0.iter().map(|(name, _)| text(name)).collect())
    }
}

// === impl Running ===

impl Rewrite for Running {
    fn point(&mut self, point: &Point) -> Point {
        let Running { fields, tags, shapes, series, .. } = self;
        let mut values = point.values.clone();
        let mut shape = Arc::clone(&point.shape);
        if !fields.is_empty() {
            let completed = shapes.get(shape.id, || Completed::new(&point.shape, fields));
            shape = Arc::clone(&completed.shape);
            values.resize(shape.names.len(), FieldValue::Null);
            for ((_, value), place) in fields.iter().zip(completed.places.iter()) {
                if values[*place].is_null() {
                    values[*place] = value.clone();
                }
            }
        }
        let series = if tags.is_empty() {
            Arc::clone(&point.series)
        } else {
            Arc::clone(series.get(point.series.id, || with_tags(&point.series, tags)))
        };
        Point { series, shape, values, time: point.time }
    }

    fn changes_groups(&self) -> bool {
        !self.tags.is_empty()
    }

    fn key(&self, key: &GroupKey) -> Option<GroupKey> {
        regroup(key, &self.tags, self.is_batch)
    }
}

impl Completed {
    fn new(shape: &Arc<Shape>, fields: &[(Str, FieldValue)]) -> Self {
        let mut shape = Arc::clone(shape);
        let mut places = Vec::new();
        for (name, _) in fields {
            let (wider, place) = with_name(&shape, name);
            shape = wider;
            places.push(place);
        }
        Completed { shape, places: places.into() }
    }
}

/// Sets the tags that a series lacks or has empty.
fn with_tags(series: &Arc<Series>, tags: &[(Str, Str)]) -> Arc<Series> {
    let lacks = |name: &Str| series.tag(name).is_none_or(|value| value.is_empty());
    if !tags.iter().any(|(name, _)| lacks(name)) {
        return Arc::clone(series);
    }
    let own = series.tags().map(|(name, value)| (Str::clone(name), Str::clone(value)));
    let set = tags.iter().filter(|(name, _)| lacks(name)).cloned();
    let Series { database, retention, name, .. } = &**series;
    // Of two tags with one name the later one stays.
    Series::new(database.clone(), retention.clone(), name.clone(), own.chain(set).collect())
}

/// Gives the key that a group has with the tags set; nothing when it is the same.
///
/// - The tags of a batch are its dimensions, so that new ones become dimensions.
fn regroup(key: &GroupKey, tags: &[(Str, Str)], is_batch: bool) -> Option<GroupKey> {
    let mut own: Vec<(Str, Str)> =
        key.tags().map(|(name, value)| (Str::clone(name), Str::clone(value))).collect();
    let mut has_changed = false;
    for (name, value) in tags {
        match own.iter_mut().find(|(known, _)| known == name) {
            Some((_, empty)) if empty.is_empty() => {
                has_changed |= !value.is_empty();
                *empty = Str::clone(value);
            }
            None if is_batch => {
                has_changed = true;
                own.push((Str::clone(name), Str::clone(value)));
            }
            _ => {}
        }
    }
    if !has_changed {
        return None;
    }
    own.sort();
    let (dimensions, values): (Vec<Str>, Vec<Str>) = own.into_iter().unzip();
    Some(GroupKey { name: key.name.clone(), dimensions: dimensions.into(), values: values.into() })
}
