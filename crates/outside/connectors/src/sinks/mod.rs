//! Sink types: one file and one line each.

pub mod blackhole;
pub mod clickhouse;
pub mod elasticsearch;
pub mod file;
pub mod gateway;
pub mod http;
pub mod iceberg;
pub mod influxdb;
pub mod kafka;
mod mapped;
pub mod memory;
pub mod nessie;
pub mod postgresql;
pub mod stdout;
pub mod task;
#[cfg(test)]
pub(crate) mod testing;
pub mod trino;
pub mod victoria_metrics;

use crate::spec::{self, SinkEntry};

/// Every sink type, in the order of the documentation: the original's first generation, its second,
/// then our own.
pub static SINKS: &[SinkEntry] = &[
    spec::sink::<kafka::Spec>(),
    spec::sink::<postgresql::Spec>(),
    spec::sink::<trino::Spec>(),
    spec::sink::<clickhouse::Spec>(),
    spec::sink::<nessie::Spec>(),
    spec::sink::<iceberg::Spec>(),
    spec::sink::<file::Spec>(),
    spec::sink::<stdout::Spec>(),
    spec::sink::<http::Spec>(),
    spec::sink::<elasticsearch::Spec>(),
    spec::sink::<victoria_metrics::Spec>(),
    spec::sink::<influxdb::Spec>(),
    spec::sink::<task::Spec>(),
    spec::sink::<gateway::Spec>(),
    spec::sink::<blackhole::Spec>(),
    spec::sink::<memory::Spec>(),
];
