//! Whole tasks, from the text of a script to what leaves it.

#![allow(clippy::unwrap_used, reason = "a test that fails may panic")]

mod bad_input;
mod dot;
mod engine;
mod errors;
mod examples;
mod forms;
mod handlers;
mod influxdb;
mod nodes;
mod notation;
mod outputs;
mod properties;
mod queries;
mod recordings;
mod register;
mod service;
mod udf;
mod world;
