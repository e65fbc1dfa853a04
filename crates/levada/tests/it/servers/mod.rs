//! Whole flows between real servers: Kafka and PostgreSQL, with everything that can go wrong.
//!
//! Ids are compared, not counts. Every test has topics and tables of its own.

#![allow(
    clippy::unwrap_used,
    clippy::print_stderr,
    clippy::disallowed_methods,
    reason = "tests end by panicking, say what they counted or skipped, and have deadlines on the real clock"
)]

mod away;
mod dlq;
mod exactly_once;
mod example;
mod fencing;
mod kafka;
mod kill;
mod network;
mod original;
mod outages;
mod postgres;
mod rebalance;
mod scene;
