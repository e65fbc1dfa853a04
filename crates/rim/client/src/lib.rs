//! What talks to a running server from the command line.
//!
//! ```text
//! words ─▶ kapacitor (commands, one file each) ─┐
//! folder or original ─▶ import (plan, apply) ───┼─▶ Api ─▶ HTTP
//! silence (list, add, expire) ──────────────────┘
//! ```
//! - [`kapacitor`] follows the client of Kapacitor 1.8: its commands, flags, tables, texts and exit codes, which scripts read.
//! - [`import`] brings tasks, templates, topic handlers and the states of alerts to a Levada server, again and again with
//!   the same end.
//! - [`gateway`] looks after the gateway of a Levada server.
//! - [`silence`] lists, makes and ends silences of a Levada server.
//! - Output goes through the writers of a [`World`]; nothing here prints, reads the environment or the clock by itself.
//! - Requests have a time-out and answers a bound, except streams, which end when the reader or the server says so.
//!
//! Where to start: [`kapacitor::run`].

#![cfg_attr(test, allow(clippy::unwrap_used, reason = "a test that fails may panic"))]

mod api;
mod files;
mod flags;
mod format;
mod table;
mod times;
mod world;

pub mod gateway;
pub mod import;
pub mod kapacitor;
pub mod silence;

pub use format::Format;
pub use world::World;
