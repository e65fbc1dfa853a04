//! Tests of the connectors through their tables.

mod clickhouse;
mod conformance;
mod gate;
mod influxdb;
#[cfg(feature = "kafka")]
mod kafka;
mod original;
#[cfg(feature = "postgresql")]
mod postgresql;
mod trino;
