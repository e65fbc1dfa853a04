//! Proofs of delivery: whole flows with the real program, and everything that can go wrong around them.
//!
//! Every record that goes in is, at the end, in an output, filtered, a dead letter, or dropped by policy.

#![allow(
    clippy::unwrap_used,
    clippy::print_stderr,
    reason = "tests end by panicking, and say what they counted or skipped"
)]

mod checkpoints;
mod disk;
mod down;
mod faults;
mod graceful;
mod hostile;
mod kill;
mod pipes;
mod poison;
mod probes;
mod replay;
mod support;
