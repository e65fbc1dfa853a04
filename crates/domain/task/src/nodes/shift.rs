//! `shift`: moves points in time.

use std::sync::Arc;

use levada_model::{BatchRef, Group, Point, Timestamp};
use levada_tick::script::Value;

use crate::property::types::{duration_argument, exactly};
use crate::property::{self, Nanos, PropertyType};
use crate::runtime::{Node, Out, Reader, StartContext, StateError, Step, Writer};
use crate::spec::{Edge, EdgeRule, Kind, Spec};
use crate::spec_properties;
use serde_json::{Map, Value as Json};

/// `|shift(5m)`
#[derive(Clone, Debug, Default)]
pub struct Shift {
    shift: Nanos,
}

crate::properties! { Shift {} }

/// What is the same for all of them.
pub static KIND: Kind = Kind {
    name: "shift",
    type_name: "ShiftNode",
    desc: "shift",
    json_type: "shift",
    summary: "moves points in time",
    wants: EdgeRule::SameAsParent,
    provides: EdgeRule::SameAsParent,
    chain: |builder, parent, _name, args| {
        let [shift] = exactly::<1>(args)?;
        builder.add(parent, Box::new(Shift { shift: Nanos(duration_argument(shift)?) }))
    },
    empty: || Box::new(Shift::default()),
};

struct Running {
    nanos: i64,
    /// Room for the points of a batch.
    points: Vec<Point>,
}

// === impl Shift ===

impl Spec for Shift {
    fn kind(&self) -> &'static Kind {
        &KIND
    }

    spec_properties!();

    fn args(&self) -> Vec<Value> {
        vec![self.shift.read()]
    }

    fn json(&self) -> Map<String, Json> {
        let mut members = property::json(self);
        members.insert("shift".to_owned(), self.shift.json());
        members
    }

    fn load(&mut self, json: &Map<String, Json>) -> Result<(), String> {
        let shift = json.get("shift").unwrap_or(&Json::Null);
        self.shift.load(shift).map_err(|problem| format!("shift: {problem}"))
    }

    fn check(&self, _provides: Edge) -> Result<(), String> {
        if self.shift.0 == 0 {
            return Err("invalid shift value: must be non zero duration".to_owned());
        }
        Ok(())
    }

    fn start(&self, ctx: &mut StartContext<'_>) -> Result<Box<dyn Node>, String> {
        self.check(ctx.wants)?;
        Ok(Box::new(Running { nanos: self.shift.0, points: Vec::new() }))
    }
}

// === impl Running ===

impl Running {
    fn moved(&self, time: Timestamp) -> Timestamp {
        Timestamp(time.0.saturating_add(self.nanos))
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
        out.point(&Point { time: self.moved(point.time), ..point.clone() }, group)
    }

    fn batch(&mut self, _input: usize, batch: BatchRef<'_>, out: &mut Out<'_>) -> Step {
        let mut points = std::mem::take(&mut self.points);
        let moved = batch.points.iter().map(|point| {
            let time = self.moved(point.time);
            Point { time, ..point.clone() }
        });
        points.extend(moved);
        let time = self.moved(batch.time);
        let result = out.batch(BatchRef { points: &points, time, ..batch });
        points.clear();
        self.points = points;
        result
    }

    fn forget(&mut self, _slot: u32) {}

    fn cardinality(&self) -> usize {
        0
    }

    fn save(&self, _writer: &mut Writer<'_>) {}

    fn load(&mut self, _reader: &mut Reader<'_>) -> Result<(), StateError> {
        Ok(())
    }
}
