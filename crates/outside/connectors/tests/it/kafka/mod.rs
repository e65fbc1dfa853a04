//! The `kafka` source and sink against a real broker.

#![allow(clippy::unwrap_used, reason = "tests end by panicking")]

mod avro;
mod conformance;
mod errors;
mod exactly_once;
mod groups;
mod messages;
mod mock;
mod producer;
mod raw;
mod security;
mod support;
