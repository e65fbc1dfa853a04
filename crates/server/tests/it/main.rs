//! The server as clients see it.

#![allow(clippy::unwrap_used, reason = "tests")]

mod ask;
mod auth;
mod config;
mod influxdb;
mod inputs;
mod logs;
mod flood;
mod hung;
mod many;
mod scenario;
mod scenarios;
mod started;
