//! Tasks on threads: who gets which points, queues, workers, what happens outside.
//!
//! ```text
//! Ingest ─ routes ─▶ Queue (bounded, a policy when full) ─▶ Worker ─▶ Actor ─▶ effects ─▶ side actors (HTTP, InfluxDB, topics)
//!                        ▲                                                                    │
//!                        └──────────────────── answers, batches ──────────────────────────────┘
//! ```
//!
//! - A task is on one worker at a time, and gives it back after a bounded number of points, so that no task delays another.
//! - Ingest reads a table that is replaced as a whole; it takes no lock that starting and stopping of tasks holds.

pub mod cell;
pub mod input;
pub mod queue;
pub mod requests;
pub mod routes;
pub mod side;
pub mod workers;
pub mod writer;

pub use cell::Cell;
pub use input::{Inbox, Input, OwnedBatch, Slice};
pub use queue::{Overflow, Queue};
pub use routes::{Ingest, Routes, Subscription, Written};
pub use workers::Workers;
