//! `derivative`: how fast a field changes.

use std::sync::Arc;

use levada_model::{BatchRef, FieldValue, Group, Point, Timestamp};
use levada_tick::script::Value;
use serde_json::{Map, Value as Json, json};

use super::derived::{FieldAt, WithField};
use crate::property::types::{exactly, text, text_argument};
use crate::property::{Flag, Nanos, Text};
use crate::runtime::{Node, Out, PerGroup, Reader, StartContext, StateError, Step, Writer};
use crate::spec::{EdgeRule, Kind, Spec};
use crate::{property, spec_properties_beyond};

/// `|derivative('field')`
#[derive(Clone, Debug)]
pub struct Derivative {
    field: String,
    result: Text,
    unit: Nanos,
    non_negative: Flag,
}

crate::properties! {
    Derivative { "as" => result, "unit" => unit, "nonNegative" => non_negative }
}

/// What is the same for all of them.
pub static KIND: Kind = Kind {
    name: "derivative",
    type_name: "DerivativeNode",
    desc: "derivative",
    json_type: "derivative",
    summary: "gives how fast a field changes",
    wants: EdgeRule::SameAsParent,
    provides: EdgeRule::SameAsParent,
    chain: |builder, parent, _name, args| {
        let [field] = exactly::<1>(args)?;
        builder.add(parent, Box::new(Derivative::of(text_argument(field)?)))
    },
    empty: || Box::new(Derivative::of(String::new())),
};

/// Source: kapacitor reference §5.11.
const UNIT: i64 = 1_000_000_000;

struct Running {
    field: FieldAt,
    result: WithField,
    unit: f64,
    is_non_negative: bool,
    groups: PerGroup<Previous>,
    /// Room for the points of a batch.
    points: Vec<Point>,
}

/// The last usable point.
#[derive(Clone, Copy)]
struct Previous {
    value: f64,
    time: Timestamp,
}

// === impl Derivative ===

impl Derivative {
    fn of(field: String) -> Self {
        let result = Text(field.clone());
        Derivative { field, result, unit: Nanos(UNIT), non_negative: Flag(false) }
    }
}

impl Spec for Derivative {
    fn kind(&self) -> &'static Kind {
        &KIND
    }

    spec_properties_beyond!(|own| Derivative::of(own.field.clone()));

    fn args(&self) -> Vec<Value> {
        vec![text(&self.field)]
    }

    fn json(&self) -> Map<String, Json> {
        let mut members = property::json(self);
        members.insert("field".to_owned(), json!(self.field));
        members
    }

    fn load(&mut self, json: &Map<String, Json>) -> Result<(), String> {
        property::load(self, json)?;
        let field = json.get("field").and_then(Json::as_str);
        self.field = field.ok_or("field: wanted a string")?.to_owned();
        Ok(())
    }

    fn validate(&self) -> Result<(), String> {
        if self.unit.0 < 0 {
            // Differs: upstream turns the sign.
            return Err("unit must not be negative".to_owned());
        }
        Ok(())
    }

    fn start(&self, _ctx: &mut StartContext<'_>) -> Result<Box<dyn Node>, String> {
        Ok(Box::new(Running {
            field: FieldAt::new(&self.field),
            result: WithField::new(&self.result.0),
            unit: self.unit.0 as f64,
            is_non_negative: self.non_negative.0,
            groups: PerGroup::default(),
            points: Vec::new(),
        }))
    }
}

// === impl Running ===

impl Running {
    /// Gives the rate at a point; the point becomes the previous one when it is usable.
    #[inline]
    fn derive(
        &mut self,
        previous: &mut Option<Previous>,
        point: &Point,
        out: &mut Out<'_>,
    ) -> Option<f64> {
        let value = self.field.value(point);
        let Some(current) = value.and_then(FieldValue::as_number) else {
            let found = value.map_or("<nil>", FieldValue::go_type);
            let context = [("field", &**self.field.name()), ("type", found)];
            out.error("cannot perform derivative", "field is the wrong type", &context);
            return None;
        };
        let before = previous.replace(Previous { value: current, time: point.time })?;
        let elapsed = point.time.0.saturating_sub(before.time.0);
        if elapsed == 0 {
            out.error("cannot perform derivative", "elaspsed time was 0", &[]);
            return None;
        }
        let difference = current - before.value;
        if self.is_non_negative && difference < 0.0 {
            return None;
        }
        Some(difference / (elapsed as f64 / self.unit))
    }
}

impl Node for Running {
    #[inline]
    fn point(
        &mut self,
        _input: usize,
        point: &Point,
        group: &Arc<Group>,
        out: &mut Out<'_>,
    ) -> Step {
        let mut previous = self.groups.get(group.slot).copied();
        let rate = self.derive(&mut previous, point, out);
        if let Some(previous) = previous {
            *self.groups.entry(group.slot, || previous) = previous;
        }
        match rate {
            Some(rate) => out.point(self.result.set(point, FieldValue::Float(rate)), group),
            None => Ok(()),
        }
    }

    fn batch(&mut self, _input: usize, batch: BatchRef<'_>, out: &mut Out<'_>) -> Step {
        let mut points = std::mem::take(&mut self.points);
        let mut previous = None;
        for point in batch.points {
            if let Some(rate) = self.derive(&mut previous, point, out) {
                points.push(self.result.copy(point, FieldValue::Float(rate)));
            }
        }
        let result = out.batch(BatchRef { points: &points, ..batch });
        points.clear();
        self.points = points;
        result
    }

    fn forget(&mut self, slot: u32) {
        self.groups.remove(slot);
    }

    fn cardinality(&self) -> usize {
        self.groups.len()
    }

    fn save(&self, writer: &mut Writer<'_>) {
        writer.per_group(&self.groups, |writer, previous| {
            writer.float(previous.value);
            writer.time(previous.time);
        });
    }

    fn load(&mut self, reader: &mut Reader<'_>) -> Result<(), StateError> {
        self.groups = reader
            .per_group(|reader, _| Ok(Previous { value: reader.float()?, time: reader.time()? }))?;
        Ok(())
    }
}
