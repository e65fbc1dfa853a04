//! Tasks on threads: who gets which points, queues, workers, what happens outside.
//!
//! ```text
//! Ingest ─ routes ─▶ Queue (bounded, a policy when full) ─▶ Worker ─▶ Actor ─▶ effects ─▶ side actors (HTTP, InfluxDB, topics)
//!                        ▲                                                                    │
//!                        └──────────────────── answers, batches ──────────────────────────────┘
//! ```
//!
//! - A task is on one worker at a time, and gives it back after a bounded time, so that no task delays another.
//! - Ingest reads a table that is replaced as a whole; it takes no lock that starting and stopping of tasks holds.

pub mod alerts;
pub mod cell;
pub mod checkpoint;
pub mod effects;
pub mod input;
pub mod master;
pub mod queries;
pub mod queue;
pub mod requests;
pub mod routes;
pub mod side;
pub mod sides;
pub mod tap;
pub mod workers;
pub mod writer;

pub use alerts::TopicAlerts;
pub use cell::Cell;
pub use checkpoint::{MemoryStateStore, StateStore, StateStoreError};
pub use effects::{Requests, Writes};
pub use input::{Inbox, Input, OwnedBatch, Slice};
pub use master::{
    Master, MasterDeps, Offer, Restart, Served, StartError, TaskOptions, TaskStatus, Usage,
};
pub use queue::{Overflow, Queue};
pub use routes::{Ingest, Routes, Subscription, Written};
pub(crate) use side::Closing;
pub use side::SideDeps;
pub use sides::{SideSettings, Sides};
pub use tap::Tap;
pub use workers::Workers;
