//! Source types: one file and one line each.

pub mod clickhouse;
pub mod file;
pub mod gateway;
pub mod generator;
pub mod host_metrics;
pub mod http;
pub mod iceberg;
pub mod kafka;
pub mod memory;
pub mod nessie;
pub mod postgresql;
pub mod postgresql_cdc;
pub mod stdin;
#[cfg(test)]
pub(crate) mod testing;
pub mod trino;

use crate::spec::{self, SourceEntry};

/// Every source type, in the order of the documentation: the original's first generation, its
/// second, then our own.
pub static SOURCES: &[SourceEntry] = &[
    spec::source::<kafka::Spec>(),
    spec::source::<postgresql::Spec>(),
    spec::source::<trino::Spec>(),
    spec::source::<postgresql_cdc::Spec>(),
    spec::source::<clickhouse::Spec>(),
    spec::source::<nessie::Spec>(),
    spec::source::<iceberg::Spec>(),
    spec::source::<file::Spec>(),
    spec::source::<stdin::Spec>(),
    spec::source::<http::Spec>(),
    spec::source::<host_metrics::HostMetricsSpec>(),
    spec::source::<gateway::Spec>(),
    spec::source::<generator::Spec>(),
    spec::source::<memory::Spec>(),
];
