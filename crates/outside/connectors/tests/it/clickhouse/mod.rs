//! The `clickhouse` source and sink, against a stand-in for the server.

#![allow(clippy::unwrap_used, reason = "tests end by panicking")]

pub(crate) mod fake;

mod sink;
mod source;
