//! Tests of the gateway through its API.

#![allow(clippy::unwrap_used, reason = "tests")]

#[path = "../support/bench.rs"]
mod bench;
mod egress;
mod queue;
