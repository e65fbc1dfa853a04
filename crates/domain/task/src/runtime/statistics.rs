//! The counters of a node.

use levada_model::Group;

use super::groups::PerGroup;

/// What the graph counts for each node.
#[derive(Debug, Default)]
pub struct Statistics {
    /// Items taken, per parent: points on stream edges, batches on batch edges.
    pub collected: Vec<u64>,
    /// Problems, those of quiet nodes included unless the node says otherwise.
    pub errors: u64,
    /// Nanoseconds per sampled item, a moving average.
    pub average_nanos: f64,
    /// Points given to the first child, per group, when a stats node watches.
    pub emitted: Option<PerGroup<Emitted>>,
}

/// Points of one group.
#[derive(Debug)]
pub struct Emitted {
    /// The group.
    pub group: std::sync::Arc<Group>,
    /// How many.
    pub points: u64,
}
