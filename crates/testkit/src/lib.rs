//! What tests of several crates share; never part of the product.
//!
//! - [`build`]: connectors as a flow builds them.
//! - [`clickhouse`]: a stand-in for ClickHouse.
//! - [`conformance`]: the cases that every source and every sink must pass, and how one is set up for them.
//! - [`process`]: a program under test: started, signalled, killed, waited for with a deadline.
//! - [`fake_http`]: an HTTP server whose answers a test makes.
//! - [`http`]: an HTTP server of a few lines that answers as a test tells it to, and a client.
//! - [`proxy`]: a TCP proxy in front of a real server, to cut and hold its connections.
//! - [`kafka`]: a proxy in front of a Kafka broker.
//! - [`scripted`]: an HTTP server whose answers a function gives, and which keeps what it was asked.
//! - [`mqtt`]: hears what is published to a broker.
//! - [`wait`]: waiting for a condition, with a deadline.
//! - [`seeded`]: random numbers that a test can repeat.
//! - [`services`]: the real servers that tests run against.
//! - [`smtp`]: a mail server that keeps what it is sent.
//! - [`instance`]: a server of a test's own, to be stopped, killed and started again.
//! - [`udf`]: functions that run outside.
//! - [`skipped`]: says loudly that a test cannot be made here.
//!
//! Everything here fails by panicking with what was expected: that is how a test ends.
#![allow(
    clippy::unwrap_used,
    clippy::print_stderr,
    reason = "helpers of tests: they end a test by panicking, and say what they skip"
)]

pub mod build;
pub mod clickhouse;
pub mod conformance;
pub mod fake_http;
pub mod http;
pub mod instance;
pub mod kafka;
pub mod mqtt;
pub mod process;
pub mod proxy;
pub mod scripted;
pub mod seeded;
pub mod services;
pub mod smtp;
pub mod udf;
pub mod wait;

/// Says that a test cannot be made here, and why.
///
/// The line is counted by `cargo xtask test`, which fails with `CI=true`, where everything must be there.
pub fn skipped(what: &str, why: &str) {
    eprintln!("SKIPPED: {what}: {why}");
}
