//! `sample`: keeps every n-th point, or those whose time is a multiple of a duration.

use std::sync::Arc;

use levada_model::time::truncate;
use levada_model::{BatchRef, Group, Point};
use levada_tick::script::{CallError, Value};
use levada_tick::syntax::{format_duration, parse_duration};
use serde_json::{Map, Value as Json, json};

use crate::property::types::exactly;
use crate::runtime::{Node, Out, PerGroup, Reader, StartContext, StateError, Step, Writer};
use crate::spec::{Edge, EdgeRule, Kind, Spec};
use crate::spec_properties;

/// `|sample(3)`, `|sample(10s)`
#[derive(Clone, Debug)]
pub struct Sample {
    rate: Rate,
}

/// Which points are kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Rate {
    /// The first, and then every so many.
    Count(i64),
    /// Those at multiples of it, in nanoseconds.
    Duration(i64),
}

crate::properties! { Sample {} }

/// What is the same for all of them.
pub static KIND: Kind = Kind {
    name: "sample",
    type_name: "SampleNode",
    desc: "sample",
    json_type: "sample",
    summary: "keeps some of the points",
    wants: EdgeRule::SameAsParent,
    provides: EdgeRule::SameAsParent,
    chain: |builder, parent, _name, args| {
        let rate = match exactly::<1>(args)? {
            [Value::Int(count)] => Rate::Count(count),
            [Value::Duration(nanos)] => Rate::Duration(nanos),
            _ => {
                let text = "must pass int64 or duration to new sample node";
                return Err(CallError::Call(text.to_owned()));
            }
        };
        builder.add(parent, Box::new(Sample { rate }))
    },
    empty: || Box::new(Sample { rate: Rate::Count(0) }),
};

struct Running {
    rate: Rate,
    /// Points until the next one that is kept.
    groups: PerGroup<i64>,
    /// Room for the points of a batch.
    points: Vec<Point>,
}

// === impl Sample ===

impl Spec for Sample {
    fn kind(&self) -> &'static Kind {
        &KIND
    }

    spec_properties!();

    fn args(&self) -> Vec<Value> {
        vec![match self.rate {
            Rate::Count(count) => Value::Int(count),
            Rate::Duration(nanos) => Value::Duration(nanos),
        }]
    }

    fn json(&self) -> Map<String, Json> {
        let (count, nanos) = match self.rate {
            Rate::Count(count) => (count, 0),
            Rate::Duration(nanos) => (0, nanos),
        };
        let mut members = Map::new();
        members.insert("n".to_owned(), json!(count));
        members.insert("duration".to_owned(), json!(format_duration(nanos)));
        members
    }

    fn load(&mut self, json: &Map<String, Json>) -> Result<(), String> {
        let count = json.get("n").and_then(Json::as_i64).unwrap_or(0);
        let nanos = match json.get("duration") {
            Some(Json::String(text)) => {
                parse_duration(text).map_err(|_| format!("duration: invalid duration {text:?}"))?
            }
            Some(other) => other.as_i64().unwrap_or(0),
            None => 0,
        };
        self.rate =
            if count == 0 && nanos != 0 { Rate::Duration(nanos) } else { Rate::Count(count) };
        Ok(())
    }

    fn check(&self, _provides: Edge) -> Result<(), String> {
        let (Rate::Count(rate) | Rate::Duration(rate)) = self.rate;
        if rate > 0 {
            return Ok(());
        }
        Err("invalid sample rate: must be positive integer or duration".to_owned())
    }

    fn start(&self, ctx: &mut StartContext<'_>) -> Result<Box<dyn Node>, String> {
        self.check(ctx.wants)?;
        Ok(Box::new(Running { rate: self.rate, groups: PerGroup::default(), points: Vec::new() }))
    }
}

// === impl Rate ===

impl Rate {
    fn keeps(self, missing: &mut i64, point: &Point) -> bool {
        match self {
            Rate::Duration(nanos) => truncate(point.time, nanos) == point.time,
            Rate::Count(count) => {
                let is_kept = *missing == 0;
                *missing = if is_kept { count - 1 } else { *missing - 1 };
                is_kept
            }
        }
    }
}

// === impl Running ===

impl Node for Running {
    fn point(
        &mut self,
        _input: usize,
        point: &Point,
        group: &Arc<Group>,
        out: &mut Out<'_>,
    ) -> Step {
        let missing = self.groups.entry(group.slot, || 0);
        if self.rate.keeps(missing, point) { out.point(point, group) } else { Ok(()) }
    }

    fn batch(&mut self, _input: usize, batch: BatchRef<'_>, out: &mut Out<'_>) -> Step {
        self.groups.entry(batch.group.slot, || 0);
        let (rate, mut missing) = (self.rate, 0);
        let kept = batch.points.iter().filter(|point| rate.keeps(&mut missing, point));
        self.points.extend(kept.cloned());
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
        writer.per_group(&self.groups, |writer, missing| writer.int(*missing));
    }

    fn load(&mut self, reader: &mut Reader<'_>) -> Result<(), StateError> {
        self.groups = reader.per_group(|reader, _| Ok(reader.int()?.max(0)))?;
        Ok(())
    }
}
