//! The server as clients see it.

#![allow(clippy::unwrap_used, reason = "tests")]

mod ask;
mod auth;
mod config;
mod details;
mod flood;
mod gateway;
mod gateway_circles;
mod gateway_clients;
mod gateway_dialects;
mod gateway_kinds;
mod gateway_register;
mod gateway_reload;
mod hung;
mod influxdb;
mod inputs;
mod joins;
mod listeners;
mod load;
mod logs;
mod many;
mod postgres;
mod scenario;
mod scenarios;
mod settings;
mod started;
mod udf;
