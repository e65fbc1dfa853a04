//! The server as clients see it.

#![allow(clippy::unwrap_used, reason = "tests")]

mod ask;
mod auth;
mod flood;
mod hung;
mod many;
mod scenario;
mod scenarios;
mod started;
