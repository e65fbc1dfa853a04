//! What batch tasks ask InfluxDB, when they ask it, and how its answers are read.
//!
//! ```text
//! script text ──▶ Query::prepare ──▶ Query ── at(range, dimensions, fill) ──▶ text for InfluxDB
//! every, cron ──▶ Schedule ── first, next, ranges ──▶ ticks and ranges
//! JSON        ──▶ result::decode ──▶ series of rows
//! CSV         ──▶ flux::decode   ──▶ tables of rows
//! ```
//!
//! `InfluxQL` is its SELECT statement; of other statements only the first words are known. Nothing is evaluated here,
//! so an expression is the row of its operands, and no query nests deeper than [`parse::DEPTH_MAX`].
//!
//! Pure: no I/O, no clock, no async.
//!
//! Where to start: [`query`] for what is sent, [`schedule`] for when.

#![cfg_attr(test, allow(clippy::unwrap_used, reason = "a test that fails may panic"))]

pub mod ast;
pub mod cron;
pub mod duration;
pub mod error;
pub mod flux;
pub mod parse;
mod print;
pub mod query;
pub mod result;
mod scan;
pub mod schedule;
pub mod token;

pub use ast::{Select, Statement};
pub use cron::Cron;
pub use error::{CronError, DecodeError, ParseError, QueryError, ScheduleError};
pub use parse::parse;
pub use query::{Dimension, Fill, Query, Range};
pub use schedule::Schedule;
