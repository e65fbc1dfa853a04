//! Tests of the gateway through its API.

#![allow(clippy::unwrap_used, reason = "tests")]

mod egress;
mod queue;
