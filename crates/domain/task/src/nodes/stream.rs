//! `stream`: the source of a stream task. Every point goes to every child.

use std::sync::Arc;

use levada_model::{BatchRef, Group, Point};

use crate::pipeline::NodeIndex;
use crate::runtime::{Node, Out, Reader, StartContext, StateError, Step, Writer};
use crate::spec::{Edge, EdgeRule, Kind, Spec};
use crate::{spec_json, spec_properties};

/// The source of a stream task.
#[derive(Clone, Debug, Default)]
pub struct Stream;

crate::properties! { Stream {} }

/// What is the same for all of them.
pub static KIND: Kind = Kind {
    name: "stream",
    type_name: "StreamNode",
    desc: "stream",
    json_type: "stream",
    summary: "the points that are written",
    wants: EdgeRule::Fixed(Edge::None),
    provides: EdgeRule::Fixed(Edge::Stream),
    chain: |_, _, _, _| -> Result<NodeIndex, _> { Err(crate::property::types::too_many()) },
    empty: || Box::new(Stream),
};

/// Hands everything on.
pub struct Forward;

// === impl Stream ===

impl Spec for Stream {
    fn kind(&self) -> &'static Kind {
        &KIND
    }

    spec_properties!();
    spec_json!();

    fn args(&self) -> Vec<levada_tick::script::Value> {
        Vec::new()
    }

    fn start(&self, _ctx: &mut StartContext<'_>) -> Result<Box<dyn Node>, String> {
        Ok(Box::new(Forward))
    }
}

// === impl Forward ===

impl Node for Forward {
    #[inline]
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

    fn forget(&mut self, _slot: u32) {}

    fn cardinality(&self) -> usize {
        0
    }

    fn save(&self, _writer: &mut Writer<'_>) {}

    fn load(&mut self, _reader: &mut Reader<'_>) -> Result<(), StateError> {
        Ok(())
    }
}
