//! `changeDetect`: hands on the points whose fields differ from the last one that was handed on.

use std::sync::Arc;

use levada_model::{BatchRef, FieldValue, Group, Point};
use levada_tick::script::Value;
use serde_json::{Map, Value as Json, json};

use super::derived::FieldAt;
use crate::property::types::{text, text_arguments};
use crate::runtime::{Node, Out, PerGroup, Reader, StartContext, StateError, Step, Writer};
use crate::spec::{EdgeRule, Kind, Spec};
use crate::spec_properties;

/// `|changeDetect('field', …)`
#[derive(Clone, Debug, Default)]
pub struct ChangeDetect {
    fields: Vec<String>,
}

crate::properties! { ChangeDetect {} }

/// What is the same for all of them.
pub static KIND: Kind = Kind {
    name: "changeDetect",
    type_name: "ChangeDetectNode",
    desc: "changeDetect",
    json_type: "changeDetect",
    summary: "hands points on when their fields change",
    wants: EdgeRule::SameAsParent,
    provides: EdgeRule::SameAsParent,
    chain: |builder, parent, _name, args| {
        let fields = text_arguments(args)?;
        builder.add(parent, Box::new(ChangeDetect { fields }))
    },
    empty: || Box::new(ChangeDetect::default()),
};

struct Running {
    fields: Vec<FieldAt>,
    groups: PerGroup<Last>,
    /// Room for the points of a batch.
    points: Vec<Point>,
}

/// The values of the last point that was handed on, in the order of the fields.
type Last = Vec<Option<FieldValue>>;

// === impl ChangeDetect ===

impl Spec for ChangeDetect {
    fn kind(&self) -> &'static Kind {
        &KIND
    }

    spec_properties!();

    fn args(&self) -> Vec<Value> {
        self.fields.iter().map(|field| text(field)).collect()
    }

    fn json(&self) -> Map<String, Json> {
        let mut members = Map::new();
        members.insert("fields".to_owned(), json!(self.fields));
        members
    }

    fn load(&mut self, json: &Map<String, Json>) -> Result<(), String> {
        let fields = json.get("fields").and_then(Json::as_array);
        let fields = fields.ok_or("fields: wanted a list of strings")?;
        let texts = fields.iter().map(|field| field.as_str().map(str::to_owned));
        self.fields = texts.collect::<Option<_>>().ok_or("fields: wanted a list of strings")?;
        Ok(())
    }

    fn start(&self, _ctx: &mut StartContext<'_>) -> Result<Box<dyn Node>, String> {
        Ok(Box::new(Running {
            fields: self.fields.iter().map(|field| FieldAt::new(field)).collect(),
            groups: PerGroup::default(),
            points: Vec::new(),
        }))
    }
}

// === impl Running ===

impl Running {
    /// Says whether a point is to be handed on, and keeps its values then.
    ///
    /// - A field that the point lacks does not count, so a first point that has none of them is not handed on.
    fn changes(fields: &mut [FieldAt], last: &mut Last, point: &Point, out: &mut Out<'_>) -> bool {
        let mut has_changed = false;
        for (at, field) in fields.iter_mut().enumerate() {
            let value = field.value(point);
            if value.is_none() {
                let cause = format!("expected field {} not found", field.name());
                let context = [("field", &**field.name())];
                out.error("Invalid field in change detect", &cause, &context);
                continue;
            }
            has_changed |= last.get(at).and_then(Option::as_ref) != value;
        }
        if has_changed {
            last.clear();
            last.extend(fields.iter_mut().map(|field| field.value(point).cloned()));
        }
        has_changed
    }
}

impl Node for Running {
    fn point(
        &mut self,
        _input: usize,
        point: &Point,
        group: &Arc<Group>,
        out: &mut Out<'_>,
    ) -> Step {
        let last = self.groups.entry(group.slot, Vec::new);
        if Running::changes(&mut self.fields, last, point, out) {
            return out.point(point, group);
        }
        Ok(())
    }

    fn batch(&mut self, _input: usize, batch: BatchRef<'_>, out: &mut Out<'_>) -> Step {
        let mut last = Vec::new();
        for point in batch.points {
            if Running::changes(&mut self.fields, &mut last, point, out) {
                self.points.push(point.clone());
            }
        }
        let result = out.batch(BatchRef { points: &self.points, ..batch });
        self.points.clear();
        result
    }

    fn forget(&mut self, slot: u32) {
        self.groups.remove(slot);
    }

    fn cardinality(&self) -> usize {
        self.groups.len()
    }

    fn save(&self, writer: &mut Writer<'_>) {
        writer.per_group(&self.groups, |writer, last| {
            writer.list(last.iter(), |writer, value| {
                writer.option(value.as_ref(), |writer, value| writer.value(value));
            });
        });
    }

    fn load(&mut self, reader: &mut Reader<'_>) -> Result<(), StateError> {
        self.groups =
            reader.per_group(|reader, _| reader.list(|reader| reader.option(Reader::value)))?;
        Ok(())
    }
}
