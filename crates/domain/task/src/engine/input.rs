//! What reaches a running task.

use std::ops::Range;
use std::sync::Arc;

use levada_model::{GroupKey, Point, Str, Timestamp};
use smallvec::SmallVec;

use crate::effect::Answer;

/// Points of a request that are for one task; the request is shared by all tasks that want some of it.
#[derive(Clone, Debug)]
pub struct Slice {
    /// All points of the request.
    pub points: Arc<Vec<Point>>,
    /// Which of them.
    pub ranges: SmallVec<[Range<u32>; 2]>,
    /// How many loopbacks the points have been through.
    pub hops: u8,
}

/// A batch that a query gave; its group is made by the task that gets it.
#[derive(Clone, Debug)]
pub struct OwnedBatch {
    /// The measurement.
    pub name: Str,
    /// Dimensions and tags.
    pub key: GroupKey,
    /// `tmax`
    pub time: Timestamp,
    /// The points.
    pub points: Vec<Point>,
}

/// What reaches a running task.
#[derive(Clone, Debug)]
pub enum Input {
    /// Points of the ingress.
    Points(Slice),
    /// Batches of one execution of a query.
    Batches {
        /// The place of the query node.
        place: usize,
        /// In the order of the answer.
        batches: Vec<OwnedBatch>,
    },
    /// The answer to a request.
    Answer {
        /// The place of the node that asked.
        place: usize,
        /// What it knows the request by.
        token: u64,
        /// How it ended.
        answer: Answer,
    },
    /// A query failed: counted and reported by its node.
    QueryFailed {
        /// The place of the query node.
        place: usize,
        /// What it was doing, e.g. `error executing query`.
        message: Str,
        /// Why it did not work.
        cause: Str,
    },
}

/// Where a side actor hands its results in.
pub trait Inbox: Send + Sync {
    /// Hands in one input; answers are never refused, batches may be when the queue of the task is full.
    ///
    /// - `false`: it was refused, or the task is gone.
    fn push(&self, input: Input) -> bool;

    /// Gives the task a turn, for what it does not get through its queue.
    fn wake(&self) {}

    /// Says whether the task still runs: a side actor ends when it does not.
    fn is_open(&self) -> bool;
}

// === impl Slice ===

impl Slice {
    /// Makes a slice of all points.
    pub fn all(points: Vec<Point>) -> Self {
        let count = points.len() as u32;
        let ranges = SmallVec::from_iter(std::iter::once(0..count));
        Slice { points: Arc::new(points), ranges, hops: 0 }
    }

    /// Counts the points.
    pub fn len(&self) -> usize {
        self.ranges.iter().map(|range| (range.end - range.start) as usize).sum()
    }

    /// Says whether there is no point.
    pub fn is_empty(&self) -> bool {
        self.ranges.iter().all(|range| range.is_empty())
    }

    /// Gives the points, a run at a time.
    pub fn runs(&self) -> impl Iterator<Item = &[Point]> {
        self.ranges.iter().map(|range| &self.points[range.start as usize..range.end as usize])
    }
}
