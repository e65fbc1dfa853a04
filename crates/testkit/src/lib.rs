//! What tests of several crates share; never part of the product.
//!
//! - [`conformance`]: the cases that every source and every sink must pass, and how one is set up for them.
//! - [`process`]: a program under test: started, signalled, killed, waited for with a deadline.
//! - [`http`]: an HTTP server of a few lines that answers as a test tells it to, and a client.
//! - [`wait`]: waiting for a condition, with a deadline.
//! - [`seeded`]: random numbers that a test can repeat.
//!
//! Everything here fails by panicking with what was expected: that is how a test ends.
#![allow(
    clippy::unwrap_used,
    clippy::print_stderr,
    reason = "helpers of tests: they end a test by panicking, and say what they skip"
)]

pub mod conformance;
pub mod http;
pub mod process;
pub mod seeded;
pub mod wait;
