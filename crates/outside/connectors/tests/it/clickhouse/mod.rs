//! The `clickhouse` source and sink, against ClickHouse's engine and against a stand-in that fails as it is told.

#![allow(clippy::unwrap_used, reason = "tests end by panicking")]

mod server;
mod sink;
mod source;
