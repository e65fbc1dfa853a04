//! The `kafka` source and sink against a real broker.

#![allow(clippy::unwrap_used, reason = "tests end by panicking")]

mod conformance;
mod support;
