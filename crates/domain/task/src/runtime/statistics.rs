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
    /// Nanoseconds per measured item, a moving average (U-42: it may fall again).
    pub average_nanos: f64,
    /// Measured items, up to the length of the average.
    pub measured: u32,
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

/// Items that the average goes over. Source: kapacitor: `timing-movavg-size`.
const AVERAGE_OVER: u32 = 1_000;

// === impl Statistics ===

impl Statistics {
    /// Takes the time of one measured item into the average.
    pub fn took(&mut self, nanos: u64) {
        self.measured = (self.measured + 1).min(AVERAGE_OVER);
        self.average_nanos += (nanos as f64 - self.average_nanos) / f64::from(self.measured);
    }
}
