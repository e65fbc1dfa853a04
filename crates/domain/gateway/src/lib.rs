//! The gateway: receives points, splits them by rule, and delivers every one of them.
//!
//! ```text
//! validate ─▶ filter ─▶ route ─▶ queue of a destination ─▶ senders ─▶ group of endpoints
//!                                 (memory + log on disk)  └▶ dead letters
//! ```
//!
//! Invariant: every point that was accepted is in exactly one of *delivered*, *dropped* (with a reason), *dead-lettered* and
//! *queued*; the four add up to what was accepted, at every instant and after every crash.

#![cfg_attr(test, allow(clippy::unwrap_used, reason = "a test that fails may panic"))]

// What tests inside and outside of the crate share is written as from outside.
#[cfg(test)]
extern crate self as levada_gateway;

#[cfg(test)]
#[path = "../tests/support/bench.rs"]
mod bench;
mod crew;
pub mod deliver;
pub mod destination;
pub mod egress;
pub mod gateway;
pub mod ingest;
pub mod metrics;
pub mod pull;
pub mod rules;
pub mod tenants;
pub mod wal;
