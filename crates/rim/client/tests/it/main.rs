//! The client against a server of a test: what it asks, what it prints, how it ends.

#![allow(clippy::unwrap_used, reason = "tests")]

mod cases;
mod fake;
mod gateway;
mod hostile;
mod import;
mod run;
mod silence;
