//! Every connector that is built in, against the suite that all must pass.

#![allow(clippy::unwrap_used, reason = "tests end by panicking")]

mod clickhouse;
mod elasticsearch;
mod files;
mod http;
mod influxdb;
mod machine;
mod memory;
mod service;
mod standard;
mod victoria_metrics;
