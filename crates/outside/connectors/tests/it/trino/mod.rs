//! The `trino` source and sink, against a real server where there is one, and against fakes where there is no
//! such server here (Keycloak, a Trino that checks tokens).

#![allow(clippy::unwrap_used, reason = "tests end by panicking")]

mod conformance;
mod fakes;
pub(crate) mod server;
mod sink;
mod source;
