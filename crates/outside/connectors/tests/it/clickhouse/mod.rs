//! The `clickhouse` source and sink, against a stand-in for the server.

#![allow(clippy::unwrap_used, reason = "tests end by panicking")]

mod sink;
mod source;
