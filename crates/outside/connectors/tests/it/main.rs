//! Tests of the connectors through their tables.

mod original;
