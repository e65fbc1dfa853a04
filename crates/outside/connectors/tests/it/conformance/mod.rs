//! Every connector that is built in, against the suite that all must pass.
//!
//! `stdin` and `stdout` belong to a process: whole flows prove them, with the program itself.

#![allow(clippy::unwrap_used, reason = "tests end by panicking")]

mod files;
mod http;
mod machine;
mod memory;
