//! What a query node asks, and when: for who runs the task.

use levada_influxql::{Dimension, Fill, Query, QueryError, Range, Schedule, flux, schedule::Span};
use levada_model::{Str, Timestamp};

use crate::pipeline::{NodeIndex, Pipeline};

/// What a query node asks, and when.
#[derive(Clone, Debug)]
pub struct QueryPlan {
    /// The language and what only it has.
    pub kind: QueryKind,
    /// When it asks.
    pub schedule: Schedule,
    /// The length of the range in nanoseconds.
    pub period: i64,
    /// How far before the tick the range ends, in nanoseconds.
    pub offset: i64,
    /// The cluster; empty is the default one.
    pub cluster: String,
}

/// The language of a query.
#[derive(Clone, Debug)]
pub enum QueryKind {
    /// `query`
    InfluxQl {
        /// The text, taken apart.
        query: Box<Query>,
        /// What it is grouped by.
        dimensions: Vec<Dimension>,
        /// What stands where there is nothing.
        fill: Fill,
        /// Buckets begin with the range.
        align_group: bool,
        /// Batches are grouped by measurement, too.
        by_name: bool,
    },
    /// `queryFlux`
    Flux {
        /// The text as it is.
        text: String,
        /// The name of the organisation.
        org: String,
        /// Its id.
        org_id: String,
    },
}

/// A query node of a pipeline.
#[derive(Clone, Debug)]
pub struct PlannedQuery {
    /// The node.
    pub node: NodeIndex,
    /// Its name, e.g. `query1`.
    pub name: Str,
    /// Its place in the graph, for [`crate::actor::Actor::batch`].
    pub place: usize,
    /// What it asks.
    pub plan: QueryPlan,
}

// === impl QueryPlan ===

impl QueryPlan {
    /// Gives the range of a tick.
    pub fn range(&self, tick: Timestamp) -> Range {
        self.span().range(tick)
    }

    /// Gives period and offset, for [`Schedule::executions`].
    pub fn span(&self) -> Span {
        Span { period: self.period, offset: self.offset }
    }

    /// Gives the text that is sent for a range; of Flux it is always the same.
    pub fn text(&self, range: Range) -> String {
        match &self.kind {
            QueryKind::InfluxQl { query, dimensions, fill, align_group, .. } => {
                query.at(range, dimensions, *fill, *align_group)
            }
            QueryKind::Flux { text, .. } => text.clone(),
        }
    }

    /// Gives path and body of the request of a Flux query: its `now` is the tick minus the offset.
    pub fn flux_request(&self, tick: Timestamp) -> Option<(String, Vec<u8>)> {
        match &self.kind {
            QueryKind::InfluxQl { .. } => None,
            QueryKind::Flux { text, org, org_id } => {
                let now = self.range(tick).stop;
                Some((flux::request_path(org, org_id), flux::request_body(text, now)))
            }
        }
    }

    /// Says whether the answer is cut into buckets of time.
    pub fn is_grouped_by_time(&self) -> bool {
        match &self.kind {
            QueryKind::InfluxQl { dimensions, .. } => {
                dimensions.iter().any(|dimension| matches!(dimension, Dimension::Time { .. }))
            }
            QueryKind::Flux { .. } => false,
        }
    }

    /// Says whether batches are grouped by measurement, too.
    pub fn by_name(&self) -> bool {
        matches!(self.kind, QueryKind::InfluxQl { by_name: true, .. })
    }

    /// Checks that the query reads what the task may read; the text is upstream's. Flux is not looked at.
    pub fn check_sources(&self, dbrps: &[(Str, Str)]) -> Result<(), String> {
        let QueryKind::InfluxQl { query, .. } = &self.kind else { return Ok(()) };
        let is_allowed = |database: &str, retention: &str| {
            dbrps.iter().any(|(db, rp)| **db == *database && **rp == *retention)
        };
        query.check_sources(is_allowed).map_err(|error: QueryError| error.to_string())
    }
}

impl Pipeline {
    /// Gives what the query nodes ask, in the order of recordings: the last one of the script first.
    ///
    /// - A node whose query is wrong is left out; starting the pipeline says what is wrong.
    /// - Other children of a batch source, as `stats` makes them, are none of it (U-49).
    pub fn query_plans(&self, is_1_8: bool) -> Vec<PlannedQuery> {
        let order = self.order();
        let plans = order.into_iter().enumerate().filter_map(|(place, node)| {
            let plan = self.node(node).spec.query_plan(is_1_8)?;
            Some(PlannedQuery { node, name: self.name(node), place, plan })
        });
        plans.collect()
    }
}
