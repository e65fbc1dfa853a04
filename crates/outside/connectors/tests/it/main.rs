//! Tests of the connectors through their tables.

mod clickhouse;
mod conformance;
#[cfg(feature = "kafka")]
mod kafka;
mod gate;
mod original;
#[cfg(feature = "postgresql")]
mod postgresql;
mod trino;
