//! What a source tells a sink that commits for it.
//!
//! Kafka → Kafka exactly once: the sink puts the source's offsets into its transaction, and the brokers
//! refuse them when the group has moved on (KIP-447). The source leaves [`SourceCluster`] when it is
//! built and [`Membership`] whenever it opens; the sink leaves [`CommitsForSource`] when it is built, and
//! the source then commits nothing itself.

use levada_model::{Position, Str};
use rdkafka::TopicPartitionList;
use rdkafka::consumer::ConsumerGroupMetadata;

use super::error::Problem;

/// Where the source reads.
pub(crate) struct SourceCluster {
    pub(crate) brokers: Vec<String>,
}

/// The sink puts positions into its transactions.
pub(crate) struct CommitsForSource;

/// Offsets to commit, and on whose behalf.
pub(crate) type GroupOffsets = (TopicPartitionList, ConsumerGroupMetadata);

type Ask = dyn Fn(&[(Str, Position)]) -> Result<GroupOffsets, Problem> + Send + Sync;

/// The membership of a source in its group, as it is at the moment.
pub(crate) struct Membership {
    pub(crate) cluster: Option<String>,
    ask: Box<Ask>,
}

// === impl Membership ===

impl Membership {
    pub(crate) fn new(
        cluster: Option<String>,
        ask: impl Fn(&[(Str, Position)]) -> Result<GroupOffsets, Problem> + Send + Sync + 'static,
    ) -> Self {
        Membership { cluster, ask: Box::new(ask) }
    }

    /// Gives what to commit for these positions.
    ///
    /// - Errors: a partition among them was given away since its records were read, so that they must not
    ///   be committed; transient, because opened again the source goes on from what the group has.
    pub(crate) fn offsets(&self, positions: &[(Str, Position)]) -> Result<GroupOffsets, Problem> {
        (self.ask)(positions)
    }
}
