//! The server as clients see it.

#![allow(clippy::unwrap_used, reason = "tests")]

mod auth;
mod config;
mod influxdb;
mod inputs;
mod logs;
mod scenario;
mod scenarios;
mod started;
