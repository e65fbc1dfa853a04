//! Proofs of `levada serve` with the real program.

#![allow(
    clippy::unwrap_used,
    clippy::print_stderr,
    reason = "tests end by panicking, and say what they counted"
)]

mod gateway;
mod gateway_kill;
mod kill;
