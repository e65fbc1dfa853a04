//! Flows through their public API: random chains of steps against a naive implementation, bytes that
//! nobody touches, and mutated input of every parser.

#![allow(clippy::unwrap_used, reason = "tests")]

mod chains;
mod documents;
mod flows;
mod fuzz;
mod mutate;
mod naive;
mod untouched;
