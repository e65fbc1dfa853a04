//! `batch`: the source of a batch task. Its queries get their batches from the task, so nothing passes here.

use crate::nodes::stream::Forward;
use crate::pipeline::NodeIndex;
use crate::runtime::{Node, StartContext};
use crate::spec::{Edge, EdgeRule, Kind, Spec};
use crate::{spec_json, spec_properties};

/// The source of a batch task.
#[derive(Clone, Debug, Default)]
pub struct Batch;

crate::properties! { Batch {} }

/// What is the same for all of them.
pub static KIND: Kind = Kind {
    name: "batch",
    type_name: "BatchNode",
    desc: "batch",
    json_type: "batch",
    summary: "the queries of a batch task",
    wants: EdgeRule::Fixed(Edge::None),
    provides: EdgeRule::Fixed(Edge::Batch),
    chain: |_, _, _, _| -> Result<NodeIndex, _> { Err(crate::property::types::too_many()) },
    empty: || Box::new(Batch),
};

// === impl Batch ===

impl Spec for Batch {
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
