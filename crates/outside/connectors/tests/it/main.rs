//! Tests of the connectors through their tables.

mod conformance;
mod original;
