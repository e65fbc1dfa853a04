//! Where points go that a flow hands to the task engine of the same process.
//!
//! The engine is another domain, so this crate says what it needs; whoever composes the process leaves a
//! [`PointTargets`] in the links of the flow.

use std::sync::Arc;

use async_trait::async_trait;
use levada_model::Point;
use thiserror::Error;

/// Why points were not taken.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum PointTargetError {
    /// Nobody listens under that name.
    #[error("no task `{name}` runs; known: {known}")]
    Unknown {
        /// The name.
        name: String,
        /// The names of those that do.
        known: String,
    },
    /// It was full for too long.
    #[error("the queue of task `{0}` is full")]
    Full(String),
    /// It failed.
    #[error("task `{name}` has failed: {cause}")]
    Failed {
        /// The name.
        name: String,
        /// Why.
        cause: String,
    },
}

/// Takes points.
#[async_trait]
pub trait PointTarget: Send + Sync {
    /// Hands points to the task of this name, or to all that listen when the name is empty; waits for room.
    ///
    /// - All points were taken, or none.
    async fn write(&self, name: &str, points: Vec<Point>) -> Result<(), PointTargetError>;
}

/// Where points of a flow go; left in its links.
#[derive(Clone)]
pub struct PointTargets(pub Arc<dyn PointTarget>);
