//! `noop`: what `stats` puts behind a node that has no child, so that there is an edge to count on.

use crate::nodes::stream::Forward;
use crate::pipeline::NodeIndex;
use crate::runtime::{Node, StartContext};
use crate::spec::{EdgeRule, Kind, Spec};
use crate::{spec_json, spec_properties};

/// A node that does nothing.
#[derive(Clone, Debug, Default)]
pub struct Noop;

crate::properties! { Noop {} }

/// What is the same for all of them.
pub static KIND: Kind = Kind {
    name: "noop",
    type_name: "NoOpNode",
    desc: "noop",
    json_type: "noop",
    summary: "hands everything on",
    wants: EdgeRule::SameAsParent,
    provides: EdgeRule::SameAsParent,
    chain: |_, _, _, _| -> Result<NodeIndex, _> { Err(crate::property::types::too_many()) },
    empty: || Box::new(Noop),
};

// === impl Noop ===

impl Spec for Noop {
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
