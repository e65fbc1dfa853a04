//! `signal`: a node for tests that turns points into barriers and deletes.

use std::sync::Arc;

use levada_model::{BatchRef, Group, Point};
use levada_tick::script::Value;

use crate::runtime::{Barrier, Node, Out, Reader, StartContext, StateError, Step, Writer};
use crate::spec::{EdgeRule, Kind, Spec};
use crate::{spec_json, spec_properties};

/// Points of the measurement `barrier` become barriers of their group and time, those of `delete` deletes.
#[derive(Clone, Debug, Default)]
struct Signal;

crate::properties! { Signal {} }

pub(in crate::nodes) static KIND: Kind = Kind {
    name: "signal",
    type_name: "SignalNode",
    desc: "signal",
    json_type: "signal",
    summary: "barriers and deletes for tests",
    wants: EdgeRule::SameAsParent,
    provides: EdgeRule::SameAsParent,
    chain: |builder, parent, _name, _args| builder.add(parent, Box::new(Signal)),
    empty: || Box::new(Signal),
};

/// `shown()` logs barriers and deletes as problems and hands everything on.
#[derive(Clone, Debug, Default)]
struct Shown;

crate::properties! { Shown {} }

pub(in crate::nodes) static SHOWN: Kind = Kind {
    name: "shown",
    chain: |builder, parent, _name, _args| builder.add(parent, Box::new(Shown)),
    empty: || Box::new(Shown),
    type_name: "ShownNode",
    desc: "shown",
    json_type: "shown",
    summary: "shows barriers and deletes in tests",
    wants: EdgeRule::SameAsParent,
    provides: EdgeRule::SameAsParent,
};

impl Spec for Signal {
    fn kind(&self) -> &'static Kind {
        &KIND
    }

    spec_properties!();
    spec_json!();

    fn args(&self) -> Vec<Value> {
        Vec::new()
    }

    fn start(&self, _ctx: &mut StartContext<'_>) -> Result<Box<dyn Node>, String> {
        Ok(Box::new(Signal))
    }
}

impl Spec for Shown {
    fn kind(&self) -> &'static Kind {
        &SHOWN
    }

    spec_properties!();
    spec_json!();

    fn args(&self) -> Vec<Value> {
        Vec::new()
    }

    fn start(&self, _ctx: &mut StartContext<'_>) -> Result<Box<dyn Node>, String> {
        Ok(Box::new(Shown))
    }
}

impl Node for Signal {
    fn point(
        &mut self,
        _input: usize,
        point: &Point,
        group: &Arc<Group>,
        out: &mut Out<'_>,
    ) -> Step {
        match &*point.series.name {
            "barrier" => out.barrier(&Barrier { group: Arc::clone(group), time: point.time }),
            "delete" => out.delete(group),
            _ => out.point(point, group),
        }
    }

    fn batch(&mut self, _input: usize, batch: BatchRef<'_>, out: &mut Out<'_>) -> Step {
        out.batch(batch)
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

impl Node for Shown {
    fn point(
        &mut self,
        _input: usize,
        point: &Point,
        group: &Arc<Group>,
        out: &mut Out<'_>,
    ) -> Step {
        out.point(point, group)
    }

    fn batch(&mut self, _input: usize, batch: BatchRef<'_>, out: &mut Out<'_>) -> Step {
        out.batch(batch)
    }

    fn barrier(&mut self, _input: usize, barrier: &Barrier, out: &mut Out<'_>) -> Step {
        let time = barrier.time.0 / 1_000_000_000;
        out.error("barrier", &format!("{} {time}", barrier.group.id), &[]);
        out.barrier(barrier)
    }

    fn delete(&mut self, _input: usize, group: &Arc<Group>, out: &mut Out<'_>) -> Step {
        out.error("delete", &group.id, &[]);
        out.delete(group)
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
