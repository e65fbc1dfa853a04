//! The server as clients see it.

#![allow(clippy::unwrap_used, reason = "tests")]

mod ask;
mod auth;
mod config;
mod flood;
mod gateway;
mod hung;
mod influxdb;
mod inputs;
mod load;
mod logs;
mod many;
mod scenario;
mod scenarios;
mod settings;
mod started;
mod udf;
