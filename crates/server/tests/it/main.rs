//! The server as clients see it.

#![allow(clippy::unwrap_used, reason = "tests")]

mod auth;
mod config;
mod logs;
mod scenario;
mod scenarios;
mod started;
