//! `trickle`: turns batches back into single points.

use std::sync::Arc;

use levada_model::{BatchRef, Group, Point};
use levada_tick::script::{CallError, Value};

use super::derived::Renamed;
use crate::property::types::exactly;
use crate::runtime::{Node, Out, Reader, StartContext, StateError, Step, Writer};
use crate::spec::{Edge, EdgeRule, Kind, Spec};
use crate::{spec_json, spec_properties};

/// `|trickle()`
#[derive(Clone, Debug, Default)]
pub struct Trickle;

crate::properties! { Trickle {} }

/// What is the same for all of them.
pub static KIND: Kind = Kind {
    name: "trickle",
    type_name: "TrickleNode",
    desc: "trickle",
    json_type: "trickle",
    summary: "turns batches into single points",
    wants: EdgeRule::Fixed(Edge::Batch),
    provides: EdgeRule::Fixed(Edge::Stream),
    chain: |builder, parent, _name, args| {
        exactly::<0>(args)?;
        if builder.provides(parent) != Edge::Batch {
            return Err(CallError::Call("cannot Trickle stream edge".to_owned()));
        }
        builder.add(parent, Box::new(Trickle))
    },
    empty: || Box::new(Trickle),
};

struct Running {
    renamed: Renamed,
}

// === impl Trickle ===

impl Spec for Trickle {
    fn kind(&self) -> &'static Kind {
        &KIND
    }

    spec_properties!();
    spec_json!();

    fn args(&self) -> Vec<Value> {
        Vec::new()
    }

    fn start(&self, _ctx: &mut StartContext<'_>) -> Result<Box<dyn Node>, String> {
        Ok(Box::new(Running { renamed: Renamed::new() }))
    }
}

// === impl Running ===

impl Node for Running {
    fn point(
        &mut self,
        _input: usize,
        _point: &Point,
        _group: &Arc<Group>,
        _out: &mut Out<'_>,
    ) -> Step {
        Ok(())
    }

    /// Differs: every child gets the points, and none is needed, where upstream feeds one and crashes (U-13).
    fn batch(&mut self, _input: usize, batch: BatchRef<'_>, out: &mut Out<'_>) -> Step {
        for point in batch.points {
            let series = self.renamed.series(batch.name, &point.series);
            if Arc::ptr_eq(&series, &point.series) {
                out.point(point, batch.group)?;
            } else {
                out.point(&Point { series, ..point.clone() }, batch.group)?;
            }
        }
        Ok(())
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
